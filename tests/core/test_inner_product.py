from __future__ import annotations

import numpy as np
import pytest

from honeyguide.core import inner_product
from honeyguide.core.inner_product import top_k_inner_product
from honeyguide.core.ragged import Ragged
from honeyguide.core.topk import exclude_in_place, top_k


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inner_product, "_USERS", 7)
    monkeypatch.setattr(inner_product, "_ITEMS", 16)


def by_scoring_all(users: np.ndarray, items: np.ndarray, k: int, excluded: Ragged) -> tuple[np.ndarray, np.ndarray]:
    scores = users @ items.T
    exclude_in_place(scores, excluded)
    return top_k(scores, k)


@pytest.mark.parametrize("seed", range(5))
def test_lists_are_those_of_scoring_every_item(seed: int) -> None:
    rng = np.random.default_rng(seed)
    norms = rng.pareto(1.0, (211, 1)).astype(np.float32)
    items = rng.integers(-3, 4, (211, 6)).astype(np.float32) * np.round(norms * 4)  # whole numbers: sums are exact
    users = rng.integers(-3, 4, (50, 6)).astype(np.float32)
    users[3] = 0.0  # whose scores are all equal
    excluded = Ragged.from_lists([rng.integers(-1, 230, rng.integers(0, 90)).tolist() for _ in users])
    for k in (1, 10, 40):
        ours, theirs = (find(users, items, k, excluded) for find in (top_k_inner_product, by_scoring_all))
        np.testing.assert_array_equal(ours[0], theirs[0])
        np.testing.assert_array_equal(ours[1], theirs[1])


def test_most_items_of_small_norm_are_never_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    items = rng.standard_normal((1600, 4)).astype(np.float32)
    items[100:] *= 1e-3
    seen: list[int] = []
    inner = inner_product.top_k

    def count(scores: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        seen.append(scores.size)
        return inner(scores, k)

    monkeypatch.setattr(inner_product, "top_k", count)
    users = rng.standard_normal((20, 4)).astype(np.float32)
    top_k_inner_product(users, items, 5, Ragged.empty(20))
    assert sum(seen) <= 20 * 112  # of 32,000


def test_fewer_allowed_items_than_places_leave_gaps() -> None:
    items = np.eye(4, dtype=np.float32)
    users = np.ones((2, 4), np.float32)
    found, values = top_k_inner_product(users, items, 3, Ragged.from_lists([[0, 1, 2], []]))
    assert found.tolist() == [[3, -1, -1], [0, 1, 2]]
    assert values[0].tolist() == [1.0, -np.inf, -np.inf]


def test_nobody_and_nothing() -> None:
    assert top_k_inner_product(np.empty((0, 2), np.float32), np.ones((3, 2), np.float32), 2, Ragged.empty(0))[
        0
    ].shape == (0, 2)
    found, _ = top_k_inner_product(np.ones((1, 2), np.float32), np.empty((0, 2), np.float32), 2, Ragged.empty(1))
    assert found.tolist() == [[-1, -1]]
