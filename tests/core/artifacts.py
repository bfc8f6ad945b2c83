"""Artifacts whose parts all tell which one it is, for the tests of damage and of crashes."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from honeyguide.core import artifact
from honeyguide.core.artifact import Artifact

posix = pytest.mark.skipif(os.name == "nt", reason="POSIX signals and links")


def content(n: int = 0) -> Artifact:
    """An artifact whose parts all tell which one it is."""
    return Artifact(
        "model",
        {"n": n, "name": "Zoë", "nothing": None, "options": {"decay": 0.1 + n}},
        {"weights": np.full((50, 4), n, np.float32), "codes": np.arange(20, dtype=np.int32)},
        {"items": pl.DataFrame({"item_id": ["a", "é", "c"], "n": [n, n, n]})},
    )


def number(found: Artifact) -> int:
    """Which :func:`content` it is, after checking that all its parts agree."""
    n = found.meta["n"]
    expected = content(n)
    assert found.meta == expected.meta
    assert (found.arrays["weights"] == n).all()
    assert_frame_equal(found.tables["items"], expected.tables["items"])
    return n


def leftovers(root: Path) -> set[str]:
    return {p.name for p in root.iterdir()} - {"CURRENT", ".lock"} - {p.name for p in artifact._versions(root)}
