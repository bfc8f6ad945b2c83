from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from honeyguide.core.dataset import Dataset
from honeyguide.metrics.holdout import holdout_ndcg
from honeyguide.models.factor.mf import MF, MFConfig, PointwiseNetwork
from honeyguide.models.factor.pair_training import pair_forward
from honeyguide.nn.pairs import PairBatch, PairSampler

SMALL = {"dim": 8, "lr": 0.03, "batch": 128, "epochs": 25, "patience": 25}


def quality(model: MF, data: Dataset) -> float:
    histories, truth = data.histories("train", "valid"), data.histories("test")
    return float(holdout_ndcg(model.score_histories, histories, truth).mean())


@pytest.mark.parametrize("options", [{}, {"loss": "logistic"}, {"biases": True}, {"fold_in": "least-squares"}])
def test_quality(options: dict[str, object], data: Dataset) -> None:
    assert quality(MF(**SMALL, **options).fit(data), data) > 0.5  # six items of the circle are left: .5 by chance


def batch() -> PairBatch:
    empty = torch.empty(0, dtype=torch.int64)
    users, items = torch.tensor([0, 1, 1]), torch.tensor([0, 1, 0])
    return PairBatch(users, items, empty, torch.empty(2, 0, dtype=torch.int64), labels=torch.tensor([1.0, 0.0, 0.0]))


@pytest.mark.parametrize("loss", ["squared", "logistic"])
def test_the_loss_is_the_published_one(loss: str) -> None:
    torch.manual_seed(0)
    config = MFConfig(dim=3, loss=loss, biases=True, unlabelled_weight=0.3, regularization=0.0)
    network = PointwiseNetwork(2, 2, config)
    with torch.no_grad():
        for bias in (network.user_bias, network.item_bias, network.bias):
            bias.normal_()
    found = pair_forward(network, config)(batch())
    value, each = found.value(found.vectors, None)
    numerator, denominator = 0.0, 0.0
    for u, i, y in ((0, 0, 1.0), (1, 1, 0.0), (1, 0, 0.0)):
        logit = network.users[u] @ network.items[i] + network.user_bias[u] + network.item_bias[i] + network.bias
        p = logit.sigmoid().item()
        plus, minus = ((1 - p) ** 2, p**2) if loss == "squared" else (-np.log(p), -np.log(1 - p))
        numerator += y * plus + 0.3 * (1 - y) * minus
        denominator += y + 0.3 * (1 - y)
    assert value.item() == pytest.approx(numerator / denominator, rel=1e-5)
    assert each.mean().item() == pytest.approx(value.item(), rel=1e-5)


def test_every_clicked_pair_comes_once_beside_pairs_that_were_not_clicked() -> None:
    matrix = sp.csr_matrix((np.random.default_rng(0).random((40, 30)) < 0.3).astype(np.float32))
    clicked = []
    for part in PairSampler(matrix, 64, None, unlabelled=2).epoch(0):
        assert part.labels is not None and len(part.negatives) == 0
        pairs, labels = list(zip(part.users.tolist(), part.items.tolist(), strict=True)), part.labels.tolist()
        clicked += [pair for pair, y in zip(pairs, labels, strict=True) if y]
        assert all(matrix[pair] == y for pair, y in zip(pairs, labels, strict=True))
        assert labels.count(0.0) == 2 * labels.count(1.0)
    assert sorted(clicked) == sorted(zip(*(p.tolist() for p in matrix.nonzero()), strict=True))


def test_the_user_bias_is_not_served_and_the_item_bias_is(data: Dataset) -> None:
    model = MF(**SMALL, biases=True).fit(data)
    assert model.network is not None
    histories = data.histories("train").take(slice(0, 9))
    users, items = model.user_vectors(histories), model.item_vectors()
    assert items.shape == (data.n_items, 9)
    np.testing.assert_array_equal(items[:, -1], model.network.item_bias.detach().numpy()[:, 0])
    np.testing.assert_allclose(users[:, -1], 1, atol=0.2)  # what stands opposite, up to the ridge of the map
    np.testing.assert_array_equal(model.score_histories(histories), users @ items.T)


def test_no_table_of_users_is_saved(data: Dataset, tmp_path: Path) -> None:
    model = MF(**{**SMALL, "epochs": 1}).fit(data)
    model.save(tmp_path)
    loaded = MF.load(tmp_path)
    assert loaded.network is None
    assert all(data.n_users not in array.shape for array in loaded._state()[0].values())


def test_a_penalty_on_whole_tables_keeps_them_short(data: Dataset) -> None:
    free, held = (MF(**SMALL, regularization=0.0, decay=decay).fit(data) for decay in (0.0, 1e-3))
    assert free.network is not None and held.network is not None
    assert held.network.users.norm() < 0.9 * free.network.users.norm()
