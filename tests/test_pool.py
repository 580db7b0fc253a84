"""Answers survive: a process that is killed while it labels, and two that label at once, lose and double nothing."""
import json, os, subprocess, sys

import pytest

kills = int(os.environ.get('PRODCLF_KILLS', 12))   # 50 and more by hand: PRODCLF_KILLS=200 pytest tests/test_pool.py

driver = '''
import json, os, random, signal, sys, time
from pathlib import Path
import pandas as pd
from prodclf.active.pool import Pool

def catalog(n): return pd.DataFrame(dict(id=[f'P{i:05d}' for i in range(n)], label=pd.Series([None]*n, dtype='str')))
def label_of(id, who): return f'Category {(int(id[1:]) + len(who)) % 7}'
classes = [f'Category {i}' for i in range(7)]
table, journal = catalog(5000), Path(sys.argv[1])

def work(pool, who, said, batch=None):
    "Answer without end, in batches of 1 to 9; tell the pipe what was acknowledged, after it was"
    dice = random.Random(f'{who}{os.getpid()}')
    while True:
        left = [i for i in table.id if who not in pool.voices(int(i[1:]))[0] and who not in pool.voices(int(i[1:]))[1]][:40]
        if not left: break
        ids = dice.sample(left, min(len(left), batch or dice.randint(1, 9)))
        labels = [None if int(i[1:]) % 10 == 0 else label_of(i, who) for i in ids]
        pool.answer(ids, labels, by=who)
        os.write(said, (json.dumps([ids, labels]) + chr(10)).encode())

def lines(fd):
    raw = b''
    while piece := os.read(fd, 1 << 16): raw += piece
    return [json.loads(line) for line in raw.split(b'\\n')[:-1]]      # a message cut off by the kill was acknowledged or not: nobody knows

def check(acknowledged):
    "Every acknowledged answer is in the journal once; what is there besides are at most the batches that a kill caught"
    pool = Pool.open(table, journal)
    e = pool.entries()
    acts = e[e.kind.isin(['answer', 'skip'])]
    assert not acts.duplicated(['id', 'by']).any(), 'an answer was doubled'
    there = {(i, b): l if isinstance(l, str) else None for i, b, l in zip(acts.id, acts.by, acts.label)}
    for who, batches in acknowledged.items():
        for ids, labels in batches:
            for i, l in zip(ids, labels): assert there.get((i, who), 'lost') == l, f'{i} by {who}: {l} was acknowledged, {there.get((i, who), "lost")} is there'
    assert e.n.tolist() == list(range(len(e)))
    return pool
'''

kill = driver + '''
Pool.start(table, journal=journal, classes=classes)
acknowledged, caught, torn = {'Ann': []}, 0, 0
for k in range(int(sys.argv[2])):
    out, said = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(out)
        try: work(Pool.open(table, journal), 'Ann', said)
        finally: os._exit(3)
    os.close(said)
    first = os.read(out, 1)                                     # it has begun
    time.sleep(random.Random(k).random()*.08)
    os.kill(child, signal.SIGKILL); status = os.waitpid(child, 0)[1]
    assert os.WIFSIGNALED(status), 'the worker ended by itself'
    raw = [first]
    while piece := os.read(out, 1 << 16): raw.append(piece)
    os.close(out)
    acknowledged['Ann'] += [json.loads(line) for line in b''.join(raw).split(b'\\n')[:-1]]
    if k % 3 == 2:                                              # what a power cut leaves: a piece of a line
        with open(journal, 'ab') as f: f.write(b'{"n": 99999, "time": "2026-0')
        torn += 1
    pool = check(acknowledged)
    caught += (pool.labeled | pool.skipped).sum() > sum(len(ids) for ids, _ in acknowledged['Ann'])
pieces = Path(f'{journal}.torn').read_bytes().splitlines() if torn else []
assert len(pieces) >= torn and sum(p == b'{"n": 99999, "time": "2026-0' for p in pieces) == torn, pieces
print(json.dumps(dict(kills=k+1, acknowledged=sum(len(ids) for ids, _ in acknowledged['Ann']), in_journal=int((pool.labeled | pool.skipped).sum()))))
'''

together = driver + '''
Pool.start(table, journal=journal, classes=classes)
table = table[:300]
pipes, acknowledged, (wait, go) = {}, {}, os.pipe()
for who in ('Ann', 'Robert'):
    out, said = os.pipe()
    if os.fork() == 0:
        code = 1
        try:
            os.close(out); os.close(go)
            pool = Pool.open(catalog(5000), journal)
            os.read(wait, 1)                                    # until the parent lets go of its end: both at once
            work(pool, who, said, batch=2); code = 0
        finally: os._exit(code)
    os.close(said); pipes[who] = out
os.close(go)
for who, out in pipes.items(): acknowledged[who] = lines(out)
codes = [os.waitstatus_to_exitcode(os.wait()[1]) for _ in pipes]
assert codes == [0, 0], codes
table = catalog(5000)
pool = check(acknowledged)
e = pool.entries()
turns = (e.by != e.by.shift()).sum()
answered = sum(int(i[1:]) % 10 > 0 for i in table.id[:300])
assert len(pool.conflicts()) == answered, (len(pool.conflicts()), answered)     # their answers always differ: every one is kept as a conflict
for who in pipes: assert (e.by == who).sum() == 300, (e.by == who).sum()
print(json.dumps(dict(turns=int(turns), conflicts=len(pool.conflicts()))))
'''


def run(code, *words):
    done = subprocess.run([sys.executable, '-c', code, *map(str, words)], capture_output=True, text=True, timeout=600, env={**os.environ, 'OMP_NUM_THREADS': '1'})
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.skipif(not hasattr(os, 'fork'), reason='needs fork')
def test_no_acknowledged_answer_is_lost_or_doubled_by_kills(tmp_path):
    told = run(kill, tmp_path/'answers.jsonl', kills)
    assert told['kills'] == kills and 0 < told['acknowledged'] <= told['in_journal'] <= told['acknowledged'] + 10*kills


@pytest.mark.skipif(not hasattr(os, 'fork'), reason='needs fork')
def test_two_writers_at_once_keep_every_answer(tmp_path):
    told = run(together, tmp_path/'answers.jsonl')
    assert told['conflicts'] == 270 and told['turns'] > 4, told   # they really took turns


def test_a_killed_notebook_goes_on_where_it_was(tmp_path):
    "The same batch answered again after the kill adds nothing"
    code = driver + '''
pool = Pool.open(table, journal) if journal.exists() else Pool.start(table, journal=journal, classes=classes)
print(json.dumps(pool.answer(table.id[:20], [label_of(i, 'Ann') for i in table.id[:20]], by='Ann')), flush=True)
os.kill(os.getpid(), signal.SIGKILL)
'''
    for expected in (20, 0, 0):
        done = subprocess.run([sys.executable, '-c', code, str(tmp_path/'a.jsonl')], capture_output=True, text=True, timeout=120)
        assert json.loads(done.stdout) == expected and done.returncode == -9, done.stderr
