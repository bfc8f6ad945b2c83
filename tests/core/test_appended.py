"""Appending row by row: what np.concatenate gives, and nothing that was there changes."""

from __future__ import annotations

import gc

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from honeyguide.core.appended import _FILLED, appended


@given(st.lists(st.tuples(st.integers(0, 200), st.integers(0, 90)), max_size=12))
def test_any_array_that_was_made_can_be_appended_to_and_all_stay_as_they_are(steps: list[tuple[int, int]]) -> None:
    made = [np.arange(6, dtype=np.float32).reshape(3, 2)]
    copies = [made[0].copy()]
    for number, (which, k) in enumerate(steps):
        before, more = which % len(made), np.full((k, 2), 100 + number, np.float32)
        made.append(appended(made[before], more))
        copies.append(np.concatenate([copies[before], more]))
    for array, copy in zip(made, copies, strict=True):
        assert_array_equal(array, copy)
        assert array.dtype == np.float32


def test_only_now_and_then_is_everything_copied() -> None:
    rows = np.zeros((1000, 4), np.float32)
    addresses = set()
    for _ in range(500):
        rows = appended(rows, np.ones((1, 4), np.float32))
        addresses.add(rows.__array_interface__["data"][0])
    assert len(rows) == 1500
    assert len(addresses) <= 5


def test_a_part_of_what_was_made_is_not_taken_for_the_whole() -> None:
    whole = appended(np.zeros((4, 2)), np.ones((2, 2)))
    for part in (whole[1:], whole[:5], whole[::-1], whole[:, :1], whole.astype(np.float64)[:6]):
        longer = appended(part, np.full((1, part.shape[1]), 9.0))
        assert_array_equal(longer, np.concatenate([part, np.full((1, part.shape[1]), 9.0)]))
    assert_array_equal(whole, np.concatenate([np.zeros((4, 2)), np.ones((2, 2))]))


def test_one_column_and_nothing_at_all() -> None:
    share = appended(np.array([0.5, 0.25], np.float32), np.zeros(0, np.float32))
    assert_array_equal(appended(share, np.ones(1, np.float32)), np.array([0.5, 0.25, 1], np.float32))


def test_nothing_is_remembered_of_arrays_that_are_gone() -> None:
    gc.collect()
    before = len(_FILLED)
    rows = appended(np.zeros(5), np.zeros(5))
    assert len(_FILLED) == before + 1
    del rows
    gc.collect()
    assert len(_FILLED) == before
