"""What every registered plug-in keeps, over a model that has what it needs."""

from __future__ import annotations

from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.contract.conftest import PLUGGED, QUICK

from honeyguide.core.dataset import Dataset
from honeyguide.core.errors import CapabilityError, MissingExtraError
from honeyguide.core.plugged import Plugged, option_name
from honeyguide.core.recommender import Recommender
from honeyguide.core.requests import Requests
from honeyguide.models.registry import MODELS, PLUGINS, load_model, model_class, plugin_class

NAMES = sorted(PLUGINS)


def backbones(name: str) -> list[str]:
    """The registered models that have the states a plug-in needs, the cheapest to fit first."""
    return [m for m in sorted(MODELS, key=lambda m: (m not in QUICK, m)) if _fits(name, m)]


def _fits(name: str, model: str) -> bool:
    try:
        return plugin_class(name).needs <= model_class(model).states
    except MissingExtraError as error:
        pytest.skip(f"extra [{error.extra}] is not installed")


def make(name: str, model: str, **options: Any) -> Plugged:
    own = {**PLUGGED[name].get("options", {}), **options}
    whole = model_class(f"{model}+{name}")(**QUICK.get(model, {}), **{option_name(plugin_class(name)): own})
    assert isinstance(whole, Plugged)
    return whole


def stacks() -> list[tuple[str, str, str]]:
    """Every two plug-ins in both orders, over the cheapest model that has what both need."""
    found = []
    for first, second in permutations(NAMES, 2):
        common = [model for model in backbones(first) if _fits(second, model)]
        if common:
            found.append((common[0], first, second))
    return found


@pytest.fixture(scope="session", params=NAMES)
def fitted(request: pytest.FixtureRequest, small: Dataset) -> tuple[str, str, Plugged]:
    model = PLUGGED[request.param]["over"]
    return request.param, model, make(request.param, model).fit(small)


def test_every_plug_in_says_what_it_is_and_is_tested_on_a_model_that_suits() -> None:
    assert set(PLUGGED) == set(PLUGINS)
    for name in NAMES:
        plugin = plugin_class(name)
        assert plugin.name == name and plugin.hooks()
        assert PLUGGED[name]["over"] in backbones(name)


@pytest.mark.parametrize("name", NAMES)
def test_other_models_are_refused_before_training(name: str) -> None:
    for model in MODELS:
        if not _fits(name, model):
            with pytest.raises(CapabilityError, match=name):
                model_class(f"{model}+{name}")


def test_switched_off_it_changes_nothing_bit_for_bit(fitted: tuple[str, str, Plugged], small: Dataset) -> None:
    name, model, _ = fitted
    histories = small.histories("train", "valid")
    plain = model_class(model)(**QUICK.get(model, {})).fit(small)
    off = make(name, model, enabled=False).fit(small)
    np.testing.assert_array_equal(off.score_histories(histories), plain.score_histories(histories))
    asked = Requests(histories)
    np.testing.assert_array_equal(off.recommend(asked, 5).items, plain.recommend(asked, 5).items)


def test_saved_and_loaded_it_is_the_same(fitted: tuple[str, str, Plugged], small: Dataset, tmp_path: Path) -> None:
    name, _, model = fitted
    model.save(tmp_path / "model")
    loaded: Recommender = load_model(tmp_path / "model")
    assert loaded.name == model.name and name in loaded.name and loaded.config == model.config
    histories = small.histories("train", "valid")
    np.testing.assert_array_equal(loaded.score_histories(histories), model.score_histories(histories))
    asked = Requests(histories)
    np.testing.assert_array_equal(loaded.recommend(asked, 5).items, model.recommend(asked, 5).items)


def test_no_array_has_a_row_per_user(fitted: tuple[str, str, Plugged], small: Dataset) -> None:
    _, _, model = fitted
    for array_name, array in model._state()[0].items():
        assert small.n_users not in array.shape, array_name


def test_lists_hold_what_may_be_recommended(fitted: tuple[str, str, Plugged], small: Dataset) -> None:
    _, _, model = fitted
    histories = small.histories("train", "valid")
    items = model.recommend(Requests(histories), 5).items
    assert items.shape == (small.n_users, 5)
    for row, history in zip(items, histories, strict=True):
        known = row[row >= 0]
        assert len(set(known.tolist())) == len(known) and not set(known.tolist()) & set(history.tolist())
    assert (items >= 0).mean() > 0.95


@pytest.mark.full
@pytest.mark.parametrize(("model", "first", "second"), stacks())
def test_every_two_that_suit_one_model_stack(
    model: str, first: str, second: str, small: Dataset, tmp_path: Path
) -> None:
    names = f"{model}+{first}+{second}"
    options = {option_name(plugin_class(n)): PLUGGED[n].get("options", {}) for n in (first, second)}
    whole = model_class(names)(**QUICK.get(model, {}), **options).fit(small)
    whole.save(tmp_path / "model")
    loaded = load_model(tmp_path / "model")
    asked = Requests(small.histories("train", "valid"))
    found = whole.recommend(asked, 5)
    assert loaded.name == names
    np.testing.assert_array_equal(loaded.recommend(asked, 5).items, found.items)
    assert (found.items >= 0).mean() > 0.95 and not np.isnan(found.scores[found.items >= 0]).any()
