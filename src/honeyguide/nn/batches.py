"""Batches of windows of near-equal length, so that almost no work is spent on padding."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch

from honeyguide.core.ragged import IntArray, Ragged

IGNORED = -1  # target of a padded position


@dataclass(frozen=True)
class Batch:
    """Windows of one batch, padded on the right.

    Parameters
    ----------
    items
        int64 ``[b, t]``, what was consumed; 0 where padded. With causal attention no real
        position sees the padding behind it, so no mask is needed.
    targets
        int64 ``[b, t]``, the item that came next; ``IGNORED`` where padded.
    users
        int64 ``[b]``: the row of the histories that each window was cut from.
    times
        int64 ``[b, t]``, microseconds since 1970 of ``items``, 0 where padded; only for networks that read them.
    """

    items: torch.Tensor
    targets: torch.Tensor
    users: torch.Tensor
    times: torch.Tensor | None = None

    def to(self, device: torch.device) -> Batch:
        """The same batch on ``device``."""
        if device.type == self.items.device.type:
            return self
        times = None if self.times is None else self.times.to(device)
        return Batch(self.items.to(device), self.targets.to(device), self.users.to(device), times)

    @property
    def n_targets(self) -> int:
        """Number of real targets."""
        return int((self.targets != IGNORED).sum())

    def part(self, rank: int, size: int) -> Batch:
        """The rows of process ``rank`` of ``size``: every ``size``-th."""
        times = None if self.times is None else self.times[rank::size]
        return Batch(self.items[rank::size], self.targets[rank::size], self.users[rank::size], times)


def pad_right(rows: Ragged, fill: int, values: npt.NDArray[np.integer] | None = None) -> npt.NDArray[np.int64]:
    """int64 ``[n, longest]``: the lists, or other ``values`` in their places, as a matrix; ``fill`` behind each."""
    lengths = rows.lengths
    matrix = np.full((len(rows), int(lengths.max(initial=0))), fill, np.int64)
    matrix[np.arange(matrix.shape[1]) < lengths[:, None]] = rows.values if values is None else values
    return matrix


def cut_by_tokens(lengths: npt.NDArray[np.int64], tokens: int) -> list[slice]:
    """Consecutive runs of rows whose padded size stays within ``tokens`` (one row at least).

    Parameters
    ----------
    lengths
        int64 ``[n]``, in the order in which the rows will be batched.
    tokens
        Largest ``rows * longest`` of a run.
    """
    runs, start, longest = [], 0, 0
    for row, length in enumerate(lengths.tolist()):
        longest = max(longest, length)
        if row > start and (row + 1 - start) * longest > tokens:
            runs.append(slice(start, row))
            start, longest = row, length
    if len(lengths):
        runs.append(slice(start, len(lengths)))
    return runs


class PackedWindows:
    """One window of every user per epoch, with a loss at every position.

    A history longer than ``max_len + 1`` is cut at an offset redrawn each epoch. Windows are
    sorted by length, with jitter so that the same users do not always meet, cut into batches of
    ``tokens`` positions, and the batches are shuffled. The plan of an epoch depends on nothing
    but ``seed`` and the number of the epoch: a cursor is all the state there is.

    Parameters
    ----------
    histories
        Training histories; those with fewer than two events teach nothing and are left out.
    max_len
        Longest input.
    tokens
        Positions per batch, padding included.
    seed
        Of offsets, jitter and order.
    timed
        Whether batches carry times, where the histories have them.
    """

    def __init__(self, histories: Ragged, max_len: int, tokens: int, seed: int, timed: bool = False) -> None:
        self.users = np.flatnonzero(histories.lengths >= 2)
        self.histories = (histories if timed else replace(histories, times=None)).take(self.users)
        self.max_len = max_len
        self.tokens = tokens
        self.seed = seed

    @property
    def targets_per_epoch(self) -> int:
        """Number of real (not padded) targets in an epoch."""
        return int(np.minimum(self.histories.lengths - 1, self.max_len).sum())

    def epoch(self, number: int) -> Epoch:
        """The batches of one epoch."""
        rng = np.random.default_rng([self.seed, number])
        lengths = self.histories.lengths
        inputs = np.minimum(lengths - 1, self.max_len)  # positions of each window
        first = rng.integers(0, lengths - inputs)  # lengths - 1 - inputs + 1 possible offsets
        jitter = rng.random(len(lengths)) * (1 + 0.02 * inputs)
        order = np.argsort(inputs + jitter, kind="stable")
        runs = cut_by_tokens(inputs[order], self.tokens)
        rng.shuffle(runs)
        return Epoch(self.histories, self.users, order, first, inputs, runs)


@dataclass(frozen=True)
class Epoch:
    """The batches of one epoch, made when asked for.

    Parameters
    ----------
    histories
        The histories that the windows are cut from.
    users
        int64: the row of each of them among all histories.
    order
        Rows of ``histories`` in the order in which they are batched.
    first, inputs
        Offset and number of inputs of each row's window.
    runs
        Slices of ``order``, one per batch.
    """

    histories: Ragged
    users: npt.NDArray[np.int64]
    order: npt.NDArray[np.int64]
    first: npt.NDArray[np.int64]
    inputs: npt.NDArray[np.int64]
    runs: list[slice]

    def __len__(self) -> int:
        return len(self.runs)

    def __getitem__(self, index: int) -> Batch:
        rows = self.order[self.runs[index]]
        return window_batch(self.histories, rows, self.first[rows], self.inputs[rows], self.users[rows])

    def __iter__(self) -> Iterator[Batch]:
        return (self[i] for i in range(len(self)))

    @property
    def fill(self) -> float:
        """Share of positions that are not padding."""
        padded = sum((run.stop - run.start) * int(self.inputs[self.order[run]].max()) for run in self.runs)
        return float(self.inputs.sum() / padded) if padded else 1.0


def window_batch(
    histories: Ragged,
    rows: npt.NDArray[np.integer],
    first: npt.NDArray[np.int64],
    inputs: npt.NDArray[np.int64],
    users: npt.NDArray[np.int64],
) -> Batch:
    """The windows ``histories[rows][first : first + inputs]`` and, shifted by one, their targets."""
    width = int(inputs.max(initial=0))
    step = np.arange(width)
    real = step < inputs[:, None]  # [b, t]
    at = np.where(real, (histories.offsets[rows] + first)[:, None] + step, 0)
    items = np.where(real, histories.values[at], 0)
    targets = np.where(real, histories.values[np.where(real, at + 1, 0)], IGNORED)
    arrays = [items, targets, users]
    if histories.times is not None:
        arrays.append(np.where(real, histories.times[at], 0))
    return Batch(*(torch.from_numpy(a.astype(np.int64)) for a in arrays))


def length_order(histories: Ragged) -> IntArray:
    """Rows of ``histories`` from short to long."""
    return np.argsort(histories.lengths, kind="stable").astype(np.int32)
