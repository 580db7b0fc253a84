"""Encoding as a process: killed at random moments, in a pool, with a damaged part, and read in bounded memory."""
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import pytest
from PIL import Image

from prodclf.core import ProdclfError
from prodclf.encoders.embeddings import ShardFeatures, embed
from prodclf.data.prepare import Rules, prepare

kills = int(os.environ.get('PRODCLF_KILLS', 2))
plain = dict(text='words', image='descriptors', dim=8)
environment = {**os.environ, 'PRODCLF_QUIET': '1', 'OMP_NUM_THREADS': '1'}
script = '''
import sys
from prodclf.encoders.embeddings import embed
if __name__ == '__main__':
    print('ready', flush=True)
    print(embed(sys.argv[1], sys.argv[2], text='words', image='descriptors', dim=8, workers=int(sys.argv[3])), flush=True)
'''


def files_of(folder):
    return {str(f.relative_to(folder)): f.read_bytes() for f in sorted(Path(folder).rglob('*')) if f.is_file() and not f.name.startswith('.')}


@pytest.fixture(scope='module')
def shop(tmp_path_factory):
    "A prepared catalog of 480 products in 15 parts, every third with a photo"
    raw, draw = tmp_path_factory.mktemp('shop'), np.random.default_rng(0)
    (raw/'images').mkdir()
    for i in range(0, 480, 3): Image.fromarray(draw.integers(0, 255, (120, 90, 3), np.uint8)).save(raw/'images'/f'{i}.jpg')
    table = pd.DataFrame(dict(id=[f'p{i}' for i in range(480)], title=[f'{"red green blue".split()[i % 3]} {"mug pot lamp chair".split()[i % 4]} {i}' for i in range(480)],
                              label=['Mugs' if i % 4 else 'Pots' for i in range(480)], image=[f'{i}.jpg' if i % 3 == 0 else None for i in range(480)]))
    table.to_csv(raw/'products.csv', index=False)
    return prepare(raw/'products.csv', raw/'ready', rules=Rules(part_rows=32), workers=1)


@pytest.fixture(scope='module')
def calm(shop, tmp_path_factory):
    "The features of a run that was left alone"
    out = tmp_path_factory.mktemp('calm')/'features'
    embed(shop, out, workers=0, **plain)
    return files_of(out)


def test_killed_at_random_moments(shop, calm, tmp_path):
    "SIGKILL, then the same call again: the same bytes, and no worker that goes on alone"
    draw, done, rounds = random.Random(0), 0, 0
    out = tmp_path/'0'
    while done < kills:
        p = subprocess.Popen([sys.executable, '-c', script, shop.folder, out, '2'], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
        assert p.stdout.readline() == 'ready\n'
        try: p.wait(draw.uniform(.2, 6))
        except subprocess.TimeoutExpired:
            children = psutil.Process(p.pid).children(recursive=True)
            p.send_signal(signal.SIGKILL); done += 1
            gone, alive = psutil.wait_procs(children, timeout=20)
            assert not alive, f'{len(alive)} workers live on after the process that started them'
        p.communicate(timeout=60)
        if p.returncode == 0:
            assert files_of(out) == calm
            rounds += 1; out = tmp_path/str(rounds)
        elif (out/'features.json').exists():
            state = json.loads((out/'features.json').read_text())['views']
            if not state['text']['parts']:
                with pytest.raises(ProdclfError, match='not finished'): ShardFeatures(out, shop)
    embed(shop, out, workers=0, **plain)
    assert files_of(out) == calm
    assert len(ShardFeatures(out, shop).view('image')[:]) == len(shop)


def test_damaged_part_is_named(shop, tmp_path):
    "A worker's error is one line that names the part; the others are kept"
    catalog = tmp_path/'ready'
    shutil.copytree(shop.folder, catalog)
    hurt = catalog/'part-00004.parquet'
    hurt.write_bytes(bytes(hurt.stat().st_size))
    p = subprocess.run([sys.executable, '-c', script.replace("text='words', ", ''), catalog, tmp_path/'f', '2'], capture_output=True, text=True, env=environment, timeout=300)
    last = p.stderr.strip().splitlines()[-1]
    assert p.returncode == 1 and 'part-00004' in last and 'Remedy' in last, p.stderr
    shutil.copy(shop.folder/'part-00004.parquet', hurt)
    done = embed(catalog, tmp_path/'f', image='descriptors', workers=0)
    assert 0 < done.rows <= len(shop)


def test_memory_is_bounded(tmp_path):
    "600 MB of features are read from one end to the other, and at random, in far less memory"
    rows, dim, parts = 20_000, 1024, 15
    for i in range(parts): np.lib.format.open_memmap(tmp_path/f'text-part-{i:05d}.npy', 'w+', np.float16, (rows, dim)).flush()
    about = dict(kind='text', dim=dim, fingerprint='', asked={}, catalog='', rows=rows*parts, parts=[dict(name=f'part-{i:05d}', rows=rows, present=rows) for i in range(parts)])
    (tmp_path/'features.json').write_text(json.dumps(dict(format=1, views=dict(text=about))))
    code = f'''
import sys, numpy as np, psutil
from prodclf.encoders.embeddings import ShardFeatures
x = ShardFeatures({str(tmp_path)!r}).view('text'); x.keep = 2**26
before, most = psutil.Process().memory_info().rss, 0
def look(): global most; most = max(most, psutil.Process().memory_info().rss-before)
for a in range(0, len(x), 4096): x[a:a+4096]; look()
for seed in range(200): x[np.random.default_rng(seed).integers(0, len(x), 512)]; look()
x.release(); print(most//2**20, 'torch' in sys.modules)
'''
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, env=environment, timeout=120)
    assert done.returncode == 0, done.stderr
    most, torch = done.stdout.split()
    assert int(most) < 300 and torch == 'False', done.stdout
