from __future__ import annotations

from importlib.util import find_spec

import numpy as np
import pytest

from honeyguide.core.dataset import Dataset
from honeyguide.models.linear.ials import IALS
from honeyguide.pipeline.asked import Allowed, Asked
from honeyguide.pipeline.config import PipelineConfig, Rule
from honeyguide.pipeline.near import MEASURED_AT, RECALL, Near, augmented
from honeyguide.pipeline.pipeline import Pipeline
from honeyguide.pipeline.stock import Stock

KINDS = ["cells", *(["ivf", "hnsw"] if find_spec("faiss") is not None else [])]
NOTHING = np.empty(0, np.int32)


@pytest.fixture(scope="module")
def vectors() -> np.ndarray:
    """Forty directions with noise, of very different lengths: as factors of items are."""
    rng = np.random.default_rng(0)
    spread = rng.normal(size=(40, 16))[rng.integers(0, 40, 6000)] + 0.3 * rng.normal(size=(6000, 16))
    return (spread * rng.lognormal(sigma=0.7, size=(6000, 1))).astype(np.float32)


@pytest.fixture(scope="module")
def users(vectors: np.ndarray) -> np.ndarray:
    rng = np.random.default_rng(1)
    return vectors[rng.integers(0, 6000, 60)] + 0.5 * rng.normal(size=(60, 16)).astype(np.float32)


class Catalogue:
    def __init__(self, n: int) -> None:
        self.n = n

    def __len__(self) -> int:
        return self.n


def may(n: int, excluded: np.ndarray = NOTHING, fits: np.ndarray | None = None) -> Allowed:
    return Allowed(Asked(Catalogue(n), NOTHING, excluded.astype(np.int32)), fits)  # type: ignore[arg-type]


def exact(vectors: np.ndarray, user: np.ndarray, n: int, allowed: Allowed) -> np.ndarray:
    scores = np.where(allowed.mask, vectors @ user, -np.inf)
    return np.argsort(-scores, kind="stable")[: min(n, allowed.count)]


def test_augmented_vectors_have_one_length_and_the_same_products(vectors: np.ndarray) -> None:
    longer = augmented(vectors)
    np.testing.assert_allclose(np.linalg.norm(longer, axis=1), np.linalg.norm(vectors, axis=1).max(), rtol=1e-4)
    np.testing.assert_array_equal(longer[:, :-1], vectors)


@pytest.mark.parametrize("kind", KINDS)
def test_it_finds_what_it_promises_without_what_is_excluded(vectors: np.ndarray, users: np.ndarray, kind: str) -> None:
    near = Near.over(vectors, users[:30], kind)  # type: ignore[arg-type]
    assert near is not None and near.recall >= RECALL
    found = []
    for row, user in enumerate(users[30:]):
        best = exact(vectors, user, 400, may(len(vectors)))
        allowed = may(len(vectors), best[: 5 if row % 2 else 150])
        items, scores = near.search(user, MEASURED_AT, allowed)  # type: ignore[misc]
        assert len(items) == MEASURED_AT and allowed.mask[items].all() and len(set(items.tolist())) == MEASURED_AT
        np.testing.assert_allclose(scores, vectors[items] @ user, rtol=1e-3, atol=1e-3)
        assert (np.diff(scores) <= 1e-4).all()
        found.append(np.isin(exact(vectors, user, 10, allowed), items).mean())
    assert np.mean(found) >= RECALL


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("share", [0.5, 0.15, 0.01])
def test_a_filter_holds_and_leaves_nothing_short(
    vectors: np.ndarray, users: np.ndarray, kind: str, share: float
) -> None:
    near = Near.over(vectors, users[:30], kind)  # type: ignore[arg-type]
    assert near is not None
    fits = np.random.default_rng(2).random(len(vectors)) < share
    found = []
    for user in users[30:]:
        allowed = may(len(vectors), np.flatnonzero(fits)[:7], fits)
        result = near.search(user, 100, allowed)
        if result is None:  # too few were found: then all are looked at
            continue
        assert len(result[0]) == min(100, allowed.count) and allowed.mask[result[0]].all()
        found.append(np.isin(exact(vectors, user, 100, allowed), result[0]).mean())
    assert found and np.mean(found) >= (1.0 if share == 0.01 else 0.9)


def test_new_items_stand_beside_the_index_until_they_are_many(vectors: np.ndarray, users: np.ndarray) -> None:
    near = Near.over(vectors, users, "cells")
    assert near is not None
    mine = 50 * users[:1]
    grown = near.grown(np.concatenate([vectors, mine]))
    assert grown is not None and grown.index is near.index
    items, _ = grown.search(users[0], 10, may(len(vectors) + 1))  # type: ignore[misc]
    assert items[0] == len(vectors)
    assert near.grown(np.concatenate([vectors, vectors[:400]])) is None


def test_no_index_without_users_to_measure_it_on(vectors: np.ndarray) -> None:
    assert Near.over(vectors, np.zeros((3, 16), np.float32)) is None


def test_a_pipeline_with_an_index_gives_the_lists_of_one_without(books: Dataset) -> None:
    model = IALS(factors=16, iterations=4).fit(books)
    plain, fast = (Stock(model, books.items, books.popularity("train")) for _ in range(2))
    histories = books.histories("train")
    fast.index(model.user_vectors(histories.take(slice(0, 100))), "cells")
    assert fast.near is not None
    rules = (Rule(filter="title contains the"),)
    for filters in ((), rules):
        shared = []
        for row in range(40):
            orders = []
            for stock in (plain, fast):
                asked = Asked(stock, histories[row], np.unique(histories[row]), filters)
                orders.append(Pipeline(PipelineConfig(), stock).run(asked))
            assert len(orders[0].items) == len(orders[1].items)
            if filters:
                assert fast.mask(str(rules[0].filter))[orders[1].items].all()
            shared.append(np.isin(orders[0].items[:10], orders[1].items).mean())
        assert np.mean(shared) >= RECALL
    assert "scores" not in Asked(fast, histories[0], histories[0]).__dict__
