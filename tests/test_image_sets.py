"""Several images a product: read from columns, cells and rows, one path, order-free to the last bit."""
import base64, io, json, shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image, ImageDraw

from prodclf.core import ProdclfError
from prodclf.data.catalog import read_catalog, write_catalog
from prodclf.data.dataset import ProductDataset
from prodclf.data.images import load_image
from prodclf.data.prepare import prepare
from prodclf.data.text import further_images, images_cell
from prodclf.encoders.embeddings import embed
from prodclf.encoders.set_pooling import view_values
from prodclf.models.predictor import load_model
from prodclf.serve.engine import decoded_images
from prodclf.serve.export import export_model
from prodclf.serve.runtime import load_export
from prodclf.train.classifier import train_classifier
from prodclf.train.config import TrainConfig
from prodclf.train.estimator import MultimodalClassifier

kinds = dict(Balls='ellipse', Boxes='rectangle', Bars='bar')


def photo(kind, draw):
    "A thing of one color, half hidden by a gray board"
    im = Image.new('RGB', (48, 48), tuple(draw.integers(150, 256, 3).tolist()))
    pen, x, color = ImageDraw.Draw(im), draw.integers(2, 14), tuple(draw.integers(0, 90, 3).tolist())
    box = (x, 18, x + 32, 30) if kind == 'bar' else (x, 8, x + 30, 38)
    (pen.ellipse if kind == 'ellipse' else pen.rectangle)(box, fill=color)
    left, top = draw.integers(0, 28, 2).tolist()
    pen.rectangle((left, top, left + 24, top + 24), fill=(128, 128, 128))
    im.save(buffer := io.BytesIO(), 'PNG')
    return buffer.getvalue()


def write_shop(folder, n=90, dirt=True, seed=0):
    "A table with a main image and a cell of further ones; some are missing, damaged or there twice"
    draw, rows, images = np.random.default_rng(seed), [], folder / 'images'
    images.mkdir(parents=True)
    for i in range(n):
        label = list(kinds)[i % 3]
        for k in range(4):
            (images / f'{i}-{k}.png').write_bytes(photo(kinds[label], draw))
        more = [f'{i}-{k}.png' for k in range(1, 1 + i % 4)]
        rows.append(dict(id=f'p{i}', title=f'thing {i}', image=f'{i}-0.png', more=';'.join(more), category=label))
    if dirt:
        (images / '5-1.png').write_bytes(b'no image')
        (images / '9-0.png').write_bytes((images / '9-0.png').read_bytes()[:200])       # its main image, another is there
        shutil.copy(images / '6-0.png', images / '6-1.png')                              # the same photo under two names
        rows[7]['image'], rows[10]['image'] = 'gone.png', None                           # a further one takes its place
        rows[8]['image'] = 'gone.png'                                                    # and here there is no further one
        rows[12]['category'] = None
    pd.DataFrame(rows).to_csv(folder / 'products.csv', index=False)
    return folder / 'products.csv'


@pytest.fixture(scope='module')
def table(tmp_path_factory):
    return write_shop(tmp_path_factory.mktemp('sets'))


read = dict(image='image,more', max_images=3)


def test_in_is_out_plus_quarantined_and_noted(table):
    reading = read_catalog(table, **read)
    p, notes = reading.products.set_index('id'), ' '.join(reading.notes)
    assert reading.rows == len(p) + len(reading.quarantine) == 90
    assert sorted(reading.quarantine.id) == ['p12', 'p8'] and reading.reasons['image missing'] == 1
    assert p.image['p9'].endswith('9-1.png') and p.image['p7'].endswith('7-1.png') and p.image['p10'].endswith('10-1.png')
    assert further_images(p.images['p5']) == [] and len(further_images(p.images['p6'])) == 2
    assert [len(further_images(v)) for v in p.images[['p0', 'p1', 'p2', 'p3']]] == [0, 1, 2, 2]
    assert '3 images could not be used; their products stay with their other images' in notes      # of 5, 7 and 9
    assert '21 images are more than --max-images' in notes


