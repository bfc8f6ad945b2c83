"""Where pictures come from: a column, a table, a folder; and where their bytes do not go."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from honeyguide.core.errors import DataError
from honeyguide.data.load import load_data, read_items, read_with_report
from honeyguide.data.pictures import without_bytes
from honeyguide.data.store import HistoryStore

EVENTS = pl.DataFrame({"user_id": ["a", "a", "b"], "item_id": [1, 2, 3], "position": [0, 1, 0]})


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """A data set of three items, with files of pictures and a table of them beside it."""
    EVENTS.write_csv(tmp_path / "interactions.csv")
    pl.DataFrame(
        {"item_id": [1, 2, 3], "title": ["one", "two", "three"], "cover": ["img/1.png", "", "https://x/3.png"]}
    ).write_csv(tmp_path / "items.csv")
    (tmp_path / "img").mkdir()
    for name in ("1.png", "3.JPG", "99.png", "notes.txt"):
        (tmp_path / "img" / name).write_bytes(b"x")
    pl.DataFrame({"item_id": [2, 3, 77], "width": [1, 2, 3], "jpeg": [b"two", b"three", b"more"]}).write_parquet(
        tmp_path / "posters.parquet"
    )
    return tmp_path


def test_a_column_of_paths_is_relative_to_its_folder(shop: Path) -> None:
    items = load_data(shop, pictures="cover").items
    assert items["picture"].to_list() == [str(shop / "img/1.png"), None, "https://x/3.png"]
    assert items["title"].to_list() == ["one", "two", "three"]


def test_a_folder_of_files_named_by_id(shop: Path) -> None:
    data, report = read_with_report(shop, pictures=shop / "img")
    assert data.items["picture"].to_list() == [str(shop / "img/1.png"), None, str(shop / "img/3.JPG")]
    assert any("2 of 3 items have one" in note for note in report.notes)


def test_a_table_of_bytes_is_found_beside_the_data(shop: Path) -> None:
    data = load_data(shop, pictures="posters.parquet")
    assert data.items["picture"].to_list() == [None, b"two", b"three"]
    assert data.n_items == 3  # a picture of an item that nobody knows adds none


def test_a_table_of_paths(shop: Path) -> None:
    pl.DataFrame({"item_id": [1], "file": ["img/1.png"]}).write_csv(shop / "files.csv")
    assert load_data(shop, pictures=shop / "files.csv").items["picture"][0] == str(shop / "img/1.png")


def test_data_without_a_table_of_items(tmp_path: Path, shop: Path) -> None:
    data = load_data(EVENTS, pictures=shop / "posters.parquet")
    assert data.items["picture"].to_list() == [None, b"two", b"three"]


def test_new_items_take_pictures_of_their_own_alone(shop: Path) -> None:
    pl.DataFrame({"item_id": [77, 78], "title": ["a", "b"]}).write_csv(shop / "new.csv")
    items, _ = read_items(shop / "new.csv", pictures=shop / "posters.parquet")
    assert items.select("item_id", "picture").rows() == [(77, b"more"), (78, None)]


def test_what_is_wrong_is_said(shop: Path) -> None:
    with pytest.raises(DataError, match=r"no pictures 'nowhere'.*Columns: item_id, title, cover"):
        load_data(shop, pictures="nowhere")
    with pytest.raises(DataError, match="holds Int64"):
        load_data(shop, items=pl.DataFrame({"item_id": [1], "pages": [7]}), pictures="pages")
    pl.DataFrame({"item_id": [1], "width": [7]}).write_csv(shop / "sizes.csv")
    with pytest.raises(DataError, match="no column holds pictures"):
        load_data(shop, pictures=shop / "sizes.csv")


def test_the_store_keeps_no_bytes(shop: Path, tmp_path: Path) -> None:
    data = load_data(shop, pictures="posters.parquet")
    store = HistoryStore.create(tmp_path / "store", data)
    assert store.items["picture"].to_list() == [None, None, None]
    store.add_items(pl.DataFrame({"item_id": [9], "title": ["nine"], "picture": [b"nine"]}))
    assert store.items["picture"].null_count() == 4
    assert without_bytes(data.items.drop("picture")).columns == ["item_id", "title", "cover"]
