from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from honeyguide.core.dataset import Dataset
from honeyguide.core.ragged import Ragged
from honeyguide.explain.paths import FEWEST, ItemGraph, Path, paths, shared, sharing_columns
from honeyguide.models.graph.gfcf import GFCF


def by_hand() -> ItemGraph:
    """Items 0 and 1 by six people, 1 and 2 by six others, 3 and 0 by two, 4 by nobody."""
    return ItemGraph(Ragged.from_lists([[0, 1]] * 6 + [[1, 2]] * 6 + [[3, 0, -1]] * 2), 5)


def test_people_and_weights_by_hand() -> None:
    graph = by_hand()
    assert [graph.people(0, 1), graph.people(0, 2), graph.people(3, 0), graph.people(0, 4)] == [6, 0, 2, 0]
    # A_01 = sum over 6 people of 1 / (d_u sqrt(d_0 d_1)), d_u = 2, d_0 = 8, d_1 = 12
    assert graph.weights(0)[1] == pytest.approx(6 / (2 * np.sqrt(8 * 12)))
    assert graph.weights(0)[0] == 0.0
    assert graph.weights(4).sum() == 0.0


def test_the_weights_are_those_by_which_gf_cf_scores(books: Dataset) -> None:
    """``A = R~' R~``: the linear filter of the model is the graph that paths are told from."""
    model = GFCF(alpha=0.0).fit(books)
    graph = ItemGraph(books.histories("train"), books.n_items)
    history = np.array([7], np.int32)
    scores = model.score_histories(Ragged.from_lists([history]))[0]
    others = np.arange(books.n_items) != 7
    np.testing.assert_allclose(graph.weights(7)[others], scores[others], rtol=1e-4, atol=1e-7)


def test_ways_through_people_come_first_and_a_third_item_stands_in() -> None:
    graph = by_hand()
    direct, around = paths(graph, [0, 1], 2)
    assert (direct.kind, direct.items, direct.people) == ("people", (1, 2), 6)
    assert (around.kind, around.items) == ("item", (0, 1, 2))
    assert around.weight == pytest.approx(graph.weights(0)[1] * graph.weights(1)[2])
    assert direct.sentence(lambda c: "abcde"[c], "read") == "6 people who read b also read c"
    said = around.sentence(lambda c: "abcde"[c], "read")
    assert said == "people who read a also read b, and people who read b also read c (at least 6 on each side)"


def test_a_handful_of_people_is_not_told() -> None:
    graph = by_hand()
    assert graph.people(3, 0) < FEWEST
    assert paths(graph, [3], 0) == [], "two people could be known by the way"
    assert paths(graph, [4], 0) == []


def test_attributes_that_two_items_share() -> None:
    items = pl.DataFrame(
        {
            "item_id": [1, 2, 3, 4],
            "title": ["a", "b", "c", "d"],
            "authors": ["Ann Lee, Bo Ek", "Bo Ek", None, "Ann Lee"],
            "language_code": ["eng"] * 4,
            "tags": [["crime", "war"], ["war"], [], ["sea"]],
        }
    )
    assert sharing_columns(items) == ["authors", "tags"]
    found = shared(items, ["authors", "tags"], [1, 3], 0)
    assert [p.attribute for p in found] == [("authors", "Ann Lee"), ("authors", "Bo Ek"), ("tags", "war")] or [
        p.attribute for p in found
    ] == [("authors", "Bo Ek"), ("authors", "Ann Lee"), ("tags", "war")]
    assert found[0].sentence(lambda c: items["title"][c]).endswith(("are both by Bo Ek", "are both by Ann Lee"))
    assert found[-1].sentence(lambda c: items["title"][c]) == "b and a share tags: war"
    assert shared(items, ["authors", "tags"], [2], 0) == []


def test_a_path_through_people_needs_no_verb() -> None:
    assert Path("people", (0, 1), 0.5, 1234).sentence(str) == "1,234 people who took 0 also took 1"
