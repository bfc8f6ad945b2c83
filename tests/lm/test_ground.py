# ruff: noqa: E501
from __future__ import annotations

import numpy as np
import pytest

from honeyguide.core.errors import DataError, MissingExtraError

pytest.importorskip("rapidfuzz", reason="pip install 'honeyguide[lm]'")
from honeyguide.lm.ground import Grounder

FILMS = [
    "Matrix, The (1999)",
    "Few Good Men, A (1992)",
    "Seven (a.k.a. Se7en) (1995)",
    "City of God (Cidade de Deus) (2002)",
    "Star Wars: Episode IV - A New Hope (1977)",
    "Star Wars: Episode V - The Empire Strikes Back (1980)",
    "Godfather: Part II, The (1974)",
    "Toy Story 3 (2010)",
    "Lion King, The (1994)",
    "King Kong (1933)",
    "King Kong (2005)",
    "Amelie (Fabuleux destin d'Amélie Poulain, Le) (2001)",
    "(500) Days of Summer (2009)",
    "Black Panther (2017)",
    "Parasite (1982)",
    "Birdman: Or (The Unexpected Virtue of Ignorance) (2014)",
    "Mouse Hunt (1997)",
    "Monty Python's Life of Brian (1979)",
    "2001: A Space Odyssey (1968)",
    "WALL·E (2008)",
    "Stand by Me (1986)",
    "Silence of the Lambs, The (1991)",
]


@pytest.fixture(scope="module")
def films() -> Grounder:
    return Grounder(FILMS)


@pytest.mark.parametrize(
    ("text", "title", "outcome"),
    [
        ("Matrix, The (1999)", "Matrix, The (1999)", "exact"),
        ("  Toy Story 3 (2010) ", "Toy Story 3 (2010)", "exact"),
        ("The Matrix (1999)", "Matrix, The (1999)", "normalised"),
        ("the matrix", "Matrix, The (1999)", "normalised"),
        ("Matrix", "Matrix, The (1999)", "normalised"),
        ("The The Matrix (1999)", "Matrix, The (1999)", "normalised"),
        ("The Matrix, The (1999)", "Matrix, The (1999)", "normalised"),
        ("A Few Good Men (1992)", "Few Good Men, A (1992)", "normalised"),
        ("Se7en (1995)", "Seven (a.k.a. Se7en) (1995)", "normalised"),
        ("Seven (Se7en) (1995)", "Seven (a.k.a. Se7en) (1995)", "normalised"),
        ("Cidade de Deus (2002)", "City of God (Cidade de Deus) (2002)", "normalised"),
        ("City of God", "City of God (Cidade de Deus) (2002)", "normalised"),
        ("The Godfather Part 2 (1974)", "Godfather: Part II, The (1974)", "normalised"),
        ("The Godfather II (1974)", "Godfather: Part II, The (1974)", "normalised"),
        ("Amélie (2001)", "Amelie (Fabuleux destin d'Amélie Poulain, Le) (2001)", "normalised"),
        ("Le Fabuleux Destin d'Amélie Poulain (2001)", "Amelie (Fabuleux destin d'Amélie Poulain, Le) (2001)", "normalised"),
        ("500 Days of Summer (2009)", "(500) Days of Summer (2009)", "normalised"),
        ("WALL-E (2008)", "WALL·E (2008)", "normalised"),
        ("King Kong (2005)", "King Kong (2005)", "exact"),
        ("king kong (1933)", "King Kong (1933)", "normalised"),
        ("King Kong", "King Kong (2005)", "normalised"),
        ("Stand By Me", "Stand by Me (1986)", "normalised"),
        ("Stand by Me (1986) by Rob Reiner", "Stand by Me (1986)", "normalised"),
        ("Star Wars Episode 5: The Empire Strikes Back", "Star Wars: Episode V - The Empire Strikes Back (1980)", "normalised"),
        ("Silence of the Lambs (1991", "Silence of the Lambs, The (1991)", "normalised"),
        ("Silense of the Lambs (1991)", "Silence of the Lambs, The (1991)", "fuzzy"),
        ("The Empire Strikes Back (1980)", "Star Wars: Episode V - The Empire Strikes Back (1980)", "fuzzy"),
        ("The Empire Strikes Back", "Star Wars: Episode V - The Empire Strikes Back (1980)", "fuzzy"),
        ("Star Wars (1977)", "Star Wars: Episode IV - A New Hope (1977)", "fuzzy"),
        ("Black Panther (2018)", "Black Panther (2017)", "fuzzy"),
        ("The Silence of the Lambs (1992)", "Silence of the Lambs, The (1991)", "fuzzy"),
        ("Birdman (2014)", "Birdman: Or (The Unexpected Virtue of Ignorance) (2014)", "fuzzy"),
        ("Life of Brian (1979)", "Monty Python's Life of Brian (1979)", "fuzzy"),
        ("Toy Story 4 (2019)", None, "none"),
        ("Toy Story 2 (2010)", None, "none"),
        ("The Lion King (2019)", None, "none"),
        ("Parasite (2019)", None, "none"),
        ("The Hunt (1997)", None, "none"),
        ("2010: A Space Odyssey (1968)", None, "none"),
        ("The Dark Knight Trilogy (2005-2012)", None, "none"),
        ("Here are some films", None, "none"),
        ("", None, "none"),
        ("The", None, "none"),
        ("Matrix " * 100, None, "none"),
    ],
)  # fmt: skip
def test_a_text_means_one_item_or_none(films: Grounder, text: str, title: str | None, outcome: str) -> None:
    found = films.ground(text)
    assert (FILMS[found.item] if found.item >= 0 else None, found.outcome) == (title, outcome)
    assert (found.score == 0) == (title is None) and 0 <= found.score <= 1


