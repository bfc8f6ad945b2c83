"""Labelled data with features, small enough to fit anything on in a moment."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from honeyguide.core.dataset import Dataset
from honeyguide.data.build import build

GENRES, N_USERS, N_ITEMS, EACH = 4, 120, 40, 24


def tasteful(seed: int = 0, *, ordered: bool = True) -> pl.DataFrame:
    """Everybody meets 24 of 40 items and likes those of one genre; which one, only the history tells."""
    rng = np.random.default_rng(seed)
    met = np.stack([rng.permutation(N_ITEMS)[:EACH] for _ in range(N_USERS)])
    taste = rng.integers(0, GENRES, N_USERS)
    likes = (met % GENRES == taste[:, None]) ^ (rng.random(met.shape) < 0.05)
    place = np.tile(np.arange(EACH), N_USERS)
    frame = pl.DataFrame(
        {
            "user_id": np.repeat(np.arange(N_USERS), EACH),
            "item_id": met.ravel(),
            "position": place,
            "label": likes.ravel().astype(float),
            "shelf": rng.choice(["top", "bottom"], met.size),
            "split": np.where(place >= 20, "test", np.where(place >= 17, "valid", "train")),
        }
    )
    return frame if ordered else frame.drop("position")


def catalogue() -> pl.DataFrame:
    items = np.arange(N_ITEMS)
    return pl.DataFrame(
        {
            "item_id": items,
            "title": [f"Item number {i}" for i in items],
            "genre": [f"genre-{i % GENRES}" for i in items],
            "tags": [[f"tag-{i % 3}", f"tag-{i % 5}"] for i in items],
            "price": items * 1.5,
        }
    )


def people() -> pl.DataFrame:
    return pl.DataFrame({"user_id": np.arange(N_USERS), "town": ["Alba" if u % 3 else "Bra" for u in range(N_USERS)]})


def labelled_data(frame: pl.DataFrame) -> Dataset:
    return build("taste", frame.with_columns(positive=pl.col("label") >= 1), catalogue(), people())


@pytest.fixture(scope="session")
def taste() -> Dataset:
    """Likes that depend on history and item together, which no linear model of both can tell."""
    return labelled_data(tasteful())


@pytest.fixture(scope="session")
def unordered() -> Dataset:
    """The same without an order."""
    return labelled_data(tasteful(ordered=False))
