"""Lite-LLM4Rec: its head by hand, and what each kind of head knows of items without events."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal

from honeyguide.core.dataset import Dataset
from honeyguide.core.errors import CapabilityError
from honeyguide.core.ragged import Ragged
from honeyguide.core.requests import Requests
from honeyguide.data.splits import cold_item
from honeyguide.metrics.holdout import holdout_ndcg
from honeyguide.models.language.lite_llm4rec import LiteLLM4Rec
from honeyguide.models.language.text_network import text_forward
from honeyguide.models.popularity import Popularity
from honeyguide.models.registry import load_model
from honeyguide.nn.batches import IGNORED, PackedWindows

OPTIONS = {"text": "use", "dim": 32, "hidden": 64, "max_len": 30, "epochs": 4, "batch_tokens": 512, "lr": 5e-3}


@pytest.fixture(scope="module")
def fitted(books: Dataset) -> LiteLLM4Rec:
    return LiteLLM4Rec(**OPTIONS).fit(books)


def test_a_score_is_the_head_times_the_state(fitted: LiteLLM4Rec) -> None:
    histories = Ragged.from_lists([[3, 9, 27], [5]])
    with torch.no_grad():
        read = fitted.network.items.weight[[3, 9, 27]][None]
        state = fitted.network.read(read)[0, -1]
        expected = fitted.network.head.weight @ state
    assert_allclose(fitted.score_histories(histories)[0], expected, rtol=1e-4, atol=1e-5)


def test_the_loss_is_the_cross_entropy_over_all_items(fitted: LiteLLM4Rec, books: Dataset) -> None:
    model = LiteLLM4Rec(**OPTIONS | {"epochs": 1, "dropout": 0.0, "event_dropout": 0.0})
    model.fit(books)
    batch = PackedWindows(books.histories("train"), 30, 512, 0).epoch(0)[0]

    class Held(torch.nn.Module):
        def forward(self, items: torch.Tensor) -> torch.Tensor:
            return torch.from_numpy(model.text.vectors(books.items))[items]

    model.network.texts = Held()
    model.network.train()
    with torch.no_grad():
        found = text_forward(model.network, model.resolved, torch.arange(books.n_items))(batch)
        loss = found.value(found.vectors, None)[0]
        scores = model.network.hidden(batch.items) @ model.network.head.weight.T
        real = batch.targets != IGNORED
        expected = torch.nn.functional.cross_entropy(scores[real], batch.targets[real])
    assert_allclose(loss, expected, rtol=1e-4)


def test_it_is_better_than_popularity_and_survives_saving(fitted: LiteLLM4Rec, books: Dataset, tmp_path: Path) -> None:
    history, truth = books.histories("train", "valid"), books.histories("test")
    found = holdout_ndcg(fitted.score_histories, history, truth).mean()
    popular = holdout_ndcg(Popularity().fit(books).score_histories, history, truth).mean()
    assert found >= 1.2 * popular, (found, popular)
    fitted.save(tmp_path)
    asked = Requests(history)
    assert_array_equal(load_model(tmp_path).score(asked), fitted.score(asked))


def test_an_untied_head_refuses_items_without_events_and_a_tied_one_finds_them(books: Dataset) -> None:
    """The trap: a row of the head that was never a target says nothing."""
    cold = cold_item(books, valid=0.1, test=0.2)
    truth, ranks = cold.histories("test"), {}
    fresh = np.unique(truth.values)
    for head in ("tied", "untied"):
        model = LiteLLM4Rec(**OPTIONS, head=head).fit(cold)
        scores = model.score_histories(cold.histories("train"))
        pairs = list(zip(truth.rows, truth.values, strict=True))
        ranks[head] = np.mean([(scores[row, fresh] > scores[row, item]).mean() for row, item in pairs])
        new = books.items[7].with_columns(item_id=pl.lit(10**9))
        if head == "untied":
            with pytest.raises(CapabilityError, match="head=tied"):
                model.add_items(new)
        else:
            assert model.add_items(new).score_histories(cold.histories("train")).shape[1] == books.n_items + 1
    assert ranks["tied"] < 0.47, ranks
    assert 0.4 < ranks["untied"] < 0.6, ranks


def test_ids_can_be_added_to_the_text(books: Dataset) -> None:
    model = LiteLLM4Rec(**OPTIONS | {"epochs": 1}, source="both")
    model.fit(books)
    with torch.no_grad():
        text = model.network.described(torch.from_numpy(model.text.vectors(books.items)))
        expected = text + model.network.ids.weight
    assert_allclose(model.network.items.weight, expected, atol=1e-5)
