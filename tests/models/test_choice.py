"""Which models held-out users cannot tell from the best."""

from __future__ import annotations

import numpy as np

from honeyguide.models.choice import alike
from honeyguide.models.fusion import PER_PART, Candidates, ndcg_of


def drawn(noise: list[float], n: int = 500, c: int = 20) -> Candidates:
    """Users whose held-out item follows a signal, which part p shows with noise of its own."""
    rng = np.random.default_rng(0)
    signal = rng.standard_normal((n, c))
    relevant = np.zeros((n, c), bool)
    relevant[np.arange(n), (3 * signal + rng.gumbel(size=(n, c))).argmax(axis=1)] = True
    features = np.zeros((n, c, PER_PART * len(noise)), np.float32)
    for part, size in enumerate(noise):
        features[:, :, PER_PART * part] = signal + size * rng.standard_normal((n, c))
    return Candidates(
        np.tile(np.arange(c, dtype=np.int32), (n, 1)), features, relevant, np.ones(n, int), np.ones(n, int)
    )


def best_of(found: Candidates, parts: int) -> int:
    return int(np.argmax([ndcg_of(found, part).mean() for part in range(parts)]))


def test_what_noise_cannot_tell_apart_is_alike_and_what_is_worse_is_not() -> None:
    found = drawn([0.5, 3.0, 0.5, 0.5])
    best = best_of(found, 4)
    close = alike(found, best)
    assert best in close
    assert 1 not in close
    for part in {0, 2, 3} - set(close):
        lost = ndcg_of(found, best) - ndcg_of(found, part)
        assert lost.mean() > lost.std() / np.sqrt(len(lost))


def test_the_mean_of_alike_models_is_better_than_each() -> None:
    found = drawn([1.0, 1.0, 1.0])
    assert ndcg_of(found, 0, 1, 2).mean() > max(ndcg_of(found, part).mean() for part in range(3))


def test_at_most_so_many_the_best_of_them() -> None:
    found = drawn([0.0, 0.0, 0.0])  # three times the same
    assert alike(found, 2, most=2) == [0, 2]
