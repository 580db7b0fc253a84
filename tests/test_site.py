"""The check of the docs site finds each fault when it is put back; names, links and docs become what a reader expects."""
import base64, importlib.util, json, re, shlex, shutil, struct, sys
from pathlib import Path

import pytest
from browser import Browser, find_browser

here = Path(__file__).resolve().parent.parent
spec = importlib.util.spec_from_file_location('pages', here/'.ci'/'pages.py')
pages = importlib.util.module_from_spec(spec); sys.modules['pages'] = pages; spec.loader.exec_module(pages)
from pages import made


def text(source): return dict(cell_type='markdown', source=source)
def doc(markdown): return dict(cell_type='code', source='#| echo: false\nshow_doc(f)', outputs=[dict(data={'text/markdown': [markdown]})])
def figure(source, width=400, shown=200):
    "A cell with a figure, of which only the head is there: `width` pixels, shown `shown` wide"
    head = base64.b64encode(bytes(16) + struct.pack('>II', width, 100)).decode()
    return dict(cell_type='code', source=source, outputs=[dict(data={'image/png': head}, metadata={'image/png': dict(width=shown)})])

signature = '### fit\n\n```python\ndef fit(\n    x:int, # rows of {}\n):\n```\n\nIt fits.'


head = '---\ntitle: "{}"\ndescription: "What stands on this page, in one line"\n---\n'
chapter = [dict(cell_type='code', source='show_doc(f)', outputs=[]), dict(cell_type='code', source='def f(x): return x', outputs=[])]


@pytest.fixture
def site(tmp_path):
    "A site of three pages that keeps every rule; more cells go to models/02_two.ipynb, and a file may be changed"
    (tmp_path/'models').mkdir()
    def write(*cells, bar='models/02_two.ipynb', change=None, title='Two'):
        books = {'index.ipynb': [text(head.format('prodclf')), text('# prodclf\n\n[two](models/02_two.ipynb#how-it-works) and ![A bar chart of three models](a.png)')],
                 'models/01_one.ipynb': [text(head.format('One')), text('## First'), doc(signature.format('the table')), *chapter],
                 'models/02_two.ipynb': [text(head.format(title)), text('## How it works\n\n[`fit_blend`](one.html#fit) and `auto`'),
                                         figure('#| fig-alt: "Three lines that rise and one that falls"\nplot()'),
                                         *([] if chapter[0] in cells else chapter[1:]), *cells]}
        for name, held in books.items(): (tmp_path/name).write_text(json.dumps(dict(cells=held)))
        for name in ('_quarto.yml', 'nbs/styles.css', 'nbs/theme.scss'): (tmp_path/Path(name).name).write_text((here/name).read_text())
        (tmp_path/'_quarto.yml').write_text(re.sub(r'href: [\w/]+\.(qmd|ipynb)', 'href: index.ipynb', (here/'_quarto.yml').read_text(), count=1)
                                            .replace('href: tutorials', 'to: tutorials').replace('href: commands', 'to: commands')
                                            .replace('href: guide', 'to: guide').replace('href: book', 'to: book'))
        (tmp_path/'sidebar.yml').write_text(f'website:\n  sidebar:\n    contents:\n      - index.ipynb\n      - {bar}\n')
        if change:
            file, old, now = change
            assert old in (tmp_path/file).read_text()
            (tmp_path/file).write_text((tmp_path/file).read_text().replace(old, now))
        return pages.Pages(tmp_path).check()
    return write


def test_a_site_that_is_in_order(site):
    assert site() == []


# The eleven faults that were once seen on the site, put back one by one: (number, what is put back, what the check says).
# Number 1, a notebook that cannot be processed, number 2, an old README, and number 8, options that stand on no page, have tests of their own below

