"""The loop over a prepared folder that is never held in memory. `python tests/test_active_stream.py OUT ROWS [WIDTH]` writes such a folder."""
import json, os, subprocess, sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

classes = 512


def write_large(out, rows, width=64, part_rows=8192, seed=0):
    "A prepared folder and the features of one view, drawn: a cloud for each of 512 categories, the commonest some eighty times the rarest"
    from prodclf.core import rng, write_json
    from prodclf.data.dataset import write_manifest, write_part, Shards
    out, place = Path(out), Path(out)/'features'/'drawn'
    place.mkdir(parents=True)
    draw = rng(seed, 'large')
    names, centres = np.array([f'Category {i:03d}' for i in range(classes)]), draw.normal(size=(classes, width)).astype(np.float32)
    share = np.arange(1, classes+1)**-.7
    parts, entries, labels = [], [], np.zeros(classes, int)
    for i, start in enumerate(range(0, rows, part_rows)):
        n = min(part_rows, rows-start)
        r, name = rng(seed, 'part', i), f'part-{i:05d}'
        y = r.choice(classes, n, p=share/share.sum())
        x = centres[y] + .28*width**.5*r.normal(size=(n, width)).astype(np.float32)
        np.save(place/f'text-{name}.npy', x.astype(np.float16)); np.save(place/f'text-{name}.present.npy', np.ones(n, bool))
        ids = [f'P{start+k:09d}' for k in range(n)]
        columns = dict(id=ids, title=[None]*n, text=['words']*n, label=names[y].tolist(), path=[None]*n, group=[f'G{(start+k)//2:09d}' for k in range(n)], split=[None]*n)
        parts.append(write_part(out, name, columns))
        entries.append(dict(name=name, rows=n, present=n))
        labels += np.bincount(y, minlength=classes)
    write_manifest(out, parts, rows, {}, {k: int(v) for k, v in zip(names, labels) if v}, source='drawn', options={}, notes=[])
    view = dict(kind='words', dim=width, fingerprint='drawn', asked=dict(encoder='drawn', precision='fp32'), catalog=Shards(out).digest, rows=rows, parts=entries)
    write_json(place/'features.json', dict(format=1, views=dict(text=view)))


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    out = tmp_path_factory.mktemp('large')/'prepared'
    write_large(out, 3000, 24, part_rows=700)
    return out


def asked_in(out):
    "run -> what each round asked, in order"
    return {run.name: [np.load(f)['asked'].tolist() for f in sorted(run.glob('round-*.npz'))] for run in sorted((Path(out)/'runs').iterdir())}


def test_the_streamed_loop_asks_what_the_loop_in_memory_asks(folder, prodclf, tmp_path):
    "Same features, same splits: the same products in the same order, the same curve to 1e-6"
    from prodclf.active.loop import compare_strategies
    from prodclf.cli.label import stored_features, stored_work
    from prodclf.active.feature_space import Space
    words = ['active', folder, '--strategy', 'auto,margin,entropy', '--initial', 200, '--batch', 100, '--rounds', 2, '--seeds', '1', '--min-per-class', 4, '--uncertainty-threshold', .2]
    done = prodclf(*words, '--out', tmp_path/'disk')
    assert 'they stay on disk' in done.stderr and 'saved against chance' in done.stdout
    work = stored_work(stored_features(folder), [1], .2, False, 4, 100_000)

    def space_of(*tables):
        lazy = work.space_of(*tables)
        return Space(lazy.pool[:], lazy.test[:], lazy.columns)

    curve = compare_strategies(work.parts, ['auto', 'margin', 'entropy'], rounds=2, n=100, initial=200, threshold=.2, space_of=space_of, folder=tmp_path/'memory'/'runs')
    assert asked_in(tmp_path/'disk') == asked_in(tmp_path/'memory')
    there, figures = pd.read_csv(tmp_path/'disk'/'curve.csv'), ['strategy', 'seed', 'round', 'labels', 'accuracy', 'macro_f1', 'unchanged', 'uncertain']
    pd.testing.assert_frame_equal(there[figures], curve.rounds[figures], check_exact=False, atol=1e-6, check_dtype=False)
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path/'disk'/'full.csv'), curve.full.reset_index(drop=True), check_exact=False, atol=1e-6, check_dtype=False)
    before = (tmp_path/'disk'/'curve.csv').read_text()
    prodclf(*words, '--out', tmp_path/'disk')
    assert (tmp_path/'disk'/'curve.csv').read_text() == before                       # nothing is run twice
    for f in list((tmp_path/'disk'/'runs').glob('margin-*/round-000[23].npz')): f.unlink()   # as after a kill: the journal is ahead of the rounds
    prodclf(*words, '--out', tmp_path/'disk')
    seconds = pd.read_csv(tmp_path/'disk'/'curve.csv')
    assert len(seconds) == len(there)


