"""Every message about a file that cannot be read, and every reason for which a row is set aside, with its remedy followed to
the letter. Each case spoils a small shop, reads it, and does what the message says; the last two tests look in the source for
messages and reasons that no case has met."""
import ast, gzip, inspect, io, json, os, sys, zipfile
from contextlib import redirect_stderr, redirect_stdout
from importlib import import_module
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from PIL import Image

from prodclf.core import ProdclfError
from prodclf.data.amazon import open_source
from prodclf.data.catalog import read_catalog, write_catalog
from prodclf.data.dataset import ProductDataset, is_prepared
from prodclf.data.images import ImageError, load_image
from prodclf.data.prepare import PrepareConfig, open_products, prepare
from prodclf.data.splits import group_kfold, require_classes, require_parts, split, split_rows
from prodclf.data.tables import quarantine_frame, remedy

words = dict(Kettles='kettle of steel', Scarves='scarf of wool', Tents='tent with poles')
cases, reasons, raised = {}, {}, set()


def shop(n=12, **more):
    "A small shop, three categories in turn"
    names = list(words)
    return [dict(id=f'a{i}', title=f'{words[names[i % 3]]} no {i}', label=names[i % 3]) | {k: f(i) for k, f in more.items()} for i in range(n)]


def csv(file, rows=None, encoding='utf-8', sep=','):
    pd.DataFrame(shop() if rows is None else rows).to_csv(file, index=False, encoding=encoding, sep=sep)
    return file


def lines(file, rows=None):
    file.write_text(''.join(json.dumps(r) + '\n' for r in rows or shop()))
    return file


def image(file, size=(32, 32)):
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.new('RGB', size, 'red').save(file)
    return file


def use(source, least=12, **options):
    "All rows are products of at least two categories"
    reading = read_catalog(source, **options)
    assert len(reading.products) + len(reading.quarantine) == reading.rows
    require_classes(ProductDataset(reading.products))
    assert len(reading.products) >= least, reading.quarantine.to_string()
    return reading


def command(folder, *words):
    "Run the command in `folder`; raises `ProdclfError` with the line that it ends with"
    from prodclf.cli import main
    before, argv = os.getcwd(), sys.argv
    os.chdir(folder); sys.argv = ['prodclf', *map(str, words)]
    said, code = io.StringIO(), 0
    try:
        with redirect_stderr(said), redirect_stdout(io.StringIO()): main.main()
    except SystemExit as e: code = e.code or 0
    finally: os.chdir(before); sys.argv = argv
    if code: raise ProdclfError(said.getvalue().strip().splitlines()[-1])


def case(message):
    "A generator that yields what must fail with `message`, and, mended, what must work"
    def keep(f):
        cases[f.__name__] = message, f
        return f
    return keep


# ---- files that are no table --------------------------------------------------------------------------------

@case(r'no such file or folder. Remedy: check the path; did you mean products.csv\?')
def a_name_misspelled(d):
    csv(d/'products.csv')
    yield lambda: use(d/'prodcts.csv')
    yield lambda: use(d/'products.csv')

@case('no products.csv or other table in this folder; it holds notes.md. Remedy: name the file itself')
def a_folder_without_a_table(d):
    (d/'in').mkdir(); (d/'in'/'notes.md').write_text('#'); csv(d/'elsewhere.csv')
    yield lambda: use(d/'in')
    yield lambda: use(d/'elsewhere.csv')

@case('no products.csv or other table .* Remedy: name the folder of the table, .*in')
def a_table_one_folder_below(d):
    (d/'in').mkdir(); csv(d/'in'/'products.csv')
    yield lambda: use(d)
    yield lambda: use(d/'in')

@case('more than one table .* Remedy: name the file itself, or number the parts')
def two_tables(d):
    csv(d/'shoes.csv'); csv(d/'orders.csv', [dict(order=1, sum=2)])
    yield lambda: use(d)
    yield lambda: use(d/'shoes.csv')

@case('cannot read this kind of file. Remedy: save it as CSV')
def another_kind_of_file(d):
    csv(d/'products.docx')
    yield lambda: use(d/'products.docx')
    yield lambda: use((d/'products.docx').rename(d/'products.csv'))

@case('not text. Remedy: unpack it, or open it')
def control_characters(d):
    (d/'products.csv').write_bytes(bytes(range(1, 9))*40)
    yield lambda: use(d/'products.csv')
    yield lambda: use(csv(d/'products.csv'))

@case('a page of the web, or XML, and no table. Remedy: .* save it as CSV')
def a_page_of_the_web(d):
    pd.DataFrame(shop()).to_html(d/'products.xls', index=False)
    yield lambda: use(d/'products.xls')
    yield lambda: use(csv(d/'products.csv'))

