"""Are reasons true? Evidence is taken away from the histories of bundled readers, and what falls is counted.

    python benchmarks/explanations.py
    python benchmarks/explanations.py --models ease,sasrec

Cells that are there are not run again. For every model: of the readers' first recommendations, how many fall without
the two books named as the reason, and how many without two random ones of the same history; and for how many of their
fifth recommendations a few books are found without which it leaves the first ten places.
"""

from __future__ import annotations

import argparse
from dataclasses import asdict
from typing import Any

import numpy as np

from honeyguide.core.dataset import Dataset
from honeyguide.core.ragged import Ragged
from honeyguide.core.recommender import Recommender
from honeyguide.core.requests import Requests
from honeyguide.core.resources import Stopwatch
from honeyguide.data.load import load_data
from honeyguide.explain.change import what_would_change
from honeyguide.explain.faithfulness import faithfulness
from honeyguide.models.registry import model_class
from result_file import read_result, write_result

NAME, DATA = "explanations", "goodbooks-mini"
MODELS: dict[str, dict[str, Any]] = {
    "floor": {},
    "ease": {},
    "slim": {},
    "itemknn": {},
    "ials": {},
    "gfcf": {},
    "simplex": {},
    "lightgcn": {"epochs": 10, "dim": 32},
    "mf-bpr": {},
    "sasrec": {"epochs": 6, "lr": 3e-3},
    "gru4rec": {"epochs": 6},
    "text-profile": {"encoder": "use"},
    "popularity": {},
}
USERS, CHANGED, FIFTH, PLACES, SEED = 200, 40, 5, 10, 0
PROTOCOL = (
    f"{USERS} readers with more than four books, their train history, the first recommendation, two books as evidence; "
    f"change: the fifth recommendation of {CHANGED} readers drawn likewise, and the first {PLACES} places"
)


def changes(model: Recommender, data: Dataset) -> dict[str, Any]:
    """How often a few books decide, how many, and at what cost."""
    histories = data.histories("train")
    users = np.sort(np.random.default_rng(SEED).permutation(np.flatnonzero(histories.lengths > 4))[:CHANGED])
    asked: Ragged = histories.take(users)
    items = model.recommend(Requests(asked), k=FIFTH).items[:, -1]
    with Stopwatch() as watch:
        found = [what_would_change(model, asked[row], int(item), PLACES) for row, item in enumerate(items) if item >= 0]
    sizes = [len(change.removed) for change in found if change.found]
    return {
        "asked": len(found),
        "found": len(sizes),
        "median_size": float(np.median(sizes)) if sizes else None,
        "certain": sum(change.smallest for change in found if change.found),
        "cpu_ms": round(1000 * watch.cpu / max(1, len(found)), 2),
    }


def measured(name: str, options: dict[str, Any], data: Dataset) -> dict[str, Any]:
    """One model."""
    model = model_class(name)(**options).fit(data)
    with Stopwatch() as watch:
        found = faithfulness(model, data.histories("train"), n_users=USERS, seed=SEED)
    plain = {key: None if value != value else value for key, value in asdict(found).items()}
    return {"model": name, "options": options, **plain, "cpu_s": round(watch.cpu, 2), "change": changes(model, data)}


def main() -> None:
    """Measure what is missing."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", default=",".join(MODELS))
    chosen = parser.parse_args().models.split(",")
    before = read_result(NAME)
    cells = {cell["model"]: cell for cell in (before["results"] if before else [])}
    data = load_data(DATA)
    for name in chosen:
        if cells.get(name, {}).get("options") != MODELS[name]:
            cells[name] = measured(name, MODELS[name], data)
            print(name, cells[name], flush=True)
            rows = [cells[n] for n in MODELS if n in cells]
            write_result(
                NAME, rows, dataset=DATA, split="train", protocol=PROTOCOL, seeds=[SEED], config={}, whole=True
            )


if __name__ == "__main__":
    main()
