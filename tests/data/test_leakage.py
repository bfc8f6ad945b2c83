"""Findings about splits, each on data made to have it."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import polars as pl
import pytest

from honeyguide.data.build import build
from honeyguide.data.leakage import leakage_report

DAY = [datetime(2024, 1, d, tzinfo=UTC) for d in range(1, 10)]


def report(rows: list[tuple], columns: tuple[str, ...] = ("user_id", "item_id", "timestamp", "split")):
    return leakage_report(build("d", pl.DataFrame(rows, schema=list(columns), orient="row")))


def test_nothing_to_say_about_a_clean_split_by_time():
    rows = [(1, 1, DAY[0], "train"), (2, 2, DAY[1], "train"), (1, 2, DAY[2], "test"), (2, 1, DAY[3], "test")]
    assert report(rows).findings == ()
    assert report(rows).ok


def test_the_same_event_in_two_parts():
    rows = [(1, 1, DAY[0], "train"), (1, 1, DAY[0], "test"), (1, 2, DAY[1], "test")]
    found = report(rows)["duplicates-across-parts"]
    assert (found.severity, found.count, found.share) == ("error", 1, 0.5)
    unordered = report([(1, 1, "train"), (1, 1, "test")], ("user_id", "item_id", "split"))
    assert unordered["duplicates-across-parts"].count == 1
    assert not unordered.ok


def test_train_events_after_test_events():
    rows = [(1, 1, DAY[0], "train"), (1, 2, DAY[1], "test"), (1, 3, DAY[2], "train"), (2, 2, DAY[5], "train")]
    result = report(rows)
    assert (result["future-of-user"].severity, result["future-of-user"].count) == ("error", 1)
    assert (result["future-of-all"].severity, result["future-of-all"].count) == ("warning", 2)
    placed = [(user, item, day.day, split) for user, item, day, split in rows]
    by_position = report(placed, ("user_id", "item_id", "position", "split"))
    assert by_position["future-of-user"].count == 1
    assert "future-of-all" not in by_position


def test_ties_are_counted_within_users():
    rows = [(1, 1, DAY[0], "train"), (1, 2, DAY[0], "train"), (2, 2, DAY[0], "train"), (1, 3, DAY[1], "test")]
    found = report(rows)["timestamp-ties"]
    assert (found.severity, found.count, found.share) == ("warning", 2, 0.5)
    assert "tie_shuffled" in found.remedy


def test_what_is_of_one_basket_is_no_tie():
    rows = [(1, 1, DAY[0], "a", "train"), (1, 2, DAY[0], "a", "train"), (1, 3, DAY[1], "b", "test")]
    columns = ("user_id", "item_id", "timestamp", "group_id", "split")
    assert "timestamp-ties" not in report(rows, columns)
    rows += [(2, 1, DAY[0], "c", "train"), (2, 2, DAY[0], "d", "train")]
    assert report(rows, columns)["timestamp-ties"].count == 2


def test_positions_cannot_tell_ties(goodbooks):
    assert "adjacent_swapped" in leakage_report(goodbooks)["ties-unknown"].remedy


def test_targets_seen_before_and_the_cold():
    rows = [
        (1, 1, DAY[0], "train"),
        (1, 1, DAY[4], "test"),
        (2, 9, DAY[5], "test"),
        (3, 1, DAY[1], "valid"),
        (3, 8, DAY[6], "test"),
    ]
    result = report(rows)
    assert result["repeated-targets"].count == 1
    assert result["items-not-in-train"].count == 2
    assert result["users-not-in-train"].count == 2
    assert result["users-without-history"].count == 1
    assert "cold" in result["users-not-in-train"].remedy


def test_only_positive_events_count():
    frame = pl.DataFrame({"user_id": [1, 1], "item_id": [1, 1], "split": ["train", "test"], "positive": [False, True]})
    assert "duplicates-across-parts" not in leakage_report(build("d", frame))


def test_findings_are_sorted_and_serialisable(goodbooks):
    result = leakage_report(goodbooks)
    assert result.ok
    assert result.to_dict()["findings"][0].keys() >= {"id", "severity", "count", "share", "explanation", "remedy"}
    assert str(result).startswith(f"goodbooks-mini: {len(result.findings)} findings")
    assert leakage_report(goodbooks.select("train")).findings[0].id == "ties-unknown"


@pytest.mark.parametrize(("later", "said"), [(0.0, False), (0.6, True)], ids=["at random", "what came later"])
def test_a_test_part_that_was_not_drawn_at_random_is_said(later: float, said: bool):
    rng = np.random.default_rng(0)
    users, items = rng.integers(500, size=20_000), rng.integers(400, size=20_000)
    drawn = rng.random(20_000) < np.where(items % 4 == 0, 0.2 + later, 0.2)  # a quarter of the items is held out more
    split = np.where(drawn, "test", "train")
    frame = pl.DataFrame({"user_id": users, "item_id": items, "split": split}).unique(["user_id", "item_id"])
    found = leakage_report(build("d", frame))
    assert ("test-not-drawn" in found) is said
    if said:
        assert "of 400 items" in found["test-not-drawn"].explanation
    valid = frame.with_columns(split=pl.when(pl.int_range(pl.len()) < 100).then(pl.lit("valid")).otherwise("split"))
    assert "test-not-drawn" not in leakage_report(build("d", valid)), "there is something to choose by"
