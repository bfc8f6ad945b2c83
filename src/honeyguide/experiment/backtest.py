"""Compare models over rolling time: whether the model chosen a while ago is still the one to choose."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from honeyguide.core.dataset import Dataset
from honeyguide.core.errors import ConfigError, DataError
from honeyguide.core.recommender import Recommender
from honeyguide.data.columns import naming
from honeyguide.data.splits import rolling
from honeyguide.experiment.compare import Options, Progress, as_dataset, compare
from honeyguide.experiment.comparison import FLOOR, LEVEL, Comparison
from honeyguide.experiment.records import write_json, write_text
from honeyguide.experiment.settings import Settings
from honeyguide.metrics.stats import holm, over_seeds, paired_t, paired_test, t_interval

Values = npt.NDArray[np.float64]
_MANY_NEW = 0.3  # share of tested users without an earlier event that a reader should know of

PROTOCOL = (
    "rolling time: each fold is tested on one slice of the events, chosen on the slice before it and fitted on "
    "everything earlier; full ranking; ties pessimistic; seen items removed (':kept': not removed)"
)


@dataclass(frozen=True)
class Backtest:
    """A finished backtest.

    Parameters
    ----------
    document
        ``{"dataset", "protocol", "folds": [...], "rows": [...], "drift", "notes"}``, as written to ``--json``.
    comparisons
        One per fold, in the order of time.
    k
        Cut-off of the metrics.
    """

    document: dict[str, Any]
    comparisons: list[Comparison]
    k: int

    @property
    def rows(self) -> list[dict[str, Any]]:
        """One dictionary per model: its value in every fold, the mean with its interval, tests and ranks."""
        rows: list[dict[str, Any]] = self.document["rows"]
        return rows


def backtest(
    data: Dataset | str,
    models: Sequence[str | Recommender],
    *,
    folds: int = 5,
    share: float = 0.05,
    seeds: int = 1,
    k: int = 10,
    settings: Mapping[str, Settings] | None = None,
    html: str | Path | None = None,
    json: str | Path | None = None,
    options: Options | None = None,
    progress: Progress | None = None,
) -> Backtest:
    """Compare ``models`` in each of ``folds`` windows of time, the last ones.

    Every fold is a comparison (:func:`honeyguide.compare`) with its resumable cells; a published
    split plays no part.

    Parameters
    ----------
    data
        With a time for every event.
    models, seeds, k, settings, options, progress
        As for :func:`honeyguide.compare`.
    folds, share
        Number of slices that are tested, and the share of all events in each.
    html, json
        Files to write the report and the results to.

    Raises
    ------
    DataError
        If times are missing, or so coarse that a slice has no events.
    ConfigError
        If the slices leave nothing to train on.
    """
    data = as_dataset(data)
    if data.times() is None:
        raise DataError(
            f"{data.name} has no time for every event, and a backtest goes by time.",
            f"Name a column of times: {naming('timestamp')}. 'honeyguide compare' compares on one split.",
        )
    if folds < 2:
        raise ConfigError(f"{folds} fold says nothing about time.", "Ask for two or more, or use 'honeyguide compare'.")
    slices = list(rolling(data, folds, share=share))
    for fold in slices:
        if set(fold.parts) != {"train", "valid", "test"} or not len(fold.histories("test").values):
            raise DataError(
                f"{fold.name} has a slice without events: too many share one time.",
                "Ask for fewer folds or a larger share, or give finer times.",
            )
    comparisons = []
    for number, fold in enumerate(slices):
        tell = None if progress is None else _shifted(progress, number, folds)
        comparisons.append(compare(fold, models, seeds=seeds, k=k, settings=settings, options=options, progress=tell))
    found = assemble(data, slices, comparisons, k, share)
    if json is not None:
        write_json(Path(json), found.document)
    if html is not None:
        from honeyguide.experiment.pages import backtest_page

        write_text(Path(html), backtest_page(found))
    return found


def assemble(
    data: Dataset, slices: Sequence[Dataset], comparisons: Sequence[Comparison], k: int, share: float
) -> Backtest:
    """The table over the folds."""
    main = f"ndcg@{k}"
    by_fold = [{row["model"]: row for row in c.rows} for c in comparisons]
    labels = list(by_fold[0])
    folds = [_fold(s, c, n) for n, (s, c) in enumerate(zip(slices, comparisons, strict=True), start=1)]
    ranks = [_ranks({m: row["metrics"].get(main) for m, row in rows.items()}) for rows in by_fold]
    per_user = {label: _over_folds(label, main, slices, comparisons) for label in labels}
    rows = [_row(label, by_fold, ranks, k) for label in labels]
    _test(rows, per_user)
    document = {
        "dataset": {"name": data.name, "n_users": data.n_users, "n_items": data.n_items},
        "protocol": PROTOCOL,
        "k": k,
        "share": share,
        "seeds": comparisons[0].document["seeds"],
        "folds": folds,
        "rows": rows,
        "drift": _drift(ranks),
        "notes": _notes(ranks, slices),
    }
    return Backtest(document, list(comparisons), k)


def _fold(data: Dataset, comparison: Comparison, number: int) -> dict[str, Any]:
    times = data.select("test").interactions["timestamp"]
    first, last = times.min(), times.max()
    train, test = data.histories("train"), data.histories("test")
    asked = test.lengths > 0
    known = np.isin(test.values, np.unique(train.values))
    return {
        "fold": number,
        "from": first.isoformat() if isinstance(first, datetime) else None,
        "to": last.isoformat() if isinstance(last, datetime) else None,
        "split": comparison.document["split"],
        "n_users": int(asked.sum()),
        "new_users": int((asked & (data.histories("train", "valid").lengths == 0)).sum()),
        "events_of_new_items": float(1.0 - known.mean()),
        "winner_on_valid": _winner(comparison),
        "rows": comparison.rows,
    }


def _winner(comparison: Comparison) -> str | None:
    return comparison.winner() if any(row["valid"] for row in comparison.rows) else None


def _row(
    label: str, by_fold: Sequence[Mapping[str, dict[str, Any]]], ranks: Sequence[Mapping[str, int]], k: int
) -> dict[str, Any]:
    """Means over the folds with Student's interval."""
    done = [rows[label] for rows in by_fold if not rows[label]["error"]]
    names = [f"{metric}@{k}{kept}" for metric in ("ndcg", "recall", "mrr") for kept in ("", ":kept")]
    errors = [f"fold {n}: {rows[label]['error']}" for n, rows in enumerate(by_fold, 1) if rows[label]["error"]]
    means = {name: t_interval([row["metrics"][name] for row in done]) for name in names}
    return {
        "model": label,
        "folds": [rows[label]["metrics"].get(f"ndcg@{k}") for rows in by_fold],
        "ci_of_folds": [rows[label]["ci"].get(f"ndcg@{k}") for rows in by_fold],
        "ranks": [rank.get(label) for rank in ranks],
        "metrics": {name: mean for name, (mean, _) in means.items()},
        "ci": {name: list(interval) for name, (_, interval) in means.items()},
        "cpu_seconds": sum(row["cpu_seconds"]["fit"] for row in done),
        "error": "; ".join(errors) or None,
    }


