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


def test_solver_is_heeded(prodclf, table, tmp_path):
    out = tmp_path / 'streamed'
    prodclf(
        *('train', table, '--out', out, '--solver', 'streamed', '--min-per-class', 5),
        *('--text-encoder', 'lsa', '--image-encoder', 'none'),
    )
    assert 'streamed' in json.loads((out / 'metrics.json').read_text())['plan']


def test_streamed_solvers_cost_little():
    """Forced on the embedded catalog, they cost at most .3 points of accuracy: 1,200 products to
    learn from and 1,200 to test on, paired, over three splits (measured 2026-11-26: .0 points,
    with a standard deviation of .2 from split to split)"""
    from prodclf.core import Clock
    from prodclf.data.dataset import ProductDataset
    from prodclf.models.ensemble import fit_recipe, plan_recipe
    from prodclf.sample.shop import sample_catalog
    from prodclf.train.classifier import TrainRows, training_data
    from prodclf.train.config import TrainConfig

    dataset, cost = ProductDataset(sample_catalog()), []
    for seed in range(3):
        config = TrainConfig(text='lsa', image='descriptors', test_size=0.5, seed=seed)
        rows = TrainRows(dataset, config)
        data = training_data(rows, config, Clock())
        x, y, right = data.inputs(rows.test), data.y[rows.test], {}
        for solver in ('exact', 'streamed'):  # held out once, as a large catalog is
            size = dict(fold_budget=0, held=240, seed=seed)
            plan = plan_recipe(rows.learn, data.y, data.groups, data.n_classes, solver, **size)
            recipe = fit_recipe(data, plan, seed=seed)
            found = {k: m.log_proba(x) for k, m in recipe.members.items()}
            found['fused'] = recipe.choice.blend(found)
            right[solver] = {k: (z.argmax(1) == y).mean() for k, z in found.items()}
        cost.append({k: v - right['streamed'][k] for k, v in right['exact'].items()})
    cost = pd.DataFrame(cost).mean()
    assert cost['fused'] <= 0.003 and (cost <= 0.006).all(), cost.to_dict()
