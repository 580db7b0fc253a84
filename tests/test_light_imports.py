"""What needs no network starts quickly: a fresh interpreter that imports it loads no deep-learning
library."""

import subprocess
import sys
from pathlib import Path

import pytest

package = Path(__file__).resolve().parent.parent / 'prodclf'
heavy = ['torch', 'torchvision', 'transformers', 'fastai', 'tensorflow', 'timm']
with_torch = {
    'encoders': ['aligned', 'image', 'text'],
    'models': [
        'augmentation',
        'contrastive',
        'dataloaders',
        'distributed',
        'ensemble',
        'evaluation',
        'fusion',
        'learner',
        'linear',
        'loader',
        'lora',
        'losses_and_callbacks',
        'predictor',
        'resume',
        'two_towers',
        'watch',
    ],
    'train': [
        'audit',
        'classifier',
        'config',
        'estimator',
        'objectives',
        'search',
        'tensorflow_learner',
    ],
    'active': ['corrections', 'feature_space', 'labeling', 'loop', 'names', 'semi_supervised'],
    'bench': ['gpu', 'throughput'],
}
modules = sorted(
    f'{file.parent.name}.{file.stem}'
    for file in package.glob('*/*.py')
    if file.stem not in ['__init__', *with_torch.get(file.parent.name, [])]
)


def test_parts_without_torch():
    "The first four parts are used where torch is not installed, without exception"
    assert not set(with_torch) & {'data', 'sample', 'evaluate'}
    assert {'data.dataset', 'evaluate.metrics', 'encoders.embeddings', 'cli.main'} <= set(modules)


@pytest.mark.parametrize('module', ['core', *modules])
def test_light_import(module):
    code = f'import sys, prodclf.{module}; print(*[m for m in {heavy!r} if m in sys.modules])'
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [], f'importing prodclf.{module} loads {done.stdout.strip()}'
