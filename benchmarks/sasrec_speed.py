"""CPU-seconds of training per million real targets: SASRec here, in RecTools and in RecBole, in the same run.

Same data, width, length, number of blocks and heads, dropout and loss (softmax over all items), one
thread each, in processes of their own that take turns. Padding is not counted as a target for any.
HONEYGUIDE_PEERS names the Python of the environment that holds the others.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from result_file import write_result

THREADS = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
BATCHES = {"ours": 60, "rectools": 8, "recbole": 2}  # of RecTools 128 histories, of RecBole 512 rows with one target
PEERS = {"rectools": {}, "recbole": {"rows": 512}}


def ours(dataset: str) -> None:
    """Train on the first batches of an epoch; targets and CPU-seconds as JSON on stdout."""
    import torch

    from honeyguide.core.fitting import FitOptions
    from honeyguide.core.plugin import Hooks
    from honeyguide.core.resources import Stopwatch
    from honeyguide.data.load import load_data
    from honeyguide.models.sequence.next_item import next_item_forward
    from honeyguide.models.sequence.sasrec import SASRec, SASRecNetwork
    from honeyguide.nn.batches import IGNORED, Batch, PackedWindows
    from honeyguide.nn.forward import batch_loss
    from honeyguide.nn.trainer import Trainer

    torch.set_num_threads(1)
    data = load_data(dataset)
    histories = data.histories("train")
    config: Any = SASRec(epochs=1).config.resolve(histories.lengths)

    class FirstBatches(PackedWindows):
        def epoch(self, number: int) -> list[Batch]:  # type: ignore[override]
            batches = super().epoch(number)
            return [batches[i] for i in range(min(BATCHES["ours"], len(batches)))]

    batches = FirstBatches(histories, config.max_len, config.batch_tokens, seed=0)
    network = SASRecNetwork(data.n_items, config)
    trainer = Trainer(
        network, batch_loss(next_item_forward(network, config), Hooks()), batches, config.trainer(), FitOptions()
    )
    with Stopwatch() as watch:
        trainer.run()
    targets = sum(int((batch.targets != IGNORED).sum()) for batch in batches.epoch(0))
    print(json.dumps({"targets": targets, "seconds": watch.cpu}))


def child(*command: str) -> dict[str, Any]:
    """The JSON that a command prints last."""
    done = subprocess.run([*command], capture_output=True, text=True, check=False, env={**os.environ, **THREADS})
    if done.returncode:
        raise SystemExit(f"{' '.join(command[1:3])} failed:\n{done.stderr}")
    result: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return result


def compare(dataset: str, peers: str, repeats: int) -> tuple[dict[str, Any], dict[str, str]]:
    """All sides, in turns; medians and ratios, and the other libraries' versions."""
    from honeyguide.data.load import load_data
    from honeyguide.models.sequence.sasrec import SASRec

    histories = load_data(dataset).histories("train")
    config = SASRec().config.resolve(histories.lengths).model_dump(mode="json")
    options = {name: config[name] for name in ("dim", "blocks", "heads", "max_len", "dropout")}
    runs: dict[str, list[dict[str, Any]]] = {side: [] for side in ("ours", *PEERS)}
    with tempfile.TemporaryDirectory() as folder:
        events = str(Path(folder) / "events.npz")
        np.savez(events, users=histories.rows, items=histories.values)
        for _ in range(repeats):
            runs["ours"].append(child(sys.executable, __file__, "--ours", dataset))
            for peer, more in PEERS.items():
                script = str(Path(__file__).with_name(f"_sasrec_{peer}.py"))
                runs[peer].append(
                    child(peers, script, events, json.dumps({**options, "batches": BATCHES[peer], **more}))
                )
    cost = {side: median(1e6 * run["seconds"] / run["targets"] for run in found) for side, found in runs.items()}
    row = {"dataset": dataset, "options": options, "cpu_seconds_per_million_targets": cost, "runs": runs}
    versions = {peer: runs[peer][0]["library"].split()[-1] for peer in PEERS}
    return {**row, "ratio": {peer: cost["ours"] / cost[peer] for peer in PEERS}}, versions


def main() -> None:
    """Compare on every data set named."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--datasets", nargs="+", default=["amazon-beauty", "ml-1m"])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--ours", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.ours:
        ours(arguments.ours)
        return
    peers = os.environ.get("HONEYGUIDE_PEERS")
    if not peers:
        raise SystemExit(
            "Set HONEYGUIDE_PEERS to the Python of the environment with the others ('make bench' makes it)."
        )
    rows, versions = [], {}
    for dataset in arguments.datasets:
        row, versions = compare(dataset, peers, arguments.repeats)
        rows.append(row)
        print(dataset, row["cpu_seconds_per_million_targets"], row["ratio"], flush=True)
    write_result(
        "sasrec_speed",
        rows,
        dataset=arguments.datasets,
        split="train part, leave-last-out",
        protocol="CPU-seconds of training per million real targets, one thread, medians",
        seeds=[0],
        config={"batches": BATCHES, "repeats": arguments.repeats},
        versions=versions,
    )


if __name__ == "__main__":
    main()
