"""Models that read times: what gaps add, and cost against length; from the cells of ``honeyguide reproduce 19``."""

from __future__ import annotations

from functools import partial

import numpy as np

from _tables import MISSING, digits, markdown, paper_cell, table

cell = partial(paper_cell, 19)
LENGTHS = (50, 100, 200, 400, 800)
NETWORKS = ("tim4rec", "sasrec", "tisasrec")
_SYSTEMS = {
    "gaps": "tim4rec",
    "none": "tim4rec, `time=none` (Mamba-2)",
    "shuffled": "tim4rec, gaps of each user shuffled",
    "released": "tim4rec, `faithful=true`",
    "sasrec": "sasrec",
}
_COMMAND = "\n\n`honeyguide reproduce 19` (CPU-seconds, one thread)"


@table("tim4rec-accuracy")
def accuracy() -> str:
    """The same network with, without and with shuffled gaps, and SASRec, over seeds."""
    rows = []
    for system, label in _SYSTEMS.items():
        found = [c for c in (cell(f"{system}-s{seed}") for seed in range(5)) if c is not None]
        if found:
            valid, test, seconds, epochs = (
                np.array([c[key] for c in found]) for key in ("valid_ndcg@10", "ndcg@10", "cpu_seconds", "epochs")
            )
            spread = digits(float(test.std(ddof=1))) if len(test) > 1 else "–"
            means = [digits(float(valid.mean())), digits(float(test.mean())), spread]
            cost = [f"{epochs.mean():.0f}", f"{seconds.mean():.0f}"]
            rows.append([label, str(len(found)), f"{found[0]['parameters']:,}", *means, *cost])
    floors = cell("floors")
    if not rows or floors is None:
        return MISSING
    rows += [[name, "1", "–", "–", digits(value), "–", "–", "–"] for name, value in floors.items()]
    head = ["ml-100k", "seeds", "weights", "valid NDCG@10", "test NDCG@10", "deviation over seeds", "epochs"]
    return markdown([*head, "fit, CPU-s"], rows) + _COMMAND


@table("tim4rec-length")
def length() -> str:
    """CPU-seconds and memory of a pass against the length of a sequence."""
    found = cell("cost")
    if found is None:
        return MISSING
    rows = []
    for place, events in enumerate(LENGTHS):
        seconds = [f"{1e3 * found[name]['seconds'][place]:.1f}" for name in NETWORKS]
        memory = [f"{found[name]['bytes'][place] / 1e6:,.1f}" for name in NETWORKS]
        rows.append([str(events), *seconds, *memory])
    head = ["events", *(f"{name}, CPU-ms" for name in NETWORKS), *(f"{name}, MB kept" for name in NETWORKS)]
    return markdown(head, rows) + _COMMAND
