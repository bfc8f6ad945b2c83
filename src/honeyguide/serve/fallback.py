"""What a service answers from when the model is damaged or missing: the last good version, else what the store knows.

The chain is personal → session → popular within the filter → latest; a missing model takes away its first two parts.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from honeyguide.core.errors import ArtifactError, ConfigError
from honeyguide.core.ids import Ids
from honeyguide.core.quarantine import DAMAGED, last_good
from honeyguide.core.ragged import Ragged
from honeyguide.core.recommender import Recommender
from honeyguide.data.store import Events, HistoryStore
from honeyguide.experiment.bundle import Bundle, open_bundle, open_store
from honeyguide.models.popularity import Popularity
from honeyguide.models.registry import load_model

NO_VERSION = "none"
_LOG = logging.getLogger("honeyguide.serve")


def current_version(directory: Path) -> str:
    """Name and digest of the version of a model that is in use; ``"none"`` where there is none."""
    try:
        return (directory / "CURRENT").read_text(encoding="utf-8", errors="replace").strip() or NO_VERSION
    except OSError:
        return NO_VERSION


def usable(directory: Path) -> tuple[Bundle | None, str]:
    """A bundle that can be read, and its stamp: the current version, else the last good one, else nothing.

    Damaged versions, of the model and of its histories, are put aside. Where the histories are beyond repair
    the model serves without them.
    """
    stamp = current_version(directory)  # before it is read: what is published meanwhile is another one
    try:
        return open_bundle(directory), stamp
    except ArtifactError as error:
        _LOG.warning("%s", error)
    try:
        found = last_good(directory, "model")
        stamp = current_version(directory)
        return (_repaired(directory, load_model(directory)) if found is not None else None), stamp
    except (ArtifactError, OSError) as error:
        _LOG.warning("%s", error)
        return None, stamp


def _repaired(directory: Path, model: Recommender) -> Bundle:
    try:
        last_good(directory / "store", "histories")
        return Bundle(directory, model, open_store(directory))
    except (ArtifactError, OSError) as error:
        _LOG.warning("%s serves without the histories of its fit: %s", directory, error)
        return Bundle(directory, model, _no_histories(directory, model._fitted()))


def without_model(directory: Path, items: Mapping[str, Mapping[str, Any]], events: Mapping[str, int]) -> Bundle:
    """A bundle that knows no person: the items of the service's store, all of them as popular as their events say.

    Parameters
    ----------
    directory
        Where a model may come to be.
    items
        Fields by id, the latest last, so that a higher code is a later item.
    events
        Positive events by item; an item that only events name has a place too, before the others.
    """
    names = [*(name for name in events if name not in items), *items]
    model = Popularity()
    model.item_ids = Ids(pl.Series("item_id", names, pl.String))
    model.counts = np.array([events.get(name, 0) for name in names], np.float32)
    rows = [{**items.get(name, {}), "item_id": name} for name in names]
    table = pl.DataFrame(rows, infer_schema_length=None, strict=False) if rows else None
    return Bundle(directory, model, _no_histories(directory, model.item_ids, table))


def drop_damaged_histories(directory: Path) -> None:
    """Delete histories that were put aside: they may name somebody who is to be forgotten."""
    for folder in (directory / "store").glob(f"v*{DAMAGED}"):
        shutil.rmtree(folder)


def must_be_a_folder(directory: Path) -> None:
    """Refuse a path at which no model can ever appear.

    Raises
    ------
    ConfigError
        If it is not a folder.
    """
    if not directory.is_dir():
        raise ConfigError(
            f"There is no fitted model in {directory}.",
            "Write one with 'honeyguide fit DATA --out DIR', or make the folder to start without a model.",
        )


def _no_histories(directory: Path, item_ids: Ids, items: pl.DataFrame | None = None) -> HistoryStore:
    nobody, nothing = Ids(pl.Series("user_id", [], pl.String)), Events(Ragged.empty(0), np.empty(0, np.uint8))
    table = items if items is not None else pl.DataFrame({"item_id": item_ids.values})
    return HistoryStore(directory / "store", nobody, item_ids, nothing, table)
