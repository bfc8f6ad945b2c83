"""One cell of a comparison: one model, one seed, in a process of its own.

``python -m honeyguide.experiment.cell SPEC.json`` fits and evaluates what the file says and writes
the result beside it, so that CPU-seconds and peak memory belong to this model alone.
"""

from __future__ import annotations

import json
import sys
import traceback
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from honeyguide.core.dataset import Dataset
from honeyguide.core.errors import HoneyguideError
from honeyguide.core.fitting import FitOptions
from honeyguide.core.ragged import Ragged
from honeyguide.core.recommender import Recommender
from honeyguide.core.requests import Requests
from honeyguide.core.resources import Stopwatch, cpu_seconds, peak_rss_mb
from honeyguide.experiment.child import end_with_parent
from honeyguide.experiment.records import read_json, write_json
from honeyguide.experiment.settings import build_model
from honeyguide.experiment.snapshot import thaw
from honeyguide.metrics.arrays import Vector
from honeyguide.metrics.catalogue import Catalogue
from honeyguide.metrics.evaluate import evaluate_lists
from honeyguide.metrics.holdout import model_ndcg, rank_lists
from honeyguide.metrics.predictive import auc, ece, gauc, log_loss
from honeyguide.metrics.slices import evaluate_slices

ACCURACY = ("ndcg", "recall", "mrr")  # per user, tested against the floor, with seen items removed and kept
BEYOND = ("novelty", "aplt", "catalogue_coverage", "gini_index")  # with seen items removed
KEPT = ":kept"
MEASURED = 1 << 31  # users times items up to which everybody is evaluated
EVENTS = ("auc", "gauc", "log_loss", "ece")  # over labelled test events, of models whose scores are probabilities


@dataclass(frozen=True)
class Spec:
    """What a cell computes.

    Parameters
    ----------
    snapshot
        Folder of the frozen data set.
    model, settings
        Registered name, and options that differ from the defaults.
    seed
        Seed of the model; ``None`` leaves the one in ``settings`` or the default.
    k
        Cut-off of the metrics.
    out
        Where the result goes: ``OUT.json`` and ``OUT.npz``.
    model_out
        Where the fitted model is saved, if anywhere.
    device, precision, memory_limit
        As in :class:`FitOptions`.
    tested
        Whether the cell is evaluated on test. One that is not reads valid only, writes no per-user
        values, and tells its learning curve in ``OUT.curve``, one JSON object a line.
    """

    snapshot: str
    model: str
    settings: dict[str, Any]
    seed: int
    k: int
    out: str
    model_out: str | None = None
    device: str = "auto"
    precision: str = "float32"
    memory_limit: int | None = None
    tested: bool = True


def run(spec: Spec) -> dict[str, Any]:
    """Fit, choose-score on valid, evaluate on test if asked for; returns the result and writes the per-user values."""
    data = thaw(spec.snapshot)
    model = build_model(spec.model, spec.settings | {"seed": spec.seed})
    checkpoint = Path(f"{spec.out}.checkpoint")
    options = FitOptions(
        checkpoint=checkpoint,
        resume=True,
        memory_limit=spec.memory_limit,
        device=spec.device,
        precision=spec.precision,
        on_epoch=None if spec.tested else _teller(Path(f"{spec.out}.curve")),
    )
    model.fit(data, options)
    if not spec.tested:
        return _fitted(spec, model, valid_ndcg(model, data, spec.k), {"fit": model.report.cpu_seconds}, peak_rss_mb())
    with Stopwatch() as watch:
        model.recommend(Requests(data.histories("train", "valid")), spec.k)
    peak = peak_rss_mb()  # of the fit and the recommendations, before anything is measured on them
    test = measure(model, data, spec.k)
    per_user: Any = {name: values.astype(np.float64) for name, values in test.per_user.items()}
    np.savez_compressed(f"{spec.out}.npz", **per_user)
    if spec.model_out is not None:
        model.save(spec.model_out)
    costs = {"fit": model.report.cpu_seconds, "recommend": watch.cpu}
    return _fitted(spec, model, valid_ndcg(model, data, spec.k), costs, peak) | {
        "metrics": test.overall | measure_events(model, data),
        "slices": test.slices,
        "n_users": len(evaluated_users(data.histories("test"), data.n_items)),
    }


