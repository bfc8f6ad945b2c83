"""Paths from what a person did to what is recommended: through people, through another item, through an attribute.

A model over the graph of users and items scores along such paths. Its artifact holds no histories, so the graph is made
from the histories that are kept beside it; a user who is deleted there is in no path any more, and paths through a
handful of people are not told, because they could be known by them. Shapes: n users, m items.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import polars as pl
import scipy.sparse as sp

from honeyguide.core.ragged import FloatArray, Ragged
from honeyguide.encode.categories import category_columns, category_values

FEWEST = 5  # people: a path through fewer is not told
_PEOPLE = ("authors", "author", "director", "directors", "artist", "artists", "actors", "cast")
_MAKERS = frozenset({"authors", "author", "artist", "artists", "director", "directors"})
Kind = Literal["people", "item", "attribute"]


@dataclass(frozen=True)
class Path:
    """One way from an item of the history to a recommended item.

    Parameters
    ----------
    kind
        ``"people"``: item, the people who took both, item. ``"item"``: through a third item, by people on both sides.
        ``"attribute"``: through something that the catalogue says of both.
    items
        Codes of the items on the way, the first of the history, the last recommended.
    weight
        Of the way: ``sum_u 1 / (d_u sqrt(d_i d_j))`` over the people between two neighbours, multiplied along the way;
        1 for an attribute.
    people
        How many took both; for two steps, the smaller number of the two.
    attribute
        Field and value that both have.
    """

    kind: Kind
    items: tuple[int, ...]
    weight: float
    people: int = 0
    attribute: tuple[str, str] | None = None

    def sentence(self, title: Callable[[int], str], verb: str | None = None) -> str:
        """The way in words.

        Parameters
        ----------
        title
            The name of an item by its code.
        verb
            What people do with items, in the past tense: ``"read"``.
        """
        first, last = title(self.items[0]), title(self.items[-1])
        if self.attribute is not None:
            field, value = self.attribute
            if field in _MAKERS:
                return f"{first} and {last} are both by {value}"
            return f"{first} and {last} share {field.replace('_', ' ')}: {value}"
        verb = verb or "took"
        if self.kind == "people":
            return f"{self.people:,} people who {verb} {first} also {verb} {last}"
        middle = title(self.items[1])
        return (
            f"people who {verb} {first} also {verb} {middle}, and people who {verb} {middle} also {verb} {last} "
            f"(at least {self.people:,} on each side)"
        )


class ItemGraph:
    """Which items people took together; symmetrically normalised as in GF-CF and LightGCN.

    Parameters
    ----------
    histories
        Item codes of every user; unknown ones (-1) are skipped.
    n_items
        Size of the catalogue.
    """

    def __init__(self, histories: Ragged, n_items: int) -> None:
        r: Any = histories.known().to_csr(n_items).sign().astype(np.float32)  # [n, m]
        by_user = np.maximum(np.diff(r.indptr), 1)
        self._degrees = np.maximum(r.sum(axis=0).A1, 1.0)
        self._users = sp.csr_matrix(r.T)  # [m, n]: who took each item
        self._r = sp.csr_matrix(sp.diags(1.0 / by_user) @ r)  # D_u^-1 R

    def people(self, first: int, second: int) -> int:
        """How many took both items."""
        return len(np.intersect1d(self._takers(first), self._takers(second), assume_unique=True))

    def weights(self, item: int) -> FloatArray:
        """float32 ``[m]``: ``A[item] = (D_i^-1/2 R' D_u^-1 R D_i^-1/2)[item]``, 0 at the item itself."""
        row: Any = self._users[item] @ self._r  # sum over u of 1 / d_u, [1, m]
        found = np.asarray(row.toarray()[0] / np.sqrt(self._degrees * self._degrees[item]), np.float32)
        found[item] = 0.0
        return found

    def between(self, first: int, last: int) -> tuple[int, float, int] | None:
        """The item through which two are joined best by at least ``FEWEST`` people on each side; weight, people."""
        products = self.weights(first) * self.weights(last)  # A[i, z] A[z, j]
        products[[first, last]] = 0.0
        for middle in np.argsort(-products, kind="stable")[:20]:
            people = min(self.people(first, int(middle)), self.people(int(middle), last))
            if products[middle] > 0 and people >= FEWEST:
                return int(middle), float(products[middle]), people
        return None

    def _takers(self, item: int) -> npt.NDArray[np.int32]:
        users: npt.NDArray[np.int32] = self._users.indices[self._users.indptr[item] : self._users.indptr[item + 1]]
        return users


def paths(graph: ItemGraph, evidence: Iterable[int], item: int, n: int = 3) -> list[Path]:
    """The ways through people from each item of ``evidence`` to ``item``, the heaviest first, ``n`` at most.

    The direct way comes first where enough people took both; a way through a third item stands in only where not.
    """
    found = []
    for code in dict.fromkeys(int(code) for code in evidence):
        people = graph.people(code, item)
        if people >= FEWEST:
            found.append(Path("people", (code, item), float(graph.weights(code)[item]), people))
            continue
        way = graph.between(code, item)
        if way is not None:
            middle, weight, people = way
            found.append(Path("item", (code, middle, item), weight, people))
    direct = sorted((p for p in found if p.kind == "people"), key=lambda p: -p.weight)
    return (direct + sorted((p for p in found if p.kind == "item"), key=lambda p: -p.weight))[:n]


def shared(items: pl.DataFrame, columns: Sequence[str], evidence: Iterable[int], item: int, n: int = 3) -> list[Path]:
    """What the catalogue says of ``item`` and of an item of ``evidence`` alike, each value once, ``n`` at most.

    Parameters
    ----------
    items
        Item table, one row per code.
    columns
        Of values that items share, the most telling first: see :func:`sharing_columns`.
    evidence, item
        Codes.
    n
        At most so many.
    """
    found: dict[tuple[str, str], Path] = {}
    for column in columns:
        own = _values(column, items[column][item])
        for code in dict.fromkeys(int(code) for code in evidence):
            for value in _values(column, items[column][code]):
                if value in own:
                    found.setdefault((column, value), Path("attribute", (code, item), 1.0, attribute=(column, value)))
    return list(found.values())[:n]


def sharing_columns(items: pl.DataFrame) -> list[str]:
    """Columns whose values tell why two items are alike: who made them, the series, categories; not the language."""
    people = [c for c in items.columns if c in _PEOPLE]
    others = [c for c in category_columns(items) if c not in people and "lang" not in c]
    lists = [c for c, dtype in items.schema.items() if dtype == pl.List(pl.String) and c not in (*people, *others)]
    return [*people, *others, *lists]


def _values(column: str, cell: object) -> list[str]:
    """The values of a cell as they are written; of people in one text, each."""
    if isinstance(cell, pl.Series):
        return [str(value) for value in cell.drop_nulls()]
    if column in _PEOPLE and isinstance(cell, str):
        return [part.strip() for part in cell.split(",") if part.strip()]
    return category_values(cell)
