"""The bipartite graph of users and items, and propagation over it.

Shapes: n users, m items, d width.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
import torch
from torch import Tensor

Normalisation = Literal["symmetric", "row"]
Combine = Literal["mean", "sum", "last"]

_ROWS = 1024  # nodes whose links are counted at once


class BipartiteGraph:
    """Users, items, and one edge for every pair that occurs.

    With ``R`` the ``[n, m]`` matrix of edges and D the degrees, ``"symmetric"`` weighs an edge by
    ``D_u^-1/2 D_i^-1/2`` (Kipf & Welling 2017) and ``"row"`` takes the mean of the neighbours, ``1 / D`` of the
    receiving side. Nodes without an edge receive zeros.

    Parameters
    ----------
    edges
        ``[n, m]``; a non-zero is an edge, its value is not read.
    normalisation
        ``"symmetric"`` or ``"row"``.
    """

    def __init__(self, edges: sp.csr_matrix, normalisation: Normalisation = "symmetric") -> None:
        r = sp.csr_matrix(edges, dtype=np.float32, copy=True)
        r.data[:] = 1.0
        self.n_users, self.n_items = r.shape
        power = -0.5 if normalisation == "symmetric" else -1.0
        self.item_degrees = np.maximum(r.sum(axis=0).A1, 1.0).astype(np.float32)  # at least 1, to divide by
        by_user, by_item = sp.diags(np.maximum(r.sum(axis=1).A1, 1.0) ** power), sp.diags(self.item_degrees**power)
        if normalisation == "symmetric":
            to_users = sp.csr_matrix(by_user @ r @ by_item, dtype=np.float32)
            to_items = to_users.T.tocsr()
            self.to_users, self.to_items = Product(to_users, to_items), Product(to_items, to_users)
        else:
            to_users = sp.csr_matrix(by_user @ r, dtype=np.float32)
            to_items = sp.csr_matrix(by_item @ r.T, dtype=np.float32)
            self.to_users = Product(to_users, to_users.T.tocsr())
            self.to_items = Product(to_items, to_items.T.tocsr())

    @property
    def edges(self) -> sp.csr_matrix:
        """``[n, m]``: a non-zero where there is an edge."""
        return self.to_users.matrix

    def step(self, users: Tensor, items: Tensor) -> tuple[Tensor, Tensor]:
        """The next layer, ``[n, d]`` and ``[m, d]``; neither side sees the other's new one."""
        return self.to_users(items), self.to_items(users)

    def into_users(self, items: Tensor) -> Tensor:
        """``[m, d]``: what an item adds to sqrt(|h|) times the next layer of a user with the history h."""
        return items / torch.from_numpy(self.item_degrees).to(items.device).sqrt()[:, None]

    def propagate(self, users: Tensor, items: Tensor, layers: int, combine: Combine = "mean") -> tuple[Tensor, Tensor]:
        """Vectors after ``layers`` steps of ``E <- A E`` (LightGCN, He et al. 2020, equations 3 and 4).

        Parameters
        ----------
        users, items
            ``[n, d]`` and ``[m, d]``, layer 0.
        layers
            Steps; 0 changes nothing.
        combine
            ``"mean"`` or ``"sum"`` of the layers 0 to ``layers``, or the ``"last"`` alone.

        Returns
        -------
        users, items
            ``[n, d]`` and ``[m, d]``.
        """
        kept_users, kept_items = users, items
        for _ in range(layers):
            users, items = self.step(users, items)
            if combine != "last":
                kept_users, kept_items = kept_users + users, kept_items + items
        if combine == "last":
            return users, items
        share = 1.0 / (layers + 1) if combine == "mean" else 1.0
        return kept_users * share, kept_items * share


class Product:
    """``A x`` for a constant sparse matrix A, differentiable in x: the gradient is ``A' g``.

    On a CPU the product is scipy's, which takes as long as that of torch or less and keeps 32-bit indices;
    elsewhere it is torch's.

    Parameters
    ----------
    matrix, transposed
        A ``[r, c]`` and A' ``[c, r]``, float32 CSR.
    """

    def __init__(self, matrix: sp.csr_matrix, transposed: sp.csr_matrix) -> None:
        self.matrix, self.transposed = matrix, transposed
        self._there: dict[torch.device, tuple[Tensor, Tensor]] = {}

    def __call__(self, x: Tensor) -> Tensor:
        """``[c, d]`` to ``[r, d]``."""
        product: Tensor = _Product.apply(x, self)  # type: ignore[no-untyped-call]
        return product

    def multiply(self, x: Tensor, transposed: bool) -> Tensor:
        """``A x`` or ``A' x`` where ``x`` lies, without a gradient."""
        if x.device.type == "cpu":
            return torch.from_numpy((self.transposed if transposed else self.matrix) @ x.numpy())
        if x.device not in self._there:
            self._there[x.device] = (_to_torch(self.matrix, x.device), _to_torch(self.transposed, x.device))
        return self._there[x.device][transposed] @ x


class _Product(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, product: Product) -> Tensor:
        ctx.product = product
        return product.multiply(x.detach(), transposed=False)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        product: Product = ctx.product
        return product.multiply(grads[0].contiguous(), transposed=True), None


def _to_torch(matrix: sp.csr_matrix, device: torch.device) -> Tensor:
    return _sparse(matrix.indptr, matrix.indices, torch.from_numpy(matrix.data).to(device), matrix.shape)


def _sparse(indptr: Any, indices: Any, values: Tensor, shape: tuple[int, int]) -> Tensor:
    """A CSR tensor where its values lie."""
    rows, columns = (torch.from_numpy(a.astype(np.int64)).to(values.device) for a in (indptr, indices))
    with warnings.catch_warnings():  # that these tensors are in beta
        warnings.simplefilter("ignore", UserWarning)
        return torch.sparse_csr_tensor(rows, columns, values, shape, check_invariants=False)