def _fitted(spec: Spec, model: Recommender, valid: float, costs: dict[str, float], peak: float) -> dict[str, Any]:
    """What is known of a fitted model without test; ``process`` is everything since the process began."""
    return {
        "model": spec.model,
        "seed": spec.seed,
        "params": model.config.model_dump(mode="json"),
        "chosen": model.stands_for if model.made_of else None,
        "n_parameters": model.n_parameters,
        "valid": {f"ndcg@{spec.k}": valid},
        "cpu_seconds": costs if spec.tested else costs | {"process": cpu_seconds()},
        "peak_rss_mb": peak,
        "report": asdict(model.report),
        "model_out": spec.model_out,
    }


def _teller(path: Path) -> Callable[[dict[str, float]], None]:
    """Append each entry of a learning curve to ``path``."""

    def tell(entry: dict[str, float]) -> None:
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(entry) + "\n")

    return tell


@dataclass(frozen=True)
class Measured:
    """Test metrics of one fitted model: means, per-user values, and means over slices."""

    overall: dict[str, float]
    per_user: dict[str, Vector]
    slices: dict[str, dict[str, float]]


def measure(model: Recommender, data: Dataset, k: int) -> Measured:
    """Rank the whole catalogue for :func:`evaluated_users`; history = train + valid.

    Accuracy with seen items removed and, under ids that end in ``:kept``, not removed.
    """
    history, truth = data.histories("train", "valid"), data.histories("test")
    asked = evaluated_users(truth, data.n_items)
    history, truth = history.take(asked), truth.take(asked)
    catalogue = Catalogue(data.n_items, data.popularity("train"), history)
    accuracy = [f"{name}@{k}" for name in ACCURACY]

    removed = rank_lists(model, history, truth, k)
    main = evaluate_lists(removed, truth, accuracy + [f"{name}@{k}" for name in BEYOND], catalogue)
    slices = evaluate_slices(removed, truth, accuracy, catalogue)
    lists = rank_lists(model, history, truth, k, remove_seen=False)
    kept = evaluate_lists(lists, truth, accuracy, catalogue)
    return Measured(
        overall=main.overall | {f"{name}{KEPT}": kept.overall[name] for name in accuracy},
        per_user=main.per_user | {f"{name}{KEPT}": kept.per_user[name] for name in accuracy},
        slices={name: {"n_users": part.n_users - part.n_skipped, **part.overall} for name, part in slices.items()},
    )


def evaluated_users(truth: Ragged, n_items: int) -> npt.NDArray[np.int64]:
    """Codes of the users whose lists are evaluated: all with a held-out item.

    Where these times the items are more than ``MEASURED``, so many of them are drawn, with a fixed seed, hence
    the same for every model.
    """
    users = np.flatnonzero(truth.lengths)
    limit = max(1, MEASURED // max(1, n_items))
    return users if len(users) <= limit else np.sort(np.random.default_rng(0).choice(users, limit, replace=False))


def measure_events(model: Recommender, data: Dataset) -> dict[str, float]:
    """AUC, GAUC, log-loss and ECE over the test events, where these are labelled and the scores are probabilities."""
    events = data.select("test").interactions
    if model.scale != "probability" or "positive" not in events.columns or events["positive"].n_unique() < 2:
        return {}
    truth, scores = events["positive"].to_numpy(), model.score_events(data, "test")
    return {
        "auc": auc(truth, scores),
        "gauc": gauc(truth, scores, events["user"].to_numpy()),
        "log_loss": log_loss(truth, scores),
        "ece": ece(truth, scores),
    }


def valid_ndcg(model: Recommender, data: Dataset, k: int) -> float:
    """What models are chosen by: NDCG@k on valid with the history train; NaN without a valid part."""
    truth = data.histories("valid") if "valid" in data.parts else Ragged.empty(data.n_users)
    if not len(truth.values):
        return float("nan")
    asked = np.isin(truth.rows, evaluated_users(truth, data.n_items))
    truth = Ragged.from_groups(truth.rows[asked], truth.values[asked], len(truth))
    return float(model_ndcg(model, data.histories("train"), truth, k).mean())


def main(path: str) -> int:
    """Run the cell described in the file ``path``; a failure is written down as its result."""
    content = read_json(Path(path))
    if content is None:
        sys.stderr.write(f"{path} is not a cell description\n")
        return 2
    spec = Spec(**content)
    try:
        result = run(spec)
    except HoneyguideError as error:
        result = {"error": error.message, "remedy": error.remedy}
    except Exception as error:
        traceback.print_exc()
        result = {"error": f"{type(error).__name__}: {error}", "remedy": "The log beside the cell has the traceback."}
    write_json(Path(f"{spec.out}.json"), result)
    return 0


if __name__ == "__main__":
    end_with_parent()
    sys.exit(main(sys.argv[1]))