@case('an office file, and no Excel workbook. Remedy: .* save it as CSV')
def a_letter(d):
    with zipfile.ZipFile(d/'products.csv', 'w') as z:
        z.writestr('[Content_Types].xml', '<x/>'); z.writestr('word/document.xml', '<x/>')
    yield lambda: use(d/'products.csv')
    yield lambda: use(csv(d/'products.csv'))

@case("no table. Remedy: unpack it, or open it")
def a_document(d):
    (d/'products.csv').write_bytes(b'%PDF-1.7 ...')
    yield lambda: use(d/'products.csv')
    yield lambda: use(csv(d/'products.csv'))

@case('an archive. Remedy: unpack it')
def an_archive_of_another_kind(d):
    import bz2
    plain = csv(d/'plain.csv').read_bytes()
    (d/'products.csv').write_bytes(bz2.compress(plain))
    yield lambda: use(d/'products.csv')
    (d/'products.csv').write_bytes(bz2.decompress((d/'products.csv').read_bytes()))
    yield lambda: use(d/'products.csv')

@case('a zip archive that holds a.csv, b.csv. Remedy: unpack it and name one of the files')
def a_zip_of_two(d):
    with zipfile.ZipFile(d/'products.zip', 'w') as z:
        for name in ('a.csv', 'b.csv'): z.write(csv(d/name), name); (d/name).unlink()
    yield lambda: use(d/'products.zip')
    zipfile.ZipFile(d/'products.zip').extractall(d)
    yield lambda: use(d/'a.csv')

@case('a zip archive that cannot be opened .* Remedy: unpack it and name the file in it')
def a_zip_whose_end_is_gone(d):
    with zipfile.ZipFile(d/'products.zip', 'w') as z: z.write(csv(d/'a.csv'), 'a.csv')
    (d/'products.zip').write_bytes((d/'products.zip').read_bytes()[:-30])
    yield lambda: use(d/'products.zip')
    yield lambda: use(d/'a.csv')

@case('the file is empty.* Remedy: export it again')
def an_empty_file(d):
    (d/'products.csv').touch()
    yield lambda: use(d/'products.csv')
    yield lambda: use(csv(d/'products.csv'))

@case('not text .it holds NUL bytes.. Remedy: export it as CSV')
def zeros_in_the_header(d):
    (d/'products.csv').write_bytes(b'id,ti\0tle,label\n' + b'a1,long enough a title here,b\n'*40)
    yield lambda: use(d/'products.csv')
    yield lambda: use(csv(d/'products.csv'))

@case('the header cannot be read .* Remedy: mend line 1')
def a_header_with_an_open_quote(d):
    text = csv(d/'products.csv').read_text()
    (d/'products.csv').write_text('"id"x,title,label\n' + text.split('\n', 1)[1])
    yield lambda: use(d/'products.csv')
    (d/'products.csv').write_text(text)
    yield lambda: use(d/'products.csv')

@case('no rows. Remedy: export the table again')
def a_header_alone(d):
    (d/'products.csv').write_text('id,title,label\n')
    yield lambda: use(d/'products.csv')
    yield lambda: use(csv(d/'products.csv'))

# ---- encodings ----------------------------------------------------------------------------------------------

accents = dict(title=lambda i: f'Théière émaillée n° {i} à café')

@case(r'not utf-8 .line 2, byte 0xe9.. Remedy: --encoding cp1252')
def western_letters(d):
    csv(d/'products.csv', shop(**accents), encoding='cp1252')
    yield lambda: use(d/'products.csv')
    yield lambda: use(d/'products.csv', encoding='cp1252')

@case(r'not utf-8 .* Remedy: --encoding and what the file was written in: .*cp1251 .Cyrillic.')
def cyrillic_letters(d):
    csv(d/'products.csv', shop(title=lambda i: f'Чайник стальной большой {i}'), encoding='cp1251')
    yield lambda: use(d/'products.csv')
    yield lambda: use(d/'products.csv', encoding='cp1251')

@case('unknown encoding .utf-9.. Remedy: --encoding utf-8')
def no_such_encoding(d):
    csv(d/'products.csv')
    yield lambda: use(d/'products.csv', encoding='utf-9')
    yield lambda: use(d/'products.csv', encoding='utf-8')

@case('utf-16, not cp1252. Remedy: --encoding utf-16')
def two_bytes_a_letter(d):
    csv(d/'products.csv', encoding='utf-16')
    yield lambda: use(d/'products.csv', encoding='cp1252')
    yield lambda: use(d/'products.csv', encoding='utf-16')

