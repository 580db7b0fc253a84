"""Sheets and exports as they come back from people and their programs, and tables that changed meanwhile. Every remedy is followed."""
import csv, io, json, unicodedata

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

kinds = ['Gläser', 'Körbe', 'Teppiche']


def table(n=24, known=6, ids=None):
    "A small shop: the first products have a category"
    ids = ids or [f'a{i:03d}' for i in range(n)]
    return pd.DataFrame(dict(id=ids, title=[f'{kinds[i % 3]} Modell {i}' for i in range(n)], text=[f'Serie {i * 7}' for i in range(n)],
                             label=[kinds[i % 3] if i < known else None for i in range(n)], image=None, path=None, group=None, split=None))


def opened(folder, products, **options):
    from prodclf.active.labeling import LabelingFolder
    from prodclf.data.dataset import ProductDataset
    told = []
    work = LabelingFolder(folder, ProductDataset(products.reset_index(drop=True)), options.pop('categories', ()), told.append, **options)
    return work, told


def refused_with(remedy, do, *args, **options):
    from prodclf.core import ProdclfError
    with pytest.raises(ProdclfError) as e: do(*args, **options)
    assert 'Remedy: ' in str(e.value) and remedy in str(e.value), e.value
    return str(e.value)


def sheet_out(work, rows):
    "What `write_next` leaves behind, for products that the test chooses"
    from prodclf.active.oracle import write_batch
    from prodclf.core import write_json
    work.pool.remember(np.asarray(rows))
    file = work.folder/f'batch-{len(work.sheets) + 1:03d}.csv'
    write_batch(work.pool, work.pool.ids[rows], file, np.tile(np.arange(3, 0, -1)/6, (len(rows), 1)))
    write_json(work._list, work.sheets | {file.name: work.pool.ids[rows].tolist()})
    return pd.read_csv(file, dtype=str, keep_default_na=False)


def counts(answers):
    return len(answers.table), answers.blank, answers.repeated, len(answers.refused)


# the table was exported again: ids that mean other products

def renumbered(products): return products.assign(id=[str(i + 1) for i in range(len(products))])


@pytest.mark.parametrize('change', [
    lambda t: renumbered(pd.concat([t.iloc[[-1]].assign(title='Neu', text='eben gekommen'), t])),           # a row more on top
    lambda t: renumbered(t.sort_values('title')),                                                           # sorted by another column
    lambda t: renumbered(t.drop(index=[0])),                                                                # the first one sold
    lambda t: renumbered(t.assign(title=[f'Lampe {i}' for i in range(len(t))])),                            # another shop with the same numbers
])
def test_numbers_that_moved_are_refused(tmp_path, change):
    first = renumbered(table())
    opened(tmp_path/'l', first)
    before = (tmp_path/'l'/'journal.jsonl').read_text()
    refused_with('the table with the ids it had', opened, tmp_path/'l', change(table()))
    assert (tmp_path/'l'/'journal.jsonl').read_text() == before
    assert opened(tmp_path/'l', first)[0].pool.labeled.sum() == 6                     # one remedy: the table as it was
    assert opened(tmp_path/'other', change(table()))[0].pool.labeled.sum() >= 5       # the other: another folder


def test_a_sheet_that_is_out_is_guarded_too(tmp_path):
    "No label yet, so the journal knows the products from the sheet alone"
    blank = renumbered(table(known=0))
    sheet_out(opened(tmp_path/'l', blank, categories=kinds)[0], [3, 7, 9, 11])
    refused_with('the ids it had', opened, tmp_path/'l', blank.assign(id=blank.id[::-1].tolist()))
    assert len(opened(tmp_path/'l', blank.iloc[::-1])[0].waiting()['batch-001.csv'][0]) == 4        # sorted otherwise, the ids with their products


def test_edited_words_are_the_same_products(tmp_path):
    opened(tmp_path/'l', table())
    few = table().assign(title=lambda t: t.title.where(t.index != 2, 'Kelim, rot'))
    work, _ = opened(tmp_path/'l', few)
    assert '1 products have other words' in repr(work.pool) and work.pool.labeled.sum() == 6
    assert 'other words' not in repr(opened(tmp_path/'l', few)[0].pool)               # said once
    all_new = few.assign(title='Sale: ' + few.title)
    refused_with('--edited', opened, tmp_path/'l', all_new)
    assert opened(tmp_path/'l', all_new, edited=True)[0].pool.labeled.sum() == 6
    assert opened(tmp_path/'l', all_new)[0].pool.labeled.sum() == 6


# products that are gone