def _over_folds(label: str, metric: str, slices: Sequence[Dataset], comparisons: Sequence[Comparison]) -> Values | None:
    """float64 ``[n_users]``: each user's mean over the folds that ask for it, so that nobody counts twice."""
    total, count = np.zeros(slices[0].n_users), np.zeros(slices[0].n_users)
    for data, comparison in zip(slices, comparisons, strict=True):
        cells = [c for c in comparison.cells if c.label == label and not c.failed]
        if not cells:
            return None
        asked = np.flatnonzero(data.histories("test").lengths)
        values = over_seeds([cell.per_user[metric] for cell in cells]).per_user
        known = np.isfinite(values)
        total[asked[known]] += values[known]
        count[asked[known]] += 1
    found: Values = np.divide(total, count, out=np.full(len(total), np.nan), where=count > 0)
    return found


def _test(rows: Sequence[dict[str, Any]], per_user: Mapping[str, Values | None]) -> None:
    """Paired tests against the floor over users and over folds, Holm-corrected over the models; the verdict."""
    floor = next((row for row in rows if row["model"] == FLOOR), None)
    base = per_user.get(FLOOR)
    rivals = [r for r in rows if r["model"] != FLOOR and per_user[r["model"]] is not None and not r["error"]]
    if floor is None or base is None:
        rivals = []
    users = [paired_test(_known(per_user[row["model"]]), _known(base)).p for row in rivals]
    folds = [paired_t(np.subtract(row["folds"], floor["folds"])) for row in rivals] if floor is not None else []
    for row in rows:
        row |= {"p_users": None, "p_folds": None, "verdict": "the floor" if row is floor else "not tested"}
    for row, p, q in zip(rivals, holm(users), holm(folds), strict=True):
        ahead = float(np.nanmean(_known(per_user[row["model"]]) - _known(base)))
        verdict = "within noise" if not p < LEVEL else "better" if ahead > 0 else "worse"
        row |= {"p_users": float(p), "p_folds": float(q), "verdict": verdict}


