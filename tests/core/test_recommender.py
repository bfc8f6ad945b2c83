"""What the base class does for every model, seen on the smallest model possible."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import polars as pl
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from pydantic import Field

from honeyguide.core import artifact, recommender
from honeyguide.core.dataset import Dataset
from honeyguide.core.errors import ArtifactError, CapabilityError, ConfigError, NotFittedError
from honeyguide.core.fitting import FitOptions, ModelConfig
from honeyguide.core.ragged import FloatArray, IntArray, Ragged
from honeyguide.core.recommender import Recommender
from honeyguide.core.requests import Requests
from honeyguide.data.build import build


class CountingConfig(ModelConfig):
    weight: float = Field(1.0, gt=0)


class Counting(Recommender):
    """Score = weight · (count of the item + 10 for every time it is in the history)."""

    name = "counting"
    Config = CountingConfig
    config: CountingConfig
    capabilities: ClassVar[frozenset[str]] = frozenset({"fold_in", "instruction"})

    def _fit(self, data: Dataset, options: FitOptions) -> None:
        self.parts, self.batches = data.parts, []
        self.counts = data.popularity("train")

    def score_histories(self, histories: Ragged, users: IntArray | None = None) -> FloatArray:
        self.batches.append(len(histories))
        counts = self.counts + 10 * histories.to_csr(len(self.counts)).toarray()
        return np.float32(self.config.weight) * counts.astype(np.float32)

    def _state(self) -> tuple[artifact.Arrays, dict[str, Any]]:
        return {"counts": self.counts}, {"parts": list(self.parts)}

    def _restore(self, arrays: Mapping[str, npt.NDArray[Any]], meta: dict[str, Any]) -> None:
        self.counts, self.parts, self.batches = arrays["counts"], tuple(meta["parts"]), []


class Other(Counting):
    name = "other"


EVENTS = pl.DataFrame(
    {
        "user_id": ["a", "a", "a", "b", "b", "c"],
        "item_id": [10, 20, 30, 10, 20, 10],
        "position": [0, 1, 2, 0, 1, 0],
        "split": ["train", "train", "test", "train", "valid", "train"],
    }
)


@pytest.fixture
def data() -> Dataset:
    return build("six events", EVENTS)


@pytest.fixture
def model(data: Dataset) -> Counting:
    return Counting(weight=2.0).fit(data)


# -- configuration --------------------------------------------------------------------------------


def test_options_come_from_a_configuration_and_from_overrides() -> None:
    config = CountingConfig(weight=3.0, seed=5)
    assert Counting(config).config == config
    assert Counting(config, weight=4.0).config == CountingConfig(weight=4.0, seed=5)
    assert Counting().config == CountingConfig()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"wieght": 1.0}, "counting: option 'wieght': extra inputs are not permitted"),
        ({"weight": -1.0}, "counting: option 'weight': input should be greater than 0"),
        ({"weight": "much"}, "counting: option 'weight': input should be a valid number"),
    ],
)
def test_a_wrong_option_is_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        Counting(**options)
    assert caught.value.remedy == "Options: seed, weight."


# -- fitting --------------------------------------------------------------------------------------


def test_a_fit_is_given_train_and_valid_only(model: Counting) -> None:
    assert model.parts == ("train", "valid")
    assert_array_equal(model.counts, [3, 1, 0])


def test_a_fit_reports_its_cost_and_a_new_fit_starts_a_new_report(model: Counting, data: Dataset) -> None:
    first = model.report
    assert first.n_parameters == 3
    assert first.wall_seconds > 0
    first.search.append({"weight": 1})
    assert model.fit(data).report.search == []


def test_a_fit_that_fails_leaves_the_model_unfitted(data: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: Counting, data: Dataset, options: FitOptions) -> None:
        raise FloatingPointError

    model = Counting().fit(data)
    monkeypatch.setattr(Counting, "_fit", fail)
    with pytest.raises(FloatingPointError):
        model.fit(data)
    with pytest.raises(NotFittedError, match="counting is not fitted"):
        model.recommend(Requests(Ragged.empty(1)))


# -- scoring --------------------------------------------------------------------------------------


def test_recommendations_are_computed_in_blocks(model: Counting, monkeypatch: pytest.MonkeyPatch) -> None:
    requests = Requests(Ragged.from_lists([[0], [1], [2], [], [0, 1]]), exclude=Ragged.from_lists([[0]] * 5))
    whole = model.recommend(requests, k=2)
    model.batches.clear()
    monkeypatch.setattr(recommender, "SCORE_BLOCK", 7)  # two rows of three items
    blocks = model.recommend(requests, k=2)
    assert model.batches == [2, 2, 1]
    assert_array_equal(blocks.items, whole.items)
    assert_array_equal(blocks.items, [[1, 2], [1, 2], [2, 1], [1, 2], [1, 2]])


def test_candidates_outside_the_catalogue_are_ignored(model: Counting) -> None:
    requests = Requests(Ragged.empty(1), candidates=Ragged.from_lists([[-1, 2, 99]]))
    assert_array_equal(model.recommend(requests, k=3).items, [[2, -1, -1]])


def test_exclusions_outside_the_catalogue_are_ignored(model: Counting) -> None:
    requests = Requests(Ragged.empty(1), exclude=Ragged.from_lists([[-1, 0, 99]]))
    assert_array_equal(model.recommend(requests, k=3).items, [[1, 2, -1]])


def test_contributions_leave_each_event_out(model: Counting) -> None:
    terms = model.contributions(np.array([0, 1, 1], np.int32), 1)
    assert terms.dtype == np.float32
    assert_allclose(terms, [0, 20, 20])
    assert model.contributions(np.array([], np.int32), 1).shape == (0,)


def test_what_is_not_declared_is_refused_and_the_remedy_lists_what_is(model: Counting) -> None:
    with pytest.raises(CapabilityError, match="counting has no capability 'similar'") as caught:
        model.similar(np.array([0], np.int32))
    assert "fold_in, instruction" in caught.value.remedy
    with pytest.raises(CapabilityError, match="'query'"):
        model.score(Requests(Ragged.empty(1), query=["whales"]))
    assert model.score(Requests(Ragged.empty(1), instruction=["less crime"])).shape == (1, 3)


# -- saving ---------------------------------------------------------------------------------------


def test_a_saved_model_comes_back_whole(model: Counting, tmp_path: Any) -> None:
    model.report.curve.append({"epoch": 1, "loss": 0.5})
    model.save(tmp_path)
    loaded = Counting.load(tmp_path)
    assert loaded.config == model.config
    assert loaded.report == model.report
    assert loaded.item_ids == model.item_ids
    assert_array_equal(loaded.counts, model.counts)


def test_an_earlier_version_can_be_loaded(model: Counting, tmp_path: Any) -> None:
    model.save(tmp_path)
    model.counts = model.counts + 1
    second = model.save(tmp_path)
    assert Counting.load(tmp_path).counts[0] == 4
    assert Counting.load(tmp_path, version="v000001").counts[0] == 3
    assert second.name == "v000002"


@pytest.mark.parametrize(
    "change",
    [
        {"model": "counting", "config": {"weight": 2.0}, "state": {"parts": []}},
        {"model": "counting", "config": {"wight": 2.0}, "state": {"parts": []}, "report": {}},
        {"model": "counting", "config": {"weight": 2.0}, "state": {}, "report": {}},
        {"model": "counting", "config": {"weight": 2.0}, "state": {"parts": []}, "report": {"luck": 1}},
        {"model": "counting", "config": None, "state": {"parts": []}, "report": {}},
    ],
    ids=["no report", "unknown option", "no state", "unknown report", "no options"],
)
def test_content_of_another_version_is_one_typed_error(change: dict[str, Any], model: Counting, tmp_path: Any) -> None:
    tables = {"items": pl.DataFrame({"item_id": [10, 20, 30]})}
    artifact.publish(tmp_path, artifact.Artifact("model", change, {"counts": model.counts}, tables))
    with pytest.raises(ArtifactError, match="'counting'") as caught:
        Counting.load(tmp_path)
    assert "fit the model again" in caught.value.remedy


def test_item_ids_that_repeat_are_refused(model: Counting, tmp_path: Any) -> None:
    model.save(tmp_path)
    content = artifact.read(tmp_path, "model")
    tables = {"items": pl.DataFrame({"item_id": [10, 10, 30]})}
    artifact.publish(tmp_path, artifact.Artifact("model", content.meta, content.arrays, tables))
    with pytest.raises(ArtifactError, match="ids must be unique"):
        Counting.load(tmp_path)


def test_another_model_or_another_thing_is_refused(model: Counting, tmp_path: Any) -> None:
    model.save(tmp_path / "model")
    with pytest.raises(ArtifactError, match="holds 'counting', not 'other'"):
        Other.load(tmp_path / "model")
    artifact.publish(tmp_path / "store", artifact.Artifact("store", {}))
    with pytest.raises(ArtifactError, match="holds a store, not a model"):
        Counting.load(tmp_path / "store")


def test_events_of_a_part_are_scored_from_the_parts_before(monkeypatch: pytest.MonkeyPatch) -> None:
    parts = pl.Series("split", ["train", "train", "test", "train", "test", "test"])
    liked = pl.Series("positive", [True, True, True, True, False, True])
    data = build("events", EVENTS.with_columns(parts, liked))
    fitted = Counting().fit(data)
    scores = fitted.score(Requests(data.histories("train", "valid")))
    test = data.select("test").interactions
    expected = scores[test["user"].to_numpy(), test["item"].to_numpy()]
    assert len(expected) == 3  # the event that was not liked is scored too
    assert_array_equal(fitted.score_events(data), expected)
    monkeypatch.setattr(recommender, "SCORE_BLOCK", 1)  # one user at a time
    assert_array_equal(fitted.score_events(data, "test"), expected)
    with pytest.raises(NotFittedError):
        Counting().score_events(data)
