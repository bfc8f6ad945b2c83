from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from honeyguide.core.dataset import Dataset
from honeyguide.core.errors import ConfigError
from honeyguide.core.recommender import Recommender
from honeyguide.models.sequence.hstu import HSTU, HSTUConfig

SMALL = {"dim": 16, "max_len": 20, "batch_tokens": 256, "epochs": 12, "lr": 1e-2}


@pytest.fixture(scope="module")
def model(data: Dataset) -> HSTU:
    return HSTU(**SMALL).fit(data)


def test_ndcg(model: HSTU, data: Dataset, ndcg: Callable[[Recommender, Dataset], float]) -> None:
    assert ndcg(model, data) > 0.95


def test_no_position_reads_what_comes_after_it(model: HSTU) -> None:
    before, after = (model.network.hidden(torch.tensor([row])) for row in ([1, 2, 3, 4], [1, 2, 9, 9]))
    torch.testing.assert_close(before[:, :2], after[:, :2])
    assert not torch.allclose(before[:, 2:], after[:, 2:])


def test_options() -> None:
    assert HSTUConfig().resolve(np.full(100, 6)).blocks == 2
    assert HSTUConfig().resolve(np.full(100, 90)).blocks == 4
    assert "auto" not in HSTUConfig().resolve(np.full(100, 90)).model_dump(exclude={"text"}).values()
    with pytest.raises(ConfigError, match="heads"):
        HSTU(dim=10, heads=4)
