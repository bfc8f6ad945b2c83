"""Cost against size: synthetic logs of thirty thousand to ten million events, fit and recommend to everybody.

python benchmarks/scale.py                                # everything that is not in the result file yet
python benchmarks/scale.py --events 100000 --models ials  # these cells again
python benchmarks/scale.py --plot                         # only the picture, from the result file

For every size a log is drawn with ``honeyguide data generate`` (ten events a user, a hundred an item). Every cell is
what a person would type, each command a process of its own with one thread: ``honeyguide fit LOG --model M --out
BUNDLE``, and ``honeyguide recommend BUNDLE --all --out recs.parquet``. CPU-seconds and peak memory are those of the
process, reading and writing included. The result file is written after every cell.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from result_file import read_result, write_result

PICTURE = Path(__file__).parent.parent / "docs" / "pictures" / "scale.svg"
SIZES = (30_000, 100_000, 300_000, 1_000_000, 3_000_000, 10_000_000)
MODELS = ("popularity", "floor", "ials", "sasrec")
LARGEST = {"sasrec": 300_000}  # gradient descent on one thread: beyond, a fit takes many minutes
OPTIONS: dict[str, dict[str, Any]] = {"ials": {"factors": 64}, "sasrec": {"epochs": 10}}
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "POLARS_MAX_THREADS", "RAYON_NUM_THREADS")
_CHILD = """
import json, sys
from honeyguide.cli.main import app
from honeyguide.core.resources import cpu_seconds, peak_rss_mb
app(sys.argv[1:], standalone_mode=False)
print(json.dumps({"cpu_seconds": round(cpu_seconds(), 1), "peak_rss_mb": round(peak_rss_mb())}))
"""


def honeyguide(*arguments: str) -> dict[str, float]:
    """CPU-seconds and peak memory of one command."""
    environment = os.environ | dict.fromkeys(THREADS, "1")
    command = [sys.executable, "-c", _CHILD, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if done.returncode:
        raise SystemExit(f"honeyguide {' '.join(arguments)} failed:\n{done.stderr}")
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def shape(events: int) -> dict[str, int]:
    """Ten events a user, a hundred an item."""
    return {"events": events, "users": events // 10, "items": events // 100}


def log(events: int, folder: Path) -> tuple[Path, dict[str, float]]:
    """Draw the log of a size, unless it is there."""
    target = folder / str(events)
    sizes = [part for name, value in shape(events).items() for part in (f"--{name}", str(value))]
    return target, honeyguide("data", "generate", *sizes, "--out", str(target), "-q")


def cell(data: Path, model: str, folder: Path) -> dict[str, Any]:
    """Fit and recommend to everybody."""
    bundle, lists = folder / "bundle", folder / "recs.parquet"
    settings = [part for name, value in OPTIONS.get(model, {}).items() for part in ("--set", f"{name}={value}")]
    fit = honeyguide("fit", str(data), "--model", model, *settings, "--out", str(bundle), "-q")
    recommend = honeyguide("recommend", str(bundle), "--all", "--out", str(lists), "-q")
    return {"fit": fit, "recommend": recommend, "output_mb": round(lists.stat().st_size / 2**20, 1)}


def store(rows: list[dict[str, Any]]) -> None:
    """Write what is known so far."""
    write_result(
        "scale",
        sorted(rows, key=lambda row: (row["events"], [*MODELS, "generate"].index(row["model"]))),
        dataset="synthetic (honeyguide data generate), ten events a user, a hundred an item, seed 0",
        split="none: 5 % of the events are valid, to choose options on",
        protocol="one process a command with one thread; top-10 of everybody without their items, into Parquet",
        seeds=[0],
        config=OPTIONS,
        whole=True,
    )


def plot(rows: list[dict[str, Any]]) -> None:
    """CPU-seconds and peak memory against events, one line a model."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "scale"  # the same picture from the same numbers
    import matplotlib.pyplot as plt

    figure, panels = plt.subplots(1, 3, figsize=(9, 3), layout="constrained")
    read: list[tuple[str, Callable[[dict[str, Any]], float]]] = [
        ("fit, CPU-seconds", lambda row: row["fit"]["cpu_seconds"]),
        ("recommend to everybody, CPU-seconds", lambda row: row["recommend"]["cpu_seconds"]),
        ("peak memory, MiB", lambda row: max(row[step]["peak_rss_mb"] for step in ("fit", "recommend"))),
    ]
    for axes, (title, value) in zip(panels, read, strict=True):
        for model in MODELS:
            points = sorted((row["events"], value(row)) for row in rows if row["model"] == model)
            if points:
                axes.plot(*zip(*points, strict=True), marker="o", markersize=3, label=model)
        axes.set(title=title, xlabel="events", xscale="log", yscale="log")
        axes.title.set_fontsize(9)
        axes.grid(alpha=0.3)
    panels[2].axhline(8192, color="grey", linestyle=":", linewidth=1)
    panels[0].legend(frameon=False, fontsize=8)
    PICTURE.parent.mkdir(exist_ok=True)
    figure.savefig(PICTURE, metadata={"Date": None})
    plt.close(figure)


def main() -> None:
    """Measure what was asked for, smallest first."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, nargs="*", default=None)
    parser.add_argument("--models", nargs="*", choices=MODELS, default=None)
    parser.add_argument("--plot", action="store_true")
    asked = parser.parse_args()
    again = asked.events is not None or asked.models is not None
    known = read_result("scale")
    rows = {(row["model"], row["events"]): row for row in (known["results"] if known else [])}
    if asked.plot:
        plot(list(rows.values()))
        return
    for events in asked.events or SIZES:
        models = [
            model
            for model in asked.models or MODELS
            if events <= LARGEST.get(model, events) and (again or (model, events) not in rows)
        ]
        if not models:
            continue
        with tempfile.TemporaryDirectory() as place:
            data, cost = log(events, Path(place))
            rows["generate", events] = {"model": "generate", **shape(events), "fit": cost}
            for model in models:
                with tempfile.TemporaryDirectory() as folder:
                    rows[model, events] = {"model": model, **shape(events), **cell(data, model, Path(folder))}
                print(json.dumps(rows[model, events]), flush=True)
                store(list(rows.values()))
    plot(list(rows.values()))


if __name__ == "__main__":
    main()
