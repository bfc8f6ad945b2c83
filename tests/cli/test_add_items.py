"""``honeyguide add-items``: a new item is in the lists of the next command."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from typer.testing import CliRunner

from honeyguide.cli.main import app
from honeyguide.core.dataset import Dataset

RUNNER = CliRunner()


def run(*arguments: object, code: int = 0) -> Any:
    result = RUNNER.invoke(app, [str(a) for a in arguments])
    assert result.exit_code == code, (result.output, result.exception)
    return result


@pytest.fixture
def model(books_folder: Path, tmp_path: Path) -> Path:
    data = ("fit", books_folder / "interactions.csv", "--items", books_folder / "items.csv")
    run(*data, "--model", "text-profile", "--set", "encoder=use", "--out", tmp_path / "model")
    return tmp_path / "model"


def test_a_new_item_is_recommended_at_once(model: Path, books: Dataset, tmp_path: Path) -> None:
    title, authors = books.items.row(7, named=True)["title"], books.items["authors"][7]
    new = pl.DataFrame({"book_id": [9_000_001], "title": [f"{title}, the sequel"], "authors": [authors], "pages": [99]})
    new.write_csv(tmp_path / "new.csv")
    added = json.loads(run("add-items", model, tmp_path / "new.csv", "--json").stdout)
    assert added == {"model": "text-profile", "added": [9_000_001], "n_items": books.n_items + 1}
    history = books.item_ids.values[7]
    found = json.loads(run("recommend", model, "--history", history, "--json").stdout)[0]["items"]
    assert (found[0]["item_id"], found[0]["title"]) == (9_000_001, f"{title}, the sequel")
    user = books.user_ids.values[5]
    assert len(json.loads(run("recommend", model, "--user", user, "--json").stdout)[0]["items"]) == 10
    again = run("add-items", model, tmp_path / "new.csv", code=3)
    assert "known already" in again.stderr


def test_what_was_added_is_said_and_more_can_follow(model: Path, books: Dataset, tmp_path: Path) -> None:
    for number in (1, 2):
        ids = [number * 1_000_000 + i for i in range(5)]
        pl.DataFrame({"item_id": ids, "title": [f"A new book {i}" for i in ids]}).with_columns(
            authors=pl.lit("A. Nonymous")
        ).write_csv(tmp_path / "new.csv")
        text = run("add-items", model, tmp_path / "new.csv").stdout
        assert f"A new book {ids[0]}" in text
        assert "2 more" in text
        assert str(books.n_items + 5 * number) in text
    assert json.loads(run("recommend", model, "--history", "1000003,2000001", "--json").stdout)[0]["items"]


def test_a_model_that_knows_no_text_says_what_to_do(books_folder: Path, tmp_path: Path) -> None:
    run("fit", books_folder / "interactions.csv", "--model", "popularity", "--out", tmp_path / "model")
    pl.DataFrame({"item_id": [1], "title": ["x"]}).write_csv(tmp_path / "new.csv")
    refused = run("add-items", tmp_path / "model", tmp_path / "new.csv", code=2)
    assert "no capability 'add_items'" in refused.stderr
    assert "honeyguide models" in refused.stderr


def test_a_missing_column_and_a_missing_id_are_named(model: Path, tmp_path: Path) -> None:
    pl.DataFrame({"item_id": [9_000_001], "name": ["x"]}).write_csv(tmp_path / "new.csv")
    assert "'title'" in run("add-items", model, tmp_path / "new.csv", code=3).stderr
    pl.DataFrame({"thing": [9_000_001], "title": ["x"]}).write_csv(tmp_path / "new.csv")
    assert "item_id" in run("add-items", model, tmp_path / "new.csv", code=3).stderr
    pl.DataFrame({"thing": [9_000_001], "title": ["x"], "authors": ["y"]}).write_csv(tmp_path / "new.csv")
    refused = run("add-items", model, tmp_path / "new.csv", code=3).stderr
    assert "--item-col NAME on the command line" in refused
    assert "Added x" in run("add-items", model, tmp_path / "new.csv", "--item-col", "thing").stdout


def test_the_column_of_ids_is_that_of_the_fit(tmp_path: Path) -> None:
    (tmp_path / "events.csv").write_text("user,thing\n" + "".join(f"u{n},t{n % 5}\n" for n in range(20)))
    (tmp_path / "items.csv").write_text("thing,title\n" + "".join(f"t{n},A tale of {n} cities\n" for n in range(5)))
    fit = ("fit", tmp_path / "events.csv", "--items", tmp_path / "items.csv", "--item-col", "thing")
    run(*fit, "--model", "text-profile", "--set", "encoder=use", "--out", tmp_path / "model")
    (tmp_path / "new.csv").write_text("thing,title\nt9,A tale of nine cities\n")
    assert "Added A tale of nine cities" in run("add-items", tmp_path / "model", tmp_path / "new.csv").stdout
