"""The grid search gives what a full ranking gives, point by point."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose

from honeyguide.core.dataset import Dataset
from honeyguide.core.ragged import Ragged
from honeyguide.metrics.holdout import holdout_ndcg
from honeyguide.models.linear import floor_search
from honeyguide.models.linear.cosine import cosine_neighbours
from honeyguide.models.linear.floor_search import search_grid
from honeyguide.models.linear.item_weights import ItemWeights
from honeyguide.models.linear.transitions import normalise, recent_events, transition_counts

DECAYS, MIXES = (0.6, 0.9), (1.0, 0.0)


@pytest.mark.parametrize("held_out", [("valid",), ("valid", "test")], ids=["one item", "two items"])
def test_every_point_equals_the_full_ranking(
    books: Dataset, held_out: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(floor_search, "_BLOCK", 1 << 18)
    monkeypatch.setattr(floor_search, "_PAIRS", 100)
    some = np.arange(0, books.n_users, 7)
    histories, truth = books.histories("train").take(some), books.histories(*held_out).take(some)
    truth = Ragged.from_lists([*[*truth][:-1], []])  # and somebody without truth
    counts = transition_counts(histories, books.n_items, 5)
    cosines = cosine_neighbours(histories.to_csr(books.n_items), 50)
    transitions = {name: normalise(counts, name) for name in ("raw", "row")}
    points = search_grid(transitions, cosines, histories, truth, DECAYS, MIXES)
    assert [(p["normalisation"], p["decay"], p["mix"]) for p in points] == [
        (name, decay, mix) for name in ("raw", "row") for decay in DECAYS for mix in MIXES
    ]
    for point in points:
        weights = ItemWeights((transitions[point["normalisation"]] + point["mix"] * cosines).astype(np.float32))
        ndcg = holdout_ndcg(
            lambda h, _, w=weights, d=point["decay"]: w.score(recent_events(h, books.n_items, d)), histories, truth
        )
        assert_allclose(point["ndcg@10"], ndcg.mean(), rtol=1e-3)  # sums of float32 in another order tie differently


def test_nobody_with_a_held_out_item(books: Dataset) -> None:
    histories = books.histories("train").take(slice(0, 5))
    counts = transition_counts(histories, books.n_items, 5)
    points = search_grid({"raw": counts}, counts, histories, Ragged.empty(5), (0.6,), (0.0,))
    assert points == [{"normalisation": "raw", "decay": 0.6, "mix": 0.0, "users": 0, "ndcg@10": 0.0}]


def test_where_there_are_too_many_a_seeded_sample_of_users_chooses(
    books: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    histories, truth = books.histories("train"), books.histories("valid")
    counts = transition_counts(histories, books.n_items, 1)
    everybody = search_grid({"raw": counts}, counts, histories, truth, (0.6,), (0.0,))[0]
    asked = np.flatnonzero(truth.lengths)
    assert everybody["users"] == len(asked) > 1000
    monkeypatch.setattr(floor_search, "SEARCHED", 1000 * books.n_items)
    some = search_grid({"raw": counts}, counts, histories, truth, (0.6,), (0.0,))[0]
    assert some["users"] == 1000
    chosen = floor_search.sampled(asked, books.n_items)
    ndcg = holdout_ndcg(
        lambda h, _: ItemWeights(counts).score(recent_events(h, books.n_items, 0.6)),
        histories.take(chosen),
        truth.take(chosen),
    )
    assert_allclose(some["ndcg@10"], ndcg.mean(), rtol=1e-3)
    assert some["ndcg@10"] != everybody["ndcg@10"]
