"""Requests are consistent batches; recommendations become tables with external ids."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from numpy.testing import assert_array_equal
from polars.testing import assert_frame_equal

from honeyguide.core.ids import Ids
from honeyguide.core.ragged import Ragged
from honeyguide.core.requests import Recommendations, Requests

HISTORIES = Ragged.from_lists([[0, 1], [], [2]])


@pytest.mark.parametrize(
    "part",
    [
        {"users": np.array([1], np.int32)},
        {"exclude": Ragged.empty(2)},
        {"candidates": Ragged.empty(4)},
        {"instruction": ["one"]},
        {"query": []},
    ],
    ids=lambda part: next(iter(part)),
)
def test_parts_of_another_length_are_refused(part: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(part))} has . entries for 3 histories"):
        Requests(HISTORIES, **part)


def test_the_history_is_excluded_unless_said_otherwise() -> None:
    assert Requests(HISTORIES).excluded is HISTORIES
    allowed = Ragged.empty(3)
    assert Requests(HISTORIES, exclude=allowed).excluded is allowed


def test_a_slice_takes_every_part() -> None:
    whole = Requests(
        HISTORIES,
        users=np.array([7, 8, 9], np.int32),
        exclude=Ragged.from_lists([[3], [4], [5]]),
        candidates=Ragged.from_lists([[6], [7], [8]]),
        instruction=["a", "b", "c"],
        query=["d", "e", "f"],
        seed=4,
    )
    part = whole.take(slice(1, 3))
    assert len(whole) == 3
    assert len(part) == 2
    assert [list(h) for h in part.histories] == [[], [2]]
    assert_array_equal(part.users, [8, 9])
    assert [list(e) for e in part.exclude] == [[4], [5]]
    assert [list(c) for c in part.candidates] == [[7], [8]]
    assert (part.instruction, part.query, part.seed) == (["b", "c"], ["e", "f"], 4)
    bare = Requests(HISTORIES).take(slice(0, 1))
    assert (bare.users, bare.exclude, bare.candidates, bare.instruction, bare.query) == (None,) * 5


@pytest.fixture
def lists() -> Recommendations:
    ids = Ids(pl.Series(["x", "y", "z"]))
    items = np.array([[2, 0], [1, -1], [-1, -1]], np.int32)
    scores = np.array([[0.9, 0.5], [0.7, -np.inf], [-np.inf, -np.inf]], np.float32)
    return Recommendations(items, scores, ids)


def test_a_frame_has_one_row_per_item_and_none_for_padding(lists: Recommendations) -> None:
    expected = pl.DataFrame(
        {"request": [0, 0, 1], "rank": [1, 2, 1], "item_id": ["z", "x", "y"], "score": [0.9, 0.5, 0.7]},
        schema_overrides={"rank": pl.Int32, "score": pl.Float32},
    )
    assert len(lists) == 3
    assert_frame_equal(lists.frame().collect(), expected)


@pytest.mark.parametrize("users", [[10, 20, 30], pl.Series([10, 20, 30])], ids=["list", "series"])
def test_a_frame_names_the_users(users: object, lists: Recommendations) -> None:
    frame = lists.frame(users).collect()
    assert frame.columns == ["user_id", "rank", "item_id", "score"]
    assert frame["user_id"].to_list() == [10, 10, 20]


def test_a_frame_of_nothing_keeps_its_columns(lists: Recommendations) -> None:
    nothing = Recommendations(lists.items[2:], lists.scores[2:], lists.item_ids).frame().collect()
    assert nothing.height == 0
    assert nothing.schema == pl.Schema(
        {"request": pl.Int64, "rank": pl.Int32, "item_id": pl.String, "score": pl.Float32}
    )


def test_a_frame_needs_one_user_per_list(lists: Recommendations) -> None:
    with pytest.raises(ValueError, match="2 users for 3 lists"):
        lists.frame([1, 2])
