"""Transitions and recency against their definitions."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from honeyguide.core.ragged import Ragged
from honeyguide.models.linear.transitions import normalise, recency, recent_events, transition_counts

N_ITEMS = 8
lists = st.lists(st.lists(st.integers(0, N_ITEMS - 1), max_size=12), max_size=6)


@settings(max_examples=60, deadline=None)
@given(histories=lists, window=st.integers(1, 6))
def test_counts_equal_the_definition(histories: list[list[int]], window: int) -> None:
    expected = np.zeros((N_ITEMS, N_ITEMS))
    for history in histories:
        for later in range(len(history)):
            for earlier in range(max(0, later - window), later):
                expected[history[earlier], history[later]] += 1 / (later - earlier)
    found = transition_counts(Ragged.from_lists(histories), N_ITEMS, window)
    assert_allclose(found.toarray(), expected, rtol=1e-6)


def test_normalisations() -> None:
    counts = sp.csr_matrix(np.array([[0, 3, 1], [0, 0, 0], [2, 0, 0]], np.float32))
    assert_array_equal(normalise(counts, "raw").toarray(), counts.toarray())
    assert_allclose(normalise(counts, "row").toarray(), [[0, 0.75, 0.25], [0, 0, 0], [1, 0, 0]])
    expected = [[0, 3 / np.sqrt(4 * 3), 1 / np.sqrt(4 * 1)], [0, 0, 0], [2 / np.sqrt(2 * 2), 0, 0]]
    assert_allclose(normalise(counts, "sym").toarray(), expected, rtol=1e-6)


def test_recency_counts_known_items_only() -> None:
    histories = Ragged.from_lists([[3, -1, 4, -1], [], [5]])
    assert_allclose(recency(histories, 0.5), [0.5, 0, 1, 0, 1])
    assert_allclose(recent_events(Ragged.from_lists([[2, 2]]), 3, 0.5).toarray(), [[0, 0, 1.5]])


def test_events_too_old_to_matter_weigh_nothing() -> None:
    weights = recency(Ragged.from_lists([np.zeros(200, np.int32)]), 0.6)
    assert weights[0] == 0
    assert weights.sum() == np.float32(2.5)
