"""Seed 32, "Improving the Shortest Plank: Vulnerability-Aware Adversarial Training" (arXiv 2409.17476)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from honeyguide.core.ragged import FloatArray
from honeyguide.experiment.claims.vat_cells import (
    METRIC,
    SEEDS,
    SERVED,
    SMOKE,
    by_seed,
    by_size,
    cost,
    fakes,
    floors,
    sizes,
    smoke,
)
from honeyguide.experiment.papers import Cell, Claim, Judgement, Paper, Result, verdict
from honeyguide.metrics.stats import t_interval


def _values(results: Mapping[str, Result], kind: str, system: str, metric: str) -> FloatArray:
    """float32 ``[seeds]``."""
    return np.array([r["figures"][kind][system][metric] for r in _seeds(results)], np.float32)


def _seeds(results: Mapping[str, Result]) -> list[Result]:
    return [result for name, result in results.items() if name.startswith("seed-")]


def _kinds(results: Mapping[str, Result]) -> list[str]:
    return [kind for kind in _seeds(results)[0]["figures"] if kind != "clean"]


def _judge_attack(results: Mapping[str, Result]) -> Judgement:
    clean = _values(results, "clean", "plain", METRIC).mean()
    hit = {kind: float(_values(results, kind, "plain", METRIC).mean()) for kind in _kinds(results)}
    ratios = {kind: value / max(float(clean), 1e-6) for kind, value in hit.items()}
    note = f"clean {clean:.5f}; " + "; ".join(f"{kind} {v:.4f} ({ratios[kind]:.1f} times)" for kind, v in hit.items())
    return Judgement(min(ratios.values()), verdict(min(ratios.values()) >= 3), note=note)


def _lowered(results: Mapping[str, Result], system: str, metric: str = METRIC) -> dict[str, float]:
    """By how much a system lowers a metric relative to no defence, for every attack."""
    return {
        kind: 1 - float(_values(results, kind, system, metric).mean() / _values(results, kind, "plain", metric).mean())
        for kind in _kinds(results)
    }


def _judge_defence(results: Mapping[str, Result]) -> Judgement:
    vat, apr = (_lowered(results, system) for system in ("vat", "apr"))
    served = _lowered(results, "vat", METRIC + SERVED)
    enough = sum(value >= 0.2 for value in vat.values())
    note = "lowered by (VAT; APR; VAT as served): " + "; ".join(
        f"{kind} {vat[kind]:.0%}, {apr[kind]:.0%}, {served[kind]:.0%}" for kind in vat
    )
    g = results["fakes"]["g"]
    note += "; g of fakes, where genuine users get 1: " + ", ".join(
        f"{kind} {own['fake'] / own['genuine']:.2f}" for kind, own in g.items()
    )
    return Judgement(f"{enough} of {len(vat)} attacks", verdict(enough >= 0.75 * len(vat)), note=note)


def _judge_apr(results: Mapping[str, Result]) -> Judgement:
    below, cells = 0, 0
    means = []
    for kind in _kinds(results):
        vat, apr = (_values(results, kind, system, METRIC) for system in ("vat", "apr"))
        below, cells = below + int((vat < apr).sum()), cells + len(vat)
        means.append(f"{kind} {vat.mean():.4f} and {apr.mean():.4f}")
    g = np.mean([_values(results, kind, "plain", "mean_g").mean() for kind in _kinds(results)])
    note = f"VAT and APR: {'; '.join(means)}; the mean of g over the users of the plain model is {g:.2f}, that of APR 1"
    return Judgement(f"{below} of {cells} cells", verdict(below > cells / 2), note=note)


def _judge_recall(results: Mapping[str, Result]) -> Judgement:
    ratios = {}
    for kind in ("clean", *_kinds(results)):
        plain, vat = (_values(results, kind, system, "recall@20") for system in ("plain", "vat"))
        ratios[kind] = vat / plain
    holds = ratios["clean"].mean() >= 0.99 and all(r.mean() >= 1 for kind, r in ratios.items() if kind != "clean")
    served = _values(results, "clean", "vat", "recall@20" + SERVED) / _values(
        results, "clean", "plain", "recall@20" + SERVED
    )
    note = "; ".join(f"{kind} {r.mean():.3f}" for kind, r in ratios.items()) + f"; clean, as served {served.mean():.3f}"
    clean = ratios["clean"]
    return Judgement(float(clean.mean()), verdict(bool(holds)), t_interval(clean)[1], f"VAT over plain: {note}")


def _judge_observation(results: Mapping[str, Result]) -> Judgement:
    orders = np.stack([_values(results, kind, "plain", "loss_order") for kind in _kinds(results)])  # [attacks, seeds]
    each = orders.mean(axis=0)
    low, high = t_interval(each)[1]
    note = "; ".join(f"{kind} {row.mean():.3f}" for kind, row in zip(_kinds(results), orders, strict=True))
    return Judgement(float(each.mean()), verdict(low > 0.5), (low, high), note)


def _judge_inverted(results: Mapping[str, Result]) -> Judgement:
    hit = [[_values(results, k, system, METRIC) for k in _kinds(results)] for system in ("inverted", "vat")]
    gaps = np.stack(hit[0]) - np.stack(hit[1])  # [attacks, seeds]
    worse = int((gaps.mean(axis=1) > 0).sum())
    found = [[_values(results, k, system, "recall@20") for k in _kinds(results)] for system in ("inverted", "vat")]
    recall = float((np.stack(found[0]) - np.stack(found[1])).mean())
    note = "T-HR@50 inverted less VAT: " + "; ".join(
        f"{kind} {gap.mean():+.4f}" for kind, gap in zip(_kinds(results), gaps, strict=True)
    )
    return Judgement(
        f"{worse} of {len(gaps)} attacks", verdict(worse > len(gaps) / 2), note=f"{note}; Recall@20 {recall:+.4f}"
    )


def _judge_sizes(results: Mapping[str, Result]) -> Judgement:
    found, floors = by_size(results["sizes"], results["seed-0"]), results["floors"]["figures"]
    curves = {name: [figures[name][METRIC] for figures in found.values()] for name in ("plain", "apr", "vat")}
    lower = all(v <= p for v, p in zip(curves["vat"], curves["plain"], strict=True))
    grows = curves["plain"][-1] > curves["plain"][0]
    parts = [f"bandwagon, seed 0, fakes {', '.join(f'{size:.0%}' for size in found)}"]
    parts += [f"{name} {', '.join(f'{v:.4f}' for v in values)}" for name, values in curves.items()]
    for name in ("popularity", "itemknn"):
        own = [
            f"{kind} {f[name][METRIC + SERVED]:.4f}, {f[name]['recall@20' + SERVED]:.4f}" for kind, f in floors.items()
        ]
        parts.append(f"{name}, T-HR@50 and Recall@20: {', '.join(own)}")
    value = f"{curves['plain'][-1]:.4f} and {curves['vat'][-1]:.4f}"
    return Judgement(value, verdict(lower and grows), note="; ".join(parts))


def _judge_cost(results: Mapping[str, Result]) -> Judgement:
    ratio = results["cost"]["ratio"]
    return Judgement(ratio, verdict(ratio <= 2.1))


def _judge_smoke(results: Mapping[str, Result]) -> Judgement:
    names = [cell.removeprefix("over-") for cell in results]
    runs = sum(bool(np.isfinite(list(r["vat"].values())).all() and 0 < r["moved"] < np.inf) for r in results.values())
    note = "T-HR@50 plain, VAT, Recall@20 plain, VAT: " + "; ".join(
        f"{name} " + ", ".join(f"{r[s][m + SERVED]:.4f}" for m in (METRIC, "recall@20") for s in ("plain", "vat"))
        for name, r in zip(names, results.values(), strict=True)
    )
    return Judgement(f"{runs} of {len(names)}", verdict(runs == len(names)), note=note)


_BY_SEED = tuple(Cell(f"seed-{seed}", by_seed(seed)) for seed in SEEDS)
_WHERE = "gowalla-lightgcn, cut to a core of 6,000 users"

PAPER = Paper(
    seed=32,
    module="honeyguide.plugins.vat",
    claims=(
        Claim(
            "attack-works",
            "without a defence an attack raises T-HR@50 to three times its clean value or more",
            _WHERE,
            "least ratio over attacks",
            3.0,
            _BY_SEED,
            _judge_attack,
        ),
        Claim(
            "defence",
            "VAT lowers T-HR@50 by a fifth or more for three of four attacks, mean of five seeds",
            _WHERE,
            "attacks",
            "3 of 4",
            (*_BY_SEED, Cell("fakes", fakes)),
            _judge_defence,
        ),
        Claim(
            "apr",
            "T-HR@50 of VAT is below that of APR at equal epsilon in most cells",
            _WHERE,
            "cells of attack x seed",
            "more than half",
            _BY_SEED,
            _judge_apr,
        ),
        Claim(
            "recall",
            "Recall@20 of VAT is 99 % of the plain model's or more on clean data, and no less under attack",
            _WHERE,
            "ratio on clean data",
            0.99,
            _BY_SEED,
            _judge_recall,
        ),
        Claim(
            "observation",
            "users whom an attack reaches were fitted better than others",
            _WHERE,
            "P(lower training loss)",
            "above .5",
            _BY_SEED,
            _judge_observation,
        ),
        Claim(
            "inverted",
            "moving badly fitted users more is worse than VAT",
            _WHERE,
            "attacks with a higher T-HR@50",
            "more than half",
            _BY_SEED,
            _judge_inverted,
        ),
        Claim(
            "sizes",
            "the larger the attack the more it reaches, and less with VAT at every size",
            _WHERE,
            "T-HR@50 at the largest, plain and VAT",
            "lower at every size",
            (Cell("sizes", sizes), Cell("floors", floors), _BY_SEED[0]),
            _judge_sizes,
        ),
        Claim(
            "cost",
            "an epoch costs 2.1 times a plain one or less",
            _WHERE,
            "ratio of CPU-seconds",
            2.1,
            (Cell("cost", cost),),
            _judge_cost,
        ),
        Claim(
            "backbones",
            "runs over every kind of model that gives its vectors, and moves its scores",
            "goodbooks-mini, 300 readers",
            "models",
            f"{len(SMOKE)} of {len(SMOKE)}",
            tuple(Cell(f"over-{name}", smoke(name)) for name in SMOKE),
            _judge_smoke,
        ),
    ),
)
