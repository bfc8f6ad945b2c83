from __future__ import annotations

import numpy as np
import pytest

from honeyguide.core.ann import Index
from honeyguide.core.clusters import Cells, best, nearest_centroid, spherical_kmeans
from honeyguide.core.inner_product import top_k_inner_product
from honeyguide.core.ragged import Ragged


def blobs(n: int = 600, width: int = 8, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    centres = 4 * rng.standard_normal((6, width))
    labels = rng.integers(0, 6, n)
    lengths = rng.uniform(0.5, 2, (n, 1))
    return ((centres[labels] + rng.standard_normal((n, width)) * 0.3) * lengths).astype(np.float32), labels


def test_clusters_are_those_that_were_drawn_whatever_the_lengths() -> None:
    vectors, labels = blobs()
    for seed in range(3):
        centroids = spherical_kmeans(vectors, 6, seed=seed, iterations=30)
        found = nearest_centroid(vectors, centroids)
        np.testing.assert_allclose(np.linalg.norm(centroids, axis=1), 1, rtol=1e-5)
        purity = sum(np.bincount(labels[found == c]).max(initial=0) for c in range(6)) / len(labels)
        assert purity > 0.8


def test_an_empty_cluster_starts_anew_and_vectors_without_direction_are_left_out() -> None:
    same = np.repeat(np.eye(3, dtype=np.float32), [50, 1, 1], axis=0)
    centroids = spherical_kmeans(np.concatenate([same, np.zeros((5, 3), np.float32)]), 3)
    assert sorted(centroids.argmax(1)) == [0, 1, 2]
    assert spherical_kmeans(np.zeros((4, 3), np.float32), 2).shape == (1, 3)
    assert len(spherical_kmeans(same[:2], 10)) == 2


def test_cells_looked_into_wholly_are_exact_search_and_few_of_them_find_what_lies_there() -> None:
    vectors, _ = blobs()
    queries = vectors[::40] + 0.1
    cells = Cells.of(vectors, spherical_kmeans(vectors, 6))
    items, values = cells.search(queries, 10, probes=6)
    exact, exact_values = top_k_inner_product(queries, vectors, 10, Ragged.empty(len(queries)))
    np.testing.assert_array_equal(items, exact)
    np.testing.assert_allclose(values, exact_values, rtol=1e-5)
    one, _ = cells.search(queries, 10, probes=1)
    assert all(len(set(cells.labels[row[row >= 0]])) == 1 for row in one)
    assert Index(vectors, "cells", width=20).recall(queries, 10) > 0.6


def test_a_look_sees_what_lies_in_the_cells_and_no_more() -> None:
    vectors, _ = blobs(60)
    cells = Cells.of(vectors, spherical_kmeans(vectors, 4))
    codes, scores = cells.look(vectors[0], np.array([2, 0], np.int32))
    assert set(codes) == set(np.flatnonzero(np.isin(cells.labels, (0, 2))))
    np.testing.assert_allclose(scores, vectors[codes] @ vectors[0], rtol=1e-5)


def test_the_best_are_sorted_and_ties_go_to_the_lower_code() -> None:
    codes, scores = np.array([9, 4, 7, 1], np.int32), np.array([1, 2, 1, 1], np.float32)
    assert best(codes, scores, 2)[0].tolist() == [4, 1] and best(codes, scores, 9)[0].tolist() == [4, 1, 7, 9]


@pytest.mark.parametrize("kind", ["exact", "cells", "ivf", "hnsw"])
def test_every_index_finds_most_of_the_best(kind: str) -> None:
    if kind in ("ivf", "hnsw"):
        pytest.importorskip("faiss")
    vectors, _ = blobs(900)
    queries = vectors[::60] + 0.05
    index = Index(vectors, kind, width=40)  # type: ignore[arg-type]
    items, values = index.search(queries, 7)
    assert items.shape == (15, 7) and items.dtype == np.int32
    np.testing.assert_allclose(values[:, 0], np.einsum("nd,nd->n", queries, vectors[items[:, 0]]), rtol=1e-4)
    assert index.recall(queries, 7) > (0.999 if kind == "exact" else 0.9)