@pytest.mark.parametrize('number, cell, fault', [
    (3, text('[more](../data/03_tables.ipynb)'), 'leads nowhere'),
    (3, text('[more](01_one.ipynb#second)'), 'no such heading'),
    (4, text('[`auto`](one.html#first)'), 'an ordinary word'),
    (4, text('[`_texts`](one.html#first)'), 'an ordinary word'),
    (4, text('[`fit_blend`](https://prodclf.github.io/prodclf/models/one.html#first)'), 'a relative link'),
    (5, dict(cell_type='code', source='x = ' + 'y' * 100, outputs=[]), '104 columns of code'),
    (5, text('```bash\nprodclf ' + 'y' * 100 + '\n```'), '108 columns of code'),
    (6, chapter[0], 'no line of their code'),
    (7, doc(signature.format('`table`')), 'a backtick in the signature'),
    (7, doc(signature.format('x').replace('It fits.', 'Call self as a function.')), 'says nothing'),
    (7, doc(signature.format('x').replace('It fits.', '*It fits*\nwell.')), 'half in italics'),
    (9, text('as the chapter on blending (57) shows'), 'a number that no chapter has'),
    (9, text('see chapter 12 for more'), 'a number that no chapter has'),
    (10, text('![plot](a.png)'), "alternative text is 'plot'"),
    (10, figure('plot()'), 'a figure without'),
    (10, figure('#| fig-alt: "plot"\nplot()'), 'a figure without'),
    (10, dict(figure('plot()'), outputs=[dict(data={'image/jpeg': 'AAAA'})]), 'a figure without'),
    ('sharp', figure('#| fig-alt: "Three lines that rise"\nplot()', shown=400), 'not sharp'),
    ('sharp', {k: [dict(data=v[0]['data'])] if k == 'outputs' else v for k, v in figure('#| fig-alt: "Three lines that rise"\nplot()').items()}, 'not sharp'),
    (11, text('![a badge of the tests](https://img.shields.io/a.svg)'), 'asks another host'),
    (11, text('<img src="https://img.shields.io/a.svg" alt="a badge of the tests">'), 'asks another host'),
    ('citations', text('as Nobody and Noone (2017) found'), 'no entry in references.bib'),
])
def test_each_fault_is_found(site, number, cell, fault):
    (found,) = site(cell)
    assert found.startswith('models/02_two.ipynb') and fault in found


@pytest.mark.parametrize('number, change, fault', [
    (3, ('_quarto.yml', 'repo-subdir: nbs', ''), 'would lead nowhere'),
    (3, ('_quarto.yml', 'favicon:', 'icon:'), 'no icon'),
    (5, ('_quarto.yml', 'body-width: 900px', 'body-width: 700px'), 'would be cut off'),
    (5, ('_quarto.yml', 'code-overflow: wrap', 'code-overflow: scroll'), 'would scroll'),
    (9, ('_quarto.yml', 'page-navigation: true', 'page-navigation: false'), 'no previous and next'),
    (10, ('styles.css', 'overflow-x: auto', ''), 'move the page on a phone'),
    (10, ('styles.css', 'body.quarto-dark code', 'code'), 'stay white'),
    (10, ('styles.css', 'body.quarto-dark .chart', '.chart'), 'white boxes'),
    (11, ('theme.scss', '$web-font-path: false', ''), 'another host'),
])
def test_each_setting_is_kept(site, number, change, fault):
    (found,) = site(change=change)
    assert found.startswith(change[0]) and fault in found


def test_bars_and_titles(site):
    "Number 3 and 9: targets that are gone or stand twice, titles that are names of modules or not unique"
    assert site(bar='models/05_gone.ipynb') == ['sidebar.yml: models/05_gone.ipynb leads nowhere']
    assert site(bar='index.ipynb') == ['sidebar.yml: index.ipynb stands there 2 times']
    assert site(title='two_things') == ["models/02_two.ipynb: its title is 'two_things'"]
    assert site(title='One') == ['models/02_two.ipynb: has the title of models/01_one.ipynb: One']


def test_titles_have_numbers():
    assert [made.title_of(p) for p in ('00_core.ipynb', 'data/08_catalog.ipynb', 'active/03_badge.ipynb', 'models/01_losses_and_callbacks.ipynb', 'tutorials/results.ipynb')] == [
        '1 Core', '2.8 Catalog', '8.3 BADGE', '6.1 Losses and callbacks', 'Results']
    titles = [made.title_of(p) for _, _, chapters in made.parts() for p in chapters]
    assert len(titles) == len(set(titles)) > 100


