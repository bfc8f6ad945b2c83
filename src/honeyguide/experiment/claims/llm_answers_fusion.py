"""Seed 58: ChatGPT's lists fused with those of similar users."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from honeyguide.core.ragged import IntArray
from honeyguide.data.load import load_data
from honeyguide.experiment.answers import grounder_of, read_lists
from honeyguide.experiment.bench import Bench, reciprocal_rank_fusion, score
from honeyguide.experiment.claims.llm_answers_protocols import DATA, answers_of, released, user_knn
from honeyguide.experiment.papers import Judgement, Profile, Result, verdict
from honeyguide.metrics.published import PROFILE

_FOLDS = 10
_GRID = tuple((constant, weight) for constant in (1.0, 10.0, 60.0) for weight in (1.0, 0.5, 0.3, 0.2, 0.1))


def fusion(profile: Profile) -> Result:
    """ChatGPT's list and UserKNN's, by reciprocal ranks; what weighs how much is chosen on other users."""
    data = load_data(DATA)
    bench = Bench.of(data, PROFILE)
    chat = bench.unseen(
        bench.lists_of(read_lists(answers_of("gpt-3.5-turbo", "E1"), grounder_of(data), data, bench)[0])
    )
    found = {}
    for name, neighbours in {"released": released(bench, "UserKNN"), "own": user_knn(bench)}.items():
        fused = {
            way: reciprocal_rank_fusion([neighbours, chat], constant=way[0], weights=(1.0, way[1])) for way in _GRID
        }
        fold = np.arange(len(bench.users)) % _FOLDS
        mixed = np.empty_like(fused[_GRID[0]])
        chosen = []
        for part in range(_FOLDS):
            way = _chosen(bench, neighbours, fused, fold != part)
            mixed[fold == part] = fused[way][fold == part]
            chosen.append(list(way))
        lists = {"UserKNN": neighbours, "equal weights": fused[(60.0, 1.0)], "weighted": mixed, "ChatGPT": chat}
        rows = {key: score(bench, one, (10,)).metrics for key, one in lists.items()}
        shown = ("ndcg_exp@10", "item_coverage@10", "gini@10", "aplt@10")
        found[name] = {"rows": {k: {m: row[m] for m in shown} for k, row in rows.items()}, "chosen": chosen}
    return found


def _chosen(
    bench: Bench, alone: IntArray, fused: Mapping[tuple[float, float], IntArray], mask: npt.NDArray[np.bool_]
) -> tuple[float, float]:
    """Of the ways that lose at most 2 % nDCG on the users of ``mask``, that of the largest coverage there."""

    def measured(lists: IntArray) -> tuple[float, int]:
        value = score(bench, lists, (10,)).per_user["ndcg_exp@10"][mask]
        return float(np.nanmean(value)), len(np.unique(lists[mask][:, :10]))

    floor = 0.98 * measured(alone)[0]
    tried = {way: measured(lists) for way, lists in fused.items()}
    fit = {way: found for way, found in tried.items() if found[0] >= floor} or tried
    return max(fit, key=lambda way: (fit[way][1], fit[way][0]))


def judge_fusion(results: Mapping[str, Result]) -> Judgement:
    """Against the released lists of UserKNN."""
    found = results["fusion"]

    def change(of: str, row: str) -> tuple[float, float]:
        alone, other = found[of]["rows"]["UserKNN"], found[of]["rows"][row]
        return 1 - other["ndcg_exp@10"] / alone["ndcg_exp@10"], other["item_coverage@10"] - alone["item_coverage@10"]

    cases = {f"{of}, {row}": change(of, row) for of in found for row in ("equal weights", "weighted")}
    words = [f"{name}: nDCG {-loss:+.1%}, coverage {more:+.0f}" for name, (loss, more) in cases.items()]
    loss, more = cases["released, weighted"]
    held = loss <= 0.02 and more >= 0
    weights: Sequence[Any] = found["released"]["chosen"]
    near, ours = (found[of]["rows"]["UserKNN"]["item_coverage@10"] for of in ("released", "own"))
    chat = found["released"]["rows"]["ChatGPT"]["item_coverage@10"]
    note = (
        f"Against the released UserKNN lists and our own: {'; '.join(words)}. Constant and weight of ChatGPT chosen on "
        f"the other nine tenths of the users (released: {weights}); with equal weights the worse list "
        f"drags the better down. ChatGPT's own lists cover {chat:.0f} items, the released neighbours' {near:.0f}, our "
        f"neighbours' {ours:.0f}: where neighbours already cover more, a list nearer to the head adds none"
    )
    return Judgement(f"nDCG {-loss:+.1%}, coverage {more:+.0f}", verdict(held), note=note)
