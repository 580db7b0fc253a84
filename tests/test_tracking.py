"""What a run writes down, from the outside: the history, TensorBoard's files and those of Weights
& Biases, each read back by the package that made the format."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

plain = ['--text-encoder', 'lsa', '--image-encoder', 'none', '--min-per-class', 8]


@pytest.fixture(scope='session')
def small_shop(tmp_path_factory):
    "A user's own folder of 400 products"
    from prodclf.sample.shop import write_sample

    folder = tmp_path_factory.mktemp('tracked')
    write_sample(folder, n=400, seed=3)
    return folder / 'products.csv'


@pytest.fixture(scope='session')
def tracked(prodclf, small_shop, tmp_path_factory):
    "A training with everything tracked, Weights & Biases offline"
    out = tmp_path_factory.mktemp('run') / 'out'
    words = 'train', small_shop, '--out', out, *plain, '--fusion', 'concat', '--epochs', 3
    done = prodclf(*words, '--track', 'tensorboard,wandb', WANDB_MODE='offline')
    assert 'does not take any more' not in done.stderr, done.stderr[-2000:]
    return out


def history(out, event):
    lines = (Path(out) / 'history.jsonl').read_text().splitlines()
    return [r for r in map(json.loads, lines) if r['event'] == event]


def test_history_of_a_training(tracked):
    "Folds of the frozen members, epochs of the head, results as in metrics.json, and the end"
    folds = history(tracked, 'fold')
    assert {r['member'] for r in folds} == {'linear_svm', 'text', 'joint_svm'}
    assert sorted(r['fold'] for r in folds if r['member'] == 'text') == [0, 1, 2, 3, 4]
    assert [r['epoch'] for r in history(tracked, 'epoch')] == [0, 1, 2]
    batch = history(tracked, 'batch')[0]
    assert {'loss', 'lr_head', 'gradient_norm', 'products_per_second'} <= set(batch)
    results = json.loads((tracked / 'metrics.json').read_text())['results']
    assert [r['accuracy'] for r in history(tracked, 'result')] == [r['accuracy'] for r in results]
    assert [r['status'] for r in history(tracked, 'end')] == ['finished']
    assert '## Measured on the test products' in (tracked / 'card.md').read_text()


def test_tensorboard_reads_it(tracked):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    (folder,) = (tracked / 'tensorboard').iterdir()
    reader = EventAccumulator(str(folder), size_guidance={})
    reader.Reload()
    epochs = history(tracked, 'epoch')
    for name in ('train_loss', 'valid_loss', 'accuracy', 'macro_f1', 'products_per_second'):
        found = reader.Scalars(f'fused/{name}')
        assert [e.step for e in found] == [0, 1, 2]
        assert [e.value for e in found] == pytest.approx([r[name] for r in epochs], rel=1e-6)
    image = reader.Images('confusion')[0]
    assert image.encoded_image_string[:4] == b'\x89PNG' and image.width > 200
    assert {'card', 'config', 'results'} <= set(reader.Tags()['tensors'])


def log_records(data, block=32768, header=7):
    """The records of a file of Weights & Biases, which is a log as LevelDB writes it: blocks with
    pieces of a checksum (4 bytes), a length (2) and a kind (1: whole, 2: first, 3: middle, 4: last)"""
    assert data[:4] == b':W&B'
    at, whole = header, b''
    while at + header <= len(data):
        if block - at % block < header:  # what is left of a block holds no piece
            at += block - at % block
            continue
        size, kind = int.from_bytes(data[at + 4 : at + 6], 'little'), data[at + 6]
        if kind == 0:
            break
        whole += data[at + header : at + header + size]
        at += header + size
        if kind in (1, 4):
            yield whole
            whole = b''


def offline_run(out):
    """History rows, step metrics and the record of a run that Weights & Biases kept offline; the
    package has no reader for Python any more, its messages are parsed by its own definitions"""
    from wandb.proto import wandb_internal_pb2

    (file,) = Path(out).glob('wandb/offline-run-*/*.wandb')
    rows, axes, run = [], {}, None
    for data in log_records(file.read_bytes()):
        record = wandb_internal_pb2.Record()
        record.ParseFromString(data)
        kind = record.WhichOneof('record_type')
        if kind == 'history':
            items = record.history.item
            rows.append({i.key or '/'.join(i.nested_key): json.loads(i.value_json) for i in items})
        elif kind == 'metric':
            axes[record.metric.glob_name or record.metric.name] = record.metric.step_metric
        elif kind == 'run':
            run = record.run
    return rows, axes, run


def test_wandb_files_hold_it(tracked):
    "Offline, the real package has written what the history holds"
    rows, axes, run = offline_run(tracked)
    epochs = history(tracked, 'epoch')
    for name in ('train_loss', 'valid_loss', 'accuracy', 'macro_f1'):
        found = [r for r in rows if f'fused/{name}' in r]
        assert [r['fused/step'] for r in found] == [0, 1, 2]
        values = [r[f'fused/{name}'] for r in found]
        assert values == pytest.approx([r[name] for r in epochs], rel=1e-9)
    assert axes['fused/*'] == 'fused/step'
    config = {i.key: json.loads(i.value_json) for i in run.config.update}
    assert run.project == 'prodclf' and config['fusion'] == 'concat'
    kinds = {k.removesuffix('/_type'): r[k] for r in rows for k in r if k.endswith('/_type')}
    assert kinds['confusion'] == 'image-file' and kinds['results'] == 'table-file'
    assert kinds['card'] == 'html-file'


def test_missing_package(small_shop, tmp_path):
    "One clear line with the remedy, before anything is done"
    words = ['train', small_shop, '--out', tmp_path / 'out', *plain, '--track', 'wandb']
    hide = "import sys; sys.modules['wandb'] = None\nfrom prodclf.cli.main import main\nmain()"
    command = [sys.executable, '-c', hide, *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True)
    line = [x for x in done.stderr.splitlines() if x.startswith('prodclf: ')]
    assert done.returncode == 1 and "pip install 'prodclf[tracking]'" in line[0], done.stderr
    assert not (tmp_path / 'out').exists()


def test_rounds_once_over_kills(start, prodclf, small_shop, tmp_path):
    "A replay that is killed and resumed has each round in its history once"
    words = ['active', small_shop, '--out', tmp_path / 'out', *plain, '--strategy', 'margin']
    words += ['--initial', 60, '--batch', 20, '--rounds', 4, '--seeds', 0]
    file = tmp_path / 'out' / 'history.jsonl'
    process = start(*words)
    deadline = time.time() + 120
    while time.time() < deadline and process.poll() is None:
        if file.exists() and file.read_text().count('"round"') >= 3:
            break
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    killed = file.read_bytes()
    file.write_bytes(killed[: len(killed) - 7] if killed.endswith(b'\n') else killed)
    prodclf(*words)
    whole = []
    for line in file.read_text().splitlines():
        try:
            whole.append(json.loads(line))
        except ValueError:
            continue
    rounds = [(r['strategy'], r['seed'], r['round']) for r in whole if r['event'] == 'round']
    assert len(rounds) == len(set(rounds))
    runs = {(s, seed) for s in ('margin', 'random') for seed in (0,)}
    assert {(s, seed) for s, seed, _ in rounds} == runs
    files = len(list((tmp_path / 'out' / 'runs').glob('*-*/round-*.npz')))
    assert len(rounds) == files


def test_fine_tuning_is_tracked(prodclf, small_shop, tmp_path):
    "Batches and epochs of every network; the learning rates of encoder and head apart"
    tiny = ['--text-encoder', 'tiny', '--image-encoder', 'none', '--max-length', 16]
    words = 'train', small_shop, '--out', tmp_path / 'out', *tiny, '--epochs', 2
    prodclf(*words, '--min-per-class', 8)
    epochs = history(tmp_path / 'out', 'epoch')
    assert [(r['model'], r['epoch']) for r in epochs] == [('text', 0), ('text', 1)]
    rates = history(tmp_path / 'out', 'batch')[0]
    assert {'lr_text', 'lr_head'} <= set(rates)
    assert os.path.getsize(tmp_path / 'out' / 'history.jsonl') < 100_000
