"""Process-level tests: what a user does in a terminal. The laws of single functions are tested in the notebooks."""
import os, subprocess, sys
from pathlib import Path

import pytest

root = Path(__file__).resolve().parent.parent


@pytest.fixture(scope='session')
def home(tmp_path_factory):
    "One cache folder for the whole run, not the user's"
    return tmp_path_factory.mktemp('home')


@pytest.fixture(scope='session')
def prodclf(home):
    "Run the command as a user would, in a process of its own, without a hub to reach"
    def run(*words, cwd=None, code=0, timeout=600, **environment):
        env = {**os.environ, 'PRODCLF_HOME': str(home), 'HF_HUB_OFFLINE': '1', 'OMP_NUM_THREADS': os.environ.get('OMP_NUM_THREADS', '2'), **environment}
        done = subprocess.run([sys.executable, '-m', 'prodclf.cli.main', *map(str, words)], cwd=cwd, env=env, capture_output=True, text=True, timeout=timeout)
        assert code is None or done.returncode == code, f'exit code {done.returncode}, expected {code}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}'
        return done
    return run
