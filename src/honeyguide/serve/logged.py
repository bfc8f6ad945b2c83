"""The exposure log joined to what people did then, one row a place: what experiments and off-policy metrics read."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from sqlalchemy import select

from honeyguide.core.errors import DataError
from honeyguide.metrics.arrays import Index, Vector
from honeyguide.pipeline.config import Explore
from honeyguide.pipeline.explore import propensities
from honeyguide.serve.database import reading
from honeyguide.serve.schema import EVENTS, EXPOSURES
from honeyguide.serve.store import Store, now

_DAY = 86_400_000_000  # microseconds
_PAGE = ("recommendation_id", "user_id", "scenario", "experiment", "variant", "source", "version", "page")
SCHEMA = pl.Schema(
    {
        **dict.fromkeys(_PAGE[:-1], pl.String),
        "page": pl.Int32,
        "created": pl.Int64,  # microseconds since 1970
        "rank": pl.Int32,  # of the place in the list, from 1
        "item_id": pl.String,
        "chance": pl.Float64,  # P(item at this place | the items above)
        "propensity": pl.Float64,  # P(item at this place); null for interleaved lists
        "credit": pl.Float64,  # share of the first of two interleaved variants
        "before": pl.Int32,  # place among what was drawn, from 1; null for what stands where it stood
        "among": pl.Int32,  # how many that were
    }
)


def joined(
    store: Store,
    tenant: str,
    *,
    window: float = 3600.0,
    days: float = 0.0,
    kinds: Sequence[str] = (),
    experiment: str | None = None,
) -> pl.DataFrame:
    """Every place that was shown, with the events on it.

    An event counts for the last list before it in which its user saw its item, if that is within the window.

    Parameters
    ----------
    store
        Of the service.
    tenant
        Whose.
    window
        Seconds.
    days
        How far to look back; 0 for all there is.
    kinds
        Of events that count; by default all with a positive weight.
    experiment
        Only lists of this one; events on what others showed since are not theirs.

    Returns
    -------
    DataFrame
        The columns of :data:`SCHEMA`, ``clicks`` (events) and ``reward`` (1 where there is one, else 0).
    """
    since = now() - int(days * _DAY) if days > 0 else -1
    places, events = _places(store, tenant, since), _events(store, tenant, since, kinds)
    places = places.sort("created").with_row_index("row")
    hits = (
        events.sort("happened")
        .join_asof(
            places.select("row", "user_id", "item_id", "created"),
            left_on="happened",
            right_on="created",
            by=["user_id", "item_id"],
            strategy="backward",
            tolerance=int(window * 1e6),
            check_sortedness=False,
        )
        .drop_nulls("row")
    )
    counted = hits.group_by("row").agg(pl.len().cast(pl.Int32).alias("clicks"))
    found = places.join(counted, on="row", how="left").with_columns(pl.col("clicks").fill_null(0))
    found = found.with_columns(reward=(pl.col("clicks") > 0).cast(pl.Float64))
    if experiment is not None:  # not before: an event belongs to the last list, whatever that was part of
        found = found.filter(pl.col("experiment") == experiment)
    return found.sort("created", "recommendation_id", "rank").drop("row")


def _places(store: Store, tenant: str, since: int) -> pl.DataFrame:
    e = EXPOSURES.c
    asked = select(*(e[name] for name in _PAGE), e.created, e.first, e.shown).where(e.tenant == tenant)
    asked = asked.where(e.created > since)
    columns: dict[str, list[object]] = {name: [] for name in SCHEMA}
    heads: dict[str, dict[str, int]] = {}
    with reading(store.engine) as connection:
        for *page, created, first, text in connection.execute(asked.order_by(e.created, e.page)):
            shown = json.loads(text)
            items = shown["items"]
            n, own = len(items), str(page[0])
            if "head" in shown:
                heads[own] = {item: place for place, item in enumerate(shown["head"], start=1)}
            head = heads.get(own, {}) if shown.get("chance") else {}
            drawn, told = "chance" in shown, bool(shown.get("chance"))
            lost = "credit" in shown or (drawn and not head)  # not known, or not to be made use of
            for name, value in zip((*_PAGE, "created"), (*page, created), strict=True):
                columns[name] += [value] * n
            columns["rank"] += range(first, first + n)
            columns["item_id"] += items
            columns["chance"] += _padded(shown.get("chance", ()), n, 1.0 if told or not drawn else None)
            columns["propensity"] += [None] * n if lost else _padded(shown.get("propensity", ()), n, 1.0)
            columns["credit"] += _padded(shown.get("credit", ()), n, None)
            columns["before"] += [head.get(item) for item in items]
            columns["among"] += [len(head)] * n
    return pl.DataFrame(columns, schema=SCHEMA)


def _padded(values: Sequence[float], n: int, rest: float | None) -> list[float | None]:
    return [*values, *([rest] * (n - len(values)))]


def _events(store: Store, tenant: str, since: int, kinds: Sequence[str]) -> pl.DataFrame:
    e = EVENTS.c
    asked = select(e.user_id, e.item_id, e.happened).where(e.tenant == tenant, e.happened > since)
    asked = asked.where(e.kind.in_(list(kinds))) if kinds else asked.where(e.weight > 0)
    schema = {"user_id": pl.String, "item_id": pl.String, "happened": pl.Int64}
    with reading(store.engine) as connection:
        return pl.DataFrame([tuple(row) for row in connection.execute(asked)], schema=schema, orient="row")


@dataclass(frozen=True, eq=False)
class Places:
    """The first places of logged lists, as :mod:`honeyguide.metrics.offpolicy` reads them.

    Parameters
    ----------
    reward
        float64 ``[n, slots]``: of each place.
    logged
        float64 ``[n, slots]``: the probability that its item stood there.
    before
        int64 ``[n, slots]``: where the item stood among those that were drawn, from 0; -1 for what was not drawn.
    among
        int64 ``[n]``: how many were drawn among.
    lists
        Ids of the lists.
    """

    reward: Vector
    logged: Vector
    before: Index
    among: Index
    lists: list[str]

    def actions(self, how: Explore) -> Vector:
        """float64 ``[n, d]``: the probability that each of what was drawn among stands first, drawn in another way.

        With ``before[:, 0]`` as the actions this is what doubly robust estimates of the first place need. Columns
        behind ``among`` are zero.
        """
        found = np.zeros((len(self.among), int(self.among.max(initial=1))))
        for d in np.unique(self.among).tolist():
            found[self.among == d, :d] = self._table(how, d)[:, 0]
        return found

    def target(self, how: Explore) -> Vector:
        """float64 ``[n, slots]``: the probability of what was shown under another exploration of the same order.

        With the method ``"none"`` it is that of the order as it stood before the draw.
        """
        rows, slots = self.before.shape
        found = np.ones((rows, slots))
        drawn = self.before >= 0
        slot = np.cumsum(drawn, axis=1) - 1  # among the places that were drawn
        for d in np.unique(self.among[self.among > 0]).tolist():
            table = self._table(how, d)
            here = drawn & (self.among == d)[:, None]
            found[here] = table[self.before[here], slot[here]]
        return found

    @staticmethod
    def _table(how: Explore, d: int) -> Vector:
        """float64 ``[d, d]``: of every item and place."""
        n, table = min(d, how.depth), np.eye(d)
        if how.method != "none":
            table[:n, :n] = propensities(how, n)
        return table


def places(log: pl.DataFrame, slots: int) -> Places:
    """Cut the first places out of a log that :func:`joined` made.

    Parameters
    ----------
    log
        One row a place.
    slots
        Places of every list; shorter lists, and those that were joined from two, are left out.

    Raises
    ------
    DataError
        If no list is left.
    """
    head = log.filter(pl.col("rank") <= slots)
    sizes = pl.len().over("recommendation_id") == slots
    head = head.filter(sizes & pl.col("propensity").is_not_null().all().over("recommendation_id"))
    if head.is_empty():
        raise DataError(f"no logged list has {slots} places with their propensities.", "Ask for fewer slots.")
    head = head.sort("created", "recommendation_id", "rank")
    n = head.height // slots

    def block(name: str) -> Vector:
        return head[name].to_numpy().reshape(n, slots)

    before = head["before"].fill_null(0).to_numpy().reshape(n, slots).astype(np.int64) - 1
    among = head["among"].to_numpy().reshape(n, slots)[:, 0].astype(np.int64)
    lists = head["recommendation_id"].gather_every(slots).to_list()
    return Places(block("reward").astype(np.float64), block("propensity").astype(np.float64), before, among, lists)