def test_one_image_is_read_as_ever(table):
    plain, one = (read_catalog(table, bad_image='text-only', **how) for how in ({}, dict(max_images=1)))
    pd.testing.assert_frame_equal(plain.products, one.products)
    assert 'images' not in plain.products and plain.notes == one.notes
    with pytest.raises(ProdclfError, match='Remedy: --max-images 2'):
        read_catalog(table, image='image,more')


@pytest.mark.parametrize('cell', ['1-1.png;1-2.png', '1-1.png, 1-2.png', '["1-1.png", "1-2.png"]', '1-1.png|1-2.png|1-1.png', ['1-1.png', '1-2.png'],
                                  [dict(path='1-1.png'), dict(path='1-2.png')]])
def test_every_way_to_name_several(table, cell):
    rows = pd.DataFrame(dict(title=['a', 'b'], image=['1-0.png', '2-0.png'], other_image_url1=[cell, None], label=['x', 'y']))
    p = read_catalog(rows, images=table.parent / 'images', max_images=9).products       # the usual name of the column is known
    assert [v.rpartition('/')[2] for v in [p.image[0], *further_images(p.images[0])]] == ['1-0.png', '1-1.png', '1-2.png']
    assert further_images(p.images[1]) == []


def test_rows_below_a_product(table):
    "As Shopify writes them; the last product of a block of rows gets its own, too"
    rows = [dict(Handle='ball', Title='A ball', Type='Balls', **{'Image Src': '0-0.png'}), *(dict(Handle='ball', **{'Image Src': f'0-{k}.png'}) for k in (1, 2)),
            dict(Handle='box', Title='A box', Type='Boxes', **{'Image Src': '1-0.png'}), dict(Handle='box', **{'Image Src': '1-1.png'})]
    how = dict(images=table.parent / 'images', label='Type', id='Handle')
    for chunk_rows in (1, 2, 100):
        found = read_catalog(pd.DataFrame(rows), chunk_rows=chunk_rows, max_images=3, **how)
        assert [len(further_images(v)) for v in found.products['images']] == [2, 1] and found.reasons.to_dict() == {'variant row': 3}
    assert 'images' not in read_catalog(pd.DataFrame(rows), **how).products


woo_head = 'ID Type SKU Name Published Categories Images Parent'.split()


def test_variations_bring_their_photos(table, tmp_path):
    "As WooCommerce writes them: anywhere in the file, by number or SKU, with photos in a cell; in is out plus set aside"
    rows = [(7, 'variation', 'BALL-R', 'A ball - red', 1, '', '0-2.png', 'id:9'),                # before its product
            (9, 'variable', '', 'A ball', 1, 'Toys > Balls', '0-0.png, 0-1.png', ''),
            (10, 'variable', 'BOX', 'A box', 1, 'Toys > Boxes', '', ''),                         # its variations alone have photos
            (11, 'variation, downloadable', 'BOX-S', 'A box - small', 1, '', '1-1.png', 'BOX'),
            (12, 'simple', 'BAR', 'A bar', 1, 'Toys > Bars', '2-0.png', ''),
            (13, 'variation', 'BOX-L', 'A box - large', 1, '', '1-2.png, gone.png', 'BOX'),
            (14, 'variation', 'BALL-B', 'A ball - blue', 1, '', '0-0.png', 'id:9'),              # the photo of the product again
            (15, 'variation', 'OWN', 'A box of its own', 1, 'Toys > Boxes', '3-1.png', 'BOX'),   # with a category: a product
            (16, 'variation', 'HAT-S', 'A hat - small', 1, '', '4-0.png', 'HAT')]
    file, how = tmp_path / 'wc.csv', dict(images=table.parent / 'images', label='Categories', title='Name', text='Name')
    pd.DataFrame(rows, columns=woo_head).to_csv(file, index=False, encoding='utf-8-sig')

    def photos(reading):
        p = reading.products
        further = p['images'] if 'images' in p else [None] * len(p)
        places = [[m, *further_images(f)] for m, f in zip(p.image, further)]
        return dict(zip(p.title, [[v.rpartition('/')[2] for v in some if isinstance(v, str)] for some in places]))

    for chunk_rows in (1, 100):
        found = read_catalog(file, max_images=5, chunk_rows=chunk_rows, **how)
        assert photos(found) == {'A ball': ['0-0.png', '0-1.png', '0-2.png'], 'A box': ['1-1.png', '1-2.png'], 'A bar': ['2-0.png'], 'A box of its own': ['3-1.png']}
        assert found.rows == 9 == len(found.products) + len(found.quarantine)
        assert found.reasons.to_dict() == {'variant row': 4, 'variation without product': 1} and '1 images could not be used' in ' '.join(found.notes)
    assert photos(read_catalog(file, max_images=2, **how))['A ball'] == ['0-0.png', '0-1.png']   # its own come first
    one = read_catalog(file, **how)
    assert photos(one) == {'A ball': ['0-0.png'], 'A box': [], 'A bar': ['2-0.png'], 'A box of its own': ['3-1.png']} and one.reasons.equals(found.reasons)
    rows.append((17, 'variable', 'HAT', 'A hat', 1, 'Toys > Balls', '', ''))                     # what the remedy says
    pd.DataFrame(rows, columns=woo_head).to_csv(file, index=False)
    assert 'export the product' in found.quarantine.remedy.iloc[-1]
    assert photos(read_catalog(file, max_images=5, **how))['A hat'] == ['4-0.png']
    shop = prepare(file, tmp_path / 'shop', max_images=5, **how)                                 # the same by way of a prepared folder
    assert [1 + len(further_images(v)) for v in shop.take(range(5))['images']] == [3, 2, 1, 1, 1]


