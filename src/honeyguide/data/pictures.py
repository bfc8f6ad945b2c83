"""Which picture belongs to which item: a column of the item table, a table beside it, or a folder of files."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from honeyguide.core.errors import DataError
from honeyguide.data.report import Audit

PICTURE = "picture"  # the column of the item table in which they are from then on
SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff")
_NAMES = ("picture", "image", "img", "poster", "photo", "cover", "thumbnail", "path", "file", "filename", "jpeg", "png")
_ADDRESS = ("data:", "http://", "https://")
REMEDY = "Name a column of the items, a table with an item id and a column of pictures, or a folder of files ID.jpg."


def attach(items: pl.DataFrame, ref: str, base: Path | None, audit: Audit, table: pl.DataFrame | None) -> pl.DataFrame:
    """``items`` with the column ``picture``: what pictures are made of (Binary), or where they lie (absolute paths).

    Parameters
    ----------
    items
        Item table; pictures of items that it lacks are left out.
    ref
        What was asked for: a column of ``items``, or the folder or table at that path.
    base
        Folder that relative paths in a column of ``items`` start from.
    audit
        Is told how many items have one.
    table
        The table at ``ref``, where it is one: ``item_id`` and what else it has.

    Raises
    ------
    DataError
        If ``ref`` is none of these, or a table has no column of pictures.
    """
    if table is not None:
        found = table.select("item_id", pl.col(_column(table, ref)).alias(PICTURE))
        found = _resolved(found, Path(ref).resolve().parent)
    elif ref in items.columns:
        if items[ref].dtype not in (pl.String, pl.Binary):
            raise DataError(f"holds {items[ref].dtype}, and pictures are bytes or paths of files.", REMEDY, column=ref)
        found = _resolved(items.select("item_id", pl.col(ref).alias(PICTURE)), base or Path.cwd())
    elif Path(ref).is_dir():
        found = _of_folder(Path(ref), items)
    else:
        raise DataError(f"there are no pictures {ref!r}.", f"{REMEDY} Columns: {', '.join(items.columns)}.")
    found = found.with_columns(pl.col("item_id").cast(items["item_id"].dtype, strict=False)).drop_nulls("item_id")
    found = found.unique("item_id", keep="first", maintain_order=True)
    joined = items.drop(PICTURE, strict=False).join(found, on="item_id", how="left", maintain_order="left")
    have = joined.height - joined[PICTURE].null_count()
    audit.note(f"pictures from {ref}: {have:,} of {joined.height:,} items have one")
    return joined


def where(ref: str, folder: Path | None) -> str:
    """``ref`` as a path, where it is one: as given, or inside the folder of the data."""
    if not Path(ref).exists() and folder is not None and (folder / ref).exists():
        return str(folder / ref)
    return ref


def without_bytes(items: pl.DataFrame) -> pl.DataFrame:
    """``items`` without the bytes of their pictures, which only a fit reads; the column stays, empty."""
    if PICTURE not in items.columns or items[PICTURE].dtype != pl.Binary:
        return items
    return items.with_columns(pl.lit(None, pl.String).alias(PICTURE))


def with_bytes(items: pl.DataFrame, given: pl.DataFrame) -> pl.DataFrame:
    """``items`` with the bytes of pictures that ``given`` has, which :func:`without_bytes` leaves out of a store."""
    if PICTURE not in given.columns or given[PICTURE].dtype != pl.Binary:
        return items
    bytes_of = given.select(pl.col("item_id").cast(items.schema["item_id"], strict=False), PICTURE)
    return items.drop(PICTURE, strict=False).join(bytes_of, on="item_id", how="left", maintain_order="left")


def _of_folder(folder: Path, items: pl.DataFrame) -> pl.DataFrame:
    """The files of a folder whose names are the ids of ``items``."""
    files = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)
    table = pl.DataFrame(
        {"item_id": [path.stem for path in files], PICTURE: [str(path.resolve()) for path in files]},
        schema={"item_id": pl.String, PICTURE: pl.String},
    )
    return table.filter(pl.col("item_id").is_in(items["item_id"].cast(pl.String).implode()))


def _column(table: pl.DataFrame, ref: str) -> str:
    """The column of a table that holds the pictures: the one of bytes, or one that is called like pictures."""
    binary = [name for name, dtype in table.schema.items() if dtype == pl.Binary]
    text = [n for n, dtype in table.schema.items() if dtype == pl.String and n.casefold() in _NAMES]
    found = binary or text
    if not found:
        raise DataError(
            f"no column holds pictures; it has {', '.join(table.columns)}.",
            f"One of bytes, or one called {', '.join(_NAMES[:6])} with paths.",
            file=ref,
        )
    return found[0]


def _resolved(table: pl.DataFrame, base: Path) -> pl.DataFrame:
    """Paths made absolute; bytes, addresses and empty values as they are."""
    if table[PICTURE].dtype == pl.Binary:
        return table
    paths = [
        value if value is None or value.startswith(_ADDRESS) else str(base / value) if value.strip() else None
        for value in table[PICTURE].to_list()
    ]
    return table.with_columns(pl.Series(PICTURE, paths, pl.String))
