"""The fast and the careful way of reading text agree wherever the fast one is taken."""

from __future__ import annotations

import tempfile
from pathlib import Path

import polars as pl
from hypothesis import example, given, settings
from hypothesis import strategies as st

from honeyguide.data import text
from honeyguide.data.report import ROW, Audit

PIECES = ["a", "7", "é", ",", ",", "\n", "\n", "\r\n", '"', '""', '"x,y"', '"p\nq"', "a,b\n", " ", "\r", "\x00"]
FIELD = st.text('ab,\n"é ', max_size=5)


def read_both(content: str, chunk: int) -> tuple[pl.DataFrame | None, pl.DataFrame, Audit]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "e.csv"
        path.write_bytes(content.encode())
        audit = Audit("test")
        dialect = text.Dialect("utf-8", ",", ["u", "i"], True)
        old, text._CHUNK = text._CHUNK, chunk
        try:
            rows = text._count_if_clean(path, dialect)
        finally:
            text._CHUNK = old
        fast = None if rows is None else text._scan(path, dialect)
        assert fast is None or fast.height == rows
        return fast, text._read_records(path, dialect, audit), audit


@settings(max_examples=300, deadline=None)
@given(pieces=st.lists(st.sampled_from(PIECES), max_size=14), chunk=st.integers(1, 40))
@example(pieces=['"p\nq"', ",", '"x,y"', "\n"], chunk=5)
@example(pieces=["a,b\n", "\r\n"], chunk=40)
@example(pieces=["a,b\n", "a", '"', ",", '"', "b"], chunk=3)
def test_fast_and_careful_agree(pieces, chunk):
    fast, careful, audit = read_both("u,i\n" + "".join(pieces), chunk)
    if fast is not None:
        assert audit.report().ok, "the fast way was taken for a file with faults"
        plain = fast.with_columns(pl.col("u", "i").replace("", None))  # csv cannot tell "" from nothing
        assert plain.select("u", "i", ROW).equals(careful.select("u", "i", ROW))


@settings(max_examples=100, deadline=None)
@given(
    rows=st.lists(st.tuples(st.text('ab,\n"é ', max_size=5), st.text('ab,\n"é ', max_size=5)), min_size=1, max_size=8),
    chunk=st.integers(1, 64),
)
def test_what_polars_writes_is_read_the_fast_way(rows, chunk):
    frame = pl.DataFrame(rows, schema=["u", "i"], orient="row")
    fast, _, _ = read_both(frame.write_csv(), chunk)
    assert fast is not None
    assert fast.select("u", "i").equals(frame)


def test_no_row_is_lost_between_good_blank_and_rejected(tmp_path):
    path = tmp_path / "e.csv"
    path.write_text('u,i\n1,2\n\n3\n4,5,6\n"7",8\n9,"x\n\n10,11\n')
    audit = Audit("test")
    frame = text.read_text(path, ",", None, audit)
    assert frame[ROW].to_list() == [1, 5, 8]
    assert sorted(audit.report().quarantine["row"]) == [3, 4, 6]  # rows 2 and 7 are blank
