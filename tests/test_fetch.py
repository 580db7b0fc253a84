"""The downloader as a process: killed at any moment, on a full or read-only disk, in a folder that is in use. Only 127.0.0.1 is asked."""
import json, os, random, re, shutil, signal, ssl, subprocess, sys, threading, time
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

import prodclf.data.web
from prodclf.core import ProdclfError
from prodclf.data.download import Remote, fetch
from prodclf.data.published import fetch_command

kills = int(os.environ.get('PRODCLF_KILLS', 5))


class Handler(BaseHTTPRequestHandler):
    "Serves `server.files` with Range and If-Range, slowly if told so, after what `server.before` says"
    protocol_version = 'HTTP/1.1'

    def log_message(self, *_): pass

    def do_GET(self):
        name = self.path.lstrip('/')
        with self.server.watch:
            n = self.server.asked[name] = self.server.asked.get(name, 0) + 1
        try:
            if self.server.before and self.server.before(self, name, n): return
            self.whole(self.server.files.get(name))
        except OSError: pass

    def answer(self, code, raw=b'', **headers):
        self.send_response(code)
        for k, v in {'Content-Length': len(raw), **headers}.items(): self.send_header(k.replace('_', '-'), str(v))
        self.end_headers(); self.wfile.write(raw)

    def whole(self, raw, etag='"1"'):
        if raw is None: return self.answer(404)
        asked = re.match(r'bytes=(\d+)-', self.headers.get('Range', ''))
        if asked and self.headers.get('If-Range', etag) != etag: asked = None
        start = int(asked[1]) if asked else 0
        if asked and start >= len(raw): return self.answer(416, Content_Range=f'bytes */{len(raw)}')
        self.send_response(206 if asked else 200)
        self.send_header('ETag', etag); self.send_header('Content-Length', str(len(raw)-start))
        if asked: self.send_header('Content-Range', f'bytes {start}-{len(raw)-1}/{len(raw)}')
        self.end_headers()
        for i in range(start, len(raw), 1 << 14):
            self.wfile.write(raw[i:min(len(raw), i+(1 << 14))])
            if self.server.pause: time.sleep(self.server.pause)


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, files, before=None, pause=0):
        super().__init__(('127.0.0.1', 0), Handler)
        self.files, self.before, self.pause, self.asked, self.watch = files, before, pause, {}, threading.Lock()
        threading.Thread(target=self.serve_forever, kwargs=dict(poll_interval=.01), daemon=True).start()

    def handle_error(self, *_): pass

    def plan(self): return [Remote(f'http://127.0.0.1:{self.server_port}/{n}', n) for n in self.files]


@pytest.fixture
def serve():
    servers = []
    def start(*args, **kwargs): servers.append(Server(*args, **kwargs)); return servers[-1]
    yield start
    for s in servers: s.shutdown(); s.server_close()


def content(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(Path(folder).rglob('*')) if p.is_file() and p.name != '.fetched.lock'}


quick = dict(allow_private=True, wait=.01, delay=0)
script = '''
import json, sys
from prodclf.data.download import Remote, fetch
plan = [Remote(*r) for r in json.loads(sys.argv[1])]
print('ready', flush=True)
got = fetch(plan, sys.argv[2], workers=3, allow_private=True, wait=.01, delay=0)
print(got); got.check()
'''


