"""Seed 17, "LLM4DSR: Leveraging Large Language Model for Denoising Sequential Recommendation" (arXiv 2408.08208).

``$HONEYGUIDE_LM`` names another local model for the same command.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from honeyguide.experiment.claims.llm4dsr_cells import (
    DATA,
    GRU_SEEDS,
    SEEDS,
    SETTING,
    choose,
    floors,
    language,
    natural,
    noisy,
    second,
    why,
)
from honeyguide.experiment.papers import Cell, Claim, Judgement, Paper, Result, verdict
from honeyguide.metrics.stats import t_interval

_SHARES = (10, 20)
_ENOUGH = 0.8  # of the seeds: four of five


def _of(results: Mapping[str, Result], kind: str) -> list[Result]:
    """The cells of a kind, by seed."""
    return [results[name] for name in sorted(results) if name.startswith(f"{kind}-")]


def _values(cells: Sequence[Result], *path: str) -> list[float]:
    found: list[Any] = list(cells)
    for name in path:
        found = [cell[name] for cell in found]
    return [float(value) for value in found]


def _of_those(cells: Sequence[Result], kind: str, name: str) -> float:
    """Mean over the seeds in which it was measured."""
    return float(np.mean([cell[kind][name] for cell in cells if name in cell[kind]]))


def _mean(values: Sequence[float]) -> str:
    return f"{np.mean(values):.4f}"


def _each(values: Sequence[float]) -> str:
    return ", ".join(f"{value:.4f}" for value in values)


def _floors(results: Mapping[str, Result]) -> str:
    told = "; ".join(
        f"{share} % noise: popularity {found['popularity']:.4f}, linear floor {found['floor']:.4f}"
        for share, found in results["floors"].items()
    )
    return f"NDCG@20 of the floors, {told}"


def _judge_detection(results: Mapping[str, Result]) -> Judgement:
    cells, lm = [cell["detection"] for cell in _of(results, "ten")], results["lm"]
    means = {name: _of_those(cells, "auc", name) for name in cells[0]["auc"]}
    tuned = max(value for name, value in lm["auc"].items() if name.startswith("tuned"))
    told = ", ".join(f"{name} {value:.3f}" for name, value in means.items())
    said = ", ".join(f"{name} {value:.3f}" for name, value in lm["auc"].items())
    note = (
        f"{cells[0]['events']:,} events, {cells[0]['noise']:,} of them noise, {len(cells)} seeds: {told}. "
        f"{lm['model']}, tuned on {lm['samples']} windows, one seed, on {lm['windows']} of the windows cut to their "
        f"latest titles ({lm['events']} events, {lm['noise']} noise): {said}; loss "
        f"from {np.mean(lm['losses'][:3]):.2f} to {np.mean(lm['losses'][-3:]):.2f}. Looked for: whether it is what "
        "is read (the first token or the whole title, across windows or within them) or the tuning (before and after); "
        "more windows are for the profile paper. The encoder sees the counts of the "
        "log, and these find what is rare: noise drawn uniformly is rarer than what people take, which noise of "
        "another kind need not be."
    )
    own = _values(cells, "auc", "encoder")
    return Judgement(
        f"encoder {means['encoder']:.3f}, tuned LM {tuned:.3f}",
        verdict(means["encoder"] >= 0.7 and tuned >= 0.7),
        t_interval(own)[1],
        note,
    )


def _judge_corrected(results: Mapping[str, Result]) -> Judgement:
    clean, notes, held, values = _of(results, "natural"), [], True, []
    for share, kind in zip(_SHARES, ("ten", "twenty"), strict=True):
        cells = _of(results, kind)
        plain, corrected = _values(cells, "plain"), _values(cells, "corrected")
        ceiling = _values(clean, "clean model, noisy histories", str(share))
        better = sum(c > p for c, p in zip(corrected, plain, strict=True))
        recovered = _recovered(plain, corrected, ceiling)
        whole = _recovered(plain, corrected, _values(clean, "plain"))
        held = held and better >= _ENOUGH * len(cells) and recovered is not None and recovered >= 0.3
        values.append(f"{share} %: better in {better} of {len(cells)}, {_share(recovered)}")
        notes.append(_told(share, cells, ceiling, whole))
    note = f"{'. '.join(notes)}. {_looked_for(results)}. {_floors(results)}. {_chosen(results['choose'])}"
    return Judgement("; ".join(values), verdict(held), note=note)


def _recovered(plain: Sequence[float], corrected: Sequence[float], ceiling: Sequence[float]) -> float | None:
    """Share of the way from ``plain`` to ``ceiling``; ``None`` where noise costs less than 2 %."""
    gap = float(np.mean(ceiling) - np.mean(plain))
    return float(np.mean(corrected) - np.mean(plain)) / gap if gap > 0.02 * float(np.mean(plain)) else None


def _share(recovered: float | None) -> str:
    if recovered is None:
        return "nothing was lost that could be recovered"
    return f"{recovered:.0%} recovered" if recovered > 0 else "none recovered"


def _told(share: int, cells: Sequence[Result], ceiling: Sequence[float], whole: float | None) -> str:
    """Of one share of noise: every seed, what the corrections were, and the parts of the effect."""
    met = {name: float(np.mean(_values(cells, "corrections", name))) for name in ("n", "precision", "recall")}
    rival = [cell for cell in cells if "dropped by loss" in cell]
    dropped = (
        f"; without as many events that the noisy model fits worst, seeds: {len(rival)}, "
        f"{_mean(_values(rival, 'dropped by loss'))}"
        if rival
        else ""
    )
    return (
        f"{share} % noise, NDCG@20 by seed: noisy {_each(_values(cells, 'plain'))}; corrected "
        f"{_each(_values(cells, 'corrected'))} (corrected before training alone "
        f"{_mean(_values(cells, 'trained on corrected alone'))}{dropped}); learnt from clean data and asked with the "
        f"same noisy histories {_mean(ceiling)}. To clean data and clean histories: {_share(whole)}. "
        f"{met['n']:,.0f} training events are replaced, of which {met['precision']:.0%} are noise: "
        f"{met['recall']:.0%} of all noise"
    )


def _looked_for(results: Mapping[str, Result]) -> str:
    """Where the effect is lost: at what is taken for noise, at what is put there, or before."""
    found, people = results["why"]["ndcg"], results["why"]["people"]
    told = "; ".join(f"{name} {value:.4f}" for name, value in found.items())
    return (
        "Looked for at what is taken for noise, at what is put there, and at the noise itself: with 10 % and seed 0, "
        "as if the noise of the training part were known, against "
        f"{results['ten-0']['plain']:.4f} as it is: {told}. Genuine events that are replaced are of items "
        f"that {people['genuine, replaced']:.1f} people took, other genuine ones {people['genuine']:.1f}, what is "
        f"put there {people['their replacements']:.1f}"
    )


def _chosen(cell: Result) -> str:
    told = "; ".join(
        f"{name}: " + ", ".join(f"{serve} {value:.4f}" for serve, value in found.items())
        for name, found in cell["valid"].items()
    )
    return (
        f"The setting {SETTING} was chosen on valid with a seed of its own; NDCG@20 there by percentile and "
        f"number before training, and by percentile when asked: {told}"
    )


def _judge_filter(results: Mapping[str, Result]) -> Judgement:
    cells = [cell for cell in _of(results, "ten") if "without a filter" in cell]
    on, off = _values(cells, "corrected"), _values(cells, "without a filter")
    gaps = [a - b for a, b in zip(on, off, strict=True)]
    note = (
        f"as many events of every window replaced as may be, before training and when asked: {_each(off)}; with it "
        f"{_each(on)}; as it is {_each(_values(cells, 'plain'))}. {_floors(results)}"
    )
    worse = all(gap > 0 for gap in gaps)
    return Judgement(float(np.mean(gaps)), verdict(worse), t_interval(gaps)[1], note)


def _judge_natural(results: Mapping[str, Result]) -> Judgement:
    cells = _of(results, "natural")
    plain, corrected = _values(cells, "plain"), _values(cells, "corrected")
    ratios = [c / p for c, p in zip(corrected, plain, strict=True)]
    note = (
        f"as it is {_each(plain)}, corrected {_each(corrected)}; {np.mean(_values(cells, 'share')):.1%} of the "
        f"training events are replaced. {_floors(results)}. {_chosen(results['choose-natural'])}"
    )
    value = float(np.mean(corrected) / np.mean(plain))
    return Judgement(value, verdict(value >= 0.99), t_interval(ratios)[1], note)


def _judge_replacement(results: Mapping[str, Result]) -> Judgement:
    cells, lm = [cell["detection"] for cell in _of(results, "ten")], results["lm"]
    own, popular = _values(cells, "hits", "encoder"), _values(cells, "hits", "popularity")
    others = ", ".join(f"{name} {_of_those(cells, 'hits', name):.2%}" for name in cells[0]["hits"] if name != "encoder")
    note = (
        f"at the {cells[0]['noise']:,} noisy events of the released test windows: {others}; titles that the tuned "
        f"language model writes, brought to the catalogue, {lm['hits']:.2%} of {lm['noise']}"
    )
    held = all(a > b for a, b in zip(own, popular, strict=True))
    return Judgement(f"{np.mean(own):.2%}", verdict(held), t_interval(own)[1], note)


def _judge_second(results: Mapping[str, Result]) -> Judgement:
    cells = _of(results, "gru")
    plain, corrected = _values(cells, "plain"), _values(cells, "corrected")
    gaps = [c - p for c, p in zip(corrected, plain, strict=True)]
    note = (
        f"20 % noise, seeds: {len(cells)}, with the setting chosen for SASRec: as it is {_each(plain)}; corrected "
        f"{_each(corrected)}. It fits, saves and serves without a change; what is lost is what is lost with SASRec "
        f"(see the note of the claim on it). {_floors(results)}"
    )
    better = sum(gap > 0 for gap in gaps)
    interval = t_interval(gaps)[1] if len(gaps) > 1 else None
    return Judgement(f"better in {better} of {len(cells)}", verdict(better == len(cells)), interval, note)


_TEN = tuple(Cell(f"ten-{seed}", noisy(10, seed)) for seed in SEEDS)
_TWENTY = tuple(Cell(f"twenty-{seed}", noisy(20, seed)) for seed in SEEDS)
_NATURAL = tuple(Cell(f"natural-{seed}", natural(seed)) for seed in SEEDS)
_GRU = tuple(Cell(f"gru-{seed}", second(seed)) for seed in GRU_SEEDS)
_LM, _FLOORS, _CHOOSE = Cell("lm", language), Cell("floors", floors), Cell("choose", choose(20))
_WHY = Cell("why", why)
_CHOOSE_NATURAL = Cell("choose-natural", choose(0))
_NDCG = "NDCG@20"

PAPER = Paper(
    seed=17,
    module="honeyguide.plugins.llm4dsr",
    claims=(
        Claim(
            "detection",
            "events put in at random are told from genuine ones, by a language model and by an encoder of titles",
            DATA,
            "AUC over events; random .5",
            "both at least .70",
            (*_TEN, _LM),
            _judge_detection,
        ),
        Claim(
            "corrected",
            "with 10 and 20 % of noise, SASRec on corrected data beats SASRec on noisy data",
            DATA,
            f"seeds in which {_NDCG} is higher; share of the way to clean training",
            "4 of 5; 30 %",
            (*_TEN, *_TWENTY, *_NATURAL, _FLOORS, _CHOOSE, _WHY),
            _judge_corrected,
        ),
        Claim(
            "filter",
            "without the confidence filter the result is worse",
            DATA,
            f"difference of {_NDCG}",
            "above 0 in every seed",
            (*_TEN, _FLOORS),
            _judge_filter,
        ),
        Claim(
            "natural",
            "on data without injected noise it does not hurt",
            DATA,
            f"{_NDCG}, corrected to plain",
            "at least .99",
            (*_NATURAL, _FLOORS, _CHOOSE_NATURAL),
            _judge_natural,
        ),
        Claim(
            "replacement",
            "what stood there is among 20 suggested more often than among the 20 most popular",
            DATA,
            "share of noisy events",
            "above popularity in every seed",
            (*_TEN, _LM),
            _judge_replacement,
        ),
        Claim(
            "second-backbone",
            "the same plug-in works for GRU4Rec",
            DATA,
            f"seeds in which {_NDCG} is higher",
            "all",
            (*_GRU, _FLOORS),
            _judge_second,
        ),
    ),
)
