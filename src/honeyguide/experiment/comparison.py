"""From finished cells to the table: means over seeds, intervals, tests against the floor and the best, slices."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import polars as pl

from honeyguide.core.dataset import Dataset
from honeyguide.core.errors import HoneyguideError
from honeyguide.data.valid import new_on
from honeyguide.metrics.stats import bootstrap_cis, holm, over_seeds, paired_test

Values = npt.NDArray[np.float64]

FLOOR = "floor"
LEVEL = 0.05
PROTOCOL = (
    "full ranking of the catalogue; history = train + valid, truth = test; ties pessimistic; seen items removed "
    "(':kept': not removed); fitted on train, chosen on valid"
)


@dataclass(frozen=True)
class CellResult:
    """What one (model, seed) gave.

    Parameters
    ----------
    label, model, seed
        Which cell.
    record
        Its JSON; has ``error`` where it failed.
    per_user
        Values of each metric, float64 ``[n_users]`` in user order, NaN where skipped.
    """

    label: str
    model: str
    seed: int
    record: Mapping[str, Any]
    per_user: Mapping[str, Values]

    @property
    def failed(self) -> bool:
        """Whether there is an error instead of a result."""
        return "error" in self.record


@dataclass(frozen=True)
class Comparison:
    """A finished comparison.

    Parameters
    ----------
    document
        ``{"dataset", "split", "protocol", "best", "rows": [...]}``, as written to ``--json``; ``best`` is the label
        with the highest NDCG on test.
    cells
        The cells it was made from.
    k
        Cut-off of the metrics.
    """

    document: dict[str, Any]
    cells: list[CellResult]
    k: int

    @property
    def rows(self) -> list[dict[str, Any]]:
        """One dictionary per model."""
        return cast("list[dict[str, Any]]", self.document["rows"])

    def frame(self) -> pl.DataFrame:
        """One row per model: its label, its verdict and its mean metrics."""
        rows = [{"model": r["model"], "verdict": r["verdict"], **r["metrics"]} for r in self.rows]
        return pl.DataFrame(rows, infer_schema_length=None)

    def winner(self) -> str:
        """Label of the model with the best NDCG on valid; test plays no part.

        Raises
        ------
        HoneyguideError
            If every model failed.
        """
        scores = {row["model"]: row["valid"].get(f"ndcg@{self.k}") for row in self.rows if not row["error"]}
        known = {label: score for label, score in scores.items() if score is not None and np.isfinite(score)}
        if not known:
            raise HoneyguideError("No model can be chosen: none has a score on valid.", "See the errors in the table.")
        return str(max(known, key=lambda label: known[label]))


def assemble(data: Dataset, cells: Sequence[CellResult], seeds: Sequence[int], k: int) -> Comparison:
    """The table of ``cells``: one row per label, in the order in which labels first appear."""
    labels = list(dict.fromkeys(cell.label for cell in cells))
    averages = {label: _average([c for c in cells if c.label == label and not c.failed]) for label in labels}
    tests = _tests(averages)
    rows = [_row(label, [c for c in cells if c.label == label], averages[label], tests[label]) for label in labels]
    best, against_best = _against_best(rows, averages, f"ndcg@{k}")
    for row in rows:
        row["verdict"] = _verdict(row, averages, k)
        row["p_vs_best"] = against_best.get(row["model"], {})
    document = {
        "dataset": {
            "name": data.name,
            "n_users": data.n_users,
            "n_items": data.n_items,
            "n_interactions": data.interactions.height,
        },
        "split": {part: data.select(part).interactions.height for part in data.parts},
        "returning": _returning(data),
        "protocol": PROTOCOL + _sampled(data, rows),
        "k": k,
        "seeds": list(seeds),
        "best": best,
        "rows": rows,
    }
    return Comparison(document, list(cells), k)


def _returning(data: Dataset) -> int:
    """Users with a test item of whom none is new: no list without seen items is right for them."""
    asked, new = data.histories("test").lengths, new_on("test", data, "train", "valid").lengths
    return int(np.count_nonzero((asked > 0) & (new == 0)))


def _sampled(data: Dataset, rows: Sequence[Mapping[str, Any]]) -> str:
    """What the protocol says where not everybody was evaluated."""
    users, asked = max((row["n_users"] for row in rows), default=0), data.select("test").positives()["user"].n_unique()
    if not 0 < users < asked:
        return ""
    return f"; metrics over a seeded sample of {users:,} of the {asked:,} users with a test item, the same for all"


def _average(cells: Sequence[CellResult]) -> dict[str, Values]:
    """Per-user values averaged over the seeds."""
    names = cells[0].per_user if cells else {}
    return {name: over_seeds([cell.per_user[name] for cell in cells]).per_user for name in names}


def _row(label: str, cells: list[CellResult], average: dict[str, Values], p: dict[str, float]) -> dict[str, Any]:
    done = [cell for cell in cells if not cell.failed]
    errors = [f"seed {c.seed}: {c.record['error']} {c.record.get('remedy') or ''}".strip() for c in cells if c.failed]
    records = [cell.record for cell in done]
    return {
        "model": label,
        "params": records[0]["params"] if records else {},
        "chosen": [r["chosen"] for r in records if r.get("chosen")],  # by each seed of a model made of models
        "n_parameters": records[0]["n_parameters"] if records else None,
        "metrics": _means([r["metrics"] for r in records]),
        "ci": {name: list(ends) for name, ends in bootstrap_cis(average).items()},
        "p_vs_floor": p,
        "n_users": records[0]["n_users"] if records else 0,
        "seeds": [cell.seed for cell in done],
        "cpu_seconds": _means([r["cpu_seconds"] for r in records]),
        "peak_rss_mb": max((r["peak_rss_mb"] for r in records), default=None),
        "valid": _means([r["valid"] for r in records]),
        "slices": {
            name: _means([r["slices"][name] for r in records]) for name in (records[0]["slices"] if records else ())
        },
        "error": "; ".join(errors) or None,
    }


def _means(records: Sequence[Mapping[str, float | None]]) -> dict[str, float]:
    """Key by key, the mean over the records; a null (NaN in JSON) stays NaN."""
    keys = records[0] if records else {}
    return {key: float(np.mean([np.nan if (v := r[key]) is None else v for r in records])) for key in keys}


def _tests(averages: Mapping[str, Mapping[str, Values]]) -> dict[str, dict[str, float]]:
    """p-values of paired tests against the floor, Holm-corrected over the models for each metric."""
    floor = averages.get(FLOOR, {})
    found: dict[str, dict[str, float]] = {label: {} for label in averages}
    for metric, values in floor.items():
        rivals = [label for label in averages if label != FLOOR and metric in averages[label]]
        raw = [paired_test(averages[label][metric], values).p for label in rivals]
        for label, p in zip(rivals, holm(raw), strict=True):
            found[label][metric] = float(p)
    return found


def _against_best(
    rows: Sequence[Mapping[str, Any]], averages: Mapping[str, Mapping[str, Values]], metric: str
) -> tuple[str | None, dict[str, dict[str, float]]]:
    """The label with the highest mean of ``metric`` on test, and the p-values of paired tests of the others against it.

    Which one is best was seen on the users who are tested, so the correction is over all pairs, not only over those
    with the best in them. Models of which a seed is missing take no part.
    """
    whole = [row["model"] for row in rows if not row["error"] and metric in averages[row["model"]]]
    means = {label: float(np.nanmean(averages[label][metric])) for label in whole}
    best = max(whole, key=lambda label: means[label], default=None)
    pairs = list(itertools.combinations(whole, 2))
    raw = [paired_test(averages[a][metric], averages[b][metric]).p for a, b in pairs]
    found = {
        (set(pair) - {best}).pop(): {metric: float(p)} for pair, p in zip(pairs, holm(raw), strict=True) if best in pair
    }
    return best, found


def _verdict(row: Mapping[str, Any], averages: Mapping[str, Mapping[str, Values]], k: int) -> str:
    """In words, whether the model is better than the floor: only said when it is significant over all seeds."""
    metric = f"ndcg@{k}"
    if row["error"]:
        return "failed" if not row["seeds"] else "incomplete"
    if row["model"] == FLOOR:
        return "the floor"
    p = row["p_vs_floor"].get(metric)
    if p is None:
        return "not tested"
    if not p < LEVEL:
        return "within noise"
    difference = np.nanmean(averages[row["model"]][metric]) - np.nanmean(averages[FLOOR][metric])
    return "better" if difference > 0 else "worse"
