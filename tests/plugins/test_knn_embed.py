from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from honeyguide.core.dataset import Dataset
from honeyguide.core.inner_product import top_k_inner_product, unit
from honeyguide.core.plugged import Plugged
from honeyguide.core.ragged import Ragged
from honeyguide.core.requests import Requests
from honeyguide.data.build import build
from honeyguide.data.load import load_data
from honeyguide.metrics.holdout import rank_lists
from honeyguide.models.linear.ials import IALS
from honeyguide.models.registry import load_model
from honeyguide.plugins.knn_embed import KNNEmbed, KNNEmbedConfig, Neighbours, quotas, shares

BASE: dict[str, Any] = {"factors": 16, "iterations": 4}
WHOLE: dict[str, Any] = {"probes": None, "order": "mixture"}


@pytest.fixture(scope="module")
def books() -> Dataset:
    frame = load_data("goodbooks-mini").interactions.filter(
        (load_data("goodbooks-mini").interactions["user"] < 250)
        & (load_data("goodbooks-mini").interactions["item"] < 500)
    )
    return build("books", frame.select(user_id="user", item_id="item", position="position", split="split"))


def fit(books: Dataset, **options: Any) -> Plugged:
    return IALS(**BASE).plug(KNNEmbed(**options)).fit(books)


@pytest.fixture(scope="module")
def model(books: Dataset) -> Plugged:
    return fit(books, clusters=12, **WHOLE)


def plugin(model: Plugged) -> KNNEmbed:
    found = model.plugins[0]
    assert isinstance(found, KNNEmbed)
    return found


def test_quotas_add_up_and_the_largest_remainders_get_the_rest() -> None:
    assert quotas(np.array([0.5, 0.3, 0.2]), 10).tolist() == [5, 3, 2]
    assert quotas(np.array([0.55, 0.27, 0.18]), 10).tolist() == [5, 3, 2]  # remainders .5, .7, .8
    assert quotas(np.array([1.0, 1.0, 1.0]), 2).tolist() == [1, 1, 0]
    assert quotas(np.array([0.98, 0.01, 0.01]), 5).tolist() == [5, 0, 0]


def test_one_cluster_unsmoothed_is_search_around_the_mean_of_the_items(books: Dataset) -> None:
    whole = fit(books, clusters=1, smoothing=0.0, own=0.0, **WHOLE)
    histories = books.histories("train")
    items = whole.item_vectors()
    mean = unit(shares(histories.to_csr(books.n_items)) @ unit(items))
    expected, _ = top_k_inner_product(mean, items, 20, histories)
    found, _ = plugin(whole).retrieve(Requests(histories), 20)
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(whole.recommend(Requests(histories), 20).items, expected)


def test_queries_that_are_the_users_vectors_are_the_plain_search_however_many_clusters(books: Dataset) -> None:
    whole = fit(books, clusters=12, own=1.0, **WHOLE)
    histories = books.histories("train")
    expected, _ = top_k_inner_product(whole.user_vectors(histories), whole.item_vectors(), 20, histories)
    found, _ = plugin(whole).retrieve(Requests(histories), 20)
    np.testing.assert_array_equal(np.sort(found, axis=1), np.sort(expected, axis=1))
    ranked = IALS(**BASE).plug(KNNEmbed(clusters=12, own=1.0, probes=None)).fit(books)
    np.testing.assert_array_equal(ranked.recommend(Requests(histories), 20).items, expected)


def test_the_mixture_is_that_of_the_paper(books: Dataset, model: Plugged) -> None:
    """Counts of clusters of the user and of the K nearest users, computed the long way."""
    histories, p = books.histories("train"), plugin(model)
    users = unit(model.user_vectors(histories))
    exact = Neighbours.users(users, histories.to_csr(books.n_items), 5)
    labels, c = p.cells.labels, len(p.cells.centroids)
    mixture = np.stack([np.bincount(labels[np.unique(h)], minlength=c) / len(np.unique(h)) for h in histories])
    p.neighbours, kept = exact, p.neighbours
    weights = p.item_weights(histories, users)
    p.neighbours = kept
    for row in (0, 7, 100):
        near = np.argsort(-(users @ users[row]), kind="stable")[:5]
        expected = 0.75 * mixture[row] + 0.25 * mixture[near].mean(0)
        one = weights[row]
        np.testing.assert_allclose(np.bincount(labels[one.indices], one.data, c), expected, atol=1e-5)


