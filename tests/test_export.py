"""An exported folder answers as the model does: every kind of model, with and without its views, and in a process that
has no torch."""

import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

torch = pytest.importorskip('torch')
pytest.importorskip('onnxruntime')
pytest.importorskip('onnxscript')

from prodclf.core import ProdclfError  # noqa: E402
from prodclf.data.images import load_image  # noqa: E402
from prodclf.encoders.image import image_encoder  # noqa: E402
from prodclf.encoders.registry import OwnEncoder, make_encoders  # noqa: E402
from prodclf.encoders.set_pooling import image_value  # noqa: E402
from prodclf.encoders.text import TextEncoder  # noqa: E402
from prodclf.encoders.tokenize import train_tokenizer  # noqa: E402
from prodclf.models.blending import Blend  # noqa: E402
from prodclf.models.ensemble import HeadMember, SparseMember, JointMember  # noqa: E402
from prodclf.models.fusion import fusion_head  # noqa: E402
from prodclf.models.predictor import Predictor, load_model  # noqa: E402
from prodclf.models.solvers import LinearModel  # noqa: E402
from prodclf.models.sparse_text import count_texts  # noqa: E402
from prodclf.sample.shop import sample_catalog  # noqa: E402
from prodclf.serve.export import export_model  # noqa: E402
from prodclf.serve.runtime import load_export  # noqa: E402

classes = ['bags', 'cups', 'lamps', 'shoes']


@pytest.fixture(scope='module')
def shop():
    return sample_catalog(n=60, seed=7)


@pytest.fixture(scope='module')
def exported(shop, tmp_path_factory):
    "Kind -> a model, the folder it was exported to, and its card; each is exported once"
    known = {}

    def export(kind):
        if kind not in known:
            predictor, folder = kinds[kind](shop), tmp_path_factory.mktemp(kind) / 'out'
            known[kind] = predictor, folder, export_model(predictor, folder, name=kind)
        return known[kind]

    return export


def products(shop, size):
    "A table for torch and dictionaries for the engine: some without image, some without text, one without both"
    from prodclf.data.text import clean_text

    texts = [t if isinstance(t, str) else None for t in shop.text[:24]]
    images = [load_image(p, size=size) if isinstance(p, str) else None for p in shop.image[:24]]
    images[:6], texts[4:10] = [None] * 6, [None] * 6
    texts[12] = '<b>HTML</b> &amp; 陶瓷杯   ' + 'long ' * 300
    dicts = [dict(title=t or '', description='', image=im) for t, im in zip(texts, images, strict=True)]
    cleaned = [clean_text(t) if t else None for t in texts]
    return pd.DataFrame({k: pd.Series(v, dtype=object) for k, v in dict(text=cleaned, image=images).items()}), dicts


def head(name, encoders, seed=0, **options):
    torch.manual_seed(seed)
    dims = {v: e.dim for v, e in encoders.items()}
    member = HeadMember(fusion_head(name, dims, len(classes), **options).eval(), {v: v for v in dims})
    if name == 'concat':  # as a linear head that was fitted: with a measured scale
        member.head.measure({v: torch.randn(30, d) for v, d in dims.items()})
    return member


def vote(*names):
    "A blend of members whose temperatures and shares differ"
    shares = np.arange(1.0, len(names) + 1)
    temperatures = {n: 1 + i / 3 for i, n in enumerate(names)}
    prior = np.log([0.4, 0.3, 0.2, 0.1]).tolist()
    return Blend(dict(zip(names, shares / shares.sum(), strict=True)), temperatures, prior, 1.7)


def hugging_face(kind, texts, pooling='mean+max+cls+last+mean@1'):
    from transformers import AutoConfig, AutoModel

    tok = train_tokenizer(texts, 600)
    if kind == 'distilbert':
        options = dict(dim=32, n_layers=2, n_heads=2, hidden_dim=64)
    else:
        options = dict(hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64)
    config = AutoConfig.for_model(kind, vocab_size=tok.get_vocab_size(), **options)
    torch.manual_seed(1)
    return TextEncoder(AutoModel.from_config(config).eval(), tok, kind, 24, pooling).eval()


