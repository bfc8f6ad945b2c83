"""What a service was told, brought into its model: the events of its store that stand, and the items posted to it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import polars as pl
from sqlalchemy import func, select

from honeyguide.core.dataset import Dataset
from honeyguide.core.fitting import FitOptions
from honeyguide.data.build import build, decoded
from honeyguide.experiment.bundle import Bundle, open_bundle
from honeyguide.experiment.update import REPLAY, Updated, update_bundle
from honeyguide.serve.database import reading
from honeyguide.serve.history import NO_VERDICT
from honeyguide.serve.schema import EVENTS
from honeyguide.serve.store import Store
from honeyguide.serve.table import typed_table


@dataclass(frozen=True)
class Told:
    """Events and items of a service, as a fit reads them.

    Parameters
    ----------
    data
        Events that stand, with their times, and the table of items.
    left_out
        Events whose user or item is of another kind than the ids of the model.
    number
        Of the last event that was looked at: later ones are for the next time.
    """

    data: Dataset
    left_out: int
    number: int


def told(store: Store, tenant: str, bundle: Bundle) -> Told:
    """What the service heard: likes that no later event against the same item took back, and the items posted.

    Parameters
    ----------
    store
        Of the service, which may be running.
    tenant
        Whose.
    bundle
        The model that serves, whose ids and item table have the types.
    """
    e = EVENTS.c
    with reading(store.engine) as connection:
        number = int(connection.execute(select(func.max(e.number)).where(e.tenant == tenant)).scalar() or 0)
        asked = select(e.user_id, e.item_id, e.kind, e.weight, e.happened).where(e.tenant == tenant, e.number <= number)
        rows = connection.execute(asked.order_by(e.happened, e.number)).all()
    schema = {"user_id": pl.String, "item_id": pl.String, "kind": pl.String, "weight": pl.Float64, "time": pl.Int64}
    frame = pl.DataFrame([tuple(row) for row in rows], schema=schema, orient="row").with_row_index("place")
    against = (pl.col("weight") < 0) & (pl.col("kind") != NO_VERDICT)
    last = pl.col("place").filter(against).max().over("user_id", "item_id")
    stands = frame.filter((pl.col("weight") > 0) & (pl.col("place") > last.fill_null(-1)).fill_null(value=True))
    typed = stands.select(
        pl.col("user_id").cast(bundle.store.user_ids.dtype, strict=False),
        pl.col("item_id").cast(bundle.item_ids.dtype, strict=False),
        timestamp=pl.from_epoch("time", time_unit="us"),
    )
    kept = typed.drop_nulls()
    posted = [{**fields, "item_id": name} for name, fields in store.items(tenant).items()]
    items = typed_table(posted, bundle.store.items.schema).drop_nulls("item_id") if posted else None
    known = pl.DataFrame({"item_id": kept["item_id"].unique()})
    if items is not None:
        items = pl.concat([items, known.join(items, on="item_id", how="anti")], how="diagonal_relaxed")
    return Told(build("events of the service", kept, items), typed.height - kept.height, number)


def refit(
    directory: Path, store: Store, tenant: str, *, replay: float = REPLAY, options: FitOptions | None = None
) -> tuple[Updated, Told]:
    """Update the model of a service with what the service was told; a running one takes the new version up.

    What was brought in before changes nothing, so this may run every night.

    Raises
    ------
    CapabilityError
        If the model cannot be updated; nothing is changed then.
    ArtifactError, DataError
        As :func:`~honeyguide.experiment.update.update_bundle`.
    """
    found = told(store, tenant, open_bundle(directory))
    done = update_bundle(directory, found.data, replay=replay, options=options, notes={"told": found.number})
    return done, found


def whole_log(store: Store, tenant: str, bundle: Bundle) -> pl.DataFrame:
    """Everything that is known, for a fit from nothing: ``user_id, item_id`` and, where all have one, ``timestamp``.

    The histories of the fit come first, then what the service was told since and the histories do not have yet.

    Parameters
    ----------
    store, tenant, bundle
        As for :func:`told`.
    """
    users, histories = bundle.store.user_ids, bundle.store.histories(bundle.store.user_ids)
    columns = {"user_id": users.gather(histories.rows), "item_id": bundle.store.item_ids.decode(histories.values)}
    kept = pl.DataFrame(columns)
    new = decoded(told(store, tenant, bundle).data)
    if histories.times is not None:
        times = pl.Series("timestamp", histories.times, pl.Int64).cast(pl.Datetime("us"))
        kept = kept.with_columns(times)
        new = new.with_columns(pl.col("timestamp").dt.replace_time_zone(None).cast(pl.Datetime("us")))
    names = kept.columns
    new = new.select(names).cast(kept.schema)
    return pl.concat([kept, new.join(kept, on=names, how="anti", maintain_order="left")])
