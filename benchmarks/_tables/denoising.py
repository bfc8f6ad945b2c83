"""LLM4DSR: NDCG@20 on noisy data with and without corrections, from the cells of ``honeyguide reproduce 17``."""

from __future__ import annotations

import numpy as np

from _tables import MISSING, digits, markdown, paper_cell, table
from honeyguide.experiment.claims.llm4dsr_cells import SEEDS

_KINDS = {"natural": "0", "ten": "10", "twenty": "20"}
_SYSTEMS = {
    "plain": "SASRec",
    "corrected": "SASRec+llm4dsr",
    "trained on corrected alone": "corrected before training alone",
    "without a filter": "without the filter",
    "dropped by loss": "without the events fitted worst",
}


@table("llm4dsr")
def llm4dsr() -> str:
    """NDCG@20 of SASRec by noise and by what is done about it."""
    floors, rows = paper_cell(17, "floors"), []
    for kind, share in _KINDS.items():
        cells = [paper_cell(17, f"{kind}-{seed}") for seed in SEEDS]
        if floors is None or any(cell is None for cell in cells):
            return MISSING
        for name, shown in _SYSTEMS.items():
            values = [cell[name] for cell in cells if cell is not None and name in cell]
            if values:
                rows.append([f"{share} %", shown, digits(float(np.mean(values))), str(len(values))])
        rows += [[f"{share} %", f"({name})", digits(value), "–"] for name, value in floors[share].items()]
    head = ["noise", "model", "NDCG@20", "seeds"]
    return markdown(head, rows, words=2) + "\n\n`honeyguide reproduce 17` (profile cpu, means over seeds)"
