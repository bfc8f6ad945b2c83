"""VAT: what attacks reach with no defence and with three, from the cells of ``honeyguide reproduce 32``."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from _tables import MISSING, digits, markdown, paper_cell, table
from result_file import RESULTS

CELLS = RESULTS / "papers" / "32-cpu"
cell = partial(paper_cell, 32)
_MADE = "\n\n`honeyguide reproduce 32` (profile cpu, means over five seeds)"
_SYSTEMS = {"plain": "none", "vat": "VAT", "apr": "APR", "inverted": "inverted"}


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
    return markdown(head, rows) + _MADE.replace(", means over five seeds", ", five epochs") if rows else MISSING
