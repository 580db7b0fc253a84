"""The twin: networks in PyTorch and in TensorFlow give the same logits, gradients, steps and curves.

TensorFlow runs in a process of its own; PRODCLF_TENSORFLOW_PYTHON names its interpreter.
"""

import copy
import json

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.numpy import load_file
from torch import nn
from torch.nn.utils import clip_grad_norm_
from transformers import BertConfig, BertModel, DistilBertConfig, DistilBertModel

from prodclf.core import ProdclfError
from prodclf.data.text import images_cell
from prodclf.encoders.image import freeze_batchnorm, image_encoder, tiny_image_encoder
from prodclf.encoders.tabular import TabularEncoder
from prodclf.encoders.text import TextEncoder, tiny_text_encoder
from prodclf.encoders.tokenize import train_tokenizer
from prodclf.models.dataloaders import ProductReader, product_dataloaders
from prodclf.models.fusion import fusion_head
from prodclf.models.learner import ProductClassifier, parameter_groups, product_learner
from prodclf.models.losses_and_callbacks import product_loss
from prodclf.models.predictor import load_model
from prodclf.sample.shop import sample_catalog, write_sample
from prodclf.train import tensorflow_learner as twin

try:
    python, absent = twin.tensorflow_python(), ''
except ProdclfError as e:
    python, absent = None, str(e)
needs_tensorflow = pytest.mark.skipif(bool(absent), reason=absent)
lr, batch = 1e-3, list(range(6))
heads = dict(
    concat=dict(hidden=32),
    gated=dict(hidden=32),
    attention=dict(width=16, tokens=2, heads=2),
)


@pytest.fixture(scope='module')
def shop():
    "Products of which some lack their text, some their image"
    shop = sample_catalog(n=40, seed=3)
    shop.loc[1, 'image'] = None
    shop.loc[4, 'text'] = None
    assert shop.image.notna().sum() > 30 and shop.text[:6].notna().sum() >= 4
    return shop


def with_more(shop):
    "The products with columns, and some with two or three images; two lack their columns"
    n = len(shop)
    photos = shop.image.dropna().tolist()
    sets = [[photos[(i * k) % len(photos)] for k in range(2, 2 + i % 3)] for i in range(n)]
    images = [images_cell(some) for some in sets]
    cells = [json.dumps(dict(brand='abc'[i % 3], price=str(10 + i * 7 % 50))) for i in range(n)]
    cells[2] = cells[7] = None
    return shop.assign(images=images, tabular=cells)