@pytest.mark.parametrize('gone', [['a000'], ['a001', 'a010'], ['a010', 'a011', 'a012']])
def test_products_that_are_gone(tmp_path, gone):
    work, _ = opened(tmp_path/'l', table())
    sheet = sheet_out(work, [10, 11, 12])
    left = table()[lambda t: ~t.id.isin(gone)]
    work, told = opened(tmp_path/'l', left)
    lost = [i for i in gone if i < 'a006']
    assert work.pool.labeled.sum() == 6 - len(lost) and ('the pool goes on without them' in repr(work.pool)) == bool(lost)
    still = 3 - len([i for i in gone if i >= 'a010'])
    assert len(work.waiting().get('batch-001.csv', [[]])[0]) == still
    sheet.assign(label='Körbe').to_csv(tmp_path/'back.csv', index=False)
    if not still:
        refused_with('leave the row out', work.take_in, tmp_path/'back.csv')
        return
    assert work.take_in(tmp_path/'back.csv') == still
    if still < 3:
        bad = pd.read_csv(tmp_path/'l'/'back.refused.csv')
        assert bad.reason.str.contains('not in the catalog any more').all() and set(bad.remedy) == {'leave the row out'}
    assert opened(tmp_path/'l', table())[0].pool.labeled.sum() == 6 + still           # and it comes back


def test_another_shop_altogether(tmp_path):
    opened(tmp_path/'l', table())
    strange = table(ids=[f'z{i}' for i in range(24)])
    refused_with('another --out', opened, tmp_path/'l', strange)
    assert len(opened(tmp_path/'m', strange)[0].pool) == 24


# labels in the table

def test_labels_written_into_the_table(tmp_path):
    work, _ = opened(tmp_path/'l', table())
    work.pool.answer(['a008', 'a009'], ['Körbe', None], by='eva')
    more = table(known=12)                                                             # a008 is a Teppich there, a009 was skipped
    more.loc[0, 'label'], more.loc[10, 'label'] = 'körbe ', 'Vasen'                    # a change of mind, and a new category
    more.loc[0, 'label'] = 'körbe'
    work, told = opened(tmp_path/'l', more)
    labels = dict(zip(more.id, work.pool.products.label))
    assert (labels['a000'], labels['a008'], labels['a009'], labels['a010']) == ('Körbe', 'Körbe', 'Gläser', 'Vasen')
    assert work.pool.labeled.sum() == 12 and not work.pool.disputed
    text = '\n'.join(map(str, told))
    assert '6 labels are new in the table' in text and 'a008: the answers in the journal count' in text and 'taken in: 1' in text
    assert len(opened(tmp_path/'l', more)[0].pool.log) == len(work.pool.log)           # nothing twice


# Label Studio

def export(path, sheet, result, **extra):
    tasks = [dict(id=i, data=dict(product_id=id, title='x'), annotations=[dict(completed_by=1, was_cancelled=False, result=result(i))], **extra) for i, id in enumerate(sheet.id)]
    path.write_text(json.dumps(tasks), encoding='utf-8')
    return path


def choice(name, control, kind='choices', value=None):
    return dict(from_name=control, to_name='words', type=kind, value={kind: value or [name]})


@pytest.mark.parametrize('result', [
    lambda i: [choice(kinds[i % 3], 'kategorie')],
    lambda i: [choice(None, 'baum', 'taxonomy', [['Wohnen', 'Küche', kinds[i % 3]]])],
    lambda i: [choice(None, 'category', 'taxonomy', [[kinds[i % 3]]])],
    lambda i: [choice(kinds[i % 3], 'art'), choice('rot', 'farbe')],
    lambda i: [choice('rot', 'color'), choice(kinds[i % 3], 'category')],
    lambda i: [choice(unicodedata.normalize('NFD', kinds[i % 3]), 'was'), dict(from_name='note', type='textarea', value=dict(text=['hm']))],
])
def test_controls_of_a_page_of_ones_own(tmp_path, result):
    work, _ = opened(tmp_path/'l', table())
    sheet = sheet_out(work, [9, 10, 11, 12])
    assert work.take_in(export(tmp_path/'e.json', sheet, result)) == 4
    assert work.pool.products.label[9:13].tolist() == [kinds[i % 3] for i in range(4)]


@pytest.mark.parametrize('result, told', [
    (lambda i, name=None: [choice(kinds[i % 3], name or 'eins'), choice(kinds[i % 3], 'zwei')], 'several controls'),
    (lambda i, name=None: [dict(from_name='x', type='textarea', value=dict(text=['Körbe']))] if name is None else [choice(kinds[i % 3], name)], 'no control'),
    (lambda i, name=None: [choice(kinds[0], name or 'a'), choice(kinds[1], 'b'), choice(kinds[2], 'c')], 'several controls'),
])
def test_no_control_can_be_told(tmp_path, result, told):
    work, _ = opened(tmp_path/'l', table())
    sheet = sheet_out(work, [9, 10, 11])
    assert told in refused_with('call the control of the categories "category"', work.take_in, export(tmp_path/'e.json', sheet, result))
    assert work.take_in(export(tmp_path/'e.json', sheet, lambda i: result(i, 'category'))) == 3


