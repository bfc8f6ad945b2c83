from __future__ import annotations

import numpy as np
import polars as pl
from numpy.testing import assert_array_equal

from honeyguide.core.dataset import Dataset
from honeyguide.data.build import build
from honeyguide.models.ranking.examples import is_labelled, later_events, train_events

FRAME = pl.DataFrame(
    {
        "user_id": ["a"] * 5 + ["b"] * 2,
        "item_id": [10, 11, 12, 13, 14, 11, 12],
        "position": [0, 1, 2, 3, 4, 0, 1],
        "label": [5, 1, 4, 2, 5, 1, 5],
        "split": ["train", "train", "train", "valid", "test", "train", "test"],
    }
)


def ratings() -> Dataset:
    return build("ratings", FRAME.with_columns(positive=pl.col("label") >= 4))


def listed(data: Dataset, histories: list[np.ndarray]) -> list[list[object]]:
    return [data.item_ids.decode(h).to_list() for h in histories]


def test_the_history_of_a_train_event_is_what_was_liked_before_it() -> None:
    data = ratings()
    events = train_events(data, np.random.default_rng(0))
    assert_array_equal(events.labels, [1, 0, 1, 0])
    assert listed(data, list(events.histories(np.arange(4), 50))) == [[], [10], [10], []]
    assert listed(data, list(events.histories(np.array([2]), 1))) == [[10]]


def test_the_history_of_a_later_event_is_what_was_liked_in_the_parts_before() -> None:
    data = ratings()
    test = later_events(data, "test")
    assert_array_equal(test.labels, [1, 1])
    assert listed(data, list(test.histories(np.arange(2), 50))) == [[10, 12], []]
    assert listed(data, list(test.histories(np.arange(2), 1))) == [[12], []]


def test_only_both_classes_in_train_make_labelled_data() -> None:
    assert is_labelled(ratings())
    assert not is_labelled(build("all", FRAME))
    assert not is_labelled(build("all liked", FRAME.with_columns(positive=pl.lit(True))))


def test_without_an_order_the_length_of_a_history_does_not_tell_the_label(
    unordered: Dataset,
) -> None:
    """Leaving out the event alone would give those who are liked a history shorter by one."""
    assert not unordered.ordered
    liked, met = (np.zeros(2), np.zeros(2))
    for seed in range(20):
        events = train_events(unordered, np.random.default_rng(seed))
        assert_array_equal(np.sort(events.rows), np.arange(len(events)))
        for label in (0, 1):
            liked[label] += events.before[events.labels == label].sum()
            met[label] += (events.labels == label).sum()
    lengths = liked / met
    assert abs(lengths[1] - lengths[0]) < 0.1 * lengths.mean()


def test_negatives_are_uniform_over_the_other_items_and_share_the_history() -> None:
    data = build("all", FRAME)
    events = train_events(data, np.random.default_rng(0))
    drawn = events.with_negatives(3000, data.n_items, np.random.default_rng(1))
    for row in range(len(events)):
        mine = slice(row * 3001, (row + 1) * 3001)
        assert drawn.items[mine][0] == events.items[row]
        assert_array_equal(drawn.labels[mine], [1.0] + [0.0] * 3000)
        assert_array_equal(drawn.sampled[mine], [False] + [True] * 3000)
        assert set(drawn.before[mine]) == {events.before[row]}
        counts = np.bincount(drawn.items[mine][1:], minlength=data.n_items)
        assert counts[events.items[row]] == 0
        assert counts.sum() == 3000
        assert (np.abs(np.delete(counts, events.items[row]) - 750) < 120).all()
