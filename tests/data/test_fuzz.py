"""Whatever is in a file, the answer is a data set or a typed error, and every row is accounted for."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from honeyguide.core.errors import HoneyguideError
from honeyguide.data.check import check_data

NAMES = ["timestamp", "position", "rating", "event", "weight", "split", "positive", "user", "x:token", "user_id"]
NUMBERS = ["1", "2", "007", "42.0", "-1", "1e300", "1e400", "NaN", "inf", "9" * 20, "9" * 400]
WORDS = ["", " ", "a", "é", "null", "true", "train", "test", "[1]", '"', '"q"', "\x00"]
TIMES = ["1700000000", "1700000000000", "2024-05-31", "2024-05-31T10:00:00Z", "0001-01-01"]
CELLS = NUMBERS + WORDS + TIMES
SCALARS = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.sampled_from(CELLS))
VALUES = st.one_of(SCALARS, st.lists(st.integers()), st.just({"a": 1}))
QUIET = [HealthCheck.too_slow, HealthCheck.data_too_large]


def account(content: bytes, suffix: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"e{suffix}"
        path.write_bytes(content)
        try:
            report = check_data(path)
        except HoneyguideError:
            return
        if report.error is None:
            rows, kept = report.tables.select("rows", "kept").row(0)
            assert rows - kept == report.quarantine.height
            assert kept > 0


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".jsonl", ".parquet", ".inter"])
@settings(max_examples=40, deadline=None, suppress_health_check=QUIET)
@given(content=st.binary(max_size=200))
def test_any_bytes(suffix, content):
    account(content, suffix)
    account(b"user_id,item_id\n" + content, suffix)
    account(b"\xff\xfe" + "user_id,item_id\n".encode("utf-16-le") + content, suffix)


@settings(max_examples=150, deadline=None, suppress_health_check=QUIET)
@given(data=st.data())
def test_tables_of_odd_cells(data):
    names = data.draw(st.lists(st.sampled_from(NAMES), min_size=1, max_size=6, unique=True))
    rows = data.draw(st.lists(st.lists(st.sampled_from(CELLS), min_size=len(names), max_size=len(names)), max_size=6))
    lines = [",".join(row) for row in [["user_id", "item_id", *names], *(["u", "i", *row] for row in rows)]]
    account("\n".join(lines).encode(), ".csv")


@settings(max_examples=150, deadline=None, suppress_health_check=QUIET)
@example(rows=[{}, {"user_id": [-(2**127) - 1]}])
@example(rows=[{"user_id": 10**400, "item_id": 1, "rating": 1.5}, {"user_id": 1.5, "item_id": 2, "rating": 10**400}])
@given(rows=st.lists(st.dictionaries(st.sampled_from(NAMES), VALUES), max_size=6))
def test_objects_of_odd_values(rows):
    lines = [json.dumps({"user_id": 1, "item_id": "a", **row}) for row in rows]
    account("\n".join(lines).encode(), ".jsonl")
