"""What cold items gain against what warm ones lose, over all places that cold items can be given in one list.

Every system ranks the warm items by themselves and the cold ones by themselves; an offset on the scores of the cold
ones decides who passes whom, and every offset is a point. ``text-profile``: the warm items as the base model ranks
them, the cold ones by their cosine with the history. ``cold-map``: ours, without its own choice of the offset.
``oracle``: the places of ours, but the cold items put there are those that the user did take: it knows which, and not
when. Nothing is chosen here: the curves are of the test part, and all are read at the same loss.

python benchmarks/cold_frontier.py               # all data
python benchmarks/cold_frontier.py amazon-toys   # measure one again, keep the rest
"""

from __future__ import annotations

import copy
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from honeyguide.core.ragged import FloatArray, IntArray, Ragged
from honeyguide.core.topk import NEVER, exclude_in_place, top_k
from honeyguide.data.load import load_data
from honeyguide.data.splits import cold_and_warm
from honeyguide.metrics.catalogue import Catalogue
from honeyguide.metrics.evaluate import evaluate_lists
from honeyguide.metrics.slices import keep_items
from honeyguide.models.content.calibration import K, merged
from honeyguide.models.content.cold_map import ColdMap
from honeyguide.models.registry import model_class
from result_file import read_result, write_result

NAME = "cold_frontier"
DATA = ("amazon-toys", "ml-1m", "amazon-beauty")
USERS, POINTS, BLOCK = 2_000, 40, 500
LOSSES = (0.01, 0.02, 0.05, 0.1)
METRICS = (f"recall@{K}", f"ndcg@{K}")
PICTURE = Path(__file__).parent.parent / "docs" / "pictures" / "cold-frontier.svg"

Lists = tuple[IntArray, FloatArray]


@dataclass(frozen=True)
class Asked:
    """Users, what they did, and what they did next; ``cold`` ``[n_items]`` marks items without training events."""

    histories: Ragged
    truth: Ragged
    cold: npt.NDArray[np.bool_]

    def best(self, scores: FloatArray, items: npt.NDArray[np.bool_], rows: slice) -> Lists:
        """Top K of ``items`` alone."""
        scores = scores.copy()
        scores[:, ~items] = NEVER
        exclude_in_place(scores, self.histories.take(rows))
        return top_k(scores, K)

    def values(self, lists: IntArray, items: npt.NDArray[np.bool_]) -> dict[str, float]:
        """Metrics with only ``items`` relevant."""
        truth, _ = keep_items(self.truth, items)
        return evaluate_lists(lists, truth, list(METRICS), Catalogue(len(items), np.ones(len(items)))).overall


def lists_of(model: ColdMap, profile: Any, asked: Asked) -> dict[str, Lists]:
    """Ranked lists of the warm items and of the cold ones, by system."""
    parts: dict[str, list[Lists]] = {}
    plain = copy.copy(model)  # the base model alone ranks its warm items
    plain.weights = replace(model.weights, warm_text=0.0)
    for start in range(0, len(asked.histories), BLOCK):
        rows = slice(start, start + BLOCK)
        histories = asked.histories.take(rows)
        ours = model.score_histories(histories)
        base = plain.score_histories(histories)
        for name, scores, items in (
            ("base warm", base, ~asked.cold),
            ("cold-map warm", ours, ~asked.cold),
            ("cold-map cold", ours, asked.cold),
            ("text-profile cold", profile.score_histories(histories), asked.cold),
        ):
            parts.setdefault(name, []).append(asked.best(scores, items, rows))
    return {
        name: (np.concatenate([items for items, _ in found]), np.concatenate([values for _, values in found]))
        for name, found in parts.items()
    }


def all_knowing(places: Lists, asked: Asked) -> Lists:
    """The best scores of ``places``, with the cold items that each user takes in the places of those there."""
    truth, _ = keep_items(asked.truth, asked.cold)
    items = np.full_like(places[0], -1)
    first = truth.last(K)
    items[first.rows, np.arange(len(first.values)) - first.offsets[first.rows]] = first.values
    return items, np.where(items >= 0, places[1], NEVER)


