from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp

from honeyguide.core.ragged import Ragged
from honeyguide.models.factor.fold_in import _UNSEEN, HOWS, FoldIn, How, popularity_scores

RNG = np.random.default_rng(0)
ITEMS = RNG.standard_normal((20, 4)).astype(np.float32)
TRAIN = sp.csr_matrix((RNG.random((60, 20)) < 0.3).astype(np.float32))


def fold_in(how: How, users: np.ndarray | None = None, exponent: float = 1.0) -> FoldIn:
    trained = RNG.standard_normal((60, 4)).astype(np.float32) if users is None else users
    return FoldIn.learn(how, (trained, ITEMS, ITEMS), TRAIN, exponent)


@pytest.mark.parametrize(("exponent", "divisor"), [(0.0, 1.0), (0.5, 2**0.5), (1.0, 2.0)])
def test_the_aggregate_by_hand(exponent: float, divisor: float) -> None:
    found = fold_in("aggregate", exponent=exponent).users(Ragged.from_lists([[3, 5, 3, -1], []]))
    np.testing.assert_allclose(found[0], (ITEMS[3] + ITEMS[5]) / divisor, rtol=1e-6)
    assert not found[1].any()


def test_the_map_recovers_users_that_are_linear_in_their_aggregates() -> None:
    turn = RNG.standard_normal((4, 4)).astype(np.float32)
    means = (TRAIN @ ITEMS) / np.maximum(np.diff(TRAIN.indptr), 1)[:, None]
    histories = Ragged(TRAIN.indptr.astype(np.int64), TRAIN.indices.astype(np.int32))
    np.testing.assert_allclose(fold_in("map", means @ turn).users(histories), means @ turn, atol=0.02)


def test_least_squares_is_the_minimum() -> None:
    x = fold_in("least-squares").users(Ragged.from_lists([[2, 7]]))[0].astype(np.float64)
    y = ITEMS.astype(np.float64)
    ridge = np.square(y).sum(1).mean()
    gradient = sum((x @ y[i] - 1) * y[i] for i in (2, 7)) + _UNSEEN * y.T @ (y @ x) + ridge * x
    np.testing.assert_allclose(gradient, 0, atol=1e-4)


def test_the_ascent_climbs() -> None:
    def likelihood(x: np.ndarray) -> float:
        unit = ITEMS / np.linalg.norm(ITEMS, axis=1, keepdims=True)
        scores = unit @ (x / np.linalg.norm(x)) / 0.2
        return float(np.mean(scores[[2, 7]]) - np.log(np.exp(scores).sum()))

    asked = Ragged.from_lists([[2, 7]])
    start, end = (fold_in(how).users(asked)[0] for how in ("map", "ascent"))
    assert likelihood(end) > likelihood(start)


@pytest.mark.parametrize("how", HOWS)
def test_packed_and_unpacked_is_the_same(how: How) -> None:
    before = fold_in(how)
    after = FoldIn.unpack(*before.pack())
    asked = Ragged.from_lists([[1, 2], [], [19]])
    np.testing.assert_array_equal(after.scores(asked), before.scores(asked))
    np.testing.assert_array_equal(before.scores(asked)[1], popularity_scores(TRAIN))
