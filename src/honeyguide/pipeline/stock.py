"""What a pipeline draws on: the model, the item table, and what is computed of them once. Shapes: m items, d width."""

from __future__ import annotations

import threading
from collections import OrderedDict
from functools import cached_property
from threading import Lock
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from honeyguide.core.ann import Kind
from honeyguide.core.appended import appended
from honeyguide.core.errors import ConfigError, DataError, EncoderError
from honeyguide.core.ids import Ids
from honeyguide.core.inner_product import unit
from honeyguide.core.ragged import FloatArray, IntArray, Ragged
from honeyguide.core.recommender import Recommender
from honeyguide.core.requests import Requests
from honeyguide.data.expressions import condition
from honeyguide.encode.items import ItemText
from honeyguide.encode.text import text_encoder
from honeyguide.explain.because import titles_of
from honeyguide.pipeline.near import Near
from honeyguide.pipeline.popular import Popular
from honeyguide.pipeline.shown import Shown

_MASKS = 256  # conditions whose items are remembered
_MANY = 20_000  # items whose texts take so long to read that nobody is made to wait for it
Mask = npt.NDArray[np.bool_]


class Stock:
    """A fitted model and the table of its items. Safe to share between threads; nothing in it belongs to a user.

    Parameters
    ----------
    model
        Fitted.
    items
        Table with a column ``item_id``; rows of items that the model does not know are left out, and missing
        ones have empty fields.
    popularity
        float32 ``[m]`` events of every item; of the model's items in the order of their codes.
    encoder
        Of the items' texts; read when they first are.
    """

    def __init__(self, model: Recommender, items: pl.DataFrame, popularity: FloatArray, encoder: str = "auto") -> None:
        self.model, self.popular = model, Popular(popularity)
        self.ids: Ids = model._fitted()
        known = pl.DataFrame({"item_id": self.ids.values})
        table = items.with_columns(pl.col("item_id").cast(self.ids.dtype, strict=False)).unique("item_id", keep="first")
        self.items = known.join(table, on="item_id", how="left", maintain_order="left")
        self._length = len(self.ids)
        self.shown = Shown(self.items)
        self.near: Near | None = None  # until it is made, all items are looked at
        self.encoder = encoder
        self._masks: OrderedDict[str, Mask] = OrderedDict()
        self._lock, self._text_lock = (
            Lock(),
            Lock(),
        )  # of conditions, and of the encoder: one does not wait for the other
        self._text: tuple[ItemText, FloatArray] | None = None
        self._reader_thread: int | None = None
        self._unit: FloatArray | None = None
        self._orders: dict[str, IntArray] = {}

    @property
    def popularity(self) -> FloatArray:
        """float32 ``[m]`` events of every item."""
        return self.popular.counts

    def __len__(self) -> int:
        return self._length

    def mask(self, text: str) -> Mask:
        """Of which items a condition is true: bool ``[m]``, not to be changed.

        Raises
        ------
        ConfigError, DataError
            If it is not a condition over the columns of the item table.
        """
        with self._lock:
            found = self._masks.get(text)
            if found is not None:
                self._masks.move_to_end(text)
                return found
        schema = dict(self.items.schema)
        try:
            found = self.items.select(condition(text, schema)).to_series().to_numpy()
        except pl.exceptions.PolarsError as error:
            raise ConfigError(
                f"{text[:200]!r} does not fit the item table: {error}.", "Correct the condition."
            ) from error
        with self._lock:
            self._masks[text] = found
            while len(self._masks) > _MASKS:
                self._masks.popitem(last=False)
        return found

    @cached_property
    def titles(self) -> list[str]:
        """A name for every item code: its title where the table has one, else its id."""
        return titles_of(self.ids, self.items)

    def order_by(self, column: str) -> IntArray:
        """Item codes from the highest value of a column to the lowest; those without one are left out.

        Raises
        ------
        DataError
            If the item table has no such column of numbers or times.
        """
        if column not in self._orders:
            dtype = self.items.schema.get(column)
            if dtype is None or not (dtype.is_numeric() or dtype.is_temporal()):
                raise DataError(
                    f"the item table has no column {column!r} of numbers or times.",
                    f"Columns: {', '.join(self.items.columns)}.",
                    column=column,
                )
            values = self.items[column]
            ranked = values.arg_sort(descending=True, nulls_last=True)
            self._orders[column] = ranked.head(len(values) - values.null_count()).to_numpy().astype(np.int32)
        return self._orders[column]

    @property
    def text_vectors(self) -> FloatArray:
        """float32 ``[m, d]``: of the items' texts, of length one or zero."""
        return self._read_text()[1]

    def text_of(self, query: str) -> FloatArray:
        """float32 ``[d]``: of a query, in the space of the items' texts."""
        self._read_text()
        with self._text_lock:  # encoders are not made for several threads
            vector: FloatArray = np.asarray(self._reader.encode([query]), np.float32)[0]
        return unit(vector)

    def text_of_items(self, items: pl.DataFrame) -> FloatArray:
        """float32 ``[n, d]``: of the texts of rows that need not be in the table, read as those in it are."""
        text, _ = self._read_text()
        with self._text_lock:
            return text.vectors(items)

    def _read_text(self) -> tuple[ItemText, FloatArray]:
        if self._text is None and self.reading and len(self) > _MANY:
            raise EncoderError("the texts of the items are being read.", "Ask again in a minute.")
        with self._text_lock:
            if self._text is None:
                self._reader = text_encoder(self.encoder)  # kept: to load its weights takes a second
                text = ItemText.of(self.items, self._reader)
                vectors = text.vectors(self.items)
                self._text = text, appended(vectors, vectors[:0])  # items that come find room
            return self._text

    @property
    def reading(self) -> bool:
        """Whether another thread is at :meth:`read_ahead`."""
        return self._reader_thread not in (None, threading.get_ident())

    def read_ahead(self) -> None:
        """Read the texts of the items and load the encoder; meanwhile those who ask for a large catalogue's are told.

        Raises
        ------
        DataError, EncoderError, MissingExtraError
            If the items have no words, or nothing is there to read them.
        """
        self._reader_thread = threading.get_ident()
        try:
            self.text_of("ready")
        finally:
            self._reader_thread = None

    @property
    def model_vectors(self) -> FloatArray:
        """float32 ``[m, d]`` of length one or zero: the model's item vectors.

        Raises
        ------
        ConfigError
            If the model has none.
        """
        if self._unit is None:
            if "inner_product" not in self.model.capabilities:
                raise ConfigError(f"{self.model.name} has no item vectors.", 'Diversify by = "text".')
            whole: Any = self.model
            self._unit = unit(whole.item_vectors())
        return self._unit

    @cached_property
    def item_vectors(self) -> FloatArray | None:
        """float32 ``[m, d]`` whose products with a user's are the scores; ``None`` where the model has none."""
        whole: Any = self.model
        return whole.item_vectors() if "inner_product" in self.model.capabilities else None

    def user_vector(self, history: IntArray, instruction: str | None = None) -> FloatArray | None:
        """float32 ``[d]``; ``None`` where the model has none, or it says nothing of this history and instruction."""
        if self.item_vectors is None or not (len(history) or instruction):
            return None
        whole: Any = self.model
        histories = Ragged(np.array([0, len(history)]), history)
        if instruction and self.reads_instructions:
            vectors = whole.instructed(Requests(histories, instruction=[instruction]))
        else:
            vectors = whole.user_vectors(histories)
        return vectors[0] if vectors is not None and vectors[0].any() else None

    def index(self, users: FloatArray, kind: Kind | None = None) -> None:
        """Find the best of the model by an index, if one is good enough for a sample of ``users [q, d]``."""
        if self.item_vectors is not None:
            self.near = Near.over(self.item_vectors, users, kind)

    def grown(self, model: Recommender, items: pl.DataFrame, popularity: FloatArray) -> Stock:
        """The stock of a model with more items, behind those that this one has; what is known of these is kept.

        Parameters
        ----------
        model
            Fitted; its first m items are those of this stock.
        items
            Table of all its items, in the order of their codes.
        popularity
            float32: of all its items.
        """
        grown = Stock(model, items, popularity, self.encoder)
        grown.shown = self.shown.grown(grown.items)
        grown._reader_thread = self._reader_thread  # which goes on with this one
        if self._text is not None:
            text, vectors = self._text
            more = text.vectors(grown.items[len(self) :])
            grown._reader, grown._text = self._reader, (text, appended(vectors, more))
        if self.near is not None and grown.item_vectors is not None:
            grown.near = self.near.grown(grown.item_vectors)
        return grown

    @property
    def reads_instructions(self) -> bool:
        """Whether the model itself reads what is asked for in words."""
        return "instruction" in self.model.capabilities

    def scores(self, history: IntArray, instruction: str | None = None) -> FloatArray:
        """float32 ``[m]``: the model's scores for one history; with an ``instruction`` if it reads any."""
        histories = Ragged.from_lists([history])
        if instruction and self.reads_instructions:
            scores = self.model.score(Requests(histories, instruction=[instruction]))
        else:
            scores = self.model.score_histories(histories)
        found: FloatArray = scores[0]
        return found
