from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from honeyguide.core.ragged import Ragged
from honeyguide.experiment.claims import easyrec_cells as cells
from honeyguide.experiment.claims.easyrec import PAPER

CLAIMS = {claim.id: claim for claim in PAPER.claims}


def shot(recall: float, median: float = 0.2) -> dict[str, Any]:
    return {"users": 9, "recall@20": recall, "cold_recall@20": recall, "percentiles": [0.1, median, 0.5]}


def results(**last: Any) -> dict[str, Any]:
    """Results in which everything holds, but for what is changed in the last two seeds."""
    figures = {"recall@20": 0.2, "cold_recall@20": 0.2, "sparse_recall@20": 0.2}
    better = {"recall@20": 0.21, "cold_recall@20": 0.2, "sparse_recall@20": 0.25}
    held = {
        "curve": [{"cpu_seconds": 2.0}],
        "plain": shot(0.15),
        "unseen": shot(0.14),
        "lightgcn": figures,
        "lightgcn+text-align": better,
    }
    found: dict[str, Any] = {f"tuned-{seed}": held for seed in cells.SEEDS}
    found |= {f"tuned-{seed}": {**held, **last} for seed in list(cells.SEEDS)[-2:]}
    found |= {f"one-wording-{seed}": {"unseen": shot(0.13)} for seed in cells.REPHRASED}
    names = ("popularity", "floor", "ease", "text-profile")
    start = {"encoder": "minilm", "plain": shot(0.1, 0.3), "unseen": shot(0.1)}
    return {**found, "untuned": start, "floors": {"figures": {name: {**figures, "recall@20": 0.05} for name in names}}}


@pytest.mark.parametrize(
    ("claim", "last", "holds"),
    [
        ("zero-shot", {}, True),
        ("zero-shot", {"plain": shot(0.11)}, False),
        ("popularity", {}, True),
        ("popularity", {"plain": shot(0.05)}, False),
        ("alignment", {}, True),
        ("alignment", {"lightgcn+text-align": {"recall@20": 0.1, "sparse_recall@20": 0.9}}, False),
        ("wordings", {}, True),
        ("cold", {}, True),
        ("cold", {"plain": shot(0.15, 0.45)}, False),
    ],
)
def test_claims_are_judged_by_every_seed(claim: str, last: dict[str, Any], holds: bool) -> None:
    assert (CLAIMS[claim].judge(results(**last)).verdict == "holds") is holds


def test_wordings_that_do_not_help_are_said() -> None:
    found = results()
    found |= {f"one-wording-{seed}": {"unseen": shot(0.15)} for seed in cells.REPHRASED}
    assert CLAIMS["wordings"].judge(found).verdict == "does not hold"


def test_the_place_of_what_is_wanted_leaves_out_what_was_taken() -> None:
    scores = np.array([[0.9, 0.8, 0.7, 0.6]], np.float32)
    found = cells._percentiles(scores, Ragged.from_lists([[0]]), Ragged.from_lists([[2]]))
    np.testing.assert_allclose(found, 2 / 3)


def test_the_unseen_catalogue_is_not_among_those_trained_on() -> None:
    """Trap: a held-out domain that is not unseen."""
    assert cells.UNSEEN not in cells.TRAINED
    assert cells.KEPT_BACK == cells.WORDINGS - 1
