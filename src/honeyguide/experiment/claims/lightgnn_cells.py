"""What the cells of seed 25 do: LightGCN pruned run by run, what it reached and what it costs."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import scipy.sparse as sp

from honeyguide.core.artifact import Arrays, pack_csr
from honeyguide.core.dataset import Dataset
from honeyguide.core.fitting import FitOptions
from honeyguide.core.ragged import FloatArray
from honeyguide.core.recommender import Recommender
from honeyguide.core.resources import Stopwatch
from honeyguide.data.build import build
from honeyguide.data.load import load_data
from honeyguide.data.splits import ratio
from honeyguide.experiment.papers import Profile, Result
from honeyguide.metrics.catalogue import Catalogue
from honeyguide.metrics.evaluate import evaluate_lists
from honeyguide.metrics.holdout import rank_lists
from honeyguide.metrics.predictive import auc
from honeyguide.models.registry import model_class

if TYPE_CHECKING:
    from honeyguide.core.plugged import Plugged

SEEDS = range(5)
RUNS = (5, 10)  # 44 % of the edges and 33 % of the entries; 20 % and 11 %
PUBLISHED = 0.0879
_METRICS = ("recall@20", "ndcg@20")
_FLOORS = ("popularity", "itemknn", "ials")
_NOISE_RUNS = 2
_BUSY = 20  # training pairs of the users of Yelp that the profile cpu takes
YELP_USERS = 42_712
_PRODUCTS = 40  # propagations that are timed together

# Options of the model and of the plug-in; chosen on valid, on the data of the profile cpu.
MODEL: dict[str, Any] = {"batch": 2048, "negatives": 128, "epochs": 12, "lr": 0.03}
PRUNING: dict[str, Any] = {
    "teacher_layers": 3,
    "nodes": 128,
    "triples": 1000,
    "distillation": 0.1,
    "similarity": 1.0,
    "evidence": 0.05,
}
_FULL: dict[str, Any] = {"teacher_layers": 8}  # profile paper: the model's defaults, and the card's teacher


def _options(profile: Profile) -> tuple[dict[str, Any], dict[str, Any]]:
    return (MODEL, PRUNING) if profile == "cpu" else ({}, _FULL)


def _movies(profile: Profile) -> Dataset:
    """What people liked of ml-100k, split 70:5:25; every second user in the profile cpu."""
    liked = load_data("ml-100k", positive="rating >= 4").positives("train", "valid", "test")
    if profile == "cpu":
        liked = liked.filter(pl.col("user") % 2 == 0)
    return ratio(build("ml-100k", liked.select(user_id="user", item_id="item")), valid=0.05, test=0.25)


def _yelp(profile: Profile) -> Dataset:
    """The published split; in the profile cpu, the users with at least twenty training pairs and what they took."""
    data = load_data("yelp-lightgnn")
    if profile != "cpu":
        return data
    busy = np.flatnonzero(data.histories("train").lengths >= _BUSY)
    some = data.interactions.filter(pl.col("user").is_in(busy.tolist()))
    return build("yelp-lightgnn", some.select("split", user_id="user", item_id="item"))


def reached(model: Recommender, data: Dataset) -> dict[str, float]:
    """Recall@20 and NDCG@20 on test, from train and valid; seen items removed."""
    histories, truth = data.histories("train", "valid"), data.histories("test")
    lists = rank_lists(model, histories, truth, 20)
    return evaluate_lists(
        lists, truth, list(_METRICS), Catalogue(data.n_items, data.popularity("train"), histories)
    ).overall


def pruned(
    data: Dataset, profile: Profile, seed: int, runs: int, note: Callable[[Plugged], dict[str, Any]], **own: Any
) -> tuple[Plugged, list[dict[str, Any]]]:
    """A pruned LightGCN, and what each of its runs left and reached; ``note`` adds to that of every run."""
    options, plugin = _options(profile)
    given = own.pop("given", None)
    options = options | {name: own.pop(name) for name in ("epochs",) if name in own}
    model: Any = model_class("lightgcn+lightgnn")(**options, seed=seed, lightgnn={**plugin, "runs": runs, **own})
    model.plugins[0].given = given
    found: list[dict[str, Any]] = []

    def tell(entry: dict[str, Any]) -> None:
        found.append({**entry, **reached(model.base, data), **note(model)})

    model.fit(data, FitOptions(on_trial=tell))
    return model, found


def cost(model: Plugged) -> dict[str, Any]:
    """Bytes on disk of the items' tables that are served and of all that was trained; CPU-seconds of a propagation."""
    import torch

    network: Any = model.base.network  # type: ignore[attr-defined]
    graph = network.graph
    with torch.no_grad():
        network.vectors()
        with Stopwatch() as watch:
            for _ in range(_PRODUCTS):
                network.vectors()
        tables = [(network.users * graph.user_mask).numpy(), (network.items * graph.item_mask).numpy()]
    weights = graph.edges.copy()
    weights.data = graph.edge_weights()
    weights.eliminate_zeros()
    trained = _packed("users", tables[0]) | _packed("items", tables[1]) | pack_csr("edges", weights)
    served = {n: a for n, a in model.base._state()[0].items() if n.startswith(("inward", "outward"))}
    return {
        "matrix_entries": 2 * weights.nnz + len(tables[0]) + len(tables[1]),
        "item_entries": int(np.count_nonzero(tables[1])),
        "served_bytes": _on_disk(served),
        "trained_bytes": _on_disk(trained),
        "propagation_seconds": watch.cpu / _PRODUCTS,
    }


