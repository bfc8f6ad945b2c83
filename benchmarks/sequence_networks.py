"""Networks for the next item side by side, trained to their end: HSTU, eSASRec, BERT4Rec and GRU4Rec against SASRec.

    python benchmarks/sequence_networks.py                                   # two processes on the CPU
    python benchmarks/sequence_networks.py --cpu 0 --gpu 15 --wall 560       # fifteen that share a GPU

One process for each cell: a recipe, a data set, a seed. Options are those of the recipe; epochs are chosen on valid;
test is read once, with train and valid as history. Tests are paired over users, on values averaged over the seeds,
against the block of SASRec's paper under the same recipe, and Holm-corrected within a data set. A cell that ``--wall``
seconds do not suffice for ends with the best epoch so far, and is marked. The data is looked for by name under
``$HONEYGUIDE_DATA``. Rows that are there stay; ``--recipes`` measures
recipes again, which is to be done together with the one that they are tested against.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import torch

from honeyguide.core.fitting import FitOptions
from honeyguide.data.load import load_data
from honeyguide.metrics.stats import holm, over_seeds, paired_test
from honeyguide.models.registry import model_class
from honeyguide.models.sequence.next_item import NextItemModel
from result_file import read_result, write_result
from sequence_accuracy import measure

NAME = "sequence_networks"
# Recipe: model, options, and the recipe that it is compared with.
RECIPES: dict[str, tuple[str, dict[str, Any], str | None]] = {
    "sasrec, block of the paper": ("sasrec", {"block": "sasrec"}, None),
    "sasrec": ("sasrec", {}, "sasrec, block of the paper"),
    "hstu": ("hstu", {}, "sasrec, block of the paper"),
    "gru4rec": ("gru4rec", {}, "sasrec, block of the paper"),
    "bert4rec": ("bert4rec", {}, "sasrec, block of the paper"),
    "esasrec, block of the paper": ("esasrec", {"block": "sasrec"}, None),
    "esasrec": ("esasrec", {}, "esasrec, block of the paper"),
    "esasrec, block of the paper, patience 50": ("esasrec", {"block": "sasrec", "patience": 50}, None),
    "esasrec, patience 50": ("esasrec", {"patience": 50}, "esasrec, block of the paper, patience 50"),
}
DATA = ("amazon-beauty", "ml-1m")
SEEDS = (0, 1, 2)
LONG, SEEDS_OF_LONG = (*(r for r in RECIPES if r.startswith("esasrec")), "bert4rec"), (0, 1)  # up to 200 epochs
K = 10
TO_MEASURE = 25.0  # seconds before the end in which training has to end, so that test can be read


def cell(recipe: str, dataset: str, seed: int, device: str, seconds: float | None, out: Path) -> None:
    """Fit and measure one, and write what was found with the values of every user."""
    torch.set_num_threads(1)
    data = load_data(dataset)
    name, options, _ = RECIPES[recipe]
    model = model_class(name)(**options, seed=seed)
    assert isinstance(model, NextItemModel)
    model.fit(data, FitOptions(device=device, cpu_limit=seconds))
    test, values = measure(model, data)
    curve = [row[f"valid_ndcg@{K}"] for row in model.report.curve]
    found = {
        "seed": seed,
        **test,
        f"valid_ndcg@{K}": max(curve),
        "best_epoch": int(np.argmax(curve)) + 1,
        "epochs": len(curve),
        "finished": model.report.finished,
        "device": torch.cuda.get_device_name() if device == "cuda" else "cpu",
        "cpu_seconds": round(model.report.cpu_seconds, 1),
        "wall_seconds": round(model.report.wall_seconds, 1),
        "n_parameters": model.report.n_parameters,
        "dim": model.resolved.dim,
    }
    with out.open("wb") as file:
        np.savez(file, values=values.astype(np.float32), found=np.array(json.dumps(found)))


class Runner:
    """Takes cells from one list by several processes, each on its device, until the time is over."""

    def __init__(self, wall: float | None, folder: Path) -> None:
        self.end = None if wall is None else time.monotonic() + wall
        self.folder, self.lock = folder, Lock()
        self.cells: dict[tuple[str, str], dict[str, Any]] = {}
        self.values: dict[tuple[str, str], dict[int, np.ndarray[Any, Any]]] = {}

    def work(self, todo: Iterator[tuple[str, str, int]], device: str) -> None:
        """Measure cells on one device, as long as there are any and there is time."""
        while True:
            with self.lock:
                job = next(todo, None)
            left = None if self.end is None else self.end - time.monotonic()
            if job is None or (left is not None and left < 3 * TO_MEASURE):
                return
            out = self.folder / f"{abs(hash(job))}.npz"
            asked = [*map(str, job), device, str(out), "" if left is None else str(left - TO_MEASURE)]
            try:
                subprocess.run(
                    [sys.executable, __file__, "--cell", *asked],
                    timeout=left,
                    check=True,
                    env={**os.environ, "OMP_NUM_THREADS": "1"},
                )
            except (subprocess.SubprocessError, OSError) as error:
                print("failed:", job, error, flush=True)
                continue
            with self.lock:
                self.take(job, out)

    def take(self, job: tuple[str, str, int], out: Path) -> None:
        """Keep what a process found, and write the file."""
        recipe, dataset, seed = job
        with np.load(out) as content:
            found, values = json.loads(str(content["found"])), content["values"].astype(np.float64)
        self.cells.setdefault((dataset, recipe), {})[seed] = found
        self.values.setdefault((dataset, recipe), {})[seed] = values
        print(job, {key: found[key] for key in ("ndcg@10", "epochs", "finished", "device", "wall_seconds")}, flush=True)
        self.write()

    def write(self) -> None:
        """The result file: cells, means, and tests against the recipe that each is compared with."""
        rows = []
        for dataset in DATA:
            present = [r for r in RECIPES if (dataset, r) in self.cells]
            ps = {r: p for r in present if (p := self.p_value(dataset, r)) is not None}
            corrected = dict(zip(ps, holm(list(ps.values())), strict=True)) if ps else {}
            for recipe in present:
                cells = [self.cells[dataset, recipe][seed] for seed in sorted(self.cells[dataset, recipe])]
                means = {k: float(np.mean([c[k] for c in cells])) for k in cells[0] if "@" in k}
                test = {"against": RECIPES[recipe][2], "p": float(corrected[recipe])} if recipe in corrected else {}
                rows.append({"dataset": dataset, "recipe": recipe, **means, **test, "cells": cells})
        write_result(
            NAME,
            kept(rows),
            dataset=list(DATA),
            split="as published: last event test, the one before valid",
            protocol="full ranking, ties pessimistic, history = train + valid at test time; :kept does not remove seen "
            "items; paired tests over users on means over seeds, Holm-corrected within a data set",
            seeds=list(SEEDS),
            config={recipe: options for recipe, (_, options, _) in RECIPES.items()},
            whole=True,
        )

    def p_value(self, dataset: str, recipe: str) -> float | None:
        """Of the paired test against the recipe to compare with, over the seeds that both have."""
        other = RECIPES[recipe][2]
        if other is None or (dataset, other) not in self.values:
            return None
        own, others = self.values[dataset, recipe], self.values[dataset, other]
        seeds = sorted(set(own) & set(others))
        if not seeds:
            return None
        mine, theirs = (over_seeds([v[seed] for seed in seeds]).per_user for v in (own, others))
        return float(paired_test(mine, theirs).p)


def kept(measured: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows of the file that were not measured now, and those that were, in the order of the recipes."""
    before = read_result(NAME)
    rows = {(row["dataset"], row["recipe"]): row for row in [*(before["results"] if before else []), *measured]}
    return [rows[d, r] for d in DATA for r in RECIPES if (d, r) in rows]