def test_a_notebook_that_cannot_be_processed_is_named(tmp_path, monkeypatch):
    "Number 1"
    (tmp_path/'nbs').mkdir()
    (tmp_path/'settings.ini').write_text((here/'settings.ini').read_text())
    cell = dict(cell_type='code', source='#| export\ndef f(:', outputs=[], metadata={}, execution_count=None)
    (tmp_path/'nbs'/'bad.ipynb').write_text(json.dumps(dict(cells=[dict(text('# bad\n> Not Python'), metadata={}), cell], metadata={}, nbformat=4, nbformat_minor=4)))
    monkeypatch.setattr(pages, 'root', tmp_path); monkeypatch.setattr(pages, 'out', tmp_path/'_proc'); monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit, match='nbs/bad.ipynb'): pages.process(1)


def test_an_old_readme_is_found(monkeypatch):
    "Number 2"
    spec = importlib.util.spec_from_file_location('house', here/'.ci'/'house.py')
    house = importlib.util.module_from_spec(spec); spec.loader.exec_module(house)
    monkeypatch.setattr(house, 'readme', lambda: 'of another day')
    assert house.check_readme() == ['README.md differs from nbs/index.ipynb. Remedy: python .ci/house.py readme']
    assert 'nbs/nbdev.yml' in (here/'.gitignore').read_text().splitlines()


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
    "Number 11: links, other hosts, and what searches and link previews want"
    known = '<meta name="description" content="x"><meta property="og:image" content="x">'
    for name in ('sitemap.xml', 'llms.txt', 'search.json'): (tmp_path/name).touch()
    (tmp_path/'a.html').write_text(f'<head>{known}<link rel="canonical" href="https://prodclf.github.io/a.html"></head><a href="b.html">b</a><link rel="stylesheet" href="s.css">')
    (tmp_path/'b.html').write_text(f'<head>{known}</head><a href="c.html">c</a><script src="https://cdnjs.cloudflare.com/ajax/libs/require.js/2.3.6/require.min.js"></script>')
    (tmp_path/'s.css').write_text('@import url("https://fonts.googleapis.com/css2?family=X");body{}')
    assert [f.split(': ', 1)[1][:12] for f in pages.check_rendered(tmp_path)] == ['asks another', 'c.html leads', 'no rel="cano']
    pages.localize(tmp_path)
    assert pages.check_rendered(tmp_path) == ['b.html: c.html leads nowhere'] and (tmp_path/'s.css').read_text() == 'body{}'
    assert '<link rel="canonical" href="https://prodclf.github.io/prodclf/b.html">' in (tmp_path/'b.html').read_text()
    (tmp_path/'sitemap.xml').unlink()
    assert 'sitemap.xml is missing' in pages.check_rendered(tmp_path)


@pytest.fixture(scope='module')
def built(tmp_path_factory):
    "The pages that are made, as process() makes them, without the notebooks"
    folder = tmp_path_factory.mktemp('proc')
    for name in ('sidebar.yml', 'guide', 'tutorials'):
        (shutil.copytree if (here/'nbs'/name).is_dir() else shutil.copy)(here/'nbs'/name, folder/name)
    (folder/'nbdev.yml').write_text('website:\n')
    before, pages.out = pages.out, folder
    pages.make_pages({'guo2017': ['evaluate/03_calibration.ipynb']})
    pages.out = before
    return folder


def test_the_page_of_a_command(built):
    "Number 8"
    page = (built/'commands'/'train.qmd').read_text()
    assert '`--text-encoder`' in page and '| `--out` | path | required |' in page and 'prodclf train' in page and '## Exit codes' in page
    assert {p.stem for p in (built/'commands').glob('*.qmd')} == {'index', *pages.commands()} and 'commands/train.qmd' in (built/'sidebar.yml').read_text()


def test_a_command_or_option_without_a_page_is_found(built, tmp_path):
    "Number 8"
    folder = shutil.copytree(built/'commands', tmp_path/'commands')
    site = pages.Pages(tmp_path)
    site.check_commands()
    assert site.faults == []
    (folder/'serve.qmd').unlink()
    (folder/'train.qmd').write_text((folder/'train.qmd').read_text().replace('`--text-encoder`', ''))
    site = pages.Pages(tmp_path)
    site.check_commands()
    assert sorted(site.faults) == ['commands/serve.qmd: prodclf serve has no page', 'commands/train.qmd: the option --text-encoder is not on it']


