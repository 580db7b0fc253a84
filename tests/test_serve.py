"""`prodclf serve` as a process: answers like the model, bad weather, the end under load, and a fuzz run over the document."""

import base64
import gc
import io
import json
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image

pytest.importorskip('fastapi')


@pytest.fixture(scope='module')
def model(tmp_path_factory):
    "A small model, its folder and its shop"
    os.environ['PRODCLF_QUIET'] = '1'
    from prodclf.sample.shop import sample_catalog
    from prodclf.train.estimator import MultimodalClassifier

    shop = sample_catalog(n=160, seed=4)
    trained = MultimodalClassifier(text=['title', 'text'], image='image', group='group').fit(shop, shop.label)
    predictor = trained.predictor_
    folder = predictor.save(tmp_path_factory.mktemp('shop') / 'model')
    return predictor, folder, shop


class Served:
    "A server process: its address, what it said, and where it could have written"

    def __init__(self, folder, tmp, surroundings, *options, **environment):
        self.scratch = tmp / 'scratch'
        self.scratch.mkdir()
        words = ['serve', str(folder), '--port', '0', *map(str, options)]
        self.process = subprocess.Popen(
            [sys.executable, '-m', 'prodclf.cli.main', *words],
            env=surroundings | dict(TMPDIR=str(self.scratch)) | environment,
            cwd=self.scratch,
            stderr=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.first = self.process.stderr.readline()
        self.place = re.search(r'http://([\d.]+):(\d+)', self.first)
        assert self.place, self.first + self.process.stderr.read()
        self.url = self.place[0]

    def raw(self, data: bytes, most: float = 20) -> bytes:
        "What comes back for bytes that are sent as they are, until the server closes or is silent"
        with socket.create_connection((self.place[1], int(self.place[2])), most) as s:
            try:
                s.sendall(data)
            except OSError:
                pass  # the server has said its word and closed
            pieces = []
            try:
                while piece := s.recv(65536):
                    pieces.append(piece)
            except OSError:
                pass
            return b''.join(pieces)

    def wait_ready(self):
        for _ in range(400):
            try:
                if httpx.get(f'{self.url}/readyz', timeout=5).status_code == 200:
                    return self
            except httpx.HTTPError:
                time.sleep(0.05)
        raise AssertionError('not ready')

    def stop(self, sig=signal.SIGTERM):
        self.process.send_signal(sig)
        out, log = self.process.communicate(timeout=40)
        return self.process.returncode, out + log


@pytest.fixture(scope='module')
def image(model, tmp_path_factory):
    "What `docker build` would take: the exported model and the package; and a folder that forbids what training needs"
    from prodclf.serve.container import write_container
    from prodclf.serve.export import export_model

    place = tmp_path_factory.mktemp('image')
    export_model(model[0], place / 'export')
    write_container(place / 'export', place / 'image')
    (place / 'without').mkdir()
    (place / 'without' / 'sitecustomize.py').write_text(
        'import sys\n'
        'for name in "torch torchvision transformers pandas scipy sklearn fastai pyarrow matplotlib".split():\n'
        '    sys.modules[name] = None\n'
    )
    return place / 'image', os.pathsep.join(map(str, (place / 'without', place / 'image')))


@pytest.fixture(scope='module')
def server(image, tmp_path_factory, surroundings):
    limits = '--timeout', 2, '--max-bytes', 3_000_000
    found = Served(image[0] / 'model', tmp_path_factory.mktemp('server'), surroundings, *limits, PYTHONPATH=image[1])
    yield found.wait_ready()
    found.process.kill()
    found.process.communicate()


def jpeg(size=(64, 48), color='red', kind='JPEG'):
    Image.new('RGB', size, color).save(out := io.BytesIO(), kind)
    return out.getvalue()


def test_answers_are_those_of_the_model(model, server):
    "JSON, a form and a list, answered without torch and pandas, say what `Predictor` says about the same products"
    predictor, _, shop = model
    some = shop[shop.text.notna() & shop.image.notna()].head(6)
    expected = predictor.predict_proba(some.assign(path=None))
    items = [
        dict(title=row.text, image=base64.b64encode(Path(row.image).read_bytes()).decode())
        for row in some.itertuples()
    ]
    with httpx.Client(base_url=server.url, timeout=20) as client:
        many = client.post('/predict?top_k=3', json=items).json()['predictions']
        one = client.post('/predict?top_k=3', json=items[0]).json()['predictions']
        file = dict(image=('a.jpg', Path(some.image.iloc[0]).read_bytes(), 'image/jpeg'))
        form = client.post('/predict?top_k=3', data=dict(title=items[0]['title']), files=file).json()['predictions']
        names = [c['category'] for c in client.get('/categories').json()['categories']]
    assert one == form and names == predictor.classes
    assert one[0]['category'] == many[0]['category']
    for found, p in zip(many, expected, strict=True):
        best = np.argsort(-p, kind='stable')[:3]
        assert [c['probability'] for c in found['categories']] == pytest.approx(p[best], abs=1e-4)
        assert found['views'] == ['text', 'image'] and len(found['categories']) == 3


def bomb(width, height):
    def chunk(kind, data):
        return struct.pack('>I', len(data)) + kind + data + struct.pack('>I', zlib.crc32(kind + data))

    head = struct.pack('>IIBBBBB', width, height, 8, 2, 0, 0, 0)
    body = zlib.compress(bytes(1_000_000), 9)
    return b'\x89PNG\r\n\x1a\n' + chunk(b'IHDR', head) + chunk(b'IDAT', body) + chunk(b'IEND', b'')


def post(body: bytes, kind: bytes = b'application/json', path: bytes = b'/predict', more: bytes = b'') -> bytes:
    head = b'POST %s HTTP/1.1\r\nHost: shop\r\nConnection: close\r\nContent-Type: %s\r\nContent-Length: %d\r\n'
    return head % (path, kind, len(body)) + more + b'\r\n' + body


def as_json(image: bytes) -> bytes:
    return json.dumps(dict(image=base64.b64encode(image).decode())).encode()


good = b'{"title": "mug"}'
bad_weather = {
    'a bomb': post(as_json(bomb(60_000, 60_000))),
    'a smaller bomb': post(as_json(bomb(7000, 7000))),
    'a photo that is cut off': post(as_json(jpeg((500, 500))[:600])),
    'a PNG that begins like a JPEG': post(as_json(b'\xff\xd8\xff' + jpeg(kind='PNG')[3:])),
    'a PDF': post(as_json(b'%PDF-1.4 ...')),
    'no base64': post(b'{"image": "\xc3\xa9\xc3\xa9\xc3\xa9"}'),
    'deep JSON': post(b'{"title":' * 200_000),
    'deep list': post(b'[' * 1_000_000),
    'NaN': post(b'{"title": NaN}'),
    'a number too long': post(b'{"top_k": ' + b'9' * 500_000 + b', "products": [{}]}'),
    'half JSON': post(b'{"title": "mu'),
    'UTF-16 that is none': post(b'\xff\xfe\x00'),
    'another type': post(b'<a/>', b'text/xml'),
    'no type': post(good, b''),
    'a form without a boundary': post(b'--x\r\n', b'multipart/form-data'),
    'a form that is cut off': post(b'--x\r\nContent-Disposition: form-data; name="title"\r\n\r\nmu', b'multipart/form-data; boundary=x'),
    'a field that is unknown': post(b'{"title": "mug", "__class__": "os.system"}'),
    'a local file': post(b'{"image_url": "file:///etc/passwd"}'),
    'a title that is no text': post(b'{"title": {"$gt": ""}}'),
    'a long title': post(b'{"title": "%s"}' % (b'm' * 5000)),
    'too many products': post(b'[%s]' % b','.join([good] * 100)),
    'nothing': post(b''),
    'a length that is too large': post(good).replace(b'Content-Length: 16', b'Content-Length: 99999999999999'),
    'a length that is none': post(good).replace(b'Content-Length: 16', b'Content-Length: -5'),
    'two lengths': post(good, more=b'Content-Length: 3\r\n'),
    'two framings': post(good, more=b'Transfer-Encoding: chunked\r\n'),
    'a path upwards': b'GET /../../etc/passwd HTTP/1.1\r\nHost: shop\r\nConnection: close\r\n\r\n',
    'a path in code': b'GET /%2e%2e/%2e%2e/etc/passwd HTTP/1.1\r\nHost: shop\r\nConnection: close\r\n\r\n',
    'a method that is unknown': b'BREW /predict HTTP/1.1\r\nHost: shop\r\nConnection: close\r\n\r\n',
    'a head that is too long': b'GET / HTTP/1.1\r\nHost: shop\r\nX: ' + b'x' * 200_000 + b'\r\n\r\n',
    'a line that breaks a header': b'GET / HTTP/1.1\r\nHost: shop\nX-Evil\x00: 1\r\n\r\n',
    'no host': b'GET /model HTTP/1.1\r\nConnection: close\r\n\r\n',
    'no HTTP': b'\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n',
}


def test_bad_weather(server, model):
    "Each gets a 4xx with one line that says nothing of the machine; the server lives; nothing is on disk"
    for name, request in bad_weather.items():
        answer = server.raw(request)
        status = answer[:12]
        assert re.fullmatch(rb'HTTP/1.1 4\d\d', status), (name, answer[:300])
        text = answer.partition(b'\r\n\r\n')[2]
        if b'application/json' in answer:
            text = json.loads(text)['error']['message'].encode()
        assert 5 < len(text) < 200 and b'\n' not in text, (name, text)
        for leak in (b'Traceback', b'.py', b'site-packages', b'/tmp', b'prodclf/', b'0x', b'passwd', b'Error'):
            assert leak not in answer, (name, answer)
    assert httpx.post(f'{server.url}/predict', json=dict(title='mug'), timeout=20).status_code == 200
    assert [p.name for p in server.scratch.iterdir()] == []


def test_too_much_is_not_read(server):
    "100 MB are refused from their length, and from what comes where no length is said"
    for body in (b' ' * 100_000_000, (b' ' * 100_000 for _ in range(1000))):
        answer = httpx.post(f'{server.url}/predict', content=body, headers={'Content-Type': 'application/json'}, timeout=30)
        assert (answer.status_code, answer.json()['error']['code']) == (413, 'too_large')


def test_slow_clients(server):
    "A body that does not come is 408 after the time-out; heads that do not come hold up nobody"
    slow = [socket.create_connection((server.place[1], int(server.place[2]))) for _ in range(30)]
    for s in slow:
        s.sendall(b'POST /predict HTT')
    begun = time.monotonic()
    with socket.create_connection((server.place[1], int(server.place[2])), 20) as s:
        s.sendall(post(good)[:-3])
        assert httpx.post(f'{server.url}/predict', json=dict(title='mug'), timeout=20).status_code == 200
        assert s.recv(65536).startswith(b'HTTP/1.1 408')
    assert 1.5 < time.monotonic() - begun < 15
    for s in slow:
        s.close()


def test_fuzz_over_the_document(model):
    "What the OpenAPI document allows is answered, what it forbids is refused, and every answer is as promised"
    schemathesis = pytest.importorskip('schemathesis')
    from hypothesis import HealthCheck, given, settings, strategies
    from schemathesis import checks
    from prodclf.serve.engine import TorchEngine
    from prodclf.serve.service import create_app

    files = [jpeg(size, kind=kind) for kind in ('JPEG', 'PNG') for size in ((1, 1), (300, 200))]
    schemathesis.openapi.format('image-base64', strategies.sampled_from([base64.b64encode(f).decode() for f in files]))
    engine = TorchEngine(model[0])
    engine.max_images = 3
    schema = schemathesis.openapi.from_asgi('/openapi.json', create_app(engine))
    operations = [o.ok() for o in schema.get_all_operations()]
    assert len(operations) == 6
    calls = []
    for operation in operations:
        for mode in schemathesis.GenerationMode:
            n = 12 if operation.path == '/predict' else 2

            @settings(max_examples=n, deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck))
            @given(case=operation.as_strategy(generation_mode=mode))
            def one(case):
                calls.append(case.method)
                # a form knows text only, numbers too, and no schema can say what is a photo
                in_form = getattr(case, 'media_type', None) == 'multipart/form-data'
                without = [checks.negative_data_rejection, checks.positive_data_acceptance] if in_form else []
                case.call_and_validate(excluded_checks=without)

            try:
                one()
            except Exception as e:
                if 'Unsatisfiable' not in type(e).__name__:  # nothing to make wrong in a path without parameters
                    raise
    assert calls.count('POST') >= 20


