"""Brand, price and other columns as a third view: one path, missing and unknown cells, columns that hold the answer."""
import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from prodclf.core import ProdclfError
from prodclf.data.dataset import ProductDataset
from prodclf.data.prepare import prepare
from prodclf.encoders.embeddings import embed, open_embeddings
from prodclf.models.dataloaders import product_dataloaders
from prodclf.models.learner import product_learner
from prodclf.models.predictor import load_model
from prodclf.train.classifier import train_classifier
from prodclf.train.config import TrainConfig
from prodclf.train.estimator import MultimodalClassifier

words = dict(Kettles='kettle steel', Scarves='scarf wool', Tents='tent pole')
makers = dict(Kettles='Alfi Beem', Scarves='Fraas Codello', Tents='Vaude Salewa')
prices = dict(Kettles=40, Scarves=25, Tents=300)


def shop(n=240):
    "Half the titles say what a product is, the brand mostly does, and one price in eight is not known"
    draw, names, rows = np.random.default_rng(0), list(words), []
    for i in range(n):
        y = names[i % 3]
        brand = draw.choice(makers[y].split()) if draw.random() < .85 else draw.choice(' '.join(makers.values()).split())
        price = f'{prices[y] * draw.lognormal(0, .3):.2f} €'.replace('.', ',') if i % 8 else None
        rows.append(dict(id=f'a{i}', title=f'{words[y] if draw.random() < .5 else "fine thing"} no {i}', brand=brand if i % 9 else None,
                         price=price, number=dict(zip(names, '714'))[y], category=y))
    return pd.DataFrame(rows)


@pytest.fixture(scope='module')
def made(tmp_path_factory, prodclf):
    "A table, and what `prodclf train --columns` made of it"
    folder = tmp_path_factory.mktemp('columns')
    shop().to_csv(folder/'products.csv', index=False)
    how = '--text-encoder', 'lsa', '--image-encoder', 'none', '--out', folder/'model'
    done = prodclf('train', folder/'products.csv', '--columns', 'brand,price', *how)
    return folder, done


def test_train_says_what_the_columns_are_and_measures_them(made):
    folder, done = made
    assert 'columns: brand (category of 7 values and other, 11% empty), price (number, 12% empty)' in done.stderr
    rows = {r['model']: r['accuracy'] for r in json.loads((folder/'model/metrics.json').read_text())['results']}
    assert {'text', 'tabular', 'fused', 'linear_svm'} <= set(rows)
    assert rows['fused'] > rows['text'] + .05, 'half the titles say nothing'


def test_predict_takes_missing_columns_and_unknown_brands(made, prodclf):
    folder, _ = made
    new = shop(30).drop(columns=['category', 'price']).assign(brand='Nobody')
    new.to_csv(folder/'new.csv', index=False)
    done = prodclf('predict', folder/'model', folder/'new.csv', '--out', folder/'p.csv')
    assert 'price: no such column' in done.stderr and len(pd.read_csv(folder/'p.csv')) == 30
    new.drop(columns='brand').to_csv(folder/'bare.csv', index=False)
    done = prodclf('predict', folder/'model', folder/'bare.csv', '--out', folder/'b.csv', code=1)
    assert '--columns none' in done.stderr
    prodclf('predict', folder/'model', folder/'bare.csv', '--out', folder/'b.csv', '--columns', 'none')
    assert len(pd.read_csv(folder/'b.csv')) == 30


def test_what_cannot_be_done_is_refused_in_a_line(made, prodclf):
    folder, _ = made
    train = lambda columns: prodclf('train', folder/'products.csv', '--columns', columns, '--text-encoder', 'lsa', '--image-encoder', 'none',
                                    '--out', folder/'no', code=1).stderr
    assert "'number' is the category under another name" in train('brand,number')
    assert "'category' is the column of the label" in train('category')
    assert "no column 'marke'" in train('marke')
    for command in ('export', folder/'model', '--out', folder/'e'), ('serve', folder/'model'):
        assert 'further columns' in prodclf(*command, code=1).stderr
    assert 'has its own columns' in prodclf('train', 'embedded', '--columns', 'brand', '--out', folder/'no', code=2).stderr


