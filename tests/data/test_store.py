"""Histories beside a model: found fast, written whole, forgotten completely."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from honeyguide.core import artifact
from honeyguide.core.artifact import StaleError
from honeyguide.core.errors import ArtifactError, DataError
from honeyguide.data.build import build
from honeyguide.data.store import HistoryStore

USERS = [f"reader-{name}" for name in ("ann", "bob", "cid")]


@pytest.fixture
def store(tmp_path):
    events = pl.DataFrame(
        {"user_id": [USERS[i] for i in (0, 1, 0, 2)], "item_id": ["x", "y", "z", "x"], "position": [0, 0, 1, 0]}
    )
    return HistoryStore.create(
        tmp_path / "store", build("shop", events, pl.DataFrame({"item_id": ["x", "w"], "title": ["X", "W"]}))
    )


def everything(folder: Path) -> bytes:
    """All file names and contents, those of tables also decompressed."""
    files = [p for p in sorted(folder.rglob("*")) if p.is_file()]
    tables = [repr(pl.read_parquet(p).rows()) for p in files if p.suffix == ".parquet" and p.parent.name[0] == "v"]
    return b"".join(p.name.encode() + p.read_bytes() for p in files) + "".join(tables).encode()


def test_histories_come_back_after_opening(store):
    again = HistoryStore.open(store.directory)
    assert again.user_ids.to_list() == USERS
    assert again.item_ids.decode(again.history("reader-ann")).to_list() == ["x", "z"]
    assert again.items["title"].to_list() == ["W", "X", None, None]
    assert again.item_ids == store.item_ids


def test_many_histories_in_the_order_asked_for(store):
    found = store.histories(["reader-cid", "nobody", "reader-ann"])
    assert [store.item_ids.decode(row).to_list() for row in found] == [["x"], [], ["x", "z"]]
    assert "reader-ann" in store
    assert "nobody" not in store


def test_a_deleted_user_leaves_no_trace(store):
    store.append(pl.Series(["reader-bob"]), pl.Series(["z"]))  # so that there was an earlier version
    assert b"reader-bob" in everything(store.directory)
    store.delete("reader-bob")
    assert b"reader-bob" not in everything(store.directory)
    again = HistoryStore.open(store.directory)
    assert again.user_ids.to_list() == ["reader-ann", "reader-cid"]
    assert again.item_ids.decode(again.history("reader-cid")).to_list() == ["x"]
    with pytest.raises(DataError, match="'reader-bob' is not in the store"):
        again.delete("reader-bob")


def test_deletion_also_removes_what_a_crashed_write_left(store):
    leftover = store.directory / ".new"
    leftover.mkdir()
    (leftover / "users.parquet").write_bytes(b"reader-bob")
    store.delete("reader-bob")
    assert b"reader-bob" not in everything(store.directory)


def test_a_failed_write_leaves_the_store_as_it_was(store, monkeypatch):
    before = everything(store.directory)

    def full(*_: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr("honeyguide.core.artifact.sync", full)
    with pytest.raises(ArtifactError, match="no space"):
        store.delete("reader-ann")
    assert everything(store.directory) == before
    assert "reader-ann" in store


def test_events_are_appended_for_old_and_new_users(store):
    store.append(pl.Series(["reader-dan", "reader-ann", "reader-dan"]), pl.Series(["x", "y", "z"]))
    again = HistoryStore.open(store.directory)
    assert again.item_ids.decode(again.history("reader-ann")).to_list() == ["x", "z", "y"]
    assert again.item_ids.decode(again.history("reader-dan")).to_list() == ["x", "z"]
    with pytest.raises(DataError, match="'q' is not in the store"):
        store.append(pl.Series(["reader-ann"]), pl.Series(["q"]))


def test_a_damaged_store_is_a_typed_error(store):
    path = next(store.directory.rglob("arrays.safetensors"))
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(ArtifactError, match="checksum"):
        HistoryStore.open(store.directory)


def test_numeric_ids_and_parts(tmp_path, goodbooks):
    store = HistoryStore.create(tmp_path, goodbooks, "train", "valid")
    user = int(goodbooks.user_ids.values[5])
    assert np.array_equal(store.history(user), goodbooks.histories("train", "valid")[5])
    assert np.array_equal(store.history(str(user)), store.history(user))
    assert len(store) == goodbooks.n_users


def test_new_items_follow_the_others_and_are_there_after_opening(store):
    new = pl.DataFrame({"item_id": ["v", "a"], "title": ["V", "A"], "pages": [7, 9]})
    store.add_items(new)
    store.add_items(new)  # once more, as after a crash
    again = HistoryStore.open(store.directory)
    assert again.items.rows() == [
        ("w", "W", None),
        ("x", "X", None),
        ("y", None, None),
        ("z", None, None),
        ("a", "A", 9),
        ("v", "V", 7),
    ]
    assert again.item_ids.decode(again.history("reader-ann")).to_list() == ["x", "z"]
    again.append(pl.Series(["reader-ann"]), pl.Series(["a"]))
    assert again.item_ids.decode(again.history("reader-ann")).to_list() == ["x", "z", "a"]


def test_new_items_take_the_types_of_the_table(tmp_path):
    events = pl.DataFrame({"user_id": ["u"], "item_id": [1], "position": [0]})
    items = pl.DataFrame({"item_id": [1], "genres": [["Drama", "Comedy"]], "year": [1999]})
    store = HistoryStore.create(tmp_path / "store", build("films", events, items))
    store.add_items(pl.DataFrame({"item_id": [3, 2], "genres": ["Drama", None], "year": ["2001", "soon"]}))
    assert store.items.rows() == [(1, ["Drama", "Comedy"], 1999), (2, [None], None), (3, ["Drama"], 2001)]


def test_times_stay_beside_their_items(tmp_path):
    frame = pl.DataFrame({"user_id": ["a", "b", "a"], "item_id": ["x", "y", "z"], "timestamp": [30, 10, 20]})
    frame = frame.with_columns(pl.from_epoch("timestamp", "s"))
    store = HistoryStore.create(tmp_path / "store", build("timed", frame))
    store.merge(pl.Series(["b", "a"]), pl.Series(["z", "y"]), np.array([5, 25]) * 1_000_000)
    again = HistoryStore.open(store.directory)
    found = again.histories(["b", "nobody", "a"])
    pairs = list(zip(again.item_ids.decode(found.values).to_list(), (found.times // 1_000_000).tolist(), strict=True))
    assert pairs == [("z", 5), ("y", 10), ("z", 20), ("y", 25), ("x", 30)]
    assert found.lengths.tolist() == [2, 0, 3]
    assert again.block(0, 1)[1].times.tolist() == [20_000_000, 25_000_000, 30_000_000]
    after = again.pending()[1]
    assert (after.times // 1_000_000).tolist() == [20, 25, 30, 5, 10]
    again.delete("b")
    assert again.histories(["a"]).times.tolist() == [20_000_000, 25_000_000, 30_000_000]


def test_who_was_forgotten_by_another_process_does_not_come_back(store):
    other = HistoryStore.open(store.directory)
    store.delete("reader-bob")
    with pytest.raises(StaleError, match="changed by somebody else"):
        other.append(pl.Series(["reader-ann"]), pl.Series(["y"]))
    assert b"reader-bob" not in everything(store.directory)


def test_a_deletion_keeps_what_another_process_wrote(store):
    other = HistoryStore.open(store.directory)
    other.append(pl.Series(["reader-dee"]), pl.Series(["y"]))
    store.delete("reader-bob")
    assert HistoryStore.open(store.directory).user_ids.to_list() == ["reader-ann", "reader-cid", "reader-dee"]
    assert "reader-bob" not in store and "reader-dee" not in store, "what it holds stays of its own version"
    store.delete("reader-dee")
    assert b"reader-dee" not in everything(store.directory)


def test_what_was_pending_is_marked_though_somebody_was_forgotten_meanwhile(store):
    store.append(pl.Series(["reader-ann", "reader-bob"]), pl.Series(["y", "x"]))
    HistoryStore.open(store.directory).delete("reader-ann")
    store.mark_learnt()
    again = HistoryStore.open(store.directory)
    assert again.user_ids.to_list() == ["reader-bob", "reader-cid"] and again.pending_digest() is None
    assert again.item_ids.decode(again.history("reader-bob")).to_list() == ["y", "x"]


def test_a_deletion_that_was_cut_short_is_finished_by_repeating_it(store, monkeypatch):
    def killed(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(artifact, "sweep", killed)
    with pytest.raises(KeyboardInterrupt):
        store.delete("reader-bob")
    monkeypatch.undo()
    assert b"reader-bob" in everything(store.directory)
    again = HistoryStore.open(store.directory)
    with pytest.raises(DataError, match="not in the store"):
        again.delete("reader-bob")
    assert b"reader-bob" not in everything(store.directory)


def test_readers_see_the_histories_of_one_version_while_users_are_forgotten(tmp_path):
    names = [f"u{n:03}" for n in range(60)]
    events = pl.DataFrame({"user_id": names, "item_id": [f"i{n:03}" for n in range(60)], "position": [0] * 60})
    store = HistoryStore.create(tmp_path / "many", build("shop", events))
    last, wrong, ended = names[-1], [], threading.Event()

    def look():
        while not ended.is_set():
            for row in (store.histories([last])[0], store.history(last)):
                if store.item_ids.decode(row).to_list() != ["i059"]:
                    wrong.append(row)

    reader = threading.Thread(target=look)
    reader.start()
    for name in names[:40]:
        store.delete(name)
    ended.set()
    reader.join()
    assert not wrong
