from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from honeyguide.graph import BipartiteGraph, EdgeProduct, closure

# Two users and three items; the third item has no edge.
R = np.array([[1, 1, 0], [0, 1, 0]], np.float32)


def dense(edges: np.ndarray) -> np.ndarray:
    """D^-1/2 A D^-1/2 of the whole graph, written out."""
    n, m = edges.shape
    a = np.zeros((n + m, n + m))
    a[:n, n:], a[n:, :n] = edges, edges.T
    degrees = a.sum(1)
    scale = np.divide(1, np.sqrt(degrees), where=degrees > 0, out=np.zeros_like(degrees))
    return scale[:, None] * a * scale


def random_edges(n: int = 12, m: int = 9) -> np.ndarray:
    return (np.random.default_rng(0).random((n, m)) < 0.3).astype(np.float32)


def test_one_step_by_hand() -> None:
    users, items = BipartiteGraph(sp.csr_matrix(R)).propagate(
        torch.tensor([[1.0], [2.0]]), torch.tensor([[3.0], [4.0], [5.0]]), 1, "last"
    )
    half = 2**-0.5
    assert users[:, 0].tolist() == pytest.approx([3 * half + 4 * 0.5, 4 * half])
    assert items[:, 0].tolist() == pytest.approx([1 * half, 1 * 0.5 + 2 * half, 0])


@pytest.mark.parametrize("layers", [0, 1, 2, 3])
@pytest.mark.parametrize("combine", ["mean", "sum", "last"])
def test_propagation_is_the_dense_formula(layers: int, combine: str) -> None:
    edges, rng = random_edges(), np.random.default_rng(1)
    x = rng.standard_normal((21, 4)).astype(np.float32)
    powers = [np.linalg.matrix_power(dense(edges), step) @ x for step in range(layers + 1)]
    expected = {"mean": np.mean(powers, axis=0), "sum": np.sum(powers, axis=0), "last": powers[-1]}[combine]
    found = BipartiteGraph(sp.csr_matrix(edges)).propagate(
        torch.from_numpy(x[:12]), torch.from_numpy(x[12:]), layers, combine
    )
    np.testing.assert_allclose(torch.cat(found).numpy(), expected, rtol=1e-5, atol=1e-6)


def test_rows_are_means_of_neighbours() -> None:
    graph = BipartiteGraph(sp.csr_matrix(R), "row")
    assert graph.to_users(torch.tensor([[3.0], [4.0], [5.0]]))[:, 0].tolist() == pytest.approx([3.5, 4.0])
    assert graph.to_items(torch.tensor([[1.0], [2.0]]))[:, 0].tolist() == pytest.approx([1.0, 1.5, 0.0])


@pytest.mark.parametrize("normalisation", ["symmetric", "row"])
def test_gradients(normalisation: str) -> None:
    graph = BipartiteGraph(sp.csr_matrix(random_edges()), normalisation)
    weights = torch.randn(12, 3)

    def value(items: torch.Tensor) -> torch.Tensor:
        return (weights * graph.propagate(torch.zeros(12, 3), items, 3)[0]).sum()

    items = torch.randn(9, 3, requires_grad=True)
    (gradient,) = torch.autograd.grad(value(items), items)
    for i, j in ((0, 0), (4, 2), (8, 1)):  # the value is linear in the items
        one = torch.zeros(9, 3)
        one[i, j] = 1
        assert gradient[i, j].item() == pytest.approx(value(one).item(), abs=1e-5)


def test_values_of_edges_are_not_read_and_the_matrix_is_left_alone() -> None:
    weighted = sp.csr_matrix(R * 7)
    items = torch.randn(3, 2)
    assert torch.equal(BipartiteGraph(weighted).to_users(items), BipartiteGraph(sp.csr_matrix(R)).to_users(items))
    assert weighted.data.tolist() == [7, 7, 7]


def symmetric(seed: int = 2) -> tuple[np.ndarray, np.ndarray, EdgeProduct]:
    """Coefficients above a diagonal, the diagonal, and their product."""
    rng = np.random.default_rng(seed)
    upper = np.triu(rng.random((7, 7)) * (rng.random((7, 7)) < 0.5), 1).astype(np.float32)
    upper[0, 3] = 0.5  # an edge at least, and with edge 0 a first one
    diagonal = rng.random(7).astype(np.float32)
    return upper, diagonal, EdgeProduct(sp.csr_matrix(upper), diagonal)


def test_weighted_product_is_the_dense_formula_and_its_gradients_are_the_dense_ones() -> None:
    upper, diagonal, product = symmetric()
    rows, columns = np.nonzero(upper)
    weights = torch.rand(len(rows), requires_grad=True)
    x, value = torch.randn(7, 3, requires_grad=True), torch.randn(7, 3)

    def written_out(w: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        m = torch.zeros(7, 7).index_put((torch.from_numpy(rows), torch.from_numpy(columns)), w)
        m = m * torch.from_numpy(upper)
        m = m + m.T + torch.diag(torch.from_numpy(diagonal))
        return m @ (m @ v)  # twice: the weights enter every layer

    found = product.at(weights)(product.at(weights)(x))
    torch.testing.assert_close(found, written_out(weights, x))
    own = torch.autograd.grad((found * value).sum(), (weights, x))
    dense = torch.autograd.grad((written_out(weights, x) * value).sum(), (weights, x))
    for a, b in zip(own, dense, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


def test_constant_weights_have_no_gradient() -> None:
    upper, _, product = symmetric()
    x = torch.randn(7, 2, requires_grad=True)
    product.at(torch.ones(np.count_nonzero(upper)))(x).sum().backward()
    assert x.grad is not None


def test_closure_counts_paths_and_keeps_the_strongest() -> None:
    # Users 0 and 1 share two items, 0 and 2 one; items 0 and 1 share users 0 and 1.
    r = sp.csr_matrix(np.array([[1, 1, 0], [1, 1, 1], [0, 1, 0]], np.float32))
    whole = closure(r, 9).toarray()
    assert whole[:3, 3:].tolist() == r.toarray().tolist()
    assert whole[0, 1] == 2 and whole[0, 2] == 1 and whole[1, 2] == 1  # users
    assert whole[3, 4] == 2 and whole[3, 5] == 1 and whole[4, 5] == 1  # items
    assert not np.tril(whole).any()
    one = closure(r, 1).toarray()
    assert one[0, 1] == 2 and one[0, 2] == 1 and one[1, 2] == 0  # user 2 keeps the first of its two
    assert closure(r, 0).nnz == r.nnz


def test_closure_of_popular_items_stays_small() -> None:
    everybody = sp.csr_matrix(np.ones((300, 4), np.float32))  # 44,850 pairs of users
    assert closure(everybody, 5).nnz <= 300 * 4 + 5 * 304
