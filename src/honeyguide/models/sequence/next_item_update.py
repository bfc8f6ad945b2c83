"""What a sequence model reads again when it is updated: the new events, and enough of the others not to forget them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from honeyguide.core.fitting import Change
from honeyguide.core.ragged import Ragged

CONTEXT = 10  # events before the first new one that a window of an update begins with
SMALLER = 4  # times smaller than in a fit is a batch: few events have to make enough steps
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


def update_windows(change: Change, work: float, max_len: int, epochs: int, context: int = CONTEXT) -> Ragged:
    """Windows ``[w]`` of at most ``max_len + 1`` events that an update reads once each.

    Those of changed users begin ``context`` events before the first new one, and are there up to ``epochs`` times; as
    many latest windows of ``change.replay`` follow as the work has room for, in their order.

    Parameters
    ----------
    change
        What is new.
    work
        Positions to read; what changed is read once whatever that takes.
    context
        Events before the first new one. Short windows, many times, teach most about what is new; where nearly
        everybody has something new, they would teach a network of long histories that histories are short.
    max_len, epochs
        As in :class:`~honeyguide.models.sequence.next_item_config.NextItemConfig`.
    """
    fresh = change.after.lengths - unchanged(change.before, change.after)
    windows = change.after.last_of(np.minimum(fresh + context, max_len + 1))
    once = max(1, _positions(windows).sum())
    passes = int(np.clip(_CHANGED * work / once, 1, epochs))
    again = windows.take(np.tile(np.arange(len(windows)), passes))
    if change.replay is None:
        return again
    others = change.replay.known().last(max_len + 1)
    room = max(once, work - passes * once)
    n = int(np.searchsorted(np.cumsum(_positions(others)), room, side="right"))
    return again.concat_rows(others.take(slice(0, n)))


def _positions(windows: Ragged) -> npt.NDArray[np.int64]:
    return np.maximum(windows.lengths - 1, 0)