def test_an_export_in_which_nobody_chose(tmp_path):
    work, _ = opened(tmp_path/'l', table())
    sheet = sheet_out(work, [9, 10])
    assert 'of 2 rows none' in refused_with('submit the tasks', work.take_in, export(tmp_path/'e.json', sheet, lambda i: []))


def test_label_studios_csv(tmp_path):
    "Its CSV has the number of the task as `id`"
    work, _ = opened(tmp_path/'l', table())
    sheet_out(work, [9, 10])
    (tmp_path/'e.csv').write_text('annotation_id,category,id,product_id\n5,Körbe,1,a009\n6,Gläser,2,a010\n', encoding='utf-8')
    assert work.take_in(tmp_path/'e.csv') == 2


# what spreadsheets do

@pytest.mark.parametrize('encoding', ['utf-8', 'utf-8-sig', 'utf-16', 'utf-16-le', 'cp1252', 'cp850', 'mac_roman'])
@pytest.mark.parametrize('sep', [',', ';', '\t'])
def test_encodings_and_separators(tmp_path, encoding, sep):
    from prodclf.active.oracle import read_answers
    work, _ = opened(tmp_path/'l', table())
    sheet = sheet_out(work, [9, 10, 11]).assign(label=kinds)
    text = sheet.to_csv(index=False, sep=sep, lineterminator='\r\n')
    (tmp_path/'back.csv').write_bytes(text.encode(encoding))
    answers = read_answers(tmp_path/'back.csv', work.pool)
    assert counts(answers) == (3, 0, 0, 0) and answers.table.label.tolist() == kinds
    assert ('read as' in answers.source) == (encoding in ('cp1252', 'cp850', 'mac_roman'))
    assert counts(read_answers(tmp_path/'back.csv', work.pool, encoding=encoding)) == (3, 0, 0, 0)


@pytest.mark.parametrize('encoding, name', [('cp1251', 'Ковры'), ('cp1250', 'Židle'), ('gb18030', '地毯'), ('cp932', 'じゅうたん')])
def test_other_scripts(tmp_path, encoding, name):
    work, _ = opened(tmp_path/'l', table().assign(label=lambda t: t.label.replace('Teppiche', name)))
    sheet_out(work, [9])
    (tmp_path/'back.csv').write_bytes(f'id;label\na009;{name}\n'.encode(encoding))
    assert work.take_in(tmp_path/'back.csv') == 1 and work.pool.products.label[9] == name


@pytest.mark.parametrize('typed, meant', [
    ('2', 'second'), ('2.0', 'second'), ('2,0', 'second'), (' 3 ', 'third'), ('3.00', 'third'),
    ('GLÄSER', 'Gläser'), ('Glä ser', 'Gläser'), (unicodedata.normalize('NFD', 'Körbe'), 'Körbe'), ('\u00a0Körbe', 'Körbe'), ('Körbe\u3000', 'Körbe'),
    ('="Körbe"', 'Körbe'), ("'Teppiche", 'Teppiche'), ('Wohnen > Teppiche', 'Teppiche'),
    ('4', None), ('0', None), ('2.5', None), ('-1', None), ('Glas', None), ('1.000', None),
])
def test_names_and_numbers_of_guesses(tmp_path, typed, meant):
    from prodclf.active.oracle import read_answers
    work, _ = opened(tmp_path/'l', table())
    sheet = sheet_out(work, [9])
    for j in (4, 5): sheet = sheet.drop(columns=[f'guess_{j}', f'p_{j}'], errors='ignore')
    meant = {'second': sheet.guess_2[0], 'third': sheet.guess_3[0]}.get(meant, meant)
    sheet.assign(label=typed).to_csv(tmp_path/'back.csv', index=False)
    answers = read_answers(tmp_path/'back.csv', work.pool)
    assert answers.table.label.tolist() == ([meant] if meant else []) and sum(counts(answers)) == 1
    if meant is None:
        assert answers.refused.remedy[0].startswith('write the name of a category')
        sheet.assign(label='Gläser').to_csv(tmp_path/'back.csv', index=False)
        assert counts(read_answers(tmp_path/'back.csv', work.pool)) == (1, 0, 0, 0)


