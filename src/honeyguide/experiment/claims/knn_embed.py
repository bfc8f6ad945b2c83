"""Seed 56, "kNN-Embed: Locally Smoothed Embedding Mixtures For Multi-interest Retrieval" (arXiv 2205.06205)."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from honeyguide.core.ann import Index
from honeyguide.core.dataset import Dataset
from honeyguide.core.inner_product import top_k_inner_product, unit
from honeyguide.core.plugged import Plugged
from honeyguide.core.ragged import FloatArray, Ragged
from honeyguide.core.requests import Requests
from honeyguide.data.load import load_data
from honeyguide.experiment.claims.knn_embed_arms import (
    N,
    active,
    arm,
    exact,
    gowalla,
    latency,
    popular,
    recalls,
    retrieved,
)
from honeyguide.experiment.papers import Cell, Claim, Judgement, Paper, Profile, Result, verdict
from honeyguide.experiment.settings import build_model
from honeyguide.metrics.holdout import drawn_users, ndcg_of_lists
from honeyguide.metrics.stats import t_interval
from honeyguide.plugins.knn_embed import KNNEmbed

SEEDS = range(5)
_SMALL = {"factors": 64, "iterations": 10}
_ASKED, _CHOOSING = 300, 150  # users in profile cpu: of test, and of valid
_LAMBDAS = (0.0, 0.25, 0.5, 0.75, 1.0)
_INSIDE = (0.25, 0.5, 0.75)  # what is chosen from
_BACKBONES: dict[str, dict[str, Any]] = {
    "lightgcn": {"dim": 32, "epochs": 3},
    "mf-bpr": {"dim": 32, "epochs": 3},
    "sasrec": {"dim": 32, "blocks": 1, "epochs": 2},
    "two-tower": {"dim": 32, "epochs": 2, "encoder": "use"},
}


def _gowalla(seed: int, profile: Profile) -> Result:
    """All arms over the vectors of one fit, for the same users."""
    data = gowalla()
    options = {"seed": seed, **(_SMALL if profile == "cpu" else {})}
    model = build_model("ials+knn-embed", {**options, "knn_embed": {"seed": seed}}).fit(data)
    assert isinstance(model, Plugged)
    swept = _by_lambda(model, data, _CHOOSING if profile == "cpu" else 3000)
    plugin: Any = model.plugins[0]
    best = max(_INSIDE, key=lambda smoothing: swept[f"{smoothing:g}"])
    plugin.config = plugin.config.model_copy(update={"smoothing": best})
    histories, truth = data.histories("train", "valid"), data.histories("test")
    users = drawn_users(truth, _ASKED if profile == "cpu" else 3000, seed)
    asked, wanted = Requests(histories.take(users)), truth.take(users)
    items = model.item_vectors()
    plain, _ = top_k_inner_product(model.user_vectors(asked.histories), items, N, asked.excluded)
    start = time.thread_time()
    found = retrieved(model, asked)
    taken = (time.thread_time() - start) / len(users)
    lists = {
        "plain": plain,
        "knn": found,
        "mixture": retrieved(model, asked, smoothing=0.0),
        "paper": retrieved(model, asked, own=0.0),
        "exact": exact(model, data, asked),
    }
    gain = recalls(found, wanted) - recalls(plain, wanted)
    interests = active(model, asked.histories)
    ranked = model.recommend(asked, 20).items
    groups = {"one": gain[interests <= 1], "two": gain[interests == 2], "three": gain[interests >= 3]}
    return {
        "lambda": best,
        "valid": swept,
        "arms": {name: arm(value, wanted, model) for name, value in lists.items()},
        "gain": {name: [float(g.sum()), len(g)] for name, g in groups.items()},
        "ndcg@20": {
            "plain": float(ndcg_of_lists(plain[:, :20], wanted, 20).mean()),
            "two stages": float(ndcg_of_lists(ranked, wanted, 20).mean()),
        },
        "popularity": float(recalls(popular(data, asked), wanted).mean()),
        "cpu_ms": 1000 * taken,
        "latency_ms": latency(model, asked),
    }


def _runs(results: Mapping[str, Result]) -> list[Result]:
    return [results[f"gowalla-{seed}"] for seed in SEEDS]


def _mean(runs: Sequence[Result], name: str, metric: str) -> float:
    return float(np.mean([run["arms"][name][metric] for run in runs]))


def _judge_recall(results: Mapping[str, Result]) -> Judgement:
    runs = _runs(results)
    ahead = sum(r["arms"]["knn"]["recall"] >= r["arms"]["plain"]["recall"] for r in runs)
    smoothed = _mean(runs, "knn", "recall") > _mean(runs, "mixture", "recall")
    mean, interval = t_interval([r["arms"]["knn"]["recall"] - r["arms"]["plain"]["recall"] for r in runs])
    words = {
        "plain": "plain search",
        "knn": "kNN-Embed",
        "mixture": "unsmoothed",
        "exact": "neighbours one by one, as in the paper",
        "paper": "queries of centroids alone, as in the paper",
    }
    parts = [f"{text} {_mean(runs, name, 'recall'):.4f}" for name, text in words.items()]
    popular = float(np.mean([r["popularity"] for r in runs]))
    note = f"Recall@{N}: {', '.join(parts)}, popularity {popular:.4f}; ahead of plain search in {ahead} of 5 seeds. "
    note += f"Lambda on valid: {', '.join(str(r['lambda']) for r in runs)}."
    return Judgement(mean, verdict(ahead >= 4 and smoothed), interval, note)


def _judge_diversity(results: Mapping[str, Result]) -> Judgement:
    runs = _runs(results)
    more = {
        metric: [100 * (r["arms"]["knn"][metric] / r["arms"]["plain"][metric] - 1) for r in runs]
        for metric in ("distance", "clusters", "catalogue")
    }
    mean, interval = t_interval(more["distance"])
    clusters = float(np.mean(more["clusters"]))
    note = (
        f"clusters covered {clusters:+.0f} % ({_mean(runs, 'plain', 'clusters'):.1f} to "
        f"{_mean(runs, 'knn', 'clusters'):.1f}), catalogue covered {np.mean(more['catalogue']):+.0f} %. Plain search "
        "covers many clusters already, because the vector that iALS folds in is no single interest."
    )
    return Judgement(mean, verdict(mean >= 10 and clusters >= 50), interval, note)


def _by_lambda(model: Plugged, data: Dataset, most: int) -> dict[str, float]:
    """Recall on valid, by lambda."""
    truth = data.histories("valid")
    users = drawn_users(truth, most, 0)
    asked, wanted = Requests(data.histories("train").take(users)), truth.take(users)
    return {f"{s:g}": float(recalls(retrieved(model, asked, smoothing=s), wanted).mean()) for s in _LAMBDAS}


def _sweep(profile: Profile) -> Result:
    """Recall over lambda on ml-100k, every query of centroids alone so that nothing but the mixture speaks."""
    data = load_data("ml-100k")
    model = build_model("ials+knn-embed", {"factors": 32, "iterations": 6, "knn_embed": {"own": 0.0}}).fit(data)
    assert isinstance(model, Plugged)
    return _by_lambda(model, data, 500)


def _judge_sweep(results: Mapping[str, Result]) -> Judgement:
    """By the mean over the seeds on the sparse data; the dense data are told in the note."""
    runs, dense = _runs(results), results["sweep"]
    found = {name: float(np.mean([run["valid"][name] for run in runs])) for name in dense}
    best = max(found, key=lambda name: found[name])
    curves = [", ".join(f"{name}: {value:.4f}" for name, value in curve.items()) for curve in (found, dense)]
    inside = found[best] > max(found["0"], found["1"])
    note = f"Recall@{N} on valid by lambda: gowalla {curves[0]}; ml-100k, with queries of centroids alone, {curves[1]}"
    return Judgement(float(best), verdict(inside), note=note)


def _judge_groups(results: Mapping[str, Result]) -> Judgement:
    runs = _runs(results)
    sums = {name: np.sum([r["gain"][name] for r in runs], axis=0) for name in ("one", "two", "three")}
    gains = {name: float(total / n) if n else float("nan") for name, (total, n) in sums.items()}
    note = "; ".join(f"{name}: {gains[name]:+.4f} ({sums[name][1]:.0f} users)" for name in gains)
    return Judgement(gains["three"] - gains["one"], verdict(gains["three"] > gains["one"]), note=f"by clusters {note}")


def _degenerate(profile: Profile) -> Result:
    """Lists that differ from plain search around the user's vector, and around the mean of the items."""
    data = load_data("ml-100k")
    histories = data.histories("train")
    different = {}
    for name, options in (("user", {"own": 1.0}), ("mean", {"own": 0.0, "clusters": 1, "smoothing": 0.0})):
        plugin = KNNEmbed(probes=None, order="mixture", **options)  # type: ignore[arg-type]
        model = build_model("ials", {"factors": 16, "iterations": 3}).plug(plugin).fit(data)
        found = model.plugins[0].retrieve(Requests(histories), 20)[0]
        queries, items = model.user_vectors(histories), model.item_vectors()
        if name == "mean":
            sets = histories.to_csr(data.n_items)
            queries = np.asarray(sets @ unit(items), np.float32)
        expected, _ = top_k_inner_product(unit(queries), items, 20, histories)
        different[name] = int((np.sort(found, 1) != np.sort(expected, 1)).any(1).sum())
    return different


