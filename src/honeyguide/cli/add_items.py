"""``honeyguide add-items``: new items, recommended the moment they exist."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from honeyguide.cli import console, options

if TYPE_CHECKING:
    import polars as pl

    from honeyguide.data.reading import Reading


def add_items(
    model: options.Bundle,
    items: Annotated[Path, typer.Argument(metavar="ITEMS", help="Table of new items: the item id and, say, a title.")],
    pictures: options.Pictures = None,
    item_col: options.ItemCol = None,
    json: options.Json = False,
) -> None:
    """Add items to a saved model: they are scored from their text or picture and can be recommended at once.

    A new version of the model is published and the item table beside it extended; nothing is fitted. The column of
    ids is that of the fit unless --item-col says otherwise.
    """
    from honeyguide.experiment.bundle import open_bundle, reading_of

    bundle = open_bundle(model)
    bundle.model.require("add_items")
    before = len(bundle.item_ids)
    grown = bundle.add_items(_read(items, item_col, pictures, reading_of(model)))
    new = grown.item_ids.values[before:].to_list()
    if json:
        console.emit({"model": bundle.model.name, "added": new, "n_items": len(grown.item_ids)})
        return
    shown = ", ".join(grown.titles[code] for code in range(before, min(before + 3, len(grown.item_ids))))
    more = f" and {len(new) - 3:,} more" if len(new) > 3 else ""
    console.results().print(f"Added {shown}{more}. The catalogue has {len(grown.item_ids):,} items.")


def _read(path: Path, item_col: str | None, pictures: str | None, remembered: Reading | None) -> pl.DataFrame:
    """The table of items as any data set's is read: its id column may have another name; bad rows are set aside."""
    from honeyguide.data.load import read_items

    items, report = read_items(path, {"item_id": item_col} if item_col is not None else None, pictures, remembered)
    if not report.ok:
        console.notes().print(str(report))
    return items
