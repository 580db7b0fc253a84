"""The streaming loaders as processes: ranks that share an epoch, kills in the middle of one, and memory that does not grow with the catalog."""
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
from prodclf.models.loader import StreamFeatures
folder, out, rank, world, pause = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]), float(sys.argv[5])
dl = StreamFeatures({'text': sorted(folder.glob('text-part-*.npy'))}, y=np.load(folder/'y.npy'), bs=64, shuffle=True, buffer=1024, rank=rank, world=world)
state, log = out/f'state{rank}.json', out/f'given{rank}.txt'
done = json.loads(state.read_text()) if state.exists() else dict(loader=dl.state(), bytes=0)
dl.resume(done['loader'])
with open(log, 'a+') as f:
    f.truncate(done['bytes'])                                  # what was given after the last state is given again
    while dl.state()['epoch'] < 2:
        for x,_,y in dl:
            assert (x['text'][:,0].int() == y).all()           # the numbers belong to the row
            f.write(json.dumps([dl.epoch, y.tolist()]) + chr(10)); f.flush()
            write_json(state, dict(loader=dl.state(), bytes=f.tell()))
            time.sleep(pause)
'''


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    "Features whose first number is the number of the row, in parts of unequal length"
    folder, start = tmp_path_factory.mktemp('features'), 0
    for i, n in enumerate((1500, 2, 1001, 2000, 500)):
        x = np.zeros((n, width), np.float32); x[:, 0] = np.arange(start, start+n); start += n
        np.save(folder/f'text-part-{i:05d}.npy', x)
    assert start == rows
    np.save(folder/'y.npy', np.arange(rows))
    return folder


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
from pathlib import Path
from prodclf.models.loader import StreamFeatures
def peak(): return int(next(l for l in open('/proc/self/status') if l.startswith('VmHWM')).split()[1])/1e3
before = peak()
dl = StreamFeatures({'text': sorted(Path(sys.argv[1]).glob('*.npy'))}, bs=256, shuffle=True, buffer=8192)
n = sum(len(f['text']) for f,_,_ in dl)
print(n, dl.memory/1e6, peak() - before)
'''
    if not os.path.exists('/proc/self/status'): pytest.skip('needs /proc')
    block = np.random.default_rng(0).standard_normal((8192, 512)).astype(np.float16)
    for i in range(24): np.save(tmp_path/f'text-part-{i:05d}.npy', block)               # 200 MB
    done = subprocess.run([sys.executable, '-c', code, str(tmp_path)], env=quiet, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    n, buffers, grown = map(float, done.stdout.split())
    assert n == 24*8192 and buffers < 17 and grown < buffers + 30, done.stdout


def test_one_stopped_in_the_middle_does_not_spoil_the_next(folder):
    from prodclf.models.loader import StreamFeatures
    dl = StreamFeatures({'text': sorted(folder.glob('text-part-*.npy'))}, y=np.arange(rows), bs=64, shuffle=True, buffer=256)
    for stop in range(1, 20):
        for k, (x, _, y) in enumerate(dl):
            assert (x['text'][:, 0].int() == y).all()
            if k == stop: break
    assert dl.epoch == 18
    first, second = iter(dl.new()), iter(dl.new())                                       # two at once
    for a, b in zip(first, second): assert (a[2] == b[2]).all() and (a[0]['text'] == b[0]['text']).all()


def test_a_part_that_is_cut_short_is_named(folder, tmp_path):
    from prodclf.core import ProdclfError
    from prodclf.models.loader import StreamFeatures
    for f in folder.glob('text-part-*.npy'): (tmp_path/f.name).write_bytes(f.read_bytes())
    dl = StreamFeatures({'text': sorted(tmp_path.glob('*.npy'))}, bs=64)
    os.truncate(tmp_path/'text-part-00003.npy', 3000)
    with pytest.raises(ProdclfError, match='text-part-00003.npy has become shorter'): list(dl)
    with pytest.raises(ProdclfError, match='text-part-00003.npy is cut short'): dl.new(features={'text': sorted(tmp_path.glob('*.npy'))})
