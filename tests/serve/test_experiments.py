from __future__ import annotations

import json
import shutil
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from fastapi.testclient import TestClient
from scipy.stats import chi2_contingency, chisquare
from tests.serve.conftest import Served
from tests.serve.test_api import a_user, like, names, shown
from typer.testing import CliRunner

from honeyguide.cli.main import app as cli
from honeyguide.core.dataset import Dataset
from honeyguide.core.errors import ConfigError
from honeyguide.data.store import HistoryStore
from honeyguide.experiment.bundle import Bundle, save_bundle
from honeyguide.models.linear.itemknn import ItemKNN
from honeyguide.serve.app import create_app
from honeyguide.serve.auth import new_key
from honeyguide.serve.engine import Engine
from honeyguide.serve.experiments import Experiment, Experiments, positions, read_plan
from honeyguide.serve.logged import joined
from honeyguide.serve.service import Service, Settings
from honeyguide.serve.store import Store

TWO = {"variant": [{"name": "a"}, {"name": "b"}]}


def experiment(**options: object) -> Experiment:
    return Experiment.model_validate({"name": "e", **TWO, **options})


# -- assignment -------------------------------------------------------------------------------


def test_units_are_spread_evenly_and_stay() -> None:
    units = [f"user-{n}" for n in range(20_000)]
    three = [{"name": "a", "weight": 2}, {"name": "b"}, {"name": "c"}]
    weighed = experiment(variant=three)
    counts = Counter(weighed.assign(unit).name for unit in units)  # type: ignore[union-attr]
    assert chisquare([counts[n] for n in "abc"], np.array([0.5, 0.25, 0.25]) * len(units)).pvalue > 1e-3
    places = np.array([positions("salt", unit) for unit in units])
    for side in (0, 1):
        assert chisquare(np.histogram(places[:, side], 50, (0, 1))[0]).pvalue > 1e-3
    assert abs(np.corrcoef(places.T)[0, 1]) < 0.03
    again = experiment(variant=three)
    assert all(weighed.assign(u) == again.assign(u) for u in units[:100])
    assert positions("salt", "user-1") == (0.3134152660686719, 0.816228776837002), "the same on every machine"


def test_experiments_are_independent_of_each_other() -> None:
    one, other = experiment(name="one"), experiment(name="two")
    table = np.zeros((2, 2))
    for n in range(20_000):
        table["ab".index(one.assign(str(n)).name), "ab".index(other.assign(str(n)).name)] += 1  # type: ignore[union-attr]
    assert chi2_contingency(table).pvalue > 1e-3
    same = experiment(name="two", salt="one")
    assert all(same.assign(str(n)) == one.assign(str(n)) for n in range(100)), "a salt decides, not the name"


def test_a_larger_share_moves_nobody_between_variants() -> None:
    small, large = experiment(share=0.2), experiment(share=0.6)
    units = [str(n) for n in range(5000)]
    inside = [u for u in units if small.assign(u) is not None]
    assert chisquare([len(inside), 5000 - len(inside)], [1000, 4000]).pvalue > 1e-3
    assert all(small.assign(u) == large.assign(u) for u in inside)


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ('[[experiment]]\nname = "e"\nvariant = [{name = "a"}]', "variant"),
        ('[[experiment]]\nname = "e"\nvariant = [{name = "a"}, {name = "a"}]', "same name"),
        ('[[experiment]]\nname = "e"\nshare = 0\nvariant = [{name = "a"}, {name = "b"}]', "share"),
        ('[[experiment]]\nname = "e"\nmethod = "magic"\nvariant = [{name = "a"}, {name = "b"}]', "method"),
        (
            '[[experiment]]\nname = "e"\nmethod = "team-draft"\nvariant = [{name = "a"}, {name = "b"}, {name = "c"}]',
            "exactly two",
        ),
        ('[[experiment]]\nname = "e"\nsplit = 1\nvariant = [{name = "a"}, {name = "b"}]', "no such key"),
        ("[[experiment", "not TOML"),
    ],
)
def test_a_broken_file_is_refused_with_the_place(tmp_path: Path, text: str, match: str) -> None:
    (tmp_path / "e.toml").write_text(text)
    with pytest.raises(ConfigError, match=match):
        read_plan(tmp_path / "e.toml")


# -- in the service ---------------------------------------------------------------------------