@pytest.mark.parametrize(
    ("text", "item"),
    [
        ("The Hobbit by J.R.R. Tolkien", 0),
        ("The Hobbit - J. R. R. Tolkien", 0),
        ("Tolkien - The Hobbit", 0),
        ("Emma by Jane Austen", 1),
        ("Emma, by Austen", 1),
        ("Emma by Alexander McCall Smith", 2),
        ("Emma", 1),
        ("The Hobbit by Dan Brown", -1),
        ("Stand by Your Man", -1),
    ],
)
def test_books_are_found_by_title_and_author(text: str, item: int) -> None:
    titles = ["The Hobbit, or There and Back Again (Middle-Earth, #1) (The Hobbit)", "Emma", "Emma"]
    books = Grounder(titles, ["J.R.R. Tolkien", "Jane Austen", "Alexander McCall Smith"], popularity=[9, 5, 1])
    assert books.ground(text).item == item


@pytest.mark.parametrize(
    ("text", "item"),
    [
        ("The Hobbit by J.R.R. Tolkien", 0),
        ("The Hobbit by J. R. R. Tolkien", 0),
        ("the hobbit", 0),
        ("Dune", 1),
        ("Dune by Frank Herbert (Science Fiction)", 1),
        ("Stand by Me", 2),
        ("Stand", -1),
    ],
)
def test_books_whose_titles_name_the_author_are_found(text: str, item: int) -> None:
    books = Grounder(["The Hobbit by J. R. R. Tolkien", "Dune by Frank Herbert", "Stand by Me"])
    assert books.ground(text).item == item


@pytest.mark.parametrize(
    ("text", "item"),
    [
        ("Beatles", 0),
        ("The Beatles (Rock)", 0),
        ("AC-DC", 1),
        ("Guns and Roses", 2),
        ("Bjork", 3),
        ("Royksopp", 4),
        ("Sigur Ros (post-rock)", 5),
        ("Somebody (Rock)", -1),
        ("Madonna", -1),
    ],
)
def test_artists_are_found(text: str, item: int) -> None:
    artists = Grounder(["The Beatles", "AC/DC", "Guns N' Roses", "Björk", "Röyksopp", "Sigur Rós", "Rock"])
    assert artists.ground(text).item == item


@pytest.mark.parametrize(
    ("text", "item"),
    [
        ("Into Thin Air by Jon Krakauer", 0),
        ("Into Thin Air", 0),
        ("Stiff by Mary Roach", 1),
        ("Stiff", -1),
        ("Stiff by Dan Brown", -1),
        ("The Dark Tower", -1),
        ("The Dark Tower by Peter David", 3),
    ],
)
def test_a_title_without_its_subtitle_is_found_where_it_is_one_alone(text: str, item: int) -> None:
    titles = [
        "Into Thin Air: A Personal Account of the Mount Everest Disaster",
        "Stiff: The Curious Lives of Human Cadavers",
        "The Dark Tower: The Long Road Home",
        "The Dark Tower: The Gunslinger Born",
    ]
    creators = ["Jon Krakauer", "Mary Roach", "Robin Furth", "Peter David"]
    assert Grounder(titles, creators).ground(text).item == item


def test_which_of_equal_names_is_meant() -> None:
    assert Grounder(["Emma", "Emma"]).ground("emma").item == 1, "the last, as the released lists have it"
    assert Grounder(["Emma", "Emma"], popularity=[3, 1]).ground("emma").item == 0
    assert Grounder(["Emma", "Emma"], years=[1996, 2020]).ground("Emma (1996)").item == 0


class ByLength:
    """Vectors that know only whether a text is about space."""

    name, version, modality, dim = "space", "1", "text", 2

    def encode(self, assets: list[str]) -> np.ndarray:
        return np.array([[1.0, 0.0] if "space" in text.lower() else [0.0, 1.0] for text in assets], np.float32)


def test_what_has_no_name_is_looked_for_by_meaning() -> None:
    films = Grounder(["2001: A Space Odyssey (1968)", "Emma (1996)"], encoder=ByLength())
    found = films.ground_all(["that film of 2001 in space", "space film (2020)", "Emma"])
    assert [(one.item, one.outcome) for one in found] == [(0, "vector"), (-1, "none"), (1, "normalised")]
    assert films.ground("that film of 2001 in space").outcome == "vector", "it is remembered"


def test_what_is_given_must_be_of_one_length() -> None:
    with pytest.raises(DataError, match="not of one length"):
        Grounder(["a", "b"], ["x"])


def test_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "rapidfuzz", None)
    with pytest.raises(MissingExtraError, match=r"\[lm\]"):
        Grounder(["a"])
