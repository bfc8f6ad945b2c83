"""Seed 25, "LightGNN: Simple Graph Neural Network for Recommendation" (arXiv 2501.03228)."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import numpy as np

from honeyguide.core.ragged import FloatArray
from honeyguide.experiment.claims.lightgnn_cells import (
    PUBLISHED,
    RUNS,
    SEEDS,
    YELP_USERS,
    floors,
    longer,
    parts,
    published,
    sweep,
    times,
)
from honeyguide.experiment.papers import Cell, Claim, Judgement, Paper, Result, verdict
from honeyguide.metrics.stats import t_interval


def _recalls(results: Mapping[str, Result], way: str, run: int) -> FloatArray:
    """Recall@20 of every seed."""
    return np.array([results[f"sweep-{seed}"][way][run]["recall@20"] for seed in SEEDS], np.float32)


def _judge_five(results: Mapping[str, Result]) -> Judgement:
    shares = _recalls(results, "score", RUNS[0]) / _recalls(results, "score", 0)
    enough = int((shares >= 0.97).sum())
    return Judgement(
        float(shares.mean()),
        verdict(enough >= len(SEEDS) - 1),
        t_interval(shares)[1],
        f"{enough} of {len(SEEDS)} seeds reach .97; {_means(results)}. {_more(results)}",
    )


def _more(results: Mapping[str, Result]) -> str:
    """What longer training gives back."""
    longer, short = results["longer"], results["sweep-0"]["score"]
    first, last = (longer["runs"][run]["recall@20"] for run in (0, RUNS[0]))
    return (
        f"Twice the epochs ({longer['epochs']} a run; the paper has 300 to 600), seed 0: {last:.4f} of {first:.4f}, "
        f"{last / first:.3f} in place of {short[RUNS[0]]['recall@20'] / short[0]['recall@20']:.3f}, and "
        f"{last / short[0]['recall@20']:.3f} of the unpruned student with half the epochs."
    )


def _means(results: Mapping[str, Result]) -> str:
    """Mean Recall@20 of everything that the sweep compares."""
    lightgcn = np.mean([results[f"sweep-{seed}"]["lightgcn"]["recall@20"] for seed in SEEDS])
    runs = ", ".join(f"{np.mean(_recalls(results, 'score', r)):.4f} after {r} runs" for r in (0, *RUNS))
    floors = ", ".join(f"{name} {found['recall@20']:.4f}" for name, found in results["floors"]["ml-100k"].items())
    return f"mean Recall@20: {runs}; LightGCN {lightgcn:.4f}, {floors}"


def _judge_ten(results: Mapping[str, Result]) -> Judgement:
    full, drawn = _recalls(results, "score", RUNS[1]), _recalls(results, "random", -1)
    shares, low = full / _recalls(results, "score", 0), t_interval(full - drawn)[1][0]
    return Judgement(
        float(shares.mean()),
        verdict(shares.mean() >= 0.9 and low > 0),
        t_interval(shares)[1],
        f"Random pruning to the same shares, with the same teachers: {drawn.mean():.4f} against {full.mean():.4f}, "
        f"{_difference(full, drawn)}.",
    )


def _judge_magnitude(results: Mapping[str, Result]) -> Judgement:
    full, own = _recalls(results, "score", RUNS[1]), _recalls(results, "magnitude", RUNS[1])
    return Judgement(
        float((full - own).mean()),
        verdict(t_interval(full - own)[1][0] > 0),
        t_interval(full - own)[1],
        f"{full.mean():.4f} against {own.mean():.4f}. AUC of true against random edges before the first pruning, "
        f"seed 0: {', '.join(f'{name} {value:.3f}' for name, value in results['parts'].items())}.",
    )


def _difference(a: FloatArray, b: FloatArray) -> str:
    low, high = t_interval(a - b)[1]
    return f"difference {(a - b).mean():.4f} [{low:.4f}, {high:.4f}]"


def _judge_yelp(results: Mapping[str, Result]) -> Judgement:
    found = results["yelp"]
    value, plain = found["runs"][RUNS[0]]["recall@20"], found["lightgcn"]["recall@20"]
    floors = ", ".join(f"{name} {m['recall@20']:.4f}" for name, m in results["floors"]["yelp-lightgnn"].items())
    note = (
        f"LightGCN {plain:.4f}, unpruned student {found['runs'][0]['recall@20']:.4f}, {floors}; "
        f"{found['users']:,} users, {found['pairs']:,} training pairs, one seed. "
        f"The paper has {PUBLISHED} on all {YELP_USERS:,} users."
    )
    if found["users"] < YELP_USERS:
        note += " A part of them is not comparable with it; --profile paper takes all."
    return Judgement(value, verdict(value >= plain), note=note)


def cost_rows(results: Mapping[str, Result]) -> list[dict[str, float]]:
    """Means over seeds: what is left and what it costs beside the unpruned student, one row for 0, 5 and 10 runs."""
    rows = []
    for run in (0, *RUNS):
        now, first = ([results[f"sweep-{seed}"]["score"][r] for seed in SEEDS] for r in (run, 0))
        row = {"run": run, "edges": now[0]["edges"], "entries": now[0]["entries"]}
        row["matrix"] = float(
            np.mean([n["matrix_entries"] / f["matrix_entries"] for n, f in zip(now, first, strict=True)])
        )
        row["items"] = float(np.mean([n["item_entries"] / f["item_entries"] for n, f in zip(now, first, strict=True)]))
        for name in ("served_bytes", "trained_bytes", "propagation_seconds"):
            row[name] = float(np.mean([n[name] for n in now]))
            row[f"{name}_share"] = row[name] / float(np.mean([f[name] for f in first]))
        rows.append(row)
    return rows


def _judge_cost(results: Mapping[str, Result]) -> Judgement:
    rows, times = cost_rows(results), results["times"]["times"]
    # Five bytes for an entry that is left, four for one in a full table; a quarter more than in proportion is allowed.
    small = all(row["served_bytes_share"] <= 1.25 * 1.25 * row["items"] for row in rows[1:])
    shares = {n: [t[n] / times[0][n] for t in times] for n in ("matrix_entries", "product", "propagation")}
    fast = all(p <= 1.25 * m for p, m in zip(shares["product"], shares["matrix_entries"], strict=True))
    text = "; ".join(
        f"{row['run']} runs, {row['edges']:.0%} of edges, {row['entries']:.0%} of entries: "
        f"served {row['served_bytes'] / 1e3:.0f} kB ({row['served_bytes_share']:.0%}), "
        f"trained {row['trained_bytes'] / 1e3:.0f} kB ({row['trained_bytes_share']:.0%}), "
        f"whole propagation {1e3 * row['propagation_seconds']:.2f} ms ({row['propagation_seconds_share']:.0%}, "
        f"entries of the matrix {row['matrix']:.0%})"
        for row in rows
    )
    yelp = "; ".join(
        f"{t['run']} runs, entries of the matrix {m:.0%}: product {1e3 * t['product']:.1f} ms ({p:.0%}), "
        f"whole propagation {1e3 * t['propagation']:.1f} ms ({w:.0%})"
        for t, m, p, w in zip(times, *shares.values(), strict=True)
    )
    value = f"{rows[-1]['served_bytes_share']:.0%} of the bytes, {shares['product'][-1]:.0%} of the time of a product"
    note = f"{text}. All of Yelp, width 64: {yelp}. Layers are added up in full tables, which pruning does not shorten."
    return Judgement(value, verdict(small and fast), note=note)


def _judge_noise(results: Mapping[str, Result]) -> Judgement:
    last = [results[f"sweep-{seed}"]["noise"][-1] for seed in SEEDS]
    runs = last[0]["run"]
    noise, true = (np.array([run[name] for run in last], np.float32) for name in ("noise_pruned", "true_pruned"))
    return Judgement(
        float((noise - true).mean()),
        verdict(t_interval(noise - true)[1][0] > 0),
        t_interval(noise - true)[1],
        f"Pruned after {runs} runs: {noise.mean():.1%} of the random edges, {true.mean():.1%} of the true ones.",
    )


_SWEEPS = tuple(Cell(f"sweep-{seed}", partial(sweep, seed)) for seed in SEEDS)
_FLOOR = Cell("floors", floors)

PAPER = Paper(
    seed=25,
    module="honeyguide.plugins.lightgnn",
    claims=(
        Claim(
            "five-runs",
            "44 % of the edges and 33 % of the entries keep 97 % of the unpruned student's recall in 4 of 5 seeds",
            "ml-100k",
            "share of Recall@20",
            0.97,
            (*_SWEEPS, _FLOOR, Cell("longer", longer)),
            _judge_five,
        ),
        Claim(
            "ten-runs",
            "20 % of the edges and 11 % of the entries keep 90 %, and more than random pruning keeps",
            "ml-100k",
            "share of Recall@20",
            0.9,
            _SWEEPS,
            _judge_ten,
        ),
        Claim(
            "evidence",
            "what the intermediate model says of edges prunes better than their weights alone, at 20 % of the edges",
            "ml-100k",
            "difference of Recall@20",
            "above 0",
            (*_SWEEPS, Cell("parts", parts)),
            _judge_magnitude,
        ),
        Claim(
            "yelp",
            "on Yelp, five times pruned, at least LightGCN",
            "yelp-lightgnn",
            "Recall@20",
            "that of LightGCN",
            (Cell("yelp", published), _FLOOR),
            _judge_yelp,
        ),
        Claim(
            "cost",
            "bytes on disk and time of a product with the graph fall in proportion to what is left",
            "ml-100k, yelp-lightgnn",
            "share of the unpruned student's",
            "at most 1.25 times the share that is left",
            (*_SWEEPS, Cell("times", times)),
            _judge_cost,
        ),
        Claim(
            "noise",
            "with a quarter of random edges added, a larger share of these is pruned than of true ones",
            "ml-100k",
            "difference of shares pruned",
            "above 0",
            _SWEEPS,
            _judge_noise,
        ),
    ),
)
