from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from honeyguide.core.dataset import Dataset
from honeyguide.core.errors import ConfigError
from honeyguide.core.fitting import FitOptions
from honeyguide.core.ragged import Ragged
from honeyguide.metrics.holdout import holdout_ndcg
from honeyguide.models.graph.simplex import SimpleX, SimpleXConfig, SimpleXNetwork

SMALL = {"dim": 8, "negatives": 30, "batch": 128, "epochs": 12, "patience": 12}


@pytest.fixture(scope="module")
def model(data: Dataset) -> SimpleX:
    return SimpleX(**SMALL).fit(data)


@pytest.mark.parametrize("options", [{}, {"loss": "contrastive", "weight": 5.0}, {"regularization": 1e-3}])
def test_quality(options: dict[str, object], data: Dataset) -> None:
    model = SimpleX(**{**SMALL, **options}).fit(data)
    histories, truth = data.histories("train", "valid"), data.histories("test")
    assert holdout_ndcg(model.score_histories, histories, truth).mean() > 0.5  # of the circle's items, .5 by chance


def test_a_user_is_the_mapped_mean_of_the_items() -> None:
    network = SimpleXNetwork(6, SimpleXConfig(dim=3))
    with torch.no_grad():
        network.turn.copy_(torch.randn(3, 3))
        found = network.user_vectors(torch.tensor([0, 2, 5]), torch.tensor([0, 2]))
        torch.testing.assert_close(found[0], (network.items[0] + network.items[2]) / 2 @ network.turn)
        torch.testing.assert_close(found[1], network.items[5] @ network.turn)


def test_what_is_served_is_what_was_trained(model: SimpleX, data: Dataset) -> None:
    scores = model.score_histories(Ragged.from_lists([[1, 4, 4]]))[0]
    x = model.user_vectors(Ragged.from_lists([[1, 4]]))[0]
    unit = model.served.inward / np.linalg.norm(model.served.inward, axis=1, keepdims=True)
    np.testing.assert_allclose(x, model.served.inward[[1, 4]].mean(0) @ model.served.turn, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(scores, unit @ x, rtol=1e-4, atol=1e-6)


def test_resumed_is_uninterrupted(model: SimpleX, data: Dataset, tmp_path: Path) -> None:
    SimpleX(**SMALL).fit(data, FitOptions(checkpoint=tmp_path))
    resumed = SimpleX(**SMALL).fit(data, FitOptions(checkpoint=tmp_path, resume=True))
    np.testing.assert_array_equal(resumed.item_vectors(), model.item_vectors())


def test_pairs_of_one_negative_are_refused() -> None:
    with pytest.raises(ConfigError, match="loss"):
        SimpleX(loss="bpr")
