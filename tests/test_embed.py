"""Encoding as a process: killed at random moments, in a pool, with a damaged part, and read in bounded memory."""
import os
import random
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import pytest
from PIL import Image

from prodclf.core import ProdclfError
from prodclf.data.prepare import PrepareConfig, prepare
from prodclf.encoders.embeddings import embed, open_embeddings

kills = int(os.environ.get('PRODCLF_KILLS', 2))
plain = dict(text='lsa', image='descriptors', dim=8)
environment = {**os.environ, 'PRODCLF_QUIET': '1', 'OMP_NUM_THREADS': '1'}
script = '''
import sys
from prodclf.encoders.embeddings import embed
if __name__ == '__main__':
    print('ready', flush=True)
    print(embed(sys.argv[1], text='lsa', image='descriptors', dim=8, out=sys.argv[2],
                workers=int(sys.argv[3]), block=32), flush=True)
'''


def files_of(folder):
    "What must be equal, byte for byte"
    files = (f for f in sorted(Path(folder).rglob('*')) if f.is_file())
    return {str(f.relative_to(folder)): f.read_bytes() for f in files if f.suffix not in ('.lock', '.part')}


@pytest.fixture(scope='module')
def shop(tmp_path_factory):
    "A prepared catalog of 480 products in 15 parts, every third with a photo, a copy of each text"
    raw, draw = tmp_path_factory.mktemp('shop'), np.random.default_rng(0)
    (raw / 'images').mkdir()
    for i in range(0, 480, 3):
        pixels = draw.integers(0, 255, (120, 90, 3), np.uint8)
        Image.fromarray(pixels).save(raw / 'images' / f'{i}.jpg')
    rows = range(480)
    table = pd.DataFrame(
        dict(
            id=[f'p{i}' for i in rows],
            title=[f'{"red green blue".split()[i % 3]} {"mug pot lamp chair".split()[i % 4]} {i % 240}' for i in rows],
            label=['Mugs' if i % 4 else 'Pots' for i in rows],
            image=[f'{i}.jpg' if i % 3 == 0 else None for i in rows],
        )
    )
    table.to_csv(raw / 'products.csv', index=False)
    return prepare(raw / 'products.csv', raw / 'ready', PrepareConfig(part_rows=32), workers=1)


@pytest.fixture(scope='module')
def calm(shop, tmp_path_factory):
    "The embeddings of a run that was left alone"
    out = tmp_path_factory.mktemp('calm') / 'embeddings'
    embed(shop, out=out, workers=0, **plain)
    return files_of(out)


def test_killed_at_random_moments(shop, calm, tmp_path):
    "SIGKILL, then the same call again: the same bytes, and no worker that goes on alone"
    draw, done, rounds = random.Random(0), 0, 0
    out = tmp_path / '0'
    while done < kills:
        words = [sys.executable, '-c', script, shop.folder, out, '2']
        p = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
        assert p.stdout.readline() == 'ready\n'
        try:
            p.wait(draw.uniform(0.2, 6))
        except subprocess.TimeoutExpired:
            children = psutil.Process(p.pid).children(recursive=True)
            p.send_signal(signal.SIGKILL)
            _, alive = psutil.wait_procs(children, timeout=20)
            assert not alive, f'{len(alive)} workers live on after the process that started them'
        p.communicate(timeout=60)
        if p.returncode == 0:
            assert files_of(out) == calm
            rounds += 1
            out = tmp_path / str(rounds)
            continue
        try:
            open_embeddings(shop, out)
        except ProdclfError as e:
            assert re.search('not finished|no embeddings', str(e))
            done += 1
        else:  # killed behind its last byte, on the way out
            assert files_of(out) == calm
            rounds += 1
            out = tmp_path / str(rounds)
    assert done == kills
    embed(shop, out=out, workers=0, **plain)
    assert files_of(out) == calm
    assert len(open_embeddings(shop, out).view('image')[:]) == len(shop)


