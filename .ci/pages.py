"""The docs site: the notebooks as pages, the pages of the commands, and what must hold on them.

python .ci/pages.py process        nbs/ into _proc/, with the pages of the commands; no Quarto
python .ci/pages.py check [DIR]    every rule, on _proc/ or DIR; a line for each breach
python .ci/pages.py build          process, check, render with Quarto into _docs/, and check that
python .ci/pages.py shrink NB...   the figures of notebooks with fewer colors, a third of the size
"""

import ast
import base64
import io
import json
import os
import re
import shutil
import struct
import subprocess
import sys
import textwrap
import warnings
from concurrent.futures import ProcessPoolExecutor
from contextlib import redirect_stdout
from multiprocessing import get_context
from pathlib import Path
from posixpath import dirname, normpath, relpath

sys.path.insert(0, str(Path(__file__).resolve().parent))
import made  # noqa: E402
from made import commands, output_name  # noqa: E402

root = Path(__file__).resolve().parent.parent
out = root / '_proc'
site = made.address()
columns = 100  # of a line of code on a page


# Names in prose


def is_distinctive(name: str) -> bool:
    """Whether a word in code style can only be the name of a thing in the package: `fit_blend`,
    `ProductDataset`, `Pool.start`. `auto`, `train` and `label` are strategies, commands and columns
    as well, and are not linked"""
    words = name.removesuffix('()').split('.')
    if any(w.startswith('_') for w in words):
        return False
    return '_' in name or name[:1].isupper() or len(words) > 1


def linked(text: str, page: str) -> str:
    "Markdown with links from names of the package, and from `prodclf COMMAND`, to their pages"
    from nbdev.doclinks import NbdevLookup

    found = NbdevLookup()

    def link(match):
        name = match[1]
        if command := re.match(r'prodclf ([a-z]+)\b', name):
            known = command[1] in commands()
            return (
                f'[{match[0]}]({_to(page, f"commands/{command[1]}.html")})' if known else match[0]
            )
        owner = re.sub(
            r'(\w)\.\w+$', r'\1', name.removesuffix('()')
        )  # methods stand with their class
        place = found.doc(owner) if is_distinctive(name) and is_distinctive(owner) else None
        return f'[{match[0]}]({_to(page, place.removeprefix(site))})' if place else match[0]

    lines, fenced = text.splitlines(), False
    for i, line in enumerate(lines):
        fenced ^= line.startswith('```')
        if not fenced and not line.startswith(('    ', '#')):
            lines[i] = made.cited(re.sub(r'(?<!\[)`([^`\n]+)`(?!\])', link, line), page)
    return '\n'.join(lines)


def _to(page: str, target: str) -> str:
    "A link from one page of the site to another"
    return relpath(target, dirname(page) or '.')


# What nbdev shows of an exported name


def tidy_doc(text: str, is_class: bool) -> str:
    "The documentation of a name as nbdev writes it, mended: classes, code in comments, docstrings"
    head, fence, rest = text.partition('```python\n')
    signature, end, about = rest.partition('\n```\n')
    if not fence or not end:
        return text
    signature = signature.replace('`', "'") if '`' in signature else signature
    signature = re.sub(r'^def ', 'class ', signature) if is_class else signature
    signature = narrow(signature)
    about = ' '.join(about.split())
    about = about.replace('*Call self as a function.*', '').replace('Call self as a function.', '')
    about = re.sub(r'^\*(.+?)\*', r'\1', about) if about.startswith('*') else about
    return f'{head}{fence}{signature}{end}\n{about.strip()}'


def narrow(signature: str) -> str:
    "A signature of which no line is wider than a page: long comments stand above their parameter"
    lines = []
    for line in signature.splitlines():
        code, mark, comment = line.partition(' # ')
        if len(line) <= columns:
            lines.append(line)
            continue
        if mark:
            way = dict(initial_indent='    # ', subsequent_indent='    # ')
            lines += textwrap.wrap(comment, columns, **way)
        indent = '    ' if code.startswith(' ') else ''
        deeper = indent if mark or indent else '    '
        lines += textwrap.wrap(
            code.strip(),
            columns,
            initial_indent=indent,
            subsequent_indent=deeper,
            break_long_words=False,
            break_on_hyphens=False,
        )
    return '\n'.join(lines)