def _judge_degenerate(results: Mapping[str, Result]) -> Judgement:
    found = results["degenerate"]
    note = "queries that are the user's vector; one cluster, unsmoothed, around the mean of the items"
    return Judgement(float(sum(found.values())), verdict(not any(found.values())), note=note)


def _cost(profile: Profile) -> Result:
    """CPU per single request over 100,000 drawn items, against exact search around the user's vector.

    Looked into are the fewest cells that find 99 % of what all of them hold.
    """
    rng = np.random.default_rng(0)
    centres = rng.standard_normal((300, 64))
    items = (centres[rng.integers(0, 300, 100_000)] + 0.6 * rng.standard_normal((100_000, 64))).astype(np.float32)
    plugin, index = KNNEmbed(order="mixture", probes=None), Index(items)
    plugin.bind(_Vectors(items))  # type: ignore[arg-type]
    plugin.learn(_drawn_histories(rng, len(items)), len(items))
    asked = Requests(_drawn_histories(rng, len(items)).take(slice(0, 100)))
    users = plugin.model.user_vectors(asked.histories)
    few = asked.take(slice(0, 30))
    every = plugin.retrieve(few, N)[0]
    for probes in (2, 4, 8, 16, 32):
        plugin.config = plugin.config.model_copy(update={"probes": probes})
        found = np.mean([np.isin(a, b).mean() for a, b in zip(every, plugin.retrieve(few, N)[0], strict=True)])
        if found >= 0.99:
            break
    start = time.thread_time()
    for row in range(len(asked)):
        index.search(users[row : row + 1], N + 30)  # as many more as the history may take away
    middle = time.thread_time()
    for row in range(len(asked)):
        plugin.retrieve(asked.take(slice(row, row + 1)), N)
    end = time.thread_time()
    ms = 1000 / len(asked)
    return {
        "plain_ms": (middle - start) * ms,
        "knn_ms": (end - middle) * ms,
        "found": float(found),
        "probes": probes,
    }


