"""The loop over a prepared folder that is never held in memory. `python tests/test_active_stream.py OUT ROWS [WIDTH]` writes such a folder."""
import json, os, subprocess, sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

classes = 512


class Drawn:
    "An encoder whose vectors are drawn: a cloud for each category, around the row's number that the text holds"
    name = 'drawn'

    def __init__(self, codes, width, seed=0):
        from prodclf.core import rng
        self.codes, self.dim, self.seed = codes, width, seed
        self.centres = rng(seed, 'large').normal(size=(classes, width)).astype(np.float32)

    @property
    def fingerprint(self): return f'drawn-{self.dim}-{len(self.codes)}'

    def encode(self, texts):
        rows = [int(t.split()[-1]) for t in texts]
        noise = np.stack([np.random.default_rng([self.seed, i]).standard_normal(self.dim, np.float32) for i in rows])
        return self.centres[self.codes[rows]] + .28*self.dim**.5*noise, np.ones(len(texts), bool)


def write_large(out, rows, width=64, part_rows=8192, seed=0):
    "A prepared folder with embeddings of one view: 512 categories, the commonest some eighty times the rarest"
    from prodclf.core import rng
    from prodclf.data.dataset import ProductDataset, write_manifest, write_part
    from prodclf.encoders.embeddings import embed
    Path(out).mkdir(parents=True, exist_ok=True)
    names, share = np.array([f'Category {i:03d}' for i in range(classes)]), np.arange(1, classes+1)**-.7
    codes = rng(seed, 'codes').choice(classes, rows, p=share/share.sum())
    parts = []
    for i, start in enumerate(range(0, rows, part_rows)):
        at = range(start, min(start+part_rows, rows))
        columns = dict(id=[f'P{k:09d}' for k in at], title=[None]*len(at), text=[f'Product {k}' for k in at], label=names[codes[start:start+part_rows]].tolist(),
                       path=[None]*len(at), group=[f'G{k//2:09d}' for k in at], split=[None]*len(at))
        parts.append(write_part(out, f'part-{i:05d}', columns))
    labels = {str(k): int(v) for k, v in zip(names, np.bincount(codes, minlength=classes)) if v}
    write_manifest(out, parts, rows, {}, labels, source='drawn', options={}, notes=[])
    embed(ProductDataset(out), text=Drawn(codes, width, seed), out=Path(out)/'embeddings'/'drawn', workers=0)
    return codes


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    out = tmp_path_factory.mktemp('large')/'prepared'
    write_large(out, 3000, 24, part_rows=700)
    return out


def asked_in(out):
    "run -> what each round asked, in order"
    runs = {run.name: [np.load(f)['asked'].tolist() for f in sorted(run.glob('round-*.npz'))] for run in sorted((Path(out)/'runs').iterdir())}
    assert len(runs) == 5 and all(len(r) > 2 for k, r in runs.items() if not k.startswith('full')), list(runs)
    return runs


def test_a_prepared_folder_and_a_table_in_memory_are_asked_the_same(folder, prodclf, tmp_path):
    "Same products, same vectors: the same questions in the same order, the same curve"
    from prodclf.active.loop import QueryConfig, compare_strategies
    from prodclf.data.dataset import ProductDataset
    from prodclf.encoders.embeddings import embed
    words = ['active', folder, '--strategy', 'auto,margin,entropy', '--initial', 200, '--batch', 100, '--rounds', 2, '--seeds', '1', '--min-per-class', 4, '--uncertainty-threshold', .2]
    done = prodclf(*words, '--out', tmp_path/'folder')
    assert 'as in' in done.stderr and 'saved against random' in done.stdout
    stored = ProductDataset(folder)
    table = ProductDataset(stored.take(np.arange(len(stored))))
    vectors = embed(table, text=Drawn(stored.codes([f'Category {i:03d}' for i in range(classes)]), 24), workers=0)
    query = QueryConfig(n=100, initial=200, threshold=.2)
    curve = compare_strategies(table, ['auto', 'margin', 'entropy'], vectors, (1,), rounds=2, query=query, min_count=4, folder=tmp_path/'table'/'runs')
    assert asked_in(tmp_path/'folder') == asked_in(tmp_path/'table')
    there, figures = pd.read_csv(tmp_path/'folder'/'curve.csv'), ['strategy', 'seed', 'round', 'labels', 'accuracy', 'macro_f1', 'unchanged', 'uncertain']
    pd.testing.assert_frame_equal(there[figures], curve.rounds[figures], check_exact=False, atol=1e-6, check_dtype=False)
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path/'folder'/'full.csv'), curve.full.reset_index(drop=True), check_exact=False, atol=1e-6, check_dtype=False)
    before = (tmp_path/'folder'/'curve.csv').read_text()
    prodclf(*words, '--out', tmp_path/'folder')
    assert (tmp_path/'folder'/'curve.csv').read_text() == before                     # nothing is run twice
    late = list((tmp_path/'folder'/'runs').glob('margin-*/round-000[23].npz'))
    assert len(late) == 2
    for f in late: f.unlink()                                                        # as after a kill: the journal is ahead of the rounds
    prodclf(*words, '--out', tmp_path/'folder')
    assert len(pd.read_csv(tmp_path/'folder'/'curve.csv')) == len(there)


