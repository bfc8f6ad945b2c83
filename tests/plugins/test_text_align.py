from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from tests.models.factor.conftest import circles

from honeyguide.core.dataset import Dataset
from honeyguide.core.errors import FitInterrupted
from honeyguide.core.fitting import FitOptions
from honeyguide.data.build import build
from honeyguide.models.registry import load_model, model_class
from honeyguide.plugins.text_align import contrast_of

THEMES = ("crime novel about a detective", "cook book of cakes", "guide to gardens", "history of ships at sea")
SMALL = {"dim": 8, "negatives": 30, "batch": 128, "epochs": 4, "patience": 4}
TEXT = {"encoder": "use", "weight": 1.0}


@pytest.fixture(scope="module")
def data() -> Dataset:
    titles = [f"{THEMES[i // 12]}, volume {i}" for i in range(48)]
    items = pl.DataFrame({"item_id": np.arange(48), "title": titles})
    return build("circles", circles().interactions.select(user_id="user", item_id="item", split="split"), items)


def aligned(data: Dataset, options: FitOptions | None = None, **text: object) -> object:
    return model_class("lightgcn+text-align")(**SMALL, text_align={**TEXT, **text}).fit(data, options)


def test_the_term_is_infonce_without_rows_of_the_same_code() -> None:
    vectors, texts = (torch.nn.functional.normalize(torch.randn(4, 3), dim=-1) for _ in range(2))
    codes = torch.tensor([0, 1, 0, 2])
    scores = torch.exp(vectors @ texts.T / 0.1)
    expected = []
    for a in range(4):
        rivals = [b for b in range(4) if b == a or codes[b] != codes[a]]
        expected.append(-torch.log(scores[a, a] / scores[a, rivals].sum()))
    torch.testing.assert_close(
        contrast_of(vectors, texts, codes, 0.1), torch.stack(expected).mean(), rtol=1e-4, atol=1e-5
    )


def test_items_of_a_theme_come_nearer(data: Dataset) -> None:
    def nearness(model: object) -> float:
        vectors = model.item_vectors()
        vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        own = np.arange(48)[:, None] // 12 == np.arange(48) // 12
        cosines = vectors @ vectors.T
        return float(cosines[own].mean() - cosines[~own].mean())

    assert nearness(aligned(data)) > nearness(model_class("lightgcn")(**SMALL).fit(data)) + 0.02


def test_the_map_is_trained_and_then_thrown_away(data: Dataset, tmp_path: Path) -> None:
    model = aligned(data)
    assert not hasattr(model.base.network, "text_align")
    model.save(tmp_path)
    histories = data.histories("train")
    np.testing.assert_array_equal(load_model(tmp_path).score_histories(histories), model.score_histories(histories))


def test_it_leaves_a_model_that_saves_its_network_as_it_was(data: Dataset, tmp_path: Path) -> None:
    options = {"dim": 8, "blocks": 1, "heads": 1, "max_len": 8, "epochs": 2, "batch_tokens": 256}
    model = model_class("sasrec+text-align")(**options, text_align=TEXT).fit(data)
    model.save(tmp_path)
    histories = data.histories("train").take(slice(0, 5))
    np.testing.assert_array_equal(load_model(tmp_path).score_histories(histories), model.score_histories(histories))


def test_interrupted_and_resumed_is_uninterrupted(data: Dataset, tmp_path: Path) -> None:
    """The map's weights and their moments are in the checkpoint too."""
    seen = []

    def stop(entry: dict[str, float]) -> None:
        seen.append(entry)
        if len(seen) == 2:
            raise KeyboardInterrupt

    with pytest.raises(FitInterrupted):
        aligned(data, FitOptions(checkpoint=tmp_path, on_epoch=stop))
    resumed = aligned(data, FitOptions(checkpoint=tmp_path, resume=True))
    np.testing.assert_array_equal(resumed.item_vectors(), aligned(data).item_vectors())


def test_without_a_weight_nothing_changes(data: Dataset) -> None:
    plain = model_class("lightgcn")(**SMALL).fit(data)
    np.testing.assert_array_equal(aligned(data, enabled=False).item_vectors(), plain.item_vectors())
