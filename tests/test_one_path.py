"""The law of the house: a table and the folder prepared from it are the same road, from the command line's outside."""
import json

import pandas as pd
import pytest

encoders = {
    'tiny': ['--text-encoder', 'tiny', '--image-encoder', 'tiny'],
    'no weights': ['--text-encoder', 'lsa', '--image-encoder', 'descriptors'],
}


@pytest.fixture(scope='module')
def table(tmp_path_factory):
    "A dirty shop as a user has it: products.csv and images/"
    from prodclf.sample.shop import write_sample

    folder = tmp_path_factory.mktemp('shop')
    write_sample(folder, n=600, seed=4, dirt=0.1)
    return folder / 'products.csv'


@pytest.fixture(scope='module')
def prepared(prodclf, table, tmp_path_factory):
    folder = tmp_path_factory.mktemp('prepared') / 'shop'
    prodclf('prepare', table, '--out', folder, '--part-rows', 200)
    return folder


def everything(prodclf, model, data, file):
    "Probabilities of all categories for all products, as the command writes them"
    prodclf('predict', model, data, '--out', file, '--top-k', 1000)
    return pd.read_csv(file).pivot(index='id', columns='category', values='probability')


@pytest.mark.parametrize('names', encoders)
def test_table_and_folder_are_one_path(prodclf, table, prepared, tmp_path, names):
    options = ['--mode', 'frozen', '--min-per-class', 5, '--seed', 2]
    prodclf('train', table, '--out', tmp_path / 'a', *options, *encoders[names])
    prodclf('embed', prepared, *encoders[names])
    prodclf('train', prepared, '--out', tmp_path / 'b', *options, *encoders[names])
    a, b = (json.loads((tmp_path / n / 'metrics.json').read_text()) for n in 'ab')
    for key in ('splits', 'choice', 'plan', 'classes', 'rows', 'rows_used', 'quarantined'):
        assert a[key] == b[key], key
    assert a['rows'] == a['rows_used'] + a['rows_quarantined'] and a['rows_quarantined'] > 0
    for mine, other in zip(a['results'], b['results'], strict=True):
        for key in ('model', 'accuracy', 'macro_f1', 'top5'):
            assert mine[key] == pytest.approx(other[key], abs=1e-4), (mine['model'], key)
    members = [list(json.loads((tmp_path / n / 'config.json').read_text())['members']) for n in 'ab']
    assert members[0] == members[1]
    p, q = (everything(prodclf, tmp_path / n, prepared, tmp_path / f'{n}.csv') for n in 'ab')
    assert p.shape == q.shape and len(p) > 400
    assert (p - q[p.columns]).abs().max().max() < 1e-4


def test_embeddings_that_are_there_are_used(prodclf, prepared, tmp_path):
    "Without a named encoder, a folder with one set of embeddings is trained from it"
    out = tmp_path / 'own'
    prodclf('embed', prepared, '--text-encoder', 'lsa', '--image-encoder', 'descriptors', '--out', out)
    done = prodclf('train', prepared, '--embeddings', out, '--out', tmp_path / 'm', '--min-per-class', 5)
    assert str(out) in done.stderr
    prodclf(
        'train', prepared, '--embeddings', out, '--text-encoder', 'lsa', '--out', tmp_path / 'n', code=2
    )
    assert not (tmp_path / 'n').exists()


@pytest.mark.parametrize(
    'words',
    [
        ['--text-encoder', 'no-such-encoder', '--image-encoder', 'tiny'],
        ['--text-encoder', 'lsa', '--image-encoder', 'no-such-net'],
        ['--text-encoder', 'lsa', '--image-encoder', 'none', '--epochs', '3'],
        ['--text-encoder', 'lsa', '--image-encoder', 'none', '--skip-single'],
        ['--text-encoder', 'lsa', '--image-encoder', 'none', '--batch-size', '8'],
    ],
)
def test_no_option_is_ignored(prodclf, prepared, tmp_path, words):
    "A prepared folder heeds or refuses every option, as a table does"
    done = prodclf('train', prepared, '--out', tmp_path / 'm', '--min-per-class', 5, *words, code=None)
    assert done.returncode in (1, 2) and 'Remedy' in done.stderr + 'Remedy' * (done.returncode == 2)
    assert not (tmp_path / 'm' / 'config.json').exists()


def test_streamed_solvers_cost_little(prodclf, table, tmp_path):
    "Forced on a small catalog, they are near the exact ones"
    found = {}
    for solver in ('exact', 'streamed'):
        out = tmp_path / solver
        prodclf(
            'train', table, '--out', out, '--solver', solver, '--min-per-class', 5, *encoders['no weights']
        )
        m = json.loads((out / 'metrics.json').read_text())
        assert solver in m['plan']
        found[solver] = {r['model']: r['accuracy'] for r in m['results']}
    assert abs(found['exact']['fused'] - found['streamed']['fused']) < 0.04  # some hundred test products
