"""Preparing as a process: killed at any moment, on a full, read-only or vanishing disk, with a source that changes, in a folder that is in use.

More kills by hand: PRODCLF_KILLS=30 pytest tests/test_prepare.py"""
import gzip, io, json, os, random, shutil, signal, subprocess, sys, time
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import pytest
from PIL import Image

from prodclf.core import ProdclfError
from prodclf.data.dataset import ProductDataset
from prodclf.data.prepare import PrepareConfig, make_part, prepare

kills = int(os.environ.get('PRODCLF_KILLS', 2))
config = PrepareConfig(part_rows=32, longest=64)
linux = pytest.mark.skipif(not sys.platform.startswith('linux'), reason='reads /proc')

script = '''
import sys
from prodclf.core import ProdclfError
from prodclf.data.prepare import PrepareConfig, prepare
source, out, workers, part_rows, longest = sys.argv[1:6]
print('ready', flush=True)
try: prepare(source, out, config=PrepareConfig(part_rows=int(part_rows), longest=int(longest)), workers=int(workers))
except ProdclfError as e: sys.exit(f'prodclf: {e}')
print('done ' + next((l.split()[1] for l in open('/proc/self/status') if l.startswith('VmHWM')), ''), flush=True)
'''
quiet = {**os.environ, 'PRODCLF_QUIET': '1', 'OMP_NUM_THREADS': '1'}


def default_interrupt():
    "In the child: what was started in the background of a shell has inherited that Ctrl-C is ignored"
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def process(source, out, workers=1, part_rows=config.part_rows, longest=config.longest):
    p = subprocess.Popen([sys.executable, '-c', script, *map(str, (source, out, workers, part_rows, longest))], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True, env=quiet, preexec_fn=default_interrupt)
    assert p.stdout.readline() == 'ready\n', p.communicate()
    return p


def content(folder): return {str(f.relative_to(folder)): f.read_bytes() for f in sorted(Path(folder).rglob('*')) if f.is_file()}


def one_line(text, *parts):
    lines = str(text).strip().splitlines()
    assert len(lines) == 1 and 'Remedy: ' in lines[0], text
    for part in parts: assert part in lines[0], text


def refuses(call, *parts):
    with pytest.raises(ProdclfError) as e: call()
    one_line(e.value, *parts)


