"""MF-BPR: matrix factorisation that ranks what was taken above what was not (Rendle et al., UAI 2009)."""

from __future__ import annotations

from dataclasses import replace

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
    Loss,
    PairConfig,
    PairModel,
    pair_batches,
    pair_forward,
    to_numpy,
)
from honeyguide.models.factor.pair_update import trained_like
from honeyguide.models.linear.item_weights import distinct
from honeyguide.nn.pairs import PairBatch
from honeyguide.nn.trainer import choose_device, seeded


class MFBPRConfig(PairConfig):
    """Options of :class:`MFBPR`: :class:`~honeyguide.models.factor.pair_training.PairConfig` with other defaults."""

    loss: Loss = "bpr"
    regularization: float = Field(0.02, ge=0)
    fold_in: How = "aggregate"
    lr: float = Field(0.02, gt=0)
    epochs: int = Field(60, ge=1)
    update_share: float = Field(0.015, ge=0)


class MFNetwork(nn.Module):
    """One vector for every user and item. Shapes: n users, m items, d width.

    Parameters
    ----------
    n_users, n_items
        Sizes.
    config
        Options.
    """

    def __init__(self, n_users: int, n_items: int, config: MFBPRConfig) -> None:
        super().__init__()
        self.users = nn.Parameter(config.init_std * torch.randn(n_users, config.dim))
        self.items = nn.Parameter(config.init_std * torch.randn(n_items, config.dim))

    def user_vectors(self) -> Tensor:
        """``[n, d]``."""
        return self.users

    def item_vectors(self) -> Tensor:
        """``[m, d]``."""
        return self.items

    def pair_vectors(self, batch: PairBatch) -> tuple[Tensor, Tensor, Tensor]:
        """The rows of a batch."""
        at = F.embedding
        return at(batch.users, self.users), at(batch.items, self.items), at(batch.negatives, self.items)

    def free_vectors(self, batch: PairBatch) -> tuple[Tensor, ...]:
        """The same."""
        return self.pair_vectors(batch)


class MFBPR(PairModel):
    """Score of item j = ``x' y_j``, where ``x`` is folded in from the history.

    Vectors maximise ``sum log sigmoid(x_u' (y_i - y_j))`` over pairs (u, i) that occur and j that u did not take
    (equation of BPR-OPT), less the squared norms. Only those of the items are kept.
    """

    name = "mf-bpr"
    Config = MFBPRConfig
    config: MFBPRConfig
    capabilities = PairModel.capabilities | {"update"}

    network: MFNetwork | None = None  # of the fit, with its users; never saved

    def estimate(self, data: Dataset) -> Estimate:
        """Vectors with gradient, moments and best copy; a batch. Early stopping is taken to come after two thirds."""
        c, pairs = self.config, float(data.positives("train").height)
        numbers = float(c.dim) * (data.n_users + data.n_items)
        batch = c.pairs_per_batch(int(pairs))
        step = 4e-9 * numbers + batch * (c.scored * (3e-9 + 1.2e-10 * c.dim) + 2e-8 * c.dim)
        memory = 4 * numbers * 8 + 60 * pairs + 24.0 * batch * c.scored + 2e8
        return Estimate(memory, c.epochs * 2 / 3 * (pairs / batch) * step)

    def _fit(self, data: Dataset, options: FitOptions) -> None:
        device, pairs = choose_device(options.device), data.matrix("train")
        with seeded(self.config.seed, device):
            network = MFNetwork(data.n_users, data.n_items, self.config).to(device)

        def serve() -> FoldIn:
            items = self._outward(network)
            return FoldIn.learn(self.config.fold_in, (to_numpy(network.users), items, items), pairs, exponent=1.0)

        forward, batches = pair_forward(network, self.config), pair_batches(pairs, self.config)
        self._train(network, forward, batches, data, options, serve)
        self.network = network

    def _outward(self, network: MFNetwork) -> FloatArray:
        vectors: FloatArray = to_numpy(F.normalize(network.items, dim=1) if self.config.cosine else network.items)
        return vectors

    def _go_on(self, served: FoldIn, histories: Ragged, config: MFBPRConfig, device: torch.device) -> Continued:
        network = MFNetwork(len(histories), len(served.outward), config).to(device)
        users = torch.from_numpy(trained_like(served, histories))
        network.load_state_dict({"users": users, "items": torch.from_numpy(served.outward)})

        def serve() -> FoldIn:
            items = self._outward(network)
            return replace(served, inward=items, outward=items)

        batches = pair_batches(distinct(histories, len(served.outward)), config)
        return network, pair_forward(network, config), batches, serve