@pytest.mark.parametrize('classes, typed, meant', [
    (['007', '042', '900'], '7', '007'), (['007', '042', '900'], '42.0', '042'), (['007', '042', '900'], '900', '900'),
    (['007', '07', '900'], '7', None), (['Mug', 'mug', 'Jar'], 'MUG', None), (['02', '05', '09'], '2', None), (['01.01', '01.02', '2'], '1.01', None),
])
def test_categories_that_are_numbers(tmp_path, classes, typed, meant):
    from prodclf.active.oracle import read_answers
    products = table().assign(label=lambda t: t.label.map(dict(zip(kinds, classes))))
    work, _ = opened(tmp_path/'l', products)
    sheet = sheet_out(work, [9])
    sheet.assign(label=typed).to_csv(tmp_path/'back.csv', index=False)
    answers = read_answers(tmp_path/'back.csv', work.pool)
    assert answers.table.label.tolist() == ([meant] if meant else [])
    if meant is None and 'such as' in answers.refused.remedy[0]:                       # it names a spelling that cannot be taken otherwise
        exact = answers.refused.remedy[0].split('such as ')[1].split(', which')[0]
        sheet.assign(label=exact).to_csv(tmp_path/'back.csv', index=False)
        assert read_answers(tmp_path/'back.csv', work.pool).table.label[0] == exact[2:-1]


@pytest.mark.parametrize('there, typed', [
    ('00048', '48'), ('00048', '48.0'), ('="00048"', '00048'), ('="00048"', '48'), ('00048', '="00048"'), ("'00048", '00048'),
    ('Küche-1', unicodedata.normalize('NFD', 'Küche-1')), (unicodedata.normalize('NFD', 'Küche-1'), 'Küche-1'), ('48', "'48"), ('48', '48,0'),
])
def test_ids_that_a_spreadsheet_changed(tmp_path, there, typed):
    from prodclf.active.oracle import RawAnswer, judge
    work, _ = opened(tmp_path/'l', table(ids=[f'b{i}' for i in range(23)] + [there]))
    answers = judge([RawAnswer(1, typed, 'Körbe')], work.pool)
    assert answers.table.id.tolist() == [there], answers.refused.to_dict('records')


@pytest.mark.parametrize('typed, word', [('8.90123E+12', 'rounded'), ('8,9E+12', 'rounded'), ('nobody', 'no product'), ('', 'no product')])
def test_ids_that_cannot_be_mended(tmp_path, typed, word):
    from prodclf.active.oracle import RawAnswer, judge
    answers = judge([RawAnswer(1, typed, 'Körbe')], opened(tmp_path/'l', table())[0].pool)
    assert word in answers.refused.reason[0] and answers.refused.remedy[0]


def test_every_row_is_accounted_for(tmp_path):
    "A sheet with everything that can go wrong, a row with too many cells among it"
    work, _ = opened(tmp_path/'l', table())
    sheet = sheet_out(work, list(range(8, 18)))
    sheet['label'] = ['Körbe', '', 'skip', 'Nichts', 'körbe', 'Gläser', '', '1', 'Teppiche', 'Vasen']
    out = io.StringIO()
    sheet.to_csv(out, index=False)
    rows = list(csv.reader(io.StringIO(out.getvalue())))
    lines = [[*rows[1], 'too', 'many'], rows[6], ['q9', *rows[7][1:4], 'Körbe', *rows[7][5:]]]
    label = rows[0].index('label')
    lines.append([c if k != label else 'Körbe' for k, c in enumerate(rows[9])])       # answered otherwise
    csv.writer(out).writerows(lines)
    (tmp_path/'back.csv').write_text(out.getvalue(), encoding='utf-8')
    work.take_in(tmp_path/'back.csv')
    from prodclf.active.oracle import read_answers
    answers = read_answers(tmp_path/'back.csv', work.pool)
    assert sum(counts(answers)) == 14 and answers.repeated == 1 and answers.blank >= 2
    bad = pd.read_csv(tmp_path/'l'/'back.refused.csv', keep_default_na=False)
    assert len(bad) == len(answers.refused) == 6 and (bad.reason != '').all() and (bad.remedy != '').all() and bad.row.is_monotonic_increasing


def test_nothing_accepted_and_the_remedy(tmp_path):
    work, _ = opened(tmp_path/'l', table())
    sheet = sheet_out(work, [9, 10])
    for labels, remedy, mended in (
        (['', ''], 'fill in the column "label"', ['Körbe', '']),
        (['Vase', 'Krug'], 'write the name of a category', ['Teppiche', 'Krug']),
        (['99', '98'], 'write the name of a category or the number of a guess', ['1', '']),
    ):
        sheet.assign(label=labels).to_csv(tmp_path/'back.csv', index=False)
        refused_with(remedy, work.take_in, tmp_path/'back.csv', by=remedy)
        sheet.assign(label=mended).to_csv(tmp_path/'back.csv', index=False)
        assert work.take_in(tmp_path/'back.csv', by=remedy) == 1
    sheet.assign(label='Vase').to_csv(tmp_path/'back.csv', index=False)
    assert work.take_in(tmp_path/'back.csv', allow_new=True) > 0                      # as the remedy says
    sheet.drop(columns='label').to_csv(tmp_path/'back.csv', index=False)
    refused_with('give the column its name back', work.take_in, tmp_path/'back.csv')


