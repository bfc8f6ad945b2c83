"""Lists of different lengths against plain Python lists."""

from __future__ import annotations

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