FILE = """
[[experiment]]
name = "pages"
scenario = ["home"]

[[experiment.variant]]
name = "control"

[[experiment.variant]]
name = "short"
pipeline = "short.toml"

[[experiment.variant]]
name = "knn"
model = "knn"
"""


@dataclass
class Trialled(Served):
    file: Path

    @property
    def service(self) -> Service:
        found: Service = self.client.app.state.service  # type: ignore[attr-defined]
        return found

    def log(self) -> pl.DataFrame:
        self.service.exposures.flush()
        return joined(self.store, "default")

    def write(self, text: str) -> None:
        self.file.write_text(text)
        self.service.experiments.refresh()


def start(folder: Path, models: Path, text: str, store: Store, url: str) -> Iterator[Trialled]:
    (folder / "e.toml").write_text(text)
    (folder / "short.toml").write_text('page = 4\n[[rules]]\nfilter = "title contains the"\n')
    key = new_key(store, "default", "all", ("read", "write", "admin"))
    shutil.copytree(models / "ials", folder / "model")
    engine = Engine("default", folder / "model", store)
    settings = Settings(experiments=folder / "e.toml", refresh_seconds=60)
    with TestClient(create_app(store, {"default": engine}, settings)) as client:
        yield Trialled(client, store, url, engine, folder, key, folder / "e.toml")


@pytest.fixture
def trialled(models: Path, books: Dataset, tmp_path: Path, store: Store, store_url: str) -> Iterator[Trialled]:
    save_bundle(tmp_path / "knn", ItemKNN().fit(books), books)
    yield from start(tmp_path, models, FILE, store, store_url)


def test_variants_are_served_named_and_logged(trialled: Trialled, books: Dataset) -> None:
    plan, seen = read_plan(trialled.file).experiment[0], Counter[str]()
    for code in range(30):
        user = a_user(books, code)
        found = trialled.post("/v1/recommend", {"user_id": user, "scenario": "home"})
        expected = plan.assign(user).name  # type: ignore[union-attr]
        assert (found["experiment"], found["variant"]) == ("pages", expected)
        seen[expected] += 1
        if expected == "short":
            assert len(found["items"]) == 4 and all("the" in e["fields"]["title"].lower() for e in found["items"])
        assert (found["model"] == "itemknn") == (expected == "knn")
        again = trialled.post("/v1/recommend", {"user_id": user, "scenario": "home"})
        assert shown(again) == shown(found) and again["variant"] == expected
    assert len(seen) == 3
    elsewhere = trialled.post("/v1/recommend", {"user_id": a_user(books)})
    assert elsewhere["experiment"] is None and elsewhere["variant"] is None
    nobody = trialled.post("/v1/recommend", {"scenario": "home"})
    assert nobody["experiment"] is None, "whoever comes without a name keeps to nothing"
    visit = trialled.post("/v1/recommend", {"scenario": "home", "session_id": "v1", "session": names(books, 7)})
    assert visit["variant"] == plan.assign("v1").name  # type: ignore[union-attr]
    log = trialled.log()
    assert set(log["variant"]) == {"control", "short", "knn", ""}
    assert log.filter(pl.col("user_id") == "v1")["variant"].unique().to_list() == [visit["variant"]]


def test_a_variant_can_be_forced_by_an_admin_and_is_not_logged(trialled: Trialled, books: Dataset) -> None:
    force = {"experiment": "pages", "variant": "knn"}
    body = {"user_id": a_user(books), "force": force}
    found = trialled.post("/v1/recommend", body)
    assert found["model"] == "itemknn" and found["variant"] == "knn"
    assert trialled.log().is_empty()
    reader = new_key(trialled.store, "default", "reader", ("read", "write"))
    time.sleep(2.1)
    refused = trialled.client.post("/v1/recommend", json=body, headers=trialled.auth(reader))
    assert refused.status_code == 403 and "admin" in refused.json()["error"]
    unknown = body | {"force": force | {"variant": "none"}}
    assert trialled.client.post("/v1/recommend", json=unknown, headers=trialled.auth()).status_code == 400


