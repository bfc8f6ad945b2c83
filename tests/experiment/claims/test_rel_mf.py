from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from honeyguide.experiment.claims.rel_mf import PAPER

CLAIMS = {claim.id: claim for claim in PAPER.claims}
SETUP = "batches half clicks, λ = 1e-4"
OTHER = "batches half clicks, λ = 3e-4"


def entry(system: str, setup: str, snips: float, dcg: float, popularity: float = 1.0) -> dict[str, Any]:
    value = {"wmf": 1.0, "rel-mf": 0.1}[system]
    return {
        "system": system, "setup": setup, "value": value, "snips": snips, "dcg@5": dcg, "popularity": popularity
    }  # fmt: skip


def coat(rel: list[float], popularity: float = 0.9) -> dict[str, Any]:
    """WMF has .5 in the setup that is best on valid for both together, and is the best of all in the other."""
    return {
        f"coat-{seed}": {
            "floors": {"popularity": 0.3, "ials": 0.4},
            "grid": [
                entry("wmf", SETUP, 0.3, 0.5), entry("rel-mf", SETUP, 0.3, dcg, popularity),
                entry("wmf", OTHER, 0.4, 0.9), entry("rel-mf", OTHER, 0.1, 0.9, 0.8),
            ],
        }
        for seed, dcg in enumerate(rel)
    }  # fmt: skip


def test_coat_is_judged_by_what_valid_chooses_for_each_and_says_what_a_shared_setup_gives() -> None:
    found = CLAIMS["coat"].judge(coat([0.6, 0.6, 0.6, 0.6, 0.4]))
    assert (found.verdict, found.value) == ("does not hold", pytest.approx(0.56 - 0.9))
    assert found.note is not None and found.note.startswith("ahead in 0 of 5 seeds, 0.560 against 0.900")
    assert f"share one λ, as in the paper ({SETUP}" in found.note
    assert "Rel-MF is ahead in 4 of 5 seeds, 0.560 against 0.500" in found.note
    assert "known afterwards, it would be ahead in 5 of 5 seeds, 0.900 against 0.900" in found.note
    assert CLAIMS["coat"].judge(coat([0.9, 0.9, 0.9, 0.9, 0.4])).verdict == "holds"
    assert CLAIMS["coat"].judge(coat([0.9, 0.9, 0.9, 0.4, 0.4])).verdict == "does not hold"


def test_popularity_has_to_fall_in_every_seed_and_setup() -> None:
    assert CLAIMS["popularity"].judge(coat([0.6] * 5)).verdict == "holds"
    assert CLAIMS["popularity"].judge(coat([0.6] * 5, popularity=1.0)).verdict == "does not hold"


def test_without_the_data_of_yahoo_the_substitute_is_named() -> None:
    gains = {"wmf": 0.5, "rel-mf": 0.6, "wmf rare": 0.5, "rel-mf rare": 0.4}
    cells = {f"yahoo-{s}": {"missing": "no such data"} for s in range(5)}
    found = CLAIMS["yahoo"].judge({**cells, **{f"semi-synthetic-{s}": {"random items": gains} for s in range(5)}})
    assert found.verdict == "not testable"
    assert found.note is not None and "+20.0%" in found.note and "-20.0%" in found.note


def test_with_them_every_seed_has_to_gain() -> None:
    def cell(all_items: float, rare: float) -> dict[str, Any]:
        parts = {"all": {"dcg@5": 1.0}, "rare": {"dcg@5": 1.0}}
        return {"wmf": parts, "rel-mf": {"all": {"dcg@5": all_items}, "rare": {"dcg@5": rare}}}

    for last, verdict in ((cell(1.3, 1.25), "holds"), (cell(1.3, 1.1), "does not hold")):
        cells = {f"yahoo-{s}": cell(1.4, 1.3) for s in range(4)} | {"yahoo-4": last}
        assert CLAIMS["yahoo"].judge(cells).verdict == verdict


def test_the_theory_needs_both_sides() -> None:
    good = {"0": (0.001, 4.0), "0.1": (0.1, 3.0), "0.2": (0.2, 2.0), "0.4": (0.3, 1.0)}

    def judged(**changes: tuple[float, float]) -> str:
        cells = {m: {"bias": b, "se": 0.01, "variance": v} for m, (b, v) in {**good, **changes}.items()}
        return CLAIMS["theory"].judge({"theory": cells}).verdict

    assert judged() == "holds"
    assert judged(**{"0": (0.03, 4.0)}) == "does not hold"  # biased
    assert judged(**{"0.2": (0.01, 2.0)}) == "does not hold"  # clipped, and no bias is seen
    assert judged(**{"0.4": (0.3, 2.5)}) == "does not hold"  # the variance rises


def test_gaps_that_grow_alike_are_no_evidence() -> None:
    def cells(slope: float) -> dict[str, Any]:
        noise = np.random.default_rng(0).normal(0, 1e-3, 5)
        at = {
            s: {
                f"{p:g}": {"oracle": 1.0, "mf": 0.9 - 0.05 * p, "rel-mf": 0.9 - (slope + noise[s]) * p}
                for p in (0.5, 1.0, 2.0, 4.0)
            }
            for s in range(5)
        }
        return {f"semi-synthetic-{s}": {**at[s], "half batches": {"mf": 0.5, "rel-mf": 0.4}} for s in range(5)}

    assert CLAIMS["semi-synthetic"].judge(cells(0.01)).verdict == "holds"
    assert CLAIMS["semi-synthetic"].judge(cells(0.05)).verdict == "does not hold"


def test_the_tail_has_to_gain_beyond_chance() -> None:
    def cell(tail: list[float | None]) -> dict[str, Any]:
        options = {"epochs": 1, "dim": 8}
        return {"recall@20": {"all": tail, "tail": tail}, "popularity": 1.0, "users": 4, "options": options}

    plain, more, less = cell([0.1, 0.2, 0.0, None]), cell([0.2, 0.3, 0.1, None]), cell([0.2, 0.1, 0.0, None])
    judge = CLAIMS["lightgcn"].judge
    assert judge({"gowalla-lightgcn": plain, "gowalla-lightgcn-rel-mf": more}).verdict == "holds"
    assert judge({"gowalla-lightgcn": plain, "gowalla-lightgcn-rel-mf": less}).verdict == "does not hold"
