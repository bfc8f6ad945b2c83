"""EASE against its closed form in float64, and on the bundled books."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from honeyguide.core.dataset import Dataset
from honeyguide.core.errors import ConfigError, MemoryLimitError
from honeyguide.core.fitting import FitOptions
from honeyguide.core.ragged import Ragged
from honeyguide.models.linear.ease import EASE, invert_in_place
from honeyguide.models.popularity import Popularity


@pytest.fixture(scope="module")
def model(books: Dataset) -> EASE:
    return EASE().fit(books)


def test_weights_equal_the_closed_form(model: EASE, books: Dataset) -> None:
    x = books.matrix("train").toarray().astype(np.float64)
    inverse = np.linalg.inv(x.T @ x + 500.0 * np.eye(books.n_items))
    expected = -inverse / np.diagonal(inverse)
    np.fill_diagonal(expected, 0.0)
    assert_allclose(model.weights.matrix, expected, atol=2e-6)


def test_beats_popularity_threefold(model: EASE, books: Dataset, ndcg) -> None:
    assert ndcg(model, books) >= max(0.038, 3 * ndcg(Popularity().fit(books), books))


def test_contributions_sum_to_the_score(model: EASE, books: Dataset) -> None:
    history = np.append(books.histories("train")[7][:30], [-1, books.histories("train")[7][0]]).astype(np.int32)
    scores = model.score_histories(Ragged.from_lists([history]))[0]
    for item in (0, 17, int(scores.argmax())):
        assert_allclose(model.contributions(history, item).sum(), scores[item], rtol=1e-4, atol=1e-6)


def test_saved_and_loaded_it_scores_the_same(model: EASE, books: Dataset, tmp_path: Path) -> None:
    model.save(tmp_path)
    histories = books.histories("train").take(slice(0, 50))
    assert_array_equal(EASE.load(tmp_path).score_histories(histories), model.score_histories(histories))


@pytest.mark.parametrize("n", [1, 7, 1500])  # 1,500: more than one block of the mirror
def test_inversion(n: int) -> None:
    a = np.random.default_rng(0).standard_normal((n, n)).astype(np.float32)
    gram = np.asfortranarray(a @ a.T)
    found = invert_in_place(gram.copy(order="F"), float(n))
    assert_allclose(found @ (gram + n * np.eye(n)), np.eye(n), atol=1e-3)
    assert_array_equal(found, found.T)
    assert found.flags.c_contiguous


def test_a_matrix_that_cannot_be_factored_is_refused() -> None:
    with pytest.raises(ConfigError, match="regularization"):
        invert_in_place(np.asfortranarray(-np.eye(3, dtype=np.float32)), 1e-3)


def test_the_dense_matrix_is_part_of_the_estimate(books: Dataset) -> None:
    assert EASE().estimate(books).memory_bytes > 8 * books.n_items**2
    with pytest.raises(MemoryLimitError, match="ease needs"):
        EASE().fit(books, FitOptions(memory_limit=8 * books.n_items**2))
