"""What the judges of seed 29 say of figures that are known, and that rivals learn from the same windows."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest

from honeyguide.core.ragged import Ragged
from honeyguide.data.build import build
from honeyguide.experiment.claims.bigrec_cells import RIVALS, SEEDS, SPACES, as_people, said
from honeyguide.experiment.papers import Judgement, paper


def row(value: float, rank: float = 100.0) -> dict[str, Any]:
    figures = {"ndcg@10": value, "ndcg@10_se": 0.001, "hit@10": value, "tail": value, "cold": value}
    return {**figures, "n": 500, "n_cold": 3, "mean_rank": rank, "in_catalogue": 1.0}


def results(own: float, rival: float, together: float, first: float = 0.01, rank: float = 500.0) -> dict[str, Any]:
    shares = {"exact": 0.5, "near": 0.2, "neither": 0.3, "distinct": 0.9, "texts": ["Heat"] * 5}
    both = {"all": row(0.05), "drawn": row(0.05)}
    sizes = {"8": 0.01, "16": rival}
    return {
        "floors": dict.fromkeys(("popularity", "floor", "text-profile"), both),
        **{
            f"rivals-{seed}": {f"{n} {s}": {"all": row(v), "drawn": row(v)} for n in RIVALS for s, v in sizes.items()}
            for seed in SEEDS
        },
        "language": {
            "model": "m",
            **shares,
            "curve": {"0": {**shares, **row(0.0)}, "8": {**shares, **row(first)}},
            "some": row(own),
            "spaces": {space: row(own, rank) for space in SPACES},
            "weighed": {
                "popularity": {"gamma": 3.0, "figures": row(own)},
                **{f"sasrec {s}": {"gamma": 1.0, "figures": row(together), "alone": row(rival)} for s in range(5)},
            },
        },
    }


def judged(claim: str, given: dict[str, Any]) -> Judgement:
    return next(c for c in paper(29).claims if c.id == claim).judge(given)


def test_what_is_claimed_holds_and_its_opposite_does_not() -> None:
    good, bad = results(0.04, 0.03, 0.06, first=0.03), results(0.03, 0.01, 0.02, first=0.01, rank=50.0)
    for claim in ("few", "weighed", "popularity", "scaling"):
        found = judged(claim, good)
        assert found.verdict == "holds" and found.note, claim
    assert judged("few", results(0.02, 0.03, 0.06)).verdict == "does not hold"
    for claim in ("weighed", "popularity", "scaling"):
        assert judged(claim, bad).verdict == "does not hold", claim
    assert judged("grounded", good).value == "100%" and "exact 50%" in (judged("grounded", good).note or "")


def test_every_window_is_a_person_with_the_target_last() -> None:
    events = pl.DataFrame({"user_id": [0] * 12, "item_id": range(12), "position": range(12)})
    data = build("d", events)
    people = as_people(data, Ragged.from_lists([[0, 1], [3], [5, 6, 7]]), np.array([2, 4, 8], np.int32))
    whole = people.histories("train", "valid")
    assert [list(h) for h in whole] == [[0, 1, 2], [3, 4], [5, 6, 7, 8]]
    assert people.n_items == 12 and people.item_ids == data.item_ids
    assert [list(h) for h in people.histories("valid")] == [[2], [], []]


def test_what_was_written_is_counted() -> None:
    pytest.importorskip("rapidfuzz", reason="pip install 'honeyguide[lm]'")
    found = said(["Heat", "the heat", "An owl that nobody filmed"], ["Heat", "Emma"])
    assert (found["exact"], found["near"], found["neither"]) == pytest.approx((1 / 3, 1 / 3, 1 / 3))
    assert found["distinct"] == 1.0
