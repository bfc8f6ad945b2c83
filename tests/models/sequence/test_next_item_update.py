from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from numpy.testing import assert_array_equal

from honeyguide.core.dataset import Dataset
from honeyguide.core.fitting import Change
from honeyguide.core.ids import Ids
from honeyguide.core.ragged import Ragged
from honeyguide.models.registry import load_model
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


def test_windows_reach_as_far_back_as_they_are_told_to() -> None:
    found = update_windows(change(None), 0.0, 50, 8, context=50)
    assert [row.tolist() for row in found] == [[*range(40), 90, 91], [50, 51]], "whole histories, once"


@pytest.mark.parametrize(("work", "others"), [(0.0, 1), (1000.0, 10)])
def test_others_fill_the_rest_of_the_work(work: float, others: int) -> None:
    replay = Ragged.from_lists([[n, n + 1, n + 2, n + 3, n + 4, n + 5] for n in range(10)])
    found = update_windows(change(replay), work, max_len=4, epochs=1)
    assert len(found) == 2 + others  # without a known work about as much as changed: 5 positions, and 4 each
    assert np.all(found.lengths <= 5)
    assert found[2].tolist() == [1, 2, 3, 4, 5]


@pytest.mark.parametrize(("turns", "pace"), [(True, 0.3), (False, 0.03)])
def test_the_first_update_chooses_its_pace(turns: bool, pace: float, data: Dataset, tmp_path: Path) -> None:
    """Where people turn round on the ring there is much to learn, where they jump about there is nothing."""
    pytest.importorskip("torch")
    from honeyguide.models.sequence.sasrec import SASRec

    small = {"dim": 16, "blocks": 1, "max_len": 20, "batch_tokens": 256, "dropout": 0.0, "event_dropout": 0.0}
    model = SASRec(**small, lr=0.01, epochs=20, patience=20, average=0.0, update_share=0.3).fit(data)
    old, rng = data.histories("train", "valid"), np.random.default_rng(0)
    steps = -np.arange(1, 4) if turns else rng.integers(0, 30, (len(old), 3))
    grown = (old.values.reshape(len(old), -1)[:, -1:] + steps) % 30
    later = Ragged.from_lists([np.append(row, new) for row, new in zip(old, grown, strict=True)])
    model.update(old, later)
    assert model.pace == pace
    if turns:
        found = model.score_histories(Ragged.from_lists([row[:-1] for row in later])).argmax(axis=1)
        assert (found == grown[:, -1]).mean() > 0.5
    model.save(tmp_path)
    assert load_model(tmp_path).pace == pace


def test_a_pace_that_is_given_is_not_chosen(data: Dataset) -> None:
    pytest.importorskip("torch")
    from honeyguide.models.sequence.sasrec import SASRec

    model = SASRec(dim=8, max_len=8, epochs=1, update_lr=0.1).fit(data)
    later = Ragged.from_lists([np.append(row, (row[-1] - 1) % 30) for row in data.histories("train", "valid")])
    model.update(data.histories("train", "valid"), later)
    assert model.pace is None
