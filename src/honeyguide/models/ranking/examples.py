"""Events as examples of a binary task: who, which item, what was known before, and whether it was liked.

Where the log says what was not liked (a declared ``positive`` with both classes) the labels are its
own; where it holds only what was, every event is joined by items drawn uniformly.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from honeyguide.core.dataset import PARTS, Dataset
from honeyguide.core.ragged import FloatArray, IntArray, Ragged

Index = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Events:
    """``n`` examples.

    Parameters
    ----------
    users, items
        int32 ``[n]``.
    labels
        float32 ``[n]``, 0 or 1.
    before
        int64 ``[n]``: how many values of ``positives[user]`` are the history of the example.
    rows
        int64 ``[n]``: row of the event in the interactions of its part, for context columns.
    sampled
        bool ``[n]``: whether the example was drawn, not logged.
    positives
        The liked items of every user, in the order of the histories.
    """

    users: IntArray
    items: IntArray
    labels: FloatArray
    before: Index
    rows: Index
    sampled: npt.NDArray[np.bool_]
    positives: Ragged

    def __len__(self) -> int:
        return len(self.users)

    def histories(self, index: npt.NDArray[np.integer], max_len: int) -> Ragged:
        """The latest ``max_len`` items of the history of each example at ``index``."""
        end = self.positives.offsets[self.users[index]] + self.before[index]
        lengths = np.minimum(self.before[index], max_len)
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        within = np.arange(offsets[-1]) - np.repeat(offsets[:-1], lengths)
        return Ragged(offsets, self.positives.values[np.repeat(end - lengths, lengths) + within])

    def with_negatives(self, ratio: int, n_items: int, rng: np.random.Generator) -> Events:
        """Every example followed by ``ratio`` others of label 0, uniform over the items but its own."""
        repeated = np.repeat(np.arange(len(self)), ratio + 1)
        drawn = np.tile(np.arange(ratio + 1) > 0, len(self))
        items = self.items[repeated]
        other = rng.integers(0, max(1, n_items - 1), len(items), dtype=np.int32)
        other += other >= items  # uniform over the n_items - 1 others
        return Events(
            self.users[repeated],
            np.where(drawn, np.minimum(other, n_items - 1), items),
            np.where(drawn, np.float32(0), self.labels[repeated]),
            self.before[repeated],
            self.rows[repeated],
            drawn,
            self.positives,
        )


def is_labelled(data: Dataset) -> bool:
    """Whether train says of some events that they were liked and of others that they were not."""
    train = data.select("train").interactions
    return "positive" in train.columns and train["positive"].n_unique() == 2


def train_events(data: Dataset, rng: np.random.Generator) -> Events:
    """The events of train, each with the liked items before it as its history.

    Without an order the events of a user are shuffled first: leaving out only the event itself
    would let the length of the history tell its label.
    """
    frame = data.select("train").interactions
    users = frame["user"].to_numpy()
    rows = np.arange(len(users)) if data.ordered else np.lexsort((rng.random(len(users)), users))
    items, labels = frame["item"].to_numpy()[rows], _labels(frame)[rows]
    liked = labels > 0
    positives = Ragged.from_groups(users[liked], items[liked], data.n_users)
    before = np.cumsum(liked) - liked - positives.offsets[users]
    return Events(users, items, labels, before, rows, np.zeros(len(users), np.bool_), positives)


def later_events(data: Dataset, part: str) -> Events:
    """The events of ``valid`` or ``test``, each with all liked items of the earlier parts as its history."""
    frame = data.select(part).interactions
    positives = data.histories(*PARTS[: PARTS.index(part)])
    users, n = frame["user"].to_numpy(), frame.height
    before = positives.lengths[users]
    return Events(
        users, frame["item"].to_numpy(), _labels(frame), before, np.arange(n), np.zeros(n, np.bool_), positives
    )


def blocks(n: int, size: int) -> Iterator[Index]:
    """Consecutive runs of ``size`` numbers up to ``n``."""
    return (np.arange(start, min(n, start + size)) for start in range(0, n, size))


def _labels(frame: pl.DataFrame) -> FloatArray:
    if "positive" not in frame.columns:
        return np.ones(frame.height, np.float32)
    return frame["positive"].cast(pl.Float32).to_numpy()
