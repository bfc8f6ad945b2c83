"""Profiles in words: what an item is and what a user tends to like, by rule or written by a language model (EasyRec).

A profile has several wordings of one meaning. Rules make them by other frames and another order; what a rule made is
never called a model's.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl
import scipy.sparse as sp

from honeyguide.core.dataset import Dataset
from honeyguide.core.ragged import Ragged
from honeyguide.encode.aligning import Corpus
from honeyguide.encode.items import item_texts
from honeyguide.lm.port import LM, Answer, LMError, fenced, one_line
from honeyguide.lm.tasks import Task

WORDINGS = 4  # the first is the plain one
RECENT = 6  # items of a history that a profile names, the latest
_LONGEST = 80  # characters of a title in a profile
_ITEM = ("{}", "An item for those who like {}.", "On offer: {}", "{}; a choice of its kind.")
_USER = ("Took {}", "Somebody who likes {}.", "Has chosen {} so far.", "Interests: {}")
_TOGETHER = (" Taken together with {}.", " Goes with {}.", " People also take {}.", " Chosen by those who took {}.")


def item_profiles(
    items: pl.DataFrame,
    columns: Sequence[str] | None = None,
    pairs: sp.csr_matrix | None = None,
    together: int = 0,
) -> list[list[str]]:
    """Wordings of every item's profile, ``[m][WORDINGS]``, by rule; an item without text has empty ones.

    Parameters
    ----------
    items, columns
        See :func:`~honeyguide.encode.items.item_texts`.
    pairs
        ``[n, m]``, who took what in training.
    together
        So many titles of what was most often taken by the same users are named too: collaborative text.
    """
    texts = item_texts(items, columns)
    beside = _together(pairs, together) if pairs is not None and together else [[] for _ in texts]
    found = []
    for text, others in zip(texts, beside, strict=True):
        named = [_short(texts[j]) for j in others if texts[j]]
        rows = []
        for frame, tail in zip(_ITEM, _TOGETHER, strict=True):
            rows.append(frame.format(text) + (tail.format(", ".join(named)) if named else "") if text else "")
        found.append(rows)
    return found


def user_profiles(histories: Ragged, texts: Sequence[str], recent: int = RECENT) -> list[list[str]]:
    """Wordings of every user's profile, ``[n][WORDINGS]``, by rule: the latest items, the newest first or last.

    Parameters
    ----------
    histories
        One for each user.
    texts
        Of the items, ``[m]``.
    recent
        How many items are named.
    """
    found = []
    for history in histories.known().last(recent):
        names = [_short(texts[item]) for item in history.tolist() if texts[item]]
        ways = (names[::-1], names, names[::-1], names)
        found.append([_USER[i].format("; ".join(way)) if names else "" for i, way in enumerate(ways)])
    return found


def corpus_of(
    data: Dataset,
    columns: Sequence[str] | None = None,
    *,
    together: int = 0,
    recent: int = RECENT,
    lm: LM | None = None,
) -> Corpus:
    """The profiles of a data set, from its item table and its training part alone.

    Parameters
    ----------
    data
        With a part ``train``.
    columns, together, recent
        As above.
    lm
        Writes the profiles from those made by rule; by default they stay.
    """
    pairs = data.matrix("train")
    items = item_profiles(data.items, columns, pairs, together)
    users = user_profiles(data.histories("train"), item_texts(data.items, columns), recent)
    if lm is not None:
        items, users = written(items, lm, "item"), written(users, lm, "user")
    return Corpus(users, items, pairs)


def written(profiles: Sequence[Sequence[str]], lm: LM, kind: str) -> list[list[str]]:
    """The same profiles in the words of a language model, which is asked once for every wording; empty ones stay.

    Parameters
    ----------
    profiles
        By rule, ``[n][v]``: what the model is told.
    lm
        Any back end that generates; :class:`~honeyguide.lm.store.Kept` over it keeps its answers.
    kind
        ``"item"`` or ``"user"``.

    Raises
    ------
    LMError
        If the model does not answer.
    """
    wanted = "what this item is and who would like it" if kind == "item" else "what this person tends to like"
    rows = [(row, place) for row, ways in enumerate(profiles) for place, text in enumerate(ways) if text]
    found = [list(ways) for ways in profiles]
    for place in sorted({place for _, place in rows}):
        task: Task[str, str] = Task(
            name=f"{kind} profile {place}",
            template=lambda text: f"{fenced(text)}\nSay in at most 40 words {wanted}.",
            parse=_said,
            system="You describe tastes for a catalogue. Answer with the description alone.",
            max_tokens=80,
            temperature=0.0 if place == 0 else 0.7,
            seed=place,
        )
        own = [row for row, at in rows if at == place]
        for row, answer in zip(own, task.run(lm, [profiles[row][place] for row in own]), strict=True):
            found[row][place] = answer
    return found


def _said(answer: Answer) -> str:
    text = one_line(answer.text)
    if not text:
        raise LMError("The model answered with nothing.", "Ask another model, or use the profiles made by rule.")
    return text


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else text[:_LONGEST].rsplit(" ", 1)[0]


def _together(pairs: sp.csr_matrix, n: int) -> list[list[int]]:
    """For every item those that most of its users took as well, of equal ones the first."""
    counts = sp.csr_matrix(pairs.T @ pairs)
    counts.setdiag(0)
    counts.eliminate_zeros()
    found = []
    for item in range(counts.shape[0]):
        row = slice(counts.indptr[item], counts.indptr[item + 1])
        order = np.lexsort((counts.indices[row], -counts.data[row]))[:n]
        found.append(counts.indices[row][order].tolist())
    return found
