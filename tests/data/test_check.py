"""Every kind of bad input: what is set aside, with which row number, and what is refused."""

from __future__ import annotations

import codecs
import logging
import unicodedata
from pathlib import Path

import polars as pl
import pytest

from honeyguide.core.errors import DataError
from honeyguide.data.check import check_data
from honeyguide.data.load import load_data, read_with_report

HEADER = "user_id,item_id,timestamp\n"
ROWS = "".join(f"u{i},i{i % 3},{1_700_000_000 + i}\n" for i in range(1, 8))


def put(folder: Path, content: str | bytes, name: str = "e.csv") -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def rejected(report) -> list[tuple]:
    return report.quarantine.select("row", "column", "value", "reason").rows()


# Files as bytes


def test_a_clean_file_has_nothing_to_report(tmp_path):
    report = check_data(put(tmp_path, HEADER + ROWS))
    assert report.ok
    assert report.tables.rows() == [("interactions", str(tmp_path / "e.csv"), 7, 7)]


def test_nul_bytes_are_set_aside_with_their_row(tmp_path):
    data, report = read_with_report(put(tmp_path, HEADER + ROWS + "u9,i\x009,1700000000\n" + ROWS))
    assert data.interactions.height == 14
    assert rejected(report) == [(8, None, "u9,i\x009,1700000000", "the line holds a NUL byte")]
    assert "binary" in report.quarantine["remedy"][0]


def test_a_file_cut_off_into_nul_bytes_keeps_its_good_rows(tmp_path):
    data, report = read_with_report(put(tmp_path, (HEADER + ROWS).encode() + b"\x00" * 512))
    assert data.interactions.height == 7
    assert not any("timestamp" in r for r in report.quarantine["reason"])


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
def test_byte_order_marks_and_utf16(tmp_path, encoding):
    data, report = read_with_report(put(tmp_path, (HEADER + ROWS + "zoë,i1,1700000000\n").encode(encoding)))
    assert report.ok
    assert data.interactions.height == 8
    assert "zoë" in data.user_ids.values
    assert any("UTF-" in note for note in report.notes)


def test_utf16_big_endian_with_mark(tmp_path):
    data = load_data(put(tmp_path, codecs.BOM_UTF16_BE + (HEADER + ROWS).encode("utf-16-be")))
    assert data.interactions.height == 7


def test_mixed_newlines(tmp_path):
    data, report = read_with_report(put(tmp_path, "user_id,item_id\r\nu1,a\nu2,b\r\nu3,c\ru4,d"))
    assert report.ok
    assert data.user_ids.values.to_list() == ["u1", "u2", "u3", "u4"]


def test_ragged_rows(tmp_path):
    content = HEADER + "u1,a,1700000000\nu2,b\nu3,c,1700000001,extra\nu4,d,1700000002\nu5,a,1700000003\n"
    data, report = read_with_report(put(tmp_path, content))
    assert data.user_ids.values.to_list() == ["u1", "u4", "u5"]
    assert rejected(report) == [
        (2, None, "u2,b", "too few fields: 2 instead of 3"),
        (3, None, "u3,c,1700000001,extra", "too many fields: 4 instead of 3"),
    ]


def test_rows_that_are_not_utf8(tmp_path):
    content = (HEADER + ROWS).encode() + "josé,i1,1700000000\n".encode("latin-1")
    data, report = read_with_report(put(tmp_path, content))
    assert data.interactions.height == 7
    assert [(row, reason) for row, _, _, reason in rejected(report)] == [(8, "the line is not UTF-8")]
    assert "iconv" in report.quarantine["remedy"][0]


def test_quoted_newlines_and_separators(tmp_path):
    content = 'user_id,item_id,note\nu1,a,"two\nlines, and ""quotes"""\nu2,b,plain\nu3,,bad\n'
    data, report = read_with_report(put(tmp_path, content))
    assert data.interactions["note"].to_list() == ['two\nlines, and "quotes"', "plain"]
    assert rejected(report) == [(3, "item_id", None, "item_id is missing")]


