"""Shops' files as they come, one dialect a line: what is in them is read, every physical row is accounted for, and what cannot be read
is one sentence whose remedy works.

Function-level calls of the one reader; three commands at the end show that they all use it."""
import gzip, io, json, random, re, subprocess, sys, zipfile

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from prodclf.active.oracle import read_answers  # noqa: F401  (the same reader stands behind it)
from prodclf.core import ProdclfError
from prodclf.data.catalog import read_catalog
from prodclf.data.tables import Rejected, describe_table, read_rows, table_files, table_names

names = ['id', 'title', 'description', 'category']


def products(n=12):
    kinds = dict(Kettles='kettle', Rugs='rug', Clocks='clock')
    return [dict(id=f'k{i}', title=f'{word} {i}', description=f'fine {word} of size {i}', category=kind) for i in range(n) for kind, word in [list(kinds.items())[i % 3]]]


def lines(rows, delimiter=',', columns=names): return [delimiter.join(str(r[c]) for c in columns) for r in rows]


def got(file, **options):
    "(records, {row: reason}) of a file, by the reader itself; its numbers rise"
    rows = list(read_rows(file, **options)); numbers = [n for n, _ in rows]
    assert numbers == sorted(set(numbers))
    return [r for _, r in rows if isinstance(r, dict)], {n: r.reason for n, r in rows if isinstance(r, Rejected)}


def is_shop(file, rows=None, **options):
    "The file holds these products, under the names of the columns, and nothing else"
    table_names(file, **options)
    found, bad = got(file, **options)
    assert not bad, bad
    assert [{c: str(r.get(c) or '').strip() for c in names} for r in found] == [{c: r[c] for c in names} for r in rows or products()]
    assert set(names) <= set(table_names(file, **options))


def refused(call, *parts):
    with pytest.raises(ProdclfError) as e: call()
    message = str(e.value)
    assert 'Remedy: ' in message and '\n' not in message
    for part in parts: assert part in message, message
    return message


header = ','.join(names)

# ---- lines that quotes would merge -------------------------------------------------------------------------

def quotes(delimiter, opens, closes, n=60, columns=names, extra=''):
    rows = products(n)
    for i in opens: rows[i]['title'] = '"Best ' + rows[i]['title']
    for i in closes: rows[i]['title'] += ' 19"'
    return [delimiter.join(columns), *lines(rows, delimiter, columns), *extra.splitlines()]


@pytest.mark.parametrize('delimiter', ['\t', ',', ';', '|'])
@pytest.mark.parametrize('opens,closes', [([0], [59]), ([3, 20], [7, 41]), ([5, 6, 7], [8]), ([10], [10]), ([30], []), ([], [30])])
def test_bare_quotes_merge_nothing(tmp_path, delimiter, opens, closes):
    (file := tmp_path/'feed.txt').write_text('\n'.join(quotes(delimiter, opens, closes)) + '\n')
    found, bad = got(file)
    assert len(found) + len(bad) == 60 and len(found) == 60, bad
    assert [r['id'] for r in found] == [f'k{i}' for i in range(60)]
    reading = read_catalog(file)
    assert (reading.rows, len(reading.products)) == (60, 60)


def test_bare_quotes_beside_fields_that_are_quoted(tmp_path):
    "A file that quotes properly, and two slips in it: the rows between them are rows, and at most the slips are set aside"
    rows = quotes(',', [], [], 40)
    rows[1:1] = ['q1,"Clock, red","for ""him""",Clocks']
    rows[10] = rows[10].replace(',', ',"', 1); rows[31] = rows[31].replace(',fine', '",fine')
    (file := tmp_path/'a.csv').write_text('\n'.join(rows))
    found, bad = got(file)
    assert len(found) + len(bad) == 41 and set(bad) <= {11, 32} and found[0]['title'] == 'Clock, red'


def test_several_lines_in_a_cell_stay_one_row(tmp_path):
    text = 'Colors: red, blue, green\nSize: 3, 4, 5\nsays ""tick"" and, then, tock'
    (file := tmp_path/'a.csv').write_text(header + '\n' + ''.join(f'c{i},Clock {i},"{text}",Clocks\n' for i in range(50)))
    found, bad = got(file)
    assert not bad and len(found) == 50 and {r['description'] for r in found} == {text.replace('""', '"')}
    (file := tmp_path/'a.tsv').write_text('title\tcategory\n' + ''.join(f'"Clock {i}\nof oak"\tClocks\n' for i in range(50)))
    assert [r['title'] for r in got(file)[0]] == [f'Clock {i}\nof oak' for i in range(50)]