@case('not utf-16. Remedy: leave --encoding out')
def one_byte_a_letter(d):
    csv(d/'products.csv')
    yield lambda: use(d/'products.csv', encoding='utf-16')
    yield lambda: use(d/'products.csv')

# ---- JSON, Parquet, Arrow, Excel ----------------------------------------------------------------------------

@case('one JSON document without a list of objects. Remedy: write one object a line and name the file products.jsonl')
def a_document_without_a_list(d):
    (d/'products.json').write_text(json.dumps({'shop': 'x', 'title': 'a kettle', 'sizes': [1, 2]}, indent=1))
    yield lambda: use(d/'products.json')
    yield lambda: use(lines(d/'products.jsonl'))

@case('one object that holds a whole table. Remedy: write one object a product, as pandas does')
def a_table_by_columns(d):
    pd.DataFrame(shop()).to_json(d/'products.json')
    yield lambda: use(d/'products.json')
    pd.read_json(d/'products.json').to_json(d/'products.jsonl', orient='records', lines=True)
    yield lambda: use(d/'products.jsonl')

@case('no object of JSON in it .* Remedy: export it again, one object a line')
def numbers_in_lines(d):
    (d/'products.jsonl').write_text('1\n2\n3\n')
    yield lambda: use(d/'products.jsonl')
    yield lambda: use(lines(d/'products.jsonl'))

@case('not a Parquet file, or damaged .* Remedy: export it again')
def a_parquet_file_cut_off(d):
    pd.DataFrame(shop()).to_parquet(d/'products.parquet')
    (d/'products.parquet').write_bytes((d/'products.parquet').read_bytes()[:200])
    yield lambda: use(d/'products.parquet')
    pd.DataFrame(shop()).to_parquet(d/'products.parquet')
    yield lambda: use(d/'products.parquet')

@case('an Excel workbook that cannot be read .* Remedy: open it and save it as CSV UTF-8')
def a_damaged_workbook(d):
    with zipfile.ZipFile(d/'products.xlsx', 'w') as z: z.writestr('xl/workbook.xml', '<broken')
    yield lambda: use(d/'products.xlsx')
    yield lambda: use(csv(d/'products.csv'))

@case('an empty Excel workbook. Remedy: export it again')
def an_empty_workbook(d):
    pd.DataFrame().to_excel(d/'products.xlsx', index=False)
    yield lambda: use(d/'products.xlsx')
    pd.DataFrame(shop()).to_excel(d/'products.xlsx', index=False)
    yield lambda: use(d/'products.xlsx')

@case("is an Excel workbook; openpyxl is needed here and is not installed. Remedy: pip install 'prodclf.excel.', or save it as CSV UTF-8")
def a_workbook_without_its_reader(d, monkeypatch):
    pd.DataFrame(shop()).to_excel(d/'products.xlsx', index=False)
    monkeypatch.setitem(sys.modules, 'openpyxl', None)
    yield lambda: use(d/'products.xlsx')
    monkeypatch.undo()
    yield lambda: use(d/'products.xlsx')

@case("an Excel workbook of before 2007. Remedy: .*open it in a spreadsheet, and save it as CSV")
def an_old_workbook(d):
    (d/'products.xls').write_bytes(b'\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1' + b'\0'*600)
    yield lambda: use(d/'products.xls')
    yield lambda: use(csv(d/'products.csv'))

# ---- columns ------------------------------------------------------------------------------------------------

@case("no column .titel. .for --title.; .* Remedy: --title title")
def a_column_misspelled(d):
    csv(d/'products.csv')
    yield lambda: use(d/'products.csv', title='titel')
    yield lambda: use(d/'products.csv', title='title')

@case('nothing to read: no column title, description or image; .* Remedy: --text NAME')
def no_column_of_text(d):
    csv(d/'products.csv', [dict(sku=r['id'], bezeichner=r['title'], label=r['label']) for r in shop()])
    yield lambda: use(d/'products.csv')
    yield lambda: use(d/'products.csv', text='bezeichner')

@case('nothing to read: .* Remedy: write commas or tabs between fields')
def a_single_column(d):
    (d/'products.csv').write_text('everything\n' + ''.join(f'{r["title"]} / {r["label"]}\n' for r in shop()))
    yield lambda: use(d/'products.csv')
    yield lambda: use(csv(d/'products.csv'))

@case('nothing to read: .* Remedy: these are tasks of Label Studio: export them there as CSV')
def tasks_instead_of_products(d):
    lines(d/'products.jsonl', [dict(id=i, data=dict(title=r['title']), annotations=[]) for i, r in enumerate(shop())])
    yield lambda: use(d/'products.jsonl')
    yield lambda: use(csv(d/'products.csv'))