def frozen(shop):
    "Words, words with vectors, and vectors of encoders that are no networks, under one vote"
    rows = count_texts(shop.text.tolist())
    encoders = make_encoders(shop.text.tolist(), text='lsa', image='descriptors', dim=8)
    draw = np.random.default_rng(0)

    def linear(bias):
        w = draw.normal(size=(len(rows.vectorizer), len(classes)))
        return LinearModel(w, bias * draw.normal(size=len(classes)), np.full(len(classes), 0.25), 0.8)

    both = head('concat', encoders, hidden=0)
    members = dict(
        words=SparseMember(linear(1)),
        joint=JointMember(linear(0), both),
        text=head('gated', {'text': encoders['text']}),
    )
    return Predictor(classes, members, vote('words', 'joint', 'text'), encoders, rows.vectorizer)


def finetuned(shop):
    "A network for each view and one for both, each with encoders of its own; one of them does not vote"
    tiny = make_encoders(shop.text.tolist(), text='tiny', image='tiny')
    other = make_encoders(shop.text.tolist(), text='tiny', seed=5)
    encoders = {
        'text-gated': tiny['text'],
        'image-gated': tiny['image'],
        'text-text': other['text'],
        'idle': other['text'],
    }
    gated, alone = head('gated', tiny), head('attention', other)
    gated.views, alone.views = dict(text='text-gated', image='image-gated'), dict(text='text-text')
    idle = HeadMember(alone.head, dict(text='idle'))
    return Predictor(
        classes, dict(gated=gated, text=alone, idle=idle), vote('gated', 'text'), encoders, min_confidence=0.4
    )


def one_network(view, encoder):
    return Predictor(classes, {view: head('concat', {view: encoder})}, vote(view), {view: encoder})


def image_net(name, size, **options):
    torch.manual_seed(2)
    return image_encoder(name, weights=None, size=size, **options)


kinds = dict(
    frozen=frozen,
    finetuned=finetuned,
    distilbert=lambda shop: one_network('text', hugging_face('distilbert', shop.text.dropna().tolist())),
    torchvision=lambda shop: one_network('image', image_net('resnet18', 40)),
    timm=lambda shop: one_network('image', image_net('timm:test_resnet', 48, pooling='auto', fit='crop')),
)


@pytest.mark.parametrize('kind', kinds)
def test_parity(kind, shop, exported):
    if kind == 'timm':
        pytest.importorskip('timm')
    predictor, folder, card = exported(kind)
    engine = load_export(folder)
    table, dicts = products(shop, engine.image_size)
    proba, alone = engine.predict(dicts)
    assert proba.dtype == np.float32 and proba.shape == (24, 4)
    np.testing.assert_allclose(proba, predictor.predict_proba(table), atol=1e-4)
    assert np.ptp(proba, axis=0).max() > 1e-3  # the products do not all look alike to it
    for view, other in (('text', 'image'), ('image', 'text')):
        if view in engine.views:
            wanted = predictor.predict_proba(table.assign(**{other: None}))
            np.testing.assert_allclose(alone[view], wanted, atol=1e-4)
    assert list(alone) == list(engine.views)
    assert engine.threshold == predictor.min_confidence and engine.classes == classes
    assert card['variants'][1]['largest_difference'] <= 1e-4
    engine.max_images, images = 3, [p['image'] for p in dicts]
    sets = [image_value(images[i : i + 1 + i % 4], 3) for i in range(24)]  # of one to four, the first three
    assert {len(s) for s in sets if isinstance(s, tuple)} == {2, 3} and sets[0] is None
    wanted = predictor.predict_proba(table.assign(image=pd.Series(sets, dtype=object)))
    found = engine.predict([p | dict(image=images[i : i + 1 + i % 4][::-1] if i % 4 < 3 else s) for i, (p, s) in enumerate(zip(dicts, sets, strict=True))])
    np.testing.assert_allclose(found[0], wanted, atol=1e-4)
    one = [engine.predict([p])[0][0] for p in dicts[:12]]
    np.testing.assert_allclose(one, proba[:12], atol=1e-5)  # nobody depends on who else is in the batch
    assert engine.predict([])[0].shape == (0, 4)


