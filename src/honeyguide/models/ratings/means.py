"""The rules that every rating model must beat: the mean of all ratings, of the user, of the item, of both."""

from __future__ import annotations

from typing import Protocol, Self

import numpy as np

from honeyguide.core.ragged import Ragged
from honeyguide.data.ratings import RatingQuestions
from honeyguide.metrics.arrays import Vector


class RatingModel(Protocol):
    """Tells ratings from histories; what belongs to a user comes with the question."""

    def fit(self, questions: RatingQuestions) -> Self:
        """Learn from the questions of train and their answers."""
        ...

    def predict(self, questions: RatingQuestions) -> Vector:
        """float64 ``[n]``; ``questions.truth`` is not read."""
        ...


class Means:
    """``mu + b_u + b_i``, with either, both or no offset: shrunk means of what is left (Koren 2009, section 2.1).

    ``b_i = sum (r - mu) / (shrink_items + n_i)`` over train; ``b_u = sum (r - mu - b_i) / (shrink_users + n_u)`` over
    the history that comes with the question.

    Parameters
    ----------
    users, items
        Which offsets.
    shrink_users, shrink_items
        Ratings of no offset that each mean begins with.
    """

    mean: float
    offsets: Vector  # [n_items seen in train]

    def __init__(
        self, *, users: bool = True, items: bool = True, shrink_users: float = 5.0, shrink_items: float = 10.0
    ) -> None:
        self.users, self.items = users, items
        self.shrink_users, self.shrink_items = shrink_users, shrink_items

    def fit(self, questions: RatingQuestions) -> Self:
        """Learn the mean of all and the offsets of the items."""
        self.mean = float(questions.truth.mean(dtype=np.float64))
        left = questions.truth - self.mean
        count = np.bincount(questions.items)
        self.offsets = np.bincount(questions.items, left) / (self.shrink_items + count)
        if not self.items:
            self.offsets[:] = 0.0
        return self

    def predict(self, questions: RatingQuestions) -> Vector:
        """float64 ``[n]``."""
        found = self.mean + known(self.offsets, questions.items)
        if self.users:
            left = questions.given - self.mean - known(self.offsets, questions.history.values)
            found += summed(questions.history, left) / (self.shrink_users + questions.history.lengths)
        return found


def known(table: Vector, items: np.ndarray) -> Vector:
    """Rows of ``table``; zeros for items that train did not have."""
    found: Vector = table[np.minimum(items, len(table) - 1)]
    found[items >= len(table)] = 0.0
    return found


def summed(history: Ragged, values: np.ndarray) -> Vector:
    """float64 ``[n]``: the sum of ``values`` over each history."""
    total: Vector = np.bincount(history.rows, values, minlength=len(history)).astype(np.float64)
    return total
