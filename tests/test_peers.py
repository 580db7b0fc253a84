"""The strategies beside scikit-activeml and small-text, live, where those are installed; the
chapter on query keeps picks of theirs on small arrays for where they are not."""

import importlib.util

import numpy as np
import pytest

from prodclf.active.diversity import uherding
from prodclf.active.query import ask

peer = {
    name: pytest.mark.skipif(
        importlib.util.find_spec(name) is None, reason=f'{name} is not installed'
    )
    for name in ('skactiveml', 'small_text')
}
pytestmark = pytest.mark.filterwarnings('ignore')
n, rows, classes = 40, 1500, 12


@pytest.fixture(params=range(3))
def arrays(request):
    r = np.random.default_rng(request.param)
    draws = np.exp(2 * r.normal(size=(4, rows, classes)))
    draws /= draws.sum(2, keepdims=True)
    labeled = (
        np.arange(rows) >= rows - 30
    )  # the unlabeled first: small-text's core-set takes positions among them for rows
    return dict(
        probabilities=draws[0],
        draws=draws,
        committee=list(draws),
        embeddings=r.normal(size=(rows, 6)),
        labeled=labeled,
        seed=request.param,
    )


def top(scores, labeled):
    return np.argsort(-np.where(labeled, -1, scores))[:n]


@peer['skactiveml']
def test_scores_of_scikit_activeml(arrays):
    from skactiveml.pool import average_kl_divergence, uncertainty_scores

    for ours, theirs in dict(
        entropy='entropy', least_confidence='least_confident', margin='margin_sampling'
    ).items():
        assert list(ask(ours, n, **arrays)) == list(
            top(uncertainty_scores(arrays['probabilities'], method=theirs), arrays['labeled'])
        )
    divergence = average_kl_divergence(arrays['draws'].copy())
    assert (
        list(ask('committee', n, **arrays))
        == list(top(divergence, arrays['labeled']))
        == list(ask('bald', n, **arrays))
    )


@peer['skactiveml']
def test_core_set_of_scikit_activeml(arrays):
    from skactiveml.pool import CoreSet

    y = np.where(arrays['labeled'], 0.0, np.nan)
    assert list(ask('coreset', n, **arrays)) == list(
        CoreSet(random_state=0).query(arrays['embeddings'], y, batch_size=n)
    )


@peer['skactiveml']
def test_plain_clusters_of_scikit_activeml():
    from skactiveml.pool import ProbCover, TypiClust

    r, blob = np.random.default_rng(5), np.repeat(np.arange(6), [50, 40, 32, 25, 18, 12])
    x, labeled = (
        12 * np.eye(6)[blob] + 0.4 * r.normal(size=(len(blob), 6)),
        np.arange(len(blob)) == 60,
    )
    y, given = np.where(labeled, 0.0, np.nan), dict(embeddings=x, labeled=labeled)
    assert list(ask('typiclust', 5, **given, neighbours=5)) == list(
        TypiClust(random_state=0, k=5).query(x, y, batch_size=5)
    )
    assert list(blob[ask('probcover', 5, **given, radius=5.0)]) == list(
        blob[ProbCover(random_state=0, deltas=[5.0]).query(x, y, batch_size=5)]
    )


@peer['skactiveml']
@pytest.mark.parametrize('known', [0, 1, 30])
def test_herding_of_scikit_activeml(arrays, known):
    "Where nothing is predicted, UHerding is their MaxHerding with the same kernel"
    from skactiveml.pool import MaxHerding

    x = arrays['embeddings'] - arrays['embeddings'].mean(0)  # they do not center
    labeled = np.arange(rows) >= rows - known
    y = np.where(labeled, 0.0, np.nan)
    kernel = dict(metric_dict=dict(gamma=1 / 0.7**2), random_state=0)
    theirs = MaxHerding(**kernel).query(x, y, batch_size=n)
    assert list(uherding(n, x, labeled, width=0.7, components=None)) == list(theirs)


@peer['skactiveml']
def test_dropquery_of_scikit_activeml():
    "The same flips, in heaps that lie well apart: the same product of each"
    from skactiveml.classifier import SklearnClassifier
    from skactiveml.pool import DropQuery
    from sklearn.linear_model import LogisticRegression

    r, blob = np.random.default_rng(6), np.repeat(np.arange(6), 40)
    x = (12 * np.eye(6)[blob] + 0.4 * r.normal(size=(240, 6))).astype(np.float32)
    labeled = np.arange(240) % 40 == 0
    votes = np.tile(blob, (4, 1))
    flips = r.random((3, 240)) < 0.4
    votes[1:][flips] = (votes[1:][flips] + 1) % 6
    said = iter(votes[:, ~labeled])

    class Preset(SklearnClassifier):
        def predict(self, X):
            return next(said)

    y = np.where(labeled, blob, np.nan).astype(float)
    model = Preset(LogisticRegression(max_iter=20), classes=range(6)).fit(x, y)
    theirs = DropQuery(n_dropout_samples=3, cluster_algo_dict=dict(n_init=5), random_state=0)
    theirs = theirs.query(x, y, model, fit_clf=False, batch_size=6)
    proba = [np.eye(6, dtype=np.float32)[v] for v in votes]
    given = dict(embeddings=x, labeled=labeled, probabilities=proba[0], draws=proba[1:])
    assert (flips.sum(0)[theirs] >= 2).all()
    assert set(ask('dropquery', 6, **given)) == set(theirs)


@peer['small_text']
def test_small_text(arrays):
    from small_text.query_strategies import (
        BALD,
        BreakingTies,
        LeastConfidence,
        PredictionEntropy,
        greedy_coreset,
    )

    class Model:
        def predict_proba(self, dataset, dropout_sampling=None):
            return (
                arrays['probabilities']
                if dropout_sampling is None
                else arrays['draws'].transpose(1, 0, 2)
            )

    free, known = np.flatnonzero(~arrays['labeled']), np.flatnonzero(arrays['labeled'])
    for ours, theirs in dict(
        entropy=PredictionEntropy(),
        least_confidence=LeastConfidence(),
        margin=BreakingTies(),
        bald=BALD(4),
    ).items():
        assert set(ask(ours, n, **arrays)) == set(
            theirs.query(Model(), None, free, known, None, n=n)
        ), ours
    assert list(ask('coreset', n, **arrays)) == list(
        greedy_coreset(arrays['embeddings'], free, known, n, distance_metric='euclidean')
    )
