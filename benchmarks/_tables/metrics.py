"""What starting costs, and the metrics: a published table recomputed, and the speed of evaluation."""

from __future__ import annotations

from _tables import bar_line, bars
from result_file import read_result


@bars
def startup_bars() -> list[list[str]]:
    """What starting costs, before anything is read."""
    startup = read_result("startup")
    if not startup:
        return []
    found, limits = startup["results"], {"import honeyguide": 0.3, "honeyguide --help": 0.5}
    return [
        bar_line(f"`{what}`, CPU-s", f"≤ {limit}", f"{found[what]:.2f}", found[what] <= limit, startup["command"])
        for what, limit in limits.items()
    ]


@bars
def metric_bars() -> list[list[str]]:
    """The published table recomputed, and the speed of evaluation."""
    lines = []
    published, speed = read_result("metrics_published"), read_result("metrics_speed")
    if published:
        summary = published["results"]["summary"]
        shown = f"{summary['within_tolerance']} of {summary['compared']} cells"
        shown += f", largest gap {summary['largest_difference']:.0e}"
        missing = summary["cells"] - summary["compared"]
        if missing:
            shown += f"; the lists of {missing} cells were not released"
        met = summary["within_tolerance"] == summary["compared"]
        what = "11 systems × 20 published metrics"
        lines.append(bar_line(what, "all within 1e-3", shown, met, published["command"]))
    if speed:
        found, command = speed["results"], speed["command"]
        seconds = found["users_6040_metrics_4_at_10"]
        shown = f"{seconds:.3f}"
        if "rectools" in found:
            shown += f" (RecTools {found['rectools']['per_user']:.3f})"
        lines.append(
            bar_line("4 metrics, 6,040 users, per-user values, CPU-s", "≤ .25", shown, seconds <= 0.25, command)
        )
        seconds = found["users_100000_metrics_10_at_100"]
        what = "100,000 users × k = 100 × 10 metrics, CPU-s"
        lines.append(bar_line(what, "≤ 5", f"{seconds:.2f}", seconds <= 5, command))
    return lines
