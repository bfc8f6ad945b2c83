"""iALS: folding in against the textbook equation, and on the bundled books."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from honeyguide.core import artifact
from honeyguide.core.dataset import Dataset
from honeyguide.core.errors import ConfigError
from honeyguide.core.ragged import Ragged
from honeyguide.core.requests import Requests
from honeyguide.data.load import load_data
from honeyguide.metrics.holdout import rank_catalogue
from honeyguide.models.linear.ials import IALS
from honeyguide.models.popularity import Popularity


@pytest.fixture(scope="module")
def model(books: Dataset) -> IALS:
    return IALS(factors=32).fit(books)


def textbook_scores(model: IALS, history: np.ndarray) -> np.ndarray:
    """``Y (Y'Y + lambda I + sum (alpha - 1) y y')^-1 sum alpha y`` in float64."""
    y = model.item_factors.astype(np.float64)
    own = y[np.unique(history[history >= 0])]
    c = model.config
    a = y.T @ y + c.regularization * np.eye(c.factors) + (c.alpha - 1) * own.T @ own
    return y @ np.linalg.solve(a, c.alpha * own.sum(axis=0))


@pytest.mark.parametrize("length", [0, 1, 31, 32, 33, 700])  # shorter and longer than the vectors
def test_folding_in_solves_the_equation(model: IALS, books: Dataset, length: int) -> None:
    history = np.random.default_rng(length).choice(books.n_items, length, replace=False).astype(np.int32)
    scores = model.score_histories(Ragged.from_lists([history, [3, 4]]))
    assert_allclose(scores[0], textbook_scores(model, history), atol=2e-5)
    assert_allclose(scores[1], textbook_scores(model, np.array([3, 4])), atol=2e-5)


def test_repeated_and_unknown_items_change_nothing(model: IALS) -> None:
    plain, odd = model.score_histories(Ragged.from_lists([[5, 9, 70], [-1, 70, 9, 5, 5, -1, 9]]))
    assert_array_equal(plain, odd)


def test_the_fit_finds_factors_of_a_smaller_loss_with_every_pass(books: Dataset) -> None:
    r = books.matrix("train").toarray()

    def loss(model: IALS) -> float:
        x = np.linalg.lstsq(model.item_vectors(), model.item_factors, rcond=None)[0]  # back to the coordinates of Y
        users = model.user_vectors(books.histories("train")) @ np.linalg.inv(x).T
        y = model.item_factors
        weights = 1 + (model.config.alpha - 1) * r
        squares = (users**2).sum() + (y**2).sum()
        return float((weights * (r - users @ y.T) ** 2).sum() + model.config.regularization * squares)

    losses = [loss(IALS(factors=8, iterations=n).fit(books)) for n in (1, 3, 10)]
    assert losses[0] > losses[1] > losses[2]


def test_beats_popularity_twofold(model: IALS, books: Dataset, ndcg) -> None:
    assert ndcg(model, books) >= max(0.022, 1.9 * ndcg(Popularity().fit(books), books))


def test_contributions_sum_to_the_score(model: IALS, books: Dataset) -> None:
    for history in (books.histories("train")[7][:20], books.histories("train")[7][:60]):
        odd = np.concatenate([history, [-1, history[0]]]).astype(np.int32)
        scores = model.score_histories(Ragged.from_lists([odd]))[0]
        for item in (0, 17, int(scores.argmax())):
            assert_allclose(model.contributions(odd, item).sum(), scores[item], rtol=1e-4, atol=1e-5)
    assert_array_equal(model.contributions(np.array([-1, -1], np.int32), 3), [0, 0])


def test_remembered_vectors_are_those_folded_in(model: IALS, books: Dataset) -> None:
    histories = books.histories("train")
    fresh = IALS(model.config)
    fresh._serve(model.item_factors)
    assert fresh._folded is None
    assert_array_equal(fresh.user_vectors(histories), model.user_vectors(histories))
    changed = Ragged.from_lists([np.append(history[1:], 0) for history in histories])
    assert_array_equal(fresh.user_vectors(changed), model.user_vectors(changed))


def test_an_artifact_holds_item_factors_and_nothing_of_users(model: IALS, books: Dataset, tmp_path: Path) -> None:
    model.save(tmp_path)
    arrays = artifact.read(tmp_path, "model").arrays
    sums = {"statistics.gram": (32, 32), "statistics.square": (32, 32), "statistics.takers": (books.n_items,)}
    assert set(arrays) == {"item_factors", *sums}
    assert {name: arrays[name].shape for name in sums} == sums, "sums over all users"
    again = IALS.load(tmp_path)
    requests = Requests(books.histories("train"))
    found, expected = again.recommend(requests), model.recommend(requests)
    assert_array_equal(found.items, expected.items)
    assert_array_equal(found.scores, expected.scores)


def test_options_that_make_no_sense_are_refused() -> None:
    for wrong in ({"alpha": 0.5}, {"regularization": 0}, {"factors": 0}, {"iterations": 0}):
        with pytest.raises(ConfigError, match=next(iter(wrong))):
            IALS(**wrong)


@pytest.mark.full
def test_bar_on_sparse_yelp() -> None:
    if "HONEYGUIDE_DATA" not in os.environ:
        pytest.skip("HONEYGUIDE_DATA does not name a folder with the measuring data")
    data = load_data("yelp-lightgnn")
    model = IALS().fit(data)
    truth = data.histories("test")
    asked = np.flatnonzero(truth.lengths)
    histories, truth = data.histories("train", "valid").take(asked), truth.take(asked)
    lists = rank_catalogue(model.score_histories, histories, truth, 20)
    hits = np.array([np.isin(own, found).sum() for own, found in zip(truth, lists, strict=True)])
    assert (hits / truth.lengths).mean() >= 0.080
