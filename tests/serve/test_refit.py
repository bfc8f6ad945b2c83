"""What a service was told, brought into its model."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from tests.serve.conftest import Served
from typer.testing import CliRunner

from honeyguide.cli.main import app
from honeyguide.core.errors import CapabilityError
from honeyguide.experiment.bundle import open_bundle, save_bundle
from honeyguide.models.graph.gfcf import GFCF
from honeyguide.models.ranking.itemrate import ItemRate
from honeyguide.serve.refit import refit, told, whole_log


def events(*rows: tuple[str, str, str, str]) -> dict[str, object]:
    return {"events": [{"event_id": e, "user_id": u, "item_id": i, "kind": kind} for e, u, i, kind in rows]}


@pytest.fixture
def unread(served: Served) -> list[str]:
    """Items that user 13 has not in the histories, as the service writes them."""
    bundle = open_bundle(served.engine.directory)
    own = set(bundle.store.item_ids.decode(bundle.store.known_history(13)).to_list())
    return [str(item) for item in bundle.item_ids.values.to_list() if item not in own][:4]


def test_likes_that_stand_are_brought_in_once(served: Served, unread: list[str]) -> None:
    a, b, c, _ = unread
    told_to = events(
        ("1", "13", a, "like"),
        ("2", "13", b, "like"),
        ("3", "13", b, "hide"),
        ("4", "901", c, "like"),
        ("5", "x", a, "like"),
    )
    served.post("/v1/events", told_to)
    before = open_bundle(served.engine.directory)
    length = len(before.store.known_history(13))
    done, found = refit(served.engine.directory, served.store, "default")
    assert (done.events, done.new_users, found.left_out) == (2, 1, 1), (
        "what was taken back and an id of another kind stay out"
    )
    after = open_bundle(served.engine.directory)
    history = [str(i) for i in after.store.item_ids.decode(after.store.known_history(13)).to_list()]
    assert len(history) == length + 1 and history[-1] == a and b not in history
    assert [str(i) for i in after.store.item_ids.decode(after.store.known_history(901)).to_list()] == [c]
    assert after.model.report.updates[-1]["told"] == found.number
    again, _ = refit(served.engine.directory, served.store, "default")
    assert (again.events, again.known_events, again.changed_users, again.version) == (0, 2, 0, done.version)


def test_a_service_counts_nothing_twice(served: Served, unread: list[str]) -> None:
    a = unread[0]
    served.post("/v1/events", events(("1", "13", a, "like"), ("2", "14", a, "like")))
    counted = served.engine.live.stock.popularity[int(served.engine.codes([a], served.engine.live)[0])]
    liked = served.engine.person("13", served.engine.live).liked.tolist()
    refit(served.engine.directory, served.store, "default")
    served.engine.refresh()
    live = served.engine.live
    code = int(served.engine.codes([a], live)[0])
    assert live.stock.popularity[code] == counted
    assert served.engine.person("13", live).liked.tolist() == liked and liked.count(code) == 1


def test_posted_items_are_known_with_their_fields(served: Served) -> None:
    served.post("/v1/items", {"items": [{"item_id": "90001", "fields": {"title": "A new book", "year": 2024}}]})
    served.post("/v1/events", events(("1", "13", "90001", "like")))
    done, _ = refit(served.engine.directory, served.store, "default")
    store = open_bundle(served.engine.directory).store
    assert done.new_items == 1
    assert store.items.filter(pl.col("item_id") == 90001)["title"].to_list() == ["A new book"]


def test_the_whole_log_for_a_fit_from_nothing(served: Served, unread: list[str], tmp_path: Path) -> None:
    bundle = open_bundle(served.engine.directory)
    n = int(np.sum(bundle.store.histories(bundle.store.user_ids).lengths))
    served.post("/v1/events", events(("1", "13", unread[0], "like"), ("2", "13", unread[1], "view")))
    log = whole_log(served.store, "default", bundle)
    assert log.height == n + len(told(served.store, "default", bundle).data.interactions) and log.columns[:2] == [
        "user_id",
        "item_id",
    ]
    file = tmp_path / "log.csv"
    asked = ["--quiet", "refit", str(served.engine.directory), "--store", served.url, "--export", str(file), "--json"]
    made = CliRunner().invoke(app, asked)
    assert made.exit_code == 0, made.output
    assert json.loads(made.stdout) == {"file": str(file), "events": log.height}
    assert pl.read_csv(file).height == log.height


def test_the_command_brings_in_and_says_what(served: Served, unread: list[str]) -> None:
    served.post("/v1/events", events(("1", "13", unread[0], "like")))
    made = CliRunner().invoke(app, ["refit", str(served.engine.directory), "--store", served.url])
    assert made.exit_code == 0, made.output
    assert "1 new events" in " ".join(made.output.split())


def test_a_model_that_cannot_be_updated_is_left_as_it_is(served: Served, books, unread: list[str]) -> None:
    save_bundle(served.engine.directory, ItemRate().fit(books), books)
    assert "update" not in ItemRate.capabilities and "update" in GFCF.capabilities
    served.post("/v1/events", events(("1", "13", unread[0], "like")))
    version = (served.engine.directory / "CURRENT").read_text()
    with pytest.raises(CapabilityError, match="update"):
        refit(served.engine.directory, served.store, "default")
    assert (served.engine.directory / "CURRENT").read_text() == version
