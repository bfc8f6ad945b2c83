"""What every recommender promises about the scores and lists it returns."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from honeyguide.core import recommender
from honeyguide.core.dataset import Dataset
from honeyguide.core.ragged import Ragged
from honeyguide.core.recommender import Recommender
from honeyguide.core.requests import Requests
from honeyguide.core.topk import exclude_in_place, top_k


def close(actual: np.ndarray, expected: np.ndarray) -> None:
    """Equal up to the rounding of float32 sums taken in another order."""
    assert_allclose(actual, expected, rtol=1e-5, atol=1e-5 * max(1.0, np.abs(expected).max()))


def test_scores_are_finite_float32_for_every_item(model: Recommender, asked: Requests, small: Dataset) -> None:
    scores = model.score(asked)
    assert scores.shape == (small.n_users, small.n_items)
    assert scores.dtype == np.float32
    assert np.isfinite(scores).all()


def test_lists_are_the_best_allowed_items_with_ties_by_code(model: Recommender, asked: Requests) -> None:
    found = model.recommend(asked, k=20)
    scores = model.score(asked)
    exclude_in_place(scores, asked.histories)
    items, values = top_k(scores, 20)
    assert_array_equal(found.items, items)
    close(found.scores, values)
    assert found.items.dtype == np.int32
    assert found.scores.dtype == np.float32
    assert found.item_ids is model.item_ids


def test_nothing_excluded_is_returned_and_nothing_twice(model: Recommender, asked: Requests) -> None:
    for history, items in zip(asked.histories, model.recommend(asked, k=30).items, strict=True):
        assert not set(items) & set(history)
        assert len(set(items)) == 30


def test_what_was_seen_may_be_returned_on_request(model: Recommender, asked: Requests, small: Dataset) -> None:
    kept = Requests(asked.histories, asked.users, exclude=Ragged.empty(len(asked)))
    found = model.recommend(kept, k=small.n_items)
    assert_array_equal(np.sort(found.items, axis=1), np.tile(np.arange(small.n_items), (len(asked), 1)))


def test_lists_longer_than_the_catalogue_are_padded(model: Recommender, asked: Requests, small: Dataset) -> None:
    k = small.n_items + 5
    few = asked.take(slice(0, 20))
    found = model.recommend(few, k=k)
    assert found.items.shape == found.scores.shape == (20, k)
    for history, items, scores in zip(few.histories, found.items, found.scores, strict=True):
        n_left = small.n_items - len(set(history))
        assert (items[:n_left] >= 0).all()
        assert (items[n_left:] == -1).all()
        assert np.isneginf(scores[n_left:]).all()


def test_only_candidates_are_returned(model: Recommender, asked: Requests) -> None:
    few = asked.take(slice(0, 3))
    candidates = Ragged.from_lists([[1, 5, 9, 200], [], [7]])
    found = model.recommend(
        Requests(few.histories, few.users, exclude=Ragged.empty(3), candidates=candidates), k=5
    ).items
    assert sorted(found[0]) == [-1, 1, 5, 9, 200]
    assert (found[1] == -1).all()
    assert sorted(found[2]) == [-1, -1, -1, -1, 7]


def test_an_empty_history_gets_a_full_list(model: Recommender) -> None:
    found = model.recommend(Requests(Ragged.empty(2)), k=10)
    assert (found.items >= 0).all()
    assert np.isfinite(found.scores).all()
    assert_array_equal(found.items[0], found.items[1])


def test_no_requests_get_no_lists(model: Recommender) -> None:
    assert model.recommend(Requests(Ragged.empty(0)), k=10).items.shape == (0, 10)


def test_unknown_items_of_a_history_are_skipped(model: Recommender, asked: Requests) -> None:
    history = asked.histories[0]
    with_gaps = np.concatenate([[-1], np.insert(history, len(history) // 2, -1), [-1, -1]]).astype(np.int32)
    known, gaps = (model.score_histories(Ragged.from_lists([h])) for h in (history, with_gaps))
    close(gaps, known)
    empty, unknown = (model.score_histories(Ragged.from_lists([h])) for h in ([], [-1, -1, -1]))
    close(unknown, empty)


def test_a_list_depends_on_the_history_and_not_on_who_asks(model: Recommender, asked: Requests) -> None:
    some = asked.take(slice(0, 40))
    strangers = np.full(40, -1, np.int32)
    known = model.recommend(some).items
    assert_array_equal(model.recommend(Requests(some.histories, strangers)).items, known)
    assert_array_equal(model.recommend(Requests(some.histories)).items, known)
    swapped = np.ascontiguousarray(some.users[::-1])
    assert_array_equal(model.recommend(Requests(some.histories, swapped)).items, known)


def test_a_score_does_not_depend_on_the_rest_of_the_batch(model: Recommender, asked: Requests) -> None:
    together = model.score(asked)
    for row in (0, 17, len(asked) - 1):
        close(model.score(asked.take(slice(row, row + 1)))[0], together[row])
    order = np.random.default_rng(0).permutation(len(asked))
    close(model.score(Requests(asked.histories.take(order))), together[order])
    lengths = np.argsort(asked.histories.lengths)  # the shortest history among the longest
    mixed = np.concatenate([lengths[:1], lengths[-3:]])
    close(model.score(Requests(asked.histories.take(mixed))), together[mixed])


def test_long_histories_are_served(model: Recommender, small: Dataset) -> None:
    draw = np.random.default_rng(0)
    long = Ragged.from_lists([draw.integers(0, small.n_items, 3_000).astype(np.int32), [1, 2]])
    scores = model.score_histories(long)
    assert np.isfinite(scores).all()
    close(scores[1], model.score_histories(Ragged.from_lists([[1, 2]]))[0])


def test_scores_are_the_callers_to_change(model: Recommender, asked: Requests) -> None:
    histories, users = asked.histories.values.copy(), asked.users.copy()
    first = model.score_histories(asked.histories, asked.users)
    expected = first.copy()
    first[:] = 0
    assert_array_equal(model.score_histories(asked.histories, asked.users), expected)
    assert_array_equal(asked.histories.values, histories)
    assert_array_equal(asked.users, users)


def test_contributions_are_one_finite_number_per_event(model: Recommender, asked: Requests) -> None:
    history = asked.histories[3]
    item = int(model.recommend(asked.take(slice(3, 4)), k=1).items[0, 0])
    terms = model.contributions(history, item)
    assert terms.shape == (len(history),)
    assert terms.dtype == np.float32
    assert np.isfinite(terms).all()
    assert model.contributions(history[:0], item).shape == (0,)


def test_exact_contributions_sum_to_what_the_history_adds(model: Recommender, asked: Requests) -> None:
    if type(model).contributions is Recommender.contributions:
        pytest.skip(f"{model.name} leaves events out instead")
    for row in (3, 50):
        history = asked.histories[row]
        with_history, without = model.score_histories(Ragged.from_lists([history, []]))
        for item in model.recommend(asked.take(slice(row, row + 1)), k=5).items[0]:
            close(model.contributions(history, int(item)).sum(), with_history[item] - without[item])


def test_similar_items_exclude_the_item_itself(model: Recommender) -> None:
    if "similar" not in model.capabilities:
        pytest.skip(f"{model.name} does not declare 'similar'")
    items = np.array([0, 5, 250], np.int32)
    found = model.similar(items, k=7)
    assert found.items.shape == found.scores.shape == (3, 7)
    assert (found.items != items[:, None]).all()
    shown = found.items >= 0
    assert np.isfinite(found.scores[shown]).all()
    assert (np.diff(np.where(shown, found.scores, -np.inf), axis=1)[shown[:, 1:]] <= 0).all()
    assert shown.any(axis=1).all()


@pytest.mark.parametrize("seen", [False, True])
def test_lists_over_a_large_catalogue_are_those_over_a_small_one(
    model: Recommender, asked: Requests, monkeypatch: pytest.MonkeyPatch, seen: bool
) -> None:
    histories = asked.histories.concat_rows(Ragged.from_lists([[], [-1], [3, 3, -1, 5]]))
    requests = Requests(histories, exclude=Ragged.empty(len(histories)) if seen else None)
    scored = model.recommend(requests, 20)
    monkeypatch.setattr(recommender, "LARGE_CATALOGUE", 0)  # from here on not every item need be scored
    monkeypatch.setattr(recommender, "RANK_BLOCK", 100)
    ranked = model.recommend(requests, 20)
    np.testing.assert_allclose(ranked.scores, scored.scores, rtol=2e-5, atol=1e-6)
    same = ranked.items == scored.items
    assert same.mean() > 0.99  # but for items of equal score up to rounding
    gap = np.abs(np.diff(scored.scores, axis=1, append=-np.inf))
    before = np.concatenate([np.full((len(gap), 1), np.inf, np.float32), gap[:, :-1]], axis=1)
    assert (np.minimum(gap, before)[~same] <= 1e-4).all()
