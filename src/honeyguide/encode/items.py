"""The text of an item: which columns of the item table are read, and how, by a rule that sees the table alone."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from honeyguide.core.dataset import Dataset
from honeyguide.core.errors import DataError
from honeyguide.core.fitting import Change
from honeyguide.core.ragged import FloatArray
from honeyguide.encode.cache import VectorCache, encode_cached
from honeyguide.encode.encoder import must_be_version
from honeyguide.encode.text import TextEncoder, text_encoder

LONGEST = 240  # characters read of one value: encoders of sentences read no more than a paragraph
MOST = 6  # values read of one list: of a cast or of tags the first say enough
FEW = 4  # a value of which no more than a fourth of the words is new is left out
_TITLE_LENGTH = 80  # characters of most titles, at most
_A_TABLE = 5  # rows from which on a column can be told by its values
LEVELS = 2  # of a category path, the last: the first are shared by half of the catalogue
# CPU-seconds to load an encoder, to read a text and a character of it; benchmarks/text_encoding.py measures them.
_SECONDS = {"minilm": (4.0, 1e-3, 5e-5), "use": (0.8, 5e-4, 5e-6)}
_SAMPLE = 1000  # values by which a column is judged

# What a column is called and where it goes in the text; the first pattern that fits decides.
_ROLES = (
    re.compile(r"title|name|headline|heading"),
    re.compile(r"categor|department"),
    re.compile(r"brand|author|artist|director|writer|creator|publisher|manufacturer|maker|studio|series"),
    re.compile(r"genre|tag|keyword|topic|subject|attribute|feature|style|type"),
)
_LONG = re.compile(r"description|summary|plot|abstract|overview|synopsis|content|body|text")
_NOT_TEXT = re.compile(
    r"(^|_)(id|ids|asin|isbn|isbn13|sku|ean|upc|uuid|url|uri|link|href|image|img|poster|picture|photo|thumbnail|cover"
    r"|path|file|date|time|timestamp|year|price|lang|language|language_code)s?($|_)"
)
_CODE = re.compile(
    r"https?://\S+|\S+\.(jpe?g|png|gif|webp|svg|mp[34])|<[^>]*>|[\d.,:/_+-]+|(?=\S*\d)[A-Z0-9_-]{8,}", re.I
)
_WORD = re.compile(r"\w+")


def text_columns(items: pl.DataFrame) -> list[str]:
    """The columns that say in words what an item is, in the order in which they are read.

    Names and titles come first, then categories, makers, genres and tags, other words, and descriptions.
    Ids, addresses, pictures, dates and numbers, also where they are written as strings, are left out.

    Parameters
    ----------
    items
        Item table.
    """
    ranked = []
    for place, (name, dtype) in enumerate(items.schema.items()):
        if dtype in (pl.String, pl.List(pl.String), pl.Categorical) and not _NOT_TEXT.search(name.lower()):
            values = _sample(items[name])
            if values and _are_words(values):
                ranked.append((_rank(name.lower(), values), place, name))
    return [name for _, _, name in sorted(ranked)]


def title_column(items: pl.DataFrame) -> str | None:
    """The column that people call an item by; ``None`` where no column of words tells items apart.

    ``title`` or ``name``; else a column whose name says so (``Book-Title``, ``product_name``), with which half of the
    items at least are told apart; else another column of short texts, nearly all of them different (``artist_name``
    where artists are the items).

    Parameters
    ----------
    items
        Item table, a row an item.
    """
    exact = next((name for name in ("title", "name") if name in items.columns), None)
    if exact is not None:
        return exact
    found = []
    for place, name in enumerate(column for column in text_columns(items) if items[column].dtype == pl.String):
        values, plain = items[name].drop_nulls(), name.lower()
        different = values.n_unique() / len(values)
        called = _ROLES[0].search(plain) is not None and not any(role.search(plain) for role in _ROLES[1:])
        short = len(values) >= _A_TABLE and np.median(values.str.len_chars().to_numpy()) <= _TITLE_LENGTH
        if called and different >= 0.5:
            found.append((0, place, name))
        elif different >= 0.9 and short and not any(role.search(plain) for role in (_ROLES[1], _ROLES[3], _LONG)):
            found.append((1, place, name))
    return min(found)[2] if found else None


def item_texts(items: pl.DataFrame, columns: Sequence[str] | None = None) -> list[str]:
    """One text per row of ``items``; empty where nothing is known of an item.

    Of a category path (``A > B > C``) the last two levels are read, of a list the first six values, of a value
    the first 240 characters. A value that adds few words to those read already is left out.

    Parameters
    ----------
    items
        Item table.
    columns
        Columns to read, in order; by default :func:`text_columns`.

    Raises
    ------
    DataError
        If a column is missing.
    """
    columns = text_columns(items) if columns is None else columns
    missing = [column for column in columns if column not in items.columns]
    if missing:
        raise DataError(
            f"the items have no column {missing[0]!r}, which their text is made of.",
            f"Text is read from: {', '.join(columns)}. Add the column; a value may be empty.",
            column=missing[0],
        )
    levels = [_ROLES[1].search(column.lower()) is not None for column in columns]
    if not columns:
        return [""] * items.height
    return [_join(list(zip(row, levels, strict=True))) for row in items.select(columns).iter_rows()]


@dataclass(frozen=True)
class ItemText:
    """How the text of items became vectors; saved with a model, so that new items are read in the same way.

    Parameters
    ----------
    encoder, version, dim
        Of the encoder.
    columns
        Columns of the item table that were read.
    """

    encoder: str
    version: str
    dim: int
    columns: tuple[str, ...]

    @classmethod
    def of(cls, items: pl.DataFrame, encoder: TextEncoder, columns: Sequence[str] | None = None) -> ItemText:
        """The reading of ``items`` by ``encoder``.

        Raises
        ------
        DataError
            If the table has no column of words.
        """
        found = tuple(text_columns(items) if columns is None else columns)
        if not found:
            raise DataError(
                "the item table has no column of words, such as a title.",
                "Give one with --items FILE, or use a model that needs no text.",
            )
        return cls(encoder.name, encoder.version, encoder.dim, found)

    @classmethod
    def from_meta(cls, meta: dict[str, Any]) -> ItemText:
        """Undo :meth:`to_meta`."""
        return cls(meta["encoder"], meta["version"], meta["dim"], tuple(meta["columns"]))

    def to_meta(self) -> dict[str, Any]:
        """What an artifact states."""
        return {"encoder": self.encoder, "version": self.version, "dim": self.dim, "columns": list(self.columns)}

    def vectors(self, items: pl.DataFrame) -> FloatArray:
        """float32 ``[n, dim]`` of the rows of ``items``, of length one; zeros where an item has no text.

        Raises
        ------
        DataError
            If a column is missing.
        EncoderError
            If the encoder that is installed is another version.
        """
        return text_vectors(item_texts(items, self.columns), self.checked())

    def new_vectors(self, change: Change, known: int) -> FloatArray:
        """float32 ``[n, dim]`` of the items of ``change`` that follow the ``known`` ones; zeros without a table.

        Raises
        ------
        DataError, EncoderError
            As :meth:`vectors`.
        """
        rows = change.described(known)
        if rows is None or not rows.height:
            return np.zeros((change.n_items - known, self.dim), np.float32)
        return self.vectors(rows)

    def checked(self) -> TextEncoder:
        """The encoder, of the version that was read with.

        Raises
        ------
        EncoderError
            If the one that is installed is another version.
        """
        encoder = text_encoder(self.encoder)
        must_be_version(encoder, self.version)
        return encoder

    def of_words(self, texts: Sequence[str]) -> FloatArray:
        """float32 ``[n, dim]`` of what people type, of length one; zeros for empty texts. It is not kept in the cache.

        Raises
        ------
        EncoderError
            If the encoder that is installed is another version.
        """
        encoder, written = self.checked(), [row for row, text in enumerate(texts) if text.strip()]
        vectors = np.zeros((len(texts), encoder.dim), np.float32)
        if written:
            vectors[written] = encoder.encode([texts[row].strip() for row in written])
        return vectors

    def ready(self) -> None:
        """Load the encoder's weights, so that the next text is read without waiting for them."""
        text_encoder(self.encoder).encode(["ready"])


