"""Counts over all users from which the metrics of whole sets of lists follow; they only ever add up."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from honeyguide.metrics.arrays import Index, Vector, group_sum
from honeyguide.metrics.lists import Lists


@dataclass(frozen=True, eq=False)
class Totals:
    """Per-item counts at one cut-off.

    Parameters
    ----------
    n_users, n_served
        Users, and users with a non-empty list.
    exposure
        int64 ``[n_items]``, places that each item took.
    shown
        int64 ``[n_items]``, users who were shown the item; less than ``exposure`` where items are
        kept that stand twice in a list.
    shares
        float64 ``[n_items]``, exposure where every place of a list of length n weighs 1/n.
    found
        int64 ``[n_items]``, users for whom the item was relevant and recommended.
    relevant
        int64 ``[n_items]``, users for whom the item was relevant.
    known
        int64 ``[n_items]``, users whose history holds the item; ``None`` without histories.
    """

    n_users: int
    n_served: int
    exposure: Index
    shown: Index
    shares: Vector
    found: Index
    relevant: Index
    known: Index | None

    @classmethod
    def of(cls, lists: Lists, k: int) -> Totals:
        """Count the first ``k`` places of a block."""
        m = lists.catalogue.n_items
        items, hits = lists.items[:, :k], lists.hits(k)
        filled, found = items >= 0, hits.item
        exposure = shown = np.bincount(items[filled], minlength=m)
        if lists.repeated is not None:
            shown = np.bincount(items[filled & ~lists.repeated[:, :k]], minlength=m)
            found = found[~lists.repeated[hits.user, hits.rank]]
        length = lists.length(k)
        short = np.flatnonzero(length < k)  # all other lists weigh the same: no need to look at each place
        rows, places = np.nonzero(filled[short])
        extra = 1.0 / length[short][rows] - 1.0 / k
        shares = exposure / k + group_sum(items[short][rows, places], extra, m)
        known = None
        if lists.histories is not None:
            rows, values = lists.histories.rows, lists.histories.values
            keys = np.unique(rows[values >= 0] * m + values[values >= 0])
            known = np.bincount(keys % m, minlength=m)
        return cls(
            n_users=len(lists),
            n_served=int(np.count_nonzero(lists.lengths)),
            exposure=exposure,
            shown=shown,
            shares=shares,
            found=np.bincount(found, minlength=m),
            relevant=np.bincount(lists.relevant_keys % m, minlength=m),
            known=known,
        )

    def __add__(self, other: Totals) -> Totals:
        both = self.known is not None and other.known is not None
        return Totals(
            self.n_users + other.n_users,
            self.n_served + other.n_served,
            self.exposure + other.exposure,
            self.shown + other.shown,
            self.shares + other.shares,
            self.found + other.found,
            self.relevant + other.relevant,
            self.known + other.known if both else None,  # type: ignore[operator]
        )
