"""Bad input, one case a line: each ends in one clear line of error or in a quarantine row with its reason, and no row is lost.

The library level, without torch; the command line's exit codes are tested elsewhere."""
import io, json, struct, subprocess, sys, zlib
from collections import Counter

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from prodclf.data.catalog import Reading, iter_catalog, read_catalog, write_catalog
from prodclf.core import ProdclfError
from prodclf.data.dataset import ProductDataset
from prodclf.data.images import check_image, load_image
from prodclf.data.splits import require_classes, split
from prodclf.data.tables import product_columns, quarantine_columns
from prodclf.data.text import clean_text


def encoded(im, kind, **kw):
    out = io.BytesIO()
    im.save(out, kind, **kw)
    return out.getvalue()


def png(width, height, depth, colour, rows):
    def chunk(kind, data): return struct.pack('>I', len(data)) + kind + data + struct.pack('>I', zlib.crc32(kind+data))
    return b'\x89PNG\r\n\x1a\n' + chunk(b'IHDR', struct.pack('>IIBBBBB', width, height, depth, colour, 0, 0, 0)) + chunk(b'IDAT', rows) + chunk(b'IEND', b'')


red = Image.new('RGB', (32, 24), (200, 30, 30))
jpeg = encoded(red, 'JPEG')
noise = Image.effect_noise((64, 64), 60)


@pytest.fixture
def shop(tmp_path):
    """Two good rows of two categories; `add` puts further lines after them."""
    (tmp_path/'images').mkdir()
    for i in '012': (tmp_path/'images'/f'{i}.jpg').write_bytes(jpeg)
    class Shop:
        folder, images, file = tmp_path, tmp_path/'images', tmp_path/'products.csv'
        header = 'id,title,description,category,image,group'
        good = ['g1,Mug,Stoneware,Mugs,0.jpg,', 'g2,Pot,Iron,Pots,1.jpg,']
        def write(self, *lines, encoding='utf-8', header=None, end='\n'):
            text = '\n'.join([header or self.header, *self.good, *lines]) + end
            self.file.write_bytes(text if isinstance(text, bytes) else text.encode(encoding))
            return self.file
        def read(self, *lines, **kw): return check(read_catalog(self.write(*lines), **kw))
    return Shop()


def check(reading):
    """The law of the account: every row is in one of the two tables, once."""
    assert isinstance(reading, Reading)
    assert len(reading.products) + len(reading.quarantine) == reading.rows
    assert len({*reading.origin.row, *reading.quarantine.row}) == reading.rows == len(reading.origin) + len(reading.quarantine)
    assert list(reading.products.columns) == product_columns
    assert isinstance(reading.products.index, pd.RangeIndex) or list(reading.products.index) == list(range(len(reading.products)))
    assert reading.products.id.is_unique and reading.products.group.notna().all()
    assert list(reading.quarantine.columns) == quarantine_columns and reading.quarantine[['file', 'reason', 'remedy']].notna().all(axis=None)
    return reading


def one_line(call, *parts):
    with pytest.raises(ProdclfError) as e: call()
    message = str(e.value)
    assert '\n' not in message and 'Remedy' in message
    for part in parts: assert part in message, message
    return message


# ---- files ------------------------------------------------------------------------------------------------

def test_missing_file_offers_the_closest_name(shop):
    shop.write()
    one_line(lambda: read_catalog(shop.folder/'product.csv'), 'no such file', 'did you mean products.csv?')

def test_unknown_kind(shop):
    (shop.folder/'products.xlsx').write_bytes(b'PK')
    one_line(lambda: read_catalog(shop.folder/'products.xlsx'), 'products.xlsx', 'save it as CSV')

def test_folder_without_a_table(shop): one_line(lambda: read_catalog(shop.images), 'no products.csv', '0.jpg')

@pytest.mark.parametrize('name', ['a.csv', 'a.jsonl', 'a.parquet'])
@pytest.mark.parametrize('content', [b'', b'\n\n'])
def test_empty_file(shop, name, content):
    (shop.folder/name).write_bytes(content)
    one_line(lambda: read_catalog(shop.folder/name), name, 'not a Parquet file' if name.endswith('parquet') and content else 'empty')