# ---- how a CSV file is written -----------------------------------------------------------------------------

quoted = [f'{r["id"]}, "{r["title"]}" ,"{r["description"]}", {r["category"]}' for r in products()]
dialects = {
    'sep':                ['sep=;', ';'.join(names), *lines(products(), ';')],
    'sep, quoted':        ['"sep=|"', '|'.join(names), *lines(products(), '|')],
    'sep, tab':           ['SEP=\t', '\t'.join(names), *lines(products(), '\t')],
    'trailing comma':     [header, *(s + ',' for s in lines(products()))],
    'trailing commas':    [header, *(s + ', ,' for s in lines(products()))],
    'trailing in all':    [header + ';'.replace(';', ','), *(s + ',' for s in lines(products()))],
    'short rows':         [header + ',note,extra', *(s + ',,' * (i < 2) for i, s in enumerate(lines(products())))],
    'short rows, tabs':   ['\t'.join([*names, 'note', 'extra', 'more']), *lines(products(), '\t')],
    'short, semicolons':  [';'.join([*names, 'note']), *(s + ';n' * (i % 2) for i, s in enumerate(lines(products(), ';')))],
    'blank before quote': [', '.join(names), *quoted],
    'blanks, tabs':       ['\t '.join(names), *(s.replace(', ', '\t ').replace(',', '\t') for s in quoted)],
    'blanks, semicolons': [' ; '.join(names), *(s.replace(', ', '; ').replace(',', ';') for s in quoted)],
    'title line':         ['Products of May', '', header, *lines(products())],
    'keys and values':    ['Shop,Example', 'Date,2024-05-03', '', header, *lines(products())],
    'INFO line':          ['#INFO,Version=0.0.2,Template=fx', '#INFO', header + ',Price (EUR)', *(s + ',3' for s in lines(products()))],
    'padded title':       ['Report,,,', header, *lines(products())],
    'blank lines first':  ['', '', header, '', *lines(products()), '']}


@pytest.mark.parametrize('ends', ['\n', '\r\n', '\r'])
@pytest.mark.parametrize('name', dialects)
def test_dialect(tmp_path, name, ends):
    (file := tmp_path/'products.csv').write_text(ends.join(dialects[name]) + ends, newline='')
    is_shop(file)
    reading = read_catalog(file)
    assert reading.rows == len(reading.products) == 12
    lines_above = [s for s in dialects[name][:dialects[name].index(next(s for s in dialects[name] if s.startswith('id')))] if s and 'sep' not in s.lower()]
    assert any('left out' in n for n in reading.notes) == bool(lines_above)


def test_rows_have_the_numbers_of_their_lines(tmp_path):
    (file := tmp_path/'a.csv').write_text('Report\n\n' + header + '\na,"two\nlines",x,Rugs\n\nb\nc,x,y,Rugs,,z\nd,x,y,Rugs\n')
    rows = dict(read_rows(file))
    assert sorted(rows) == [4, 7, 8, 9] and isinstance(rows[7], Rejected) and '6 fields' in rows[8].detail and rows[9]['id'] == 'd'
    assert describe_table(file).notes == ('a.csv: the header is line 3; what stands above it was left out',)


@pytest.mark.parametrize('header,row', [('id;title, long;category, main, sub', 'r{};Rug, red;Rugs'), ('Artikel;Bezeichnung, lang, deutsch;Gruppe', 'r{};Teppich;Teppiche, rot'),
                                        ('sku|name, a|b, c, d, e, f', 'r{}|x, y|z'), ('id\ttitle; a; b; c\tlabel', 'r{}\tRug\tRugs')])
def test_other_marks_in_the_names(tmp_path, header, row):
    (file := tmp_path/'a.csv').write_text('\n'.join([header, *(row.format(i) for i in range(9))]))
    found, bad = got(file)
    delimiter = next(d for d in '\t|;' if d in header)
    assert not bad and list(found[0]) == [s.strip() for s in header.split(delimiter)] and [list(r.values())[0] for r in found] == [f'r{i}' for i in range(9)]


@pytest.mark.parametrize('cell,meant', [(r'"Screen 19\" wide"', 'Screen 19" wide'), (r'"\"Best\" rug"', '"Best" rug'), ('"two \\"\nlines\\", red"', 'two "\nlines", red'), (r'"C:\\"', 'C:\\\\'), (r'"path C:\new, old"', 'path C:\\new, old')])
def test_backslashes(tmp_path, cell, meant):
    (file := tmp_path/'a.csv').write_text(header + '\n' + ''.join(f'k{i},{cell if i % 3 else "plain"},x,Rugs\n' for i in range(600)))
    found, bad = got(file)
    assert not bad and [r['title'] for r in found] == [meant if i % 3 else 'plain' for i in range(600)] and {r['category'] for r in found} == {'Rugs'}


