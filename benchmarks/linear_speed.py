"""CPU-seconds of the linear models beside implicit, RecTools and LensKit, in the same run.

Synthetic events in the shape of MovieLens-1M (6,040 users, 3,706 items, about one million events).
Every job is a process of its own with one thread; ours and theirs take turns, three times, and the
medians are compared. Name jobs on the command line to measure only those again. HONEYGUIDE_PEERS names the
Python of the environment that holds the other libraries.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from result_file import read_result, write_result

REPEATS = 3
THREADS = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
JOBS: dict[str, dict[str, Any]] = {
    "itemknn": {"neighbours": 100, "shrinkage": 0.0},
    "ease": {"regularization": 500.0},
    "ials": {"factors": 64, "alpha": 20.0, "regularization": 5.0, "iterations": 15},
}

PEERS = {"itemknn": ("implicit", "lenskit"), "ease": ("rectools", "lenskit"), "ials": ("implicit", "lenskit")}


def ml1m_shape(n_users: int = 6040, n_items: int = 3706, n_events: int = 997_000) -> dict[str, Any]:
    """Users of log-normal activity who draw distinct items of log-normal popularity."""
    rng = np.random.default_rng(0)
    activity = rng.lognormal(0, 1, n_users)
    lengths = np.clip(activity / activity.sum() * n_events, 20, 0.6 * n_items).astype(int)
    popularity = rng.lognormal(0, 1.5, n_items)
    log_share = np.log(popularity / popularity.sum())
    items = []
    for length in lengths:
        keys = log_share + rng.gumbel(size=n_items)  # Gumbel top-k: a draw without replacement
        items.append(rng.permutation(np.argpartition(-keys, length)[:length]))
    return {"users": np.repeat(np.arange(n_users), lengths), "items": np.concatenate(items)}


def ours(job: str, events: str, out: str) -> None:
    """One job with honeyguide: CPU-seconds as JSON on stdout, lists into ``out``."""
    import polars as pl

    from honeyguide.core.requests import Requests
    from honeyguide.data.build import build
    from honeyguide.models.registry import model_class

    columns = np.load(events)
    data = build("synthetic", pl.DataFrame({"user_id": columns["users"], "item_id": columns["items"]}))
    start = time.process_time()
    model = model_class(job)(**JOBS[job]).fit(data)
    fitted = time.process_time()
    found = model.recommend(Requests(data.histories()), k=10)
    done = time.process_time()
    with tempfile.TemporaryDirectory() as folder:  # a loaded model remembers nobody
        model.save(folder)
        loaded = model_class(job).load(folder)
    start_loaded = time.process_time()
    loaded.recommend(Requests(data.histories()), k=10)
    recommend_loaded = time.process_time() - start_loaded
    np.save(out, found.item_ids.decode(found.items).to_numpy().reshape(-1, 10))
    print(json.dumps({"fit": fitted - start, "recommend": done - fitted, "recommend_loaded": recommend_loaded}))


def child(*command: str) -> dict[str, Any]:
    """The JSON that a command prints last."""
    done = subprocess.run([*command], capture_output=True, text=True, check=False, env={**os.environ, **THREADS})
    if done.returncode:
        raise SystemExit(f"{' '.join(command[1:3])} failed:\n{done.stderr}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def compared(job: str, peer: str, runs: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    """One line: ours and theirs, step by step."""
    row: dict[str, Any] = {"model": job, "options": JOBS[job], "against": peer}
    for step in ("fit", "recommend"):
        seconds = {"ours": [round(r[step], 3) for r in runs["ours"]], "theirs": [round(r[step], 3) for r in runs[peer]]}
        row[step] = {**seconds, "ratio": round(median(seconds["ours"]) / median(seconds["theirs"]), 3)}
    row["recommend_loaded"] = [round(run["recommend_loaded"], 3) for run in runs["ours"]]
    return row


def overlap(a: Path, b: Path) -> float:
    """Share of items that two files of lists have in common, row by row."""
    pairs = zip(np.load(a), np.load(b), strict=True)
    return float(np.mean([len(set(x) & set(y)) / len(x) for x, y in pairs]))


def main() -> None:
    """Run all jobs and write the medians."""
    peers = os.environ.get("HONEYGUIDE_PEERS")
    if peers is None:
        raise SystemExit("HONEYGUIDE_PEERS does not name the Python of the peers' environment ('make bench' sets it).")
    here = Path(__file__).parent
    known = read_result("linear_speed") or {"results": [], "versions": {}}
    results = {(row["model"], row["against"]): row for row in known["results"]}
    versions: dict[str, str] = known["versions"]
    with tempfile.TemporaryDirectory() as folder:
        events = Path(folder, "events.npz")
        np.savez(events, **ml1m_shape())
        for job in sys.argv[1:] or JOBS:
            runs: dict[str, list[dict[str, Any]]] = {who: [] for who in ("ours", *PEERS[job])}
            lists = {who: Path(folder, f"{job}-{who}.npy") for who in runs}
            for _ in range(REPEATS):
                runs["ours"].append(child(sys.executable, __file__, "--job", job, str(events), str(lists["ours"])))
                for peer in PEERS[job]:
                    command = (peers, str(here / "_linear_peers.py"), peer, job, str(events), str(lists[peer]))
                    runs[peer].append(child(*command))
            for peer in PEERS[job]:
                versions |= {peer: runs[peer][0]["version"], f"{peer}'s numpy": runs[peer][0]["numpy"]}
                results[job, peer] = row = compared(job, peer, runs)
                if job != "ials":  # which starts from random factors
                    row["same_items"] = round(overlap(lists["ours"], lists[peer]), 4)
                print(json.dumps(row), flush=True)
    write_result(
        "linear_speed",
        [results[job, peer] for job in JOBS for peer in PEERS[job] if (job, peer) in results],
        dataset="synthetic, 6,040 x 3,706, about 997,000 events",
        split="none",
        protocol=f"one thread, one process a job, in turns, {REPEATS} repeats; ratio of medians of CPU-seconds; "
        "top-10 for all users without their items",
        seeds=[0],
        config={"threads": 1},
        whole=True,
        versions={
            name: versions[name]
            for name in sorted(versions)
            if name.split("'")[0] in ("implicit", "rectools", "lenskit")
        },
    )


if __name__ == "__main__":
    if sys.argv[1:2] == ["--job"]:
        ours(*sys.argv[2:])
    else:
        main()
