"""`prodclf align` from the outside: encoders that any command takes, honest refusals, the same seed the same encoders."""
import json

import numpy as np
import pandas as pd
import pytest

fast = ['--text-encoder', 'lsa', '--image-encoder', 'descriptors', '--dim', 24, '--epochs', 2]


@pytest.fixture(scope='module')
def shop(tmp_path_factory):
    "A shop none of whose products has a label, and the same with labels"
    from prodclf.sample.shop import write_sample
    folder = tmp_path_factory.mktemp('pairs')
    write_sample(folder, n=300, seed=5)
    table = pd.read_csv(folder/'products.csv')
    table.drop(columns='category').to_csv(folder/'unlabeled.csv', index=False)
    return folder


@pytest.fixture(scope='module')
def aligned(prodclf, shop, tmp_path_factory):
    out = tmp_path_factory.mktemp('aligned')/'out'
    return out, prodclf('align', shop/'unlabeled.csv', '--out', out, *fast)


def test_words_find_images_without_labels(aligned):
    out, done = aligned
    metrics = json.loads((out/'metrics.json').read_text())
    assert metrics['command'] == 'align' and metrics['classes'] == 0
    assert {r['direction'] for r in metrics['results']} == {'text → image', 'image → text'}
    for r in metrics['results']:
        assert r['recall@10'] > 1.5*r['chance@10'] and metrics['pairs'] + r['pairs'] <= metrics['rows']
    assert 'recall@10' in done.stdout


def test_the_encoders_are_encoders(aligned, shop, tmp_path):
    from prodclf.data.prepare import open_products
    from prodclf.encoders.registry import load_encoder
    from prodclf.models.predictor import load_model
    from prodclf.train.classifier import train_classifier
    from prodclf.train.config import TrainConfig
    out, _ = aligned
    text, image = (load_encoder(out/v) for v in ('text', 'image'))
    assert text.widths[-1] == image.widths[-1] == 24
    dataset = open_products(shop/'products.csv')
    trained = train_classifier(dataset, TrainConfig(text=str(out/'text'), image=str(out/'image'), min_count=8))
    assert trained.predictor.encoders['text'].fingerprint == text.fingerprint
    trained.predictor.save(tmp_path/'model')
    few = dataset.take(np.arange(6))
    again = load_model(tmp_path/'model').predict_proba(few)   # the model holds its encoders
    np.testing.assert_allclose(again, trained.predictor.predict_proba(few), atol=5e-3)
    assert next(r for r in trained.results if r['model'] == 'fused')['accuracy'] > .4


def test_refusals(prodclf, shop, tmp_path):
    for more, message in ((['--epochs', 0, '--mixup', .5], 'is for training, --epochs N'), (['--image-encoder', 'none'], 'needs both views')):
        done = prodclf('align', shop/'products.csv', '--out', tmp_path/'x', *fast, *more, code=2)
        assert message in ' '.join(done.stderr.split())
