"""How a cell of the image column becomes an image: every rule by example, every refusal with a way on."""
import base64, io, json, os, re, subprocess, sys, unicodedata
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image, features
from prodclf.core import ProdclfError
from prodclf.data.catalog import read_catalog
from prodclf.data.images import ImageFolder, check_image, find_image, image_columns, load_image, names_of, table_images
from prodclf.data.prepare import open_products, prepare
from prodclf.data.tables import remedy


def encoded(color, format='JPEG'):
    Image.new('RGB', (24, 16), color).save(out := io.BytesIO(), format)
    return out.getvalue()


jpeg, png = encoded('navy'), encoded('gold', 'PNG')


def put(folder, *names):
    for name in names:
        (folder/name).parent.mkdir(parents=True, exist_ok=True)
        (folder/name).write_bytes(jpeg)
    return ImageFolder(folder)


def file_of(cell, folder):
    "The file that a cell finds, relative to its folder; what else came back"
    path, data, trouble, note = find_image(cell, folder)
    assert data is None
    return path and os.path.relpath(path, folder.path), trouble, note


# ---- one file, many ways to name it -----------------------------------------------------------------------

cafe = 'Café-Tasse.jpg'
rules = {
    'letter case of the ending':   ('lamp7.jpg', 'lamp7.JPG'),
    'letter case of the name':     ('Sofa_Left.png', 'sofa_left.PNG'),
    'umlauts in another case':     ('KÜHL-ÄTHER.jpg', 'kühl-äther.jpg'),
    'no ending':                   ('77310', '77310.webp'),
    'a number without an ending':  (77310, '77310.jpg'),
    'a float of a spreadsheet':    (77310.0, '77310.jpg'),
    'jpeg for jpg':                ('chair.jpeg', 'chair.jpg'),
    'another kind':                ('chair.png', 'chair.webp'),
    'a file without an ending':    ('chair.jpg', 'chair'),
    'in a folder below':           ('0108775015.jpg', '010/0108775015.jpg'),
    'below, without an ending':    ('0108775015', '010/0108775015.JPG'),
    'the images folder named':     ('photos/a/chair.jpg', 'a/chair.jpg'),
    'a path of another machine':   ('/home/kim/export/photos/chair.jpg', 'chair.jpg'),
    'a path of Windows':           (r'D:\shop\Photos\chair.jpg', 'chair.jpg'),
    'up and down again':           ('../export/photos/chair.jpg', 'chair.jpg'),
    'a leading slash':             ('/c/h/chair.jpg', 'c/h/chair.jpg'),
    'two slashes':                 ('c//h/chair.jpg', 'c/h/chair.jpg'),
    'a leading dot':               ('./chair.jpg', 'chair.jpg'),
    'backslashes':                 (r'c\h\chair.jpg', 'c/h/chair.jpg'),
    'a query':                     ('chair.jpg?width=900&v=3', 'chair.jpg'),
    'a query, no ending':          ('chair?v=3', 'chair.jpg'),
    'a fragment':                  ('chair.jpg#front', 'chair.jpg'),
    'escapes':                     ('oak%20chair%20%28new%29.jpg', 'oak chair (new).jpg'),
    'escaped UTF-8':               ('Caf%C3%A9-Tasse.jpg', cafe),
    'NFC for NFD':                 (cafe, unicodedata.normalize('NFD', cafe)),
    'NFD for NFC':                 (unicodedata.normalize('NFD', cafe), cafe),
    'NFD, another case, no ending': (unicodedata.normalize('NFD', 'CAFÉ-TASSE'), cafe),
    'an address of a file':        ('file:///C:/shop/photos/chair.jpg', 'chair.jpg'),
    'a bucket':                    ('s3://shop-media/photos/chair.jpg', 'chair.jpg'),
    'blanks around':               ('  chair.jpg ', 'chair.jpg'),
    'all at once':                 (r'\Photos\OAK%20Chair.JPG?v=1', 'oak chair.jpeg'),
    'a bar':                       ('chair.jpg|chair_2.jpg', 'chair.jpg'),
    'a bar, no endings':           ('4411|4412', '4411.png'),
    'a semicolon':                 ('chair.jpg; chair_2.jpg;', 'chair.jpg'),
    'a comma':                     ('chair.jpg, chair_2.jpg', 'chair.jpg'),
    'a line a file':               ('chair.jpg\nchair_2.jpg', 'chair.jpg'),
    'a JSON list':                 ('["chair.jpg", "chair_2.jpg"]', 'chair.jpg'),
    'a list of Python':            ("['c/h/chair.jpg', 'chair_2.jpg']", 'c/h/chair.jpg'),
    'escaped slashes of PHP':      (r'["c\/h\/chair.jpg"]', 'c/h/chair.jpg'),
    'a list':                      (['chair.jpg', 'chair_2.jpg'], 'chair.jpg'),
    'an array':                    (np.array(['chair.jpg', 'chair_2.jpg']), 'chair.jpg'),
    'a list of objects':           ([dict(src='chair.jpg', position=1)], 'chair.jpg'),
    'an object with a path':       (dict(bytes=None, path='chair.jpg'), 'chair.jpg'),
    'several that nearly fit':     ('Photos/CHAIR.jpg?v=1 | Photos/CHAIR_2.jpg?v=1', 'chair.jpg'),
}