# the command

def command(*words):
    from prodclf.cli.main import app
    done = CliRunner().invoke(app, [str(w) for w in words])
    return done.exit_code, done.stderr + done.stdout + str(done.exception or '')


def test_the_command(tmp_path):
    "From a list in an old encoding to answers in another: every remedy as the message has it"
    table(known=0).drop(columns=['label', 'image', 'path', 'group', 'split']).rename(columns=dict(text='description')).to_csv(tmp_path/'p.csv', index=False)
    (tmp_path/'list.txt').write_bytes('\r\n'.join(kinds).encode('cp1252'))
    words = ['label', tmp_path/'p.csv', '--out', tmp_path/'l', '--n', 0]
    code, text = command(*words, '--categories', tmp_path/'list.txt')
    assert code == 1 and 'list.txt, line 1: not utf-8' in text
    remedy = text.split('Remedy: ')[1].split(' where')[0].split()
    assert remedy == ['--answers-encoding', 'cp1252']
    code, text = command(*words, '--categories', tmp_path/'list.txt', *remedy)
    assert code == 0 and 'of 3 categories' in text
    (tmp_path/'back.csv').write_bytes('id;label\na001;Körbe\na002;GLÄSER\n'.encode('mac_roman'))
    code, text = command(*words, '--answers', tmp_path/'back.csv')
    assert code == 0 and '2 answered' in text and 'read as mac_roman' in text
    code, text = command(*words, '--answers', tmp_path/'back.csv', '--answers-encoding', 'utf-8')
    assert code == 1 and '--answers-encoding' in text or '--encoding' in text
    (tmp_path/'none.csv').write_text('id,label\na003,\n')
    code, text = command(*words, '--answers', tmp_path/'none.csv')
    assert code == 1 and 'fill in the column "label"' in text


@pytest.mark.parametrize('raw', [b'\xef\xbb\xbfK\xc3\xb6rbe\nVasen', 'Körbe\r\nVasen\r\n'.encode('utf-16'), unicodedata.normalize('NFD', 'Körbe\n\nVasen').encode(), 'Vasen\nKÖRBE\n'.encode('utf-8-sig')])
def test_lists_of_categories(tmp_path, raw):
    from prodclf.active.labeling import read_categories
    (tmp_path/'list.txt').write_bytes(raw)
    work, _ = opened(tmp_path/'l', table(), categories=read_categories(tmp_path/'list.txt'))
    assert work.pool.classes == sorted([*kinds, 'Vasen'])
    work, told = opened(tmp_path/'l', table(), categories=read_categories(tmp_path/'list.txt'))
    assert work.pool.classes == sorted([*kinds, 'Vasen']) and not told


# whose answer is it: the id, and the title beside it

def back_with(tmp_path, work, sheet):
    from prodclf.active.oracle import read_answers
    sheet.to_csv(tmp_path/'back.csv', index=False)
    return read_answers(tmp_path/'back.csv', work.pool)


def test_zeros_that_were_lost_between_two_products(tmp_path):
    "12 and 0012 are both in the shop, and a spreadsheet writes 12 for both"
    ids = [str(i) for i in range(12)] + [f'{i:04d}' for i in range(12)]
    work, _ = opened(tmp_path/'l', table(ids=ids))
    sheet = sheet_out(work, [7, 19, 21]).assign(label='Körbe')
    answers = back_with(tmp_path, work, sheet.assign(id=sheet.id.astype(int)))
    assert answers.table.id.tolist() == ['7', '0007', '0009']                         # the title beside it tells
    answers = back_with(tmp_path, work, sheet.assign(id=sheet.id.astype(int), title=''))
    assert set(answers.refused.reason) == {"'7' may be '7' or '0007'", "'9' may be '9' or '0009'"} and not len(answers.table)
    exact = answers.refused.remedy[0].split('such as ')[1].split(', which')[0]
    assert back_with(tmp_path, work, sheet.head(1).assign(id=exact, title='')).table.id.tolist() == ['7']
    assert back_with(tmp_path, work, sheet.assign(title='')[1:]).table.id.tolist() == ['0007', '0009']    # nothing was lost here


