from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from honeyguide.core.dataset import Dataset
from honeyguide.core.errors import ConfigError, UnknownNameError
from honeyguide.experiment.bundle import open_bundle
from honeyguide.experiment.compare import Options
from honeyguide.experiment.tune import Tuning, tune

pytest.importorskip("optuna")


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def tuning(books: Dataset, runs: Path) -> Tuning:
    return tune(
        books,
        ["itemknn"],
        budget=60.0,
        trials=3,
        html=runs / "t.html",
        json=runs / "t.json",
        out=runs / "model",
        options=Options(runs=runs),
    )


def test_the_floors_are_tuned_with_the_rest(tuning: Tuning) -> None:
    assert [row["model"] for row in tuning.rows] == ["popularity", "floor", "itemknn"]
    assert [row["trials"] for row in tuning.rows] == [1, 3, 3]
    for row in tuning.rows:
        assert row["valid"] >= row["valid_of_defaults"]
        assert row["cpu_seconds"] == pytest.approx(sum(entry["cpu_seconds"] for entry in row["history"]))


def test_the_best_of_each_is_tested_once_with_its_options(tuning: Tuning, runs: Path) -> None:
    document = json.loads((runs / "t.json").read_text())
    assert {"dataset", "protocol", "budget", "rows", "winner", "test"} <= set(document)
    for row in tuning.rows:
        tested = next(r for r in document["test"]["rows"] if r["model"] == row["model"])
        assert tested["params"].items() >= row["settings"].items()
        assert tested["valid"]["ndcg@10"] == pytest.approx(row["valid"], abs=1e-9)
        assert tested["n_users"] == 300


def test_the_winner_is_saved_with_the_histories(tuning: Tuning, runs: Path, books: Dataset) -> None:
    bundle = open_bundle(runs / "model")
    best = max(tuning.rows, key=lambda row: row["valid"])
    assert bundle.model.name == tuning.document["winner"] == best["model"]
    assert bundle.model.config.model_dump().items() >= best["settings"].items()
    assert len(bundle.store) == books.n_users


def test_the_page_shows_every_model_and_needs_no_server(tuning: Tuning, runs: Path) -> None:
    page = (runs / "t.html").read_text()
    for row in tuning.rows:
        assert f">{row['model']}</th>" in page
        assert f"{row['valid']:.4f}" in page
    assert "<svg" in page
    assert "http" not in page.replace("http://www.w3.org", "")


def test_a_second_run_tries_nothing_anew(tuning: Tuning, books: Dataset, runs: Path) -> None:
    again = tune(books, ["itemknn"], budget=60.0, trials=3, options=Options(runs=runs))
    assert json.dumps(again.rows) == json.dumps(tuning.rows)


def test_the_search_never_sees_test(tuning: Tuning, books: Dataset, runs: Path) -> None:
    """With the test items dealt out anew the trials are the very same ones, taken from the first run."""
    frame = books.interactions
    is_test = (frame["split"] == "test").to_numpy()
    items = frame["item"].to_numpy().copy()
    items[is_test] = np.random.default_rng(5).permutation(items[is_test])
    shuffled = replace(books, interactions=frame.with_columns(item=pl.Series(items)))
    found = tune(shuffled, ["itemknn"], budget=60.0, trials=3, options=Options(runs=runs))
    assert json.dumps(found.rows) == json.dumps(tuning.rows)
    assert found.document["test"]["rows"] != tuning.document["test"]["rows"]


def test_no_history_stays_behind(tuning: Tuning, runs: Path) -> None:
    kept = {path.relative_to(runs).parts[0] for path in runs.rglob("*.parquet")}
    assert kept <= {"model"} | {p.name for p in runs.iterdir() if list(p.glob("*.model"))}
    assert not list(runs.glob("*/data-*"))


def test_wrong_requests_are_found_before_anything_runs(books: Dataset, tmp_path: Path) -> None:
    options = Options(runs=tmp_path)
    with pytest.raises(UnknownNameError):
        tune(books, ["eaze"], budget=1.0, options=options)
    with pytest.raises(ConfigError, match="no budget"):
        tune(books, ["ease"], budget=0.0, options=options)
    with pytest.raises(ConfigError, match="not tuned"):
        tune(books, ["ease"], budget=1.0, settings={"ials": {"factors": 3}}, options=options)
    assert not list(tmp_path.iterdir())
