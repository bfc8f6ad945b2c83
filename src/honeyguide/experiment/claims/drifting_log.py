"""A labelled log made by design, in which two categories exchange their appeal at a known moment."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import numpy.typing as npt
import polars as pl
from scipy.special import expit

from honeyguide.core.dataset import Dataset
from honeyguide.data.build import build

_START = datetime(2024, 1, 1, tzinfo=UTC)
_USERS, _ITEMS, _CATEGORIES = 300, 160, 8
_APPEAL = 1.5  # log-odds of a click: +1.5 in one category, -1.5 in the other, until they are exchanged
_TASTE = 0.7  # deviation of what a user adds for a category


@dataclass(frozen=True)
class DriftingLog:
    """One event a minute; train, then valid, then test, which begins with the drift.

    Parameters
    ----------
    data
        What was seen: labels after the drift.
    calm
        The same events and the same draws, had nothing drifted.
    truth
        float64 ``[n_test]``: the probability of every test event in the order of time, which nobody can do better than.
    """

    data: Dataset
    calm: Dataset
    truth: npt.NDArray[np.float64]


def drifting_log(train: int, valid: int, test: int, seed: int) -> DriftingLog:
    """Draw a log: half of the events are of the two categories that exchange their appeal.

    Parameters
    ----------
    train, valid, test
        Events in each part.
    seed
        Of everything drawn.
    """
    rng, n = np.random.default_rng(seed), train + valid + test
    category = np.arange(_ITEMS) % _CATEGORIES
    appeal = np.concatenate([[_APPEAL, -_APPEAL], rng.uniform(-1, 1, _CATEGORIES - 2)])
    taste = _TASTE * rng.standard_normal((_USERS, _CATEGORIES))
    users = rng.integers(0, _USERS, n)
    drawn = np.where(rng.random(n) < 0.5, rng.integers(0, 2, n), rng.integers(2, _CATEGORIES, n))
    items = drawn + _CATEGORIES * rng.integers(0, _ITEMS // _CATEGORIES, n)
    later = np.arange(n) >= train + valid
    exchanged = np.where(later & (drawn < 2), 1 - drawn, drawn)
    luck = rng.random(n)
    odds = {name: appeal[c] + taste[users, drawn] for name, c in (("calm", drawn), ("drift", exchanged))}
    frame = pl.DataFrame(
        {
            "user_id": users,
            "item_id": items,
            "timestamp": pl.Series(np.arange(n) * 60_000_000).cast(pl.Duration("us")) + _START,
            "split": np.repeat(["train", "valid", "test"], [train, valid, test]),
        }
    )
    catalogue = pl.DataFrame({"item_id": np.arange(_ITEMS), "category": [f"category {c}" for c in category]})
    logs = {
        name: build(f"drifting-log ({name})", frame.with_columns(positive=pl.Series(luck < expit(z))), catalogue)
        for name, z in odds.items()
    }
    return DriftingLog(logs["drift"], logs["calm"], expit(odds["drift"])[later])
