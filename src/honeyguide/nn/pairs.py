"""Batches of (user, item) pairs with negatives redrawn every epoch. Shapes: b pairs, k negatives, c collisions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
import torch

_ROUNDS = 20  # draws until a user who took nearly everything is given up
_NO_COLLISIONS: npt.NDArray[np.int64] = np.empty((2, 0), np.int64)


@dataclass(frozen=True)
class PairBatch:
    """Pairs of one batch.

    Parameters
    ----------
    users, items
        int64 ``[b]``: who took what.
    negatives
        int64: ``[b]``, one item for each pair that its user did not take (the item itself where twenty draws
        found none); or ``[k]``, items shared by the batch, none twice.
    collisions
        int64 ``[2, c]``: pair and place in ``negatives`` of every shared negative that the pair's user took;
        empty for negatives of single pairs.
    labels
        ``[b]`` of pairs that are labelled: 1 for those that occur, 0 for others. ``None`` where all occur.
    taken
        ``[b]``: 1 where the user took the ``negatives`` of the pair. ``None`` where nobody took any.
    stands_for
        Pairs that do not occur for each of them in a batch, where the pairs are labelled.
    """

    users: torch.Tensor
    items: torch.Tensor
    negatives: torch.Tensor
    collisions: torch.Tensor
    labels: torch.Tensor | None = field(default=None, kw_only=True)
    taken: torch.Tensor | None = field(default=None, kw_only=True)
    stands_for: float = field(default=1.0, kw_only=True)

    def to(self, device: torch.device) -> PairBatch:
        """The same batch on ``device``."""
        if device.type == self.users.device.type:
            return self
        labels, taken = (t if t is None else t.to(device) for t in (self.labels, self.taken))
        pairs = (t.to(device) for t in (self.users, self.items, self.negatives, self.collisions))
        return PairBatch(*pairs, labels=labels, taken=taken, stands_for=self.stands_for)


class PairSampler:
    """Every positive pair once an epoch, in random order, with negatives or beside pairs that do not occur.

    A batch depends on nothing but ``seed``, the number of the epoch and its own.

    Parameters
    ----------
    positives
        ``[n, m]``, CSR without duplicates: the pairs that occur.
    batch
        Pairs in a batch.
    shared
        ``None`` for one negative of its own for every pair, or k items that a batch shares.
    popularity
        Negatives are drawn in proportion to an item's number of pairs to this power; 0 is uniform.
    seed
        Of order and negatives.
    unlabelled
        Instead of negatives, so many pairs that do not occur for each that does: the user drawn uniformly, the
        item as a negative. Batches then have labels.
    taken
        Negatives of single pairs are drawn from all items, those that the user took among them.
    """

    def __init__(
        self,
        positives: sp.csr_matrix,
        batch: int,
        shared: int | None,
        popularity: float = 0.0,
        seed: int = 0,
        *,
        unlabelled: int = 0,
        taken: bool = False,
    ) -> None:
        positives = sp.csr_matrix(positives)
        positives.sort_indices()
        self.n_users, self.n_items = positives.shape
        self.unlabelled, self.any_item = unlabelled, taken
        self.offsets: npt.NDArray[np.int64] = positives.indptr.astype(np.int64)
        self.items: npt.NDArray[np.int64] = positives.indices.astype(np.int64)
        self.users = np.repeat(np.arange(positives.shape[0]), np.diff(self.offsets))
        self.keys = self.users * self.n_items + self.items  # rising
        self.batch, self.seed = batch, seed
        self.shared = None if shared is None else min(shared, self.n_items)
        weights = np.bincount(self.items, minlength=self.n_items).astype(np.float64) ** popularity
        drawable = int((weights > 0).sum())
        if self.shared is not None and drawable < self.shared:  # items nobody took, at a power above 0
            self.shared = drawable
        self.shares = None if popularity == 0 or not weights.any() else weights / weights.sum()

    def epoch(self, number: int) -> PairEpoch:
        """The batches of one epoch."""
        return PairEpoch(self, number, np.random.default_rng([self.seed, number]).permutation(len(self.items)))

    def draw(self, rng: np.random.Generator, users: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """int64 ``[b]``: an item that each of ``users`` did not take, or -1 where none was found."""
        drawn = self._some(rng, len(users), replace=True)
        for _ in range(_ROUNDS):
            taken = np.flatnonzero(self.took(users, drawn))
            if len(taken) == 0:
                return drawn
            drawn[taken] = self._some(rng, len(taken), replace=True)
        return np.where(self.took(users, drawn), -1, drawn)

    def draw_shared(self, rng: np.random.Generator) -> npt.NDArray[np.int64]:
        """int64 ``[k]`` different items."""
        return self._some(rng, self.shared or 0, replace=False)

    def took(self, users: npt.NDArray[np.int64], items: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
        """Whether each pair occurs, ``[b]``."""
        keys = users * self.n_items + items
        place = np.minimum(np.searchsorted(self.keys, keys), len(self.keys) - 1)
        found: npt.NDArray[np.bool_] = self.keys[place] == keys
        return found

    def collisions(self, users: npt.NDArray[np.int64], negatives: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """int64 ``[2, c]``: which of the shared ``negatives`` the user of each pair took."""
        place = np.full(self.n_items, -1)
        place[negatives] = np.arange(len(negatives))
        rows, items = self.taken(users)
        found = place[items]
        hit = found >= 0
        return np.stack([rows[hit], found[hit]])

    def taken(self, users: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Place in ``users`` and item of every pair of theirs, user after user."""
        lengths = self.offsets[users + 1] - self.offsets[users]
        rows = np.repeat(np.arange(len(users)), lengths)
        within = np.arange(len(rows)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        return rows, self.items[self.offsets[users][rows] + within]

    def _some(self, rng: np.random.Generator, n: int, replace: bool) -> npt.NDArray[np.int64]:
        if self.shares is None and replace:
            return rng.integers(0, self.n_items, n)
        return rng.choice(self.n_items, n, replace=replace, p=self.shares)


@dataclass(frozen=True)
class PairEpoch:
    """The batches of one epoch, made when asked for.

    Parameters
    ----------
    sampler
        Where the pairs come from.
    number
        Of the epoch.
    order
        int64 ``[nnz]``, a permutation of the pairs.
    """

    sampler: PairSampler
    number: int
    order: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return -(-len(self.order) // self.sampler.batch)

    def __iter__(self) -> Iterator[PairBatch]:
        return (self[i] for i in range(len(self)))

    def __getitem__(self, index: int) -> PairBatch:
        s = self.sampler
        rng = np.random.default_rng([s.seed, self.number, index])
        rows = self.order[index * s.batch : (index + 1) * s.batch]
        users, items = s.users[rows], s.items[rows]
        if s.unlabelled:
            return self._labelled(rng, users, items)
        if s.shared is None and s.any_item:
            negatives = s._some(rng, len(users), replace=True)
            taken = torch.from_numpy(s.took(users, negatives).astype(np.float32))
            return PairBatch(*_tensors(users, items, negatives, _NO_COLLISIONS), taken=taken)
        if s.shared is None:
            negatives, collisions = s.draw(rng, users), _NO_COLLISIONS
            negatives = np.where(negatives < 0, items, negatives)
        else:
            negatives = s.draw_shared(rng)
            collisions = s.collisions(users, negatives)
        return PairBatch(*_tensors(users, items, negatives, collisions))

    def _labelled(
        self, rng: np.random.Generator, users: npt.NDArray[np.int64], items: npt.NDArray[np.int64]
    ) -> PairBatch:
        """The pairs, and behind them those that do not occur."""
        s = self.sampler
        others = rng.integers(0, s.n_users, s.unlabelled * len(users))
        drawn = s.draw(rng, others)
        others, drawn = others[drawn >= 0], drawn[drawn >= 0]  # of who took nearly everything there is none
        labels = np.repeat([1.0, 0.0], [len(users), len(others)]).astype(np.float32)
        users, items = np.concatenate([users, others]), np.concatenate([items, drawn])
        pairs = _tensors(users, items, np.empty(0, np.int64), _NO_COLLISIONS)
        rest = s.n_users * s.n_items - len(s.items)
        return PairBatch(*pairs, labels=torch.from_numpy(labels), stands_for=rest / max(1, s.unlabelled * len(s.items)))


def _tensors(*arrays: npt.NDArray[np.int64]) -> list[torch.Tensor]:
    return [torch.from_numpy(a) for a in arrays]
