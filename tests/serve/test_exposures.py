from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from fastapi.testclient import TestClient
from mcp import Client
from tests.serve.conftest import Served
from tests.serve.test_api import a_user, like, shown
from tests.serve.test_mcp import agent, call, said
from typer.testing import CliRunner

from honeyguide.cli.main import app as cli
from honeyguide.core.dataset import Dataset
from honeyguide.core.errors import DataError, StorageError
from honeyguide.metrics.offpolicy import doubly_robust, ips, position_ips, snips
from honeyguide.metrics.stats import bootstrap_ci
from honeyguide.pipeline.config import Explore
from honeyguide.pipeline.explore import propensities
from honeyguide.serve.answer import Answer
from honeyguide.serve.app import create_app
from honeyguide.serve.auth import EVERYBODY
from honeyguide.serve.engine import Engine
from honeyguide.serve.exposures import ExposureLog
from honeyguide.serve.held import Held
from honeyguide.serve.logged import joined, places
from honeyguide.serve.observe import Meters
from honeyguide.serve.service import Service, Settings
from honeyguide.serve.store import Event, Store, now

EXPLORE = '[explore]\nmethod = "softmax"\ntemperature = 1.0\ndepth = 4\n'


def service_of(served: Served) -> Service:
    found: Service = served.client.app.state.service  # type: ignore[attr-defined]
    return found


def log_of(served: Served, **options: object) -> pl.DataFrame:
    service_of(served).exposures.flush()
    return joined(served.store, "default", **options)  # type: ignore[arg-type]


@pytest.fixture
def exploring(models: Path, tmp_path: Path, store: Store, store_url: str) -> Iterator[Served]:
    """A service that draws the head of its lists."""
    (tmp_path / "stages.toml").write_text(EXPLORE)
    engine = Engine("default", models / "ials", store, tmp_path / "stages.toml")
    with TestClient(create_app(store, {"default": engine}, Settings()), base_url="http://127.0.0.1") as client:
        yield Served(client, store, store_url, engine, tmp_path, "no key yet")


def test_every_page_that_is_shown_is_logged(served: Served, books: Dataset) -> None:
    user = a_user(books)
    first = served.post("/v1/recommend", {"user_id": user, "k": 5, "scenario": "home"})
    second = served.get(f"/v1/recommend/{first['recommendation_id']}?page=1")
    served.get(f"/v1/recommend/{first['recommendation_id']}?page=1")  # the same again
    obeyed = served.post("/v1/command", {"user_id": user, "command": "no Rowling", "k": 3})
    served.post("/v1/recommend", {"k": 2})
    log = log_of(served)
    own = log.filter(pl.col("recommendation_id") == first["recommendation_id"])
    assert own["item_id"].to_list() == shown(first) + shown(second)
    assert own["rank"].to_list() == list(range(1, 11)) and own["page"].to_list() == [0] * 5 + [1] * 5
    assert set(own["scenario"]) == {"home"} and set(own["user_id"]) == {user} and set(own["source"]) == {"personal"}
    assert set(own["version"]) == {"v000001"} and set(own["propensity"]) == set(own["chance"]) == {1.0}
    told = log.filter(pl.col("recommendation_id") == obeyed["recommendation_id"])
    assert told["item_id"].to_list() == shown(obeyed)
    assert log["recommendation_id"].n_unique() == 3 and set(log["user_id"]) == {user, ""}
    text = served.client.get("/metrics", headers=served.auth()).text
    assert "honeyguide_exposures_total 5.0" in text and "honeyguide_exposures_dropped_total 0.0" in text


def test_what_is_drawn_is_logged_with_its_probabilities(exploring: Served, books: Dataset) -> None:
    body = {"user_id": a_user(books), "k": 3}
    lists = [exploring.client.post("/v1/recommend", json=body).json() for _ in range(30)]
    assert len({tuple(shown(one)) for one in lists}) > 5, "every list is drawn anew"
    one = lists[0]
    more = exploring.client.get(f"/v1/recommend/{one['recommendation_id']}?page=1").json()
    assert not set(shown(more)) & set(shown(one)), "the pages of a list are those of one draw"
    table, log = propensities(Explore(method="softmax", temperature=1.0), 4), log_of(exploring)
    head = exploring.engine.recommend(a_user(books)).order.items[:4]
    before = exploring.engine.ids(exploring.engine.live, head)
    for row in log.iter_rows(named=True):
        if row["rank"] <= 4:
            place = before.index(row["item_id"])
            assert row["before"] == place + 1 and row["among"] == 4
            assert row["propensity"] == pytest.approx(table[place, row["rank"] - 1])
        else:
            assert row["before"] is None and row["propensity"] == 1.0


