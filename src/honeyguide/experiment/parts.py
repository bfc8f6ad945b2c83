"""The parts that a fit and a comparison need, where the data set does not come with them."""

from __future__ import annotations

from dataclasses import replace

import polars as pl

from honeyguide.core.dataset import Dataset
from honeyguide.core.errors import DataError
from honeyguide.data.splits import auto_split, ensure_valid


def with_valid(data: Dataset, seed: int = 0) -> Dataset:
    """``data`` with a part to choose on; without any split, all the rest is train."""
    if "split" not in data.interactions.columns:
        data = replace(data, interactions=data.interactions.with_columns(split=pl.lit("train")))
    return ensure_valid(data, seed=seed)


def with_test(data: Dataset, seed: int = 0) -> Dataset:
    """``data`` with the parts train, valid and test; a published split is obeyed.

    Raises
    ------
    DataError
        If there is nothing to test on.
    """
    data = auto_split(data, seed=seed)
    if not len(data.histories("test").values):
        raise DataError("the split has no test part.", "Split it with 'honeyguide data split', or drop its column.")
    return ensure_valid(data, seed=seed)
