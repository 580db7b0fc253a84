"""The pages of the service as people use them: two headless browsers label at once, the dashboard is live on a telephone and on a screen, in light
and in dark; and the labeling server is killed at random moments. More kills by hand: PRODCLF_KILLS=30 pytest tests/test_pages.py -k kills"""
import http.client, json, os, random, signal, subprocess, sys, threading, time, uuid
from collections import Counter
from urllib.parse import urlsplit

import pytest
from browser import Browser, find_browser

kills = int(os.environ.get('PRODCLF_KILLS', 3))
in_browser = pytest.mark.skipif(find_browser() is None, reason='there is no Chromium here: install chromium, or name the program in CHROMIUM')

server = '''
import os, sys
from pathlib import Path
import numpy as np, pandas as pd
import uvicorn
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.naive_bayes import MultinomialNB
from prodclf.active.labeling import LabelingFolder
from prodclf.active.loop import QueryConfig
from prodclf.data.dataset import ProductDataset
from prodclf.data.text import images_cell
from prodclf.encoders.embeddings import embed
from prodclf.sample.shop import sample_catalog
from prodclf.serve.label_page import label_router
from prodclf.serve.labeling import LabelingSession
from prodclf.serve.monitor import Monitor
from prodclf.serve.products import ServeConfig
from prodclf.serve.service import create_app

folder, fd, n, images = Path(sys.argv[1]), *map(int, sys.argv[2:])
shop = sample_catalog(n, seed=5) if images else pd.concat([sample_catalog(240, seed=5)] * (n // 240)).assign(image=None, id=[f'P{i:05d}' for i in range(n)])
if images:
    shop['images'] = [images_cell(shop.image.dropna()[:2]) if isinstance(i, str) else None for i in shop.image]
shop['label'] = shop.label.astype(object)
names, blank = sorted(set(shop.label)), ProductDataset(shop.assign(label=None, path=None))
vectors = embed(blank, text='lsa', image='descriptors')
words, paths = TfidfVectorizer(min_df=1), {l: p.split(' > ') for l, p in zip(shop.label, shop.path)}
bayes = MultinomialNB(alpha=.1).fit(words.fit_transform(shop.text.fillna('')), shop.label)

class Engine:
    "Naive Bayes on words"
    classes, paths, views, threshold = [str(c) for c in bayes.classes_], paths, ['text', 'image'], .3
    card, max_images = dict(train_labels=shop.label.value_counts().to_dict()), 3
    def predict(self, products):
        p = bayes.predict_proba(words.transform([q['title'] + ' ' + q['description'] for q in products])).astype(np.float32)
        return p, dict(text=p, image=p)

def app():
    work = LabelingFolder(folder, blank, names, print)
    session = LabelingSession(work, vectors, engine=Engine(), config=QueryConfig(n=50), retrain=12, lease=20.0)
    return create_app(Engine(), ServeConfig(show_products=True), Monitor(), label_router(session))

while True:                       # a child that is killed is followed by another, on the same socket
    child = os.fork()
    if child == 0:
        print('child', os.getpid(), flush=True)
        uvicorn.run(app(), fd=fd, log_level='warning')
        os._exit(0)
    os.waitpid(child, 0)
'''