def _drawn_histories(rng: np.random.Generator, m: int) -> Ragged:
    """3,000 histories of thirty items."""
    return Ragged(np.arange(0, 90_001, 30), rng.integers(0, m, 90_000).astype(np.int32))


class _Vectors:
    """Item vectors, and users that are the mean of theirs."""

    def __init__(self, items: FloatArray) -> None:
        self.items = items

    def item_vectors(self) -> FloatArray:
        return self.items

    def user_vectors(self, histories: Ragged) -> FloatArray:
        return np.asarray(histories.to_csr(len(self.items)) @ self.items, np.float32)


def _backbones(profile: Profile) -> Result:
    """The plug-in as it is over vectors of other kinds: propagated, ranked, of sequences, of texts."""
    data, found = load_data("goodbooks-mini"), {}
    if profile == "cpu":
        data = replace(data, interactions=data.interactions.filter(data.interactions["user"] < 400))
    truth = data.histories("test")
    users = drawn_users(truth, 150, 0)
    asked, wanted = Requests(data.histories("train", "valid").take(users)), truth.take(users)
    for name, options in _BACKBONES.items():
        model = build_model(f"{name}+knn-embed", options).fit(data)
        assert isinstance(model, Plugged)
        vectors = model.user_vectors(asked.histories)
        plain, _ = top_k_inner_product(vectors, model.item_vectors(), N, asked.excluded)
        arms = {"plain": plain, "knn": retrieved(model, asked)}
        found[name] = {key: float(recalls(lists, wanted).mean()) for key, lists in arms.items()}
        found[name]["p95_ms"] = latency(model, asked)["p95"]
    return found


