"""These chapters start quickly: a fresh interpreter that imports them loads no deep-learning library."""
import subprocess
import sys

import pytest

light = [
    'core', 'data.catalog', 'data.splits', 'sample.shop', 'evaluate.confidence',
    'models.lexical', 'evaluate.metrics', 'train.baselines', 'evaluate.errors',
    'encoders.descriptors', 'evaluate.calibration', 'active.curves', 'active.journal',
    'active.uncertainty', 'active.diversity', 'active.badge', 'active.pool', 'active.query',
    'active.oracle', 'active.card', 'bench.frame', 'bench.query', 'data.download',
    'data.amazon', 'cli.options', 'cli.fetch', 'cli.label', 'data.dedup', 'data.dataset',
    'data.prepare', 'models.sparse_text', 'models.opponents', 'sample.generated', 'data.ray',
    'encoders.embeddings', 'bench.costs', 'cli.data', 'bench.prepare', 'bench.load'
]
heavy = ['torch', 'torchvision', 'transformers', 'fastai', 'tensorflow', 'timm']


@pytest.mark.parametrize('module', light)
def test_light_import(module):
    code = f'import sys, prodclf.{module}; print(*[m for m in {heavy!r} if m in sys.modules])'
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [], f'importing prodclf.{module} loads {done.stdout.strip()}'
