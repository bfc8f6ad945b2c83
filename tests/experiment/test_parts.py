from __future__ import annotations

from dataclasses import replace

import polars as pl
import pytest

from honeyguide.core.dataset import Dataset
from honeyguide.core.errors import DataError
from honeyguide.experiment.parts import with_test, with_valid


def unsplit(books: Dataset) -> Dataset:
    return replace(books, interactions=books.interactions.drop("split"))


def test_a_fit_gets_a_part_to_choose_on_and_keeps_the_rest(books: Dataset) -> None:
    data = with_valid(unsplit(books))
    assert data.parts == ("train", "valid")
    assert data.interactions.height == books.interactions.height
    share = len(data.histories("valid").values) / books.interactions.height
    assert 0.01 < share <= 0.05
    assert with_valid(unsplit(books)).interactions.equals(data.interactions)


def test_a_published_split_is_kept(books: Dataset) -> None:
    assert with_valid(books).interactions.equals(books.interactions)
    assert with_test(books).interactions.equals(books.interactions)


def test_data_without_a_split_is_split(books: Dataset) -> None:
    data = with_test(replace(books, interactions=books.interactions.drop("split")))
    assert data.parts == ("train", "valid", "test")
    assert data.histories("test").values.tolist() == books.histories("test").values.tolist()


def test_a_split_without_test_is_refused(books: Dataset) -> None:
    frame = books.interactions.with_columns(split=pl.lit("train"), positive=pl.lit(False))
    with pytest.raises(DataError):
        with_test(replace(books, interactions=frame))