def test_a_quote_that_is_never_closed_costs_one_row(tmp_path):
    content = 'user_id,item_id,note\nu1,a,fine\nu2,b,"open\nu3,c,fine\nu4,d,fine\n'
    data, report = read_with_report(put(tmp_path, content))
    assert data.user_ids.values.to_list() == ["u1", "u3", "u4"]
    assert rejected(report) == [(2, None, 'u2,b,"open', "a quote is opened and never closed")]


def test_a_stray_quote_inside_a_field_is_text(tmp_path):
    data, report = read_with_report(put(tmp_path, 'user_id,item_id,note\nu1,a,5" nail and 6" nail\nu2,b,x\n'))
    assert report.ok
    assert data.interactions["note"].to_list() == ['5" nail and 6" nail', "x"]


def test_blank_lines_count_as_rows_but_hold_no_data(tmp_path):
    data, report = read_with_report(put(tmp_path, HEADER + "u1,a,1700000000\n\n\nu2,,1700000000\nu3,b,1700000000\n"))
    assert data.interactions.height == 2
    assert rejected(report) == [(4, "item_id", None, "item_id is missing")]
    assert any("2 blank lines" in note for note in report.notes)


def test_fields_separated_by_something_else(tmp_path):
    data, report = read_with_report(put(tmp_path, (HEADER + ROWS).replace(",", ";")))
    assert data.interactions.height == 7
    assert any("separated by ';'" in note for note in report.notes)


def test_files_larger_than_a_piece_keep_their_row_numbers(tmp_path, monkeypatch):
    monkeypatch.setattr("honeyguide.data.text._CHUNK", 64)
    rows = [f'u{i},"i,{i}",{1_700_000_000 + i}' for i in range(200)]
    assert load_data(put(tmp_path, HEADER + "\n".join(rows))).interactions.height == 200
    rows[150] = "u150,,1700000000"
    _, report = read_with_report(put(tmp_path, HEADER + "\r\n".join(rows) + "\r\n"))
    assert report.quarantine["row"].to_list() == [151]


# Files that are refused


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"the file is empty"),
        (b"\n\n  \n", r"the file is empty"),
        (HEADER.encode(), r"the file has no rows"),
        (b"user_id,item_id,user_id\n1,2,3\n", r"column 'user_id': the header names 'user_id' more than once"),
        (b"\nuser_id,item_id\n1,2\n", r"the first line is empty"),
        (b"user_id,itm\n1,2\n", r"no column for item_id; the file has: user_id, itm.*'item_id': 'itm'"),
    ],
)
def test_faults_of_a_whole_file_are_errors(tmp_path, content, message):
    path = put(tmp_path, content)
    with pytest.raises(DataError, match=message) as error:
        load_data(path)
    assert error.value.file == str(path)
    assert error.value.remedy
    assert str(check_data(path).error) == str(error.value)


def test_a_column_that_is_not_there_is_named_with_its_neighbour(tmp_path):
    with pytest.raises(DataError, match=r"there is no column 'userid'.*Did you mean 'user_id'"):
        load_data(put(tmp_path, HEADER + ROWS), columns={"user_id": "userid"})


def test_mostly_unusable_data_is_refused(tmp_path):
    content = HEADER + "u1,a,yesterday\nu2,b,today\nu3,c,2024-05-31\n"
    with pytest.raises(DataError, match=r"2 of 3 rows cannot be used; .* the time cannot be read"):
        load_data(put(tmp_path, content))
    report = check_data(tmp_path / "e.csv")
    assert not report.ok
    assert report.quarantine.height == 2


def test_a_damaged_parquet_file(tmp_path):
    path = put(tmp_path, b"PAR1 this is not one", "e.parquet")
    with pytest.raises(DataError, match="cannot be read as Parquet"):
        load_data(path)


