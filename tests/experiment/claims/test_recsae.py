from __future__ import annotations

from typing import Any

import pytest

from honeyguide.experiment.claims.recsae import PAPER

CLAIMS = {claim.id: claim for claim in PAPER.claims}


def cell(**changes: Any) -> dict[str, Any]:
    ablation = {
        "concepts": 50,
        "significant": 45,
        "fell": 50,
        "users": [30] * 50,
        "before": 0.3,
        "after": 0.2,
        "others": {"change": -0.01},
        "unlisted": {"change": -0.03},
        "fewest": 25,
    }
    kinds = {"latents": 0.7, "neurons": 0.5, "random": 0.52, "neurons, as rare": 0.69, "random, as rare": 0.75}
    return {
        "ndcg": 0.1,
        "ndcg_rebuilt": 0.097,
        "plugin": {"dead": 0.1, "fvu": 0.05},
        "concepts": {k: {"f1": f1, "verified": 60, "genre": 200, "named": 250} for k, f1 in kinds.items()},
        "ablation": {**ablation, "with_fewer": {**ablation, "fewest": 10}},
        "bits": dict.fromkeys(("no_edit", "times_one", "not_reached", "reached"), True),
        "vectors": 10,
        **changes,
    }


def judge(claim: str, **changes: Any) -> Any:
    results = {c.id: cell(**changes) for c in CLAIMS[claim].cells}
    results["floors"] = {name: {"popularity": 0.01, "floor": 0.05} for name in ("ml-100k", "ml-1m")}
    return CLAIMS[claim].judge({c.id: results[c.id] for c in CLAIMS[claim].cells})


@pytest.mark.parametrize("claim", CLAIMS)
def test_a_claim_holds_where_all_is_well(claim: str) -> None:
    assert judge(claim).verdict == "holds"


def test_every_trained_claim_has_five_seeds_in_its_cells() -> None:
    for name, claim in CLAIMS.items():
        if name not in ("kept-ml-1m", "one-hook"):
            assert sum(c.id.startswith("ml-100k-sasrec") for c in claim.cells) == 5


@pytest.mark.parametrize(
    ("claim", "changes"),
    [
        ("kept-ml-1m", {"ndcg_rebuilt": 0.094}),
        ("kept-ml-1m", {"plugin": {"dead": 0.41, "fvu": 0.05}}),
        ("kept-ml-100k", {"plugin": {"dead": 0.1, "fvu": 0.16}}),
        ("enriched", {"concepts": {"latents": {"genre": 149, "named": 500}}}),
        ("confidence", {"concepts": {k: {"f1": 0.6, "verified": 9} for k in ("latents", "neurons", "random")}}),
        ("ablation", {"ablation": {**cell()["ablation"], "significant": 39}}),
        ("ablation", {"ablation": {**cell()["ablation"], "concepts": 49}}),
        ("ablation", {"ablation": {**cell()["ablation"], "others": {"change": 0.025}}}),
        ("bits", {"bits": {**cell()["bits"], "times_one": False}}),
        ("one-hook", {"vectors": 0}),
    ],
)
def test_a_figure_that_is_missed_is_not_hidden(claim: str, changes: dict[str, Any]) -> None:
    assert judge(claim, **changes).verdict == "does not hold"


def test_the_harder_control_is_told() -> None:
    note = judge("confidence").note
    assert "as rare 0.750" in note
