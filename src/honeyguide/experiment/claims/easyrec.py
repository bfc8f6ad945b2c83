"""Seed 14, "EasyRec: Simple yet Effective Language Models for Recommendation" (arXiv 2408.08821)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from honeyguide.experiment.claims import easyrec_cells as cells
from honeyguide.experiment.claims.easyrec_cells import REPHRASED, SEEDS, TRAINED, UNSEEN
from honeyguide.experiment.papers import Cell, Claim, Judgement, Paper, Result, verdict
from honeyguide.metrics.stats import t_interval

_TUNED = tuple(Cell(f"tuned-{seed}", cells.tuned(seed)) for seed in SEEDS)
_ONE = tuple(Cell(f"one-wording-{seed}", cells.unrephrased(seed)) for seed in REPHRASED)
_START, _FLOORS = Cell("untuned", cells.untuned), Cell("floors", cells.floors)
_WHERE = f"{UNSEEN}, dense core; tuned on {' and '.join(TRAINED)}"
_PROFILES = (
    "Profiles are made by rule from titles and categories, not by a language model; a wording is a frame and an order"
)


def _seeds(results: Mapping[str, Result], *path: str, cell: str = "tuned", of: Any = SEEDS) -> npt.NDArray[np.float64]:
    """A figure of every seed."""
    found: list[Any] = [results[f"{cell}-{seed}"] for seed in of]
    for step in path:
        found = [one[step] for one in found]
    return np.array(found, np.float64)


def _beside(results: Mapping[str, Result]) -> str:
    """Models fitted on the catalogue that the encoder never saw."""
    return ", ".join(
        f"{kind} {found['recall@20']:.4f} (cold users {found['cold_recall@20']:.4f})"
        for kind, found in results["floors"]["figures"].items()
    )


def _judge_gain(results: Mapping[str, Result]) -> Judgement:
    before, after = results["untuned"]["plain"]["recall@20"], _seeds(results, "plain", "recall@20")
    gain = after / before - 1
    enough, small = int((gain >= 0.2).sum()), cells.TUNED["cpu"]
    seconds = np.mean([results[f"tuned-{seed}"]["curve"][-1]["cpu_seconds"] for seed in SEEDS])
    note = (
        f"Recall@20 of cosines between profiles, {results['untuned']['plain']['users']:,} users: "
        f"{results['untuned']['encoder']} {before:.4f}, tuned {after.mean():.4f} (cold users "
        f"{_seeds(results, 'plain', 'cold_recall@20').mean():.4f}); a fifth better in {enough} of {len(after)} seeds. "
        f"{_PROFILES}. A tuning took {seconds:.0f} CPU-s; in the profile cpu it is {small['steps']} steps of "
        f"{small['batch']} users over the last {small['layers']} of six layers, far from one epoch, and two seeds: the "
        f"profile paper has the published sizes. Fitted on the catalogue itself, all its users: {_beside(results)}"
    )
    return Judgement(float(gain.mean()), verdict(enough >= 0.8 * len(gain)), t_interval(gain)[1], note)


def _judge_popularity(results: Mapping[str, Result]) -> Judgement:
    found, floor = _seeds(results, "plain", "recall@20"), results["floors"]["figures"]["popularity"]["recall@20"]
    ratio = found / floor
    note = f"Recall@20 {found.mean():.4f} against {floor:.4f}; not an interaction of this catalogue was learnt from"
    return Judgement(float(ratio.mean()), verdict(bool((ratio > 1).all())), t_interval(ratio)[1], note)


def _judge_align(results: Mapping[str, Result]) -> Judgement:
    plain, aligned = (_seeds(results, name, "recall@20") for name in ("lightgcn", "lightgcn+text-align"))
    sparse = [_seeds(results, name, "sparse_recall@20").mean() for name in ("lightgcn", "lightgcn+text-align")]
    better = int((aligned >= plain).sum())
    whole, few = aligned.mean() / plain.mean() - 1, sparse[1] / max(sparse[0], 1e-9) - 1
    note = (
        f"Recall@20, lightgcn {plain.mean():.4f}, with text-align {aligned.mean():.4f} ({whole:+.1%}); of the fifth "
        f"with the shortest histories {sparse[0]:.4f} and {sparse[1]:.4f} ({few:+.1%}); as good or better in "
        f"{better} of {len(plain)} seeds. Vectors of the tuned encoder. Beside them: {_beside(results)}"
    )
    holds = better >= 0.8 * len(plain) and few > whole
    return Judgement(float((aligned - plain).mean()), verdict(holds), t_interval(aligned - plain)[1], note)


def _judge_wordings(results: Mapping[str, Result]) -> Judgement:
    several = _seeds(results, "unseen", "recall@20", of=REPHRASED)
    one = _seeds(results, "unseen", "recall@20", cell="one-wording", of=REPHRASED)
    note = (
        f"asked in a wording that no tuning read, Recall@20, seeds: {len(one)}: with three wordings "
        f"{several.mean():.4f}, with one {one.mean():.4f}, untuned {results['untuned']['unseen']['recall@20']:.4f}. "
        f"{_PROFILES}, so an unseen wording differs less than one that a language model writes"
    )
    gap = several - one
    interval = t_interval(gap)[1] if len(gap) > 1 else None
    return Judgement(float(gap.mean()), verdict(bool(gap.mean() >= 0)), interval, note)


def _judge_cold(results: Mapping[str, Result]) -> Judgement:
    median = np.array([results[f"tuned-{seed}"]["plain"]["percentiles"][1] for seed in SEEDS])
    quartiles = ", ".join(f"{v:.3f}" for v in results["tuned-0"]["plain"]["percentiles"])
    note = (
        f"no item of the catalogue has an interaction that was learnt from; quartiles of where the wanted one stands "
        f"(0 is the top, .5 chance), seed 0: {quartiles}; untuned median "
        f"{results['untuned']['plain']['percentiles'][1]:.3f}"
    )
    return Judgement(float(median.mean()), verdict(bool((median < 0.4).all())), t_interval(median)[1], note)


PAPER = Paper(
    seed=14,
    module="honeyguide.encode.aligning",
    claims=(
        Claim(
            "zero-shot",
            "tuned on other catalogues, the encoder is better than its start on one it never saw",
            _WHERE,
            "relative gain of Recall@20",
            "at least 0.2 in four fifths of the seeds",
            (*_TUNED, _START, _FLOORS),
            _judge_gain,
        ),
        Claim(
            "popularity",
            "it beats popularity there",
            _WHERE,
            "Recall@20 over that of popularity",
            "above 1 in every seed",
            (*_TUNED, _FLOORS),
            _judge_popularity,
        ),
        Claim(
            "alignment",
            "LightGCN with aligned texts is at least LightGCN, and users with short histories gain more",
            f"{UNSEEN}, dense core",
            "Recall@20, difference",
            "at least 0 in four fifths of the seeds, and more for the sparsest fifth",
            (*_TUNED, _FLOORS),
            _judge_align,
        ),
        Claim(
            "wordings",
            "rephrasings in training help with a wording that was not read",
            _WHERE,
            "Recall@20, difference",
            "at least 0",
            (*_TUNED, *_ONE, _START),
            _judge_wordings,
        ),
        Claim(
            "cold",
            "items without an interaction stand better than by chance",
            _WHERE,
            "median percentile of the wanted item",
            "below 0.4 in every seed",
            (*_TUNED, _START),
            _judge_cold,
        ),
    ),
)
