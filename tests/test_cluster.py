"""Two Ray nodes on this machine, one of which is killed while it works. Only 127.0.0.1 and this machine are used; skipped where Ray is not installed."""
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import pytest
from PIL import Image

place = tempfile.mkdtemp(prefix='ray')          # short: it holds sockets
os.environ.update(RAY_TMPDIR=place, RAY_USAGE_STATS_ENABLED='0', RAY_DEDUP_LOGS_SKIP_REGEX='.', RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO='0', PRODCLF_QUIET='1')
ray = pytest.importorskip('ray', reason="Ray is not installed: pip install 'prodclf[cluster]'")

from prodclf.data.ray import ray_runner  # noqa: E402
from prodclf.core import ProdclfError  # noqa: E402
from prodclf.data.prepare import Job, PrepareConfig, prepare  # noqa: E402

config = PrepareConfig(part_rows=24)


def files_of(folder):
    return {str(f.relative_to(folder)): f.read_bytes() for f in sorted(Path(folder).rglob('*')) if f.is_file()}


def started(start, times=3):
    "Ray gives a node thirty seconds to start, which a machine that runs other tests beside may not keep"
    for left in reversed(range(times)):
        try: return start()
        except Exception as e:
            if not left or 'timed out' not in str(e): raise


@pytest.fixture(scope='module')
def nodes():
    "A head and a second node with one core each and small object stores; this process is the driver"
    from ray.cluster_utils import Cluster
    small = dict(num_cpus=1, object_store_memory=80*2**20)
    cluster = started(lambda: Cluster(initialize_head=True, head_node_args=dict(small, include_dashboard=False)))
    try:
        second = started(lambda: cluster.add_node(**small))
        ray.init(address=cluster.address, log_to_driver=False, logging_level='ERROR')
        yield cluster, second
    finally:
        ray.shutdown(); cluster.shutdown(); shutil.rmtree(place, ignore_errors=True)


@pytest.fixture(scope='module')
def shop(tmp_path_factory):
    "A source of 480 rows with photos, some of them damaged, some rows refused"
    raw, draw = tmp_path_factory.mktemp('shop'), np.random.default_rng(0)
    (raw/'images').mkdir()
    for i in range(240): Image.fromarray(draw.integers(0, 255, (24, 18, 3), np.uint8)).resize((720, 540)).save(raw/'images'/f'{i}.jpg')
    (raw/'images'/'7.jpg').write_bytes(b'no picture')
    table = pd.DataFrame(dict(id=[f'p{i}' for i in range(480)], title=[f'{"red green blue".split()[i % 3]} {"mug pot".split()[i % 2]} {i}' for i in range(480)], label=['Mugs' if i % 4 else 'Pots' for i in range(480)], image=[f'{i}.jpg' if i < 240 else None for i in range(480)]))
    table.loc[[11, 300], 'label'] = None; table.loc[200, 'id'] = 'p3'
    table.to_csv(raw/'products.csv', index=False)
    return raw


@pytest.fixture(scope='module')
def local(shop):
    return prepare(shop/'products.csv', shop/'local', config=config, workers=1)


def at_work(node, seconds=20):
    "Wait until a worker of a node is making a part"
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        for child in psutil.Process(node.all_processes['raylet'][0].process.pid).children(recursive=True):
            try:
                if 'Map(' in ' '.join(child.cmdline()): return
            except psutil.Error: pass
        time.sleep(.01)
    raise AssertionError('the second node was never at work')


def stopping(run, after, act):
    "A runner that does something after so many parts"
    def wrapped(*args):
        for n, entry in enumerate(run(*args)):
            if n == after: act()
            yield entry
    return wrapped


def test_one_line_for_an_error(nodes, tmp_path):
    "What goes wrong on another machine arrives as one line"
    with pytest.raises(ProdclfError, match='does not see .*run.json. Remedy: put the folder on storage that all machines see'):
        list(ray_runner()(iter([]), tmp_path, config))
    (tmp_path/'run.json').write_text('{}')
    with pytest.raises(ProdclfError, match='^AttributeError on a machine of the cluster .*finished parts are kept$'):
        list(ray_runner()(iter([Job('part-00000', None)]), tmp_path, config))
    def broken():
        raise ProdclfError('products.csv: the source has changed. Remedy: prepare again')
        yield
    with pytest.raises(ProdclfError, match='^products.csv: the source has changed'): list(ray_runner()(broken(), tmp_path, config))


def test_same_as_local(nodes, shop, local):
    "Both nodes make parts; interrupted after three, then the same command again: nothing is done twice, and the folder is the local one"
    class Stop(Exception): pass
    def stop(): raise Stop
    with pytest.raises(Stop): prepare(shop/'products.csv', shop/'ray', config=config, runner=stopping(ray_runner(), 3, stop))
    done, made = {f.stem for f in (shop/'ray'/'work').glob('part-*.json')}, []
    assert 3 <= len(done) < 20
    def rest(jobs, *args):
        for entry in stopping(ray_runner(), 1, lambda: at_work(nodes[1]))(jobs, *args): made.append(entry['part']['name']); yield entry
    prepare(shop/'products.csv', shop/'ray', config=config, runner=rest)
    assert files_of(shop/'ray') == files_of(local.folder)
    assert len(made) == len(set(made)) <= 20-len(done) and not done & set(made)     # fewer where a part was in the making at the stop


def test_embed_same_as_local(nodes, local):
    "Actors that open the encoder once give the same store, row for row, as this process alone"
    from prodclf.encoders.embeddings import embed, open_embeddings
    options = dict(text='lsa', image='tiny', dim=8, device='cpu', block=16)
    alone = embed(local, out=local.folder.parent/'alone', workers=0, **options)
    spread = embed(local, out=local.folder.parent/'spread', engine='ray', **options)
    assert [s.encoded for s in spread.stats.values()] == [s.encoded for s in alone.stats.values()]
    assert all(s.encoded > 16 for s in spread.stats.values())
    for view in alone.views:
        assert np.array_equal(spread.parts[view].at, alone.parts[view].at)
        assert np.allclose(spread.view(view)[:], alone.view(view)[:], atol=1e-3, rtol=2e-3)
    assert spread.parts['text'].file.read_bytes() == alone.parts['text'].file.read_bytes()
    again = embed(local, out=spread.folder, engine='ray', **options)
    assert [s.encoded for s in again.stats.values()] == [0, 0]
    assert open_embeddings(local, spread.folder).fingerprints == alone.fingerprints


def test_node_killed_half_way(nodes, shop, local):
    "SIGKILL to the second node while it makes a part: the first makes it again, the folder is the same"
    cluster, second = nodes
    def kill():
        at_work(second)
        os.kill(second.all_processes['raylet'][0].process.pid, signal.SIGKILL)
    prepare(shop/'products.csv', shop/'killed', config=config, runner=stopping(ray_runner(), 5, kill))
    assert files_of(shop/'killed') == files_of(local.folder)
    assert second.all_processes['raylet'][0].process.poll() is not None
