"""Lists of different lengths against plain Python lists."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from honeyguide.core.ragged import Ragged

LISTS = st.lists(st.lists(st.integers(0, 9), max_size=6), max_size=8)


def plain(ragged: Ragged) -> list[list[int]]:
    return [row.tolist() for row in ragged]


@given(lists=LISTS)
def test_lists_come_back(lists):
    ragged = Ragged.from_lists(lists)
    assert plain(ragged) == lists
    assert ragged.lengths.tolist() == [len(row) for row in lists]
    assert ragged.rows.tolist() == [i for i, row in enumerate(lists) for _ in row]
    assert ragged.ages().tolist() == [age for row in lists for age in reversed(range(len(row)))]
    assert ragged.values.dtype == np.int32


@given(lists=LISTS, data=st.data())
def test_take_in_any_order(lists, data):
    ragged = Ragged.from_lists(lists)
    rows = data.draw(st.lists(st.integers(0, len(lists) - 1), max_size=10)) if lists else []
    assert plain(ragged.take(np.array(rows, np.int64))) == [lists[i] for i in rows]
    start, stop = data.draw(st.integers(0, 9)), data.draw(st.integers(0, 9))
    step = data.draw(st.integers(1, 3))
    assert plain(ragged.take(slice(start, stop, step))) == lists[start:stop:step]


@given(lists=LISTS, n=st.integers(1, 4))
def test_the_last_of_every_list(lists, n):
    assert plain(Ragged.from_lists(lists).last(n)) == [row[-n:] for row in lists]


@given(pairs=st.lists(st.tuples(st.lists(st.integers(0, 9), max_size=4), st.lists(st.integers(0, 9), max_size=4))))
def test_joining_by_row_and_below(pairs):
    first, second = Ragged.from_lists([a for a, _ in pairs]), Ragged.from_lists([b for _, b in pairs])
    assert plain(first.concat(second)) == [a + b for a, b in pairs]
    assert plain(first.concat_rows(second)) == [a for a, _ in pairs] + [b for _, b in pairs]


@given(lists=LISTS)
def test_as_a_matrix(lists):
    matrix = Ragged.from_lists([[*row, -1, 99] for row in lists]).to_csr(10)
    dense = np.zeros((len(lists), 10))
    for i, row in enumerate(lists):
        for item in row:
            dense[i, item] += 1
    assert np.array_equal(matrix.toarray(), dense)


def test_groups_and_empties():
    groups = np.array([0, 0, 2])
    assert plain(Ragged.from_groups(groups, np.array([5, 6, 7], np.int32), 4)) == [[5, 6], [], [7], []]
    assert plain(Ragged.empty(3)) == [[], [], []]


def test_offsets_must_fit():
    with pytest.raises(ValueError, match="offsets must run"):
        Ragged(np.array([0, 2]), np.array([1], np.int32))
    with pytest.raises(ValueError, match="cannot join 1 lists with 2"):
        Ragged.empty(1).concat(Ragged.empty(2))


def test_known_differ_and_last_of() -> None:
    lists = Ragged.from_lists([[1, -1, 2], [], [3]])
    assert [row.tolist() for row in lists.known()] == [[1, 2], [], [3]]
    assert lists.known().known() is not None
    other = Ragged.from_lists([[1, -1, 2], [4], [5]])
    assert lists.differ(other).tolist() == [False, True, True]
    assert lists.differ(lists).tolist() == [False, False, False]
    with pytest.raises(ValueError, match="cannot compare"):
        lists.differ(Ragged.empty(1))
    assert [row.tolist() for row in lists.last_of(np.array([2, 1, 0]))] == [[-1, 2], [], []]


def timed(lists: list[list[int]]) -> Ragged:
    """The lists, each value with a time of its own: ten times its place."""
    ragged = Ragged.from_lists(lists)
    return replace(ragged, times=10 * np.arange(len(ragged.values), dtype=np.int64))


def pairs(ragged: Ragged) -> list[list[tuple[int, int]]]:
    assert ragged.times is not None
    assert ragged.times.dtype == np.int64
    at = zip(ragged.offsets[:-1], ragged.offsets[1:], strict=True)
    return [list(zip(ragged.values[a:b].tolist(), ragged.times[a:b].tolist(), strict=True)) for a, b in at]


@given(lists=LISTS, n=st.integers(1, 4), data=st.data())
def test_every_operation_keeps_the_time_of_each_value(lists, n, data):
    ragged = timed(lists)
    plain_pairs = pairs(ragged)
    rows = data.draw(st.lists(st.integers(0, len(lists) - 1), max_size=10)) if lists else []
    assert pairs(ragged.take(np.array(rows, np.int64))) == [plain_pairs[i] for i in rows]
    assert pairs(ragged.take(slice(1, 4))) == plain_pairs[1:4]
    assert pairs(ragged.take(slice(0, 8, 2))) == plain_pairs[0:8:2]
    assert pairs(ragged.last(n)) == [row[-n:] for row in plain_pairs]
    assert pairs(ragged.where(ragged.values > 4)) == [[p for p in row if p[0] > 4] for row in plain_pairs]
    assert pairs(replace(ragged, values=np.where(ragged.values > 4, ragged.values, -1)).known()) == [
        [p for p in row if p[0] > 4] for row in plain_pairs
    ]
    assert pairs(ragged.concat(ragged)) == [row + row for row in plain_pairs]
    assert pairs(ragged.concat_rows(ragged)) == plain_pairs + plain_pairs


def test_times_are_of_every_value_or_of_none():
    ragged = timed([[1, 2], [3]])
    assert ragged.concat_rows(Ragged.from_lists([[4]])).times is None
    assert ragged.concat(Ragged.from_lists([[4], []])).times is None
    assert pairs(ragged.concat_rows(Ragged.empty(1))) == [[(1, 0), (2, 10)], [(3, 20)], []]
    assert pairs(Ragged.empty(1).concat_rows(ragged)) == [[], [(1, 0), (2, 10)], [(3, 20)]]
    assert Ragged.from_lists([[1]]).take(np.array([0, 0])).times is None
    with pytest.raises(ValueError, match="2 times for 3 values"):
        Ragged(ragged.offsets, ragged.values, np.zeros(2, np.int64))
