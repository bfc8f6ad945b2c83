"""Seed 41, "Ada-Retrieval: An Adaptive Multi-Round Retrieval Paradigm" (arXiv 2401.06633)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np

from honeyguide.experiment.claims.ada_retrieval_cells import (
    ABLATED,
    BOTH,
    MMR_POOL,
    MMR_WEIGHTS,
    OTHER,
    PARTS,
    ROUNDS,
    SEEDS,
    WEAKER,
    Arms,
    K,
    interests,
    rivals,
    study,
)
from honeyguide.experiment.papers import Cell, Claim, Judgement, Paper, Result, verdict
from honeyguide.metrics.stats import t_interval

_REASON = (
    "Looked at in four ways: the published LayerNorm, later rounds that learn from missed targets only, adapters "
    "trained alone (all three in the ablation), and that other loss. What a round retrieved follows from the state "
    "that retrieved it and tells the next round nothing else about the user; where scores order items as their "
    "probabilities do, the best list for those whose target was not in the first is its next slice, which the control "
    "delivers."
)


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
    weaker = "; ".join(f"{_told(results[f'{name}-0']['arms']['paired'][metric])}" for name in WEAKER)
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
    arms = {name: results["ablations"]["arms"][name] for name in ABLATED}
    least = arms["all parts"]["ndcg@50"] - max(arms[name]["ndcg@50"] for name in PARTS)
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
    lost = max(mmr[f"weight {w}"][metric] for w in MMR_WEIGHTS) - mmr["one round"][metric]
    control, kinds = _means(cells, "control", metric), results["interests"].values()
    gained = float(np.mean([one["interests"][metric] - one["one"][metric] for one in kinds]))
    rivals = {"MMR": results["sasrec-0"]["arms"]["control"][metric] + lost, "kNN-Embed": control + gained}
    rivals |= {name: results["rivals"]["arms"][name][metric] for name in ("itemknn", "floor", "popularity")}
    lead = own - max(rivals[name] for name in ("MMR", "kNN-Embed", "itemknn"))
    told = ", ".join(f"{name} {value:.4f}" for name, value in rivals.items())
    note = (
        f"Ada {own:.4f}; {told}. MMR re-ranks {MMR_POOL} items of one round, with the better weight of {MMR_WEIGHTS} "
        f"on test; its change on {mmr['users']} users is added to the control. kNN-Embed (seed 56) retrieves around "
        f"several interests with the same backbones; its change ({gained:+.4f}, {len(kinds)} seeds) is added likewise."
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


def _cell(name: str, backbone: str, seed: int, arms: Arms, own: Mapping[str, Any] | None = None) -> Cell:
    return Cell(name, partial(study, backbone, seed, arms, own or {}))


_SASREC = tuple(_cell(f"sasrec-{seed}", "sasrec", seed, BOTH) for seed in SEEDS)
_OTHERS = tuple(_cell(f"{name}-0", name, 0, BOTH, own) for name, own in OTHER.items())
_REASONS = tuple(_cell(f"{name}-0", "sasrec", 0, BOTH, own) for name, own in WEAKER.items())
_RIVALS = Cell("rivals", rivals)
_ABLATIONS = _cell("ablations", "sasrec", 0, ABLATED)
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
            "finds more than MMR over one round, than kNN-Embed and than item-kNN",
            "difference of Hit@50 to the best",
            "above 0",
            (*_SASREC, _RIVALS, Cell("interests", interests)),
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
