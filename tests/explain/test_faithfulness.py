from __future__ import annotations

import math

from honeyguide.core.dataset import Dataset
from honeyguide.core.ragged import Ragged
from honeyguide.explain.faithfulness import faithfulness
from honeyguide.models.linear.ease import EASE
from honeyguide.models.linear.floor import Floor
from honeyguide.models.popularity import Popularity


def test_named_evidence_matters_and_random_evidence_hardly(books: Dataset) -> None:
    model = Floor().fit(books)
    found = faithfulness(model, books.histories("train", "valid"), n_users=60)
    assert found.n >= 55
    assert found.share > 0.95
    assert found.drop > 3 * found.random_drop
    assert found.share > found.random_share
    assert f"Explanations of {found.n} lists checked" in str(found)


def test_a_model_with_exact_terms_is_always_faithful(books: Dataset) -> None:
    found = faithfulness(EASE().fit(books), books.histories("train", "valid"), n_users=40)
    assert found.share == 1.0
    assert found.drop > found.random_drop


def test_popularity_explains_nothing(books: Dataset) -> None:
    found = faithfulness(Popularity().fit(books), books.histories("train"), n_users=10)
    assert (found.n, found.n_unexplained) == (0, 10)
    assert math.isnan(found.share)
    assert "no evidence" in str(found)


def test_it_is_seeded(books: Dataset) -> None:
    model, histories = EASE().fit(books), books.histories("train")
    assert faithfulness(model, histories, n_users=9, seed=4) == faithfulness(model, histories, n_users=9, seed=4)


def test_users_with_hardly_any_history_are_left_out(books: Dataset) -> None:
    model = EASE().fit(books)
    found = faithfulness(model, Ragged.from_lists([[1, 2], [3], [1, 2, 3, 4, 5, 6]]), n_users=9)
    assert found.n + found.n_unexplained == 1
