"""Ranked lists and their truth, prepared once and shared by all metrics."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
import numpy.typing as npt

from honeyguide.core.errors import DataError
from honeyguide.core.ragged import IntArray, Ragged
from honeyguide.metrics.arrays import Index, Mask, Numbers, Vector, group_sum, ratio
from honeyguide.metrics.catalogue import Catalogue


@dataclass(frozen=True)
class Conventions:
    """The choices on which libraries disagree.

    Parameters
    ----------
    empty_truth
        A user without relevant items is skipped (NaN) or counts zero.
    short_list
        Precision divides by k or by the length of the list where that is shorter.
    duplicates
        An item that stands twice in a list is an error, is dropped where it stands again (the
        list closes up), or is kept and counts again.
    max_grade
        Highest grade that occurs; only ERR reads it.
    """

    empty_truth: Literal["skip", "zero"] = "skip"
    short_list: Literal["k", "list"] = "k"
    duplicates: Literal["error", "drop", "keep"] = "error"
    max_grade: float = 1.0

    def __str__(self) -> str:
        return (
            f"empty truth: {self.empty_truth}; short list: divide by {self.short_list}; "
            f"duplicates: {self.duplicates}; full ranking, ties against the relevant item"
        )


@dataclass(frozen=True)
class Hits:
    """Cells of the first ``k`` ranks that hold items of a set, sorted by user and then by rank.

    Parameters
    ----------
    n, k
        Number of lists and the cut-off.
    user, rank
        int64 ``[h]``, the row and the rank from 0.
    item
        int32 ``[h]``.
    grade
        float64 ``[h]``.
    """

    n: int
    k: int
    user: Index
    rank: Index
    item: IntArray
    grade: Vector

    @cached_property
    def count(self) -> Index:
        """int64 ``[n]``, hits of each list."""
        return np.bincount(self.user, minlength=self.n)

    @cached_property
    def ordinal(self) -> Index:
        """int64 ``[h]``: 1 for the first hit of a list, 2 for the next."""
        starts = np.cumsum(self.count) - self.count
        return np.arange(1, len(self.user) + 1) - starts[self.user]

    def sum(self, terms: Numbers) -> Vector:
        """float64 ``[n]``: the terms ``[h]`` of each list added up."""
        return group_sum(self.user, terms, self.n)

    def cut(self, k: int) -> Hits:
        """The hits of the first ``k`` ranks."""
        if k >= self.k:
            return self
        keep = self.rank < k
        return Hits(self.n, k, self.user[keep], self.rank[keep], self.item[keep], self.grade[keep])


class Lists:
    """A block of ranked lists beside the truth of their users.

    Parameters
    ----------
    items
        int ``[n, width]``, best first; -1 marks empty places, and the list closes up over them.
    truth
        ``n`` lists of held-out items. A code of -1 is an item that no list can hold: it counts as
        relevant and cannot be found. Repeated items count once, with their highest grade.
    catalogue
        Its ``histories`` are not read; those of this block are given as ``histories``.
    conventions
        The choices.
    grades
        One per value of ``truth``; default 1. A grade of 0 or less is *judged not relevant*.
    histories
        Training items of the users of this block.

    Raises
    ------
    DataError
        If shapes disagree, a code is outside the catalogue, or an item stands twice in a list
        and the conventions call that an error.
    """

    def __init__(
        self,
        items: npt.NDArray[np.integer],
        truth: Ragged,
        catalogue: Catalogue,
        conventions: Conventions,
        grades: npt.NDArray[np.floating] | None = None,
        histories: Ragged | None = None,
    ) -> None:
        self.catalogue, self.conventions, self.histories = catalogue, conventions, histories
        _check(items, truth, catalogue.n_items, grades, histories)
        self.repeated: Mask | None = None  # cells that hold an item a second time
        self.items = self._settle(np.ascontiguousarray(items, dtype=np.int32))  # [n, width]
        self.lengths: Index = np.count_nonzero(self.items >= 0, axis=1)
        self._cuts: dict[int, Hits] = {}
        self._read_truth(truth, np.ones(len(truth.values)) if grades is None else np.asarray(grades, np.float64))

    def __len__(self) -> int:
        return len(self.items)

    def length(self, k: int) -> Index:
        """int64 ``[n]``, number of items among the first ``k`` places."""
        return np.minimum(self.lengths, k)

    def denominator(self, k: int) -> Vector:
        """float64 ``[n]``: ``k``, or the length where the conventions say so (1 for an empty list)."""
        if self.conventions.short_list == "k":
            return np.full(len(self), float(k))
        return np.maximum(self.length(k), 1).astype(np.float64)

    def mean(self, table: Vector, k: int) -> Vector:
        """float64 ``[n]``: mean of ``table[item]`` over the first ``k`` places; NaN for empty lists."""
        padded = np.append(table, 0.0)  # the code -1 reads the last entry
        total = padded[self.items[:, :k]].sum(axis=1)
        return ratio(total, self.length(k))

    def hits(self, k: int) -> Hits:
        """The relevant items among the first ``k`` places."""
        if k not in self._cuts:
            self._cuts[k] = self._hits.cut(k)
        return self._cuts[k]

    @cached_property
    def _hits(self) -> Hits:
        return self._find(self.relevant_keys, self.relevant_grades)

    @cached_property
    def misses(self) -> Hits:
        """The places that hold items judged not relevant."""
        return self._find(self._judged_keys, np.zeros(len(self._judged_keys)))

    def ideal(self, k: int) -> tuple[Index, Index, Vector]:
        """The best possible list: user, rank from 0 and grade of the best ``min(k, |T|)`` items of each user."""
        keep = self._ideal_rank < k
        return self._ideal_user[keep], self._ideal_rank[keep], self._ideal_grade[keep]

    def _settle(self, items: IntArray) -> IntArray:
        """Close gaps and treat repeated items as the conventions say."""
        items = _close_gaps(items)
        ordered = np.sort(items, axis=1)
        twice = np.flatnonzero(((ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] >= 0)).any(axis=1))
        if len(twice) == 0:
            return items
        rows = items[twice]
        order = np.argsort(rows, axis=1, kind="stable")
        ordered = np.take_along_axis(rows, order, axis=1)
        again = np.zeros(rows.shape, np.bool_)
        np.put_along_axis(again, order[:, 1:], (ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] >= 0), axis=1)
        if self.conventions.duplicates == "error":
            place = int(np.argmax(again[0]))
            raise DataError(
                f"the list of row {twice[0]} holds item {rows[0, place]} again at rank {place + 1}.",
                "Remove it, or choose Conventions(duplicates='drop') or 'keep'.",
            )
        items = items.copy()
        if self.conventions.duplicates == "drop":
            items[twice] = np.where(again, -1, rows)
            return _close_gaps(items)
        self.repeated = np.zeros(items.shape, np.bool_)
        self.repeated[twice] = again
        return items

    def _read_truth(self, truth: Ragged, grades: Vector) -> None:
        user, item = truth.rows, truth.values.astype(np.int64)
        known = item >= 0
        keys = user[known] * self.catalogue.n_items + item[known]
        order = np.lexsort((-grades[known], keys))  # the highest grade of a repeated item first
        keys, grade = keys[order], grades[known][order]
        first = np.ones(len(keys), np.bool_)
        first[1:] = keys[1:] != keys[:-1]
        relevant = first & (grade > 0)
        self.relevant_keys, self.relevant_grades = keys[relevant], grade[relevant]
        self._judged_keys = keys[first & (grade <= 0)]
        lost = ~known & (grades > 0)
        ideal_user = np.concatenate([self.relevant_keys // self.catalogue.n_items, user[lost]])
        ideal_grade = np.concatenate([self.relevant_grades, grades[lost]])
        order = np.lexsort((-ideal_grade, ideal_user))
        self._ideal_user, self._ideal_grade = ideal_user[order], ideal_grade[order]
        self.n_relevant: Index = np.bincount(ideal_user, minlength=len(self))
        self.n_judged: Index = np.bincount(self._judged_keys // self.catalogue.n_items, minlength=len(self))
        starts = np.cumsum(self.n_relevant) - self.n_relevant
        self._ideal_rank = np.arange(len(order)) - starts[self._ideal_user]

    def _find(self, wanted: Index, grades: Vector) -> Hits:
        """The cells whose (user, item) pair is among the sorted keys ``wanted``."""
        n, width = self.items.shape
        keys = (self.items + np.arange(n)[:, None] * self.catalogue.n_items).ravel()  # int64 [n · width]
        cells = np.flatnonzero((self.items.ravel() >= 0) & _maybe_among(keys, wanted))
        place = np.searchsorted(wanted, keys[cells])
        if len(wanted):
            found = wanted[np.minimum(place, len(wanted) - 1)] == keys[cells]
            cells, place = cells[found], place[found]
        user, rank = np.divmod(cells, width)
        return Hits(n, width, user, rank, self.items.ravel()[cells], grades[place])


def _maybe_among(keys: Index, wanted: Index) -> Mask:
    """True for every key in ``wanted`` and for about 1 in 16 of the others: a one-hash Bloom filter.

    It spares most cells the binary search, which is what makes k = 100 affordable.
    """
    bits = max(10, (16 * len(wanted)).bit_length())
    table = np.zeros(1 << bits, np.bool_)
    table[_hash(wanted, bits)] = True
    return table[_hash(keys, bits)]


def _hash(keys: Index, bits: int) -> Index:
    golden = np.uint64(0x9E3779B97F4A7C15)  # 2^64 / golden ratio: multiplicative (Fibonacci) hashing
    return ((keys.view(np.uint64) * golden) >> np.uint64(64 - bits)).view(np.int64)


def _close_gaps(items: IntArray) -> IntArray:
    """Move the items of rows with inner empty places together."""
    gaps = np.flatnonzero(((items[:, :-1] < 0) & (items[:, 1:] >= 0)).any(axis=1))
    if len(gaps) == 0:
        return items
    rows = items[gaps]
    items = items.copy()
    items[gaps] = np.take_along_axis(rows, np.argsort(rows < 0, axis=1, kind="stable"), axis=1)
    return items


def _check(
    items: npt.NDArray[np.integer],
    truth: Ragged,
    n_items: int,
    grades: npt.NDArray[np.floating] | None,
    histories: Ragged | None,
) -> None:
    if items.ndim != 2:
        raise DataError(f"lists must be [n, k], not {items.ndim}-dimensional.", "Pad short lists with -1.")
    rows = {"truth": truth, "histories": histories}
    for name, ragged in rows.items():
        if ragged is not None and len(ragged) != len(items):
            raise DataError(f"there are {len(items)} lists but {len(ragged)} rows of {name}.", "Align them by user.")
    if grades is not None and len(grades) != len(truth.values):
        raise DataError(
            f"there are {len(truth.values)} truth items but {len(grades)} grades.", "Give one grade per item."
        )
    for name, codes in (("lists", items), ("truth", truth.values)):
        if codes.size and int(codes.max()) >= n_items:
            raise DataError(
                f"{name} hold item {int(codes.max())}, outside the catalogue of {n_items}.",
                "Encode them with the ids of the catalogue; unknown items are -1.",
            )