def test_a_table_that_was_written_is_read_back(table, tmp_path):
    reading = read_catalog(table, **read)
    for kind in ('csv', 'parquet', 'jsonl'):
        write_catalog(reading.products, tmp_path / f'products.{kind}', images=table.parent / 'images')
        again = read_catalog(tmp_path / f'products.{kind}', images=table.parent / 'images', max_images=3)
        pd.testing.assert_frame_equal(again.products, reading.products)


def test_images_inside_the_rows(table, tmp_path):
    raw = [(table.parent / f'images/1-{k}.png').read_bytes() for k in range(3)]
    rows = pd.DataFrame(dict(title=[f'a {i}' for i in range(4)], image=[[dict(bytes=b) for b in raw]] * 4, label=list('xyxy')))
    rows.to_parquet(tmp_path / 'products.parquet')
    shop = prepare(tmp_path / 'products.parquet', tmp_path / 'shop', max_images=2)
    found = shop.take(range(4))
    places = [found.image[0], *further_images(found['images'][0])]
    assert len(places) == 2 and all(load_image(p).size == (48, 48) for p in places)
    plain = prepare(tmp_path / 'products.parquet', tmp_path / 'plain')
    assert plain.views == ['text', 'image'] and 'images' not in plain.take([0])


def test_a_placeholder_gives_way_to_another_image(table, tmp_path):
    "A table in memory and a prepared folder agree on what is shown instead, and count it"
    images = table.parent / 'images'
    Image.new('RGB', (48, 48), 'white').save(images / 'none.png')
    rows = pd.DataFrame(dict(id=range(60), title=[f'thing {i}' for i in range(60)], image='none.png', image_2=[f'{i}-1.png' if i % 2 else None for i in range(60)],
                             label=list('ab') * 30))
    rows.to_csv(tmp_path / 'products.csv', index=False)
    reading = read_catalog(tmp_path / 'products.csv', images=images, max_images=2)
    shop = prepare(tmp_path / 'products.csv', tmp_path / 'shop', images=images, max_images=2)
    for p, notes in (reading.products, reading.notes), (shop.take(range(60)), shop.manifest['notes']):
        odd = p.id.astype(int) % 2 == 1
        assert p.image[odd].notna().sum() == 29 and p.image[~odd].isna().all() and p['images'].isna().all()   # 5-1 is damaged
        assert sum(v.startswith('60 products share a placeholder') for v in notes) == 1
    assert shop.parts[0].pictures == 29 and load_image(shop.take([1]).image[0]).size == (48, 48)


