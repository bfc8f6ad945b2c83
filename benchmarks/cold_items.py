"""Accuracy on items without training events, next to what they cost the others.

python benchmarks/cold_items.py                          # all data and models
python benchmarks/cold_items.py --only amazon-beauty two-tower   # measure one again, keep the rest
"""

from __future__ import annotations

import sys

from honeyguide.core.resources import Stopwatch
from honeyguide.data.load import load_data
from honeyguide.data.splits import cold_and_warm
from honeyguide.experiment.cell import measure
from honeyguide.models.registry import model_class
from result_file import read_result, write_result

NAME = "cold_items"
DATA = ("amazon-toys", "ml-1m", "amazon-beauty")
MODELS = ("popularity", "floor", "text-profile", "cold-map", "two-tower")
K = 10


def cell(data_name: str, model_name: str) -> dict[str, object]:
    """Fit and measure one model."""
    data = cold_and_warm(load_data(data_name))
    model = model_class(model_name)().fit(data)
    with Stopwatch() as watch:
        found = measure(model, data, K)
    state = getattr(model, "weights", None)
    chosen = state.to_meta() if hasattr(state, "to_meta") else {}
    print(data_name, model_name, found.slices["items:cold"], found.slices["items:warm"], chosen, flush=True)
    return {
        "params": model.config.model_dump(mode="json"),
        "chosen": chosen,
        "all": found.overall,
        "cold": found.slices["items:cold"],
        "warm": found.slices["items:warm"],
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
