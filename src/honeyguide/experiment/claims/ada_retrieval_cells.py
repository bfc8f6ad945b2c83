"""The work behind seed 41: a sequence model, adapted rounds over it, the same training without them, and rivals."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from honeyguide.core.dataset import Dataset
from honeyguide.core.fitting import FitOptions
from honeyguide.core.inner_product import unit
from honeyguide.core.ragged import FloatArray, IntArray, Ragged
from honeyguide.core.recommender import Recommender
from honeyguide.core.requests import Requests
from honeyguide.core.resources import Stopwatch
from honeyguide.data.build import build, decoded
from honeyguide.data.load import load_data
from honeyguide.experiment.papers import Profile, Result
from honeyguide.metrics.holdout import ndcg_of_lists, rank_lists
from honeyguide.metrics.stats import bootstrap_ci

K, ROUNDS = 100, 5
SEEDS = range(5)
Arms = Mapping[str, Mapping[str, Any]]
BOTH: Arms = {"control": {"items": False, "users": False}, "ada": {}}
PARTS: Arms = {
    "no item adapter": {"items": False},
    "no user adapter": {"users": False},
    "no filter": {"filter": False},
}
_COUNTS: Arms = {f"{r} rounds": {"rounds": r} for r in (1, 2, 8)}
_DECAYS: Arms = {f"decay {w}": {"decay": w} for w in (0.1, 1.0)}
_OTHERWISE: Arms = {
    "published residual": {"residual": "normalised"},
    "missed targets": {"positives": "missed"},
    "adapters alone": {"joint": False},
}
_WHOLE: Arms = {"control": BOTH["control"], "all parts": {}}
ABLATED: Arms = {**_WHOLE, **PARTS, **_COUNTS, **_DECAYS, **_OTHERWISE}
MMR_WEIGHTS, MMR_POOL, _MMR_USERS = (0.1, 0.3), 300, 300
_ALONE = 100  # requests answered one at a time

# Most popular items and users that are drawn among those who then have five events; the backbone; epochs of stage B.
_SIZES: dict[Profile, dict[str, Any]] = {
    "cpu": {"items": 2000, "users": 2000, "more": 4},
    "paper": {"items": None, "users": None, "more": 30},
}
_BACKBONE: dict[Profile, dict[str, Any]] = {
    "cpu": {"dim": 32, "epochs": 12, "lr": 4e-3, "valid_users": 500, "batch_tokens": 1024},
    "paper": {"dim": 64},
}
# A recurrent network starts from nothing and needs more steps.
OTHER: Arms = {"gru4rec": {"epochs": 40, "warmup": 20, "batch_tokens": 512}, "hstu": {}}
# A backbone that might leave more to be adapted to: trained against a hundred items, as in the paper.
WEAKER: Arms = {"sampled": {"loss": "sampled", "negatives": 100}}


def _beauty(profile: Profile) -> Dataset:
    """Amazon Beauty, or the part of it that a profile names; last event test, last but one valid."""
    size, whole = _SIZES[profile], load_data("amazon-beauty")
    if size["items"] is None:
        return whole
    popular = np.argsort(-whole.popularity("train"), kind="stable")[: size["items"]].tolist()
    events = whole.interactions.filter(pl.col("item").is_in(popular))
    enough = np.flatnonzero(np.bincount(events["user"].to_numpy(), minlength=whole.n_users) >= 5)
    users = np.random.default_rng(0).permutation(enough)[: size["users"]].tolist()
    events = decoded(whole).filter(
        pl.col("user_id").is_in(whole.user_ids.decode(np.array(users)).implode()),
        pl.col("item_id").is_in(whole.item_ids.decode(np.array(popular)).implode()),
    )
    from_end = pl.int_range(pl.len(), 0, -1).over("user_id")
    split = (
        pl.when(from_end == 1).then(pl.lit("test")).when(from_end == 2).then(pl.lit("valid")).otherwise(pl.lit("train"))
    )
    frame = events.select("user_id", "item_id", position=pl.int_range(pl.len()).over("user_id"), split=split)
    assert whole.items is not None
    items = whole.items.with_columns(item_id=whole.item_ids.values)
    return build("amazon-beauty, a part", frame, items.filter(pl.col("item_id").is_in(frame["item_id"].implode())))


class Bench:
    """A data set and what lists are judged by: read on test, history train and valid.

    Parameters
    ----------
    data
        With the column ``categories`` of the items.
    vectors
        float32 ``[n_items, d]``, the space in which lists spread: the same for all that are compared.
    """

    def __init__(self, data: Dataset, vectors: FloatArray) -> None:
        self.data, self.histories = data, data.histories("train", "valid")
        self.users = np.flatnonzero(data.histories("test").lengths)
        self.histories, self.truth = self.histories.take(self.users), data.histories("test").take(self.users)
        self.unit = unit(vectors)
        assert data.items is not None
        paths = data.items["categories"].list.join("|")  # of every item, its places in the tree of categories
        self.leaves = paths.rank("dense").fill_null(0).to_numpy().astype(np.int64)

    def judge(self, model: Recommender) -> tuple[IntArray, dict[str, Any]]:
        """The lists of all test users; their accuracy, variety and CPU-seconds."""
        with Stopwatch() as watch:
            lists = rank_lists(model, self.histories, self.truth, K)
        means = {name: float(values.mean()) for name, values in self.per_user(lists).items()}
        return lists, {**means, "recommend_cpu": watch.cpu}

    def per_user(self, lists: IntArray, rows: slice = slice(None)) -> dict[str, npt.NDArray[np.float64]]:
        """Every measure of lists ``[n, K]`` of the users at ``rows``."""
        truth = self.truth.take(rows)
        hit = {f"hit@{k}": _hit(lists[:, :k], truth) for k in (20, 50, 100)}
        ndcg = {f"ndcg@{k}": ndcg_of_lists(lists[:, :k], truth, k) for k in (50, 100)}
        total = self.unit[lists].sum(axis=1)  # [n, d]; all lists are full
        spread = 1 - ((total**2).sum(axis=1) - K) / (K * (K - 1))  # 1 - mean cosine of two items
        return {**hit, **ndcg, "spread": spread, "categories": _distinct(self.leaves[lists])}


def _hit(lists: IntArray, truth: Ragged) -> npt.NDArray[np.float64]:
    target = truth.values[truth.offsets[:-1]]
    hits: npt.NDArray[np.float64] = (lists == target[:, None]).any(axis=1).astype(np.float64)
    return hits


def _distinct(codes: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    ordered = np.sort(codes, axis=1)
    counts: npt.NDArray[np.float64] = 1.0 + (ordered[:, 1:] != ordered[:, :-1]).sum(axis=1)
    return counts


def study(backbone: str, seed: int, arms: Arms, own: Mapping[str, Any], profile: Profile) -> dict[str, Any]:
    """Fit a backbone once, go on from it in every arm for equally many epochs, and judge all."""
    from honeyguide.models.registry import model_class
    from honeyguide.plugins.ada_retrieval import AdaRetrieval

    size, data = _SIZES[profile], _beauty(profile)
    with TemporaryDirectory() as folder:
        root = Path(folder)
        plain = model_class(backbone)(**{**_BACKBONE[profile], **own}, seed=seed)
        plain.fit(data, FitOptions(checkpoint=root / "plain" / "model", device="cpu"))
        bench = Bench(data, plain.item_vectors())  # type: ignore[attr-defined]
        lists: dict[str, IntArray] = {}
        found: dict[str, Any] = {}
        lists["backbone"], found["backbone"] = bench.judge(plain)
        for number, (name, options) in enumerate(arms.items()):
            shutil.copytree(root / "plain", root / str(number))  # the first stage is there already
            model = plain.plug(AdaRetrieval(**{"k": K, "rounds": ROUNDS, "epochs": size["more"], **options}))
            model.fit(data, FitOptions(checkpoint=root / str(number), resume=True, device="cpu"))
            lists[name], found[name] = bench.judge(model)
            second = model.report.curve[len(plain.report.curve) :]
            seconds = second[-1]["cpu_seconds"] / len(second) if second else None
            found[name]["epoch_cpu"] = seconds
            found[name]["valid"] = max((entry[f"valid_ndcg@{K}"] for entry in second), default=None)
            if name in BOTH:
                found[name]["alone_cpu"] = _alone(model, bench)
            if (backbone, seed, name) == ("sasrec", 0, "control") and not own:
                found["mmr"] = _mmr(model.base, bench)
    found["paired"] = {m: _paired(bench, lists, m) for m in ("hit@50", "ndcg@50") if {"ada", "control"} <= lists.keys()}
    found["same as backbone"] = [
        name for name, own_lists in lists.items() if np.array_equal(own_lists, lists["backbone"])
    ]
    return {"arms": found, "users": len(bench.users), "items": data.n_items, "events": data.interactions.height}


def _paired(bench: Bench, lists: Mapping[str, IntArray], metric: str) -> dict[str, Any]:
    """Difference of the adapted rounds and the control, with its interval over users."""
    gain = bench.per_user(lists["ada"])[metric] - bench.per_user(lists["control"])[metric]
    return {"mean": float(gain.mean()), "ci": list(bootstrap_ci(gain))}


def _alone(model: Recommender, bench: Bench) -> list[float]:
    """CPU-seconds of a request that is answered alone, by the number of rounds that its list takes."""
    asked = [Requests(bench.histories.take(slice(i, i + 1))) for i in range(_ALONE)]
    seconds = []
    for k in range(K // ROUNDS, K + 1, K // ROUNDS):
        with Stopwatch() as watch:
            for request in asked:
                model.recommend(request, k)
        seconds.append(watch.cpu / _ALONE)
    return seconds


def _mmr(model: Recommender, bench: Bench) -> dict[str, Any]:
    """The ranking of one round, re-ranked by maximal marginal relevance, for the first test users."""
    from honeyguide.pipeline.diversify import mmr, spread

    rows = slice(0, _MMR_USERS)
    pool = model.recommend(Requests(bench.histories.take(rows)), MMR_POOL)
    found: dict[str, Any] = {"users": len(pool.items)}
    for weight in MMR_WEIGHTS:
        picked = [mmr(spread(s), bench.unit[i], K, weight) for i, s in zip(pool.items, pool.scores, strict=True)]
        lists = np.take_along_axis(pool.items, np.stack(picked), 1)
        found[f"weight {weight}"] = {name: float(v.mean()) for name, v in bench.per_user(lists, rows).items()}
    found["one round"] = {name: float(v.mean()) for name, v in bench.per_user(pool.items[:, :K], rows).items()}
    return found


def rivals(profile: Profile) -> Result:
    """Popularity, the linear floor and item-kNN."""
    from honeyguide.models.registry import model_class

    data = _beauty(profile)
    found = {}
    for name in ("popularity", "floor", "itemknn"):
        model = model_class(name)().fit(data)
        bench = Bench(data, np.eye(data.n_items, 2, dtype=np.float32))  # spread is not read here
        _, found[name] = bench.judge(model)
    return {"arms": found}


def interests(profile: Profile) -> Result:
    """Multi-interest retrieval (seed 56) over the same backbones, and these alone."""
    from honeyguide.models.registry import model_class
    from honeyguide.plugins.knn_embed import KNNEmbed

    data, found = _beauty(profile), dict[str, Any]()
    for seed in SEEDS:
        plain = model_class("sasrec")(**_BACKBONE[profile], seed=seed).fit(data, FitOptions(device="cpu"))
        bench = Bench(data, plain.item_vectors())  # type: ignore[attr-defined]
        around = model_class("sasrec")(**_BACKBONE[profile], seed=seed).plug(KNNEmbed())
        around.fit(data, FitOptions(device="cpu"))
        found[str(seed)] = {"one": bench.judge(plain)[1], "interests": bench.judge(around)[1]}
    return found
