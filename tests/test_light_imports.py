"""Chapters below 30, and calibration, start quickly: a fresh interpreter that imports them loads no deep-learning library."""
import subprocess
import sys

import pytest

light = ['core', 'catalog', 'splits', 'sample', 'confidence', 'lexical', 'metrics', 'baselines', 'errors', 'descriptors', 'calibration',
         'curves', 'journal', 'uncertainty', 'spread', 'badge', 'pool', 'query', 'oracle', 'card', 'measuring', 'bench', 'fetch', 'sources', 'options', 'gathering', 'asking',
         'hashing', 'shards', 'prepare', 'streamed', 'opponents', 'generated', 'cluster', 'embedding', 'costs', 'scaling', 'preparing', 'loading']
heavy = ['torch', 'torchvision', 'transformers', 'fastai', 'tensorflow', 'timm']


@pytest.mark.parametrize('module', light)
def test_light_import(module):
    code = f'import sys, prodclf.{module}; print(*[m for m in {heavy!r} if m in sys.modules])'
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [], f'importing prodclf.{module} loads {done.stdout.strip()}'
