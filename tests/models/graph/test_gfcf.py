"""GF-CF against its equation on dense arrays, on the bundled books and on Gowalla."""

from __future__ import annotations

import copy
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose, assert_array_equal

from honeyguide.core.dataset import Dataset
from honeyguide.core.ragged import Ragged
from honeyguide.data.load import load_data
from honeyguide.metrics.holdout import holdout_ndcg, rank_catalogue
from honeyguide.models.graph.gfcf import GFCF, right_singular_vectors
from honeyguide.models.popularity import Popularity


@pytest.fixture(scope="module")
def books() -> Dataset:
    return load_data("goodbooks-mini")


@pytest.fixture(scope="module")
def model(books: Dataset) -> GFCF:
    return GFCF(factors=64).fit(books)


def test_scores_equal_the_equation(model: GFCF, books: Dataset) -> None:
    r = books.matrix("train").toarray().astype(np.float64)
    users, items = (np.maximum(r.sum(axis=axis), 1) for axis in (1, 0))
    normalised = r / np.sqrt(users)[:, None] / np.sqrt(items)
    v = np.linalg.eigh(normalised.T @ normalised)[1][:, -64:]
    low_pass = np.sqrt(items)[None, :] * (v @ v.T) / np.sqrt(items)[:, None]
    expected = r[:100] @ (normalised.T @ normalised + 0.3 * low_pass)
    found = model.score_histories(books.histories("train").take(slice(0, 100)))
    assert_allclose(found, expected, rtol=1e-3, atol=1e-4)


def test_degrees_enter_by_their_exponents(books: Dataset) -> None:
    model = GFCF(factors=64, candidate_exponent=0.25, history_exponent=0.6, user_exponent=0.5).fit(books)
    r = books.matrix("train").toarray().astype(np.float64)
    users, items = (np.maximum(r.sum(axis=axis), 1) for axis in (1, 0))
    linear = (r / users[:, None] ** 0.5).T @ r / items[:, None] ** 0.6 / items**0.25
    normalised = r / np.sqrt(users)[:, None] / np.sqrt(items)
    v = np.linalg.eigh(normalised.T @ normalised)[1][:, -64:]
    low_pass = np.sqrt(items)[None, :] * (v @ v.T) / np.sqrt(items)[:, None]
    largest = np.abs(np.linalg.eigvals(linear)).max()
    found = model.score_histories(books.histories("train").take(slice(0, 100)))
    assert_allclose(found, r[:100] @ (linear + 0.3 * largest * low_pass), rtol=1e-3, atol=1e-4)


def test_a_filter_without_a_pair_of_users(books: Dataset) -> None:
    frame = pl.DataFrame({"user": [0, 1], "item": [0, 1]}, schema={"user": pl.Int32, "item": pl.Int32})
    alone = replace(books.select("train"), interactions=frame)
    scores = GFCF(factors=8, candidate_exponent=0.0).fit(alone).score_histories(Ragged.from_lists([[0]]))
    assert np.isfinite(scores).all() and scores[0].argmax() == 0


def test_singular_vectors_span_the_leading_space() -> None:
    rng = np.random.default_rng(0)
    a = rng.standard_normal((300, 40)) * 0.9 ** np.arange(40) @ np.linalg.qr(rng.standard_normal((200, 40)))[0].T
    exact = np.linalg.svd(a, full_matrices=False)[2][:10].T
    found, squares = right_singular_vectors(sp.csr_matrix(a.astype(np.float32)), 10, seed=0)
    assert_allclose(squares, np.linalg.svd(a, compute_uv=False)[:10] ** 2, rtol=1e-3)
    assert_allclose(found @ found.T, exact @ exact.T, atol=1e-3)
    assert_allclose(found.T @ found, np.eye(10), atol=1e-5)


def test_a_catalogue_smaller_than_the_factors(books: Dataset) -> None:
    found, squares = right_singular_vectors(sp.csr_matrix(np.eye(3, 5, dtype=np.float32)), 256, seed=0)
    assert found.shape == (5, 3)
    assert_allclose(squares, np.ones(3))


EXPONENTS = [{}, {"candidate_exponent": 0.0, "history_exponent": 0.75, "user_exponent": 0.5}]