def default_interrupt():
    "In the child: what was started in the background of a shell has inherited that Ctrl-C is ignored"
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def process(plan, folder):
    return subprocess.Popen([sys.executable, '-c', script, json.dumps(plan), str(folder)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                            env={**os.environ, 'PRODCLF_QUIET': '1', 'OMP_NUM_THREADS': '1'}, preexec_fn=default_interrupt)


def test_killed_at_random_moments(serve, tmp_path):
    "SIGKILL, then the same call again, as often as it takes: the same bytes as a run that was left alone"
    draw = random.Random(0)
    server = serve({f'{i // 4}/{i}.bin': draw.randbytes(draw.choice([0, 1, 70_000, 400_000])) for i in range(24)}, pause=.001)
    fetch(server.plan(), tmp_path/'calm', workers=3, **quick).check()
    calm, done = content(tmp_path/'calm'), 0
    assert {n: calm[n] for n in server.files} == server.files
    folder, rounds = tmp_path/'killed0', 0
    while done < kills:
        p = process(server.plan(), folder)
        assert p.stdout.readline() == 'ready\n'
        try: p.wait(draw.uniform(0, .6))
        except subprocess.TimeoutExpired: p.send_signal(signal.SIGKILL); done += 1
        out, err = p.communicate(timeout=60)
        if p.returncode == 0:      # it was quicker than the kill: compare, and begin anew
            assert content(folder) == calm
            rounds += 1; folder = tmp_path/f'killed{rounds}'
        else: assert p.returncode == -signal.SIGKILL, err
        for name, raw in content(folder).items():      # never a wrong file under a right name
            if name in server.files: assert raw == server.files[name]
    p = process(server.plan(), folder)
    out, err = p.communicate(timeout=120)
    assert p.returncode == 0, err
    assert content(folder) == calm


def test_every_row_is_accounted_for(serve, tmp_path):
    draw = random.Random(1)
    def before(h, name, n):
        kind = int(name) % 7
        if kind == 1 and n == 1: h.answer(500); return True
        if kind == 2 and n == 1: h.answer(429, Retry_After='0'); return True
        if name == '3' and n == 1: h.answer(429, Retry_After=formatdate(time.time()+1, usegmt=True)); return True
        if kind == 4: h.answer(404); return True
        if kind == 5 and n == 1: h.send_response(200); h.send_header('Content-Length', '70000'); h.end_headers(); h.wfile.write(b'x'*100); h.close_connection = True; return True
    server = serve({str(i): draw.randbytes(70_000) for i in range(70)}, before)
    got = fetch(server.plan(), tmp_path, workers=8, **quick)
    assert [r.name for r in got.rows] == list(server.files)
    assert [r.name for r in got.failed] == [str(i) for i in range(70) if i % 7 == 4] and {r.reason for r in got.failed} == {'404 Not Found'}
    assert all((tmp_path/r.name).read_bytes() == server.files[r.name] for r in got.rows if r.state == 'fetched')
    with pytest.raises(ProdclfError, match='10 of 70 files could not be fetched; 4: 404 Not Found'): got.check()
    assert set(content(tmp_path)) == {r.name for r in got.rows if r.state == 'fetched'} | {'fetched.jsonl'}


def test_changed_between_two_calls(serve, tmp_path):
    "A piece of the old version never ends up in the new one, with a server that knows If-Range and with one that does not"
    for kind in ('knows', 'ignores'):
        old, new = b'o'*200_000, b'n'*200_000
        def before(h, name, n, kind=kind):
            if n == 1: h.send_response(200); h.send_header('ETag', '"old"'); h.send_header('Content-Length', '200000'); h.end_headers(); h.wfile.write(old[:90_000]); h.close_connection = True; return True
            if kind == 'ignores' and h.headers.get('If-Range'): del h.headers['If-Range']
            h.whole(new, '"new"'); return True
        server, folder = serve({'f': new}, before), tmp_path/kind
        assert fetch(server.plan(), folder, tries=1, **quick).count('failed') == 1
        assert (folder/'f.part').read_bytes() == old[:90_000]
        fetch(server.plan(), folder, **quick).check()
        assert (folder/'f').read_bytes() == new and set(content(folder)) == {'f', 'fetched.jsonl'}


@pytest.mark.parametrize('target', ['http://10.0.0.1/', 'http://169.254.169.254/latest', 'http://[::1]/', 'file:///etc/passwd', 'ftp://127.0.0.1/x', '//10.9.9.9/x', 'http://127.0.0.2/'])
def test_redirect_inwards(serve, tmp_path, monkeypatch, target):
    "127.0.0.1 counts as public here, and nothing else: no connection is made to where the redirect leads"
    monkeypatch.setattr(prodclf.data.web, 'is_public', lambda a: a == '127.0.0.1')
    server = serve({'f': b''}, lambda h, name, n: h.answer(302, Location=target) or True)
    row, = fetch(server.plan(), tmp_path, wait=.01).rows
    assert row.state == 'failed' and ('private address' in row.reason or 'is refused' in row.reason), row.reason
    assert server.asked == {'f': 1} and set(content(tmp_path)) == {'fetched.jsonl'}


def test_looked_up_once(tmp_path, monkeypatch):
    "A name that turns private at the second look-up is refused at the connection"
    answers = iter(['93.184.215.14'])
    def look(host, port, *args, **kwargs): return [(2, 1, 6, '', (next(answers, '127.0.0.1'), port))]
    import socket
    monkeypatch.setattr(socket, 'getaddrinfo', look)
    assert prodclf.data.web.addresses('evil.example', 80) == ['93.184.215.14']
    row, = fetch([Remote('http://evil.example/f', 'f')], tmp_path, wait=.01).rows
    assert 'evil.example has the private address 127.0.0.1' in row.reason


@pytest.fixture
def small_disk(tmp_path):
    "A file system of one megabyte"
    disk = tmp_path/'disk'; disk.mkdir()
    if subprocess.run(['mount', '-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', str(disk)], capture_output=True).returncode: pytest.skip('needs the right to mount a tmpfs')
    yield disk
    subprocess.run(['umount', '-l', str(disk)], check=True)


def test_full_disk(serve, tmp_path, small_disk):
    "One line that says what is missing; what arrived is kept, and with room again only the rest is asked for"
    server = serve({'a': os.urandom(700_000)})
    ballast = small_disk/'ballast'; ballast.write_bytes(bytes(600_000))
    with pytest.raises(ProdclfError, match=r'^a: the disk is full; [\d,]+ bytes of it are missing, [\d,]+ are kept\. Remedy: make room') as e: fetch(server.plan(), small_disk/'out', **quick)
    assert '\n' not in str(e.value)
    kept = (small_disk/'out'/'a.part').stat().st_size
    assert kept > 100_000
    ballast.unlink()
    fetch(server.plan(), small_disk/'out', **quick).check()
    fetch(server.plan(), tmp_path/'calm', **quick).check()
    assert content(small_disk/'out') == content(tmp_path/'calm')


def test_read_only_folder(serve, small_disk):
    subprocess.run(['mount', '-o', 'remount,ro', str(small_disk)], check=True)
    with pytest.raises(ProdclfError, match='cannot be written .*Remedy: a folder that can be written'): fetch(serve({'a': b'x'}).plan(), small_disk/'out', **quick)


def test_two_processes_one_folder(serve, tmp_path):
    hold = threading.Event()
    server = serve({'a': b'x'*1000}, lambda h, name, n: hold.wait(60) and None)
    p = process(server.plan(), tmp_path/'out')
    try:
        while not server.asked and p.poll() is None: time.sleep(.05)
        with pytest.raises(ProdclfError, match='another process is fetching into this folder'): fetch(server.plan(), tmp_path/'out', **quick)
    finally: hold.set()
    out, err = p.communicate(timeout=60)
    assert p.returncode == 0 and (tmp_path/'out'/'a').read_bytes() == b'x'*1000, err


def test_interrupted(serve, tmp_path):
    "Ctrl-C ends the run soon, keeps the pieces, and the next call goes on"
    server = serve({'a': os.urandom(2_000_000)}, pause=.2)
    p = process(server.plan(), tmp_path/'out')
    while not (part := tmp_path/'out'/'a.part').exists() or part.stat().st_size < 100_000:
        assert p.poll() is None, p.communicate(); time.sleep(.02)
    p.send_signal(signal.SIGINT)
    out, err = p.communicate(timeout=60)
    assert p.returncode != 0 and part.stat().st_size >= 100_000
    server.pause = 0
    fetch(server.plan(), tmp_path/'out', **quick).check()
    assert (tmp_path/'out'/'a').read_bytes() == server.files['a']


@pytest.mark.skipif(not shutil.which('openssl'), reason='needs openssl to make a certificate')
def test_https(serve, tmp_path, monkeypatch):
    "The name is what the certificate is held against, though the connection goes to the address that was checked"
    cert, key = tmp_path/'cert.pem', tmp_path/'key.pem'
    subprocess.run(['openssl', 'req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', '-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost', '-keyout', key, '-out', cert],
                   check=True, capture_output=True)
    server = serve({'f': b'secret'*100, 'down': b''}, lambda h, name, n: name == 'down' and (h.answer(302, Location='http://127.0.0.1:9/f') or True))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER); context.load_cert_chain(cert, key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    def ask(host, name, out): return fetch([Remote(f'https://{host}:{server.server_port}/{name}', name)], tmp_path/out, tries=2, **quick).rows[0]
    monkeypatch.delenv('REQUESTS_CA_BUNDLE', raising=False)
    assert 'certificate' in ask('localhost', 'f', 'unknown').reason
    monkeypatch.setenv('REQUESTS_CA_BUNDLE', str(cert))
    row = ask('localhost', 'f', 'known')
    assert row.state == 'fetched', row.reason
    assert (tmp_path/'known'/'f').read_bytes() == b'secret'*100
    assert 'certificate' in ask('127.0.0.1', 'f', 'other').reason
    assert 'from https to http' in ask('localhost', 'down', 'known').reason


def test_command(serve, tmp_path, capsys):
    server = serve({'meta_Appliances.jsonl': b'{"title": "a"}\n'})
    base = f'http://127.0.0.1:{server.server_port}'
    assert fetch_command('amazon-reviews', tmp_path, base_url=base, categories=['Appliances'], **quick) == 0
    assert fetch_command('amazon-reviews', tmp_path, base_url=base+'/', categories=['Appliances', 'Books'], tries=2, **quick) == 1
    metrics = json.loads((tmp_path/'metrics.json').read_text())
    assert (metrics['files'], metrics['fetched'], metrics['there'], metrics['bytes']) == (2, 0, 1, 15) and metrics['failed'][0]['reason'] == '404 Not Found'
    assert 'meta_Books.jsonl: 404 Not Found' in capsys.readouterr().out
