"""Bring new events, users and items into a bundle: the store first, then the model, as a new version."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from honeyguide.core.dataset import Dataset
from honeyguide.core.fitting import FitOptions
from honeyguide.data.pictures import with_bytes, without_bytes
from honeyguide.experiment.bundle import Bundle, open_bundle
from honeyguide.experiment.new_texts import without_text

REPLAY = 20.0  # others for each that changed: models take as many as their work has room for


@dataclass(frozen=True)
class Updated:
    """What an update did.

    Parameters
    ----------
    model
        Name of the model.
    version
        Of the model now.
    exact
        Whether the model is the one that a fit on the whole log, with the same options, would give.
    stayed
        Names of the parts that cannot be updated and stayed as they were.
    events, known_events
        Events that were new, and events that were there already.
    new_users, new_items
        How many came with them.
    changed_users
        Users whose histories the model has learnt anew.
    cpu_seconds
        Of the model's update; 0 if it had learnt everything already.
    text_columns
        Columns of the item table that the model takes words from.
    without_text
        How many of the new items have no word in any of them; 0 where the model reads none.
    """

    model: str
    version: str
    exact: bool
    stayed: tuple[str, ...]
    events: int
    known_events: int
    new_users: int
    new_items: int
    changed_users: int
    cpu_seconds: float
    text_columns: tuple[str, ...] = ()
    without_text: int = 0


def update_bundle(
    bundle: str | Path | Bundle,
    events: Dataset,
    *,
    replay: float = REPLAY,
    options: FitOptions | None = None,
    notes: Mapping[str, Any] | None = None,
) -> Updated:
    """Learn from ``events``; those that the store has already change nothing.

    The store is written first, with the new events marked as pending, then a new version of the
    model, then the mark is taken off. After a crash in between, the same call finishes the work and does
    nothing twice. Events that the fit held out (a published test part, those it chose by) stay held out.

    Parameters
    ----------
    bundle
        What :func:`~honeyguide.experiment.bundle.save_bundle` wrote, or its folder.
    events
        Its positive events are added; features of new items are taken from its item table.
    replay
        Most histories of other users shown to models that would forget, for each that changed.
    options
        As for :meth:`honeyguide.Recommender.fit`.
    notes
        Kept with the update in the model's report.

    Raises
    ------
    ArtifactError
        If there is no bundle, or it is damaged.
    CapabilityError
        If the model cannot be updated; nothing is changed then.
    DataError
        If the events do not fit the store.
    """
    bundle = bundle if isinstance(bundle, Bundle) else open_bundle(bundle)
    bundle.model.require("update")
    store, model = bundle.store, bundle.model
    users, items = len(store), len(store.item_ids)
    frame = events.positives()
    added = store.merge(
        events.user_ids.decode(frame["user"].to_numpy()),
        events.item_ids.decode(frame["item"].to_numpy()),
        events.times(),
        without_bytes(events.items),
    )
    digest = store.pending_digest()
    changed, seconds = 0, 0.0
    if digest is not None and (not model.report.updates or model.report.updates[-1].get("log") != digest):
        changed, seconds = _learn(bundle, events.items, replay, options)
        model.report.updates[-1] |= {"log": digest, **(notes or {})}
        model.save(bundle.directory)
    if digest is not None:
        store.mark_learnt()
    read = model.reads_columns
    return Updated(
        model=model.name,
        version=(bundle.directory / "CURRENT").read_text(encoding="utf-8").split()[0],
        exact=model.updates_exactly,
        stayed=model.left_behind,
        events=added,
        known_events=frame.height - added,
        new_users=len(store) - users,
        new_items=len(store.item_ids) - items,
        changed_users=changed,
        cpu_seconds=seconds,
        text_columns=read,
        without_text=without_text(store.items.slice(items), read),
    )


def _learn(bundle: Bundle, items: pl.DataFrame, replay: float, options: FitOptions | None) -> tuple[int, float]:
    """Update the model with what is pending in the store: users changed, and CPU-seconds."""
    store, model = bundle.store, bundle.model
    before, after = store.pending()
    catalogue = bundle.item_ids.append(store.item_ids.values)
    codes = catalogue.encode(store.item_ids.values)
    others = store.settled(int(np.ceil(replay * len(after))), seed=len(model.report.updates))
    recoded = [replace(lists, values=codes[lists.values]) for lists in (before, after, others)]
    table = with_bytes(store.items, items)
    model.update(recoded[0], recoded[1], catalogue, replay=recoded[2], table=table, options=options)
    return len(after), float(model.report.updates[-1]["cpu_seconds"])