class Server:
    "The keeper of the socket and its child, which serves"

    def __init__(self, folder, surroundings, n=240, images=True):
        import socket
        listening = socket.socket()
        listening.bind(('127.0.0.1', 0))
        listening.listen(64)
        self.port = listening.getsockname()[1]
        command = [sys.executable, '-c', server, str(folder), str(listening.fileno()), str(n), str(int(images))]
        self.process = subprocess.Popen(command, env=surroundings | dict(OMP_NUM_THREADS='1'), pass_fds=[listening.fileno()], stdout=subprocess.PIPE, text=True)
        listening.close()
        self.folder, self.children = folder, []
        threading.Thread(target=self._follow, daemon=True).start()

    def _follow(self):
        for line in self.process.stdout:
            if line.startswith('child'):
                self.children.append(int(line.split()[1]))

    @property
    def url(self):
        return f'http://127.0.0.1:{self.port}'

    def ask(self, method, path, body=None, timeout=60):
        "The status and the JSON of an answer; raises when there is none"
        line = http.client.HTTPConnection('127.0.0.1', self.port, timeout=timeout)
        try:
            line.request(method, path, body and json.dumps(body), {'Content-Type': 'application/json'} if body else {})
            answer = line.getresponse()
            return answer.status, json.loads(answer.read() or b'null')
        finally:
            line.close()

    def stop(self):
        self.process.kill()
        self.process.wait()
        for child in self.children[-1:]:
            os.kill(child, signal.SIGKILL)

    def journal(self):
        "Entries of the journal as dicts, by themselves, as a stranger would read them"
        return [json.loads(line) for line in (self.folder / 'journal.jsonl').read_text().splitlines()]


@pytest.fixture(scope='module')
def served(tmp_path_factory, surroundings):
    made = Server(tmp_path_factory.mktemp('labels'), surroundings)
    assert made.ask('GET', '/label/categories')[0] == 200
    yield made
    made.stop()


@pytest.fixture(scope='module')
def browser(tmp_path_factory):
    made = Browser(tmp_path_factory.mktemp('profile'))
    yield made
    made.close()


def clean(page, url):
    "Nothing went wrong on the page, it asked nobody else, and it fits its window"
    assert not page.errors, page.errors
    hosts = {urlsplit(u).netloc for u in page.urls if u.startswith('http')}
    assert hosts == {urlsplit(url).netloc}, hosts
    assert page.run('document.documentElement.scrollWidth <= innerWidth'), 'the page is wider than its window'


def begin(browser, url, name, **looks):
    "A page on which a person has said who they are"
    page = browser.page(f'{url}/label', **looks)
    page.wait("document.querySelector('#hello').open")
    page.press(*name, 'Enter')
    page.wait('products.length > 1 && categories.length')
    return page


@in_browser
def test_two_people_label_at_once(served, browser):
    "One by keyboard, one by clicks on a telephone; the journal has what they said, and nobody got what the other had"
    ann, bob = begin(browser, served.url, 'Ann'), begin(browser, served.url, 'Bob', width=390, height=844, dark=True)
    said, sides = {'Ann': [], 'Bob': []}, 0
    for i in range(15):
        for name, page in (('Ann', ann), ('Bob', bob)):
            id, guesses = page.run('[products[0].id, products[0].guesses.map(g => g[0])]')
            if page.run("document.querySelectorAll('#further button').length") == 3:      # further images: a click shows one large
                page.click('#further button:last-child')
                sides += page.run("document.querySelector('#image').src.endsWith('&n=2')")
            if i % 5 == 4:                                     # something that is no guess: searched by a part of its name
                label = page.run("categories.find(c => !products[0].guesses.some(g => g[0] === c.name)).name")
                if name == 'Ann':
                    page.press('/')
                    page.wait("document.activeElement.id === 'search'")
                    page.press(*label)
                    page.wait("document.querySelector('#list li[aria-selected=true]')?.firstChild.textContent === " + json.dumps(label))
                    page.press('Enter')
                else:
                    page.click('#search')
                    page.run(f"document.querySelector('#search').value = {json.dumps(label.upper())}; document.querySelector('#search').dispatchEvent(new Event('input'))")
                    page.click('#list li')
            else:
                label = guesses[i % 3]
                page.press(str(i % 3 + 1)) if name == 'Ann' else page.click(f'#guesses li:nth-child({i % 3 + 1}) button')
            said[name].append((id, label))
            page.wait(f'products.length && products[0].id !== {json.dumps(id)}')
    for page in (ann, bob):
        page.wait("!outbox.length && document.querySelector('#saved').textContent === 'all saved'")
        page.wait("/^Model [1-9]/.test(document.querySelector('#model').textContent)")       # it was trained meanwhile
        page.wait("document.querySelector('#people').children.length === 2")
    assert sides > 5
    answers = [e for e in served.journal() if e['kind'] == 'answer']
    for name, mine in said.items():
        assert [(e['id'], e['label']) for e in answers if e['by'] == name] == mine
    assert len({e['id'] for e in answers}) == len(answers) == 30

    id = ann.run('products[0].id')
    ann.press('s')
    ann.wait(f'products[0].id !== {json.dumps(id)} && !outbox.length && latest > 0')
    ann.press('u')                                             # the skip, then the answer before it
    ann.wait(f'products[0].id === {json.dumps(id)} && !outbox.length && latest > 0')
    ann.press('u')
    ann.wait(f'products[0].id === {json.dumps(said["Ann"][-1][0])} && !outbox.length')
    assert [e['kind'] for e in served.journal() if e.get('by') == 'Ann'][-3:] == ['skip', 'undo', 'undo']
    for page in (ann, bob):
        clean(page, served.url)

    mine = ann.run('products.map(p => p.id)')
    ann.close()                                                # a closed page gives its products back
    began, found = time.monotonic(), []
    while not set(mine) <= set(found):
        found = [p['id'] for c in 'cd' for p in served.ask('POST', '/label/next', dict(client=c, by=c, n=10))[1]]
        for c in 'cd':
            served.ask('POST', '/label/release', dict(client=c))
        assert time.monotonic() < began + 10, (mine, found)
    bob.close()


