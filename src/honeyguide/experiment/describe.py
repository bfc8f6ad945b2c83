"""A data set in figures."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

from honeyguide.core.dataset import Dataset


def describe(data: Dataset) -> dict[str, Any]:
    """Sizes, density, histories, popularity, time span and columns of ``data``."""
    lengths = data.histories().lengths
    counts = np.sort(data.popularity())[::-1]
    top = max(1, data.n_items // 100)
    density = data.positives().height / max(1, data.n_users * data.n_items)
    found: dict[str, Any] = {
        "name": data.name,
        "n_users": data.n_users,
        "n_items": data.n_items,
        "n_interactions": data.interactions.height,
        "n_positive": data.positives().height,
        "density": density,
        "parts": {part: data.select(part).interactions.height for part in data.parts},
        "ordered": data.ordered,
        "history_length": {
            "min": int(lengths.min(initial=0)) if not len(lengths) else int(lengths.min()),
            "median": float(np.median(lengths)) if len(lengths) else 0.0,
            "max": int(lengths.max(initial=0)),
        },
        "share_of_top_1_percent": float(counts[:top].sum() / max(1.0, counts.sum())),
        "item_columns": [c for c in data.items.columns if c != "item_id"],
        "user_columns": [c for c in data.users.columns if c != "user_id"],
        "tables": sorted(data.extras),
    }
    if "timestamp" in data.interactions.columns and data.interactions.height:
        times = data.interactions["timestamp"]
        found["time"] = [str(times.min()), str(times.max())]
    if "label" in data.interactions.columns:
        labels = data.interactions["label"].drop_nulls()
        found["labels"] = {str(row[0]): row[1] for row in _common(labels)}
    return found


def lines(found: dict[str, Any]) -> list[str]:
    """What :func:`describe` found, as text."""
    length = found["history_length"]
    text = [
        f"{found['name']}: {found['n_interactions']:,} events ({found['n_positive']:,} positive), "
        f"{found['n_users']:,} users, {found['n_items']:,} items, density {found['density']:.3%}",
        f"Events per user: {length['min']:,} to {length['max']:,}, median {length['median']:,.0f}. "
        f"The top 1 % of items have {found['share_of_top_1_percent']:.0%} of the events.",
    ]
    if len(found["parts"]) > 1:
        text.append("Parts: " + ", ".join(f"{part} {n:,}" for part, n in found["parts"].items()) + ".")
    if "time" in found:
        text.append(f"From {found['time'][0]} to {found['time'][1]}.")
    elif not found["ordered"]:
        text.append("There is no time and no position: the order of events means nothing.")
    return text


def _common(labels: pl.Series) -> list[tuple[Any, int]]:
    """The ten most frequent labels with their counts."""
    counted = labels.value_counts(sort=True).head(10)
    return [(row[0], int(row[1])) for row in counted.rows()]
