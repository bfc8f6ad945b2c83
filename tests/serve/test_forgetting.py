"""A deleted user is gone: proven by export, by every list that was held, and by the bytes of every file."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
from tests.serve.conftest import Served, serve

from honeyguide.core.dataset import Dataset
from honeyguide.data.build import build
from honeyguide.experiment.bundle import save_bundle
from honeyguide.models.linear.itemknn import ItemKNN
from honeyguide.serve.backup import backup, restore
from honeyguide.serve.engine import Engine
from honeyguide.serve.service import Settings

SECRET = "ann-of-green-gables"


@pytest.fixture
def named(books: Dataset, tmp_path: Path, store_url: str):
    """A service over histories in which a user has a name that is found in bytes."""
    names = pl.Series(books.user_ids.decode(books.interactions["user"].to_numpy())).cast(pl.String)
    frame = books.interactions.select(
        user_id=names.replace(names[0], SECRET),
        item_id=pl.Series(books.item_ids.decode(books.interactions["item"].to_numpy())),
        position="position",
        split="split",
    )
    data = build("named", frame, books.items.select("item_id", "title", "authors"))
    save_bundle(tmp_path / "first", ItemKNN().fit(data), data)
    folder = tmp_path / "served"
    folder.mkdir()
    yield from serve(tmp_path / "first", folder, store_url, Settings(refresh_seconds=0.05))


def everything(served: Served, item: str) -> list[str]:
    """All that a user can leave behind; ids of lists that are held."""
    event = {"event_id": f"e-{SECRET}", "user_id": SECRET, "item_id": item, "kind": "like"}
    served.post("/v1/events", {"events": [event]})
    served.client.put(f"/v1/users/{SECRET}", json={"fields": {"name": SECRET}}, headers=served.auth())
    served.post("/v1/command", {"user_id": SECRET, "command": "nothing by Rowling"})
    found = [served.post("/v1/recommend", {"user_id": SECRET, "k": 2, "explain": True})]
    found.append(served.post("/v1/search", {"user_id": SECRET, "query": "the"}))
    for answer in list(found):
        if answer["next_page"] is not None:
            served.get(f"/v1/recommend/{answer['recommendation_id']}?page=1")
    return [answer["recommendation_id"] for answer in found]


def is_forgotten(served: Served) -> bool:
    exported = served.get(f"/v1/users/{SECRET}/export")
    return not any(value for name, value in exported.items() if name != "user_id")


def test_nothing_of_a_user_is_left(named: Served, books: Dataset) -> None:
    held = everything(named, str(books.item_ids.values[7]))
    exported = named.get(f"/v1/users/{SECRET}/export")
    assert all(exported[name] for name in ("history", "events", "users", "preferences", "exposure_log"))
    assert named.client.delete(f"/v1/users/{SECRET}", headers=named.auth()).json()["rows"] >= 5
    assert is_forgotten(named)
    for name in held:
        assert named.client.get(f"/v1/recommend/{name}?page=1", headers=named.auth()).status_code == 404
    profile = named.get(f"/v1/users/{SECRET}")
    assert not any(value for name, value in profile.items() if name != "user_id")
    assert named.post("/v1/recommend", {"user_id": SECRET})["source"] == "popular"
    time.sleep(0.6)  # what is written behind requests
    assert named.get(f"/v1/users/{SECRET}/export")["exposure_log"], "the list that was just asked for is a new one"
    named.client.delete(f"/v1/users/{SECRET}", headers=named.auth())
    again = Engine("default", named.folder / "model", named.store)
    assert len(again.person(SECRET).liked) == 0, "after a restart"
    files = [path for path in named.folder.parent.rglob("*") if path.is_file() and "first" not in path.parts]
    assert any("store" in path.parts for path in files)
    assert [path for path in files if SECRET.encode() in path.read_bytes()] == []


def test_a_copy_made_before_still_has_the_user_and_one_made_after_has_not(named: Served, tmp_path: Path) -> None:
    if not named.url.startswith("sqlite"):
        pytest.skip("copies of SQLite")
    everything(named, "1")
    backup(named.url, tmp_path / "before.db")
    named.client.delete(f"/v1/users/{SECRET}", headers=named.auth())
    backup(named.url, tmp_path / "after.db")
    assert SECRET.encode() in (tmp_path / "before.db").read_bytes()
    assert SECRET.encode() not in (tmp_path / "after.db").read_bytes()
    restore(tmp_path / "before.db", f"sqlite:///{tmp_path / 'restored.db'}")
    assert SECRET.encode() in (tmp_path / "restored.db").read_bytes(), "delete again after a restore"


def test_what_arrives_during_a_deletion_is_forgotten_by_the_next_one(named: Served, books: Dataset) -> None:
    """Requests of the user run all the time; once they have ended, a deletion leaves nothing."""
    items = [str(item) for item in books.item_ids.values.head(30).to_list()]
    ending, faults = threading.Event(), []

    def busy(number: int) -> None:
        n = 0
        while not ending.is_set():
            n += 1
            event = {"event_id": f"{number}-{n}", "user_id": SECRET, "item_id": items[n % 30], "kind": "like"}
            for path, body in (
                ("/v1/events", {"events": [event]}),
                ("/v1/recommend", {"user_id": SECRET, "k": 2}),
                ("/v1/command", {"user_id": SECRET, "command": "no Rowling"}),
            ):
                answer = named.client.post(path, json=body, headers=named.auth())
                if answer.status_code != 200:
                    faults.append(answer.text)

    threads = [threading.Thread(target=busy, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for _ in range(10):
        assert named.client.delete(f"/v1/users/{SECRET}", headers=named.auth()).status_code == 200
        time.sleep(0.05)
    ending.set()
    for thread in threads:
        thread.join()
    assert not faults
    named.client.delete(f"/v1/users/{SECRET}", headers=named.auth())
    time.sleep(0.6)
    assert is_forgotten(named) and not named.engine._people.get(SECRET, named.engine.person("nobody")).liked.size
    assert not [held for held in named.engine._held._lists.values() if held.user_id == SECRET]


def test_a_history_that_was_being_read_is_not_kept_in_memory(
    served: Served, books: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The read begins before the deletion and ends after it."""
    user = str(books.user_ids.values[3])
    reads, deleted = threading.Event(), threading.Event()
    plain = served.store.events_and_preferences

    def slow(tenant: str, user_id: str):
        found = plain(tenant, user_id)
        if not reads.is_set():
            reads.set()
            deleted.wait(10)
        return found

    monkeypatch.setattr(served.store, "events_and_preferences", slow)
    reader = threading.Thread(target=served.engine.recommend, args=(user,))
    reader.start()
    assert reads.wait(10)
    served.client.delete(f"/v1/users/{user}", headers=served.auth())
    deleted.set()
    reader.join()
    assert len(served.engine.person(user).liked) == 0


def test_a_list_made_during_the_deletion_is_not_held(served: Served, books: Dataset) -> None:
    user = str(books.user_ids.values[3])
    answer = served.engine.recommend(user)
    answer = replace(answer, unit=user)
    served.client.delete(f"/v1/users/{user}", headers=served.auth())
    served.engine.keep("late", answer, 10)
    assert served.engine.held("late") is None
