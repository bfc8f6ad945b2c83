"""Histories that are corrected before a model learns from them, and when it reads them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from honeyguide.core.dataset import Dataset
from honeyguide.core.errors import ConfigError, DataError, NotFittedError
from honeyguide.core.fitting import FitOptions
from honeyguide.core.plugged import Plugged
from honeyguide.core.ragged import Ragged
from honeyguide.core.requests import Requests
from honeyguide.data.build import build
from honeyguide.data.corruptions import MASK, inject_noise
from honeyguide.metrics.predictive import auc
from honeyguide.models.linear.itemknn import ItemKNN
from honeyguide.models.registry import load_model, model_class
from honeyguide.plugins.denoising import Setting
from honeyguide.plugins.llm4dsr import LLM4DSR

QUICK: dict[str, Any] = {
    "text": "use",
    "dim": 16,
    "blocks": 1,
    "epochs": 6,
    "batch": 32,
    "lr": 5e-3,
    "q_train": 0.9,
    "q_test": 0.9,
}
TINY = {"dim": 16, "epochs": 2, "batch_tokens": 512}
_SEQUENCE = ["bert4rec", "esasrec", "gru4rec", "hstu", "sasrec", "tim4rec"]


@pytest.fixture(scope="module")
def noisy(books: Dataset) -> Dataset:
    return inject_noise(books, 0.1, "train", "valid", seed=1)


@pytest.fixture(scope="module")
def model(noisy: Dataset) -> Plugged:
    return ItemKNN().plug(LLM4DSR(**QUICK)).fit(noisy)


def plugin(model: Plugged) -> LLM4DSR:
    found = model.plugins[0]
    assert isinstance(found, LLM4DSR)
    return found


def test_noise_is_told_from_what_people_read_and_replaced(model: Plugged, noisy: Dataset) -> None:
    own = plugin(model)
    found = own.corrections(noisy.histories("train"), own.train)
    mask = noisy.select("train").interactions[MASK].to_numpy() > 0
    judged = ~np.isnan(found.probabilities)
    assert judged.mean() > 0.99 and auc(mask[judged], found.probabilities[judged]) > 0.68
    assert mask[found.places[found.applied]].mean() > 2 * mask.mean(), (
        "what is replaced is noise far more often than the rest"
    )
    assert own.report["corrected"] == found.applied.sum() > 0
    assert own.report["curve"][-1]["valid_auc"] > 0.7


def test_the_model_learns_from_what_was_corrected_and_is_asked_with_it(model: Plugged, noisy: Dataset) -> None:
    own = plugin(model)
    corrected = own.corrections(noisy.histories("train"), own.train).corrected
    by_hand = ItemKNN().fit(noisy.with_histories(corrected, "train"))
    histories = noisy.histories("train", "valid")
    read = own.edit_histories(histories)
    assert 0 < (read.values != histories.values).sum() < 0.1 * len(read.values)
    np.testing.assert_array_equal(model.score_histories(histories), by_hand.score_histories(read))


def test_what_a_person_has_taken_is_never_recommended_though_it_was_replaced(model: Plugged, noisy: Dataset) -> None:
    histories = noisy.histories("train", "valid")
    for row, history in zip(model.recommend(Requests(histories), 20).items, histories, strict=True):
        assert not set(row.tolist()) & set(history.tolist())


def test_targets_and_times_are_never_changed(noisy: Dataset) -> None:
    times = pl.Series("timestamp", np.arange(noisy.interactions.height)).cast(pl.Datetime("us", "UTC"))
    timed = replace(noisy, interactions=noisy.interactions.with_columns(times))
    own = LLM4DSR(**{**QUICK, "detector": "cosine", "q_train": 0.0, "m_train": 9})
    model = ItemKNN().plug(own).fit(timed)
    after = plugin(model).transform(timed)
    changed = (after.interactions["item"] != timed.interactions["item"]).to_numpy()
    part = timed.interactions["split"].to_numpy()
    assert changed[part == "train"].mean() > 0.5 and not changed[part != "train"].any()
    assert after.interactions.drop("item").equals(timed.interactions.drop("item"))
    histories = timed.histories("train")
    read = plugin(model).edit_histories(histories)
    np.testing.assert_array_equal(read.times, histories.times)
    np.testing.assert_array_equal(read.offsets, histories.offsets)


def test_the_mask_of_the_true_noise_is_not_read(model: Plugged, noisy: Dataset) -> None:
    hidden = replace(noisy, interactions=noisy.interactions.with_columns(pl.lit(0, pl.Int8).alias(MASK)))
    again = ItemKNN().plug(LLM4DSR(**QUICK)).fit(hidden)
    histories = noisy.histories("train", "valid")
    np.testing.assert_array_equal(again.score_histories(histories), model.score_histories(histories))


def test_thresholds_come_from_the_training_part_alone(model: Plugged, noisy: Dataset) -> None:
    items = noisy.interactions["item"].to_numpy().copy()
    other = (noisy.interactions["split"] != "train").to_numpy()
    items[other] = (items[other] + 7) % noisy.n_items
    moved = replace(noisy, interactions=noisy.interactions.with_columns(pl.Series("item", items)))
    again = plugin(ItemKNN().plug(LLM4DSR(**QUICK)).fit(moved))
    assert (again.train, again.serve) == (plugin(model).train, plugin(model).serve)
    own = plugin(model)
    pool = own.corrections(noisy.histories("train")).probabilities
    assert own.serve.threshold == pytest.approx(np.nanquantile(pool, 0.9), abs=0.01)


def test_a_request_does_not_depend_on_others(model: Plugged, noisy: Dataset) -> None:
    histories = noisy.histories("train", "valid")
    together = plugin(model).edit_histories(histories)
    for row in (0, 7, 33):
        np.testing.assert_array_equal(plugin(model).edit_histories(histories.take(np.array([row])))[0], together[row])


def test_training_and_requests_have_settings_of_their_own(noisy: Dataset) -> None:
    never = plugin(ItemKNN().plug(LLM4DSR(**{**QUICK, "m_train": 0, "m_test": 0})).fit(noisy))
    histories = noisy.histories("train")
    assert never.report["corrected"] == 0 and never.edit_histories(histories) is histories
    always = never.corrections(histories, Setting(-1.0, 3))
    assert always.applied.sum() > 0.25 * len(histories.values), "three of every ten without a filter"


@pytest.mark.parametrize("detector", ["encoder", "cosine"])
def test_every_detector_is_the_same_after_it_was_stored(detector: str, noisy: Dataset, tmp_path: Path) -> None:
    model = ItemKNN().plug(LLM4DSR(**{**QUICK, "detector": detector})).fit(noisy)
    model.save(tmp_path / "model")
    loaded = load_model(tmp_path / "model")
    histories = noisy.histories("train", "valid")
    np.testing.assert_array_equal(loaded.score_histories(histories), model.score_histories(histories))
    own, again = plugin(model), plugin(loaded)  # type: ignore[arg-type]
    assert again.train == own.train and again.audit(histories).applied.sum() == own.audit(histories).applied.sum() > 0


def test_the_evidence_of_the_log_can_be_left_out(noisy: Dataset) -> None:
    own = plugin(ItemKNN().plug(LLM4DSR(**{**QUICK, "collaborative": False})).fit(noisy))
    names = [name for name in own.state()[0] if "together" in name or "counts" in name]
    assert names == [] and own.edit_histories(noisy.histories("train")).values.max() < noisy.n_items


def test_an_interrupted_fit_goes_on_to_the_same_model(model: Plugged, noisy: Dataset, tmp_path: Path) -> None:
    class Stop(Exception):
        pass

    first = model_class("sasrec+llm4dsr")(**TINY, llm4dsr=QUICK)

    def stop(_: Any) -> None:
        raise Stop

    with pytest.raises(Stop):
        first.fit(noisy, FitOptions(device="cpu", checkpoint=tmp_path / "c", on_epoch=stop))
    assert (tmp_path / "c" / "llm4dsr").is_dir()
    options = FitOptions(device="cpu", checkpoint=tmp_path / "c", resume=True)
    resumed = model_class("sasrec+llm4dsr")(**TINY, llm4dsr=QUICK).fit(noisy, options)
    whole = model_class("sasrec+llm4dsr")(**TINY, llm4dsr=QUICK).fit(noisy, FitOptions(device="cpu"))
    histories = noisy.histories("train", "valid")
    np.testing.assert_array_equal(resumed.score_histories(histories), whole.score_histories(histories))


@pytest.mark.full
@pytest.mark.parametrize("name", _SEQUENCE)
def test_it_runs_over_every_sequence_model(name: str, noisy: Dataset) -> None:
    model = model_class(f"{name}+llm4dsr")(**TINY, llm4dsr=QUICK).fit(noisy)
    histories = noisy.histories("train", "valid")
    assert isinstance(model, Plugged)
    read = plugin(model).edit_histories(histories)
    np.testing.assert_array_equal(model.score_histories(histories), model.base.score_histories(read))
    assert (read.values != histories.values).any()


def test_a_language_model_is_tuned_asked_and_stored(noisy: Dataset, tmp_path: Path) -> None:
    pytest.importorskip("peft", reason="pip install 'honeyguide[lm-torch]'")
    from tests.lm.tiny import write_tiny

    few = replace(noisy, interactions=noisy.interactions.filter(pl.col("user") < 6))
    options = {
        "detector": "lm",
        "lm": str(write_tiny(tmp_path / "lm")),
        "lm_samples": 6,
        "lm_epochs": 1,
        "window": 5,
        "text": "use",
        "q_train": 0.9,
        "q_test": 0.9,
    }
    model = ItemKNN().plug(LLM4DSR(**options)).fit(few)
    own, histories = plugin(model), few.histories("train").take(np.arange(6))
    found = own.audit(histories)
    assert found.applied.any() and (found.replacements < noisy.n_items).all() and own.report["windows"] == 6
    pieces = Ragged.from_lists([history[:5] for history in histories])
    assert own.detector is not None
    np.testing.assert_allclose(own.detector.probabilities(pieces).reshape(-1, 5).sum(1), 1, atol=1e-5)
    model.save(tmp_path / "model")
    again = load_model(tmp_path / "model")
    np.testing.assert_array_equal(again.score_histories(histories), model.score_histories(histories))


def test_a_title_that_the_catalogue_has_is_that_item(noisy: Dataset) -> None:
    pytest.importorskip("peft", reason="pip install 'honeyguide[lm-torch]'")
    from honeyguide.lm.tuning import TuneConfig
    from honeyguide.models.language.grounding import titles_of, vectors_of
    from honeyguide.plugins.lm_detector import LMDetector

    own = LMDetector("smollm2", 0, "first", TuneConfig(), "use")
    own.titles = titles_of(noisy.items)[1]
    own.vectors = vectors_of(own.titles, "use")
    windows = Ragged.from_lists([[0, 1], [7, 2]])
    found = own.grounded([own.titles[7], own.titles[7]], windows, 3)
    assert found[0, 0] == 7 and 7 not in found[1], "what a window holds already is not put there again"


def test_what_cannot_be_is_said() -> None:
    with pytest.raises(ConfigError, match="window"):
        LLM4DSR(window=2)
    with pytest.raises(NotFittedError, match="no detector yet"):
        LLM4DSR().corrections(Ragged.from_lists([[1, 2, 3]]))
    pairs = pl.DataFrame({"user_id": [0, 0, 1, 1], "item_id": [0, 1, 1, 2], "position": [0, 1, 0, 1]})
    short = build("short", pairs, pl.DataFrame({"item_id": [0, 1, 2], "title": ["Emma", "Heat", "Jaws"]}))
    with pytest.raises(DataError, match="no history has three events"):
        ItemKNN().plug(LLM4DSR(text="use")).fit(short)


def test_what_a_fit_needs_grows_with_the_detector(books: Dataset) -> None:
    inner = ItemKNN().estimate(books)
    each = [
        LLM4DSR(text="use", detector=detector).estimate(inner, books).cpu_seconds
        for detector in ("cosine", "encoder", "lm")
    ]
    assert inner.cpu_seconds < each[0] < each[1] < each[2]
