from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from honeyguide.core.dataset import Dataset
from honeyguide.core.errors import FitInterrupted
from honeyguide.core.fitting import FitOptions
from honeyguide.graph import BipartiteGraph
from honeyguide.metrics.holdout import holdout_ndcg
from honeyguide.models.factor import pair_training
from honeyguide.models.graph.lightgcn import LightGCN, LightGCNConfig, LightGCNNetwork

SMALL = {"dim": 8, "negatives": 30, "batch": 128, "epochs": 8, "patience": 8}


@pytest.fixture(scope="module")
def model(data: Dataset) -> LightGCN:
    return LightGCN(**SMALL).fit(data)


def quality(model: LightGCN, data: Dataset) -> float:
    histories, truth = data.histories("train", "valid"), data.histories("test")
    return float(holdout_ndcg(model.score_histories, histories, truth).mean())


def network_of(data: Dataset, layers: int) -> LightGCNNetwork:
    torch.manual_seed(0)
    return LightGCNNetwork(BipartiteGraph(data.matrix("train")), LightGCNConfig(dim=5, layers=layers))


@pytest.mark.parametrize("layers", [0, 1, 2, 3])
def test_vectors_are_means_of_layers(data: Dataset, layers: int) -> None:
    network, r = network_of(data, layers), data.matrix("train").toarray()
    n, m = r.shape
    a = np.block([[np.zeros((n, n)), r], [r.T, np.zeros((m, m))]])
    scale = 1 / np.sqrt(a.sum(1))
    a = scale[:, None] * a * scale
    start = torch.cat([network.users, network.items]).detach().numpy()
    expected = np.mean([np.linalg.matrix_power(a, step) @ start for step in range(layers + 1)], axis=0)
    np.testing.assert_allclose(torch.cat(network.vectors()).detach().numpy(), expected, atol=1e-5)


@pytest.mark.parametrize("layers", [1, 2, 3])
def test_a_trained_user_is_layer_zero_and_what_the_history_adds(data: Dataset, layers: int) -> None:
    network, r = network_of(data, layers), data.matrix("train")
    with torch.no_grad():
        users, inward = network.user_vectors().numpy(), network.inward_vectors().numpy()
    own = network.users.detach().numpy() / (layers + 1)
    added = (r @ inward) / np.sqrt(np.diff(r.indptr))[:, None]
    np.testing.assert_allclose(users, own + added, atol=1e-5)


@pytest.mark.parametrize(
    "options", [{}, {"loss": "bpr", "lr": 0.05}, {"loss": "contrastive", "weight": 5.0}, {"layers": 0}]
)
def test_quality(options: dict[str, object], data: Dataset) -> None:
    assert quality(LightGCN(**{**SMALL, **options}).fit(data), data) > 0.5  # of the circle's items, .5 by chance


def test_interrupted_and_resumed_is_uninterrupted(
    model: LightGCN, data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = 0
    judge = pair_training.holdout_ndcg

    def interrupted(*given: object, **more: object) -> object:
        nonlocal calls
        calls += 1
        if calls == 3:
            raise KeyboardInterrupt
        return judge(*given, **more)

    monkeypatch.setattr(pair_training, "holdout_ndcg", interrupted)
    with pytest.raises(FitInterrupted):
        LightGCN(**SMALL).fit(data, FitOptions(checkpoint=tmp_path))
    resumed = LightGCN(**SMALL).fit(data, FitOptions(checkpoint=tmp_path, resume=True))
    np.testing.assert_array_equal(resumed.item_vectors(), model.item_vectors())
    for name, weight in model.network.state_dict().items():
        assert torch.equal(weight, resumed.network.state_dict()[name])


def test_no_table_of_users_is_saved(model: LightGCN, data: Dataset, tmp_path: Path) -> None:
    model.save(tmp_path)
    loaded = LightGCN.load(tmp_path)
    assert loaded.network is None
    histories = data.histories("train")
    np.testing.assert_array_equal(loaded.score_histories(histories), model.score_histories(histories))


def test_a_new_event_moves_the_user(model: LightGCN, data: Dataset) -> None:
    history = data.histories("train").take(slice(0, 1))
    longer = data.histories("train", "valid").take(slice(0, 1))
    assert not np.allclose(model.user_vectors(history), model.user_vectors(longer))
