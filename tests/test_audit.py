"""`prodclf audit` from the outside: the same findings on every road, every row accounted for, answers that count."""
import json
import re

import numpy as np
import pandas as pd
import pytest

plain = ['--text-encoder', 'lsa', '--image-encoder', 'descriptors', '--min-per-class', 5]


@pytest.fixture(scope='module')
def shop(tmp_path_factory):
    "A small shop with ten changed labels, five products without one and a misspelled category"
    from prodclf.sample.shop import write_sample
    folder = tmp_path_factory.mktemp('dirty')
    write_sample(folder, n=320, seed=11)
    table = pd.read_csv(folder/'products.csv')
    large = sorted(table.category.value_counts().index[:8])
    r = np.random.default_rng(1)
    rows = r.choice(table.index[table.category.isin(large)], 15, replace=False)
    truth = dict(zip(table.id, table.category))
    table.loc[rows[:10], 'category'] = [large[(large.index(c) + 3) % 8] for c in table.category[rows[:10]]]
    table.loc[rows[10:], 'category'] = None
    once = next(i for i in table.index[table.category == large[0]] if i not in rows)
    table.loc[once, 'category'] = large[0].upper()
    table.to_csv(folder/'products.csv', index=False)
    return folder, truth, table.id[rows[:10]].tolist(), large[0]


@pytest.fixture(scope='module')
def audited(prodclf, shop, tmp_path_factory):
    out = tmp_path_factory.mktemp('audit')/'out'
    done = prodclf('audit', shop[0]/'products.csv', '--out', out, *plain, '--batch', 40)
    return out, done


def test_every_row_is_accounted_for(audited, shop):
    out, done = audited
    table, metrics = pd.read_csv(out/'audit.csv'), json.loads((out/'metrics.json').read_text())
    source = pd.read_csv(shop[0]/'products.csv')
    assert metrics['command'] == 'audit' and metrics['rows'] == len(source)
    assert metrics['rows'] == metrics['rows_used'] + metrics['rows_quarantined'] and len(table) == metrics['rows_used']
    row = metrics['results'][0]
    assert row['judged'] == (table.state == 'judged').sum() and row['judged'] + row['left_out'] == len(table)
    assert row['wrong_labels'] == table.wrong_label.notna().sum()
    assert (table.state == 'no label').sum() + metrics['rows_quarantined'] >= 5
    assert table.wrong_label.dropna().tolist() == list(range(1, row['wrong_labels'] + 1))   # in order of suspicion


def test_findings(audited, shop):
    out, done = audited
    _, truth, changed, misspelled = shop
    table, categories = pd.read_csv(out/'audit.csv'), pd.read_csv(out/'categories.csv')
    first = table.id[:20]
    assert pd.Series(changed).isin(first).sum() >= 8
    assert misspelled in {*categories.category, *categories.other} and misspelled.upper() in {*categories.category, *categories.other}
    page = (out/'audit.html').read_text()
    assert '<script' not in page and not re.search(r'(?:src|href)="https?:', page) and 'data:image/jpeg' in page
    assert 'probably wrong' in done.stdout and 'Traceback' not in done.stderr


def test_the_prepared_folder_gives_the_same(prodclf, audited, shop, tmp_path):
    prodclf('prepare', shop[0]/'products.csv', '--out', tmp_path/'ready')
    prodclf('audit', tmp_path/'ready', '--out', tmp_path/'out', *plain, '--batch', 40)
    one, other = (pd.read_csv(p/'audit.csv') for p in (audited[0], tmp_path/'out'))
    shared = one.merge(other, on='id', suffixes=('', '_'))
    judged = shared[shared.state == 'judged']
    assert len(judged) == (one.state == 'judged').sum() == (other.state == 'judged').sum()
    np.testing.assert_allclose(judged.p_label, judged.p_label_, atol=2e-3)
    assert (judged.suggested.fillna('') == judged.suggested_.fillna('')).mean() > .99


def test_answers_count(prodclf, audited, shop, tmp_path):
    import shutil
    out = tmp_path/'out'
    shutil.copytree(audited[0], out)
    sheet = pd.read_csv(out/'batch-001.csv', dtype=str, keep_default_na=False)
    sheet['label'] = sheet.id.map(shop[1])
    sheet.to_csv(tmp_path/'answered.csv', index=False)
    prodclf('audit', shop[0]/'products.csv', '--out', out, *plain, '--answers', tmp_path/'answered.csv', '--by', 'ben', '--batch', 0)
    fixed = pd.read_csv(out/'corrections.csv')
    assert len(fixed) >= 8 and all(shop[1][i] == l for i, l in zip(fixed.id, fixed.label))
    assert set(fixed.id) <= set(shop[2]) | set(sheet.id)
    labels = pd.read_csv(out/'labels.csv').set_index('id').label
    assert (labels[fixed.id].to_numpy() == fixed.label.to_numpy()).all()
    assert not (out/'batch-002.csv').exists()


def test_wrong_usage(prodclf, shop, tmp_path):
    done = prodclf('audit', shop[0]/'products.csv', '--out', tmp_path/'x', '--by', 'eva', code=2)
    assert '--answers FILE' in done.stderr