def narrow_shell(text: str) -> str:
    "Commands of a page, a long one on several lines"

    def broken(match):
        lines = []
        for line in match[2].splitlines():
            command, mark, comment = line.partition('  # ')
            if len(line) > columns and mark:
                lines.append(f'# {comment.strip()}')
                line = command.rstrip()
            if len(line) > columns:
                way = dict(subsequent_indent='    ', break_long_words=False)
                pieces = textwrap.wrap(line, columns - 2, break_on_hyphens=False, **way)
                line = ' \\\n'.join(pieces)
            lines.append(line)
        return match[1] + '\n'.join(lines) + '\n```'

    return re.sub(r'^(```(?:sh|bash)\n)(.*?)\n```', broken, text, flags=re.M | re.S)


def filters():
    "nbdev's processors, with ours for links, docs and source code"
    from nbdev.processors import FilterDefaults, Processor

    classes, sources = set(), {}

    class Collect(Processor):
        "The code of exported names, before nbdev takes it away"

        def begin(self):
            for cell in self.nb.cells:
                shown = {'export', 'exports'} & set(cell.directives_)
                if cell.cell_type != 'code' or not shown:
                    continue
                for node in ast.parse(cell.source).body:
                    name = getattr(node, 'name', None)
                    if name and 'exports' not in cell.directives_:
                        sources[name] = cell.source
                    if isinstance(node, ast.ClassDef):
                        classes.add(name)

    class Tidy(Processor):
        "Documentation as it should look, and below it the code, folded"

        def __call__(self, cell):
            page = self.nb.page
            if cell.cell_type == 'markdown':
                cell.source = linked(cell.source, page)
                return
            shown = re.search(r'^show_doc\(([\w.]+)', cell.source or '', re.M)
            for output in cell.get('outputs', []) if shown else ():
                data = output.get('data', {})
                if 'text/markdown' not in data:
                    continue
                text = tidy_doc(''.join(data['text/markdown']), shown[1] in classes)
                text = linked(text, page)
                if source := sources.pop(shown[1], None):
                    text += folded(source)
                data['text/markdown'] = text
                data.pop('text/plain', None)

    class Site(FilterDefaults):
        def base_procs(self):
            return [Collect, *(p for p in super().base_procs() if p.__name__ != 'add_links')]

        def xtra_procs(self):
            return [Tidy]

    return Site()


def folded(source: str) -> str:
    "The code of a cell below its documentation, closed until somebody opens it"
    code = re.sub(r'^#\|.*\n', '', source, flags=re.M).strip()
    opened = '\n\n<details class="source"><summary>Code</summary>\n\n```python\n'
    return f'{opened}{code}\n```\n\n</details>\n'


# Pages


def process_notebook(path: str) -> set:
    "One notebook of nbs/ into _proc/; the references that it cites"
    from execnb.nbio import read_nb, write_nb

    os.chdir(root)
    os.environ['IN_TEST'] = '1'
    nb = read_nb(root / 'nbs' / path)
    nb.page = output_name(path)
    with open(os.devnull, 'w') as quiet, redirect_stdout(quiet):
        filters()(nb)
    del nb['page']
    for cell in nb.cells:
        if cell.cell_type == 'markdown':
            cell.source = narrow_shell(local_badges(cell.source))
        else:
            show_figure(cell)
    nb.cells[0].source = page_head(nb, path)
    if path == 'index.ipynb':
        lay_out(nb)
    if path.startswith('tutorials/') and (line := colab(path)):
        nb.cells[1].source += f'\n\n{line}'
    target = out / path
    target.parent.mkdir(parents=True, exist_ok=True)
    write_nb(nb, target)
    text = '\n'.join(t for c in nb.cells for t in Pages.texts(c))
    return set(re.findall(r'references\.html#(\w+)', text))


