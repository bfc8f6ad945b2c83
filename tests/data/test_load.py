"""Reading from every kind of place."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from honeyguide.core.errors import ConfigError, DataError, UnknownNameError
from honeyguide.data.load import known_data, load_data, read_items, read_with_report

EVENTS = pl.DataFrame(
    {
        "user_id": ["ann", "bob", "ann", "cid"],
        "item_id": ["x", "y", "y", "x"],
        "rating": [5, 3, 2, 4],
        "timestamp": [1_700_000_000, 1_700_000_100, 1_700_000_200, 1_700_000_050],
    }
)


def write(frame: pl.DataFrame, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    writers = {".csv": frame.write_csv, ".parquet": frame.write_parquet, ".jsonl": frame.write_ndjson}
    writers[path.suffix](path)
    return path


def test_the_bundled_books_are_whole():
    data = load_data("goodbooks-mini")
    assert (data.interactions.height, data.n_users, data.n_items) == (201_709, 2_672, 2_000)
    assert data.parts == ("train", "valid", "test")
    assert data.ordered
    assert data.items.filter(pl.col("item_id") == 1)["title"].item() == "The Hunger Games"
    assert data.histories("test").lengths.max() == 1


def test_bundled_data_carries_its_attribution():
    from importlib import resources

    notice = resources.files("honeyguide.data") / "bundled" / "goodbooks-mini" / "NOTICE"
    assert "Zygmunt Zając" in notice.read_text(encoding="utf-8")
    assert "ShareAlike 4.0" in notice.read_text(encoding="utf-8")


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".jsonl"])
def test_a_single_file_of_any_kind(tmp_path, suffix):
    data = load_data(write(EVENTS, tmp_path / f"events{suffix}"))
    assert data.name == "events"
    assert data.user_ids.values.to_list() == ["ann", "bob", "cid"]
    assert data.interactions["label"].to_list() == [5.0, 2.0, 3.0, 4.0]
    assert data.times().tolist() == [t * 10**6 for t in (1_700_000_000, 1_700_000_200, 1_700_000_100, 1_700_000_050)]


def test_a_folder_with_tables(tmp_path):
    write(EVENTS, tmp_path / "shop" / "interactions.csv")
    items = pl.DataFrame({"id": ["x", "z"], "title": ["first", "unsold"]})
    write(items, tmp_path / "shop" / "items.jsonl")
    write(pl.DataFrame({"query_id": [1], "text": ["red"]}), tmp_path / "shop" / "queries.parquet")
    data, report = read_with_report(tmp_path / "shop")
    assert data.name == "shop"
    assert data.item_ids.values.to_list() == ["x", "y", "z"]
    assert data.items["title"].to_list() == ["first", None, "unsold"]
    assert data.extras["queries"]["text"].to_list() == ["red"]
    assert any("1 of 2 items with interactions have no row" in note for note in report.notes)


def test_columns_are_guessed_and_explicit_ones_win(tmp_path):
    frame = pl.DataFrame({"userId": [1, 2], "movieId": [10, 20], "buyer": [7, 8], "ts": [1, 2]})
    path = write(frame, tmp_path / "e.csv")
    data, report = read_with_report(path)
    assert data.user_ids.values.to_list() == [1, 2]
    assert any("userId as user_id" in note for note in report.notes)
    assert load_data(path, columns={"user_id": "buyer"}).user_ids.values.to_list() == [7, 8]


@pytest.mark.parametrize(
    ("names", "read"),
    [
        (("bought_at",), "bought_at"),
        (("boughtAt", "release_date"), "boughtAt"),
        (("order_date", "birth_date"), "order_date"),
        (("bought_at", "sent_at"), None),
        (("birth_date", "lat", "format"), None),
    ],
)
def test_a_single_column_that_sounds_like_the_time_is_the_time(tmp_path, names, read):
    days = {name: ["2024-01-02", "2024-01-01"] for name in names}
    data, report = read_with_report(write(pl.DataFrame({"user": [1, 1], "item": [1, 2], **days}), tmp_path / "e.csv"))
    assert (data.times() is not None) == (read is not None)
    if read is not None:
        assert any(f"{read} as timestamp" in note for note in report.notes)
    elif "sent_at" in names:
        assert any("one of bought_at, sent_at may be the time: --time-col" in note for note in report.notes)


@pytest.mark.parametrize(
    ("values", "timed"),
    [(["noon", "late"], False), ([1.7e9, 1.8e9], True), ([3, 12], False), (["1700000000", "1700000001"], True)],
)
def test_what_only_sounds_like_the_time_is_not(tmp_path, values, timed):
    frame = pl.DataFrame({"user": [1, 1], "item": [1, 2], "lunch_time": values})
    assert (load_data(write(frame, tmp_path / "e.parquet")).times() is not None) == timed


def test_an_item_table_with_another_id_is_told_what_to_call_it(tmp_path):
    path = write(pl.DataFrame({"buyer": [1, 1], "sku": [1, 2]}), tmp_path / "e.csv")
    items = write(pl.DataFrame({"pid": [1, 2], "title": ["a", "b"]}), tmp_path / "i.csv")
    with pytest.raises(DataError) as caught:
        load_data(path, columns={"user_id": "buyer", "item_id": "sku"}, items=items)
    assert "Rename the column of its ids to 'sku'" in caught.value.remedy
    with pytest.raises(DataError, match="no column for item_id") as alone:
        read_items(items)
    assert "columns={'item_id':" in alone.value.remedy


def test_positives_are_declared_not_assumed(tmp_path):
    path = write(EVENTS, tmp_path / "e.parquet")
    assert load_data(path).positives().height == 4
    assert load_data(path, positive="rating >= 4").positives().height == 2
    with pytest.raises(ConfigError, match="is not a condition"):
        load_data(path, positive="__import__('os')")


def test_weights_by_event(tmp_path):
    frame = pl.DataFrame({"user": [1, 1, 2], "item": [1, 2, 2], "event": ["view", "buy", "gift"]})
    data, report = read_with_report(write(frame, tmp_path / "e.csv"), weights={"view": 1, "buy": 5})
    assert data.interactions["weight"].to_list() == [1.0, 5.0]
    assert data.matrix(weighted=True).sum() == 6.0
    assert report.quarantine.select("row", "value").rows() == [(3, "gift")]


def test_a_name_under_the_data_folder(tmp_path, monkeypatch):
    write(EVENTS, tmp_path / "mine" / "interactions.parquet")
    write(EVENTS, tmp_path / "flat.csv")
    (tmp_path / "other").mkdir()
    monkeypatch.setenv("HONEYGUIDE_DATA", str(tmp_path))
    assert load_data("mine").interactions.height == 4
    assert load_data("flat").interactions.height == 4
    assert known_data() == ["flat", "goodbooks-mini", "mine"]


def test_unknown_names_come_with_suggestions():
    with pytest.raises(UnknownNameError, match="Did you mean goodbooks-mini"):
        load_data("goodbook-mini")
    with pytest.raises(DataError, match=r"nowhere/events\.csv: there is no such file"):
        load_data("nowhere/events.csv")


def test_a_folder_without_interactions_says_what_it_holds(tmp_path):
    write(EVENTS, tmp_path / "clicks.csv")
    with pytest.raises(DataError, match=r"its data files: clicks\.csv"):
        load_data(tmp_path)
    assert load_data(tmp_path / "clicks.csv", items=pl.DataFrame({"item_id": ["w"]})).n_items == 3


def test_a_database(tmp_path):
    import sqlalchemy as sa

    url = f"sqlite:///{tmp_path / 'shop.db'}"
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        connection.execute(sa.text("create table events (user text, item integer, ts integer)"))
        connection.execute(sa.text("create table items (item_id integer, title text)"))
        rows = [{"u": f"u{i % 7}", "i": i % 11, "t": 1_700_000_000 + i} for i in range(1000)]
        connection.execute(sa.text("insert into events values (:u, :i, :t)"), rows)
        connection.execute(sa.text("insert into items values (3, 'three')"))
    engine.dispose()
    data = load_data(url, tables={"interactions": "events"})
    assert (data.name, data.interactions.height, data.n_users, data.n_items) == ("shop", 1000, 7, 11)
    assert data.text(["title"])[3] == "three"
    assert load_data(f"{url}?table=events").equals(data)
    with pytest.raises(UnknownNameError, match="There is no table named 'interactions'"):
        load_data(url)


def test_what_is_wrong_with_a_database(tmp_path):
    with pytest.raises(DataError, match="there is no such database file"):
        load_data(f"sqlite:///{tmp_path / 'gone.db'}")
    assert not (tmp_path / "gone.db").exists()
    with pytest.raises(DataError, match="no SQL dialect"):
        load_data("s3://bucket/key")
    with pytest.raises(DataError) as error:
        load_data("nonsense://user:secret@host:port/shop")
    assert "secret" not in str(error.value)


def test_rows_of_a_database_may_change_type(tmp_path, monkeypatch):
    import sqlalchemy as sa

    monkeypatch.setattr("honeyguide.data.readers._SQL_CHUNK", 2)
    url = f"sqlite:///{tmp_path / 'shop.db'}"
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        connection.execute(sa.text("create table interactions (user, item, rating)"))
        rows = [(1, 10, 5), (2, 11, 4.5), (3, 12, None), ("x", 13, 3), ("y", 14, 2)]
        values = [dict(zip("uir", row, strict=True)) for row in rows]
        connection.execute(sa.text("insert into interactions values (:u, :i, :r)"), values)
    engine.dispose()
    data = load_data(url)
    assert data.user_ids.values.to_list() == ["1", "2", "3", "x", "y"]
    assert data.interactions["label"].to_list() == [5.0, 4.5, None, 3.0, 2.0]


def test_order_comes_from_what_is_complete():
    frame = pl.DataFrame(
        {"user_id": [1, 1, 1], "item_id": [1, 2, 3], "timestamp": [None, 5, None], "position": [2, 0, 1]}
    )
    data, report = read_with_report(frame)
    assert data.histories()[0].tolist() == [1, 2, 0]
    assert data.times() is None
    assert any("ordered by position" in note for note in report.notes)
    assert not load_data(frame.drop("timestamp", "position")).ordered
    assert not load_data(frame.drop("position")).ordered  # two of three times are missing
    mostly = frame.drop("position").with_columns(timestamp=pl.Series([3, 5, None]))
    data, report = read_with_report(mostly)
    assert data.ordered
    assert report.quarantine["reason"].to_list() == ["timestamp is missing, so its order is unknown"]


def test_rows_that_stand_in_order_are_an_order(tmp_path):
    """The same file with and without saying so: ids sort otherwise than rows do."""
    rows = pl.DataFrame({"user": ["u", "v", "u", "u"], "item": ["c", "a", "a", "b"]})
    path = write(rows, tmp_path / "log.csv")
    silent, report = read_with_report(path)
    assert not silent.ordered
    assert any("--in-order" in note for note in report.notes)
    data, report = read_with_report(path, order="rows")
    assert data.ordered
    assert data.item_ids.decode(data.histories()[0]).to_list() == ["c", "a", "b"]
    assert not any("--in-order" in note for note in report.notes)
    backwards = rows.with_columns(time=pl.Series([1_700_000_003, 1_700_000_000, 1_700_000_002, 1_700_000_001]))
    timed = load_data(write(backwards, tmp_path / "timed.csv"), order="rows")
    assert timed.item_ids.decode(timed.histories()[0]).to_list() == ["b", "a", "c"], "times go first"


def test_items_without_a_row_are_counted_where_nobody_else_describes_them():
    items = pl.DataFrame({"item_id": ["z"], "title": ["new"]})
    events = pl.concat([EVENTS, EVENTS.with_columns(item_id=pl.lit("z"))])
    _, report = read_with_report(events, items=items)
    assert "2 of 3 items with interactions have no row in the items table" in report.notes
    _, report = read_with_report(events, items=items, known_items=pl.Series(["x", "y"]))
    assert not any("no row" in note for note in report.notes)
    _, report = read_with_report(events, items=items, known_items=pl.Series(["x"]))
    assert "1 of 2 new items have no row in the items table" in report.notes
    _, report = read_with_report(events.with_columns(item_id=7), items=items, known_items=pl.Series(["7"]))
    assert not any("no row" in note for note in report.notes), "the same id, as text"


def test_rows_of_a_database_stand_in_no_order(tmp_path):
    import sqlalchemy as sa

    with sa.create_engine(f"sqlite:///{tmp_path / 'shop.db'}").begin() as connection:
        connection.execute(sa.text("create table interactions (user_id text, item_id text)"))
        connection.execute(sa.text("insert into interactions values ('u', 'a')"))
    with pytest.raises(DataError, match="no order"):
        load_data(f"sqlite:///{tmp_path / 'shop.db'}", order="rows")


def test_ties_keep_their_order_and_positions_break_them():
    frame = pl.DataFrame({"user_id": [1, 1, 1], "item_id": [3, 2, 1], "timestamp": [7, 7, 7]})
    assert load_data(frame).item_ids.decode(load_data(frame).histories()[0]).to_list() == [3, 2, 1]
    placed = load_data(frame.with_columns(position=pl.Series([2, 1, 0])))
    assert placed.item_ids.decode(placed.histories()[0]).to_list() == [1, 2, 3]


def test_the_published_split_is_obeyed_unless_another_is_asked_for():
    frame = EVENTS.with_columns(split=pl.Series(["train", "Validation", "test", "train"]))
    assert load_data(frame).parts == ("train", "valid", "test")
    assert load_data(frame, split="none").parts == ("train",)
    assert load_data(frame, split="leave-last-out").interactions["split"].to_list().count("test") == 1
    with pytest.raises(UnknownNameError, match="Did you mean ratio"):
        load_data(frame, split="ration")


def test_columns_of_json_lists_are_lists_without_a_specification(tmp_path: Path) -> None:
    tags, mixed = ['["crime", "old \\"west\\""]', "[]"], ['["crime"]', "[crime]"]
    pl.DataFrame({"item_id": [1, 2], "tags": tags, "mixed": mixed}).write_csv(tmp_path / "items.csv")
    items, _ = read_items(tmp_path / "items.csv")
    assert items["tags"].to_list() == [["crime", 'old "west"'], []]
    assert items["mixed"].to_list() == mixed