def test_the_end_under_load(image, tmp_path, surroundings):
    "SIGTERM while 16 clients ask: every request gets its answer, or was never taken; then the process is gone"
    served = Served(image[0] / 'model', tmp_path, surroundings, '--drain', 0.4, PYTHONPATH=image[1]).wait_ready()
    counts, halves, stop = dict(answered=0, refused=0), [], threading.Event()
    place = served.place[1], int(served.place[2])
    photo = as_json(jpeg((200, 200)))

    def client():
        while not stop.is_set():
            try:
                s = socket.create_connection(place, 20)
            except OSError:
                counts['refused'] += 1
                return
            with s:
                try:
                    s.sendall(post(photo))
                    answer = b''
                    while piece := s.recv(65536):
                        answer += piece
                except OSError as e:
                    answer = repr(e).encode()
            if answer.startswith(b'HTTP/1.1 200') and answer.endswith(b']}'):
                counts['answered'] += 1
            else:
                halves.append(answer)

    clients = [threading.Thread(target=client) for _ in range(16)]
    for c in clients:
        c.start()
    while counts['answered'] < 50:
        time.sleep(0.01)
    code, log = served.stop()
    for c in clients:
        c.join(30)
    stop.set()
    assert (code, halves) == (0, []) and counts['refused'] == 16
    assert log == '' and not list(served.scratch.iterdir())


