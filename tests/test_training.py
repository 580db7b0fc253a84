"""Training as it should be: encoders of Hugging Face by folder, a killed run that goes on, low-rank adapters, the GPU report on a CPU"""
import json

import pytest


def metrics(folder):
    return json.loads((folder/'metrics.json').read_text())


@pytest.fixture(scope='session')
def clip(tmp_path_factory):
    "A CLIP folder with random weights, as Hugging Face writes it"
    import torch
    from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel
    from prodclf.encoders.tokenize import train_tokenizer
    from prodclf.sample.shop import sample_catalog
    d = tmp_path_factory.mktemp('clip')
    tok = train_tokenizer(sample_catalog(300).text.tolist(), 600)
    size = dict(hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2)
    ids = dict(pad_token_id=0, bos_token_id=1, eos_token_id=tok.token_to_id('[SEP]'))
    torch.manual_seed(0)
    CLIPModel(CLIPConfig(text_config=size | ids | dict(vocab_size=tok.get_vocab_size(), projection_dim=24),
                         vision_config=size | dict(image_size=32, patch_size=8, projection_dim=24), projection_dim=24)).save_pretrained(d)
    tok.save(str(d/'tokenizer.json'))
    CLIPImageProcessor(size={'shortest_edge': 32}, crop_size={'height': 32, 'width': 32}).save_pretrained(d)
    return d


def test_one_name_gives_both_views(prodclf, clip, tmp_path):
    "A paired folder encodes texts and images; beside it no encoder is named"
    out = tmp_path/'e'
    prodclf('embed', 'embedded', '--encoder', clip, '--out', out, '--workers', 0)
    assert metrics(out)['dims'] == dict(text=24 + 32, image=24)
    message = ' '.join(prodclf('embed', 'embedded', '--encoder', clip, '--text-encoder', 'lsa', '--out', out, code=2).stderr.split())
    assert '--encoder' in message and 'leave out --text-encoder' in message
    prodclf('train', 'embedded', '--encoder', clip, '--out', tmp_path/'m', '--image-encoder', 'tiny', code=2)


def files(folder):
    "What a model folder holds, its settings aside"
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob('*.safetensors'))}


@pytest.fixture(scope='session')
def few(tmp_path_factory):
    "A small shop in a file"
    from prodclf.sample.shop import write_sample
    d = tmp_path_factory.mktemp('few')
    write_sample(d, n=300, seed=3)
    return d/'products.csv'


def test_a_killed_training_goes_on(prodclf, start, few, tmp_path):
    "Killed without warning at a batch that nobody chose, started again: the same model, to the last bit"
    import random
    import signal
    import time
    how = ('train', few, '--text-encoder', 'tiny', '--image-encoder', 'none', '--min-per-class', 4, '--epochs', 3,
           '--average', '--accumulate', 2, '--batch-size', 8, '--checkpoint-every', 0)
    prodclf(*how, '--out', tmp_path/'peace')
    for kill in range(2):
        out = tmp_path/f'killed{kill}'
        process = start(*how, '--out', out)
        while not list(out.glob('checkpoints/*.pt')):
            assert process.poll() is None, process.stderr.read()
            time.sleep(0.01)
        time.sleep(random.uniform(0, 0.8))
        process.send_signal(signal.SIGKILL)
        process.wait()
        if (out/'metrics.json').exists():
            continue  # it was faster
        again = prodclf(*how, '--out', out)
        assert 'going on at' in again.stderr
        assert files(out) == files(tmp_path/'peace')
        assert not (out/'checkpoints').exists()


def test_lora_of_a_folder(prodclf, clip, few, tmp_path):
    "Low-rank corrections of a pretrained folder, merged: an artifact like any other"
    out = tmp_path/'m'
    how = ('--encoder', clip, '--epochs', 1, '--min-per-class', 4, '--fusion', 'gated', '--skip-single')
    done = prodclf('train', few, *how, '--mode', 'lora', '--save-memory', '--out', out)
    assert {r['model'] for r in metrics(out)['results']} >= {'fused', 'linear_svm'}, done.stderr
    prodclf('predict', out, few, '--out', tmp_path/'p.csv')
    assert len((tmp_path/'p.csv').read_text().splitlines()) == 301
    assert not [n for n in (out/'encoder-text-gated').iterdir() if b'.up.' in n.read_bytes()]


@pytest.mark.parametrize('words, why', [
    (('--mode', 'frozen', '--checkpoint-every', 3), 'is for networks'),
    (('--network-precision', 'fp8'), 'none of fp32, bf16, fp16'),
])
def test_an_option_of_networks_acts_or_is_refused(prodclf, tmp_path, words, why):
    done = prodclf('train', 'embedded', '--out', tmp_path/'out', *words, code=None)
    assert done.returncode in (1, 2) and why in ' '.join(done.stderr.split()), done.stderr
    assert not (tmp_path/'out'/'metrics.json').exists()


def test_bench_gpu_wants_what_it_can_use(prodclf, tmp_path):
    "The small form runs in its chapter; here: what does not apply is refused, and the full size wants a GPU"
    import torch
    assert '--peer-python' in prodclf('bench', 'gpu', '--peer-python', 'python', '--out', tmp_path/'b', code=2).stderr
    if not torch.cuda.is_available():
        assert '--size small' in prodclf('bench', 'gpu', '--size', 'full', '--out', tmp_path/'b', code=1).stderr
    assert not (tmp_path/'b').exists()
