"""Data that the tests of models learnt from pairs share."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import polars as pl
import pytest
import torch

from honeyguide.core.dataset import Dataset
from honeyguide.data.build import build


def circles(n_users: int = 240, size: int = 12, taken: int = 7, seed: int = 0) -> Dataset:
    """Users of four circles, each with items of its own: who is in a circle wants the rest of its items."""
    rng = np.random.default_rng(seed)
    rows = [
        (user, (user % 4) * size + int(item), part)
        for user in range(n_users)
        for item, part in zip(rng.permutation(size)[:taken], ["test", "valid"] + ["train"] * (taken - 2), strict=True)
    ]
    return build("circles", pl.DataFrame(rows, schema=["user_id", "item_id", "split"], orient="row"))


@pytest.fixture(scope="module")
def data() -> Dataset:
    return circles()


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Results depend on the number of threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
