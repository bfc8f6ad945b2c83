from __future__ import annotations

import numpy as np
import polars as pl

from honeyguide.core.fitting import Change
from honeyguide.core.ids import Ids
from honeyguide.core.ragged import FloatArray, Ragged
from honeyguide.models.pace import BOLD, CAREFUL, Judges, _bold_is_better, paced

ITEMS = Ids(pl.Series(range(100)))


def many(n: int) -> Change:
    """Users with three events of which the last is new, and one that lost an event."""
    before = Ragged.from_lists([*([u % 50, u % 50 + 1] for u in range(n)), [7, 8, 9]])
    after = Ragged.from_lists([*([u % 50, u % 50 + 1, u % 50 + 2] for u in range(n)), [7, 8]])
    return Change(before, after, ITEMS)


def test_judges_keep_their_last_new_event_back() -> None:
    judges = Judges.drawn(many(100), seed=0)
    assert judges is not None
    assert len(judges.targets) == 50, "half of the users that have something new"
    assert [[*row.tolist(), int(t)] for row, t in zip(judges.histories, judges.targets, strict=True)] == [
        [t - 2, t - 1, t] for t in judges.targets
    ]
    assert len(judges.change.after) == 50 + 1, "who has nothing else that is new is left out; who lost an event is not"
    assert set(judges.change.after.lengths[:-1]) == {3}
    again = Judges.drawn(many(100), seed=0)
    assert again is not None and np.array_equal(again.targets, judges.targets)
    assert len(Judges.drawn(many(5_000), seed=0).targets) == 200  # type: ignore[union-attr]


def test_few_users_judge_nothing() -> None:
    assert Judges.drawn(many(59), seed=0) is None
    assert Judges.drawn(many(60), seed=0) is not None
    assert Judges.drawn(Change(Ragged.empty(0), Ragged.empty(0), ITEMS), seed=0) is None


def test_the_bold_pace_has_to_win_beyond_noise() -> None:
    rng = np.random.default_rng(0)
    ranks = rng.normal(3.0, 1.0, 100)
    assert _bold_is_better(ranks, ranks - rng.normal(0.5, 1.0, 100))
    assert not _bold_is_better(ranks, ranks - rng.normal(0.05, 1.0, 100))
    assert not _bold_is_better(ranks, ranks + 1.0)
    assert not _bold_is_better(ranks, ranks)


def ranking(pace: float, histories: Ragged) -> FloatArray:
    """Scores of a model of which training boldly has made one that knows what comes next."""
    scores = np.zeros((len(histories), 100), np.float32)
    if pace == BOLD:
        scores[np.arange(len(histories)), [row[-1] + 1 for row in histories]] = 1
    return scores


def test_what_ranks_unseen_events_better_is_kept() -> None:
    tried: list[tuple[int, float]] = []

    def train(change: Change, pace: float) -> float:
        tried.append((len(change.after), pace))
        return pace

    assert paced(many(100), None, 0, train, ranking) == (BOLD, BOLD)
    assert tried == [(51, CAREFUL), (51, BOLD)], "both learn from the same, and not from what they are judged by"
    assert paced(many(100), None, 0, train, lambda pace, h: ranking(CAREFUL, h)) == (CAREFUL, CAREFUL)
    assert paced(many(10), None, 0, train, ranking) == (CAREFUL, None), "too few: open until the next update"
    assert paced(many(100), 0.1, 0, train, ranking) == (0.1, 0.1)
    assert tried[-1] == (101, 0.1), "a known pace is not tried, and nobody is kept back"
