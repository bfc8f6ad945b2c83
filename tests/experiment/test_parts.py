from __future__ import annotations

from dataclasses import replace

import polars as pl
import pytest

from honeyguide.core.dataset import Dataset
from honeyguide.core.errors import DataError
from honeyguide.data.build import build
from honeyguide.data.reading import Reading
from honeyguide.experiment.parts import what_is_learnt, with_test, with_valid


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


def _log(users: list[str], items: list[str], table: pl.DataFrame | None = None) -> Dataset:
    events = pl.DataFrame({"user_id": users, "item_id": items}).with_row_index("position")
    return with_valid(build("log", events, table))


TALES = pl.DataFrame({"item_id": ["a", "b", "z"], "title": ["Emma", "Dracula", "Emma and Dracula"]})


def test_one_item_is_no_choice_unless_others_have_words() -> None:
    one = ["u", "v", "w"], ["a", "a", "a"]
    with pytest.raises(DataError, match=r"about one item \(a\)") as caught:
        what_is_learnt(_log(*one), Reading({"item_id": "kind"}))
    assert "If 'kind' is not the column of items" in str(caught.value)
    with pytest.raises(DataError, match="one item"):
        what_is_learnt(_log(*one, TALES.with_columns(title=pl.lit(None, pl.String))))
    said = what_is_learnt(_log(*one, TALES))
    assert said is not None and "by their words or pictures alone" in said


def test_one_user_learns_from_nobody_else() -> None:
    one = ["u"] * 3, ["a", "b", "c"]
    with pytest.raises(DataError, match=r"of one user \(u\)") as caught:
        what_is_learnt(_log(*one), Reading({"user_id": "shop"}))
    assert "If 'shop' is not the column of users" in str(caught.value)
    said = what_is_learnt(_log(*one, TALES))
    assert said is not None and "new items by their words" in said and "--seen" not in said
    said = what_is_learnt(_log(["u"] * 4, ["a", "b", "a", "b"]))
    assert said is not None and "--seen" in said and "new items" not in said


def test_two_users_and_two_items_are_enough(books: Dataset) -> None:
    assert what_is_learnt(books) is None
    assert what_is_learnt(_log(["u", "v"], ["a", "b"])) is None
    nothing = replace(books, interactions=books.interactions.with_columns(positive=pl.lit(False)))
    assert what_is_learnt(nothing) is None, "models say themselves that there is nothing"
