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
