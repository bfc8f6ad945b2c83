"""Sums counted on against sums counted anew."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose, assert_array_equal

from honeyguide.core.artifact import unpack_csr
from honeyguide.core.errors import CapabilityError
from honeyguide.core.ragged import Ragged
from honeyguide.models.linear.cosine import cosine_neighbours, counted_neighbours, neighbours_of
from honeyguide.models.linear.pair_counts import PairCounts, grown, pack_pairs, ready, unpack_pairs
from honeyguide.models.linear.transitions import transition_counts, transition_difference


def random_sets(seed: int, users: int = 30, items: int = 12) -> sp.csr_matrix:
    matrix = sp.csr_matrix(sp.random_array((users, items), density=0.3, rng=np.random.default_rng(seed)))
    matrix.data = np.ones(matrix.nnz, np.float32)
    return matrix.astype(np.float32)


def test_a_case_by_hand() -> None:
    x = sp.csr_matrix(np.array([[1, 1, 0], [1, 0, 0]], np.float32))
    counts = PairCounts.of((x.T @ x).tocsr())
    assert_array_equal(unpack_csr("statistics.pairs", counts.pack()).toarray(), [[2, 1, 0], [0, 1, 0], [0, 0, 0]])
    assert_array_equal(counts.gram.toarray(), [[2, 1, 0], [1, 1, 0], [0, 0, 0]])
    assert_array_equal(counts.diagonal, [2, 1, 0])
    before, after = sp.csr_matrix(np.array([[1, 0, 0]], np.float32)), sp.csr_matrix(np.array([[1, 0, 1]], np.float32))
    assert_array_equal(counts.changed(before, after).gram.toarray(), [[2, 1, 1], [1, 1, 0], [1, 0, 1]])


def test_counted_on_is_counted_anew_also_when_events_go_and_items_come() -> None:
    old, new = random_sets(0), random_sets(1, items=15)
    wide = grown_rows(old, 15)
    found = PairCounts.of((old.T @ old).tocsr()).changed(wide[:9], new[:9])
    x = sp.vstack([new[:9], wide[9:]]).tocsr()
    expected = (x.T @ x).toarray()
    assert_array_equal(found.gram.toarray(), expected)
    assert found.gram.nnz == np.count_nonzero(expected), "what is no more is not kept as zero"


def grown_rows(matrix: sp.csr_matrix, n: int) -> sp.csr_matrix:
    return sp.csr_matrix((matrix.data, matrix.indices, matrix.indptr), shape=(matrix.shape[0], n))


@pytest.mark.parametrize("k", [3, 100])
def test_neighbours_from_counts_are_those_from_the_matrix(k: int) -> None:
    x = random_sets(2)
    neighbours, counts = counted_neighbours(x, k, 2.0)
    assert counts is not None
    expected = cosine_neighbours(x, k, 2.0).toarray()
    assert_array_equal(neighbours.toarray(), expected)
    assert_allclose(neighbours_of(counts, k, 2.0).toarray(), expected, rtol=1e-6)


def test_too_many_pairs_are_not_kept_and_that_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("honeyguide.models.linear.cosine.MOST_PAIRS", 10)
    _, counts = counted_neighbours(random_sets(0), 5)
    assert counts is None
    assert unpack_pairs(*pack_pairs(counts)) is None
    with pytest.raises(CapabilityError, match="pairs of items"):
        ready(counts, "itemknn")


def test_packed_and_unpacked_and_grown() -> None:
    counts = PairCounts.of((random_sets(0).T @ random_sets(0)).tocsr())
    again = unpack_pairs(*pack_pairs(counts))
    assert again is not None
    assert_array_equal(again.gram.toarray(), counts.gram.toarray())
    assert_array_equal(grown(counts.gram, 14).toarray()[:12, :12], counts.gram.toarray())
    assert grown(counts.gram, 14).shape == (14, 14)


@pytest.mark.parametrize("window", [1, 3])
def test_transitions_counted_on_are_transitions_counted_anew(window: int) -> None:
    rng = np.random.default_rng(0)
    before = [rng.integers(0, 9, rng.integers(0, 12)).tolist() for _ in range(40)]
    after = [[*row, *rng.integers(0, 9, rng.integers(0, 4)).tolist()] for row in before]
    after[0] = [4, *after[0]]  # an event from before all others
    after[1] = after[1][:-1]  # one that was taken back
    lists = [Ragged.from_lists(rows) for rows in (before, after)]
    found = transition_difference(*lists, 9, window)
    expected = transition_counts(lists[1], 9, window) - transition_counts(lists[0], 9, window)
    assert_allclose(found.toarray(), expected.toarray(), atol=1e-5)
