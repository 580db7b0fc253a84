"""Brand, price and other columns as a third view: one path, missing and unknown cells, columns that hold the answer."""
import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from prodclf.core import ProdclfError
from prodclf.data.catalog import read_catalog
from prodclf.data.dataset import ProductDataset
from prodclf.data.prepare import prepare
from prodclf.data.text import tabular_cell
from prodclf.encoders.embeddings import embed, open_embeddings
from prodclf.models.dataloaders import product_dataloaders
from prodclf.models.learner import product_learner
from prodclf.models.predictor import load_model
from prodclf.serve.export import Bounds, _decoded, export_model
from prodclf.serve.runtime import load_export
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


def test_predict_reads_the_columns_of_a_prepared_folder(made, prodclf):
    folder, _ = made
    prepare(folder/'products.csv', folder/'ready', columns='brand,price', image='none')
    for data in ('products.csv', 'ready'):
        prodclf('predict', folder/'model', folder/data, '--out', folder/f'{data}.p.csv')
    one, two = (pd.read_csv(folder/f'{d}.p.csv').set_index('id') for d in ('products.csv', 'ready'))
    assert (one.category == two.category[one.index]).all()
    assert np.abs(one.probability - two.probability[one.index]).max() < 1e-5
    done = prodclf('predict', folder/'model', folder/'ready', '--out', folder/'no.csv', '--columns', 'none', code=2)
    assert 'were chosen by prodclf prepare' in done.stderr


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


def test_the_estimator_reads_columns_too():
    products = shop()
    model = MultimodalClassifier(text='title', columns=['brand', 'price']).fit(products, products.category)
    without = MultimodalClassifier(text='title').fit(products, products.category)
    new = shop(300).iloc[240:]
    assert model.score(new, new.category) > without.score(new, new.category)
    assert model.predict(new.drop(columns='price')).shape == (60,)


def as_dataset(products):
    "A `ProductDataset` with the columns brand and price, as the estimator reads a data frame"
    return ProductDataset(MultimodalClassifier(text='title', columns=['brand', 'price'])._products(products, products.category.tolist()))


quick = TrainConfig(text='tiny', image=None, mode='finetune', epochs=2, min_count=5, max_length=16)


@pytest.fixture(scope='module')
def network():
    "A table, and a blend of tiny networks that read its text and its columns"
    table = as_dataset(shop())
    return table, train_classifier(table, quick).predictor


def test_a_network_keeps_its_columns_and_takes_hidden_ones_for_a_missing_view(network, tmp_path):
    table, predictor = network
    head = predictor.members['gated'].head
    assert set(head.dims) == {'text', 'tabular'} and head.scale['tabular'].measured
    predictor.save(tmp_path/'model')
    few, back = table.take(range(40)), load_model(tmp_path/'model')
    there, gone = back.predict_proba(few, 'gated'), back.predict_proba(few.assign(tabular=None), 'gated')
    assert np.abs(there - predictor.predict_proba(few, 'gated')).max() < 1e-5 < .05 < np.abs(there - gone).max()


@pytest.mark.parametrize('fusion', ['concat', 'gated', 'attention'])
def test_every_head_learns_from_the_columns(fusion):
    "Titles that say nothing: what a head knows, it knows from the columns"
    table = as_dataset(shop(480).assign(title='a fine thing'))
    train, valid = table.subset(range(360)), table.subset(range(360, 480))
    dls = product_dataloaders(train, valid, text='tiny', image=None, tabular='columns', bs=32)
    learner = product_learner(dls, fusion=fusion)
    learner.fine_tune(4)
    assert (learner.predict_proba(valid).argmax(1) == valid.codes(dls.vocab)).mean() > .7


cells = dict(
    brand=['Alfi', 'Beem', 'Fraas', 'Salewa', 'Nobody', 'alfi', ' Alfi', '<b>Vaude</b>', 'Co\u00addello', 'null', '', ' ', 'x' * 300, 46, 4.5, '\ud800', None],
    price=['12,90 €', '40,00', '€ 1.299,00', '300', '-5', '1e3', '1e999', 'A4', 'on request', '10 x 20', '١٢', '', None, 12.9, 7, 0, 1e300, 299.5],
)


def dirt(n):
    "Products as a back end sends them: known, unheard of, strange, blank or missing cells, some without a word"
    draw, rows = np.random.default_rng(3), []
    for i in range(n):
        row = {k: v[draw.integers(len(v))] for k, v in cells.items() if draw.random() < .85}
        rows.append(dict(id=f'd{i}', title='' if i % 7 == 0 else f'{words[list(words)[i % 3]]} {i}', **row))
    return rows


@pytest.fixture(scope='module')
def predicted(made, prodclf):
    "Strange products, and what `prodclf predict` says of them; NaN where it refuses a row in which nothing is filled in"
    folder, rows = made[0], dirt(300)
    (folder/'dirt.jsonl').write_text('\n'.join(map(json.dumps, rows)))
    prodclf('predict', folder/'model', folder/'dirt.jsonl', '--top-k', 3, '--out', folder/'dirt.csv')
    found = pd.read_csv(folder/'dirt.csv').pivot(index='id', columns='category', values='probability')
    return rows, found.reindex(index=[r['id'] for r in rows], columns=load_model(folder/'model').classes)


