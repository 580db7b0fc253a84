"""Names of categories as the first labels, on the command line and in a folder in which people label"""
import json

import pandas as pd


def test_names_save_labels_and_the_option_acts(prodclf, tmp_path):
    "With names there is a model before the first label, and no option is ignored"
    words = ['active', 'embedded', '--strategy', 'auto', '--batch', 50, '--initial', 50, '--rounds', 1, '--seeds', '3', '--random-rounds', 1]
    reached = {}
    for how in ('--names', '--no-names'):
        prodclf(*words, how, '--out', tmp_path/how)
        curve = pd.read_csv(tmp_path/how/'curve.csv')
        reached[how] = curve[curve.strategy == 'auto'].set_index('labels').accuracy
        assert json.loads((tmp_path/how/'metrics.json').read_text())['options']['names'] is (how == '--names')
    assert reached['--names'][0] > .3 and 0 not in reached['--no-names'].index
    assert reached['--names'][50] > reached['--no-names'][50] + .1
    random = [pd.read_csv(tmp_path/how/'curve.csv').query('strategy == "random"').accuracy.tolist() for how in reached]
    assert random[0] == random[1]                                    # it stands beside them without names


def test_synonyms_are_read_or_refused(prodclf, tmp_path):
    words = ['active', 'embedded', '--strategy', 'auto', '--batch', 50, '--rounds', 1, '--seeds', '3', '--out', tmp_path/'o']
    (tmp_path/'words.txt').write_text('Mugz: cups')
    done = prodclf(*words, '--synonyms', tmp_path/'words.txt', code=1)
    assert "line 1: no category 'Mugz'" in done.stderr and 'Traceback' not in done.stderr
    assert 'goes with --names' in prodclf(*words, '--no-names', '--synonyms', tmp_path/'words.txt', code=2).stderr
    assert 'goes with --semi' in prodclf(*words, '--no-semi', '--graph', code=2).stderr
    assert 'goes with --audit' in prodclf(*words, '--enough', .9, code=2).stderr
    assert '--no-names' in prodclf(*words, '--text-encoder', 'none', '--names', code=1).stderr


def test_a_sheet_without_a_label_comes_with_guesses(prodclf, tmp_path):
    "From nothing but a list of names: a random sheet that is laid aside, then a sheet with guesses"
    from prodclf.sample.shop import sample_catalog
    shop = sample_catalog(n=200, seed=5)
    truth = shop.set_index('id').label
    shop[['id', 'title', 'text', 'group']].to_csv(tmp_path/'products.csv', index=False)
    (tmp_path/'names.txt').write_text('\n'.join(sorted(set(shop.label))))
    words = ['label', tmp_path/'products.csv', '--out', tmp_path/'l', '--categories', tmp_path/'names.txt', '--text', 'title,text', '--text-encoder', 'lsa', '--image-encoder', 'none']
    assert 'laid aside' in prodclf(*words, '--audit', 30).stderr
    sheet = pd.read_csv(tmp_path/'l'/'batch-001.csv', dtype=str)
    assert len(sheet) == 30
    sheet.assign(label=sheet.id.map(truth)).to_csv(tmp_path/'a.csv', index=False)
    done = prodclf(*words, '--answers', tmp_path/'a.csv', '--n', 20)
    assert 'if labeling stopped now, about' in done.stderr and 'by 30 answers in the drawer' in done.stderr
    guessed = pd.read_csv(tmp_path/'l'/'batch-002.csv', dtype=str)
    assert guessed.guess_1.notna().all()                             # not one label teaches yet
    assert (guessed.guess_1 == guessed.id.map(truth)).mean() > .25
    assert 'leave --audit out' in prodclf(*words, '--another', '--audit', 30, code=1).stderr
