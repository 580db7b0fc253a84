"""The embedded catalog across processes: equal images in every one, two that draw the same folder,
one that is killed"""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from PIL import Image

digest = """
from prodclf.core import digest
from prodclf.sample.shop import product, product_image
names = ('title', 'description', 'group')
texts = [[*(p[k] for k in names), p['category'].path] for p in map(product, range(40))]
print(digest(*texts, *[product_image(i).tobytes() for i in range(8)]))
"""
draw = """
import sys
from prodclf.sample.shop import sample_catalog
sample_catalog(int(sys.argv[2]), 0, sys.argv[1], size=48)
"""


def start(code, *args, **env):
    env = {**os.environ, 'PRODCLF_QUIET': '1', **env}
    command = [sys.executable, '-c', code, *map(str, args)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=env)


def run(code, *args, **env):
    process = start(code, *args, **env)
    out, _ = process.communicate()
    assert process.returncode == 0
    return out


def pixels(folder):
    return {f.name: np.asarray(Image.open(f)).tobytes() for f in Path(folder).rglob('*.png')}


def test_equal_in_every_process():
    found = {run(digest, PYTHONHASHSEED=h) for h in ('0', '1', '77')}
    assert len(found) == 1 and len(found.pop().strip()) == 32


def test_no_torch():
    code = "import sys, prodclf.sample.shop; print('torch' in sys.modules)"
    assert run(code).strip() == 'False'


def test_two_processes_one_folder(tmp_path):
    both = [start(draw, tmp_path / 'shared', 120) for _ in range(2)]
    assert [p.wait() for p in both] == [0, 0]
    run(draw, tmp_path / 'alone', 120)
    assert len(pixels(tmp_path / 'alone')) > 100
    assert pixels(tmp_path / 'shared') == pixels(tmp_path / 'alone')
    assert not list(tmp_path.rglob('*.part'))


def test_killed_and_resumed(tmp_path):
    p = start(draw, tmp_path / 'killed', 3000)
    while p.poll() is None and len(list((tmp_path / 'killed').rglob('P*.png'))) < 20:
        time.sleep(0.02)
    p.kill()
    assert p.wait() == -signal.SIGKILL  # it was in the middle of its work
    before = pixels(tmp_path / 'killed')
    assert 20 <= len(before) < 2800
    run(draw, tmp_path / 'killed', 300)
    run(draw, tmp_path / 'whole', 300)
    whole = pixels(tmp_path / 'whole')
    assert whole.items() <= pixels(tmp_path / 'killed').items()