def test_bad_lines_of_json(tmp_path):
    lines = ['{"user": 1, "item": "a"}', "", "{oops", "[1]", '{"user": "x", "item": "b", "more": 1}']
    data, report = read_with_report(put(tmp_path, "\n".join(lines), "e.jsonl"))
    assert data.user_ids.values.to_list() == ["1", "x"]
    assert rejected(report) == [
        (3, None, "{oops", "the line is not a JSON object"),
        (4, None, "[1]", "the line is not a JSON object"),
    ]


# Times


def times(tmp_path: Path, *values: object) -> tuple[list[int] | None, list[tuple]]:
    rows = "".join(f"u,{i},{value}\n" for i, value in enumerate(values))
    data, report = read_with_report(put(tmp_path, HEADER + rows))
    found = data.times()
    return None if found is None else found.tolist(), rejected(report)


@pytest.mark.parametrize("scale", [1, 10**3, 10**6, 10**9])
def test_seconds_to_nanoseconds_are_told_by_their_size(tmp_path, scale):
    found, bad = times(tmp_path, 1_700_000_000 * scale, 1_700_000_001 * scale)
    assert found == [1_700_000_000 * 10**6, 1_700_000_001 * 10**6]
    assert not bad


def test_mixed_units_are_set_aside(tmp_path):
    found, bad = times(tmp_path, 1_700_000_000, 1_700_000_001_000, 1_700_000_002)
    assert found == [1_700_000_000 * 10**6, 1_700_000_002 * 10**6]
    assert bad == [(2, "timestamp", "1700000001000", "the time is in milliseconds where most are in seconds")]


def test_small_numbers_are_times_with_a_note(tmp_path):
    data, report = read_with_report(put(tmp_path, HEADER + "u,1,5\nu,2,7\n"))
    assert data.times().tolist() == [5 * 10**6, 7 * 10**6]
    assert any("small numbers" in note for note in report.notes)


def test_a_declared_unit_is_obeyed(tmp_path):
    path = put(tmp_path, HEADER + "u,1,5\nu,2,7\n")
    assert load_data(path, time_unit="d").times().tolist() == [5 * 86400 * 10**6, 7 * 86400 * 10**6]


def test_iso_times_of_several_forms_in_one_column(tmp_path):
    forms = ["2024-05-31T18:00:00Z", "2024-05-31 18:00:00", "2024-05-31T20:00:00.5+02:00", "2024-05-31"]
    found, bad = times(tmp_path, *forms)
    hour = 3600 * 10**6
    assert not bad
    midnight = 1_717_113_600 * 10**6
    assert sorted(found) == [midnight, midnight + 18 * hour, midnight + 18 * hour, midnight + 18 * hour + 500_000]


def test_unparsable_times(tmp_path):
    found, bad = times(tmp_path, "2024-05-31", "31st of May", "2024-06-01", "2024-13-01", "2024-06-02")
    assert len(found) == 3
    assert [(row, value) for row, _, value, _ in bad] == [(2, "31st of May"), (4, "2024-13-01")]
    found, bad = times(tmp_path, 1_700_000_000, "soon", 1_700_000_001)
    assert [(row, value, reason) for row, _, value, reason in bad] == [(2, "soon", "the time is not a number")]
    _, bad = times(tmp_path, 1_700_000_000, 1_700_000_000, 10**20)
    assert [row for row, *_ in bad] == [3]


# Ids


def ids(tmp_path: Path, *values: str) -> tuple[list, list[tuple], str]:
    rows = "".join(f"{value},x\n" for value in values)
    data, report = read_with_report(put(tmp_path, "user_id,item_id\n" + rows))
    return data.user_ids.values.to_list(), rejected(report), "\n".join(report.notes)


def test_numbers_are_numbers_and_leading_zeros_are_text(tmp_path):
    assert ids(tmp_path, "2", "10", "-1")[0] == [-1, 2, 10]
    assert ids(tmp_path, "2", "007", "10")[0] == ["007", "10", "2"]
    assert ids(tmp_path, "2", "a")[0] == ["2", "a"]


