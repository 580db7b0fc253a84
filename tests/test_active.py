"""The loop and the labelling sheets from the outside: kills at random moments, and mistakes in what comes back."""
import json, os, subprocess, sys

import pandas as pd
import pytest

kills = int(os.environ.get('PRODCLF_KILLS', 8))   # 50 and more by hand: PRODCLF_KILLS=60 pytest tests/test_active.py
plain = ['--text-encoder', 'lsa', '--image-encoder', 'descriptors']

loop = '''
import os, random, signal, sys, time, warnings
from pathlib import Path
import pandas as pd
warnings.filterwarnings('ignore')
import torch; torch.set_num_threads(1)
from prodclf.active.loop import QueryConfig, compare_strategies, replay_rows
from prodclf.active.pool import Pool
from prodclf.data.dataset import ProductDataset
from prodclf.encoders.embeddings import embed
from prodclf.sample.shop import sample_catalog

folder, wanted, dice = Path(sys.argv[1]), int(sys.argv[2]), random.Random(int(sys.argv[3]))
shop = ProductDataset(sample_catalog(n=700, seed=9))
vectors = embed(shop, text='lsa', image='descriptors', workers=0)
def run(where): return compare_strategies(shop, ['auto', 'entropy'], vectors, (0, 1), rounds=8, query=QueryConfig(n=15, initial=30), test_size=.3, min_count=2, folder=where)

start = time.perf_counter(); whole = run(None); took = time.perf_counter()-start
made = 0
while True:                                                    # a child works, and is killed, until one of them comes to the end
    child = os.fork()
    if child == 0:
        try: run(folder); os._exit(0)
        except BaseException as e: print(repr(e), file=sys.stderr, flush=True); os._exit(3)
    if made < wanted:
        time.sleep(dice.random()*2.2*took/wanted)
        os.kill(child, signal.SIGKILL)
    status = os.waitpid(child, 0)[1]
    if os.WIFSIGNALED(status): made += 1; continue
    assert os.waitstatus_to_exitcode(status) == 0, 'a resumed run failed'
    if made >= wanted: break
    import shutil; shutil.rmtree(folder)                       # it finished between two kills: begin anew, keep counting
same = [c for c in whole.rounds if c != 'seconds']
pd.testing.assert_frame_equal(run(folder).rounds[same], whole.rounds[same], check_exact=True)
codes, journals = shop.codes(shop.classes(2)), sorted(folder.glob('*/journal.jsonl'))
assert len(journals) == 6, journals
for journal in journals:
    rows, _ = replay_rows(shop, codes, int(journal.parent.name[-1]), .3)
    pool = shop.subset(rows['pool'])
    truth = dict(zip(pool.column('id').to_pylist(), pool.column('label').to_pylist()))
    e = Pool.open(pool, journal).entries()
    acts = e[e.kind == 'answer']
    assert len(acts) == 30+8*15 and not acts.id.duplicated().any(), 'an answer was lost or doubled'
    assert [truth[i] for i in acts.id] == acts.label.tolist()
print(f'{made} kills, the same {len(whole.rounds)} rounds')
'''


def test_killed_loops_give_the_same_curve(tmp_path, home):
    env = {**os.environ, 'PRODCLF_HOME': str(home), 'OMP_NUM_THREADS': '1', 'PRODCLF_QUIET': '1'}
    done = subprocess.run([sys.executable, '-c', loop, str(tmp_path/'runs'), str(kills), '5'], env=env, capture_output=True, text=True, timeout=3000)
    assert done.returncode == 0, done.stderr[-3000:]
    assert f'{kills} kills' in done.stdout


@pytest.fixture(scope='module')
def shop(tmp_path_factory):
    "A user's folder, and the truth"
    from prodclf.sample.shop import write_sample
    folder = tmp_path_factory.mktemp('shop')
    write_sample(folder, n=400, seed=6)
    table = pd.read_csv(folder/'products.csv')
    (folder/'categories.txt').write_text('\n'.join(sorted(table.category.unique())))
    table.drop(columns='category').to_csv(folder/'blank.csv', index=False)
    return folder, dict(zip(table.id, table.category))


def error_line(done):
    lines = [line for line in done.stderr.splitlines() if line.startswith('prodclf: ')]
    assert len(lines) == 1 and 'Traceback' not in done.stderr, done.stderr[-3000:]
    return lines[0]


