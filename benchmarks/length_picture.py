"""Draw cost against the length of a history, from the cell ``cost`` of ``honeyguide reproduce 19``."""

from __future__ import annotations

from pathlib import Path

from _tables.timed import LENGTHS, NETWORKS, cell

PICTURE = Path(__file__).parent.parent / "docs" / "pictures" / "tim4rec-length.svg"
_MARKS = dict(zip(NETWORKS, ("o-", "s--", "^:"), strict=True))


def main() -> None:
    """Two panels on logarithmic axes: CPU-milliseconds of a sequence, and megabytes kept for the backward pass."""
    import matplotlib

    matplotlib.use("svg")
    import matplotlib.pyplot as plt

    found = cell("cost")
    if found is None:
        raise SystemExit("There is no result yet: run 'honeyguide reproduce 19'.")
    plt.rcParams["svg.hashsalt"] = "honeyguide"
    figure, panels = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
    drawn = (("seconds", 1e3, "CPU-ms, forward and backward"), ("bytes", 1e-6, "MB kept for the backward pass"))
    for panel, (key, unit, label) in zip(panels, drawn, strict=True):
        for name in NETWORKS:
            panel.plot(LENGTHS, [unit * value for value in found[name][key]], _MARKS[name], label=name)
        panel.set_xscale("log")
        panel.set_yscale("log")
        panel.set_xticks(LENGTHS, [str(n) for n in LENGTHS])
        panel.minorticks_off()
        panel.set_xlabel("events in the history")
        panel.set_ylabel(f"{label}, a sequence")
        panel.grid(alpha=0.3)
    panels[0].legend()
    PICTURE.parent.mkdir(exist_ok=True)
    figure.savefig(PICTURE, metadata={"Date": None})
    plt.close(figure)


if __name__ == "__main__":
    main()
