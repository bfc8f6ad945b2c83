"""The pictures of a report, as SVG that takes its colours from the page, light or dark."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Rows = Sequence[dict[str, Any]]

# Colours that are exchanged for CSS variables after drawing; the page defines them twice.
_INK, _SOFT, _MAIN, _SECOND, _FLOOR = "#010101", "#020202", "#030303", "#040404", "#050505"
_VARIABLES = {_INK: "--ink", _SOFT: "--soft", _MAIN: "--main", _SECOND: "--second", _FLOOR: "--floor"}
_WIDTH = 5.2  # inches; drawn small so that text stays readable on a phone


def accuracy(rows: Rows, k: int) -> str:
    """NDCG@k with 95 % intervals; filled with seen items removed, hollow with seen items kept."""
    main, kept = f"ndcg@{k}", f"ndcg@{k}:kept"
    figure, axes = _figure(0.9 + 0.38 * len(rows))
    for place, row in enumerate(rows):
        for metric, shift, filled in ((main, -0.13, True), (kept, 0.17, False)):
            value, (low, high) = row["metrics"][metric], row["ci"][metric]
            colour = _FLOOR if row["model"] == "floor" else _MAIN
            axes.plot([low, high], [place + shift] * 2, color=colour if filled else _SOFT, linewidth=1.6)
            face = colour if filled else "none"
            axes.plot(value, place + shift, "o", color=colour if filled else _SOFT, markerfacecolor=face, markersize=6)
    _name_rows(axes, rows)
    axes.set_xlim(left=0)
    axes.set_xlabel(f"NDCG@{k}: filled, seen items removed; hollow, kept")
    return _svg(figure, "accuracy")


def cost(rows: Rows, k: int) -> str:
    """NDCG@k against the CPU-seconds of fitting, on a logarithmic axis."""
    figure, axes = _figure(3.2)
    points = [(max(0.01, row["cpu_seconds"]["fit"]), row["metrics"][f"ndcg@{k}"], row["model"]) for row in rows]
    for seconds, value, name in points:
        axes.plot(seconds, value, "o", color=_FLOOR if name == "floor" else _MAIN, markersize=7)
    axes.set_xscale("log")
    low, high = min(p[0] for p in points), max(p[0] for p in points)
    axes.set_xlim(low / 2.5, high * 4)
    axes.set_ylim(0, 1.15 * max(p[1] for p in points))
    _annotate(axes, points)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.set_xlabel("CPU-seconds of fitting (log)")
    axes.set_ylabel(f"NDCG@{k}")
    return _svg(figure, "cost")


def beyond(rows: Rows, k: int) -> str:
    """Share of the catalogue ever recommended, novelty, and share of the long tail, side by side."""
    import matplotlib.pyplot as plt

    panels = (
        (f"catalogue_coverage@{k}", "catalogue\ncoverage"),
        (f"novelty@{k}", "novelty\n(bits)"),
        (f"aplt@{k}", "long-tail\nshare"),
    )
    with plt.rc_context(_style()):
        figure, axes = plt.subplots(1, 3, figsize=(_WIDTH, 1.1 + 0.3 * len(rows)), sharey=True, layout="constrained")
    for panel, (metric, title) in zip(axes, panels, strict=True):
        values = [row["metrics"][metric] for row in rows]
        panel.barh(range(len(rows)), values, color=_MAIN, height=0.6)
        for place, value in enumerate(values):
            text = f"{value:.1f}" if metric.startswith("novelty") else f"{value:.0%}"
            panel.text(value, place, f" {text}", va="center", color=_INK, fontsize=8)
        panel.set_title(title, fontsize=9, color=_INK)
        panel.set_xticks([])
        panel.set_xlim(0, 1.45 * max(max(values), 1e-9))
        _clean(panel)
        panel.spines["bottom"].set_visible(False)
    _name_rows(axes[0], rows)
    return _svg(figure, "beyond")


def learning(curves: dict[str, list[dict[str, float]]]) -> str | None:
    """The score on valid, epoch by epoch, of every model that learns in epochs; ``None`` without any."""
    from matplotlib.ticker import MaxNLocator

    metric = _curve_metric(curves)
    if metric is None:
        return None
    figure, axes = _figure(2.9)
    for number, (name, curve) in enumerate(curves.items()):
        steps = [(entry.get("epoch", place), entry[metric]) for place, entry in enumerate(curve, 1) if metric in entry]
        x, y = zip(*steps, strict=True)
        colour = (_MAIN, _SECOND, _FLOOR)[number % 3]
        axes.plot(
            x, y, color=colour, linewidth=1.8, marker="o", markersize=3, linestyle=("-", "--", ":")[number // 3 % 3]
        )
        best = int(np.argmax(y))
        axes.annotate(f"{name}: {y[best]:.4f}", (x[best], y[best]), (0, 6), textcoords="offset points",
                      ha="right" if best > len(x) / 2 else "left", color=_INK, fontsize=8)  # fmt: skip
    axes.margins(y=0.15)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("epoch")
    axes.set_ylabel(f"{metric.removeprefix('valid_').upper()} on valid")
    return _svg(figure, "learning")


def search_history(rows: Rows, judge: str) -> str:
    """Score on valid of every trial, and the best so far, against the CPU-seconds spent on the model."""
    figure, axes = _figure(3.2)
    for number, row in enumerate(r for r in rows if r["valid"] is not None):
        colour, line = (_MAIN, _SECOND, _FLOOR, _SOFT)[number % 4], ("-", "--", ":")[number // 4 % 3]
        spent = [entry["spent"] for entry in row["history"]]
        best = [np.nan if entry["best"] is None else entry["best"] for entry in row["history"]]
        tried = [np.nan if entry["valid"] is None else entry["valid"] for entry in row["history"]]
        axes.step(spent, best, where="post", color=colour, linewidth=1.8, linestyle=line)
        axes.plot(spent, tried, "o", color=colour, markersize=2.5, alpha=0.6)
        axes.annotate(row["model"], (spent[-1], best[-1]), (4, 0), textcoords="offset points",
                      va="center", color=_INK, fontsize=8)  # fmt: skip
    axes.set_ylim(bottom=0)
    axes.margins(x=0.15)
    axes.set_xlabel("CPU-seconds spent on the model")
    axes.set_ylabel(f"{judge.upper()} on valid")
    return _svg(figure, "history")


def over_time(rows: Rows, starts: Sequence[str], metric: str) -> str:
    """Accuracy of every model in every fold with its 95 % interval over users."""
    figure, axes = _figure(3.2)
    for number, row in enumerate(rows):
        colour, line = (_MAIN, _SECOND, _INK, _SOFT)[number % 4], ("-", "--", ":")[number // 4 % 3]
        shift = 0.06 * (number - (len(rows) - 1) / 2)
        x = np.arange(len(starts)) + shift
        y = np.array([np.nan if value is None else value for value in row["folds"]], float)
        axes.plot(x, y, color=colour, linewidth=1.6, marker="o", markersize=4, linestyle=line)
        for place, interval in zip(x, row["ci_of_folds"], strict=True):
            if interval:
                axes.plot([place, place], interval, color=colour, linewidth=1.0, alpha=0.7)
        axes.annotate(row["model"], (x[-1], y[-1]), (6, 0), textcoords="offset points",
                      va="center", color=_INK, fontsize=8)  # fmt: skip
    axes.set_xticks(range(len(starts)), starts)
    axes.set_ylim(bottom=0)
    axes.margins(x=0.18)
    axes.set_xlabel("the tested slice begins on")
    axes.set_ylabel(metric.upper())
    return _svg(figure, "time")


def _curve_metric(curves: dict[str, list[dict[str, float]]]) -> str | None:
    """The first entry of the curves that is a score on valid."""
    keys = [key for curve in curves.values() for entry in curve for key in entry]
    return next((key for key in keys if "ndcg" in key or "valid" in key), None)


def _style() -> Any:
    inks = ("text.color", "axes.labelcolor", "xtick.color", "ytick.color", "axes.edgecolor")
    return {
        "svg.fonttype": "none",
        "font.family": "sans-serif",
        "font.size": 9,
        **dict.fromkeys(inks, _INK),
    }


def _figure(height: float) -> tuple[Figure, Axes]:
    import matplotlib as mpl

    mpl.use("svg")
    import matplotlib.pyplot as plt

    with plt.rc_context(_style()):
        figure, axes = plt.subplots(figsize=(_WIDTH, height), layout="constrained")
    _clean(axes)
    axes.grid(color=_SOFT, alpha=0.25, linewidth=0.7)
    axes.set_axisbelow(True)
    return figure, axes


def _clean(axes: Axes) -> None:
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.tick_params(length=0)


def _name_rows(axes: Axes, rows: Rows) -> None:
    axes.set_yticks(range(len(rows)), [row["model"] for row in rows])
    axes.set_ylim(len(rows) - 0.5, -0.5)


def _annotate(axes: Axes, points: Sequence[tuple[float, float, str]]) -> None:
    """Name the points; names that would touch are moved up in turn."""
    top = axes.get_ylim()[1]
    placed: list[tuple[float, float]] = []
    for seconds, value, name in sorted(points, key=lambda point: (point[0], point[1])):
        height = value / top
        while any(abs(np.log10(seconds / s)) < 0.5 and abs(height - h) < 0.06 for s, h in placed):
            height += 0.06
        placed.append((seconds, height))
        axes.annotate(name, (seconds, value), (seconds * 1.25, height * top), va="center", color=_INK, fontsize=8)


def _svg(figure: Figure, name: str) -> str:
    """The figure as an ``<svg>`` element without fixed colours, fonts or size."""
    import matplotlib.pyplot as plt

    text = io.StringIO()
    with plt.rc_context({**_style(), "svg.hashsalt": name, "svg.id": name}):
        figure.savefig(text, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    plt.close(figure)
    svg = text.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r"<style[^>]*>.*?</style>", "", svg, flags=re.DOTALL)
    for colour, variable in _VARIABLES.items():
        svg = svg.replace(colour, f"var({variable})")
    svg = re.sub(r"font-family: [^;\"]*;?", "", svg)  # the page's font
    used = set(re.findall(r"#([\w.-]+)", svg))
    svg = re.sub(r' id="([^"]*)"', lambda found: found[0] if found[1] in used else "", svg)
    return re.sub(r'<svg [^>]*viewBox="([^"]*)"[^>]*>', r'<svg viewBox="\1" aria-hidden="true">', svg, count=1)


PICTURES: dict[str, Callable[[Rows, int], str]] = {"accuracy": accuracy, "cost": cost, "beyond": beyond}
