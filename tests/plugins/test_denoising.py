"""Pieces of histories, and what is corrected in them."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from honeyguide.core.ragged import FloatArray, IntArray, Ragged
from honeyguide.plugins.denoising import Pieces, Places, Setting, corrections, pooled


class Known:
    """Says of item i that it is odd with probability i / 100, and that i + 50 belongs there."""

    def probabilities(self, windows: Ragged) -> FloatArray:
        return (windows.values / 100).astype(np.float32)

    def replacements(self, windows: Ragged, places: Places, k: int = 1) -> IntArray:
        found: IntArray = (windows.values[places] + 50)[:, None].astype(np.int32)
        return found


def test_pieces_cover_every_event_and_the_last_reaches_back() -> None:
    histories = Ragged.from_lists([list(range(7)), [9, 8], [1, 2, 3]])
    found = Pieces.of(histories, 3)
    assert [row.tolist() for row in found.windows] == [[0, 1, 2], [3, 4, 5], [4, 5, 6], [1, 2, 3]]
    np.testing.assert_array_equal(found.windows.values, histories.values[found.events])
    assert set(found.events.tolist()) == {*range(7), 9, 10, 11}, "two events are too few to call one odd"


def test_most_and_threshold_are_kept_per_piece_and_the_rest_is_as_it_was() -> None:
    times = np.arange(9, dtype=np.int64)
    histories = Ragged(np.array([0, 6, 9]), np.array([1, 40, 30, 2, 10, 20, 5, 6, 45], np.int32), times)
    found = corrections(Known(), histories, 3, Setting(0.15, 1), 0)  # type: ignore[arg-type]
    assert found.corrected.values.tolist() == [1, 90, 30, 2, 10, 70, 5, 6, 95]
    np.testing.assert_array_equal(found.corrected.offsets, histories.offsets)
    np.testing.assert_array_equal(found.corrected.times, times)
    two = corrections(Known(), histories, 3, Setting(0.15, 2), 0)  # type: ignore[arg-type]
    assert two.corrected.values.tolist() == [1, 90, 80, 2, 10, 70, 5, 6, 95]
    none = corrections(Known(), histories, 3, Setting(0.15, 0), 0)  # type: ignore[arg-type]
    assert none.corrected.values.tolist() == histories.values.tolist()


def test_an_event_in_two_pieces_is_judged_once() -> None:
    histories = Ragged.from_lists([[1, 2, 40, 3]])  # pieces 1 2 40 and 2 40 3
    found = corrections(Known(), histories, 3, Setting(0.1, 1), 3)  # type: ignore[arg-type]
    assert sorted(found.places.tolist()) == [0, 1, 2, 3] and found.applied.sum() == 1
    assert found.corrected.values.tolist() == [1, 2, 90, 3]


def test_unknown_items_and_short_histories_stay() -> None:
    histories = Ragged.from_lists([[-1, 40, 1, 2], [40, 41], []])
    found = corrections(Known(), histories, 5, Setting(0.1, 1), 3)  # type: ignore[arg-type]
    assert found.corrected.values.tolist() == [-1, 90, 1, 2, 40, 41]
    np.testing.assert_array_equal(np.isnan(found.probabilities), [True, False, False, False, True, True])
    np.testing.assert_allclose(pooled(Known(), histories, 5), [0.4, 0.01, 0.02])  # type: ignore[arg-type]
    nothing = corrections(Known(), Ragged.empty(2), 5, Setting(0.1, 1), 3)  # type: ignore[arg-type]
    assert len(nothing.places) == 0 and len(nothing.corrected) == 2


def test_the_log_names_what_was_thought_of_and_what_was_done() -> None:
    histories = Ragged.from_lists([[1, 40, 3], [2, 3, 4]])
    ids = pl.Series("item_id", [f"i{code}" for code in range(100)])
    found = corrections(Known(), histories, 3, Setting(0.15, 1), 2).frame(  # type: ignore[arg-type]
        ids, [f"Title {code}" for code in range(100)], ["ann", "bob"]
    )
    assert found.rows(named=True)[0] == {
        "user_id": "ann",
        "position": 1,
        "item_id": "i40",
        "title": "Title 40",
        "probability": pytest.approx(0.4),
        "replacement_id": "i90",
        "replacement": "Title 90",
        "applied": True,
    }
    assert found["applied"].to_list() == [True, False, False, False] and found["position"].to_list() == [1, 2, 2, 1]
