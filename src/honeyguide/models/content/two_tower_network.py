"""The networks of the two towers, what is known of items, and the pass over a batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from honeyguide.core.ragged import FloatArray, Ragged
from honeyguide.nn import losses
from honeyguide.nn.batches import IGNORED, Batch
from honeyguide.nn.blocks import Dropout, RMSNorm, init_weights
from honeyguide.nn.forward import Forward, Weights, mean_loss, rows_of
from honeyguide.nn.fusion import fusion

if TYPE_CHECKING:
    from honeyguide.models.content.two_tower import TwoTowerConfig


class Known(NamedTuple):
    """What is known of n items: texts ``[n, D]``, pictures ``[n, D']`` or none, category buckets and their offsets."""

    text: Tensor
    image: Tensor | None
    buckets: Tensor
    offsets: Tensor


class Features:
    """What is known of items, on the device of the towers.

    Parameters
    ----------
    text, images
        float32 ``[n, D]`` and ``[n, D']``, or ``None`` where no pictures are read.
    buckets
        Category buckets of every item.
    """

    def __init__(self, text: Tensor, images: Tensor | None, buckets: Ragged) -> None:
        self.text, self.images, self.buckets = text, images, buckets

    def take(self, items: Tensor) -> Known:
        """What is known of the item codes ``[n]``."""
        taken = self.buckets.take(items.cpu().numpy())
        buckets, offsets = torch.from_numpy(taken.values), torch.from_numpy(taken.offsets[:-1].astype(np.int32))
        images = self.images[items] if self.images is not None else None
        return Known(self.text[items], images, buckets.to(self.text.device), offsets.to(self.text.device))


class Towers(nn.Module):
    """Both networks. Shapes: b rows, t positions, n items, d width.

    Parameters
    ----------
    n_items, text_dim, image_dim
        Items with a vector of their own, and width of their texts and, where they are read, of their pictures.
    config
        Options.
    """

    def __init__(self, n_items: int, text_dim: int, image_dim: int | None, config: TwoTowerConfig) -> None:
        super().__init__()
        c = config
        self.text = nn.Linear(text_dim, c.dim, bias=False)
        self.categories = nn.EmbeddingBag(c.buckets, c.dim, mode="mean")
        self.ids = nn.Embedding(n_items, c.dim) if c.ids else None
        self.ages = nn.Parameter(-0.3 * torch.arange(c.max_len, dtype=torch.float32))  # of log-weights, recent first
        self.worth = nn.Linear(c.dim, 1, bias=False)
        self.mix = nn.Sequential(nn.Linear(c.dim, 2 * c.dim), nn.SiLU(), nn.Linear(2 * c.dim, c.dim))
        self.norm, self.norm_in = RMSNorm(c.dim), RMSNorm(c.dim)
        self.dropout, self.id_dropout = Dropout(c.dropout), c.id_dropout
        init_weights(self, c.init_std)
        nn.init.normal_(self.categories.weight, std=c.init_std)
        nn.init.normal_(self.text.weight, std=c.init_std * 2)  # texts have length one
        if self.ids is not None:
            nn.init.normal_(self.ids.weight, std=c.init_std / 2)
        self.images = nn.Linear(image_dim, c.dim, bias=False) if image_dim is not None else None
        if self.images is not None:
            nn.init.normal_(self.images.weight, std=c.init_std * 2)
        self.fuse = fusion(c.fusion, 2 + (image_dim is not None) + c.ids, c.dim)

    def items(self, known: Known, ids: Tensor | None = None) -> Tensor:
        """``[n, d]`` from what is known of items and, for those that have been there, their codes ``[n]``."""
        bags = self.categories(known.buckets, known.offsets)
        counts = known.offsets.diff(append=known.offsets.new_tensor([len(known.buckets)]))
        parts, there = [self.text(self.dropout(known.text)), bags], [known.text.any(1), counts > 0]
        if self.images is not None and known.image is not None:
            parts.append(self.images(self.dropout(known.image)))
            there.append(known.image.any(1))
        if self.ids is not None:
            hidden = torch.zeros(len(bags), dtype=torch.bool, device=bags.device)
            if ids is None:
                own, hidden = torch.zeros_like(bags), ~hidden
            else:
                own = self.ids(ids)
                if self.training and self.id_dropout > 0:
                    hidden = torch.rand(len(own), 1, device=own.device)[:, 0] < self.id_dropout
                    own = own * ~hidden[:, None]
            parts.append(own)
            there.append(~hidden)
        fused: Tensor = self.fuse(parts, there)
        return fused

    def states(self, read: Tensor) -> Tensor:
        """``[b, t, d]``: the user after each event, from the vectors of the events ``[b, t, d]``.

        The weight of event s at position t is softmax over s <= t of ``age[t - s] + w v_s``; the state is
        n(p + MLP(n(p))) of the weighted mean p.
        """
        t = read.shape[1]
        age = torch.arange(t, device=read.device)[:, None] - torch.arange(t, device=read.device)  # [t, t]
        logits = self.ages[age.clamp(0)] + self.worth(self.norm_in(read)).transpose(1, 2)  # [b, t, t]
        weights = logits.masked_fill(age < 0, -torch.inf).softmax(-1)
        return self._state(weights @ read)

    def last_state(self, read: Tensor, lengths: Tensor) -> Tensor:
        """``[b, d]``: what :meth:`states` gives after the last of ``lengths`` ``[b]`` events, alone."""
        age = lengths[:, None] - 1 - torch.arange(read.shape[1], device=read.device)  # [b, t]
        logits = self.ages[age.clamp(0)] + self.worth(self.norm_in(read))[..., 0]  # [b, t]
        weights = logits.masked_fill(age < 0, -torch.inf).softmax(-1)
        return self._state((weights[:, None] @ read)[:, 0])

    def _state(self, mean: Tensor) -> Tensor:
        """``n(p + MLP(n(p)))`` of weighted means p."""
        mean = self.norm_in(self.dropout(mean))
        state: Tensor = self.norm(mean + self.dropout(self.mix(mean)))
        return state


def state_of_one(network: Towers, read: FloatArray) -> FloatArray:
    """float32 ``[d]``: :meth:`Towers.last_state` of one user from ``[t, d]``, by numpy.

    For one user most of what torch takes is calling torch: this is a third of it. A test holds both equal.
    """
    n = network
    gain_in, gain, worth = (p.detach().numpy() for p in (n.norm_in.gain, n.norm.gain, n.worth.weight[0]))
    logits = n.ages.detach().numpy()[len(read) - 1 :: -1] + _normed(read, gain_in) @ worth  # [t]
    weights = np.exp(logits - logits.max())
    mean = _normed((weights / weights.sum()) @ read, gain_in)
    inner, outer = n.mix[0], n.mix[2]
    h = inner.weight.detach().numpy() @ mean + inner.bias.detach().numpy()  # type: ignore[operator]
    h = h / (1 + np.exp(-h))
    mixed = outer.weight.detach().numpy() @ h + outer.bias.detach().numpy()  # type: ignore[operator]
    found: FloatArray = _normed(mean + mixed, gain).astype(np.float32, copy=False)
    return found


def _normed(x: FloatArray, gain: FloatArray) -> FloatArray:
    """RMSNorm of the last axis."""
    found: FloatArray = x * (gain / np.sqrt(np.square(x).mean(-1, keepdims=True) + 1e-6))
    return found


def towers_forward(network: Towers, features: Features, q: Tensor, negatives: int) -> Callable[[Batch], Forward]:
    """The pass over a batch, with sampled softmax at every real position; each item goes through its tower once.

    Parameters
    ----------
    network, features
        The towers, and what is known of all items.
    q
        ``[n_items]`` probability of drawing each item as a negative.
    negatives
        How many are drawn.
    """
    log_q = q.clamp_min(1e-12).log()

    def forward(batch: Batch) -> Forward:
        real = batch.targets != IGNORED
        drawn = torch.multinomial(q, negatives, replacement=True)
        codes, place = torch.unique(torch.cat([batch.items.flatten(), batch.targets[real], drawn]), return_inverse=True)
        vectors = network.items(features.take(codes), codes)  # [n, d]
        n_read, n_targets = batch.items.numel(), int(real.sum())
        read, targets, others = place.split([n_read, n_targets, negatives])
        states = network.states(F.embedding(read.view(batch.items.shape), vectors))[real]  # [n_targets, d]

        def value(scored: Sequence[Tensor], weights: Weights | None) -> tuple[Tensor, Tensor]:
            return mean_loss(losses.sampled_softmax(scored[0], scored[1], targets, others, log_q[codes]), weights)

        own = torch.arange(n_targets, device=states.device)
        users = rows_of(real, batch.users)
        return Forward(users, batch.targets[real], (states, vectors), (own, None), value)

    return forward
