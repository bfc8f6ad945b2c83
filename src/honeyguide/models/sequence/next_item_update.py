"""What a sequence model reads again when it is updated: the new events, and enough of the others not to forget them."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from honeyguide.core.fitting import Change
from honeyguide.core.ragged import FloatArray, IntArray, Ragged

PACES = (0.03, 0.3)  # learning rates of an update as shares of that of the fit: the careful one, and the bold one
CONTEXT = 10  # events before the first new one that a window of an update begins with
SMALLER = 4  # times smaller than in a fit is a batch: few events have to make enough steps
_JUDGES, _FEWEST, _CERTAIN = 200, 30, 2.0  # users who judge the paces; standard errors by which the bold one must win
_CHANGED = 0.9  # most of the work that goes into what changed, the rest into replay


def unchanged(before: Ragged, after: Ragged) -> npt.NDArray[np.int64]:
    """int64 ``[n]``: how many first events each list of ``after`` has in common with that of ``before``."""
    rows = after.rows
    place = np.arange(len(rows)) - after.offsets[rows]
    inside = place < before.lengths[rows]
    known = np.append(before.values, -1)[np.where(inside, before.offsets[rows] + place, -1)]
    other = np.flatnonzero(known != after.values)  # -1 is no item
    common = after.lengths.copy()
    np.minimum.at(common, rows[other], place[other])
    return common


def update_windows(change: Change, work: float, max_len: int, epochs: int) -> Ragged:
    """Windows ``[w]`` of at most ``max_len + 1`` events that an update reads once each.

    Those of changed users begin ``CONTEXT`` events before the first new one, and are there up to ``epochs`` times; as
    many latest windows of ``change.replay`` follow as the work has room for, in their order.

    Parameters
    ----------
    change
        What is new.
    work
        Positions to read; what changed is read once whatever that takes.
    max_len, epochs
        As in :class:`~honeyguide.models.sequence.next_item_config.NextItemConfig`.
    """
    fresh = change.after.lengths - unchanged(change.before, change.after)
    windows = change.after.last_of(np.minimum(fresh + CONTEXT, max_len + 1))
    once = max(1, _positions(windows).sum())
    passes = int(np.clip(_CHANGED * work / once, 1, epochs))
    again = windows.take(np.tile(np.arange(len(windows)), passes))
    if change.replay is None:
        return again
    others = change.replay.known().last(max_len + 1)
    room = max(once, work - passes * once)
    n = int(np.searchsorted(np.cumsum(_positions(others)), room, side="right"))
    return again.concat_rows(others.take(slice(0, n)))


@dataclass(frozen=True)
class Judges:
    """Users whose last new event an update does not see, so that it can be judged by it.

    Parameters
    ----------
    change
        What is left to learn from.
    histories
        Of the judges, up to that event: ``[n]`` lists.
    targets
        int ``[n]``: those events.
    """

    change: Change
    histories: Ragged
    targets: IntArray

    @classmethod
    def drawn(cls, change: Change, seed: int) -> Judges | None:
        """At most 200, and at most half of the users that changed; none where these are too few to tell anything."""
        able = np.flatnonzero(change.after.lengths - unchanged(change.before, change.after) >= 1)
        able = able[change.after.lengths[able] >= 2]
        n = min(_JUDGES, len(able) // 2)
        if n < _FEWEST:
            return None
        users = np.sort(np.random.default_rng(seed).permutation(able)[:n])
        last = change.after.offsets[users + 1] - 1
        seen = np.ones(len(change.after.values), bool)
        seen[last] = False
        shorter = change.after.where(seen)
        rows = np.flatnonzero(change.before.differ(shorter))
        left = replace(change, before=change.before.take(rows), after=shorter.take(rows))
        return cls(left, shorter.take(users), change.after.values[last])

    def log_ranks(self, scores: FloatArray) -> FloatArray:
        """``[n]``: logarithm of the place of each target among all items, ties against it; scores ``[n, n_items]``."""
        own = scores[np.arange(len(self.targets)), self.targets]
        ranks: FloatArray = np.log(np.count_nonzero(scores >= own[:, None], axis=1))
        return ranks


def bold_is_better(careful: FloatArray, bold: FloatArray) -> bool:
    """Whether the logarithms of the ranks after the bold update are lower beyond noise, paired over judges."""
    gain = careful - bold
    return bool(gain.mean() > _CERTAIN * gain.std() / np.sqrt(len(gain)))


def _positions(windows: Ragged) -> npt.NDArray[np.int64]:
    return np.maximum(windows.lengths - 1, 0)
