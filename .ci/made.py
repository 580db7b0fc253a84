"""Pages of the site that are made, not written: the commands, the names of `prodclf.all`, the parts
and chapters of the book, the references, and llms.txt. `pages.py` calls this."""

import html
import inspect
import json
import os
import re
import textwrap
from dataclasses import is_dataclass
from functools import cache
from pathlib import Path
from posixpath import join, relpath
from urllib.parse import quote

root = Path(__file__).resolve().parent.parent
acronyms = dict(badge='BADGE', cli='', gpu='GPU', lora='LoRA', onnx='ONNX')
acronyms |= dict(tensorflow='TensorFlow', amazon='Amazon')


def read(path) -> str:
    return Path(path).read_text(encoding='utf-8')


def front(title: str, about: str, *more: str) -> str:
    "The front matter of a page"
    lines = [f'title: {json.dumps(title, ensure_ascii=False)}', *more]
    lines.insert(1, f'description: {json.dumps(about, ensure_ascii=False)}')
    return '---\n' + '\n'.join(lines) + '\n---\n\n'


@cache
def settings() -> dict:
    "settings.ini"
    import configparser

    ini = configparser.ConfigParser(delimiters=['='])
    ini.read(root / 'settings.ini', encoding='utf-8')
    return dict(ini['DEFAULT'])


def address() -> str:
    "Where the site is"
    return settings()['doc_host'] + settings()['doc_baseurl'] + '/'


# Titles and numbers


def output_name(path: str) -> str:
    "The page of a notebook: models/04_fusion.ipynb is models/fusion.html"
    folder, name = os.path.split(path)
    return join(folder, re.sub(r'^[0-9]+[a-z]?_', '', Path(name).stem) + '.html')


def page_of(path: str) -> str:
    "The page of a notebook or of a .qmd file"
    return path[:-4] + '.html' if path.endswith('.qmd') else output_name(path)


def about(path: str) -> tuple:
    "The heading of a notebook and the line under it"
    cell = ''.join(json.loads(read(root / 'nbs' / path))['cells'][0]['source'])
    line = re.search(r'^> *(.+)$', cell, re.M)
    return cell.splitlines()[0].lstrip('# '), line[1] if line else ''


def titled(name: str) -> str:
    "The name of a chapter as a title: feature_space is Feature space, onnx is ONNX"
    words = [acronyms.get(w, w) for w in re.split(r'[_.\s]+', name)]
    text = ' '.join(w for w in words if w)
    return text[:1].upper() + text[1:]


@cache
def parts() -> list:
    "(number, title, chapters) of each part of the book, as the sidebar has them"
    found, bar = [], read(root / 'nbs/sidebar.yml')
    book = bar[bar.index('section: "The book"') :]
    for line in book.splitlines():
        if (m := re.match(r'\s*- section: "(.+)"', line)) and m[1] != 'The book':
            found.append((len(found) + 1, m[1], []))
        elif m := re.match(r'\s*- (\S+\.ipynb)', line):
            if m[1] == '00_core.ipynb':
                found.append((1, 'Core', []))
            found[-1][2].append(m[1])
    return found


@cache
def numbers() -> dict:
    "Notebook -> its number in the book: data/08_catalog.ipynb is 2.8"
    return {
        p: f'{n}.{int(Path(p).name[:2])}' if '/' in p else f'{n}'
        for n, _, chapters in parts()
        for p in chapters
    }


def title_of(path: str) -> str:
    "The title of a notebook's page, with the number of a chapter"
    return f'{numbers().get(path, "")} {titled(about(path)[0])}'.strip()


def write_book(out: Path):
    "One page with every part and chapter, one line each"
    text = front('The book', 'All parts and chapters in order, with one line about each')
    text += (
        'Every part is a folder of notebooks and a sub-package, and imports only the parts above '
        'it, so that a reader who begins at the top meets nothing that is explained later. Each '
        'chapter explains, builds and tests one thing. Which file answers which question is told '
        'in [where is what](about/contributing.qmd#where-is-what).\n'
    )
    rows = re.findall(r'^\| `(\w+)` \| (.+?) \|', read(root / 'CONTRIBUTING.md'), re.M)
    says = dict(rows)
    for number, title, chapters in parts():
        folder = os.path.dirname(chapters[0]) or 'core'
        line = says.get(folder, '')
        text += f'\n## {number} {title}\n\n{line[:1].upper()}{line[1:]}.\n\n'
        for path in chapters:
            text += f'* [{title_of(path)}]({path}): {about(path)[1]}\n'
    (out / 'book.qmd').write_text(text, encoding='utf-8')