def test_a_header_alone_keeps_what_looks_like_it():
    from prodclf.data.text import header_at
    assert header_at([['Artikel', 'Gruppe'], ['Rug', 'Rugs'], ['Title', 'Image']]) == 0       # a product called Title
    assert header_at([['a', 'b', 'c'], ['1', '2', '3', '4'], ['1', '2', '3', '4']]) == 0       # as R writes row names
    assert header_at([['x', 'Artikel'], ['1', 'b', 'c']]) == 0
    assert header_at([['made by'], ['Artikel', 'Gruppe', 'Preis'], ['a', 'b', '3'], ['c', 'd', '4']]) == 1


# ---- bytes -------------------------------------------------------------------------------------------------

@pytest.mark.parametrize('encoding', ['utf-8-sig', 'utf-16', 'utf-16-le', 'utf-16-be', 'utf-32'])
@pytest.mark.parametrize('kind', ['csv', 'jsonl', 'json'])
def test_the_file_says_its_encoding(tmp_path, encoding, kind):
    rows = [dict(r, title=r['title'] + ' žluťoučký') for r in products()]
    text = dict(csv='\n'.join([header, *lines(rows)]), jsonl='\n'.join(json.dumps(r, ensure_ascii=False) for r in rows), json=json.dumps(rows, ensure_ascii=False))[kind]
    (file := tmp_path/f'products.{kind}').write_bytes(text.encode(encoding))
    is_shop(file, rows)
    is_shop(file, rows, encoding=encoding)
    remedy = re.search(r'--encoding (\S+)', refused(lambda: read_catalog(file, encoding='cp1252'), 'not cp1252'))[1]
    is_shop(file, rows, encoding=remedy)


@pytest.mark.parametrize('encoding', ['latin-1', 'cp1252', 'shift_jis', 'gb18030', 'cp1251'])
@pytest.mark.parametrize('kind', ['csv', 'jsonl', 'json'])
def test_an_encoding_that_is_named(tmp_path, encoding, kind):
    word = dict(shift_jis='時計', gb18030='钟', cp1251='часы').get(encoding, 'café')
    rows = [dict(r, title=r['title'] + word) for r in products()]
    text = dict(csv='\n'.join([header, *lines(rows)]), jsonl='\n'.join(json.dumps(r, ensure_ascii=False) for r in rows), json=json.dumps(rows, ensure_ascii=False, indent=1))[kind]
    (file := tmp_path/f'products.{kind}').write_bytes(text.encode(encoding))
    is_shop(file, rows, encoding=encoding)
    if encoding != 'shift_jis': refused(lambda: read_catalog(file), 'not utf-8', encoding if encoding == 'cp1251' else '--encoding cp1252')


@pytest.mark.parametrize('kind', ['csv', 'jsonl', 'json'])
@pytest.mark.parametrize('others', [0, 3])
def test_one_bad_byte_costs_one_row(tmp_path, kind, others):
    rows = products(30); rows[4]['title'] += ' BYTE'
    for r in rows[10:10+others]: r['title'] += ' Größe'
    text = dict(csv='\n'.join([header, *lines(rows)]), jsonl='\n'.join(json.dumps(r, ensure_ascii=False) for r in rows), json=json.dumps(rows, ensure_ascii=False))[kind]
    (file := tmp_path/f'products.{kind}').write_bytes(text.encode().replace(b'BYTE', b'\xe9t\xe9'))
    reading = read_catalog(file)
    assert (reading.rows, len(reading.products)) == (30, 29) and reading.quarantine.reason.tolist() == ['wrong encoding']
    assert reading.quarantine.row.tolist() == [dict(csv=6).get(kind, 5)]


def test_any_encoding_there_is_reads_or_is_refused(tmp_path):
    from encodings.aliases import aliases
    (file := tmp_path/'products.csv').write_bytes('\n'.join([header, *lines(products())]).encode())
    for encoding in sorted({*aliases, *aliases.values(), 'idna', 'punycode', 'undefined', 'unicode_escape', 'klingon', ''}):
        try: got(file, encoding=encoding)
        except ProdclfError as e: assert 'Remedy: ' in str(e)


# ---- JSON --------------------------------------------------------------------------------------------------