def page_head(nb, path: str) -> str:
    "The front matter of a notebook's page: its title with a number, and an image for link previews"
    says = 'description: ' + json.dumps(made.about(path)[1], ensure_ascii=False)
    head = re.sub(r'\n  +(?=\S)', ' ', nb.cells[0].source)  # one line each
    head = re.sub(r'^description: .*$', lambda _: says, head, flags=re.M)
    title = json.dumps(made.title_of(path) if path != 'index.ipynb' else 'prodclf')
    head = re.sub(r'^title: .*$', lambda _: f'title: {title}', head, flags=re.M)
    image, data = 'images/overview.png', None
    for cell in nb.cells:
        for output in cell.get('outputs', []):
            data = data or output.get('data', {}).get('image/png')
    if data:
        image = f'previews/{path[:-6].replace("/", "-")}.png'
        (out / 'previews').mkdir(parents=True, exist_ok=True)
        (out / image).write_bytes(base64.b64decode(''.join(data)))
    more = f'image: /{image}\n'
    more += 'toc: false\nsidebar: false\npage-layout: full\n' if path == 'index.ipynb' else ''
    return re.sub(r'\n+---\s*$', lambda _: f'\n{more}---\n', head)


def lay_out(nb):
    "The front page: the image beside the commands and the example, figures and doors as cards"
    for cell in nb.cells:
        if cell.cell_type != 'markdown':
            continue
        image = r'^!\[([^\]]+)\]\((\S+)\)$'
        shown = r'::: {.front}\n\n![](\2){fig-alt="\1"}'
        cell.source = re.sub(image, shown, cell.source, flags=re.M)
        cell.source = re.sub(r'^(## What it does.*)$', r':::\n\n\1', cell.source, flags=re.M)
        cards = r'\n::: {.cards}\n\n\1\n\n:::\n'
        cell.source = re.sub(r'\n((?:^\* .+\n?)+)', cards, cell.source, flags=re.M)


def local_badges(text: str) -> str:
    "Badges as links: their images lie on other hosts, which no reader of a page should ask"
    return re.sub(
        r'\[!\[([^\]]+)\]\(https?://[^)]*\)\]\(([^)]*)\)', r'[\1](\2){.badge}', text
    )


def colab(path: str) -> str:
    "The link that opens a tutorial in Colab; none where it has no cell that installs prodclf there"
    s = made.settings()
    if f'pip install -q git+{s["git_url"]}' not in made.read(root / 'nbs' / path):
        return ''
    place = f'github/{s["user"]}/{s["repo"]}/blob/{s["branch"]}/nbs/{path}'
    return f'[Open in Colab](https://colab.research.google.com/{place}){{.badge}}'


def is_chart(image) -> bool:
    "Whether an image is mostly white paper: a chart, which dark mode may turn around"
    colors = image.convert('RGB').getcolors(1 << 24)
    n, color = max(colors)
    return color == (255, 255, 255) and n > 0.7 * image.width * image.height


def show_figure(cell):
    "A caption where a figure has none, and the class of charts"
    from PIL import Image

    shown = [o.get('data', {}) for o in cell.get('outputs', [])]
    data = [d['image/png'] for d in shown if 'image/png' in d]
    alt = re.search(r'^#\| *fig-alt: *(.+)$', cell.source, re.M)
    if not data or not alt:
        return
    more = '' if '#| fig-cap:' in cell.source else f'#| fig-cap: {alt[1]}\n'
    if all(is_chart(Image.open(io.BytesIO(base64.b64decode(''.join(d))))) for d in data):
        more += '#| classes: chart\n'
    cell.source = more + cell.source


