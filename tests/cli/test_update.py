"""``update`` as a person types it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from honeyguide.cli.main import app
from honeyguide.data.load import load_data
from honeyguide.experiment.bundle import open_bundle, save_bundle
from honeyguide.models.blend import Blend
from honeyguide.models.linear.itemknn import ItemKNN
from honeyguide.models.popularity import Popularity
from honeyguide.serve.store import Event, Store

RUNNER = CliRunner()


def run(*arguments: object) -> str:
    result = RUNNER.invoke(app, [str(a) for a in arguments])
    assert result.exit_code == 0, (result.output, result.exception)
    return result.stdout


def test_update_with_mapped_columns(tmp_path: Path) -> None:
    columns = ["--user-col", "who", "--item-col", "what", "--label-col", "stars", "--time-col", "day"]
    columns += ["--positive", "stars>=4"]
    old = [f"p{n % 7};b{(n * n) % 9};{5 if n % 5 else 1};2024-01-{1 + n % 28:02d}" for n in range(60)]
    (tmp_path / "old.csv").write_text("\n".join(["who;what;stars;day", *old]) + "\n")
    new = ["p0;novel;5;2024-02-01", "p1;dull;2;2024-02-01", "zoe;novel;4;2024-02-02"]
    (tmp_path / "new.csv").write_text("\n".join(["who;what;stars;day", *new]) + "\n")
    model = tmp_path / "model"
    run("fit", tmp_path / "old.csv", *columns, "--model", "itemknn", "--out", model)
    found = json.loads(run("update", model, tmp_path / "new.csv", *columns, "--json"))
    assert (found["events"], found["new_users"], found["exact"]) == (2, 1, True)
    assert found["version"] == "v000002"
    assert "had learnt all of it" in run("update", model, tmp_path / "new.csv", *columns)
    assert "novel" in run("recommend", model, "--user", "zoe", "--seen")
    assert run("recommend", model, "--user", "p0", "--version", "v000001")
    again = RUNNER.invoke(app, ["fit", str(tmp_path / "old.csv"), *columns, "--model", "itemknn", "--out", str(model)])
    assert "updated 1 time since its fit" in " ".join(again.stderr.split())


def test_without_times_what_is_taken_again_is_not_new(tmp_path: Path) -> None:
    (tmp_path / "old.csv").write_text("user,item\n" + "".join(f"p{n % 7},b{(n * n) % 9}\n" for n in range(60)))
    (tmp_path / "again.csv").write_text("user,item\np0,b0\np0,novel\n")
    run("fit", tmp_path / "old.csv", "--model", "popularity", "--out", tmp_path / "model")
    said = run("update", tmp_path / "model", tmp_path / "again.csv")
    assert "1 new events (1 were there already)" in said
    assert "what somebody took again is not counted" in " ".join(said.split())


def test_columns_and_the_rule_are_those_of_the_fit(tmp_path: Path) -> None:
    columns = ["--user-col", "who", "--item-col", "what", "--label-col", "stars", "--time-col", "day"]
    old = [f"p{n % 7};b{(n * n) % 9};{5 if n % 5 else 1};2024-01-{1 + n % 28:02d}" for n in range(60)]
    (tmp_path / "old.csv").write_text("\n".join(["who;what;stars;day", *old]) + "\n")
    new = ["p0;novel;5;2024-02-01", "p1;dull;2;2024-02-01", "zoe;novel;4;2024-02-02"]
    (tmp_path / "new.csv").write_text("\n".join(["who;what;stars;day", *new]) + "\n")
    model = tmp_path / "model"
    run("fit", tmp_path / "old.csv", *columns, "--positive", "stars>=4", "--model", "itemknn", "--out", model)
    kept = (model / "reading.json").read_text(encoding="utf-8")
    assert json.loads(kept) == {
        "columns": {"user_id": "who", "item_id": "what", "label": "stars", "timestamp": "day"},
        "positive": "stars>=4",
        "order": None,
    }
    other = tmp_path / "other"
    shutil.copytree(model, other)
    told = run("update", model, tmp_path / "new.csv")
    assert "who as user_id" in told
    assert "2 new events" in told, "not the one of two stars"
    assert "3 new events" in run("update", other, tmp_path / "new.csv", "--positive", "")
    assert (model / "reading.json").read_text(encoding="utf-8") == kept
    (other / "reading.json").unlink()  # as older versions left it
    refused = RUNNER.invoke(app, ["update", str(other), str(tmp_path / "new.csv")])
    assert refused.exit_code == 3
    assert "--user-col" in refused.stderr
    assert "0 new events" in run("update", other, tmp_path / "new.csv", *columns)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A log of readers who finish one of three series in order, its books, and what the default makes of it."""
    folder = tmp_path_factory.mktemp("shop")
    read = [f"r{n},{3 * (n % 3) + step},2024-01-{1 + step:02d}" for n in range(60) for step in range(3)]
    (folder / "old.csv").write_text("\n".join(["user,item,time", *read]) + "\n")
    kinds = ("dragons", "spaceships", "murders")
    books = [f"{number},Book {number % 3 + 1} of the {kinds[number // 3]}" for number in range(9)]
    (folder / "books.csv").write_text("\n".join(["item_id,title", *books]) + "\n")
    new = [f"r{n},100,2024-02-01" for n in range(0, 45, 3)]
    (folder / "new.csv").write_text("\n".join(["user,item,time", *new]) + "\n")
    (folder / "novelty.csv").write_text("item_id,title\n100,Book 4 of the dragons\n")
    options = ["--set", "text=use", "--set", "budget=5"]
    run("fit", folder / "old.csv", "--items", folder / "books.csv", *options, "--out", folder / "model")
    return folder