def number_sidebar(out: Path):
    "The numbers of the parts in the sidebar, and the pages that are made"
    text = read(out / 'sidebar.yml')
    for number, title, _ in parts()[1:]:
        text = text.replace(f'section: "{title}"', f'section: "{number} {title}"')
    first = '          - 00_core.ipynb\n'
    text = text.replace(first, '          - book.qmd\n' + first)
    pages = ''.join(f'          - commands/{n}.qmd\n' for n in ['index', *commands()])
    made = f'      - section: "Commands"\n        contents:\n{pages}'
    mark = '      - section: "The book"\n'
    text = text.replace(mark, made + mark)
    text += '      - section: "About"\n        contents:\n'
    last = ['guide/cite.qmd', 'references.qmd', *copies.values()]
    text += ''.join(f'          - {page}\n' for page in last)
    (out / 'sidebar.yml').write_text(text, encoding='utf-8')


# Commands


@cache
def parser() -> dict:
    "Name -> command"
    import typer
    from prodclf.cli import main

    return typer.main.get_command(main.app).commands


def commands() -> list:
    "The names of the commands"
    return list(parser())


def write_commands(out: Path):
    "One page for each command, made from the parser, and one that lists them"
    folder = out / 'commands'
    folder.mkdir(exist_ok=True)
    rows, uses = [], examples()
    for name, command in parser().items():
        line = ' '.join((command.help or '').split())
        rows.append(f'| [`prodclf {name}`]({name}.qmd) | {line} |')
        context = command.make_context(f'prodclf {name}', [], resilient_parsing=True)
        usage = command.get_usage(context).removeprefix('Usage: ').strip()
        text = front(f'prodclf {name}', line) + f'```text\n{usage}\n```\n'
        for kind in ('argument', 'option'):  # typer has a click of its own: no types to ask for
            params = [p for p in command.params if p.param_type_name == kind and not p.hidden]
            text += _options(f'{kind.title()}s', params) if params else ''
        once = list(dict(uses.get(name, [])).items())[:5]
        text += '\n## Examples\n' if once else ''
        for line, place in once:
            text += f'\n```bash\n{line}\n```\n\nin [{title_of(place)}](../{place})\n'
        text += (
            '\n## Exit codes\n\n| code | meaning |\n|---|---|\n| 0 | done |\n'
            '| 1 | an honest failure, in one line that names the remedy |\n'
            '| 2 | wrong usage: nothing was begun |\n'
        )
        (folder / f'{name}.qmd').write_text(text, encoding='utf-8')
    head = front('Commands', 'Every command, option and default')
    table = f'| command | what it does |\n{_rule(25, 75)}\n' + '\n'.join(rows) + '\n'
    (folder / 'index.qmd').write_text(head + table, encoding='utf-8')


def _kind(param) -> str:
    "int, float, text or path"
    annotation = getattr(getattr(param, 'type_descriptor', None), 'annotation', None)
    kind = annotation.__name__ if annotation else param.type.name  # of later and earlier typers
    return {'str': 'text', 'Path': 'path'}.get(kind, kind)


def in_table(text: str) -> str:
    "Text as the cell of a table"
    return html.escape(' '.join((text or '').split()), quote=False).replace('|', '\\|')


def _options(title: str, params: list) -> str:
    "The arguments or options of a command"
    rows = []
    for p in params:
        names = ', '.join(f'`{n}`' for n in [*p.opts, *p.secondary_opts])
        names = f'`{p.name.upper()}`' if title == 'Arguments' else names
        kind = '' if getattr(p, 'is_flag', False) else _kind(p)
        says = in_table(getattr(p, 'help', None))
        fixed = p.default not in (None, False) and not callable(p.default) and not p.required
        value = f'`{p.default}`' if fixed and 'default' not in says else ''
        rows.append(f'| {names} | {kind} | {"required" if p.required else value} | {says} |')
    head = f'\n## {title}\n\n| name | kind | default | what it does |\n{_rule(24, 8, 14, 54)}\n'
    return head + '\n'.join(rows) + '\n'


def _rule(*shares: int) -> str:
    "The line under the head of a table, which says how wide its columns are"
    return '|' + '|'.join('-' * share for share in shares) + '|'


def examples() -> dict:
    "command -> [(line, notebook that shows it)], from the chapters and tutorials"
    found = {}
    for path in sorted((root / 'nbs').rglob('*.ipynb')):
        for cell in json.loads(read(path))['cells']:
            source = ''.join(cell['source'])
            printed = (''.join(o.get('text', '')) for o in cell.get('outputs', []))
            text = source if cell['cell_type'] == 'markdown' else '\n'.join(printed)
            for line in re.findall(r'^(?:\$ )?(prodclf [a-z]+ [^\n`|]{3,90})$', text, re.M):
                place = str(path.relative_to(root / 'nbs'))
                found.setdefault(line.split()[1], []).append((line.strip(), place))
    return found


# The names of prodclf.all


def names_of(line: str) -> list:
    "The names that a line `<!-- api: … -->` of the page asks for"
    return line.split()


