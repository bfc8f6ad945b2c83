from __future__ import annotations

from collections import Counter
from itertools import product

import numpy as np
import pytest

from honeyguide.core.ragged import IntArray
from honeyguide.metrics.stats import sign_test
from honeyguide.pipeline.interleave import Method, interleave, probabilistic, team_draft
from honeyguide.pipeline.pipeline import Order

BOTH: tuple[Method, Method] = ("team-draft", "probabilistic")


def order_of(items: IntArray | list[int]) -> Order:
    codes = np.asarray(items, np.int32)
    return Order(codes, np.linspace(1, 0, len(codes), dtype=np.float32), ())


@pytest.mark.parametrize(
    ("a", "b"),
    [([1, 2, 3, 4], [4, 3, 2, 1]), ([1, 2, 3, 4], [1, 2, 3, 4]), ([1, 2, 3], [2, 5, 1]), ([1], [2, 3, 4])],
)
def test_team_draft_chances_are_those_of_all_coins(a: list[int], b: list[int]) -> None:
    depth, lists, said = 4, Counter[tuple[int, ...]](), {}
    for coins in product((0.25, 0.75), repeat=4):
        tosses = iter(coins)
        items, chance, _ = team_draft(a, b, depth, lambda tosses=tosses: next(tosses))  # type: ignore[misc]
        lists[tuple(items)] += 1 / 16
        said[tuple(items)] = float(np.prod(chance))
    assert sum(said.values()) == pytest.approx(1)
    for items, p in lists.items():
        assert said[items] == pytest.approx(p), items


def test_a_round_by_hand() -> None:
    items, chance, credit = team_draft([1, 2, 3], [1, 3, 2], 3, iter((0.1, 0.9)).__next__)  # A first, then B first
    assert (items, credit) == ([1, 3, 2], [1.0, 0.0, 0.0])
    np.testing.assert_allclose(chance, [1.0, 0.5, 1.0])  # of item 1 both are the first; who picked it is not seen


def test_probabilistic_by_hand() -> None:
    items, chance, credit = probabilistic([1, 2], [2, 1], 2, iter((0.1, 0.5)).__next__)
    assert items == [1, 2] and chance == [0.5, 1.0]  # (8/9 + 1/9) / 2
    np.testing.assert_allclose(credit, [8 / 9, 0.5])


def test_probabilistic_lists_come_as_often_as_is_said() -> None:
    random, n = np.random.default_rng(0), 10_000
    seen, said = Counter[tuple[int, ...]](), {}
    for _ in range(n):
        items, chance, _ = probabilistic([1, 2, 3], [3, 4, 1], 3, random.random)
        seen[tuple(items)] += 1
        said[tuple(items)] = float(np.prod(chance))
    assert len(said) == 24 and sum(said.values()) == pytest.approx(1)
    for items, p in said.items():
        assert abs(seen[items] / n - p) < 5 * np.sqrt(p * (1 - p) / n) + 1e-9


@pytest.mark.parametrize("method", BOTH)
def test_an_order_is_whole_and_comes_again_with_its_seed(method: Method) -> None:
    a, b = order_of(list(range(60))), order_of(list(range(80, 20, -1)))
    made, drawn = interleave(a, b, method, "seed", depth=10)
    again, _ = interleave(a, b, method, "seed", depth=10)
    np.testing.assert_array_equal(made.items, again.items)
    assert sorted(made.items) == sorted(set(a.items) | set(b.items)) and len(drawn.chance) == 10
    rest = made.items[10:]
    own = [c for c in a.items if c in set(rest)]
    np.testing.assert_array_equal(rest[: len(own)], own)
    assert drawn.credit is not None and ((drawn.credit >= 0) & (drawn.credit <= 1)).all()
    assert interleave(order_of([]), order_of([5]), method, "x")[0].items.tolist() == [5]
    assert len(interleave(order_of([]), order_of([]), method, "x")[0].items) == 0


def wins(a: Order, b: Order, method: Method, click: np.ndarray, n: int) -> np.ndarray:
    """A's credit less B's for each of n visitors who look at ten places and click at random."""
    random, found = np.random.default_rng(1), np.zeros(n)
    for visitor in range(n):
        made, drawn = interleave(a, b, method, f"v{visitor}", depth=10)
        clicked = random.random(10) < click[made.items[:10]]
        found[visitor] = (2 * drawn.credit[clicked] - 1).sum()  # type: ignore[index]
    return found


@pytest.mark.parametrize("method", BOTH)
def test_equal_rankers_share_and_the_better_one_wins(method: Method) -> None:
    worth = np.linspace(0.6, 0.0, 40)  # of item 0 .. 39
    good, shifted = order_of(list(range(40))), order_of([*range(5, 40), *range(5)])
    same = wins(good, good, method, worth, 600)
    if method == "probabilistic":
        assert (np.abs(same) < 1e-12).all()
    else:
        assert sign_test(same) > 0.01 and abs(same.mean()) < 4 * same.std() / np.sqrt(len(same))
    better = wins(good, shifted, method, worth, 800)
    assert better.mean() > 0 and sign_test(better) < 1e-3
    flat = wins(good, shifted, method, np.full(40, 0.3), 600)
    assert abs(flat.mean()) < 4 * flat.std() / np.sqrt(len(flat)), "clicks that say nothing decide nothing"
