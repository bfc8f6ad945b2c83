"""Top-k selection against a plain sort."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from honeyguide.core.ragged import Ragged
from honeyguide.core.topk import NEVER, demote_in_place, exclude_in_place, top_k, top_k_sparse


def sorted_top_k(scores: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The definition: sort every row by falling score and rising code, drop what may not be returned."""
    items = np.full((len(scores), k), -1, np.int32)
    values = np.full((len(scores), k), NEVER, np.float32)
    for row, line in enumerate(scores):
        allowed = [(-value, code) for code, value in enumerate(line.tolist()) if value > NEVER]
        for rank, (value, code) in enumerate(sorted(allowed)[:k]):
            items[row, rank], values[row, rank] = code, -value
    return items, values


def check(scores: np.ndarray, k: int) -> None:
    before = scores.copy()
    items, values = top_k(scores, k)
    expected_items, expected_values = sorted_top_k(scores, k)
    np.testing.assert_array_equal(items, expected_items)
    np.testing.assert_array_equal(values, expected_values)
    np.testing.assert_array_equal(scores, before)  # the input stays as it is
    assert items.dtype == np.int32
    assert values.dtype == np.float32


few_values = st.sampled_from([NEVER, np.float32(np.nan), *map(np.float32, (-1, -0.0, 0, 0.5, 1, 1e30))])


@settings(max_examples=150, deadline=None)
@given(
    scores=st.tuples(st.integers(0, 5), st.integers(0, 40)).flatmap(
        lambda shape: arrays(np.float32, shape, elements=few_values)
    ),
    k=st.integers(0, 50),
)
def test_small_catalogues_full_of_ties(scores: np.ndarray, k: int) -> None:
    check(scores, k)


@pytest.mark.parametrize("n_items", [255, 256, 257, 1000, 3706])
@pytest.mark.parametrize("k", [1, 10, 100])
@pytest.mark.parametrize("kind", ["continuous", "ties", "sparse", "mostly never", "nan", "infinite"])
def test_every_kind_of_row(n_items: int, k: int, kind: str) -> None:
    rng = np.random.default_rng(n_items + k)
    scores = rng.standard_normal((90, n_items)).astype(np.float32)  # 3,706 items: several blocks of rows
    if kind == "ties":
        scores = rng.integers(0, 3, scores.shape).astype(np.float32)
    elif kind == "sparse":
        scores[rng.random(scores.shape) < 0.999] = 0
    elif kind == "mostly never":
        scores[rng.random(scores.shape) < 0.995] = NEVER
    elif kind == "nan":
        scores[rng.random(scores.shape) < 0.1] = np.nan
        scores[0] = np.nan
    elif kind == "infinite":
        scores[rng.random(scores.shape) < 0.1] = np.inf
    check(scores, k)


def test_a_list_longer_than_the_catalogue_is_padded() -> None:
    items, values = top_k(np.array([[1, 3, 2]], np.float32), 5)
    assert items.tolist() == [[1, 2, 0, -1, -1]]
    assert values.tolist() == [[3, 2, 1, NEVER, NEVER]]


def test_scores_need_not_be_contiguous() -> None:
    scores = np.random.default_rng(0).standard_normal((600, 40)).astype(np.float32)
    check(scores.T, 7)


def test_exclude_ignores_unknown_items() -> None:
    scores = np.ones((2, 3), np.float32)
    exclude_in_place(scores, Ragged.from_lists([[0, -1], [2]]))
    assert scores.tolist() == [[NEVER, 1, 1], [1, 1, NEVER]]


def test_demoted_items_lose_ties_and_nothing_else() -> None:
    scores = np.array([[1, 1, 0.5], [2, 1, 3]], np.float32)
    demote_in_place(scores, Ragged.from_lists([[0], [0, 2]]))
    assert top_k(scores, 3)[0].tolist() == [[1, 0, 2], [2, 0, 1]]


@pytest.mark.parametrize("seed", range(5))
def test_sparse_rows_have_the_lists_of_dense_rows(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n, m = 23, 5000
    density = rng.choice([0.001, 0.05, 0.6], n)
    dense = np.where(rng.random((n, m)) < density[:, None], rng.integers(0, 300, (n, m)), 0).astype(np.float32)
    excluded = Ragged.from_lists([rng.integers(-1, m + 9, rng.integers(0, 30)).tolist() for _ in range(n)])
    matrix = sp.csr_matrix(dense)
    for row in range(n):  # a product has its entries in any order
        inside = slice(matrix.indptr[row], matrix.indptr[row + 1])
        order = rng.permutation(matrix.indptr[row + 1] - matrix.indptr[row])
        matrix.data[inside], matrix.indices[inside] = matrix.data[inside][order], matrix.indices[inside][order]
    exclude_in_place(dense, excluded)
    for k in (1, 10, 50):
        items, values, complete = top_k_sparse(matrix, k, excluded)
        expected = top_k(dense, k)
        np.testing.assert_array_equal(complete, (dense > 0).sum(axis=1) >= k)
        assert complete.any()
        np.testing.assert_array_equal(items[complete], expected[0][complete])
        np.testing.assert_array_equal(values[complete], expected[1][complete])
