"""The check of the docs site finds each fault when it is put back; names, links and docs become what a reader expects."""
import importlib.util, json, re, shlex, sys
from pathlib import Path

import pytest

here = Path(__file__).resolve().parent.parent
spec = importlib.util.spec_from_file_location('pages', here/'.ci'/'pages.py')
pages = importlib.util.module_from_spec(spec); sys.modules['pages'] = pages; spec.loader.exec_module(pages)


def text(source): return dict(cell_type='markdown', source=source)
def doc(markdown): return dict(cell_type='code', source='#| echo: false\nshow_doc(f)', outputs=[dict(data={'text/markdown': [markdown]})])
def figure(source): return dict(cell_type='code', source=source, outputs=[dict(data={'image/png': 'AAAA'})])

signature = '### fit\n\n```python\ndef fit(\n    x:int, # rows of {}\n):\n```\n\nIt fits.'


@pytest.fixture
def site(tmp_path):
    "A site of three pages that keeps every rule; more cells go to models/02_two.ipynb"
    (tmp_path/'models').mkdir()
    def write(*cells, bar='models/02_two.ipynb'):
        books = {'index.ipynb': [text('# prodclf\n\n[two](models/02_two.ipynb#how-it-works) and ![A bar chart of three models](a.png)')],
                 'models/01_one.ipynb': [text('## First'), doc(signature.format('the table'))],
                 'models/02_two.ipynb': [text('## How it works\n\n[`fit_blend`](one.html#fit) and `auto`'), figure('#| fig-alt: "Three lines that rise and one that falls"\nplot()'), *cells]}
        for name, held in books.items(): (tmp_path/name).write_text(json.dumps(dict(cells=held)))
        (tmp_path/'sidebar.yml').write_text(f'website:\n  sidebar:\n    contents:\n      - index.ipynb\n      - {bar}\n')
        (tmp_path/'_quarto.yml').write_text('website:\n  navbar:\n    left:\n      - text: "Book"\n        href: index.ipynb\n')
        return pages.Pages(tmp_path).check()
    return write


def test_a_site_that_is_in_order(site):
    assert site() == []


@pytest.mark.parametrize('cell, fault', [
    (text('[more](../data/03_tables.ipynb)'), 'leads nowhere'),
    (text('[more](01_one.ipynb#second)'), 'no such heading'),
    (text('[`auto`](one.html#first)'), 'an ordinary word'),
    (text('[`_texts`](one.html#first)'), 'an ordinary word'),
    (text('[`fit_blend`](https://prodclf.github.io/prodclf/models/one.html#first)'), 'a relative link'),
    (text('![plot](a.png)'), "alternative text is 'plot'"),
    (figure('plot()'), 'a figure without'),
    (figure('#| fig-alt: "plot"\nplot()'), 'a figure without'),
    (doc(signature.format('`table`')), 'a backtick in the signature'),
    (doc(signature.format('x').replace('It fits.', 'Call self as a function.')), 'says nothing'),
    (doc(signature.format('x').replace('It fits.', '*It fits*\nwell.')), 'half in italics'),
])
def test_each_fault_is_found(site, cell, fault):
    (found,) = site(cell)
    assert found.startswith('models/02_two.ipynb') and fault in found


def test_a_bar_that_leads_nowhere(site):
    assert site(bar='models/05_gone.ipynb') == ['sidebar.yml: models/05_gone.ipynb leads nowhere']


def test_which_names_are_linked():
    found = {w: pages.is_distinctive(w) for w in ('fit_blend', 'ProductDataset', 'Pool.start', 'fit_blend()', 'auto', 'train', 'label', '_texts', 'core._x')}
    assert [w for w, yes in found.items() if yes] == ['fit_blend', 'ProductDataset', 'Pool.start', 'fit_blend()']


def test_links_of_a_line():
    line = 'Use `fit_blend`, not `auto`; `prodclf train DATA` and `prodclf trian` and [`read_catalog`](x.html).'
    assert pages.linked(line, 'tutorials/results.html') == (
        'Use [`fit_blend`](../models/blending.html#fit_blend), not `auto`; [`prodclf train DATA`](../commands/train.html) '
        'and `prodclf trian` and [`read_catalog`](x.html).')
    assert pages.linked('```\n`fit_blend`\n```', 'index.html') == '```\n`fit_blend`\n```'


def test_docs_of_a_name():
    shown = pages.tidy_doc('### Scale\n\n```python\ndef Scale(\n    dim:int, # of `x`\n):\n```\n\n*One scale, or two\nof them*\nand more', True)
    assert shown == "### Scale\n\n```python\nclass Scale(\n    dim:int, # of 'x'\n):\n```\n\nOne scale, or two of them and more"
    assert 'Call self' not in pages.tidy_doc('### A\n\n```python\ndef A():\n```\n\n*Call self as a function.*', False)


def test_anchors():
    assert [pages.anchor(h) for h in ('How it works', '`fit_blend`', '3. Two: what?', 'Pool.start')] == ['how-it-works', 'fit_blend', 'two-what', 'pool.start']


def test_finished_pages(tmp_path):
    (tmp_path/'a.html').write_text('<a href="b.html">b</a><link rel="stylesheet" href="s.css"><link rel="canonical" href="https://prodclf.github.io/a.html">')
    (tmp_path/'b.html').write_text('<a href="c.html">c</a><script src="https://cdnjs.cloudflare.com/ajax/libs/require.js/2.3.6/require.min.js"></script>')
    (tmp_path/'s.css').write_text('@import url("https://fonts.googleapis.com/css2?family=X");body{}')
    assert [f.split(': ')[0] + ': ' + f.split(': ')[1][:12] for f in pages.check_rendered(tmp_path)] == ['b.html: asks another', 'b.html: c.html leads']
    pages.localize(tmp_path)
    assert pages.check_rendered(tmp_path) == ['b.html: c.html leads nowhere'] and (tmp_path/'s.css').read_text() == 'body{}'


