from __future__ import annotations

import numpy as np
import pytest

from honeyguide.models.sequence.text_start import text_start


def test_the_components_are_those_of_the_centred_vectors_with_their_roots_as_scale() -> None:
    x = np.random.default_rng(0).standard_normal((40, 12)) * np.arange(12, 0, -1)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    start = text_start(x.astype(np.float32), 5, 0.04, seed=0)
    left, singular, _ = np.linalg.svd(x - x.mean(axis=0), full_matrices=False)
    expected = left[:, :5] * np.sqrt(singular[:5])
    expected *= 0.04 / expected.std()
    for column in range(5):
        assert abs(np.corrcoef(start[:, column], expected[:, column])[0, 1]) > 0.99
    assert start.std() == pytest.approx(0.04, rel=0.02)


def test_items_without_text_start_at_noise() -> None:
    vectors = np.eye(6, dtype=np.float32)
    vectors[4:] = 0
    start = text_start(vectors, 3, 0.04, seed=0)
    assert np.abs(start[4:]).max() < 0.01 < np.abs(start[:4]).max()
    assert len(np.unique(start[4:])) == 6, "two items of which nothing is known can be told apart"


def test_more_columns_than_directions_are_noise() -> None:
    vectors = np.eye(3, dtype=np.float32)
    start = text_start(vectors, 8, 0.04, seed=0)
    assert start.shape == (3, 8)
    assert np.isfinite(start).all()