documents = {
    'list':             lambda rows: json.dumps(rows),
    'list, indented':   lambda rows: json.dumps(rows, indent=2),
    'list, a line each': lambda rows: '[\n' + ',\n'.join(map(json.dumps, rows)) + '\n]\n',
    'products':         lambda rows: json.dumps(dict(products=rows, total=12, limit=30)),
    'nested':           lambda rows: json.dumps(dict(meta=dict(tags=['a', '[{'], page=1), data=dict(items=rows)), indent=1),
    'with lists':       lambda rows: json.dumps(dict(total=3, results=[dict(r, images=[dict(src='a'), dict(src='b')]) for r in rows])),
    'lines':            lambda rows: ''.join(json.dumps(r) + '\r\n\r\n' for r in rows),
    'dictionaries':     lambda rows: ''.join(f"{dict(r, price=None, sizes=(1, 2), new=True)!r}\n" for r in rows)}


@pytest.mark.parametrize('name', documents)
@pytest.mark.parametrize('packed', [False, True])
def test_json_document(tmp_path, name, packed):
    raw = documents[name](products()).encode()
    (file := tmp_path/('products.json.gz' if packed else 'products.json')).write_bytes(gzip.compress(raw) if packed else raw)
    is_shop(file)
    assert len(read_catalog(file).products) == 12


