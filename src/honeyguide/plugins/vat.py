"""VAT: adversarial training that perturbs most whom an attack would reach first (Zhang et al., RecSys 2024).

Users whose history is fitted well absorb what fake users teach most easily. So the vectors of a batch are moved against
the loss, each by an amount that grows with how well its user is fitted, and the loss there is minimised too. With a
constant amount it is adversarial personalised ranking (APR, He et al., SIGIR 2018). Shapes: n examples, d width.
"""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from honeyguide.core.dataset import Dataset
from honeyguide.core.errors import ConfigError
from honeyguide.core.plugin import Plugin, PluginConfig
from honeyguide.core.recommender import Recommender
from honeyguide.core.resources import Estimate
from honeyguide.nn.forward import LossContext

G = Literal["vulnerability", "constant", "inverted"]

_COST = 2.0  # passes over the scores and back, where there was one
_TINY = 1e-12


class VATConfig(PluginConfig):
    """Options of :class:`VAT`.

    Parameters
    ----------
    epsilon
        How far the vectors of an average user are moved.
    unit
        Of ``epsilon``: ``"length"``, as in the paper, or ``"norm"``, the root mean square of the lengths of the rows
        that are moved, which suits models whose vectors have other lengths and does not shrink as they grow.
    g
        How the amount depends on the user's loss: ``"vulnerability"`` (VAT), ``"constant"`` (APR), or ``"inverted"``,
        more for users who are fitted badly, to see that the direction matters.
    strength
        lambda of g: the average user gets half of it, a perfectly fitted one all.
    user_loss
        L(u) is the ``"mean"`` of the losses of a user's examples in the batch, or their ``"sum"``, as in the paper,
        whose batches are drawn by user; in batches of all events a sum would call active users badly fitted.
    alpha
        Weight of the adversarial loss.
    start
        Epochs of plain training before it.
    """

    epsilon: float = Field(0.3, gt=0)
    unit: Literal["norm", "length"] = "norm"
    g: G = "vulnerability"
    strength: float = Field(2.0, gt=0)
    user_loss: Literal["mean", "sum"] = "mean"
    alpha: float = Field(1.0, gt=0)
    start: int = Field(5, ge=0)


class VAT(Plugin):
    """Adds ``alpha * loss(vectors + Delta)``, with ``Delta = epsilon g(u) Gamma / |Gamma|`` for every row.

    ``Gamma`` is the gradient of the mean loss with respect to the vectors that enter the scores, user u the one
    whose example a row belongs to. Rows that all examples share (a table of items, negatives of a whole batch) get the
    mean of g over the examples. ``Delta`` is a constant for the second pass.

    Epochs before the start are never kept, however good on valid: nothing was defended in them.
    """

    name = "vat"
    Config = VATConfig
    config: VATConfig
    needs = frozenset({"vectors"})

    def bind(self, model: Recommender) -> None:
        """Refuse a model that would end before the adversary begins.

        Raises
        ------
        ConfigError
            If it has no more epochs than ``start``.
        """
        epochs = getattr(model.config, "epochs", None)
        if isinstance(epochs, int) and epochs <= self.config.start:
            raise ConfigError(
                f"{model.name} trains for {epochs} epochs, and vat.start is {self.config.start}: nothing is defended.",
                "Raise epochs or lower vat.start.",
            )

    def keeps_from(self) -> int:
        """The first epoch with an adversary."""
        return self.config.start

    def loss_terms(self, context: LossContext) -> Tensor | None:
        """The adversarial loss of a batch, from epoch ``start`` on."""
        if context.epoch < self.config.start:
            return None
        g = self.factors(context.pass_.users, context.losses)  # [n]
        moves = []
        rows = zip(context.pass_.vectors, context.pass_.owners, context.gradients(), strict=True)
        for vectors, owner, gradient in rows:
            own = g.mean() if owner is None else g[owner][:, None]
            moves.append(self._length(vectors) * own * F.normalize(gradient, dim=-1, eps=_TINY))
        return self.config.alpha * context.forward(moves)

    def factors(self, users: Tensor, losses: Tensor) -> Tensor:
        """Value of g for the user of every example, ``[n]``: ``lambda sigmoid(mean L / L(u) - 1)`` (VAT).

        Parameters
        ----------
        users
            int64 ``[n]``; an example of nobody that is known, -1, gets what the average user gets.
        losses
            ``[n]``, without a gradient.
        """
        c = self.config
        if c.g == "constant":
            return torch.full_like(losses, c.strength / 2)
        _, user = torch.unique(users, return_inverse=True)  # [n], from 0
        total = losses.new_zeros(int(user.max()) + 1).index_add_(0, user, losses)
        examples = torch.bincount(user)
        each = total if c.user_loss == "sum" else total / examples  # L(u)
        known = torch.zeros_like(each, dtype=torch.bool).index_fill_(0, user[users >= 0], True)
        mean = each[known].mean() if known.any() else each.new_ones(())
        each = torch.where(known, each, mean).clamp_min(_TINY)
        excess = mean / each if c.g == "vulnerability" else each / mean.clamp_min(_TINY)
        return (c.strength * torch.sigmoid(excess - 1))[user]

    def _length(self, vectors: Tensor) -> Tensor | float:
        if self.config.unit == "length":
            return self.config.epsilon
        return self.config.epsilon * vectors.detach().square().sum(-1).mean().sqrt()

    def estimate(self, inner: Estimate, data: Dataset) -> Estimate:
        """The second pass, and the moved vectors of a batch."""
        return Estimate(1.2 * inner.memory_bytes, _COST * inner.cpu_seconds)