def texts(kind: str, tokenizer):
    "A small text encoder of a family, without chance"
    size = tokenizer.get_vocab_size()
    if kind == 'bert':
        none = dict(hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
        shape = dict(hidden_size=48, num_hidden_layers=3, num_attention_heads=4)
        body = BertModel(BertConfig(vocab_size=size, intermediate_size=96, **shape, **none))
        return TextEncoder(body, tokenizer, kind, 32, 'mean+cls+max@1')
    shape = dict(dim=48, n_layers=3, n_heads=4, hidden_dim=96, dropout=0.0, attention_dropout=0.0)
    return TextEncoder(DistilBertModel(DistilBertConfig(vocab_size=size, **shape)), tokenizer, kind, 32, 'mean')


def without_chance(module: nn.Module) -> nn.Module:
    "All dropouts off, and statistics of batch norm that are not the ones from the box"
    draw = torch.Generator().manual_seed(0)
    for m in module.modules():
        if isinstance(m, nn.Dropout):
            m.p = 0.0
        if isinstance(m, nn.BatchNorm2d):
            m.running_mean.normal_(0, 0.1, generator=draw)
            m.running_var.uniform_(0.8, 1.25, generator=draw)
    return module


def networks(shop) -> dict:
    "Name -> network; each encoder and each head is in one at least"
    tokenizer = train_tokenizer(shop.text.dropna().tolist(), 400)
    tiny = tiny_text_encoder(shop.text.dropna().tolist(), max_length=32)
    # deep networks with the statistics of six images multiply rounding: theirs stand still here, as
    # those of pretrained ones do in `prodclf train`
    small = dict(weights=None, size=64, pooling='auto', flip=False)
    names = ('resnet18', 'resnet50', 'mobilenet_v2')
    resnet18, resnet50, mobilenet = (image_encoder(n, **small) for n in names)
    parts = {
        'tiny, attention, several images': ('attention', tiny, tiny_image_encoder()),
        'bert, mobilenet_v2, gated': (
            'gated',
            texts('bert', tokenizer),
            freeze_batchnorm(mobilenet),
        ),
        'distilbert, resnet50, concat': (
            'concat',
            texts('distilbert', tokenizer),
            freeze_batchnorm(resnet50),
        ),
        'resnet18, columns, concat': ('concat', None, resnet18),
    }
    found = {}
    cells = with_more(shop).tabular
    for name, (fusion, text, image) in parts.items():
        tabular = TabularEncoder().fit(cells) if 'columns' in name else None
        image.to(memory_format=torch.channels_last)  # as `product_learner` does
        views = dict(text=text, image=image, tabular=tabular)
        dims = {v: e.dim for v, e in views.items() if e is not None}
        options = heads[fusion] | dict(dropout=0.0, modality_dropout=0.0)
        head = fusion_head(fusion, dims, 7, **options)
        if tabular:
            head.scale['tabular'].measure(*map(torch.from_numpy, tabular.encode(cells.tolist())))
        found[name] = without_chance(ProductClassifier(head, **views)).train()
    return found


@pytest.fixture(scope='module')
def sides(shop, tmp_path_factory):
    """Name -> (network, batch with all images, batch with those drawn, ..., its folder): what
    TensorFlow computed for all of them in one process"""
    torch.manual_seed(0)
    found, loss = {}, product_loss('balanced', np.arange(1, 8), 0.05)
    for name, model in networks(shop).items():
        folder = tmp_path_factory.mktemp('job')
        products, y = with_more(shop), np.arange(40) % 7
        if 'several' not in name:
            products = products.drop(columns='images')
        reader = ProductReader(products, **model.views)
        rows, at = reader.load(np.array(batch))
        if model.image:  # flat areas of a drawing put thousands of units exactly on a ReLU's edge
            noise = np.random.default_rng(0).integers(0, 256, (rows.ends[-1], 64, 64, 3), np.uint8)
            rows.images.kept = dict(enumerate(noise))
        assert rows.several == ('several' in name)
        drawn = np.array([0, 1, 2, 0, 1, 1]) if rows.several else np.zeros(6, int)
        twin.write_job_products(folder, reader, y, list(model.head.dims))
        groups = len(parameter_groups(model))
        plan = dict(order=batch, cuts=[len(batch)], ends=[1], lr=[[lr] * groups], mom=[0.9])
        plan |= dict(shown=drawn, active=range(groups), watch=range(6, 10), bs=4)
        np.savez(folder / 'plan.npz', **plan)
        learn = dict(do='gradients', rows=batch, training=True, shown=drawn.tolist())
        tasks = [dict(do='logits', rows=batch), learn]
        # `gradients` in training mode moves the running statistics, as one step in PyTorch does
        if 'resnet' not in name:  # a step costs a graph; two networks show it
            tasks += [dict(do='fit', plan='plan.npz')]
        twin.write_job(folder, model, tasks, loss=loss, wd=0.05, clip=1.0)
        both = rows.read(at, every=True), rows.read(at, drawn)
        found[name] = copy.deepcopy(model), *both, torch.tensor(y[batch]), loss, folder
    twin.run_jobs(*(side[-1] for side in found.values()))
    return found


def apart(a, b) -> float:
    "The distance of two arrays, as a share of the size of the first"
    a, b = (np.asarray(x, np.float64) for x in (a, b))
    return float(np.linalg.norm(a - b) / max(np.linalg.norm(a), 1e-12))


@needs_tensorflow
def test_same_logits(sides):
    "The same inputs give the same logits, for every encoder and head"
    far = {}
    for name, (model, x, *_, folder) in sides.items():
        with torch.no_grad():
            far[name] = apart(copy.deepcopy(model).eval()(x), np.load(folder / 'out-0.npy'))
    assert max(far.values()) < 1e-5, far


@needs_tensorflow
def test_same_gradients(sides):
    "One batch in training mode gives the same loss and the same gradients"
    for name, (model, _, x, y, loss, folder) in sides.items():
        mine = copy.deepcopy(model)
        value = loss(mine(x), y)
        value.backward()
        theirs = json.loads((folder / 'report.json').read_text())['tasks'][1]['loss']
        assert abs(value.item() - theirs) < 1e-5 * value.item(), (name, value.item(), theirs)
        found, whole = np.load(folder / 'out-1.npz'), 0.0
        expected = {k: p.grad.numpy() for k, p in mine.named_parameters() if p.grad is not None}
        assert set(found) == set(expected), name
        scale = np.sqrt(sum(float((g**2).sum()) for g in expected.values()))
        whole = np.sqrt(sum(float(((g - found[k]) ** 2).sum()) for k, g in expected.items()))
        assert whole < 1e-4 * scale, (name, whole / scale)


@needs_tensorflow
def test_same_step(sides):
    """One AdamW step leaves the same weights and statistics. Where the gradient is mathematically
    zero, such as that of the keys' bias, what remains of it is rounding, and its sign is chance"""
    stepped = {k: side for k, side in sides.items() if 'resnet' not in k}
    assert len(stepped) == 2
    for name, (model, _, x, y, loss, folder) in stepped.items():
        mine = copy.deepcopy(model)
        with torch.no_grad():  # the task before moved the statistics once
            mine(x)
        optimizer = torch.optim.AdamW(mine.parameters(), lr=lr, betas=(0.9, 0.999), weight_decay=0.05)
        loss(mine(x), y).backward()
        clip_grad_norm_(mine.parameters(), 1.0)
        optimizer.step()
        found, grads = load_file(folder / 'result.safetensors'), {k: p.grad for k, p in mine.named_parameters()}
        for key, value in mine.state_dict().items():
            if key.endswith(twin._stay):
                continue
            off = np.abs(value.numpy() - found[key])
            if grads.get(key) is None:
                assert off.max() < 1e-4, (name, key)
                continue
            g = grads[key].abs().numpy()
            sure = g > 1e-5
            assert off.max() < 2.01 * lr, (name, key)
            assert not sure.any() or off[sure].max() < 0.02 * lr, (name, key, off[sure].max())
        assert max(g.abs().max() for g in grads.values()) > 1e-2


def learner(n=160, **options):
    "A learner without chance: no dropout, no augmentation; it reads columns and several images"
    shop = with_more(sample_catalog(n=n, seed=0))
    vocab, half = sorted(set(shop.label)), dict(bs=32, augment=False)
    parts = shop[: n - 48], shop[n - 48 :]
    dls = product_dataloaders(*parts, vocab=vocab, tabular='columns', **half)
    calm = dict(modality_dropout=0.0, head=dict(hidden=64, dropout=0.0))
    learn = product_learner(dls, fusion='gated', **calm | options)
    for m in learn.model.modules():
        if isinstance(m, nn.Dropout):
            m.p = 0.0
    return learn


@needs_tensorflow
def test_same_curve():
    "Without chance, an epoch has the same losses on both sides"
    ours, theirs = learner(), learner()
    a, b = ours.fine_tune(2), twin.fine_tune_tensorflow(theirs, 2)
    assert a.columns.tolist() == b.columns.tolist() and len(a) == len(b) == 2
    assert np.allclose(a.train_loss, b.train_loss, rtol=0.01), (a, b)
    assert np.allclose(a.valid_loss, b.valid_loss, rtol=0.05), (a, b)
    assert theirs.model.text.learned and theirs.fit_seconds > 0
    assert list(theirs.model.head.dims) == ['text', 'image', 'tabular']


def test_refusals(prodclf, tmp_path):
    "Without TensorFlow the command says at once how to come by it; options that do nothing are refused"
    products = tmp_path / 'products.csv'
    products.write_text('title,category\na,b\n')
    out = ('--out', tmp_path / 'model')
    bare = dict(PRODCLF_TENSORFLOW_PYTHON=str(tmp_path / 'none'))
    done = prodclf('train', products, '--framework', 'tensorflow', *out, code=1, **bare)
    assert 'none cannot be started' in done.stderr
    done = prodclf('train', products, '--tensorflow-python', products, *out, code=2)
    assert '--framework tensorflow' in done.stderr
    done = prodclf('train', products, '--framework', 'jax', *out, code=2)
    assert 'pytorch, tensorflow' in done.stderr


@needs_tensorflow
def test_command(prodclf, tmp_path):
    """`train --framework tensorflow` leaves an artifact that loads, predicts and is measured as any
    other, of columns and of several images, too"""
    shop = ('--text-encoder', 'tiny', '--image-encoder', 'tiny', '--min-per-class', 4)
    small = ('--skip-single', '--fusion', 'gated', '--epochs', 2, '--seed', 1)
    write_sample(tmp_path / 'shop', n=240, seed=1)
    products, model = tmp_path / 'shop' / 'products.csv', tmp_path / 'model'
    table = pd.read_csv(products)
    table['price'], table['more'] = np.arange(240) * 7 % 90, table.image.fillna('').shift(1)
    table.to_csv(products, index=False)
    read = ('--columns', 'price', '--image', 'image,more', '--max-images', 2)
    how = ('--framework', 'tensorflow', '--tensorflow-python', python)
    prodclf('train', products, *shop, *read, *small, *how, '--out', model)
    artifact = load_model(model)
    assert artifact.notes['config']['framework'] == 'tensorflow'
    assert list(artifact.blend.weights) == ['gated'] and artifact.columns['max_images'] == 2
    assert set(artifact.encoders) == {'text-gated', 'image-gated', 'tabular-gated'}
    prodclf('evaluate', model, products, '--out', tmp_path / 'measured')
    prodclf('predict', model, products, '--out', tmp_path / 'p.csv')
    guesses = pd.read_csv(tmp_path / 'p.csv')
    assert len(guesses) == 240 and guesses.category.isin(artifact.classes).all()