def test_floats_that_are_whole_are_numbers(tmp_path):
    found, _, notes = ids(tmp_path, "42.0", "42", "7.0")
    assert found == [7, 42]
    assert "read as whole numbers" in notes
    assert "1 spellings of user_id" in notes
    frame = pl.DataFrame({"user_id": [1.0, 2.5, 3.0], "item_id": [1, 1, 1]})
    data, report = read_with_report(frame)
    assert data.user_ids.values.to_list() == [1, 3]
    assert rejected(report) == [(2, "user_id", "2.5", "user_id is not a usable id")]


def test_unicode_forms_are_one_id(tmp_path):
    found, bad, notes = ids(tmp_path, unicodedata.normalize("NFC", "zoë"), unicodedata.normalize("NFD", "zoë"), "ann")
    assert found == ["ann", unicodedata.normalize("NFC", "zoë")]
    assert not bad
    assert "1 spellings of user_id differ only by" in notes


def test_spaces_around_ids_are_removed(tmp_path):
    found, _, notes = ids(tmp_path, " ann", "ann ", "bob")
    assert found == ["ann", "bob"]
    assert "1 spellings" in notes


def test_missing_ids_are_set_aside(tmp_path):
    found, bad, _ = ids(tmp_path, "ann", "", "  ", "bob", "cid")
    assert found == ["ann", "bob", "cid"]
    assert [(row, column, reason) for row, column, _, reason in bad] == [
        (2, "user_id", "user_id is missing"),
        (3, "user_id", "user_id is missing"),
    ]


def test_typed_sources_keep_text_as_text():
    frame = pl.DataFrame({"user_id": ["1", "2"], "item_id": pl.Series(["a", "b"], dtype=pl.Categorical)})
    data = load_data(frame)
    assert data.user_ids.values.to_list() == ["1", "2"]
    assert data.item_ids.values.to_list() == ["a", "b"]


@pytest.mark.parametrize("values", [[[1], [2]], [True, False], [{"a": 1}, {"a": 2}]])
def test_wrong_types_of_ids_in_parquet(tmp_path, values):
    path = tmp_path / "e.parquet"
    pl.DataFrame({"user_id": values, "item_id": [1, 2]}).write_parquet(path)
    with pytest.raises(DataError, match="column 'user_id': ids must be numbers or text, not"):
        load_data(path)


def test_wrong_types_of_other_columns(tmp_path):
    path = tmp_path / "e.parquet"
    good = pl.DataFrame({"user_id": [1], "item_id": [1]})
    good.with_columns(rating=pl.Series([[1]])).write_parquet(path)
    with pytest.raises(DataError, match=r"column 'rating' \(label\): rating must be a number"):
        load_data(path)
    good.with_columns(timestamp=pl.Series([True])).write_parquet(path)
    with pytest.raises(DataError, match="a time cannot be Boolean"):
        load_data(path)


# Values and events


def test_weights_must_be_there_and_not_negative():
    weights = [1.0, -1.0, float("nan"), None, 0.0, 2.5, 3.0, float("inf"), 1.0]
    data, report = read_with_report(pl.DataFrame({"user_id": range(9), "item_id": 1, "weight": weights}))
    assert data.interactions["weight"].to_list() == [1.0, 0.0, 2.5, 3.0, 1.0]
    assert sorted(report.quarantine["row"]) == [2, 3, 4, 8]


def test_ratings_that_are_not_numbers(tmp_path):
    content = "user,item,rating\n1,1,5\n1,2,good\n2,1,NULL\n2,2,4.5\n"
    data, report = read_with_report(put(tmp_path, content))
    assert data.interactions["label"].to_list() == [5.0, None, 4.5]
    assert rejected(report) == [(2, "rating", "good", "rating is not a number")]


def test_unknown_parts_of_a_split(tmp_path):
    content = "user,item,split\n1,1,train\n1,2,holdout\n2,1,test\n"
    data, report = read_with_report(put(tmp_path, content))
    assert data.parts == ("train", "test")
    assert rejected(report) == [(2, "split", "holdout", "the part of the split is unknown")]


