"""LightGCN: propagation of user and item vectors over their graph, and nothing else (He et al., SIGIR 2020)."""

from __future__ import annotations

from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from honeyguide.core.dataset import Dataset
from honeyguide.core.fitting import FitOptions
from honeyguide.core.resources import Estimate
from honeyguide.graph import BipartiteGraph
from honeyguide.models.factor.fold_in import FoldIn, How
from honeyguide.models.factor.pair_training import PairConfig, PairModel, pair_batches, pair_forward, to_numpy
from honeyguide.nn.pairs import PairBatch
from honeyguide.nn.trainer import choose_device, seeded


class LightGCNConfig(PairConfig):
    """Options of :class:`LightGCN`, beside those of :class:`~honeyguide.models.factor.pair_training.PairConfig`.

    Parameters
    ----------
    layers
        Steps of propagation.
    fold_in
        ``"ascent"`` was the best on valid, better than the vectors of the trained users themselves.
    """

    layers: int = Field(2, ge=0)
    fold_in: How = "ascent"


class LightGCNNetwork(nn.Module):
    """Free vectors of users and items, propagated. Shapes: n users, m items, d width.

    Parameters
    ----------
    graph
        Of the training pairs, symmetrically normalised.
    config
        Options.
    """

    def __init__(self, graph: BipartiteGraph, config: LightGCNConfig) -> None:
        super().__init__()
        self.graph, self.layers = graph, config.layers
        self.users = nn.Parameter(config.init_std * torch.randn(graph.n_users, config.dim))
        self.items = nn.Parameter(config.init_std * torch.randn(graph.n_items, config.dim))

    def vectors(self) -> tuple[Tensor, Tensor]:
        """``[n, d]`` and ``[m, d]``: the means of layers 0 to L (equation 4)."""
        return self.graph.propagate(self.users, self.items, self.layers)

    def user_vectors(self) -> Tensor:
        """``[n, d]``."""
        return self.vectors()[0]

    def item_vectors(self) -> Tensor:
        """``[m, d]``."""
        return self.vectors()[1]

    def inward_vectors(self) -> Tensor:
        """``[m, d]``: what an item adds to sqrt(|h|) times a user's vector, through layers 1 to L.

        ``e_u = (e_u^0 + sum_l sum_h e_i^(l-1) / sqrt(|h| d_i)) / (L + 1)``: the layers 0 to L - 1 of the item, summed,
        over ``(L + 1) sqrt(d_i)``.
        """
        if self.layers == 0:
            return self.items
        _, summed = self.graph.propagate(self.users, self.items, self.layers - 1, "sum")
        return self.graph.into_users(summed) / (self.layers + 1)

    def pair_vectors(self, batch: PairBatch) -> tuple[Tensor, Tensor, Tensor]:
        """Propagated vectors of a batch."""
        users, items = self.vectors()
        return F.embedding(batch.users, users), F.embedding(batch.items, items), F.embedding(batch.negatives, items)

    def free_vectors(self, batch: PairBatch) -> tuple[Tensor, ...]:
        """Layer 0 of a batch."""
        at = F.embedding
        return at(batch.users, self.users), at(batch.items, self.items), at(batch.negatives, self.items)


class LightGCN(PairModel):
    """Score of item j = ``e_u' e_j``, both means of their layers 0 to L; with a cosine loss, ``e_j`` at length 1.

    The trained user's own layer 0 is not kept; a user's vector is folded in from the history.
    """

    name = "lightgcn"
    Config = LightGCNConfig
    config: LightGCNConfig

    states: ClassVar[frozenset[str]] = PairModel.states | {"graph"}
    network: LightGCNNetwork | None = None  # of the fit, with its users; never saved

    def estimate(self, data: Dataset) -> Estimate:
        """Vectors with gradient, moments, best copy and layers; the graph in both directions; products and losses.

        Early stopping is taken to end the run after two thirds of the epochs.
        """
        c, pairs = self.config, float(data.positives("train").height)
        numbers = float(c.dim) * (data.n_users + data.n_items)
        batch = c.pairs_per_batch(int(pairs))
        memory = 4 * numbers * (9 + 2 * c.layers) + 60 * pairs + 24.0 * batch * c.scored + 2e8
        step = 2 * c.layers * (5e-10 * 2 * pairs * c.dim + 4e-10 * numbers) + 4e-9 * numbers
        step += batch * (c.scored * (3e-9 + 1.2e-10 * c.dim) + 2e-8 * c.dim)
        return Estimate(memory, c.epochs * 2 / 3 * (pairs / batch) * step)

    def _fit(self, data: Dataset, options: FitOptions) -> None:
        device, pairs = choose_device(options.device), data.matrix("train")
        with seeded(self.config.seed, device):
            network = LightGCNNetwork(self.hooks.graph(BipartiteGraph(pairs)), self.config).to(device)

        def serve() -> FoldIn:
            users, items = network.vectors()
            items = F.normalize(items, dim=1) if self.config.cosine else items
            vectors = to_numpy(users), to_numpy(network.inward_vectors()), to_numpy(items)
            return FoldIn.learn(self.config.fold_in, vectors, pairs, exponent=0.5 if self.config.layers else 1.0)

        forward, batches = pair_forward(network, self.config), pair_batches(pairs, self.config)
        self._train(network, forward, batches, data, options, serve)
        self.network = network
