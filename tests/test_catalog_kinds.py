"""What shops write into the columns of ids, categories, groups and splits: nothing goes to another product, nothing is lost
without a word, and the first thing that a message's remedy names gets further when it is done."""
import csv, io, re, shlex
from contextlib import redirect_stderr, redirect_stdout

import pandas as pd
import pytest
from PIL import Image

from prodclf.core import ProdclfError
from prodclf.data.catalog import content_id, read_catalog
from prodclf.data.prepare import PrepareConfig, prepare
from prodclf.data.splits import group_kfold
from prodclf.data.tables import CategoryReader, category_notes

words = dict(Kettles=('kettle', 'steel', 'boil'), Scarves=('scarf', 'wool', 'fringe'), Tents=('tent', 'pole', 'canvas'))


def rows(n=60):
    "A small shop, three categories in turn"
    names = list(words)
    return [dict(id=f'a{i}', title=f'{" ".join(words[names[i%3]])} no {i}', category=names[i%3]) for i in range(n)]


def table(folder, products, name='products.csv'):
    file = folder/name
    pd.DataFrame(products).to_csv(file, index=False)
    return file


def balanced(reading):
    "What came in is what came out plus what was set aside, each with a reason and a remedy"
    assert len(reading.products) + len(reading.quarantine) == reading.rows
    assert reading.quarantine.reason.str.len().gt(0).all() and reading.quarantine.remedy.str.len().gt(0).all()
    return reading


def without_id(products, **more):
    return [{k: v for k, v in r.items() if k != 'id'} | {k: f(i) for k, f in more.items()} for i, r in enumerate(products)]


# ---- ids --------------------------------------------------------------------------------------------------

@pytest.mark.parametrize('change', ['reversed', 'a row on top', 'one gone', 'a new column', 'labels filled in'])
def test_an_id_from_content_stays_with_its_product(tmp_path, change):
    shop = without_id(rows())
    before = read_catalog(table(tmp_path, shop)).products.set_index('title').id
    later = dict(reversed=lambda: shop[::-1], **{
        'a row on top': lambda: [dict(title='Brand new', category='Tents'), *shop], 'one gone': lambda: shop[1:],
        'a new column': lambda: [dict(r, price=i) for i, r in enumerate(shop)], 'labels filled in': lambda: [dict(r, category='Tents') for r in shop]})[change]()
    after = read_catalog(table(tmp_path, later)).products.set_index('title').id
    both = before.index.intersection(after.index)
    assert len(both) >= 59 and (before[both] == after[both]).all() and after.is_unique
    assert not after.str.fullmatch(r'[\d.e+-]+').any(), 'a spreadsheet would take it for a number'

def test_equal_products_are_numbered_and_kept(tmp_path):
    shop = without_id(rows(6)) * 3
    r = balanced(read_catalog(table(tmp_path, shop)))
    assert len(r.products) == 18 and r.products.id.is_unique and r.products.id.str.contains('-[23]$').sum() == 12
    assert any(n.startswith('12 products without an id equal an earlier one') for n in r.notes)

def test_content_is_the_same_in_every_kind_of_file(tmp_path):
    frame = pd.DataFrame(without_id(rows(9))).assign(description=[None, 'Fine']*4 + [None])
    frame.to_csv(tmp_path/'a.csv', index=False)
    frame.to_parquet(tmp_path/'a.parquet')
    frame.to_json(tmp_path/'a.jsonl', orient='records', lines=True)
    ids = {tuple(read_catalog(source).products.id) for source in (tmp_path/'a.csv', tmp_path/'a.parquet', tmp_path/'a.jsonl', frame)}
    assert len(ids) == 1
    assert content_id(['Mug'], None) != content_id(['Mug'], 'a.jpg') != content_id(['Mug', 'a.jpg'])

@pytest.mark.parametrize('name', ['SKU', 'Handle', 'code', 'uniq_id', 'Product ID', 'asin', 'GTIN', 'item_id', 'g:id'])
def test_a_usual_column_of_ids_is_found(tmp_path, name):
    r = read_catalog(table(tmp_path, without_id(rows(), **{name: lambda i: f'{i:05}'})))
    assert r.products.id.tolist()[:2] == ['00000', '00001'] and any(f'id from {name}' in n for n in r.notes)