def test_one_path(made, prodclf):
    "prepare + embed + train FOLDER: the same split, the same members, the same probabilities"
    folder, _ = made
    prodclf('prepare', folder/'products.csv', '--columns', 'brand,price', '--out', folder/'shop')
    prodclf('embed', folder/'shop', '--text-encoder', 'lsa', '--image-encoder', 'none')
    prodclf('train', folder/'shop', '--out', folder/'again')
    table = ProductDataset(folder/'shop').take(range(100))
    one, two = load_model(folder/'model'), load_model(folder/'again')
    assert list(one.members) == list(two.members) and one.columns['columns'] == two.columns['columns'] == 'brand,price'
    assert np.abs(one.predict_proba(table) - two.predict_proba(table)).max() < 1e-4
    assert np.abs(one.predict_proba(table, 'tabular') - one.predict_proba(table.drop(columns='tabular'), 'tabular')).max() > .1


def test_other_columns_are_another_catalog(tmp_path):
    shop().to_csv(tmp_path/'products.csv', index=False)
    prepare(tmp_path/'products.csv', tmp_path/'shop', columns='brand')
    with pytest.raises(ProdclfError, match='begun with other options'):
        prepare(tmp_path/'products.csv', tmp_path/'shop', columns='price')
    plain = prepare(tmp_path/'products.csv', tmp_path/'plain')
    assert plain.views == ['text', 'image'] and not plain.has('tabular')
    assert open_embeddings(plain, embed(plain, text='lsa').folder).views == ['text']


def test_the_estimator_and_the_networks(tmp_path):
    "A tiny network reads the columns beside the text, keeps them in its artifact, and a hidden column is a missing view"
    products = shop()
    model = MultimodalClassifier(text='title', columns=['brand', 'price']).fit(products, products.category)
    without = MultimodalClassifier(text='title').fit(products, products.category)
    new = shop(300).iloc[240:]
    assert model.score(new, new.category) > without.score(new, new.category)
    assert model.predict(new.drop(columns='price')).shape == (60,)
    table = model.training_.rows.dataset
    config = TrainConfig(text='tiny', image=None, mode='finetune', epochs=2, min_count=5, max_length=16)
    with pytest.raises(ProdclfError, match='reads no columns'):
        train_classifier(table, replace(config, framework='tensorflow'))
    training = train_classifier(table, config)
    head = training.predictor.members['gated'].head
    assert set(head.dims) == {'text', 'tabular'} and head.scale['tabular'].measured
    training.predictor.save(tmp_path/'model')
    few, back = table.take(range(40)), load_model(tmp_path/'model')
    there, gone = back.predict_proba(few, 'gated'), back.predict_proba(few.assign(tabular=None), 'gated')
    assert np.abs(there - training.predictor.predict_proba(few, 'gated')).max() < 1e-5 < .05 < np.abs(there - gone).max()


@pytest.mark.parametrize('fusion', ['concat', 'gated', 'attention'])
def test_every_head_learns_from_the_columns(fusion):
    "Titles that say nothing: what a head knows, it knows from the columns"
    products = shop(480).assign(title='a fine thing')
    model = MultimodalClassifier(text='title', columns=['brand', 'price'], text_encoder=None)
    table = ProductDataset(model._products(products, products.category.tolist()))
    train, valid = table.subset(range(360)), table.subset(range(360, 480))
    dls = product_dataloaders(train, valid, text='tiny', image=None, tabular='columns', bs=32)
    learner = product_learner(dls, fusion=fusion)
    learner.fine_tune(4)
    assert (learner.predict_proba(valid).argmax(1) == valid.codes(dls.vocab)).mean() > .7