@case("no column 'label' or 'category'; .* Remedy: --label .Product kind.")
def no_column_of_categories(d):
    csv(d/'products.csv', [{('Product kind' if k == 'label' else k): v for k, v in r.items()} for r in shop()])
    yield lambda: use(d/'products.csv')
    yield lambda: use(d/'products.csv', label='Product kind')

@case("no column .marke. .for --columns.; the columns are id, title, label, brand. Remedy: --columns NAME")
def a_further_column_misspelled(d):
    csv(d/'products.csv', [dict(r, brand='ab'[i % 2]) for i, r in enumerate(shop())])
    yield lambda: use(d/'products.csv', columns='marke')
    yield lambda: use(d/'products.csv', columns='brand')

@case("'label' is the column of the label, and no further column. Remedy: leave it out of --columns")
def the_answer_as_a_further_column(d):
    csv(d/'products.csv', [dict(r, brand='ab'[i % 2]) for i, r in enumerate(shop())])
    yield lambda: use(d/'products.csv', columns='brand,label')
    yield lambda: use(d/'products.csv', columns='brand')

@case(".title. is the name of more than one column. Remedy: rename one of them")
def a_name_twice(d):
    text = csv(d/'products.csv').read_text()
    both = ''.join(f'{line},{"title" if i == 0 else "x"}\n' for i, line in enumerate(text.splitlines()))
    (d/'products.csv').write_text(both)
    yield lambda: use(d/'products.csv')
    (d/'products.csv').write_text(both.replace('label,title', 'label,title again'))
    yield lambda: use(d/'products.csv')

@case('none of 12 rows can be used .12 no label.. Remedy: fill the cell in, or name another column with --label')
def a_column_of_categories_that_is_empty(d):
    csv(d/'products.csv', [dict(r, label='', kind=r['label']) for r in shop()])
    yield lambda: command(d, 'prepare', 'products.csv', '--out', 'p', '--workers', 1)
    yield lambda: command(d, 'prepare', 'products.csv', '--out', 'p', '--workers', 1, '--label', 'kind')

# ---- images -------------------------------------------------------------------------------------------------

@case('no such folder of images. Remedy: another --images, or --image none')
def no_folder_of_that_name(d):
    csv(d/'products.csv', shop(image=lambda i: f'{i}.jpg'))
    for i in range(12): image(d/'photos'/f'{i}.jpg')
    yield lambda: use(d/'products.csv', images=d/'fotos')
    yield lambda: use(d/'products.csv', images=d/'photos') and use(d/'products.csv', image='none')

@case("the image column names files, such as '0.jpg', and there is no folder of images. Remedy: --images DIR, or --image none")
def a_frame_that_names_files(d):
    for i in range(12): image(d/'photos'/f'{i}.jpg')
    frame = pd.DataFrame(shop(image=lambda i: f'{i}.jpg'))
    yield lambda: use(frame)
    yield lambda: use(frame, images=d/'photos') and use(frame, image='none')

@case('the image column holds images, which a table in memory cannot. Remedy: prodclf prepare .or `open_products`.')
def images_inside_the_table(d):
    cells = [dict(bytes=image(d/'x.jpg').read_bytes(), path='x.jpg')]*12
    pd.DataFrame(shop(image=lambda i: cells[i])).to_parquet(d/'products.parquet')
    yield lambda: use(d/'products.parquet')
    yield lambda: command(d, 'prepare', 'products.parquet', '--out', 'p', '--workers', 1)

@case("bad_image='skip'. Remedy: 'quarantine' or 'text-only'")
def no_such_treatment_of_images(d):
    csv(d/'products.csv')
    yield lambda: use(d/'products.csv', bad_image='skip')
    yield lambda: use(d/'products.csv', bad_image='text-only')

@case('outside.jpg: not in .* Remedy: images=FOLDER that holds all 12 images')
def an_image_outside_of_the_folder(d):
    products = pd.DataFrame(shop(image=lambda i: str(image(d/'photos'/f'{i}.jpg'))))
    products.loc[3, 'image'] = str(image(d/'outside.jpg'))
    yield lambda: write_catalog(read_catalog(products, images=d).products, d/'out.csv', images=d/'photos')
    yield lambda: write_catalog(read_catalog(products, images=d).products, d/'out.csv', images=d)

# ---- prepared folders ---------------------------------------------------------------------------------------

def prepared(d, rows=None, **config):
    return prepare(csv(d/'products.csv', rows), d/'p', PrepareConfig(**config), workers=1)

@case('longest=8. Remedy: 16 to 65,536')
def images_too_small_to_see(d):
    yield lambda: prepared(d, longest=8)
    yield lambda: prepared(d, longest=16)

