"""SimpleX: a user is the mean of the items taken, learnt with a strong contrast (Mao et al., CIKM 2021)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import scipy.sparse as sp
import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from honeyguide.core.dataset import Dataset
from honeyguide.core.fitting import FitOptions
from honeyguide.core.ragged import FloatArray, Ragged
from honeyguide.core.resources import Estimate
from honeyguide.models.factor.fold_in import FoldIn, popularity_scores
from honeyguide.models.factor.pair_training import Continued, PairConfig, PairModel, to_numpy
from honeyguide.models.linear.item_weights import distinct
from honeyguide.nn import pair_losses
from honeyguide.nn.forward import Forward, Weights, mean_loss
from honeyguide.nn.pairs import PairSampler
from honeyguide.nn.split_histories import HistoryBatch, SplitHistories
from honeyguide.nn.trainer import choose_device, seeded


class SimpleXConfig(PairConfig):
    """Options of :class:`SimpleX`: :class:`~honeyguide.models.factor.pair_training.PairConfig` with other defaults.

    ``fold_in`` has one value: the user's vector is a function of the history in training too.
    """

    loss: Literal["softmax", "contrastive"] = "softmax"
    fold_in: Literal["map"] = "map"
    lr: float = Field(0.01, gt=0)
    epochs: int = Field(40, ge=1)
    patience: int = Field(8, ge=1)
    update_share: float = Field(0.02, ge=0)
    update_lr: float | None = Field(0.1, gt=0)


class SimpleXNetwork(nn.Module):
    """Item vectors and the map of their mean. Shapes: m items, d width.

    Parameters
    ----------
    n_items
        Size of the catalogue.
    config
        Options.
    """

    def __init__(self, n_items: int, config: SimpleXConfig) -> None:
        super().__init__()
        self.items = nn.Parameter(config.init_std * torch.randn(n_items, config.dim))
        self.turn = nn.Parameter(torch.eye(config.dim))

    def user_vectors(self, read: Tensor, offsets: Tensor) -> Tensor:
        """``[b, d]``: V times the mean of each user's items (equations 3 and 4 with g = 0)."""
        return F.embedding_bag(read, self.items, offsets, mode="mean") @ self.turn

    def item_vectors(self) -> Tensor:
        """``[m, d]``."""
        return self.items


def history_forward(network: SimpleXNetwork, config: SimpleXConfig) -> Callable[[HistoryBatch], Forward]:
    """The pass over the items to be found, with the loss of ``config``."""

    def forward(batch: HistoryBatch) -> Forward:
        def value(vectors: Sequence[Tensor], weights: Weights | None) -> tuple[Tensor, Tensor]:
            users, items, negatives = vectors
            shared = (users, items, negatives, batch.collisions)
            if config.loss == "contrastive":
                each = pair_losses.cosine_contrastive(*shared, config.margin, config.weight, batch.rows)
            else:
                each = pair_losses.cosine_softmax(*shared, config.temperature, batch.rows)
            return mean_loss(each, weights)

        users = network.user_vectors(batch.read, batch.offsets)  # [b, d]
        items, negatives = (F.embedding(codes, network.items) for codes in (batch.targets, batch.negatives))
        rest = config.regularization * pair_losses.squared_norms(items, negatives) if config.regularization else None
        first = torch.zeros(len(users), dtype=torch.int64, device=users.device)  # an example of every user
        first[batch.rows] = torch.arange(len(items), device=users.device)
        pairs = torch.arange(len(items), device=users.device)
        return Forward(
            batch.users[batch.rows], batch.targets, (users, items, negatives), (first, pairs, None), value, rest
        )

    return forward


class SimpleX(PairModel):
    """Score of item j = cos(e_j, V mean of e_i over the history), up to the length of the user's vector."""

    name = "simplex"
    Config = SimpleXConfig
    config: SimpleXConfig
    capabilities = PairModel.capabilities | {"update"}

    def estimate(self, data: Dataset) -> Estimate:
        """Item vectors with gradient, moments and best copy; a batch. Early stopping ends the run halfway."""
        c, pairs = self.config, float(data.positives("train").height)
        numbers, batch = float(c.dim) * data.n_items, c.pairs_per_batch(int(pairs))
        users = batch * data.n_users / max(1.0, pairs)
        step = 6e-9 * numbers + users * c.negatives * (3e-9 + 1.2e-10 * c.dim) + batch * (1e-7 + 4e-9 * c.dim)
        memory = 4 * numbers * 8 + 60 * pairs + 24.0 * users * c.negatives + 2e8
        return Estimate(memory, c.epochs / 2 * (pairs / batch) * step)

    def _fit(self, data: Dataset, options: FitOptions) -> None:
        c, device, pairs = self.config, choose_device(options.device), data.matrix("train")
        with seeded(c.seed, device):
            network = SimpleXNetwork(data.n_items, c).to(device)
        batches, serve = self._batches(pairs, c), self._serving(network, popularity_scores(pairs))
        self._train(network, history_forward(network, c), batches, data, options, serve)

    def _go_on(self, served: FoldIn, histories: Ragged, config: SimpleXConfig, device: torch.device) -> Continued:
        network = SimpleXNetwork(len(served.outward), config).to(device)
        network.load_state_dict({"items": torch.from_numpy(served.inward), "turn": torch.from_numpy(served.turn)})
        batches = self._batches(distinct(histories, len(served.outward)), config)
        return network, history_forward(network, config), batches, self._serving(network, served.empty)

    def _batches(self, pairs: sp.csr_matrix, c: SimpleXConfig) -> SplitHistories:
        sampler = PairSampler(pairs, 1, c.negatives, c.popularity, c.seed)
        return SplitHistories(sampler, c.pairs_per_batch(pairs.nnz))

    def _serving(self, network: SimpleXNetwork, empty: FloatArray) -> Callable[[], FoldIn]:
        def serve() -> FoldIn:
            items, turn = to_numpy(network.items), to_numpy(network.turn)
            return FoldIn("map", items, to_numpy(F.normalize(network.items, dim=1)), turn, empty, exponent=1.0)

        return serve
