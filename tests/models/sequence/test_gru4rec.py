from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from honeyguide.core.dataset import Dataset
from honeyguide.core.errors import ConfigError
from honeyguide.core.recommender import Recommender
from honeyguide.models.sequence.gru4rec import GRU4Rec, GRU4RecConfig, GRU4RecNetwork

SMALL = {"dim": 16, "max_len": 20, "batch_tokens": 256, "epochs": 15, "lr": 1e-2}


@pytest.fixture(scope="module")
def model(data: Dataset) -> GRU4Rec:
    return GRU4Rec(**SMALL).fit(data)


def test_ndcg(model: GRU4Rec, data: Dataset, ndcg: Callable[[Recommender, Dataset], float]) -> None:
    assert ndcg(model, data) > 0.95


def test_the_state_equals_the_equations_of_the_unit(model: GRU4Rec) -> None:
    w = {name: tensor.double().numpy() for name, tensor in model.network.state_dict().items()}
    h = np.zeros(32)
    for item in (3, 4, 5):
        x = w["items.weight"][item]
        gates = np.split(w["gru.weight_ih_l0"] @ x + w["gru.bias_ih_l0"], 3)
        recurrent = np.split(w["gru.weight_hh_l0"] @ h + w["gru.bias_hh_l0"], 3)
        r, z = (1 / (1 + np.exp(-(a + b))) for a, b in zip(gates[:2], recurrent[:2], strict=True))
        n = np.tanh(gates[2] + r * recurrent[2])
        h = (1 - z) * n + z * h
    state = model.network.user_state(torch.tensor([[3, 4, 5, 0, 0]]), torch.tensor([3]))
    np.testing.assert_allclose(state.detach().numpy()[0], w["out.weight"] @ h, atol=1e-5)


def test_the_state_is_twice_as_wide_as_an_item_unless_said_otherwise() -> None:
    lengths = np.full(100, 6)
    assert GRU4RecConfig(dim=24).resolve(lengths).hidden == 48
    assert GRU4RecConfig(dim=24, hidden=10).resolve(lengths).hidden == 10
    two = GRU4RecNetwork(5, GRU4RecConfig(dim=4, hidden=6, layers=2).resolve(lengths))
    assert two.hidden(torch.zeros(3, 7, dtype=torch.int64)).shape == (3, 7, 4)
    with pytest.raises(ConfigError, match="layers"):
        GRU4Rec(layers=0)
