"""The main job: from bundled events to a compared, explained and saved recommender."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np

import honeyguide
from honeyguide.core.dataset import Dataset
from honeyguide.core.errors import DataError, HoneyguideError
from honeyguide.core.resources import cpu_seconds
from honeyguide.data.leakage import leakage_report
from honeyguide.data.load import read_with_report
from honeyguide.experiment.bundle import save_bundle
from honeyguide.experiment.compare import Options, Progress, compare, with_test
from honeyguide.experiment.comparison import Comparison
from honeyguide.experiment.describe import describe, lines
from honeyguide.experiment.records import write_json, write_text
from honeyguide.experiment.report import render
from honeyguide.models.registry import load_model

Say = Callable[..., None]

MODELS = ("popularity", "floor", "ials", "sasrec")
REPORT, RESULTS, MODEL = "report.html", "report.json", "model"


def quickstart(
    out: Path,
    *,
    data: str = "goodbooks-mini",
    models: tuple[str, ...] = MODELS,
    user: str | None = None,
    seeds: int = 1,
    say: Say,
    progress: Callable[[], AbstractContextManager[Progress]],
    show: Callable[[Comparison, object], None] | None = None,
) -> Path:
    """Run it all and return the folder of the winner.

    Parameters
    ----------
    out
        Folder for the report, the results and the model.
    data, models, seeds
        What is compared, on what, and how often.
    user
        Whom to recommend to; somebody with a history of middle length by default.
    say
        Prints a line.
    progress
        Makes the progress display of the comparison.

    Raises
    ------
    HoneyguideError
        If every model failed, or the saved model cannot be used in a new process.
    """
    say("[bold]1. Data[/bold]")
    dataset, found = read_with_report(data)
    dataset = with_test(dataset)
    for line in (*lines(describe(dataset)), *str(leakage_report(dataset)).splitlines()):
        say(line)

    say("\n[bold]2. Comparison[/bold]: every model in a process of its own, fitted on train, chosen on valid")
    options = Options(runs=out / "runs", keep_models=True)
    with progress() as tell:
        comparison = compare(dataset, models, seeds=seeds, options=options, progress=tell)
    _table(comparison, say)

    say("\n[bold]3. Report[/bold]")
    write_text(out / REPORT, render(comparison, dataset, reading=str(found).splitlines()))
    write_json(out / RESULTS, comparison.document)
    say(f"{out / REPORT}: open it in a browser; {out / RESULTS} has the same figures")

    say("\n[bold]4. The winner[/bold], by NDCG on valid (test was not looked at for this)")
    label = comparison.winner()
    folder = out / MODEL
    save_winner(comparison, label, dataset, folder)
    say(f"{label}, saved to {folder}")

    reader = user or _reader(dataset)
    say(f"\n[bold]5. Recommendations[/bold] for reader {reader}, from the saved model in a new process")
    recommend_elsewhere(folder, reader)
    _next_steps(folder, say)
    say(f"\nAll this took {cpu_seconds():.0f} CPU-seconds.")
    return folder


def save_winner(comparison: Comparison, label: str, data: Dataset, folder: Path) -> None:
    """Save the fitted model of the first seed of ``label`` as a bundle."""
    cell = next(cell for cell in comparison.cells if cell.label == label and not cell.failed)
    model = load_model(cell.record["model_out"])
    save_bundle(folder, model, data)
