"""Losses that hand what a teacher knows to a student, and spread vectors out. Shapes: p pairs, a anchors, k nodes."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def pair_distillation(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """Mean cross-entropy between the teacher's and the student's preference in every pair of items.

    ``-(a log b + (1 - a) log(1 - b))`` with ``a = sigmoid(teacher / temperature)`` and ``b`` of the student
    (LightGNN, Chen et al. 2025).

    Parameters
    ----------
    student, teacher
        ``[p]``: by how much the first item of a pair is scored above the second.
    temperature
        Positive.
    """
    return F.binary_cross_entropy_with_logits(student / temperature, torch.sigmoid(teacher / temperature))


def info_nce(anchors: Tensor, targets: Tensor, others: Tensor, temperature: float) -> Tensor:
    """Mean of ``-log(exp(cos(a, t) / temperature) / (its own + sum over others))`` (InfoNCE, van den Oord et al. 2018).

    Parameters
    ----------
    anchors, targets
        ``[a, d]`` each: a vector, and the one that it shall resemble.
    others
        ``[k, d]``, shared by all.
    temperature
        Positive.
    """
    anchors, targets, others = (F.normalize(x, dim=1) for x in (anchors, targets, others))
    own = (anchors * targets).sum(1) / temperature
    rest = torch.logsumexp(anchors @ others.T / temperature, 1)
    return (torch.logaddexp(own, rest) - own).mean()


def uniformity(products: Tensor, temperature: float) -> Tensor:
    """Mean over the anchors of the logarithm of ``mean over nodes of exp(<a, v> / temperature)``: small when spread.

    Parameters
    ----------
    products
        ``[a, k]``, the inner products.
    temperature
        Positive.
    """
    k = torch.tensor(float(products.shape[1]), device=products.device)
    return (torch.logsumexp(products / temperature, 1) - k.log()).mean()


def subspace_contrast(products: Tensor, anchors: Tensor, nodes: Tensor, slack: int) -> Tensor:
    """Draws together nodes whose vectors live in the same dimensions (LightGNN's relaxation of uniformity).

    A node is a positive of an anchor if all but ``slack`` of the dimensions of *both* are shared; the loss is
    ``-log(sum over positives / sum over all)`` of ``exp <a, v>``, averaged over the anchors that have positives.

    Parameters
    ----------
    products
        ``[a, k]``, the inner products.
    anchors, nodes
        ``[a, d]`` and ``[k, d]``, 1 for a dimension that is left and 0 for one that is not.
    slack
        Dimensions.
    """
    shared = anchors @ nodes.T
    positive = shared >= torch.maximum(anchors.sum(1)[:, None], nodes.sum(1)[None, :]) - slack
    some = positive.any(1)
    inside = products.masked_fill(~positive, -torch.inf)[some]
    each = torch.logsumexp(products[some], 1) - torch.logsumexp(inside, 1)
    return each.sum() / max(1, len(each))