def test_other_settings_and_missing_features_are_one_line(folder, prodclf, tmp_path):
    def line(*words):
        done = prodclf('active', folder, '--out', tmp_path/'o', '--initial', 50, '--batch', 50, '--rounds', 1, '--seeds', '0', '--strategy', 'margin', '--min-per-class', 4, *words, code=1)
        lines = [l for l in done.stderr.splitlines() if l.startswith('prodclf: ')]
        assert len(lines) == 1 and 'Traceback' not in done.stderr
        return lines[0]
    done = prodclf('active', folder, '--out', tmp_path/'o', '--initial', 50, '--batch', 50, '--rounds', 1, '--seeds', '0', '--strategy', 'margin', '--min-per-class', 4, '--test-limit', 100)
    assert 'test 100 drawn from' in done.stderr
    assert 'other settings (test_limit)' in line('--test-limit', 90)
    assert 'features.json' in line('--features', tmp_path/'nowhere')
    assert 'classifier needs 2' in line('--min-per-class', 4000)


measured = '''
import sys
from pathlib import Path
from prodclf.core import Clock
from prodclf.cli.label import replay, stored_features, stored_work
def status(key): return next(int(l.split()[1])//1024 for l in open('/proc/self/status') if l.startswith(key))
import prodclf.active.loop, prodclf.encoders.embeddings, prodclf.evaluate.plots, prodclf.cli.data, sklearn.cluster
import numpy as np
prodclf.active.loop.fit_head(np.eye(4, dtype=np.float32), np.arange(4) % 2, 2)            # torch loads some eighty megabytes with its first fit
start = status('VmHWM')
out = Path(sys.argv[2])
replay(stored_work(stored_features(Path(sys.argv[1])), [0], .2, False, 10, 100_000), out, Clock(), ['margin'], [0], None, rounds=1, n=1000, initial=1000, scatter=True, threshold=None, l2=.1, random_rounds=None, candidates=50_000)
print(start, status('VmHWM'))
'''


@pytest.mark.skipif(not Path('/proc/self/status').exists(), reason='reads the peak memory from Linux')
def test_memory_does_not_follow_the_pool(home, tmp_path):
    "300,000 rows, 64 numbers, 512 categories: the probabilities alone would take 600 MB"
    write_large(tmp_path/'prepared', 300_000)
    env = {**os.environ, 'PRODCLF_HOME': str(home), 'OMP_NUM_THREADS': '1', 'PRODCLF_QUIET': '1', 'MPLBACKEND': 'Agg'}
    done = subprocess.run([sys.executable, '-c', measured, str(tmp_path/'prepared'), str(tmp_path/'out')], env=env, capture_output=True, text=True, timeout=1200)
    assert done.returncode == 0, done.stderr[-3000:]
    start, peak = map(int, done.stdout.splitlines()[-1].split())
    assert peak - start < 220, f'{peak-start} MB more than the libraries take'
    metrics = json.loads((tmp_path/'out'/'metrics.json').read_text())
    assert metrics['rows'] == 300_000 and metrics['classes'] == classes and metrics['full'][0]['fit'].startswith('Adam')
    margin = next(c for c in metrics['curves'] if c['strategy'] == 'margin')
    assert margin['labels'] == [1000, 2000] and margin['accuracy'][1] > margin['accuracy'][0] > .2


if __name__ == '__main__': write_large(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]) if len(sys.argv) > 3 else 64)