def test_header_only(shop):
    shop.file.write_text(shop.header+'\n')
    one_line(lambda: read_catalog(shop.file), 'products.csv', 'no rows')
    pd.DataFrame(columns=shop.header.split(','), dtype=str).to_parquet(shop.folder/'a.parquet')
    one_line(lambda: read_catalog(shop.folder/'a.parquet'), 'no rows')

@pytest.mark.parametrize('role,wanted', [('label', 'categry'), ('title', 'titel'), ('text', 'title,descripton'), ('image', 'img'), ('group', 'grp'), ('id', 'sku')])
def test_missing_column(shop, role, wanted):
    message = one_line(lambda: read_catalog(shop.write(), **{role: wanted}), 'products.csv', 'no column', ', '.join(shop.header.split(',')), f'--{role}')
    if role in ('label', 'title', 'text'): assert {'label': 'category', 'title': 'title', 'text': 'description'}[role] in message.split('Remedy')[1]

def test_no_label_column(shop):
    one_line(lambda: read_catalog(shop.write(header='id,title,description,kind,image,group')), "'label' or 'category'", 'kind', '--label')

def test_nothing_to_read(shop):
    one_line(lambda: read_catalog(shop.write(header='id,a,b,category,c,group')), 'nothing to read', '--text')

@pytest.mark.parametrize('kind', ['csv', 'jsonl'])
def test_wrong_encoding(shop, kind):
    line = {'csv': shop.header + '\n1,Café,,Mugs,,\n', 'jsonl': '{"title": "Café", "category": "Mugs"}\n'}[kind]
    file = shop.folder/f'a.{kind}'
    file.write_bytes(line.encode('cp1252'))
    one_line(lambda: read_catalog(file), f'a.{kind}', 'not utf-8', 'line', 'byte 0xe9', '--encoding cp1252')
    assert check(read_catalog(file, encoding='cp1252')).products.title[0] == 'Café'
    file.write_bytes(line.encode('utf-16'))
    one_line(lambda: read_catalog(file, encoding='cp1252'), 'not cp1252', '--encoding utf-16')
    for encoding in ('utf-8', 'utf-16'): assert check(read_catalog(file, encoding=encoding)).products.title[0] == 'Café'

def test_unknown_encoding(shop): one_line(lambda: read_catalog(shop.write(), encoding='klingon'), 'unknown encoding')

def test_byte_order_mark(shop):
    shop.write(); shop.file.write_bytes(b'\xef\xbb\xbf' + shop.file.read_bytes())
    assert check(read_catalog(shop.file)).products.id.tolist() == ['g1', 'g2']

def test_damaged_parquet(shop):
    pd.DataFrame(dict(title=['a'], label=['b'])).to_parquet(shop.folder/'a.parquet')
    (shop.folder/'a.parquet').write_bytes((shop.folder/'a.parquet').read_bytes()[:-20])
    one_line(lambda: read_catalog(shop.folder/'a.parquet'), 'a.parquet', 'damaged')

