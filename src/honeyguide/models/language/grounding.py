"""From a text that a model wrote to a score for every item: distances of vectors, weighed by popularity or a model.

Equations of arXiv 2308.08434, section 3.3. Shapes: n users, m items, d width.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl

from honeyguide.core.errors import DataError
from honeyguide.core.ragged import FloatArray
from honeyguide.encode.items import text_columns
from honeyguide.encode.text import text_encoder
from honeyguide.lm.batched import base_vectors
from honeyguide.lm.local import Local

BY_LM = ("lm", "lm-mean")  # spaces of the language model itself; others are text encoders
POPULARITY_GAMMAS = tuple(float(g) for g in range(100))
MODEL_GAMMAS = (*(g / 100 for g in range(100)), *(float(g) for g in range(1, 100)))
_QUOTES = " \t\r\n\"'“”‘’«»`"


def titles_of(items: pl.DataFrame, column: str | None = None) -> tuple[str, list[str]]:
    """The column of the titles, by default the first that says in words what an item is, and a title per item.

    Raises
    ------
    DataError
        If there is no such column.
    """
    found = text_columns(items) if column is None else [column]
    if not found or found[0] not in items.columns:
        raise DataError(
            "the items have no titles." if column is None else f"the items have no column {column!r}.",
            "Give a table with one with --items FILE.",
        )
    values = items[found[0]].cast(pl.String).fill_null("").to_list()
    return found[0], [cleaned(value) for value in values]


def cleaned(text: str) -> str:
    """A title without quotes and blanks around it; catalogue and answers must be read alike."""
    lines = [line for line in text.strip().split("\n") if line.strip(_QUOTES)]
    return " ".join(lines[0].split()).strip(_QUOTES) if lines else ""


def vectors_of(texts: Sequence[str], space: str, model: Local | None = None) -> FloatArray:
    """float32 ``[n, d]`` of texts.

    Parameters
    ----------
    texts
        An empty one is read as a blank.
    space
        ``lm`` (last token of the language model before it was tuned), ``lm-mean`` (mean of its states), or the name
        of a text encoder.
    model
        For the first two.
    """
    told = [text or " " for text in texts]
    if space in BY_LM and model is not None:
        return base_vectors(model, told, mean=space == "lm-mean")
    return text_encoder(space).encode(told) if told else np.empty((0, text_encoder(space).dim), np.float32)


def distances(written: FloatArray, items: FloatArray) -> FloatArray:
    """``D_i = ||e(text) - e_i||``: float32 ``[n, m]``."""
    a, b = written.astype(np.float64), items.astype(np.float64)
    squared = (a**2).sum(1)[:, None] + (b**2).sum(1)[None] - 2 * a @ b.T
    found: FloatArray = np.sqrt(np.maximum(squared, 0.0)).astype(np.float32)
    return found


def min_max(values: FloatArray) -> FloatArray:
    """Each row ``[..., m]`` from 0 to 1; zeros where all are equal."""
    low, high = values.min(axis=-1, keepdims=True), values.max(axis=-1, keepdims=True)
    span = np.where(high > low, high - low, 1.0)
    found: FloatArray = ((values - low) / span).astype(np.float32)
    return found


def weighed(distance: FloatArray, weight: FloatArray, gamma: float) -> FloatArray:
    """``D'_i = D~_i (1 + w_i)^(-gamma)``, where ``D~`` is ``D`` from 0 to 1 for each user: float32 ``[n, m]``.

    Parameters
    ----------
    distance
        ``[n, m]``.
    weight
        ``[m]`` or ``[n, m]``, from 0 to 1: popularity, or scores of a model.
    gamma
        How much it counts.
    """
    found: FloatArray = (min_max(distance) * (1.0 + weight) ** np.float32(-gamma)).astype(np.float32)
    return found
