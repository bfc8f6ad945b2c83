"""The bipartite graph of users and items, and propagation over it.

Shapes: n users, m items, d width.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor

Normalisation = Literal["symmetric", "row"]
Combine = Literal["mean", "sum", "last"]


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
            users, items = self.to_users(items), self.to_items(users)  # neither side sees the other's new layer
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
    indptr, indices = (torch.from_numpy(a.astype(np.int64)) for a in (matrix.indptr, matrix.indices))
    return torch.sparse_csr_tensor(indptr, indices, torch.from_numpy(matrix.data), matrix.shape, device=device)
