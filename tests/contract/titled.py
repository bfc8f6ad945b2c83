"""Data sets of the contract suite: every item has a title and a picture, so that all that read them are held to it."""

from __future__ import annotations

import base64
import io
import zlib
from functools import cache

import polars as pl
from PIL import Image, ImageDraw

from honeyguide.core.dataset import Dataset
from honeyguide.data import build as building
from honeyguide.data.load import load_data


@cache
def _titles() -> dict[object, str]:
    return {code: f"{title} {authors}" for code, (title, authors) in enumerate(_books().rows())}


@cache
def _books() -> pl.DataFrame:
    return load_data("goodbooks-mini").items.select("title", "authors")


@cache
def _pictures() -> list[str]:
    """A few pictures as data URIs: plain colours with a disc."""
    drawn = []
    for number in range(12):
        picture = Image.new("RGB", (32, 32), (20 * number, 255 - 20 * number, 90))
        ImageDraw.Draw(picture).ellipse((number, number, 31, 31), fill=(255, 20 * number, 10))
        buffer = io.BytesIO()
        picture.save(buffer, "PNG")
        drawn.append("data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode())
    return drawn


def titled(ids: pl.Series) -> pl.DataFrame:
    """Item table of ``ids``: the title of the book with that code, or the id in words, and one of a few pictures."""
    titles = [_titles().get(item, f"a thing called {item}") for item in ids.to_list()]
    pictures = [_pictures()[zlib.crc32(str(item).encode()) % 12] for item in ids.to_list()]
    return pl.DataFrame({"item_id": ids, "title": titles, "picture": pictures})


def build(
    name: str, interactions: pl.DataFrame, items: pl.DataFrame | None = None, users: pl.DataFrame | None = None
) -> Dataset:
    """As :func:`honeyguide.data.build.build`, with titles."""
    ids = interactions["item_id"]
    if items is not None:
        ids = ids.append(items["item_id"].cast(ids.dtype))
    return building.build(name, interactions, titled(ids.unique().sort()), users)
