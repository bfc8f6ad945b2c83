from __future__ import annotations

import numpy as np
import pytest

from honeyguide.models.linear import elastic_net as solver
from honeyguide.models.linear.elastic_net import elastic_net, expected_seconds

RNG = np.random.default_rng(0)


def problem(nets: int = 9, n: int = 40) -> tuple[np.ndarray, np.ndarray]:
    """Counts of pairs, and right-hand sides of which some are of few coordinates and some of many."""
    a = (RNG.random((300, n)) < 0.3 * RNG.random(n)).astype(np.float32)
    b = (RNG.random((300, nets)) < np.linspace(0.01, 0.5, nets)).astype(np.float32)
    return a.T @ a, b.T @ a


def test_one_weight_by_hand() -> None:
    gram, right = np.array([[5.0]], np.float32), np.array([[4.0]], np.float32)
    assert elastic_net(gram, right, 1.0, 10.0, 50, 1e-6)[0, 0] == pytest.approx((4 - 1) / (5 + 10))
    assert elastic_net(gram, right, 4.0, 10.0, 50, 1e-6)[0, 0] == 0


@pytest.mark.parametrize("held", [1, 1 << 22])
def test_nets_of_few_candidates_are_solved_as_all_together_are(held: int, monkeypatch: pytest.MonkeyPatch) -> None:
    gram, right = problem()
    l1, l2 = 6.0, 3.0
    candidates = (right > l1).sum(axis=1)
    assert candidates.min() < 10 < 30 < candidates.max(), "of both kinds, and some of none"
    monkeypatch.setattr(solver, "_APART", 0.0)
    together = elastic_net(gram, right, l1, l2, 500, 1e-6)
    monkeypatch.setattr(solver, "_APART", 1.0)
    monkeypatch.setattr(solver, "_HELD", held)
    apart = elastic_net(gram, right, l1, l2, 500, 1e-6)
    np.testing.assert_allclose(apart, together, atol=1e-5)


def test_the_solution_leaves_no_coordinate_that_would_move() -> None:
    """The conditions of Karush, Kuhn and Tucker."""
    gram, right = problem()
    l1, l2 = 6.0, 3.0
    w = elastic_net(gram, right, l1, l2, 500, 1e-6)
    gradient = right - w @ gram - l2 * w - l1
    assert (w >= 0).all() and 10 < np.count_nonzero(w) < w.size / 2
    np.testing.assert_allclose(gradient[w > 0], 0, atol=5e-3)
    assert (gradient[w == 0] <= 5e-3).all()


def test_nothing_is_expected_of_nets_without_candidates_and_more_of_more() -> None:
    assert expected_seconds(100, np.array([0, 0])) == 0
    assert 0 < expected_seconds(100, np.array([5])) < expected_seconds(100, np.array([5, 90]))