def test_every_name_of_the_package_is_on_its_page(built):
    "prodclf.all by task: each name once, with signature and line, and used in an example of its section"
    import prodclf.all
    source, page = (here/'nbs/guide/api.qmd').read_text(), (built/'guide/api.qmd').read_text()
    asked = ' '.join(re.findall(r'<!-- api: (.+?) -->', source)).split()
    assert sorted(asked) == sorted(set(prodclf.all.__all__) - {'np', 'pd', 'Path'})
    for section in re.split(r'^## ', source, flags=re.M)[1:]:
        code = ''.join(re.findall(r'^```python\n(.*?)^```', re.split(r'^## ', source, flags=re.M)[0] + section, re.M | re.S))
        for name in ' '.join(re.findall(r'<!-- api: (.+?) -->', section)).split(): assert re.search(rf'\b{name}\b', code), name
    assert '<!-- api' not in page and page.count('\n### `') == len(asked) and '| `text` | `None` | columns to read' in page
    assert 'class MultimodalClassifier(text=None' in page and max(len(line) for code in re.findall(r'^```python\n(.*?)^```', page, re.M | re.S) for line in code.splitlines()) <= 100


def test_examples_of_the_api_run(tmp_path, monkeypatch):
    "Top to bottom, as a reader would type them"
    monkeypatch.chdir(tmp_path); monkeypatch.setenv('PRODCLF_HOME', str(tmp_path/'home')); monkeypatch.setenv('PRODCLF_QUIET', '1')
    names = {}
    for code in re.findall(r'^```python\n(.*?)^```', (here/'nbs/guide/api.qmd').read_text(), re.M | re.S): exec(code, names)
    assert names['loop'].rounds and (tmp_path/'report.html').exists() and 'longest_text' in names['list_strategies']()


def test_the_book_and_the_bars(built):
    "Every chapter with number and line on one page; parts with numbers in the sidebar; version and license below each page"
    page, bar = (built/'book.qmd').read_text(), (built/'sidebar.yml').read_text()
    chapters = [p for _, _, found in made.parts() for p in found]
    assert all(f'[{made.title_of(p)}]({p}): {made.about(p)[1]}' in page for p in chapters)
    assert 'section: "2 Data"' in bar and 'book.qmd' in bar and all(f'- {p}' in bar for p in made.copies.values())
    assert f'prodclf {made.settings()["version"]}' in (built/'nbdev.yml').read_text()
    assert not re.findall(r'^## \d+ .+\n\n\.$', page, re.M)  # every part says what it is


def test_llms_txt(built):
    lines = (built/'llms.txt').read_text().splitlines()
    assert lines[0] == '# prodclf' and lines[2].startswith('> ')
    entries = [re.fullmatch(r'- \[[^\]]+\]\((https://prodclf.github.io/prodclf/[\w/.-]+\.html)\): .{15,}', line) for line in lines if line.startswith('- ')]
    assert all(entries) and len({e[1] for e in entries}) == len(entries) > 150
    assert 'https://prodclf.github.io/prodclf/models/fusion.html' in {e[1] for e in entries}


def test_about_pages(built):
    text = (built/'about/contributing.qmd').read_text()
    assert '[`nbs/data/08_catalog.ipynb`](../data/08_catalog.ipynb)' in text and '## Where is what' in text
    assert '## 0.1.0' in (built/'about/changelog.qmd').read_text() and 'Permission is hereby granted' in (built/'about/license.qmd').read_text()


def test_references(built):
    "Every work says where it is, keys are unique and follow the first author, and prose is linked to them"
    text, works = (here/'nbs/references.bib').read_text(), made.references()
    assert text.count('\n@') == len(works) > 90
    for key, e in works.items():
        assert e['title'] and re.fullmatch(r'(1[89]|20)\d\d', e['year']) and ({'doi', 'url', 'address'} & set(e)), key
        assert key.endswith(e['year']), key
    assert not re.search(r'doi\.org|arxiv\.org/pdf', ' '.join(e.get('url', '') for e in works.values()))
    page = (built/'references.qmd').read_text()
    assert '[]{#guo2017}Chuan Guo' in page and 'Cited in [4.3 Calibration](evaluate/03_calibration.ipynb)' in page


