"""A comparison as one self-contained HTML page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from honeyguide.core.dataset import Dataset
from honeyguide.data.describe import describe
from honeyguide.data.leakage import leakage_report
from honeyguide.experiment import plots
from honeyguide.experiment.comparison import Comparison
from honeyguide.experiment.records import versions

_TEMPLATES = Path(__file__).parent / "templates"
_PACKAGES = ("numpy", "scipy", "polars", "implicit", "torch")
_SHARES = ("catalogue_coverage", "aplt")  # shown in percent
_SLICES = {
    "users:cold": "users with short histories",
    "users:warm": "all other users",
    "users:tail": "users with unusual taste",
    "items:cold": "items never seen in training",
    "items:warm": "items seen in training",
    "items:tail": "long-tail items",
    "items:head": "popular items",
}


def render(comparison: Comparison, data: Dataset, *, reading: Sequence[str] = ()) -> str:
    """The page.

    Parameters
    ----------
    comparison
        What was measured.
    data
        The data set, with its split.
    reading
        What reading the data found, line by line.
    """
    rows = [row for row in comparison.rows if row["metrics"]]
    return fill(
        "report.html.j2",
        document=comparison.document,
        k=comparison.k,
        rows=comparison.rows,
        main=f"ndcg@{comparison.k}",
        columns=_columns(comparison.k, rows),
        tested=[f"ndcg@{comparison.k}", f"recall@{comparison.k}", f"mrr@{comparison.k}", f"ndcg@{comparison.k}:kept"],
        pictures=_pictures(comparison, rows),
        slices=_slices(rows, comparison.k),
        data_lines=[*reading, *str(describe(data)).splitlines()],
        leakage=str(leakage_report(data)).splitlines(),
        winner=comparison.winner() if any(row["valid"] for row in rows) else None,
        conclusion=_conclusion(comparison),
    )


def fill(template: str, **values: Any) -> str:
    """A page from one of the templates; what comes from data is escaped."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    environment.filters |= {"figure": _figure, "seconds": _seconds, "p": _p}
    return environment.get_template(template).render(versions=versions(_PACKAGES), **values)


def _columns(k: int, rows: Sequence[dict[str, Any]]) -> list[tuple[str, str]]:
    """Metric ids of the table and what they are called there."""
    of_events = {"auc": "AUC", "gauc": "GAUC", "log_loss": "log-loss", "ece": "ECE"}
    return [
        (f"ndcg@{k}", f"NDCG@{k}"),
        (f"recall@{k}", f"Recall@{k}"),
        (f"mrr@{k}", f"MRR@{k}"),
        (f"ndcg@{k}:kept", f"NDCG@{k}, seen kept"),
        (f"catalogue_coverage@{k}", "coverage"),
        (f"novelty@{k}", "novelty, bits"),
        (f"aplt@{k}", "long tail"),
        (f"gini_index@{k}", "Gini"),
        *((id, name) for id, name in of_events.items() if any(id in row["metrics"] for row in rows)),
    ]


def _pictures(comparison: Comparison, rows: Sequence[dict[str, Any]]) -> list[dict[str, str]]:
    """Each picture with its title, its caption, and its content in words for those who do not see it."""
    if not rows:
        return []
    k, main = comparison.k, f"ndcg@{comparison.k}"
    told = "; ".join(f"{row['model']} {_figure(row['metrics'][main])}" for row in rows)
    costs = "; ".join(f"{row['model']} {_seconds(row['cpu_seconds']['fit'])} CPU-seconds" for row in rows)
    wide = "; ".join(f"{row['model']} {row['metrics'][f'catalogue_coverage@{k}']:.0%} of the catalogue" for row in rows)
    found = [
        ("Accuracy", plots.accuracy(rows, k), f"NDCG@{k} with 95 % bootstrap intervals over users.", told),
        ("Accuracy against cost", plots.cost(rows, k), "Up and to the left is better.", f"{told}. {costs}"),
        ("Beyond accuracy", plots.beyond(rows, k), "How much of the catalogue is shown, and how popular it is.", wide),
    ]
    curves = {
        c.label: c.record["report"]["curve"] for c in comparison.cells if not c.failed and c.seed == _first(comparison)
    }
    curves = {label: curve for label, curve in curves.items() if curve}
    picture = plots.learning(curves)
    if picture is not None:
        epochs = "; ".join(f"{label}: {len(curve)} epochs" for label, curve in curves.items())
        found.append(("Learning curve", picture, "Chosen is the epoch with the best score on valid.", epochs))
    return [dict(zip(("title", "svg", "caption", "alt"), entry, strict=True)) for entry in found]


def _first(comparison: Comparison) -> int:
    return int(comparison.document["seeds"][0])


def _slices(rows: Sequence[dict[str, Any]], k: int) -> list[dict[str, Any]]:
    """For every slice that holds anybody: its size, and NDCG@k of each model."""
    table = []
    has_cold = any(row["slices"].get("items:cold", {}).get("n_users") for row in rows)
    for name, what in _SLICES.items():
        if name == "items:warm" and not has_cold:
            continue  # then it is the whole test part
        sizes = [row["slices"].get(name, {}).get("n_users", 0) for row in rows]
        if max(sizes, default=0):
            values = [row["slices"][name].get(f"ndcg@{k}") for row in rows]
            table.append(
                {
                    "name": what,
                    "n": int(max(sizes)),
                    "values": dict(zip((r["model"] for r in rows), values, strict=True)),
                }
            )
    return table


def _conclusion(comparison: Comparison) -> str:
    """What may be said about the floor, in one sentence."""
    named: Mapping[str, list[str]] = {
        verdict: [row["model"] for row in comparison.rows if row["verdict"] == verdict]
        for verdict in ("better", "within noise", "worse", "failed", "incomplete")
    }
    words = {
        "better": "better than the linear floor",
        "within noise": "within noise of the linear floor",
        "worse": "worse than the linear floor",
        "failed": "failed",
        "incomplete": "incomplete, so nothing is said",
    }
    parts = [f"{', '.join(models)}: {words[verdict]}" for verdict, models in named.items() if models]
    return "; ".join(parts) + "."


def _figure(value: float | None, metric: str = "") -> str:
    if value is None or value != value:  # NaN
        return "–"
    if metric.startswith(_SHARES):
        return f"{value:.0%}"
    return f"{value:.4f}" if abs(value) < 1 else f"{value:.2f}"


def _seconds(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 else f"{value:.2f}"


def _p(value: float | None) -> str:
    if value is None or value != value:  # NaN
        return "–"
    return "< .001" if value < 0.001 else f"{value:.3f}"
