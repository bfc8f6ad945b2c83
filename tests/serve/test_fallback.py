from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from fastapi.testclient import TestClient
from tests.serve.conftest import Served
from tests.serve.test_api import a_user, like, names, shown

from honeyguide.core.dataset import Dataset
from honeyguide.experiment.bundle import save_bundle
from honeyguide.models.linear.ials import IALS
from honeyguide.models.linear.itemknn import ItemKNN
from honeyguide.serve.app import create_app
from honeyguide.serve.auth import new_key
from honeyguide.serve.engine import Engine
from honeyguide.serve.service import Settings
from honeyguide.serve.store import Store


@pytest.fixture
def bare(tmp_path: Path, store: Store, store_url: str) -> Iterator[Served]:
    """A service over an empty folder."""
    folder = tmp_path / "model"
    folder.mkdir()
    key = new_key(store, "default", "all", ("read", "write", "admin"))
    engine = Engine("default", folder, store)
    with TestClient(create_app(store, {"default": engine}, Settings(refresh_seconds=0.05))) as client:
        yield Served(client, store, store_url, engine, tmp_path, key)


def damage(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)


def wait_for(served: Served, **expected: object) -> None:
    deadline = time.monotonic() + 30
    while not expected.items() <= served.get("/health")["tenants"]["default"].items():
        assert time.monotonic() < deadline, served.get("/health")
        time.sleep(0.02)


def item(name: str, **fields: object) -> dict[str, object]:
    return {"item_id": name, "fields": fields}


def test_an_empty_folder_serves_what_is_posted(bare: Served) -> None:
    health = bare.get("/health")
    assert health["status"] == "degraded"
    told = {"model": "popularity", "version": "none", "items": 0, "fallback": True}
    assert told.items() <= health["tenants"]["default"].items()
    nothing = bare.post("/v1/recommend", {"user_id": "ann"})
    assert nothing["items"] == [] and nothing["source"] == "latest" and nothing["version"] == "none"
    old = [item(f"i{n}", title=f"Book {n}", year=1900 + n) for n in range(5)]
    assert bare.post("/v1/items", {"items": old}) == {"stored": 5, "recommendable": 5}
    bare.post("/v1/items", {"items": [item("new", title="New", year="unknown", pages=3)]})
    latest = bare.post("/v1/recommend", {"k": 3})
    assert shown(latest)[0] == "new" and latest["source"] == "latest", "what was added last stands first"
    assert latest["items"][0]["fields"]["title"] == "New"
    bare.post("/v1/events", {"events": [like("ann", "i2", 1), like("bob", "i2", 1), like("bob", "i4", 2)]})
    popular = bare.post("/v1/recommend", {"k": 2})
    assert shown(popular) == ["i2", "i4"] and popular["source"] == "popular"
    assert "i2" not in shown(bare.post("/v1/recommend", {"user_id": "ann", "k": 10})), (
        "what was seen does not come back"
    )
    none = bare.post("/v1/recommend", {"where": ["title == 'Book 3'"]})
    assert shown(none) == ["i3"] and none["source"] == "latest", "popular within the filter, else latest"
    said = {"user_id": "ann", "command": "hide the first one", "shown": ["i4"]}
    assert "i4" not in shown(bare.post("/v1/command", said))


def test_items_that_only_events_name_come_up_too(bare: Served) -> None:
    bare.post("/v1/events", {"events": [like("ann", "x", 1), like("bob", "y", 1), like("eve", "y", 1)]})
    wait_for(bare, items=2)
    assert shown(bare.post("/v1/recommend", {"user_id": "zoe"})) == ["y", "x"]


def test_a_model_that_appears_is_taken_up(bare: Served, books: Dataset) -> None:
    save_bundle(bare.folder / "model", IALS(factors=8, iterations=2).fit(books), books)
    wait_for(bare, model="ials", fallback=False, version="v000001")
    assert bare.get("/health")["status"] == "ok"
    assert bare.post("/v1/recommend", {"user_id": a_user(books)})["source"] == "personal"


