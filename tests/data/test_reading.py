"""Events that are read as others were before."""

from __future__ import annotations

from pathlib import Path

import pytest

from honeyguide.core.errors import DataError
from honeyguide.data.load import load_data, read_items, read_with_report
from honeyguide.data.reading import Reading

OLD = "who;what;stars;day;part\nann;x;5;2024-01-01;train\nann;y;1;2024-01-02;train\nbob;y;4;2024-01-03;train\n"
COLUMNS = {"user_id": "who", "item_id": "what", "label": "stars", "timestamp": "day"}


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


@pytest.fixture
def before(tmp_path: Path) -> Reading:
    """Of a file whose columns have names that nobody could guess."""
    found = read_with_report(write(tmp_path / "old.csv", OLD), columns=COLUMNS, positive="stars>=4")[1].reading
    assert found is not None
    return found


def test_what_was_declared_and_guessed_is_known_but_no_part_of_the_split(before: Reading, tmp_path: Path) -> None:
    assert before == Reading(COLUMNS, "stars>=4")
    guessed = read_with_report(write(tmp_path / "log.csv", "userId,asin,stars\nann,x,4\n"), order="rows")[1].reading
    assert guessed == Reading({"user_id": "userId", "item_id": "asin", "label": "stars"}, None, "rows")
    assert Reading.from_meta(before.to_meta()) == before
    assert Reading.from_meta({"columns": 3, "positive": ["x"], "order": "times", "more": 1}) == Reading()


def test_a_file_of_the_same_kind_needs_nothing_said(before: Reading, tmp_path: Path) -> None:
    new = write(tmp_path / "new.csv", "day;stars;what;who\n2024-02-01;5;x;zoe\n2024-02-02;2;y;zoe\n")
    with pytest.raises(DataError, match="no column for user_id and item_id"):
        load_data(new)
    data, report = read_with_report(new, remembered=before)
    assert data.user_ids.values.to_list() == ["zoe"]
    assert data.positives().height == 1
    assert data.times() is not None
    assert any("who as user_id" in note and "as in the data of the fit" in note for note in report.notes)
    assert any("count where stars>=4" in note for note in report.notes)
    assert report.reading == before


def test_what_is_said_wins(before: Reading, tmp_path: Path) -> None:
    text = "who,reader,what,stars,day\nann,zoe,x,5,2024-02-01\nann,zed,y,3,2024-02-02\n"
    new = write(tmp_path / "new.csv", text)
    data = load_data(new, remembered=before, columns={"user_id": "reader"}, positive="stars>=3")
    assert data.user_ids.values.to_list() == ["zed", "zoe"]
    assert data.positives().height == 2
    assert load_data(new, remembered=before, positive="").positives().height == 2, "all events count"
    write(tmp_path / "dataset.toml", '[interactions]\nfile = "new.csv"\ncolumns = { user_id = "reader" }\n')
    assert load_data(tmp_path, remembered=before).user_ids.values.to_list() == ["zed", "zoe"], "so does dataset.toml"


def test_a_column_that_is_not_there_is_guessed_and_said(before: Reading, tmp_path: Path) -> None:
    new = write(tmp_path / "new.csv", "user,what,rating,day\nann,x,5,2024-02-01\nann,y,3,2024-02-02\n")
    data, report = read_with_report(new, remembered=before)
    assert data.user_ids.values.to_list() == ["ann"]
    assert data.positives().height == 1, "stars were the label, and rating is"
    assert any("has no column who (user_id), stars (label)" in note for note in report.notes)
    bare = write(tmp_path / "bare.csv", "user,what,day\nann,x,2024-02-01\nann,y,2024-02-02\n")
    data, report = read_with_report(bare, remembered=before)
    assert data.positives().height == 2
    assert any("no column stars, by which events counted" in note for note in report.notes)
    said = write(tmp_path / "said.csv", "user,what,day,stars,positive\nann,x,2024-02-01,1,true\n")
    assert load_data(said, remembered=before).positives().height == 1, "the file says what counts"


def test_a_rule_that_cannot_hold_is_an_error(before: Reading, tmp_path: Path) -> None:
    new = write(tmp_path / "new.csv", "who,what,stars,day\nann,x,5,2024-02-01\n")
    with pytest.raises(DataError, match="'price'"):
        load_data(new, remembered=before, positive="price>3")


def test_rows_that_stood_in_order_still_do(tmp_path: Path) -> None:
    new, before = write(tmp_path / "new.csv", "user,item\nann,y\nann,x\n"), Reading(order="rows")
    data = load_data(new, remembered=before)
    assert data.item_ids.decode(data.histories()[0]).to_list() == ["y", "x"]
    placed = write(tmp_path / "placed.csv", "user,item,nth\nann,y,2\nann,x,1\n")
    data = load_data(placed, remembered=before, columns={"position": "nth"})
    assert data.item_ids.decode(data.histories()[0]).to_list() == ["x", "y"], "places that are named win"


def test_a_table_of_items_has_the_id_column_of_the_events(tmp_path: Path) -> None:
    table = write(tmp_path / "items.csv", "what,id,title\nx,7,First\n")
    items, _ = read_items(table, remembered=Reading(COLUMNS))
    assert items["item_id"].to_list() == ["x"]
    assert read_items(table, {"item_id": "id"}, remembered=Reading(COLUMNS))[0]["item_id"].to_list() == [7]
