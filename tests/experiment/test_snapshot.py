from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from honeyguide.core.dataset import Dataset
from honeyguide.core.errors import ArtifactError
from honeyguide.data.fingerprint import fingerprint
from honeyguide.experiment.snapshot import freeze, thaw


def test_thawed_is_what_was_frozen(books: Dataset, tmp_path: Path) -> None:
    data = replace(books, extras={"reviews": pl.DataFrame({"text": ["good", None]})})
    freeze(data, tmp_path)
    read = thaw(tmp_path)
    assert (read.name, read.ordered, read.parts) == (data.name, data.ordered, data.parts)
    assert read.user_ids == data.user_ids
    assert read.item_ids == data.item_ids
    for table in ("interactions", "items", "users"):
        assert_frame_equal(getattr(read, table), getattr(data, table))
    assert_frame_equal(read.extras["reviews"], data.extras["reviews"])
    assert fingerprint(read) == fingerprint(data)


def test_damage_is_noticed(books: Dataset, tmp_path: Path) -> None:
    folder = freeze(books, tmp_path)
    file = folder / "interactions.parquet"
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    with pytest.raises(ArtifactError):
        thaw(tmp_path)