def test_without_torch(shop, exported, tmp_path):
    "With nothing but NumPy, onnxruntime, tokenizers and Pillow, the same answers"
    predictor, folder, _ = exported('finetuned')
    table, dicts = products(shop, 64)
    for i, p in enumerate(dicts):
        if p['image']:
            p['image'].save(tmp_path / f'{i}.png')
    texts = [p['title'] for p in dicts]
    (tmp_path / 'texts.json').write_text(json.dumps(texts))
    code = """
import importlib.abc, json, os, sys
refused = {'torch', 'transformers', 'pandas', 'fastai', 'fastcore', 'scipy', 'sklearn', 'safetensors', 'typer', 'tqdm', 'filelock', 'pyarrow'}
class Refuse(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition('.')[0] in refused:
            raise ImportError(f'{name} is not to be had here')
sys.meta_path.insert(0, Refuse())
import numpy as np
from PIL import Image
from prodclf.serve.runtime import is_export, load_export
place, folder = sys.argv[1:]
assert is_export(folder)
texts = json.load(open(place + '/texts.json'))
files = [f'{place}/{i}.png' for i in range(len(texts))]
images = [Image.open(f) if os.path.exists(f) else None for f in files]
engine = load_export(folder)
proba, _ = engine.predict([dict(title=t, description='', image=im) for t, im in zip(texts, images)])
engine.max_images, some = 3, [im for im in images if im][:3]
several, turned = (engine.predict([dict(title='a mug', image=s)])[0] for s in (some, some[::-1]))
assert len(some) == 3 and (several == turned).all()
np.save(place + '/proba.npy', proba)
print(sorted({m.partition('.')[0] for m in sys.modules} & refused))
"""
    done = subprocess.run(
        [sys.executable, '-c', code, str(tmp_path), str(folder)], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == '[]'
    np.testing.assert_allclose(np.load(tmp_path / 'proba.npy'), predictor.predict_proba(table), atol=1e-4)


def test_own_code_is_refused(shop, tmp_path):
    "What is code cannot travel in a folder of numbers; nothing is left behind"

    class Letters:
        dim = 3

        def encode(self, texts):
            return np.array([[t.count(c) for c in 'abc'] for t in texts], np.float32)

    predictor = one_network('text', OwnEncoder('text', Letters()))
    with pytest.raises(ProdclfError, match='is code of your own.*Remedy'):
        export_model(predictor, tmp_path / 'out')
    assert not (tmp_path / 'out').exists()


def test_command(prodclf, shop, tmp_path):
    "Eight bits judged by labeled products, from the command line; the artifact on disk is enough"
    from prodclf.train.classifier import train_classifier
    from prodclf.train.config import TrainConfig

    catalog = sample_catalog(n=340, seed=2)
    config = TrainConfig(text='lsa', image='tiny', mode='frozen', fusion='blend', min_count=4)
    train_classifier(catalog, config).predictor.save(tmp_path / 'model')
    prodclf(
        'export',
        tmp_path / 'model',
        '--out',
        tmp_path / 'out',
        '--int8',
        '--calibration',
        'embedded',
        '--min-agreement',
        0.9,
    )
    found = json.loads((tmp_path / 'out' / 'metrics.json').read_text())
    assert [v['variant'] for v in found['variants']] == ['torch fp32', 'onnx fp32', 'onnx int8']
    assert {p['part'] for p in found['parts']} == {'image'} and {p['scales'] for p in found['parts']} == {
        'per channel',
        'per tensor',
    }
    assert all(v['products_per_second'] > 0 for v in found['variants'])
    kept = [p for p in found['parts'] if p['kept']]
    assert len(kept) <= 1 and all(p['loss'] <= 0.3 and p['agreement'] >= 0.9 for p in kept)
    assert {p['part'] for p in kept} | {p['part'] for p in found['kept_in_float']} == {'image', 'text'}
    engine, predictor = load_export(tmp_path / 'out'), load_model(tmp_path / 'model')
    table, dicts = products(shop, 64)
    agree = engine.predict(dicts)[0].argmax(1) == predictor.predict_proba(table).argmax(1)
    assert agree.mean() > 0.8