def test_contents_are_encoded_once(shop, calm, tmp_path):
    "Copies cost nothing; the frame of the same products has the same encoder and the same vectors"
    done = embed(shop, out=tmp_path / 'f', workers=2, block=16, **plain)
    assert files_of(tmp_path / 'f') == calm
    distinct = shop.take(np.arange(len(shop)), ['text']).text.nunique()
    assert done.stats['text'].encoded == distinct < len(shop)
    frame = embed(shop.take(np.arange(len(shop))), out=tmp_path / 'g', **plain)
    assert frame.fingerprints == done.fingerprints
    for view in done.views:
        assert np.array_equal(frame.view(view)[:], done.view(view)[:])


def test_damaged_part_is_named(shop, tmp_path):
    "An error is one line that names the part; what was encoded is kept"
    catalog = tmp_path / 'ready'
    shutil.copytree(shop.folder, catalog)
    hurt = catalog / 'part-00004.parquet'
    hurt.write_bytes(bytes(hurt.stat().st_size))
    words = [sys.executable, '-c', script, catalog, tmp_path / 'f', '2']
    p = subprocess.run(words, capture_output=True, text=True, env=environment, timeout=300)
    last = p.stderr.strip().splitlines()[-1]
    assert p.returncode == 1 and 'part-00004' in last and 'Remedy' in last, p.stderr
    shutil.copy(shop.folder / 'part-00004.parquet', hurt)
    done = embed(catalog, out=tmp_path / 'f', workers=0, **plain)
    assert len(done) == len(shop)


def test_memory_is_bounded(tmp_path):
    "600 MB of vectors are read from one end to the other, and at random, in far less memory"
    rows, dim = 300_000, 1024
    with open(tmp_path / 'rows.f16', 'wb') as f:
        f.truncate(2 * rows * dim)
    code = f'''
import sys, numpy as np, psutil
from prodclf.encoders.vectors import DiskRows
import prodclf.encoders.embeddings
x = DiskRows({str(tmp_path / 'rows.f16')!r}, {dim}, np.arange({rows}))
before, most = psutil.Process().memory_info().rss, 0
def look(): global most; most = max(most, psutil.Process().memory_info().rss-before)
for a in range(0, len(x), 4096): x[a:a+4096]; look()
for seed in range(200): x[np.random.default_rng(seed).integers(0, len(x), 512)]; look()
print(most//2**20, 'torch' in sys.modules)
'''
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, env=environment, timeout=120)
    assert done.returncode == 0, done.stderr
    most, torch = done.stdout.split()
    assert int(most) < 100 and torch == 'False', done.stdout


def test_own_encoder_in_a_pool(tmp_path):
    "An encoder that is defined in the user's script works in two processes, as in one"
    file = tmp_path / 'own.py'
    file.write_text('''
import os, sys, time
from pathlib import Path
import numpy as np, pandas as pd
from prodclf.encoders.embeddings import embed

class Letters:
    dim, name = 26, 'letters'

    def encode(self, texts):
        here = Path(sys.argv[2])  # nobody works alone while the other process still starts
        (here / str(os.getpid())).touch()
        until = time.time() + 60
        while len(list(here.iterdir())) < int(sys.argv[1]) and time.time() < until:
            time.sleep(0.05)
        counts = [[t.count(chr(97 + i)) for i in range(25)] + [os.getpid() % 1000] for t in texts]
        return np.array(counts, np.float32)

if __name__ == '__main__':
    frame = pd.DataFrame(dict(text=['mug' + 'abc'[i % 3] * i for i in range(400)]))
    x = embed(frame, text=Letters(), workers=int(sys.argv[1]), block=40).view('text')[:]
    assert (x[:, 0] == frame.text.str.count('a')).all()
    print(len(set(x[:, 25])), os.getpid() % 1000 in x[:, 25])
''')
    for workers, expected in ((2, '2 False'), (1, '1 True')):
        env = {**environment, 'PRODCLF_HOME': str(tmp_path / str(workers))}
        (tmp_path / f'at-work-{workers}').mkdir()
        words = [sys.executable, file, str(workers), str(tmp_path / f'at-work-{workers}')]
        done = subprocess.run(words, capture_output=True, text=True, env=env, timeout=120)
        assert done.stdout.strip() == expected, done.stderr
