"""The picture of an item: from a path, from bytes or from a data URI to pixels, and to a vector through the cache.

Files come from strangers. A picture that is missing, cut short, no picture at all or too large to be one leaves
its item without a picture, is counted and named in a warning, and never ends the work.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from honeyguide.core.errors import DataError
from honeyguide.core.inner_product import unit
from honeyguide.core.ragged import FloatArray
from honeyguide.data.pictures import PICTURE
from honeyguide.encode.cache import VectorCache, encode_cached
from honeyguide.encode.decoding import PictureError, content_of, decode
from honeyguide.encode.encoder import must_be_version
from honeyguide.encode.image import ImageEncoder, image_encoder

_LOG = logging.getLogger(__name__)

BATCH = 64  # pictures read at once
_SECONDS = (2.0, 0.036)  # CPU: to load an encoder, and to read a picture; benchmarks/pictures.py measures the latter


@dataclass(frozen=True)
class PictureFaults:
    """How many items are without a picture that can be read, and why.

    Parameters
    ----------
    missing
        None is named.
    absent
        The file is not there, or may not be read.
    refused
        An address, which is never fetched, or too many bytes.
    broken
        No picture, one cut short, of a format that is not read, or of too many pixels.
    example
        What was said of the first that is absent, refused or broken.
    """

    missing: int = 0
    absent: int = 0
    refused: int = 0
    broken: int = 0
    example: str = ""

    @property
    def unreadable(self) -> int:
        """Those that are named and not read."""
        return self.absent + self.refused + self.broken

    def __str__(self) -> str:
        counts = [(self.absent, "absent"), (self.refused, "refused"), (self.broken, "broken")]
        said = ", ".join(f"{count:,} {kind}" for count, kind in counts if count)
        return f"{self.unreadable:,} pictures cannot be read ({said}); the first: {self.example}"


def pictures_of(items: pl.DataFrame) -> list[str | bytes | None]:
    """Path, data URI or bytes of the picture of every row; ``None`` where there is none, or no column ``picture``."""
    if PICTURE not in items.columns or items[PICTURE].dtype not in (pl.String, pl.Binary):
        return [None] * items.height
    return [value or None for value in items[PICTURE].to_list()]


def without_paths(items: pl.DataFrame) -> pl.DataFrame:
    """``items`` in which a picture is a data URI or nothing: rows that came over a network name no files of ours."""
    if PICTURE not in items.columns:
        return items
    kept = [v if isinstance(v, str) and v.startswith("data:") else None for v in items[PICTURE].to_list()]
    return items.with_columns(pl.Series(PICTURE, kept, pl.String))


def without_pictures(items: pl.DataFrame) -> pl.DataFrame:
    """``items`` with the column ``picture`` left empty, once they are read."""
    return items.with_columns(pl.lit(None, items[PICTURE].dtype).alias(PICTURE)) if PICTURE in items.columns else items


def picture_vectors(
    values: Sequence[str | bytes | None], encoder: ImageEncoder, folder: Path | None = None
) -> tuple[FloatArray, PictureFaults]:
    """Vectors of pictures through the cache, zeros where there is none that can be read, and what was wrong.

    Contents are hashed one by one and read again only where the cache lacks them: memory holds one batch.

    Parameters
    ----------
    values
        As from :func:`pictures_of`.
    encoder
        Reads them.
    folder
        Of the cache; by default :func:`~honeyguide.encode.cache.cache_folder`.

    Returns
    -------
    ndarray, PictureFaults
        float32 ``[n, dim]``, and counts.
    """
    vectors = np.zeros((len(values), encoder.dim), np.float32)
    counts: dict[str, Any] = {"missing": 0, "absent": 0, "refused": 0, "broken": 0}
    example, rows = "", []
    for row, value in enumerate(values):
        if value is None:
            counts["missing"] += 1
            continue
        try:
            content_of(value)
            rows.append(row)
        except PictureError as error:
            counts[error.kind] += 1
            example = example or str(error)
    if rows:
        named = [value for row in rows if (value := values[row]) is not None]
        vectors[rows] = encode_cached(_Reading(encoder), named, content_of, folder)
    broken = [row for row in rows if not vectors[row].any()]
    counts["broken"] += len(broken)
    if broken and not example:
        example = _why(values[broken[0]])
    return vectors, PictureFaults(**counts, example=example)


class _Reading:
    """An encoder that is given what names a picture, and reads each when it comes to it."""

    def __init__(self, encoder: ImageEncoder) -> None:
        self.encoder = encoder
        self.name, self.version = encoder.name, encoder.version
        self.modality, self.dim = encoder.modality, encoder.dim

    def encode(self, assets: Sequence[str | bytes]) -> FloatArray:
        parts = [
            self.encoder.encode([content_of(asset) for asset in assets[start : start + BATCH]])
            for start in range(0, len(assets), BATCH)
        ]
        return np.concatenate(parts) if parts else np.empty((0, self.dim), np.float32)


def _why(value: str | bytes | None) -> str:
    """What is wrong with a picture."""
    name = value[:200] if isinstance(value, str) and not value.startswith("data:") else "a picture"
    try:
        decode(content_of(value or b""))
    except PictureError as error:
        return f"{name}: {error}"
    return f"{name}: it says nothing"


@dataclass(frozen=True)
class ItemPictures:
    """How the pictures of items became vectors; saved with a model, so that new items are read in the same way.

    Parameters
    ----------
    encoder, version, dim
        Of the encoder.
    """

    encoder: str
    version: str
    dim: int

    @classmethod
    def of(cls, items: pl.DataFrame, encoder: ImageEncoder) -> ItemPictures:
        """The reading of ``items`` by ``encoder``.

        Raises
        ------
        DataError
            If no item has a picture.
        """
        if all(value is None for value in pictures_of(items)):
            raise DataError(
                "no item has a picture.",
                "Say where they are: --pictures FILE, FOLDER or COLUMN, in Python load_data(..., pictures=...).",
            )
        return cls(encoder.name, encoder.version, encoder.dim)

    @classmethod
    def from_meta(cls, meta: dict[str, Any]) -> ItemPictures:
        """Undo :meth:`to_meta`."""
        return cls(meta["encoder"], meta["version"], meta["dim"])

    def to_meta(self) -> dict[str, Any]:
        """What an artifact states."""
        return {"encoder": self.encoder, "version": self.version, "dim": self.dim}

    def vectors(self, items: pl.DataFrame) -> FloatArray:
        """float32 ``[n, dim]`` of the rows of ``items``, of length one; zeros where an item has no picture.

        Pictures that cannot be read are counted in a warning.

        Raises
        ------
        EncoderError
            If the encoder that is installed is another version.
        """
        encoder = image_encoder(self.encoder)
        must_be_version(encoder, self.version)
        found, faults = picture_vectors(pictures_of(items), encoder)
        if faults.unreadable:
            _LOG.warning("%s", faults)
        return found


def centred(vectors: FloatArray, mean: FloatArray) -> FloatArray:
    """Rows less ``mean``, of length one; rows of zeros, which stand for no picture, stay."""
    return unit(np.where(vectors.any(axis=1, keepdims=True), vectors - mean, np.float32(0)))


def picture_seconds(items: pl.DataFrame, encoder: ImageEncoder) -> float:
    """CPU-seconds that the vectors of ``items`` are expected to take: of pictures that are not in the cache."""
    contents = []
    for value in pictures_of(items):
        try:
            contents.append(content_of(value) if value is not None else b"")
        except PictureError:
            continue
    cache = VectorCache(encoder)
    there: npt.NDArray[np.bool_] = cache.get(cache.keys([content for content in contents if content]))[1]
    start, each = _SECONDS
    return start + each * float(np.count_nonzero(~there)) if not there.all() else 0.0