def process(workers: int = os.cpu_count()):
    "All notebooks, all other files of nbs/, and the pages that are made"
    from nbdev.quarto import refresh_quarto_yml

    os.chdir(root)
    refresh_quarto_yml()
    shutil.rmtree(out, ignore_errors=True)
    nbs = root / 'nbs'
    files = [p for p in nbs.rglob('*') if p.is_file() and '.ipynb_checkpoints' not in p.parts]
    books = sorted(str(p.relative_to(nbs)) for p in files if p.suffix == '.ipynb')
    for p in files:
        if p.suffix != '.ipynb':
            (out / p.relative_to(nbs)).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(p, out / p.relative_to(nbs))
    warnings.filterwarnings('ignore', 'Found cells containing imports')
    where = {}
    with ProcessPoolExecutor(workers, mp_context=get_context('fork')) as pool:
        for name, done in [(b, pool.submit(process_notebook, b)) for b in books]:
            try:
                for key in done.result():
                    where.setdefault(key, []).append(name)
            except Exception as e:
                raise SystemExit(f'nbs/{name}: {e}') from e
    make_pages(where)


def make_pages(where: dict):
    "What no notebook holds; `where`: the notebooks that cite each reference"
    made.write_commands(out)
    made.write_api(out)
    made.write_book(out)
    made.write_references(out, where)
    made.write_about(out)
    made.number_sidebar(out)
    made.write_footer(out)
    made.write_llms(out)
    for page in sorted((out / 'guide').glob('*.qmd')):
        text = narrow_shell(linked(made.read(page), f'guide/{page.name}'))
        page.write_text(text, encoding='utf-8')


def shrink(path: Path):
    "The figures of a notebook with 32 colors where they are charts, 160 where they are photos"
    from PIL import Image

    nb = json.loads(made.read(path))
    for output in (o for c in nb['cells'] for o in c.get('outputs', [])):
        if 'image/png' not in (data := output.get('data', {})):
            continue
        raw, small = base64.b64decode(''.join(data['image/png'])), io.BytesIO()
        image = Image.open(io.BytesIO(raw))
        colors = 32 if is_chart(image) else 160
        few = image.convert('RGB').quantize(colors, method=Image.Quantize.MAXCOVERAGE)
        few.save(small, 'PNG', optimize=True, dpi=image.info.get('dpi', (96, 96)))
        if image.mode != 'P' and len(small.getvalue()) < len(raw):  # once
            data['image/png'] = base64.b64encode(small.getvalue()).decode() + '\n'
    text = json.dumps(nb, indent=1, ensure_ascii=False, sort_keys=True) + '\n'
    path.write_text(text, encoding='utf-8')


# What must hold


def anchor(heading: str) -> str:
    "The anchor that pandoc makes of a heading"
    text = re.sub(r'\[([^\]]*)\]\([^)]*\)', r'\1', heading).replace('`', '')
    text = re.sub(r'[^\w\s.-]', '', text.lower()).strip()
    return re.sub(r'^[^a-z]+', '', re.sub(r'\s+', '-', text)) or 'section'


