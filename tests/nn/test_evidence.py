"""What a log tells of an item beside its text."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp

from honeyguide.core.ragged import Ragged
from honeyguide.nn.evidence import Evidence

# Three people: {0, 1, 2}, {0, 1}, {0, 3}
PEOPLE = sp.csr_matrix(np.array([[1, 1, 1, 0], [2, 1, 0, 0], [1, 0, 0, 1]], np.float32))


def test_everything_is_counted_less_one() -> None:
    found = Evidence.of(PEOPLE)
    assert found.counts.tolist() == [2, 1, 0, 0]
    assert found.together.toarray().tolist() == [[0, 1, 0, 0], [1, 0, 0, 0], [0] * 4, [0] * 4]


def test_an_event_is_known_by_those_who_took_it_with_others_of_its_window() -> None:
    found = Evidence.of(PEOPLE).events(Ragged.from_lists([[0, 1, 3], [2, 0]]))
    np.testing.assert_allclose(np.expm1(found), [[1, 2], [1, 1], [0, 0], [0, 0], [0, 2]], rtol=1e-6)


def test_what_stands_at_a_place_says_nothing_of_what_would_belong_there() -> None:
    evidence, windows = Evidence.of(PEOPLE), Ragged.from_lists([[0, 3], [0, 1, 1]])
    found = np.expm1(evidence.candidates(windows, np.array([1, 0, 3])))
    np.testing.assert_allclose(found[0, :, 0], [0, 1, 0, 0], rtol=1e-6)  # item 0 is left
    np.testing.assert_allclose(found[1, :, 0], [0, 0, 0, 0], rtol=1e-6)  # item 3 is left
    np.testing.assert_allclose(found[2, :, 0], [1, 1, 0, 0], rtol=1e-6)  # items 0 and the other 1 are left
    np.testing.assert_allclose(found[:, :, 1], np.tile([2, 1, 0, 0], (3, 1)), rtol=1e-6)
    some = evidence.candidates(windows, np.array([1, 0, 3]), np.array([1, 0, 1]))
    np.testing.assert_allclose(np.expm1(some), found[:, [1, 0, 1]], rtol=1e-6)


@pytest.mark.parametrize("n", [0, 2])
def test_a_log_that_is_not_looked_at_says_nothing(n: int) -> None:
    nothing, windows = Evidence.nothing(4), Ragged.from_lists([[0, 1]] * n)
    assert nothing.events(windows).shape == (2 * n, 0)
    assert nothing.candidates(windows, np.arange(n)).shape == (n, 4, 0)
