from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from honeyguide.core.dataset import Dataset
from honeyguide.core.errors import ConfigError, UnknownNameError
from honeyguide.experiment import cell
from honeyguide.experiment.child import run_module
from honeyguide.experiment.compare import Options, compare
from honeyguide.experiment.comparison import Comparison, assemble
from honeyguide.metrics.catalogue import Catalogue
from honeyguide.metrics.evaluate import evaluate_lists
from honeyguide.metrics.holdout import rank_catalogue
from honeyguide.models.linear.ease import EASE

ROW = {"model", "params", "metrics", "ci", "p_vs_floor", "p_vs_best", "n_users", "seeds", "cpu_seconds", "peak_rss_mb"}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def comparison(books: Dataset, runs: Path) -> Comparison:
    models = ["ease", "ials"]
    return compare(
        books, models, seeds=2, settings={"ials": {"factors": 16}}, options=Options(runs=runs), json=runs / "c.json"
    )


def row(comparison: Comparison, model: str) -> dict[str, object]:
    return next(r for r in comparison.rows if r["model"] == model)


def test_the_document_has_the_published_shape(comparison: Comparison, runs: Path) -> None:
    document = json.loads((runs / "c.json").read_text())
    assert {"dataset", "split", "protocol", "best", "rows"} <= set(document)
    for entry in document["rows"]:
        assert set(entry) >= ROW
        assert set(entry["cpu_seconds"]) == {"fit", "recommend"}
        for metric, (low, high) in entry["ci"].items():
            assert low <= entry["metrics"][metric] <= high
    assert [entry["model"] for entry in document["rows"]] == ["popularity", "floor", "ease", "ials"]
    assert document["split"]["test"] == 300


def test_the_floors_are_always_there_and_random_models_run_every_seed(comparison: Comparison) -> None:
    assert {r["model"]: r["seeds"] for r in comparison.rows} == {
        "popularity": [0],
        "floor": [0],
        "ease": [0],
        "ials": [0, 1],
    }


def test_metrics_are_those_of_the_model_fitted_here(comparison: Comparison, books: Dataset) -> None:
    model = EASE().fit(books)
    history, truth = books.histories("train", "valid"), books.histories("test")
    found = row(comparison, "ease")["metrics"]
    for kept, suffix in ((False, ""), (True, ":kept")):
        lists = rank_catalogue(model.score_histories, history, truth, 10, remove_seen=not kept)
        ours = evaluate_lists(lists, truth, ["ndcg@10", "recall@10", "mrr@10"], Catalogue(books.n_items)).overall
        for metric, value in ours.items():
            assert found[metric + suffix] == pytest.approx(value, abs=1e-9)  # type: ignore[index]


def test_popularity_is_below_the_floor_and_said_to_be(comparison: Comparison) -> None:
    popularity, floor = row(comparison, "popularity"), row(comparison, "floor")
    assert popularity["metrics"]["ndcg@10"] < 0.5 * floor["metrics"]["ndcg@10"]  # type: ignore[index,operator]
    assert popularity["verdict"] == "worse"
    assert popularity["p_vs_floor"]["ndcg@10"] < 0.01  # type: ignore[index]
    assert floor["verdict"] == "the floor"
    assert floor["p_vs_floor"] == {}
    assert comparison.winner() == "floor"


def test_costs_are_those_of_the_model_alone(comparison: Comparison) -> None:
    for entry in comparison.rows:
        assert 0 <= entry["cpu_seconds"]["fit"] < 30
        assert 20 < entry["peak_rss_mb"] < 2000


def test_slices_add_up(comparison: Comparison) -> None:
    for entry in comparison.rows:
        cold, warm = entry["slices"]["users:cold"], entry["slices"]["users:warm"]
        total = cold["n_users"] + warm["n_users"]
        assert total == entry["n_users"]
        mean = (cold["ndcg@10"] * cold["n_users"] + warm["ndcg@10"] * warm["n_users"]) / total
        assert mean == pytest.approx(entry["metrics"]["ndcg@10"])


def test_finished_cells_are_not_run_again(comparison: Comparison, books: Dataset, runs: Path) -> None:
    times = {path: path.stat().st_mtime_ns for path in runs.rglob("*.npz")}
    told: list[str] = []
    again = compare(
        books,
        ["ease", "ials"],
        seeds=2,
        settings={"ials": {"factors": 16}},
        options=Options(runs=runs),
        progress=lambda what, number, total: told.append(what),
    )
    assert len(told) == 5
    assert all("kept from an earlier run" in what for what in told)
    assert {path: path.stat().st_mtime_ns for path in runs.rglob("*.npz")} == times
    assert json.dumps(again.document) == json.dumps(comparison.document)


