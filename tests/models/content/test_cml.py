"""Collaborative metric learning: its losses by hand, what is there when, and where unreleased items are."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal

from honeyguide.core.dataset import Dataset
from honeyguide.core.errors import CapabilityError, DataError
from honeyguide.core.ragged import Ragged
from honeyguide.data.build import build
from honeyguide.data.splits import cold_item
from honeyguide.metrics.holdout import holdout_ndcg
from honeyguide.models.content.cml import CML, CMLConfig
from honeyguide.models.content.cml_network import Metric, Releases, correlated, in_ball, pulled, ranked, taken_of
from honeyguide.models.popularity import Popularity
from honeyguide.nn.batches import PackedWindows

OPTIONS = {"encoder": "use", "dim": 32, "epochs": 15, "batch_tokens": 512, "lr": 1e-2, "negatives": 10}


@pytest.fixture(scope="module")
def fitted(books: Dataset) -> CML:
    return CML(**OPTIONS).fit(books)


def test_a_score_is_minus_the_squared_distance_to_the_decayed_mean(fitted: CML) -> None:
    z = fitted.vectors
    u = (0.81 * z[3] + 0.9 * z[9] + z[27]) / (0.81 + 0.9 + 1)
    expected = -((u - z) ** 2).sum(1)
    histories = Ragged.from_lists([[3, 9, 27], []])
    assert_allclose(fitted.score_histories(histories)[0], expected, atol=1e-5)
    assert_allclose((fitted.user_vectors(histories) @ fitted.item_vectors().T)[0], expected, atol=1e-5)
    assert_array_equal(fitted.score_histories(histories)[1], fitted.share)


def test_the_state_of_training_is_that_of_serving(fitted: CML) -> None:
    read = torch.from_numpy(fitted.vectors[[3, 9, 27]])[None]
    states = fitted.network.states(read)[0]
    assert_allclose(states, fitted.places(Ragged.from_lists([[3], [3, 9], [3, 9, 27]])), atol=1e-6)


def test_every_vector_is_in_the_unit_ball(fitted: CML) -> None:
    assert np.linalg.norm(fitted.vectors, axis=1).max() <= 1 + 1e-6
    assert_allclose(in_ball(torch.tensor([[3.0, 4.0], [0.3, 0.4], [0.0, 0.0]])), [[0.6, 0.8], [0.3, 0.4], [0, 0]])


def test_the_ranking_loss_by_hand() -> None:
    near = torch.tensor([0.2, 0.1])
    far = torch.tensor([[0.5, 0.3, 0.9], [0.9, 0.05, 2.0]])
    taken = torch.tensor([[False, False, False], [False, True, False]])
    # The first: .3 and .5 are within .2 + .5: 2 of 3, of 90 items. The second: .05 was taken, and nothing is within.
    expected = (np.log(61.0) * (0.5 + 0.2 - 0.3) + np.log(1.0) * 0.0) / 2
    assert_allclose(ranked(near, far, taken, 0.5, 90).item(), expected, rtol=1e-6)
    everything = ranked(near, far, torch.ones_like(taken), 0.5, 90)
    assert everything.item() == 0.0  # no negative is left


def test_the_covariance_by_hand() -> None:
    z = torch.tensor([[1.0, 1.0], [-1.0, -1.0], [1.0, -1.0], [-1.0, 1.0]])
    assert correlated(z).item() == 0.0
    z = torch.tensor([[1.0, 1.0], [-1.0, -1.0]])
    assert_allclose(correlated(z).item(), (1.0**2 + 1.0**2) / 2)


def test_the_pull_by_hand_spares_what_has_no_text_or_no_events() -> None:
    net = Metric(4, 3, CMLConfig(dim=2))
    text = torch.eye(4, 3)  # the last has no text
    known = torch.tensor([True, True, False, True])
    with torch.no_grad():
        net.theta.weight.mul_(0.1)
        net.text.weight.mul_(0.1)
        difference = net.theta.weight[:2] - net.text.weight.T[:2]
        expected = difference.square().sum(1).mean()
        assert_allclose(pulled(net, text, torch.arange(4), known), expected, rtol=1e-5)


def test_what_was_taken_is_no_negative() -> None:
    histories = Ragged.from_lists([[1, 2, 3, 4], [5, 6]])
    (batch,) = PackedWindows(histories, 10, 100, 0).epoch(0)
    row = int((batch.users == 0).nonzero()[0])
    other = 1 - row
    drawn = torch.tensor([[1, 2, 3, 4, 5, 0]] * 2)
    taken = taken_of(drawn, batch, torch.tensor([row, other]))
    assert taken.tolist() == [[True, True, True, True, False, False], [False, False, False, False, True, False]]


def test_negatives_were_there_at_the_time() -> None:
    torch.manual_seed(0)
    times = np.array([10, 20, 30, 30, 40], np.int64)
    histories = Ragged(np.array([0, 3, 5]), np.array([2, 0, 4, 1, 2], np.int32), times)
    releases = Releases(histories, 6, matched=True)
    drawn = releases.draw(torch.tensor([10, 25, 30, 99]), 4, 200)
    assert [sorted(set(row)) for row in drawn.tolist()] == [[2], [0, 2], [0, 1, 2, 4], [0, 1, 2, 4]]
    anytime = Releases(histories, 6, matched=False).draw(torch.tensor([10]), 1, 200)
    assert sorted(set(anytime[0].tolist())) == [0, 1, 2, 4]  # never 3 and 5, which nobody took


def test_what_is_unreleased_has_no_vector_of_its_own(books: Dataset) -> None:
    cold = cold_item(books, valid=0.0, test=0.2)
    model = CML(**OPTIONS | {"epochs": 3}).fit(cold)
    unreleased = ~model.released
    assert unreleased.any()
    written = model.network.written(torch.from_numpy(model.text.vectors(books.items))).detach().numpy()
    assert_allclose(model.vectors[unreleased], written[unreleased], atol=1e-6)
    assert not np.allclose(model.vectors[~unreleased], written[~unreleased], atol=1e-2)
    with torch.no_grad():  # whatever is learnt beside its text is not read
        before = model.vectors.copy(), model.film.copy()
        model.network.theta.weight[unreleased] = 9.0
        model.network.film.weight[unreleased] = 9.0
    model._place(torch.from_numpy(model.text.vectors(books.items)))
    assert_array_equal(model.vectors, before[0])
    assert_array_equal(model.film, before[1])


def test_unreleased_items_are_found_better_than_by_chance(books: Dataset) -> None:
    cold = cold_item(books, valid=0.1, test=0.2)
    model = CML(**OPTIONS).fit(cold)
    history, truth = cold.histories("train"), cold.histories("test")
    scores = model.score_histories(history)
    among = np.flatnonzero(~model.released)
    place = [
        (scores[row, among] > scores[row, item]).mean() for row, item in zip(truth.rows, truth.values, strict=True)
    ]
    assert np.mean(place) < 0.46, np.mean(place)


def test_a_probability_is_its_formula_and_lends_what_is_missing(fitted: CML) -> None:
    net, histories = fitted.network, Ragged.from_lists([[3, 9]])
    d = np.sqrt(-fitted.score_histories(histories)[0])
    logit = net.bias.item() + fitted.film - np.log1p(np.exp(net.scale.item())) * d + net.often.item() * np.log(3)
    assert_allclose(fitted.probabilities(histories)[0], 1 / (1 + np.exp(-logit)), atol=1e-4)
    grown = fitted.add_items(pl.DataFrame({"item_id": [10**9], "title": ["A novel"], "authors": ["Somebody"]}))
    distance = np.linalg.norm(grown.vectors[:-1] - grown.vectors[-1], axis=1)
    comps = np.argsort(distance)[:10]
    weights = np.exp(-distance[comps])
    assert_allclose(grown.film[-1], (weights * fitted.film[comps]).sum() / weights.sum(), rtol=1e-3, atol=1e-4)
    assert_array_equal(
        fitted.similar(np.array([7]), 3).items[0],
        np.argsort(np.linalg.norm(fitted.vectors - fitted.vectors[7], axis=1))[1:4],
    )


def test_it_is_better_than_popularity(fitted: CML, books: Dataset) -> None:
    history, truth = books.histories("train", "valid"), books.histories("test")
    found = holdout_ndcg(fitted.score_histories, history, truth).mean()
    popular = holdout_ndcg(Popularity().fit(books).score_histories, history, truth).mean()
    assert found >= 1.2 * popular, (found, popular)


def test_free_vectors_need_no_text_and_know_no_new_items(books: Dataset) -> None:
    bare = replace(books, items=books.items.select("item_id"))
    model = CML(**OPTIONS | {"epochs": 1, "items": "free"}).fit(bare)
    with pytest.raises(CapabilityError, match="items=both"):
        model.add_items(books.items[:1].with_columns(item_id=pl.lit(10**9)))


def test_short_histories_are_refused() -> None:
    frame = pl.DataFrame({"user_id": [1, 2], "item_id": [1, 2], "position": [0, 0]})
    with pytest.raises(DataError, match="text-profile"):
        CML(encoder="use").fit(build("short", frame, pl.DataFrame({"item_id": [1, 2], "title": ["a b", "c d"]})))
