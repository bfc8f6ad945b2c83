"""A pass over a batch in two steps, so that plug-ins see and change what lies between: the vectors that are scored.

Shapes: n examples, d width. An example is a pair of a user and an item: a next event, a pair of a factor model, a
labelled event.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import torch
from torch import Tensor

from honeyguide.core.plugin import Hooks, called

B = TypeVar("B")
Value = Callable[[Sequence[Tensor], "Weights | None"], tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class Weights:
    """What the examples of a batch weigh. ``None`` is one for all.

    Parameters
    ----------
    relevance
        ``[n]``, factor on the label: a pointwise loss is ``y r l+ + (1 - y r) l-``. A loss that ranks has positive
        examples alone, and is multiplied by it.
    loss
        ``[n]``, factor on the loss of the example.
    """

    relevance: Tensor | None = None
    loss: Tensor | None = None

    def times(self, other: Weights) -> Weights:
        """Both together."""
        return Weights(_product(self.relevance, other.relevance), _product(self.loss, other.loss))

    @property
    def factor(self) -> Tensor | None:
        """What the loss of a positive example is multiplied by, where it is not pointwise."""
        return _product(self.relevance, self.loss)


def _product(a: Tensor | None, b: Tensor | None) -> Tensor | None:
    return b if a is None else a if b is None else a * b


@dataclass(frozen=True)
class Forward:
    """One pass over a batch, up to the vectors whose products are scores.

    Parameters
    ----------
    users, items
        int64 ``[n]``: whose example, and of which item. Users are rows of the training part; those who are
        not known are -1.
    vectors
        What enters the scores: of users and items, one row an example or shared by all.
    owners
        For each of ``vectors``, int64: the example of every row; ``None`` where the rows are shared.
    value
        From vectors and weights to the mean loss, and to the loss of every example without a gradient and
        without weights, ``[n]``.
    rest
        What does not depend on the examples: a penalty on weights.
    labels
        ``[n]`` where examples have them; ``None`` where all are positive.
    others, taken
        int64 ``[n]``, where an example is a pair of items: the one it is compared with, and 1 where the user took
        that too; ``None`` where nobody took any.
    """

    users: Tensor
    items: Tensor
    vectors: tuple[Tensor, ...]
    owners: tuple[Tensor | None, ...]
    value: Value
    rest: Tensor | None = None
    labels: Tensor | None = None
    others: Tensor | None = None
    taken: Tensor | None = None


@dataclass(frozen=True)
class LossContext:
    """What a loss term is made of.

    Parameters
    ----------
    pass_
        The pass over the batch.
    loss
        Its weighted mean loss, with a gradient.
    losses
        ``[n]``, of every example, without.
    weights
        Of the examples.
    epoch
        From 0.
    """

    pass_: Forward
    loss: Tensor
    losses: Tensor
    weights: Weights | None
    epoch: int

    def forward(self, perturb: Sequence[Tensor]) -> Tensor:
        """The mean loss with ``perturb`` added to the vectors, one tensor for each: a second pass over the scores."""
        moved = [v + p for v, p in zip(self.pass_.vectors, perturb, strict=True)]
        return self.pass_.value(moved, self.weights)[0]

    def gradients(self) -> tuple[Tensor, ...]:
        """Of the mean loss with respect to the vectors, as constants; what the vectors come from is not passed."""
        return torch.autograd.grad(self.loss, self.pass_.vectors, retain_graph=True)


def batch_loss(forward: Callable[[B], Forward], hooks: Hooks) -> Callable[[B], Tensor]:
    """The loss that the trainer minimises, of a batch.

    Parameters
    ----------
    forward
        The model's pass over a batch.
    hooks
        Its plug-ins: what they weigh, and what they add.
    """

    def loss(batch: B) -> Tensor:
        found = forward(batch)
        if hooks.having["loss_terms"]:  # names of their own, or a table's gradient would pass through what was read
            found = replace(found, vectors=tuple(v.view_as(v) for v in found.vectors))
        weights = _weights(found, hooks)
        total, each = found.value(found.vectors, weights)
        terms = []
        for plugin in hooks.having["loss_terms"]:
            context = LossContext(found, total, each, weights, hooks.epoch)
            terms.append(called(plugin, plugin.loss_terms, context))
        for term in (*terms, found.rest):
            total = total if term is None else total + term
        return total

    return loss


def _weights(found: Forward, hooks: Hooks) -> Weights | None:
    weights = None
    for plugin in hooks.having["weights"]:
        own = called(plugin, plugin.weights, found)
        if own is not None:
            weights = own if weights is None else weights.times(own)
    return weights


def mean_loss(losses: Tensor, weights: Weights | None) -> tuple[Tensor, Tensor]:
    """The weighted mean of ``losses`` ``[n]`` that are ranking losses, and they themselves without a gradient."""
    factor = weights.factor if weights is not None else None
    weighted = losses if factor is None else losses * factor
    return weighted.mean(), losses.detach()


def mean_reweighed(losses: Callable[[Tensor | None], Tensor], weights: Weights | None) -> tuple[Tensor, Tensor]:
    """The weighted mean of losses that are pointwise, and those of the examples without weights.

    Parameters
    ----------
    losses
        From r, the factor on the labels (``None`` for one), to ``y r l+ + (1 - y r) l-`` ``[n]``.
    weights
        Their ``relevance`` is r; ``loss`` is a factor on the whole.
    """
    plain = losses(None)
    if weights is None:
        return plain.mean(), plain.detach()
    each = plain if weights.relevance is None else losses(weights.relevance)
    return (each if weights.loss is None else each * weights.loss).mean(), plain.detach()


def rows_of(real: Tensor, rows: Tensor | None = None) -> Tensor:
    """int64 ``[n]``: for every real position of ``[b, t]``, in order, its row; or its entry in ``rows`` ``[b]``."""
    own = torch.arange(len(real), device=real.device) if rows is None else rows
    return own[:, None].expand_as(real)[real]
