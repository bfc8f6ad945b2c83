from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from scipy import stats

from honeyguide.core.dataset import Dataset
from honeyguide.core.errors import ConfigError, DataError
from honeyguide.data.splits import rolling
from honeyguide.experiment.backtest import Backtest, backtest
from honeyguide.experiment.compare import Options
from honeyguide.metrics.holdout import holdout_ndcg
from honeyguide.models.popularity import Popularity


@pytest.fixture(scope="module")
def timed(books: Dataset) -> Dataset:
    """The books with a time for every event: readers begin one after another and overlap."""
    frame = books.interactions.drop("split")
    start = np.random.default_rng(0).integers(0, 2000, books.n_users)
    hours = start[frame["user"].to_numpy()] + 40 * frame["position"].to_numpy()
    moments = pl.Series("timestamp", hours * 3_600_000_000 + 10**15).cast(pl.Datetime("us", "UTC"))
    return replace(books, name="timed", interactions=frame.with_columns(moments))


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def found(timed: Dataset, runs: Path) -> Backtest:
    options = Options(runs=runs)
    return backtest(timed, ["itemknn"], folds=3, share=0.1, options=options, html=runs / "b.html", json=runs / "b.json")


def test_every_fold_is_a_comparison_of_its_slice(found: Backtest, timed: Dataset) -> None:
    assert [row["model"] for row in found.rows] == ["popularity", "floor", "itemknn"]
    for n, fold in enumerate(rolling(timed, 3, share=0.1)):
        model = Popularity().fit(fold)
        value = holdout_ndcg(model.score_histories, fold.histories("train", "valid"), fold.histories("test"), 10).mean()
        assert found.rows[0]["folds"][n] == pytest.approx(value, abs=1e-9)
    times = [(fold["from"], fold["to"]) for fold in found.document["folds"]]
    assert times == sorted(times)
    assert all(a[1] < b[0] for a, b in pairwise(times))


def test_means_and_intervals_are_over_folds(found: Backtest) -> None:
    for row in found.rows:
        mean = np.mean(row["folds"])
        assert row["metrics"]["ndcg@10"] == pytest.approx(mean)
        expected = stats.t.interval(0.95, 2, mean, stats.sem(row["folds"]))
        assert row["ci"]["ndcg@10"] == pytest.approx(list(expected))


def test_tests_are_paired_over_folds_and_over_users(found: Backtest, timed: Dataset) -> None:
    by_model = {row["model"]: row for row in found.rows}
    raw = {
        name: stats.ttest_rel(by_model[name]["folds"], by_model["floor"]["folds"]).pvalue
        for name in ("popularity", "itemknn")
    }
    first, second = sorted(raw, key=lambda name: raw[name])
    assert by_model[first]["p_folds"] == pytest.approx(min(1.0, 2 * raw[first]))
    assert by_model[second]["p_folds"] == pytest.approx(max(min(1.0, 2 * raw[first]), raw[second]))
    assert by_model["popularity"]["verdict"] == "worse"
    assert by_model["popularity"]["p_users"] < 0.05
    assert by_model["floor"]["p_users"] is None


def test_ranks_and_their_drift(found: Backtest) -> None:
    for n in range(3):
        order = sorted(found.rows, key=lambda row: -row["folds"][n])
        assert [row["ranks"][n] for row in order] == [1, 2, 3]
    ranks = np.array([row["ranks"] for row in found.rows]).T
    taus = [stats.kendalltau(a, b).statistic for a, b in pairwise(ranks)]
    assert found.document["drift"]["tau"] == pytest.approx(taus)


def test_the_json_and_the_page(found: Backtest, runs: Path) -> None:
    document = json.loads((runs / "b.json").read_text())
    assert {"dataset", "protocol", "folds", "rows", "drift", "notes"} <= set(document)
    page = (runs / "b.html").read_text()
    assert "<svg" in page
    for row in found.rows:
        assert f"{row['metrics']['ndcg@10']:.4f}" in page


def test_finished_folds_are_not_run_again(found: Backtest, timed: Dataset, runs: Path) -> None:
    told: list[tuple[str, int, int]] = []
    again = backtest(
        timed, ["itemknn"], folds=3, share=0.1, options=Options(runs=runs), progress=lambda *what: told.append(what)
    )
    assert json.dumps(again.document, default=str) == json.dumps(found.document, default=str)
    assert len(told) == 9
    assert all("kept from an earlier run" in what for what, _, _ in told)
    assert [number for _, number, _ in told] == list(range(1, 10))


def test_data_without_times_are_refused_with_a_remedy(books: Dataset, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no time for every event") as caught:
        backtest(books, ["ease"], options=Options(runs=tmp_path))
    assert "--time-col" in str(caught.value.remedy)


def test_coarse_times_and_too_many_folds_are_refused(timed: Dataset, tmp_path: Path) -> None:
    one = timed.interactions.with_columns(timestamp=pl.lit(timed.interactions["timestamp"][0]))
    with pytest.raises(DataError, match="share one time"):
        backtest(replace(timed, interactions=one), ["ease"], folds=2, options=Options(runs=tmp_path))
    with pytest.raises(ConfigError, match="nothing to train on"):
        backtest(timed, ["ease"], folds=9, share=0.2, options=Options(runs=tmp_path))
    with pytest.raises(ConfigError, match="says nothing about time"):
        backtest(timed, ["ease"], folds=1, options=Options(runs=tmp_path))
