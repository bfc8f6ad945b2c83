from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from honeyguide.core.errors import CapabilityError
from honeyguide.core.ragged import Ragged
from honeyguide.lm import suspects
from honeyguide.lm.port import LM
from honeyguide.lm.suspects import detection_prompt, prompts, states_of_users, titles_of_users, without_last

ITEMS = pl.DataFrame({"item_id": [0, 1, 2, 3, 4], "title": ["Dune", "Emma", "Ulysses", "", "Persuasion"]})
HISTORIES = Ragged.from_lists([np.array(row, np.int32) for row in ([0, 1, 2, 4], [4, 3, 1], [2], [], [1, 2])])


class Counting(LM):
    """Vectors that say how long a text is; counts what it is asked."""

    capabilities = frozenset({"embed"})

    def __init__(self) -> None:
        self.asked: list[str] = []

    @property
    def name(self) -> str:
        return "counting"

    def generate(self, prompts: Any, on_answer: Any = None) -> Any:
        raise AssertionError("no text is generated")

    def embed(self, texts: Any) -> Any:
        self.asked += texts
        return np.array([[len(text), text.count("\n"), 1.0] for text in texts], np.float32)


def test_the_last_two_items_are_left_out() -> None:
    """The trap: the calibrator would be told what the model is to predict, and the target of the last event."""
    assert [row.tolist() for row in without_last(HISTORIES, 9)] == [[0, 1], [4], [2], [], [1]]
    assert [row.tolist() for row in without_last(HISTORIES, 1)] == [[1], [4], [2], [], [1]]
    asked = prompts(HISTORIES, ITEMS, "books", 9)
    assert "Dune" in asked[0] and "Emma" in asked[0] and "Ulysses" not in asked[0] and "Persuasion" not in asked[0]


def test_the_prompt_names_the_scenario_and_lists_titles_in_order() -> None:
    prompt = detection_prompt(["Dune", "Em\nma"], "books")
    assert "books" in prompt and prompt.index("- Dune") < prompt.index("- Em ma") and "raudster" in prompt
    assert "- nothing" in detection_prompt([])


def test_no_answer_is_written_and_nothing_is_read_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HONEYGUIDE_CACHE", str(tmp_path))
    model = Counting()
    first = states_of_users(HISTORIES, ITEMS, model, "books", 9)
    assert first.shape == (5, 3)
    np.testing.assert_array_equal(first[:, 0], [len(text) for text in prompts(HISTORIES, ITEMS, "books", 9)])
    asked = len(model.asked)
    again = Counting()
    np.testing.assert_array_equal(states_of_users(HISTORIES, ITEMS, again, "books", 9), first)
    assert again.asked == ["width"] and asked == 1 + len(set(prompts(HISTORIES, ITEMS, "books", 9)))


def test_a_model_that_gives_no_vectors_is_refused_with_a_remedy() -> None:
    class Mute(Counting):
        capabilities = frozenset({"generate"})

    with pytest.raises(CapabilityError, match="cannot embed"):
        states_of_users(HISTORIES, ITEMS, Mute(), "books", 9)


def test_titles_without_a_language_model_are_means(monkeypatch: pytest.MonkeyPatch) -> None:
    table = np.array([[1, 0], [0, 1], [3, 3], [0, 0], [0, -1]], np.float32)

    class Fixed:
        @classmethod
        def of(cls, *_: Any) -> Any:
            return cls()

        def vectors(self, _: Any) -> Any:
            return table

    monkeypatch.setattr(suspects, "ItemText", Fixed)
    found = titles_of_users(HISTORIES, ITEMS, "use", 9)
    np.testing.assert_allclose(found, [[0.5, 0.5], [0, -1], [3, 3], [0, 0], [0, 1]])