def write_api(out: Path):
    "guide/api.qmd with what the package says about each name that it asks for"
    page = out / 'guide/api.qmd'
    fill = lambda m: '\n'.join(api_entry(n) for n in names_of(m[1]))  # noqa: E731
    page.write_text(re.sub(r'<!-- api: (.+?) -->', fill, read(page)), encoding='utf-8')


def api_entry(name: str) -> str:
    "Signature, first sentence, parameters and chapter of a name of `prodclf.all`"
    import prodclf.all
    from fastcore.docments import docments

    thing = getattr(prodclf.all, name)
    plain = inspect.isclass(thing) and not is_dataclass(thing)
    says, rows = docments(thing.__init__ if plain else thing, full=True), []
    try:
        given = inspect.signature(thing).parameters.values()
    except ValueError:
        given = []
    for p in given:
        default = '' if p.default is p.empty else _short(p.default)
        comment = says[p.name].docment if p.name in says else None
        comment = ' '.join(comment) if isinstance(comment, list) else comment
        shown = {p.VAR_KEYWORD: '**', p.VAR_POSITIONAL: '*'}.get(p.kind, '') + p.name
        rows.append(f'| `{shown}` | {default} | {in_table(comment)} |')
    kind = 'class ' if inspect.isclass(thing) else ''
    call = ', '.join(
        p.name if p.default is p.empty else f'{p.name}={_short(p.default, False)}' for p in given
    )
    chapter = next(p for p in numbers() if _module(p) == thing.__module__)
    place = f'../{chapter}#{name.lower()}'
    line = ' '.join((inspect.getdoc(thing) or '').split()).rstrip('.')
    call = f'{kind}{name}({call})'
    if len(call) > 88:
        call = textwrap.fill(call, 88, subsequent_indent='    ', break_long_words=False)
    text = f'### `{name}`\n\n```python\n{call}\n```\n\n{line}. '
    text += f'Chapter [{title_of(chapter)}]({place}).\n'
    if rows:
        table = f'| parameter | default | what it is |\n{_rule(20, 16, 64)}\n' + '\n'.join(rows)
        fold = '<details class="source"><summary>Parameters</summary>'
        text += f'\n{fold}\n\n{table}\n\n</details>\n'
    return text


def _module(path: str) -> str:
    "The module that a notebook exports to"
    return 'prodclf.' + output_name(path)[:-5].replace('/', '.')


def _short(value, code: bool = True) -> str:
    "A default, or `…` for one that is longer than its name"
    text = repr(value)
    text = '…' if len(text) > 24 or text.startswith('<') else text
    return f'`{text}`' if code else text


# References


@cache
def references() -> dict:
    "key -> fields of nbs/references.bib"
    found = {}
    for kind, key, body in re.findall(
        r'^@(\w+)\{(\w+),\n(.*?)\n\}$', read(root / 'nbs/references.bib'), re.M | re.S
    ):
        fields = dict(re.findall(r'^  (\w+) = \{(.*)\},?$', body, re.M))
        found[key] = fields | dict(kind=kind, title=fields['title'].strip('{}'))
    return found


def surnames(entry: dict) -> list:
    "Family names of the authors"
    return [a.split(',')[0].strip() for a in entry['author'].split(' and ')]


@cache
def mentions() -> list:
    "(pattern, key): how prose names each work, such as Guo et al. (2017) or Lewis and Gale 1994"
    found = []
    for key, entry in references().items():
        family, year = [re.escape(s) for s in surnames(entry)], entry['year']
        if len(family) == 1:
            who = rf"(?<!and )(?<!& )\b{family[0]}(?:'s(?: interval)?)?"
        else:
            last = rf'(?:{", ".join(family[:-1])},?|{family[0]}) (?:and|&) {family[-1]}'
            both = last if len(family) == 2 else rf'(?:{last}|{family[0]} et al\.)'
            who = rf"\b{both}(?:'s [a-z]+)?"
        title = r'(?:,? \(?\*[^*\n]+\*)?'
        found.append((re.compile(rf'{who}{title},? \(?{year}\b\)?'), key))
    return found


def cited(text: str, page: str) -> str:
    "Markdown in which each work that is named is a link to its place on the page of references"
    target = relpath('references.html', os.path.dirname(page) or '.')

    def link(match, key):
        entry = references()[key]
        tip = entry['title'].replace('"', "'")
        whole = match[0]
        more = ')' if whole.endswith(')') and whole.count('(') < whole.count(')') else ''
        return f'[{whole.removesuffix(")") if more else whole}]({target}#{key} "{tip}"){more}'

    for pattern, key in mentions():
        if entry_year(key) not in text:
            continue
        text = re.sub(
            rf'\[({pattern.pattern})\]\(http[^)]*\)', lambda m, k=key: link(_Of(m[1]), k), text
        )
        text = re.sub(
            rf'(?<!\[)({pattern.pattern})(?![^\[\]\n]*\]\()', lambda m, k=key: link(m, k), text
        )
    return text