def test_active_on_the_embedded_catalog(prodclf, tmp_path):
    words = ['active', 'embedded', '--out', tmp_path/'o', '--strategy', 'margin', '--initial', 50, '--rounds', 2, '--seeds', '3']
    done = prodclf(*words, '--batch', 50)
    m = json.loads((tmp_path/'o'/'metrics.json').read_text())
    assert {c['strategy']: c['labels'] for c in m['curves']} == dict(margin=[0, 50, 100, 150], random=[50, 100, 150]) and m['command'] == 'active'    # names: a model before the first label
    assert m['savings'] and all(s['seeds'] == 1 and s['low'] is None for s in m['savings'])    # one seed has no interval
    assert 'saved against random' in done.stdout
    before = (tmp_path/'o'/'curve.csv').read_text()
    prodclf(*words, '--batch', 50)
    assert (tmp_path/'o'/'curve.csv').read_text() == before                # nothing is run twice
    assert 'other settings (n)' in error_line(prodclf(*words, '--batch', 40, code=1))


def test_a_batch_larger_than_the_pool_and_a_threshold(prodclf, shop, tmp_path):
    common = ['--strategy', 'entropy', '--batch', 5000, '--seeds', '0', '--min-per-class', 4, *plain]
    prodclf('active', shop[0]/'products.csv', '--out', tmp_path/'a', '--initial', 50, '--rounds', 3, *common)
    a = pd.read_csv(tmp_path/'a'/'curve.csv').query("strategy == 'entropy'")
    assert a.stop.iloc[-1] == 'nothing left to ask'
    prodclf('active', shop[0]/'products.csv', '--out', tmp_path/'b', '--initial', 60, '--rounds', 4, '--uncertainty-threshold', .9, *common)
    b = pd.read_csv(tmp_path/'b'/'curve.csv').query("strategy == 'entropy'")
    assert b.labels.iloc[-1] < a.labels.max() and 'uncertainty threshold 0.9' in b.stop.iloc[-1]


def test_a_strategy_of_ones_own_by_name(prodclf, shop, tmp_path):
    (tmp_path/'mine.py').write_text('class Longest:\n    def query(self, n, embeddings, labeled):\n        import numpy as np\n'
                                    '        far = np.linalg.norm(embeddings[:], axis=1)\n        return np.argsort(-np.where(labeled, -1, far))[:n]\nlongest = Longest()\n')
    words = ['active', shop[0]/'products.csv', '--out', tmp_path/'o', '--initial', 40, '--batch', 40, '--rounds', 1, '--seeds', '0', '--min-per-class', 4, *plain]
    prodclf(*words, '--strategy', 'mine:longest', PYTHONPATH=f'{tmp_path}:{os.environ.get("PYTHONPATH", "")}')
    assert set(pd.read_csv(tmp_path/'o'/'curve.csv').strategy) == {'Longest', 'random'}
    assert 'cannot be imported' in error_line(prodclf(*words, '--strategy', 'nowhere:longest', code=1))


def test_wrong_usage(prodclf, shop, tmp_path):
    table = shop[0]/'products.csv'
    assert 'nearest: margin' in error_line(prodclf('active', table, '--out', tmp_path, '--strategy', 'margim', *plain, code=1))
    prodclf('active', table, '--out', tmp_path, '--seeds', 'a,b', *plain, code=2)
    prodclf('active', table, '--out', tmp_path, '--uncertainty-threshold', 7, *plain, code=2)
    done = prodclf('active', table, '--out', tmp_path, '--text-encoder', 'none', '--image-encoder', 'none', code=2)
    assert 'neither a text nor an image encoder' in ' '.join(done.stderr.split())
    assert '--categories FILE' in error_line(prodclf('label', shop[0]/'blank.csv', '--out', tmp_path/'l', *plain, code=1))


