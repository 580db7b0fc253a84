"""Several real processes, over gloo on CPUs, equal one; the same file is the test and the script that the processes run."""
import json, os, signal, socket, subprocess, sys, time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

here = Path(__file__).resolve()


# what the processes run

def learners():
    "The parts that every process needs; imported late, so that collecting tests stays quick"
    import torch
    from fastai.callback.core import Callback
    torch.set_num_threads(1)

    class Watch(Callback):
        "Loss of every step, rows that counted, and the seed of dropout"
        def __init__(self, trouble=lambda learn: None): super().__init__(); self.losses_seen, self.rows_seen, self.trouble = [], [], trouble
        def before_train(self): self.dice, self.truth = torch.initial_seed(), []; self.rows_seen.append([])
        def after_batch(self):
            if not self.training: self.truth += self.yb[0].tolist(); return
            self.losses_seen.append(float(self.learn.loss.detach()))
            first = self.xb[0]
            if isinstance(first, dict) and 'words' in first: self.rows_seen[-1] += first['words'][:self.learn.dl.counts[self.learn.dl.order.rank], 0].mul(1000).round().int().tolist()
            self.trouble(self.learn)
    return torch, Watch


def shop_learner(bs, rows=None, gaps=False, columns=False, **options):
    "Words and pictures, tiny encoders, nothing random in the network"
    torch, Watch = learners()
    import pandas as pd
    from prodclf.models.dataloaders import product_dataloaders
    from prodclf.encoders.image import image_encoder
    from prodclf.encoders.registry import make_encoders
    from prodclf.models.learner import product_learner
    from prodclf.sample.shop import sample_catalog
    from prodclf.data.splits import split
    from prodclf.encoders.text import text_encoder
    shop = sample_catalog(n=150, seed=3)
    train, valid, _ = split(shop[shop.label.map(shop.label.value_counts()) >= 4].reset_index(drop=True), seed=3)
    if rows: train = pd.concat([train, train], ignore_index=True).head(rows)
    if gaps:                                        # most parts of a batch lack words or pictures altogether
        r = np.random.default_rng(1)
        train = train.assign(image=train.image.where(r.random(len(train)) < .3), text=train.text.where(r.random(len(train)) < .4))
    if columns:                                     # a brand, and a price that some products lack
        train, valid = (t.assign(tabular=[json.dumps(dict(brand=y[::4]) | (dict(price=f'{len(y)}.{i}') if i % 3 else {})) for i, y in enumerate(t.label)]) for t in (train, valid))
        options['tabular'] = make_encoders(train, tabular='columns')['tabular']
    text = text_encoder('tiny', train_texts=shop.text.tolist(), max_length=12, seed=0)
    dls = product_dataloaders(train, valid, bs=bs, text=text, image=image_encoder('tiny', size=32, seed=0), augment=False, seed=1, device='cpu')
    learn = product_learner(dls, fusion='gated', modality_dropout=0., head=dict(dropout=0., hidden=32), freeze_bn=True, seed=5, **options)
    for m in learn.model.modules():
        if isinstance(m, torch.nn.Dropout): m.p = 0.
    watch = Watch(); learn.add_cb(watch)
    return learn, watch


shop_stories = dict(frozen=dict(frozen=True), finetune={}, columns=dict(columns=True), accumulate=dict(accumulate=2), uneven=dict(rows=65, accumulate=2, clip=None), gaps=dict(gaps=True, accumulate=2))


def shop_run(name, processes):
    bs = (12 if name == 'gaps' else 32)//processes
    learn, watch = shop_learner(bs, **shop_stories[name])
    if name == 'finetune': learn.fine_tune(2, freeze_epochs=1)          # frozen groups first, then all: two fits
    else: learn.fine_tune(2)
    return learn, watch