def test_unsmoothed_only_clusters_of_the_past_are_asked_and_neighbours_add_others(books: Dataset) -> None:
    histories = books.histories("train").last(3)
    narrow, wide = (fit(books, clusters=12, smoothing=s, **WHOLE) for s in (0.0, 0.8))
    users = unit(narrow.user_vectors(histories))
    labels = plugin(narrow).cells.labels
    for row, history in enumerate(histories):
        past = set(labels[history])
        for whole, expected in ((narrow, len(past)), (wide, len(past) + 1)):
            one = plugin(whole).item_weights(histories, users)[row]
            clusters, mixture, queries = plugin(whole)._components(users[row], one.indices, one.data)
            assert mixture.sum() == pytest.approx(1, abs=1e-5) and len(queries) == len(clusters)
            assert len(clusters) == expected if whole is narrow else len(clusters) >= min(expected, 10)


def test_candidates_are_new_to_the_user_different_and_as_many_as_asked(books: Dataset) -> None:
    model = fit(books, clusters=12, probes=1, order="mixture")
    histories = books.histories("train")
    for n in (5, 60):
        found, scores = plugin(model).retrieve(Requests(histories), n)
        assert (np.diff(scores, axis=1)[found[:, 1:] >= 0] <= 1e-6).all()
        for row, history in zip(found, histories, strict=True):
            assert len(set(row)) == n and not set(row) & set(history)


def test_a_request_may_exclude_nothing_or_be_of_a_stranger(books: Dataset, model: Plugged) -> None:
    none = Requests(Ragged.from_lists([[3, 4], []]), exclude=Ragged.empty(2))
    found, _ = plugin(model).retrieve(none, 30)
    assert (found >= 0).all() and {3, 4} & set(found[0])
    everything = plugin(model).retrieve(Requests(Ragged.from_lists([[3, 4]])), 600)[0][0]
    assert set(everything[everything >= 0]) == set(range(books.n_items)) - {3, 4}


def test_round_robin_takes_the_best_of_every_interest_in_turn(books: Dataset) -> None:
    model = fit(books, clusters=12, probes=1, order="round-robin", own=0.0)
    histories = books.histories("train").take(slice(0, 20))
    users = unit(model.user_vectors(histories))
    weights = plugin(model).item_weights(histories, users)
    found, _ = plugin(model).retrieve(Requests(histories), 40)
    for row in range(20):
        clusters, mixture, _ = plugin(model)._components(users[row], weights[row].indices, weights[row].data)
        filled = (quotas(mixture, 40) > 0).sum()
        assert len(set(plugin(model).cells.labels[found[row, :filled]])) >= min(filled, 3)
        assert plugin(model).cells.labels[found[row, 0]] in clusters


def test_a_group_has_as_many_users_as_it_must_and_is_their_mean(books: Dataset) -> None:
    histories = books.histories("train")
    sets = histories.to_csr(books.n_items)
    vectors = IALS(**BASE).fit(books).user_vectors(histories)
    groups = Neighbours.groups(vectors, sets, KNNEmbedConfig(members=8, least=5))
    assert groups.sizes.min() >= 5 and groups.sizes.sum() == np.count_nonzero(histories.lengths)
    assert len(groups.sizes) < books.n_users / 5
    everybody = np.asarray(shares(sets).sum(0)).ravel()
    np.testing.assert_allclose(groups.sizes @ groups.tastes, everybody, rtol=1e-3, atol=1e-5)


def test_it_is_saved_and_lists_are_those_that_evaluation_sees(books: Dataset, model: Plugged, tmp_path: Path) -> None:
    model.save(tmp_path / "m")
    asked = Requests(books.histories("train"))
    expected = model.recommend(asked, 10).items
    np.testing.assert_array_equal(load_model(tmp_path / "m").recommend(asked, 10).items, expected)
    lists = rank_lists(model, asked.histories, books.histories("valid"), 10)
    np.testing.assert_array_equal(lists, expected)
