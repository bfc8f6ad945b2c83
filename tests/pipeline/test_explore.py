from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest

from honeyguide.core.ragged import IntArray
from honeyguide.pipeline.config import Explore
from honeyguide.pipeline.explore import chances, draw, explore, generator, propensities
from honeyguide.pipeline.pipeline import Order

NOTHING: IntArray = np.empty(0, np.int32)
HOW = [
    Explore(method="epsilon", epsilon=0.3),
    Explore(method="softmax", temperature=0.5),
    Explore(method="softmax", temperature=2.0),
]


def order_of(n: int) -> Order:
    return Order(np.arange(100, 100 + n, dtype=np.int32), np.linspace(1, 0, n, dtype=np.float32), ())


@pytest.mark.parametrize("how", HOW)
def test_probabilities_are_those_of_all_lists_counted(how: Explore) -> None:
    d, total, by_place = 5, 0.0, np.zeros((5, 5))
    for drawn in permutations(range(d)):
        p = float(np.prod(chances(how, np.array(drawn))))
        total += p
        by_place[list(drawn), np.arange(d)] += p
    assert total == pytest.approx(1, abs=1e-12)
    np.testing.assert_allclose(propensities(how, d), by_place, atol=1e-11)


def test_chances_by_hand() -> None:
    half = Explore(method="epsilon", epsilon=0.5)  # two items: as they stood with .75
    np.testing.assert_allclose(chances(half, np.array([0, 1])), [0.75, 1.0])
    np.testing.assert_allclose(chances(half, np.array([1, 0])), [0.25, 1.0])
    one = Explore(method="softmax", temperature=1.0)  # weights 1, 1/2, 1/3
    np.testing.assert_allclose(chances(one, np.array([1, 2, 0])), [3 / 11, 1 / 4, 1.0])


@pytest.mark.parametrize("how", HOW)
def test_lists_are_drawn_as_often_as_is_said(how: Explore) -> None:
    d, n, random = 4, 40_000, np.random.default_rng(0)
    counts = np.zeros((d, d))
    for _ in range(n):
        counts[draw(how, d, random), np.arange(d)] += 1
    expected = propensities(how, d)
    assert (np.abs(counts / n - expected) < 5 * np.sqrt(expected * (1 - expected) / n)).all()


@pytest.mark.parametrize(("d", "temperature"), [(2, 0.1), (20, 0.1), (20, 1.0), (50, 0.3), (50, 10.0)])
def test_every_item_stands_somewhere_and_every_place_holds_one(d: int, temperature: float) -> None:
    found = propensities(Explore(method="softmax", temperature=temperature), d)
    np.testing.assert_allclose(found.sum(0), 1, atol=1e-10)
    np.testing.assert_allclose(found.sum(1), 1, atol=1e-10)
    assert (found > 0).all()


def test_a_seed_draws_one_list_and_what_is_pinned_stays() -> None:
    how = Explore(method="softmax", temperature=5.0, depth=6)
    order, pinned = order_of(10), np.array([102], np.int32)
    made, drawn = explore(order, how, "abc", pinned)
    again, _ = explore(order, how, "abc", pinned)
    np.testing.assert_array_equal(made.items, again.items)
    assert drawn is not None and made.items[2] == 102 and drawn.chance[2] == drawn.propensity[2] == 1
    np.testing.assert_array_equal(made.items[6:], order.items[6:])
    assert sorted(made.items) == sorted(order.items) and list(drawn.head) == [100, 101, 103, 104, 105]
    lists = {tuple(explore(order, how, str(seed), pinned)[0].items) for seed in range(50)}
    assert len(lists) > 30 and all(one[2] == 102 for one in lists)
    assert dict(zip(made.items, made.scores, strict=True)) == dict(zip(order.items, order.scores, strict=True))


def test_the_propensity_belongs_to_the_item_that_is_shown() -> None:
    how = Explore(method="softmax", temperature=1.0, depth=3)
    table = propensities(how, 3)
    for seed in range(10):
        made, drawn = explore(order_of(3), how, str(seed), NOTHING)
        assert drawn is not None
        np.testing.assert_allclose(drawn.propensity, table[made.items - 100, np.arange(3)])


@pytest.mark.parametrize("how", [Explore(), Explore(method="epsilon")])
def test_nothing_is_drawn_without_a_choice(how: Explore) -> None:
    order = order_of(1 if how.method != "none" else 5)
    made, drawn = explore(order, how, "x", NOTHING)
    assert made is order and drawn is None


def test_random_numbers_are_the_same_everywhere() -> None:
    assert (
        generator("honeyguide").integers(1000, size=3).tolist()
        == generator("honeyguide").integers(1000, size=3).tolist()
    )
    assert generator("a").random() != generator("b").random()
