from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from honeyguide.core.dataset import Dataset
from honeyguide.experiment.claims.ada_retrieval import PAPER
from honeyguide.experiment.claims.ada_retrieval_cells import ABLATED, SEEDS, WEAKER, Bench, K
from honeyguide.experiment.papers import Judgement

CLAIMS = {claim.id: claim for claim in PAPER.claims}
MEASURES = ("hit@20", "hit@50", "hit@100", "ndcg@50", "ndcg@100", "spread", "categories", "recommend_cpu")


def _arm(value: float, **others: Any) -> dict[str, Any]:
    measured = dict.fromkeys(MEASURES, value)
    return {**measured, "epoch_cpu": 1.0, "alone_cpu": [0.001] * 5, **others}


def _judged(claim: str, gains: list[float], **ada: Any) -> Judgement:
    """What a claim says where the arms differ by ``gains``, one a seed."""
    mmr = {"one round": _arm(0.3), "weight 0.1": _arm(0.2), "weight 0.3": _arm(0.1), "users": 3}
    cells: dict[str, Any] = {
        f"sasrec-{seed}": {
            "arms": {"backbone": _arm(0.2), "control": _arm(0.3), "ada": _arm(0.3 + gain, **ada), "mmr": mmr}
        }
        for seed, gain in zip(SEEDS, gains, strict=True)
    }
    paired = {metric: {"mean": -0.1, "ci": [-0.2, 0.0]} for metric in ("hit@50", "ndcg@50")}
    cells |= {f"{name}-0": {"arms": {"paired": paired}} for name in WEAKER}
    cells["rivals"] = {"arms": dict.fromkeys(("popularity", "floor", "itemknn"), _arm(0.25))}
    cells["interests"] = {"0": {"one": _arm(0.3), "interests": _arm(0.31)}}
    cells["ablations"] = {
        "arms": {**{name: _arm(0.3, valid=None) for name in ABLATED}, "same as backbone": ["1 rounds"]}
    }
    cells["ablations"]["arms"]["all parts"] = _arm(0.3 + gains[0], valid=0.1)
    return CLAIMS[claim].judge(cells)


@pytest.mark.parametrize("claim", ["hit", "ndcg"])
@pytest.mark.parametrize(
    ("gains", "verdict"),
    [
        ([0.01, 0.02, 0.01, 0.02, 0.01], "holds"),
        ([0.05, -0.04, 0.05, -0.04, 0.01], "does not hold"),  # the interval has 0 in it
        ([-0.01, -0.02, -0.01, -0.02, -0.01], "does not hold"),
    ],
)
def test_a_gain_must_stand_out_from_the_seeds(claim: str, gains: list[float], verdict: str) -> None:
    found = _judged(claim, gains)
    assert found.verdict == verdict and found.value == pytest.approx(np.mean(gains))
    assert found.ci is not None and found.ci[0] <= found.value <= found.ci[1]
    assert found.note is not None and all(name in found.note for name in ("popularity", "floor", "100 negatives"))


def test_wider_lists_with_fewer_hits_do_not_count() -> None:
    gains = [0.01, 0.02, 0.01, 0.02, 0.01]
    assert _judged("coverage", gains).verdict == "holds"
    assert _judged("coverage", gains, **{"hit@100": 0.2}).verdict == "does not hold"
    assert _judged("coverage", [-gain for gain in gains]).verdict == "does not hold"


def test_a_part_that_harms_is_not_hidden() -> None:
    gains = [0.01] * 5
    assert _judged("ablation", gains).verdict == "holds"
    assert _judged("ablation", [-0.01] * 5).verdict == "does not hold"
    assert _judged("one", gains).verdict == "holds"


def test_costs_are_ratios_to_one_round() -> None:
    assert _judged("training", [0.0] * 5, epoch_cpu=5.4).verdict == "holds"
    assert _judged("training", [0.0] * 5, epoch_cpu=5.6).verdict == "does not hold"
    alone = [0.001, 0.002, 0.004, 0.005, 0.006]
    dear = _judged("serving", [0.0] * 5, recommend_cpu=6 * 0.3, alone_cpu=alone)
    assert dear.verdict == "does not hold" and dear.note is not None
    assert "1.00, 1.00, 2.00, 1.00, 1.00" in dear.note and "6.0 times the 1.00" in dear.note
    assert _judged("serving", [0.0] * 5, recommend_cpu=5 * 0.3).verdict == "holds"


def test_spread_and_categories_of_a_list(books: Dataset) -> None:
    data = Dataset(
        books.name,
        books.interactions,
        books.user_ids,
        books.item_ids,
        books.item_ids.values.to_frame("item_id").select(categories=_two_kinds(books.n_items)),
        None,
        {},
        books.ordered,
    )
    vectors = np.zeros((books.n_items, 2), np.float32)
    vectors[::2, 0], vectors[1::2, 1] = 2.0, 0.5  # two directions
    bench = Bench(data, vectors)
    one, both = np.arange(0, 2 * K, 2), np.arange(K)
    lists = np.stack([one, both])
    found = bench.per_user(lists.astype(np.int32), slice(0, 2))
    half = K / 2
    np.testing.assert_allclose(found["spread"], [0.0, 1 - 2 * half * (half - 1) / (K * (K - 1))], atol=1e-6)
    np.testing.assert_array_equal(found["categories"], [1, 2])


def _two_kinds(n: int) -> Any:
    import polars as pl

    return pl.Series([["a > b", "c"] if i % 2 else ["a > b"] for i in range(n)])


def test_every_rival_must_be_beaten_and_is_named() -> None:
    assert _judged("rivals", [0.02] * 5).verdict == "holds"
    found = _judged("rivals", [0.005] * 5)
    assert found.verdict == "does not hold" and found.value == pytest.approx(
        -0.005
    )  # kNN-Embed adds .01 to the control
    assert found.note is not None and all(
        name in found.note for name in ("MMR", "kNN-Embed 0.3100", "itemknn", "floor")
    )
