from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest

import honeyguide
from honeyguide.experiment.records import plain, read_json, versions, write_json, write_text


def test_numpy_and_nan_become_json() -> None:
    value = {
        "a": np.float32(0.5),
        "b": math.nan,
        "c": np.arange(2),
        3: (np.int64(1), None),
        "d": {2, 1},
        "e": Path("x"),
    }
    assert plain(value) == {"a": 0.5, "b": None, "c": [0, 1], "3": [1, None], "d": [1, 2], "e": "x"}
    json.dumps(plain(value), allow_nan=False)


def test_round_trip(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "file.json"
    write_json(path, {"a": [1.5, "é"]})
    assert read_json(path) == {"a": [1.5, "é"]}
    assert [p.name for p in path.parent.iterdir()] == ["file.json"]


@pytest.mark.parametrize("content", ["", "{", "[1]", "\udcff"])
def test_damaged_files_count_as_absent(content: str, tmp_path: Path) -> None:
    path = tmp_path / "file.json"
    path.write_bytes(content.encode("utf-8", "surrogateescape"))
    assert read_json(path) is None
    assert read_json(tmp_path / "none.json") is None


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "file.txt"
    write_text(path, "old")
    with pytest.raises(UnicodeEncodeError):
        write_text(path, "\ud800")
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["file.txt"]


def test_versions_name_what_is_missing() -> None:
    found = versions(["numpy", "no-such-package"])
    assert found["honeyguide"] == honeyguide.__version__
    assert found["numpy"] == np.__version__
    assert found["no-such-package"] is None