def _known(values: Values | None) -> Values:
    return values if values is not None else np.empty(0)


def _ranks(scores: Mapping[str, float | None]) -> dict[str, int]:
    """1 for the best; models that failed have no rank, equals share the better one."""
    known = {label: value for label, value in scores.items() if value is not None}
    return {label: 1 + sum(other > value for other in known.values()) for label, value in known.items()}


def _drift(ranks: Sequence[Mapping[str, int]]) -> dict[str, Any]:
    """How the order of the models changes: Kendall's tau-b of neighbouring folds, and of the first and the last."""
    return {
        "tau": [_tau(a, b) for a, b in pairwise(ranks)],
        "tau_first_last": _tau(ranks[0], ranks[-1]),
        "best": [min(rank, key=lambda label: rank[label]) if rank else None for rank in ranks],
    }


def _tau(a: Mapping[str, int], b: Mapping[str, int]) -> float:
    from scipy.stats import kendalltau

    common = [label for label in a if label in b]
    return float(kendalltau([a[m] for m in common], [b[m] for m in common]).statistic) if len(common) > 1 else np.nan


def _notes(ranks: Sequence[Mapping[str, int]], slices: Sequence[Dataset]) -> list[str]:
    """What a reader of the table must be told."""
    best = [label for label in _drift(ranks)["best"] if label is not None]
    notes = []
    if len(set(best)) > 1:
        order = ", ".join(f"fold {n} {label}" for n, label in enumerate(best, start=1))
        notes.append(f"The best model changes over time ({order}): one split would have told only a part.")
    few = [n for n, s in enumerate(slices, start=1) if np.count_nonzero(s.histories("test").lengths) < 50]
    if few:
        notes.append(f"Fewer than 50 users are tested in fold {', '.join(map(str, few))}: its values are rough.")
    new = [_share_new(s) for s in slices]
    if max(new) > _MANY_NEW:
        shares = ", ".join(f"{value:.0%}" for value in new)
        notes.append(f"Many of the tested users have no earlier event ({shares}): no history tells models of them.")
    span = [s.select("test").interactions["timestamp"] for s in slices]
    if any(a.min() == b.min() for a, b in pairwise(span)):
        notes.append("Two folds begin at the same moment: times are coarse.")
    return notes


def _share_new(data: Dataset) -> float:
    asked = data.histories("test").lengths > 0
    return float((data.histories("train", "valid").lengths[asked] == 0).mean())


def _shifted(progress: Progress, fold: int, folds: int) -> Progress:
    """Progress of one fold as part of the whole."""
    return lambda what, number, total: progress(
        f"fold {fold + 1}/{folds}: {what}", fold * total + number, folds * total
    )
