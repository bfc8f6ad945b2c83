"""Columns of a data set as numbers: what the feature-based rankers read, learnt from the part train alone.

A column becomes a *field* (categorical, or a list of categories; code 0 is "unknown") or a *number*
(standardised). Which columns do is decided by :meth:`Side.learn` once and frozen in the
:class:`FeatureSpec` that is saved with the model.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
import scipy.sparse as sp
from pydantic import BaseModel, ConfigDict

from honeyguide.core import artifact
from honeyguide.core.dataset import Dataset
from honeyguide.core.errors import DataError
from honeyguide.core.ragged import FloatArray, IntArray

MAX_VALUES = 1000  # of a field; the rarer ones are unknown
MAX_LIST = 20  # values of a list that are read, the most frequent first
FEW = 20  # whole numbers with at most so many values are categories
CLIP = 5.0  # standard deviations beyond which a number says no more
OUTCOMES = ("label", "positive", "split", "user", "item")
DERIVED = ("history_length", "popularity", "trend")
PRIOR = 5.0  # events of middling time that every item starts with


class Field(BaseModel):
    """A categorical column: ``values[i]`` has code ``i + 1``, everything else code 0."""

    model_config = ConfigDict(frozen=True)

    name: str
    values: tuple[str, ...]
    many: bool = False


class Number(BaseModel):
    """A numeric column and the mean and deviation by which it is standardised; missing values are the mean."""

    model_config = ConfigDict(frozen=True)

    name: str
    mean: float
    deviation: float

    def standardise(self, values: npt.NDArray[np.floating]) -> FloatArray:
        """float32, within ``CLIP`` deviations; NaN becomes 0."""
        z = (np.asarray(values, np.float64) - self.mean) / self.deviation
        return np.nan_to_num(np.clip(z, -CLIP, CLIP)).astype(np.float32)


@dataclass(frozen=True)
class Encoded:
    """``n`` rows of features. A row's vector is ``sum_j weights[j] E[codes[j]] + numbers W``.

    Parameters
    ----------
    codes, weights
        int32 and float32 ``[n, w]``; codes of all fields in one numbering, weights 1 (1 / length in a
        list, 0 where padded).
    numbers
        float32 ``[n, p]``.
    unknown
        int32 ``[w]``: the "unknown" code of each column's field.
    first
        float32 ``[w]``: 1 at the first column of each field.
    """

    codes: IntArray
    weights: FloatArray
    numbers: FloatArray
    unknown: IntArray
    first: FloatArray

    def __len__(self) -> int:
        return len(self.codes)

    def take(self, rows: npt.NDArray[np.integer]) -> Encoded:
        """The rows at ``rows``."""
        return Encoded(self.codes[rows], self.weights[rows], self.numbers[rows], self.unknown, self.first)

    def hide(self, rows: npt.NDArray[np.bool_]) -> Encoded:
        """The same with nothing known of the marked rows."""
        mask = rows[:, None]
        return Encoded(
            np.where(mask, self.unknown, self.codes),
            np.where(mask, self.first, self.weights),
            np.where(mask, np.float32(0), self.numbers),
            self.unknown,
            self.first,
        )

    def to_csr(self, size: int) -> sp.csr_matrix:
        """float32 ``[n, size + p]``: fields one-hot, then numbers."""
        n, w = self.codes.shape
        rows, flat = np.repeat(np.arange(n), w), self.codes.ravel()
        onehot = sp.csr_matrix((self.weights.ravel(), (rows, flat)), shape=(n, size))
        return sp.hstack([onehot, sp.csr_matrix(self.numbers)], format="csr", dtype=np.float32)


class Side(BaseModel):
    """The features of one table."""

    model_config = ConfigDict(frozen=True)

    fields: tuple[Field, ...] = ()
    numbers: tuple[Number, ...] = ()

    @property
    def size(self) -> int:
        """Codes of all fields together, the unknown ones included."""
        return sum(len(field.values) + 1 for field in self.fields)

    @classmethod
    def learn(cls, frame: pl.DataFrame) -> Side:
        """Choose and measure the columns of ``frame``, which holds only what train speaks of.

        Strings, booleans, lists and whole numbers with few values become fields if values that occur
        twice or more cover half of the rows (titles and other names do not); other numbers are
        standardised; constants are left out.
        """
        fields, numbers = [], []
        for column in frame.iter_columns():
            kind = column.dtype
            many = isinstance(kind, pl.List)
            whole = kind.is_integer() and column.n_unique() <= FEW
            if many or whole or kind in (pl.String, pl.Boolean, pl.Categorical, pl.Enum):
                field = _field(column, many)
                fields += [field] if field is not None else []
            elif kind.is_numeric():
                values = column.cast(pl.Float64).drop_nulls().drop_nans().to_numpy()
                if len(values) and values.std() > 0:
                    numbers.append(Number(name=column.name, mean=float(values.mean()), deviation=float(values.std())))
        return cls(fields=tuple(fields), numbers=tuple(numbers))

    def encode(self, frame: pl.DataFrame) -> Encoded:
        """The rows of ``frame``; columns that it lacks are unknown."""
        n, start = frame.height, 0
        codes, weights, unknown, first = [], [], [], []
        for field in self.fields:
            c, w = _codes(field, frame)
            codes.append(c + start)
            weights.append(w)
            unknown += [start] * c.shape[1]
            first += [1.0] + [0.0] * (c.shape[1] - 1)
            start += len(field.values) + 1
        numbers = [
            number.standardise(frame[number.name].cast(pl.Float64).to_numpy())
            if number.name in frame.columns
            else np.zeros(n, np.float32)
            for number in self.numbers
        ]
        return Encoded(
            np.concatenate(codes, axis=1).astype(np.int32) if codes else np.zeros((n, 0), np.int32),
            np.concatenate(weights, axis=1).astype(np.float32) if weights else np.zeros((n, 0), np.float32),
            np.stack(numbers, axis=1) if numbers else np.zeros((n, 0), np.float32),
            np.array(unknown, np.int32),
            np.array(first, np.float32),
        )

    def nothing(self, n: int) -> Encoded:
        """``n`` rows of which nothing is known."""
        return self.encode(pl.DataFrame({"": np.zeros(n)}))


class FeatureSpec(BaseModel):
    """The features of users, items and context, and the scale of the derived ones."""

    model_config = ConfigDict(frozen=True)

    items: Side
    users: Side
    context: Side
    derived: tuple[Number, ...]


@dataclass(frozen=True)
class Features:
    """The fitted feature part of a ranker.

    Parameters
    ----------
    spec
        What is read.
    items
        The catalogue's features, ``[n_items]`` rows.
    counts
        float32 ``[n_items]``: train events of each item, liked or not.
    trends
        float32 ``[n_items]`` in (0, 1): how late an item's train events are, on average; .5 where unknown.
    """

    spec: FeatureSpec
    items: Encoded
    counts: FloatArray
    trends: FloatArray

    @classmethod
    def fit(cls, data: Dataset, lengths: npt.NDArray[np.int64], context: Sequence[str] = ()) -> Features:
        """Learn from train.

        Parameters
        ----------
        data
            Its tables, and its interactions of the part train.
        lengths
            int64: history length before each train event.
        context
            Columns of the interactions that are known before the outcome.

        Raises
        ------
        DataError
            If a context column is missing, or is the outcome in disguise.
        """
        train = data.select("train").interactions
        _check_context(train, context)
        counts = np.bincount(train["item"].to_numpy(), minlength=data.n_items).astype(np.float32)
        trends = item_trends(train, data.n_items, data.ordered)
        events = train["item"].to_numpy()
        values = (np.log1p(lengths), np.log1p(counts[events]), trends[events])
        spec = FeatureSpec(
            items=Side.learn(_known(data.items, np.flatnonzero(counts)).drop("item_id", strict=False)),
            users=Side.learn(_known(data.users, train["user"].unique().to_numpy()).drop("user_id", strict=False)),
            context=Side.learn(train.select(context)),
            derived=tuple(_number(name, v) for name, v in zip(DERIVED, values, strict=True)),
        )
        return cls(spec, spec.items.encode(data.items), counts, trends)

    def derived(self, lengths: npt.NDArray[np.int64], items: IntArray, own: FloatArray | float = 0.0) -> FloatArray:
        """float32 ``[n, 3]``: log history length, log popularity and trend, standardised.

        ``own`` is 1 where the event itself is in the counts of train and must not count for itself.
        """
        values = (np.log1p(lengths), np.log1p(np.maximum(self.counts[items] - own, 0)), self.trends[items])
        return np.stack([n.standardise(v) for n, v in zip(self.spec.derived, values, strict=True)], axis=1)

    def pack(self) -> tuple[artifact.Arrays, dict[str, Any]]:
        """Arrays and metadata for an artifact; nothing of users but the spec."""
        names = ("codes", "weights", "numbers", "unknown", "first")
        arrays = {f"items.{name}": getattr(self.items, name) for name in names}
        arrays |= {"counts": self.counts, "trends": self.trends}
        return arrays, self.spec.model_dump(mode="json")

    @classmethod
    def unpack(cls, arrays: Mapping[str, npt.NDArray[Any]], meta: dict[str, Any]) -> Features:
        """Undo :meth:`pack`."""
        names = ("codes", "weights", "numbers", "unknown", "first")
        items = Encoded(*(np.array(arrays[f"items.{name}"]) for name in names))
        return cls(FeatureSpec(**meta), items, np.array(arrays["counts"]), np.array(arrays["trends"]))


def _known(frame: pl.DataFrame, rows: npt.NDArray[np.integer]) -> pl.DataFrame:
    return frame[np.sort(rows)] if len(rows) else frame.clear()


def _number(name: str, values: npt.NDArray[np.floating]) -> Number:
    mean = float(values.mean()) if len(values) else 0.0
    deviation = float(values.std()) if len(values) else 0.0
    return Number(name=name, mean=mean, deviation=deviation or 1.0)


def _field(column: pl.Series, many: bool) -> Field | None:
    """The field of a column, or ``None`` if its values are too rare to say anything."""
    flat = column.explode() if many else column
    counted = flat.cast(pl.String).drop_nulls().alias("value").to_frame().group_by("value").len()
    counted = counted.filter(pl.col("len") >= 2).sort(["len", "value"], descending=[True, False]).head(MAX_VALUES)
    values = counted["value"].to_list()
    if len(values) < 2 and not many:
        return None
    held = column.list.eval(pl.element().cast(pl.String).is_in(values)).list.any() if many else None
    covered = held.sum() if held is not None else counted["len"].sum()
    return Field(name=column.name, values=tuple(values), many=many) if values and 2 * covered >= len(column) else None


def _codes(field: Field, frame: pl.DataFrame) -> tuple[npt.NDArray[np.int64], FloatArray]:
    """Codes within the field and their weights, ``[n, width]``."""
    n = frame.height
    if field.name not in frame.columns:
        return np.zeros((n, 1), np.int64), np.ones((n, 1), np.float32)
    code = {value: i + 1 for i, value in enumerate(field.values)}
    column = frame[field.name]
    if not field.many:
        known = column.cast(pl.String).replace_strict(code, default=0, return_dtype=pl.Int64).fill_null(0)
        return known.to_numpy()[:, None], np.ones((n, 1), np.float32)
    listed = pl.DataFrame({"row": np.arange(n), "value": column}).explode("value").drop_nulls()
    coded = listed["value"].cast(pl.String).replace_strict(code, default=0, return_dtype=pl.Int64)
    pairs = listed.with_columns(coded.alias("code")).filter(pl.col("code") > 0).select("row", "code").unique()
    pairs = pairs.sort("row", "code")  # the lower the code, the more frequent the value
    rows, found = pairs["row"].to_numpy(), pairs["code"].to_numpy()
    place = np.arange(len(rows)) - np.searchsorted(rows, rows)
    rows, found, place = rows[place < MAX_LIST], found[place < MAX_LIST], place[place < MAX_LIST]
    width = int(place.max(initial=0)) + 1
    codes, weights = np.zeros((n, width), np.int64), np.zeros((n, width), np.float32)
    lengths = np.bincount(rows, minlength=n)
    codes[rows, place], weights[rows, place] = found, 1.0 / lengths[rows]
    weights[lengths == 0, 0] = 1.0  # an empty list is one unknown value
    return codes, weights


def item_trends(train: pl.DataFrame, n_items: int, ordered: bool) -> FloatArray:
    """Mean time of each item's events as a quantile: of all events, or of the user's where only order is known."""
    n = train.height
    if not ordered or n == 0:
        return np.full(n_items, 0.5, np.float32)
    if "timestamp" in train.columns and not train["timestamp"].null_count():
        when = train["timestamp"].rank("average").to_numpy() / (n + 1)
    else:
        users = train["user"].to_numpy()
        size = np.bincount(users)
        place = np.arange(n) - (np.cumsum(size) - size)[users]
        when = (place + 1) / (size[users] + 1)
    items = train["item"].to_numpy()
    total = np.bincount(items, when, minlength=n_items) + 0.5 * PRIOR
    trend: FloatArray = (total / (np.bincount(items, minlength=n_items) + PRIOR)).astype(np.float32)
    return trend


def _check_context(train: pl.DataFrame, context: Sequence[str]) -> None:
    """Refuse context columns that are missing or tell the outcome."""
    for name in context:
        if name not in train.columns or name in OUTCOMES:
            raise DataError(
                f"{name!r} cannot be a context column.",
                f"Choose among: {', '.join(c for c in train.columns if c not in OUTCOMES)}.",
            )
        if "positive" not in train.columns or train["positive"].n_unique() < 2:
            continue
        groups = train.group_by(name).agg(pl.col("positive").n_unique())
        if groups.height <= FEW and groups["positive"].max() == 1:
            raise DataError(
                f"the context column {name!r} tells the outcome: every value of it goes with one class only.",
                "Leave it out; context is what is known before the outcome.",
            )