def test_images_on_the_web(table, tmp_path):
    "Fetched by `prepare`; one that is gone is left out, its product stays with the others"
    from functools import partial
    from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
    from threading import Thread
    from prodclf.data.prepare import PrepareConfig

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_): pass

    server = ThreadingHTTPServer(('127.0.0.1', 0), partial(Quiet, directory=str(table.parent / 'images')))
    Thread(target=server.serve_forever, daemon=True).start()
    at = f'http://127.0.0.1:{server.server_port}'
    cells = [f'{at}/1-0.png, {at}/1-1.png', f'{at}/gone.png,{at}/2-1.png', f'{at}/0-0.png']
    pd.DataFrame(dict(title=list('abc'), image=cells, label=list('xyx'))).to_csv(tmp_path / 'products.csv', index=False)
    quick = dict(allow_private=True, wait=.01, delay=0)
    shop = prepare(tmp_path / 'products.csv', tmp_path / 'shop', PrepareConfig(fetch=True), max_images=2, workers=1, download=quick)
    server.shutdown()
    p = shop.take(range(3))
    assert p.image.notna().all() and [len(further_images(v)) for v in p['images']] == [1, 0, 0]
    assert any(v.startswith('1 images could not be used; their products stay with their other') for v in shop.manifest['notes'])
    plain = read_catalog(tmp_path / 'products.csv', max_images=2)
    assert plain.products.image.isna().all() and any('web addresses' in v for v in plain.notes)


def shuffled(products, seed=0):
    "The same sets in another order, an image twice"
    draw, found = np.random.default_rng(seed), products.copy()
    for i in found.index[found['images'].notna()]:
        places = [found.image[i], *further_images(found['images'][i])]
        places = draw.permutation([*places, draw.choice(places)]).tolist()
        found.loc[i, ['image', 'images']] = places[0], images_cell(places[1:])
    return found


def test_order_does_not_matter_to_the_last_bit(table, monkeypatch, tmp_path):
    monkeypatch.setenv('PRODCLF_HOME', str(tmp_path))
    products = read_catalog(table, **read).products
    mixed = shuffled(products)
    assert (mixed.image != products.image).sum() > 10
    for encoder in ('descriptors', 'tiny'):
        a = embed(products, image=encoder).view('image')[:]
        second = embed(mixed, image=encoder)
        assert second.stats['image'].encoded == 0 and (a == second.view('image')[:]).all()       # found in the store
        monkeypatch.setenv('PRODCLF_HOME', str(tmp_path / encoder))
        assert (a == embed(mixed, image=encoder).view('image')[:]).all()                          # and encoded anew
    first = embed(products.drop(columns='images'), image='descriptors').view('image')[:]
    single = products['images'].isna().to_numpy()
    many = embed(products, image='descriptors').view('image')[:]
    assert (first[single] == many[single]).all() and (first[~single] != many[~single]).any(1).all()


@pytest.fixture(scope='module')
def run(tmp_path_factory):
    "A command in this process, which is quicker than one of its own"
    from typer.testing import CliRunner
    from prodclf.cli.main import app

    environment = dict(PRODCLF_HOME=str(tmp_path_factory.mktemp('home')))
    def run(*words, code=0):
        done = CliRunner().invoke(app, [*map(str, words)], env=environment)
        said = f'{done.output}{done.exception or ""}'
        assert done.exit_code == code, said
        return said
    return run


@pytest.fixture(scope='module')
def trained(table, tmp_path_factory, run):
    "A table, the folder prepared from it, and what was trained of both"
    folder, how, usual = tmp_path_factory.mktemp('trained'), ('--image', 'image,more', '--max-images', 3), ('--min-per-class', 3, '--seed', 1)
    names = '--text-encoder', 'lsa', '--image-encoder', 'descriptors'
    run('train', table, *how, *usual, *names, '--out', folder / 'a')
    said = run('prepare', table, *how, '--out', folder / 'shop', '--part-rows', 40)
    assert '3 images could not be used' in said and '21 images are more than --max-images' in said
    run('embed', folder / 'shop', *names)
    run('train', folder / 'shop', *usual, '--out', folder / 'b')
    return folder


