from __future__ import annotations

import numpy as np
import pytest

from honeyguide.core.dataset import Dataset
from honeyguide.core.errors import ConfigError, UnknownNameError
from honeyguide.data.attacks import fake_users, promoted_items, unpopular_items
from honeyguide.experiment.attacks import ATTACKS, _Surrogate, _Target, attack, surrogate_profiles
from honeyguide.metrics.attack import attack_success
from honeyguide.models.linear.ials import IALS


def test_the_gradient_of_the_surrogate_is_that_of_finite_differences(books: Dataset) -> None:
    surrogate = _Surrogate.of(books, 0)
    target = _Target.of(surrogate, books, 17)
    rng = np.random.default_rng(0)
    target.add(surrogate.fold_in(np.array([3, 17, 40], np.int32)))
    a, spread = surrogate.alpha, surrogate.bars.std()

    def objective(x: np.ndarray) -> float:
        y = a * np.linalg.solve(target.system + a * np.outer(x, x), target.right + x)
        z = (surrogate.users @ y - surrogate.bars) / spread
        return float(-(np.logaddexp(0, -z) * target.genuine).sum()) * spread

    fake = surrogate.fold_in(np.array([17, 5, 9, 60], np.int32))
    gradient = target.gradient(fake)
    for _ in range(3):
        step = 1e-5 * rng.standard_normal(len(fake))
        slope = (objective(fake + step) - objective(fake - step)) / 2
        assert gradient @ step == pytest.approx(slope, rel=1e-4)


def test_vectors_of_the_surrogate_score_as_its_model(books: Dataset) -> None:
    surrogate = _Surrogate.of(books, 0)
    model = IALS(factors=32, iterations=10).fit(books)
    scores = model.score_histories(books.histories("train"))
    np.testing.assert_allclose(surrogate.users @ surrogate.items.T, scores, atol=2e-3)
    reached = (scores > surrogate.bars[:, None] - 1e-4).sum(axis=1)
    assert np.median(reached) == 50  # the bar is the fiftieth score


def test_optimised_profiles_reach_further_than_random_ones(books: Dataset) -> None:
    targets = unpopular_items(books, 3)
    reached = {}
    for kind in ("random", "surrogate"):
        data = attack(books, kind, targets, share=0.03, length=20)
        assert fake_users(data).sum() == 9 and promoted_items(data).tolist() == targets.tolist()
        success = attack_success(IALS(factors=32, iterations=10).fit(data), data, (20,))
        reached[kind] = np.nanmean(success["target_hit_rate@20"])
    clean = attack_success(IALS(factors=32, iterations=10).fit(books), books, (20,), targets=targets)
    assert reached["surrogate"] > 1.5 * reached["random"]
    assert reached["surrogate"] > 3 * np.nanmean(clean["target_hit_rate@20"])


def test_optimised_profiles_differ_from_each_other(books: Dataset) -> None:
    profiles = surrogate_profiles(books, [4], 20, length=12)
    assert all(4 in row for row in profiles)
    assert len(set(profiles.values.tolist())) > 30  # an item that was used is used less


def test_errors(books: Dataset) -> None:
    with pytest.raises(UnknownNameError, match="surrogate"):
        attack(books, "surogate", [1])
    with pytest.raises(ConfigError, match="no fake users"):
        attack(books, "random", [1], share=0)
    assert set(ATTACKS) == {"random", "bandwagon", "segment", "surrogate", "released"}
