"""What is shown of items, as JSON: rendered once for each item, when it is first asked for."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import orjson
import polars as pl

from honeyguide.core.ragged import IntArray
from honeyguide.encode.items import title_column

_HELD = 200_000  # items whose JSON is kept


class Shown:
    """Ids, titles and fields of items. Safe to share between threads.

    Parameters
    ----------
    items
        Table with a column ``item_id``; the row is the code.
    """

    def __init__(self, items: pl.DataFrame) -> None:
        self.items = items
        self._held: dict[int, tuple[str, str, orjson.Fragment]] = {}

    @cached_property
    def _titled(self) -> str | None:
        """The column that items are called by."""
        return title_column(self.items)

    def of(self, codes: IntArray) -> list[tuple[str, str, orjson.Fragment]]:
        """External id, title and fields of each code, the fields as a fragment that orjson writes as it is."""
        held, asked = self._held, codes.tolist()
        missing = [code for code in asked if code not in held]
        if missing:
            if len(held) > _HELD:
                held.clear()
                missing = asked
            for code, row in zip(missing, self.items[missing].to_dicts(), strict=True):
                name = str(row["item_id"])
                held[code] = name, str(row.get(self._titled or "") or name), orjson.Fragment(_json(row))
        return [held[code] for code in asked]

    def grown(self, items: pl.DataFrame) -> Shown:
        """With more rows; what was rendered of the others is kept."""
        grown = Shown(items)
        grown._titled, grown._held = self._titled, dict(self._held)
        return grown


def _json(row: dict[str, Any]) -> bytes:
    return orjson.dumps(row, option=orjson.OPT_SERIALIZE_NUMPY, default=str)
