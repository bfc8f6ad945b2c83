"""Seed 29, "A Bi-Step Grounding Paradigm for Large Language Models in Recommendation Systems" (arXiv 2308.08434).

``$HONEYGUIDE_LM`` names another local model for the same command.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from honeyguide.experiment.claims.bigrec_cells import DATA, RIVALS, SEEDS, SPACES, floors, language, of_seeds, rivals
from honeyguide.experiment.papers import Cell, Claim, Judgement, Paper, Result, verdict

Figures = Mapping[str, Any]


def _last(results: Mapping[str, Result]) -> str:
    """The largest number of windows."""
    return str(max((key.split()[1] for key in results["rivals-0"]), key=int))


def _best(results: Mapping[str, Result]) -> Figures:
    """The language model in the default space, without weights."""
    found: Figures = results["language"]["spaces"][SPACES[0]]
    return found


def _ndcg(found: Figures) -> str:
    return f"{found['ndcg@10']:.4f} +- {found['ndcg@10_se']:.4f}"


def _floors(results: Mapping[str, Result]) -> str:
    each = "; ".join(f"{name} {found['drawn']['ndcg@10']:.4f}" for name, found in results["floors"].items())
    return f"floors on the same {_best(results)['n']} people, fitted on all events: {each}"


def _judge_grounded(results: Mapping[str, Result]) -> Judgement:
    found = results["language"]

    def shares(one: Figures) -> str:
        return f"exact {one['exact']:.0%}, near {one['near']:.0%}, neither {one['neither']:.0%}"

    valid = min(one["in_catalogue"] for one in found["spaces"].values())
    curve = "; ".join(
        f"{size} windows {shares(one)}, {one['distinct']:.0%} distinct" for size, one in found["curve"].items()
    )
    note = (
        f"{found['model']}. Titles as written after {_last(results)} windows: {shares(found)}, {found['distinct']:.0%} "
        f"distinct. Before: {curve}. For example {', '.join(repr(text) for text in found['texts'][:5])}"
    )
    return Judgement(f"{valid:.0%}", verdict(valid == 1.0), note=note)


def _judge_few(results: Mapping[str, Result]) -> Judgement:
    last, own = _last(results), _best(results)
    each = {name: of_seeds(results, f"{name} {last}", "drawn") for name in RIVALS}
    held = all(own["ndcg@10"] > value for values in each.values() for value in values)
    spaces = "; ".join(f"{name} {_ndcg(one)}" for name, one in results["language"]["spaces"].items())
    told = "; ".join(f"{name} {', '.join(f'{value:.4f}' for value in values)}" for name, values in each.items())
    note = (
        f"{last} windows, {own['n']} people drawn. NDCG@10 by space of the titles: {spaces}. On as many windows, by "
        f"seed: {told}. {_floors(results)}. One seed of the tuning, as it is dear; the rivals have {len(SEEDS)}. "
        "Looked for: whether it is the space (three of them), the windows (the curve), or what is written (of it "
        f"{results['language']['near'] + results['language']['exact']:.0%} are in the catalogue or near it)"
    )
    return Judgement(own["ndcg@10"], verdict(held), _interval(own), note)


def _interval(found: Figures) -> tuple[float, float]:
    return found["ndcg@10"] - 1.96 * found["ndcg@10_se"], found["ndcg@10"] + 1.96 * found["ndcg@10_se"]


def _judge_weighed(results: Mapping[str, Result]) -> Judgement:
    own, weighed = _best(results), results["language"]["weighed"]
    runs = [one for name, one in weighed.items() if name.startswith("sasrec")]
    one = 1 / own["n"]  # what a person is worth whose target comes first
    leads = [r["figures"]["ndcg@10"] - max(r["alone"]["ndcg@10"], own["ndcg@10"]) for r in runs]
    won = sum(lead > one for lead in leads)
    each = "; ".join(
        f"gamma {r['gamma']:g}: {r['figures']['ndcg@10']:.4f} (SASRec alone {r['alone']['ndcg@10']:.4f})" for r in runs
    )
    popular = weighed["popularity"]
    note = (
        f"NDCG@10 without weights {_ndcg(own)}; with popularity, gamma {popular['gamma']:g}: "
        f"{_ndcg(popular['figures'])}; with SASRec on all events, seed by seed: {each}. {_floors(results)}. "
        f"Ahead of both parents in {sum(lead > 0 for lead in leads)} of {len(runs)} seeds, but all share what was "
        "written, and the nearest title keeps distance 0 and so its place, whatever gamma is: one person whose target "
        f"is written gives every seed {one:.4f}. Only a lead above that is counted"
    )
    return Judgement(f"{won} of {len(runs)}", verdict(won >= 4), note=note)


def _judge_popularity(results: Mapping[str, Result]) -> Judgement:
    own, runs = _best(results), results["language"]["weighed"]
    alone = [one["alone"] for name, one in runs.items() if name.startswith("sasrec")]
    rank = float(np.mean([one["mean_rank"] for one in alone]))
    cold = "; ".join(
        f"{name} {found['drawn']['cold']:.3f}" for name, found in results["floors"].items() if found["drawn"]["n_cold"]
    )
    everybody = results["floors"]["text-profile"]["all"]
    note = (
        f"Mean rank by popularity of what is in the top ten: BIGRec {own['mean_rank']:.0f}, before it was tuned "
        f"{results['language']['curve']['0']['mean_rank']:.0f}, SASRec on all events "
        f"{rank:.0f}, text profile {results['floors']['text-profile']['drawn']['mean_rank']:.0f}, popularity "
        f"{results['floors']['popularity']['drawn']['mean_rank']:.0f}. Hit@10 on the tail (less popular half of the "
        f"events): BIGRec {own['tail']:.3f}, SASRec {np.mean([one['tail'] for one in alone]):.3f}. Cold targets (at "
        f"most five events in train): {own['n_cold']} of {own['n']} people, BIGRec {own['cold']}"
        + (f", {cold}" if cold else "")
        + f"; of all {everybody['n']} people {everybody['n_cold']}, text profile {everybody['cold']:.3f}"
    )
    return Judgement(f"{own['mean_rank']:.0f} and {rank:.0f}", verdict(own["mean_rank"] > rank), note=note)


def _judge_scaling(results: Mapping[str, Result]) -> Judgement:
    found, last = results["language"], _last(results)
    own = {**found["curve"], last: found["some"]}
    first = min((size for size in own if size != "0"), key=int)
    gain = own[last]["ndcg@10"] - own[first]["ndcg@10"]
    rival = {size: float(np.mean(of_seeds(results, f"sasrec {size}", "all"))) for size in own if size != "0"}
    told = "; ".join(f"{size} {_ndcg(one)}" for size, one in sorted(own.items(), key=lambda row: int(row[0])))
    beside = "; ".join(f"{size} {value:.4f}" for size, value in sorted(rival.items(), key=lambda row: int(row[0])))
    note = (
        f"NDCG@10 of the language model by windows, {own[last]['n']} people: {told}. SASRec, everybody, mean of "
        f"{len(SEEDS)} seeds: {beside}. A person whose target "
        f"comes first is {1 / own[last]['n']:.4f}. The profile paper has 256, 1,024 and 4,096 windows"
    )
    return Judgement(
        f"{gain:+.4f} and {rival[last] - rival[first]:+.4f}", verdict(gain <= rival[last] - rival[first]), note=note
    )


_FLOORS, _LANGUAGE = Cell("floors", floors), Cell("language", language)
_RIVALS = tuple(Cell(f"rivals-{seed}", rivals(seed)) for seed in SEEDS)
_EVERY = (_FLOORS, *_RIVALS, _LANGUAGE)

PAPER = Paper(
    seed=29,
    module="honeyguide.models.language.bigrec",
    claims=(
        Claim(
            "grounded",
            "what is written is an exact title, a near one or neither; after grounding everything is in the catalogue",
            DATA,
            "share of the lists in the catalogue",
            "100 %",
            (_LANGUAGE, *_RIVALS),
            _judge_grounded,
        ),
        Claim(
            "few",
            "tuned on few windows it beats SASRec and GRU4Rec that learn from as many, each of three seeds",
            DATA,
            "NDCG@10",
            "that of both",
            _EVERY,
            _judge_few,
        ),
        Claim(
            "weighed",
            "weighed by SASRec's scores it beats SASRec and itself in 4 of 5 seeds",
            DATA,
            "seeds",
            "4 of 5",
            _EVERY,
            _judge_weighed,
        ),
        Claim(
            "popularity",
            "its lists are of less popular items than SASRec's",
            DATA,
            "mean rank by popularity, BIGRec and SASRec",
            "less popular",
            _EVERY,
            _judge_popularity,
        ),
        Claim(
            "scaling",
            "more windows help it less than they help SASRec",
            DATA,
            "gain of NDCG@10 from the fewest windows to the most",
            "at most that of SASRec",
            _EVERY,
            _judge_scaling,
        ),
    ),
)
