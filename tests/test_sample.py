"The embedded catalog across processes: equal pictures in every one, two that draw the same folder, one that is killed"
import os, signal, subprocess, sys, time
from pathlib import Path

import numpy as np
from PIL import Image

digest = """
from prodclf.core import digest
from prodclf.sample.shop import product, product_picture
print(digest(*[[p['title'], p['description'], p['group'], p['category'].path] for p in map(product, range(40))], *[product_picture(i).tobytes() for i in range(8)]))
"""
draw = "import sys; from prodclf.sample.shop import sample_catalog; sample_catalog(int(sys.argv[2]), 0, sys.argv[1], size=48, workers=1)"

def run(code, *args, **env): return subprocess.run([sys.executable, '-c', code, *map(str, args)], capture_output=True, text=True, check=True, env={**os.environ, 'PRODCLF_QUIET': '1', **env})
def pixels(folder): return {f.name: np.asarray(Image.open(f)).tobytes() for f in Path(folder).rglob('*.png')}

def test_equal_in_every_process():
    assert len({run(digest, PYTHONHASHSEED=h).stdout for h in ('0', '1', '77')}) == 1

def test_no_torch(): assert run("import sys, prodclf.sample.shop; print('torch' in sys.modules)").stdout.strip() == 'False'

def test_two_processes_one_folder(tmp_path):
    both = [subprocess.Popen([sys.executable, '-c', draw, str(tmp_path/'shared'), '120']) for _ in range(2)]
    assert [p.wait() for p in both] == [0, 0]
    run(draw, tmp_path/'alone', 120)
    assert pixels(tmp_path/'shared') == pixels(tmp_path/'alone')
    assert not list(tmp_path.rglob('*.part'))

def test_killed_and_resumed(tmp_path):
    p = subprocess.Popen([sys.executable, '-c', draw, str(tmp_path/'killed'), '300'])
    while p.poll() is None and len(list((tmp_path/'killed').rglob('P*.png'))) < 20: time.sleep(.02)
    if p.poll() is None: p.send_signal(signal.SIGKILL)
    p.wait()
    run(draw, tmp_path/'killed', 300); run(draw, tmp_path/'whole', 300)
    assert pixels(tmp_path/'killed') == pixels(tmp_path/'whole')
