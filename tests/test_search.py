"""`prodclf search` from the outside: killed at random and resumed, by one process and by several,
no trial is lost and none is counted twice."""

import json
import os
import random
import signal
import time
from pathlib import Path

import pytest

kills = int(os.environ.get('PRODCLF_KILLS', 3))


@pytest.fixture(scope='session')
def searched(prodclf, tmp_path_factory):
    "A shop, the words of a search in it, and the records of one that was left alone"
    from prodclf.sample.shop import write_sample

    folder = tmp_path_factory.mktemp('search')
    write_sample(folder, n=400, seed=3)
    words = ['search', folder / 'products.csv', '--text-encoder', 'lsa', '--image-encoder', 'none']
    words += ['--min-per-class', 8, '--no-measure', '--folds', 2, '--trials', 8]
    prodclf(*words, '--out', folder / 'alone')
    return words, records(folder / 'alone')


def records(out):
    "number -> (value, settings) as the history has them, and the numbers in order"
    found = []
    for line in (Path(out) / 'history.jsonl').read_text().splitlines():
        try:
            record = json.loads(line)
        except ValueError:
            continue  # half a line, by a kill
        if record['event'] == 'trial':
            found.append(record)
    numbers = [r['number'] for r in found]
    return {r['number']: (r['value'], r['settings']) for r in found}, numbers


def finished(out):
    "Places of the finished trials in the journal, read by Optuna itself"
    import optuna
    from optuna.storages.journal import JournalFileBackend, JournalStorage

    storage = JournalStorage(JournalFileBackend(str(Path(out) / 'study' / 'study.journal')))
    (study,) = optuna.get_all_study_summaries(storage)
    trials = optuna.load_study(study_name=study.study_name, storage=storage).trials
    done = [t for t in trials if t.state.name in ('COMPLETE', 'PRUNED')]
    return sorted(t.user_attrs['place'] for t in done), len(trials)


def test_killed_and_resumed(start, prodclf, searched, tmp_path):
    """Killed at random moments after the first trial has begun: in the end the trials are those of
    a search that was left alone, each once"""
    words, (alone, _) = searched
    out, draw, died = tmp_path / 'out', random.Random(5), 0
    journal = out / 'study' / 'study.journal'
    for _ in range(kills):
        before = journal.stat().st_size if journal.exists() else 0
        process = start(*words, '--out', out)
        while process.poll() is None:
            if journal.exists() and journal.stat().st_size > before:
                break
            time.sleep(0.02)
        time.sleep(draw.random() * 0.6)
        died += process.poll() is None
        process.send_signal(signal.SIGKILL)
        process.wait()
    prodclf(*words, '--out', out)
    found, numbers = records(out)
    assert sorted(numbers) == [*range(8)]  # the history: each once
    places, begun = finished(out)
    assert places == [*range(8)]  # the journal: each once
    assert begun > 8 or not died
    for number, (value, settings) in alone.items():
        assert found[number][1] == settings
        assert (found[number][0] is None) == (value is None)
        if value is not None:
            assert found[number][0] == pytest.approx(value, abs=1e-9)
    print(f'{died} of {kills} kills hit a search at work; {begun - 8} trials were begun again')


def test_two_processes_share_a_study(start, searched, tmp_path):
    "Started twice in one folder, they finish what was asked for together, and not more"
    words, _ = searched
    two = [start(*words, '--out', tmp_path / 'out') for _ in range(2)]
    for process in two:
        process.communicate(timeout=300)
        assert process.returncode == 0
    _, numbers = records(tmp_path / 'out')
    assert sorted(numbers) == [*range(8)]
    assert finished(tmp_path / 'out') == ([*range(8)], 8)
