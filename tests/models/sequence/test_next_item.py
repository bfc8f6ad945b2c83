from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from honeyguide.core.dataset import Dataset
from honeyguide.core.ragged import FloatArray
from honeyguide.models.registry import MODELS, model_class
from honeyguide.models.sequence.next_item import NextItemModel
from honeyguide.models.sequence.sasrec import SASRec

NAMES = ("gru4rec", "sasrec", "esasrec", "bert4rec", "hstu", "tim4rec")
SMALL = {"dim": 16, "max_len": 20, "batch_tokens": 256, "epochs": 1, "lr": 1e-9, "average": 0.0}


def test_all_sequence_models_share_the_base() -> None:
    for name in NAMES:
        cls = model_class(name)
        assert issubclass(cls, NextItemModel), name
        assert cls.__mro__[1] is NextItemModel, "one level above the contract"
    assert set(NAMES) <= set(MODELS)


@pytest.mark.parametrize("name", NAMES)
def test_a_model_may_start_from_item_vectors_of_its_own(name: str, data: Dataset) -> None:
    given = np.random.default_rng(5).normal(0, 0.1, (data.n_items, 16)).astype(np.float32)
    cls = model_class(name)

    class Started(cls):  # type: ignore[misc, valid-type]
        def initial_items(self, data: Dataset) -> FloatArray:
            return given

    np.testing.assert_allclose(Started(**SMALL).fit(data).item_vectors(), given, atol=1e-6)


def test_without_a_start_the_random_vectors_stay(data: Dataset) -> None:
    first, other = (SASRec(**SMALL, init=init).fit(data).item_vectors() for init in ("normal", "cooccurrence"))
    assert first.std() == pytest.approx(0.02, rel=0.2)
    assert other.std() == pytest.approx(0.04, rel=0.05)


@pytest.mark.parametrize("name", NAMES)
def test_the_estimate_of_weights_is_right(name: str, data: Dataset) -> None:
    model: NextItemModel = model_class(name)(**{**SMALL, "dim": 32}).fit(data)  # type: ignore[assignment]
    beside_items = model.n_parameters - 32 * data.n_items
    assert beside_items / 1.5 < model.resolved.cost().weights < 1.5 * beside_items


@pytest.mark.parametrize("name", NAMES)
def test_the_estimate_grows_with_the_work(name: str, data: Dataset, walks: Callable[[int], Dataset]) -> None:
    make = model_class(name)
    small, long, wide = (make(**{**SMALL, **o}).estimate(data) for o in ({}, {"epochs": 60}, {"dim": 512}))
    assert long.cpu_seconds == pytest.approx(60 * small.cpu_seconds)
    assert wide.memory_bytes > small.memory_bytes and wide.cpu_seconds > small.cpu_seconds