@case("bad_image='skip'. Remedy: 'quarantine' or 'text-only'")
def the_same_prepared(d):
    yield lambda: prepared(d, bad_image='skip')
    yield lambda: prepared(d, bad_image='text-only')

@case('this catalog was begun with other options. Remedy: the same command as then, or another --out')
def other_options_into_the_same_folder(d):
    prepared(d)
    yield lambda: prepare(d/'products.csv', d/'p', workers=1, title='id')
    yield lambda: prepare(d/'products.csv', d/'p', workers=1) and prepare(d/'products.csv', d/'other', workers=1, title='id')

@case('the folder is not empty and holds no prepared catalog. Remedy: another --out')
def a_folder_of_something_else(d):
    (d/'p').mkdir(); (d/'p'/'letter.txt').write_text('x')
    yield lambda: prepared(d)
    yield lambda: prepare(d/'products.csv', d/'other', workers=1)

@case('another process is preparing this catalog. Remedy: wait for it, or another --out')
def two_at_once(d):
    from filelock import FileLock
    (d/'p'/'work').mkdir(parents=True)
    other = FileLock(d/'p'/'work'/'lock'); other.acquire()
    yield lambda: prepared(d)
    other.release()
    yield lambda: prepared(d)

@case("title='id' comes too late, this catalog is prepared. Remedy: leave it out, or name the raw table")
def a_column_named_too_late(d):
    prepared(d)
    yield lambda: open_products(d/'p', title='id')
    yield lambda: open_products(d/'p') and open_products(d/'products.csv', cache=d/'cache', title='id')

@case('no prepared catalog, manifest.json is missing. Remedy: prodclf prepare SOURCE --out')
def a_folder_that_was_never_prepared(d):
    (d/'p').mkdir()
    yield lambda: ProductDataset(d/'p')
    (d/'p').rmdir()
    yield lambda: prepared(d) and ProductDataset(d/'p')

@case('this catalog is not finished. Remedy: prodclf prepare SOURCE --out .*p again, it goes on where it stopped')
def a_folder_half_prepared(d):
    (d/'p'/'work').mkdir(parents=True)
    yield lambda: ProductDataset(d/'p')
    yield lambda: prepared(d) and ProductDataset(d/'p')

@case('manifest.json cannot be read .* Remedy: copy the folder again, or prepare again')
def a_damaged_manifest(d):
    prepared(d); whole = (d/'p'/'manifest.json').read_bytes()
    (d/'p'/'manifest.json').write_bytes(whole[:20])
    yield lambda: ProductDataset(d/'p')
    (d/'p'/'manifest.json').write_bytes(whole)
    yield lambda: ProductDataset(d/'p')

@case('format 99 of a prepared catalog is not known to this version. Remedy: prepare again, or update prodclf')
def a_folder_of_a_later_version(d):
    prepared(d)
    about = json.loads((d/'p'/'manifest.json').read_text()) | dict(format=99)
    (d/'p'/'manifest.json').write_text(json.dumps(about))
    yield lambda: ProductDataset(d/'p')
    yield lambda: ProductDataset(prepare(d/'products.csv', d/'again', workers=1).folder)

@case('part-00000.parquet: not the size it was written with. Remedy: copy the folder again, or prepare again')
def a_part_cut_off(d):
    prepared(d); file = d/'p'/'part-00000.parquet'; whole = file.read_bytes()
    file.write_bytes(whole[:-10])
    yield lambda: ProductDataset(d/'p')
    file.write_bytes(whole)
    yield lambda: ProductDataset(d/'p')

@case('part-00000.parquet: cannot be read .* Remedy: copy the folder again, or prepare again')
def a_part_with_other_bytes(d):
    prepared(d); file = d/'p'/'part-00000.parquet'; whole = file.read_bytes()
    file.write_bytes(bytes(len(whole)))
    yield lambda: ProductDataset(d/'p').take(np.arange(3))
    file.write_bytes(whole)
    yield lambda: ProductDataset(d/'p').take(np.arange(3))

@case('there is no product number 12 among 12. Remedy: numbers from 0')
def a_row_that_is_not_there(d):
    products = prepared(d)
    yield lambda: products.take(np.array([12]))
    yield lambda: products.take(np.array([0, 11]))

@case('the rows of a subset must rise. Remedy: np.unique.rows.')
def rows_in_disorder(d):
    products, rows = prepared(d), np.array([3, 1, 1])
    yield lambda: products.subset(rows)
    yield lambda: products.subset(np.unique(rows))

# ---- categories, splits, folds ------------------------------------------------------------------------------

@case('a classifier needs 2. Remedy: --min-per-class 4')
def too_few_of_each(d):
    data = ProductDataset(read_catalog(csv(d/'products.csv')).products)
    yield lambda: require_classes(data, 10)
    yield lambda: require_classes(data, 4)

