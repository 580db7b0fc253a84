"""The check of the house finds each breach of the budget of code when it is put back, and names the part."""
import importlib.util
from pathlib import Path

import pytest

here = Path(__file__).resolve().parent.parent
spec = importlib.util.spec_from_file_location('house', here/'.ci'/'house.py')
house = importlib.util.module_from_spec(spec); spec.loader.exec_module(house)


def test_what_counts():
    assert house.tokens('x = f(1)  # a comment\n') == 6
    assert house.tokens('"A docstring of many words"\n\n\nx = (\n    1,\n)\n') == house.tokens('"One"\nx = (1,)\n') == 7
    assert house.tokens("x = f'{a + b} and {f(c)}'\n") == 3   # on every Python


def test_the_house_and_its_rooms():
    "Every module is counted once, and nothing is over its budget"
    known = house.modules()
    counts = house.counts()
    assert sum(counts.values()) == sum(map(house.tokens, known.values())) and house.check_budget() == []
    assert counts['serve'] and set(counts) == set(house.budgets)


@pytest.mark.parametrize('name, part', [
    ('data/tables', 'data'), ('core', 'core'), ('models/fusion', 'models'), ('models/lora', 'models, rooms'), ('serve/engine', 'serve'),
    ('train/a_new_one', 'train'), ('evaluate/label_errors', 'evaluate, rooms'),
])
def test_each_excess_is_found(monkeypatch, name, part):
    known, file = house.modules(), f'prodclf/{name}.py'
    more = house.budgets[part] - house.counts()[part] + 1   # one over the budget
    monkeypatch.setattr(house, 'modules', lambda: known | {file: known.get(file, '') + '\n' + 'x\n' * more})
    (fault,) = house.check_budget()
    assert fault.startswith(f'{part}: ') and f'1 over the budget of {house.budgets[part]:,}' in fault and 'Remedy' in fault


def test_a_module_outside_the_parts(monkeypatch):
    monkeypatch.setattr(house, 'modules', lambda known=house.modules(): known | {'prodclf/extras/helpers.py': 'x = 1\n'})
    (fault,) = house.check_budget()
    assert fault.startswith('extras: 3 tokens')
