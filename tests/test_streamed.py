"""Catalogs read piece by piece: baselines, heads and evaluation of a prepared folder, from the outside."""
import json

import pandas as pd
import pytest

from test_cli import error_line


def metrics(folder): return json.loads((folder/'metrics.json').read_text())


@pytest.fixture(scope='module')
def prepared(prodclf, tmp_path_factory):
    "A prepared folder with features beside it; its split is given, so that both ways of reading learn from the same products"
    from prodclf.sample.shop import write_sample
    from prodclf.data.splits import split
    place = tmp_path_factory.mktemp('streamed')
    write_sample(place/'shop', n=700, seed=3)
    shop = pd.read_csv(place/'shop'/'products.csv')
    parts = split(shop, by='category', seed=1)
    name = {i: n for n,part in zip(('train', 'valid', 'test'), parts) for i in part.id}
    shop.assign(split=shop.id.map(name)).to_csv(place/'shop'/'products.csv', index=False)
    prodclf('prepare', place/'shop'/'products.csv', '--out', place/'p', '--part-rows', 200)
    prodclf('embed', place/'p', '--text-encoder', 'words', '--image-encoder', 'descriptors')
    return place/'p'


@pytest.fixture(scope='module')
def model(prodclf, prepared, tmp_path_factory):
    out = tmp_path_factory.mktemp('model')/'m'
    return out, prodclf('train', prepared, '--out', out, '--stream', '--epochs', 6, '--min-per-class', 6, '--seed', 1)


def test_baselines_stream(prodclf, prepared, tmp_path):
    prodclf('baselines', prepared, '--out', tmp_path/'s', '--stream', '--min-per-class', 6)
    prodclf('baselines', prepared, '--out', tmp_path/'m', '--min-per-class', 6)
    a, b = metrics(tmp_path/'s'), metrics(tmp_path/'m')
    assert a['streamed'] is True and 'streamed' not in b                                  # small: not streamed unless asked
    assert [r['model'] for r in a['results']] == [r['model'] for r in b['results']] and a['classes'] == b['classes']
    assert a['rows'] == a['rows_used'] + a['rows_quarantined'] == b['rows'] and sum(a['quarantined'].values()) == a['rows_quarantined']
    for r in a['results']:
        assert .2 < r['accuracy'] <= 1 and r['accuracy_low'] <= r['accuracy'] <= r['accuracy_high']
        assert all(k in r for k in ('macro_f1', 'top5', 'ece', 'fit_seconds', 'ms_per_product'))
    assert a['splits'] == b['splits']
    for x, y in zip(a['results'], b['results']): assert abs(x['accuracy'] - y['accuracy']) < .06, (x, y)
    assert [p.name for p in (tmp_path/'s').iterdir()] == ['metrics.json']                 # the counts are gone


def test_some_of_the_baselines(prodclf, prepared, tmp_path):
    for more in ([], ['--stream']):
        prodclf('baselines', prepared, '--out', tmp_path/'o', '--models', 'naive_bayes,linear_svm', '--min-per-class', 6, *more)
        assert [r['model'] for r in metrics(tmp_path/'o')['results']] == ['naive_bayes', 'linear_svm']
    assert "'svm' is none of" in ' '.join(prodclf('baselines', prepared, '--out', tmp_path/'o', '--models', 'svm', code=2).stderr.split())


def test_same_seed_same_figures(prodclf, prepared, tmp_path):
    for name in 'ab': prodclf('baselines', prepared, '--out', tmp_path/name, '--stream', '--seed', 4)
    a, b = ([(r['model'], r['accuracy'], r['log_loss']) for r in metrics(tmp_path/n)['results']] for n in 'ab')
    assert a == b


