from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from honeyguide.core.dataset import Dataset
from honeyguide.core.ragged import IntArray, Ragged
from honeyguide.core.recommender import Recommender
from honeyguide.core.requests import Requests
from honeyguide.explain.because import without
from honeyguide.explain.change import what_would_change
from honeyguide.models.linear.ease import EASE
from honeyguide.models.popularity import Popularity


@pytest.fixture(scope="module")
def ease(books: Dataset) -> EASE:
    return EASE().fit(books)


def listed(model: Recommender, history: IntArray, exclude: IntArray, k: int) -> list[int]:
    asked = Requests(Ragged.from_lists([history]), exclude=Ragged.from_lists([exclude]))
    return model.recommend(asked, k=k).items[0].tolist()


def test_what_is_named_does_take_the_item_off_the_list(ease: EASE, books: Dataset) -> None:
    found = 0
    for history in list(books.histories("train"))[:20]:
        for item in listed(ease, history, history, 5)[2:]:
            change = what_would_change(ease, history, item, k=5)
            if not change.found:
                assert len(change.removed) == 0
                continue
            found += 1
            assert set(change.removed.tolist()) <= set(history.tolist())
            kept = without(history, change.removed)
            assert item in listed(ease, history, history, 5)
            assert item not in listed(ease, kept, history, 5), "the list itself says so, not the search"
            assert change.rank_without > 5
    assert found > 30


def test_fewer_do_not_suffice(ease: EASE, books: Dataset) -> None:
    """Against all subsets: where it says *smallest* there is none smaller, and no named item is superfluous."""
    checked = 0
    for history in (row[-12:] for row in list(books.histories("train"))[:12]):
        item = listed(ease, history, history, 3)[-1]
        change = what_would_change(ease, history, item, k=3)
        if not change.found:
            continue
        checked += 1
        subsets = combinations(change.removed.tolist(), len(change.removed) - 1)
        assert all(item in listed(ease, without(history, np.array(s, np.int32)), history, 3) for s in subsets)
        if change.smallest and len(change.removed) == 2:
            for one in np.unique(history):
                assert item in listed(ease, without(history, np.array([one])), history, 3)
    assert checked > 6


def test_a_list_that_rests_on_no_history_does_not_change(books: Dataset) -> None:
    change = what_would_change(Popularity().fit(books), books.histories("train")[0], 5, k=400)
    assert (change.found, len(change.removed)) == (False, 0)


def test_an_item_outside_the_list_and_an_empty_history_have_nothing_to_change(ease: EASE, books: Dataset) -> None:
    history = books.histories("train")[0]
    last = listed(ease, history, history, 300)[-1]
    assert not what_would_change(ease, history, last, k=3).found
    empty = what_would_change(ease, history[:0], last, k=3)
    assert not empty.found and len(empty.removed) == 0
