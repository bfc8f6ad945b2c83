"""Losses of next-item prediction over an item table. Shapes: n positions, m items, d width, k negatives."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

_BLOCK = 1 << 20  # scores held at once: 4 MiB of float32 stay in the cache of one core
_COLUMNS = 1024  # items per matrix product: wider results leave the cache before they are used


class _FullSoftmax(torch.autograd.Function):
    """Mean cross-entropy over all items, whose gradient is formed while the probabilities are at hand.

    With s = h w' and p = softmax(s), d loss / d s = p - onehot(y), hence d loss / d h = (p - onehot(y)) w
    and d loss / d w = (p - onehot(y))' h, each row times its weight. Nothing of size n x m outlives its chunk.
    """

    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, table: Tensor, targets: Tensor, compute: torch.dtype, weights: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        n, m = len(hidden), len(table)
        step = max(64, _BLOCK // m) if hidden.device.type == "cpu" else max(1024, 128 * _BLOCK // m)
        grad_hidden, grad_table = torch.empty_like(hidden), torch.zeros_like(table)
        narrow = table.to(compute)  # [m, d]; the same tensor where compute is float32
        scores = narrow.new_empty(min(n, step), m)
        each = hidden.new_empty(n)
        for start in range(0, n, step):
            h, y = hidden[start : start + step].to(compute), targets[start : start + step, None]  # [c, d], [c, 1]
            s = scores[: len(h)]  # [c, m]
            for column in range(0, m, _COLUMNS):
                block = slice(column, column + _COLUMNS)
                torch.mm(h, narrow[block].T, out=s[:, block])
            p = torch.softmax(s, 1, dtype=hidden.dtype)
            p_target = p.gather(1, y)
            own = p_target[:, 0].clamp_min(torch.finfo(p.dtype).tiny).log().neg()  # a loss above 87 reads as 87
            each[start : start + step] = own
            p.scatter_(1, y, p_target - 1)
            if weights is not None:
                p *= weights[start : start + step, None]
            p = p.to(compute)
            grad_hidden[start : start + step] = p @ narrow
            if compute == grad_table.dtype:
                grad_table.addmm_(p.T, h)
            else:
                grad_table += p.T @ h
        ctx.save_for_backward(grad_hidden.div_(n), grad_table.div_(n))
        ctx.mark_non_differentiable(each)
        return (each if weights is None else each * weights).mean(), each

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, None, None, None]:
        grad_hidden, grad_table = ctx.saved_tensors
        return grads[0] * grad_hidden, grads[0] * grad_table, None, None, None


def full_softmax(
    hidden: Tensor, table: Tensor, targets: Tensor, weights: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """-log softmax(hidden table')[target], averaged, in memory that does not grow with n * m.

    Matrix products are made in the type of the surrounding ``torch.autocast``, if any; sums are not.

    Parameters
    ----------
    hidden
        ``[n, d]``.
    table
        ``[m, d]`` item vectors.
    targets
        int64 ``[n]``.
    weights
        ``[n]``, by which the losses are multiplied before the mean; without a gradient.

    Returns
    -------
    Tensor, Tensor
        The mean; and the loss of every position, ``[n]``, without weights and without a gradient.
    """
    device = hidden.device.type
    compute = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else torch.float32
    found: tuple[Tensor, Tensor] = _FullSoftmax.apply(  # type: ignore[no-untyped-call]
        hidden.float(), table.float(), targets, compute, weights
    )
    return found


def sampled_softmax(
    hidden: Tensor, table: Tensor, targets: Tensor, negatives: Tensor, log_q: Tensor | None = None
) -> Tensor:
    """Softmax over the target and ``k`` negatives (Jean et al. 2015): ``[n]``.

    Parameters
    ----------
    hidden, table, targets
        As in :func:`full_softmax`.
    negatives
        int64 ``[k]``, shared by all positions, or ``[n, k]``. A negative that is the target of a
        position is left out there.
    log_q
        ``[m]`` log-probability of drawing each item as a negative. Where given, scores become
        s - log_q, which makes the loss estimate that of the full softmax (Bengio & Senecal 2008; the
        target too, as in Yi et al. 2019); without it all negatives count the same.
    """
    positive, negative = _pairs(hidden, table, targets, negatives)  # [n, 1], [n, k]
    if log_q is not None:
        positive = positive - log_q[targets, None]
        negative = negative - log_q[negatives]
    scores = torch.cat([positive, negative], 1)
    return F.cross_entropy(scores, torch.zeros_like(targets), reduction="none")  # the target is column 0


def importance_softmax(hidden: Tensor, table: Tensor, targets: Tensor, negatives: Tensor) -> Tensor:
    """-log softmax(hidden table')[target] with its sum over the items estimated from ``k`` of them: ``[n]``.

    -s+ + log(exp s+ + m / k sum_k exp s-): every negative, drawn uniformly, stands for m / k items. One that is the
    target is left out, so the estimate of the sum over the other items has no bias (importance sampling: Bengio &
    Senecal 2008; Jean et al. 2015). Without that weight (:func:`sampled_softmax`) the target stands against k items
    alone, and a model that ranks it above these has nothing left to learn. Parameters as in :func:`sampled_softmax`;
    ``negatives`` ``[k]``.
    """
    positive, negative = _pairs(hidden, table, targets, negatives)  # [n, 1], [n, k]
    scores = torch.cat([positive, negative + math.log(len(table) / len(negatives))], 1)
    return F.cross_entropy(scores, torch.zeros_like(targets), reduction="none")


def info_nce(states: Tensor, table: Tensor, targets: Tensor, negatives: Tensor, alike: float = 0.99) -> Tensor:
    """Softmax over the target and shared negatives without those that are the target in other words: ``[n]``.

    -log exp(h e+) / (exp(h e+) + sum_k [cos(e+, e_k) <= alike] exp(h e_k)) (HLLM, Chen et al. 2024). Where states are
    s h / |h| and vectors have length one, the products are s cos(h, e).

    Parameters
    ----------
    states, table, targets, negatives
        As in :func:`full_softmax` and :func:`sampled_softmax`; ``negatives`` ``[k]``.
    alike
        A negative whose cosine with the target is above this is left out there.
    """
    positive, negative = _pairs(states, table, targets, negatives)  # [n, 1], [n, k]
    with torch.no_grad():
        unit = F.normalize(table, dim=-1)
        same = unit[targets] @ unit[negatives].T > alike
    negative = negative.masked_fill(same, -torch.inf)
    return F.cross_entropy(torch.cat([positive, negative], 1), torch.zeros_like(targets), reduction="none")


def gbce(hidden: Tensor, table: Tensor, targets: Tensor, negatives: Tensor, calibration: float = 0.75) -> Tensor:
    """Generalised binary cross-entropy (gSASRec, Petrov & Macdonald 2023): ``[n]``.

    -(beta log sigmoid(s+) + sum_k log(1 - sigmoid(s-))), beta = a (t (1 - 1/a) + 1/a), where
    a = k / (m - 1) is the share of negatives sampled. ``calibration`` t = 0 is the plain binary
    cross-entropy of SASRec; t = 1 undoes the overconfidence that sampling brings.

    Parameters
    ----------
    hidden, table, targets, negatives
        As in :func:`sampled_softmax`.
    calibration
        t in [0, 1].
    """
    positive, negative = _pairs(hidden, table, targets, negatives)
    a = negatives.shape[-1] / max(1, len(table) - 1)
    beta = a * (calibration * (1 - 1 / a) + 1 / a)
    return -(beta * F.logsigmoid(positive[:, 0]) + F.logsigmoid(-negative).sum(1))


def bce(hidden: Tensor, table: Tensor, targets: Tensor, negatives: Tensor, relevance: Tensor | None = None) -> Tensor:
    """Binary cross-entropy against negatives (SASRec, Kang & McAuley 2018), :func:`gbce` with t = 0: ``[n]``.

    Parameters
    ----------
    hidden, table, targets, negatives
        As in :func:`sampled_softmax`.
    relevance
        ``[n]``, r: the target costs -(r log sigmoid(s+) + (1 - r) log(1 - sigmoid(s+))).
    """
    if relevance is None:
        return gbce(hidden, table, targets, negatives, 0.0)
    positive, negative = _pairs(hidden, table, targets, negatives)
    target = relevance * F.softplus(-positive[:, 0]) + (1 - relevance) * F.softplus(positive[:, 0])
    return target + F.softplus(negative).sum(1)


def draw_negatives(n_items: int, shape: tuple[int, ...], device: torch.device) -> Tensor:
    """int64 item codes, uniform, from the generator of torch."""
    return torch.randint(n_items, shape, device=device)


def _pairs(hidden: Tensor, table: Tensor, targets: Tensor, negatives: Tensor) -> tuple[Tensor, Tensor]:
    """Scores of the target ``[n, 1]`` and of the negatives ``[n, k]``, minus infinity where they are the target."""
    positive = (hidden * table[targets]).sum(-1, keepdim=True)
    vectors = table[negatives]  # [k, d] or [n, k, d]
    negative = hidden @ vectors.T if negatives.ndim == 1 else torch.einsum("nd,nkd->nk", hidden, vectors)
    return positive, negative.masked_fill(negatives == targets[:, None], -torch.inf)
