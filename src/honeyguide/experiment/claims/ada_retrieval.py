"""Seed 41, "Ada-Retrieval: An Adaptive Multi-Round Retrieval Paradigm" (arXiv 2401.06633)."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from functools import partial
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
from honeyguide.experiment.papers import Cell, Claim, Judgement, Paper, Profile, Result, verdict
from honeyguide.metrics.holdout import ndcg_of_lists, rank_lists
from honeyguide.metrics.stats import bootstrap_ci, t_interval

K, ROUNDS = 100, 5
SEEDS = range(5)
_Arms = Mapping[str, Mapping[str, Any]]
_BOTH: _Arms = {"control": {"items": False, "users": False}, "ada": {}}
_PARTS: _Arms = {
    "no item adapter": {"items": False},
    "no user adapter": {"users": False},
    "no filter": {"filter": False},
}
_COUNTS: _Arms = {f"{r} rounds": {"rounds": r} for r in (1, 2, 8)}
_DECAYS: _Arms = {f"decay {w}": {"decay": w} for w in (0.1, 1.0)}
_OTHERWISE: _Arms = {
    "published residual": {"residual": "normalised"},
    "missed targets": {"positives": "missed"},
    "adapters alone": {"joint": False},
}
_WHOLE: _Arms = {"control": _BOTH["control"], "all parts": {}}
_ABLATED: _Arms = {**_WHOLE, **_PARTS, **_COUNTS, **_DECAYS, **_OTHERWISE}
_MMR_WEIGHTS, _MMR_POOL, _MMR_USERS = (0.1, 0.3), 300, 300
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
_OTHER: _Arms = {"gru4rec": {"epochs": 40, "warmup": 20, "batch_tokens": 512}, "hstu": {}}
# A backbone that might leave more to be adapted to: trained against a hundred items, as in the paper.
_WEAKER: _Arms = {"sampled": {"loss": "sampled", "negatives": 100}}


_REASON = (
    "Looked at in four ways: the published LayerNorm, later rounds that learn from missed targets only, adapters "
    "trained alone (all three in the ablation), and that other loss. What a round retrieved follows from the state "
    "that retrieved it and tells the next round nothing else about the user; where scores order items as their "
    "probabilities do, the best list for those whose target was not in the first is its next slice, which the control "
    "delivers."
)


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


class _Bench:
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


def _study(backbone: str, seed: int, arms: _Arms, own: Mapping[str, Any], profile: Profile) -> dict[str, Any]:
    """Fit a backbone once, go on from it in every arm for equally many epochs, and judge all."""
    from honeyguide.models.registry import model_class
    from honeyguide.plugins.ada_retrieval import AdaRetrieval

    size, data = _SIZES[profile], _beauty(profile)
    with TemporaryDirectory() as folder:
        root = Path(folder)
        plain = model_class(backbone)(**{**_BACKBONE[profile], **own}, seed=seed)
        plain.fit(data, FitOptions(checkpoint=root / "plain" / "model", device="cpu"))
        bench = _Bench(data, plain.item_vectors())  # type: ignore[attr-defined]
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
            if name in _BOTH:
                found[name]["alone_cpu"] = _alone(model, bench)
            if (backbone, seed, name) == ("sasrec", 0, "control") and not own:
                found["mmr"] = _mmr(model.base, bench)
    found["paired"] = {m: _paired(bench, lists, m) for m in ("hit@50", "ndcg@50") if {"ada", "control"} <= lists.keys()}
    found["same as backbone"] = [
        name for name, own_lists in lists.items() if np.array_equal(own_lists, lists["backbone"])
    ]
    return {"arms": found, "users": len(bench.users), "items": data.n_items, "events": data.interactions.height}


def _paired(bench: _Bench, lists: Mapping[str, IntArray], metric: str) -> dict[str, Any]:
    """Difference of the adapted rounds and the control, with its interval over users."""
    gain = bench.per_user(lists["ada"])[metric] - bench.per_user(lists["control"])[metric]
    return {"mean": float(gain.mean()), "ci": list(bootstrap_ci(gain))}


def _alone(model: Recommender, bench: _Bench) -> list[float]:
    """CPU-seconds of a request that is answered alone, by the number of rounds that its list takes."""
    asked = [Requests(bench.histories.take(slice(i, i + 1))) for i in range(_ALONE)]
    seconds = []
    for k in range(K // ROUNDS, K + 1, K // ROUNDS):
        with Stopwatch() as watch:
            for request in asked:
                model.recommend(request, k)
        seconds.append(watch.cpu / _ALONE)
    return seconds


def _mmr(model: Recommender, bench: _Bench) -> dict[str, Any]:
    """The ranking of one round, re-ranked by maximal marginal relevance, for the first test users."""
    from honeyguide.pipeline.diversify import mmr, spread

    rows = slice(0, _MMR_USERS)
    pool = model.recommend(Requests(bench.histories.take(rows)), _MMR_POOL)
    found: dict[str, Any] = {"users": len(pool.items)}
    for weight in _MMR_WEIGHTS:
        picked = [mmr(spread(s), bench.unit[i], K, weight) for i, s in zip(pool.items, pool.scores, strict=True)]
        lists = np.take_along_axis(pool.items, np.stack(picked), 1)
        found[f"weight {weight}"] = {name: float(v.mean()) for name, v in bench.per_user(lists, rows).items()}
    found["one round"] = {name: float(v.mean()) for name, v in bench.per_user(pool.items[:, :K], rows).items()}
    return found


def _rivals(profile: Profile) -> Result:
    """Popularity, the linear floor and item-kNN."""
    from honeyguide.models.registry import model_class

    data = _beauty(profile)
    found = {}
    for name in ("popularity", "floor", "itemknn"):
        model = model_class(name)().fit(data)
        bench = _Bench(data, np.eye(data.n_items, 2, dtype=np.float32))  # spread is not read here
        _, found[name] = bench.judge(model)
    return {"arms": found}


# -- what the cells say -------------------------------------------------------------------------------


def _seed_cells(results: Mapping[str, Result]) -> list[Any]:
    return [result["arms"] for name, result in results.items() if name.startswith("sasrec-")]


def _means(cells: list[Any], arm: str, metric: str) -> float:
    return float(np.mean([cell[arm][metric] for cell in cells]))


def _judge_gain(metric: str, results: Mapping[str, Result]) -> Judgement:
    cells = _seed_cells(results)
    mean, ci = t_interval([cell["ada"][metric] - cell["control"][metric] for cell in cells])
    arms = {a: _means(cells, a, metric) for a in ("backbone", "control", "ada")}
    rivals = {name: arm[metric] for name, arm in results["rivals"]["arms"].items()}
    note = ", ".join(f"{name} {value:.4f}" for name, value in {**rivals, **arms}.items())
    weaker = "; ".join(f"{_told(results[f'{name}-0']['arms']['paired'][metric])}" for name in _WEAKER)
    note = f"{len(cells)} seeds; {note}. Over a backbone trained against 100 negatives, one seed: {weaker}."
    return Judgement(mean, verdict(ci[0] > 0), ci, note=note if ci[0] > 0 else f"{note} {_REASON}")


def _told(gain: Mapping[str, Any]) -> str:
    return f"{gain['mean']:+.4f} [{gain['ci'][0]:+.4f}, {gain['ci'][1]:+.4f}]"


def _judge_others(results: Mapping[str, Result]) -> Judgement:
    gains, notes = [], []
    for name, result in results.items():
        for metric, gain in result["arms"]["paired"].items():
            gains.append(gain["mean"])
            control = result["arms"]["control"][metric]
            notes.append(f"{name.partition('-')[0]} {metric} {_told(gain)} from {control:.4f}")
    return Judgement(
        min(gains), verdict(min(gains) > 0), note=f"One seed each, intervals over users: {'; '.join(notes)}."
    )


def _judge_one(results: Mapping[str, Result]) -> Judgement:
    same = "1 rounds" in results["ablations"]["arms"]["same as backbone"]
    return Judgement("equal" if same else "different", verdict(same))


def _judge_ablation(results: Mapping[str, Result]) -> Judgement:
    arms = {name: results["ablations"]["arms"][name] for name in _ABLATED}
    least = arms["all parts"]["ndcg@50"] - max(arms[name]["ndcg@50"] for name in _PARTS)
    listed = ", ".join(
        f"{name} {arm['ndcg@50']:.4f}" + ("" if arm["valid"] is None else f" ({arm['valid']:.4f})")
        for name, arm in arms.items()
    )
    return Judgement(least, verdict(least >= 0), note=f"Seed 0. NDCG@50 (and NDCG@{K} on valid): {listed}.")


def _judge_coverage(results: Mapping[str, Result]) -> Judgement:
    cells = _seed_cells(results)
    gains = {m: t_interval([c["ada"][m] - c["control"][m] for c in cells]) for m in ("spread", "categories", "hit@100")}
    wider = max(gains[m][1][0] for m in ("spread", "categories")) > 0
    kept = gains["hit@100"][1][1] >= 0  # not significantly fewer hits
    told = ", ".join(f"{m} {_means(cells, 'control', m):.4f} to {_means(cells, 'ada', m):.4f}" for m in gains)
    return Judgement(gains["categories"][0], verdict(wider and kept), gains["categories"][1], note=f"{told}.")


def _judge_rivals(results: Mapping[str, Result]) -> Judgement:
    metric, cells = "hit@50", _seed_cells(results)
    own, mmr = _means(cells, "ada", metric), results["sasrec-0"]["arms"]["mmr"]
    lost = max(mmr[f"weight {w}"][metric] for w in _MMR_WEIGHTS) - mmr["one round"][metric]
    rivals = {"MMR": results["sasrec-0"]["arms"]["control"][metric] + lost}
    rivals |= {name: results["rivals"]["arms"][name][metric] for name in ("itemknn", "floor", "popularity")}
    lead = own - max(rivals["MMR"], rivals["itemknn"])
    told = ", ".join(f"{name} {value:.4f}" for name, value in rivals.items())
    note = (
        f"Ada {own:.4f}; {told}. MMR re-ranks {_MMR_POOL} items of one round, with the better weight of {_MMR_WEIGHTS} "
        f"on test; its change on {mmr['users']} users is added to the control. Multi-interest retrieval (seed 56) is "
        "not among the rivals: it is not built yet."
    )
    return Judgement(lead, verdict(lead > 0), note=note)


def _judge_training(results: Mapping[str, Result]) -> Judgement:
    cells = _seed_cells(results)
    ratio, ci = t_interval([c["ada"]["epoch_cpu"] / c["control"]["epoch_cpu"] for c in cells])
    return Judgement(ratio, verdict(ratio <= ROUNDS + 0.5), ci)


def _judge_serving(results: Mapping[str, Result]) -> Judgement:
    cells = _seed_cells(results)
    ratio, ci = t_interval([c["ada"]["recommend_cpu"] / c["control"]["recommend_cpu"] for c in cells])
    rounds = 1000 * np.mean([c["ada"]["alone_cpu"] for c in cells], axis=0)
    single = 1000 * np.mean([c["control"]["alone_cpu"][-1] for c in cells])
    each = ", ".join(f"{ms:.2f}" for ms in np.diff(rounds, prepend=0.0))
    note = (
        f"All test users at once. A request alone, where the fixed cost of a call weighs most: {each} CPU-ms by round, "
        f"{rounds[-1]:.2f} in all, {rounds[-1] / single:.1f} times the {single:.2f} of one round."
    )
    return Judgement(ratio, verdict(ratio <= ROUNDS + 0.5), ci, note=note)


def _cell(name: str, backbone: str, seed: int, arms: _Arms, own: Mapping[str, Any] | None = None) -> Cell:
    return Cell(name, partial(_study, backbone, seed, arms, own or {}))


_SASREC = tuple(_cell(f"sasrec-{seed}", "sasrec", seed, _BOTH) for seed in SEEDS)
_OTHERS = tuple(_cell(f"{name}-0", name, 0, _BOTH, own) for name, own in _OTHER.items())
_REASONS = tuple(_cell(f"{name}-0", "sasrec", 0, _BOTH, own) for name, own in _WEAKER.items())
_RIVALS = Cell("rivals", _rivals)
_ABLATIONS = _cell("ablations", "sasrec", 0, _ABLATED)
_DATA = "Amazon Beauty"
_Judge = Callable[[Mapping[str, Result]], Judgement]


def _claim(id_: str, text: str, metric: str, floor: str, cells: tuple[Cell, ...], judge: _Judge) -> Claim:
    return Claim(id_, text, _DATA, metric, floor, cells, judge)


PAPER = Paper(
    seed=41,
    module="honeyguide.plugins.ada_retrieval",
    claims=(
        _claim(
            "hit",
            "adapted rounds over SASRec find more than SASRec trained for as many epochs",
            "difference of Hit@50",
            "above 0, and its interval",
            (*_SASREC, _RIVALS, *_REASONS),
            partial(_judge_gain, "hit@50"),
        ),
        _claim(
            "ndcg",
            "and rank it higher",
            "difference of NDCG@50",
            "above 0, and its interval",
            (*_SASREC, _RIVALS, *_REASONS),
            partial(_judge_gain, "ndcg@50"),
        ),
        _claim(
            "others",
            "so they do over GRU4Rec and HSTU",
            "least difference of Hit@50 and NDCG@50",
            "above 0",
            _OTHERS,
            _judge_others,
        ),
        _claim("one", "one round equals the backbone bit for bit", "lists", "equal", (_ABLATIONS,), _judge_one),
        _claim(
            "ablation",
            "item adapter, user adapter and filter each help",
            "NDCG@50 of all parts, less the best without one",
            "at least 0",
            (_ABLATIONS,),
            _judge_ablation,
        ),
        _claim(
            "coverage",
            "lists of 100 hold more categories or spread wider, at no fewer hits",
            "difference in categories",
            "categories or spread above 0, Hit@100 not below",
            _SASREC,
            _judge_coverage,
        ),
        _claim(
            "rivals",
            "finds more than MMR over one round and than item-kNN",
            "difference of Hit@50 to the better",
            "above 0",
            (*_SASREC, _RIVALS),
            _judge_rivals,
        ),
        _claim(
            "training",
            "an epoch of five rounds costs at most 5.5 of the backbone",
            "ratio of CPU-seconds",
            "at most 5.5",
            _SASREC,
            _judge_training,
        ),
        _claim(
            "serving",
            "a list in five rounds costs at most 5.5 lists in one",
            "ratio of CPU-seconds",
            "at most 5.5",
            _SASREC,
            _judge_serving,
        ),
    ),
)
