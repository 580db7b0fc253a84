"""Encoders that are not on the machine: with no network each answers at once, in one line that names the remedy."""
import os
import subprocess
import sys
import time

import pytest

calls = {
    "from prodclf.encoders.text import text_encoder; text_encoder('distilbert-base-uncased')": 'local folder',
    "from prodclf.encoders.text import text_encoder; text_encoder('somebody/unknown-model')": 'local folder',
    "from prodclf.encoders.image import image_encoder; image_encoder('resnet50')": '--image-weights FILE',
}


@pytest.mark.parametrize('call', calls)
def test_no_network(call, tmp_path):
    code = f'''
import time
from prodclf.core import ProdclfError
import prodclf.encoders.text, prodclf.encoders.image
start = time.perf_counter()
try: exec({call!r})
except ProdclfError as e: print(e)
print(time.perf_counter() - start)
'''
    env = {**os.environ, 'HF_HUB_OFFLINE': '1', 'HF_HOME': str(tmp_path), 'TORCH_HOME': str(tmp_path)}
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, timeout=240, env=env)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == 2 and 'Remedy' in lines[0] and calls[call] in lines[0]
    assert float(lines[1]) < 60