@pytest.mark.parametrize("exponents", EXPONENTS, ids=["gfcf", "linkprop"])
def test_an_update_moves_both_filters_to_those_of_a_fit(books: Dataset, exponents: dict[str, float]) -> None:
    late = books.select("train")
    after = late.histories()
    n_old = len(after) - 6
    earlier = [row[:-2] if n < 12 else row for n, row in enumerate(after)][:n_old]
    before = Ragged.from_lists(earlier).concat_rows(Ragged.empty(6))
    frame = pl.DataFrame({"user": before.rows.astype(np.int32), "item": before.values})
    stale = GFCF(factors=32, **exponents).fit(replace(late, interactions=frame))
    changed = np.flatnonzero(before.differ(after))
    updated = copy.deepcopy(stale).update(before.take(changed), after.take(changed))
    again = GFCF(factors=32, **exponents).fit(late)
    assert_allclose(dense(updated.linear.matrix), dense(again.linear.matrix), rtol=2e-5, atol=2e-6)
    assert_allclose(updated.degrees, again.degrees, rtol=1e-6)
    assert_allclose(updated.vectors.T @ updated.vectors, np.eye(32), atol=1e-4)
    goal = again.vectors @ again.vectors.T
    apart = [np.linalg.norm(model.vectors @ model.vectors.T - goal) for model in (updated, stale)]
    assert apart[0] < 0.8 * apart[1]


def dense(matrix: Any) -> np.ndarray:
    return matrix.toarray() if sp.issparse(matrix) else matrix


def test_beats_popularity_threefold(model: GFCF, books: Dataset) -> None:
    histories, truth = books.histories("train", "valid"), books.histories("test")
    ours, popular = (holdout_ndcg(m.score_histories, histories, truth).mean() for m in (model, Popularity().fit(books)))
    assert ours >= max(0.034, 3 * popular)


def test_contributions_sum_to_the_score(model: GFCF, books: Dataset) -> None:
    history = np.append(books.histories("train")[7][:30], [-1, books.histories("train")[7][0]]).astype(np.int32)
    scores = model.score_histories(Ragged.from_lists([history]))[0]
    for item in (0, 17, int(scores.argmax())):
        assert_allclose(model.contributions(history, item).sum(), scores[item], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("options", [{}, {"candidate_exponent": 0.0}], ids=["gfcf", "linkprop"])
def test_saved_and_loaded_it_scores_the_same(books: Dataset, tmp_path: Path, options: dict[str, float]) -> None:
    model = GFCF(factors=16, **options).fit(books)
    model.save(tmp_path)
    histories = books.histories("train").take(slice(0, 50))
    assert_array_equal(GFCF.load(tmp_path).score_histories(histories), model.score_histories(histories))


@pytest.mark.full
def test_published_figures_on_gowalla() -> None:
    if "HONEYGUIDE_DATA" not in os.environ:
        pytest.skip("HONEYGUIDE_DATA does not name a folder with the measuring data")
    data = load_data("gowalla-lightgcn")
    model = GFCF().fit(data)
    histories, truth = data.histories("train"), data.histories("test")
    lists = rank_catalogue(model.score_histories, histories, truth, 20)
    hits = np.array([np.isin(own, found).sum() for own, found in zip(truth, lists, strict=True)])
    assert abs((hits / np.maximum(truth.lengths, 1)).mean() - 0.1849) <= 0.001
    assert abs(holdout_ndcg(model.score_histories, histories, truth, 20).mean() - 0.1518) <= 0.001


@pytest.mark.full
def test_popular_items_are_not_held_back_on_sparse_data() -> None:
    if "HONEYGUIDE_DATA" not in os.environ:
        pytest.skip("HONEYGUIDE_DATA does not name a folder with the measuring data")
    data = load_data("yelp-lightgnn")
    histories, truth = data.histories("train", "valid"), data.histories("test")
    asked = np.flatnonzero(truth.lengths)[::8]
    histories, truth = histories.take(asked), truth.take(asked)
    ours, paper = (
        holdout_ndcg(GFCF(factors=64, **options).fit(data).score_histories, histories, truth, 20).mean()
        for options in ({"candidate_exponent": 0.0}, {})
    )
    assert ours >= max(0.028, 1.8 * paper)