def test_the_page_of_a_command(tmp_path, monkeypatch):
    monkeypatch.setattr(pages, 'out', tmp_path)
    (tmp_path/'sidebar.yml').write_text('      - section: "The book"\n')
    pages.write_commands()
    page = (tmp_path/'commands'/'train.qmd').read_text()
    assert '`--text-encoder`' in page and '| `--out` | path | required |' in page and 'prodclf train' in page and '## Exit codes' in page
    assert {p.stem for p in (tmp_path/'commands').glob('*.qmd')} == {'index', *pages.commands()} and 'commands/train.qmd' in (tmp_path/'sidebar.yml').read_text()


# ---- the guide ----------------------------------------------------------------------------------------------

guide = sorted((here/'nbs'/'guide').glob('*.qmd'))

def blocks(kind):
    return [(p.name, code) for p in guide for code in re.findall(rf'^```{kind}\n(.*?)^```', p.read_text(), re.M | re.S)]

def commands_of_the_guide():
    fenced = [(p, line) for p, code in blocks('bash') for line in code.splitlines() if line.startswith('prodclf ')]
    return fenced + [(p.name, c) for p in guide for c in re.findall(r'`(prodclf [a-z]+ [^`]+)`', p.read_text())]


def parse(line):
    "What a command line says to the parser; nothing is run. Raises for wrong usage"
    import typer
    from prodclf.cli import main
    words = shlex.split(line, comments=True)
    return typer.main.get_command(main.app).commands[words[1]].make_context(words[1], words[2:])


def test_there_are_commands_in_the_guide():
    assert len(commands_of_the_guide()) > 30 and len({line.split()[1] for _, line in commands_of_the_guide()}) > 12
    with pytest.raises(Exception, match='--outt'): parse('prodclf train DATA --outt model')


@pytest.mark.parametrize('page, line', commands_of_the_guide())
def test_a_command_of_the_guide_is_known(page, line, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path); (tmp_path/'labels').mkdir()
    for name in ('categories.txt', 'labels/sheet.csv', 'best.json'): (tmp_path/name).touch()
    parse(line)


@pytest.mark.parametrize('page, code', blocks('python'))
def test_python_of_the_guide_runs(page, code, tmp_path, monkeypatch):
    monkeypatch.setenv('PRODCLF_HOME', str(tmp_path)); monkeypatch.setenv('PRODCLF_QUIET', '1')
    quick = "text='text', text_encoder='lsa', image_encoder='descriptors'"
    exec(code.replace('sample_catalog(600)', 'sample_catalog(300)').replace("text=['title', 'text']", quick), {})


# Words that people type into the search of the site, and the page whose title or headings must have them
questions = {
    'install': 'guide/install', 'gpu': 'guide/install', 'offline': 'guide/install', 'extras': 'guide/install', 'cluster': 'guide/install', 'tests': 'guide/install',
    'my own csv': 'guide/recipes', 'my folder of photos': 'guide/recipes', 'feed of a shop system': 'guide/recipes', 'no labels yet': 'guide/recipes',
    'three million products': 'guide/recipes', 'serve it': 'guide/recipes', 'label in the browser': 'guide/recipes', 'find wrong labels': 'guide/recipes',
    'compare runs': 'guide/recipes', 'my own encoder': 'guide/recipes', 'which strategy': 'guide/faq', 'quarantined': 'guide/faq', 'honest probability': 'guide/faq',
    'accuracy is lower': 'guide/faq', 'cheat sheet': 'guide/cheat_sheet', 'exit codes': 'guide/cheat_sheet', 'cite': 'guide/cite', 'results': 'tutorials/results',
    'shopify export': 'tutorials/shop_exports', 'train': 'commands/train', 'export': 'commands/export', 'predict': 'commands/predict', 'fusion': 'models/04_fusion',
    'calibration': 'evaluate/03_calibration', 'badge': 'active/03_badge', 'own products': 'tutorials/bring_your_own_products',
}


def headings(page):
    "Title, description and headings of a page, in small letters"
    if page.startswith('commands/'): return f'prodclf {page.split("/")[1]}' if page.split('/')[1] in pages.commands() else ''
    if (file := here/'nbs'/f'{page}.qmd').exists(): text = file.read_text()
    else: text = '\n'.join(''.join(c['source']) for c in json.loads((here/'nbs'/f'{page}.ipynb').read_text())['cells'] if c['cell_type'] == 'markdown')
    return ' '.join(re.findall(r'^(?:#+ |> |title: |description: )(.*)$', text, re.M)).lower()


@pytest.mark.parametrize('words', questions)
def test_a_question_finds_its_page(words):
    found = headings(questions[words])
    assert all(w in found for w in words.split()), found


def test_where_is_what():
    "Every file that CONTRIBUTING names is there, and no question is asked twice"
    text = (here/'CONTRIBUTING.md').read_text()
    named = re.findall(r'`((?:nbs|prodclf|tests|\.ci|\.github)/[\w./-]+)`', text)
    assert len(named) > 50 and not [f for f in named if not (here/f).exists()]
    asked = re.findall(r'^\| (.+?) \| `nbs', text, re.M)
    assert len(asked) == len(set(asked)) > 40
