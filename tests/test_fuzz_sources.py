"""Damaged and strange input through the readers and `prepare`: nothing crashes, nothing hangs, and every row is accounted for.

Fixed seeds and small numbers every day; PRODCLF_FUZZ=20000 pytest tests/test_fuzz_sources.py for many."""
import csv, gzip, io, json, os, random, re, signal, struct, zipfile
from contextlib import contextmanager

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st
from PIL import Image

from prodclf.core import ProdclfError
from prodclf.data.amazon import iter_source, open_source
from prodclf.data.catalog import Reading, read_catalog
from prodclf.data.dataset import part_schema
from prodclf.data.images import ImageError, load_image, shrink
from prodclf.data.prepare import Job, PrepareConfig, prepare, prepare_part, source_jobs
from prodclf.data.tables import Rejected, product_columns, quarantine_columns, quarantine_frame, read_rows
from prodclf.data.text import clean_text, find_encoding

many = int(os.environ.get('PRODCLF_FUZZ', 500))       # mutated lines, rows and pictures each
odd = re.compile('[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufeff\u202e]')
often = settings(max_examples=max(50, many//12), deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))


@contextmanager
def in_time(seconds=20):
    "A hang is a failure"
    def late(*_): raise TimeoutError(f'not done after {seconds} s')
    if not hasattr(signal, 'SIGALRM'): yield; return
    before = signal.signal(signal.SIGALRM, late); signal.setitimer(signal.ITIMER_REAL, seconds)
    try: yield
    finally: signal.setitimer(signal.ITIMER_REAL, 0); signal.signal(signal.SIGALRM, before)


def read(file, **options):
    "{row: 'product' or reason} of a source of one file; the account holds, and the text is text"
    found, rows = {}, 0
    for reading in iter_source(file, chunk_rows=257, **options):
        assert list(reading.products.columns) == product_columns and list(reading.quarantine.columns) == quarantine_columns
        rows += reading.rows
        for row in reading.origin['row']: assert row not in found; found[row] = 'product'
        for row,reason,remedy in zip(reading.quarantine['row'], reading.quarantine.reason, reading.quarantine.remedy): assert row not in found and reason and remedy, row; found[row] = reason
        for column in product_columns:
            for value in reading.products[column].dropna(): assert value and (column in ('id', 'group') or not odd.search(value)), (column, value)
    assert len(found) == rows
    return found


def prepared(file, out, expected, **options):
    "The whole way; the account of the manifest is that of the reader"
    dataset = prepare(file, out, PrepareConfig(part_rows=200, longest=32), workers=1, **options)
    m, quarantine = dataset.manifest, pd.read_parquet(out/'quarantine.parquet')
    assert m['rows'] == expected and m['products'] == len(dataset) == expected - len(quarantine) and sum(m['reasons'].values()) == len(quarantine)
    assert sum(len(t) for _,t in dataset.batches()) == len(dataset)
    ids = dataset.column('id').to_pylist()
    assert len(set(ids)) == len(ids) and None not in ids and None not in dataset.column('group').to_pylist()
    return dataset


def same_as_in_memory(file, dataset, **options):
    "What was prepared is what a table in memory holds: the same products, the same rejected rows"
    reading, quarantine = read_catalog(file, **options), pd.read_parquet(dataset.folder/'quarantine.parquet')
    columns = [c for c in product_columns if c not in ('image', 'group')]
    pd.testing.assert_frame_equal(dataset.take(range(len(dataset)))[columns], reading.products[columns])
    pd.testing.assert_frame_equal(quarantine.astype(reading.quarantine.dtypes), reading.quarantine)


# ---- JSON lines -------------------------------------------------------------------------------------------

forms = {
    'abo': dict(item_id='Z', domain_name='a.com', item_name=[dict(language_tag='en_US', value='Mug für Tee')], bullet_point=[dict(language_tag='en_US', value='x')], product_type=[dict(value='MUG')], main_image_id='p', other_image_id=['q'], node=[dict(node_id=1, node_name='/Categories/A/B')]),
    'amazon-reviews': dict(parent_asin='Z', main_category='T', title='Zug <b>für</b>', features=['a &amp; b'], description=['b'], categories=['A', 'B'], images=[dict(thumb='https://a/b', large=None, hi_res=None)], price=1.5, details=dict(a='b')),
}
atoms = [None, float('nan'), float('inf'), True, -3, 10**50, '', 'x\x00\ud800<', [], {}, 'http://a b/c', 1.5, '\u202e\ufeff', 'a'*30_000, '<script>', '&#x110000;', 'e\u0301'*9, '\U0001f600']


def strange(draw, depth=0):
    "Any JSON value, at times shaped like what belongs there"
    if depth > 2 or draw.random() < .5: return draw.choice(atoms)
    inner = lambda: strange(draw, depth+1)
    return draw.choice([lambda: [inner() for _ in range(3)], lambda: dict(value=inner(), language_tag=inner()), lambda: dict(hi_res=inner(), large=inner()), lambda: [dict(value=inner())], lambda: [dict(thumb=inner())]])()


def mutated_bytes(raw, draw, times, alphabet=range(256)):
    "Some bytes replaced, dropped, doubled, or the rest cut off"
    raw = bytearray(raw)
    for _ in range(times):
        if not raw: break
        at = draw.randrange(len(raw))
        kind = draw.randrange(12)
        if kind < 8: raw[at] = draw.choice(alphabet)
        elif kind == 8: del raw[at:at + draw.randrange(1, 9)]
        elif kind == 9: raw[at:at] = raw[at:at + draw.randrange(1, 9)]
        elif kind == 10: raw[at:at] = bytes(draw.choice(alphabet) for _ in range(draw.randrange(1, 5)))
        else: del raw[at:]
    return bytes(raw)


def json_line(source, i, draw):
    record = json.loads(json.dumps(forms[source])); record['item_id' if source == 'abo' else 'parent_asin'] = f'I{draw.randrange(i//2, i + 1)}'
    for _ in range(draw.randrange(3)): record[draw.choice(list(record))] = strange(draw)
    if draw.random() < .02: return (b'{"title": ' + b'['*draw.choice([5, 300, 700, 980, 5000]) + b']'*draw.choice([0, 980]) + b'}')
    if draw.random() < .02: return json.dumps(dict(record, title=deep(draw.choice([50, 300, 700]), draw))).encode()
    return mutated_bytes(json.dumps(record, ensure_ascii=draw.random() < .1).encode('utf-8', 'surrogatepass'), draw, draw.choice([0, 0, 0, 1, 3, 10])).replace(b'\n', b' ')


def deep(n, draw):
    value = 'x'
    for _ in range(n): value = [value] if draw.random() < .5 else {'a': value}
    return value


@pytest.mark.parametrize('source', forms)
def test_mutated_json_lines(source, tmp_path):
    draw = random.Random(f'{source}')
    lines = [json_line(source, i, draw) for i in range(many//2)]
    expected = {n for n,line in enumerate(lines, 1) if line.strip()}
    file = tmp_path/'meta_x.jsonl.gz'; file.write_bytes(gzip.compress(b'\n'.join(lines), 1))
    with in_time(max(30, many/10)):
        language = dict(language=draw.choice(['en', '', 'de_DE'])) if source == 'abo' else {}
        for options in (dict(source=source, label=draw.choice(['leaf', 'main', 2, 'path']), **language), dict(source=source, need_label=False, bad_image='text-only')):
            found = read(file, **options)
            assert set(found) == expected
        text, label, image, path = ('title', 'parent_asin', 'images', 'categories') if source != 'abo' else ('item_name', 'item_id', 'main_image_id', 'node')
        roles = dict(text=text, label=label, image=image, path=path)
        (tmp_path/'images').mkdir(); (tmp_path/'images'/'x').write_bytes(b'')
        assert set(read(file, source='table', **roles)) == expected
        prepared(file, tmp_path/'published', len(expected), source=source)
        same_as_in_memory(file, prepared(file, tmp_path/'table', len(expected), source='table', **roles), **roles)
    assert list(found.values()).count('product') > many/20


# ---- CSV rows ---------------------------------------------------------------------------------------------

@pytest.mark.parametrize('suffix', ['.csv', '.csv.gz'])
@pytest.mark.parametrize('name', ['amazon_products', 'products'])
def test_mutated_csv_rows(name, suffix, tmp_path):
    "Every other row is damaged; the whole ones between them are all found again"
    draw = random.Random(name + suffix)
    rows = [f'C{i},"Lamp, ""{i}"" – é",https://i.example/{i}.jpg,{draw.choice([7, 8])}'.encode() for i in range(many//2)]
    for i in range(0, len(rows), 2): rows[i] = mutated_bytes(rows[i], draw, draw.choice([1, 1, 2, 5]), b'\x00\xff",;0\r\n\t|\'\\\xef\xbb\xbf')
    header = b'asin,title,imgUrl,category_id' if name == 'amazon_products' else b'id,title,image,category'
    raw = header + b'\n' + b'\n'.join(rows)
    file = tmp_path/f'{name}{suffix}'; file.write_bytes(raw if suffix == '.csv' else gzip.compress(raw, mtime=0))
    with in_time(max(30, many/10)):
        dataset = prepared(file, tmp_path/'out', len(read(file)))
    if name == 'products': same_as_in_memory(file, dataset)
    found = set(dataset.column('id').to_pylist()) | set(pd.read_parquet(tmp_path/'out'/'quarantine.parquet').id.dropna())
    lost = {f'C{i}' for i in range(1, len(rows), 2)} - found
    assert not lost, sorted(lost)[:5]


def test_mutated_gzip(tmp_path):
    "A compressed file with a wrong byte: what can be read is read, the place is told, or one clear error"
    draw, raw = random.Random(0), gzip.compress(b'id,title,category\n' + b'\n'.join(f'p{i},Mug {i*7919 % 1000},Mugs'.encode() for i in range(400)), mtime=0)
    outcomes = set()
    for i in range(max(30, many//30)):
        (file := tmp_path/'products.csv.gz').write_bytes(mutated_bytes(raw, draw, 1))
        try:
            with in_time(): found = read(file)
            assert set(found.values()) <= {'product', 'file torn', 'wrong encoding', 'malformed row', 'duplicate id', 'no label', 'neither text nor image'}, set(found.values())
            outcomes.add('torn' if 'file torn' in found.values() else 'whole')
        except ProdclfError as e: assert 'Remedy' in str(e); outcomes.add('refused')
    assert 'torn' in outcomes


def test_mutated_parquet(tmp_path):
    draw = random.Random(0)
    pd.DataFrame(dict(id=[str(i) for i in range(1000)], title=['a b']*1000, label=['x']*1000, image=[b'\xff\xd8']*1000)).to_parquet(tmp_path/'p.parquet', row_group_size=200)
    raw = (tmp_path/'p.parquet').read_bytes(); (tmp_path/'p.parquet').unlink()
    for i in range(max(30, many//30)):
        (file := tmp_path/'products.parquet').write_bytes(mutated_bytes(raw, draw, 2))
        try:
            with in_time(): read(file)
        except ProdclfError as e: assert 'Remedy' in str(e)


# ---- whole files of every kind ------------------------------------------------------------------------------

shop = [dict(id=f'f{i}', title=f'Lamp {i} – é', description=f'of size {i * 7919 % 1000}', category='Lamps' if i % 2 else 'Mugs') for i in range(24)]


def text_file(delimiter=',', quoting=csv.QUOTE_MINIMAL, head='', end='\n', encoding='utf-8'):
    out = io.StringIO(); w = csv.DictWriter(out, list(shop[0]), delimiter=delimiter, quoting=quoting, lineterminator=end)
    w.writeheader(); w.writerows(shop)
    return (head + out.getvalue()).encode(encoding)


def arrow_file(write):
    import pyarrow as pa
    out = io.BytesIO(); write(pa.Table.from_pylist(shop), out); return out.getvalue()


def parquet(table, out):
    import pyarrow.parquet as pq
    about = {'info': {'features': {'category': {'names': ['a', 'b'], '_type': 'ClassLabel'}}}}
    pq.write_table(table.replace_schema_metadata({'huggingface': json.dumps(about)}), out, row_group_size=7)


def ipc(table, out):
    import pyarrow as pa
    with pa.ipc.new_file(out, table.schema) as w: w.write_table(table, 7)


def workbook(table, out):
    from openpyxl import Workbook
    book = Workbook()
    for row in [list(shop[0]), *(list(r.values()) for r in shop)]: book.active.append(row)
    book.save(out)


def zipped(table, out):
    with zipfile.ZipFile(out, 'w', zipfile.ZIP_DEFLATED) as z: z.writestr('products.csv', text_file())


by_lines = {        # name of the file -> its bytes; a row stands on one line
    'a.csv': text_file(), 'b.csv': text_file(';', csv.QUOTE_ALL), 'c.tsv': text_file('\t'), 'd.csv': text_file('|', head='sep=|\n'), 'e.csv': text_file(head='Report of May\n\n'),
    'f.csv': text_file(end=',\n'), 'g.csv': text_file(encoding='utf-8-sig'), 'h.jsonl': b''.join(json.dumps(r).encode() + b'\n' for r in shop), 'i.jsonl': b''.join(f'{r!r}\n'.encode() for r in shop)}
as_a_whole = {
    'a.json': json.dumps(shop).encode(), 'b.json': json.dumps(dict(page=1, products=shop), indent=1).encode(), 'c.csv': text_file(encoding='utf-16'), 'd.csv': text_file('\t', encoding='utf-16-le'),
    'e.csv.gz': gzip.compress(text_file(), mtime=0), 'f.zip': arrow_file(zipped), 'g.parquet': arrow_file(parquet), 'h.arrow': arrow_file(ipc), 'i.xlsx': arrow_file(workbook)}
marks = b'\x00\xff",;0\r\t|\'\\[]{}:#\xef\xbb\xbf'
files = many if many > 500 else 270


@pytest.mark.parametrize('name', by_lines)
def test_damaged_lines_of_every_kind(name, tmp_path):
    "One or two lines are damaged: every other line is a row under its own number, whatever stands in those"
    draw, (*lines, _) = random.Random(name), by_lines[name].split(b'\n')
    first = next(i for i, line in enumerate(lines) if b'f0' in line)
    for _ in range(files // 18):
        spoiled, at = list(lines), draw.sample(range(first, len(lines)), draw.choice([1, 1, 2]))
        for i in at: spoiled[i] = mutated_bytes(spoiled[i], draw, draw.choice([1, 1, 2, 4]), marks)
        (file := tmp_path/name).write_bytes(b'\n'.join(spoiled) + b'\n')
        try:
            with in_time(): found = read(file, source='table', need_label=False)
        except ProdclfError as e: raise AssertionError(spoiled) from e
        lost = {n for n in range(first + 1, len(lines) + 1) if n - 1 not in at} - set(found) if b'\r' not in b''.join(spoiled) else set()
        assert not lost, (lost, [spoiled[i] for i in at])


@pytest.mark.parametrize('where,name', [('lines', n) for n in by_lines] + [('whole', n) for n in as_a_whole])
def test_damaged_files_of_every_kind(where, name, tmp_path):
    "Any bytes are damaged: rows and rejected rows, or one sentence with a remedy"
    raw, draw = dict(lines=by_lines, whole=as_a_whole)[where][name], random.Random(where + name)
    outcomes = {'read': 0, 'refused': 0}
    for i in range(files // 18):
        (file := tmp_path/name).write_bytes(mutated_bytes(raw, draw, draw.choice([0, 1, 1, 2, 8]), draw.choice([range(256), marks])))
        try:
            with in_time(): read(file, source=draw.choice(['auto', 'table']), need_label=False)
        except ProdclfError as e: assert 'Remedy: ' in str(e) and '\n' not in str(e), e; outcomes['refused'] += 1
        else: outcomes['read'] += 1
    assert outcomes['read'] and sum(outcomes.values()) == files // 18, outcomes


# ---- pictures ---------------------------------------------------------------------------------------------

def picture(kind, draw, side=48, **options):
    r = np.random.default_rng(draw.randrange(10**6))
    im = Image.fromarray((r.random((6, 6, 3))*250).astype('uint8')).resize((side, side*3//4), Image.Resampling.BICUBIC)
    mode = options.pop('mode', 'RGB')
    if options.pop('turned', False): exif = im.getexif(); exif[0x0112] = draw.randrange(1, 9); options['exif'] = exif
    im.convert(mode).save(out := io.BytesIO(), kind, **options)
    return out.getvalue()


kinds = [('JPEG', {}), ('JPEG', {}), ('JPEG', dict(turned=True)), ('JPEG', dict(progressive=True)), ('JPEG', dict(mode='L')), ('JPEG', dict(mode='CMYK')), ('JPEG', dict(subsampling=0, restart_marker_blocks=2)), ('JPEG', dict(icc_profile=b'x'*300, comment='c'*50)),
         ('PNG', {}), ('PNG', dict(mode='P')), ('PNG', dict(mode='RGBA')), ('WEBP', {}), ('GIF', {}), ('BMP', {}), ('TIFF', {}), ('TIFF', dict(mode='I;16'))]


def spoiled(raw, draw):
    "A picture with a damaged header, damaged size, damaged body, cut off, or with something else inside"
    start, how = max(0, raw.find(b'\xff\xda')) or min(len(raw), 200), draw.randrange(8)
    if how == 0: return mutated_bytes(raw[:start], draw, draw.choice([1, 2, 5])) + raw[start:]
    if how == 1: return raw[:start] + mutated_bytes(raw[start:], draw, draw.choice([1, 3, 20]))
    if how == 2: return raw[:draw.randrange(len(raw))]
    if how == 3 and (at := max(raw.find(b'\xff\xc0'), raw.find(b'\xff\xc2'))) > 0:       # another height and width
        return raw[:at+5] + struct.pack('>HH', *(draw.choice([0, 1, 40, 4000, 65535]) for _ in range(2))) + raw[at+9:]
    if how == 4 and (at := raw.find(b'IHDR')) > 0: return raw[:at+4] + struct.pack('>II', *(draw.choice([0, 1, 40, 4000, 2**31]) for _ in range(2))) + raw[at+12:]
    if how == 5: return raw[:start] + bytes(draw.randrange(256) for _ in range(draw.randrange(300)))
    if how == 6: return raw + mutated_bytes(raw, draw, 2)
    return mutated_bytes(raw, draw, draw.choice([1, 2, 8, 40]))


def test_mutated_pictures(tmp_path):
    "A small JPEG comes out, or a reason; never anything else, and never late"
    draw, reasons, good = random.Random(5), {}, 0
    for i in range(0, many, 250):
        data = []
        for k in range(min(250, many-i)):
            kind, options = kinds[(i+k) % len(kinds)] if k % 3 else kinds[k % 8]
            data.append(spoiled(picture(kind, draw, draw.choice([24, 48, 100]), **options), draw))
        ids = pd.Series([f'p{j}' for j in range(len(data))], dtype='str')
        products = pd.DataFrame({c: pd.Series([None]*len(data), dtype='str') for c in product_columns}).assign(id=ids, group=ids, label='Mugs')
        reading = Reading(products, quarantine_frame([]), len(data), origin=pd.DataFrame(dict(file='f', row=range(len(data)), image_bytes=data)))
        with in_time(120): entry = prepare_part(Job(f'part-{i:05d}', reading), tmp_path, PrepareConfig(longest=32))
        part, bad = entry['part'], list(zip(*entry['rejected'].values()))
        assert part['rows'] + len(bad) == len(data) and part['pictures'] == part['rows'] and {r[1] for r in bad} <= set(range(len(data)))
        for r in bad: reasons[r[3]] = reasons.get(r[3], 0) + 1
        good += part['rows']
        import pyarrow.parquet as pq
        table = pq.read_table(tmp_path/f'part-{i:05d}.parquet'); assert table.schema.equals(part_schema())
        for cell,mark in zip(table['image'].to_pylist(), table['image_hash'].to_pylist()):
            im = load_image(tmp_path/'images'/cell)
            assert im.mode == 'RGB' and 1 <= max(im.size) <= 32
            assert len(mark) == 32 if mark else max(im.size) < 3           # a pixel is nothing to know a product by
    print(good, reasons)
    assert good > many/10 and set(reasons) <= {'image damaged', 'image truncated', 'image too large', 'image empty', 'not an image'} and len(reasons) > 3, reasons


def test_mutated_pictures_as_files(tmp_path):
    "The same from a folder, to the end"
    draw, n = random.Random(6), many//6
    (tmp_path/'raw'/'images').mkdir(parents=True)
    for i in range(n):
        raw = picture(*[('JPEG', {}), ('PNG', {}), ('WEBP', {})][i % 3][:1], draw)
        (tmp_path/'raw'/'images'/f'{i}.jpg').write_bytes(raw if i % 2 else spoiled(raw, draw))
    with open(tmp_path/'raw'/'products.csv', 'w', newline='') as f: csv.writer(f).writerows([('id', 'title', 'category', 'image'), *((f'p{i}', 'Mug', 'Mugs', f'{i}.jpg') for i in range(n))])
    with in_time(max(60, many/20)):
        dataset = prepared(tmp_path/'raw', tmp_path/'out', n)
        lenient = prepare(tmp_path/'raw', tmp_path/'lenient', PrepareConfig(part_rows=200, longest=32, bad_image='text-only'), workers=1)
    assert {f'p{i}' for i in range(1, n, 2)} <= set(dataset.column('id').to_pylist()) and len(lenient) == n


@often
@given(st.binary(max_size=300), st.sampled_from([b'', b'\xff\xd8\xff\xe0', b'\x89PNG\r\n\x1a\n', b'GIF89a', b'RIFF\x10\x00\x00\x00WEBP', b'BM', b'II*\0', b'MM\0*', b'\0\0\0\x1cftypavif']))
def test_any_bytes_as_a_picture(body, start):
    with in_time():
        try: data, im = shrink(start + body, 32)
        except ImageError as e: assert e.reason and '\n' not in str(e)
        else: assert max(im.size) <= 32 and load_image(data).size == im.size


# ---- anything at all --------------------------------------------------------------------------------------

values = st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.sampled_from(atoms), lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(['value', 'language_tag', 'thumb', 'large', 'hi_res', 'a']), inner, max_size=3), max_leaves=8)


@often
@given(st.text(alphabet=st.characters(), max_size=60) | st.lists(st.sampled_from(['<', '>', '&', 'amp;', 'lt;', '#60;', '<b>', '</b>', '<script>', '<!--', '-->', ' ', '\n', '\x00', '\u200b', 'é', 'e\u0301', 'a', '\ud800', '\xa0', '&#x3c;']), max_size=12).map(''.join))
def test_any_text_is_cleaned_once(text):
    once = clean_text(text)
    assert clean_text(once) == once and once == once.strip() and '  ' not in once
    once.encode(); assert not any(c in '\x00\n\r\u200b\ufeff\u202e' for c in once)


@often
@given(st.sampled_from(sorted(forms)), st.lists(st.dictionaries(st.sampled_from(sorted({k for f in forms.values() for k in f})), values, max_size=9), min_size=1, max_size=5))
def test_any_record(source, records):
    "As lines of a file: each is a product or refused; what comes out can be written"
    import tempfile
    from pathlib import Path
    with tempfile.TemporaryDirectory() as d, in_time():
        file = Path(d)/'meta_x.jsonl'; file.write_text(''.join(json.dumps(r) + '\n' for r in records))
        assert set(read(file, source=source)) == set(range(1, len(records)+1))
        for job in source_jobs(open_source(file, source=source), PrepareConfig(part_rows=3), need_label=False):
            entry = prepare_part(job, d)
            assert entry['part']['rows'] + len(entry['rejected']['row']) == job.reading.rows


# how files of other kinds begin: archives, documents, images, pages, workbooks, tables of other formats
heads = [b'%PDF', b'SQLite format 3', b'\x89PNG', b'\xff\xd8\xff', b'BZh', b'\xfd7zXZ', b'(\xb5/\xfd', b"7z\xbc\xaf'", b'Rar!', b'\xd0\xcf\x11\xe0', b'PK\x03\x04', b'\x1f\x8b', b'PAR1', b'ARROW1', b'\xff\xff\xff\xff', b'<html', b'<?xml']
unread = re.compile(r'(not text|no table|archive|workbook|page of the web|Parquet|Arrow|JSON|gzip|zip|damaged).*Remedy', re.S)


@often
@given(st.builds(bytes.__add__, st.sampled_from([b'', *heads]), st.binary(max_size=200)) | st.lists(st.sampled_from([b'"', b',', b'\n', b'\r', b'\r\n', b'a', b'b,c', b'""', b'\xff', b'\x00', b';', b'\xef\xbb\xbf', b"'", b'\\']), max_size=40).map(b''.join))
def test_any_bytes_as_lines(raw):
    import tempfile
    from pathlib import Path
    with tempfile.TemporaryDirectory() as d, in_time():
        (file := Path(d)/'x.jsonl').write_bytes(raw)
        try: found = [n for n,_ in read_rows(file)]
        except ProdclfError as e: assert unread.search(str(e))
        else:
            text = raw.decode(find_encoding(file), 'replace').removeprefix('\ufeff')
            assert found == [n for n,line in enumerate(text.split('\n'), 1) if line.strip()]
        (file := Path(d)/'x.csv').write_bytes(b'id,title,label\n' + raw)
        try: rows = list(read_rows(file))
        except ProdclfError as e:
            assert unread.search(str(e))
            return
        numbers = [n for n,_ in rows]
        assert numbers == sorted(numbers) and all(isinstance(r, (dict, Rejected)) for _,r in rows)
        assert bool(rows) == any(line.strip(b'\r\n') for line in raw.splitlines())
        try: read(file)
        except ProdclfError as e: assert 'Remedy' in str(e)       # another encoding, or no rows