@in_browser
def test_answers_wait_for_the_network(served, browser):
    "Without a connection answers are kept and sent again, once, and the page says so"
    eve = begin(browser, served.url, 'Eve')
    before = len(served.journal())
    eve.call('Network.emulateNetworkConditions', offline=True, latency=0, downloadThroughput=-1, uploadThroughput=-1)
    eve.press('1', '1')
    eve.wait("/no connection/.test(document.querySelector('#saved').textContent)")
    assert len(served.journal()) == before
    eve.call('Network.emulateNetworkConditions', offline=False, latency=0, downloadThroughput=-1, uploadThroughput=-1)
    eve.wait("!outbox.length && document.querySelector('#saved').textContent === 'all saved'")
    assert len([e for e in served.journal() if e.get('by') == 'Eve']) == 2
    eve.close()


@in_browser
def test_dashboard_is_live(served, browser):
    "At the width of a telephone and of a screen, light and dark: live within two seconds of a request, and the model is tried by keyboard"
    page = browser.page(served.url + '/')
    colors = set()
    for width, dark in ((1400, False), (1400, True), (390, False), (390, True)):
        page.look(width, 900, dark)
        page.wait("document.querySelector('#said').textContent === 'live'")
        colors.add(page.run('getComputedStyle(document.body).backgroundColor'))
        seen = page.run("document.querySelector('#times-said').textContent")
        assert served.ask('POST', '/predict', dict(products=[dict(title='Stoneware mug')]))[0] == 200
        _, seconds = page.wait(f"document.querySelector('#times-said').textContent !== {json.dumps(seen)}")
        assert seconds < 2, seconds
        page.run("document.querySelector('#clear').click()")   # the title has the focus then
        page.press(*'mug', 'Enter')
        page.wait("/mugs/i.test(document.querySelector('#result .line')?.textContent) && !document.querySelector('#go').disabled")
        clean(page, served.url)
    assert len(colors) == 2
    assert page.run("document.querySelector('#file').multiple")
    page.run("document.querySelector('#clear').click()")
    drawn = "new Promise(done => { const c = document.createElement('canvas'); c.getContext('2d').fillRect(0, 0, 9, 9); c.toBlob(done) })"
    for n in (2, 1):                                           # two photos of a product, and another one
        page.run(f"Promise.all(Array.from({{ length: {n} }}, () => {drawn})).then(all => choose(all.map((b, i) => new File([b], `${{i}}.png`))))")
        page.wait("document.querySelector('#result .line') && !document.querySelector('#go').disabled")
    assert page.run("[...document.querySelectorAll('#photos img')].filter(i => i.naturalWidth).length") == 3
    page.run(f"{drawn}.then(b => choose([new File([b], 'more.png')]))")
    assert 'at most 3 photos' in page.wait("document.querySelector('#result p').innerText")[0]
    clean(page, served.url)
    assert page.run("[...document.querySelectorAll('svg')].every(s => s.getAttribute('aria-label'))")
    assert page.run("[...document.querySelectorAll('input,textarea,button,img')].every(e => e.ariaLabel || e.textContent.trim() || e.labels?.length || e.alt)")
    page.close()


