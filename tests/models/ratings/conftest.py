from __future__ import annotations

import numpy as np
import pytest

from honeyguide.core.ragged import Ragged
from honeyguide.data.ratings import RatingQuestions


def asked(rows: list[tuple[int, int, float, list[tuple[int, float]]]]) -> RatingQuestions:
    """Questions from ``(user, item, rating, [(item, rating) before])``."""
    return RatingQuestions(
        np.array([row[0] for row in rows], np.int32),
        np.array([row[1] for row in rows], np.int32),
        np.array([row[2] for row in rows], np.float32),
        Ragged.from_lists([[item for item, _ in row[3]] for row in rows]),
        np.array([rating for row in rows for _, rating in row[3]], np.float32),
    )


QUALITIES = np.random.default_rng(1).normal(size=(30, 2))


def world(users: range, seed: int = 0, noise: float = 0.1) -> RatingQuestions:
    """Ratings of taste times quality by users who rate twelve of thirty items one after the other."""
    rows = []
    for user in users:
        rng = np.random.default_rng([seed, user])
        taste, level = rng.normal(size=2), 3 + 0.5 * rng.normal()
        order = rng.permutation(30)[:12]
        given = [(int(i), float(level + QUALITIES[i] @ taste + noise * rng.normal())) for i in order]
        rows += [(user, item, rating, given[:place]) for place, (item, rating) in enumerate(given)]
    return asked(rows)


@pytest.fixture(scope="session")
def train() -> RatingQuestions:
    return world(range(300))


@pytest.fixture(scope="session")
def new_users() -> RatingQuestions:
    """The last ratings of users who are not in train."""
    questions = world(range(1000, 1100))
    return questions.take(np.flatnonzero(questions.history.lengths >= 8))