def test_workers_and_keys(image, tmp_path, surroundings):
    "Two processes behind one address and one key; one that is killed is replaced; counters add up"
    keys = tmp_path / 'keys'
    keys.write_text('a-secret-key-of-this-shop\n')
    options = '--workers', 2, '--api-key-file', keys
    served = Served(image[0] / 'model', tmp_path, surroundings, *options, PYTHONPATH=image[1]).wait_ready()
    key = {'X-API-Key': 'a-secret-key-of-this-shop'}
    line = Path(f'/proc/{served.process.pid}/cmdline')
    assert not line.exists() or b'secret' not in line.read_bytes()
    assert httpx.post(f'{served.url}/predict', json=dict(title='mug'), timeout=20).status_code == 401

    def ask(i):
        return httpx.post(f'{served.url}/predict', json=dict(title=f'mug {i}'), headers=key, timeout=20).status_code

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(ask, range(40))) == {200}
    text = httpx.get(f'{served.url}/metrics', headers=key, timeout=20).text
    assert 'prodclf_requests_total{status="200"} 40.0' in text
    children = subprocess.run(['pgrep', '-P', str(served.process.pid)], capture_output=True, text=True).stdout.split()
    workers = [p for p in map(int, children) if b'spawn_main' in Path(f'/proc/{p}/cmdline').read_bytes()]
    assert len(workers) == 2
    os.kill(workers[0], signal.SIGKILL)
    assert 'another takes its place' in served.process.stderr.readline()
    assert ask(1) == 200
    code, _ = served.stop()
    assert code == 0
    with pytest.raises(httpx.ConnectError):
        ask(2)


def test_what_lives_as_long_as_the_server_is_no_garbage():
    "While requests are taken, the garbage collector leaves alone what was there before; afterwards nothing is changed"
    from prodclf.serve.server import open_socket, run_server
    from prodclf.serve.service import create_app

    class Sure:
        classes, paths, views, threshold, card = ['Mugs'], None, ('text',), 0.0, {}

        def predict(self, products):
            return np.ones((len(products), 1), np.float32), dict(text=np.ones((len(products), 1), np.float32))

    def look():
        frozen.append(gc.get_freeze_count())
        os.kill(os.getpid(), signal.SIGTERM)

    frozen, handler = [], signal.getsignal(signal.SIGTERM)
    run_server(create_app(Sure()), open_socket('127.0.0.1', 0), ready=look, drain=0.0)
    assert frozen[0] > 10_000 and gc.get_freeze_count() == 0
    assert signal.getsignal(signal.SIGTERM) is handler
