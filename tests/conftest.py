"""Process-level tests: what a user does in a terminal. The laws of single functions are tested in the notebooks."""
import os, signal, subprocess, sys

import pytest


def default_interrupt():
    "For `preexec_fn`: a suite that runs in the background ignores Ctrl-C, and a child would inherit that"
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.fixture(scope='session')
def home(tmp_path_factory):
    "One cache folder for the whole run, not the user's"
    return tmp_path_factory.mktemp('home')


@pytest.fixture(scope='session')
def surroundings(home):
    "The environment of a command: no hub to reach, few threads"
    return {**os.environ, 'PRODCLF_HOME': str(home), 'HF_HUB_OFFLINE': '1', 'OMP_NUM_THREADS': os.environ.get('OMP_NUM_THREADS', '2')}


@pytest.fixture(scope='session')
def prodclf(surroundings):
    "Run the command as a user would, in a process of its own"
    def run(*words, cwd=None, code=0, timeout=600, **environment):
        done = subprocess.run([sys.executable, '-m', 'prodclf.cli.main', *map(str, words)], cwd=cwd, env=surroundings | environment, capture_output=True, text=True, timeout=timeout)
        assert code is None or done.returncode == code, f'exit code {done.returncode}, expected {code}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}'
        return done
    return run


@pytest.fixture
def start(surroundings):
    "Start the command and go on meanwhile; it can be interrupted, and is gone when the test is over"
    begun = []
    def run(*words, **environment):
        begun.append(subprocess.Popen([sys.executable, '-m', 'prodclf.cli.main', *map(str, words)], env=surroundings | environment, text=True,
                                      stdout=subprocess.PIPE, stderr=subprocess.PIPE, preexec_fn=default_interrupt))
        return begun[-1]
    yield run
    for process in begun:
        process.kill()
        process.communicate()