def test_other_models_hear_events_items_commands_and_deletions(trialled: Trialled, books: Dataset) -> None:
    (other,) = trialled.engine.beside
    user = next(u for n in range(99) if variant_of(trialled, u := f"stranger-{n}") == "knn")
    item, ask = names(books, 7)[0], {"user_id": user, "scenario": "home", "k": 10}
    assert trialled.post("/v1/recommend", ask)["source"] == "popular"
    trialled.post("/v1/events", {"events": [like(user, item, 1)]})
    found = trialled.post("/v1/recommend", ask)
    assert found["source"] == "personal" and found["model"] == "itemknn" and item not in shown(found)
    said = {"user_id": user, "command": "hide the first one", "shown": shown(found), "scenario": "home"}
    assert shown(found)[0] not in shown(trialled.post("/v1/command", said))
    known = a_user(books, 3)
    assert int(known) in other.live.bundle.store
    trialled.client.delete(f"/v1/users/{known}", headers=trialled.auth())
    assert int(known) not in other.live.bundle.store and not len(other.person(known).liked)


def test_reasons_are_those_of_the_model_that_made_the_list(trialled: Trialled, books: Dataset) -> None:
    user = next(a_user(books, n) for n in range(99) if variant_of(trialled, a_user(books, n)) == "knn")
    found = trialled.post("/v1/recommend", {"user_id": user, "scenario": "home", "k": 3})
    assert found["model"] == "itemknn"
    ask = {"user_id": user, "item_id": shown(found)[0]}
    told = trialled.post("/v1/explain", ask | {"recommendation_id": found["recommendation_id"]})
    assert told["rank"] == 1 and told["verified"]
    assert trialled.post("/v1/explain", ask)["rank"] > 1, "the service's own model has another order"
    more = trialled.get(f"/v1/recommend/{found['recommendation_id']}?page=1")
    assert (more["model"], more["variant"]) == ("itemknn", "knn")


def variant_of(trialled: Trialled, unit: str) -> str:
    return read_plan(trialled.file).experiment[0].assign(unit).name  # type: ignore[union-attr]


def test_the_file_is_read_again_and_a_broken_one_leaves_the_last_good_one(trialled: Trialled, books: Dataset) -> None:
    body, (before,) = {"user_id": a_user(books), "scenario": "home"}, trialled.engine.beside
    trialled.write(FILE.replace('name = "pages"', 'name = "pages2"\nsalt = "pages"'))
    assert trialled.post("/v1/recommend", body)["experiment"] == "pages2"
    assert trialled.engine.beside == (before,), "a model that stays is not read again"
    for broken in ("[[experiment", FILE.replace("short.toml", "nowhere.toml"), FILE.replace('"knn"\n', '"gone"\n')):
        trialled.write(broken)
        assert trialled.post("/v1/recommend", body)["experiment"] == "pages2"
        assert trialled.get("/health")["status"] == "degraded" and trialled.get("/v1/experiments")["fault"]
    trialled.write("")
    assert trialled.post("/v1/recommend", body)["experiment"] is None and trialled.engine.beside == ()
    assert trialled.get("/v1/experiments") == {"fault": None, "experiments": []}
    assert trialled.get("/health")["status"] == "ok"


def test_broken_stages_of_a_variant_leave_its_last_good_ones(trialled: Trialled, books: Dataset) -> None:
    user = next(a_user(books, n) for n in range(99) if variant_of(trialled, a_user(books, n)) == "short")
    file = trialled.service.experiments.running["default"][0].arms["short"].file
    assert file is not None
    file.look_every = 0.0
    body = {"user_id": user, "scenario": "home"}
    (trialled.folder / "short.toml").write_text("page = 2\n")
    assert len(trialled.post("/v1/recommend", body)["items"]) == 2
    (trialled.folder / "short.toml").write_text("pages = 9\n")
    assert len(trialled.post("/v1/recommend", body)["items"]) == 2
    assert trialled.get("/health")["status"] == "degraded" and "pages" in trialled.get("/v1/experiments")["fault"]


def test_a_file_that_is_broken_at_the_start_is_refused(models: Path, tmp_path: Path, store: Store) -> None:
    (tmp_path / "e.toml").write_text(FILE.replace("scenario", "tenant = 'other'\nscenario"))
    with pytest.raises(ConfigError, match="tenant 'other'"):
        Experiments(tmp_path / "e.toml", {"default": Engine("default", models / "ials", store)})


