"""LoRec: what attacks reach with and without it, from the cells of ``honeyguide reproduce 21``."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from _tables import MISSING, digits, markdown, paper_cell, table
from result_file import RESULTS

CELLS = RESULTS / "papers" / "21-cpu"
cell = partial(paper_cell, 21)
_MADE = "\n\n`honeyguide reproduce 21` (profile cpu, means over five seeds; VAT, popularity and floor: one seed)"
_SYSTEMS = {"plain": "none", "lorec": "LoRec", "no-text": "LoRec without text", "vat": "VAT"}
_METRICS = ("target_hit_rate@50", "target_ndcg@50", "recall@10", "auc", "fakes_low", "genuine_low")


def _seeds() -> list[dict[str, Any]]:
    found = (cell(path.stem) for path in sorted(CELLS.glob("seed-*.json")))
    return [result["figures"] for result in found if result is not None]


@table("lorec")
def lorec() -> str:
    """T-HR@50, T-NDCG@50, HR@10, and whom LoRec suspected, of every system under every attack."""
    seeds, floors = _seeds(), cell("floors")
    if not seeds or floors is None:
        return MISSING
    rows = []
    for kind in seeds[0]:
        for name, shown in _SYSTEMS.items():
            own = [figures[kind][name] for figures in seeds if name in figures[kind]]
            if own:
                means = (np.mean([f[m] for f in own]) if m in own[0] else None for m in _METRICS)
                rows.append([kind, shown, *("–" if m is None else digits(float(m)) for m in means)])
        for name, figures in floors["figures"][kind].items():
            rows.append([kind, f"({name})", *(digits(figures[m]) for m in _METRICS[:3]), "–", "–", "–"])
    head = ["attack", "defence", "T-HR@50", "T-NDCG@50", "HR@10", "ROC-AUC", "fakes w < .5", "genuine w < .5"]
    return markdown(head, rows, words=2) + _MADE


@table("lorec-readers")
def readers() -> str:
    """ROC-AUC of a classifier on z alone, for each family after the others."""
    found = cell("readers")
    if found is None:
        return MISSING
    kinds = list(next(iter(found["auc"].values())))
    rows = [[name, *(digits(own[kind]) for kind in kinds)] for name, own in found["auc"].items()]
    made = "\n\n`honeyguide reproduce 21` (profile cpu"
    return markdown(["z", *kinds], rows) + f"{made}, {found['each']} fakes of each family, {4 * found['each']} users)"
