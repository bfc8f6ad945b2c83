"""What a network reaches in the same CPU-seconds by each softmax, where the catalogue is large for the budget.

    python benchmarks/softmax_estimates.py

SASRec with its defaults is fitted on train for as long as each cell may take, the epoch is chosen on valid, test is
read once with train and valid as history. Data sets that are there are not run again. Data is looked for by name
under ``$HONEYGUIDE_DATA``.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from honeyguide.core.dataset import Dataset
from honeyguide.core.fitting import FitOptions
from honeyguide.data.load import load_data
from honeyguide.data.splits import auto_split
from honeyguide.data.valid import ensure_valid
from honeyguide.experiment.cell import measure
from honeyguide.metrics.stats import paired_test
from honeyguide.models.sequence.sasrec import SASRec
from result_file import read_result, write_result

NAME, K, METRIC = "softmax_estimates", 10, "ndcg@10"
LIMITS = {"microlens-50k": 350.0}  # CPU-seconds of every fit
LOSSES: dict[str, dict[str, Any]] = {
    "softmax": {},
    "sampled, 1024 negatives": {"loss": "sampled", "negatives": 1024},
    "importance, 1024 negatives": {"loss": "importance"},
}
PATIENCE = 100  # epochs without a gain: the CPU-seconds alone end a fit


def run(data: Dataset, limit: float) -> dict[str, Any]:
    """All losses on one data set, each against the softmax over all items, on the same users."""
    cells: dict[str, Any] = {}
    values: dict[str, np.ndarray[Any, np.dtype[np.float64]]] = {}
    for label, options in LOSSES.items():
        model = SASRec(seed=0, patience=PATIENCE, **options).fit(data, FitOptions(cpu_limit=limit))
        found = measure(model, data, K)
        values[label] = found.per_user[METRIC]
        judged = [entry[f"valid_{METRIC}"] for entry in model.report.curve]
        cells[label] = {
            "valid": max(judged, default=0.0),
            "epochs": len(judged),
            "recall@10": found.overall["recall@10"],
            METRIC: found.overall[METRIC],
            "p": float(paired_test(values[label], values["softmax"]).p) if len(values) > 1 else None,
            "cpu_seconds": round(model.report.cpu_seconds, 1),
            "curve": model.report.curve,
        }
        print(data.name, label, {name: v for name, v in cells[label].items() if name != "curve"}, flush=True)
    return {"n_items": data.n_items, "events": data.positives("train").height, "limit": limit, "losses": cells}


def main() -> None:
    """Run the data sets that are missing."""
    torch.set_num_threads(1)
    for name, limit in LIMITS.items():
        before = read_result(NAME)
        cells = before["results"] if before else {}
        if name in cells:
            continue
        cells[name] = run(ensure_valid(auto_split(load_data(name))), limit)
        write_result(
            NAME,
            cells,
            dataset=list(cells),
            split="as published, else leave-last-out",
            protocol="full ranking, ties pessimistic, seen items removed; fitted on train, epochs on valid; one thread",
            seeds=[0],
            config={"limits": {n: LIMITS[n] for n in cells}, "patience": PATIENCE},
            whole=True,
        )


if __name__ == "__main__":
    main()
