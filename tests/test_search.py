"""`prodclf search` from the outside: killed at random and resumed, by one process and by several,
no trial is lost and none is counted twice."""

import json
import os
import random
import signal
import time
from multiprocessing import get_context
from pathlib import Path

import pytest

kills = int(os.environ.get('PRODCLF_KILLS', 1))  # of the command; studies are killed 20 times


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
    return sorted(t.user_attrs['claim']['place'] for t in done), len(trials)


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


hill = dict(x=[round(-3 + 0.25 * i, 2) for i in range(25)], kind=['round', 'square'])


def height(settings, report):
    "The top of a hill, a moment away; a trial that falls behind is given up"
    top = (1.0 if settings['kind'] == 'round' else 0.5) - 0.1 * (settings['x'] - 1) ** 2
    for step in range(3):
        time.sleep(0.004)
        if report(step, top):
            return None
    return top


def climb(folder, trials):
    from prodclf.train.search import Study

    study = Study(folder, hill, dict(x=-3.0, kind='square'))
    study.run(height, trials)
    study.close()
    return [{k: v for k, v in r.items() if k != 'seconds'} for r in study.records()]


def kill_some(folder, trials, at_a_time, wanted, draw):
    "Start climbers and kill them at random moments, so often"
    fork, killed = get_context('fork'), 0
    for _ in range(20 * wanted):
        if killed >= wanted:
            break
        living = [fork.Process(target=climb, args=(folder, trials)) for _ in range(at_a_time)]
        for process in living:
            process.start()
        time.sleep(draw.random() * 0.15)
        draw.shuffle(living)
        for process in living:
            killed += process.is_alive()
            process.kill()
            process.join()
            time.sleep(draw.random() * 0.05)
    return killed


def test_twenty_kills_of_a_study(tmp_path):
    """SIGKILL at any moment, also while the journal is written: in the end every trial is there
    once, and all are those of a search that was left alone"""
    assert kill_some(tmp_path / 'killed', 200, 1, 20, random.Random(1)) == 20
    found = climb(tmp_path / 'killed', 200)
    assert [r['number'] for r in found] == [*range(200)]
    assert found == climb(tmp_path / 'alone', 200)
    assert {r['state'] for r in found} == {'complete', 'pruned'}


def test_kills_among_several_processes(tmp_path):
    "Three processes at a time on one study, all killed, again and again: no trial twice, none lost"
    killed = kill_some(tmp_path / 'crew', 120, 3, 12, random.Random(2))
    assert killed >= 12
    found = climb(tmp_path / 'crew', 120)
    assert [r['number'] for r in found] == [*range(120)]
    assert finished(tmp_path / 'crew')[0] == [*range(120)]