def test_events_on_what_was_shown_are_joined_within_the_window(store: Store) -> None:
    start, minute = now() - 10_000_000_000, 60_000_000

    def page(name: str, user: str, at: int, *items: str, experiment: str = "") -> dict[str, object]:
        given = {"tenant": "a", "recommendation_id": name, "user_id": user, "created": at, "page": 0, "first": 1}
        same = {"scenario": "s", "experiment": experiment, "variant": "", "source": "personal", "version": "v1"}
        return given | same | {"shown": json.dumps({"items": items})}

    rows = [
        page("r1", "ann", start, "x", "y", experiment="e"),
        page("r2", "ann", start + 10 * minute, "x", "z"),
        page("r3", "bob", start, "x"),
    ]
    store.log_exposures(rows).result()
    store.log_exposures(rows).result()  # again: the same
    at = [("x", 5, 1.0), ("x", 11, 1.0), ("x", 12, 1.0), ("y", 90, 1.0), ("z", 9, 1.0), ("y", 1, -1.0)]
    events = [Event(str(n), "ann", item, "like", weight, start + m * minute) for n, (item, m, weight) in enumerate(at)]
    store.add_events("a", events).result()
    store.add_events("b", [Event("b", "bob", "x", "like", 1.0, start + minute)]).result()
    found = joined(store, "a", window=3600)
    clicks = {(r["recommendation_id"], r["item_id"]): r["clicks"] for r in found.iter_rows(named=True)}
    expected = {("r1", "x"): 1, ("r1", "y"): 0, ("r2", "x"): 2, ("r2", "z"): 0, ("r3", "x"): 0}
    assert clicks == expected, "the latest list before counts; late, earlier, hiding and other tenants' events do not"
    assert found["reward"].sum() == 2
    assert joined(store, "a", experiment="e")["clicks"].to_list() == [1, 0], "the second list was outside of it"
    assert joined(store, "a", window=7200)["clicks"].sum() == 4
    assert joined(store, "a", kinds=["buy"])["clicks"].sum() == 0
    assert joined(store, "b").is_empty() and joined(store, "a", experiment="other").is_empty()
    assert joined(store, "a", days=0.001).is_empty()


