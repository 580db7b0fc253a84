"""One path for a table and for a prepared folder: baselines, training and evaluation, from the outside."""
import json, multiprocessing, os, signal, subprocess, sys, threading

import numpy as np
import pandas as pd
import pytest

from test_cli import error_line


def metrics(folder):
    return json.loads((folder / 'metrics.json').read_text())


def figures(row):
    return {k: v for k, v in row.items() if k not in ('fit_seconds', 'ms_per_product')}


@pytest.fixture(scope='module')
def prepared(prodclf, tmp_path_factory):
    "A prepared folder, made of shop/products.csv beside it"
    from prodclf.sample.shop import write_sample

    place = tmp_path_factory.mktemp('streamed')
    write_sample(place / 'shop', n=700, seed=3)
    prodclf('prepare', place / 'shop' / 'products.csv', '--out', place / 'p', '--part-rows', 200)
    return place / 'p'


@pytest.fixture(scope='module')
def model(prodclf, prepared, tmp_path_factory):
    out = tmp_path_factory.mktemp('model') / 'm'
    words = ['--text-encoder', 'lsa', '--image-encoder', 'descriptors']
    prodclf('embed', prepared, *words)
    return out, prodclf('train', prepared, '--out', out, '--min-per-class', 6, '--seed', 1, *words)


def test_a_table_and_a_folder_have_the_same_baselines(prodclf, prepared, tmp_path):
    table = prepared.parent / 'shop' / 'products.csv'
    for name, data in (('folder', prepared), ('table', table)):
        prodclf('baselines', data, '--out', tmp_path / name, '--min-per-class', 6, '--seed', 4)
    a, b = metrics(tmp_path / 'folder'), metrics(tmp_path / 'table')
    names = ['logistic_regression', 'linear_svm', 'random_forest', 'naive_bayes']
    assert [r['model'] for r in a['results']] == names
    assert [figures(r) for r in a['results']] == [figures(r) for r in b['results']]
    assert a['classes'] == b['classes'] and a['splits'] == b['splits']
    for m in (a, b):
        assert m['rows'] == m['rows_used'] + m['rows_quarantined'] and m['rows_used'] == sum(m['splits'].values())
        assert sum(m['quarantined'].values()) == m['rows_quarantined']
    for r in a['results']:
        assert .2 < r['accuracy'] <= 1 and r['accuracy_low'] <= r['accuracy'] <= r['accuracy_high']
        assert all(k in r for k in ('macro_f1', 'top5', 'ece', 'fit_seconds', 'ms_per_product'))
    left = {p.name for p in (tmp_path / 'folder').iterdir()}
    assert left == {'metrics.json', 'quarantine.csv'}  # no counts


def test_some_of_the_baselines(prodclf, prepared, tmp_path):
    words = ['baselines', prepared, '--out', tmp_path / 'o', '--min-per-class', 6, '--models']
    prodclf(*words, 'naive_bayes,linear_svm')
    assert [r['model'] for r in metrics(tmp_path / 'o')['results']] == ['naive_bayes', 'linear_svm']
    assert "'svm' is none of" in ' '.join(prodclf(*words, 'svm', code=2).stderr.split())


def test_an_artifact_of_a_folder(prodclf, prepared, model, tmp_path):
    out, done = model
    m = metrics(out)
    assert m['results'][0]['model'] == 'linear_svm' and m['results'][-1]['model'] == 'fused'
    assert m['rows'] == m['rows_used'] + m['rows_quarantined'] and sum(m['splits'].values()) == m['rows_used']
    assert (out / 'report.html').stat().st_size > 20_000 and 'fused' in done.stdout
    assert not [p for p in out.rglob('*') if p.suffix in ('.pkl', '.pickle', '.bin', '.pt')]
    for p in out.rglob('*.npy'):
        np.load(p, allow_pickle=False)
    prodclf('predict', out, prepared, '--out', tmp_path / 'p.csv', '--top-k', 2)
    p = pd.read_csv(tmp_path / 'p.csv', dtype={'id': str})
    assert len(p) == 2 * m['rows'] and (p.groupby('id').probability.sum() <= 1 + 1e-6).all()


def test_a_table_and_a_folder_are_evaluated_alike(prodclf, prepared, model, tmp_path):
    for name, data in (('folder', prepared), ('table', prepared.parent / 'shop' / 'products.csv')):
        prodclf('evaluate', model[0], data, '--out', tmp_path / name)
    a, b = metrics(tmp_path / 'folder'), metrics(tmp_path / 'table')
    assert a['rows_used'] == b['rows_used'] and len(a['results']) == len(b['results']) > 1
    for x, y in zip(a['results'], b['results']):
        assert x['model'] == y['model']
        for k in ('accuracy', 'macro_f1', 'top5', 'ece', 'log_loss'):
            assert abs(x[k] - y[k]) < 1e-4, (k, x[k], y[k])
    assert (tmp_path / 'folder' / 'report.html').exists()


def test_honest_failures(prodclf, prepared, tmp_path):
    words = ['baselines', prepared, '--out', tmp_path / 'o']
    assert '--min-per-class' in error_line(prodclf(*words, '--min-per-class', 10_000, code=1))
    prodclf(*words, '--stream', code=2)


def test_a_killed_worker(tmp_path):
    "A worker that is killed at its work ends the count with a remedy, and leaves nothing behind"
    from prodclf.core import ProdclfError
    from prodclf.models.sparse_text import count_texts

    killed, over = [], threading.Event()

    def kill():
        while not over.wait(.02):
            if any(p.stat().st_size for p in tmp_path.glob('.counts-*/columns')):
                killed.append(multiprocessing.active_children()[0].pid)
                return os.kill(killed[0], signal.SIGKILL)

    thread = threading.Thread(target=kill)
    thread.start()
    try:
        with pytest.raises(ProdclfError, match='killed.*fewer --workers'):
            count_texts(['a small blue mug'] * 300_000, folder=tmp_path, workers=2)
    finally:
        over.set()
        thread.join()
    assert killed and not list(tmp_path.iterdir())


MEASURE = '''
import resource, sys
import numpy as np, pandas as pd
from prodclf.train.baselines import fit_baselines
n, r = int(sys.argv[1]), np.random.default_rng(0)
words = np.array([f"word{i}" for i in range(2000)])
label = r.integers(400, size=n)
texts = [" ".join(words[(k * 5 + r.integers(8, size=12)) % 2000]) for k in label]
data = pd.DataFrame(dict(text=texts, label=[f"{k:03d}" for k in label]))
found = fit_baselines(data, names=['linear_svm', 'naive_bayes'], workers=1)
print(min(row['accuracy'] for row in found.rows), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
'''


def test_memory_is_bounded(home):
    "Five times the products, beyond the budget of the exact solver: a few dozen bytes more for each"
    megabytes = {}
    for n in (15_000, 75_000):
        env = {**os.environ, 'PRODCLF_HOME': str(home), 'PRODCLF_QUIET': '1'}
        done = subprocess.run([sys.executable, '-c', MEASURE, str(n)], env=env, capture_output=True, text=True, check=True)
        accuracy, megabytes[n] = map(float, done.stdout.split())
        assert accuracy > .8
    assert megabytes[75_000] - megabytes[15_000] < 150, megabytes
