"""What profiles of content fall back on where a history has none: the items' share of the training events."""

from __future__ import annotations

import numpy as np

from honeyguide.core.appended import appended
from honeyguide.core.fitting import Change
from honeyguide.core.ragged import FloatArray

LEAST = 1e-6  # a profile shorter than this says nothing, and no share is longer


def shares(counts: FloatArray) -> tuple[FloatArray, float]:
    """float32 ``[n_items]``: the share of every item in ``counts`` events, in millionths; and the events."""
    events = max(1.0, float(counts.sum()))
    return (LEAST * counts / events).astype(np.float32), events


def moved_shares(share: FloatArray, events: float, change: Change) -> tuple[FloatArray, float]:
    """Those of :func:`shares` with the events of ``change`` counted too: the counts are read off the shares."""
    counts = np.rint(share * (events / LEAST))
    grown = appended(counts, np.zeros(change.n_items - len(counts), np.float32))
    return shares((grown + change.moved()).astype(np.float32))