def test_the_zeros_of_a_product_that_is_gone(tmp_path):
    "0007 was asked about and is not sold any more; 7 is another product"
    ids = [str(i) for i in range(12)] + [f'{i:04d}' for i in range(12)]
    products = table(ids=ids)
    sheet = sheet_out(opened(tmp_path/'l', products)[0], [19, 21]).assign(label='Körbe')
    left = products[~products.id.isin(['0007', '9'])].assign(title=lambda t: t.title.where(t.id != '0009', products.title[9]))
    work, _ = opened(tmp_path/'l', left, edited=True)
    for titles in (sheet.title, ''):
        answers = back_with(tmp_path, work, sheet.assign(title=titles))
        assert answers.table.id.tolist() == ['0009'] and 'not in the catalog any more' in answers.refused.reason[0]
    answers = back_with(tmp_path, work, sheet.assign(id=['7', '9']))                    # and the spreadsheet had a hand in it
    assert answers.table.id.tolist() == ['0009'] and "may be '7' or '0007'" in answers.refused.reason[0]


@pytest.mark.parametrize('change', [
    lambda s: s.assign(id=s.id.to_numpy()[::-1]), lambda s: s.assign(title=s.title.shift(-1).fillna(s.title[0])), lambda s: s.assign(id=s.id.sample(frac=1, random_state=2).to_numpy()),
])
def test_a_column_that_was_sorted_without_the_others(tmp_path, change):
    work, _ = opened(tmp_path/'l', table())
    sheet = sheet_out(work, [8, 9, 10, 11]).assign(label='Körbe')
    answers = back_with(tmp_path, work, change(sheet))
    assert set(answers.refused.reason.str[7:]) == {'stands beside the title of another product'} and len(answers.refused) + len(answers.table) == 4
    assert answers.refused.remedy[0].startswith('sort whole rows')
    assert counts(back_with(tmp_path, work, sheet.iloc[::-1])) == (4, 0, 0, 0)        # as the remedy says


@pytest.mark.parametrize('change', [str.upper, lambda t: t[:6] + '…', lambda t: '', lambda t: 'Sale ' + t, lambda t: t.replace(' ', '  ')])
def test_titles_that_somebody_edited_are_no_reason(tmp_path, change):
    work, _ = opened(tmp_path/'l', table())
    sheet = sheet_out(work, [8, 9]).assign(label='Körbe')
    assert counts(back_with(tmp_path, work, sheet.assign(title=sheet.title.map(change)))) == (2, 0, 0, 0)


def test_ids_that_differ_in_case_alone(tmp_path):
    work, _ = opened(tmp_path/'l', table(ids=[f'{c}{i}' for i in range(12) for c in ('ab', 'AB')]))
    sheet = sheet_out(work, [8, 9]).assign(label='Körbe')
    answers = back_with(tmp_path, work, sheet.assign(id=sheet.id.str.upper()))
    assert answers.table.id.tolist() == ['AB4'] and 'title of another product' in answers.refused.reason[0]


@pytest.mark.parametrize('typed, meant', [('Gläser\u200b', 'Gläser'), ('T&ouml;pfe &amp; K&ouml;rbe', 'Töpfe & Körbe'), ('<b>gläser</b>', 'Gläser'), ('Gläser|Körbe', None)])
def test_cells_are_cleaned_as_those_of_the_table(tmp_path, typed, meant):
    work, _ = opened(tmp_path/'l', table().replace('Körbe', 'Töpfe & Körbe'))
    answers = back_with(tmp_path, work, sheet_out(work, [9]).assign(label=typed))
    assert answers.table.label.tolist() == ([meant] if meant else [])


def test_two_columns_of_labels(tmp_path):
    work, _ = opened(tmp_path/'l', table())
    sheet = sheet_out(work, [9]).assign(label='Körbe', Label='Gläser')
    sheet.to_csv(tmp_path/'back.csv', index=False)
    refused_with('leave one of them', work.take_in, tmp_path/'back.csv')
    assert counts(back_with(tmp_path, work, sheet.drop(columns='Label'))) == (1, 0, 0, 0)


def test_a_corrected_sheet_says_what_counts(tmp_path):
    work, told = opened(tmp_path/'l', table())
    sheet = sheet_out(work, [9, 10])
    for by, names in (('', ['Körbe', 'Gläser']), ('', ['Körbe', 'Körbe'])):
        sheet.assign(label=names).to_csv(tmp_path/'back.csv', index=False)
        work.take_in(tmp_path/'back.csv', by)
    assert '1 more products are answered in more than one way, and the first answer counts' in '\n'.join(map(str, told))
    sheet = sheet_out(work, [11])
    for name in ('Körbe', 'Gläser'):                                                   # as the line says: by name from the start
        sheet.assign(label=name).to_csv(tmp_path/'back.csv', index=False)
        work.take_in(tmp_path/'back.csv', 'eva')
    assert work.pool.products.label[11] == 'Gläser'


