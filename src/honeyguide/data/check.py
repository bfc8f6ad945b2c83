"""Looking a data set over without using it."""

from __future__ import annotations

from pathlib import Path
from typing import Unpack

import polars as pl

from honeyguide.core.errors import DataError
from honeyguide.data.load import ReadOptions, read_audited
from honeyguide.data.report import Audit, CheckReport

__all__ = ["CheckReport", "check_data"]


def check_data(ref: str | Path | pl.DataFrame, **options: Unpack[ReadOptions]) -> CheckReport:
    """Read a data set and report what is wrong with it, row by row.

    A fault that makes the data unusable is the ``error`` of the report rather than raised.

    Parameters
    ----------
    ref, **options
        As in :func:`honeyguide.data.load.load_data`.

    Raises
    ------
    UnknownNameError
        If nothing is known by that name.
    """
    audit = Audit(options.get("name") or "data")
    try:
        read_audited(ref, options, audit)
    except DataError as error:
        return audit.report(error)
    return audit.report()
