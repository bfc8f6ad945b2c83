"""What the judges of seed 32 say of figures that are known."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from honeyguide.core.errors import DataError
from honeyguide.experiment.claims import vat, vat_cells
from honeyguide.experiment.papers import Judgement, paper

KINDS = ("clean", "random", "bandwagon", "segment", "surrogate")


def results(hit: dict[str, float], recall: dict[str, float], order: float = 0.6) -> dict[str, Any]:
    """Five seeds in which a system is hit as told under every attack, and hardly on clean data."""
    found: dict[str, Any] = {}
    for seed in range(5):
        jitter = 1 + 0.01 * seed
        figures: dict[str, Any] = {
            kind: {
                name: {
                    vat.METRIC: (0.001 if kind == "clean" else hit[name]) * jitter,
                    vat.METRIC + vat.SERVED: hit[name] * jitter,
                    "recall@20": recall[name] * jitter,
                    "recall@20" + vat.SERVED: recall[name],
                    "loss_order": order + 0.001 * seed,
                    "mean_g": 1.0,
                }
                for name in hit
            }
            for kind in KINDS
        }
        found[f"seed-{seed}"] = {"figures": figures}
    found["fakes"] = {"g": {kind: {"fake": 0.9, "genuine": 1.0} for kind in KINDS[1:]}}
    return found


def judged(claim: str, given: dict[str, Any]) -> Judgement:
    return next(c for c in paper(32).claims if c.id == claim).judge(given)


GOOD = {"plain": 0.03, "vat": 0.02, "apr": 0.025, "inverted": 0.04}
EVEN = dict.fromkeys(GOOD, 0.2)


def test_a_defence_that_works_holds_and_one_that_does_not_does_not() -> None:
    good, bad = results(GOOD, EVEN), results({"plain": 0.002, "vat": 0.0019, "apr": 0.001, "inverted": 0.001}, EVEN)
    for claim in ("attack-works", "defence", "apr", "inverted"):
        assert judged(claim, good).verdict == "holds", claim
        assert judged(claim, bad).verdict == "does not hold", claim
    assert judged("defence", good).value == "4 of 4 attacks" and judged("apr", good).value == "20 of 20 cells"
    assert judged("attack-works", good).value == pytest.approx(30, rel=1e-3)


def test_accuracy_may_not_fall() -> None:
    assert judged("recall", results(GOOD, EVEN)).value == pytest.approx(1)
    assert judged("recall", results(GOOD, {**EVEN, "vat": 0.199})).verdict == "does not hold"  # less under attack
    assert judged("recall", results(GOOD, {**EVEN, "vat": 0.21})).verdict == "holds"


def test_the_observation_needs_an_interval_above_chance() -> None:
    assert judged("observation", results(GOOD, EVEN)).verdict == "holds"
    assert judged("observation", results(GOOD, EVEN, order=0.499)).verdict == "does not hold"


def test_cost() -> None:
    assert judged("cost", {"cost": {"ratio": 1.8}}).verdict == "holds"
    assert judged("cost", {"cost": {"ratio": 2.2}}).verdict == "does not hold"


def test_without_the_data_the_error_says_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HONEYGUIDE_DATA", "/nowhere")
    with pytest.raises(DataError, match="HONEYGUIDE_DATA"):
        vat_cells.by_seed(0)("cpu")


def test_every_system_has_the_same_budget() -> None:
    """APR and the inverted ablation differ from VAT in g alone."""
    systems = vat_cells._SYSTEMS
    assert systems["vat"] is not None
    for name, g in (("apr", "constant"), ("inverted", "inverted")):
        assert systems[name] == {**systems["vat"], "g": g}
    assert np.isclose(sum(1 for _ in vat_cells.SEEDS), 5)
