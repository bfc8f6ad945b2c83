"""The main job: from bundled events to a compared, explained and saved recommender."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from honeyguide.core.dataset import Dataset
from honeyguide.core.errors import HoneyguideError, MissingExtraError
from honeyguide.core.resources import cpu_seconds
from honeyguide.data.describe import describe
from honeyguide.data.leakage import leakage_report
from honeyguide.data.load import read_with_report
from honeyguide.data.reading import Reading
from honeyguide.experiment.bundle import Bundle, save_bundle
from honeyguide.experiment.child import environment
from honeyguide.experiment.compare import Options, Progress, compare
from honeyguide.experiment.comparison import Comparison
from honeyguide.experiment.parts import with_test
from honeyguide.experiment.records import write_json, write_text
from honeyguide.experiment.report import render
from honeyguide.experiment.settings import Settings
from honeyguide.explain.faithfulness import faithfulness
from honeyguide.models.registry import load_model, model_class

Show = Callable[[Comparison], None]

MODELS = ("popularity", "floor", "ials", "sasrec")
# Fewer, larger steps than the defaults: most of the accuracy in half of the five minutes.
SETTINGS: dict[str, Settings] = {"sasrec": {"epochs": 15, "lr": 3e-3}}
REPORT, RESULTS, FAITHFULNESS, MODEL = "report.html", "report.json", "faithfulness.json", "model"
EXPLAINED = 50  # readers whose first explanation is checked


@dataclass(frozen=True)
class Display:
    """How the main job talks: a printer of lines, a progress display, a printer of the table, a silencer."""

    say: Callable[[str], None]
    progress: Callable[[], AbstractContextManager[Progress]]
    show: Show


def quickstart(
    out: Path,
    display: Display,
    *,
    data: str = "goodbooks-mini",
    models: Sequence[str] = MODELS,
    settings: Mapping[str, Settings] = SETTINGS,
    user: str | None = None,
    seeds: int = 1,
) -> Path:
    """Read, check, compare, report, save the best, and recommend from it in a new process.

    Parameters
    ----------
    out
        Folder for the report, the results and the model.
    display
        Where the story is told.
    data, models, settings, seeds
        What is compared, on what, with which options, and how often.
    user
        Whom to recommend to; by default somebody with a history of middle length.

    Returns
    -------
    Path
        The folder of the winner.

    Raises
    ------
    HoneyguideError
        If every model failed, or the saved model cannot be used in a new process.
    """
    say = display.say
    say("1. Data")
    read, found = read_with_report(data)
    found.warn()
    dataset = with_test(read)
    say(f"{describe(dataset)}\n{leakage_report(dataset)}")

    models = _available(models, say)
    say("\n2. Comparison: every model in a process of its own, fitted on train, chosen on valid")
    with display.progress() as tell:
        comparison = compare(
            dataset,
            models,
            seeds=seeds,
            settings={name: options for name, options in settings.items() if name in models},
            options=Options(runs=out / "runs", keep_models=True),
            progress=tell,
        )
    display.show(comparison)

    say("3. Report")
    write_text(out / REPORT, render(comparison, dataset, reading=str(found).splitlines()))
    write_json(out / RESULTS, comparison.document)
    say(f"Open {out / REPORT} in a browser; {out / RESULTS} has the figures.")

    label, folder = comparison.winner(), out / MODEL
    say(f"\n4. The winner by NDCG on valid (test was not looked at for this): {label}")
    bundle = save_winner(comparison, label, dataset, folder, found.reading)
    say(f"Saved to {folder}, with the histories beside it.")
    checked = faithfulness(bundle.model, dataset.histories("train", "valid"), n_users=EXPLAINED)
    write_json(out / FAITHFULNESS, asdict(checked))
    say(str(checked))

    reader = user or typical_reader(dataset)
    say(f"\n5. Recommendations for reader {reader}, from the saved model in a new process")
    say(recommend_elsewhere(folder, reader))
    say(_next_steps(folder))
    say(f"All this took {cpu_seconds():.0f} CPU-seconds.")
    return folder


def _available(models: Sequence[str], say: Callable[[str], None]) -> list[str]:
    """The models whose optional dependencies are installed; the others are named with what they need."""
    found = []
    for name in models:
        try:
            model_class(name)
            found.append(name)
        except MissingExtraError as error:
            say(f"Left out: {error}")
    return found


def save_winner(
    comparison: Comparison, label: str, data: Dataset, folder: Path, reading: Reading | None = None
) -> Bundle:
    """Save the model that was fitted for ``label`` as a bundle, that of its first seed."""
    cell = next(cell for cell in comparison.cells if cell.label == label and not cell.failed)
    return save_bundle(folder, load_model(cell.record["model_out"]), data, reading)


def typical_reader(data: Dataset) -> str:
    """Id of the user whose history is of median length, the first of them."""
    lengths = data.histories().lengths
    middle = np.sort(lengths)[len(lengths) // 2]
    return str(data.user_ids.values[int(np.flatnonzero(lengths == middle)[0])])


def recommend_elsewhere(folder: Path, user: str, k: int = 10) -> str:
    """What ``honeyguide recommend FOLDER --user USER --why`` prints in a process that knows only the folder.

    Raises
    ------
    HoneyguideError
        If it fails.
    """
    command = [sys.executable, "-m", "honeyguide", "recommend", str(folder), "--user", user, "-k", str(k), "--why"]
    done = subprocess.run(command, env=environment(), capture_output=True, encoding="utf-8", check=False)  # noqa: S603
    if done.returncode:
        raise HoneyguideError(f"The saved model cannot be used: {done.stderr.strip()}", "Report this.")
    return done.stdout


def _next_steps(folder: Path) -> str:
    return f"""Next:
  honeyguide recommend {folder} --history 1,2,3 --why     for anybody, from a list of book ids
  honeyguide recommend {folder} --all --out recs.parquet  for everybody
  honeyguide fit events.csv --items items.csv --model sasrec --out model/   on your own log
  honeyguide data check events.csv                        what is wrong with it, row by row"""
