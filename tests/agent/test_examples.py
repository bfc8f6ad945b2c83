from __future__ import annotations

import polars as pl
import pytest

from honeyguide.agent.examples import examples
from honeyguide.agent.grammar import Grammar
from honeyguide.agent.lexicon import Lexicon
from honeyguide.agent.preferences import Preferences
from honeyguide.data.load import load_data


def of(items: pl.DataFrame) -> list[str]:
    return examples(Grammar(Lexicon.of(items)), items)


def test_examples_are_in_the_words_of_the_catalogue() -> None:
    items = load_data("goodbooks-mini").items
    found = of(items)
    assert "more fantasy" in found and any(text.startswith("before 20") for text in found)
    assert any(text.startswith("only by ") for text in found) and len(found) == len(set(found)) >= 5
    grammar = Grammar(Lexicon.of(items))
    for text in found:
        wants = grammar.parse(text, Preferences()).add
        assert wants and all(want.relation != "about" for want in wants), text


@pytest.mark.parametrize(
    ("items", "expected"),
    [
        (pl.DataFrame({"item_id": [1, 2, 3]}), []),
        (pl.DataFrame({"item_id": [1, 2], "title": ["a", "b"]}), []),
        (pl.DataFrame({"item_id": [1, 2], "pages": [100, 300]}), ["shorter"]),
        (pl.DataFrame({"item_id": [1, 2], "genres": [["Crime", "Sea"], ["Crime"]]}), ["more crime"]),
        (pl.DataFrame({"item_id": [1, 2], "genres": [["a, b; c"], ["a, b; c"]]}), []),
    ],
)
def test_a_poor_catalogue_gives_few(items: pl.DataFrame, expected: list[str]) -> None:
    assert of(items) == expected