@case('a classifier needs 2. Remedy: another column with --label')
def one_category(d):
    rows = [dict(r, label='all', kind=r['label']) for r in shop()]
    yield lambda: use(csv(d/'products.csv', rows))
    yield lambda: use(d/'products.csv', label='kind')

@case('a classifier needs 2. Remedy: a coarser column with --label, or --depth 1')
def a_category_for_each_product(d):
    rows = [dict(r, label=f'{r["label"]} > no {i}') for i, r in enumerate(shop())]
    read = lambda **o: require_classes(ProductDataset(read_catalog(d/'products.csv', **o).products), 3)
    csv(d/'products.csv', rows)
    yield lambda: read()
    yield lambda: read(depth=1)

@case('leave nothing for train. Remedy: shares from 0 to 1 that add up to less than 1')
def shares_that_take_all(d):
    codes = np.arange(12) % 3
    yield lambda: split_rows(codes, np.arange(12), test_size=.6, valid_size=.5)
    yield lambda: split_rows(codes, np.arange(12), test_size=.3, valid_size=.2)

@case('rows are too few to draw the other parts of 12 from. Remedy: --split none takes no notice of the split column; or smaller shares')
def a_split_column_that_leaves_too_little(d):
    fixed = np.r_[np.full(10, 2), 0, 0]
    yield lambda: split_rows(np.arange(12) % 3, np.arange(12), fixed, valid_size=.4)
    yield lambda: (split_rows(np.arange(12) % 3, np.arange(12), None, valid_size=.4), split_rows(np.arange(12) % 3, np.arange(12), fixed, valid_size=.08))

@case('nothing is left for train of 1 products. Remedy: more products, or smaller shares')
def a_single_product(d):
    yield lambda: split_rows([0], [0], [2])
    yield lambda: split_rows(np.arange(12) % 3, np.arange(12))

@case("split: no column 'colour'; .* Remedy: name one of them")
def a_split_by_no_column(d):
    frame = read_catalog(csv(d/'products.csv')).products
    yield lambda: split(frame, group='colour')
    yield lambda: split(frame, group='id')

@case('the test part is empty: all 60 products are one group.* Remedy: --group none, or a finer column with --group')
def one_group_of_all(d):
    yield lambda: command(d, 'baselines', csv(d/'products.csv', shop(60, group=lambda i: 'Acme')).name, '--out', 'o', '--models', 'naive_bayes')
    yield lambda: command(d, 'baselines', 'products.csv', '--out', 'o', '--models', 'naive_bayes', '--group', 'none')

@case('3 folds of 2 groups. Remedy: --group none, or more groups, or k from 2 to 2')
def fewer_groups_than_folds(d):
    yield lambda: group_kfold([0, 1, 0, 1], [5, 5, 6, 6], 3)
    yield lambda: (group_kfold([0, 1, 0, 1], [5, 5, 6, 6], 2), group_kfold([0, 1, 0, 1], [1, 2, 3, 4], 3))

# ---- published sources --------------------------------------------------------------------------------------

@case("source='ebay'. Remedy: auto, table,")
def no_such_source(d):
    csv(d/'products.csv')
    yield lambda: open_source(d/'products.csv', source='ebay')
    yield lambda: open_source(d/'products.csv', source='table')

@case('no .* in this folder. Remedy: name the folder that holds it, or another --source')
def a_folder_of_another_source(d):
    csv(d/'products.csv')
    yield lambda: open_source(d, source='abo')
    yield lambda: open_source(d, source='auto')


@pytest.mark.parametrize('name', cases)
def test_the_remedy_of_a_message_works(tmp_path, monkeypatch, name):
    message, steps = cases[name]
    monkeypatch.setenv('PRODCLF_HOME', str(tmp_path/'home'))
    (tmp_path/'shop').mkdir()
    with recorded(monkeypatch):
        more = [pytest.MonkeyPatch()] if 'monkeypatch' in inspect.signature(steps).parameters else []
        found = steps(tmp_path/'shop', *more)
        with pytest.raises(ProdclfError, match=message) as e: next(found)()
        assert str(e.value).count('Remedy:') == 1 and '\n' not in str(e.value)
        next(found)()


# ---- rows that are set aside --------------------------------------------------------------------------------

def row(reason, mends=True):
    "A generator that yields the options of a reading that sets one row aside, and, mended, of one that does not"
    def keep(f):
        reasons[reason] = mends, f
        return f
    return keep