@pytest.mark.parametrize('rule', rules)
def test_rule(tmp_path, rule):
    cell, file = rules[rule]
    found, trouble, _ = file_of(cell, put(tmp_path/'photos', file, 'other.jpg', 'else.png'))
    assert (found, trouble) == (file, None)


def test_a_name_to_the_letter_comes_first(tmp_path):
    names = ['a.jpg', 'A.jpg', 'a', 'photos/a.jpg', 'a.jpg?v=1', 'a%20b.jpg', 'a b.jpg', 'x,y.jpg', 'x;y.jpg', 'x|y.jpg', 'none', 'na.jpg', 'c#1.jpg', 'c.jpg']
    folder = put(tmp_path/'photos', *names)
    for name in names: assert file_of(name, folder) == (name, None, None)
    assert 'known' not in vars(folder)                     # nothing was listed for names that fit


def test_a_mark_inside_a_name_is_no_list(tmp_path):
    folder = put(tmp_path/'photos', 'Mug, blue.JPG', 'mug.jpg', 'blue.jpg', 'R;G.jpeg')
    assert file_of('mug, blue.jpg', folder)[0] == 'Mug, blue.JPG'
    assert file_of('r;g', folder)[0] == 'R;G.jpeg'
    assert file_of('Mug, red.jpg', folder)[0] is None     # not the photo of another mug


@pytest.mark.parametrize('cell,files', [('1163', ['1163.jpg', '1163.png']), ('A.JPEG', ['a.jpg', 'A.webp']), ('a.JPG', ['a.jpg', 'A.jpg']),
                                        ('7.jpg', ['x/7.jpg', 'y/7.jpg']), ('7', ['x/7.jpg', 'y/7.png']), ('a.jpg', ['a.png', 'a.webp'])])
def test_ambiguous_names_are_refused_and_named(tmp_path, cell, files):
    found, trouble, _ = file_of(cell, put(tmp_path/'photos', *files))
    assert found is None and trouble.startswith('image ambiguous: ') and all(f in trouble for f in files)
    assert 'whole name' in remedy('image ambiguous')
    assert file_of(files[0], ImageFolder(tmp_path/'photos'))[0] == files[0]      # the remedy, followed


def test_another_folder_is_another_image(tmp_path):
    "Only the images folder's own name is dropped: shoes/1.jpg is not the 1.jpg of the mugs"
    folder = put(tmp_path/'photos', '1.jpg', 'mugs/2.jpg')
    for cell in ('shoes/1.jpg', 'shoes/2.jpg', '/1/1.jpg', 'C:\\Users\\kim\\1.jpg'):
        assert file_of(cell, folder)[0] is None


