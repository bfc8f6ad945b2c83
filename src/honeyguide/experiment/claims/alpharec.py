"""Seed 38, "Language Representations Can be What Recommenders Need: Findings and Potentials" (arXiv 2407.05441)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from honeyguide.experiment.claims import alpharec_cells as cells
from honeyguide.experiment.claims.alpharec_cells import ALPHAS, ASKED, AWAY, FLOORS, HOME, RUNGS, SEEDS
from honeyguide.experiment.papers import Cell, Claim, Judgement, Paper, Result, verdict
from honeyguide.metrics.stats import t_interval

_EACH = tuple(Cell(f"seed-{seed}", cells.trained(seed)) for seed in SEEDS)
_HOME, _AWAY = Cell("floors-home", cells.floors(HOME)), Cell("floors-away", cells.floors(AWAY))
_SLICE = "dense core (8 events a user and an item)"
_SLICE_AWAY = "dense core (6 events), no title or number in common with games"


def _seeds(results: Mapping[str, Result], *path: str) -> npt.NDArray[np.float64]:
    """A figure of every seed."""
    found: list[Any] = [results[f"seed-{seed}"] for seed in SEEDS]
    for step in path:
        found = [one[step] for one in found]
    return np.array(found, np.float64)


def _beside(results: Mapping[str, Result], cell: str) -> str:
    """What stands beside: floors and TextGCN, and the cold quarter of the users."""
    found = results[cell]["figures"]
    return ", ".join(
        f"{kind} {found[kind]['recall@20']:.4f} (cold users {found[kind]['cold_recall@20']:.4f})"
        for kind in (*FLOORS, "TextGCN")
    )


def _judge_probe(results: Mapping[str, Result]) -> Judgement:
    rows = [[results[f"probe-{s}"]["figures"][kind]["recall@20"] for kind in RUNGS] for s in SEEDS]
    random, pieces, words, minilm = np.array(rows).T
    held = (minilm > pieces) & (pieces > random)
    means = ", ".join(f"{kind} {np.mean(column):.4f}" for kind, column in zip(RUNGS, np.array(rows).T, strict=True))
    note = (
        f"Recall@20 of a linear map without a graph, means of {len(rows)} seeds: {means}. No weights of BERT come as a "
        "package; in its place stands the mean of the vectors of BERT's word pieces as MiniLM has them, before any "
        "attention (pieces): vectors that a language model has learnt as well, and nearly all that a title of a few "
        f"words says. Of MiniLM to TF-IDF (words) the mean is {minilm.mean() / words.mean():.2f} times, to random "
        f"{minilm.mean() / random.mean():.1f} times. "
        f"Beside them: {_beside(results, 'floors-home')}"
    )
    gap = minilm - pieces
    return Judgement(f"{held.sum()} of {len(rows)} seeds", verdict(bool(held.all())), t_interval(gap)[1], note)


def _judge_lightgcn(results: Mapping[str, Result]) -> Judgement:
    ours, theirs = (_seeds(results, name, "recall@20") for name in ("alpharec", "lightgcn"))
    own, other = (int(_seeds(results, name, "parameters")[0]) for name in ("alpharec", "lightgcn"))
    cold = [_seeds(results, name, "cold_recall@20").mean() for name in ("alpharec", "lightgcn")]
    seconds = [_seeds(results, name, "cpu_seconds").mean() for name in ("alpharec", "lightgcn")]
    better = int((ours >= theirs).sum())
    epochs = ", ".join(f"{len(results[f'seed-{s}']['alpharec']['curve'])}: {v:.4f}" for s, v in enumerate(ours))
    note = (
        f"Recall@20, alpharec {ours.mean():.4f} (cold users {cold[0]:.4f}) with {own:,} weights in {seconds[0]:.0f} "
        f"CPU-s of training, lightgcn {theirs.mean():.4f} ({cold[1]:.4f}) with {other:,} in {seconds[1]:.0f}; as good "
        f"or better in {better} of {len(ours)} seeds. By the epochs until alpharec was stopped on valid (20 at most), "
        f"seed by seed: {epochs}. Beside them: {_beside(results, 'floors-home')}"
    )
    holds = better >= 4 and own * 10 <= other
    return Judgement(float((ours - theirs).mean()), verdict(holds), t_interval(ours - theirs)[1], note)


def _judge_epochs(results: Mapping[str, Result]) -> Judgement:
    ours, theirs = (_seeds(results, name, "to_95") for name in ("alpharec", "lightgcn"))
    note = (
        f"epochs to 95 % of the best NDCG@10 on valid, seed by seed: alpharec {', '.join(f'{e:.0f}' for e in ours)}; "
        f"lightgcn {', '.join(f'{e:.0f}' for e in theirs)}; each with the rate chosen for it on valid (.01 and .02)"
    )
    return Judgement(float(ours.mean() - theirs.mean()), verdict(bool((ours < theirs).all())), None, note)


def _judge_away(results: Mapping[str, Result]) -> Judgement:
    found, beside = _seeds(results, "away", "recall@20"), results["floors-away"]["figures"]
    ratio = found / beside["popularity"]["recall@20"]
    text_gcn = beside["TextGCN"]["recall@20"]
    note = (
        f"Recall@20 of a map trained on {HOME} and carried over {found.mean():.4f} (cold users "
        f"{_seeds(results, 'away', 'cold_recall@20').mean():.4f}); above TextGCN, which is not trained at all, in "
        f"{int((found > text_gcn).sum())} of {len(found)} seeds. Fitted on {AWAY} itself, beside them: "
        f"{_beside(results, 'floors-away')}"
    )
    return Judgement(float(ratio.mean()), verdict(bool((ratio >= 2).all())), t_interval(ratio)[1], note)


def _judge_intention(results: Mapping[str, Result]) -> Judgement:
    own = np.array([[results[f"asked-{s}"]["hit_rate@20"][str(alpha)] for alpha in ALPHAS] for s in ASKED])
    away = np.stack([_seeds(results, "intention", "hit_rate@20", str(alpha)) for alpha in ALPHAS], axis=1)
    rising = [bool((np.diff(curve[: curve.argmax() + 1]) >= 0).all()) and curve.argmax() > 0 for curve in own]
    gain = own.max(1) / own[:, 0] - 1
    one = results["asked-0"]
    note = (
        f"HR@20 by alpha, means of {len(own)} seeds of a model fitted on {AWAY}: {_by_alpha(own)}; "
        f"{one['users']:,} users. With the map carried over from {HOME}, {len(away)} seeds: {_by_alpha(away)}. "
        "The intention is written by rule, not by a language model: the end of the target's category path without "
        f"words of its title, such as {'; '.join(one['examples'][:3])}; the model reads titles alone. Rising up to "
        f"its best alpha in {sum(rising)} of {len(own)} seeds"
    )
    return Judgement(float(gain.mean()), verdict(all(rising) and bool((gain >= 0.2).all())), t_interval(gain)[1], note)


def _by_alpha(curves: npt.NDArray[np.float64]) -> str:
    return ", ".join(f"{alpha:g}: {value:.4f}" for alpha, value in zip(ALPHAS, curves.mean(0), strict=True))


def _ids() -> list[str]:
    return [f"seed-{seed}" for seed in SEEDS]


def _judge_cold(results: Mapping[str, Result]) -> Judgement:
    one = results["seed-0"]["cold"]
    if not one["items"]:
        return Judgement("no items without events", "not testable", note="the profile cpu sets some aside")
    median = _seeds(results, "cold", "median_percentile")
    finite = all(results[name]["cold"]["finite"] for name in _ids())
    note = (
        f"{one['items']:,} items without an event in training, added by title; where one that a user took stands among "
        f"them all for {one['users']:,} users (0 is the top, .5 chance); scores are {'all' if finite else 'not all'} "
        f"finite"
    )
    return Judgement(float(median.mean()), verdict(finite and bool((median < 0.4).all())), t_interval(median)[1], note)


def _judge_cost(results: Mapping[str, Result]) -> Judgement:
    found = results["cost"]
    turns = "; ".join(f"{ours:.1f} against {theirs:.1f}" for ours, theirs in found["epoch"])
    note = (
        f"CPU-s an epoch with the defaults of both, its judgement on valid included, alpharec against lightgcn: {turns}"
    )
    return Judgement(found["ratio"], verdict(found["ratio"] <= 3), note=note)


PAPER = Paper(
    seed=38,
    module="honeyguide.models.graph.alpharec",
    claims=(
        Claim(
            "probe",
            "the better the language vectors, the better a linear map of them: MiniLM above plain pieces above random",
            f"{HOME}, {_SLICE}",
            "seeds in that order, Recall@20",
            "all 5",
            (*(Cell(f"probe-{seed}", cells.probe(seed)) for seed in SEEDS), _HOME),
            _judge_probe,
        ),
        Claim(
            "lightgcn",
            "at least as good as LightGCN with a tenth of the weights",
            f"{HOME}, {_SLICE}",
            "Recall@20, alpharec minus lightgcn",
            "at least 0 in 4 of 5 seeds",
            (*_EACH, _HOME),
            _judge_lightgcn,
        ),
        Claim(
            "epochs",
            "near its best in fewer epochs than LightGCN",
            f"{HOME}, {_SLICE}",
            "epochs to 95 % of the best, difference",
            "below 0 in every seed",
            _EACH,
            _judge_epochs,
        ),
        Claim(
            "zero-shot",
            "twice popularity on a catalogue it was not trained on",
            f"{AWAY}, {_SLICE_AWAY}",
            "Recall@20 over that of popularity",
            "at least 2 in every seed",
            (*_EACH, _AWAY),
            _judge_away,
        ),
        Claim(
            "intention",
            "what is asked for in words is found more often, the more it weighs, up to a best weight",
            f"{AWAY}, {_SLICE_AWAY}",
            "gain of HR@20 at the best alpha over alpha 0",
            "rising, and at least 0.2 in every seed",
            (*_EACH, *(Cell(f"asked-{seed}", cells.asked(seed)) for seed in ASKED)),
            _judge_intention,
        ),
        Claim(
            "cold",
            "an item without events has a finite and sensible rank",
            f"{HOME}, items outside the core",
            "median percentile",
            "below 0.4 in every seed",
            _EACH,
            _judge_cold,
        ),
        Claim(
            "cost",
            "an epoch takes at most three of LightGCN's",
            HOME,
            "ratio of CPU-seconds",
            "at most 3",
            (Cell("cost", cells.cost),),
            _judge_cost,
        ),
    ),
)