def test_train_streams_an_artifact(prodclf, prepared, model, tmp_path):
    out, done = model
    m = metrics(out)
    assert m['streamed'] is True and [r['model'] for r in m['results']] == ['linear_svm', 'text', 'image', 'fused'] and 'auto chose' in m['choice']
    assert m['rows'] == m['rows_used'] + m['rows_quarantined'] and sum(m['splits'].values()) == m['rows_used']
    assert (out/'report.html').stat().st_size > 20_000 and 'fused' in done.stdout
    assert not [p for p in out.rglob('*') if p.suffix in ('.pkl', '.pickle', '.bin', '.pt', '.npy')]
    prodclf('predict', out, prepared, '--out', tmp_path/'p.csv', '--top-k', 2)
    p = pd.read_csv(tmp_path/'p.csv', dtype={'id': str})
    assert len(p) == 2*m['rows'] and (p.groupby('id').probability.sum() <= 1 + 1e-6).all()


def test_evaluate_streams_the_same_figures(prodclf, prepared, model, tmp_path):
    prodclf('evaluate', model[0], prepared, '--out', tmp_path/'s', '--stream')
    prodclf('evaluate', model[0], prepared, '--out', tmp_path/'m')
    a, b = metrics(tmp_path/'s'), metrics(tmp_path/'m')
    assert a['streamed'] is True and a['rows_used'] == b['rows_used']
    for x, y in zip(sorted(a['results'], key=lambda r: r['model']), sorted(b['results'], key=lambda r: r['model'])):
        assert x['model'] == y['model']
        for k in ('accuracy', 'macro_f1', 'top5', 'ece', 'log_loss'): assert abs(x[k] - y[k]) < 1e-6, (k, x[k], y[k])
    assert pd.read_csv(tmp_path/'s'/'categories.csv').equals(pd.read_csv(tmp_path/'m'/'categories.csv'))
    assert (tmp_path/'s'/'report.html').exists() and len(list((tmp_path/'s').glob('*.png'))) == 2


def test_one_view(prodclf, prepared, tmp_path):
    prodclf('train', prepared, '--out', tmp_path/'t', '--features', next((prepared/'features').iterdir()), '--image-encoder', 'none', '--epochs', 2, '--min-per-class', 6)
    m = metrics(tmp_path/'t')
    assert [r['model'] for r in m['results']] == ['linear_svm', 'text', 'fused'] and m['streamed'] is True


def test_honest_failures(prodclf, prepared, tmp_path):
    shop = prepared.parent/'shop'/'products.csv'
    assert 'prodclf prepare' in error_line(prodclf('baselines', shop, '--out', tmp_path/'o', '--stream', code=1))
    assert '--text' in error_line(prodclf('baselines', prepared, '--out', tmp_path/'o', '--stream', '--text', 'title', code=1))
    assert 'prodclf embed' in error_line(prodclf('train', prepared, '--out', tmp_path/'o', '--features', tmp_path/'nothing', code=1))
    assert '--min-per-class' in error_line(prodclf('baselines', prepared, '--out', tmp_path/'o', '--stream', '--min-per-class', 10_000, code=1))
    prodclf('train', prepared, '--out', tmp_path/'o', '--no-stream', '--features', tmp_path, code=2)


def test_finetuning_streams(prodclf, prepared, tmp_path):
    "Networks from the parts: an ordinary artifact, which the table in memory gets the same probabilities from"
    words = ['train', prepared, '--mode', 'finetune', '--text-encoder', 'tiny', '--image-encoder', 'tiny', '--image-size', 32, '--epochs', 2, '--min-per-class', 6, '--seed', 1]
    prodclf(*words, '--out', tmp_path/'s', '--stream')
    m = metrics(tmp_path/'s')
    assert m['streamed'] is True and [r['model'] for r in m['results']] == ['linear_svm', 'text', 'image', 'fused'] and 'auto chose' in m['choice']
    assert m['rows'] == m['rows_used'] + m['rows_quarantined'] and sum(m['splits'].values()) == m['rows_used']
    assert (tmp_path/'s'/'report.html').stat().st_size > 20_000 and not list((tmp_path/'s').glob('.counts-*'))
    prodclf('evaluate', tmp_path/'s', prepared, '--out', tmp_path/'e')
    assert {r['model'] for r in metrics(tmp_path/'e')['results']} == {'linear_svm', 'text', 'image', 'fused'}
