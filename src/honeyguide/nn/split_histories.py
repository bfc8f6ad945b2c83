"""Batches of users whose history is cut in two at random: one part is read, the other is to be found."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from honeyguide.nn.pairs import PairSampler


@dataclass(frozen=True)
class HistoryBatch:
    """Users of one batch. Shapes: b users, r items read, p items to be found, k negatives, c collisions.

    Parameters
    ----------
    users
        int64 ``[b]``, their codes.
    read, offsets
        int64 ``[r]`` and ``[b]``: the items read, user after user, and where each user's begin; one or more each.
    targets, rows
        int64 ``[p]``: the items to be found and the place in the batch of their users.
    negatives
        int64 ``[k]``, shared by the batch, none twice.
    collisions
        int64 ``[2, c]``: user and place in ``negatives`` of every negative that the user took.
    """

    users: torch.Tensor
    read: torch.Tensor
    offsets: torch.Tensor
    targets: torch.Tensor
    rows: torch.Tensor
    negatives: torch.Tensor
    collisions: torch.Tensor

    def to(self, device: torch.device) -> HistoryBatch:
        """The same batch on ``device``."""
        if device.type == self.read.device.type:
            return self
        parts = (self.users, self.read, self.offsets, self.targets, self.rows, self.negatives, self.collisions)
        return HistoryBatch(*(t.to(device) for t in parts))


class SplitHistories:
    """Every user with two items or more once an epoch, in random order, cut anew each time.

    Each item is read with probability one half; one item at least is read and one to be found. A batch depends
    on nothing but the sampler's seed, the number of the epoch and its own.

    Parameters
    ----------
    sampler
        Knows the pairs and draws the shared negatives.
    pairs
        Users are batched until they have so many pairs.
    """

    def __init__(self, sampler: PairSampler, pairs: int) -> None:
        self.sampler, self.pairs = sampler, pairs
        self.users = np.flatnonzero(np.diff(sampler.offsets) >= 2)

    def epoch(self, number: int) -> SplitEpoch:
        """The batches of one epoch."""
        s = self.sampler
        order = np.random.default_rng([s.seed, number]).permutation(self.users)
        ends = np.cumsum(s.offsets[order + 1] - s.offsets[order])
        total = int(ends[-1]) if len(ends) else 0
        cuts = np.unique(np.searchsorted(ends, np.arange(self.pairs, total, self.pairs)) + 1)
        return SplitEpoch(s, number, [part for part in np.split(order, cuts) if len(part)])


@dataclass(frozen=True)
class SplitEpoch:
    """The batches of one epoch, made when asked for.

    Parameters
    ----------
    sampler
        Knows the pairs.
    number
        Of the epoch.
    parts
        int64, the users of each batch.
    """

    sampler: PairSampler
    number: int
    parts: list[npt.NDArray[np.int64]]

    def __len__(self) -> int:
        return len(self.parts)

    def __iter__(self) -> Iterator[HistoryBatch]:
        return (self[i] for i in range(len(self)))

    def __getitem__(self, index: int) -> HistoryBatch:
        s, users = self.sampler, self.parts[index]
        rng = np.random.default_rng([s.seed, self.number, index])
        rows, items = s.taken(users)
        noise = rng.random(len(items))
        order = np.lexsort((noise, rows))  # each user's items shuffled
        rows, items, noise = rows[order], items[order], noise[order]
        starts = np.searchsorted(rows, np.arange(len(users)))
        read = noise < 0.5
        read[starts] = True  # the lowest of a user
        read[np.append(starts[1:], len(rows)) - 1] = False  # the highest
        offsets = np.cumsum(np.bincount(rows[read], minlength=len(users))) - np.bincount(rows[read])
        negatives = s.draw_shared(rng)
        arrays = users, items[read], offsets, items[~read], rows[~read], negatives, s.collisions(users, negatives)
        return HistoryBatch(*(torch.from_numpy(a) for a in arrays))