def test_what_fit_makes_without_a_model_can_be_updated(shop: Path, tmp_path: Path) -> None:
    model = tmp_path / "model"
    shutil.copytree(shop / "model", model)
    assert "Book 4 of the dragons" not in run("recommend", model, "--user", "r57")
    found = json.loads(run("update", model, shop / "new.csv", "--items", shop / "novelty.csv", "--json"))
    assert (found["model"], found["events"], found["new_items"], found["exact"]) == ("auto", 15, 1, False)
    assert found["stayed"] == open_bundle(model).model.report.updates[-1]["stayed"]
    shown = run("recommend", model, "--user", "r57")
    assert "Book 4 of the dragons" in shown, "a reader of dragons who has not read it"
    assert "had learnt all of it" in run("update", model, shop / "new.csv")
    run("forget", model, "--user", "r3")
    assert "r3" not in open_bundle(model).store.user_ids.to_list()
    assert run("recommend", model, "--user", "r57") == shown


def test_new_items_without_text_are_told(shop: Path, tmp_path: Path) -> None:
    model, names = tmp_path / "model", tmp_path / "names.csv"
    shutil.copytree(shop / "model", model)
    names.write_text("item_id,name,price\n100,Book 4 of the dragons,3\n")
    store = sorted(path.name for path in (model / "store").iterdir())
    refused = RUNNER.invoke(app, ["update", str(model), str(shop / "new.csv"), "--items", str(names)])
    assert refused.exit_code == 3
    assert "it reads title, and the table has name, price" in refused.stderr
    assert sorted(path.name for path in (model / "store").iterdir()) == store, "nothing was changed"
    new = tmp_path / "new.csv"
    new.write_text("user,item,time\nr0,100,2024-02-01\nr3,101,2024-02-01\nr6,0,2024-02-02\n")
    told = run("update", model, new, "--items", shop / "novelty.csv")
    assert "1 of 2 new items have no row in the items table" in told, "those that are known need none"
    assert "1 of 2 new items have no text: the model reads title" in told
    new.write_text("user,item,time\nr0,102,2024-02-01\n")
    told = run("update", model, new)
    assert "1 of 1 new items have no text: the model reads title, which --items TABLE would give" in told
    new.write_text("user,item,time\nr0,0,2024-03-01\n")
    assert "no text" not in run("update", model, new, "--items", names), "no new item, so nothing to read"


def test_refit_brings_events_of_a_service_into_what_fit_makes(shop: Path, tmp_path: Path) -> None:
    model = tmp_path / "model"
    shutil.copytree(shop / "model", model)
    url = f"sqlite:///{tmp_path / 'service.db'}"
    store = Store(url)
    try:
        store.put_items("default", {"100": {"title": "Book 4 of the dragons"}}).result()
        likes = [Event(f"e{n}", f"r{n}", "100", "like", 1.0, 1_800_000_000_000_000) for n in range(0, 45, 3)]
        store.add_events("default", likes).result()
    finally:
        store.close()
    found = json.loads(run("refit", model, "--store", url, "--json"))
    assert (found["model"], found["events"], found["new_items"]) == ("auto", 15, 1)
    assert "Book 4 of the dragons" in run("recommend", model, "--user", "r57")


def test_parts_that_stayed_are_named(shop: Path, tmp_path: Path) -> None:
    """An ItemKNN that an update of its blend has passed by already, beside a part that goes on."""
    data = load_data(shop / "old.csv")
    parts = [Popularity().fit(data), ItemKNN().fit(data)]
    parts[1].report.behind = True
    save_bundle(tmp_path / "model", Blend.of(parts, data), data)
    assert "Stayed as they were, for they cannot be updated: itemknn." in run(
        "update", tmp_path / "model", shop / "new.csv"
    )
