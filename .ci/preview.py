"""The processed pages as plain HTML, by pandoc, where Quarto cannot be had: to read them, and to
see what a browser does with them. Not the site: no search, no sidebar, no highlighting of code.

python .ci/preview.py FOLDER [PAGE...]     pages of _proc/, such as book.qmd; all of them by default
"""

import json
import re
import subprocess
import sys
from pathlib import Path
from posixpath import dirname, relpath

sys.path.insert(0, str(Path(__file__).resolve().parent))
import made  # noqa: E402

proc = made.root / '_proc'
look = """
body { margin: 0 auto; max-width: 900px; padding: 0 1rem; font: 17px/1.5 system-ui, sans-serif; }
code { font-size: .875em; background: #f3f4f6; } pre { padding: .6em; overflow-x: auto; }
pre, pre code { background: #f7f8fa; white-space: pre-wrap; overflow-wrap: anywhere; }
img { max-width: 100%; height: auto; } figcaption { font-size: .9em; opacity: .8; }
body.quarto-dark { background: #222; color: #e8e8e8; } body.quarto-dark a { color: #6bb3ff; }
body.quarto-dark pre, body.quarto-dark pre code { background: #2b2f33; }
"""


def as_markdown(path: Path) -> tuple:
    "(front matter, Markdown) of a page, its outputs as HTML and its flags obeyed"
    if path.suffix == '.qmd':
        _, head, body = path.read_text(encoding='utf-8').split('---\n', 2)
        return head, body
    cells, head, parts = json.loads(made.read(path))['cells'], '', []
    for cell in cells:
        source = ''.join(cell['source'])
        if cell['cell_type'] == 'raw':
            head = head or source.strip().strip('-').strip()
        elif cell['cell_type'] == 'markdown':
            parts.append(source)
        else:
            parts.append(code_cell(source, cell['outputs']))
    return head, '\n\n'.join(parts)


def code_cell(source: str, outputs: list) -> str:
    flags = dict(re.findall(r'^#\| *([\w-]+): *"?(.*?)"?$', source, re.M))
    code = re.sub(r'^#\|.*\n?', '', source, flags=re.M).strip()
    shown = [f'```python\n{code}\n```'] if code and flags.get('echo') != 'false' else []
    for output in outputs:
        data = output.get('data', {})
        kind = next((k for k in ('image/png', 'image/jpeg') if k in data), None)
        if kind:
            raw, size = ''.join(data[kind]).strip(), output.get('metadata', {}).get(kind, {})
            width = f' width="{size["width"]}"' if 'width' in size else ''
            image = f'<img alt="{flags.get("fig-alt", "")}"{width} src="data:{kind};base64,{raw}">'
            text = f'<figure>{image}<figcaption>{flags.get("fig-cap", "")}</figcaption></figure>'
        elif 'text/markdown' in data:
            text = ''.join(data['text/markdown'])
        elif 'text/html' in data:
            text = ''.join(data['text/html'])
        else:
            text = ''.join(output.get('text', data.get('text/plain', '')))
            text = f'```{{.output}}\n{text.rstrip()}\n```' if text.strip() else ''
        shown.append(f'<div class="cell-output-display">\n\n{text}\n\n</div>' if text else '')
    inside = '\n\n'.join(shown)
    return f'<div class="cell {flags.get("classes", "")}">\n\n{inside}\n\n</div>'


def render(path: Path, folder: Path) -> Path:
    "One page as HTML; links lead to pages of the same folder"
    name = made.page_of(str(path.relative_to(proc)))
    head, text = as_markdown(path)
    wide = 'page-layout: full' in head
    up = relpath('.', dirname(name) or '.')
    text = re.sub(
        r'\]\((?!\w+:)([\w./-]+\.(?:ipynb|qmd))',
        lambda m: f']({made.page_of(m[1])}', text,
    )
    text = text.replace('{fig-alt=', '{alt=')  # as Quarto understands it
    command = ['pandoc', '--from', 'markdown-smart', '--to', 'html', '--no-highlight']
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=True)
    about = dict(re.findall(r'^(title|description): "?(.*?)"?$', head, re.M))
    style = look + ('body { max-width: 1240px; }' if wide else '')
    style += made.read(made.root / 'nbs/styles.css')
    page = folder / name
    page.parent.mkdir(parents=True, exist_ok=True)
    title, line = about['title'], about.get('description', '')
    page.write_text(
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f'<link rel="icon" href="{up}/images/favicon.svg"><style>{style}</style>'
        '<meta name="viewport" content="width=device-width"></head><body class="quarto-light">'
        f'<h1>{title}</h1><p class="description">{line}</p>{done.stdout}</body></html>',
        encoding='utf-8',
    )
    return page


def main(words: list):
    if not words:
        raise SystemExit(__doc__)
    folder, wanted = Path(words[0]), words[1:]
    pages = [proc / w for w in wanted] or sorted([*proc.rglob('*.ipynb'), *proc.rglob('*.qmd')])
    for path in pages:
        print(render(path, folder))
    (folder / 'images').mkdir(parents=True, exist_ok=True)
    for image in (proc / 'images').iterdir():
        (folder / 'images' / image.name).write_bytes(image.read_bytes())


if __name__ == '__main__':
    main(sys.argv[1:])
