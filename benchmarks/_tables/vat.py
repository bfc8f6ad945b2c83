"""VAT: what attacks reach with no defence and with three, from the cells of ``honeyguide reproduce 32``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from _tables import MISSING, digits, markdown, table

CELLS = Path(__file__).parents[1] / "results" / "papers" / "32-cpu"
_MADE = "\n\n`honeyguide reproduce 32` (profile cpu, means over five seeds)"
_SYSTEMS = {"plain": "none", "vat": "VAT", "apr": "APR", "inverted": "inverted"}


def cell(name: str) -> dict[str, Any] | None:
    """The result of a cell, if it was run."""
    path = CELLS / f"{name}.json"
    return json.loads(path.read_text(encoding="utf-8"))["result"] if path.is_file() else None


def _seeds() -> list[dict[str, Any]]:
    found = (cell(path.stem) for path in sorted(CELLS.glob("seed-*.json")))
    return [result["figures"] for result in found if result is not None]


def _mean(kind: str, system: str, metric: str) -> str:
    return digits(float(np.mean([figures[kind][system][metric] for figures in _seeds()])))


@table("vat")
def vat() -> str:
    """T-HR@50 and Recall@20 of every system under every attack, by trained vectors and as served."""
    seeds, floors = _seeds(), cell("floors")
    if not seeds or floors is None:
        return MISSING
    rows = []
    for kind in seeds[0]:
        for name, shown in _SYSTEMS.items():
            own = [_mean(kind, name, f"target_hit_rate@50{way}") for way in ("", ":served")]
            rows.append([kind, shown, *own, *(_mean(kind, name, f"recall@20{way}") for way in ("", ":served"))])
        for name, figures in floors["figures"][kind].items():
            served = [digits(figures[f"{metric}:served"]) for metric in ("target_hit_rate@50", "recall@20")]
            rows.append([kind, f"({name})", "–", served[0], "–", served[1]])
    head = ["attack", "defence", "T-HR@50", "T-HR@50, served", "Recall@20", "Recall@20, served"]
    return markdown(head, rows, words=2) + _MADE


@table("vat-over")
def vat_over() -> str:
    """A few epochs over other models."""
    rows = []
    for path in sorted(CELLS.glob("over-*.json")):
        found = cell(path.stem)
        assert found is not None
        metrics = ("target_hit_rate@50:served", "recall@20:served")
        rows.append(
            [path.stem.removeprefix("over-"), *(digits(found[s][m]) for m in metrics for s in ("plain", "vat"))]
        )
    head = ["model", "T-HR@50, plain", "with VAT", "Recall@20, plain", "with VAT"]
    return markdown(head, rows) + _MADE.replace(", means over five seeds", ", three epochs") if rows else MISSING
