"""`predict` and `evaluate` on the tables that shops have: every row is accounted for, under the shop's own ids, and every remedy is followed."""
import pandas as pd
import pytest
from PIL import Image
from typer.testing import CliRunner

words = dict(Gläser='glas krug becher kelch'.split(), Körbe='korb weide henkel geflecht'.split(), Lampen='lampe licht schirm birne'.split())


def table(n=12, **columns):
    rows = [(k, words[list(words)[k % 3]]) for k in range(n)]
    return pd.DataFrame(dict(id=[f'p{k:03d}' for k, _ in rows], title=[f'{w[k % 4]} {w[(k + 1) % 4]} Nr {k}' for k, w in rows],
                             description=[f'ein {w[(k + 2) % 4]} der Serie {k * 7 % 31}' for k, w in rows])).assign(**columns)


def truth(n): return [list(words)[k % 3] for k in range(n)]


def command(*parts):
    from prodclf.cli.main import app
    from prodclf.core import ProdclfError
    done = CliRunner().invoke(app, [str(p) for p in parts])
    assert done.exception is None or isinstance(done.exception, (SystemExit, ProdclfError)), done.exc_info
    return done.exit_code, done.stderr + done.stdout + str(done.exception or '')


@pytest.fixture(scope='module')
def models(tmp_path_factory):
    "One that reads words, and one that sees images as well"
    folder = tmp_path_factory.mktemp('models')
    (folder/'images').mkdir()
    for k in range(60):
        im = Image.new('RGB', (24, 24), (k * 4, 80 * (k % 3), 200 - 3 * k))
        im.paste((255 - k, k, 9 * k % 256), (k % 12, k % 7, k % 12 + 6, k % 7 + 9))
        im.save(folder/'images'/f'{k}.png')
    table(60, category=truth(60), image=[f'{k}.png' for k in range(60)]).to_csv(folder/'train.csv', index=False)
    common = ['train', folder/'train.csv', '--text-encoder', 'lsa', '--min-per-class', 5]
    assert command(*common, '--out', folder/'text', '--image', 'none', '--image-encoder', 'none')[0] == 0
    assert command(*common, '--out', folder/'both', '--image-encoder', 'descriptors')[0] == 0
    return folder


@pytest.fixture
def predicted(models, tmp_path):
    def run(products, *more, model='text', code=0):
        if not isinstance(products, pd.DataFrame): file = products
        else: products.to_csv(file := tmp_path/'new.csv', index=False)
        found, told = command('predict', models/model, file, '--out', tmp_path/'out'/'p.csv', *more)
        assert found == code, told
        quarantine = tmp_path/'out'/'p.quarantine.csv'
        refused = len(pd.read_csv(quarantine)) if quarantine.exists() else 0
        ids = pd.read_csv(tmp_path/'out'/'p.csv', dtype=str).id.drop_duplicates().tolist() if code == 0 else []
        assert code or f'{len(ids) + refused} rows = {len(ids)} predicted + {refused} refused' in told
        return ids, refused, told
    return run


def test_the_shops_ids_in_its_order(predicted):
    for name in ('id', 'sku', 'Handle', 'code'):
        ids, refused, told = predicted(table().rename(columns=dict(id=name)).iloc[::-1])
        assert (ids, refused) == (table().id.tolist()[::-1], 0) and (name == 'id' or f'id from {name}' in told)


@pytest.mark.parametrize('chunk', [1, 5, 2048])
def test_every_row_is_predicted_or_refused(predicted, chunk):
    products = table()
    products.loc[3, 'id'], products.loc[5, 'id'] = 'p001', None
    products.loc[7, ['title', 'description']] = None
    ids, refused, told = predicted(products, '--chunk-rows', chunk)
    assert refused == 2 and len(ids) == 10 and '1 products have no id' in told
    assert [i for i in ids if i.startswith('p0')] == products.id.drop([3, 5, 7]).tolist()


