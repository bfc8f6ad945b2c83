"""What items are called."""

from __future__ import annotations

import polars as pl
import pytest

from honeyguide.agent.lexicon import Lexicon

TITLES = [
    "Moby-Dick or, The Whale",
    "Dune Saga: Part One",
    "Dune Saga: Part Two",
    "The Hobbit (Middle-earth, #1)",
    "Crime: A History",
    "The Big Sleep - A Novel",
    "Big Sleep",
]


@pytest.mark.parametrize(
    ("words", "item"),
    [
        ("moby dick", "1"),
        ("moby dick or the whale", "1"),
        ("dune saga part two", "3"),
        ("dune saga", None),  # two are called so
        ("the hobbit", "4"),
        ("crime", None),  # may be a genre
        ("big sleep", "7"),  # a whole title goes before a part of one
        ("the big sleep", "6"),
    ],
)
def test_an_item_is_known_by_its_title_and_by_what_stands_before_the_subtitle(words: str, item: str | None) -> None:
    lexicon = Lexicon.of(pl.DataFrame({"item_id": range(1, len(TITLES) + 1), "title": TITLES}))
    found = lexicon.title(words.split(), 0)
    assert (found and found[1]) == item


@pytest.mark.parametrize(
    ("values", "spoken"), [([1970, 2024, None], True), ([1970, 2500, 3], False), ([1999.5, 2001, 2002], False)]
)
def test_a_column_of_years_is_known_by_its_values(values: list[float | None], spoken: bool) -> None:
    lexicon = Lexicon.of(pl.DataFrame({"item_id": [1, 2, 3], "released": pl.Series(values, dtype=pl.Float64)}))
    assert (lexicon.measure("newer") is not None) == spoken
