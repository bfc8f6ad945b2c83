from __future__ import annotations

import numpy as np
import orjson
import polars as pl
import pytest

from honeyguide.pipeline import popular as module
from honeyguide.pipeline.popular import Popular
from honeyguide.pipeline.shown import Shown


def best(counts: np.ndarray, may: np.ndarray, n: int) -> list[int]:
    codes = np.flatnonzero(may)
    return codes[np.lexsort((codes, -counts[codes]))][:n].tolist()


def test_lists_follow_every_event_whatever_is_filtered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_TOP", 20)
    rng = np.random.default_rng(0)
    items = Popular(rng.integers(0, 5, 300).astype(np.float32))
    for _ in range(60):
        items.count(rng.integers(-1, 300, rng.integers(1, 40)).astype(np.int32))
        may = rng.random(300) < rng.choice([0.02, 0.5, 1.0])
        assert items.best(may, 10).tolist() == best(items.counts, may, 10)


def test_events_are_added_and_unknown_items_skipped() -> None:
    items = Popular(np.zeros(3, np.float32))
    items.count(np.array([2, -1, 2, 0], np.int32))
    items.count(np.array([1], np.int32), np.array([5], np.float32))
    assert items.counts.tolist() == [1, 5, 2]


def test_fields_are_rendered_once_and_as_the_table_has_them(monkeypatch: pytest.MonkeyPatch) -> None:
    table = pl.DataFrame({"item_id": [7, 8, 9], "title": ['A "b"', None, "c"], "tags": [["x"], [], None]})
    shown = Shown(table)
    codes = np.array([2, 0], np.int32)
    names, fields = zip(*shown.of(codes), strict=True)
    assert names == ("9", "7")
    assert orjson.loads(orjson.dumps(fields)) == table[[2, 0]].to_dicts()
    grown = shown.grown(pl.concat([table, table.with_columns(pl.col("item_id") + 100)]))
    assert grown.of(codes)[0][1] is shown.of(codes)[0][1]
    assert grown.of(np.array([5], np.int32))[0][0] == "109"
    monkeypatch.setattr("honeyguide.pipeline.shown._HELD", 1)
    assert [name for name, _ in shown.of(np.array([0, 1], np.int32))] == ["7", "8"]