def test_stages_follow_a_new_model(trialled: Trialled, books: Dataset) -> None:
    user = next(a_user(books, n) for n in range(99) if variant_of(trialled, a_user(books, n)) == "short")
    body = {"user_id": user, "scenario": "home"}
    before = trialled.post("/v1/recommend", body)
    trialled.engine.live = trialled.engine._open()  # another stock, as after a refit
    assert shown(trialled.post("/v1/recommend", body)) == shown(before)
    stages = trialled.service.experiments.running["default"][0].arms["short"].stages()
    assert stages is not None and stages.stock is trialled.engine.live.stock


def test_nobody_is_in_an_experiment_whose_stages_do_not_fit_the_new_model(trialled: Trialled, books: Dataset) -> None:
    body, before = {"user_id": a_user(books), "scenario": "home"}, trialled.engine.live
    store = before.bundle.store
    bare = HistoryStore(store.directory, store._user_ids, store.item_ids, store._events, store.items.select("item_id"))
    trialled.engine.live = trialled.engine._live(Bundle(store.directory, before.bundle.model, bare), "v2 x")
    found = trialled.post("/v1/recommend", body)
    assert found["items"] and found["experiment"] is None, "not even in the variants that would fit: it is unfair"
    assert trialled.get("/health")["status"] == "degraded" and "title" in trialled.get("/v1/experiments")["fault"]
    trialled.engine.live = before
    assert trialled.post("/v1/recommend", body)["experiment"] == "pages"
    assert trialled.get("/v1/experiments")["fault"] is None


# -- interleaving -----------------------------------------------------------------------------

JOINED = """
[[experiment]]
name = "models"
method = "METHOD"
variant = [{name = "ials"}, {name = "knn", model = "knn"}]
"""


@pytest.mark.parametrize("method", ["team-draft", "probabilistic"])
def test_lists_are_joined_from_two_models(
    models: Path, books: Dataset, tmp_path: Path, store: Store, store_url: str, method: str
) -> None:
    save_bundle(tmp_path / "knn", ItemKNN().fit(books), books)
    for served in start(tmp_path, models, JOINED.replace("METHOD", method), store, store_url):
        user = a_user(books)
        found = served.post("/v1/recommend", {"user_id": user, "k": 10})
        assert (found["experiment"], found["variant"]) == ("models", "interleaved")
        more = served.get(f"/v1/recommend/{found['recommendation_id']}?page=1")
        (other,) = served.engine.beside
        best = {
            i
            for engine in (served.engine, other)
            for i in engine.ids(engine.live, engine.recommend(user).order.items[:50])
        }
        assert set(shown(found)) <= best and not set(shown(found)) & set(shown(more))
        log = served.log()
        assert log["propensity"].null_count() == log.height == 20, "no propensity is made up"
        assert (log["chance"] > 0).all() and log["credit"].null_count() == 0
        credit = log["credit"].to_numpy()
        assert set(credit) == {0.0, 1.0} if method == "team-draft" else ((credit > 0) & (credit < 1)).all()
        served.post("/v1/events", {"events": [like(user, i, n) for n, i in enumerate(shown(found)[:3])]})
        (report,) = served.get("/v1/experiments")["experiments"]
        assert report["lists_with_events"] == 1 and report["winner"] is None and "no winner yet" in report["verdict"]


# -- reports ----------------------------------------------------------------------------------


def test_the_report_is_in_the_api_and_on_the_command_line(trialled: Trialled, books: Dataset) -> None:
    for code in range(30):
        found = trialled.post("/v1/recommend", {"user_id": a_user(books, code), "scenario": "home", "k": 5})
        if code % 3:
            trialled.post("/v1/events", {"events": [like(a_user(books, code), shown(found)[0], 1)]})
    (report,) = trialled.get("/v1/experiments")["experiments"]
    assert sum(v["users"] for v in report["variants"]) == 30 and report["winner"] is None
    assert report["variants"][1]["against"] == "control" and not report["sample_ratio"]["mismatch"]
    (trialled.folder / "m").mkdir()
    url = trialled.url
    run = ["experiment", str(trialled.folder / "m"), "--store", url, "--experiments", str(trialled.file)]
    said = CliRunner().invoke(cli, [*run, "--json"])
    assert said.exit_code == 0 and json.loads(said.stdout)["experiments"] == [report]
    text = CliRunner().invoke(cli, run)
    assert "no winner yet" in text.stdout and "control" in text.stdout
    assert CliRunner().invoke(cli, [*run, "--name", "nothing"]).exit_code == 2