def frontier(warm: Lists, cold: Lists, asked: Asked, reached: dict[str, float]) -> list[dict[str, float]]:
    """Share of the base model's accuracy that warm items keep, and accuracy of cold ones, by offset."""
    gaps = (warm[1][:, :, None] - cold[1][:, None, :3]).ravel()
    points = []
    for offset in np.quantile(gaps[np.isfinite(gaps)], np.linspace(0, 1, POINTS) ** 3) + 1e-4:
        lists = merged([warm, (cold[0], cold[1] + np.float32(offset))])
        kept, gained = asked.values(lists, ~asked.cold), asked.values(lists, asked.cold)
        points.append({f"warm {m}": kept[m] / reached[m] for m in METRICS} | {f"cold {m}": gained[m] for m in METRICS})
    return points


def at_loss(points: list[dict[str, float]], loss: float) -> dict[str, float]:
    """The best that cold items reach where warm ones keep ``1 - loss`` of both metrics."""
    kept = [point for point in points if min(point[f"warm {m}"] for m in METRICS) >= 1 - loss]
    return {m: max((point[f"cold {m}"] for point in kept), default=0.0) for m in METRICS}


def measure(name: str) -> dict[str, Any]:
    """The curves of one data set."""
    data = cold_and_warm(load_data(name))
    known = data.select("train", "valid")
    model = ColdMap.over(model_class("floor")().fit(known), known)
    profile = model_class("text-profile")().fit(known)
    truth = data.histories("test")
    users = np.random.default_rng(0).permutation(np.flatnonzero(truth.lengths))[:USERS]
    asked = Asked(data.histories("train", "valid").take(users), truth.take(users), model.cold)
    lists = lists_of(model, profile, asked)
    reached = asked.values(lists["base warm"][0], ~asked.cold)
    curves = {
        "text-profile": (lists["base warm"], lists["text-profile cold"]),
        "cold-map": (lists["cold-map warm"], lists["cold-map cold"]),
        "oracle": (lists["cold-map warm"], all_knowing(lists["cold-map cold"], asked)),
    }
    found = {system: frontier(*pair, asked, reached) for system, pair in curves.items()}
    alone = {system: asked.values(pair[1][0], asked.cold) for system, pair in curves.items()}
    limits = {f"{loss:.0%}": {system: at_loss(points, loss) for system, points in found.items()} for loss in LOSSES}
    return {"users": len(users), "warm alone": reached, "cold alone": alone, "at loss": limits, "curves": found}


def draw(results: dict[str, Any]) -> None:
    """The picture of the page: one panel a data set."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4 * len(results), 3.6), layout="constrained")
    for axes, (name, result) in zip(np.atleast_1d(figure.subplots(1, len(results))), results.items(), strict=True):
        for system, points in result["curves"].items():
            loss = [100 * (1 - point[f"warm ndcg@{K}"]) for point in points]
            axes.plot(loss, [point[f"cold ndcg@{K}"] for point in points], marker=".", label=system)
        axes.axvline(1.0, color="grey", linewidth=0.8, linestyle=":")
        axes.set(title=name, xlabel="NDCG@10 that warm items lose, %", ylabel="NDCG@10 of cold items")
        axes.set_xscale("symlog", linthresh=1.0)
        axes.set_ylim(0, 1.5 * max(point[f"cold ndcg@{K}"] for point in result["curves"]["cold-map"]))
    axes.legend(frameon=False)
    figure.savefig(PICTURE, metadata={"Date": None})


def main() -> None:
    """Measure what is asked for; write after every data set."""
    before = read_result(NAME)
    results = before["results"] if before and sys.argv[1:] else {}
    for name in sys.argv[1:] or DATA:
        results[name] = measure(name)
        print(name, results[name]["cold alone"], results[name]["at loss"], file=sys.stderr, flush=True)
        write_result(
            NAME,
            results,
            dataset=DATA,
            split="cold-and-warm: all events of .1 of the items, and the last event of every user on the others",
            protocol=f"one list of warm and cold items, {USERS:,} users; history = train + valid; seen items removed; "
            "fitted on train, chosen on valid; one thread",
            seeds=[0],
            config={"base": "floor"},
            whole=True,
        )
    draw(results)


if __name__ == "__main__":
    main()