def test_repeated_events_are_kept_dropped_or_refused(tmp_path):
    path = put(tmp_path, HEADER + "u,a,1700000000\nu,a,1700000000\nu,a,1700000005\nv,b,1700000000\n")
    data, report = read_with_report(path)
    assert data.interactions.height == 4
    assert any("1 events are there more than once and were kept" in note for note in report.notes)
    data, report = read_with_report(path, duplicates="drop")
    assert data.interactions.height == 3
    assert rejected(report) == [(2, "item_id", "a", "the event is repeated")]
    with pytest.raises(DataError, match=r"row 2: 1 events are there more than once"):
        load_data(path, duplicates="error")


@pytest.mark.parametrize("rows", ["u,a,1700000000\nu,b,1700000001\n", "u,a,1700000000\nv,a,1700000001\n", "u,a,1\n"])
def test_one_user_one_item_one_event(tmp_path, rows):
    data = load_data(put(tmp_path, HEADER + rows))
    assert data.interactions.height == rows.count("\n")
    assert data.matrix().nnz == rows.count("\n")


def test_repeated_rows_of_the_items_table(tmp_path):
    items = pl.DataFrame({"item_id": ["a", "b", "a"], "title": ["first", "b", "second"]})
    data, report = read_with_report(put(tmp_path, HEADER + "u,a,1\n"), items=items)
    assert data.items["title"].to_list() == ["first", "b"]
    assert report.quarantine.select("file", "row", "reason").rows() == [("items", 3, "item_id is repeated")]


def test_rows_of_a_file_without_a_header_are_counted_from_one(tmp_path):
    path = tmp_path / "log.jsonl"
    path.write_text('{"user_id": "u", "item_id": "a"}\n{"user_id": "u", "item_id": "b"}\n{"user_id": "u"}\n')
    _, report = read_with_report(path)
    assert "(first: row 3). " in str(report) and "header" not in str(report)


def test_rejected_rows_are_counted_in_a_warning_and_can_be_written(tmp_path, caplog, monkeypatch):
    path = put(tmp_path, HEADER + ROWS + "u9,,1700000000\n")
    with caplog.at_level(logging.WARNING, logger="honeyguide.data"):
        _, report = read_with_report(path)
        assert not caplog.text, "who gets the report prints it"
        load_data(path)
    assert caplog.text.count("1 row of") == 1
    assert "item_id is missing (first: row 8, not counting the header)" in caplog.text
    monkeypatch.chdir(tmp_path)
    assert report.write_quarantine() == Path("e.quarantine.csv")
    written = pl.read_csv(tmp_path / "e.quarantine.csv")
    assert written["remedy"].to_list() == ["Fill it in, or remove the row."]
    assert report.to_dict()["rejected"][0]["rows"] == 1
    assert "1 row set aside" in str(report)


def test_row_order_does_not_matter():
    frame = pl.DataFrame(
        {
            "user_id": [i % 5 for i in range(50)],
            "item_id": [f"i{i * 7 % 11}" for i in range(50)],
            "timestamp": range(50),
        }
    )
    data = load_data(frame)
    for seed in range(3):
        assert load_data(frame.sample(fraction=1.0, shuffle=True, seed=seed)).equals(data)


# Columns as the file calls them


NAMED = {"user_id": "customer", "item_id": "sku", "timestamp": "bought_at", "label": "stars"}


def test_rows_are_set_aside_under_the_names_of_the_file(tmp_path):
    rows = ",a,2024-01-01,5\nann,b,soon,4\nann,c,2024-01-02,good\nben,a,2024-01-03,5\nben,b,2024-01-04,4\nben,c,,4\n"
    lasts = "cid,a,2024-01-03,5\ncid,b,2024-01-04,4\ncid,c,2024-01-05,4\n"
    path = put(tmp_path, "customer,sku,bought_at,stars\n" + rows + lasts)
    report = check_data(path, columns=NAMED)
    assert report.quarantine.select("row", "column", "meaning", "reason").sort("row").rows() == [
        (1, "customer", "user_id", "customer is missing"),
        (2, "bought_at", "timestamp", "the time cannot be read"),
        (3, "stars", "label", "stars is not a number"),
        (6, "bought_at", "timestamp", "bought_at is missing, so its order is unknown"),
    ]
    assert "Fill in bought_at" in str(report)
    assert "column 'customer' (user_id): customer is missing" in str(report)
    recognised = check_data(path).quarantine.select("row", "column").sort("row")
    assert recognised.rows() == report.quarantine.select("row", "column").sort("row").rows(), "without being declared"