def test_one_path(table, trained, run):
    "prepare + embed + train FOLDER: the same rows, members and probabilities as train of the table"
    a, b = (json.loads((trained / n / 'metrics.json').read_text()) for n in 'ab')
    for key in ('splits', 'choice', 'plan', 'rows', 'rows_used', 'quarantined'):
        assert a[key] == b[key], key
    one, two = load_model(trained / 'a'), load_model(trained / 'b')
    assert one.columns['max_images'] == two.columns['max_images'] == 3 and one.columns['image'] == 'image,more'
    products = ProductDataset(trained / 'shop').take(range(80))
    assert np.abs(one.predict_proba(products) - two.predict_proba(products)).max() < 1e-4
    p, q = (one.predict_proba(t, 'image') for t in (products, shuffled(products)))
    assert (p == q).all()                                                                        # equal probabilities, to the last bit
    alone = products.drop(columns='images')
    assert np.abs(p - one.predict_proba(alone, 'image')).max() > .01                             # a product with one is predicted, too
    files = []
    for data in (table, trained / 'shop'):                                                       # the model knows how many it reads
        run('predict', trained / 'a', data, '--out', trained / 'p.csv')
        files.append(pd.read_csv(trained / 'p.csv').set_index('id').probability)
    assert np.abs(files[0][files[1].index] - files[1]).median() < 1e-3
    expected = one.predict(products).set_index('id').probability
    assert np.abs(files[1][expected.index] - expected).max() < 1e-5
    one.columns['max_images'] = 1                                                                # a model of one image reads one
    assert (one.predict_proba(products, 'image') == one.predict_proba(alone, 'image')).all()
    run('evaluate', trained / 'a', table, '--out', trained / 'e')
    figures = json.loads((trained / 'e/metrics.json').read_text())
    assert figures['rows'] == 90 and figures['rows_used'] == a['rows_used']


def test_what_cannot_be_done_is_refused_in_a_line(table, trained, run):
    assert 'leave out one of the two' in run('train', table, '--max-images', 2, '--image', 'none', '--out', trained / 'no', code=1)
    assert 'prepare again' in run('train', trained / 'shop', '--max-images', 2, '--out', trained / 'no', code=2)
    assert 'has its own columns' in run('train', 'embedded', '--max-images', 2, '--out', trained / 'no', code=2)
    with pytest.raises(ProdclfError, match='begun with other'):
        prepare(table, trained / 'shop', image='image,more', max_images=2)


def test_the_estimator(table):
    frame = pd.read_csv(table).drop(index=12).fillna('')
    frame['photos'] = [[str(table.parent / 'images' / n) for n in [r.image, *r.more.split(';')] if n] for r in frame.itertuples()]
    frame['main'] = [p[0] for p in frame.photos]
    model = MultimodalClassifier(text='title', image=['main', 'photos'], max_images=3, text_encoder=None).fit(frame, frame.category)
    table_ = model.training_.rows.dataset.source
    assert max(len(further_images(v)) for v in table_['images']) == 2 and model.predictor_.columns['max_images'] == 3
    whole = frame[[len({*p}) <= 3 for p in frame.photos]]                                        # of more, the first three are read
    turned = whole.assign(photos=[p[::-1] for p in whole.photos], main=[p[-1] for p in whole.photos])
    assert len(whole) > 50 and (turned.main != whole.main).sum() > 10
    assert np.abs(model.predict_proba(whole) - model.predict_proba(turned)).max() < 1e-9
    assert model.predict(frame.assign(photos=None)).shape == (89,)
    for wrong in dict(image='main,photos'), dict(max_images=2):
        with pytest.raises(ProdclfError, match='Remedy'):
            MultimodalClassifier(text='title', **wrong).fit(frame, frame.category)


