"""The Newton step of items against the minimum it aims at."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose

from honeyguide.core.ragged import FloatArray
from honeyguide.models.linear import ials_update
from honeyguide.models.linear.ials_update import UserMoments, Users, newton_steps

ALPHA, LAMBDA, F = 8.0, 0.7, 6


def some_users(seed: int, n: int = 25, items: int = 9) -> Users:
    rng = np.random.default_rng(seed)
    sets = sp.csr_matrix((rng.random((n, items)) < 0.3).astype(np.float32))
    return Users(rng.normal(size=(n, F)).astype(np.float32), sets)


def exact(users: Users) -> FloatArray:
    """Every item's minimum given all users: ``(X'X + lambda I + (alpha - 1) sum x x')^-1 alpha sum x``."""
    x = users.x.astype(np.float64)
    solved = []
    for item in range(users.sets.shape[1]):
        taken = x[users.sets[:, item].toarray().ravel() > 0]
        h = x.T @ x + LAMBDA * np.eye(F) + (ALPHA - 1) * taken.T @ taken
        solved.append(np.linalg.solve(h, ALPHA * taken.sum(axis=0)))
    return np.asarray(solved, np.float32)


def moved(old: Users, new: Users, before: UserMoments) -> FloatArray:
    items = np.arange(new.sets.shape[1], dtype=np.int32)
    factors = exact(old)
    return factors + newton_steps(factors, items, (old, new), (before, before.changed(old, new)), ALPHA, LAMBDA)


def test_where_everybody_changed_the_step_ends_at_the_minimum(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ials_update, "_CG_STEPS", 3 * F)
    monkeypatch.setattr(ials_update, "_ENTRIES", 7)  # blocks that end inside an item's users
    old, new = some_users(0), some_users(1)
    found = moved(old, new, UserMoments.of(old.x, old.sets))
    assert_allclose(found, exact(new), rtol=2e-3, atol=2e-3)


def test_a_few_steps_come_close_to_it() -> None:
    old, new = some_users(0), some_users(1)
    before = UserMoments.of(old.x, old.sets)
    left = np.linalg.norm(moved(old, new, before) - exact(new))
    assert left < 0.1 * np.linalg.norm(exact(old) - exact(new))


def test_with_others_that_are_known_by_their_moments_alone_it_still_comes_closer() -> None:
    others, old = some_users(2, n=60), some_users(0, n=6)
    new = Users(old.x + 0.2 * some_users(3, n=6).x, some_users(1, n=6).sets)

    def with_others(users: Users) -> Users:
        return Users(np.concatenate([others.x, users.x]), sp.vstack([others.sets, users.sets], format="csr"))

    start, end = (exact(with_others(users)) for users in (old, new))
    before = UserMoments.of(with_others(old).x, with_others(old).sets)
    steps = newton_steps(
        start, np.arange(9, dtype=np.int32), (old, new), (before, before.changed(old, new)), ALPHA, LAMBDA
    )
    assert np.linalg.norm(start + steps - end) < 0.5 * np.linalg.norm(start - end)


def test_moments_changed_and_changed_back_are_the_same() -> None:
    old, new = some_users(0), some_users(1)
    before = UserMoments.of(old.x, old.sets)
    again = before.changed(old, new).changed(new, old)
    assert_allclose(again.gram, before.gram, atol=1e-4)
    assert_allclose(again.square, before.square, atol=1e-4)
    assert_allclose(again.takers, before.takers)
