"""`MultimodalClassifier` is a scikit-learn estimator: scikit-learn's own checks, as far as they apply to frames of text."""
import inspect

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, GroupKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.utils import estimator_checks
from sklearn.utils.estimator_checks import parametrize_with_checks

from prodclf.sample.shop import sample_catalog
from prodclf.train.estimator import MultimodalClassifier

# The checks of scikit-learn that hand over no numbers. All others fit on matrices of random numbers, which are
# neither texts nor paths of images: shapes, sparse and complex input, sample weights, one-feature and one-sample
# matrices, dtypes, pandas frames of numbers, decision functions. What they promise is tested below on products.
data_free = [
    'check_estimator_cloneable',
    'check_estimator_repr',
    'check_estimator_tags_renamed',
    'check_get_params_invariance',
    'check_mixin_order',
    'check_no_attributes_set_in_init',
    'check_parameters_default_constructible',
    'check_set_params',
    'check_valid_tag_types',
]


@parametrize_with_checks([MultimodalClassifier()])
def test_scikit_learn(estimator, check):
    check(estimator)


@pytest.mark.parametrize('name', data_free)
def test_data_free_checks(name):
    check = getattr(estimator_checks, name)
    check('MultimodalClassifier', MultimodalClassifier())


@pytest.fixture(scope='module')
def shop():
    return sample_catalog(n=300, seed=5)


@pytest.fixture(scope='module')
def fitted(shop):
    return MultimodalClassifier(text='text', group='group').fit(shop, shop.label)


def test_parameters_are_kept_as_given():
    mine = ['title', 'text']
    model = MultimodalClassifier(text=mine)
    assert model.text is mine and model.get_params()['text'] is mine
    assert set(model.get_params()) == set(inspect.signature(MultimodalClassifier).parameters)
    assert not [a for a in vars(clone(model)) if a.endswith('_')]


def test_fit_returns_self_and_changes_nothing(shop, fitted):
    model, before = MultimodalClassifier(text='text'), shop.copy()
    assert model.fit(shop, shop.label) is model
    pd.testing.assert_frame_equal(shop, before)
    assert list(model.classes_) == sorted(shop.label.unique())
    assert list(model.feature_names_in_) == list(shop.columns)


def test_predictions_agree(shop, fitted):
    proba = fitted.predict_proba(shop)
    assert proba.shape == (len(shop), len(fitted.classes_))
    np.testing.assert_allclose(proba.sum(1), 1, atol=1e-6)
    assert (fitted.classes_[proba.argmax(1)] == fitted.predict(shop)).all()
    order = np.random.default_rng(0).permutation(len(shop))
    np.testing.assert_allclose(fitted.predict_proba(shop.iloc[order]), proba[order], atol=1e-6)
    again = clone(fitted).fit(shop, shop.label).predict_proba(shop)
    np.testing.assert_allclose(again, proba, atol=1e-6)


def test_labels_of_any_kind(shop):
    codes = pd.factorize(shop.label)[0] % 4
    model = MultimodalClassifier(text='text').fit(shop, codes)
    assert model.predict(shop).dtype == codes.dtype
    assert model.score(shop, codes) > 0.5


def test_cross_validation_and_search(shop):
    model = MultimodalClassifier(text='text', group='group')
    scores = cross_val_score(model, shop, shop.label, groups=shop.group, cv=GroupKFold(3))
    assert len(scores) == 3 and np.isfinite(scores).all() and scores.min() > 0.15
    search = GridSearchCV(model, dict(fusion=['auto', 'blend']), cv=2)
    assert search.fit(shop, shop.label).best_params_['fusion'] in ('auto', 'blend')
    assert make_pipeline(clone(model)).fit(shop, shop.label).score(shop, shop.label) > 0.3


class Letters:
    "An encoder of one's own: how often each letter occurs"

    name, dim = 'letters', 26

    def encode(self, texts):
        rows = [[str(t).lower().count(chr(97 + i)) for i in range(26)] for t in texts]
        return np.array(rows, np.float32).reshape(-1, 26)


def test_own_encoder_as_an_object(shop):
    model = MultimodalClassifier(text='text', text_encoder=Letters())
    model.fit(shop, shop.label)
    assert model.predictor_.encoders['text'].dim == 26
    assert model.score(shop, shop.label) > 0.3