def jpeg(i, side=120, **options):
    "A picture of its own for every number"
    r = np.random.default_rng(i)
    im = Image.fromarray((r.random((6, 6, 3))*250).astype('uint8')).resize((side, side*3//4), Image.Resampling.BICUBIC)
    im.save(out := io.BytesIO(), 'JPEG', **options)
    return out.getvalue()


def write_shop(folder, n=200):
    "A table with pictures in files; every kind of dirt"
    (folder/'images').mkdir(parents=True)
    for i in range(0, n, 2): (folder/'images'/f'{i}.jpg').write_bytes(jpeg(i//6, quality=85 - i % 3))
    (folder/'images'/'10.jpg').write_bytes(b'<html>404</html>'); (folder/'images'/'20.jpg').write_bytes(jpeg(20)[:900]); (folder/'images'/'30.jpg').write_bytes(b''); (folder/'images'/'40.jpg').unlink()
    rows = [f'p{i},Mug &amp; saucer {i} – café,"<p>Stoneware, No. {i % 50}</p>",{("Mugs", "Pots", "Pans")[i % 3]},{f"{i}.jpg" if i % 2 == 0 else ""}' for i in range(n)]
    rows[50] = 'p50,too,many,fields,in,this,row'; rows[60] = 'p60,"no end,x,Mugs,'; rows[70] = rows[71].replace('p71', 'p3'); rows[80] = 'p80,No label,x,,80.jpg'; rows[81] = 'p81,,,Mugs,'; rows[90] = 'p90,Away,x,Mugs,../../etc/passwd'
    (folder/'products.csv').write_text('\n'.join(['id,title,description,category,image', *rows]), encoding='utf-8')
    return folder


def write_reviews(folder, n=150):
    "Item metadata in the form of Amazon Reviews 2023, in two compressed files; the second is torn"
    folder.mkdir(parents=True)
    def item(i): return json.dumps(dict(main_category='Home', title=f'Lamp {i}', features=[f'Made of <b>oak</b> {i % 40}'], description=['Soft light – für alle'], images=[dict(large=f'https://i.example/{i}.jpg', hi_res=None, thumb='')], categories=['Home', f'Kind {i % 5}'], parent_asin=f'B{i}')).encode()
    for k,name in enumerate('AB'):
        lines = [item(k*n + i) for i in range(n)]
        lines[7] = b'{"parent_asin": "B'; lines[8] = b'\xff\xfe'; lines[9] = item(k*n); lines[10] = b'[1, 2]'; lines[11] = b'{"parent_asin": 7}'; lines[12] = item(k*n + 12).replace(b'"categories": ["Home"', b'"categories": [3')
        raw = gzip.compress(b'\n'.join(lines), mtime=0)
        (folder/f'meta_{name}.jsonl.gz').write_bytes(raw if k == 0 else raw[:-300])
    return folder


@pytest.fixture(scope='module', params=['shop', 'reviews'])
def made(request, tmp_path_factory):
    "(source, what a run that was left alone makes of it)"
    folder = tmp_path_factory.mktemp(request.param)
    source = dict(shop=write_shop, reviews=write_reviews)[request.param](folder/'raw')
    found = prepare(source, folder/'calm', config=config, workers=1)
    m = found.manifest
    assert m['rows'] == m['products'] + m['quarantined'] == dict(shop=200, reviews=m['rows'])[request.param] and m['quarantined'] > 6 and len(found.parts) > 5
    assert len(pd.read_parquet(folder/'calm'/'quarantine.parquet')) == m['quarantined']
    return source, content(folder/'calm')


@pytest.fixture(scope='module')
def shop(tmp_path_factory):
    folder = tmp_path_factory.mktemp('shop')
    source = write_shop(folder/'raw')
    prepare(source, folder/'calm', config=config, workers=1)
    return source, content(folder/'calm')


@pytest.fixture(scope='module')
def slow(tmp_path_factory):
    "A source that takes some seconds: every row shows the same large picture"
    folder = tmp_path_factory.mktemp('slow')/'raw'
    (folder/'images').mkdir(parents=True)
    Image.new('RGB', (4000, 4000), 'navy').save(folder/'images'/'large.png')
    pd.DataFrame(dict(id=[f'p{i}' for i in range(16)], title=[f'Mug {i}' for i in range(16)], category='Mugs', image='large.png')).to_csv(folder/'products.csv', index=False)
    return folder


# ---- kills ------------------------------------------------------------------------------------------------

def session(leader):
    "The living processes of a session"
    found = []
    for p in psutil.process_iter():
        try:
            if os.getsid(p.pid) == leader and p.status() != psutil.STATUS_ZOMBIE: found.append(p)
        except (ProcessLookupError, psutil.Error): pass
    return found


def all_gone(leader, seconds=20):
    end = time.monotonic() + seconds
    while left := session(leader):
        assert time.monotonic() < end, f'still there: {[p.cmdline() for p in left]}'
        time.sleep(.02)


@linux
@pytest.mark.parametrize('workers', [1, 2])
def test_killed_at_random_moments(made, tmp_path, workers):
    "SIGKILL for the process that was started, its workers left to themselves; the same call again, as often as it takes"
    (source, calm), draw, made_kills, rounds, folder = made, random.Random(workers), 0, 0, tmp_path/'0'
    start = time.perf_counter(); p = process(source, tmp_path/'timed', workers); took = 0
    out, err = p.communicate(timeout=300); took = time.perf_counter() - start
    assert p.returncode == 0 and content(tmp_path/'timed') == calm, err
    while made_kills < kills:
        p = process(source, folder, workers)
        try: p.wait(draw.uniform(0, took))
        except subprocess.TimeoutExpired: p.send_signal(signal.SIGKILL); made_kills += 1
        p.wait(); all_gone(p.pid)
        out, err = p.communicate(timeout=60)
        if p.returncode == 0:      # it was quicker than the kill: compare, and begin anew
            assert content(folder) == calm
            rounds += 1; folder = tmp_path/str(rounds)
        else: assert p.returncode == -signal.SIGKILL, err
    p = process(source, folder, workers)
    out, err = p.communicate(timeout=300)
    assert p.returncode == 0, err
    assert content(folder) == calm


steps = '''
import os, signal, sys
from pathlib import Path
from prodclf.data.prepare import PrepareConfig, prepare
source, out, every, part_rows, longest = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]), int(sys.argv[5])
kinds = ('open', 'os.rename', 'os.remove', 'os.mkdir', 'os.rmdir')
def child(folder, wait):
    "Prepare; end at the step number `wait` that touches the folder"
    left, mark = [wait], str(folder)
    def watch(event, args):
        if event in kinds and args and mark in str(args[0]) + str(args[1] if event == 'os.rename' else ''):
            left[0] -= 1
            if left[0] == 0: os.kill(os.getpid(), signal.SIGKILL)
    pid = os.fork()
    if pid == 0:
        sys.addaudithook(watch)
        try: prepare(source, folder, config=PrepareConfig(part_rows=part_rows, longest=longest), workers=1); os._exit(0)
        except BaseException as e: print(repr(e), file=sys.stderr, flush=True); os._exit(3)
    return os.waitpid(pid, 0)[1]
def content(folder): return {str(f.relative_to(folder)): f.read_bytes() for f in sorted(folder.rglob('*')) if f.is_file()}
assert child(out/'calm', 0) == 0
calm, made, at = content(out/'calm'), 0, 1
while True:
    status = child(out/str(at), at)
    if not os.WIFSIGNALED(status): assert status == 0; break
    assert child(out/str(at), 0) == 0, at
    assert content(out/str(at)) == calm, at
    made += 1; at += every
print(f'{made} kills in {at} steps')
'''


@linux
def test_killed_before_every_step(shop, tmp_path):
    "Before every n-th file that is opened, made, renamed or removed"
    every = 1 if kills >= 30 else 17
    done = subprocess.run([sys.executable, '-c', steps, str(shop[0]), str(tmp_path), str(every), '67', '64'], env=quiet, capture_output=True, text=True, timeout=3000)
    assert done.returncode == 0, done.stderr[-3000:]
    print(done.stdout)
    assert int(done.stdout.split()[0]) > 60/every, done.stdout


@linux
def test_a_killed_worker(slow, tmp_path):
    "One clear line, nobody left behind, finished parts kept, and the next run ends as if nothing had been"
    p = process(slow, tmp_path/'out', workers=2, part_rows=2)
    entries = lambda: {f: f.stat().st_mtime_ns for f in (tmp_path/'out'/'work').glob('part-*.json')}
    while not entries(): assert p.poll() is None, p.communicate(); time.sleep(.02)
    workers = [c for c in psutil.Process(p.pid).children() if 'spawn_main' in ' '.join(c.cmdline())]
    workers[0].kill()
    out, err = p.communicate(timeout=120)
    all_gone(p.pid)
    assert p.returncode == 1; one_line(err, 'prodclf: a worker was killed', 'fewer --workers')
    kept = entries()
    assert 0 < len(kept) < 8
    p = process(slow, tmp_path/'out', workers=2, part_rows=2); out, err = p.communicate(timeout=120)
    assert p.returncode == 0, err
    prepare(slow, tmp_path/'calm', config=PrepareConfig(part_rows=2, longest=config.longest), workers=1)
    assert content(tmp_path/'out') == content(tmp_path/'calm')


@linux
def test_interrupted(slow, tmp_path):
    "Ctrl-C reaches every process of a terminal; it ends soon, with nobody left behind, and the next call goes on"
    p = process(slow, tmp_path/'out', workers=2, part_rows=2)
    while not list((tmp_path/'out'/'work').glob('part-*.json')): assert p.poll() is None, p.communicate(); time.sleep(.02)
    os.killpg(p.pid, signal.SIGINT)
    p.communicate(timeout=60); all_gone(p.pid)
    assert p.returncode != 0
    before = {f.name: f.stat().st_mtime_ns for f in (tmp_path/'out'/'work').glob('part-*.json')}
    assert before and prepare(slow, tmp_path/'out', config=PrepareConfig(part_rows=2, longest=config.longest), workers=1).manifest['rows'] == 16


@linux
def test_two_processes_one_folder(slow, tmp_path):
    p = process(slow, tmp_path/'out', part_rows=2)
    while not (tmp_path/'out'/'work'/'run.json').exists(): assert p.poll() is None, p.communicate(); time.sleep(.02)
    again = process(slow, tmp_path/'out', part_rows=2)
    out, err = again.communicate(timeout=60)
    assert again.returncode == 1; one_line(err, 'prodclf: ', 'another process is preparing this catalog')
    p.kill(); p.communicate()
    assert len(prepare(slow, tmp_path/'out', config=PrepareConfig(part_rows=2, longest=config.longest), workers=1)) == 16


# ---- disks ------------------------------------------------------------------------------------------------

def mount(*words): return subprocess.run(['mount', *map(str, words)], capture_output=True).returncode


@pytest.fixture
def disk(tmp_path):
    "(folder of a file system of its own, function that gives it so many KB)"
    folder = tmp_path/'disk'; folder.mkdir()
    if not shutil.which('mount') or mount('-t', 'tmpfs', '-o', 'size=64k', 'tmpfs', folder): pytest.skip('needs the right to mount a tmpfs')
    def size(kb):
        assert not mount('-o', f'remount,size={kb}k', folder)
    yield folder, size
    subprocess.run(['umount', '-l', str(folder)], check=True)


def test_full_disk(made, disk):
    "A little more room each time, so that it runs full at every kind of file: one line, nothing lost, in the end the same bytes"
    (source, calm), (folder, size), room, met = made, disk, 4, []
    step = max(4, sum(map(len, calm.values()))//(100_000 if kills >= 30 else 20_000))   # KB: 20 or 100 steps and more
    while True:
        size(room)
        try: prepare(source, folder/'out', config=config, workers=1); break
        except ProdclfError as e: one_line(e, str(folder/'out'), 'the disk is full', 'finished parts are kept')
        refuses(lambda: ProductDataset(folder/'out'), 'Remedy: prodclf prepare')
        assert not list(folder.rglob('*.part'))
        met.append(len(list(folder.rglob('part-*.json')))); room += step
        assert room < 4000
    assert content(folder/'out') == calm
    assert len(met) > 8 and met == sorted(met) and len(set(met)) > 3, met


def test_full_from_the_start(made, disk):
    "A disk that runs full at any place of an unbroken run; then there is room"
    (source, calm), (folder, size) = made, disk
    size(4000); prepare(source, folder/'x', config=config, workers=1); shutil.rmtree(folder/'x')
    for room in range(4, 400, 12 if kills >= 30 else 60):
        size(room)
        try: prepare(source, folder/'out', config=config, workers=1)
        except ProdclfError as e: one_line(e, 'the disk is full')
        size(4000)
        prepare(source, folder/'out', config=config, workers=1)
        assert content(folder/'out') == calm, room
        shutil.rmtree(folder/'out')


def test_full_disk_with_workers(shop, disk):
    (source, calm), (folder, size) = shop, disk
    size(150)
    p = process(source, folder/'out', workers=2); out, err = p.communicate(timeout=120)
    assert p.returncode == 1; one_line(err, 'prodclf: ', 'the disk is full')
    size(4000)
    p = process(source, folder/'out', workers=2); out, err = p.communicate(timeout=120)
    assert p.returncode == 0 and content(folder/'out') == calm, err


def doing(then, at):
    "A runner that does something after so many parts"
    def run(jobs, work, config, folder):
        for i,job in enumerate(jobs):
            if i == at: then()
            yield make_part(job, work, config, folder)
    return run


def test_read_only_disk(shop, disk):
    "From the start, half-way, and when all is done: then nothing has to be written"
    (source, calm), (folder, size) = shop, disk
    size(4000); (folder/'out').mkdir()
    def read_only():      # a second, read-only mount on top: works with files open, as when a damaged disk turns read-only
        assert not mount('--bind', folder, folder) and not mount('-o', 'remount,ro,bind', folder)
    def writable(): subprocess.run(['umount', '-l', str(folder)], check=True)
    read_only(); refuses(lambda: prepare(source, folder/'out', config=config, workers=1), str(folder/'out'), 'cannot be written')
    writable()
    refuses(lambda: prepare(source, folder/'out', config=config, runner=doing(read_only, 2)), 'cannot be written')
    refuses(lambda: prepare(source, folder/'out', config=config, workers=1), 'cannot be written')
    assert len(list((folder/'out'/'work').glob('part-*.json'))) == 2
    writable(); prepare(source, folder/'out', config=config, workers=1)
    read_only(); assert len(prepare(source, folder/'out', config=config, workers=1)) > 0
    assert content(folder/'out') == calm
    writable()


def test_the_catalog_goes_away(shop, tmp_path):
    "Somebody deletes the folder half-way"
    source, calm = shop
    refuses(lambda: prepare(source, tmp_path/'out', config=config, runner=doing(lambda: shutil.rmtree(tmp_path/'out'), 2)), 'has gone away')
    prepare(source, tmp_path/'out', config=config, workers=1)
    assert content(tmp_path/'out') == calm


# ---- sources ----------------------------------------------------------------------------------------------

def test_pictures_unmounted(shop, tmp_path):
    "A share that goes away leaves an empty folder behind: the run stops, and does not send the rest into the quarantine"
    source, calm = tmp_path/'raw', shop[1]
    shutil.copytree(shop[0], source); os.rename(source/'images', tmp_path/'share'); (source/'images').mkdir()
    if not shutil.which('mount') or mount('--bind', tmp_path/'share', source/'images'): pytest.skip('needs the right to mount')
    unmount = lambda: subprocess.run(['umount', '-l', str(source/'images')], check=True)
    refuses(lambda: prepare(source, tmp_path/'out', config=config, runner=doing(unmount, 2)), 'the images have gone away')
    refuses(lambda: prepare(source, tmp_path/'out', config=config, workers=1), 'the images have gone away')
    (source/'images').rmdir()
    refuses(lambda: prepare(source, tmp_path/'out', config=config, workers=1), 'the images have gone away')
    os.rename(tmp_path/'share', source/'images')
    assert len(prepare(source, tmp_path/'out', config=config, workers=1)) and content(tmp_path/'out') == calm


@pytest.mark.parametrize('what', ['removed', 'cut off', 'grown', 'folder removed'])
@pytest.mark.parametrize('kind', ['csv', 'jsonl', 'jsonl.gz', 'parquet'])
def test_a_source_that_changes(tmp_path, kind, what):
    "While it is read: one line; when it is back, the same bytes as ever"
    source = tmp_path/'raw'; source.mkdir()
    table = pd.DataFrame(dict(id=[f'p{i}' for i in range(3000)], title=[f'Mug {i} '*9 for i in range(3000)], category=[f'C{i % 9}' for i in range(3000)]))
    if kind == 'parquet':
        for k in range(2): table[k*1500:(k+1)*1500].to_parquet(source/f'{k}.parquet', row_group_size=200)
        file = source/'1.parquet'
    else:
        file = source/f'products.{kind}'
        table.to_csv(file, index=False) if kind == 'csv' else table.to_json(file, orient='records', lines=True)
    shutil.copytree(source, tmp_path/'safe'); whole, few = file.read_bytes(), PrepareConfig(part_rows=400)
    prepare(source, tmp_path/'calm', config=few, workers=1)
    def spoil():
        if what == 'removed': file.unlink()
        elif what == 'folder removed': shutil.rmtree(source)
        else: file.write_bytes(whole[:len(whole)//2] if what == 'cut off' else whole + whole[-50:])
    refuses(lambda: prepare(source, tmp_path/'out', config=few, runner=doing(spoil, 2)))
    assert (tmp_path/'out'/'work').is_dir() and not (tmp_path/'out'/'manifest.json').exists()
    refuses(lambda: prepare(source, tmp_path/'out', config=few, workers=1)) if what != 'removed' or kind != 'parquet' else None
    shutil.rmtree(source, ignore_errors=True); shutil.copytree(tmp_path/'safe', source)
    prepare(source, tmp_path/'out', config=few, workers=1)
    assert content(tmp_path/'out') == content(tmp_path/'calm')


# ---- memory -----------------------------------------------------------------------------------------------

@linux
def test_memory_is_flat(tmp_path):
    "Three times the rows, the same peak"
    peaks = []
    for rows in (50_000, 150_000):
        file = tmp_path/f'{rows}.csv'
        with open(file, 'w') as f:
            f.write('id,title,description,category\n')
            for i in range(rows): f.write(f'p{i},Mug number {i},Stoneware of the kind {i % 997} with a handle and a saucer,C{i % 500}\n')
        p = process(file, tmp_path/f'out-{rows}', part_rows=8192); out, err = p.communicate(timeout=600)
        assert p.returncode == 0, err
        assert ProductDataset(tmp_path/f'out-{rows}').manifest['products'] == rows
        peaks.append(int(out.split()[-1])/1024)
    print(f'peak {peaks[0]:.0f} and {peaks[1]:.0f} MB')
    assert peaks[1] < 1.15*peaks[0], peaks