class Pages:
    "The processed pages of a folder, and the faults in them"

    def __init__(self, folder=out):
        self.folder, self.cells, self.anchors, self.faults = Path(folder), {}, {}, []
        for p in sorted(self.folder.rglob('*.ipynb')):
            cells = json.loads(p.read_text(encoding='utf-8'))['cells']
            self.cells[str(p.relative_to(self.folder))] = cells
        for p in sorted(self.folder.rglob('*.qmd')):
            cell = dict(cell_type='markdown', source=p.read_text(encoding='utf-8'))
            self.cells[str(p.relative_to(self.folder))] = [cell]
        for name, cells in self.cells.items():
            text = '\n'.join(t for c in cells for t in self.texts(c))
            text = re.sub(r'^```.*?^```', '', text, flags=re.M | re.S)
            heads = re.findall(r'^#{1,6} +(.+?) *(?:\{[^}]*\})?$', text, re.M)
            own = set(re.findall(r'\{#([\w-]+)\}', text))
            self.anchors[made.page_of(name)] = own | {anchor(h) for h in heads}

    @staticmethod
    def texts(cell: dict) -> list:
        "What is shown as Markdown"
        shown = [''.join(cell['source'])] if cell['cell_type'] == 'markdown' else []
        data = [o.get('data', {}) for o in cell.get('outputs', [])]
        return shown + [''.join(d['text/markdown']) for d in data if 'text/markdown' in d]

    def fault(self, name: str, what: str):
        self.faults.append(f'{name}: {what}')

    def check(self) -> list:
        "All faults, a line each"
        for name, cells in self.cells.items():
            for cell in cells:
                for text in self.texts(cell):
                    self.check_links(name, text)
                    self.check_docs(name, text)
                    self.check_prose(name, text)
                self.check_figures(name, cell)
                self.check_columns(name, cell)
            self.check_code(name, cells)
        self.check_titles()
        self.check_bars()
        self.check_look()
        if self.folder == out:
            self.check_commands()
        return self.faults

    def check_links(self, name: str, text: str):
        text = re.sub(r'^```.*?^```', '', text, flags=re.M | re.S)
        for shown, target in re.findall(
            r'(?<!!)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^)\s]+)[^)]*\)', text
        ):
            code = re.fullmatch(r'`([^`]+)`', shown)
            if target.startswith((site, 'https://', 'http://', 'mailto:')):
                if target.startswith(site):
                    self.fault(name, f'{target} should be a relative link')
                continue
            where, _, part = target.partition('#')
            page = normpath(f'{dirname(name) or "."}/{where}') if where else name
            page = made.page_of(page) if page.endswith(('.ipynb', '.qmd')) else page
            page = made.page_of(name) if not where else page
            if page not in self.anchors:
                if not (self.folder / page).exists():
                    self.fault(name, f'{target} leads nowhere')
            elif part and part not in self.anchors[page]:
                self.fault(name, f'{target}: no such heading on {page}')
            is_name = code and not code[1].startswith('prodclf ') and where.endswith('.html')
            if is_name and not is_distinctive(code[1]):
                self.fault(name, f'`{code[1]}` is an ordinary word and leads to {target}')

    def check_docs(self, name: str, text: str):
        if 'Call self as a function' in text:
            self.fault(name, '"Call self as a function." says nothing: write a docstring')
        for signature in re.findall(r'^```python\n((?:def|class) .*?)\n```', text, re.M | re.S):
            if '`' in signature and '<details' not in text[: text.find(signature)]:
                self.fault(name, f'a backtick in the signature {signature.splitlines()[0]}')
        if re.search(r'^\*[^*\n]+\*\n\S', text, re.M):
            self.fault(name, 'a docstring that is half in italics')

    def check_prose(self, name: str, text: str):
        "Works without an entry, numbers of chapters that stand nowhere, images of other hosts"
        text = re.sub(r'^```.*?^```|^---\n.*?^---$', '', text, flags=re.M | re.S)
        remote = r'!\[[^\]]*\]\(https?://[^)]*\)|<img[^>]*src="https?:[^>]*'
        for tag in re.findall(remote, text):
            self.fault(name, f'asks another host: {tag[:80]}')
        for number in re.findall(r'\(\d\d\)|\b[Cc]hapters? \d+\b', text):
            self.fault(name, f'a number that no chapter has on the site: {number}')
        bare = re.sub(r'\[(?:[^\[\]]|\[[^\]]*\])*\]\([^)]*\)', '', text)
        who = r"[A-Z][\w-]+(?: et al\.| (?:and|&) [A-Z][\w-]+)"
        for work in re.findall(rf'{who},? \(?(?:18|19|20)\d\d\b', bare):
            self.fault(name, f'{work} has no entry in references.bib')

    def check_columns(self, name: str, cell: dict):
        "Code that would scroll or break on the page"
        blocks = [''.join(cell['source'])] if cell['cell_type'] == 'code' else []
        for text in self.texts(cell):
            blocks += re.findall(r'^```(?:python|bash|sh)\n(.*?)^```', text, re.M | re.S)
        for line in '\n'.join(blocks).splitlines():
            if len(line) > columns and not line.startswith('#|'):
                self.fault(name, f'{len(line)} columns of code, over {columns}: {line[:50]}')

    def check_code(self, name: str, cells: list):
        "A chapter shows the code that it is about: beside its documentation, or folded below it"
        if not any('show_doc(' in ''.join(c['source']) for c in cells):
            return
        folded = any('<details class="source">' in t for c in cells for t in self.texts(c))
        defined = r'^(?:@.*\n)*(?:def|class) '
        code = (''.join(c['source']) for c in cells if c['cell_type'] == 'code')
        if not folded and not any(re.search(defined, c, re.M) for c in code):
            self.fault(name, 'documents names and shows no line of their code')

    def check_titles(self):
        "Every page has a title of its own, with a number in the book, and a description"
        seen = {}
        for name, cells in self.cells.items():
            head = re.match(r'\s*---\n(.*?)\n---', ''.join(cells[0]['source']), re.S)
            about = dict(re.findall(r'^(\w+): *"?(.*?)"?$', head[1] if head else '', re.M))
            title = about.get('title', '')
            numbered = made.numbers().get(name)
            if not title or '_' in title or (numbered and not title.startswith(numbered)):
                self.fault(name, f'its title is {title!r}')
            if title in seen:
                self.fault(name, f'has the title of {seen[title]}: {title}')
            if len(about.get('description', '')) < 15:
                self.fault(name, 'no description for searches and link previews')
            seen[title] = name

    def check_look(self):
        "What _quarto.yml and styles.css must say, so that pages read well on every screen"
        wanted = {
            '_quarto.yml': {
                'code-overflow: wrap': 'long outputs would scroll',
                'body-width: 900px': '100 columns of code would be cut off',
                'lightbox: true': 'figures could not be enlarged',
                'page-navigation: true': 'no previous and next',
                'repo-subdir: nbs': '"Edit this page" would lead nowhere',
                'favicon:': 'no icon',
                'site-url:': 'no sitemap and no canonical address',
            },
            'styles.css': {
                'overflow-x: auto': 'wide tables would move the page on a phone',
                'body.quarto-dark code': 'code in prose would stay white in dark mode',
                'body.quarto-dark .chart': 'charts would be white boxes in dark mode',
            },
            'theme.scss': {'$web-font-path: false': 'fonts would come from another host'},
        }
        for file, rules in wanted.items():
            text = (self.folder / file).read_text(encoding='utf-8')
            for rule, why in rules.items():
                if rule not in text:
                    self.fault(file, f'{rule} is missing: {why}')

    def check_figures(self, name: str, cell: dict):
        kinds = {'image/png', 'image/jpeg'}
        images = sum(bool(kinds & set(o.get('data', {}))) for o in cell.get('outputs', []))
        source = ''.join(cell['source'])
        if images and not re.search(r'^#\| *fig-alt: *\S.{15,}', source, re.M):
            self.fault(name, 'a figure without `#| fig-alt:` that says what it shows')
        for o in cell.get('outputs', []):
            if png := ''.join(o.get('data', {}).get('image/png', '')):
                (width,) = struct.unpack('>I', base64.b64decode(png)[16:20])
                shown = o.get('metadata', {}).get('image/png', {}).get('width', width)
                if abs(width - 2 * shown) > 2:
                    self.fault(name, f'a figure of {width} pixels shown {shown} wide: not sharp')
        for alt, _ in (
            re.findall(r'!\[([^\]]*)\]\(([^)]+)\)(?!\{[^}]*fig-alt=)', source)
            if cell['cell_type'] == 'markdown'
            else ()
        ):
            if len(alt) < 15:
                self.fault(name, f'an image whose alternative text is {alt!r}')

    def check_commands(self):
        "Each command has its page, and each of its options is on it"
        for name, command in made.parser().items():
            cells = self.cells.get(page := f'commands/{name}.qmd')
            if cells is None:
                self.fault(page, f'prodclf {name} has no page')
                continue
            params = [p for p in command.params if p.param_type_name == 'option' and not p.hidden]
            for option in (o for p in params for o in [*p.opts, *p.secondary_opts]):
                if f'`{option}`' not in cells[0]['source']:
                    self.fault(page, f'the option {option} is not on it')

    def check_bars(self):
        "The targets of sidebar and navigation bar"
        for bar in ('sidebar.yml', '_quarto.yml'):
            text = (self.folder / bar).read_text(encoding='utf-8')
            targets = re.findall(
                r'^\s*(?:- |href: *)"?([\w/.-]+\.(?:ipynb|qmd))"?$', text, re.M
            )
            for target in dict.fromkeys(targets):
                if target not in self.cells:
                    self.fault(bar, f'{target} leads nowhere')
                if targets.count(target) > 1:
                    self.fault(bar, f'{target} stands there {targets.count(target)} times')


