"""The map for cold items: that it is what it says for linear models, its calibration, and what it reaches."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from honeyguide.core.dataset import Dataset
from honeyguide.core.errors import ConfigError
from honeyguide.core.ragged import FloatArray, IntArray, Ragged
from honeyguide.data.splits import cold_and_warm
from honeyguide.experiment.cell import measure
from honeyguide.metrics.holdout import holdout_ndcg
from honeyguide.models.content.calibration import _beyond_noise, kth_best, merged
from honeyguide.models.content.cold_map import ColdMap, text_neighbours
from honeyguide.models.content.text_profile import TextProfile
from honeyguide.models.linear.ease import EASE
from honeyguide.models.linear.ials import IALS


@pytest.fixture(scope="module")
def split(books: Dataset) -> Dataset:
    return cold_and_warm(books, valid=0.05, test=0.15)


@pytest.fixture(scope="module")
def fitted(split: Dataset) -> ColdMap:
    return ColdMap(encoder="use").fit(split)


def test_neighbours_by_hand() -> None:
    known = np.array([[1, 0], [0.6, 0.8], [0, 1], [-1, 0]], np.float32)
    found = text_neighbours(np.array([[1, 0], [0, 0]], np.float32), known, k=2, sharpness=2.0).toarray()
    assert_allclose(found, [[1 / 1.36, 0.36 / 1.36, 0, 0], [0, 0, 0, 0]], rtol=1e-6)


def test_mapped_vectors_weights_and_scores_are_one_thing(split: Dataset) -> None:
    text = TextProfile(encoder="use").fit(split).vectors
    cold = split.popularity("train") == 0
    known = np.where(cold[:, None], np.float32(0), text)
    a = text_neighbours(text[cold], known, 10, 4.0)
    histories = split.histories("train").take(slice(0, 20))
    factors = IALS(factors=16).fit(split)
    vectors = a @ factors.item_vectors()  # [n_cold, factors]
    assert_allclose(
        factors.user_vectors(histories) @ vectors.T, factors.score_histories(histories) @ a.T, rtol=1e-3, atol=1e-5
    )
    weights = EASE().fit(split)
    events = histories.to_csr(split.n_items)
    events.data[:] = 1
    assert_allclose(
        events @ (weights.weights.matrix @ a.T), weights.score_histories(histories) @ a.T, atol=1e-4, rtol=1e-4
    )


@pytest.mark.parametrize("level", [0.0, 0.5])
def test_the_score_is_the_formula(fitted: ColdMap, split: Dataset, level: float) -> None:
    model = copy.copy(fitted)
    model.companion, model.units = IALS(factors=16).fit(split), (fitted.units[0], 0.7)
    model.weights = w = replace(fitted.weights, warm_text=2.0, cold_mapped=0.4, cold_companion=0.3, level=level)
    histories = split.histories("train").take(slice(0, 5))

    def f(scores: FloatArray, unit: float) -> FloatArray:
        return np.log(np.maximum(scores, 0) / unit + 0.02)

    both = [(model.base, model.units[0]), (model.companion, model.units[1])]
    (f_base, m_base), (f_beside, m_beside) = (
        (f(raw, unit), f(raw @ model.neighbours.T, unit))
        for raw, unit in ((part.score_histories(histories), unit) for part, unit in both)
    )
    expected = f_base + 2.0 * model._profiles(histories, model.config.decay) @ model.vectors.T
    cosine = model._profiles(histories, w.cold_decay) @ model.vectors[model.cold].T
    cold = 0.4 * m_base + 0.3 * m_beside + w.cold_text * cosine + w.offset
    for row, history in enumerate(histories):
        unseen = np.setdiff1d(np.flatnonzero(~model.cold), history)
        own, base, beside = (np.sort(values[row, unseen])[-10] for values in (expected, f_base, f_beside))
        cold[row] += level * (own - 0.4 * base - 0.3 * beside)
    expected[:, model.cold] = cold
    assert_allclose(model.score_histories(histories), expected, rtol=1e-4, atol=1e-4)


def test_the_tenth_best_of_few() -> None:
    scores = np.array([[3.0, 1.0, 2.0, 9.0], [5.0, 6.0, 7.0, 8.0]], np.float32)
    hidden = np.array([False, False, False, True])
    found = kth_best(scores, hidden, Ragged.from_lists([[1], [0, 1, 2]]))
    assert_array_equal(found, [[2.0], [0.0]])


def test_a_companion_is_kept_where_it_ranks_cold_items_better_beyond_noise(split: Dataset) -> None:
    """What shuffles the items is not."""

    class Shuffled(IALS):
        def score_histories(self, histories: Ragged, users: IntArray | None = None) -> FloatArray:
            return super().score_histories(histories)[:, np.random.default_rng(0).permutation(split.n_items)]

    useless, good = Shuffled(factors=16).fit(split), EASE().fit(split)
    assert ColdMap.over(good, split, [useless], encoder="use").companion is None
    wide = cold_and_warm(split, valid=0.3, test=0.2)  # by many items, so that it is certain
    useless, good = Shuffled(factors=16).fit(wide), EASE().fit(wide)
    model = ColdMap.over(useless, wide, [good], encoder="use")
    assert model.companion is good
    alone = ColdMap.over(useless, wide, [], encoder="use")
    found, without = (measure(m, wide, 10).slices["items:cold"]["ndcg@10"] for m in (model, alone))
    assert found > without, (found, without)


def test_cold_items_are_found_and_warm_ones_keep_what_they_had(fitted: ColdMap, split: Dataset) -> None:
    tuned = [
        point for point in fitted.report.search if point.get("level") == fitted.weights.level and "offset" in point
    ]
    chosen = next(point for point in tuned if point["offset"] == fitted.weights.offset)
    assert sum(point["kept"] for point in tuned) >= 5, "the search is fine where little is lost"
    without = next(point for point in fitted.report.search if point.get("warm_text") == 0.0)
    assert chosen["kept"]
    assert chosen["warm ndcg@10"] >= 0.99 * without["warm ndcg@10"]
    found, alone = measure(fitted, split, 10).slices, measure(fitted.base, split, 10).slices
    assert alone["items:cold"]["ndcg@10"] == 0
    assert found["items:cold"]["ndcg@10"] > 0.004, found["items:cold"]
    assert found["items:warm"]["ndcg@10"] >= 0.9 * alone["items:warm"]["ndcg@10"], (found, alone)


def test_no_tolerance_is_exceeded_and_a_larger_one_buys_cold_accuracy(split: Dataset, fitted: ColdMap) -> None:
    generous = ColdMap(encoder="use", tolerance=0.3).fit(split)
    assert generous.weights.offset >= fitted.weights.offset
    assert (
        measure(generous, split, 10).slices["items:cold"]["recall@10"]
        >= (measure(fitted, split, 10).slices["items:cold"]["recall@10"])
    )


def test_the_price_counts_every_item_without_events(books: Dataset) -> None:
    """Most of a catalogue may have no events, where few warm items stand for the cold ones."""
    known = np.argsort(-books.popularity(), kind="stable")[:150].tolist()
    few = replace(books, interactions=books.interactions.filter(pl.col("item").is_in(known)))
    model = ColdMap(encoder="use", base="ease").fit(few)
    assert model.cold.sum() == 250
    asked, truth = few.histories("train"), few.histories("valid")
    served = holdout_ndcg(model.score_histories, asked, truth).mean()
    model.weights = replace(model.weights, offset=-99.0)  # without a place for them
    assert served >= 0.98 * holdout_ndcg(model.score_histories, asked, truth).mean()


def test_text_within_noise_is_left_out() -> None:
    rng = np.random.default_rng(0)
    none = rng.random(400)
    assert _beyond_noise({0.0: none, 1.0: none + 0.001 * rng.standard_normal(400)}) == 0.0
    assert _beyond_noise({0.0: none, 1.0: none + 0.05, 2.0: none + 0.02}) == 1.0
    assert _beyond_noise({0.0: none[:0], 1.0: none[:0]}) == 0.0


def test_lists_are_merged_by_score() -> None:
    first = (np.array([[3, 1]], np.int32), np.array([[5.0, 2.0]], np.float32))
    second = (np.array([[7, -1]], np.int32), np.array([[4.0, -np.inf]], np.float32))
    assert_array_equal(merged([first, second])[0, :4], [3, 7, 1, -1])


def test_it_maps_what_a_network_learnt_too(split: Dataset) -> None:
    pytest.importorskip("torch")
    options = {"dim": 16, "blocks": 1, "heads": 1, "max_len": 50, "epochs": 2, "batch_tokens": 512}
    model = ColdMap(encoder="use", base="sasrec", options=options).fit(split)
    assert model.units[0] == 0
    assert np.isfinite(model.score_histories(Ragged.from_lists([[1, 2], []]))).all()


def test_it_cannot_stand_on_itself(books: Dataset) -> None:
    with pytest.raises(ConfigError, match="its own base"):
        ColdMap(base="cold-map").fit(books)


def test_new_items_in_a_history_are_read_by_their_text(fitted: ColdMap, books: Dataset) -> None:
    row = books.items[7].select("item_id", "title", "authors").with_columns(item_id=pl.lit(10**9))
    grown = fitted.add_items(row)
    profiles = grown._profiles(Ragged.from_lists([[len(books.item_ids)], []]), 0.7)
    assert_allclose(profiles @ grown.vectors[7], [1, 0], atol=1e-4)
