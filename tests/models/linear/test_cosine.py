"""Cosine neighbours against the definition on dense arrays."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose, assert_array_equal

from honeyguide.core.topk import top_k
from honeyguide.models.linear import cosine
from honeyguide.models.linear.cosine import cosine_neighbours, keep_largest, products_per_item


def users_by_items(density: float = 0.1) -> sp.csr_matrix:
    matrix = sp.csr_matrix(sp.random_array((80, 40), density=density, rng=np.random.default_rng(1)))
    matrix.data = np.ones(matrix.nnz, np.float32)
    return matrix


def dense_cosine(matrix: sp.csr_matrix, shrinkage: float) -> np.ndarray:
    x = matrix.toarray()
    norms = np.linalg.norm(x, axis=0)
    with np.errstate(invalid="ignore"):
        similar = np.nan_to_num((x.T @ x) / (np.outer(norms, norms) + shrinkage))
    np.fill_diagonal(similar, 0)
    return similar


@pytest.mark.parametrize("block", [1, 100, 1 << 23])  # one row at a time, some rows, all at once
@pytest.mark.parametrize("shrinkage", [0.0, 10.0])
def test_equals_the_definition(monkeypatch: pytest.MonkeyPatch, block: int, shrinkage: float) -> None:
    monkeypatch.setattr(cosine, "_BLOCK", block)
    found = cosine_neighbours(users_by_items(), 1000, shrinkage)
    assert_allclose(found.toarray(), dense_cosine(users_by_items(), shrinkage), rtol=1e-5)
    assert found.dtype == np.float32


def test_only_the_largest_are_kept() -> None:
    expected = dense_cosine(users_by_items(), 0.0)
    found = cosine_neighbours(users_by_items(), 3)
    assert (np.diff(found.indptr) <= 3).all()
    for row, line in enumerate(expected):
        assert_allclose(np.sort(found[row].data), np.sort(line[line > 0])[-3:], rtol=1e-5)


def test_ties_are_kept_by_the_lower_code() -> None:
    row = keep_largest(sp.csr_matrix(np.array([[0, 1, 2, 1, 1]], np.float32)), 3)
    assert_array_equal(row.toarray(), [[0, 1, 2, 1, 0]])


def test_the_largest_are_those_that_top_k_finds() -> None:
    rng = np.random.default_rng(3)
    dense = rng.integers(0, 5, (20, 40)).astype(np.float32)  # full of ties
    items, values = top_k(dense, 7)
    expected = np.zeros_like(dense)
    np.put_along_axis(expected, items, values, axis=1)
    assert_array_equal(keep_largest(sp.csr_matrix(dense), 7).toarray(), expected)


def test_items_without_users_and_empty_catalogues() -> None:
    lonely = sp.csr_matrix((np.ones(2, np.float32), ([0, 1], [0, 0])), shape=(2, 3))
    assert cosine_neighbours(lonely, 5).nnz == 0
    assert cosine_neighbours(sp.csr_matrix((2, 0), dtype=np.float32), 5).shape == (0, 0)


def test_the_number_of_products_is_known_beforehand() -> None:
    matrix = users_by_items()
    counts = (matrix.T @ matrix).sum(axis=1).A1  # of ones: every product counts one
    assert_array_equal(products_per_item(matrix), counts)