class EdgeProduct:
    """``M x`` for ``M = diag(s) + sum over edges e = {a, b} of c_e w_e (a b' + b a')``, differentiable in x and w.

    M is symmetric, so the gradient in x is ``M g``; in w it is ``c_e (g_a'x_b + g_b'x_a)``, a product of two dense
    matrices that is taken at the edges alone. N nodes, E edges.

    Parameters
    ----------
    upper
        ``[N, N]`` float32 CSR with sorted indices and nothing on or below the diagonal: the c_e, whose order is that
        of the edges.
    diagonal
        float32 ``[N]``, s.
    """

    def __init__(self, upper: sp.csr_matrix, diagonal: npt.NDArray[np.float32]) -> None:
        n = len(diagonal)
        self.upper, self.diagonal = upper, diagonal
        rows, columns = np.repeat(np.arange(n), np.diff(upper.indptr)), upper.indices
        nodes = np.arange(n)
        entries = np.concatenate([np.arange(upper.nnz)] * 2 + [upper.nnz + nodes])  # where the value is found
        ends = np.concatenate([rows, columns, nodes]), np.concatenate([columns, rows, nodes])
        pattern = sp.csr_matrix((entries, ends), shape=(n, n))
        self.order, self.indices, self.indptr = pattern.data, pattern.indices, pattern.indptr
        self._there: dict[torch.device, Tensor] = {}

    def at(self, weights: Tensor) -> Callable[[Tensor], Tensor]:
        """The product ``[N, d]`` to ``[N, d]`` with the weights ``[E]`` as they are now."""
        matrix = self._matrix(weights.detach())

        def product(x: Tensor) -> Tensor:
            result: Tensor = _EdgeProduct.apply(x, weights, matrix, self)  # type: ignore[no-untyped-call]
            return result

        return product

    def weight_gradient(self, x: Tensor, gradient: Tensor) -> Tensor:
        """``[E]``, from the factor and the gradient of the product, ``[N, d]`` each."""
        if x.device not in self._there:
            self._there[x.device] = _to_torch(self.upper, x.device)
        pattern = self._there[x.device]
        products = (torch.sparse.sampled_addmm(pattern, a, b.T, beta=0) for a, b in ((x, gradient), (gradient, x)))
        gradients: Tensor = pattern.values() * sum(product.values() for product in products)
        return gradients

    def _matrix(self, weights: Tensor) -> Any:
        """M where the weights lie: scipy's on a CPU, elsewhere torch's."""
        if weights.device.type == "cpu":
            values = np.concatenate([self.upper.data * weights.numpy(), self.diagonal])[self.order]
            return sp.csr_matrix((values, self.indices, self.indptr), shape=self.upper.shape)
        parts = (self.upper.data, self.diagonal, self.order)
        coefficients, diagonal, order = (torch.from_numpy(part).to(weights.device) for part in parts)
        values = torch.cat([coefficients * weights, diagonal])[order]
        return _sparse(self.indptr, self.indices, values, self.upper.shape)


class _EdgeProduct(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weights: Tensor, matrix: Any, product: EdgeProduct) -> Tensor:
        ctx.matrix, ctx.product = matrix, product
        ctx.save_for_backward(x)
        return _times(matrix, x.detach())

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor | None, None, None]:
        (x,), g = ctx.saved_tensors, grads[0].contiguous()
        weights = ctx.product.weight_gradient(x, g) if ctx.needs_input_grad[1] else None
        return _times(ctx.matrix, g), weights, None, None


def _times(matrix: Any, x: Tensor) -> Tensor:
    product: Tensor = torch.from_numpy(matrix @ x.numpy()) if sp.issparse(matrix) else matrix @ x
    return product


def closure(edges: sp.csr_matrix, links: int) -> sp.csr_matrix:
    """Edges ``[n, m]`` and links between users or items two steps apart, among all n + m nodes.

    A link counts the paths between its ends. There are as many of them as the squares of the degrees, so that every
    node keeps its ``links`` strongest; one that either end keeps is there.

    Returns
    -------
    csr_matrix
        float32 ``[n + m, n + m]``, the part above the diagonal, with sorted indices; edges of ``edges`` count 1.
    """
    r = sp.csr_matrix(edges, dtype=np.float32, copy=True)
    r.data[:] = 1.0
    across = sp.triu(sp.bmat([[None, r], [r.T, None]]), format="csr")
    across.sort_indices()
    if links == 0:
        return sp.csr_matrix(across, dtype=np.float32)
    same = sp.block_diag([_strongest(r, links), _strongest(r.T.tocsr(), links)])
    upper = sp.csr_matrix(across + sp.triu(same.maximum(same.T)), dtype=np.float32)
    upper.sort_indices()
    return upper


def _strongest(r: sp.csr_matrix, links: int) -> sp.csr_matrix:
    """``[n, n]``: the largest ``links`` entries of every row of ``r r'`` off the diagonal, of equal ones the first."""
    n, transposed, blocks = r.shape[0], r.T.tocsr(), []
    for first in range(0, n, _ROWS):
        counts = sp.coo_matrix(r[first : first + _ROWS] @ transposed)
        other = counts.row + first != counts.col
        rows, columns, values = counts.row[other], counts.col[other], counts.data[other]
        order = np.lexsort((columns, -values, rows))
        starts = np.searchsorted(rows[order], rows[order])
        kept = order[np.arange(len(order)) - starts < links]
        blocks.append(sp.csr_matrix((values[kept], (rows[kept], columns[kept])), shape=(counts.shape[0], n)))
    return sp.csr_matrix(sp.vstack(blocks))
