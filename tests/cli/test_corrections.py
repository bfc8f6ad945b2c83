"""``honeyguide corrections``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from typer.testing import CliRunner

from honeyguide.cli.main import app
from honeyguide.core.dataset import Dataset
from honeyguide.experiment.bundle import save_bundle
from honeyguide.models.linear.ease import EASE
from honeyguide.models.linear.itemknn import ItemKNN
from honeyguide.plugins.llm4dsr import LLM4DSR


@pytest.fixture(scope="module")
def model(books: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("corrections") / "model"
    own = LLM4DSR(text="use", detector="cosine", q_test=0.9)
    save_bundle(folder, ItemKNN().plug(own).fit(books), books)
    return folder


def run(*arguments: object) -> Any:
    return CliRunner().invoke(app, [str(a) for a in arguments])


def test_the_log_can_be_read_by_people_and_programs(model: Path, books: Dataset, tmp_path: Path) -> None:
    user = books.user_ids.values[4]
    found = json.loads(run("corrections", model, "--user", user, "-k", 3, "--json").stdout)
    first = found["corrections"][0]
    history = [str(i) for i in books.item_ids.decode(books.histories()[4]).to_list()]
    assert history[first["position"]] == str(first["item_id"]) and first["replacement_id"] not in history
    assert found["rows"] >= 3 and [r["probability"] for r in found["corrections"]] == sorted(
        (r["probability"] for r in found["corrections"]), reverse=True
    )
    everybody = run("corrections", model, "--applied", "--out", tmp_path / "log.parquet")
    log = pl.read_parquet(tmp_path / "log.parquet")
    assert everybody.exit_code == 0 and log["applied"].all() and log["user_id"].n_unique() > 20
    assert log["title"][0] in everybody.stdout.replace("\n", " ") or "in its place" in everybody.stdout


def test_a_model_that_corrects_nothing_says_so(books: Dataset, tmp_path: Path) -> None:
    save_bundle(tmp_path / "model", EASE().fit(books), books)
    result = run("corrections", tmp_path / "model")
    assert result.exit_code != 0
