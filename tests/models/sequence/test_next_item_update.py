from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from numpy.testing import assert_array_equal

from honeyguide.core.fitting import Change
from honeyguide.core.ids import Ids
from honeyguide.core.ragged import Ragged
from honeyguide.models.sequence.next_item_update import CONTEXT, unchanged, update_windows

ITEMS = Ids(pl.Series(range(100)))


def test_what_two_lists_have_in_common_by_hand() -> None:
    before = Ragged.from_lists([[1, 2, 3], [], [1, 2, 3], [4, 5, 6], [7, 8]])
    after = Ragged.from_lists([[1, 2, 3, 9], [5], [1, 9, 2, 3], [4, 5], [7, 8]])
    assert_array_equal(unchanged(before, after), [3, 0, 1, 2, 2])


def change(replay: Ragged | None) -> Change:
    """One user with forty events, then two new ones, and one whose only two are new."""
    before = Ragged.from_lists([list(range(40)), []])
    after = Ragged.from_lists([[*range(40), 90, 91], [50, 51]])
    return Change(before, after, ITEMS, replay)


def test_windows_begin_a_little_before_what_is_new_and_come_as_often_as_the_work_allows() -> None:
    latest = [*range(40 - CONTEXT, 40), 90, 91]
    once = update_windows(change(None), work=0.0, max_len=50, epochs=8)
    assert [row.tolist() for row in once] == [latest, [50, 51]]
    positions = CONTEXT + 2
    assert len(update_windows(change(None), 3.5 * positions / 0.9, 50, 8)) == 3 * 2
    assert len(update_windows(change(None), 1000.0 * positions, 50, 8)) == 8 * 2
    assert [len(row) for row in update_windows(change(None), 0.0, 5, 8)] == [6, 2], "no longer than the model reads"


@pytest.mark.parametrize(("work", "others"), [(0.0, 1), (1000.0, 10)])
def test_others_fill_the_rest_of_the_work(work: float, others: int) -> None:
    replay = Ragged.from_lists([[n, n + 1, n + 2, n + 3, n + 4, n + 5] for n in range(10)])
    found = update_windows(change(replay), work, max_len=4, epochs=1)
    assert len(found) == 2 + others  # without a known work about as much as changed: 5 positions, and 4 each
    assert np.all(found.lengths <= 5)
    assert found[2].tolist() == [1, 2, 3, 4, 5]
