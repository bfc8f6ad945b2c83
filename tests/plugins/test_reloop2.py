from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from honeyguide.core.dataset import Dataset
from honeyguide.core.plugged import Plugged
from honeyguide.core.plugin import Receipt
from honeyguide.core.requests import Requests
from honeyguide.experiment.claims.drifting_log import drifting_log
from honeyguide.experiment.replay import replay
from honeyguide.models.ranking.din import DIN
from honeyguide.models.registry import load_model
from honeyguide.plugins.reloop2 import ReLoop2

RNG = np.random.default_rng(0)
TINY: dict[str, Any] = {"dim": 4, "attention": 4, "layers": (8,), "max_len": 10, "epochs": 1}


def receipt(n: int, score: float = 0.5, width: int = 4) -> Receipt:
    return Receipt(RNG.standard_normal((n, width)).astype(np.float32), np.full(n, score, np.float32))


def ones(n: int) -> np.ndarray:
    return np.ones(n, np.float32)


@pytest.fixture(scope="module")
def log() -> Dataset:
    return drifting_log(1500, 600, 900, seed=1).data


@pytest.fixture(scope="module")
def model(log: Dataset) -> Plugged:
    return DIN(**TINY).plug(ReLoop2()).fit(log)


def test_errors_of_the_model_are_written_and_not_those_of_the_corrected_score() -> None:
    """Corrected errors would shrink with the correction, and what is served would settle half-way."""
    plugin = ReLoop2(strengths=(1.0,), bits=1, decay=1.0, prior=0.0)
    for _ in range(5):
        plugin.observe(ones(50), receipt(50, 0.2))
    np.testing.assert_allclose(plugin.adjust_events(receipt(9, 0.2)), 1.0, atol=1e-5)


def test_what_is_added_by_hand_on_both_scales() -> None:
    same = Receipt(np.ones((4, 3), np.float32), np.full(4, 0.2, np.float32))
    labels = np.array([1, 1, 0, 0], np.float32)  # mean error .3, mean p (1 - p) = .16
    for scale, expected in (("probability", 0.2 + 0.5 * 0.3), ("logit", 1 / (1 + 4 * np.exp(-0.5 * 0.3 / 0.16)))):
        plugin = ReLoop2(strengths=(0.5,), decay=1.0, prior=0.0, scale=scale)
        plugin.observe(labels, same)
        np.testing.assert_allclose(plugin.adjust_events(same), expected, rtol=1e-5)


def test_scores_stay_probabilities() -> None:
    plugin = ReLoop2(strengths=(5.0,), prior=0.0)
    seen = receipt(20, 0.9)
    plugin.observe(ones(20), seen)
    assert 0 < plugin.adjust_events(seen).max() < 1


def test_the_kill_switch_opens_when_correcting_does_harm_and_closes_when_it_helps_again() -> None:
    plugin = ReLoop2(bits=1, decay=0.9, prior=0.0, window=50)
    for turn in range(40):  # outcomes flip faster than the memory follows: every correction is wrong
        plugin.observe(ones(10) * (turn % 2), receipt(10))
    asked = receipt(5)
    assert plugin.strength.value == 0.0
    np.testing.assert_array_equal(plugin.adjust_events(asked), asked.scores)
    for _ in range(30):
        plugin.observe(ones(10), receipt(10))
    assert plugin.strength.value == 1.0 and plugin.adjust_events(asked).min() > 0.8


def test_a_renewed_model_starts_with_an_empty_memory() -> None:
    seen = receipt(50)
    for forget, expected in ((1.0, 0.0), (0.0, 0.5)):
        plugin = ReLoop2(strengths=(1.0,), bits=1, decay=1.0, prior=0.0, forget=forget)
        plugin.observe(ones(50), seen)
        plugin.renewed()
        np.testing.assert_allclose(plugin.adjust_events(seen) - 0.5, expected, atol=1e-5)


def test_lambda_is_chosen_on_valid_and_test_labels_change_nothing(log: Dataset, model: Plugged) -> None:
    frame = log.interactions
    lied = pl.col("positive") ^ (pl.col("split") == "test")
    other = DIN(**TINY).plug(ReLoop2()).fit(replace(log, interactions=frame.with_columns(positive=lied)))
    (a,), (b,) = model.plugins, other.plugins
    assert a.state()[1] == b.state()[1] and a.strength.losses.min() > 0
    assert a.strength.value == a.strength.candidates[int(a.strength.losses.argmin())]
    np.testing.assert_array_equal(a.state()[0]["errors"], b.state()[0]["errors"])


def test_the_memory_is_saved_with_the_version_of_the_model(log: Dataset, model: Plugged, tmp_path: Path) -> None:
    model.save(tmp_path / "m")
    loaded = load_model(tmp_path / "m")
    assert isinstance(loaded, Plugged) and loaded.plugins[0].state()[1] == model.plugins[0].state()[1]
    plain, corrected = model.receipt(log, "test").scores, model.score_events(log, "test")
    assert np.abs(corrected - plain).max() > 0.01
    np.testing.assert_array_equal(loaded.score_events(log, "test"), corrected)


def test_lists_are_corrected_as_events_are(log: Dataset, model: Plugged) -> None:
    """The log has no features of users or contexts, so an event is read as its user's list is."""
    history = log.histories("train", "valid")
    events = log.select("test").interactions
    users, items = events["user"].to_numpy(), events["item"].to_numpy()
    lists = model.score(Requests(history))
    expected = model.score_events(log, "test")
    np.testing.assert_allclose(lists[users, items], expected, atol=0.02)
    assert np.corrcoef(lists[users, items], expected)[0, 1] > 0.999


def test_where_nothing_is_known_to_be_disliked_nothing_is_corrected(log: Dataset) -> None:
    liked = replace(log, interactions=log.interactions.filter("positive").drop("positive"))
    plain, plugged = DIN(**TINY).fit(liked), DIN(**TINY).plug(ReLoop2()).fit(liked)
    np.testing.assert_array_equal(plugged.score_events(liked), plain.score_events(liked))


def test_half_of_what_a_drift_costs_is_recovered(log: Dataset) -> None:
    drift = drifting_log(3000, 1000, 2500, seed=7)
    model = DIN(**{**TINY, "epochs": 6}, batch=64, lr=5e-3).plug(ReLoop2(strengths=(1.0,))).fit(drift.data)
    found = replay(model, drift.data, chunk=50)
    calm = replay(model, drift.calm, chunk=250).metrics("plain")["log_loss"]
    late = slice(1000, None)
    base, served = (found.metrics(s, late)["log_loss"] for s in ("plain", "served"))
    assert base - calm > 0.1 and (base - served) / (base - calm) > 0.5
