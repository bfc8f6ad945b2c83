"""The item-to-item matrix: sparse and dense give the same answers."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose, assert_array_equal

from honeyguide.core.ragged import Ragged
from honeyguide.core.topk import exclude_in_place, top_k
from honeyguide.models.linear.item_weights import ItemWeights, distinct, shares

MATRIX = sp.random_array((30, 30), density=0.2, rng=np.random.default_rng(0), dtype=np.float32).tocsr()
MATRIX = sp.csr_matrix(MATRIX)


@pytest.fixture(params=["sparse", "dense"])
def weights(request: pytest.FixtureRequest) -> ItemWeights:
    return ItemWeights(MATRIX if request.param == "sparse" else MATRIX.toarray())


def test_scores_are_the_product(weights: ItemWeights) -> None:
    histories = Ragged.from_lists([[1, 2, 29], [], [5]])
    scores = weights.score(histories.to_csr(30))
    assert_allclose(scores, histories.to_csr(30).toarray() @ MATRIX.toarray(), rtol=1e-6)
    assert scores.dtype == np.float32


def test_terms_are_entries_and_unknown_items_have_none(weights: ItemWeights) -> None:
    history = np.array([3, -1, 7, 3], np.int32)
    expected = MATRIX.toarray()[history, 4] * (history >= 0)
    assert_array_equal(weights.terms(history, 4), expected)
    assert weights.terms(history[:0], 4).shape == (0,)


def test_similar_items_are_the_largest_entries_of_the_row(weights: ItemWeights) -> None:
    before = MATRIX.toarray()
    items, values = weights.similar(np.array([3, 3], np.int32), 4)
    row = before[3].copy()
    row[3] = -np.inf
    assert_array_equal(items[0], np.argsort(-row, kind="stable")[:4])
    assert_array_equal(values[1], row[items[1]])
    again = weights.matrix.toarray() if sp.issparse(weights.matrix) else weights.matrix
    assert_array_equal(again, before)


def test_packing_keeps_every_bit(weights: ItemWeights) -> None:
    again = ItemWeights.unpack(weights.pack())
    assert sp.issparse(again.matrix) == sp.issparse(weights.matrix)
    assert abs(again.matrix - weights.matrix).max() == 0


def test_a_full_matrix_is_kept_dense() -> None:
    assert not sp.issparse(ItemWeights.of(MATRIX).matrix)
    assert sp.issparse(ItemWeights.of(sp.eye_array(100, dtype=np.float32).tocsr()).matrix)


def test_events_of_one_item_share_what_it_counts() -> None:
    history = np.array([4, 9, 4, -1, 4], np.int32)
    assert_allclose(shares(history), [1 / 3, 1, 1 / 3, 1, 1 / 3])
    assert_array_equal(distinct(Ragged.from_lists([history]), 10).toarray(), [[0, 0, 0, 0, 1, 0, 0, 0, 0, 1]])


def test_ranking_reached_items_equals_ranking_all_scores() -> None:
    rng = np.random.default_rng(0)
    matrix = sp.random(600, 600, 0.02, "csr", np.float32, rng)
    histories = Ragged.from_lists([rng.integers(0, 600, rng.integers(0, 40)).tolist() for _ in range(50)])
    events, weights = distinct(histories, 600), ItemWeights(matrix)
    scores = weights.score(events)
    exclude_in_place(scores, histories)
    items, values = top_k(scores, 15)
    for found in (weights.rank(events, histories, 15), ItemWeights(matrix.toarray()).rank(events, histories, 15)):
        np.testing.assert_array_equal(found[0], items)
        np.testing.assert_allclose(found[1], values, rtol=1e-6)


def test_negative_weights_are_ranked_by_all_scores() -> None:
    """An item that nothing reaches has the score 0, which is better than a negative one."""
    weights = ItemWeights(sp.csr_matrix(np.array([[0, -2, 0, 5], *[[0] * 4] * 3], np.float32)))
    events = sp.csr_matrix(np.array([[1, 0, 0, 0]], np.float32))
    items, values = weights.rank(events, Ragged.from_lists([[0]]), 4)
    assert items.tolist() == [[3, 2, 1, -1]]
    assert values[0, :3].tolist() == [5.0, 0.0, -2.0]
