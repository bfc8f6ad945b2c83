from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from honeyguide.graph import BipartiteGraph
from honeyguide.plugins.pruned_graph import Kept, PrunedGraph

R = (np.random.default_rng(0).random((6, 5)) < 0.5).astype(np.float32)
GRAPH = BipartiteGraph(sp.csr_matrix(R))
EDGES = int(R.sum())


def dense(r: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """D^-1/2 (A + I) D^-1/2 with D that of ``r``, each edge times its weight."""
    n, m = r.shape
    a = np.eye(n + m)
    a[:n, n:], a[n:, :n] = r, r.T
    scale = 1 / np.sqrt(a.sum(1))
    w = np.ones_like(r)
    if weights is not None:
        w[np.nonzero(r)] = weights
    a[:n, n:] *= w
    a[n:, :n] *= w.T
    return scale[:, None] * a * scale


def start(d: int = 3) -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    return torch.randn(6, d), torch.randn(5, d)


@pytest.mark.parametrize("layers", [0, 1, 2, 4])
def test_layers_are_added_up_over_the_graph_with_loops(layers: int) -> None:
    users, items = start()
    found = torch.cat(PrunedGraph(GRAPH).propagate(users, items, layers))
    x = torch.cat([users, items]).numpy()
    expected = sum(np.linalg.matrix_power(dense(R), step) @ x for step in range(layers + 1))
    np.testing.assert_allclose(found.detach().numpy(), expected, rtol=1e-4, atol=1e-5)


def test_weights_of_edges_are_learnt_in_every_layer() -> None:
    graph = PrunedGraph(GRAPH, learnt=True)
    weights = np.linspace(0.5, 1.5, EDGES).astype(np.float32)
    with torch.no_grad():
        graph.weights.copy_(torch.from_numpy(weights))
    users, items = start()
    found = torch.cat(graph.propagate(users, items, 2, "last"))
    m = dense(R, weights)
    np.testing.assert_allclose(found.detach().numpy(), m @ m @ torch.cat([users, items]).numpy(), rtol=1e-4, atol=1e-5)
    found.square().sum().backward()
    assert graph.weights.grad is not None and (graph.weights.grad != 0).all()


def kept(share: float = 0.5, d: int = 3) -> Kept:
    rng = np.random.default_rng(1)
    return Kept(*(rng.random(shape) < share for shape in ((EDGES,), (6, d), (5, d))))


def test_what_was_pruned_is_zero_and_propagation_runs_over_what_is_left() -> None:
    left = kept()
    graph = PrunedGraph(GRAPH, learnt=True, kept=left)
    assert len(graph.weights) == left.edges.sum() == graph.edge_product.upper.nnz
    users, items = start()
    found_users, found_items = graph.propagate(users, items, 2)
    x = torch.cat([users, items]).numpy() * np.concatenate([left.users, left.items])
    m = dense(R, left.edges.astype(np.float32))  # degrees are those before pruning
    expected = x + m @ x + m @ m @ x
    np.testing.assert_allclose(found_users.detach().numpy(), expected[:6], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found_items.detach().numpy(), expected[6:] * left.items, rtol=1e-4, atol=1e-5)
    moved = torch.where(torch.from_numpy(left.users), users, 7.0), torch.where(torch.from_numpy(left.items), items, 7.0)
    again = graph.propagate(*moved, 2)
    assert torch.equal(again[0], found_users) and torch.equal(again[1], found_items)


def test_an_item_gives_a_new_user_what_its_edges_give_on_the_average() -> None:
    left = kept()
    graph = PrunedGraph(GRAPH, learnt=True, kept=left)
    with torch.no_grad():
        graph.weights.copy_(torch.arange(1.0, len(graph.weights) + 1))
    weights = np.zeros_like(R)
    weights[np.nonzero(R)] = graph.edge_weights()
    assert np.count_nonzero(weights) == left.edges.sum()
    items = start()[1]
    expected = items.numpy() * (weights.sum(0) / R.sum(0) / np.sqrt(R.sum(0) + 1))[:, None]
    np.testing.assert_allclose(graph.into_users(items).numpy(), expected, rtol=1e-5)


def test_links_stand_beside_the_edges_and_are_not_among_them() -> None:
    graph = PrunedGraph(GRAPH, links=3, learnt=True)
    assert len(graph.weights) > EDGES and len(graph.edge_weights()) == EDGES
    rows, columns = np.nonzero(R)
    upper = graph.edge_product.upper.tolil()
    upper[rows, columns + 6] = 0
    left = sp.coo_matrix(upper.tocsr())
    left.eliminate_zeros()
    assert left.nnz == len(graph.weights) - EDGES
    assert not ((left.row < 6) & (left.col >= 6)).any()
