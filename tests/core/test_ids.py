"""Ids and codes: one to one, appended never reassigned."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from honeyguide.core.errors import DataError
from honeyguide.core.ids import Ids

WORDS = st.lists(st.text(max_size=4), max_size=20)
NUMBERS = st.lists(st.integers(-(2**62), 2**62), max_size=20)


@given(ids=st.one_of(WORDS, NUMBERS))
def test_encode_and_decode_are_inverse(ids):
    dtype = pl.Int64 if ids and isinstance(ids[0], int) else pl.String
    column = pl.Series("id", ids, dtype=dtype)
    found = Ids.of(column)
    codes = found.encode(column)
    assert codes.dtype == np.int32
    assert found.decode(codes).to_list() == ids
    assert found.encode(ids).tolist() == codes.tolist()
    assert found.values.to_list() == sorted(set(ids))


@given(first=NUMBERS, second=NUMBERS)
def test_appending_never_reassigns(first, second):
    old = Ids.of(pl.Series(first, dtype=pl.Int64))
    new = old.append(pl.Series(second, dtype=pl.Int64))
    assert new.values[: len(old)].equals(old.values)
    assert set(new.values) == {*first, *second}
    assert new.append(pl.Series(second, dtype=pl.Int64)) == new


def test_few_and_many_are_looked_up_alike():
    ids = Ids.of(pl.Series(range(1000)))
    asked = [*range(990, 1010), "5", 7.0, "x", None]
    few = ids.encode(asked)
    assert few[10:].tolist() == [-1] * 10 + [5, -1, -1, -1]
    assert ids.encode(asked * 20).tolist() == few.tolist() * 20


def test_numbers_and_words_are_converted_where_that_is_unambiguous():
    words = Ids(pl.Series(["1", "a"]))
    assert words.encode([1, "a", 2]).tolist() == [0, 1, -1]
    assert words.encode(pl.Series([1, 2])).tolist() == [0, -1]
    assert Ids(pl.Series([10, 20])).encode(pl.Series(["20", "x"])).tolist() == [1, -1]


def test_unknown_codes_decode_to_null():
    ids = Ids(pl.Series(["a", "b"]))
    assert ids.decode(np.array([[1, -1], [0, 1]])).to_list() == ["b", None, "a", "b"]
    assert Ids(pl.Series([], dtype=pl.String)).decode(np.array([-1])).to_list() == [None]


@pytest.mark.parametrize("values", [["a", "a"], ["a", None], [1.5], [True]])
def test_what_cannot_be_ids(values):
    with pytest.raises(DataError):
        Ids(pl.Series(values))


def test_appending_words_to_numbers_is_an_error():
    with pytest.raises(DataError, match="'x' cannot be an id beside Int64 ids"):
        Ids(pl.Series([1])).append(pl.Series(["2", "x"]))


def test_mixed_columns_become_words():
    assert Ids.of(pl.Series([10, 9]), pl.Series(["a"])).values.to_list() == ["10", "9", "a"]
