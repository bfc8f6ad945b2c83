"""CPU-seconds from the start of Python to a data set in memory, one new process each.

python benchmarks/data_loading.py          # the measuring data under $HONEYGUIDE_DATA, and a million rows of text
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

import numpy as np
import polars as pl

from result_file import write_result

NAMES = ("goodbooks-mini", "amazon-beauty", "ml-1m", "gowalla-lightgcn")
ROWS, REPEATS = 1_000_000, 3
_CHILD = """
import json, sys
from honeyguide.core.resources import cpu_seconds, peak_rss_mb
from honeyguide.data.load import load_data
import_seconds = cpu_seconds()
data = load_data(sys.argv[1])
print(json.dumps({"events": data.interactions.height, "cpu_seconds": cpu_seconds(), "import": import_seconds,
                  "peak_rss_mb": peak_rss_mb()}))
"""


def load(ref: str) -> dict[str, float]:
    """Medians over ``REPEATS`` new processes."""
    runs = []
    for _ in range(REPEATS):
        run = subprocess.run([sys.executable, "-c", _CHILD, ref], capture_output=True, check=True)
        runs.append(json.loads(run.stdout))
    return {key: round(median(run[key] for run in runs), 2) for key in runs[0]}


def events() -> pl.DataFrame:
    """A log of the size of MovieLens-1M."""
    rng = np.random.default_rng(0)
    times = 978_300_760 + np.arange(ROWS)
    users, items = rng.integers(1, 6_041, ROWS), rng.integers(1, 3_953, ROWS)
    return pl.DataFrame({"user_id": users, "item_id": items, "rating": rng.integers(1, 6, ROWS), "timestamp": times})


def main() -> None:
    """Measure and write the result."""
    results = {name: load(name) for name in NAMES}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "events"
        frame = events()
        frame.write_csv(f"{path}.csv")
        frame.write_ndjson(f"{path}.jsonl")
        clean = Path(f"{path}.csv").read_bytes()
        Path(f"{path}-fault.csv").write_bytes(clean + b"1,\x00,5,978300760\n")
        for kind in (".csv", "-fault.csv", ".jsonl"):
            results[f"a million rows{kind}"] = load(f"{path}{kind}")
    protocol = f"median of {REPEATS} new processes, import included"
    write_result(
        "data_loading", results, dataset=NAMES, split="none", protocol=protocol, seeds=[0], config={"rows": ROWS}
    )
    print(pl.DataFrame([{"data": name, **found} for name, found in results.items()]))


if __name__ == "__main__":
    main()
