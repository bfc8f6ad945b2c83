"""LightGNN: what is left and reached after every run of pruning, and what it costs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from _tables import MISSING, digits, markdown, paper_cell, table
from honeyguide.experiment.claims import lightgnn

_MADE = "\n\n`honeyguide reproduce 25` (ml-100k, every second user, test: 25 % of what each liked; means of five seeds)"
WAYS = ("score", "magnitude", "random")


def cells() -> dict[str, Mapping[str, Any]] | None:
    """The results of the cells of the sweep by name, or ``None`` where they are not there yet."""
    names = [*(f"sweep-{seed}" for seed in lightgnn.SEEDS), "floors"]
    return {name: found for name in names if (found := paper_cell(25, name)) is not None} or None


@table("lightgnn-runs")
def runs() -> str:
    """One line a run: what is left, and Recall@20 of the three ways to prune."""
    results = cells()
    if results is None:
        return MISSING
    sweeps = [result for name, result in results.items() if name.startswith("sweep")]
    rows = []
    for number, first in enumerate(sweeps[0]["score"]):
        recalls = [recall(sweeps, way, number) for way in ("score", "magnitude")]
        recalls.append(recall(sweeps, "random", number // 5) if number % 5 == 0 else "")  # five runs' share at once
        rows.append([str(number), f"{first['edges']:.0%}", f"{first['entries']:.0%}", *recalls])
    for name in ("popularity", "itemknn", "ials"):
        rows.append([name, "", "", digits(results["floors"]["ml-100k"][name]["recall@20"]), "", ""])
    plain = float(np.mean([s["lightgcn"]["recall@20"] for s in sweeps]))
    rows.append(["lightgcn", "100%", "100%", digits(plain), "", ""])
    return markdown(["runs", "edges", "entries", "score", "magnitude alone", "random"], rows) + _MADE


def recall(sweeps: Sequence[Mapping[str, Any]], way: str, run: int) -> str:
    """The mean over seeds."""
    return digits(float(np.mean([sweep[way][run]["recall@20"] for sweep in sweeps])))


@table("lightgnn-cost")
def cost() -> str:
    """Bytes and time, one line for 0, 5 and 10 runs."""
    results = cells()
    if results is None:
        return MISSING
    rows = []
    for row in lightgnn.cost_rows(results):
        cost = [f"{row[name] / 1e3:.0f} ({row[f'{name}_share']:.0%})" for name in ("served_bytes", "trained_bytes")]
        time = f"{1e3 * row['propagation_seconds']:.2f} ({row['propagation_seconds_share']:.0%})"
        rows.append(
            [f"{row['run']}", f"{row['edges']:.0%}", f"{row['entries']:.0%}", *cost, time, f"{row['matrix']:.0%}"]
        )
    header = ["runs", "edges", "entries", "served, kB", "trained, kB", "propagation, CPU-ms", "entries of the matrix"]
    return markdown(header, rows) + _MADE
