"""Draw Recall@20 of LightGNN against what pruning has left, from the cells of ``honeyguide reproduce 25``."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from _tables.lightgnn import WAYS, cells

PICTURE = Path(__file__).parent.parent / "docs" / "pictures" / "lightgnn.svg"
LABELS = {"score": "score of the paper", "magnitude": "weight of the edge alone", "random": "random"}


def main() -> None:
    """One line a way to prune: the mean over seeds, and the range of the seeds."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "lightgnn"  # the same picture from the same numbers
    import matplotlib.pyplot as plt

    results = cells()
    if results is None:
        raise SystemExit("There are no results yet: run 'honeyguide reproduce 25'.")
    sweeps = [result for name, result in results.items() if name.startswith("sweep")]
    shares = [run["entries"] for run in sweeps[0]["score"]]
    figure, axes = plt.subplots(figsize=(6, 3.4), layout="constrained")
    for way in WAYS:
        recalls = np.array([[run["recall@20"] for run in sweep[way]] for sweep in sweeps])  # [seeds, runs]
        left = [run["entries"] for run in sweeps[0][way]]
        (line,) = axes.plot(left, recalls.mean(0), marker="o", markersize=3, label=LABELS[way])
        axes.fill_between(left, recalls.min(0), recalls.max(0), color=line.get_color(), alpha=0.15, linewidth=0)
    plain = np.mean([sweep["lightgcn"]["recall@20"] for sweep in sweeps])
    axes.axhline(plain, color="grey", linestyle=":", linewidth=1, label="LightGCN, nothing pruned")
    axes.set(xlabel="share of entries left (edges: ticks above)", ylabel="Recall@20", xscale="log")
    axes.set_xticks(shares[::2], [f"{share:.0%}" for share in shares[::2]])
    above = axes.secondary_xaxis("top")
    above.set_xticks(shares[::2], [f"{run['edges']:.0%}" for run in sweeps[0]["score"][::2]])
    for ticks in (axes, above):
        ticks.xaxis.set_minor_locator(plt.NullLocator())
    axes.invert_xaxis()
    axes.grid(alpha=0.3)
    axes.legend(frameon=False, fontsize=8)
    PICTURE.parent.mkdir(exist_ok=True)
    figure.savefig(PICTURE, metadata={"Date": None})
    plt.close(figure)


if __name__ == "__main__":
    main()