def item_text_vectors(data: Dataset, encoder: TextEncoder, columns: Sequence[str] | None = None) -> FloatArray:
    """float32 ``[n_items, dim]`` of the items of ``data``, of length one; zeros where an item has no text."""
    return text_vectors(item_texts(data.items, columns), encoder)


def text_vectors(texts: Sequence[str], encoder: TextEncoder) -> FloatArray:
    """float32 ``[n, dim]`` through the cache; zeros for empty texts."""
    vectors = np.zeros((len(texts), encoder.dim), np.float32)
    written = [row for row, text in enumerate(texts) if text]
    if written:
        vectors[written] = encode_cached(encoder, [texts[row] for row in written], str.encode)
    return vectors


def encoding_seconds(items: pl.DataFrame, encoder: TextEncoder, columns: Sequence[str] | None = None) -> float:
    """CPU-seconds that the vectors of ``items`` are expected to take: of texts that are not in the cache."""
    texts = [text for text in item_texts(items, columns) if text]
    cache = VectorCache(encoder)
    missing = np.flatnonzero(~cache.get(cache.keys([text.encode() for text in texts]))[1])
    start, each, letter = _SECONDS.get(encoder.name, _SECONDS["minilm"])
    return start + sum(each + letter * len(texts[row]) for row in missing) if len(missing) else 0.0


def _sample(column: pl.Series) -> list[str]:
    """Some of the values, evenly taken; lists are flattened."""
    kept = column.drop_nulls()
    kept = kept.gather_every(max(1, len(kept) // _SAMPLE))
    flat = kept.explode() if isinstance(kept.dtype, pl.List) else kept
    return [value for value in flat.drop_nulls().cast(pl.String).to_list() if value.strip()]


def _are_words(values: list[str]) -> bool:
    """Whether most values are words rather than codes, numbers or addresses."""
    return sum(_CODE.fullmatch(value.strip()) is None for value in values) > len(values) / 2


def _rank(name: str, values: list[str]) -> int:
    """Place of a column in the text."""
    if _LONG.search(name) or np.median([len(value) for value in values]) > LONGEST:
        return len(_ROLES) + 1
    return next((rank for rank, role in enumerate(_ROLES) if role.search(name)), len(_ROLES))


def _join(row: list[tuple[object, bool]]) -> str:
    """The values of one item, the columns parted by full stops."""
    said: set[str] = set()
    parts = []
    for value, is_path in row:
        kept = []
        for text in _values(value, is_path):
            words = set(_WORD.findall(text.lower()))
            if len(words - said) * FEW > len(words):
                said |= words
                kept.append(text)
        if kept:
            parts.append(", ".join(kept))
    return ". ".join(parts)


def _values(value: object, is_path: bool) -> Iterable[str]:
    values = [value] if isinstance(value, str) else list(value) if isinstance(value, Iterable) else []
    texts = [" ".join(str(v).split())[:LONGEST] for v in values if v is not None]
    if not is_path:
        return texts[:MOST]
    if any(" > " in text for text in texts):  # paths: the first, whose end says most
        return [level.strip() for level in texts[0].split(" > ")][-LEVELS:]
    return texts[-LEVELS:] if len(texts) > 1 else texts
