"""MF: matrix factorisation with a pointwise loss, every pair on its own (as in Saito et al., WSDM 2020)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from honeyguide.core.dataset import Dataset
from honeyguide.core.fitting import FitOptions
from honeyguide.core.ragged import FloatArray, Ragged
from honeyguide.core.resources import Estimate
from honeyguide.models.factor.fold_in import FoldIn, How
from honeyguide.models.factor.pair_training import (
    Continued,
    PairConfig,
    PairModel,
    pair_batches,
    pair_forward,
    to_numpy,
)
from honeyguide.models.factor.pair_update import trained_like
from honeyguide.models.linear.item_weights import distinct
from honeyguide.nn.forward import Forward
from honeyguide.nn.pairs import PairBatch
from honeyguide.nn.trainer import choose_device, seeded


class MFConfig(PairConfig):
    """Options of :class:`MF`, beside those of :class:`~honeyguide.models.factor.pair_training.PairConfig`.

    Parameters
    ----------
    loss
        ``"squared"``, bounded, or ``"logistic"``, the cross-entropy.
    biases
        Of users, of items and of all.
    regularization
        Weight of half the mean squared norms of the vectors of a batch; biases are free.
    decay
        Weight of half the squared norms of both tables, whole: the paper's penalty, which grows with their size.
    """

    loss: Literal["squared", "logistic"] = "squared"
    biases: bool = False
    regularization: float = Field(0.01, ge=0)
    decay: float = Field(0.0, ge=0)
    init_std: float = Field(0.1, gt=0)
    fold_in: How = "map"
    lr: float = Field(0.01, gt=0)
    epochs: int = Field(60, ge=1)
    patience: int = Field(5, ge=1)
    update_share: float = Field(0.02, ge=0)


class PointwiseNetwork(nn.Module):
    """A vector and a bias for every user and item. Shapes: n users, m items, d width.

    Parameters
    ----------
    n_users, n_items
        Sizes.
    config
        Options.
    """

    def __init__(self, n_users: int, n_items: int, config: MFConfig) -> None:
        super().__init__()
        self.users = nn.Parameter(config.init_std * torch.randn(n_users, config.dim))
        self.items = nn.Parameter(config.init_std * torch.randn(n_items, config.dim))
        self.user_bias = nn.Parameter(torch.zeros(n_users, 1), requires_grad=config.biases)
        self.item_bias = nn.Parameter(torch.zeros(n_items, 1), requires_grad=config.biases)
        self.bias = nn.Parameter(torch.zeros(()), requires_grad=config.biases)

    def user_vectors(self) -> Tensor:
        """``[n, d + 2]``: the vector, 1, and the biases of user and all, which stand opposite the item's 1."""
        return torch.cat([self.users, torch.ones_like(self.user_bias), self.user_bias + self.bias], 1)

    def item_vectors(self) -> Tensor:
        """``[m, d + 2]``: the vector, its bias, and 1."""
        return torch.cat([self.items, self.item_bias, torch.ones_like(self.item_bias)], 1)

    def pair_vectors(self, batch: PairBatch) -> tuple[Tensor, Tensor, Tensor]:
        """The rows of a batch: products are ``u'v + b_i + b_u + b``."""
        users, items = F.embedding(batch.users, self.user_vectors()), F.embedding(batch.items, self.item_vectors())
        return users, items, items[:0]

    def free_vectors(self, batch: PairBatch) -> tuple[Tensor, ...]:
        """The vectors without the biases."""
        return F.embedding(batch.users, self.users), F.embedding(batch.items, self.items)

    def probabilities(self, prior: float) -> FloatArray:
        """float32 ``[n, m]``: the chance of every pair where the share ``prior`` of all pairs occurs.

        Trained on as many pairs that occur as pairs that do not, a logit is that of a prior of one half
        (case-control sampling); the log-odds of the true one are added.
        """
        logits = self.user_vectors() @ self.item_vectors().T + torch.logit(torch.tensor(prior))
        return to_numpy(logits.sigmoid())  # type: ignore[no-any-return]


class MF(PairModel):
    """Score of item j = ``x'v_j + b_j``, where ``x`` is folded in from the history; the logit of being relevant.

    Minimises ``sum y (1 - p)^2 + w (1 - y) p^2`` over pairs, with ``p = sigmoid(u'v + b_u + b_i + b)``, or the
    cross-entropies in place of the squares: y is 1 for the pairs that occur and 0 for as many that do not.
    """

    name = "mf"
    Config = MFConfig
    config: MFConfig
    capabilities = PairModel.capabilities | {"update"}

    network: PointwiseNetwork | None = None  # of the fit, with its users; never saved

    def estimate(self, data: Dataset) -> Estimate:
        """Vectors with gradient, moments and best copy; a batch. Early stopping is taken to come after half."""
        c, pairs = self.config, float(data.positives("train").height)
        numbers = float(c.dim + 1) * (data.n_users + data.n_items)
        batch = c.pairs_per_batch(int(pairs))
        step = 6e-9 * numbers + batch * (1 + c.scored) * (1e-7 + 1e-8 * c.dim)
        memory = 4 * numbers * 10 + 60 * pairs + 60.0 * batch * (1 + c.scored) * c.dim + 2e8
        return Estimate(memory, c.epochs / 2 * (pairs / batch) * step)

    def _fit(self, data: Dataset, options: FitOptions) -> None:
        device, pairs = choose_device(options.device), data.matrix("train")
        with seeded(self.config.seed, device):
            network = PointwiseNetwork(data.n_users, data.n_items, self.config).to(device)

        def serve() -> FoldIn:
            users, items = to_numpy(network.user_vectors())[:, :-1], to_numpy(network.item_vectors())
            inward = items.copy()
            inward[:, -2] = 1.0  # the mean of ones is the 1 opposite the bias
            return FoldIn.learn(self.config.fold_in, (users, inward[:, :-1], items[:, :-1]), pairs, exponent=1.0)

        self._train(network, self._forward(network), pair_batches(pairs, self.config), data, options, serve)
        self.network = network

    def _forward(self, network: PointwiseNetwork) -> Callable[[PairBatch], Forward]:
        plain = pair_forward(network, self.config)

        def forward(batch: PairBatch) -> Forward:
            found = plain(batch)
            if not self.config.decay:
                return found
            norms = 0.5 * self.config.decay * (network.users.square().sum() + network.items.square().sum())
            return replace(found, rest=norms if found.rest is None else found.rest + norms)

        return forward

    def _go_on(self, served: FoldIn, histories: Ragged, config: MFConfig, device: torch.device) -> Continued:
        """Biases of items stay, and those of the users in hand are learnt: the artifact has none."""
        network = PointwiseNetwork(len(histories), len(served.outward), config).to(device)
        items, bias = served.outward[:, :-1], served.outward[:, -1:]  # [m, d], [m, 1]
        with torch.no_grad():
            network.users.copy_(torch.from_numpy(trained_like(served, histories)[:, :-1]))
            network.items.copy_(torch.from_numpy(items))
            network.item_bias.copy_(torch.from_numpy(bias))
        network.item_bias.requires_grad_(False)

        def serve() -> FoldIn:
            moved = to_numpy(network.items)
            ones = np.ones_like(bias)
            return replace(served, inward=np.hstack([moved, ones]), outward=np.hstack([moved, bias]))

        batches = pair_batches(distinct(histories, len(served.outward)), config)
        return network, self._forward(network), batches, serve
