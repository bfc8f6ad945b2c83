"""Ids as they come over the wire, which are texts, in the types that the model and its histories have."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from honeyguide.core.ragged import IntArray
from honeyguide.data.store import HistoryStore
from honeyguide.pipeline.stock import Stock

_WHOLE = re.compile(r"0|-?[1-9][0-9]{0,17}")  # as it is written back: "07" is not the user 7


def codes_of(stock: Stock, item_ids: Sequence[str]) -> IntArray:
    """Codes of ids as they come over the wire, which may be of another type than the catalogue's."""
    if not item_ids:
        return np.empty(0, np.int32)
    if not stock.ids.dtype.is_integer():
        return stock.ids.encode(item_ids)
    return stock.ids.encode([int(name) if _WHOLE.fullmatch(name) else None for name in item_ids])


def key_of(store: HistoryStore, user_id: str) -> object | None:
    """A user id as it comes over the wire, of the type that the histories of the fit have; ``None`` for no such id."""
    if not store.user_ids.dtype.is_integer():
        return user_id
    return int(user_id) if _WHOLE.fullmatch(user_id) else None
