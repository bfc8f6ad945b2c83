"""What a user likes now: what was liked at the fit, and the events since, of which some take others back."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from honeyguide.core.ragged import IntArray
from honeyguide.serve.store import Event

_NO_VERDICT = "known"  # a kind that keeps an item from being shown and says nothing against it


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
    against = {
        int(code): place
        for place, (event, code) in enumerate(zip(events, codes, strict=True))
        if event.weight < 0 and event.kind != _NO_VERDICT
    }
    kept = [code for code in at_fit.tolist() if code not in against]
    for place, (event, code) in enumerate(zip(events, codes.tolist(), strict=True)):
        if event.weight > 0 and code >= 0 and place > against.get(code, -1):
            kept.append(code)
    return np.array(kept, np.int32)
