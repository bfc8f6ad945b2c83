"""Lists of different lengths, stored flat: the one shape that histories, truths and candidates share."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

IntArray = npt.NDArray[np.int32]
FloatArray = npt.NDArray[np.float32]
TimeArray = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Ragged:
    """``n`` lists of item codes, as one flat array and its offsets.

    Parameters
    ----------
    offsets
        int64 ``[n + 1]``, non-decreasing, from 0 to ``len(values)``.
    values
        int32 ``[nnz]``; row ``i`` is ``values[offsets[i]:offsets[i + 1]]``.
    times
        int64 ``[nnz]``, when each value happened, in microseconds since 1970; ``None`` where that is not known of
        every one. What is made of these lists keeps the times of the values that it keeps.
    """

    offsets: npt.NDArray[np.int64]
    values: IntArray
    times: TimeArray | None = None

    def __post_init__(self) -> None:
        if len(self.offsets) == 0 or self.offsets[0] != 0 or self.offsets[-1] != len(self.values):
            raise ValueError("offsets must run from 0 to len(values)")
        if self.times is not None and len(self.times) != len(self.values):
            raise ValueError(f"{len(self.times)} times for {len(self.values)} values")

    @classmethod
    def from_lists(cls, lists: Sequence[Sequence[int] | IntArray]) -> Ragged:
        """Build from any sequence of integer sequences."""
        lengths = np.fromiter((len(row) for row in lists), dtype=np.int64, count=len(lists))
        flat = [np.asarray(row, dtype=np.int32) for row in lists if len(row)]
        return cls(_offsets(lengths), np.concatenate(flat) if flat else np.empty(0, np.int32))

    @classmethod
    def from_groups(
        cls, groups: npt.NDArray[np.integer], values: IntArray, n: int, times: TimeArray | None = None
    ) -> Ragged:
        """Build from ``values`` already sorted by their group number in ``[0, n)``."""
        return cls(_offsets(np.bincount(groups, minlength=n)), np.ascontiguousarray(values, dtype=np.int32), times)

    @classmethod
    def empty(cls, n: int) -> Ragged:
        """``n`` empty lists."""
        return cls(np.zeros(n + 1, np.int64), np.empty(0, np.int32))

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, row: int) -> IntArray:
        return self.values[self.offsets[row] : self.offsets[row + 1]]

    def __iter__(self) -> Iterator[IntArray]:
        return (self[row] for row in range(len(self)))

    @property
    def lengths(self) -> npt.NDArray[np.int64]:
        """int64 ``[n]``, the length of each list."""
        return np.diff(self.offsets)

    @property
    def rows(self) -> npt.NDArray[np.int64]:
        """int64 ``[nnz]``, the row that each value stands in."""
        return np.repeat(np.arange(len(self)), self.lengths)

    def take(self, rows: npt.NDArray[np.integer] | slice) -> Ragged:
        """The lists at ``rows``, in that order."""
        if isinstance(rows, slice):
            start, stop, step = rows.indices(len(self))
            if step == 1:
                stop = max(start, stop)
                first, last = self.offsets[start], self.offsets[stop]
                times = None if self.times is None else self.times[first:last]
                return Ragged(self.offsets[start : stop + 1] - first, self.values[first:last], times)
            rows = np.arange(start, stop, step)
        lengths = self.lengths[rows]
        offsets = _offsets(lengths)
        within = np.arange(offsets[-1]) - np.repeat(offsets[:-1], lengths)
        return self._pick(offsets, np.repeat(self.offsets[rows], lengths) + within)

    def last(self, n: int) -> Ragged:
        """The last ``n`` values of every list."""
        return self.last_of(np.full(len(self), n))

    def last_of(self, counts: npt.NDArray[np.integer]) -> Ragged:
        """The last ``counts[i]`` values of list ``i``, or all where there are fewer."""
        starts = np.maximum(self.offsets[1:] - counts, self.offsets[:-1])
        lengths = self.offsets[1:] - starts
        offsets = _offsets(lengths)
        within = np.arange(offsets[-1]) - np.repeat(offsets[:-1], lengths)
        return self._pick(offsets, np.repeat(starts, lengths) + within)

    def ages(self) -> npt.NDArray[np.int64]:
        """int64 ``[nnz]``: 0 for the last value of a list, 1 for the one before it, and so on."""
        return np.repeat(self.offsets[1:], self.lengths) - 1 - np.arange(len(self.values))

    def known(self) -> Ragged:
        """The lists without unknown items (-1)."""
        kept = self.values >= 0
        return self if kept.all() else self.where(kept)

    def where(self, kept: npt.NDArray[np.bool_]) -> Ragged:
        """The lists with only the values where ``kept``, bool ``[nnz]``."""
        times = None if self.times is None else self.times[kept]
        return Ragged.from_groups(self.rows[kept], self.values[kept], len(self), times)

    def differ(self, other: Ragged) -> npt.NDArray[np.bool_]:
        """Bool ``[n]``: whether each list differs from that of ``other`` in the same row."""
        if len(self) != len(other):
            raise ValueError(f"cannot compare {len(self)} lists with {len(other)}")
        same: npt.NDArray[np.bool_] = self.lengths == other.lengths
        rows = np.flatnonzero(same)
        if not len(rows):
            return np.logical_not(same)
        a, b = self.take(rows), other.take(rows)
        same[rows[a.rows[a.values != b.values]]] = False
        return np.logical_not(same)

    def concat(self, other: Ragged) -> Ragged:
        """Row by row, ``self`` followed by ``other``."""
        if len(self) != len(other):
            raise ValueError(f"cannot join {len(self)} lists with {len(other)}")
        n = len(self)
        both = self.concat_rows(other)
        rows = np.stack([np.arange(n), np.arange(n) + n], axis=1).ravel()  # each of self, then that of other
        return replace(both.take(rows), offsets=self.offsets + other.offsets)

    def concat_rows(self, other: Ragged) -> Ragged:
        """The lists of ``self``, then those of ``other``; with times if every value of both has one."""
        offsets = np.concatenate([self.offsets, other.offsets[1:] + self.offsets[-1]])
        times = [part.times for part in (self, other) if part.times is not None]
        values = np.concatenate([self.values, other.values])
        timed = len(times) > 0 and sum(map(len, times)) == len(values)
        return Ragged(offsets, values, np.concatenate(times) if timed else None)

    def _pick(self, offsets: npt.NDArray[np.int64], places: npt.NDArray[np.int64]) -> Ragged:
        return Ragged(offsets, self.values[places], None if self.times is None else self.times[places])

    def to_csr(self, n_columns: int, data: FloatArray | None = None) -> sp.csr_matrix:
        """float32 ``[n, n_columns]``; repeated entries are summed, ``data`` defaults to ones.

        Values outside ``[0, n_columns)`` (unknown items are -1) are left out.
        """
        weights = np.ones(len(self.values), np.float32) if data is None else data
        inside = (self.values >= 0) & (self.values < n_columns)
        rows, columns = self.rows[inside], self.values[inside]
        matrix = sp.csr_matrix((weights[inside], (rows, columns)), shape=(len(self), n_columns))
        matrix.sum_duplicates()
        return matrix


def _offsets(lengths: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    offsets = np.zeros(len(lengths) + 1, np.int64)
    np.cumsum(lengths, out=offsets[1:])
    return offsets
