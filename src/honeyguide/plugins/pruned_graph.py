"""A graph with self-loops and a weight for every edge, from which edges and entries of vectors can be taken away.

Shapes: n users, m items, N = n + m nodes, E edges and links, d width.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
import torch
from torch import Tensor, nn

from honeyguide.graph import BipartiteGraph, Combine, EdgeProduct, closure

Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Kept:
    """What pruning has left.

    Parameters
    ----------
    edges
        Bool ``[number of edges]``, in the order of the CSR matrix of the edges.
    users, items
        Bool ``[n, d]`` and ``[m, d]``: entries of layer 0.
    """

    edges: Bools
    users: Bools
    items: Bools

    @property
    def share_of_edges(self) -> float:
        """Of all edges, those that are left."""
        return float(self.edges.mean())

    @property
    def share_of_entries(self) -> float:
        """Of the entries of both tables, those that are left."""
        return float((self.users.sum() + self.items.sum()) / (self.users.size + self.items.size))


class PrunedGraph(nn.Module, BipartiteGraph):
    """Propagation ``E <- W E`` over what is left, with W the weighted, normalised matrix of the graph.

    ``W = D^-1/2 (A + I) D^-1/2``, each edge times its weight. Degrees are those before pruning, so that an edge means
    the same whatever became of others; loops weigh 1 and stay. What was pruned from the vectors is zero at layer 0 and
    in what comes out for items, which is what is stored and served. Layers are added up, not averaged.

    Parameters
    ----------
    graph
        With all edges.
    links
        Strongest links to nodes of the same side two steps away, of every node; 0 for none.
    learnt
        Whether the edges' weights are learnt; else they are 1.
    kept
        What is left; ``None`` for everything.
    """

    user_mask: Tensor
    item_mask: Tensor

    def __init__(
        self, graph: BipartiteGraph, *, links: int = 0, learnt: bool = False, kept: Kept | None = None
    ) -> None:
        nn.Module.__init__(self)
        self.n_users, self.n_items, self.kept = graph.n_users, graph.n_items, kept
        self.whole = graph.edges
        self.whole.sort_indices()
        upper = closure(self.whole, links)
        degrees = 1 + np.asarray(upper.sum(0) + upper.sum(1).T).ravel()  # the loop counts
        self.item_degrees = degrees[self.n_users :].astype(np.float32)
        power = sp.diags(degrees**-0.5)
        upper = sp.csr_matrix(power @ upper @ power, dtype=np.float32)
        if kept is not None:
            upper.data[~kept.edges] = 0
            upper.eliminate_zeros()
        rows = np.repeat(np.arange(len(degrees)), np.diff(upper.indptr))
        self.across: Bools = (rows < self.n_users) & (upper.indices >= self.n_users)  # edges, not links
        self.edge_product = EdgeProduct(upper, (1 / degrees).astype(np.float32))
        self.weights = nn.Parameter(torch.ones(upper.nnz), requires_grad=learnt)
        masks = (torch.ones(1), torch.ones(1)) if kept is None else (_mask(kept.users), _mask(kept.items))
        for name, mask in zip(("user_mask", "item_mask"), masks, strict=True):
            self.register_buffer(name, mask, persistent=False)
        self.last: tuple[Tensor, Tensor] | None = None

    @property
    def edges(self) -> sp.csr_matrix:
        """``[n, m]``: the edges before pruning."""
        return self.whole

    def step(self, users: Tensor, items: Tensor) -> tuple[Tensor, Tensor]:
        """The next layer."""
        both = self._product(torch.cat([users, items]))
        return both[: self.n_users], both[self.n_users :]

    def propagate(self, users: Tensor, items: Tensor, layers: int, combine: Combine = "mean") -> tuple[Tensor, Tensor]:
        """As :meth:`BipartiteGraph.propagate`, but for the sum where a mean is asked for; kept in ``last``."""
        self._product = self.edge_product.at(self.weights)
        users, items = users * self.user_mask, items * self.item_mask
        users, items = BipartiteGraph.propagate(self, users, items, layers, "last" if combine == "last" else "sum")
        self.last = users, items * self.item_mask
        return self.last

    def into_users(self, items: Tensor) -> Tensor:
        """``[m, d]``: what an item adds to sqrt(|h|) times the next layer of a user with the history h.

        A user who is folded in has no edges that were weighed, so that an edge to an item counts as those to the item
        do on the average: the sum of the weights that are left over the number of all.
        """
        counts = np.maximum(np.bincount(self.whole.indices, minlength=self.n_items), 1)
        mean = np.bincount(self.whole.indices, self.edge_weights(), self.n_items) / counts
        scale = torch.from_numpy((mean / np.sqrt(self.item_degrees)).astype(np.float32)).to(items.device)
        return items * scale[:, None]

    def edge_weights(self) -> npt.NDArray[np.float32]:
        """float32 ``[number of edges]``, 0 for those that are gone."""
        weights: npt.NDArray[np.float32] = self.weights.detach().cpu().numpy()[self.across]
        if self.kept is None:
            return weights
        found = np.zeros(len(self.kept.edges), np.float32)
        found[self.kept.edges] = weights
        return found


def _mask(entries: Bools) -> Tensor:
    return torch.from_numpy(entries.astype(np.float32))