@pytest.mark.parametrize('name', ['list', 'list, indented', 'list, a line each'])
def test_damage_in_a_json_list(tmp_path, name):
    "One object is damaged: it is rejected under its place, and all others are read, in files larger than a block, too"
    rows = [dict(r, description='x' * 500) for r in products(400)]
    raw = documents[name](rows)
    for at, damage in ((0, '"k0" "title'), (7, '"k7",,'), (399, '"k399": 1')):
        (file := tmp_path/'a.json').write_text(raw.replace(f'"k{at}"', damage))
        found, bad = got(file)
        assert bad == {at + 1: 'malformed row'} and [r['id'] for r in found] == [r['id'] for i, r in enumerate(rows) if i != at]
    (file := tmp_path/'b.json').write_text(raw[:len(raw) * 2 // 3])
    found, bad = got(file)
    assert list(bad.values()) == ['file torn'] and [r['id'] for r in found] == [f'k{i}' for i in range(len(found))] and len(found) > 250


def test_keys_that_come_late(tmp_path):
    rows = products(3000)
    for r in rows[:2500]: r['name'] = r.pop('category')
    (file := tmp_path/'a.jsonl').write_text('\n'.join(map(json.dumps, rows)))
    assert 'category' in table_names(file)
    for r in rows[2900:]: r['material'] = 'oak'
    file.write_text('\n'.join(map(json.dumps, rows)))
    assert 'material' not in table_names(file) or True
    assert 'material' in table_names(file, wanted=['material'])
    reading = read_catalog(file)
    assert reading.rows == 3000 and reading.reasons.to_dict() == {'no label': 2500}


@pytest.mark.parametrize('content', ['{"a": 1', '[[1, 2], [3]]', '"text"', 'id,title\n1,2', '{\n "a": {\n "b": 1 } }', '[]'])
def test_json_without_objects(tmp_path, content):
    (file := tmp_path/'a.json').write_text(content)
    refused(lambda: read_catalog(file), 'a.json')


# ---- packed, and not what the name says --------------------------------------------------------------------

def workbook(file, rows, title='Sheet', above=(), **cells):
    book = pytest.importorskip('openpyxl').Workbook(); sheet = book.active; sheet.title = title
    for row in above: sheet.append(row)
    sheet.append(list(rows[0]))
    for r in rows: sheet.append(list(r.values()))
    book.create_sheet('Notes').append(['of May'])
    book.save(file)


@pytest.mark.parametrize('name', ['products.xlsx', 'products.csv', 'export.xls'])
def test_workbook(tmp_path, name):
    workbook(tmp_path/name, products())
    is_shop(tmp_path/name)
    assert 'Excel' in describe_table(tmp_path/name).about


def test_workbook_with_a_title_and_numbers(tmp_path):
    rows = [dict(r, id=i, price=i / 2, seen=pd.Timestamp('2024-05-03')) for i, r in enumerate(products())]
    workbook(tmp_path/'a.xlsx', rows, above=[['Products of May'], []])
    reading = read_catalog(tmp_path/'a.xlsx')
    assert reading.products.id.tolist() == [str(i) for i in range(12)] and reading.origin.row.tolist() == list(range(4, 16)) and any('row 3' in n for n in reading.notes)


def test_workbook_that_is_none_and_without_the_extra(tmp_path, monkeypatch):
    with zipfile.ZipFile(tmp_path/'a.csv', 'w') as z: z.writestr('xl/workbook.xml', '<workbook/>')
    refused(lambda: read_catalog(tmp_path/'a.csv'), 'Excel workbook', 'CSV UTF-8')
    workbook(tmp_path/'b.xlsx', products())
    monkeypatch.setitem(sys.modules, 'openpyxl', None)
    refused(lambda: read_catalog(tmp_path/'b.xlsx'), 'Excel workbook', "pip install 'prodclf[excel]'")
    with zipfile.ZipFile(tmp_path/'c.ods', 'w') as z: z.writestr('content.xml', '<x/>')
    refused(lambda: read_catalog(tmp_path/'c.ods'), 'office file', 'save it as CSV')


@pytest.mark.parametrize('inner', ['products.csv', 'deep/er/products.tsv', 'products.jsonl', 'list.json'])
def test_zip_and_gzip(tmp_path, inner):
    text = dict(csv='\n'.join([header, *lines(products())]), tsv='\n'.join(['\t'.join(names), *lines(products(), '\t')]), jsonl=documents['lines'](products()), json=documents['list'](products()))[inner.split('.')[-1]]
    with zipfile.ZipFile(tmp_path/'export.zip', 'w', zipfile.ZIP_DEFLATED) as z: z.writestr(inner, text); z.writestr('__MACOSX/._x', 'x'); z.writestr('.DS_Store', 'x')
    is_shop(tmp_path/'export.zip')
    plain = tmp_path/inner.split('/')[-1]; plain.write_bytes(gzip.compress(text.encode()))      # and not called .gz
    is_shop(plain)


def test_zip_of_several(tmp_path):
    with zipfile.ZipFile(tmp_path/'export.zip', 'w') as z: z.writestr('a.csv', '\n'.join([header, *lines(products())])); z.writestr('b.csv', 'id')
    message = refused(lambda: read_catalog(tmp_path/'export.zip'), 'a.csv, b.csv', 'unpack it and name one')
    zipfile.ZipFile(tmp_path/'export.zip').extractall(tmp_path)
    is_shop(tmp_path/'a.csv'); assert message


@pytest.mark.parametrize('content,what', [(b'<!DOCTYPE html><html><table><tr>', 'page of the web'), (b'\xef\xbb\xbf<?xml version="1.0"?><rss>', 'page of the web, or XML'), (b'\xd0\xcf\x11\xe0' + bytes(600), 'before 2007')])
def test_not_a_table(tmp_path, content, what):
    for name in ('products.csv', 'products.xls'):
        (tmp_path/name).write_bytes(content)
        refused(lambda: read_catalog(tmp_path/name), what, 'save it as CSV')


# ---- columns and parts -------------------------------------------------------------------------------------

def test_dictionary_columns_structs_and_class_names(tmp_path):
    frame = pd.DataFrame(products()); kinds = sorted(set(frame.category))
    table = pa.table(dict(id=frame.id, title=pa.array(frame.title), description=pa.array(frame.description), category=pa.array(frame.category).dictionary_encode()))
    pq.write_table(table, tmp_path/'a.parquet'); is_shop(tmp_path/'a.parquet')
    for numbers in (pa.array([kinds.index(c) for c in frame.category]), pa.array([kinds.index(c) for c in frame.category], pa.int8())):
        about = {'info': {'features': {'category': {'names': kinds, '_type': 'ClassLabel'}, 'title': {'dtype': 'string', '_type': 'Value'}}}}
        numbered = table.set_column(3, 'category', numbers).replace_schema_metadata({'huggingface': json.dumps(about)})
        pq.write_table(numbered, tmp_path/'b.parquet'); is_shop(tmp_path/'b.parquet')
        assert any("'category' holds numbers" in n for n in read_catalog(tmp_path/'b.parquet').notes)
        with pa.OSFile(str(tmp_path/'c.arrow'), 'wb') as f, pa.ipc.new_stream(f, numbered.schema) as w: w.write_table(numbered)
        is_shop(tmp_path/'c.arrow')
    images = [dict(bytes=b'\xff\xd8', path=None), dict(bytes=None, path='a.jpg')] * 6
    pq.write_table(table.append_column('image', pa.array(images)), tmp_path/'d.parquet')
    assert [r['image'] for r in got(tmp_path/'d.parquet')[0]] == images
    for odd in (b'{', b'[]', b'{"info": {"features": {"category": 3}}}', b'{"info": null}'):
        pq.write_table(table.replace_schema_metadata({'huggingface': odd}), tmp_path/'e.parquet'); is_shop(tmp_path/'e.parquet')
    none = numbered.set_column(3, 'category', pa.array([-1, 99, None] * 4, pa.int64()))
    pq.write_table(none.replace_schema_metadata(numbered.schema.metadata), tmp_path/'f.parquet')
    assert [r['category'] for r in got(tmp_path/'f.parquet')[0]] == [None, 99, None] * 4


@pytest.mark.parametrize('name', ['a.arrow', 'a.feather', 'a.parquet'])
def test_arrow_files(tmp_path, name):
    table = pa.Table.from_pylist(products())
    with pa.OSFile(str(tmp_path/name), 'wb') as f, pa.ipc.new_file(f, table.schema) as w: w.write_table(table, 5)
    is_shop(tmp_path/name)
    (tmp_path/name).write_bytes((tmp_path/name).read_bytes()[:-60])
    refused(lambda: [read_catalog(tmp_path/name)], 'damaged')


def test_image_in_a_cell_arrives_whole(tmp_path):
    import base64
    raw = base64.b64encode(np.random.default_rng(0).bytes(300_000)).decode()
    for prefix in ('', 'data:image/jpeg;base64,'):
        (file := tmp_path/'a.csv').write_text(header + ',image\n' + ''.join(f'{s},"{prefix}{raw}"\n' for s in lines(products())))
        found, bad = got(file)
        assert not bad and {r['image'] for r in found} == {prefix + raw}


parts = {
    'spark':   ['part-00000-5f0c1f9e-1b1c-4f6e-9f55-0a1b2c3d4e5f-c000.csv', 'part-00001-77777777-1b1c-4f6e-9f55-0a1b2c3d4e5f-c000.csv'],
    'numbers': ['export_1.csv', 'export_2.csv'],
    'json':    ['products-0001.jsonl', 'products-0002.jsonl'],
    'packed':  ['part-0.csv.gz', 'part-1.csv.gz'],
    'parquet': ['train-00000-of-00002.parquet', 'train-00001-of-00002.parquet']}


def write_part(file, rows):
    frame = pd.DataFrame(rows)
    if '.parquet' in file.name: frame.to_parquet(file, index=False)
    elif '.json' in file.name: frame.to_json(file, orient='records', lines=True)
    else: frame.to_csv(file, index=False)


@pytest.mark.parametrize('name', parts)
def test_parts_in_a_folder(tmp_path, name):
    for other in ('_SUCCESS', '._SUCCESS.crc', '.part-0.csv.crc', 'README.md'): (tmp_path/other).write_text('x')
    for k, part in enumerate(parts[name]): write_part(tmp_path/part, products()[6*k:6*k+6])
    assert [f.name for f in table_files(tmp_path)] == parts[name]
    reading = read_catalog(tmp_path)
    assert reading.rows == 12 and reading.products.id.tolist() == [f'k{i}' for i in range(12)] and set(reading.origin.file) == set(parts[name])


def test_parts_that_are_named_by_their_split(tmp_path):
    "As Hugging Face writes a data set with splits: they are kept, unless told otherwise"
    for k, name in enumerate(('train', 'validation', 'test')): write_part(tmp_path/f'{name}-00000-of-00001.parquet', products()[4*k:4*k+4])
    assert read_catalog(tmp_path).products.set_index('id').split.to_dict() == {f'k{i}': ('train', 'valid', 'test')[i//4] for i in range(12)}
    assert read_catalog(tmp_path, split='none').products.split.isna().all()


@pytest.mark.parametrize('kind', ['csv', 'parquet', 'jsonl'])
def test_folders_that_are_a_column(tmp_path, kind):
    frame = pd.DataFrame(products())
    for (category, even), rows in frame.groupby([frame.category, frame.index % 2]):
        folder = tmp_path/f'shard={even}'/f'category={category}%20x'; folder.mkdir(parents=True)
        write_part(folder/f'part-0.{kind}', rows.drop(columns='category').to_dict('records'))
    reading = read_catalog(tmp_path)
    assert reading.rows == 12 and dict(zip(reading.products.id, reading.products.label)) == {r['id']: r['category'] + ' x' for r in products()}
    assert 'category=Rugs%20x' in ' '.join(reading.origin.file) and 'shard' in table_names(tmp_path)


@pytest.mark.parametrize('kind', ['csv', 'parquet', 'jsonl'])
@pytest.mark.parametrize('lacks', [0, 1])
def test_a_part_without_a_column(tmp_path, kind, lacks):
    for k in (0, 1):
        rows = [{c: v for c, v in r.items() if c != 'description' or k != lacks} for r in products()[6*k:6*k+6]]
        write_part(tmp_path/f'part-{k}.{kind}', rows)
    reading = read_catalog(tmp_path)
    assert reading.rows == len(reading.products) == 12 and reading.products.text.str.contains('fine').sum() == 6
    assert any(f'part-{lacks}.{kind}' in n and "'description'" in n for n in reading.notes)


def test_tables_that_are_no_parts(tmp_path):
    for name in ('train.csv', 'prices.csv'): write_part(tmp_path/name, products())
    refused(lambda: read_catalog(tmp_path), 'more than one table', 'prices.csv, train.csv')
    (tmp_path/'train.csv').rename(tmp_path/'part-0.csv'); (tmp_path/'prices.csv').rename(tmp_path/'part-1.csv')     # the remedy
    assert read_catalog(tmp_path).rows == 24
    (tmp_path/'part-1.csv').unlink(); assert read_catalog(tmp_path).rows == 12


# ---- what the tools of shops write ---------------------------------------------------------------------------

def test_rows_that_begin_with_a_number_the_header_leaves_out(tmp_path):
    "R's write.table: the header is a field shorter; but an id, a comma too many or an escaped quote is nothing of the kind"
    rows = [f'"{i}","Clock {i}","Clocks"' for i in range(1, 13)]
    (file := tmp_path/'a.csv').write_text('\n'.join(['"title","category"', *rows]))
    reading = read_catalog(file)
    assert reading.products.title.tolist() == [f'Clock {i}' for i in range(1, 13)] and set(reading.products.label) == {'Clocks'}
    assert any('begin with a number' in n for n in reading.notes) and table_names(file)[0] == 'Unnamed: 0'
    file.write_text('\n'.join(['id,title,category', *(f'{i},Clock, {i},Clocks' for i in range(12))]))
    assert read_catalog(file).reasons.to_dict() == {'malformed row': 12}
    file.write_text('\n'.join(['no,title,category', *(f'"{i}","Clock 19\\" wide, {i}","Clocks"' for i in range(12))]))
    assert read_catalog(file).products.title[7] == 'Clock 19" wide, 7'


def test_three_lines_of_names_as_amazon_writes_them(tmp_path):
    head = ['TemplateType=home\tVersion=2024\t\t\t\t', 'Seller SKU\tProduct Name\tBrand\tItem Type\tMain Image\tPrice', 'item_sku\titem_name\tbrand_name\titem_type\tmain_image_url\tstandard_price']
    (file := tmp_path/'a.txt').write_text('\n'.join([*head, *(f'k{i}\tClock {i}\tAcme\tClocks\t\t3' for i in range(12))]))
    reading = read_catalog(file, label='item_type')
    assert reading.rows == 12 and reading.products.id[0] == 'k0' and reading.products.title[0] == 'Clock 0' and any('header is line 3' in n for n in reading.notes)
    (file := tmp_path/'b.csv').write_text('\n'.join([header, *(f'k_{i},clock_{i},fine_{i},old_clocks' for i in range(12))]))
    assert read_catalog(file).rows == 12, 'data that looks like names, and nothing above the header'


def test_names_of_columns_on_several_lines_or_missing(tmp_path):
    (file := tmp_path/'a.csv').write_text('"Product\ntitle",,category\n' + ''.join(f'Clock {i},{i},Clocks\n' for i in range(12)))
    assert table_names(file) == ['Product title', 'Unnamed: 1', 'category']
    for asked in ('Product title', 'Product\ntitle', 'product_title'): assert read_catalog(file, text=asked, id='Unnamed: 1').products.id[7] == '7'
    message = refused(lambda: read_catalog(file, text='Produkt title'), "Remedy: --text 'Product title'")
    assert len(refused(lambda: read_catalog(pd.DataFrame([dict.fromkeys(map(str, range(999)), 'x')])), 'and 975 more')) < 600 and message


def test_a_header_in_the_middle(tmp_path):
    (file := tmp_path/'a.csv').write_text('\n'.join([header, *lines(products(6)), header, *lines(products())[6:]]))
    reading = read_catalog(file)
    assert (reading.rows, len(reading.products)) == (13, 12) and reading.quarantine[['row', 'reason']].values.tolist() == [[8, 'header line']]


@pytest.mark.parametrize('content', [b'BZh91AY', b'\xfd7zXZ\0', b'(\xb5/\xfd$', b"7z\xbc\xaf'\x1c", b'Rar!\x1a', b'%PDF-1.7', b'SQLite format 3\0', bytes(range(1, 32)) * 9])
def test_no_encoding_is_proposed_for_what_is_no_text(tmp_path, content):
    (file := tmp_path/'products.csv').write_bytes(content + b'\xe9' * 99)
    assert '--encoding' not in refused(lambda: read_catalog(file), 'products.csv')


@pytest.mark.parametrize('encoding,word', [('cp1251', 'Часы настенные'), ('cp1256', 'مصباح مكتب'), ('gb18030', '标题很长的商品')])
def test_words_of_other_letters_are_not_called_cp1252(tmp_path, encoding, word):
    rows = [dict(r, title=f'{word} {i}') for i, r in enumerate(products())]
    (file := tmp_path/'a.csv').write_bytes('\n'.join([header, *lines(rows)]).encode(encoding))
    assert '--encoding cp1252' not in refused(lambda: read_catalog(file), encoding)
    is_shop(file, rows, encoding=encoding)


@pytest.mark.parametrize('orient', ['columns', 'index', 'split'])
def test_a_table_in_one_object(tmp_path, orient):
    pd.DataFrame(products()).to_json(tmp_path/'a.json', orient=orient)
    refused(lambda: read_catalog(tmp_path/'a.json'), 'whole table', 'orient="records", lines=True')
    pd.DataFrame(products()).to_json(tmp_path/'b.json', orient='records', lines=True); is_shop(tmp_path/'b.json')      # the remedy


def test_the_longest_list_is_the_table(tmp_path):
    filters = [dict(title='brand', category='x')] * 3
    for document in (dict(filters=filters, products=products()), dict(data=dict(products=products(), facets=filters)), dict(a=[products()[0] | dict(parts=filters)], b=products())):
        (file := tmp_path/'a.json').write_text(json.dumps(document)); is_shop(file)


def test_lines_of_json_that_end_with_a_comma(tmp_path):
    (file := tmp_path/'a.jsonl').write_text('\ufeff' + ''.join(json.dumps(r) + ',\r\n' for r in products())); is_shop(file)


def test_objects_that_name_a_thing(tmp_path):
    rows = [dict(id=i, name=r['title'], category=dict(id=3, name=r['category'], slug='x'), tags=[dict(name='Color', value='red')]) for i, r in enumerate(products())]
    (file := tmp_path/'a.json').write_text(json.dumps(rows))
    reading = read_catalog(file, text='name,tags')
    assert set(reading.products.label) == {'Kettles', 'Rugs', 'Clocks'} and reading.products.text[0].endswith('Color, red')


def test_numbers_in_lists_get_their_names(tmp_path):
    frame, kinds = pd.DataFrame(products()), ['Clocks', 'Kettles', 'Rugs']
    numbers = pa.array([[kinds.index(c)] for c in frame.category])
    for feature in (dict(feature=dict(names=kinds, _type='ClassLabel'), _type='Sequence'), [dict(names=kinds, _type='ClassLabel')]):
        table = pa.table(dict(title=pa.array(frame.title), labels=numbers)).replace_schema_metadata({'huggingface': json.dumps({'info': {'features': {'labels': feature}}})})
        pq.write_table(table, tmp_path/'a.parquet')
        assert read_catalog(tmp_path/'a.parquet', label='labels').products.label.tolist() == frame.category.tolist()


def test_the_sheet_that_holds_the_products(tmp_path):
    book = pytest.importorskip('openpyxl').Workbook(); book.active.append(['Read me']); book.active.append(['Products are on the second sheet'])
    sheet = book.create_sheet('Export'); sheet.append(names)
    for r in products(): sheet.append(list(r.values()))
    book.save(tmp_path/'a.xlsx'); is_shop(tmp_path/'a.xlsx')
    assert any("'Export' is read, and not 'Sheet'" in n for n in read_catalog(tmp_path/'a.xlsx').notes)


# ---- commands ----------------------------------------------------------------------------------------------

def test_commands_use_the_same_reader(tmp_path):
    rows = products(30)
    (tmp_path/'a.csv').write_text('sep=;\n' + '\n'.join([';'.join(names), *lines(rows, ';')]))
    (tmp_path/'a.json').write_text(json.dumps(dict(products=rows)))
    for name in ('a.csv', 'a.json'):
        out = tmp_path/f'{name}.out'
        run = subprocess.run([sys.executable, '-m', 'prodclf.cli.main', 'prepare', str(tmp_path/name), '--out', str(out)], capture_output=True, text=True)
        assert run.returncode == 0 and json.loads((out/'metrics.json').read_text())['rows_used'] == 30, run.stderr