@pytest.mark.parametrize('prose, key', [
    ('temperature scaling (Guo et al. 2017)', 'guo2017'), ('by Guo et al. (2017).', 'guo2017'), ('(Lewis and Gale 1994)', 'lewisgale1994'), ('in credit scoring, Lewis 1994', 'lewis1994'),
    ("Wilson's interval (1927)", 'wilson1927'), ("Wilson and Hilferty's approximation (1931)", 'wilson1931'), ('(Bae, Oliveira and Sutherland 2025)', 'bae2025'),
    ('Zauner, *Implementation and Benchmarking of Perceptual Image Hash Functions*, 2010', 'zauner2010'), ('[Jacob et al. 2018](https://arxiv.org/abs/1712.05877)', 'jacob2018'),
    ('[Northcutt, Jiang and Chuang, 2021](https://doi.org/10.1613/jair.1.12125)', 'northcutt2021'), ('(Clopper & Pearson 1934)', 'clopper1934')])
def test_a_work_in_prose_is_linked(prose, key):
    found = made.cited(prose, 'evaluate/calibration.html')
    assert re.findall(r'\]\(\.\./references\.html#(\w+) "', found) == [key] and 'https://' not in found
    assert found.count('(') == found.count(')') and made.cited(found, 'evaluate/calibration.html') == found


def test_every_work_is_cited():
    prose = '\n'.join(''.join(c['source']) for p in (here/'nbs').rglob('*.ipynb') for c in json.loads(p.read_text())['cells'])
    prose = ' '.join(prose.split())
    near = {y: '\n'.join(prose[max(m.start() - 150, 0):m.end()] for m in re.finditer(y, prose)) for y in {e['year'] for e in made.references().values()}}
    assert [key for pattern, key in made.mentions() if not pattern.search(near[made.references()[key]['year']])] == []


def test_how_to_cite():
    "One version and one address everywhere"
    page, cff, s = (here/'nbs/guide/cite.qmd').read_text(), (here/'CITATION.cff').read_text(), made.settings()
    assert f'version = {{{s["version"]}}}' in page and f'\nversion: {s["version"]}\n' in cff
    assert f'{{{s["git_url"]}}}' in page and f'repository-code: "{s["git_url"]}"' in cff and f'site-url: "{made.address()[:-1]}"' in (here/'_quarto.yml').read_text()


def test_badges_and_figures():
    "Badges become links, charts are told from photos, and a figure without a caption gets one"
    from PIL import Image
    assert pages.local_badges('[![tests](https://a.b/c.svg)](https://a.b/d)') == '[tests](https://a.b/d){.badge}'
    assert pages.is_chart(Image.new('RGB', (9, 9), 'white')) and not pages.is_chart(Image.new('RGB', (9, 9), 'black'))
    readme = (here/'README.md').read_text()
    for badge in ('tests', 'docs', 'PyPI', 'license MIT', 'Python 3.11 to 3.13'): assert f'[![{badge}](https://' in readme
    assert made.settings()['git_url'] + '/actions/workflows/test.yml/badge.svg' in readme and (here/'.github/workflows/docs.yml').exists()


def test_tutorials_open_in_colab():
    for p in sorted((here/'nbs/tutorials').glob('*.ipynb')):
        line = pages.colab(f'tutorials/{p.name}')
        assert line == ('' if p.stem == 'results' else f'[Open in Colab](https://colab.research.google.com/github/prodclf/prodclf/blob/main/nbs/tutorials/{p.name}){{.badge}}')


def test_figures_are_made_small(tmp_path):
    "Fewer colors and fewer bytes, the same pixels and the same hues; what is small already stays as it is"
    import base64, io
    import numpy as np
    from PIL import Image
    x, y = np.meshgrid(np.arange(300), np.arange(200))
    art = np.stack([x % 256, y % 256, (x * y) % 256], -1).astype(np.uint8)
    art[50:90, 60:120] = 220, 20, 30
    out = io.BytesIO(); Image.fromarray(art).save(out, 'PNG')
    cell = dict(cell_type='code', source='', outputs=[dict(data={'image/png': base64.b64encode(out.getvalue()).decode()})])
    nb = tmp_path/'a.ipynb'; nb.write_text(json.dumps(dict(cells=[cell])))
    pages.shrink(nb); once = nb.read_text(); pages.shrink(nb)
    raw = base64.b64decode(json.loads(once)['cells'][0]['outputs'][0]['data']['image/png'])
    small = Image.open(io.BytesIO(raw))
    assert nb.read_text() == once and len(raw) < .6 * len(out.getvalue()) and small.size == (300, 200)
    assert np.abs(np.asarray(small.convert('RGB'))[70, 90].astype(int) - [220, 20, 30]).max() < 25


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