def test_labelling_from_nothing_to_nothing_left(prodclf, shop, tmp_path):
    folder, truth = shop
    common = ['label', folder/'blank.csv', '--out', tmp_path/'pool', *plain]
    prodclf(*common, '--categories', folder/'categories.txt', '--n', 200)
    sheet = pd.read_csv(tmp_path/'pool'/'batch-001.csv', dtype=str)
    sheet['label'] = sheet.id.map(truth)
    strange = pd.DataFrame([dict(id='NOBODY', label=sheet.label[0])])
    sheet.loc[3, 'label'] = 'Spacecraft'
    pd.concat([sheet, strange]).to_csv(tmp_path/'a.csv', index=False, sep=';', encoding='utf-8-sig')
    done = prodclf(*common, '--answers', tmp_path/'a.csv', '--by', 'ann', '--n', 500)
    refused = pd.read_csv(tmp_path/'pool'/'a.refused.csv')
    assert refused.answer.tolist() == ['Spacecraft', sheet.label[0]] and refused.id.tolist() == [sheet.id[3], 'NOBODY']
    assert '199 answered' in done.stderr and '1 of 200 products are still to be answered' in done.stderr
    assert len(pd.read_csv(tmp_path/'pool'/'labels.csv')) == 199
    prodclf(*common, '--answers', tmp_path/'a.csv', '--by', 'ann', '--allow-new', '--n', 500)       # the same sheet again: only what is new counts
    entries = [json.loads(line) for line in (tmp_path/'pool'/'journal.jsonl').read_text().splitlines()]
    assert sum(e['kind'] == 'answer' for e in entries) == 200 and sum(e['kind'] == 'new_category' for e in entries) == 1
    rest = pd.read_csv(tmp_path/'pool'/'batch-002.csv', dtype=str)
    assert len(rest) == 200 and not set(rest.id) & set(sheet.id) and rest.guess_1.notna().all()
    rest.drop(columns='label').to_csv(tmp_path/'b.csv', index=False)
    assert "no column 'label'" in error_line(prodclf(*common, '--answers', tmp_path/'b.csv', code=1))
    rest.assign(label=rest.id.map(truth)).to_csv(tmp_path/'b.csv', index=False)
    assert 'nothing left to ask' in prodclf(*common, '--answers', tmp_path/'b.csv').stderr
    assert 'nothing left to ask' in error_line(prodclf(*common, code=1))
    assert len(pd.read_csv(tmp_path/'pool'/'labels.csv')) == 400
    other = pd.read_csv(folder/'blank.csv').iloc[:50].assign(id=[f'X{i}' for i in range(50)])
    other.to_csv(folder/'other.csv', index=False)
    done = prodclf('label', folder/'other.csv', '--out', tmp_path/'pool', *plain, code=1)
    assert 'journal.jsonl' in error_line(done)


def test_a_longer_list_of_categories_is_taken_in(prodclf, shop, tmp_path):
    folder, _ = shop
    common = ['label', folder/'blank.csv', '--out', tmp_path/'pool', '--n', 0, *plain]
    prodclf(*common, '--categories', folder/'categories.txt')
    names = (folder/'categories.txt').read_text().splitlines()
    (tmp_path/'more.txt').write_text('\n'.join([*names, 'Spacecraft']), encoding='utf-8-sig')
    done = prodclf(*common, '--categories', tmp_path/'more.txt')
    assert f'of {len(names)+1} categories' in done.stderr and 'new in the list of categories' in done.stderr
    (tmp_path/'ansi.txt').write_bytes('Café mugs\n'.encode('cp1252'))
    assert 'ansi.txt' in error_line(prodclf(*common, '--categories', tmp_path/'ansi.txt', code=1))


def test_label_studio_sheet(prodclf, shop, tmp_path):
    folder, truth = shop
    common = ['label', folder/'blank.csv', '--out', tmp_path/'pool', '--format', 'label-studio', *plain]
    prodclf(*common, '--categories', folder/'categories.txt', '--n', 5)
    tasks = json.loads((tmp_path/'pool'/'batch-001.json').read_text())
    choice = lambda name: dict(from_name='category', to_name='words', type='choices', value=dict(choices=[name]))
    back = [dict(id=i, data=t['data'], annotations=[dict(completed_by=1, was_cancelled=False, result=[choice(truth[t['data']['product_id']])])]) for i, t in enumerate(tasks)]
    (tmp_path/'back.json').write_text(json.dumps(back))
    assert '5 answered' in prodclf(*common, '--answers', tmp_path/'back.json', '--n', 0).stderr
    (tmp_path/'bad.json').write_text('{')
    assert 'not JSON' in error_line(prodclf(*common, '--answers', tmp_path/'bad.json', code=1))
