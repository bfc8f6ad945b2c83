"""Accuracy on items without training events, next to what they cost the others.

python benchmarks/cold_items.py                          # all data and models
python benchmarks/cold_items.py --only amazon-beauty two-tower   # measure one again, keep the rest
"""

from __future__ import annotations

import sys

import numpy as np
import numpy.typing as npt

from honeyguide.core.dataset import Dataset
from honeyguide.core.ragged import FloatArray, IntArray, Ragged
from honeyguide.core.recommender import Recommender
from honeyguide.core.resources import Stopwatch
from honeyguide.core.topk import NEVER
from honeyguide.data.load import load_data
from honeyguide.data.splits import cold_and_warm
from honeyguide.experiment.cell import evaluated_users, measure
from honeyguide.metrics.catalogue import Catalogue
from honeyguide.metrics.evaluate import evaluate_lists
from honeyguide.metrics.holdout import rank_catalogue
from honeyguide.metrics.slices import keep_items
from honeyguide.models.registry import model_class
from result_file import read_result, write_result

NAME = "cold_items"
DATA = ("amazon-toys", "ml-1m", "amazon-beauty")
MODELS = ("popularity", "floor", "text-profile", "cold-map", "two-tower")
K = 10


def among(model: Recommender, data: Dataset, items: npt.NDArray[np.bool_]) -> dict[str, float]:
    """Metrics where only ``items`` may be recommended and are relevant: cold ones ranked among cold ones."""
    truth, _ = keep_items(data.histories("test"), items)
    asked = evaluated_users(truth, data.n_items)
    history, truth = data.histories("train", "valid").take(asked), truth.take(asked)

    def score(histories: Ragged, users: IntArray) -> FloatArray:
        scores = model.score_histories(histories, users)
        scores[:, ~items] = NEVER
        return scores

    lists = rank_catalogue(score, history, truth, K)
    catalogue = Catalogue(data.n_items, data.popularity("train"), history)
    return evaluate_lists(lists, truth, [f"{m}@{K}" for m in ("ndcg", "recall")], catalogue).overall


def cell(data_name: str, model_name: str) -> dict[str, object]:
    """Fit and measure one model."""
    data = cold_and_warm(load_data(data_name))
    model = model_class(model_name)().fit(data)
    with Stopwatch() as watch:
        found = measure(model, data, K)
    cold = data.popularity("train") == 0
    state = getattr(model, "weights", None)
    chosen = state.to_meta() if hasattr(state, "to_meta") else {}
    print(data_name, model_name, found.slices["items:cold"], found.slices["items:warm"], chosen, flush=True)
    return {
        "params": model.config.model_dump(mode="json"),
        "chosen": chosen,
        "all": found.overall,
        "cold": found.slices["items:cold"],
        "warm": found.slices["items:warm"],
        "cold among cold": among(model, data, cold),
        "warm among warm": among(model, data, ~cold),
        "fit_cpu_seconds": round(model.report.cpu_seconds, 1),
        "measure_cpu_seconds": round(watch.cpu, 1),
        "epochs": len(model.report.curve),
    }


def main() -> None:
    """Measure what is asked for and write the result after every cell."""
    asked = sys.argv[2:] if sys.argv[1:2] == ["--only"] else []
    names = [name for name in DATA if not asked or asked[0] == name]
    models = [name for name in MODELS if len(asked) < 2 or name in asked[1:]]
    before = read_result(NAME)
    results = before["results"] if before and asked else {}
    for model in models:  # the quick ones on all data first
        for data in names:
            results.setdefault(data, {})[model] = cell(data, model)
            write_result(
                NAME,
                results,
                dataset=DATA,
                split="cold-and-warm: all events of .1 of the items, and the last event of every user on the others",
                protocol="full ranking of warm and cold items together; history = train + valid; seen items removed; "
                "ties pessimistic; fitted on train, chosen on valid; one thread; vectors of texts from the cache",
                seeds=[0],
                config={"encoder": "minilm"},
                whole=True,
            )


if __name__ == "__main__":
    main()