# Label Studio, less usual

def test_json_min_and_people_in_a_table(tmp_path):
    work, _ = opened(tmp_path/'l', table())
    sheet_out(work, [9, 10])
    rows = [dict(id=k, product_id=i, category=c, annotator=who) for k, (i, c, who) in enumerate([('a009', 'Körbe', 1), ('a010', 'Gläser', 1), ('a010', 'Körbe', 2)])]
    (tmp_path/'e.json').write_text(json.dumps(rows))
    assert work.take_in(tmp_path/'e.json') == 3 and len(work.pool.disputed) == 1       # two people, and both are heard


@pytest.mark.parametrize('annotations, label', [
    (lambda name: [dict(completed_by=1, was_cancelled=True, result=[]), dict(completed_by=1, was_cancelled=False, result=[choice(name, 'category')])], True),
    (lambda name: [dict(completed_by=1, result=[choice(None, 'tree', 'taxonomy', [['Wohnen', name], ['Haus', 'Vasen']])])], False),
    (lambda name: [dict(completed_by=1, result=[choice(None, 'category', value=[name, 'Vasen'])])], False),
])
@pytest.mark.parametrize('allow_new', [False, True])
def test_what_one_person_chose(tmp_path, annotations, label, allow_new):
    from prodclf.active.oracle import read_label_studio
    work, _ = opened(tmp_path/'l', table(), categories=['Vasen'])
    (tmp_path/'e.json').write_text(json.dumps([dict(data=dict(product_id='a009'), annotations=annotations('Körbe'))]))
    answers = read_label_studio(tmp_path/'e.json', work.pool, allow_new=allow_new)
    assert answers.table.label.tolist() == (['Körbe'] if label else []) and len(answers.refused) == (not label)


def test_a_control_that_was_renamed_on_the_way(tmp_path):
    work, _ = opened(tmp_path/'l', table())
    sheet = sheet_out(work, [8, 9, 10, 11])
    assert work.take_in(export(tmp_path/'e.json', sheet, lambda i: [choice(kinds[i % 3], 'category' if i < 2 else 'kind'), choice('rot', 'color')])) == 4


@pytest.mark.parametrize('odd', ['x', dict(result=['x']), dict(result=[dict(type='choices', value='Körbe')]), dict(completed_by=dict(id=[1]), result=[])])
def test_exports_that_are_none(tmp_path, odd):
    work, _ = opened(tmp_path/'l', table())
    (tmp_path/'e.json').write_text(json.dumps([dict(data=dict(product_id='a009'), annotations=[odd])]))
    refused_with('export as "JSON"', work.take_in, tmp_path/'e.json')


# the folder

@pytest.mark.parametrize('name, write', [
    ('c.csv', lambda f: f.write_text('nr;category\n1;Körbe\n2;Vasen\n', encoding='cp1252')), ('c.csv', lambda f: f.write_text('"Körbe"\nVasen\n', encoding='utf-8-sig')),
    ('c.xlsx', lambda f: pd.DataFrame(dict(category=['Körbe', 'Vasen'])).to_excel(f, index=False)), ('c.json', lambda f: f.write_text('[{"label": "Körbe"}, {"label": "Vasen"}]', encoding='utf-8')),
    ('c.parquet', lambda f: pd.DataFrame(dict(Label=['Körbe', 'Vasen'])).to_parquet(f)),
])
def test_lists_of_categories_in_a_table(tmp_path, name, write):
    from prodclf.active.labeling import read_categories
    from prodclf.core import ProdclfError
    write(tmp_path/name)
    try:
        found = read_categories(tmp_path/name)
    except ProdclfError as e:
        assert 'Remedy: --answers-encoding cp1252' in str(e)
        found = read_categories(tmp_path/name, 'cp1252')
    assert found == ['Körbe', 'Vasen']


@pytest.mark.parametrize('name', ['c.csv', 'c.txt'])
def test_a_table_without_a_column_of_categories(tmp_path, name):
    from prodclf.active.labeling import read_categories
    sep = '\t' if name == 'c.txt' else ','
    (tmp_path/name).write_text(f'nr{sep}name\n1{sep}Vasen\n')
    refused_with('call the column of names category', read_categories, tmp_path/name)
    (tmp_path/name).write_text(f'nr{sep}category\n1{sep}Vasen\n')
    assert read_categories(tmp_path/name) == ['Vasen']