def asked(rows):
    "The same as bodies of requests"
    return [dict(title=r['title'], columns={k: r[k] for k in cells if k in r}) for r in rows]


def test_a_service_answers_as_predict_does(made, predicted):
    from fastapi.testclient import TestClient
    from prodclf.serve.engine import load_engine
    from prodclf.serve.service import create_app

    folder, (rows, wanted) = made[0], predicted
    with TestClient(create_app(load_engine(folder/'model'))) as client:
        bodies = [json.dumps(asked(rows[i:i + 60])) for i in range(0, 300, 60)]
        answers = [a for body in bodies for a in client.post('/predict', content=body, headers={'content-type': 'application/json'}).json()['predictions']]
        proba = pd.DataFrame([{c['category']: c['probability'] for c in a['categories']} for a in answers])[wanted.columns]
        assert np.nanmax(np.abs(proba.to_numpy() - wanted.to_numpy())) < 1e-5 and 1 > wanted.notna().all(axis=1).mean() > .95
        assert {v for a in answers for v in a['views']} == {'text', 'tabular'} and {a['decided_by'] for a in answers} == {'text', 'tabular', 'both', 'none'}
        known = client.get('/openapi.json').json()['components']['schemas']['Product']['properties']['columns']
        assert set(known['properties']) == {'brand', 'price'} == set(client.get('/model').json()['columns'])
        form = client.post('/predict', data=dict(title=rows[1]['title'], columns=json.dumps(asked(rows)[1]['columns'])), files=dict(image=b''))
        assert form.json()['predictions'][0] == answers[1]
        wrong = client.post('/predict', json=dict(title='kettle', columns=dict(marke='Alfi')))
        assert wrong.status_code == 422 and 'there are brand, price' in wrong.json()['error']['message']


def test_columns_alone_are_a_product_on_every_way(made, prodclf, tmp_path):
    "Reading, training, predict, evaluate, the estimator and an engine agree; a row with nothing at all is set aside with its reason"
    from prodclf.serve.engine import load_engine

    folder = made[0]
    rows = pd.DataFrame([dict(id='a', brand='Alfi', price='40,00', category='Kettles'), dict(id='b', title='a tent', category='Tents'),
                         dict(id='c', brand='Vaude', category='Tents'), dict(id='d', category='Tents'), dict(id='e', price=' ', title='<br>', category='Tents')])
    rows.to_csv(tmp_path/'rows.csv', index=False)
    for columns, there in dict(brand='abc', price='ab', none='b').items():
        found = read_catalog(tmp_path/'rows.csv', columns=columns)
        assert ''.join(found.products.id) == there and set(found.reasons.index) == {'neither text nor image'} and found.rows == 5
    done = prodclf('predict', folder/'model', tmp_path/'rows.csv', '--top-k', 3, '--out', tmp_path/'p.csv')
    assert '5 rows = 3 predicted + 2 refused' in done.stderr and '(neither' not in done.stderr
    done = prodclf('evaluate', folder/'model', tmp_path/'rows.csv', '--columns', 'brand,price', '--out', tmp_path/'e')
    assert json.loads((tmp_path/'e/metrics.json').read_text())['rows_used'] == 3
    predicted = pd.read_csv(tmp_path/'p.csv').pivot(index='id', columns='category', values='probability')
    products = [dict(title=r.title if r.id == 'b' else '', description='', image=None, tabular=t)
                for r, t in zip(rows[:3].itertuples(), ('{"brand": "Alfi", "price": "40,00"}', None, '{"brand": "Vaude"}'))]
    engine = load_engine(folder/'model')
    assert np.abs(engine.predict(products)[0] - predicted[list(engine.classes)].to_numpy()).max() < 1e-5
    learned = pd.concat([shop(), rows[:3]]).reset_index(drop=True)
    model = MultimodalClassifier(text='title', columns=['brand', 'price']).fit(learned, learned.category)
    learned.to_csv(tmp_path/'learned.csv', index=False)
    assert len(read_catalog(tmp_path/'learned.csv', columns='brand,price').products) == len(model.training_.rows.learn) == len(learned)


light = """
import importlib.abc, json, sys
refused = set('torch transformers pandas fastai fastcore scipy sklearn safetensors typer tqdm filelock pyarrow'.split())
class Refuse(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition('.')[0] in refused: raise ImportError(f'{name} is not to be had here')
sys.meta_path.insert(0, Refuse())
import numpy as np
from prodclf.data.text import tabular_cell
from prodclf.serve.runtime import load_export
folder, rows, out = sys.argv[1:]
engine = load_export(folder)
cells = lambda r: tabular_cell(r.get, {k: k for k in engine.columns})
rows = [json.loads(line) for line in open(rows)]
proba, alone = engine.predict([dict(title=r['title'], tabular=cells(r)) for r in rows])
np.savez(out, proba=proba, **alone)
"""