def localize(folder: Path):
    """Without what Quarto takes from other hosts for every notebook: require.js, jQuery, web fonts;
    with the address under which a page is to be known"""
    script = re.compile(
        r'<script[^>]*src="https?://[^"]*(?:require|jquery)[^"]*"[^>]*></script>\n?'
    )
    late = re.compile(
        r'<script type="application/javascript">define\(\'jquery\'.*?</script>\n?', re.S
    )
    font = re.compile(r'@import\s*(?:url\()?["\']?https?://[^;]*;')
    for path in folder.rglob('*'):
        if path.suffix == '.html':
            text = path.read_text(encoding='utf-8')
            text = late.sub('', script.sub('', text))
            if 'rel="canonical"' not in text:
                place = path.relative_to(folder).as_posix().removesuffix('index.html')
                tag = f'<link rel="canonical" href="{site}{place}">\n'
                text = text.replace('</head>', f'{tag}</head>')
            path.write_text(text, encoding='utf-8')
        elif path.suffix == '.css':
            path.write_text(font.sub('', path.read_text(encoding='utf-8')), encoding='utf-8')


def check_rendered(folder=root / '_docs') -> list:
    "Of the finished pages: links that lead nowhere, and requests to other hosts while reading"
    faults, pages = [], {p.relative_to(folder).as_posix(): p for p in folder.rglob('*.html')}
    for name in ('sitemap.xml', 'llms.txt', 'search.json'):
        if not (folder / name).exists():
            faults.append(f'{name} is missing')
    for name, path in pages.items():
        text = path.read_text(encoding='utf-8')
        for target in re.findall(r'(?:src|href)="([^"#?]*)', text):
            if target.startswith(('http', 'mailto:', 'data:', '//')) or not target:
                continue
            if not (folder / normpath(f'{dirname(name) or "."}/{target}')).exists():
                faults.append(f'{name}: {target} leads nowhere')
        for what in ('rel="canonical"', 'name="description"', 'property="og:image"'):
            if what not in text:
                faults.append(f'{name}: no {what} for searches and link previews')
        for tag in re.findall(
            r'<(?:script|link|img)\b[^>]*(?:src|href)="https?://[^"]*"[^>]*>', text
        ):
            if 'canonical' not in tag and 'rel="me"' not in tag:
                faults.append(f'{name}: asks another host: {tag[:90]}')
    return sorted(set(faults))


def report(faults: list, what: str):
    for line in faults:
        print(line)
    if faults:
        raise SystemExit(1)
    print(what)


def main(words: list):
    todo = words or ['help']
    folder = Path(todo[1]).resolve() if todo[1:] else out
    if todo[0] == 'process':
        process()
    elif todo[0] == 'shrink' and todo[1:]:
        for name in todo[1:]:
            shrink(Path(name))
    elif todo[0] == 'check' and (folder / 'index.html').exists():
        report(check_rendered(folder), 'the finished pages are in order')
    elif todo[0] == 'check':
        pages = Pages(folder)
        report(pages.check(), f'{len(pages.cells)} pages keep the rules of the site')
    elif todo[0] == 'build':
        process()
        report(Pages().check(), 'processed')
        subprocess.run(['quarto', 'render', '--no-cache'], cwd=out, check=True)
        shutil.rmtree(root / '_docs', ignore_errors=True)
        shutil.move(out / '_docs', root / '_docs')
        localize(root / '_docs')
        report(check_rendered(), 'the site is in _docs/')
    else:
        raise SystemExit(__doc__)


if __name__ == '__main__':
    import pages  # cells that are run replace `__main__`, and the pool looks functions up by name

    pages.main(sys.argv[1:])
