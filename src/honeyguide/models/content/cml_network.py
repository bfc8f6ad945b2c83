"""Collaborative metric learning: the vectors, the distance and the losses of one batch.

Shapes: b rows, t positions, p real positions, s negatives, n items, d width.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from honeyguide.core.ragged import Ragged
from honeyguide.nn.batches import IGNORED, Batch

if TYPE_CHECKING:
    from honeyguide.models.content.cml import CMLConfig


class Metric(nn.Module):
    """Items in the unit ball: ``g(t)`` of their text, and theta, a vector of their own that is pulled to it.

    Parameters
    ----------
    n_items, text_dim
        Items with a vector of their own, and width of their texts.
    config
        Options.
    """

    ages: Tensor

    def __init__(self, n_items: int, text_dim: int, config: CMLConfig) -> None:
        super().__init__()
        c = config
        self.swap, self.use = c.swap, c.items
        self.text = nn.Linear(text_dim, c.dim)
        self.theta = nn.Embedding(n_items, c.dim)
        nn.init.normal_(self.text.weight, std=1 / c.dim**0.5)
        nn.init.zeros_(self.text.bias)
        nn.init.normal_(self.theta.weight, std=0.5 / c.dim**0.5)
        self.register_buffer("ages", torch.arange(c.max_len, dtype=torch.float32))
        self.log_decay = float(np.log(c.decay))
        # Of the probability: sigma(bias + film - scale d + often log(1 + events)).
        self.bias, self.scale, self.often = (nn.Parameter(torch.tensor(v)) for v in (0.0, 1.0, 0.0))
        self.film = nn.Embedding(n_items, 1)
        nn.init.zeros_(self.film.weight)

    def written(self, text: Tensor) -> Tensor:
        """``g(t)`` in the unit ball, ``[n, d]`` of texts ``[n, D]``."""
        placed: Tensor = in_ball(self.text(text))
        return placed

    def items(self, text: Tensor, codes: Tensor, known: Tensor) -> Tensor:
        """``[n, d]``: what stands for each item; for one without events (bool ``[n]``) its text alone."""
        own, said = in_ball(self.theta(codes)), self.written(text)
        if self.use == "free":
            return own
        if self.use == "text":
            return said
        use = known & text.any(1)
        by_text = ~use if not self.training else ~use | (torch.rand(len(codes), device=own.device) < self.swap)
        by_text = by_text & text.any(1)  # who has no text is what was learnt of it
        return torch.where(by_text[:, None], said, own)

    def states(self, read: Tensor) -> Tensor:
        """``[b, t, d]``: after each event the mean of the events so far, weighted ``decay^age``."""
        ages = self.ages[: read.shape[1]]
        behind = ages[:, None] - ages  # [t, t]
        weights = torch.where(behind >= 0, torch.exp(self.log_decay * behind), 0.0)
        state: Tensor = (weights / weights.sum(1, keepdim=True)) @ read
        return state

    def logit(self, squared: Tensor, codes: Tensor, events: Tensor) -> Tensor:
        """Logit of the probability of taking an item at squared distance ``squared`` after so many events."""
        taste = F.softplus(self.scale) * (squared + 1e-9).sqrt()
        logit: Tensor = self.bias + self.film(codes)[..., 0] - taste + self.often * torch.log1p(events.float())
        return logit


def in_ball(vectors: Tensor) -> Tensor:
    """Rows of at most length one."""
    inside: Tensor = vectors / vectors.norm(dim=-1, keepdim=True).clamp_min(1.0)
    return inside


class Releases:
    """What was there to be taken when: items by their first training event.

    Without times (or where they are not to be matched) everything with an event always was.

    Parameters
    ----------
    histories
        Training histories.
    n_items
        Size of the catalogue.
    matched
        Whether negatives are drawn from what was there already.
    """

    def __init__(self, histories: Ragged, n_items: int, matched: bool) -> None:
        timed = matched and histories.times is not None
        first = np.full(n_items, np.iinfo(np.int64).max)
        times = histories.times if timed and histories.times is not None else np.zeros(len(histories.values), np.int64)
        np.minimum.at(first, histories.values, times)
        order = np.argsort(first, kind="stable")[: len(np.unique(histories.values))]
        self.order, self.first = torch.from_numpy(order), torch.from_numpy(first[order])
        self.timed = timed

    def draw(self, times: Tensor | None, n: int, count: int) -> Tensor:
        """int64 ``[n, count]``: items at random of those that were there at ``times`` ``[n]``."""
        there = torch.full((n,), len(self.order))
        if self.timed and times is not None:
            there = torch.searchsorted(self.first, times, right=True).clamp_min(1)
        return self.order[(torch.rand(n, count) * there[:, None]).long().clamp_max(len(self.order) - 1)]


def metric_loss(
    network: Metric, texts: Tensor, known: Tensor, releases: Releases, config: CMLConfig
) -> Callable[[Batch], Tensor]:
    """The loss of a batch: ``L = L_m + lambda_f L_f + lambda_c L_c + lambda_p L_p``.

    Parameters
    ----------
    network, texts, known
        The vectors; texts ``[n_items, D]``; which items have training events.
    releases
        Where negatives are drawn.
    config
        The weights of the terms.
    """
    c = config

    def loss(batch: Batch) -> Tensor:
        real = batch.targets != IGNORED
        places = real.nonzero()  # [p, 2]
        targets = batch.targets[real]
        times = batch.times[real] if batch.times is not None else None
        drawn = releases.draw(times, len(targets), c.negatives)  # [p, s]
        codes, at = torch.unique(torch.cat([batch.items.flatten(), targets, drawn.flatten()]), return_inverse=True)
        z = network.items(texts[codes], codes, known[codes])  # [n, d]
        read, wanted, others = at.split([batch.items.numel(), len(targets), drawn.numel()])
        u = network.states(F.embedding(read.view(batch.items.shape), z))[real]  # [p, d]
        near = (u - z[wanted]).square().sum(-1)  # d(u, i)^2, [p]
        far = (u[:, None] - z[others.view(drawn.shape)]).square().sum(-1)  # d(u, j)^2, [p, s]
        taken = taken_of(drawn, batch, places[:, 0])
        events = places[:, 1] + 1
        return (
            ranked(near, far, taken, c.margin, len(releases.order))
            + c.feature * pulled(network, texts[codes], codes, known[codes])
            + c.covariance * correlated(z)
            + c.logistic * judged(network, near, far[:, 0], taken[:, 0], targets, drawn[:, 0], events)
        )

    return loss


def taken_of(drawn: Tensor, batch: Batch, rows: Tensor) -> Tensor:
    """Bool ``[p, s]``: which of the drawn are in the window of their user, and so no negatives."""
    taken = drawn == batch.items[rows, 0][:, None]
    for column in range(batch.targets.shape[1]):  # one of t at a time: [p, s, t] would not fit
        taken |= drawn == batch.targets[rows, column][:, None]  # padding is no item
    return taken


def ranked(near: Tensor, far: Tensor, taken: Tensor, margin: float, n_items: int) -> Tensor:
    """``L_m``, mean over positions of ``w [margin + d(u,i)^2 - d(u,j)^2]+`` of the nearest negative j.

    ``w = log(rank + 1)`` with the rank of i estimated from the share of negatives within the margin (WARP, Weston
    et al. 2011; Hsieh et al. 2017, eq. 1 and 2).
    """
    far = far.masked_fill(taken, torch.inf)
    within = (margin + near[:, None] - far) > 0  # [p, s]
    share = within.sum(1) / (~taken).sum(1).clamp_min(1)
    weight = torch.log1p((share * n_items).floor())
    nearest = far.min(1).values
    return (weight * F.relu(margin + near - nearest)).mean()


def pulled(network: Metric, text: Tensor, codes: Tensor, known: Tensor) -> Tensor:
    """``L_f``, mean of ``|theta_i - g(t_i)|^2`` over the items of the batch that have both."""
    if network.use != "both":
        return text.new_zeros(())
    both = (known & text.any(1)).float()
    distance = (in_ball(network.theta(codes)) - network.written(text)).square().sum(-1)
    return (both * distance).sum() / both.sum().clamp_min(1)


def correlated(z: Tensor) -> Tensor:
    """``L_c``, the squares of the covariances of different coordinates over the items of the batch, per coordinate."""
    moved = z - z.mean(0)
    covariance = moved.T @ moved / len(z)  # [d, d]
    return (covariance.square().sum() - covariance.diagonal().square().sum()) / z.shape[1]


def judged(
    network: Metric, near: Tensor, far: Tensor, taken: Tensor, items: Tensor, others: Tensor, events: Tensor
) -> Tensor:
    """``L_p``, logistic loss of one item that was taken and one that was there; distances as they are.

    The head reads the metric and does not bend it: what places the items is who took what, and their text.
    """
    yes = network.logit(near.detach(), items, events)
    no = network.logit(far.detach(), others, events)
    return F.softplus(-yes).mean() + (F.softplus(no) * ~taken).sum() / (~taken).sum().clamp_min(1)