@in_browser
def test_titles_are_no_markup(served, browser):
    "What a stranger sends as a title is shown as it is and run by nobody"
    page = browser.page(served.url + '/')
    evil = '<img src=x onerror="window.evil=1"></script><b>mug</b>'
    served.ask('POST', '/predict', dict(products=[dict(title=evil)]))
    page.wait(f"document.querySelector('#products')?.innerText.includes({json.dumps(evil[:30])})")
    assert page.run('window.evil === undefined && !document.querySelector("#products b b")')
    page.run("(() => { const s = document.createElement('script'); s.textContent = 'window.evil = 2'; document.body.append(s) })()")
    assert page.run('window.evil') is None                     # the policy of the page stops what would be put in
    assert any('Content Security Policy' in e for e in page.errors)
    page.close()


def persist(server, path, body, until):
    "Send until there is an answer, as the page does"
    while time.monotonic() < until:
        try:
            return server.ask('POST', path, body, 5)
        except (OSError, http.client.HTTPException, ValueError):
            time.sleep(.02)
    raise AssertionError('the server did not come back')


@pytest.mark.timeout(300 + 60 * kills)
def test_kills_lose_and_double_nothing(tmp_path, surroundings):
    "Three people answer, skip and undo while the server is killed again and again: the journal has what was acknowledged, each once"
    made = Server(tmp_path / 'work', surroundings, 240 * (1 + kills // 4), images=False)
    until, over, told, faults = time.monotonic() + 240 + 60 * kills, threading.Event(), Counter(), []

    def person(name):
        dice = random.Random(name)
        try:
            while not over.is_set():
                client = f'{name}-{dice.random()}'
                for product in persist(made, '/label/next', dict(client=client, by=name), until)[1]:
                    label = None if dice.random() < .1 else dice.choice(names)
                    said = dict(client=client, by=name, request=uuid.uuid4().hex, id=product['id'], label=label)
                    status, found = persist(made, '/label/answer', said, until)
                    assert status == 200, found
                    told['skip' if label is None else 'answer', name, product['id'], label] += 1
                    if dice.random() < .15:
                        status, back = persist(made, '/label/undo', dict(client=client, by=name, n=found['n']), until)
                        assert status == 200, back
                        told['undo', name, product['id'], None] += 1
        except Exception as e:
            faults.append(e)
            over.set()

    try:
        names = [name for name, _ in made.ask('GET', '/label/categories')[1]]
        crew = [threading.Thread(target=person, args=(name,)) for name in ('Ann', 'Bob', 'Cem')]
        for thread in crew:
            thread.start()
        dice, before = random.Random(7), 0
        for _ in range(kills):
            while sum(told.values()) < before + 3 and not faults:   # it serves again
                time.sleep(.01)
            time.sleep(dice.random() * .4)
            before = sum(told.values())
            os.kill(made.children[-1], signal.SIGKILL)
        while sum(told.values()) < before + 10 and not faults:
            time.sleep(.01)
        over.set()
        for thread in crew:
            thread.join()
    finally:
        made.stop()
    assert not faults, faults
    journal = made.journal()
    there = Counter((e['kind'], e['by'], e['id'], e.get('label')) for e in journal if e['kind'] in ('answer', 'skip', 'undo'))
    assert there == told, (there - told, told - there)
    taken_back = [e['of'] for e in journal if e['kind'] == 'undo']
    assert len(set(taken_back)) == len(taken_back) == sum(n for (kind, *_), n in told.items() if kind == 'undo')
    assert len(made.children) == kills + 1
    print(f'{kills} kills, {sum(told.values())} acknowledged, {len(taken_back)} of them undone')
