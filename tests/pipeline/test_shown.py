from __future__ import annotations

import numpy as np
import orjson
import polars as pl
import pytest

from honeyguide.pipeline.shown import Shown

TABLE = pl.DataFrame({"item_id": [1, 2, 3], "Book-Title": ["Emma", None, "Dune"], "pages": [200, 300, None]})


def rows(shown: Shown, *codes: int) -> list[tuple[str, str, object]]:
    return [(name, title, orjson.loads(orjson.dumps(f))) for name, title, f in shown.of(np.array(codes, np.int32))]


def test_an_item_is_shown_with_its_title_or_else_its_id() -> None:
    assert rows(Shown(TABLE), 2, 1) == [
        ("3", "Dune", {"item_id": 3, "Book-Title": "Dune", "pages": None}),
        ("2", "2", {"item_id": 2, "Book-Title": None, "pages": 300}),
    ]
    assert rows(Shown(TABLE.select("item_id")), 0) == [("1", "1", {"item_id": 1})]


def test_items_that_come_later_are_called_by_the_same_column() -> None:
    old = Shown(TABLE)
    rows(old, 0)
    more = pl.DataFrame({"item_id": [4], "Book-Title": ["Ulysses"], "pages": [700]})
    assert [title for _, title, _ in rows(old.grown(pl.concat([TABLE, more])), 0, 3)] == ["Emma", "Ulysses"]


def test_fields_are_rendered_once_and_as_the_table_has_them(monkeypatch: pytest.MonkeyPatch) -> None:
    table = pl.DataFrame({"item_id": [7, 8, 9], "title": ['A "b"', None, "c"], "tags": [["x"], [], None]})
    shown = Shown(table)
    codes = np.array([2, 0], np.int32)
    names, titles, fields = zip(*shown.of(codes), strict=True)
    assert names == ("9", "7") and titles == ("c", 'A "b"')
    assert orjson.loads(orjson.dumps(fields)) == table[[2, 0]].to_dicts()
    grown = shown.grown(pl.concat([table, table.with_columns(pl.col("item_id") + 100)]))
    assert grown.of(codes)[0][2] is shown.of(codes)[0][2]
    assert grown.of(np.array([5], np.int32))[0][0] == "109"
    monkeypatch.setattr("honeyguide.pipeline.shown._HELD", 1)
    assert [name for name, _, _ in shown.of(np.array([0, 1], np.int32))] == ["7", "8"]
