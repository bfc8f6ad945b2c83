"""import(export(x)) = x, in every format."""

from __future__ import annotations

import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from honeyguide.core.dataset import Dataset
from honeyguide.core.errors import DataError, UnknownNameError
from honeyguide.data.build import build
from honeyguide.data.export import export
from honeyguide.data.load import load_data, read_with_report

FORMATS = ["csv", "parquet", "jsonl", "recbole"]
PLAIN = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Zs", "Zl", "Zp"]), min_size=1, max_size=6)
IDS = {
    "numbers": st.integers(-(2**40), 2**40),
    "text": PLAIN.map(lambda t: "i" + __import__("unicodedata").normalize("NFC", t) + "i"),
    "digits": st.integers(0, 999).map(lambda n: f"{n:04d}"),
}
TEXT = st.one_of(st.none(), PLAIN, st.sampled_from(['say "hi"', "a,b", "0012", "null", " padded ", "1e5", "é", "true"]))


@st.composite
def data_sets(draw: st.DrawFn) -> Dataset:
    def ids() -> list:
        return draw(st.lists(IDS[draw(st.sampled_from(sorted(IDS)))], min_size=1, max_size=5, unique=True))

    user_ids, item_ids = ids(), ids()
    n, m = draw(st.integers(1, 12)), len(item_ids)

    def some(values: st.SearchStrategy, size: int = n) -> list:
        return draw(st.lists(values, min_size=size, max_size=size))

    frame = pl.DataFrame({"user_id": some(st.sampled_from(user_ids)), "item_id": some(st.sampled_from(item_ids))})
    start = datetime(2001, 1, 1, tzinfo=UTC)
    times = [start + timedelta(microseconds=m) for m in some(st.integers(0, 10**15))]
    columns = [
        pl.Series("timestamp", times, dtype=pl.Datetime("us", "UTC")),
        pl.Series("position", some(st.integers(0, 99)), dtype=pl.Int64),
        pl.Series("label", some(st.one_of(st.none(), st.floats(-1e9, 1e9))), dtype=pl.Float64),
        pl.Series("positive", some(st.booleans()), dtype=pl.Boolean),
        pl.Series("weight", some(st.floats(0, 1e6, width=32)), dtype=pl.Float32),
        pl.Series("split", some(st.sampled_from(["train", "valid", "test"]))),
        pl.Series("note", some(TEXT), dtype=pl.String),
    ]
    frame = frame.with_columns([c for c in columns if draw(st.booleans())])
    tags = st.one_of(st.none(), st.lists(PLAIN, min_size=1, max_size=3))
    items = pl.DataFrame(
        {
            "item_id": item_ids,
            "title": pl.Series(some(TEXT, m), dtype=pl.String),
            "year": pl.Series(some(st.one_of(st.none(), st.integers(-300, 300)), m), dtype=pl.Int16),
            "tags": pl.Series(some(tags, m), dtype=pl.List(pl.String)),
        }
    )
    return build("made", frame, items)


@pytest.mark.parametrize("format", FORMATS)
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=data_sets())
def test_reading_what_was_written_gives_the_same(format, data):
    with tempfile.TemporaryDirectory() as folder:
        again, report = read_with_report(export(data, folder, format))
        assert report.ok, str(report)
        assert again.equals(data)
        with tempfile.TemporaryDirectory() as other:  # and once more changes nothing
            assert load_data(export(again, other, format)).equals(data)


@pytest.mark.parametrize("format", FORMATS)
def test_the_books_survive_every_format(tmp_path, goodbooks, format):
    again = load_data(export(goodbooks, tmp_path, format))
    assert again.interactions.equals(goodbooks.interactions)
    assert again.items.drop("tags").equals(goodbooks.items.drop("tags"))
    if format != "recbole":  # an empty list is a missing one there
        assert again.equals(goodbooks)


def test_further_tables_are_written_too(tmp_path):
    when = datetime(2024, 1, 1, tzinfo=UTC)
    review = {"user_id": ["007"], "item_id": [1], "text": ["a\nb"], "when": [when]}
    extras = {"reviews": pl.DataFrame(review)}
    data = build("r", pl.DataFrame({"user_id": ["007"], "item_id": [1]}), extras=extras)
    for format in FORMATS:
        assert load_data(export(data, tmp_path / format, format)).extras["reviews"].rows() == extras["reviews"].rows()


def test_atomic_files_refuse_what_they_cannot_hold(tmp_path):
    data = build("r", pl.DataFrame({"user_id": [1], "item_id": [1], "note": ["a\tb"]}))
    with pytest.raises(DataError, match="column 'note': atomic files cannot hold"):
        export(data, tmp_path, "recbole")


def test_unknown_formats_and_types(tmp_path):
    data = build("r", pl.DataFrame({"user_id": [1], "item_id": [1], "s": [{"a": 1}]}))
    with pytest.raises(UnknownNameError, match="Did you mean parquet"):
        export(data, tmp_path, "parket")
    with pytest.raises(DataError, match=r"has no name in a dataset\.toml"):
        export(data, tmp_path)


def test_files_written_by_recbole_are_read(tmp_path):
    folder = tmp_path / "ml"
    folder.mkdir()
    inter = "user_id:token\titem_id:token\trating:float\ttimestamp:float\n1\t10\t5\t881250949\n2\t11\t3\t881250950\n"
    (folder / "ml.inter").write_text(inter)
    (folder / "ml.item").write_text('item_id:token\tmovie_title:token_seq\tyear:token\n10\tA "B\t1994\n11\tC\t1995\n')
    data = load_data(folder)
    assert data.interactions["label"].to_list() == [5.0, 3.0]
    assert data.times().tolist() == [881250949 * 10**6, 881250950 * 10**6]
    assert data.items["movie_title"].to_list() == [["A", '"B'], ["C"]]
    assert Path(export(data, tmp_path / "again", "recbole") / "ml.inter").is_file()
