"""CPU-seconds of the metric library on one thread, beside RecTools in the same run.

Random lists and truths. Two shapes: 6,040 users (as MovieLens-1M) with four metrics at 10 and per-user values,
and 100,000 users with lists of 100 and ten metrics; then the bootstrap of ten metrics over 22,000 users.
HONEYGUIDE_PEERS names the Python of the environment that holds RecTools; without it only ours is measured.
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from honeyguide.core.ragged import Ragged
from honeyguide.metrics.catalogue import Catalogue
from honeyguide.metrics.evaluate import evaluate_lists
from honeyguide.metrics.stats import bootstrap_cis
from result_file import write_result

REPEATS = 5
FOUR = ("ndcg@10", "recall@10", "mrr@10", "precision@10")
TEN = (
    "ndcg@100", "recall@100", "mrr@100", "precision@100", "ap_min@100", "hit@100", "novelty@100", "arp@100",
    "gini@100", "item_coverage@100",
)  # fmt: skip


def world(n_users: int, k: int, n_items: int, per_user: int = 10) -> tuple[np.ndarray[Any, Any], Ragged, Catalogue]:
    """Random distinct lists, a truth of ``per_user`` distinct items of which some are listed, and popularity."""
    rng = np.random.default_rng(0)
    start, step = rng.integers(0, n_items, (2, n_users, 1))
    lists = ((start + (2 * step + 1) * np.arange(k)) % n_items).astype(np.int32)
    again = np.array([len(set(row)) < k for row in lists.tolist()])
    lists[again] = (start[again] + np.arange(k)) % n_items
    truth = (start + n_items // 2 + np.arange(per_user)) % n_items
    truth[:, :3] = lists[:, rng.choice(k, 3, replace=False)]
    truth = Ragged.from_lists([np.unique(row) for row in truth])
    return lists, truth, Catalogue(n_items, rng.integers(1, 1000, n_items).astype(np.float32))


def cpu(job: Callable[[], Any]) -> tuple[float, Any]:
    """CPU-seconds of a job, the median of five runs without a warm-up (nothing is compiled), and its result."""
    seconds = []
    for _ in range(REPEATS):
        start = time.process_time()
        result = job()
        seconds.append(time.process_time() - start)
    return median(seconds), result


def rectools(lists: np.ndarray[Any, Any], truth: Ragged, ours: dict[str, Any]) -> dict[str, Any] | None:
    """RecTools on the same lists: its CPU-seconds and the largest difference between its per-user values and ours."""
    python = os.environ.get("HONEYGUIDE_PEERS")
    if not python:
        print("HONEYGUIDE_PEERS is not set: RecTools is left out (make bench sets it).")
        return None
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder, "lists.npz"), Path(folder, "values.npz")
        np.savez(source, lists=lists, truth_user=truth.rows, truth_item=truth.values)
        script = Path(__file__).with_name("_metrics_rectools.py")
        environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
        done = subprocess.run([python, script, source, target], capture_output=True, text=True, env=environment)
        if done.returncode:
            raise SystemExit(f"RecTools failed:\n{done.stderr}")
        found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        theirs = np.load(target)
        found["largest_difference"] = max(float(np.abs(theirs[id] - ours[id]).max()) for id in FOUR)
    return found


def main() -> None:
    """Measure and write ``benchmarks/results/metrics_speed.json``."""
    lists, truth, catalogue = world(6040, 10, 3706)
    four, found = cpu(lambda: evaluate_lists(lists, truth, FOUR, catalogue))
    results: dict[str, Any] = {"users_6040_metrics_4_at_10": four}
    peer = rectools(lists, truth, found.per_user)
    if peer is not None:
        results["rectools"] = peer
    lists, truth, catalogue = world(100_000, 100, 50_000)
    results["users_100000_metrics_10_at_100"], _ = cpu(lambda: evaluate_lists(lists, truth, TEN, catalogue))
    values = {str(i): column for i, column in enumerate(np.random.default_rng(1).random((10, 22_000)))}
    results["bootstrap_22000_users_10_metrics_1000_resamples"], _ = cpu(lambda: bootstrap_cis(values))
    path = write_result(
        "metrics_speed",
        results,
        dataset="synthetic lists",
        split="none",
        protocol=f"CPU-seconds of one process with one thread, median of {REPEATS}",
        seeds=[0],
        config={"metrics_4": FOUR, "metrics_10": TEN},
        versions={"rectools": peer["version"]} if peer else {},
    )
    print(json.dumps(results, indent=1))
    print(path)


if __name__ == "__main__":
    main()