def main() -> None:
    """Measure all, or, as a process of its own, one cell."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cpu", type=int, default=2, help="processes that train on the CPU")
    parser.add_argument("--gpu", type=int, default=0, help="processes that share the GPU, beside them")
    parser.add_argument("--wall", type=float, help="seconds after which everything ends")
    parser.add_argument("--datasets", nargs="+", default=list(DATA), choices=DATA)
    parser.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS))
    parser.add_argument("--recipes", nargs="+", choices=list(RECIPES), help="default: those that are missing")
    parser.add_argument("--cell", nargs=6, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.cell is not None:
        recipe, dataset, seed, device, out, seconds = asked.cell
        return cell(recipe, dataset, int(seed), device, float(seconds) if seconds else None, Path(out))
    there = {(row["dataset"], row["recipe"]) for row in kept([])}
    jobs = [(r, d, s) for d in asked.datasets[::-1] for s in asked.seeds for r in asked.recipes or RECIPES]
    jobs = [job for job in jobs if asked.recipes or (job[1], job[0]) not in there]
    jobs = [(r, d, s) for r, d, s in jobs if r not in LONG or s in SEEDS_OF_LONG]
    jobs.sort(key=lambda job: job[0] not in LONG)  # so that none of them is left for the end
    devices = ["cuda"] * asked.gpu + ["cpu"] * asked.cpu
    with tempfile.TemporaryDirectory() as folder:
        runner = Runner(asked.wall, Path(folder))
        todo = iter(jobs)
        with ThreadPoolExecutor(len(devices)) as pool:
            list(pool.map(lambda device: runner.work(todo, device), devices))
    return None


if __name__ == "__main__":
    main()
