"""Biased matrix factorisation of ratings by alternating least squares, with users folded in.

Shapes: n questions, m items, d width.
"""

from __future__ import annotations

from typing import Self

import numpy as np

from honeyguide.core.ragged import Ragged
from honeyguide.data.ratings import RatingQuestions
from honeyguide.metrics.arrays import Vector


class BiasedMF:
    """``mu + b_u + b_i + p_u . q_i`` (Koren, Bell & Volinsky 2009, equation 4).

    Every half step is a ridge regression with its own penalty per rating (Zhou et al. 2008): with users' rows
    ``x = [1, b_u, p_u]`` and items' rows ``y = [b_i, 1, q_i]`` the rating is ``mu + x . y``, and each side is solved
    with the other fixed. A user who is asked about is solved for in the same way from the history that comes with the
    question, so that one who was not in train is served like any other.

    Parameters
    ----------
    dim
        Width d of ``p`` and ``q``.
    penalty
        Of squared numbers, once for each rating of the row.
    sweeps
        Of both sides.
    seed
        Of the first ``q``.
    """

    mean: float
    table: Vector  # [m, 1 + d]: offset and vector of each item

    def __init__(self, *, dim: int = 8, penalty: float = 0.1, sweeps: int = 10, seed: int = 0) -> None:
        self.dim, self.penalty, self.sweeps, self.seed = dim, penalty, sweeps, seed

    def fit(self, questions: RatingQuestions) -> Self:
        """Learn the items; the users of train are forgotten."""
        order = np.argsort(questions.users, kind="stable")
        users, items = questions.users[order], questions.items[order]
        self.mean = float(questions.truth.mean(dtype=np.float64))
        left = questions.truth[order].astype(np.float64) - self.mean
        rng = np.random.default_rng(self.seed)
        self.table = np.zeros((int(items.max()) + 1, 1 + self.dim))
        self.table[:, 1:] = rng.normal(0.0, 0.1, (len(self.table), self.dim))
        _, rows = np.unique(users, return_inverse=True)
        by_user = Ragged.from_groups(rows, items, int(rows.max()) + 1)
        turn = np.argsort(items, kind="stable")
        by_item = Ragged.from_groups(items[turn], rows[turn].astype(np.int32), len(self.table))
        for _ in range(self.sweeps):
            people = self._solved(by_user, left, self.table)
            self.table = self._solved(by_item, left[turn], people)
        return self

    def predict(self, questions: RatingQuestions) -> Vector:
        """float64 ``[n]``."""
        known = questions.history.where(questions.history.values < len(self.table))
        given = questions.given[questions.history.values < len(self.table)].astype(np.float64) - self.mean
        people = self._solved(known, given, self.table)  # [n, 1 + d]
        inside = questions.items < len(self.table)
        items = np.where(inside[:, None], self.table[np.minimum(questions.items, len(self.table) - 1)], 0.0)
        found: Vector = self.mean + people[:, 0] + items[:, 0] + (people[:, 1:] * items[:, 1:]).sum(1)
        return found

    def _solved(self, lists: Ragged, left: Vector, other: Vector) -> Vector:
        """Offset and vector ``[rows, 1 + d]`` of each list, given those of the values it holds."""
        found = np.zeros((len(lists), 1 + self.dim))
        for row in np.flatnonzero(lists.lengths):
            place = slice(lists.offsets[row], lists.offsets[row + 1])
            there = other[lists.values[place]]
            x = np.concatenate([np.ones((len(there), 1)), there[:, 1:]], axis=1)  # [h, 1 + d]
            ridge = x.T @ x + self.penalty * len(x) * np.eye(1 + self.dim)
            found[row] = np.linalg.solve(ridge, x.T @ (left[place] - there[:, 0]))
        return found