def plain_learner(bs, rows=50, dropout=0., stream=False, norm=False, accumulate=1, trouble=lambda learn: None, valid_rows=23):
    "A head on features whose first column is the row number"
    torch, Watch = learners()
    from fastai.data.core import DataLoaders
    from prodclf.models.fusion import fusion_head
    from prodclf.models.learner import ProductClassifier, ProductLearner
    from prodclf.models.loader import EmbeddingLoader
    r = np.random.default_rng(0)
    x, y = r.normal(size=(rows+valid_rows, 8)).astype(np.float32), r.integers(0, 4, rows+valid_rows)
    x[:,1] += y; x[:,0] = np.arange(len(x))/1000
    order = dict(block=8, buffer=30) if stream else {}                   # several buffers, or one
    loaders = [EmbeddingLoader({'words': x[a:b]}, y=y[a:b], bs=bs, shuffle=a == 0, **order) for a,b in ((0, rows), (rows, rows+valid_rows))]
    torch.manual_seed(0)
    head = fusion_head('concat', {'words': 8}, 4, hidden=16, dropout=dropout, modality_dropout=0.)
    if norm: head.net[2] = torch.nn.BatchNorm1d(16)
    watch = Watch(trouble)
    options = dict(loss='balanced', label_smoothing=0., clip=None, seed=3, accumulate=accumulate, cbs=[watch])
    if stream: options['keep_best'] = None
    return ProductLearner(DataLoaders(*loaders, device='cpu'), ProductClassifier(head), list('abcd'), dict(epochs=4, base_lr=.01, wd=.01), True, patience=3, **options), watch


plain_stories = {'50 rows': dict(rows=50), '46 rows': dict(rows=46), '2 rows': dict(rows=2), '2 batches a step': dict(rows=50, accumulate=2), 'bf16': dict(rows=50), 'dropout': dict(dropout=.5), 'dropout again': dict(dropout=.5), 'batch norm': dict(norm=True, rows=45), 'stream': dict(stream=True, rows=101)}


