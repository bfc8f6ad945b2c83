"""What a catalogue says of its items, as a person would check it: names and numbers, item by item."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import polars as pl

from honeyguide.agent.lexicon import PEOPLE, Lexicon, words_of
from honeyguide.agent.preferences import Want
from honeyguide.core.ragged import IntArray

_NO_VALUES = ("item_id", "title", "name", "series")
_FEW = 0.5  # values of a column are names where there are at most this many different ones per item that has one


@dataclass(frozen=True)
class Facts:
    """The fields of items by code.

    Parameters
    ----------
    names
        By field, of every item the set of its values.
    numbers
        By field, float64 ``[m]``, NaN where not known.
    titles
        Words of every title.
    ids
        External ids, as text.
    """

    names: dict[str, list[frozenset[str]]]
    numbers: dict[str, npt.NDArray[np.float64]]
    titles: list[tuple[str, ...]]
    ids: list[str]

    @classmethod
    def of(cls, items: pl.DataFrame, lexicon: Lexicon) -> Facts:
        """The facts of an item table, a row a code.

        Parameters
        ----------
        items
            With ``item_id``.
        lexicon
            Of the same table: numbers that nobody compares by a word (*shorter*) are left out.
        """
        named = [c for c in items.columns if c not in _NO_VALUES and c != lexicon.titled]
        names = {c: rows for c in named if (rows := _names(c, items[c])) is not None}
        spoken = [m.field for m in lexicon.measures if m.nouns and any(w.endswith("er") for w in (*m.less, *m.more))]
        numbers = {f: items[f].cast(pl.Float64).fill_null(float("nan")).to_numpy() for f in spoken}
        texts = items[lexicon.titled].fill_null("").to_list() if lexicon.titled else [""] * items.height
        titles = [tuple(words_of(str(text).split("(")[0])) for text in texts]
        return cls(names, numbers, titles, [str(i) for i in items["item_id"].to_list()])

    @cached_property
    def support(self) -> Counter[tuple[str, str]]:
        """How many items have each value of each field."""
        return Counter((f, value) for f, rows in self.names.items() for row in rows for value in row)

    def breaks(self, want: Want, item: int) -> bool | None:
        """Whether an item is against a want about a field; ``None`` where the field is not known of it.

        Written apart from the conditions that the planner filters by, so that the one checks the other.
        """
        if want.relation == "like":
            return (self.ids[item] == str(want.value)) != want.positive
        if want.field in self.names:
            row = self.names[want.field][item]
            return (str(want.value) in row) != want.positive if row else None
        if want.field not in self.numbers:
            return None
        value, bound = float(self.numbers[want.field][item]), float(want.value)
        if np.isnan(value):
            return None
        held = {"<": value < bound, "<=": value <= bound, ">": value > bound, ">=": value >= bound}
        return held.get(want.relation, value == bound) != want.positive

    def violations(self, wants: list[Want], items: IntArray) -> int:
        """How many items break a hard want; of several values asked for of one field, one is enough."""
        broken = 0
        for item in items.tolist():
            either: dict[str, list[bool | None]] = {}
            others = []
            for want in wants:
                if want.hard and want.relation != "about":
                    found = self.breaks(want, item)
                    if want.positive and want.relation == "is":
                        either.setdefault(want.field, []).append(found)
                    elif want.relation != "like" or not want.positive:
                        others.append(found)
            broken += any(found is True for found in others) or any(
                all(f is True for f in found) for found in either.values()
            )
        return broken


def _names(column: str, values: pl.Series) -> list[frozenset[str]] | None:
    """The values of a column as sets; ``None`` where they are no names that several items share."""
    if values.dtype not in (pl.String, pl.List(pl.String)):
        return None
    if values.dtype == pl.String:
        people = column in PEOPLE
        rows = [
            frozenset(p.strip() for p in ((text or "").split(",") if people else [text or ""]) if p.strip())
            for text in values.to_list()
        ]
    else:
        rows = [frozenset(v for v in (row or []) if v and v.strip()) for row in values.to_list()]
    different = len({v for row in rows for v in row})
    return rows if 0 < different <= _FEW * sum(bool(row) for row in rows) else None