def test_a_network_draws_one_in_training_and_averages_all_in_prediction(table, tmp_path):
    from prodclf.models.dataloaders import product_dataloaders
    from prodclf.models.learner import product_learner

    data = ProductDataset(read_catalog(table, **read).products)
    rows = np.arange(len(data))
    parts = data.subset(rows[rows % 3 > 0]), data.subset(rows[rows % 3 == 0])
    how = dict(text=None, image='tiny', bs=16, augment=False, num_workers=0)
    two = [product_dataloaders(*parts, **how, seed=s) for s in (0, 0, 1)]
    seen = [[x[0].float().mean((1, 2, 3)) for _ in range(2) for x, _ in dls.train] for dls in two]
    flat = [np.sort(np.concatenate(s)) for s in seen]
    assert (flat[0] == flat[1]).all() and (flat[0] != flat[2]).any()                             # seeded
    n = len(parts[0])
    assert all(len(x) <= 16 for x in seen[0]) and len(flat[0]) == 2 * n                          # the cost of a step stays
    epochs = [np.sort(np.concatenate(s[:len(s) // 2])) for s in seen] + [np.sort(np.concatenate(seen[0][len(seen[0]) // 2:]))]
    assert (epochs[0] != epochs[3]).any()                                                        # another draw in another epoch
    x, y = two[0].valid.one_batch()
    assert len(x[0]) > len(y) and x.owner.max() < len(y)                                         # all of them where it predicts
    learner = product_learner(two[0], fusion='image')
    learner.fine_tune(1)
    table_ = parts[1].take(range(len(parts[1])))
    expected = learner.logits(table_)
    assert np.abs(learner.logits(shuffled(table_).drop(columns='images')) - expected).max() > 1e-3
    model = learner.model.eval()
    places = [[r.image, *further_images(r.images)] for r in table_.itertuples()]
    some = [i for i, p in enumerate(places) if len(p) == 3][:2]
    features = [learner.model.image.encode(places[i])[0].mean(0) for i in some]
    z = model.head({'image': torch.tensor(np.stack(features)).float()}, {'image': torch.ones(len(some), dtype=torch.bool)})
    assert np.abs(z.detach().numpy() - expected[some]).max() < 1e-3                              # the mean of the features
    config = TrainConfig(text=None, image='tiny', mode='finetune', epochs=1, min_count=3, batch_size=16)
    training = train_classifier(data, config)
    assert training.predictor.columns['max_images'] == 3
    name = next(m for m in training.predictor.members if m != 'linear_svm')
    training.predictor.save(tmp_path / 'model')
    back, few = load_model(tmp_path / 'model'), data.take(range(30))
    assert (back.predict_proba(few, name) == back.predict_proba(shuffled(few), name)).all()


@pytest.fixture(scope='module')
def exported(trained, run):
    pytest.importorskip('onnxscript')
    run('export', trained / 'a', '--out', trained / 'x')
    return trained / 'x'


def opened(products, most=3):
    "As a service has them"
    cells = view_values(products, 'image', most)
    return [dict(title=t, image=decoded_images(c, 64)) for t, c in zip(products.text, cells, strict=True)]


def test_an_export_answers_as_the_model(table, trained, exported):
    "One image, several, none, an unreadable one, more than are read; whatever the order; one as before, to the last bit"
    model, engine = load_model(trained / 'a'), load_export(exported)
    assert json.loads((exported / 'export.json').read_text())['max_images'] == engine.max_images == 3
    products = read_catalog(table, image='image,more', max_images=9).products.head(60)           # up to four
    products.loc[2, 'images'] = images_cell([*further_images(products.images[2])[:1], str(table.parent / 'images/5-1.png')])
    products.loc[[4, 8], ['image', 'images']] = None
    wanted, found = model.predict_proba(products), engine.predict(opened(products))[0]
    assert np.abs(found - wanted).max() < 1e-4
    alone = products.assign(text=None)                                                           # by the image alone
    assert np.abs(engine.predict(opened(products))[1]['image'] - model.predict_proba(alone)).max() < 1e-4
    mixed = [p | dict(image=[*p['image'][::-1], None, p['image'][0]]) if isinstance(p['image'], tuple) else p for p in opened(products)]
    assert sum(isinstance(p['image'], list) for p in mixed) > 30 and (engine.predict(mixed)[0] == found).all()
    more = opened(products, 9)
    assert sum(len(p['image']) == 4 for p in more if isinstance(p['image'], tuple)) > 10
    assert (engine.predict(more)[0] == found).all()                                              # the first three, as of a table
    single = [p for p in more if isinstance(p['image'], Image.Image)]
    several, engine.max_images = [engine.predict([p])[0] for p in single], 1
    assert len(single) > 10 and (np.array(several) == [engine.predict([p])[0] for p in single]).all()


def test_eight_bits_are_judged_with_all_images(tmp_path):
    "Ranges are found on further images, too: the main ones alone would be too few"
    pytest.importorskip('onnxscript')
    table = write_shop(tmp_path / 'shop', n=150, dirt=False, seed=3)
    dataset = ProductDataset(read_catalog(table, **read).products)
    model = train_classifier(dataset, TrainConfig(text=None, image='tiny', mode='frozen', min_count=3)).predictor
    card = export_model(model, tmp_path / 'x', int8=True, dataset=dataset)
    assert card['variants'][1]['largest_difference'] <= 1e-4 and card['parts'][0]['part'] == 'image'
    assert all(p['loss'] <= .3 and p['agreement'] >= .99 for p in card['parts'] if p['kept'])
    with pytest.raises(ProdclfError, match='Remedy: products with at least 200 photos'):
        export_model(model, tmp_path / 'y', int8=True, dataset=ProductDataset(dataset.source.drop(columns='images')))


def test_a_server_takes_several(table, trained, exported, tmp_path, surroundings):
    "Through HTTP, as a form and as JSON, the answers are those of the model about the table"
    httpx = pytest.importorskip('httpx')
    from test_serve import Served

    model, products = load_model(trained / 'a'), read_catalog(table, **read).products.head(12)
    wanted, files = model.predict_proba(products), [[p, *further_images(more)] for p, more in zip(products.image, products.images, strict=True)]
    data = [[Path(f).read_bytes() for f in some] for some in files]
    served = Served(exported, tmp_path, surroundings).wait_ready()
    try:
        with httpx.Client(base_url=served.url, timeout=20) as client:
            items = [dict(title=t, image=[base64.b64encode(d).decode() for d in some[::-1]]) for t, some in zip(products.text, data, strict=True)]
            many = client.post('/predict', json=[*items, dict(title=items[0]['title'], image=[])]).json()['predictions']
            assert many.pop()['views'] == ['text']                                               # all in one batch
            for item, some, p, found in zip(items, data, wanted, many, strict=True):
                form = client.post('/predict', data=dict(title=item['title']), files=[('image', ('a.png', d)) for d in some]).json()['predictions'][0]
                for answer in form, found:
                    assert {c['category']: c['probability'] for c in answer['categories']} == pytest.approx(dict(zip(model.classes, p)), abs=1e-4)
            assert max(map(len, data)) == 3 and len({*map(len, data)}) == 3
            for images, status, said in (
                ([data[3][0]] * 4, 422, '4 images of a product, and the model reads at most 3; leave some out'),
                ([data[3][0], data[3][1][:200]], 422, '(image 2 of 2)'),
                ([b'', data[3][0]], 200, ''),
            ):
                answer = client.post('/predict', data=dict(title='thing'), files=[('image', ('a.png', d)) for d in images])
                assert answer.status_code == status and said in answer.text, answer.text
            about = client.get('/openapi.json').json()['components']['schemas']['Product']['properties']['image']
            assert about['anyOf'][1]['maxItems'] == client.get('/model').json()['max_images'] == 3
            assert 'prodclf_batch_size_sum 26.0' in client.get('/metrics').text                  # a product is one, however many images
    finally:
        served.stop()