def test_other_settings_and_missing_embeddings_are_one_line(folder, prodclf, tmp_path):
    words = ['active', folder, '--out', tmp_path/'o', '--initial', 50, '--batch', 50, '--rounds', 1, '--seeds', '0', '--strategy', 'margin', '--min-per-class', 4]

    def line(*more):
        done = prodclf(*words, *more, code=1)
        lines = [l for l in done.stderr.splitlines() if l.startswith('prodclf: ')]
        assert len(lines) == 1 and 'Traceback' not in done.stderr
        return lines[0]
    assert 'test 100 drawn from' in prodclf(*words, '--test-limit', 100).stderr
    assert 'other settings (split)' in line('--test-limit', 90)
    assert 'no embeddings' in line('--embeddings', tmp_path/'nowhere')
    assert 'classifier needs 2' in line('--min-per-class', 4000)
    assert 'other settings (n)' in line('--test-limit', 100, '--batch', 60)


measured = '''
import sys
from pathlib import Path
import numpy as np
import prodclf.evaluate.plots, sklearn.cluster, sklearn.utils.extmath, matplotlib.pyplot
from prodclf.active.loop import QueryConfig, fit_head, replay
from prodclf.data.dataset import ProductDataset
from prodclf.encoders.embeddings import open_embeddings
def status(key): return next(int(l.split()[1])//1024 for l in open('/proc/self/status') if l.startswith(key))
fit_head(np.eye(4, dtype=np.float32), np.arange(4) % 2, 2)            # torch loads some eighty megabytes with its first fit
start, dataset = status('VmHWM'), ProductDataset(Path(sys.argv[1]))
curve, found = replay(dataset, open_embeddings(dataset), sys.argv[2], strategies=['margin'], seeds=(0,), rounds=1, query=QueryConfig(n=1000, initial=1000), min_count=10)
margin = curve.rounds[curve.rounds.strategy == 'margin']
import json
print(json.dumps(dict(grown=status('VmHWM') - start, labels=margin['labels'].tolist(), accuracy=margin.accuracy.tolist(), full=found['full'])))
'''


@pytest.mark.skipif(not Path('/proc/self/status').exists(), reason='reads the peak memory from Linux')
def test_memory_does_not_follow_the_pool(home, tmp_path):
    "300,000 rows, 64 numbers, 512 categories: the probabilities alone would take 600 MB"
    write_large(tmp_path/'prepared', 300_000)
    env = {**os.environ, 'PRODCLF_HOME': str(home), 'OMP_NUM_THREADS': '1', 'PRODCLF_QUIET': '1', 'MPLBACKEND': 'Agg'}
    done = subprocess.run([sys.executable, '-c', measured, str(tmp_path/'prepared'), str(tmp_path/'out')], env=env, capture_output=True, text=True, timeout=1200)
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert found['grown'] < 220, f"{found['grown']} MB more than the libraries take"
    assert found['labels'] == [1000, 2000] and found['accuracy'][1] > found['accuracy'][0] > .2
    assert found['full'][0]['fit'].startswith('Adam')


if __name__ == '__main__': write_large(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]) if len(sys.argv) > 3 else 64)
