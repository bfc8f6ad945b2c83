"""What a user likes now: what was liked at the fit, and the events since, of which some take others back."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from honeyguide.core.ragged import IntArray
from honeyguide.serve.store import Event

NO_VERDICT = "known"  # a kind that keeps an item from being shown and says nothing against it


def liked_now(at_fit: IntArray, events: Sequence[Event], codes: IntArray) -> IntArray:
    """Item codes, oldest first: what is liked and was not taken back by a later event against the same item.

    Parameters
    ----------
    at_fit
        Codes of what was liked when the model was fitted.
    events
        Since then, oldest first.
    codes
        Of their items; -1 for what is not in the catalogue.
    """
    good = np.array([event.weight > 0 for event in events], np.bool_) & (codes >= 0)
    against = {
        int(code): place
        for place, (event, code) in enumerate(zip(events, codes, strict=True))
        if event.weight < 0 and event.kind != NO_VERDICT
    }
    if against:
        at_fit = at_fit[~np.isin(at_fit, list(against))]
        good &= np.array([place > against.get(int(code), -1) for place, code in enumerate(codes)], np.bool_)
    if not good.any():
        return at_fit.astype(np.int32, copy=False)
    at_fit = at_fit[~np.isin(at_fit, codes[good])]  # a refit has brought events into the histories
    return np.concatenate([at_fit, codes[good]]).astype(np.int32)