class _Of:
    "A match that is all of a text"

    def __init__(self, text):
        self.text = text

    def __getitem__(self, _):
        return self.text


def entry_year(key: str) -> str:
    return references()[key]['year']


def write_references(out: Path, where: dict):
    "All works, in alphabetical order, with the chapters that cite them"
    text = front('References', 'The works that the chapters cite, and where')
    order = sorted(references().items(), key=lambda e: (e[1]['author'].lower(), e[1]['year']))
    for key, e in order:
        people = [' '.join(reversed(a.split(', '))) for a in e['author'].split(' and ')]
        people = people[:-1] + ['others'] if people[-1] == 'others' else people
        who = ', '.join(people[:-1]) + (' and ' if people[1:] else '') + people[-1]
        fields = 'journal booktitle howpublished school publisher'.split()
        venue = next((e[f] for f in fields if f in e), '')
        venue += ' ' + e['volume'] if 'volume' in e else ''
        venue += f', {e["address"]}' if 'address' in e else ''
        at = f'https://doi.org/{e["doi"]}' if 'doi' in e else e.get('url')
        at = quote(at, safe=':/;?=&+%') if at else None
        title = f'[{e["title"]}]({at})' if at else f'*{e["title"]}*'
        places = ', '.join(
            f'[{title_of(p)}]({p})' for p in sorted(where.get(key, []), key=_order)
        )
        text += f'[]{{#{key}}}{who} ({e["year"]}). {title}. {venue}. Cited in {places}.\n\n'
    (out / 'references.qmd').write_text(text, encoding='utf-8')


def _order(path: str) -> tuple:
    number = numbers().get(path, '99')
    return tuple(int(n) for n in number.split('.'))


# Changelog, license, contributing; version; llms.txt

copies = {
    'CHANGELOG.md': 'about/changelog.qmd',
    'CONTRIBUTING.md': 'about/contributing.qmd',
    'LICENSE': 'about/license.qmd',
}


def write_about(out: Path):
    "The three files of the repository that a visitor looks for, as pages"
    says = dict(
        zip(
            copies,
            (
                'What changed from version to version',
                'Contributing: how the house is built, where is what, and how to change it',
                'MIT: use it for anything, keep the notice',
            ),
            strict=True,
        )
    )
    (out / 'about').mkdir(exist_ok=True)
    for name, page in copies.items():
        text = read(root / name)
        title = re.match(r'# (.+)\n', text)
        text = text[title.end() :] if title else f'```text\n{text}```\n'
        text = cited(re.sub(r'`nbs/([\w/]+\.ipynb)`', _to_notebook, text), page)
        made = front(title[1] if title else 'License', says[name]) + text.lstrip()
        (out / page).write_text(made, encoding='utf-8')


def _to_notebook(match) -> str:
    there = (root / 'nbs' / match[1]).exists()
    return f'[`nbs/{match[1]}`](../{match[1]})' if there else match[0]


def write_footer(out: Path):
    "The version on each page"
    s = settings()
    foot = f'prodclf {s["version"]} · [MIT](/{copies["LICENSE"]}) · '
    foot += f'[Changes](/{copies["CHANGELOG.md"]}) · [How to cite](/guide/cite.qmd)'
    with open(out / 'nbdev.yml', 'a', encoding='utf-8') as f:
        f.write(f'\n  page-footer:\n    center: "{foot}"\n')


def write_llms(out: Path):
    "llms.txt: what a language model should read, a line each (llmstxt.org)"
    index, says = about('index.ipynb')
    text = f'# {index}\n\n> {says}\n\n'
    text += f'Source: {settings()["git_url"]}. Chapters and tutorials are notebooks that run.\n'
    groups = [('Guide', 'guide'), ('Commands', 'commands'), ('Tutorials', 'tutorials')]
    for title, folder in groups:
        text += f'\n## {title}\n\n'
        for page in sorted((out / folder).iterdir()):
            if page.suffix == '.qmd':
                head = dict(re.findall(r'^(title|description): "?(.*?)"?$', read(page), re.M))
                url, name, line = f'{folder}/{page.stem}.html', head['title'], head['description']
            elif page.suffix == '.ipynb':
                path = f'{folder}/{page.name}'
                url, name, line = output_name(path), title_of(path), about(path)[1]
            else:
                continue
            text += f'- [{name}]({address()}{url}): {line}\n'
    for number, title, chapters in parts():
        text += f'\n## {number} {title}\n\n'
        for path in chapters:
            text += f'- [{title_of(path)}]({address()}{output_name(path)}): {about(path)[1]}\n'
    (out / 'llms.txt').write_text(text, encoding='utf-8')
