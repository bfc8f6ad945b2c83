"""Seed 21, "LoRec: Large Language Model for Robust Sequential Recommendation" (arXiv 2401.17723)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from honeyguide.experiment.claims import lorec_cells as cells
from honeyguide.experiment.claims.lorec_cells import ATTACKS, HARD, REACHED, SEEDS
from honeyguide.experiment.papers import Cell, Claim, Judgement, Paper, Result, verdict
from honeyguide.metrics.stats import t_interval

_BY_SEED = tuple(Cell(f"seed-{seed}", cells.by_seed(seed)) for seed in SEEDS)
_MARGINS, _FLOORS = Cell("margins", cells.margins), Cell("floors", cells.floors)
_READERS, _LOOKS = Cell("readers", cells.readers), Cell("looks", cells.looks)
_WHERE = "amazon-toys, users with 14 events or more, dense core"


def _values(results: Mapping[str, Result], kind: str, system: str, metric: str) -> npt.NDArray[np.float64]:
    """Of every seed that has the system."""
    found = (results[f"seed-{seed}"]["figures"][kind] for seed in SEEDS)
    return np.array([own[system][metric] for own in found if system in own], np.float64)


def _ratio(results: Mapping[str, Result], kind: str, system: str = "lorec") -> npt.NDArray[np.float64]:
    """T-HR@50 over that of the plain model, of every seed of the system."""
    own = _values(results, kind, system, REACHED[0])
    plain = _values(results, kind, "plain", REACHED[0])[: len(own)]
    return own / np.maximum(plain, 1e-9)


def _judge_defence(results: Mapping[str, Result]) -> Judgement:
    enough = {kind: int((_ratio(results, kind) <= 0.7).sum()) for kind in ATTACKS}
    held = sum(n >= 4 for n in enough.values())
    parts = []
    for kind in ATTACKS:
        plain, own = (_values(results, kind, system, REACHED[0]).mean() for system in ("plain", "lorec"))
        gains = [_values(results, kind, system, REACHED[1]).mean() for system in ("plain", "lorec")]
        parts.append(
            f"{kind} {plain:.4f} to {own:.4f} (70 % in {enough[kind]} of {len(SEEDS)} seeds; T-NDCG@50 {gains[0]:.4f} "
            f"to {gains[1]:.4f}; weight below .5 for {_values(results, kind, 'lorec', 'fakes_low').mean():.0%} of the "
            f"fakes; VAT, one seed, {_ratio(results, kind, 'vat').mean():.0%} of plain)"
        )
    clean = _values(results, "clean", "plain", REACHED[0]).mean()
    floor = results["floors"]["figures"]
    beside = ", ".join(
        f"{kind} {floor[kind]['popularity'][REACHED[0]]:.4f} and {floor[kind]['floor'][REACHED[0]]:.4f}"
        for kind in ("clean", *ATTACKS)
    )
    looked = ", ".join(f"{name} {own[REACHED[0]]:.4f}" for name, own in results["looks"]["figures"].items())
    one = [results[f"seed-{SEEDS[0]}"]["figures"]["segment"][system][REACHED[0]] for system in ("plain", "lorec")]
    note = (
        f"T-HR@50 of plain, without an attack {clean:.4f}; {'; '.join(parts)}. Looked at, segment, one seed (plain "
        f"{one[0]:.4f}, LoRec {one[1]:.4f}): {looked}. Known: somebody tells who is a fake, and a calibrator without "
        f"a fault does no better. Popularity and floor: {beside}"
    )
    return Judgement(f"{held} of {len(ATTACKS)} attacks", verdict(held >= 3), note=note)


def _judge_clean(results: Mapping[str, Result]) -> Judgement:
    own, plain = (_values(results, "clean", system, "recall@10") for system in ("lorec", "plain"))
    ratio = own / plain
    floor = results["floors"]["figures"]["clean"]
    gains = [_values(results, "clean", system, "ndcg@10").mean() for system in ("lorec", "plain")]
    attacked = ", ".join(
        f"{kind} {_values(results, kind, 'lorec', 'recall@10').mean():.4f} and "
        f"{_values(results, kind, 'plain', 'recall@10').mean():.4f}"
        for kind in ATTACKS
    )
    note = (
        f"HR@10 {own.mean():.4f}, plain {plain.mean():.4f}; NDCG@10 {gains[0]:.4f} and {gains[1]:.4f}; popularity "
        f"{floor['popularity']['recall@10']:.4f}, linear floor {floor['floor']['recall@10']:.4f}: the model is narrow "
        f"and trained for few epochs. Under attack: {attacked}"
    )
    return Judgement(float(ratio.mean()), verdict(bool(ratio.mean() >= 0.99)), t_interval(ratio)[1], note)


def _judge_auc(results: Mapping[str, Result]) -> Judgement:
    found = np.stack([_values(results, kind, "lorec", "auc") for kind in ATTACKS])  # [attacks, seeds]
    last = [_values(results, kind, "lorec", "auc_last").mean() for kind in ATTACKS]
    each = found.mean(axis=0)
    parts = ", ".join(f"{k} {row.mean():.3f} ({x:.3f})" for k, row, x in zip(ATTACKS, found, last, strict=True))
    alone = "; ".join(
        f"{name} " + ", ".join(f"{kind} {value:.2f}" for kind, value in own.items())
        for name, own in results["readers"]["auc"].items()
    )
    note = (
        "the fakes learnt from are of the other families; suspicion is the mean of c over the rounds (c of the end): "
        f"{parts}. A classifier on z alone (LLM4Dec), {results['readers']['each']} fakes a family: {alone}"
    )
    return Judgement(float(each.mean()), verdict(bool(each.mean() >= 0.85)), t_interval(each)[1], note)


def _judge_text(results: Mapping[str, Result]) -> Judgement:
    gaps = np.stack([_values(results, k, "lorec", "auc") - _values(results, k, "no-text", "auc") for k in HARD])
    last = np.stack(
        [_values(results, k, "lorec", "auc_last") - _values(results, k, "no-text", "auc_last") for k in HARD]
    )
    each, (low, high) = gaps.mean(axis=0), t_interval(gaps.mean(axis=0))[1]
    reach = ", ".join(
        f"{kind} {_values(results, kind, 'lorec', REACHED[0]).mean():.4f} and "
        f"{_values(results, kind, 'no-text', REACHED[0]).mean():.4f}"
        for kind in HARD
    )
    sure = "" if low > 0 or high < 0 else "; the interval holds 0, so it is no more than a tendency"
    parts = ", ".join(f"{kind} {gap.mean():+.3f}" for kind, gap in zip(HARD, gaps, strict=True))
    note = (
        f"with less without the text: {parts}; by c of the end {last.mean():+.3f}{sure}. T-HR@50 with and "
        f"without: {reach}. z is the mean of MiniLM's vectors of the titles; a language model's is in the profile paper"
    )
    return Judgement(float(each.mean()), verdict(bool(each.mean() > 0)), (low, high), note)


def _judge_genuine(results: Mapping[str, Result]) -> Judgement:
    kinds = ("clean", *ATTACKS)
    found = np.stack([_values(results, kind, "lorec", "genuine_low") for kind in kinds])
    each = found.mean(axis=0)
    rounds = [
        [r["flagged"] for r in results[f"seed-{s}"]["figures"][k]["lorec"]["rounds"]] for s in SEEDS for k in kinds
    ]
    flagged = np.concatenate([np.array(r) for r in rounds])
    narrow = results["margins"]["figures"]
    tried = "; ".join(
        f"margin {margin} {own['genuine_low']:.1%}, fakes {own['fakes_low']:.0%}, T-HR@50 {own[REACHED[0]]:.4f}"
        for margin, own in {**narrow, "1": results[f"seed-{SEEDS[0]}"]["figures"]["random"]["lorec"]}.items()
    )
    parts = ", ".join(f"{kind} {row.mean():.1%}" for kind, row in zip(kinds, found, strict=True))
    blind = np.mean([_values(results, k, "no-text", "genuine_low").mean() for k in HARD])
    note = (
        f"by data: {parts}. Looked at: a round that was ready flags {flagged[flagged > 0].mean():.0%} of the users: "
        f"the same genuine ones stand above again and again; {np.mean(flagged == 0):.0%} of the rounds were not ready; "
        f"without the text {blind:.1%}; by the margin (0 is the paper's), random fakes, one seed: {tried} (plain "
        f"{_values(results, 'random', 'plain', REACHED[0])[0]:.4f})"
    )
    return Judgement(float(each.mean()), verdict(bool(each.mean() < 0.05)), t_interval(each)[1], note)


PAPER = Paper(
    seed=21,
    module="honeyguide.plugins.lorec",
    claims=(
        Claim(
            "defence",
            "T-HR@50 is 70 % of the plain model's or less in four of five seeds for three of four attacks of 1 %",
            _WHERE,
            "attacks",
            "3 of 4",
            (*_BY_SEED, _FLOORS, _LOOKS),
            _judge_defence,
        ),
        Claim(
            "clean",
            "HR@10 on clean data is 99 % of the plain model's or more",
            _WHERE,
            "ratio",
            0.99,
            (*_BY_SEED, _FLOORS),
            _judge_clean,
        ),
        Claim(
            "unseen-family",
            "injected users of a family that no fake was made up of are told from genuine ones",
            _WHERE,
            "ROC-AUC of the suspicion",
            0.85,
            (*_BY_SEED, _READERS),
            _judge_auc,
        ),
        Claim(
            "language",
            "without the text (lambda_2 = 0) the ROC-AUC on unseen attacks drops",
            _WHERE,
            "ROC-AUC, difference",
            "above 0",
            _BY_SEED,
            _judge_text,
        ),
        Claim(
            "genuine",
            "fewer than 5 % of genuine users end with a weight below .5",
            _WHERE,
            "share",
            "below 0.05",
            (*_BY_SEED, _MARGINS),
            _judge_genuine,
        ),
    ),
)