def test_a_damaged_newest_version_is_put_aside_and_the_last_good_one_serves(served: Served, books: Dataset) -> None:
    user, folder = a_user(books), served.folder / "model"
    before = shown(served.post("/v1/recommend", {"user_id": user}))
    save_bundle(folder, ItemKNN().fit(books), books)
    damage(folder / "v000002" / "arrays.safetensors")
    again = Engine("default", folder, served.store)  # a restart
    assert again.live.version == "v000001" and not again.live.fallback
    answer = again.recommend(user)
    assert again.ids(answer.live, answer.order.page(0, 10)[0]) == before and answer.source == "personal"
    assert (folder / "v000002.damaged").is_dir() and not (folder / "v000002").exists()


def test_a_running_service_stays_with_the_good_version(served: Served, books: Dataset) -> None:
    folder = served.folder / "model"
    save_bundle(folder, ItemKNN().fit(books), books)
    wait_for(served, model="itemknn", version="v000002")
    damage(folder / "v000002" / "manifest.json")
    (folder / "CURRENT").write_text("v000002 " + "0" * 64 + "\n")  # as a damaged disk may have it
    wait_for(served, model="ials", version="v000001", fallback=False)
    assert served.post("/v1/recommend", {"user_id": a_user(books)})["source"] == "personal"


def test_a_lost_pointer_is_found_again(served: Served, books: Dataset) -> None:
    (served.folder / "model" / "CURRENT").unlink()
    again = Engine("default", served.folder / "model", served.store)
    assert again.live.version == "v000001" and again.recommend(a_user(books)).source == "personal"


def test_no_version_can_be_read(served: Served, books: Dataset) -> None:
    served.post("/v1/items", {"items": [item("n1", title="New")]})
    served.post("/v1/events", {"events": [like("ann", names(books, 7)[0], 1)]})
    for file in (served.folder / "model").glob("v*/arrays.safetensors"):
        damage(file)
    again = Engine("default", served.folder / "model", served.store)
    assert again.live.fallback and again.live.version == "none"
    answer = again.recommend(a_user(books))
    assert answer.source == "popular" and again.ids(answer.live, answer.order.items) == [names(books, 7)[0], "n1"]
    assert again.recommend("ann").source == "latest", "what was liked is not popular for those who liked it"


def test_histories_beyond_repair_leave_the_model(served: Served, books: Dataset) -> None:
    for file in (served.folder / "model" / "store").glob("v*/arrays.safetensors"):
        damage(file)
    again = Engine("default", served.folder / "model", served.store)
    assert not again.live.fallback and again.live.degraded
    assert again.recommend(None, names(books, 7, 8)).source == "session"
    assert again.recommend(a_user(books)).source == "latest", "popularity is in the histories too"
    kept = served.folder / "model" / "store"
    assert [path.name for path in kept.glob("v*")] == ["v000001.damaged"]
    again.forget(a_user(books))
    assert not list(kept.glob("v*")), "what was put aside may name those who are to be forgotten"


def test_rules_of_the_file_hold_for_strangers_too(served: Served, books: Dataset, tmp_path: Path) -> None:
    file = tmp_path / "stages.toml"
    file.write_text('[[rules]]\nfilter = "title contains the"\n')
    engine = Engine("default", served.folder / "model", served.store, file)
    answer = engine.recommend(None)
    mask = engine.live.stock.mask("title contains the")
    assert answer.source == "popular" and mask[answer.order.items].all() and len(answer.order.items) == mask.sum()


def test_stages_that_only_fit_the_model_do_not_stop_the_service(tmp_path: Path, store: Store) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "stages.toml").write_text('[[rules]]\nfilter = "colour == red"\n')
    store.put_items("default", {"a": {"title": "A"}}).result()
    engine = Engine("default", tmp_path / "model", store, tmp_path / "stages.toml")
    assert engine.live.stages.fault is not None
    np.testing.assert_array_equal(engine.recommend(None).order.items, [0])