@pytest.mark.parametrize('values', [lambda i: 'one', lambda i: '8.90123E+12', lambda i: '', lambda i: i//2])
def test_a_column_that_does_not_name_products_is_not_taken(tmp_path, values):
    r = balanced(read_catalog(table(tmp_path, without_id(rows(), sku=values))))
    assert len(r.products) == 60 and r.products.id.str.startswith('p-').all() and any('--id NAME' in n for n in r.notes)

def test_repeats_beyond_the_first_rows_lose_nothing(tmp_path):
    shop = without_id(rows(1500), sku=lambda i: f's{min(i, 1400)}')
    r = balanced(read_catalog(table(tmp_path, shop)))
    assert len(r.products) == 1500 and r.products.id[1400] == 's1400' and any(n.startswith('99 products repeat the id') for n in r.notes)

def test_rounded_ids_are_named_once(tmp_path):
    shop = [dict(r, id='8.90123E+12') for r in rows(5)]
    r = balanced(read_catalog(table(tmp_path, shop)))
    assert r.reasons.to_dict() == {'duplicate id': 4} and sum('spreadsheet' in n for n in r.notes) == 1
    assert len(read_catalog(tmp_path/'products.csv', id='none').products) == 5

def test_continuation_rows_are_variants_of_the_product_above(tmp_path):
    blank = lambda i: dict(Handle=f'h{i}', Title='', Type='', photo=f'{i}b.jpg')
    shop = [line for i in range(20) for line in (dict(Handle=f'h{i}', Title=f'Tent {i}', Type='Tents', photo=f'{i}a.jpg'), *[blank(i)]*(i % 3))]
    for need_label in (True, False):
        r = balanced(read_catalog(table(tmp_path, shop), label='Type', image='none', need_label=need_label))
        assert len(r.products) == 20 and r.products.id[3] == 'h3' and r.reasons.to_dict() == {'variant row': 19}
    assert read_catalog(tmp_path/'products.csv', label='Type', image='none', chunk_rows=1).reasons.to_dict() == {'variant row': 19}
    alone = [dict(Handle='x', Title='', Type=''), dict(Handle='y', Title='Mug', Type='Mugs')]
    assert read_catalog(table(tmp_path, alone), label='Type').quarantine.reason.tolist() == ['no label']


# ---- columns ----------------------------------------------------------------------------------------------

def test_columns_that_are_called_by_numbers(tmp_path):
    shop = pd.DataFrame([[r['id'], r['title'], r['category']] for r in rows()])
    shop.to_csv(tmp_path/'a.csv', index=False)
    for source, roles in ((tmp_path/'a.csv', dict(text='1', label='2', id='0')), (shop, dict(text=1, label=2, id=0)), (shop, dict(text=[1, '2'], label='2', id='0'))):
        r = balanced(read_catalog(source, **roles))
        assert r.products.id[7] == 'a7' and set(r.products.label) == set(words) and 'no 7' in r.products.text[7]
    flipped = shop[[1, 0, 2]].set_axis([0, 1, 2], axis=1)
    assert 'no 7' in read_catalog(flipped, text=0, label=2).products.text[7], 'column 0 is a column'

@pytest.mark.parametrize('asked, read', [('Name, maker', ['Name, maker']), ('"Name, maker",Size', ['Name, maker', 'Size']), ('name, MAKER', ['Name, maker']), ('Size', ['Size'])])
def test_a_comma_in_the_name_of_a_column(tmp_path, asked, read):
    shop = [{'Name, maker': f'first {i}', 'Size': f'second {i}', 'category': 'ab'[i % 2]} for i in range(4)]
    text = read_catalog(table(tmp_path, shop), text=asked).products.text[1]
    assert text == '. '.join(dict(zip(('Name, maker', 'Size'), ('first 1', 'second 1')))[c] for c in read)

@pytest.mark.parametrize('values, kept', [(['Yes', 'No'], None), (['0', '1'], None), (['TRAIN', 'VALIDATE', 'TEST'], {'train', 'valid', 'test'}), (['Validation', 'dev'], {'valid'})])
def test_a_column_split_with_words_of_its_own(tmp_path, values, kept):
    r = balanced(read_catalog(table(tmp_path, [dict(r, split=values[i % len(values)]) for i, r in enumerate(rows())])))
    assert len(r.products) == 60 and set(r.products.split.dropna()) == (kept or set())
    assert any('it is no split' in n for n in r.notes) == (kept is None)

def test_the_column_of_the_split_is_an_option(tmp_path):
    shop = [dict(r, split='holdout' if i < 9 else 'train', part='test') for i, r in enumerate(rows())]
    file = table(tmp_path, shop)
    assert balanced(read_catalog(file)).reasons.to_dict() == {'unknown split': 9}
    assert read_catalog(file, split='none').products.split.isna().all()
    assert set(read_catalog(file, split='part').products.split) == {'test'}
    assert read_catalog(file, split='id').reasons.to_dict() == {'unknown split': 60}, 'asked for, so it is not passed over'


# ---- names of categories ----------------------------------------------------------------------------------

@pytest.mark.parametrize('word', [r'\N', '#N/A', 'nan', 'NULL', '<NA>', '#REF!', ' #n/a '])
def test_what_can_only_be_nothing_is_no_category(tmp_path, word):
    r = balanced(read_catalog(table(tmp_path, [dict(r, category=word) if i < 9 else r for i, r in enumerate(rows())])))
    assert r.reasons.to_dict() == {'no label': 9} and set(r.products.label) == set(words)

@pytest.mark.parametrize('word', ['NA', '-', 'unknown', 'None', 'n/a', '?'])
def test_what_may_be_nothing_is_named_and_can_be_taken_out(tmp_path, word):
    file = table(tmp_path, [dict(r, category=word) if i < 9 else r for i, r in enumerate(rows())])
    r = read_catalog(file)
    (note,) = [n for n in r.notes if '--missing' in n]
    assert f'{word!r} (9)' in note and len(r.products) == 60
    named = shlex.split(note)[shlex.split(note).index('--missing') + 1]
    assert balanced(read_catalog(file, missing=named)).reasons.to_dict() == {'no label': 9}

@pytest.mark.parametrize('spellings', [('Fruit and veg', 'fruit-and-veg', 'FRUIT AND VEG'), ('T-shirts', 't shirts', 'T_Shirts'), ('Café', 'Cafe\u0301', 'CAFÉ'), ('Men’s', "men's", 'Mens'.replace('s', "'s"))])
def test_spellings_of_one_category(tmp_path, spellings):
    file = table(tmp_path, [dict(r, category=spellings[i // 3 % 3]) if i % 3 == 0 else r for i, r in enumerate(rows())])
    r = read_catalog(file)
    assert sum('--merge-categories joins' in n for n in r.notes) == 1
    merged = balanced(read_catalog(file, merge_categories=True))
    assert merged.products.label.nunique() == 3 and not any('--merge' in n for n in merged.notes)

def test_categories_that_only_look_alike_stay_apart():
    name = CategoryReader(merge=True)
    assert len({name(v) for v in ('C', 'C++', 'C#', 'Bed & Bath', 'Bed Bath')}) == 5

@pytest.mark.parametrize('separator', ['; ', '|', ', '])
def test_several_categories_in_a_cell(tmp_path, separator):
    tags = ('New', 'Sale', 'Gifts')
    file = table(tmp_path, [dict(r, category=separator.join([r['category'], tags[i // 3 % 3]])) for i, r in enumerate(rows())])
    (note,) = [n for n in read_catalog(file).notes if '--separator' in n]
    assert '9 of 9 labels' in note
    named = shlex.split(note)[shlex.split(note).index('--separator') + 1]
    assert set(read_catalog(file, separator=named).products.label) == set(words)

@pytest.mark.parametrize('form', ['["{0} >> {1} >> x"]', '{0} > {1} > x', '{0}/{1}/x', '{0} | {1}', '{0} -> {1}'])
def test_paths_are_cut(tmp_path, form):
    file = table(tmp_path, [dict(r, category=form.format(r['category'], i % 5)) for i, r in enumerate(rows())])
    assert set(read_catalog(file, depth=1).products.label) == set(words)
    assert read_catalog(file, depth=2).products.label[0] == 'Kettles > 0'
    assert not read_catalog(file).products.label.str.contains(r'[\[\]"]').any()

def test_a_list_of_paths(tmp_path):
    "Tents > Large, Sale: the first of several, and of that the first step"
    file = table(tmp_path, [dict(r, category=f'{r["category"]} > {i%4}, Sale, Tents > Old') for i, r in enumerate(rows())])
    assert set(read_catalog(file, separator=',', depth=1).products.label) == set(words)

def test_plain_names_need_no_word():
    assert category_notes({'Mugs': 3, 'Beauty, Health & Care': 2, 'Bed/Bath': 9, 'Nana’s Cookies': 1, '24/7': 3}) == []


def test_the_deepest_of_nested_paths_is_taken(tmp_path):
    "WooCommerce and Magento write a path and the one above it into one cell; and a word that all share is passed over"
    for form, separator, kept in (('Shop > {0}, Shop > {0} > New', ',', 'Shop > Kettles > New'), ('Default/Gear,Default/Gear/{0}', ',', 'Default/Gear/Kettles'), ('Home; {0}; New', ';', 'Kettles')):
        file = table(tmp_path, [dict(r, category=form.format(r['category'])) for r in rows()])
        (note,) = [n for n in read_catalog(file).notes if '--separator' in n]
        options = shlex.split(note.replace(',', ' , '))
        missing = options[options.index('--missing') + 1] if '--missing' in note else None
        assert f"--separator '{separator}'" in note
        assert read_catalog(file, separator=separator, missing=missing).products.label[0] == kept

@pytest.mark.parametrize('form', ["['{}', 'New']", '["{}", "New"]', '{{"choices": ["{}", "New"]}}'])
def test_lists_that_programs_write_into_a_cell(tmp_path, form):
    file = table(tmp_path, [dict(r, category=form.format(r['category'])) for r in rows()])
    reading = read_catalog(file)
    assert reading.products.label[0] == 'Kettles, New' and any('--separator' in n for n in reading.notes)
    assert set(read_catalog(file, separator=',').products.label) == set(words)

def test_numbers_of_categories_in_several_spellings(tmp_path):
    file = table(tmp_path, [dict(r, category=['1', '1.0', '01', '10', '010', '2.5'][i % 6]) for i, r in enumerate(rows())])
    assert any("'1' (10)" in n and '--merge-categories' in n for n in read_catalog(file).notes)
    assert read_catalog(file, merge_categories=True).products.label.nunique() == 3

@pytest.mark.parametrize('word', ['nan', 'NULL', r'\N', '#N/A'])
def test_a_word_for_nothing_is_no_group_no_split_and_no_id(tmp_path, word):
    shop = [dict(r, id=word if i % 2 else r['id'], group=word if i % 3 else f'g{i // 6}', split='train' if i % 4 else word) for i, r in enumerate(rows())]
    r = balanced(read_catalog(table(tmp_path, shop)))
    assert len(r.products) == 60 and r.products.group.nunique() == 50 and r.products.split.isna().sum() == 15 and r.products.id.str.startswith('p-').sum() == 30


# ---- columns under their usual names ----------------------------------------------------------------------

usual = {'Name': 'title', 'product_name': 'title', 'item-name': 'title', 'g:title': 'title', 'Product Title': 'title', 'productDisplayName': 'title', 'Name *': 'title', 'Body (HTML)': 'text', 'g:description': 'text'}

@pytest.mark.parametrize('name', usual)
def test_usual_names_of_titles_and_descriptions(tmp_path, name):
    r = read_catalog(table(tmp_path, [{'id': r['id'], name: r['title'], 'category': r['category']} for r in rows()]))
    assert r.products.text.str.contains('no 7').sum() == 1 and any(f'from {name}' in n for n in r.notes)

def test_images_without_a_text_are_named(tmp_path):
    (tmp_path/'images').mkdir()
    for r in rows(6): Image.new('RGB', (32, 32), 'red').save(tmp_path/'images'/f'{r["id"]}.jpg')
    file = table(tmp_path, [dict(id=r['id'], headline=r['title'], category=r['category']) for r in rows(6)])
    assert any('no column of text' in n and '--text NAME' in n for n in read_catalog(file).notes)
    assert read_catalog(file, text='headline').products.text.notna().all()                 # the remedy

@pytest.mark.parametrize('names, likely', [(('Type', 'Categories', 'Tags'), 'Categories'), (('product_type', 'category_id', 'category_name'), 'category_name'), (('Kategorien', 'type'), 'Kategorien'), (('id', 'Product type'), "'Product type'")])
def test_the_likeliest_column_of_categories_is_proposed(tmp_path, names, likely):
    with pytest.raises(ProdclfError, match=f'Remedy: --label {likely}$'): read_catalog(table(tmp_path, [dict.fromkeys(names, 'x') | dict(title='y')] * 3))

def test_tasks_of_label_studio_are_named(tmp_path):
    (tmp_path/'a.json').write_text('[{"id": 1, "data": {"title": "x"}, "annotations": []}]')
    with pytest.raises(ProdclfError, match='Label Studio: export them there as CSV'): read_catalog(tmp_path/'a.json')


# ---- prepare ----------------------------------------------------------------------------------------------

def test_a_refused_attempt_leaves_the_folder_free(tmp_path):
    file, out = table(tmp_path, [dict(r, image=f'{i}.jpg') for i, r in enumerate(rows())]), tmp_path/'out'
    (tmp_path/'images').mkdir()
    (tmp_path/'images'/'another.txt').write_text('x')
    with pytest.raises(ProdclfError, match='none of 60 rows can be used .60 image missing.. Remedy: .*--images'): prepare(file, out)
    assert not out.exists()
    assert len(prepare(file, out, PrepareConfig(bad_image='text-only'))) == 60
    with pytest.raises(ProdclfError, match='begun with other'): prepare(file, out, PrepareConfig(bad_image='text-only', longest=99))

def test_notes_and_options_are_those_of_the_table_in_memory(tmp_path):
    shop = [dict(r, category=(r['category'].lower() if i % 2 else r['category']) + ' > x') for i, r in enumerate(without_id(rows()))]
    file = table(tmp_path, [*shop, dict(title='Odd', category='NA'), dict(title='Gone', category=r'\N')])
    for k, options in enumerate((dict(), dict(depth=1, missing='NA'), dict(depth=1, merge_categories=True))):
        memory, disk = read_catalog(file, **options), prepare(file, tmp_path/f'out{k}', workers=1, **options)
        assert disk.labels == memory.products.label.value_counts().to_dict() and sorted(disk.manifest['notes']) == sorted(memory.notes)
        assert disk.column('id').to_pylist() == memory.products.id.tolist()


# ---- every remedy is followed -----------------------------------------------------------------------------

def command(*words, cwd, monkeypatch):
    "(exit code, messages) of the command, run within this process"
    from prodclf.cli import main
    monkeypatch.chdir(cwd)
    monkeypatch.setattr('sys.argv', ['prodclf', *map(str, words)])
    said = io.StringIO()
    with redirect_stderr(said), redirect_stdout(io.StringIO()):
        try: main.main()
        except SystemExit as e: code = e.code or 0
    return code, said.getvalue()

def first_option(message):
    "The first option that the remedy names, with its value where one stands behind it"
    found = re.search(r"(--[a-z][\w-]*)(?: ('[^']*'|\"[^\"]*\"|[\w.]*\w))?", message.split('Remedy:')[1])
    return [w.strip('\'"') for w in found.groups() if w and (w.islower() or ' ' in w or not w.isupper())]

measure = ['baselines', 'products.csv', '--out', 'o', '--models', 'naive_bayes', '--min-per-class', '5']
ready = ['prepare', 'products.csv', '--out', 'p', '--workers', '1']
named = {'--label': 'category', '--text': 'title', '--images': 'far/off', '--id': 'id', '--bad-image': 'text-only'}
cases = {
    'no column of categories': (lambda s: [{('Product type' if k == 'category' else k): v for k, v in r.items()} for r in s], measure),
    'no column of categories, prepared': (lambda s: [{('kind' if k == 'category' else k): v for k, v in r.items()} for r in s], ready),
    'an empty column of categories': (lambda s: [dict({k: v for k, v in r.items() if k != 'category'}, label='', category=r['category']) for r in s], measure),
    'the same, prepared': (lambda s: [dict({k: v for k, v in r.items() if k != 'category'}, label='', category=r['category']) for r in s], ready),
    'no column of text': (lambda s: [dict(id=r['id'], category=r['category'], heading=r['title']) for r in s], [*measure, '--text', 'headng']),
    'a column with a comma': (lambda s: [{'id': r['id'], 'Name, long': r['title'], 'category': r['category']} for r in s], [*measure, '--text', 'Name']),
    'rare categories': (lambda s: [dict(r, category=f'{r["category"]} {i // 3 % 4}') for i, r in enumerate(s)], [*measure[:-1], '9']),
    'one group': (lambda s: [dict(r, group='Acme') for r in s], measure),
    'a group a category': (lambda s: [dict(r, group=r['category']) for r in s], measure),
    'one id': (lambda s: [dict(r, id='x') for r in s], measure),
    'a split that fits nowhere': (lambda s: [dict(r, split='odd' if i else 'train') for i, r in enumerate(s)], ready[:0] + measure),
    'a category in test alone': (lambda s: [dict(r, split='test' if r['category'] == 'Tents' else 'train') for r in s], measure),
    'pictures that are not there': (lambda s: [dict(r, image=f'{r["id"]}.jpg') for r in s], ready),
    'one category': (lambda s: [dict(r, label='all') for r in s], measure),
}

@pytest.mark.parametrize('name', cases)
def test_the_first_option_of_a_remedy_gets_further(tmp_path, monkeypatch, name):
    change, words = cases[name]
    monkeypatch.setenv('PRODCLF_HOME', str(tmp_path/'home'))
    table(tmp_path, change(rows()))
    (tmp_path/'far'/'off').mkdir(parents=True)
    for r in rows() if 'pictures' in name else (): Image.new('RGB', (32, 32), 'red').save(tmp_path/'far'/'off'/f'{r["id"]}.jpg')
    code, before = command(*words, cwd=tmp_path, monkeypatch=monkeypatch)
    (message,) = [line for line in before.splitlines() if line.startswith('prodclf: ')]
    assert code == 1 and message.count('Remedy:') == 1, before
    option = first_option(message)
    option += [named[option[0]]] if len(option) == 1 else []
    kept = [w for i, w in enumerate(words) if option[0] not in (w, words[i - 1])]
    code, after = command(*kept, *option, cwd=tmp_path, monkeypatch=monkeypatch)
    assert code == 0, f'{message}\n{option}\n{after[-600:]}'

def test_nothing_predicted_is_a_failure(tmp_path, monkeypatch):
    monkeypatch.setenv('PRODCLF_HOME', str(tmp_path/'home'))
    table(tmp_path, rows())
    train = ['train', 'products.csv', '--out', 'm', '--text-encoder', 'lsa', '--image-encoder', 'none', '--min-per-class', '5']
    code, said = command(*train, cwd=tmp_path, monkeypatch=monkeypatch)
    assert code == 0, said
    table(tmp_path, [dict(sku=r['id'], title='') for r in rows(9)], 'blank.csv')
    code, said = command('predict', 'm', 'blank.csv', '--out', 'p.csv', cwd=tmp_path, monkeypatch=monkeypatch)
    assert code == 1 and 'none of 9 rows' in said and 'Remedy:' in said and not (tmp_path/'p.csv').exists()
    odd = [dict(SKU=r['id'], title=r['title'], split='new', category='x'*300) for r in rows(9)]
    table(tmp_path, odd, 'new.csv')
    code, said = command('predict', 'm', 'new.csv', '--out', 'p.csv', cwd=tmp_path, monkeypatch=monkeypatch)
    assert code == 0 and [r['id'] for r in csv.DictReader(open(tmp_path/'p.csv'))] == [r['id'] for r in rows(9)], said

def test_few_groups_name_the_group_column():
    with pytest.raises(ProdclfError, match='Remedy: --group none'): group_kfold([0, 1, 0, 1], [5, 5, 5, 5], 3)

@pytest.mark.parametrize('words, code', [(['baselines', 'products.csv', '--out', 'products.csv'], 2), (['embed', 'products.csv', '--out', 'products.csv'], 2), ([*measure[:3], '/dev/null/x', *measure[4:]], 1)])
def test_a_folder_that_cannot_be_written(tmp_path, monkeypatch, words, code):
    monkeypatch.setenv('PRODCLF_HOME', str(tmp_path/'home'))
    table(tmp_path, rows())
    found, said = command(*words, cwd=tmp_path, monkeypatch=monkeypatch)
    assert found == code and ('Remedy: check the path' in said or 'is a file' in said), said
