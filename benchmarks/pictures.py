"""What pictures add to text and ids: MovieLens-1M with its posters, items with and without training events.

python benchmarks/pictures.py    # some 15 CPU-minutes; posters that were read before come from the cache
python benchmarks/pictures.py --only posters    # what is asked of the posters themselves again, keep the rest

Also what the bridge from pictures to words by class names can tell of posters, beside what a linear probe of the
same network's features finds in them.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from honeyguide.core.dataset import Dataset
from honeyguide.core.ragged import FloatArray, IntArray, Ragged
from honeyguide.core.recommender import Recommender
from honeyguide.core.resources import cpu_seconds
from honeyguide.core.topk import NEVER
from honeyguide.data.load import load_data
from honeyguide.data.splits import cold_and_warm
from honeyguide.encode.bridge import ClassBridge
from honeyguide.encode.decoding import content_of
from honeyguide.encode.image import EfficientNetEncoder
from honeyguide.encode.pictures import centred, picture_vectors, pictures_of
from honeyguide.encode.text import text_encoder
from honeyguide.experiment.cell import evaluated_users
from honeyguide.metrics.catalogue import Catalogue
from honeyguide.metrics.evaluate import evaluate_lists
from honeyguide.metrics.holdout import rank_catalogue
from honeyguide.metrics.predictive import auc
from honeyguide.metrics.slices import keep_items
from honeyguide.metrics.stats import holm, paired_test, t_interval
from honeyguide.models.blend import Blend
from honeyguide.models.registry import model_class
from result_file import read_result, write_result

NAME, DATA, EVERY, K = "pictures", "ml-1m", 6, 10
SEEDS = (0, 1, 2)
SOME = 4  # every fourth poster crosses the bridge
GRID = (0.0, 0.25, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
TOWER = {"negatives": 512, "batch_tokens": 1024, "patience": 12, "encoder": "minilm"}
PROFILE = {"text": "minilm"}
FIXED: dict[str, tuple[str, dict[str, Any]]] = {
    "popularity": ("popularity", {}),
    "floor": ("floor", {}),
    "text: titles": ("text-profile", {"encoder": "minilm", "columns": ("title",)}),
    "text: all": ("text-profile", {"encoder": "minilm"}),
    "pictures": ("image-profile", {}),
    "pictures + titles": ("image-profile", {"text_weights": GRID, "columns": ("title",), **PROFILE}),
    "pictures + text": ("image-profile", {"text_weights": GRID, **PROFILE}),
}
TRAINED: dict[str, dict[str, Any]] = {
    "two-tower: ids, text": TOWER,
    "two-tower: + pictures, sum": {**TOWER, "images": "auto"},
    "two-tower: + pictures, gate": {**TOWER, "images": "auto", "fusion": "gate"},
    "two-tower: + pictures, attention": {**TOWER, "images": "auto", "fusion": "attention"},
}
# What is tested: pictures beside the same without.
PAIRS = (
    ("pictures", "popularity"),
    ("pictures + titles", "text: titles"),
    ("pictures + text", "text: all"),
    ("blend: floor, text, pictures", "blend: floor, text"),
    *((name, "two-tower: ids, text") for name in TRAINED if "pictures" in name),
)
PROFILES = ("text: titles", "text: all", "pictures", "pictures + titles", "pictures + text")
Values = dict[str, npt.NDArray[np.float64]]


def per_user(model: Recommender, data: Dataset, alone: npt.NDArray[np.bool_] | None = None) -> Values:
    """NDCG and recall at 10 of every user: on warm and cold items in one list, and on cold ones among themselves.

    ``alone`` are the items among which those are ranked, by default all cold ones.
    """
    cold = data.popularity("train") == 0
    alone = cold if alone is None else alone
    whole = data.histories("test")
    found: Values = {}
    for part, items, among in (("warm", ~cold, None), ("cold", cold, None), ("cold alone", cold, alone)):
        truth, _ = keep_items(whole, items)
        asked = evaluated_users(truth, data.n_items)
        history = data.histories("train", "valid").take(asked)

        def score(histories: Ragged, users: IntArray, among: Any = among) -> FloatArray:
            scores = model.score_histories(histories, users)
            if among is not None:
                scores[:, ~among] = NEVER
            return scores

        lists = rank_catalogue(score, history, truth.take(asked), K)
        catalogue = Catalogue(data.n_items, data.popularity("train"), history)
        values = evaluate_lists(lists, truth.take(asked), [f"{m}@{K}" for m in ("ndcg", "recall")], catalogue)
        found |= {f"{part} {name}": value for name, value in values.per_user.items()}
    return found


def summary(runs: list[Values], models: list[Recommender]) -> dict[str, Any]:
    """Means over users and runs, what was chosen, and what it cost."""
    means = {id: float(np.mean([run[id].mean() for run in runs])) for id in runs[0]}
    ndcg = {id: t_interval([run[id].mean() for run in runs])[1] for id in runs[0] if "ndcg" in id and len(runs) > 1}
    model = models[0]
    return {
        "metrics": means,
        "over_seeds": {id: list(interval) for id, interval in ndcg.items()},
        "chosen": {name: getattr(model, name) for name in ("decay", "weight") if hasattr(model, name)},
        "epochs": [len(model.report.curve) for model in models],
        "fit_cpu_seconds": round(float(np.mean([model.report.cpu_seconds for model in models])), 1),
    }


def bridge_on_posters(items: pl.DataFrame) -> dict[str, Any]:
    """How well posters are found by words through the class names, and what their features hold of the genres."""
    contents = [b"" if value is None else content_of(value) for value in pictures_of(items)]
    bridge = ClassBridge(EfficientNetEncoder(), text_encoder("minilm"))
    before = cpu_seconds()
    classes = bridge.images.classes(contents)
    seconds = cpu_seconds() - before
    there = np.flatnonzero(classes.any(axis=1))
    pictures = bridge.of_classes(classes)[there]
    titles = bridge.of_texts([str(title) for title in items["title"].to_list()])[there]
    scores = titles @ pictures.T
    rank = (scores >= scores.diagonal()[:, None]).sum(axis=1)  # of the poster among all, by its title; 1 is best
    raw = picture_vectors(pictures_of(items), EfficientNetEncoder())[0][there]
    features = centred(raw, raw.mean(axis=0))
    genres = [set(row or ()) for row in items["genres"].gather(there.tolist()).to_list()]
    every = sorted({g for row in genres for g in row})
    labels = np.array([[genre in row for genre in every] for row in genres])
    probes, table = probed(features, labels.astype(np.float32)), {}
    for number, genre in enumerate(every):
        if (count := int(labels[:, number].sum())) >= 30:
            words = pictures @ bridge.of_texts([f"a {genre.lower()} film"])[0]
            found = {"bridge": auc(labels[:, number], words), "probe": auc(labels[:, number], probes[:, number])}
            table[genre] = {"films": count, **found}
    return {
        "posters": len(there),
        "pictures_per_cpu_second": round(len(there) / seconds, 1),
        "title finds its poster in the first 10": float((rank <= 10).mean()),
        "by chance": 10 / len(there),
        "mean place, as a share": float(rank.mean() / len(there)),
        "likeliest class, mean probability": float(classes[there].max(axis=1).mean()),
        "genres": table,
    }


def probed(features: FloatArray, labels: FloatArray, folds: int = 5, ridge: float = 10.0) -> FloatArray:
    """Scores ``[n, g]`` of ridge regressions on the features, each film by the folds that it is not in."""
    fold = np.random.default_rng(0).permutation(len(labels)) % folds
    scores = np.zeros(labels.shape, np.float32)
    for held in range(folds):
        x, y = features[fold != held], labels[fold != held] - labels[fold != held].mean(axis=0)
        weights = np.linalg.solve(x.T @ x + np.float32(ridge) * np.eye(x.shape[1], dtype=np.float32), x.T @ y)
        scores[fold == held] = features[fold == held] @ weights
    return scores


def main() -> None:
    """Fit and measure everything, write the result after every model."""
    whole = load_data(DATA, pictures="posters.parquet")
    some = whole.interactions.filter(pl.col("user") % EVERY == 0)
    data = cold_and_warm(replace(whole, interactions=some))
    runs: dict[str, list[Values]] = {}
    results: dict[str, Any] = {"models": {}}
    before = read_result(NAME)
    if sys.argv[1:] == ["--only", "posters"] and before is not None:
        ask_posters(before["results"], whole, data)
        return

    def keep(name: str, models: list[Recommender]) -> None:
        runs[name] = [per_user(model, data) for model in models]
        results["models"][name] = summary(runs[name], models)
        results["tests"] = tests(runs)
        print(name, results["models"][name], flush=True)
        publish(results, data)

    fitted = {name: model_class(model)(**options).fit(data) for name, (model, options) in FIXED.items()}
    for name, model in fitted.items():
        keep(name, [model])
    blended = [fitted["floor"], fitted["text: all"]]
    keep("blend: floor, text", [Blend.of(blended, data)])
    keep("blend: floor, text, pictures", [Blend.of([*blended, fitted["pictures"]], data)])
    for name, options in TRAINED.items():
        keep(name, [model_class("two-tower")(seed=seed, **options).fit(data) for seed in SEEDS])
    ask_posters(results, whole, data)


def ask_posters(results: dict[str, Any], whole: Dataset, data: Dataset) -> None:
    """Add what the bridge tells of some of the posters, and whether posters only tell films that nobody took.

    The classes of a poster are no vectors and so not in the cache: some are read. Films without any event are
    candidates of "cold ranked alone", and a poster may give away that a film is obscure: the same without them.
    """
    some = whole.items.filter(pl.int_range(pl.len()) % SOME == 0)
    results["bridge"] = bridge_on_posters(some)
    taken = (data.popularity("train") == 0) & (data.popularity("test") > 0)
    results["cold films that somebody took"] = {"films": int(taken.sum())}
    for name in PROFILES:
        model, options = FIXED[name]
        values = per_user(model_class(model)(**options).fit(data), data, taken)["cold alone ndcg@10"]
        results["cold films that somebody took"][name] = float(values.mean())
    publish(results, data)


def tests(runs: dict[str, list[Values]]) -> list[dict[str, Any]]:
    """Paired t-tests over users of the mean over seeds, corrected (Holm) over all that are listed."""
    found = []
    for name, beside in (pair for pair in PAIRS if set(pair) <= runs.keys()):
        for part in ("warm", "cold", "cold alone"):
            a, b = (np.mean([run[f"{part} ndcg@{K}"] for run in runs[n]], axis=0) for n in (name, beside))
            test = paired_test(a, b)
            found.append({"model": name, "beside": beside, "on": part, "difference": test.mean_difference, "p": test.p})
    for row, p in zip(found, holm([row["p"] for row in found]), strict=True):
        row["p_holm"] = float(p)
    return found


def publish(results: dict[str, Any], data: Dataset) -> None:
    """Write the result file."""
    write_result(
        NAME,
        results,
        dataset=f"{DATA}: every {EVERY}th user, {data.n_users // EVERY:,} of {data.n_users:,}; {data.n_items:,} films",
        split="cold-and-warm: all events of .1 of the items, and the last event of every user on the others",
        protocol="full ranking of warm and cold items together, and of cold ones among themselves; history = train + "
        "valid; seen items removed; ties pessimistic; fitted on train, chosen on valid; paired t over users, Holm",
        seeds=SEEDS,
        config={**TOWER, "text weights": GRID},
        whole=True,
    )


if __name__ == "__main__":
    main()