def plain_run(name, processes):
    learn, watch = plain_learner(15//processes, **plain_stories[name])
    if name == 'bf16': learn.to_bf16()
    learn.fine_tune(4 if name != '50 rows' else 12)
    return learn, watch


def what_was_seen(learn, watch, **more):
    tensors = [p.detach().float().numpy().ravel() for p in (*learn.model.parameters(), *learn.model.buffers())]
    return dict(losses=watch.losses_seen, rows=watch.rows_seen, truth=list(watch.truth), dice=watch.dice, n=learn.dls.train.n, epochs=learn.curves().to_dict('list'),
                weights=np.concatenate(tensors), kind=type(learn.model).__name__, **more)


def write(folder, name, who, value):
    np.save(f'{folder}/{name}.{who}.npy', value.pop('weights', []))
    Path(folder, f'{name}.{who}.json').write_text(json.dumps(value))


def read(folder, name, who=0):
    return dict(json.loads((folder/f'{name}.{who}.json').read_text()), weights=np.load(folder/f'{name}.{who}.npy'))


def script(kind, out):
    from prodclf.core import ProdclfError
    from prodclf.models.distributed import Distributed, leave, world
    rank, size, _ = world()
    if kind == 'shop':
        for name in shop_stories: write(out, name, rank, what_was_seen(*shop_run(name, size)))
        leave()                                                         # and meet again, with less patience
        def late(learn):
            if rank == 1 and learn.train_iter == 1: time.sleep(9)
        learn, _ = plain_learner(8, trouble=late)
        learn.add_cb(Distributed(timeout=4))
        try: learn.fit(1); write(out, 'late', rank, dict(said=''))
        except ProdclfError as e: write(out, 'late', rank, dict(said=str(e)))
        leave()
        command(out)                                                    # the second process ends in there, when the networks are trained
        assert world() == (0, 1, 0)
        for name in shop_stories: write(out, name, 'one', what_was_seen(*shop_run(name, 1)))
    if kind == 'plain':
        for name in plain_stories:
            learn, watch = plain_run(name, size)
            found = what_was_seen(learn, watch, record=list(learn.recorder.values[-1]))
            write(out, name, rank, found if rank else dict(found, validated=list(learn.validate())))           # one process validates, and need not wait
        def dies(learn):
            if rank == 2 and learn.train_iter == 2: os.kill(os.getpid(), signal.SIGKILL)
        learn, _ = plain_learner(5, trouble=dies)
        try: learn.fit(3)
        except ProdclfError as e: sys.exit(f'prodclf: {e}')

def command(out):
    "`prodclf train`, as `torchrun -m prodclf.cli.main` runs it"
    from prodclf.cli.main import main
    from prodclf.sample.shop import sample_catalog
    if os.environ['RANK'] == '0':
        shop = sample_catalog(n=300, seed=1)
        shop[shop.label.map(shop.label.value_counts()) >= 10].drop(columns='image').to_csv(f'{out}/part.csv', index=False)
        os.rename(f'{out}/part.csv', f'{out}/shop.csv')
    while not Path(out, 'shop.csv').exists(): time.sleep(.1)
    sys.argv = ['prodclf', 'train', f'{out}/shop.csv', *f'--out {out}/model --mode finetune --text-encoder tiny --image-encoder none --epochs 1 --batch-size 16 --max-length 12'.split()]
    try: main()
    except SystemExit as e:
        Path(out, f"ended.{os.environ.get('RANK', 'first')}").write_text(str(e.code))
        if 'RANK' in os.environ: raise


# the tests

@pytest.fixture(autouse=True, scope='module')
def quiet(home):
    kept = dict(os.environ)
    os.environ.update(OMP_NUM_THREADS='1', OMP_WAIT_POLICY='PASSIVE', PRODCLF_QUIET='1', CUDA_VISIBLE_DEVICES='', TORCH_CPP_LOG_LEVEL='ERROR', HF_HUB_OFFLINE='1', PRODCLF_HOME=str(home))
    for k in ('WORLD_SIZE', 'RANK', 'LOCAL_RANK'): os.environ.pop(k, None)
    yield
    os.environ.clear(); os.environ.update(kept)


@pytest.fixture(scope='module')
def two(tmp_path_factory):
    "Two processes of torchrun: the folder they wrote to, and what they printed"
    folder = tmp_path_factory.mktemp('two')
    done = subprocess.run([sys.executable, '-m', 'torch.distributed.run', '--standalone', '--nproc_per_node', '2', here, 'shop', folder], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-6000:]
    return folder, done


@pytest.fixture(scope='module')
def three(tmp_path_factory):
    "Three processes with plain environment variables, the last of which kills itself in the end"
    folder = tmp_path_factory.mktemp('three')
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        common = dict(WORLD_SIZE='3', MASTER_ADDR='127.0.0.1', MASTER_PORT=str(s.getsockname()[1]))
    started = [subprocess.Popen([sys.executable, here, 'plain', folder], env=os.environ | common | dict(RANK=str(r), LOCAL_RANK=str(r)), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for r in range(3)]
    try:
        with ThreadPoolExecutor(3) as pool: printed = list(pool.map(lambda p: p.communicate(timeout=240), started))
    finally:
        for p in started: p.kill()
    return folder, [subprocess.CompletedProcess(p.args, p.returncode, *texts) for p, texts in zip(started, printed)]


def same(mine, theirs, rel=1e-4, far=1e-3):
    assert len(mine['losses']) == len(theirs['losses'])
    np.testing.assert_allclose(theirs['losses'], mine['losses'], rtol=rel)
    np.testing.assert_allclose(theirs['weights'], mine['weights'], atol=far)
    assert theirs['kind'] == 'ProductClassifier'                          # no wrapping is left
    for k in mine['epochs']: np.testing.assert_allclose(theirs['epochs'][k], mine['epochs'][k], rtol=10*rel, err_msg=k)


def alike(first, *others):
    "Processes agree to the last bit"
    for other in others:
        for k in ('epochs', 'losses', 'truth'): assert first[k] == other[k]
        assert (first['weights'] == other['weights']).all()


@pytest.mark.parametrize('name', shop_stories)
def test_two_processes_are_one_with_the_doubled_batch(two, name):
    mine, first, second = (read(two[0], name, who) for who in ('one', 0, 1))
    same(mine, first)
    alike(first, second)
    assert np.abs(np.diff(mine['losses'])).max() > 1e-2                         # something was learned
    if name != 'frozen': assert len(mine['losses']) == (3 if name == 'finetune' else 2)*-(-mine['n']//(12 if name == 'gaps' else 32))
    if name == 'columns': assert len(mine['weights']) > len(read(two[0], 'finetune', 'one')['weights'])     # a branch of the network reads them
    if name == 'uneven': assert mine['n'] % 32 == 1                             # nothing for the second process in the last step


def test_a_late_process_is_not_waited_for_for_ever(two):
    for rank in range(2): assert f'process {rank} of 2: another process has ended or does not answer' in read(two[0], 'late', rank)['said']


def test_the_command(two):
    folder, done = two
    assert done.stdout.count('macro_f1') == 1 and done.stderr.count('model: ') == 1         # one process writes, measures and says so
    assert (folder/'ended.1').read_text() == (folder/'ended.first').read_text() == '0'
    assert {'text', 'linear_svm', 'fused'} <= {r['model'] for r in json.loads((folder/'model'/'metrics.json').read_text())['results']}
    assert (folder/'model'/'config.json').exists() and not list(folder.rglob('*.part'))


@pytest.mark.parametrize('name', ['50 rows', '46 rows', '2 rows', '2 batches a step', 'stream'])
def test_three_processes_are_one(three, name):
    learn, watch = plain_run(name, 1)
    mine, theirs = what_was_seen(learn, watch), [read(three[0], name, r) for r in range(3)]
    same(mine, theirs[0])
    alike(*theirs)
    for t in theirs: assert t['truth'] == mine['truth']                  # validation rows gathered: all, once, in order
    rows = plain_stories[name]['rows']
    for epoch, parts in enumerate(zip(*[t['rows'] for t in theirs])):    # each row once, over the processes
        assert sorted(sum(parts, [])) == list(range(rows)) == sorted(mine['rows'][epoch])
        assert max(map(len, parts)) - min(map(len, parts)) <= 1
    if name == '50 rows': assert len(mine['epochs']['epoch']) < 12       # patience ended it, everywhere in the same epoch


def test_three_processes_in_bf16(three):
    learn, watch = plain_run('bf16', 1)
    np.testing.assert_allclose(read(three[0], 'bf16')['losses'], watch.losses_seen, rtol=.03)


def test_statistics_of_batch_norm_are_averaged(three):
    theirs = [read(three[0], 'batch norm', r) for r in range(3)]
    alike(*theirs)


def test_dropout_is_repeatable_and_each_process_has_its_own(three):
    a, b = ([read(three[0], name, r) for r in range(3)] for name in ('dropout', 'dropout again'))
    alike(a[0], b[0], a[1], a[2])
    assert [t['dice'] for t in a] == [t['dice'] for t in b]
    assert len({t['dice'] for t in a}) == 3


def test_a_record_is_that_of_one_process(three):
    theirs = [read(three[0], 'stream', r) for r in range(3)]
    epochs = list(zip(*[t['rows'] for t in theirs]))
    assert len(epochs) == 4
    for parts in epochs: assert sorted(sum(parts, [])) == list(range(101))
    assert epochs[0][0] != epochs[1][0]
    np.testing.assert_allclose(theirs[0]['validated'], theirs[0]['record'][1:4], rtol=1e-5)       # gathered equals computed by one


def test_a_killed_process_ends_the_others_with_a_line(three):
    done = three[1]
    assert [d.returncode for d in done] == [1, 1, -9], [d.stderr[-800:] for d in done]
    for rank in range(2):
        line = done[rank].stderr.strip().splitlines()[-1]
        assert line.startswith(f'prodclf: process {rank} of 3: another process has ended or does not answer (') and line.endswith('start all of them again')


if __name__ == '__main__': script(*sys.argv[1:])
