"""A search and a backtest as self-contained HTML pages."""

from __future__ import annotations

from honeyguide.experiment import plots
from honeyguide.experiment.backtest import Backtest
from honeyguide.experiment.report import fill
from honeyguide.experiment.tune import Tuning


def tuning_page(tuning: Tuning) -> str:
    """The best of every model, its test, and the history of the search."""
    shown = [row for row in tuning.rows if row["valid"] is not None]
    return fill(
        "tune.html.j2",
        document=tuning.document,
        tested={row["model"]: row for row in tuning.comparison.rows},
        picture=plots.search_history(shown, tuning.document["judge"]) if shown else None,
        told="; ".join(f"{row['model']} {row['valid']:.4f} after {row['trials']} trials" for row in shown),
    )


def backtest_page(found: Backtest) -> str:
    """The table over the folds, accuracy over time, and what the folds hold."""
    metric = f"ndcg@{found.k}"
    starts = [str(fold["from"])[:10] for fold in found.document["folds"]]
    told = "; ".join(
        f"{row['model']} " + ", ".join("none" if value is None else f"{value:.4f}" for value in row["folds"])
        for row in found.rows
    )
    return fill(
        "backtest.html.j2",
        document=found.document,
        metric=metric,
        picture=plots.over_time(found.rows, starts, metric),
        told=told,
    )