def test_no_name_leaves_the_folder(tmp_path):
    folder = put(tmp_path/'photos', 'a.jpg')
    put(tmp_path, 'secret.jpg', 'photos2/a2.jpg', 'other/photos/b.jpg')
    (tmp_path/'photos'/'link.jpg').symlink_to(tmp_path/'secret.jpg')
    (tmp_path/'photos'/'door').symlink_to(tmp_path)
    inside = os.path.realpath(tmp_path/'photos') + os.sep
    starts = ['', '/', '../', '..\\', './../', 'photos/../../', 'file:///', 'file://', '%2e%2e/', '..%2f', '%2e%2e%5c', str(tmp_path) + '/', 'door/', 'x/../../', '//', '/photos/../']
    ends = ['', '?v=1', '|a.png', '#', ';../secret.jpg', '%00']
    for start in starts:
        for name in ('secret', 'secret.jpg', 'SECRET.JPG', 'link', 'LINK.jpg', 'photos2/a2.jpg', 'a2', 'other/photos/b.jpg', 'b', 'etc/passwd', 'etc/hostname'):
            for cell in (start + name + end for end in ends):
                for c in (cell, json.dumps([cell])):
                    path, data, trouble, _ = find_image(c, folder)
                    assert data is None and (path is None or path.startswith('http') or os.path.realpath(path).startswith(inside)), (c, path)
    for cell in ('../secret.jpg', '/etc/passwd', 'link', 'door/secret.jpg', '%2e%2e/secret.jpg'): assert file_of(cell, folder)[0] is None


# ---- words for nothing, addresses, images inside the cell -------------------------------------------------

@pytest.mark.parametrize('cell', ['nan', 'NaN', 'None', 'N/A', 'null', 'NULL', '-', '--', 'na', '#N/A', '\\N', '<NA>', 'undefined', '[]', '[ ]', '["nan"]', [], {}, None, float('nan'), pd.NA, '  ',
                                  dict(bytes=None, path=None), [None]])
@pytest.mark.parametrize('there', [True, False])
def test_a_word_for_nothing_is_no_image(tmp_path, cell, there):
    assert find_image(cell, put(tmp_path/'photos', 'nan.jpg', 'a.jpg') if there else None) == (None, None, None, None)


@pytest.mark.parametrize('cell', ['https://c.example/a.jpg?v=2', 'https://c.example/a.jpg?v=2, https://c.example/b.jpg', 'https://c.example/a.jpg?v=2;http://d.example/b.jpg',
                                  'https://c.example/a.jpg?v=2|https://c.example/b.jpg|', 'https://c.example/a.jpg?v=2 https://c.example/b.jpg', 'https://c.example/a.jpg?v=2\nhttps://c.example/b.jpg',
                                  '["https://c.example/a.jpg?v=2", "https://c.example/b.jpg"]', ['https://c.example/a.jpg?v=2'], [dict(src='https://c.example/a.jpg?v=2')],
                                  '//c.example/a.jpg?v=2', r'["https:\/\/c.example\/a.jpg?v=2"]'])
def test_the_first_of_several_addresses(tmp_path, cell):
    for folder in (None, put(tmp_path/'photos', 'a.jpg')): assert find_image(cell, folder)[:3] == ('https://c.example/a.jpg?v=2', None, None)


def test_commas_of_an_address_are_its_own():
    for url in ('https://res.example/w_300,h_300/a.jpg', 'https://res.example/a.jpg?crop=1,2;3', 'https://proxy.example/?u=https://c.example/a.jpg'): assert names_of(url) == [url]


