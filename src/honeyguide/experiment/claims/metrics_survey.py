"""Seed 37, "A Comprehensive Survey of Evaluation Techniques for Recommendation Systems" (arXiv 2312.16015)."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from honeyguide.core.errors import DataError, MissingExtraError
from honeyguide.core.ragged import Ragged
from honeyguide.core.resources import Stopwatch
from honeyguide.experiment.child import environment
from honeyguide.experiment.papers import Cell, Claim, Judgement, Paper, Profile, Result, verdict

_CHECKOUT = Path(__file__).parents[4]
_TESTS = ("test_lists_reference.py", "test_functions_reference.py")
_EXACT = 1e-9
_TEN = ("ndcg", "recall", "precision", "hit", "mrr", "ap_min", "novelty", "aplt", "catalogue_coverage", "gini_index")
_FOUR = ("ndcg", "recall", "precision", "mrr")


def _references(profile: Profile) -> Result:
    """Run the tests that compare every metric with a plain, slow reference on random cases."""
    files = [_CHECKOUT / "tests" / "metrics" / name for name in _TESTS]
    missing = [str(path) for path in files if not path.is_file()]
    if missing:
        raise DataError("the reference implementations are not here.", "Run this in a checkout.", file=missing[0])
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *map(str, files)]
    done = subprocess.run(command, cwd=_CHECKOUT, env=environment(), capture_output=True, text=True, check=False)  # noqa: S603
    end = done.stdout.strip().rpartition("\n")[2]
    count = re.search(r"(\d+) passed", end)
    return {"passed": done.returncode == 0, "tests": int(count[1]) if count else 0, "end": end}


def _judge_references(results: Mapping[str, Result]) -> Judgement:
    found = results["references"]
    agree = found["passed"] and found["tests"] > 0  # no test, no agreement
    return Judgement("all agree" if agree else "differences", verdict(agree), note=f"{found['tests']} tests")


def _sklearn(profile: Profile) -> Result:
    """Largest difference from scikit-learn over random cases, by metric."""
    try:
        from sklearn import metrics as theirs
    except ModuleNotFoundError as error:
        raise MissingExtraError("The comparison with scikit-learn", "dev") from error
    from honeyguide.metrics import predictive as ours

    rng = np.random.default_rng(0)
    pairs = {
        "mae": (ours.mae, theirs.mean_absolute_error),
        "mse": (ours.mse, theirs.mean_squared_error),
        "r2": (ours.r2, theirs.r2_score),
        "explained_variance": (ours.explained_variance, theirs.explained_variance_score),
        "auc": (ours.auc, theirs.roc_auc_score),
        "pr_auc": (ours.pr_auc, theirs.average_precision_score),
        "log_loss": (ours.log_loss, theirs.log_loss),
        "brier": (ours.brier, theirs.brier_score_loss),
    }
    worst = dict.fromkeys(pairs, 0.0)
    for _ in range(1000 if profile == "paper" else 200):
        truth = np.append([0.0, 1.0], rng.integers(0, 2, 30).astype(np.float64))
        predicted = np.round(rng.uniform(0.01, 0.99, 32), 2)
        for name, (own, their) in pairs.items():
            worst[name] = max(worst[name], abs(float(own(truth, predicted)) - float(their(truth, predicted))))
    return {"worst": worst, "ndcg": _ndcg_difference(rng, theirs.ndcg_score)}


def _ndcg_difference(rng: np.random.Generator, ndcg_score: Any) -> float:
    """Largest difference of NDCG@10 on 200 users with graded truth."""
    from honeyguide.metrics.catalogue import Catalogue
    from honeyguide.metrics.evaluate import evaluate_lists

    grades = rng.integers(0, 4, (200, 40)).astype(np.float64)
    grades[:, 0] = 1.0
    scores = rng.permuted(np.tile(np.arange(40.0), (200, 1)), axis=1)
    truth = Ragged.from_lists([np.flatnonzero(row).astype(np.int32) for row in grades])
    lists = np.argsort(-scores, axis=1)[:, :10].astype(np.int32)
    own = evaluate_lists(lists, truth, ["ndcg@10"], Catalogue(40), grades=grades[grades > 0]).per_user["ndcg@10"]
    their = [ndcg_score(grades[[u]], scores[[u]], k=10) for u in range(200)]
    return float(np.abs(own - their).max())


def _judge_sklearn(results: Mapping[str, Result]) -> Judgement:
    found = results["sklearn"]
    worst = max(*found["worst"].values(), found["ndcg"])
    return Judgement(worst, verdict(worst <= _EXACT), note=f"metrics: ndcg, {', '.join(found['worst'])}")


def _published(profile: Profile) -> Result:
    """Recompute the released table of 11 systems x 20 metrics from the released lists."""
    from honeyguide.metrics.published import published_check

    return {"cells": published_check(_measuring_data("ml-small-2018"))}


def _judge_published(results: Mapping[str, Result]) -> Judgement:
    cells = results["published"]["cells"]
    expected = [cell for cell in cells if cell["reason"] is None]
    held = [cell for cell in expected if cell["holds"]]
    reasons = {cell["reason"]: cell["system"] for cell in cells if cell["reason"] is not None}
    note = "; ".join(f"{system}: {reason}" for reason, system in reasons.items())
    return Judgement(f"{len(held)} of {len(expected)} cells", verdict(len(held) == len(expected)), note=note or None)


def _speed(users: int, k: int, metrics: tuple[str, ...]) -> float:
    """CPU-seconds of evaluating random lists over 5,000 items, per-user values included."""
    from honeyguide.metrics.catalogue import Catalogue
    from honeyguide.metrics.evaluate import evaluate_lists

    rng = np.random.default_rng(0)
    n_items = 5000
    starts = rng.integers(0, n_items, (users, 1))
    strides = rng.integers(1, 40, (users, 1))
    lists = ((starts + strides * np.arange(k)) % n_items).astype(np.int32)
    values = rng.integers(0, n_items, users * 10).astype(np.int32)
    truth = Ragged(np.arange(0, users * 10 + 1, 10), values)
    popularity = np.bincount(values, minlength=n_items).astype(np.float32)
    with Stopwatch() as watch:
        evaluate_lists(lists, truth, [f"{name}@{k}" for name in metrics], Catalogue(n_items, popularity, truth))
    return watch.cpu


def _judge_speed(results: Mapping[str, Result]) -> Judgement:
    seconds = results["speed"]["cpu_seconds"]
    return Judgement(seconds, verdict(seconds <= 5.0), note=f"metrics: {', '.join(_TEN)}")


def _judge_small(results: Mapping[str, Result]) -> Judgement:
    seconds = results["speed-small"]["cpu_seconds"]
    return Judgement(seconds, verdict(seconds <= 0.25), note=f"metrics: {', '.join(_FOUR)}")


def _page(profile: Profile) -> Result:
    """Which metrics lack a part of their definition, or a place on the generated page."""
    from honeyguide.metrics.reference import page
    from honeyguide.metrics.registry import METRICS

    text = page()
    incomplete = [m.id for m in METRICS.values() if not (m.id and m.family and m.formula and m.range and m.direction)]
    absent = [m.id for m in METRICS.values() if m.id not in text]
    return {"metrics": len(METRICS), "incomplete": incomplete, "absent": absent}


def _judge_page(results: Mapping[str, Result]) -> Judgement:
    found = results["reference-page"]
    bad = sorted({*found["incomplete"], *found["absent"]})
    note = f"missing: {', '.join(bad)}" if bad else None
    return Judgement(f"{found['metrics'] - len(bad)} of {found['metrics']}", verdict(not bad), note=note)


def _measuring_data(name: str) -> Path:
    folder = Path(os.environ.get("HONEYGUIDE_DATA", "")) / name
    if not folder.is_dir() or "HONEYGUIDE_DATA" not in os.environ:
        raise DataError(
            f"the data set {name!r} is not here.", "Set HONEYGUIDE_DATA to the folder that holds it.", file=str(folder)
        )
    return folder


PAPER = Paper(
    seed=37,
    module="honeyguide.metrics",
    claims=(
        Claim(
            "references",
            "every metric equals a plain, slow reference on 10,000 random cases",
            "random cases",
            "difference",
            "at most 1e-9",
            (Cell("references", _references),),
            _judge_references,
        ),
        Claim(
            "sklearn",
            "agrees with scikit-learn where the definitions coincide",
            "random cases",
            "largest difference",
            "at most 1e-9",
            (Cell("sklearn", _sklearn),),
            _judge_sklearn,
        ),
        Claim(
            "published",
            "reproduces the released table of 11 systems x 20 metrics of arXiv 2309.03613",
            "ml-small-2018",
            "cells within 1e-3",
            "all",
            (Cell("published", _published),),
            _judge_published,
        ),
        Claim(
            "speed",
            "100,000 users x 100 places x ten metrics",
            "synthetic",
            "CPU-seconds",
            "at most 5",
            (Cell("speed", lambda profile: {"cpu_seconds": _speed(100_000, 100, _TEN)}),),
            _judge_speed,
        ),
        Claim(
            "speed-small",
            "6,040 users x 10 places x four metrics, with per-user values",
            "synthetic",
            "CPU-seconds",
            "at most .25",
            (Cell("speed-small", lambda profile: {"cpu_seconds": _speed(6_040, 10, _FOUR)}),),
            _judge_small,
        ),
        Claim(
            "reference-page",
            "each metric has id, formula, range and direction, and stands on the generated page",
            "the library",
            "metrics",
            "all",
            (Cell("reference-page", _page),),
            _judge_page,
        ),
    ),
)
