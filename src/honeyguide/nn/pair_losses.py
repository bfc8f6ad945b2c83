"""Losses over (user, item) pairs and negatives. Shapes: b users, p pairs, k shared negatives, d width."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def bpr(users: Tensor, items: Tensor, negatives: Tensor) -> Tensor:
    """-log sigmoid(u'i - u'j) of every pair, ``[p]`` (BPR, Rendle et al. 2009).

    Parameters
    ----------
    users, items, negatives
        ``[p, d]`` each: a user, an item taken, one not taken.
    """
    return -F.logsigmoid((users * (items - negatives)).sum(-1))


def cosine_softmax(
    users: Tensor,
    items: Tensor,
    negatives: Tensor,
    collisions: Tensor,
    temperature: float,
    rows: Tensor | None = None,
) -> Tensor:
    """-log softmax of cos(u, i) / temperature of each pair against the negatives, ``[p]`` (SSM, Wu et al. 2022).

    Parameters
    ----------
    users
        ``[b, d]``, of any length.
    items
        ``[p, d]``, what they took.
    negatives
        ``[k, d]``, shared by all.
    collisions
        int64 ``[2, c]``: users and negatives that do not count against each other.
    temperature
        Positive.
    rows
        int64 ``[p]``: whose pair each is; ``None`` where every user has one.
    """
    positive, negative = _cosines(users, items, negatives, rows)  # [p], [b, k]
    negative = (negative / temperature).index_put(_places(collisions), negative.new_tensor(-torch.inf))
    others = torch.logsumexp(negative, 1)  # [b]; each user's once, however many pairs
    positive = positive / temperature
    return torch.logaddexp(positive, others if rows is None else others[rows]) - positive


def cosine_contrastive(
    users: Tensor,
    items: Tensor,
    negatives: Tensor,
    collisions: Tensor,
    margin: float,
    weight: float,
    rows: Tensor | None = None,
) -> Tensor:
    """1 - cos(u, i) + weight * mean of max(0, cos(u, j) - margin), ``[p]`` (CCL of SimpleX, Mao et al. 2021).

    Parameters
    ----------
    users, items, negatives, collisions, rows
        As in :func:`cosine_softmax`.
    margin
        Cosine up to which a negative costs nothing.
    weight
        Of the negatives together.
    """
    positive, negative = _cosines(users, items, negatives, rows)
    excess = F.relu(negative - margin).index_put(_places(collisions), negative.new_zeros(()))
    others = excess.mean(1)  # [b]
    return 1 - positive + weight * (others if rows is None else others[rows])


def squared(users: Tensor, items: Tensor) -> tuple[Tensor, Tensor]:
    """What each pair costs if it is relevant, (1 - p)^2, and if it is not, p^2, with p = sigmoid(u'i): ``[p]`` twice.

    Parameters
    ----------
    users, items
        ``[p, d]`` each.
    """
    p = (users * items).sum(-1).sigmoid()
    return (1 - p).square(), p.square()


def logistic(users: Tensor, items: Tensor) -> tuple[Tensor, Tensor]:
    """As :func:`squared`, with the cross-entropies -log p and -log(1 - p)."""
    logits = (users * items).sum(-1)
    return F.softplus(-logits), F.softplus(logits)


def squared_norms(*vectors: Tensor) -> Tensor:
    """Sum over the arguments of half the mean squared norm of their rows: the L2 term of a batch."""
    return torch.stack([0.5 * v.square().sum(-1).mean() for v in vectors if len(v)]).sum()


def _cosines(users: Tensor, items: Tensor, negatives: Tensor, rows: Tensor | None) -> tuple[Tensor, Tensor]:
    """cos(u, i) ``[p]`` and cos(u, j) ``[b, k]``."""
    u, i, j = (F.normalize(x, dim=-1) for x in (users, items, negatives))
    return ((u if rows is None else u[rows]) * i).sum(-1), u @ j.T


def _places(collisions: Tensor) -> tuple[Tensor, Tensor]:
    return collisions[0], collisions[1]
