from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import polars as pl
import pytest
import scipy.sparse as sp

pytest.importorskip("torch")

from honeyguide.core.ragged import Ragged
from honeyguide.data.build import build
from honeyguide.lm.port import LM, Answer, LMError, Prompt, Usage
from honeyguide.lm.profiles import WORDINGS, corpus_of, item_profiles, user_profiles, written

ITEMS = pl.DataFrame({"item_id": [0, 1, 2, 3], "title": ["A red ship", "A blue ship", "Bread", None]})


class Echo(LM):
    """Answers with how often it was asked, or with nothing."""

    def __init__(self, silent: bool = False) -> None:
        super().__init__()
        self.silent, self.asked = silent, list[Prompt]()

    @property
    def name(self) -> str:
        return "echo"

    def generate(
        self, prompts: Sequence[Prompt], on_answer: Callable[[int, Answer], None] | None = None
    ) -> list[Answer]:
        self.asked += prompts
        return [
            Answer("" if self.silent else f"said {n}", "echo", p.key, "stop", Usage()) for n, p in enumerate(prompts)
        ]


def test_wordings_are_several_and_the_first_is_the_text() -> None:
    found = item_profiles(ITEMS, ["title"])
    assert found[0][0] == "A red ship"
    assert all(len(set(ways)) == WORDINGS and all("red ship" in way for way in ways) for ways in found[:1])
    assert found[3] == [""] * WORDINGS  # an item without text has no profile


def test_collaborative_text_names_what_the_same_users_took_in_training() -> None:
    pairs = sp.csr_matrix(np.array([[1, 1, 0, 0], [1, 1, 0, 1], [1, 0, 1, 0]]))
    found = item_profiles(ITEMS, ["title"], pairs, together=1)
    assert found[0][0] == "A red ship Taken together with A blue ship."
    assert "Bread" not in found[0][0]
    assert found[2][0].endswith("A red ship.")


def test_a_user_is_the_latest_items_in_words() -> None:
    found = user_profiles(Ragged.from_lists([[0, 1, 2], [], [3]]), ["A red ship", "A blue ship", "Bread", ""], recent=2)
    assert found[0][0] == "Took Bread; A blue ship"
    assert found[0][1] == "Somebody who likes A blue ship; Bread."
    assert "red" not in " ".join(found[0])
    assert found[1] == found[2] == [""] * WORDINGS


def test_a_corpus_reads_the_training_part_alone() -> None:
    frame = pl.DataFrame(
        {"user_id": [1, 1, 1], "item_id": [0, 1, 2], "position": [0, 1, 2], "split": ["train", "valid", "test"]}
    )
    corpus = corpus_of(build("d", frame, ITEMS), ["title"])
    assert corpus.users[0][0] == "Took A red ship"
    assert corpus.pairs.nnz == 1


def test_a_language_model_words_what_the_rules_found_and_nothing_else() -> None:
    lm = Echo()
    found = written(item_profiles(ITEMS, ["title"]), lm, "item")
    assert found[3] == [""] * WORDINGS
    assert found[0][0] == "said 0"
    assert len(lm.asked) == 3 * WORDINGS
    assert all("ship" in p.messages[-1].text or "Bread" in p.messages[-1].text for p in lm.asked)
    with pytest.raises(LMError, match="nothing"):
        written([["A ship"]], Echo(silent=True), "item")
