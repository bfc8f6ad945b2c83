"""Histories cut into pieces that a detector reads, and what it says of them: probabilities, proposals, corrections.

Shapes: n histories, p pieces, e events, c proposals.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import polars as pl

from honeyguide.core.artifact import Arrays
from honeyguide.core.dataset import Dataset
from honeyguide.core.plugin import Run
from honeyguide.core.ragged import FloatArray, IntArray, Ragged

SHORTEST = 3  # events of a history of which one may be called odd
Places = npt.NDArray[np.int64]


class Detector(Protocol):
    """What finds items that do not belong."""

    def fit(self, windows: Ragged, data: Dataset, run: Run) -> None:
        """Learn from ``windows`` of the training part of ``data``."""
        ...

    def probabilities(self, windows: Ragged) -> FloatArray:
        """float32 ``[e]``: how likely each event does not belong, from 0 to 1."""
        ...

    def replacements(self, windows: Ragged, places: Places, k: int = 1) -> IntArray:
        """int32 ``[c, k]``: what would belong at ``places`` of ``windows.values``, best first, padded with -1."""
        ...

    def state(self) -> tuple[Arrays, dict[str, Any]]:
        """What :meth:`restore` needs."""
        ...

    def restore(self, arrays: Arrays, meta: dict[str, Any]) -> None:
        """Undo :meth:`state`."""
        ...


@dataclass(frozen=True)
class Pieces:
    """Windows that cover histories; the last of a long history reaches back, to be as long as the others.

    Parameters
    ----------
    windows
        ``p`` lists.
    events
        int64, which event of the histories each value of the windows is; one may stand in two.
    """

    windows: Ragged
    events: Places

    @classmethod
    def of(cls, histories: Ragged, longest: int) -> Pieces:
        """Pieces of at most ``longest`` events; histories of fewer than three known items have none."""
        long_enough = histories.lengths >= SHORTEST
        lengths = np.where(long_enough, histories.lengths, 0)
        count = -(-lengths // longest)
        rows = np.repeat(np.arange(len(histories)), count)
        number = np.arange(len(rows)) - np.repeat(np.cumsum(count) - count, count)
        first = np.minimum(number * longest, np.maximum(lengths[rows] - longest, 0))
        sizes = np.minimum(lengths[rows], longest)
        offsets = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
        within = np.arange(offsets[-1]) - np.repeat(offsets[:-1], sizes)
        events = np.repeat(histories.offsets[:-1][rows] + first, sizes) + within
        return cls(Ragged(offsets, histories.values[events]), events)


@dataclass(frozen=True)
class Setting:
    """When a proposal is applied.

    Parameters
    ----------
    threshold
        The probability must be above it.
    most
        Largest number for a piece of a history.
    """

    threshold: float
    most: int


@dataclass(frozen=True)
class Corrections:
    """What a detector says of histories: the log that a person can read.

    Parameters
    ----------
    histories
        As they were.
    probabilities
        float32 ``[e]``; not a number where a history is too short to tell.
    places
        int64 ``[c]``: events for which something else is proposed.
    replacements
        int32 ``[c]``.
    applied
        Bool ``[c]``: whether the proposal is confident enough.
    """

    histories: Ragged
    probabilities: FloatArray
    places: Places
    replacements: IntArray
    applied: npt.NDArray[np.bool_]

    @property
    def corrected(self) -> Ragged:
        """The histories with what is applied; lengths and times are kept."""
        values = self.histories.values.copy()
        values[self.places[self.applied]] = self.replacements[self.applied]
        return replace(self.histories, values=values)

    def frame(self, item_ids: pl.Series, titles: Sequence[str], users: Sequence[object] | None = None) -> pl.DataFrame:
        """One row per proposal, the surest first: whose, position from 0, item, probability, replacement, applied.

        Parameters
        ----------
        item_ids, titles
            Of the catalogue.
        users
            Of the histories.
        """
        rows, h = self.histories.rows[self.places], self.histories
        old = h.values[self.places]
        head = pl.Series("row", rows) if users is None else pl.Series("user_id", users).gather(rows)
        found = pl.DataFrame(
            [
                head,
                pl.Series("position", self.places - h.offsets[rows]),
                item_ids.gather(old).alias("item_id"),
                pl.Series("title", [titles[i] for i in old], pl.String),
                pl.Series("probability", self.probabilities[self.places]),
                item_ids.gather(self.replacements).alias("replacement_id"),
                pl.Series("replacement", [titles[i] for i in self.replacements], pl.String),
                pl.Series("applied", self.applied),
            ]
        )
        return found.sort("probability", descending=True, maintain_order=True)


def corrections(detector: Detector, histories: Ragged, longest: int, setting: Setting, top: int) -> Corrections:
    """What ``detector`` says of ``histories``: proposals for the ``top`` likeliest events of every piece.

    Parameters
    ----------
    detector
        Fitted.
    histories
        Unknown items (-1) are not judged and stay.
    longest
        Events that it reads at once.
    setting
        What is applied.
    top
        0 for proposals that are applied alone.
    """
    known = np.flatnonzero(histories.values >= 0)
    pieces = Pieces.of(histories.known(), longest)
    windows, events = pieces.windows, known[pieces.events]
    each = detector.probabilities(windows) if len(windows.values) else np.empty(0, np.float32)
    found = np.full(len(histories.values), np.nan, np.float32)
    found[events] = each
    judge = np.empty(len(histories.values), np.int64)
    judge[events] = np.arange(len(events))  # of an event in two pieces, the later judges
    own, rank = judge[events] == np.arange(len(events)), _ranks(windows, each)
    applied = own & (rank < setting.most) & (each > setting.threshold)
    places = np.flatnonzero(applied | (own & (rank < top)))
    proposed = detector.replacements(windows, places)[:, 0] if len(places) else np.empty(0, np.int32)
    there = proposed >= 0
    return Corrections(histories, found, events[places][there], proposed[there], applied[places][there])


def pooled(detector: Detector, histories: Ragged, longest: int) -> FloatArray:
    """float32: probabilities of all events of ``histories`` that can be judged."""
    windows = Pieces.of(histories.known(), longest).windows
    return detector.probabilities(windows) if len(windows.values) else np.empty(0, np.float32)


def _ranks(windows: Ragged, values: FloatArray) -> Places:
    """int64 ``[e]``: place of each event in its window by value, 0 for the highest."""
    order = np.lexsort((-values, windows.rows))
    ranks = np.empty(len(values), np.int64)
    ranks[order] = np.arange(len(values)) - windows.offsets[windows.rows]
    return ranks
