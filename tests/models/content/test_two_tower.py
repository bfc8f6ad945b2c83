"""The two towers: their formula, what an item without an id is, and what they reach."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal

from honeyguide.core.dataset import Dataset
from honeyguide.core.errors import DataError
from honeyguide.core.plugin import Plugin
from honeyguide.core.ragged import Ragged
from honeyguide.core.recommender import Recommender
from honeyguide.data.build import build
from honeyguide.data.splits import cold_item
from honeyguide.metrics.holdout import holdout_ndcg
from honeyguide.models.content.two_tower import TwoTower, TwoTowerConfig
from honeyguide.models.content.two_tower_network import Features, Towers, state_of_one
from honeyguide.models.popularity import Popularity

OPTIONS = {"encoder": "use", "dim": 32, "epochs": 20, "batch_tokens": 512, "lr": 5e-3, "negatives": 128}


@pytest.fixture(scope="module")
def fitted(books: Dataset) -> TwoTower:
    return TwoTower(**OPTIONS).fit(books)


class Watch(Plugin):
    """Notes the vectors of items that it is given before and after every epoch."""

    name = "watch"

    def bind(self, model: Recommender) -> None:
        self.model, self.seen = model, list[np.ndarray]()

    def on_start(self, network: torch.nn.Module) -> None:
        self.on_epoch(network, 0)

    def on_epoch(self, network: torch.nn.Module, epoch: int) -> None:
        network.eval()
        self.seen.append(self.model.item_vectors())  # type: ignore[attr-defined]
        network.train()


def test_plug_ins_find_the_vectors_of_the_moment_while_it_trains(books: Dataset) -> None:
    model = TwoTower(**{**OPTIONS, "epochs": 2}).plug(Watch()).fit(books)
    seen = model.plugins[0].seen  # type: ignore[attr-defined]
    assert len(seen) == 3 and not np.array_equal(seen[0], seen[1]) and not np.array_equal(seen[1], seen[2])
    assert_array_equal(model.item_vectors(), model.item_vectors())
    assert model.base.learning is None  # type: ignore[attr-defined]


def test_a_state_is_the_formula(fitted: TwoTower) -> None:
    net = fitted.network
    read = torch.from_numpy(fitted.vectors[[3, 9, 27]])
    n = net.norm_in(read)
    logits = torch.stack([net.ages[2 - s] + net.worth.weight[0] @ n[s] for s in range(3)])
    mean = net.norm_in(torch.softmax(logits, 0) @ read)
    expected = net.norm(mean + net.mix(mean)).detach().numpy()
    assert_allclose(fitted.user_vectors(Ragged.from_lists([[3, 9, 27]]))[0], expected, rtol=1e-4, atol=1e-5)


def test_a_state_sees_no_later_event(fitted: TwoTower) -> None:
    read = torch.randn(1, 6, 32)
    changed = read.clone()
    changed[:, 4:] += 1.0
    with torch.no_grad():
        before, after = fitted.network.states(read), fitted.network.states(changed)
    assert_allclose(before[:, :4], after[:, :4], atol=1e-6)
    assert not np.allclose(before[:, 4:], after[:, 4:])


def test_an_item_is_its_text_its_categories_and_its_id(books: Dataset) -> None:
    net = Towers(5, 8, None, TwoTowerConfig(dim=4, buckets=10)).eval()
    text, buckets = torch.randn(2, 8), Ragged.from_lists([[1, 7], []])
    features = Features(text, None, buckets)
    with torch.no_grad():
        found = net.items(features.take(torch.arange(2)), torch.tensor([3, 4]))
        expected = text @ net.text.weight.T + net.ids.weight[[3, 4]]
        expected[0] += (net.categories.weight[1] + net.categories.weight[7]) / 2
    assert_allclose(found, expected, atol=1e-6)


def test_ids_are_hidden_from_a_share_of_the_items_while_training() -> None:
    net = Towers(4000, 2, None, TwoTowerConfig(dim=4, id_dropout=0.3, dropout=0.0))
    features = Features(torch.zeros(4000, 2), None, Ragged.empty(4000))
    every = torch.arange(4000)
    hidden = (net.train().items(features.take(every), every) == 0).all(1).float().mean().item()
    assert 0.26 < hidden < 0.34
    assert (net.eval().items(features.take(every), every) != 0).any(1).all()


def test_an_added_item_is_the_known_one_without_its_id(books: Dataset) -> None:
    model = TwoTower(**OPTIONS | {"ids": False, "epochs": 2}).fit(books)
    row = books.items[7].with_columns(item_id=pl.lit(10**9))
    grown = model.add_items(row)
    assert_allclose(grown.vectors[-1], model.vectors[7], atol=1e-5)
    assert_array_equal(grown.vectors[:-1], model.vectors)


def test_it_is_better_than_popularity(fitted: TwoTower, books: Dataset) -> None:
    history, truth = books.histories("train", "valid"), books.histories("test")
    found = holdout_ndcg(fitted.score_histories, history, truth).mean()
    popular = holdout_ndcg(Popularity().fit(books).score_histories, history, truth).mean()
    assert found >= 1.2 * popular, (found, popular)


def test_items_without_events_are_found(books: Dataset) -> None:
    cold = cold_item(books, valid=0.1, test=0.2)
    model = TwoTower(**OPTIONS).fit(cold)
    history, truth = cold.histories("train"), cold.histories("test")
    candidates = truth.values
    scores = model.score_histories(history)
    mean_rank = np.mean(
        [(scores[row] > scores[row, item]).mean() for row, item in zip(truth.rows, candidates, strict=True)]
    )
    assert mean_rank < 0.45, mean_rank


def test_short_histories_are_refused() -> None:
    frame = pl.DataFrame({"user_id": [1, 2], "item_id": [1, 2], "position": [0, 0]})
    with pytest.raises(DataError, match="text-profile"):
        TwoTower(encoder="use").fit(build("short", frame, pl.DataFrame({"item_id": [1, 2], "title": ["a b", "c d"]})))


def test_the_last_state_is_that_of_all_states_after_the_last_event() -> None:
    network = Towers(5, 8, None, TwoTowerConfig(dim=16, max_len=7)).eval()
    read, lengths = torch.randn(4, 7, 16, generator=torch.Generator().manual_seed(0)), torch.tensor([1, 7, 3, 6])
    with torch.inference_mode():
        every = network.states(read)[torch.arange(4), lengths - 1]
        assert torch.allclose(network.last_state(read, lengths), every, atol=1e-6)


def test_one_user_is_served_what_many_are(fitted: TwoTower, books: Dataset) -> None:
    histories = books.histories("train").take(np.arange(40))
    together = fitted.user_vectors(histories)
    alone = np.concatenate([fitted.user_vectors(histories.take(np.array([row]))) for row in range(40)])
    assert_allclose(alone, together, atol=2e-6)
    read = torch.randn(7, 16, generator=torch.Generator().manual_seed(1))
    network = Towers(5, 8, None, TwoTowerConfig(dim=16, max_len=9)).eval()
    with torch.no_grad():
        network.norm.gain.mul_(1.5), network.norm_in.gain.mul_(0.7)
        wanted = network.last_state(read[None], torch.tensor([7]))[0]
    assert_allclose(state_of_one(network, read.numpy()), wanted.numpy(), atol=1e-6)