def test_labels_that_left_the_table(tmp_path):
    opened(tmp_path/'l', table())
    work, told = opened(tmp_path/'l', table().assign(label=None))                      # its column has another name now
    assert work.pool.labeled.sum() == 6 and '6 labels that the table had are not there any more, such as that of a000' in told[0]
    assert not opened(tmp_path/'l', table())[1]


def test_spellings_in_a_list_are_told(tmp_path):
    assert '1 categories in several spellings' in opened(tmp_path/'l', table(), categories=['Vasen', 'VASEN'])[1][0]


def test_the_list_of_sheets_is_damaged(tmp_path):
    work, _ = opened(tmp_path/'l', table())
    sheet = sheet_out(work, [9])
    work._list.write_text('{"batch')
    refused_with('delete it', work.waiting)
    work._list.unlink()
    sheet.assign(label='Körbe').to_csv(tmp_path/'back.csv', index=False)
    assert work.waiting() == {} and work.take_in(tmp_path/'back.csv') == 1


def shop_file(folder, **columns):
    products = table().drop(columns=['image', 'path', 'group', 'split']).rename(columns=dict(text='description'))
    products.assign(**columns).dropna(axis=1, how='all').to_csv(folder/'p.csv', index=False)
    return ['label', folder/'p.csv', '--out', folder/'l', '--text-encoder', 'descriptors', '--image-encoder', 'none']


def test_images_that_are_not_in_images(tmp_path):
    from PIL import Image
    from prodclf.data.catalog import read_catalog
    (tmp_path/'fotos').mkdir()
    for i in range(24): Image.new('RGB', (16, 16), (i * 9, 0, 0)).save(tmp_path/'fotos'/f'{i}.png')
    words = shop_file(tmp_path, image=[f'fotos/{i}.png' for i in range(24)])
    (tmp_path/'back.csv').write_text('id,label\na009,Körbe\n', encoding='utf-8')
    code, text = command(*words, '--n', 0, '--answers', tmp_path/'back.csv')
    assert code == 0 and f'(images in {tmp_path/"fotos"})' in text
    assert len(read_catalog(tmp_path/'l'/'labels.csv', images=tmp_path/'fotos').products) == 7


def test_the_last_answers_are_no_error(tmp_path):
    words = shop_file(tmp_path)
    assert command(*words, '--n', 50)[0] == 0
    sheet = pd.read_csv(tmp_path/'l'/'batch-001.csv', dtype=str).assign(label='Körbe')
    sheet.to_csv(tmp_path/'back.csv', index=False)
    code, text = command(*words, '--answers', tmp_path/'back.csv')
    assert code == 0 and '18 answered' in text and 'nothing left to ask' in text
    code, text = command(*words)
    assert code == 1 and 'nothing left to ask' in text


def test_ids_from_elsewhere_and_the_remedy(tmp_path):
    words = shop_file(tmp_path, sku=[f'S{i}' for i in range(24)], id=None)
    assert command(*words, '--n', 0)[0] == 0 and command(*words, '--n', 0, '--id', 'none')[0] == 1
    twice = [f'S{i // 2 if i > 17 else i}' for i in range(24)]
    shop_file(tmp_path, sku=twice, id=None)                                            # no column of ids any more, as it seems
    code, text = command(*words, '--n', 0)
    assert code == 1 and "ids such as 'S0' (--id COLUMN)" in text
    assert command(*words, '--n', 0, '--id', 'sku')[0] == 0


def test_an_id_column_that_comes_later(tmp_path):
    words = shop_file(tmp_path, id=None)
    assert command(*words, '--n', 0)[0] == 0
    shop_file(tmp_path)
    code, text = command(*words, '--n', 0)
    assert code == 1 and '(--id none)' in text
    assert command(*words, '--n', 0, '--id', 'none')[0] == 0


@pytest.mark.parametrize('more, why', [(['--by', 'eva'], '--answers FILE'), (['--allow-new'], '--answers FILE'), (['--out', 'p.csv'], 'is a file')])
def test_wrong_usage(tmp_path, monkeypatch, more, why):
    words = shop_file(tmp_path)
    monkeypatch.chdir(tmp_path)
    code, text = command(*words, *more)
    assert code == 2 and why in text


def test_an_encoding_of_answers_that_is_none(tmp_path):
    words = shop_file(tmp_path)
    (tmp_path/'back.csv').write_text('id,label\na009,Körbe\n', encoding='utf-8')
    code, text = command(*words, '--n', 0, '--answers', tmp_path/'back.csv', '--answers-encoding', 'klingon')
    assert code == 1 and 'Remedy: --answers-encoding utf-8' in text
    assert command(*words, '--n', 0, '--answers', tmp_path/'back.csv', '--answers-encoding', 'utf-8')[0] == 0