def test_an_id_that_stands_twice_and_the_remedy(predicted):
    products = table().rename(columns=dict(id='sku'))
    products.loc[3, 'sku'] = 'p001'
    ids, refused, told = predicted(products)
    assert len(ids) == 12 and refused == 0 and '12 products have no id and are called by what they hold; --id NAME' in told
    ids, refused, told = predicted(products, '--id', 'sku')
    assert ids == products.sku.drop(3).tolist() and refused == 1


def test_rounded_ids_are_told(predicted):
    ids, refused, told = predicted(table(id='8.90123E+12'))
    assert len(ids) == 1 and refused == 11 and '12 ids look like 8.90123E+12' in told
    assert len(predicted(table(id='8.90123E+12'), '--id', 'none')[0]) == 12           # as the note says


def test_columns_under_other_names_are_told(predicted):
    products = table().rename(columns=dict(title='Titel', description='text'))
    assert 'title from text' in predicted(products)[2]
    assert 'text from Titel + text' in predicted(products, '--text', 'Titel,text')[2]


def test_images_that_are_not_there(predicted, models):
    note = 'no product has an image, and the model knows images; --image NAME names them'
    assert note in predicted(table(), model='both')[2] and note not in predicted(table())[2]
    photos = table(photo_file=[f'{k}.png' for k in range(12)])
    assert note not in predicted(photos, '--image', 'photo_file', '--images', models/'images', model='both')[2]


def test_what_is_read_is_not_written_over(models, tmp_path):
    table().to_csv(tmp_path/'new.csv', index=False)
    before = (tmp_path/'new.csv').read_bytes()
    code, told = command('predict', models/'text', tmp_path/'new.csv', '--out', tmp_path/'sub'/'..'/'new.csv')
    assert code == 2 and 'name another file' in told and (tmp_path/'new.csv').read_bytes() == before
    (tmp_path/'folder.csv').mkdir()
    assert command('predict', models/'text', tmp_path/'new.csv', '--out', tmp_path/'folder.csv')[0] == 2


@pytest.mark.parametrize('products', [table(title=None, description=None), table(0), pd.DataFrame(dict(id=['a'], price=['3']))])
def test_nothing_to_predict(predicted, products):
    assert 'Remedy: ' in predicted(products, code=1)[2]


@pytest.mark.parametrize('limit, code', [(0, 0), (1, 0), (1.1, 2), (-0.1, 2), ('nan', 2), ('half', 2)])
def test_bounds_of_the_confidence(predicted, limit, code):
    predicted(table(), '--min-confidence', limit, code=code)


def test_categories_spelled_otherwise(models, tmp_path):
    common = ['evaluate', models/'text', tmp_path/'new.csv', '--out', tmp_path/'e']
    upper = [c.upper() for c in truth(12)]
    table(category=upper).to_csv(tmp_path/'new.csv', index=False)
    code, told = command(*common)
    assert code == 1 and "3 categories are spelled otherwise than in the model, such as 'GLÄSER' for 'Gläser'. Remedy: --merge-categories" in told
    assert command(*common, '--merge-categories')[0] == 0
    table(category=upper[:6] + truth(12)[6:]).to_csv(tmp_path/'new.csv', index=False)
    code, told = command(*common)
    assert code == 0 and '--merge-categories joins them' in told and '12 rows = 6 used + 6 quarantined (6 unknown category)' in told
    code, told = command(*common, '--merge-categories')
    assert code == 0 and 'quarantined (' not in told
    table(category='Vasen').to_csv(tmp_path/'new.csv', index=False)
    assert command(*common)[0] == 1


@pytest.mark.parametrize('name', ['train', 'evaluate', 'baselines', 'embed', 'prepare'])
def test_a_file_where_a_folder_is_wanted(models, tmp_path, name):
    table(category=truth(12)).to_csv(tmp_path/'new.csv', index=False)
    model = [models/'text'] if name == 'evaluate' else []
    code, told = command(name, *model, tmp_path/'new.csv', '--out', tmp_path/'new.csv')
    assert code in (1, 2) and ('is a file' in told or 'Remedy: another --out' in told)
    assert (tmp_path/'new.csv').read_text().startswith('id,title')