@row('malformed row')
def a_line_that_is_not_json(d):
    lines(d/'products.jsonl'); whole = (d/'products.jsonl').read_text()
    (d/'products.jsonl').write_text(whole.replace('"title": "tent', 'title: "tent', 1))
    yield d/'products.jsonl', {}
    (d/'products.jsonl').write_text(whole)
    yield d/'products.jsonl', {}

@row('wrong encoding')
def a_byte_of_another_encoding(d):
    text = csv(d/'products.csv').read_bytes()
    (d/'products.csv').write_bytes(text.replace(b'no 7', b'n\xe9 7'))
    yield d/'products.csv', {}
    yield d/'products.csv', dict(encoding='cp1252')

@row('file torn')
def a_download_that_stopped(d):
    whole = gzip.compress(csv(d/'plain.csv').read_bytes()); (d/'plain.csv').unlink()
    (d/'products.csv.gz').write_bytes(whole[:-12])
    yield d/'products.csv.gz', {}
    (d/'products.csv.gz').write_bytes(whole)
    yield d/'products.csv.gz', {}

@row('no label')
def a_cell_without_a_category(d):
    rows = shop(kind=lambda i: list(words)[i % 3]); rows[4]['label'] = ''
    yield csv(d/'products.csv', rows), {}
    yield d/'products.csv', dict(label='kind')

@row('label too long')
def a_description_for_a_category(d):
    rows = shop(kind=lambda i: list(words)[i % 3]); rows[4]['label'] = 'soft and warm ' * 30
    yield csv(d/'products.csv', rows), {}
    yield d/'products.csv', dict(label='kind')

@row('unknown split')
def a_part_of_another_name(d):
    yield csv(d/'products.csv', shop(split=lambda i: 'new' if i == 4 else 'train')), {}
    yield d/'products.csv', dict(split='none')

@row('neither text nor image')
def a_product_of_nothing(d):
    rows = shop(heading=lambda i: f'heading {i}'); rows[4]['title'] = ''
    yield csv(d/'products.csv', rows), {}
    yield d/'products.csv', dict(text='heading')

@row('duplicate id')
def an_id_that_is_taken(d):
    yield csv(d/'products.csv', shop(id=lambda i: f'a{min(i, 10)}')), {}
    yield d/'products.csv', dict(id='none')

@row('rare category')
def a_category_of_one(d):
    yield csv(d/'products.csv', shop(label=lambda i: list(words)[i % 3] if i else 'Lamps')), dict(min_per_class=2)
    yield d/'products.csv', dict(min_per_class=1)

@row('image missing')
def an_image_that_was_not_copied(d):
    for i in range(11): image(d/'images'/f'{i}.jpg')
    yield csv(d/'products.csv', shop(image=lambda i: f'{i}.jpg')), {}
    assert len(read_catalog(d/'products.csv', bad_image='text-only').products) == 12
    image(d/'images'/'11.jpg')
    yield d/'products.csv', {}

@row('image ambiguous')
def a_name_that_fits_two_files(d):
    for i in range(12): image(d/'images'/'a'/f'{i}.jpg')
    image(d/'images'/'b'/'4.jpg')
    yield csv(d/'products.csv', shop(image=lambda i: f'{i}.jpg')), {}
    yield csv(d/'products.csv', shop(image=lambda i: f'a/{i}.jpg')), {}

@row('image is a web address')
def an_address_and_nothing_else(d):
    rows = shop(image=lambda i: f'https://shop.example/{i}.jpg', heading=lambda i: f'a heading {i}'); rows[4]['title'] = ''
    yield csv(d/'products.csv', rows), {}
    yield d/'products.csv', dict(text='heading')

@row('image outside the images folder')
def a_path_that_leads_away(d):
    for i in range(12): image(d/'images'/f'{i}.jpg')
    image(d/'away.jpg')
    yield csv(d/'products.csv', shop(image=lambda i: '../away.jpg' if i == 4 else f'{i}.jpg')), {}
    assert len(read_catalog(d/'products.csv', bad_image='text-only').products) == 12
    image(d/'images'/'away.jpg')
    yield csv(d/'products.csv', shop(image=lambda i: 'away.jpg' if i == 4 else f'{i}.jpg')), {}

@row('not an image')
def a_page_for_an_image(d):
    for i in range(12): image(d/'images'/f'{i}.jpg')
    (d/'images'/'4.jpg').write_text('<html>not found</html>')
    yield csv(d/'products.csv', shop(image=lambda i: f'{i}.jpg')), {}
    image(d/'images'/'4.jpg')
    yield d/'products.csv', {}

@row('image truncated')
def an_image_cut_off(d):
    for i in range(12): image(d/'images'/f'{i}.png')
    (d/'images'/'4.png').write_bytes((d/'images'/'4.png').read_bytes()[:60])
    yield csv(d/'products.csv', shop(image=lambda i: f'{i}.png')), {}
    yield csv(d/'products.csv', shop(image=lambda i: '' if i == 4 else f'{i}.png')), {}