def test_a_name_that_is_honeyguides_own_is_said_once(tmp_path):
    report = check_data(put(tmp_path, HEADER + ROWS + ",i1,1700000000\n"))
    assert report.quarantine.select("column", "meaning").rows() == [("user_id", "user_id")]
    assert "column 'user_id': user_id is missing" in str(report)


@pytest.mark.parametrize(
    ("name", "meaning", "values"), [("kind", "event", [[1]]), ("fold", "split", [[1]]), ("liked", "positive", [None])]
)
def test_columns_of_the_wrong_type_are_named_as_in_the_file(name, meaning, values):
    frame = pl.DataFrame({"user_id": [1], "item_id": [1], name: values})
    with pytest.raises(DataError, match=rf"column '{name}' \({meaning}\): {name} must be") as raised:
        load_data(frame, columns={meaning: name})
    assert (raised.value.column, raised.value.meaning) == (name, meaning)


def test_mostly_unusable_columns_are_named_as_in_the_file(tmp_path):
    path = put(tmp_path, "customer,sku,points\na,x,many\nb,y,few\n")
    with pytest.raises(DataError, match=r"row 1, column 'points' \(weight\)"):
        load_data(path, columns={"weight": "points"})


def test_elements_of_a_list_are_named_by_its_column(tmp_path):
    (tmp_path / "dataset.toml").write_text('[interactions.shape]\nkind = "lists"\nitems = "books"\n')
    rows = pl.DataFrame({"user_id": [1, 2], "books": [["a", "b"], ["c", ""]]})
    rows.write_parquet(tmp_path / "interactions.parquet")
    assert check_data(tmp_path).quarantine.select("column", "reason").rows() == [("books", "books is missing")]


def test_a_condition_about_a_misspelt_column_is_answered_with_those_of_the_file(tmp_path):
    path = put(tmp_path, "customer,sku,stars\na,x,5\nb,y,1\n")
    with pytest.raises(DataError, match=r"Did you mean 'stars'\? Columns: customer, sku, stars\.") as raised:
        load_data(path, positive="star >= 3")
    assert str(path) in raised.value.message
    with pytest.raises(DataError, match="column 'stars': 'many' is not a number"):
        load_data(path, positive="stars >= many")


# Remedies for whoever has no Python at hand


def test_remedies_name_the_flag_that_names_a_column(tmp_path):
    path = tmp_path / "e.parquet"
    frame = pl.DataFrame({"user_id": [1], "item_id": [1], "rating": [[1]], "kind": [[1]]})
    frame.write_parquet(path)
    with pytest.raises(DataError, match=r"--label-col NAME on the command line, columns={'label': 'NAME'} in Python"):
        load_data(path)
    with pytest.raises(DataError, match=r"Name another: columns={'event': 'NAME'} in Python, or in dataset.toml"):
        load_data(frame.drop("rating"), columns={"event": "kind"})
    with pytest.raises(DataError, match="--user-col NAME on the command line"):
        load_data(pl.DataFrame({"a": [1], "b": [2]}))
    with pytest.raises(DataError, match="--time-col NAME on the command line"):
        load_data(pl.DataFrame({"user_id": [1], "item_id": [1]}), split="leave-last-out")
    repeated = put(tmp_path, HEADER + ROWS + ROWS)
    assert any("duplicates = 'drop' in a dataset.toml" in note for note in check_data(repeated).notes)