def test_the_log_tells_what_another_order_would_have_been_worth(
    exploring: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A simulated policy: 900 visitors click by item and place; the truth is known, the log estimates it."""
    random, slots, visitors = np.random.default_rng(0), 3, 900
    head = exploring.engine.recommend(None).order.items[:4]
    worth = np.array([0.2, 0.5, 0.35, 0.7])  # of the four items of the head: the order is not the best one
    seen = np.array([1.0, 0.8, 0.5])  # of the places
    of = dict(zip(exploring.engine.ids(exploring.engine.live, head), worth, strict=True))
    service, events, numbers = service_of(exploring), [], iter(range(visitors))
    monkeypatch.setattr("secrets.token_urlsafe", lambda _: f"list-{next(numbers)}")  # the draws are those of the ids
    for visitor in range(visitors):
        new, answer = service.recommend(EVERYBODY, None, f"v{visitor}")
        codes, _ = answer.order.page(0, slots)
        ids = exploring.engine.ids(answer.live, codes)
        service.exposures.note("default", new, 0, 1, ids, answer)
        clicked = random.random(slots) < np.array([of[i] for i in ids]) * seen
        at = now() + 1000
        events += [
            Event(f"{visitor}-{i}", f"v{visitor}", i, "like", 1.0, at) for i, c in zip(ids, clicked, strict=True) if c
        ]
    exploring.store.add_events("default", events).result()
    found = places(log_of(exploring), slots)
    assert len(found.lists) == visitors
    logging_ = Explore(method="softmax", temperature=1.0, depth=4)
    for target in (logging_, Explore(), Explore(method="epsilon", epsilon=0.5, depth=4)):
        table = np.eye(4) if target.method == "none" else propensities(target, 4)
        truth = float((worth @ table[:, :slots]) @ seen)
        aim = found.target(target)
        low, high = bootstrap_ci(position_ips(found.reward, aim, found.logged), level=0.99)
        assert low <= truth <= high, target
        first = float(worth @ table[:, 0])  # the first place alone: plain IPS and SNIPS
        for estimator in (ips, snips):
            low, high = bootstrap_ci(estimator(found.reward[:, 0], aim[:, 0], found.logged[:, 0]), level=0.99)
            assert low <= first <= high, (target, estimator)
        first_of, action = found.actions(target), found.before[:, 0]
        predicted = np.tile([found.reward[action == a, 0].mean() for a in range(4)], (visitors, 1))
        terms = doubly_robust(found.reward[:, 0], action, found.logged[:, 0], first_of, predicted)
        low, high = bootstrap_ci(terms, level=0.99)
        assert low <= first <= high and np.allclose(first_of, table[:, 0]), target
    naive = found.reward.sum(axis=1).mean()
    greedy = float(worth[:slots] @ seen)
    assert abs(naive - greedy) > 0.1, "without the propensities the answer would be wrong"


def test_fewer_or_joined_places_are_left_out(exploring: Served) -> None:
    exploring.client.post("/v1/recommend", json={"k": 3})
    log = log_of(exploring)
    assert len(places(log, 3).lists) == 1
    with pytest.raises(DataError, match="4 places"):
        places(log, 4)
    with pytest.raises(DataError):
        places(log.with_columns(propensity=pl.lit(None, pl.Float64)), 2)


def test_nothing_is_claimed_of_places_that_have_moved(exploring: Served) -> None:
    """A page that is asked for after an item has left the catalogue."""
    service, engine = service_of(exploring), exploring.engine
    new, answer = service.recommend(EVERYBODY, None, "visit")
    codes = np.arange(len(engine.live.stock), dtype=np.int32)
    same = Held.of(answer, 2).recoded(codes).answer(engine.live)
    codes[answer.order.items[1]] = -1
    less = Held.of(answer, 2).recoded(codes).answer(engine.live)
    for name, kept in (("same", same), (new, less)):
        items = engine.ids(engine.live, kept.order.items[:2])
        service.exposures.note("default", name, 0, 1, items, kept)
    log = log_of(exploring)
    assert log.filter(pl.col("recommendation_id") == "same")["propensity"].null_count() == 0
    lost = log.filter(pl.col("recommendation_id") == new)
    assert lost.height == 2 and lost["propensity"].null_count() == lost["chance"].null_count() == 2
    assert places(log, 2).lists == ["same"]


def test_what_an_agent_shows_is_logged(served: Served, books: Dataset) -> None:
    user = a_user(books)
    found = said(call(served, "recommend", user_id=user, k=3))
    log = log_of(served)
    assert log["item_id"].to_list() == [item["item_id"] for item in found["items"]] and set(log["user_id"]) == {user}

    async def obey(client: Client) -> dict[str, Any]:
        command = {"user_id": user, "command": "no Rowling", "k": 2}
        asked = said(await client.call_tool("command", command))
        assert log_of(served).height == 3, "what is only asked for is not shown"
        return said(await client.call_tool("command", command | {"confirmation": asked["confirmation"]}))

    obeyed = agent(served, obey)
    assert log_of(served).tail(2)["item_id"].to_list() == [item["item_id"] for item in obeyed["items"]]


def test_a_deleted_user_is_in_no_entry_written_or_waiting(served: Served, books: Dataset) -> None:
    user, service = a_user(books), service_of(served)
    served.post("/v1/recommend", {"user_id": user, "k": 3})
    listed = served.post("/v1/recommend", {"user_id": user, "k": 3})["recommendation_id"]
    exported = served.get(f"/v1/users/{user}/export")
    assert len(exported["exposure_log"]) == 2 and exported["exposure_log"][0]["user_id"] == user
    with service.exposures._writing:  # nothing is written now: the next entry has to wait
        served.post("/v1/recommend", {"user_id": user, "k": 3})
    assert served.client.delete(f"/v1/users/{user}", headers=served.auth()).status_code == 200
    assert served.client.get(f"/v1/recommend/{listed}?page=1", headers=served.auth()).status_code == 404
    assert not served.get(f"/v1/users/{user}/export")["exposure_log"] and log_of(served).is_empty()


def test_overload_drops_and_counts_and_never_waits(store: Store, served: Served) -> None:
    meters, answer = Meters(), served.engine.recommend(None)
    log = ExposureLog(store, meters, most=3)
    log._thread = threading.current_thread()  # nobody takes notes away
    for n in range(5):
        log.note("a", f"r{n}", 0, 1, ["x"], answer)
    assert value(meters, "honeyguide_exposures_dropped_total") == 2
    log.flush()
    assert value(meters, "honeyguide_exposures_total") == 3 and joined(store, "a").height == 3
    log.note("a", "", 0, 1, [], answer)
    assert not log._waiting, "an empty page shows nothing"


def test_a_fault_of_the_store_is_counted_and_survived(store: Store, served: Served, monkeypatch) -> None:
    meters, answer = Meters(), served.engine.recommend(None)
    log, whole = ExposureLog(store, meters), store.log_exposures

    def full(rows: object) -> object:
        raise StorageError("no space left", full=True)

    monkeypatch.setattr(store, "log_exposures", full)
    log.note("a", "r1", 0, 1, ["x"], answer)
    log.flush()
    assert value(meters, "honeyguide_exposures_dropped_total") == 1
    monkeypatch.setattr(store, "log_exposures", whole)
    log.note("a", "r2", 0, 1, ["x"], answer)
    log.close()
    assert value(meters, "honeyguide_exposures_total") == 1 and log._thread is None


def value(meters: Meters, name: str) -> float:
    return next(float(line.split()[-1]) for line in meters.text().decode().splitlines() if line.startswith(f"{name} "))


def test_old_entries_are_purged(store: Store, served: Served) -> None:
    log = ExposureLog(store, Meters(), days=30)
    answer: Answer = served.engine.recommend(None)
    log.note("a", "new", 0, 1, ["x"], answer)
    log.flush()
    old = now() - 31 * 86_400_000_000
    same = {"scenario": "s", "experiment": "", "variant": "", "source": "popular", "version": "v1", "page": 0}
    row = same | {"tenant": "a", "recommendation_id": "old", "user_id": "ann", "first": 1, "shown": '{"items":["x"]}'}
    store.log_exposures([row | {"created": old}]).result()
    assert ExposureLog(store, Meters(), days=0).purge() == 0 and joined(store, "a").height == 2
    assert log.purge() == 1 and joined(store, "a")["recommendation_id"].to_list() == ["new"]
    log.close()


def test_the_log_can_be_switched_off(served: Served) -> None:
    app = create_app(served.store, {"default": served.engine}, Settings(exposures=False))
    with TestClient(app) as client:
        assert client.post("/v1/recommend", json={"k": 3}, headers=served.auth()).status_code == 200
    assert joined(served.store, "default").is_empty()


def test_the_export_is_a_file_that_off_policy_metrics_read(exploring: Served, tmp_path: Path) -> None:
    for visitor in range(40):
        found = exploring.client.post("/v1/recommend", json={"session_id": f"v{visitor}", "k": 3}).json()
        event = like(f"v{visitor}", shown(found)[0], 1)
        exploring.client.post("/v1/events", json={"events": [event]})
    service_of(exploring).exposures.flush()
    out, url = tmp_path / "log.parquet", exploring.url
    (tmp_path / "m").mkdir()
    run = ["exposures", str(tmp_path / "m"), "--store", url, "--out", str(out), "--slots", "3", "--json"]
    result = CliRunner().invoke(cli, run)
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    assert (told["places"], told["lists"], told["clicks"]) == (120, 40, 40)
    assert told["values"][0]["value"] == pytest.approx(1.0) and told["values"][0]["size"] == 40
    assert told["values"][1]["size"] < 40
    read = places(pl.read_parquet(out), 3)
    assert read.reward[:, 0].sum() == 40 and (read.logged < 1).all()
    text = CliRunner().invoke(cli, run[:-1])
    assert "as it was before the draw" in text.stdout and "120 places of 40 lists" in text.stdout
    wrong = CliRunner().invoke(cli, ["exposures", str(tmp_path / "m"), "--out", str(tmp_path / "log.txt")])
    assert wrong.exit_code == 2 and "parquet" in wrong.stderr


def test_a_request_does_not_wait_for_the_log(served: Served, books: Dataset) -> None:
    service = service_of(served)
    with service.exposures._writing:  # the log is stuck
        for _ in range(3):
            assert served.post("/v1/recommend", {"user_id": a_user(books), "k": 3})["items"]
        time.sleep(0.3)
        assert joined(served.store, "default").is_empty()
    assert log_of(served).height == 9