def test_an_image_inside_the_cell():
    for raw in (jpeg, png):
        text = base64.b64encode(raw).decode()
        for cell in (raw, dict(bytes=raw, path='x.jpg'), [raw], f'data:image/any;base64,{text}', text, '\n'.join(re.findall('.{1,76}', text)), dict(bytes=text)):
            assert find_image(cell, None) == (None, raw, None, None)
    path, data, trouble, _ = find_image('data:image/png;base64,iVBORw0KGgo', None)
    assert path is data is None and trouble.startswith('not an image: base64')


# ---- what is said when names do not fit -------------------------------------------------------------------

def table(folder, cells, name='image', file='products.csv'):
    rows = pd.DataFrame(dict(id=[f'p{i}' for i in range(len(cells))], title=[f'Mug {i} of clay' for i in range(len(cells))], category=['Mugs', 'Pots'] * (len(cells)//2), **{name: cells}))
    folder.mkdir(exist_ok=True)
    rows.to_csv(folder/file, index=False)
    return folder/file


def test_when_images_are_missing_the_note_tells_what_was_tried(tmp_path):
    put(tmp_path/'images', *(f'mug-{i}.jpg' for i in range(30)))
    file = table(tmp_path, [f'm/mug_{i}.jpg?v=1' for i in range(30)])
    reading = read_catalog(file)
    note, = (n for n in reading.notes if 'images are not in' in n)
    assert len(reading.products) == 0 and note.startswith('30 ')
    for part in ('images/', "'m/mug_0.jpg'", 'letter case', 'the nearest name there is mug-0.jpg', '--images'): assert part in note, note
    put(tmp_path/'elsewhere', *(f'm/mug_{i}.jpg' for i in range(30)))
    reading = read_catalog(file, images=tmp_path/'elsewhere')                    # the remedy, followed
    assert reading.products.image.notna().all() and any('30 images have names that only nearly fit' in n and 'm/mug_0.jpg' in n for n in reading.notes)


def test_half_of_the_images(tmp_path):
    put(tmp_path/'images', *(f'{i}.JPG' for i in range(10)))
    reading = read_catalog(table(tmp_path, [f'{i}.jpg' for i in range(20)]), bad_image='text-only')
    assert len(reading.products) == 20 and reading.products.image.notna().sum() == 10
    assert {n.split()[0] for n in reading.notes if 'nearly fit' in n or 'are not in' in n} == {'10'}


def test_web_addresses_leave_the_text(tmp_path):
    for i, cells in enumerate([['https://c.example/1.jpg'] * 6, ['//c.example/1.jpg'] * 6, ['', 'nan'] + ['https://c.example/1.jpg, https://c.example/2.jpg'] * 4]):
        reading = read_catalog(table(tmp_path/str(i), cells))
        assert len(reading.products) == 6 and reading.products.image.isna().all()
        note, = (n for n in reading.notes if 'web addresses' in n)
        assert 'prodclf prepare' in note and '--fetch-images' in note and '--image none' in note
        assert not any('web addresses' in n for n in read_catalog(tmp_path/str(i)/'products.csv', image='none').notes)   # the remedy, followed


# ---- the column and the folder ----------------------------------------------------------------------------

columns = ['image_url', 'image_link', 'Image Src', 'picture', 'Photo', 'img', 'thumbnail', 'file_name', 'filename', 'path', 'Images', 'all_images', 'base_image', 'imgUrl', 'Product Image', 'main_image', 'image_path', 'IMAGE', 'photos', 'Image 1']

@pytest.mark.parametrize('column', columns)
def test_a_column_of_file_names_under_another_name(tmp_path, column):
    put(tmp_path/'images', *(f'{i}.jpg' for i in range(6)))
    reading = read_catalog(table(tmp_path, [f'{i}.jpg' for i in range(6)], column))
    assert reading.products.image.notna().all() and reading.products.path.isna().all()
    assert column.lower() == 'image' or any(f'image from {column}' in n for n in reading.notes)


@pytest.mark.parametrize('column', ['image_url', 'image_link', 'Image Src', 'picture', 'imgUrl', 'Images'])
def test_a_column_of_addresses_under_another_name(tmp_path, column):
    reading = read_catalog(table(tmp_path, [f'https://c.example/{i}?id=2' for i in range(6)], column))
    assert len(reading.products) == 6 and any('6 images are web addresses' in n for n in reading.notes)


def test_columns_that_are_not_images(tmp_path):
    put(tmp_path/'images', '0.jpg')
    for column, cells in dict(path=['Home > Mugs', 'Home > Pots'] * 3, url=['https://shop.example/p/1'] * 6, image_alt_text=['a.jpg'] * 6, file_name=['a.pdf', 'b.pdf'] * 3, images=[3, 4] * 3, photographer=['kim'] * 6).items():
        reading = read_catalog(table(tmp_path, cells, column))
        assert len(reading.products) == 6 and reading.products.image.isna().all() and not any(' image from' in n or '--image' in n for n in reading.notes), column
        assert reading.products.path.notna().all() == (column == 'path')


def test_names_without_a_folder_are_noted_and_the_note_works(tmp_path):
    file = table(tmp_path/'shop', [f'{i}.jpg' for i in range(6)], 'picture')
    reading = read_catalog(file)
    note, = (n for n in reading.notes if 'picture may name images' in n)
    assert len(reading.products) == 6 and '--image picture --images DIR' in note
    put(tmp_path/'far', *(f'{i}.jpg' for i in range(6)))
    assert read_catalog(file, image='picture', images=tmp_path/'far').products.image.notna().all()
    with pytest.raises(ProdclfError, match='no folder of images. Remedy: --images DIR, or --image none'): read_catalog(file, image='picture')


@pytest.mark.parametrize('where,cell', [('photos', '{}.jpg'), ('photos', 'photos/{}.jpg'), ('', '{}.jpg'), ('', 'a/{}.jpg'), ('pics/large', 'pics/large/{}.jpg'), ('Images', 'Images/{}.jpg')])
def test_files_beside_the_table(tmp_path, where, cell):
    names = [cell.format(i) for i in range(6)]
    inside = [n if n.startswith(where + '/') or not where else f'{where}/{n}' for n in names]
    put(tmp_path, *inside)
    reading = read_catalog(table(tmp_path, names))
    assert [os.path.relpath(p, tmp_path) for p in reading.products.image] == inside


def test_words_for_nothing_do_not_hide_a_column(tmp_path):
    put(tmp_path/'images', '5.jpg')
    reading = read_catalog(table(tmp_path, ['nan', 'None', '-', 'N/A', 'null', '5.jpg'], 'photo'))
    assert len(reading.products) == 6 and reading.products.image.notna().tolist() == [False] * 5 + [True]


def test_a_folder_that_no_column_names_is_noted(tmp_path):
    put(tmp_path/'far', 'red.png', 'blue.png')
    file = table(tmp_path/'shop', ['red', 'blue'] * 3, 'color')
    note, = (n for n in read_catalog(file, images=tmp_path/'far').notes if 'no column names images' in n)
    assert '--image NAME' in note
    assert read_catalog(file, images=tmp_path/'far', image='color').products.image.notna().all()      # the remedy, followed


def test_files_named_by_the_id(tmp_path):
    put(tmp_path/'images', *(f'p{i}.jpg' for i in range(6)))
    file = table(tmp_path, ['x'] * 6, 'color')
    assert read_catalog(file).products.image.notna().all()
    for i in range(4): (tmp_path/'images'/f'p{i}.jpg').rename(tmp_path/'images'/f'other{i}.jpg')
    assert read_catalog(file).products.image.isna().all()


def test_what_a_command_writes_beside_the_table_does_not_count(tmp_path):
    "The photos lie beside the table and so do results: the same table is prepared once"
    put(tmp_path/'shop', *(f'{i}.jpg' for i in range(6)))
    file = table(tmp_path/'shop', [f'{i}.jpg' for i in range(6)])
    first = open_products(file, cache=tmp_path/'cache', workers=1)
    put(tmp_path/'shop'/'out', 'plot.png')
    (tmp_path/'shop'/'out'/'metrics.json').write_text('{}')
    assert open_products(file, cache=tmp_path/'cache', workers=1).folder == first.folder and first.has('image')
    (tmp_path/'shop'/'0.jpg').write_bytes(png)
    assert open_products(file, cache=tmp_path/'cache', workers=1).folder != first.folder


def test_images_inside_parquet(tmp_path):
    rows = pd.DataFrame(dict(title=['Mug', 'Pot'], label=['a', 'b'], image=[dict(bytes=jpeg, path=None), dict(bytes=None, path=None)]))
    for column in ('image', 'img'):
        rows.rename(columns=dict(image=column)).to_parquet(tmp_path/f'{column}.parquet')
        found = prepare(tmp_path/f'{column}.parquet', tmp_path/column, workers=1)
        assert found.take([0, 1]).image.notna().tolist() == [True, False]


@pytest.mark.parametrize('form', [r'C:\Users\Kim\Desktop\shop photos\{}.jpg', '/Users/kim/export/{}.jpg', r'\\nas\share\img\{}.jpg', '/data/upload/1/{}.jpg', '../media/{}.jpg', 'file:///srv/media/{}.jpg'])
def test_folders_of_another_machine(tmp_path, form):
    "What all names begin with is left away where it leads nowhere; names of two folders are not thrown together"
    put(tmp_path/'images', *(f'{i}.jpg' for i in range(6)))
    file = table(tmp_path, [form.format(i) for i in range(6)])
    assert [os.path.basename(p) for p in read_catalog(file).products.image] == [f'{i}.jpg' for i in range(6)]
    file = table(tmp_path, [form.format(i).replace(form.replace('\\', '/').split('/')[-2], 'ab'[i % 2]) for i in range(6)])
    assert len(read_catalog(file).products) == 0 and 'below the images folder' in remedy('image outside the images folder')


@pytest.mark.parametrize('name', ['Images', 'IMAGES'])
def test_the_folder_in_another_case(tmp_path, name):
    put(tmp_path/name, *(f'p{i}.jpg' for i in range(6)))
    assert read_catalog(table(tmp_path, ['x'] * 6, 'color')).products.image.notna().all()


@pytest.mark.parametrize('column', ['Bild', 'Bilder', 'foto', 'g:image_link', 'Image URLs (x,y,z...)', 'Main picture (front) *', 'imagenes'])
def test_more_names_for_a_column_of_images(tmp_path, column):
    put(tmp_path/'images', *(f'{i}.jpg' for i in range(6)))
    assert read_catalog(table(tmp_path, [f'{i}.jpg' for i in range(6)], column)).products.image.notna().all()


def test_an_empty_column_image_hides_no_other(tmp_path):
    put(tmp_path/'images', *(f'{i}.jpg' for i in range(6)))
    file = table(tmp_path, [f'{i}.jpg' for i in range(6)], 'picture')
    pd.read_csv(file).assign(image='').to_csv(file, index=False)
    assert read_catalog(file).products.image.notna().all()


def test_addresses_alone_are_the_reason(tmp_path):
    file = table(tmp_path, [f'https://c.example/{i}.jpg' for i in range(6)])
    pd.read_csv(file).drop(columns='title').to_csv(file, index=False)
    with pytest.raises(ProdclfError, match='6 image is a web address.*--fetch-images'): prepare(file, tmp_path/'out')
    put(tmp_path/'images', 'x.jpg')
    assert read_catalog(table(tmp_path, ['ftp://c.example/1.jpg'] * 6)).quarantine.reason.unique().tolist() == ['image out of reach']


def test_a_pixel_makes_no_group(tmp_path):
    (tmp_path/'images').mkdir()
    Image.new('RGB', (1, 1), 'white').save(tmp_path/'images'/'pixel.gif')
    found = prepare(table(tmp_path, ['pixel.gif'] * 6), tmp_path/'out', workers=1)
    assert found.take(np.arange(6)).group.nunique() == 6


# ---- kinds of files ---------------------------------------------------------------------------------------

heic = b'\0\0\0\x18ftyp%b\0\0\0\0mif1heic' + bytes(200)

@pytest.mark.parametrize('brand', [b'heic', b'heix', b'hevc', b'mif1', b'heim', b'msf1'])
def test_heic_is_named_where_it_cannot_be_read(tmp_path, monkeypatch, brand):
    monkeypatch.setitem(sys.modules, 'pillow_heif', None)            # as if it were not installed
    put(tmp_path/'images', 'a.jpg')
    (tmp_path/'images'/'a.jpg').write_bytes(heic % brand)
    assert check_image(tmp_path/'images'/'a.jpg').startswith('image is HEIC')
    with pytest.raises(ProdclfError, match=r"image is HEIC .* Remedy: pip install 'prodclf\[heic\]', or save it as JPEG"): load_image(heic % brand)
    reading = read_catalog(table(tmp_path, ['a.jpg', '']))
    assert reading.quarantine.reason.tolist() == ['image is HEIC'] and 'prodclf[heic]' in reading.quarantine.remedy[0]


def test_heic_is_read_where_pillow_heif_is_installed():
    heif = pytest.importorskip('pillow_heif')
    heif.from_pillow(Image.new('RGB', (64, 48), 'navy')).save(out := io.BytesIO(), quality=90)
    assert load_image(out.getvalue()).size == (64, 48) and check_image(out.getvalue()) is None
    assert 'image' in check_image(heic % b'heic')


@pytest.mark.parametrize('kind', ['AVIF', 'JPEG2000'])
def test_kinds_that_pillow_reads(kind):
    if not features.check('avif' if kind == 'AVIF' else 'jpg_2000'): pytest.skip('this Pillow was built without it')
    raw = encoded('navy', kind)
    assert load_image(raw).size == (24, 16) and check_image(raw[:len(raw)//2]).startswith(('image truncated', 'image damaged'))


# ---- placeholders -----------------------------------------------------------------------------------------

@pytest.mark.parametrize('categories', [1, 3])
def test_a_placeholder_is_no_group_and_no_evidence(tmp_path, categories):
    "One photo on sixty products of three categories is left out with a word; on sixty sizes of one thing it stays"
    draw = np.random.default_rng(0)
    (tmp_path/'images').mkdir()
    for name in ('soon', *range(6)): Image.fromarray(draw.integers(0, 256, (8, 8, 3), np.uint8)).resize((64, 64)).save(tmp_path/'images'/f'{name}.png')
    rows = pd.DataFrame(dict(id=range(66), title=[f'Thing {i} of clay' for i in range(66)], category=[f'c{i % categories}' for i in range(66)], image=['soon.png'] * 60 + [f'{i}.png' for i in range(6)]))
    rows.to_csv(tmp_path/'products.csv', index=False)
    found = prepare(tmp_path/'products.csv', tmp_path/'out', workers=1)
    kept = found.take(np.arange(66))
    assert kept.image.notna().tolist() == [categories == 1] * 60 + [True] * 6 and kept.group.nunique() == 66
    assert sum(p.pictures for p in found.parts) == (66 if categories == 1 else 6)
    assert any(n.startswith('60 products share a placeholder image') for n in found.manifest['notes']) == (categories == 3)
    for row in kept.index[kept.image.notna()]: assert found.open_image(row).size == (64, 64)
    memory = read_catalog(rows, images=tmp_path/'images')                        # the same of a data frame in memory
    assert memory.products.image.notna().tolist() == kept.image.notna().tolist()
    assert any(n.startswith('60 products share a placeholder image') for n in memory.notes) == (categories == 3)
