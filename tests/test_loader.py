"""The loader of vectors as processes: ranks that share an epoch, kills in the middle of one, and memory that does not grow with the catalog."""
import json, os, signal, subprocess, sys, time

import numpy as np
import pytest

kills = int(os.environ.get('PRODCLF_KILLS', 2))      # more by hand: PRODCLF_KILLS=30 pytest tests/test_loader.py
quiet = {**os.environ, 'OMP_NUM_THREADS': '1', 'OMP_WAIT_POLICY': 'PASSIVE'}
rows, width = 5003, 16

trainer = '''
import json, sys, time
from pathlib import Path
import numpy as np
from prodclf.core import write_json
from prodclf.encoders.vectors import DiskRows
from prodclf.models.loader import EmbeddingLoader
folder, out, rank, world, pause = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]), float(sys.argv[5])
y, at = np.load(folder/'y.npy'), np.load(folder/'at.npy')
dl = EmbeddingLoader({'text': DiskRows(folder/'rows.f16', 16, at)}, None, y, bs=64, shuffle=True, buffer=1024, rank=rank, world=world)
state, log = out/f'state{rank}.json', out/f'given{rank}.txt'
done = json.loads(state.read_text()) if state.exists() else dict(loader=dl.state(), bytes=0)
dl.resume(done['loader'])
with open(log, 'a+') as f:
    f.truncate(done['bytes'])                                  # what was given after the last state is given again
    while dl.state()['epoch'] < 2:
        for x,_,y in dl:
            assert (1000*x['text'][:,0].int() + x['text'][:,1].int() == y).all()           # the numbers belong to the row
            f.write(json.dumps([dl.epoch, y[:dl.counts[rank]].tolist()]) + chr(10)); f.flush()
            write_json(state, dict(loader=dl.state(), bytes=f.tell()))
            time.sleep(pause)
'''


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    "Vectors that tell the number of their row, scattered over a file"
    folder = tmp_path_factory.mktemp('vectors')
    at = np.random.default_rng(0).permutation(rows)                       # where each row lies
    x = np.zeros((rows, width), np.float16)
    x[at, 0], x[at, 1] = np.arange(rows) // 1000, np.arange(rows) % 1000
    (folder/'rows.f16').write_bytes(x.tobytes())
    np.save(folder/'y.npy', np.arange(rows)); np.save(folder/'at.npy', at)
    return folder


def loader(folder, **options):
    from prodclf.encoders.vectors import DiskRows
    from prodclf.models.loader import EmbeddingLoader
    return EmbeddingLoader({'text': DiskRows(folder/'rows.f16', width, np.load(folder/'at.npy'))}, None, np.load(folder/'y.npy'), bs=64, shuffle=True, **options)


def start(folder, out, rank, world, pause=0.): return subprocess.Popen([sys.executable, '-c', trainer, str(folder), str(out), str(rank), str(world), str(pause)], env=quiet, stderr=subprocess.PIPE, text=True)


def finish(process):
    _, said = process.communicate(timeout=120)
    assert process.returncode == 0, said


def given(out, rank): return [json.loads(line) for line in (out/f'given{rank}.txt').read_text().splitlines()]


@pytest.mark.parametrize('world', [2, 3])
def test_ranks_share_every_epoch(folder, tmp_path, world):
    for p in [start(folder, tmp_path, rank, world) for rank in range(world)]: finish(p)
    shares = [given(tmp_path, rank) for rank in range(world)]
    assert len({len(s) for s in shares}) == 1                                          # the same number of batches
    for epoch in (0, 1):
        lengths = [sum(len(y) for e, y in s if e == epoch) for s in shares]
        assert max(lengths) - min(lengths) <= 1
        assert sorted(i for s in shares for e, y in s if e == epoch for i in y) == list(range(rows))


def test_killed_and_resumed_is_never_killed(folder, tmp_path):
    whole, cut = tmp_path/'whole', tmp_path/'cut'
    whole.mkdir(); cut.mkdir()
    finish(start(folder, whole, 1, 2))
    dice, want = np.random.default_rng(0), len(given(whole, 1))
    for at in sorted(dice.choice(np.arange(1, want-1), kills, replace=False)):
        p, log = start(folder, cut, 1, 2, .01), cut/'given1.txt'
        while p.poll() is None and (not log.exists() or log.read_bytes().count(b'\n') < at): time.sleep(.005)
        p.send_signal(signal.SIGKILL); p.communicate()
        assert p.returncode == -signal.SIGKILL
    finish(start(folder, cut, 1, 2))
    assert given(cut, 1) == given(whole, 1)


def test_memory_does_not_grow_with_the_catalog(tmp_path):
    code = '''
import sys
import numpy as np
from prodclf.encoders.vectors import DiskRows
from prodclf.models.loader import EmbeddingLoader
def peak(): return int(next(l for l in open('/proc/self/status') if l.startswith('VmHWM')).split()[1])/1e3
before = peak()
dl = EmbeddingLoader({'text': DiskRows(sys.argv[1], 512, np.arange(24*8192))}, bs=256, shuffle=True, buffer=8192)
n = sum(len(x['text']) for x,_,_ in dl)
print(n, peak() - before)
'''
    if not os.path.exists('/proc/self/status'): pytest.skip('needs /proc')
    block = np.random.default_rng(0).standard_normal((8192, 512)).astype(np.float16)
    with open(tmp_path/'rows.f16', 'wb') as f:
        for _ in range(24): f.write(block.tobytes())                                     # 200 MB
    done = subprocess.run([sys.executable, '-c', code, tmp_path/'rows.f16'], env=quiet, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    n, grown = map(float, done.stdout.split())
    assert n == 24*8192 and grown < 60, done.stdout                                      # two buffers of 8.4 MB, an order of 1.6 MB


def test_one_stopped_in_the_middle_does_not_spoil_the_next(folder):
    dl = loader(folder, buffer=256)
    for stop in range(1, 20):
        for k, (x, _, y) in enumerate(dl):
            assert (1000*x['text'][:, 0].int() + x['text'][:, 1].int() == y).all()
            if k == stop: break
    assert dl.epoch == 18
    first, second = iter(dl.new()), iter(dl.new())                                       # two at once
    for a, b in zip(first, second, strict=True): assert (a[2] == b[2]).all() and (a[0]['text'] == b[0]['text']).all()
    dl.start(0)
    for a, b in zip(dl, dl.new(), strict=True): assert (a[2] == b[2]).all()              # and two over one loader, one after the other


def test_a_file_that_was_cut_short_is_named(folder, tmp_path):
    from prodclf.core import ProdclfError
    for name in ('rows.f16', 'y.npy', 'at.npy'): (tmp_path/name).write_bytes((folder/name).read_bytes())
    dl = loader(tmp_path)
    os.truncate(tmp_path/'rows.f16', 3000)
    with pytest.raises(ProdclfError, match='rows.f16 cannot be read, or was cut off'): list(dl)
