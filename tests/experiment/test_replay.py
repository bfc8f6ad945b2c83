from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

from honeyguide.cli.main import app
from honeyguide.core.dataset import Dataset
from honeyguide.core.errors import CapabilityError, ConfigError, DataError
from honeyguide.experiment.claims.drifting_log import drifting_log
from honeyguide.experiment.replay import Stream, replay
from honeyguide.metrics.predictive import auc
from honeyguide.models.ranking.din import DIN
from honeyguide.models.ranking.itemrate import ItemRate
from honeyguide.plugins.reloop2 import ReLoop2

TINY: dict[str, Any] = {"dim": 4, "attention": 4, "layers": (8,), "max_len": 10, "epochs": 1}


@pytest.fixture(scope="module")
def log() -> Dataset:
    return drifting_log(1200, 400, 410, seed=1).data


@pytest.fixture(scope="module")
def model(log: Dataset) -> Any:
    return DIN(**TINY).plug(ReLoop2(strengths=(1.0,))).fit(log)


def flipped(data: Dataset, first: int, last: int) -> Dataset:
    """The labels of test events ``first`` to ``last`` in the order of time turned round."""
    rows = Stream(data).order[first:last]
    labels = data.interactions["positive"].to_numpy().copy()
    labels[rows] = ~labels[rows]
    return replace(data, interactions=data.interactions.with_columns(positive=pl.Series(labels)))


def test_every_event_is_served_once_in_the_order_of_time_and_sees_only_its_past(log: Dataset) -> None:
    stream = Stream(log, chunk=100)
    assert len(stream) == 5
    times = []
    for now, order in stream:
        part = now.select("test").interactions[order]["timestamp"]
        assert part.is_sorted() and now.select("train").interactions["timestamp"].max() < part.min()
        times += part.to_list()
    assert times == sorted(log.select("test").interactions["timestamp"].to_list())


def test_outcomes_are_told_after_the_prediction(log: Dataset, model: Any) -> None:
    before = replay(model, log, chunk=100, learn_every=2)
    lied = replay(model, flipped(log, 200, 300), chunk=100, learn_every=2)
    np.testing.assert_array_equal(before.served[:300], lied.served[:300])
    np.testing.assert_array_equal(before.plain[:300], lied.plain[:300])
    assert np.abs(before.served[300:] - lied.served[300:]).max() > 0
    np.testing.assert_array_equal(before.labels[200:300], 1 - lied.labels[200:300])


def test_the_model_itself_is_not_changed(log: Dataset, model: Any) -> None:
    scores, state = model.score_events(log, "test"), model.plugins[0].state()[1]
    replay(model, log, chunk=200, learn_every=1)
    np.testing.assert_array_equal(model.score_events(log, "test"), scores)
    assert model.plugins[0].state()[1] == state


def test_fine_tuning_changes_the_model_and_empties_the_memory(log: Dataset, model: Any) -> None:
    frozen = replay(model, log, chunk=100)
    tuned = replay(model, log, chunk=100, learn_every=2)
    np.testing.assert_array_equal(frozen.served[:200], tuned.served[:200])
    assert np.abs(frozen.plain[200:] - tuned.plain[200:]).max() > 0
    np.testing.assert_array_equal(tuned.served[200:300], np.clip(tuned.plain[200:300], 1e-6, 1 - 1e-6))


def test_any_model_of_probabilities_is_replayed_and_metrics_are_those_of_the_library(log: Dataset) -> None:
    model = ItemRate().fit(log)
    found = replay(model, log, chunk=150)
    rows = slice(0, 150)
    assert found.metrics(rows=rows)["auc"] == auc(found.labels[rows], found.plain[rows])
    assert found.by_chunk()[0] == found.metrics(rows=rows) and len(found.by_chunk()) == 3


def test_what_cannot_be_replayed_is_said(log: Dataset, model: Any) -> None:
    with pytest.raises(DataError, match="not labelled"):
        Stream(replace(log, interactions=log.interactions.drop("positive")))
    with pytest.raises(DataError, match="by time"):
        Stream(replace(log, interactions=log.interactions.drop("timestamp")))
    with pytest.raises(ConfigError, match="chunk of 0"):
        Stream(log, chunk=0)
    with pytest.raises(DataError, match="no part 'test'"):
        Stream(log.select("train", "valid"))
    with pytest.raises(CapabilityError, match="itemrate cannot be fine-tuned"):
        replay(ItemRate().fit(log), log, learn_every=1)


def test_the_command_replays_every_model(log: Dataset, tmp_path: Path) -> None:
    frame = log.interactions.select(
        user_id="user", item_id="item", timestamp="timestamp", rating=pl.col("positive").cast(pl.Int8) * 5
    )
    frame.write_parquet(tmp_path / "log.parquet")
    arguments = ["replay", str(tmp_path / "log.parquet"), "--positive", "rating>=4", "--models", "itemrate,din+reloop2"]
    arguments += ["--chunk", "300", "--learn-every", "1", "--json", "--set", "din+reloop2.epochs=1"]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert [(row["model"], row["learns"]) for row in found["rows"]] == [
        ("itemrate", False),
        ("din+reloop2", False),
        ("din+reloop2", True),
    ]
    assert found["n_events"] == 804 and all(0 < row["metrics"]["auc"] < 1 for row in found["rows"])
    assert len(found["rows"][0]["chunks"]) == 3