@row('image empty')
def an_image_of_no_bytes(d):
    for i in range(12): image(d/'images'/f'{i}.jpg')
    (d/'images'/'4.jpg').write_bytes(b'')
    yield csv(d/'products.csv', shop(image=lambda i: f'{i}.jpg')), {}
    yield d/'products.csv', dict(bad_image='text-only')

@row('header line', mends=False)
def the_header_once_more(d):
    text = csv(d/'products.csv').read_text()
    (d/'products.csv').write_text(text + 'id,title,label\n')
    yield d/'products.csv', {}

@row('variant row', mends=False)
def a_size_of_the_product_above(d):
    rows = [dict(Handle=f'h{i // 2}', Title='' if i % 2 else words[list(words)[i % 3]] + f' {i}', Type='' if i % 2 else list(words)[i % 3], **{'Option1 Value': str(i)}) for i in range(24)]
    yield csv(d/'products.csv', rows), dict(label='Type')
    rows = [r for i, p in enumerate(shop()) for r in (dict(Type='variable', SKU=p['id'], Name=p['title'], Categories=p['label']), dict(Type='variation', SKU=f'{p["id"]}-L', Name=f'{p["title"]} - Large', Parent=p['id']))]
    yield csv(d/'products.csv', rows), dict(label='Categories', title='Name', text='Name')


@pytest.mark.parametrize('reason', reasons)
def test_the_remedy_of_a_row_works(tmp_path, reason):
    mends, steps = reasons[reason]
    assert mends == (not remedy(reason).startswith('none is needed'))
    for mended, (file, options) in enumerate(steps(tmp_path)):
        reading = read_catalog(file, **options)
        assert len(reading.products) + len(reading.quarantine) == reading.rows
        if mends and mended: assert len(reading.products) == 12 and not len(reading.quarantine), reading.quarantine.to_string()
        else: assert set(reading.quarantine.reason) == {reason} and len(reading.products) in (11, 12), reading.quarantine.to_string()


# Reasons that need a network, a library or a source of their own, and where they are met
reasons_elsewhere = {'line too long': 'the chapter text', 'image is HEIC': 'test_image_names', 'image not fetched': 'test_image_names', 'unknown category': 'the chapter amazon',
                     'variation without product': 'test_image_sets'}


def test_every_reason_was_met():
    from prodclf.data.tables import _remedies
    assert _remedies.keys() <= reasons.keys() | reasons_elsewhere.keys() and not reasons.keys() & reasons_elsewhere.keys()


class recorded:
    "Remember the lines that raise `ProdclfError`"
    def __init__(self, monkeypatch): self.patch = monkeypatch
    def __enter__(self):
        def init(error, *args):
            frame = sys._getframe(1)
            raised.add((Path(frame.f_code.co_filename).stem, frame.f_lineno))
            ValueError.__init__(error, *args)
        self.patch.setattr(ProdclfError, '__init__', init, raising=False)
    def __exit__(self, *_): self.patch.undo()


# Messages that need a fault of the machine, and the tests that make one
elsewhere = {
    'text': {'check the file and its permissions': 'test_bad_input', 'Remedy: copy the file again': 'test_bad_input'},
    'tables': {'check the permissions': 'test_bad_input'},
    'images': {}, 'formats': {}, 'catalog': {}, 'splits': {},
    'dataset': {'please report this': 'the chapter dataset'},
    'prepare': {'finished parts are kept': 'test_prepare', 'while it was read': 'test_prepare', 'were not there when this catalog was begun': 'test_prepare',
                'the source has changed': 'test_prepare', 'images could be fetched': 'test_prepare'},
}


def messages(module):
    "(first line, last line, literal text) of each `ProdclfError(…)` in a module"
    for node in ast.walk(ast.parse(Path(import_module(f'prodclf.data.{module}').__file__).read_text())):
        if isinstance(node, ast.Call) and getattr(node.func, 'id', '') == 'ProdclfError':
            yield node.lineno, node.end_lineno, '…'.join(n.value for n in ast.walk(node) if isinstance(n, ast.Constant) and isinstance(n.value, str))


@pytest.mark.parametrize('module', elsewhere)
def test_every_message_was_met(module):
    if len({name for name, _ in raised}) < 6:
        pytest.skip('only with the cases above, in the same run')
    missed = [f'{first}: {source}' for first, last, source in messages(module)
              if not any(name == module and first <= line <= last for name, line in raised) and not any(text in source for text in elsewhere[module])]
    assert not missed, '\n'.join(missed)