def test_damaged_gzip(shop):
    import gzip
    raw = gzip.compress(('\n'.join(json.dumps(dict(title=f'Mug {i}', label=str(i % 2))) for i in range(5000))).encode())
    (shop.folder/'a.jsonl.gz').write_bytes(raw)
    assert check(read_catalog(shop.folder/'a.jsonl.gz')).rows == 5000
    (shop.folder/'a.jsonl.gz').write_bytes(raw[:len(raw)//2])
    r = check(read_catalog(shop.folder/'a.jsonl.gz'))     # what stands before the tear is used, the tear is told once
    assert 1000 < len(r.products) < 4000 and r.quarantine.reason.tolist() == ['file torn'] and 'download the file again' in r.quarantine.remedy[0]

def test_one_json_list(shop):
    (shop.folder/'a.json').write_text('[{"title": "Mug", "label": "Mugs"}, {"title": "Pot", "label": "Pots"}]')
    assert check(read_catalog(shop.folder/'a.json')).products.title.tolist() == ['Mug', 'Pot']

def test_images_folder_missing(shop):
    one_line(lambda: read_catalog(shop.write(), images=shop.folder/'pics'), 'pics', '--images', '--image none')
    (shop.images/'0.jpg').unlink(); (shop.images/'1.jpg').unlink(); (shop.images/'2.jpg').unlink(); shop.images.rmdir()
    one_line(lambda: read_catalog(shop.write()), 'no folder of images', '0.jpg', '--images', '--image none')

def test_images_in_the_table(shop):
    pd.DataFrame(dict(title=['a'], label=['b'], image=[jpeg])).to_parquet(shop.folder/'a.parquet')
    one_line(lambda: read_catalog(shop.folder/'a.parquet'), 'holds images', 'prodclf prepare')


# ---- rows -------------------------------------------------------------------------------------------------

rows = {
    'no label':         ('x,Mug,Big,,2.jpg,', 'no label'),
    'blank label':      ('x,Mug,Big,  ,2.jpg,', 'no label'),
    'nothing at all':   (',,,,,', 'no label'),
    'no text, no image': ('x,,,Mugs,,', 'neither text nor image'),
    'only markup':      ('x,<br/>,&nbsp;,Mugs,,', 'neither text nor image'),
    'duplicate id':     ('g1,Mug,Big,Mugs,2.jpg,', 'duplicate id'),
    'too many fields':  ('x,Mug,Big,Mugs,2.jpg,,,y', 'malformed row'),
    'one field':        ('x', 'malformed row'),
    'ends too early':   ('x,Mug,Big', 'no label'),
    'open quote':       ('x,"Mug,Big,Mugs,2.jpg,', 'malformed row'),
    'image missing':    ('x,Mug,Big,Mugs,none.jpg,', 'image missing'),
    'path upwards':     ('x,Mug,Big,Mugs,../../etc/passwd,', 'image outside the images folder'),
    'absolute path':    ('x,Mug,Big,Mugs,/etc/passwd,', 'image outside the images folder'),
    'backslashes':      ('x,Mug,Big,Mugs,..\\..\\etc\\passwd,', 'image outside the images folder'),
    'drive letter':     ('x,Mug,Big,Mugs,C:\\mug.jpg,', 'image outside the images folder'),
    'web address only': ('x,,,Mugs,https://shop.example/a.jpg,', 'image is a web address'),
    'data address':     ('x,Mug,Big,Mugs,data:image/png;base64;iVBORw0KGgo=,', 'image out of reach'),
    'a folder':         ('x,Mug,Big,Mugs,.,', 'image outside the images folder'),
}

@pytest.mark.parametrize('name', rows)
def test_bad_row_is_quarantined(shop, name):
    line, reason = rows[name]
    r = shop.read(line, 'y,Cup,After,Mugs,2.jpg,')
    assert r.rows == 4 and r.quarantine.row.tolist() == [4] and r.quarantine.reason.tolist() == [reason]
    assert r.products.id.tolist() == ['g1', 'g2', 'y']
    assert 'quarantined' in repr(r) and reason in repr(r)

def test_all_bad_rows_together_in_any_chunks(shop):
    lines = [line for line,_ in rows.values()]
    r = shop.read(*lines)
    assert Counter(r.quarantine.reason) == Counter(reason for _,reason in rows.values())
    for chunk_rows in (1, 3, 7):
        s = check(read_catalog(shop.file, chunk_rows=chunk_rows))
        pd.testing.assert_frame_equal(r.products, s.products)
        pd.testing.assert_frame_equal(r.quarantine, s.quarantine)
        assert sum(c.rows for c in iter_catalog(shop.file, chunk_rows=chunk_rows)) == r.rows

def test_first_good_row_keeps_the_id(shop):
    r = shop.read('x,No label,,,,', 'x,Label,,Mugs,,', 'x,Late,,Mugs,,')
    assert r.products.title.tolist()[2:] == ['Label'] and r.quarantine.reason.tolist() == ['no label', 'duplicate id']

def test_strings_that_look_missing(shop):
    r = shop.read('x1,nan,NA,Mugs,,', 'x2,None,null,nan,,')
    assert r.products.title.tolist()[2:] == ['nan'] and r.quarantine.reason.tolist() == ['no label']
    assert "'nan' stands for none" in r.quarantine.detail[0]
    r = shop.read('x1,nan,NA,None,,', 'x2,None,null,unknown,,')
    assert r.products.title.tolist()[2:] == ['nan', 'None'] and r.products.label.tolist()[2:] == ['None', 'unknown']
    assert any("'None' (1), 'unknown' (1); --missing" in n for n in r.notes)

def test_missing_values_everywhere(shop):
    good = dict(id='a', title='Mug', description='Big', category='Mugs', image='0.jpg', group='g', path='Home > Mugs', split='train')
    for column in good:
        for missing in (None, float('nan')):
            frame = pd.DataFrame([good, {**good, 'id': 'b', column: missing}, {**good, 'id': 'c'}]).astype(object)
            r = check(read_catalog(frame, images=shop.images))
            assert len(r.quarantine) == (column == 'category')
            frame.to_parquet(shop.folder/'a.parquet')
            pd.testing.assert_frame_equal(check(read_catalog(shop.folder/'a.parquet')).products, r.products)

def test_broken_json_lines(shop):
    file = shop.folder/'a.jsonl'
    good = lambda i: json.dumps(dict(id=i, title=f'Mug {i}', category='Mugs'))
    file.write_text('\n'.join([good(1), '{"id": 2, "title": "cut', good(3), '[1, 2]', '"text"', 'null', '[' * 100_000, good(8), '{"category": "Mugs"}', '{"title": "half \\ud83d", "category": "Mugs"}']) + '\n')
    r = check(read_catalog(file))
    assert r.products.id.tolist()[:3] == ['1', '3', '8'] and r.products.id[3].startswith('p-') and r.quarantine.row.tolist() == [2, 4, 5, 6, 7, 9]
    assert Counter(r.quarantine.reason) == {'malformed row': 5, 'neither text nor image': 1}
    assert r.products.title[3] == 'half ?'

def test_text_of_all_sorts(shop):
    r = shop.read('x1,<p>Mug &amp;amp; cup</p>,"<script>alert(1)</script>Big\x00\x07",Mugs,,', 'x2,Mug \U0001F468\u200d\U0001F469\u200d\U0001F467,كوب قهوة\u202e,Mugs,,', f'x3,Long,{"word "*200_000},Mugs,,', 'x4,Cafe\u0301,5 < 6 & 7,Mugs,,')
    t = r.products.set_index('id').text
    assert t['x1'] == 'Mug & cup. Big' and t['x2'] == 'Mug \U0001F468\u200d\U0001F469\u200d\U0001F467. كوب قهوة' and t['x4'] == 'Café. 5 < 6 & 7'
    assert len(t['x3']) <= 20_000 and any('cut' in n and n.startswith('1 ') for n in r.notes)

def test_other_delimiters_and_line_ends(shop):
    for delimiter in ';\t|':
        shop.file.write_text(f'id{delimiter}title{delimiter}category\r\n1{delimiter}Mug, big{delimiter}Mugs\r\n\r\n', newline='')
        r = check(read_catalog(shop.file))
        assert r.products.title.tolist() == ['Mug, big'] and r.rows == 1

@pytest.mark.parametrize('at', [0, 7, 19])
def test_an_open_quote_loses_one_row(shop, at):
    lines = [f'{i},"Mug, {i}","Two\nlines",Mugs,,' for i in range(20)]
    lines[at] = f'{at},"Mug {at},Big,Mugs,,'
    r = shop.read(*lines)
    assert r.rows == 22 and r.quarantine.row.tolist() == [2*at+4] and 'unbalanced quote' in r.quarantine.detail[0]

def test_unlabelled_rows_are_welcome_when_asked_for(shop):
    r = shop.read('x,Mug,,,,', need_label=False)
    assert len(r.products) == 3 and r.products.label.isna().sum() == 1

def test_unknown_split(shop):
    shop.file.write_text('title,category,split\nMug,Mugs,train\nPot,Pots,VAL\nCup,Mugs,holdout\nPan,Pots,\n')
    r = check(read_catalog(shop.file))
    assert r.products.split.fillna('').tolist() == ['train', 'valid', ''] and r.quarantine.reason.tolist() == ['unknown split']


# ---- categories -------------------------------------------------------------------------------------------

def test_one_category_only(shop):
    one_line(lambda: require_classes(ProductDataset(shop.read().products[:1])), '1 of 1 categories', '--label')

def test_categories_that_are_too_rare(shop):
    one_line(lambda: require_classes(ProductDataset(shop.read('x,Cup,,Mugs,,', 'y,Pan,,Pots,,').products), 5), '0 of 2 categories', '--min-per-class 2')

def test_category_with_one_product(shop):
    lines = [f'x{i},Mug {i},,Mugs,,' for i in range(20)]
    r = shop.read(*lines, min_per_class=2)
    assert r.quarantine.reason.tolist() == ['rare category'] and 'Pots' in r.quarantine.detail[0] and any('--min-per-class' in n for n in r.notes)
    train, valid, test = parts = split(shop.read(*lines).products)
    assert (train.label == 'Pots').sum() == 1 and any('one group' in n for n in parts.notes)


# ---- pictures ---------------------------------------------------------------------------------------------

usable = {
    'CMYK':     encoded(red.convert('CMYK'), 'JPEG'),
    '16-bit':   encoded(Image.fromarray(np.full((24, 32), 30_000, np.uint16)), 'PNG'),
    'animated': encoded(red, 'GIF', save_all=True, append_images=[Image.new('RGB', (32, 24), 'blue')]),
    'animated WebP': encoded(red, 'WEBP', save_all=True, append_images=[Image.new('RGB', (32, 24), 'blue')]),
    'alpha':    encoded(Image.new('RGBA', (32, 24), (200, 30, 30, 0)), 'PNG'),
    'grey with alpha': encoded(Image.new('LA', (32, 24), (0, 0)), 'PNG'),
    'palette with transparency': encoded(red.quantize(4), 'PNG', transparency=0),
    '1x1':      encoded(Image.new('RGB', (1, 1)), 'PNG'),
    '1-bit':    encoded(Image.new('1', (32, 24)), 'TIFF'),
    'float':    encoded(Image.fromarray(np.full((24, 32), .5, np.float32)), 'TIFF'),
    'progressive': encoded(noise, 'JPEG', progressive=True),
    'damaged EXIF': jpeg[:2] + b'\xff\xe1\x00\x10Exif\0\0MM\0*\xff\xff\xff\xff' + jpeg[2:],
}
unusable = {
    'zero bytes':  (b'', 'image empty'),
    'not an image': (b'<html>404</html>', 'not an image'),
    'truncated JPEG': (encoded(noise, 'JPEG')[:-300], 'image truncated'),
    'truncated PNG': (encoded(noise, 'PNG')[:-300], 'image truncated'),
    'JPEG of 12 bytes': (jpeg[:12], 'image'),
    '20,000 x 20,000': (png(20_000, 20_000, 1, 0, zlib.compress(bytes(2501*20_000), 1)), 'image too large'),
    '9,000 x 9,000': (png(9_000, 9_000, 8, 2, b''), 'image too large'),
    'EPS': (b'%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n', 'not an image'),
}

@pytest.mark.parametrize('name', usable)
def test_unusual_picture_is_used(shop, name):
    (shop.images/'x.img').write_bytes(usable[name])
    r = shop.read('x,Mug,Big,Mugs,x.img,')
    assert len(r.products) == 3 and check_image(r.products.image[2]) is None
    im = load_image(r.products.image[2])
    assert im.mode == 'RGB' and im.size[0] in (1, 32, 64)
    if 'alpha' in name: assert im.getpixel((0, 0)) == (255, 255, 255)
    if name in ('animated', 'animated WebP', 'CMYK'): assert im.getpixel((0, 0))[0] > 150 > im.getpixel((0, 0))[2]
    if name == '16-bit': assert abs(im.getpixel((0, 0))[0] - 30_000/257) < 1.5
    if name == 'float': assert abs(im.getpixel((0, 0))[0] - 127.5) < 1.5

@pytest.mark.parametrize('name', unusable)
def test_bad_picture_is_quarantined(shop, name):
    raw, reason = unusable[name]
    (shop.images/'x.jpg').write_bytes(raw)
    r = shop.read('x,Mug,Big,Mugs,x.jpg,')
    assert r.quarantine.row.tolist() == [4] and r.quarantine.reason[0].startswith(reason)
    assert check_image(shop.images/'x.jpg').startswith(reason)
    one_line(lambda: load_image(shop.images/'x.jpg'), 'x.jpg', reason)
    kept = shop.read('x,Mug,Big,Mugs,x.jpg,', 'y,,,Mugs,x.jpg,', bad_image='text-only')
    assert kept.products.id.tolist() == ['g1', 'g2', 'x'] and pd.isna(kept.products.image[2]) and any('stay with their text' in n for n in kept.notes)
    assert kept.quarantine.reason[0].startswith(reason)   # no words and no picture

def test_bomb_is_refused_by_its_header():
    code = '''
import resource, sys
from prodclf.data.dataset import ProductDataset
from prodclf.data.images import check_image
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(check_image(sys.argv[1])); assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 60_000'''
    import tempfile, os
    with tempfile.NamedTemporaryFile(suffix='.png', delete=False) as f: f.write(unusable['20,000 x 20,000'][0])
    try: out = subprocess.run([sys.executable, '-W', 'error', '-c', code, f.name], capture_output=True, text=True)
    finally: os.unlink(f.name)
    assert out.returncode == 0 and out.stdout.startswith('image too large'), out.stderr

def test_links(shop):
    (shop.folder/'secret.jpg').write_bytes(jpeg)
    (shop.images/'out.jpg').symlink_to(shop.folder/'secret.jpg'); (shop.images/'in.jpg').symlink_to(shop.images/'0.jpg'); (shop.images/'door').symlink_to(shop.folder)
    r = shop.read('x1,Mug,,Mugs,out.jpg,', 'x2,Mug,,Mugs,in.jpg,', 'x3,Mug,,Mugs,door/secret.jpg,')
    assert r.quarantine.id.tolist() == ['x1', 'x3'] and set(r.quarantine.reason) == {'image outside the images folder'}

def test_every_cut_of_a_picture_is_noticed_or_loads():
    for raw in (encoded(noise, 'JPEG'), encoded(noise.convert('RGB'), 'PNG'), encoded(noise, 'GIF'), encoded(noise.convert('RGB'), 'WEBP')):
        for n in range(0, len(raw), max(1, len(raw)//25)):
            trouble = check_image(raw[:n])
            if trouble is None: load_image(raw[:n])
            else: one_line(lambda: load_image(raw[:n]), 'image')

def test_bytes_turned_over_never_escape_as_another_error():
    r = np.random.default_rng(0)
    for raw in (encoded(noise, 'JPEG'), encoded(noise.convert('RGB'), 'PNG'), encoded(noise, 'GIF'), encoded(noise.convert('RGB'), 'WEBP'), encoded(noise, 'TIFF'), encoded(noise, 'BMP')):
        for _ in range(60):
            b = bytearray(raw)
            for at in r.integers(0, min(len(b), 400), 4): b[at] = r.integers(256)
            check_image(bytes(b))


# ---- the account, on random dirt ---------------------------------------------------------------------------

def test_account_holds_for_random_dirt(shop):
    r = np.random.default_rng(1)
    cells = ['', '', 'Mug', '"quoted, well"', '"open', 'in"side', 'a,b', '<b>', '\x00', 'Mugs', '0.jpg', 'none.jpg', '../x', '"two\nlines"', '""', 'é', 'g1']
    for trial in range(25):
        lines = [','.join(r.choice(cells, 6)) for _ in range(30)]
        reading = check(read_catalog(shop.write(*lines), bad_image=str(r.choice(['quarantine', 'text-only'])), need_label=bool(r.integers(2)), min_per_class=int(r.integers(1, 4)), chunk_rows=int(r.integers(1, 40))))
        write_catalog(reading.products, shop.folder/'again.csv')
        p = reading.products  # a group that is an id may hold markup
        again = p.assign(group=[clean_text(g) or i for g, i in zip(p.group, p.id)])
        if len(again): pd.testing.assert_frame_equal(read_catalog(shop.folder/'again.csv', need_label=False).products, again)

def test_cleaning_twice_changes_nothing():
    r = np.random.default_rng(2)
    pieces = ['<b>', '<', '>', '&', 'amp;', 'lt;', '&lt;', '&#60;', ';', '<!--', '-->', '<script>', '</script>', 'é', 'e\u0301', '\u200b', '\x00', ' ', 'mug', '\ud800']
    for _ in range(2000):
        once = clean_text(''.join(r.choice(pieces, 10)), 25)
        assert clean_text(once, 25) == once and len(once) <= 25

def test_catalog_needs_no_torch():
    out = subprocess.run([sys.executable, '-c', 'import sys, prodclf.data.catalog, prodclf.data.splits; print("torch" in sys.modules)'], capture_output=True, text=True)
    assert out.stdout.strip() == 'False', out.stderr
