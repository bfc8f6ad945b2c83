from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from honeyguide.core.ragged import Ragged
from honeyguide.experiment.claims import alpharec_cells as cells
from honeyguide.experiment.claims.alpharec import PAPER

CLAIMS = {claim.id: claim for claim in PAPER.claims}
FIGURES = {"recall@20": 0.1, "cold_recall@20": 0.1}
FLOORS = {"figures": dict.fromkeys((*cells.FLOORS, "TextGCN"), FIGURES)}


def seeds(**changed: Any) -> dict[str, Any]:
    """Results in which everything holds, but for what is changed in the last seed."""
    held = {
        "alpharec": {**FIGURES, "parameters": 10, "to_95": 3, "cpu_seconds": 2.0, "curve": [0.1]},
        "lightgcn": {**FIGURES, "parameters": 100, "to_95": 4, "cpu_seconds": 1.0},
        "away": {"recall@20": 0.2, "cold_recall@20": 0.2},
        "intention": {
            "users": 9,
            "examples": ["board games"],
            "hit_rate@20": {str(a): 0.1 + 0.1 * min(a, 0.5) for a in cells.ALPHAS},
        },
        "cold": {"items": 5, "users": 9, "finite": True, "median_percentile": 0.2},
    }
    last = {name: {**part, **changed.get(name, {})} for name, part in held.items()}
    found: dict[str, Any] = {f"seed-{seed}": held for seed in cells.SEEDS}
    asked = {f"asked-{seed}": last["intention"] for seed in cells.ASKED}
    return {**found, **asked, "seed-4": last, "floors-home": FLOORS, "floors-away": FLOORS}


@pytest.mark.parametrize(
    ("claim", "changed", "holds"),
    [
        ("lightgcn", {}, True),
        ("lightgcn", {"alpharec": {"recall@20": 0.01}}, True),  # four of five are enough
        ("lightgcn", {"lightgcn": {"parameters": 99}}, True),  # the first seed says how many there are
        ("epochs", {}, True),
        ("epochs", {"alpharec": {"to_95": 4}}, False),
        ("zero-shot", {}, True),
        ("zero-shot", {"away": {"recall@20": 0.19}}, False),
        ("intention", {}, True),
        ("intention", {"intention": {"hit_rate@20": {str(a): 0.1 for a in cells.ALPHAS}}}, False),
        ("cold", {}, True),
        ("cold", {"cold": {"finite": False}}, False),
        ("cold", {"cold": {"median_percentile": 0.4}}, False),
    ],
)
def test_claims_are_judged_by_every_seed(claim: str, changed: dict[str, Any], holds: bool) -> None:
    assert (CLAIMS[claim].judge(seeds(**changed)).verdict == "holds") is holds


def test_a_rung_out_of_order_breaks_the_ladder() -> None:
    values = {"random": 0.1, "pieces": 0.2, "words": 0.5, "minilm": 0.3}
    figures = {kind: {"recall@20": value} for kind, value in values.items()}
    results = {f"probe-{seed}": {"figures": figures} for seed in cells.SEEDS} | {"floors-home": FLOORS}
    assert CLAIMS["probe"].judge(results).verdict == "holds"
    results["probe-4"] = {"figures": {**figures, "minilm": {"recall@20": 0.15}}}
    assert CLAIMS["probe"].judge(results).verdict == "does not hold"


def test_the_price_is_the_middle_of_the_turns() -> None:
    assert CLAIMS["cost"].judge({"cost": {"epoch": [[6.0, 2.0]], "ratio": 3.0}}).verdict == "holds"
    assert CLAIMS["cost"].judge({"cost": {"epoch": [[6.2, 2.0]], "ratio": 3.1}}).verdict == "does not hold"


def test_an_intention_never_names_what_is_meant() -> None:
    assert cells._unnamed("Games, Board Games", "Ticket to Ride Board Game") == "Games, Games"
    assert cells._unnamed("Puzzles, Jigsaw Puzzles", "Jigsaw Puzzles of cats") == ""
    assert cells._unnamed("Games & Games", "Gloom") == "Games & Games"


def test_recall_is_a_share_of_what_is_wanted() -> None:
    lists = np.array([[1, 2], [3, -1]], np.int32)
    np.testing.assert_allclose(cells.hits(lists, Ragged.from_lists([[2, 5], [3]])), [0.5, 1.0])


def test_rungs_are_vectors_of_length_one_or_zero() -> None:
    from tests.contract.titled import titled
    from tests.models.factor.conftest import circles

    from honeyguide.data.build import build

    frame = circles().interactions.select(user_id="user", item_id="item", split="split")
    data = build("c", frame, titled(frame["item_id"].unique().sort()))
    np.testing.assert_allclose(np.linalg.norm(cells.rung("random", data, 0), axis=1), 1, atol=1e-5)
    words = np.linalg.norm(cells.rung("words", data, 0), axis=1)  # titles without a word of others say nothing
    assert words.max() == pytest.approx(1, abs=1e-5)
    assert not np.array_equal(cells.rung("random", data, 0), cells.rung("random", data, 1))
