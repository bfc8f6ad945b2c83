"""The picture of the dose and the response of an attack: ``python benchmarks/vat_picture.py``.

Reads the cell ``sizes`` of ``honeyguide reproduce 32`` and writes ``docs/pictures/vat.svg``.
"""

from __future__ import annotations

from pathlib import Path

import matplotlib

matplotlib.use("svg")
from matplotlib import pyplot as plt

from _tables.vat import cell
from honeyguide.experiment.claims.vat_cells import by_size

PICTURE = Path(__file__).parent.parent / "docs" / "pictures" / "vat.svg"
LINES = {"plain": ("no defence", "o-"), "apr": ("APR", "s--"), "vat": ("VAT", "^-")}


def main() -> None:
    """Draw T-HR@50 against the size of the attack."""
    sized, seed_0 = cell("sizes"), cell("seed-0")
    if sized is None or seed_0 is None:
        raise SystemExit("There are no results: run 'honeyguide reproduce 32' first.")
    found = by_size(sized, seed_0)
    plt.rcParams["svg.hashsalt"] = "honeyguide"
    figure, axes = plt.subplots(figsize=(6, 3.6), layout="constrained")
    for name, (label, style) in LINES.items():
        values = [figures[name]["target_hit_rate@50"] for figures in found.values()]
        axes.plot([100 * size for size in found], values, style, label=label)
    axes.set_xlabel("fake users, % of the genuine ones (bandwagon attack)")
    axes.set_ylabel("T-HR@50")
    axes.legend(frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(PICTURE, metadata={"Date": None})


if __name__ == "__main__":
    main()