@pytest.mark.parametrize('page, code', [b for b in blocks('python') if b[0] != 'api.qmd'])
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
    'calibration': 'evaluate/03_calibration', 'badge': 'active/03_badge', 'api by task': 'guide/api', 'the book': 'book', 'references': 'references', 'changelog': 'about/changelog', 'license': 'about/license',
    'contributing': 'about/contributing', 'encode': 'guide/api', 'choose what to label': 'guide/api', 'where is what': 'about/contributing', 'data': 'book', 'bibtex': 'guide/cite', 'own products': 'tutorials/bring_your_own_products',
}


def headings(page, built):
    "Title, description and headings of a page, in small letters"
    if (file := built/f'{page}.qmd').exists(): return ' '.join(re.findall(r'^(?:#+ |title: |description: )(.*)$', file.read_text(), re.M)).lower()
    text = '\n'.join(''.join(c['source']) for c in json.loads((here/'nbs'/f'{page}.ipynb').read_text())['cells'] if c['cell_type'] == 'markdown')
    return ' '.join(re.findall(r'^(?:#+ |> |title: |description: )(.*)$', text, re.M)).lower()


@pytest.mark.parametrize('words', questions)
def test_a_question_finds_its_page(words, built):
    found = headings(questions[words], built)
    assert all(w in found for w in words.split()), found


def test_where_is_what():
    "Every file that CONTRIBUTING names is there, and no question is asked twice"
    text = (here/'CONTRIBUTING.md').read_text()
    named = re.findall(r'`((?:nbs|prodclf|tests|\.ci|\.github)/[\w./-]+)`', text)
    assert len(named) > 50 and not [f for f in named if not (here/f).exists()]
    asked = re.findall(r'^\| (.+?) \| `nbs', text, re.M)
    assert len(asked) == len(set(asked)) > 40


# ---- in a browser -------------------------------------------------------------------------------------------

@pytest.mark.skipif(not shutil.which('pandoc') or find_browser() is None, reason='needs pandoc and Chromium: pages are rendered without Quarto and looked at')
def test_pages_in_a_browser(built, tmp_path, monkeypatch):
    "Number 10 and 11: on a telephone and a screen, light and dark, nothing scrolls sideways, nothing fails, and no other host is asked"
    spec = importlib.util.spec_from_file_location('preview', here/'.ci'/'preview.py')
    preview = importlib.util.module_from_spec(spec); spec.loader.exec_module(preview)
    monkeypatch.setattr(preview, 'proc', built); monkeypatch.setattr(pages, 'out', built); monkeypatch.chdir(here)
    monkeypatch.setattr(sys, 'argv', ['pages'])
    shutil.copytree(here/'nbs/images', built/'images', dirs_exist_ok=True)
    for name in ('index.ipynb', 'evaluate/03_calibration.ipynb'): pages.process_notebook(name)
    names = ['index.ipynb', 'evaluate/03_calibration.ipynb', 'commands/train.qmd', 'guide/api.qmd', 'book.qmd', 'references.qmd']
    preview.main([str(tmp_path), *names])
    browser = Browser(tmp_path/'profile')
    for name in names:
        for width, dark in ((390, True), (1400, False)):
            page = browser.page((tmp_path/made.page_of(name)).as_uri(), width=width, dark=dark)
            page.wait("document.readyState === 'complete'")
            if dark: page.run("document.body.className = 'quarto-dark'")
            assert page.run('document.documentElement.scrollWidth') <= width, (name, width)
            assert page.errors == [] and all(u.startswith(('file:', 'data:')) for u in page.urls), (name, page.errors, page.urls)
            assert page.run("[...document.images].every(i => i.complete && i.naturalWidth && i.alt.length > 15)"), name
            page.close()
    page = browser.page((tmp_path/'evaluate/calibration.html').as_uri(), dark=True)
    page.wait("document.readyState === 'complete'")
    page.run("document.body.className = 'quarto-dark'")
    assert page.run("getComputedStyle(document.querySelector('.chart img')).filter").startswith('invert(1)')
    browser.close()