def _packed(name: str, table: FloatArray) -> Arrays:
    """A table as it is smaller: full, or its non-zeros."""
    rows = pack_csr(name, sp.csr_matrix(table))
    return rows if sum(a.nbytes for a in rows.values()) < table.nbytes else {name: table}


def _on_disk(arrays: Arrays) -> int:
    from safetensors.numpy import save_file

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "arrays.safetensors"
        save_file(arrays, path)
        return path.stat().st_size


def sweep(seed: int, profile: Profile) -> Result:
    """One seed: pruned by the score, at random and by the student's weights alone, with the same two teachers."""
    data, runs = _movies(profile), max(RUNS)
    plain = model_class("lightgcn")(**_options(profile)[0], seed=seed).fit(data)
    model, full = pruned(data, profile, seed, runs, cost)
    given = model.plugins[0].teachers  # type: ignore[attr-defined]
    five = {"edge_rate": 1 - 0.85**5, "entry_rate": 1 - 0.8**5}  # what five runs take: two to the same end
    drawn = pruned(data, profile, seed, runs // 5, _nothing, given=given, prune="random", **five)[1]
    magnitude = pruned(data, profile, seed, runs, _nothing, given=given, similarity=0.0, evidence=0.0)[1]
    found = {"score": full, "random": drawn, "magnitude": magnitude, "noise": _noise(seed, profile, data)}
    return {"lightgcn": reached(plain, data), **found}


def _noise(seed: int, profile: Profile, data: Dataset) -> list[dict[str, Any]]:
    """Shares of true and of random edges that some runs take away, a quarter of random ones being added."""
    clean = data.matrix("train")
    noisy = _with_random_pairs(data, clean.nnz // 4, seed)
    edges = noisy.matrix("train")
    true = edges.multiply(clean + edges).data > 1  # of the edges, in the order of the matrix

    def gone(model: Plugged) -> dict[str, Any]:
        kept = model.base.network.graph.kept  # type: ignore[attr-defined]
        lost = np.zeros(edges.nnz, bool) if kept is None else ~kept.edges
        return {"noise_pruned": float(lost[~true].mean()), "true_pruned": float(lost[true].mean())}

    return pruned(noisy, profile, seed, _NOISE_RUNS if profile == "cpu" else min(RUNS), gone)[1]


def _with_random_pairs(data: Dataset, count: int, seed: int) -> Dataset:
    """``data`` with pairs in train that occur nowhere, all equally likely."""
    known, rng = data.matrix().tocoo(), np.random.default_rng(seed)
    drawn = rng.permutation(np.unique(rng.integers(0, data.n_users * data.n_items, 4 * count)))
    pairs = drawn[~np.isin(drawn, known.row.astype(np.int64) * data.n_items + known.col)][:count]
    frame = data.interactions.select("user", "item", "split")
    users, items = (pl.Series(codes.astype(np.int32)) for codes in (pairs // data.n_items, pairs % data.n_items))
    added = pl.DataFrame({"user": users, "item": items, "split": ["train"] * len(pairs)}, schema=frame.schema)
    return replace(data, interactions=pl.concat([frame, added]).sort("user", maintain_order=True))


def longer(profile: Profile) -> Result:
    """Five runs of one seed with twice the epochs: whether more training gives back what pruning takes."""
    options, _ = _options(profile)
    epochs = 2 * options.get("epochs", 20)
    return {"epochs": epochs, "runs": pruned(_movies(profile), profile, 0, min(RUNS), _nothing, epochs=epochs)[1]}


def parts(profile: Profile) -> Result:
    """How well each part of the score of edges tells true ones from random ones before the first pruning: AUC."""
    data = _movies(profile)
    clean = data.matrix("train")
    noisy = _with_random_pairs(data, clean.nnz // 4, 0)
    edges = noisy.matrix("train")
    model = pruned(noisy, profile, 0, 0, _nothing)[0]
    plugin: Any = model.plugins[0]
    weights = model.base.network.graph.edge_weights()  # type: ignore[attr-defined]
    c, teachers = plugin.config, plugin.teachers
    whole = weights + c.similarity * teachers.similarity + c.evidence * teachers.evidence
    ends = edges.tocoo().col
    parts = {
        "weight": weights,
        "similarity": teachers.similarity,
        "evidence": teachers.evidence,
        "whole score": whole,
        "popularity of the item": noisy.popularity("train")[ends],
    }
    true = (edges.multiply(clean + edges).data > 1).astype(np.float64)
    return {name: auc(true, scores.astype(np.float64)) for name, scores in parts.items()}


def times(profile: Profile) -> Result:
    """CPU-seconds of propagating over all of Yelp with what is left of its edges after 0, 5 and 10 runs."""
    import torch

    from honeyguide.graph import BipartiteGraph
    from honeyguide.plugins.pruned_graph import Kept, PrunedGraph

    whole, rng = BipartiteGraph(load_data("yelp-lightgnn").matrix("train")), np.random.default_rng(0)
    users, items = (torch.from_numpy(rng.random((n, 64), np.float32)) for n in (whole.n_users, whole.n_items))
    order, found = rng.permutation(whole.edges.nnz), []
    for run in (0, *RUNS):
        kept = Kept(order < 0.85**run * len(order), np.ones(users.shape, bool), np.ones(items.shape, bool))
        graph = PrunedGraph(whole, kept=kept)
        entries = 2 * int(kept.edges.sum()) + len(users) + len(items)
        with torch.no_grad():
            product, both = graph.edge_product.at(graph.weights), torch.cat([users, items])
            costs = [_seconds(lambda: product(both)), _seconds(lambda: graph.propagate(users, items, 2))]  # noqa: B023
        found.append({"run": run, "matrix_entries": entries, "product": costs[0], "propagation": costs[1]})
    return {"times": found}


def _seconds(work: Callable[[], Any], turns: int = 5) -> float:
    """CPU-seconds, the least of some: what disturbs only adds."""
    found = []
    for _ in range(turns):
        with Stopwatch() as watch:
            work()
        found.append(watch.cpu)
    return min(found)


def floors(profile: Profile) -> Result:
    """What the models reach that every table carries."""
    found = {}
    for data in (_movies(profile), _yelp(profile)):
        found[data.name] = {name: reached(model_class(name)().fit(data), data) for name in _FLOORS}
    return found


def published(profile: Profile) -> Result:
    """Yelp, one seed: LightGCN with and without the plug-in."""
    data = _yelp(profile)
    plain = model_class("lightgcn")(**_options(profile)[0]).fit(data)
    runs = pruned(data, profile, 0, min(RUNS), _nothing)[1]
    pairs = data.matrix("train").nnz
    return {"users": data.n_users, "pairs": pairs, "lightgcn": reached(plain, data), "runs": runs}


def _nothing(model: Plugged) -> dict[str, Any]:
    return {}