def _judge_cost(results: Mapping[str, Result]) -> Judgement:
    p95 = float(np.mean([r["latency_ms"]["p95"] for r in _runs(results)]))
    cost, others = results["cost"], results["backbones"]
    times = cost["knn_ms"] / cost["plain_ms"]
    kinds = ", ".join(f"{n} {r['plain']:.3f} to {r['knn']:.3f}" for n, r in others.items())
    note = (
        f"over 100,000 items {cost['knn_ms']:.1f} ms against {cost['plain_ms']:.1f} of exact plain search, "
        f"{times:.1f} times, with {cost['probes']} cells a query, which find {cost['found']:.1%} of what all hold; "
        f"Recall@{N}, plain to kNN-Embed, over vectors of other models: {kinds}. Euclidean vectors are not tried: no "
        "model here has them."
    )
    return Judgement(p95, verdict(p95 < 20 and times <= 3), note=note)


def _judge_ranked(results: Mapping[str, Result]) -> Judgement:
    runs = _runs(results)
    mean, interval = t_interval([r["ndcg@20"]["two stages"] - r["ndcg@20"]["plain"] for r in runs])
    both = {name: float(np.mean([r["ndcg@20"][name] for r in runs])) for name in ("plain", "two stages")}
    note = f"NDCG@20 of the model alone {both['plain']:.4f}, of its ranking of the candidates {both['two stages']:.4f}"
    return Judgement(mean, verdict(mean >= -0.001), interval, note)


_GOWALLA = tuple(Cell(f"gowalla-{seed}", partial(_gowalla, seed)) for seed in SEEDS)
_DATA = "gowalla-lightgcn, vectors of iALS"

PAPER = Paper(
    seed=56,
    module="honeyguide.plugins.knn_embed",
    claims=(
        Claim(
            "recall",
            "Candidates have at least the recall of plain search in 4 of 5 seeds, and more than an unsmoothed mixture",
            _DATA,
            "Recall@100 gained over plain search",
            "4 of 5 seeds",
            _GOWALLA,
            _judge_recall,
        ),
        Claim(
            "diversity",
            "The items of a list are 10 % farther apart and cover 50 % more clusters at equal length",
            _DATA,
            "% of distance gained",
            "10 and 50",
            _GOWALLA,
            _judge_diversity,
        ),
        Claim(
            "smoothing",
            "Recall is best with a smoothing between none and all",
            "gowalla-lightgcn, vectors of iALS; ml-100k",
            "best lambda",
            "between 0 and 1",
            (*_GOWALLA, Cell("sweep", _sweep)),
            _judge_sweep,
        ),
        Claim(
            "interests",
            "Users with three or more active clusters gain more than users with one",
            _DATA,
            "difference of gains in Recall@100",
            "> 0",
            _GOWALLA,
            _judge_groups,
        ),
        Claim(
            "degenerate",
            "Degenerate settings are plain search exactly",
            "ml-100k",
            "lists that differ",
            0,
            (Cell("degenerate", _degenerate),),
            _judge_degenerate,
        ),
        Claim(
            "cost",
            "A request takes less than 20 ms (p95) over 41,000 items, at most three times plain search over 100,000 at "
            "equal recall, and the plug-in runs over vectors of other kinds unchanged",
            f"{_DATA}; drawn vectors; goodbooks-mini",
            "ms of CPU, p95",
            "< 20, and 3 times",
            (*_GOWALLA, Cell("cost", _cost), Cell("backbones", _backbones)),
            _judge_cost,
        ),
        Claim(
            "ranked",
            "Ranked by the model, the candidates lose nothing of its NDCG@20",
            _DATA,
            "NDCG@20 gained",
            -0.001,
            _GOWALLA,
            _judge_ranked,
        ),
    ),
)