def test_a_lost_cell_is_run_again_and_gives_the_same(comparison: Comparison, books: Dataset, runs: Path) -> None:
    cell = next(runs.rglob("ease-*.npz"))
    cell.write_bytes(b"")
    cell.unlink()
    again = compare(books, ["ease"], options=Options(runs=runs))
    assert row(again, "ease")["metrics"] == row(comparison, "ease")["metrics"]


def test_no_history_stays_behind(comparison: Comparison, runs: Path) -> None:
    assert not list(runs.rglob("*.parquet"))


def test_a_cell_that_fails_is_a_row_with_its_error(books: Dataset, tmp_path: Path) -> None:
    """Popularity needs almost no memory; the others are refused."""
    limit = int(EASE().estimate(books).memory_bytes / 2)
    found = compare(
        books, ["popularity", "ease"], options=Options(runs=tmp_path, memory_limit=limit), html=tmp_path / "r.html"
    )
    failed = row(found, "ease")
    assert failed["verdict"] == "failed"
    assert "memory" in str(failed["error"])
    assert failed["metrics"] == {}
    assert row(found, "popularity")["error"] is None
    assert "memory" in (tmp_path / "r.html").read_text()


def test_the_choice_never_sees_test(comparison: Comparison, books: Dataset, tmp_path: Path) -> None:
    """With the test items dealt out anew, test metrics change and nothing that is chosen does."""
    frame = books.interactions
    is_test = (frame["split"] == "test").to_numpy()
    items = frame["item"].to_numpy().copy()
    items[is_test] = np.random.default_rng(5).permutation(items[is_test])
    shuffled = replace(books, interactions=frame.with_columns(item=pl.Series(items)))
    found = compare(
        shuffled, ["ease", "ials"], seeds=1, settings={"ials": {"factors": 16}}, options=Options(runs=tmp_path)
    )
    assert found.winner() == comparison.winner()
    for entry in found.rows:
        before = row(comparison, entry["model"])
        assert entry["params"] == before["params"]
        if entry["model"] != "ials":  # two seeds there, one here
            assert entry["valid"] == before["valid"]
            assert entry["metrics"]["catalogue_coverage@10"] == before["metrics"]["catalogue_coverage@10"]  # type: ignore[index]
        assert entry["metrics"]["ndcg@10"] != before["metrics"]["ndcg@10"]  # type: ignore[index]


def test_a_second_configuration_of_a_model_is_a_row_of_its_own(books: Dataset, tmp_path: Path) -> None:
    found = compare(books, ["ease", EASE(regularization=5.0)], options=Options(runs=tmp_path))
    assert [r["model"] for r in found.rows] == ["popularity", "floor", "ease", "ease#2"]
    assert row(found, "ease#2")["params"]["regularization"] == 5.0  # type: ignore[index]
    assert row(found, "ease")["metrics"] != row(found, "ease#2")["metrics"]


def test_wrong_names_are_found_before_anything_runs(books: Dataset, tmp_path: Path) -> None:
    options = Options(runs=tmp_path)
    with pytest.raises(UnknownNameError):
        compare(books, ["eaze"], options=options)
    with pytest.raises(UnknownNameError):
        compare(books, ["ease"], settings={"ease": {"lambda": 3}}, options=options)
    with pytest.raises(ConfigError, match="not compared"):
        compare(books, ["ease"], settings={"ials": {"factors": 3}}, options=options)
    with pytest.raises(ConfigError, match="no seeds"):
        compare(books, ["ease"], seeds=[], options=options)
    assert not list(tmp_path.iterdir())


def test_a_child_that_leaves_nothing_is_an_error(tmp_path: Path) -> None:
    found = run_module("no.such.module", [], tmp_path / "out.json")
    assert "exit code 1" in found["error"]
    assert "No module named" in (tmp_path / "out.log").read_text()


def test_on_large_data_a_seeded_sample_is_evaluated_and_said_to_be(
    comparison: Comparison, books: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = EASE().fit(books)
    everybody = cell.measure(model, books, 10)
    monkeypatch.setattr(cell, "MEASURED", 100 * books.n_items)
    truth = books.histories("test")
    asked = cell.evaluated_users(truth, books.n_items)
    assert len(asked) == 100
    some = cell.measure(model, books, 10)
    whole = np.flatnonzero(truth.lengths)
    for name, values in some.per_user.items():
        np.testing.assert_allclose(values, everybody.per_user[name][np.isin(whole, asked)])
    assert cell.valid_ndcg(model, books, 10) != row(comparison, "ease")["valid"]["ndcg@10"]  # type: ignore[index]
    assert "sample" not in comparison.document["protocol"]
    fewer = [replace(c, record=dict(c.record) | {"n_users": 100}) for c in comparison.cells]
    protocol = assemble(books, fewer, [0], 10).document["protocol"]
    assert "a seeded sample of 100 of the 300 users" in protocol
