"""What a language model makes of a user's items: a vector for telling people from fakes (LLM4Dec, in LoRec).

The prompt names the scenario, lists titles and asks how likely this is a fraudster. No answer is written: the mean of
the last states of the tokens is the vector. Without a language model, a text encoder gives the mean of the titles.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np
import polars as pl

from honeyguide.core.ragged import FloatArray, Ragged
from honeyguide.encode.cache import encode_cached
from honeyguide.encode.items import ItemText, item_texts, text_columns
from honeyguide.encode.text import text_encoder
from honeyguide.lm.port import LM, one_line

UNSEEN = 2  # items at the end of a sequence that are left out
_LONGEST = 80  # characters of a title
_ASKED = (
    "A person on a service for {scenario} took these, in this order:\n{titles}\n"
    "Fraudsters make up such lists to promote an item. How likely is this person a fraudster?"
)


def detection_prompt(titles: Sequence[str], scenario: str = "items") -> str:
    """The question about one sequence.

    Parameters
    ----------
    titles
        In the order in which they were taken.
    scenario
        What kind of thing they are: games, books, news.
    """
    lines = "\n".join(f"- {one_line(title, _LONGEST)}" for title in titles)
    return _ASKED.format(scenario=scenario, titles=lines or "- nothing")


def without_last(histories: Ragged, most: int) -> Ragged:
    """The latest ``most`` items of every history before its last two; the first one where there are no more."""
    histories = histories.known()
    lengths = histories.lengths
    kept = np.where(lengths > UNSEEN, lengths - UNSEEN, np.minimum(lengths, 1))
    first = histories.offsets[:-1][histories.rows]
    return histories.where(np.arange(len(histories.values)) < first + kept[histories.rows]).last(most)


def prompts(histories: Ragged, items: pl.DataFrame, scenario: str, most: int) -> list[str]:
    """A prompt for each history, with at most ``most`` titles."""
    titles = item_texts(items, text_columns(items)[:1])
    return [
        detection_prompt([titles[item] for item in row.tolist() if titles[item]], scenario)
        for row in without_last(histories, most)
    ]


class StatesEncoder:
    """A language model as an encoder of texts, so that its vectors lie in the cache.

    Parameters
    ----------
    lm
        With the capability ``embed``.

    Raises
    ------
    CapabilityError
        If it has not.
    """

    modality = "text"
    version = "mean-of-last-states"

    def __init__(self, lm: LM) -> None:
        lm.require("embed")
        self.lm = lm

    @property
    def name(self) -> str:
        """Of the model, with its version."""
        return self.lm.name

    @cached_property
    def dim(self) -> int:
        """Width of its states."""
        return int(self.lm.embed(["width"]).shape[1])

    def encode(self, assets: Sequence[str]) -> FloatArray:
        """float32 ``[n, dim]``, as the model gives them; short texts are read together."""
        order = np.argsort([len(text) for text in assets], kind="stable")
        found = np.empty((len(assets), self.dim), np.float32)
        found[order] = self.lm.embed([assets[i] for i in order])
        return found


def states_of_users(histories: Ragged, items: pl.DataFrame, lm: LM, scenario: str, most: int) -> FloatArray:
    """Vectors z of histories from a language model, float32 ``[n, D]``; what was read once comes from the cache.

    Parameters
    ----------
    histories
        Item codes; the last two are not read.
    items
        Item table; its title is read.
    lm, scenario, most
        See :class:`StatesEncoder`, :func:`detection_prompt` and :func:`without_last`.
    """
    asked = prompts(histories, items, scenario, most)
    return encode_cached(StatesEncoder(lm), asked, lambda text: text.encode())


def titles_of_users(histories: Ragged, items: pl.DataFrame, encoder: str, most: int) -> FloatArray:
    """Vectors z of histories without a language model: the mean of the titles' vectors, float32 ``[n, D]``.

    A mean of vectors of length one is short where they have little to do with each other.
    """
    vectors = ItemText.of(items, text_encoder(encoder)).vectors(items)  # [m, D]
    read = without_last(histories, most)
    lengths = np.maximum(read.lengths, 1).astype(np.float32)[:, None]
    return np.asarray((read.to_csr(len(vectors)) @ vectors) / lengths, np.float32)
