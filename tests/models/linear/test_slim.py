from __future__ import annotations

import numpy as np
import polars as pl
import pytest
import scipy.sparse as sp
from tests.models.linear.conftest import Ndcg

from honeyguide.core.dataset import Dataset
from honeyguide.core.ragged import Ragged
from honeyguide.data.build import build
from honeyguide.models.linear import slim
from honeyguide.models.linear.slim import SLIM, column_blocks
from honeyguide.models.popularity import Popularity


def baskets(n: int = 200, m: int = 30) -> np.ndarray:
    rng = np.random.default_rng(0)
    return (rng.random((n, m)) < 0.4 * rng.random(m)).astype(np.float32)


def data_of(a: np.ndarray) -> Dataset:
    users, items = np.nonzero(a)
    return build("baskets", pl.DataFrame({"user_id": users, "item_id": items}))


def sklearn_weights(a: np.ndarray, l1: float, l2: float) -> np.ndarray:
    """[m, m], column j the elastic net of item j on the others."""
    from sklearn.linear_model import ElasticNet

    n, found = len(a), []
    for j in range(a.shape[1]):
        others = a.astype(np.float64)
        others[:, j] = 0
        alpha, ratio = (l1 + l2) / n, l1 / (l1 + l2)
        net = ElasticNet(alpha=alpha, l1_ratio=ratio, positive=True, fit_intercept=False, tol=1e-9, max_iter=10_000)
        found.append(net.fit(others, a[:, j].astype(np.float64)).coef_)
    return np.array(found).T


@pytest.mark.parametrize(("l1", "l2"), [(1.5, 3.0), (4.0, 20.0)])
def test_weights_are_those_of_scikit_learn(l1: float, l2: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slim, "_TARGETS", 7)
    monkeypatch.setattr(slim, "_CANDIDATES", 20)
    monkeypatch.setattr(slim, "_SMALL", 0)
    a = baskets()
    model = SLIM(l1=l1, l2=l2, sweeps=500, tolerance=1e-6).fit(data_of(a))
    matrix = model.weights.matrix
    found = matrix.toarray() if sp.issparse(matrix) else matrix
    expected = sklearn_weights(a, l1, l2)
    assert 50 < (expected > 1e-6).sum() < 800
    np.testing.assert_allclose(found, expected, atol=2e-5)
    assert (np.diagonal(found) == 0).all() and (found >= 0).all()


def test_blocks_are_bounded_and_hold_every_column_with_its_candidates(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slim, "_TARGETS", 4)
    monkeypatch.setattr(slim, "_CANDIDATES", 12)
    monkeypatch.setattr(slim, "_SMALL", 0)
    a = sp.csr_matrix(baskets())
    gram = (a.T @ a).tocsr()
    together = gram.toarray() > 3
    np.fill_diagonal(together, False)
    seen: list[int] = []
    for targets, candidates in column_blocks(gram, 3.0):
        assert len(targets) <= 4
        assert len(candidates) <= 12 or len(targets) == 1
        assert set(np.flatnonzero(together[targets].any(axis=0))) == set(candidates)
        seen.extend(targets)
    assert seen == np.flatnonzero(together.any(axis=0)).tolist()


def test_scores_are_sums_of_weights_over_distinct_items() -> None:
    model = SLIM(l1=1.0, l2=5.0).fit(data_of(baskets()))
    matrix = model.weights.matrix
    w = matrix.toarray() if sp.issparse(matrix) else matrix
    scores = model.score_histories(Ragged.from_lists([[3, 5, 3], [9]]))
    np.testing.assert_allclose(scores, [w[3] + w[5], w[9]], rtol=1e-5)


def test_quality_on_books(books: Dataset, ndcg: Ndcg) -> None:
    best = np.argsort(-books.popularity("train"), kind="stable")[:200]
    few = books.interactions.filter(pl.col("user") < 600, pl.col("item").is_in(best.tolist()))
    data = build("few", few.select("user", "item", "split").rename({"user": "user_id", "item": "item_id"}))
    assert ndcg(SLIM(l2=20.0).fit(data), data) > 1.5 * ndcg(Popularity().fit(data), data)


def test_the_estimate_falls_with_l1() -> None:
    data = data_of(baskets())
    few, many = (SLIM(l1=l1).estimate(data).cpu_seconds for l1 in (8.0, 1.0))
    assert 0 < few < many


def test_the_default_l1_follows_the_takers_of_an_item() -> None:
    takers = {users: np.ones((users, 4), np.float32) for users in (3, 12, 40)}
    found = {users: SLIM().fit(data_of(a)).l1 for users, a in takers.items()}
    assert found == {3: 0.5, 12: pytest.approx(1.2), 40: 2.0}
    assert SLIM(l1=7.0).fit(data_of(takers[40])).l1 == 7.0
    scores = SLIM().fit(data_of(takers[3])).score_histories(Ragged.from_lists([[0]]))
    assert (scores[0, 1:] > 0).all(), "three users in common are evidence there"


def test_an_update_solves_again_what_the_change_touches_and_nothing_else() -> None:
    """Items of two halves that no user mixes: a change in one half leaves the columns of the other bit for bit."""
    left, right = baskets(200, 12), baskets(200, 9)
    a = np.block([[left, np.zeros((200, 9), np.float32)], [np.zeros((200, 12), np.float32), right]])
    grown = a.copy()
    grown[:15, :12] = baskets(15, 12)[::-1]
    options = {"l1": 1.0, "l2": 5.0, "sweeps": 500, "tolerance": 1e-6}
    model = SLIM(**options).fit(data_of(a))
    items = np.argsort(model.item_ids.encode(pl.Series(np.arange(21))))  # column of each code
    first = dense(model)
    changed = [Ragged.from_lists([np.flatnonzero(row[items]) for row in x[:15]]) for x in (a, grown)]
    model.update(*changed)
    second = dense(model)
    expected = sklearn_weights(grown, 1.0, 5.0)[np.ix_(items, items)]
    np.testing.assert_allclose(second, expected, atol=3e-5)
    other = items >= 12
    np.testing.assert_array_equal(second[:, other], first[:, other])
    assert np.abs(second[:, ~other] - first[:, ~other]).max() > 0.01


def dense(model: SLIM) -> np.ndarray:
    matrix = model.weights.matrix
    return np.array(matrix.toarray() if sp.issparse(matrix) else matrix)
