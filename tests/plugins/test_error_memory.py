from __future__ import annotations

import numpy as np
import pytest

from honeyguide.plugins.error_memory import ErrorMemory, kernel_read, nearest_read

RNG = np.random.default_rng(0)


def unit(n: int, width: int = 8) -> np.ndarray:
    keys = RNG.standard_normal((n, width)).astype(np.float32)
    return keys / np.linalg.norm(keys, axis=1, keepdims=True)


def plain_tables(memory: ErrorMemory, keys: np.ndarray, errors: np.ndarray, decay: float) -> tuple[dict, dict]:
    """The definition: every write lets all buckets decay, then adds one event to a bucket of each table."""
    sums: dict[int, float] = {}
    mass: dict[int, float] = {}
    for buckets, error in zip(memory.buckets(keys), errors, strict=True):
        for store in (sums, mass):
            for bucket in store:
                store[bucket] *= decay
        for bucket in buckets.tolist():
            sums[bucket] = sums.get(bucket, 0.0) + error
            mass[bucket] = mass.get(bucket, 0.0) + 1.0
    return sums, mass


def test_two_events_alike_are_averaged_and_shrunk() -> None:
    memory = ErrorMemory(8, tables=4, bits=3)
    key = unit(1)
    assert memory.read(key)[0] == 0.0  # nothing known
    memory.write(np.repeat(key, 2, axis=0), np.array([1.0, 0.5], np.float32))
    assert memory.read(key)[0] == pytest.approx(0.75)
    assert memory.read(key, prior=6.0)[0] == pytest.approx(1.5 / (2 + 6))
    memory.fade(0.5)
    assert memory.read(key, prior=6.0)[0] == pytest.approx(0.75 / (1 + 6))


@pytest.mark.parametrize("together", [1, 7, 60])
def test_lazy_decay_is_decay_of_every_bucket_at_every_write(together: int) -> None:
    memory = ErrorMemory(8, tables=3, bits=3, decay=0.9)
    keys, errors = unit(60), RNG.uniform(-1, 1, 60).astype(np.float32)
    for start in range(0, 60, together):
        memory.write(keys[start : start + together], errors[start : start + together])
    sums, mass = plain_tables(memory, keys, errors, 0.9)
    asked = unit(20)
    for found, buckets in zip(memory.read(asked, prior=0.5), memory.buckets(asked).tolist(), strict=True):
        total = sum(mass.get(b, 0.0) for b in buckets) + 3 * 0.5
        assert found == pytest.approx(sum(sums.get(b, 0.0) for b in buckets) / total, rel=1e-4, abs=1e-6)


def test_collisions_have_the_probability_of_their_angle() -> None:
    memory = ErrorMemory(2, tables=4000, bits=4)
    for angle in (0.3, 1.0, 2.0):
        a, b = memory.buckets(np.array([[1, 0], [np.cos(angle), np.sin(angle)]], np.float32))
        assert (a == b).mean() == pytest.approx((1 - angle / np.pi) ** 4, abs=0.03)


def test_it_answers_like_the_kernel_the_better_the_more_tables() -> None:
    keys, asked = unit(1500), unit(200)
    errors = (keys[:, 0] + 0.3 * RNG.standard_normal(1500)).astype(np.float32)
    exact = kernel_read(asked, keys, errors, 6, decay=0.999, prior=1.0)
    correlations = []
    for tables in (2, 32):
        memory = ErrorMemory(8, tables, 6, decay=0.999)
        memory.write(keys, errors)
        correlations.append(np.corrcoef(memory.read(asked, prior=1.0), exact)[0, 1])
    assert correlations[0] < correlations[1] and correlations[1] > 0.95


def test_kernel_and_nearest_by_hand() -> None:
    stored = np.array([[1, 0], [0, 1], [-1, 0]], np.float32)
    errors = np.array([0.6, 0.2, -1.0], np.float32)
    asked = np.array([[2, 0]], np.float32)  # angles 0, pi / 2, pi: kernels 1, 1/4, 0 with two bits
    assert kernel_read(asked, stored, errors, 2)[0] == pytest.approx((0.6 + 0.2 / 4) / 1.25)
    weight = np.exp((0.0 - 1.0) / 0.5)
    assert nearest_read(asked, stored, errors, 2, 0.5)[0] == pytest.approx((0.6 + 0.2 * weight) / (1 + weight))
    assert nearest_read(asked, stored[:0], errors[:0], 2)[0] == 0.0


def test_its_size_does_not_grow() -> None:
    memory = ErrorMemory(8, tables=4, bits=5, decay=0.99)
    size, arrays = memory.nbytes, {n: a.nbytes for n, a in memory.state()[0].items()}
    for _ in range(20):
        memory.write(unit(5000), np.ones(5000, np.float32))
    assert memory.clock == 100_000 and memory.nbytes == size
    assert {n: a.nbytes for n, a in memory.state()[0].items()} == arrays


def test_saved_and_restored_it_answers_the_same_and_goes_on_the_same() -> None:
    memory, again = (ErrorMemory(8, tables=4, bits=5, decay=0.97, seed=seed) for seed in (1, 2))
    keys, errors = unit(50), RNG.uniform(-1, 1, 50).astype(np.float32)
    memory.write(keys[:30], errors[:30])
    again.restore(*memory.state())
    for one in (memory, again):
        one.write(keys[30:], errors[30:])
    np.testing.assert_array_equal(memory.read(keys), again.read(keys))
