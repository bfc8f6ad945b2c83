"""A calibrator of trust: how likely the user behind a sequence is a fake (LoRec, Zhang et al., SIGIR 2024).

It reads what a sequence model makes of every event and sums it up in one vector, which is drawn towards what a language
model makes of the titles. Shapes: n sequences, b of a batch, t events, w width of an event, D width of the text.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from honeyguide.core.ragged import FloatArray, Ragged
from honeyguide.nn.blocks import Dropout, LiGRBlock, RMSNorm, init_weights

_LENGTHS = (5, 9, 17, 33, 65, 129)  # where groups of sequences end
HIDDEN = 128  # width of the feed-forward layers and of the classifier


@dataclass(frozen=True)
class Events:
    """What the calibrator reads of sequences: one vector for every event.

    Parameters
    ----------
    vectors
        ``[events, w]``, one after the other; nothing passes a gradient back from them.
    offsets
        int64 ``[n + 1]``: sequence i is ``vectors[offsets[i]:offsets[i + 1]]``.
    """

    vectors: Tensor
    offsets: npt.NDArray[np.int64]

    @classmethod
    def of(
        cls, items: FloatArray, states: FloatArray, read: Ragged, device: torch.device, *, before: bool = True
    ) -> Events:
        """``concat[e_i, h]`` at every position, each half with a root mean square of one.

        Parameters
        ----------
        items
            float32 ``[m, d]``, of the catalogue.
        states
            float32 ``[events, d]``: the state of the model after every event of ``read``.
        read
            The events.
        device
            Where the calibrator is.
        before
            h is the state before the event, what the model expected (0 before the first), and not the one after it.
        """
        if before:
            states = np.concatenate([np.zeros_like(states[:1]), states[:-1]])
            states[read.offsets[:-1][read.lengths > 0]] = 0
        halves = [half / max(float(np.sqrt(np.square(half).mean())), 1e-12) for half in (items[read.values], states)]
        return cls(torch.from_numpy(np.concatenate(halves, axis=1)).to(device), read.offsets)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def and_also(self, other: Self) -> Events:
        """These sequences, and then those."""
        offsets = np.concatenate([self.offsets, self.offsets[-1] + other.offsets[1:]])
        return Events(torch.cat([self.vectors, other.vectors]), offsets)

    def groups(self, rows: npt.NDArray[np.integer]) -> tuple[npt.NDArray[np.int64], list[tuple[Tensor, Tensor]]]:
        """Sequences of near-equal length together, so that little is padded: the order of ``rows``, and the batches."""
        lengths = self.offsets[rows + 1] - self.offsets[rows]
        order = np.argsort(lengths, kind="stable")
        bounds = np.searchsorted(lengths[order], _LENGTHS)
        parts = [part for part in np.split(order, bounds) if len(part)]
        return order, [self.batch(rows[part]) for part in parts]

    def batch(self, rows: npt.NDArray[np.integer]) -> tuple[Tensor, Tensor]:
        """``[b, t, w]``, padded with zeros on the right, and bool ``[b, t]``: which are events."""
        lengths = self.offsets[rows + 1] - self.offsets[rows]
        step = np.arange(int(lengths.max(initial=1)))
        real = step < lengths[:, None]
        at = np.where(real, self.offsets[rows][:, None] + step, 0)
        device = self.vectors.device
        mask = torch.from_numpy(real).to(device)
        return self.vectors[torch.from_numpy(at).to(device)] * mask[..., None], mask


class Calibrator(nn.Module):
    """Two transformer blocks behind a learnt summary token, and a classifier on what stands there in the end.

    ``x_u`` is the state of the summary token, ``c_u = sigmoid(BN(W2 GELU(Drop(BN(W1 x_u)))))``, and ``g(z_u)`` a GELU
    layer from the text to the width of ``x_u``. Scoring reads ``x_u`` alone.

    Parameters
    ----------
    width
        w.
    text
        D; 0 without a text.
    length
        Most events of a sequence.
    blocks, heads, dropout
        Of the transformer.
    prior
        Share of fakes among what it learns from; c begins there.
    """

    def __init__(
        self,
        width: int,
        text: int,
        length: int,
        blocks: int = 2,
        heads: int = 2,
        dropout: float = 0.1,
        prior: float = 0.5,
    ) -> None:
        super().__init__()
        self.summary = nn.Parameter(0.02 * torch.randn(width))
        self.positions = nn.Parameter(0.02 * torch.randn(length + 1, width))
        self.blocks = nn.ModuleList(LiGRBlock(width, heads, dropout, None) for _ in range(blocks))
        init_weights(self.blocks, 0.02)
        self.norm = RMSNorm(width)
        self.inner, self.outer = nn.Linear(width, HIDDEN), nn.Linear(HIDDEN, 1)
        self.norm_inner, self.norm_outer = nn.BatchNorm1d(HIDDEN), nn.BatchNorm1d(1)
        nn.init.constant_(self.norm_outer.bias, math.log(prior / (1 - prior)))
        self.dropout = Dropout(dropout)
        self.text = nn.Sequential(nn.Linear(text, width), nn.GELU()) if text else None

    def forward(self, groups: Sequence[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
        """Of a batch, x ``[b, w]`` and the logit of c ``[b]``, from groups: events ``[., t, w]``, bool ``[., t]``."""
        x = torch.cat([self.summed(*group) for group in groups])
        inner = self.dropout(self.norm_inner(self.inner(x)))
        return x, self.norm_outer(self.outer(F.gelu(inner)))[:, 0]

    def summed(self, vectors: Tensor, real: Tensor) -> Tensor:
        """The state of the summary token, ``[., w]``."""
        x = torch.cat([self.summary.expand(len(vectors), 1, -1), vectors], 1)  # [b, 1 + t, w]
        there = F.pad(real, (1, 0), value=True)
        x = x + self.positions[: x.shape[1]]
        for block in self.blocks:
            x = block(x * there[..., None], there)
        found: Tensor = self.norm(x[:, 0])
        return found


def calibration_loss(
    calibrator: Calibrator,
    groups: Sequence[tuple[Tensor, Tensor]],
    labels: Tensor,
    texts: Tensor | None,
    entropy: float,
    likeness: float,
) -> Tensor:
    """``BCE(c, y) + lambda_1 1[y = 0] H(c) - lambda_2 cos(x, g(z))``, the mean over a batch.

    The entropy of users, who are labelled 0, is made small because some of them are fakes: it allows a sure 1 for these
    in place of a lukewarm 0. That of the fakes that are known to be such is not.

    Parameters
    ----------
    calibrator
        In the mode of training.
    groups
        See :meth:`Events.groups`; labels and texts are in their order.
    labels
        ``[b]``, 1 for what was made up, 0 for the users of the log.
    texts
        z ``[b, D]``, or ``None``.
    entropy, likeness
        lambda_1 and lambda_2.
    """
    x, logits = calibrator(groups)
    each = F.binary_cross_entropy_with_logits(logits, labels, reduction="none")
    chance = torch.sigmoid(logits)
    uncertain = chance * F.softplus(-logits) + (1 - chance) * F.softplus(logits)  # H(c)
    each = each + entropy * (1 - labels) * uncertain
    if calibrator.text is not None and texts is not None:
        each = each - likeness * F.cosine_similarity(x, calibrator.text(texts))
    return each.mean()


def shuffled(n: int, size: int, device: torch.device) -> Iterator[npt.NDArray[np.int64]]:
    """Rows 0 to n in random batches of about equal size, none of a single row."""
    order = torch.randperm(n, device="cpu").numpy()
    yield from np.array_split(order, max(1, round(n / size)))


@torch.no_grad()
def suspicion(calibrator: Calibrator, events: Events, size: int = 2048) -> FloatArray:
    """The score c of every sequence, float32 ``[n]``."""
    calibrator.eval()
    found = np.empty(len(events), np.float32)
    order = np.argsort(np.diff(events.offsets), kind="stable")
    for start in range(0, len(order), size):
        rows = order[start : start + size]
        found[rows] = torch.sigmoid(calibrator([events.batch(rows)])[1]).cpu().numpy()
    return found
