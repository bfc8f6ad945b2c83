"""A data set in numbers."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

import numpy as np
import polars as pl

from honeyguide.core.dataset import Dataset
from honeyguide.core.ragged import FloatArray

QUANTILES = (0.0, 0.25, 0.5, 0.75, 0.9, 1.0)
_MOST_LABELS = 20  # beyond, they are no grades
_RETURNS = (
    "returns: {:.0%} of the events are with an item that the user had before; models are chosen by what is new to a "
    "user, and lists hide what was seen unless --seen is given"
)


@dataclass(frozen=True)
class Description:
    """Sizes and shapes of a data set; everything but ``events`` is about positive events.

    Parameters
    ----------
    name
        The data set.
    users, items
        Number of codes, including those without events.
    events, positives
        Number of events, and of those that count as positive.
    density
        Distinct pairs of user and item over all possible pairs.
    gini
        Gini coefficient of item popularity: 0 if all items are equally popular, near 1 if few have everything.
    history_quantiles
        Length of users' histories at the quantiles :data:`QUANTILES`.
    parts
        Part to number of events.
    ordered
        Whether events have an order.
    first, last
        Times of the first and the last event, or ``None``.
    cold_items
        Share of items without a train event.
    returns
        Share of positive events with an item that the user had taken before.
    labels
        Share of the events with each label (stars, a rating), where these are a few numbers; lowest first.
    """

    name: str
    users: int
    items: int
    events: int
    positives: int
    density: float
    gini: float
    history_quantiles: dict[str, float]
    parts: dict[str, int]
    ordered: bool
    first: datetime | None
    last: datetime | None
    cold_items: float
    returns: float
    labels: dict[str, float]

    def to_dict(self) -> dict[str, Any]:
        """A JSON-able form."""
        times = {key: None if (at := getattr(self, key)) is None else at.isoformat() for key in ("first", "last")}
        return asdict(self) | times

    def __str__(self) -> str:
        lengths = ", ".join(f"{name} {value:g}" for name, value in self.history_quantiles.items())
        span = f"{self.first:%Y-%m-%d} to {self.last:%Y-%m-%d}" if self.first and self.last else "no timestamps"
        return "\n".join(
            [
                f"{self.name}: {self.events:,} events ({self.positives:,} positive) of {self.users:,} users on "
                f"{self.items:,} items, density {self.density:.3%}",
                f"parts: {', '.join(f'{part} {count:,}' for part, count in self.parts.items())}",
                f"order: {'yes' if self.ordered else 'none'}, {span}",
                f"history lengths: {lengths}",
                f"popularity: Gini {self.gini:.3f}; items without a train event {self.cold_items:.1%}",
                *([self._labels()] if self.labels else []),
                *([_RETURNS.format(self.returns)] if self.returns >= 0.1 else []),
            ]
        )

    def _labels(self) -> str:
        shares = ", ".join(f"{label} {share:.0%}" for label, share in self.labels.items())
        whole = self.positives == self.events
        return f"labels: {shares}{'; an event counts whatever its label: --positive says which do' if whole else ''}"


def describe(data: Dataset) -> Description:
    """Summary statistics of a data set."""
    frame = data.interactions
    lengths = data.histories().lengths
    timed = "timestamp" in frame.columns and frame["timestamp"].null_count() < frame.height
    pairs = data.positives().select("user", "item").n_unique()
    counts = dict(frame.group_by("split").len().rows()) if "split" in frame.columns else {"train": frame.height}
    return Description(
        name=data.name,
        users=data.n_users,
        items=data.n_items,
        events=frame.height,
        positives=int(lengths.sum()),
        density=pairs / max(1, data.n_users * data.n_items),
        gini=gini(data.popularity()),
        history_quantiles={f"{q:.0%}": float(np.quantile(lengths, q)) for q in QUANTILES} if len(lengths) else {},
        parts={part: counts[part] for part in data.parts},
        ordered=data.ordered,
        first=frame.select(pl.col("timestamp").min()).item() if timed else None,
        last=frame.select(pl.col("timestamp").max()).item() if timed else None,
        cold_items=float(np.mean(data.popularity("train") == 0)) if data.n_items else 0.0,
        returns=1 - pairs / max(1, int(lengths.sum())) if len(lengths) else 0.0,
        labels=_labels(frame),
    )


def _labels(frame: pl.DataFrame) -> dict[str, float]:
    if "label" not in frame.columns or not frame.schema["label"].is_numeric():
        return {}
    counted = frame["label"].drop_nulls().value_counts(normalize=True, name="share").sort("label")
    return {f"{label:g}": share for label, share in counted.rows()} if 1 < counted.height <= _MOST_LABELS else {}


def gini(values: FloatArray) -> float:
    r"""Gini coefficient of non-negative values, :math:`\frac{2 \sum_i i x_{(i)}}{n \sum_i x_i} - \frac{n + 1}{n}`.

    Parameters
    ----------
    values
        ``[n]``; :math:`x_{(i)}` is the i-th smallest, from 1. 0 if all are zero.
    """
    x = np.sort(np.asarray(values, np.float64))
    total, n = x.sum(), len(x)
    if total == 0:
        return 0.0
    return float(2 * (np.arange(1, n + 1) @ x) / (n * total) - (n + 1) / n)
