from __future__ import annotations

import numpy as np
import pytest

from honeyguide.core.ragged import Ragged
from honeyguide.models.sequence.cooccurrence import cooccurrence_vectors, with_new_items


def cosines(vectors: np.ndarray) -> np.ndarray:
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return unit @ unit.T


def test_items_of_one_group_begin_nearer_to_each_other_than_to_the_other_group() -> None:
    rng = np.random.default_rng(0)
    groups = [rng.integers(0, 10, 8) + 10 * (user % 2) for user in range(200)]
    near = cosines(cooccurrence_vectors(Ragged.from_lists(groups), 20, 4, 0.04, seed=0))
    same = near[:10, :10][~np.eye(10, dtype=bool)]
    assert same.min() > near[:10, 10:].max()


def test_scale_and_seed() -> None:
    histories = Ragged.from_lists([np.random.default_rng(user).integers(0, 50, 12) for user in range(100)])
    vectors = cooccurrence_vectors(histories, 50, 8, 0.04, seed=3)
    assert (vectors.dtype, vectors.shape) == (np.float32, (50, 8))
    assert vectors.std() == pytest.approx(0.04, rel=0.01)
    np.testing.assert_array_equal(vectors, cooccurrence_vectors(histories, 50, 8, 0.04, seed=3))
    assert not np.array_equal(vectors, cooccurrence_vectors(histories, 50, 8, 0.04, seed=4))


@pytest.mark.parametrize("n_items", [1, 2, 3])
def test_catalogues_smaller_than_the_width(n_items: int) -> None:
    vectors = cooccurrence_vectors(Ragged.from_lists([[0] * 3, [n_items - 1, 0]]), n_items, 16, 0.04, seed=0)
    assert vectors.shape == (n_items, 16)
    assert np.isfinite(vectors).all()


def test_items_without_events_are_told_apart() -> None:
    vectors = cooccurrence_vectors(Ragged.from_lists([[0, 1, 2], [1, 2, 0]]), 6, 4, 0.04, seed=0)
    assert len(np.unique(vectors[3:], axis=0)) == 3
    assert np.abs(vectors[3:]).max() < 0.01


def test_a_new_item_begins_between_its_neighbours() -> None:
    vectors = np.array([[1.0, 0.0], [0.0, 1.0], [4.0, 4.0]], np.float32)
    found = with_new_items(vectors, Ragged.from_lists([[0, 3, 1], [3], [4]]), 5)
    np.testing.assert_array_equal(found[:3], vectors)
    np.testing.assert_allclose(found[3], [0.5, 0.5])
    np.testing.assert_allclose(found[4], vectors.mean(axis=0))
