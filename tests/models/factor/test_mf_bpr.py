from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from honeyguide.core.dataset import Dataset
from honeyguide.core.errors import ConfigError, FitInterrupted
from honeyguide.core.fitting import FitOptions
from honeyguide.metrics.holdout import holdout_ndcg
from honeyguide.models.factor import pair_training
from honeyguide.models.factor.fold_in import HOWS
from honeyguide.models.factor.mf_bpr import MFBPR

SMALL = {"dim": 8, "lr": 0.03, "batch": 128, "epochs": 25, "patience": 25}


@pytest.fixture(scope="module")
def model(data: Dataset) -> MFBPR:
    return MFBPR(**SMALL).fit(data)


def quality(model: MFBPR, data: Dataset) -> float:
    histories, truth = data.histories("train", "valid"), data.histories("test")
    return float(holdout_ndcg(model.score_histories, histories, truth).mean())


@pytest.mark.parametrize("how", HOWS)
def test_quality(how: str, data: Dataset) -> None:
    assert quality(MFBPR(**SMALL, fold_in=how).fit(data), data) > 0.5  # six items of the circle are left: .5 by chance


@pytest.mark.parametrize("loss", ["softmax", "contrastive"])
def test_other_losses_learn(loss: str, data: Dataset) -> None:
    assert quality(MFBPR(**SMALL, loss=loss, negatives=30, weight=5.0).fit(data), data) > 0.5


def test_scores_are_inner_products(model: MFBPR, data: Dataset) -> None:
    histories = data.histories("train").take(slice(0, 9))
    np.testing.assert_array_equal(
        model.score_histories(histories), model.user_vectors(histories) @ model.item_vectors().T
    )


def test_no_table_of_users_is_saved(model: MFBPR, data: Dataset, tmp_path: Path) -> None:
    assert model.network is not None and len(model.network.users) == data.n_users
    model.save(tmp_path)
    loaded = MFBPR.load(tmp_path)
    assert loaded.network is None
    assert all(data.n_users not in array.shape for array in loaded._state()[0].values())


def test_interrupted_and_resumed_is_uninterrupted(
    model: MFBPR, data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = 0
    judge = pair_training.holdout_ndcg

    def interrupted(*given: object, **more: object) -> object:
        nonlocal calls
        calls += 1
        if calls == 4:
            raise KeyboardInterrupt
        return judge(*given, **more)

    monkeypatch.setattr(pair_training, "holdout_ndcg", interrupted)
    with pytest.raises(FitInterrupted):
        MFBPR(**SMALL).fit(data, FitOptions(checkpoint=tmp_path))
    resumed = MFBPR(**SMALL).fit(data, FitOptions(checkpoint=tmp_path, resume=True))
    for name, weight in model.network.state_dict().items():
        assert torch.equal(weight, resumed.network.state_dict()[name])
    with pytest.raises(ConfigError, match="other data or options"):
        MFBPR(**{**SMALL, "dim": 9}).fit(data, FitOptions(checkpoint=tmp_path, resume=True))


def test_regularisation_keeps_vectors_short(model: MFBPR, data: Dataset) -> None:
    free = MFBPR(**SMALL, regularization=0.0).fit(data)
    assert model.network.users.norm() < free.network.users.norm()


def test_batches_follow_from_the_number_of_pairs() -> None:
    config = MFBPR().config
    assert [config.pairs_per_batch(n) for n in (10, 100_000, 10**7)] == [256, 2000, 8192]
    assert MFBPR(batch=7).config.pairs_per_batch(10**7) == 7
    with pytest.raises(ConfigError, match="batch"):
        MFBPR(batch=0)