@pytest.fixture(scope='module')
def exported(made):
    "The model as an export, which is in its folder then"
    return export_model(load_model(made[0]/'model'), made[0]/'exported')


def test_an_export_without_scikit_learn_reads_strange_cells_as_the_model_does(made, exported, predicted):
    folder, wanted = made[0], predicted[1]
    assert exported['variants'][1]['largest_difference'] < 1e-4
    done = subprocess.run([sys.executable, '-c', light, folder/'exported', folder/'dirt.jsonl', folder/'light.npz'], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    found = np.load(folder/'light.npz')
    assert np.nanmax(np.abs(found['proba'] - wanted.to_numpy())) < 1e-4 and set(found) == {'proba', 'text', 'tabular'}
    assert np.abs(found['proba'] - found['text']).max() > .1, 'the columns say something'


def drawn(table, n=120):
    "The first products with cells of other products, and some with none"
    draw = np.random.default_rng(5)
    return table.take(range(n)).assign(tabular=lambda t: np.where(draw.random(n) < .2, None, draw.permutation(t.tabular)))


def test_networks_with_a_branch_for_columns_are_exported_too(network, tmp_path):
    "In floats the same answers; in eight bits what labeled products allow"
    table, predictor = network
    some = _decoded(drawn(table), 64)
    card = export_model(predictor, tmp_path/'out', True, table, Bounds(agreement=.9))
    fp32, int8 = card['variants'][1:]
    gap = np.abs(load_export(tmp_path/'out').predict(some.dicts)[0] - predictor.predict_proba(some.table))
    assert fp32['largest_difference'] < 1e-4 and int8['agreement'] >= .9 and gap.mean() < .05
    assert {p['part'] for p in card['kept_in_float']} >= {k for k, e in predictor.encoders.items() if e.view == 'tabular'}


@pytest.fixture(scope='module')
def bert(tmp_path_factory):
    "A text encoder of Hugging Face with random weights, in a folder"
    import torch
    from transformers import DistilBertConfig, DistilBertModel
    from prodclf.encoders.text import TextEncoder
    from prodclf.encoders.tokenize import train_tokenizer

    tok, folder = train_tokenizer(shop().title.tolist(), 200), tmp_path_factory.mktemp('bert')
    torch.manual_seed(0)
    body = DistilBertModel(DistilBertConfig(vocab_size=tok.get_vocab_size(), dim=32, n_layers=1, n_heads=2, hidden_dim=64))
    TextEncoder(body, tok, 'distilbert', 16, 'mean').save(folder)
    return folder


def test_low_rank_corrections_beside_columns(bert, tmp_path):
    "Titles that say nothing: what the network knows it knows from its branch for columns, which learns while the encoder is corrected"
    table = as_dataset(shop().assign(title='a fine thing'))
    config = replace(quick, text=str(bert), mode='lora', epochs=8, skip_single=True, fusion='gated', max_length=None)
    predictor = train_classifier(table, config).predictor
    predictor.save(tmp_path/'model')
    back, y = load_model(tmp_path/'model'), table.codes(predictor.classes)
    some = table.take(range(len(table)))
    there, gone = back.predict_proba(some, 'gated'), back.predict_proba(some.assign(tabular=None), 'gated')
    assert np.abs(there - predictor.predict_proba(some, 'gated')).max() < 1e-5
    assert (there.argmax(1) == y).mean() > .7 > .5 > (gone.argmax(1) == y).mean()


@pytest.mark.parametrize('kind', ['model', 'exported'])
def test_the_labeling_page_guesses_by_the_columns_and_shows_them(made, exported, kind, tmp_path):
    "The served model reads the columns of the products to label, as far as there are any; a brand that is the same everywhere hinders nobody"
    from prodclf.cli.serve import _label_session
    from prodclf.serve.engine import load_engine

    (tmp_path/'categories').write_text('\n'.join(words))
    engine = load_engine(made[0]/kind)
    for name, table in dict(all=shop(60), one_brand=shop(60).assign(brand='Alfi'), bare=shop(60).drop(columns=['brand', 'price'])).items():
        table.drop(columns='category').to_csv(tmp_path/f'{name}.csv', index=False)
        session = _label_session(engine, tmp_path/f'{name}.csv', tmp_path/name, tmp_path/'categories', None)
        session.train()
        shown = session.lend('a', 'Ann', 5)
        session.close()
        rows = table.set_index('id').loc[[p['id'] for p in shown]]
        for p, row in zip(shown, rows.itertuples(), strict=True):
            cells = tabular_cell(lambda k: getattr(row, k, None), dict(brand='brand', price='price'))
            proba = engine.predict([dict(title=row.title, tabular=cells)])[0][0]
            assert p['guesses'][0][0] == engine.classes[proba.argmax()] and p['guesses'][0][1] == pytest.approx(proba.max(), abs=1e-4)
            assert ('brand: ' in p['text']) == (name != 'bare' and isinstance(row.brand, str))
