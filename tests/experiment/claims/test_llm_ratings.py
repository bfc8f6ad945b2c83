"""What the judges of seed 52 say of figures that are known."""

from __future__ import annotations

from typing import Any

import pytest

from honeyguide.experiment.claims.llm_ratings_cells import GROUPS, NETWORKS
from honeyguide.experiment.papers import Judgement, paper


def row(error: float, order: float) -> dict[str, Any]:
    return {
        "n": 100,
        **{"rmse": error, "mae": error, "auc": order},
        **{f"{m}_ci": [0.0, 1.0] for m in ("rmse", "mae", "auc")},
    }


def read(error: float, order: float, mode: float = 2.0) -> dict[str, Any]:
    """Ratings that are told in the right order where ``order`` is above .6, in the wrong one below."""
    near, truth = [1.0 + error, 5.0 - error] * 5, [1.0, 5.0] * 5
    near = [2.0, 4.0] * 5 if order > 0.6 else [4.0, 2.0] * 5 if order < 0.6 else near
    return {
        "figures": row(error, order),
        "figures of the likeliest": row(mode, order),
        "expected": near,
        "truth": truth,
    }


def results(bare: float, shown: float, tuned: float, order: float = 0.6, mode: float = 2.0) -> dict[str, Any]:
    places = ("all", "drawn", "cold", "drawn cold")
    rules = {name: row(1.0, 0.65) for name in ("global mean", "user mean", "item mean", "biased MF")}
    net = {
        "systems": {
            f"{s} {n}": {p: row(0.9, 0.7) for p in (*places, "shuffled")} for s in ("ids", "text") for n in (4, 8, 900)
        }
    }
    return {
        "rules": {**dict.fromkeys(places, rules), "told of the drawn cold": {"biased MF": [3.0] * 10}},
        **{f"networks-{seed}": {"whole": 900, **net} for seed in NETWORKS},
        "zero": {
            "model": "m",
            **read(bare, 0.5),
            "calibrated": read(bare, 0.5),
            "written": row(2.0, 0.5) | {"unread": 3},
        },
        **{f"few-{seed}": read(shown, 0.6, mode) for seed in range(GROUPS)},
        "tuned": {
            "parameters": 10,
            "sizes": {"8": read(tuned, order), "4": read(tuned + 0.1, order)},
            "cold": read(tuned, order),
            "shuffled": read(tuned, 0.55),
        },
        "regressed": {"examples": 8, "drawn": row(0.95, 0.7), "cold": row(0.95, 0.7)},
    }


def judged(claim: str, given: dict[str, Any]) -> Judgement:
    return next(c for c in paper(52).claims if c.id == claim).judge(given)


@pytest.mark.parametrize("claim", ["table", "curve", "data", "expected", "titles", "cold"])
def test_what_is_claimed_holds_and_its_opposite_does_not(claim: str) -> None:
    good, bad = results(2.0, 1.5, 0.9, order=0.75), results(0.8, 1.5, 1.6, order=0.5, mode=1.0)
    bad["zero"]["figures"]["auc"] = 0.9
    found = judged(claim, good), judged(claim, bad)
    assert [one.verdict for one in found] == ["holds", "does not hold"]
    assert found[0].note


def test_the_table_has_every_system_and_the_floor() -> None:
    note = judged("table", results(2.0, 1.5, 0.9)).note or ""
    for name in ("biased MF", "Transformer-MLP, ids, 900", "zero-shot", "4 shots", "tuned on 8", "3 of 100 answers"):
        assert name in note
    assert "not beaten" in (judged("curve", results(2.0, 1.5, 1.2)).note or "")


def test_a_head_is_compared_with_the_words_after_as_many_examples() -> None:
    assert judged("regression", results(2.0, 1.5, 1.0)).verdict == "holds"
    assert judged("regression", results(2.0, 1.5, 0.9)).verdict == "does not hold"
    assert judged("regression", results(2.0, 1.5, 1.0)).value == pytest.approx(-0.05)
