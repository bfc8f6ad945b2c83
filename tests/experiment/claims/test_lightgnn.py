from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tests.models.factor.conftest import circles

from honeyguide.experiment.claims import lightgnn as claims
from honeyguide.experiment.claims import lightgnn_cells as cells_of
from honeyguide.experiment.papers import Claim


def run(recall: float, number: int = 0, **more: float) -> dict[str, Any]:
    return {"run": number, "edges": 0.85**number, "entries": 0.8**number, "recall@20": recall, **more}


def sweep(score: float, random: float, magnitude: float, noise: float = 0.4) -> dict[str, Any]:
    """What a seed reaches after ten runs; .95 of the unpruned .2 after five."""
    costs = [
        {"matrix_entries": m, "item_entries": e, "served_bytes": b, "trained_bytes": b, "propagation_seconds": s}
        for m, e, b, s in ((1000.0, 800.0, 4000.0, 1.0), (500.0, 300.0, 1600.0, 0.55), (250.0, 100.0, 600.0, 0.3))
    ]
    whole = [run(0.2, r, **costs[min(r, 10) // 5]) for r in range(11)]
    whole[5]["recall@20"], whole[10]["recall@20"] = 0.19, score
    return {
        "lightgcn": {"recall@20": 0.19},
        "score": whole,
        "random": [run(0.2), run(0.1, 5), run(random, 10)],
        "magnitude": [run(0.2, r) for r in range(10)] + [run(magnitude, 10)],
        "noise": [run(0.2, 2, noise_pruned=noise, true_pruned=0.3)],
    }


FLOORS = {name: {"popularity": {"recall@20": 0.1}} for name in ("ml-100k", "yelp-lightgnn")}


def judged(name: str, **cells: Any) -> Any:
    claim: Claim = next(c for c in claims.PAPER.claims if c.id == name)
    longer = {"epochs": 8, "runs": [run(0.2, r) for r in range(6)]}
    return claim.judge({"floors": FLOORS, "longer": longer, "parts": {"weight": 0.6}, **cells})


def seeds(*given: dict[str, Any]) -> dict[str, Any]:
    return {f"sweep-{seed}": given[seed % len(given)] for seed in claims.SEEDS}


def test_shares_are_judged_seed_by_seed() -> None:
    cells = seeds(sweep(0.185, 0.1, 0.15))
    assert judged("five-runs", **cells).verdict == "does not hold"  # .95 in all seeds
    for seed in range(4):
        cells[f"sweep-{seed}"] = {**sweep(0.185, 0.1, 0.15)}
        cells[f"sweep-{seed}"]["score"][5]["recall@20"] = 0.195
    found = judged("five-runs", **cells)
    assert found.verdict == "holds" and "4 of 5 seeds" in found.note
    assert judged("ten-runs", **cells).verdict == "holds" and judged("ten-runs", **cells).value == pytest.approx(0.925)


def test_ten_runs_must_be_above_random_and_evidence_above_magnitude_beyond_chance() -> None:
    assert judged("ten-runs", **seeds(sweep(0.185, 0.185, 0.1))).verdict == "does not hold"
    assert judged("ten-runs", **seeds(sweep(0.17, 0.1, 0.1))).verdict == "does not hold"
    assert judged("evidence", **seeds(sweep(0.18, 0.1, 0.17), sweep(0.181, 0.1, 0.17))).verdict == "holds"
    assert judged("evidence", **seeds(sweep(0.18, 0.1, 0.17), sweep(0.17, 0.1, 0.18))).verdict == "does not hold"


def test_cost_must_fall_in_proportion() -> None:
    cells = seeds(sweep(0.18, 0.1, 0.17))
    shares = ((0, 1.0, 1.0), (5, 0.5, 0.55), (10, 0.25, 0.3))
    times = [{"run": r, "matrix_entries": m, "product": p, "propagation": 1.0} for r, m, p in shares]
    assert judged("cost", **cells, times={"times": times}).verdict == "holds"
    slow = [*times[:2], {**times[2], "product": 0.4}]
    assert judged("cost", **cells, times={"times": slow}).verdict == "does not hold"
    for cell in cells.values():
        cell["score"][10]["served_bytes"] = 1000.0  # an eighth of the entries, and a quarter of the bytes
    assert judged("cost", **cells, times={"times": times}).verdict == "does not hold"


def test_noise_and_yelp() -> None:
    assert judged("noise", **seeds(sweep(0.1, 0.1, 0.1))).verdict == "holds"
    assert judged("noise", **seeds(sweep(0.1, 0.1, 0.1, noise=0.2))).verdict == "does not hold"
    cell = {"users": 700, "pairs": 9, "lightgcn": {"recall@20": 0.05}, "runs": [run(0.06, r) for r in range(6)]}
    found = judged("yelp", yelp=cell)
    assert found.verdict == "holds" and "not comparable" in found.note
    cell["lightgcn"] = {"recall@20": 0.07}
    assert judged("yelp", yelp=cell).verdict == "does not hold"


def test_random_pairs_are_new_and_in_train_alone() -> None:
    data = circles()
    noisy = cells_of._with_random_pairs(data, 100, seed=0)
    before, after = data.matrix("train"), noisy.matrix("train")
    assert after.nnz == before.nnz + 100 and (after - before).nnz == 100
    assert (after - before).multiply(data.matrix()).nnz == 0
    for part in ("valid", "test"):
        np.testing.assert_array_equal(noisy.histories(part).values, data.histories(part).values)
