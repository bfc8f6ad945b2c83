"""Seed 60: the beam search that the head is compared with is exact and cached, and how the cells are judged."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal

from honeyguide.experiment.claims.lite_beams import Beams, text_codes, values_of
from honeyguide.experiment.claims.lite_llm4rec import PAPER

CLAIMS = {claim.id: claim for claim in PAPER.claims}
FLOOR = {"floor": {"recall@10": 0.01, "ndcg@10": 0.01}}
FLOORS = {"whole": FLOOR, "slice": FLOOR, "movies": FLOOR}


def test_every_item_has_a_code_of_its_own_and_those_alike_begin_alike() -> None:
    rng = np.random.default_rng(0)
    groups = np.repeat(np.eye(3, 8), 20, 0) * 5
    vectors = (groups + rng.normal(0, 0.1, (60, 8))).astype(np.float32)
    codes = text_codes(vectors, 3)
    assert codes.shape == (60, 3)
    assert len(np.unique(codes, axis=0)) == 60
    assert codes.max() < values_of(60, 3) == 4
    shared = np.mean([len(np.unique(codes[start : start + 20, 0])) for start in (0, 20, 40)])
    assert shared < 3


@pytest.fixture(scope="module")
def beams() -> Beams:
    torch.manual_seed(0)
    codes = text_codes(np.random.default_rng(0).normal(size=(50, 6)).astype(np.float32), 3)
    config = {"model_type": "bert", "hidden_size": 32, "num_attention_heads": 4, "intermediate_size": 64}
    made = Beams(torch.nn.Identity(), codes, 8, config, 2).eval()
    torch.nn.init.normal_(made.tokens.weight)
    return made


def test_as_many_beams_as_items_find_all_of_them_in_exact_order(beams: Beams) -> None:
    states = torch.randn(3, 8, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        items, scores = beams.search(states, 50)
        first = beams.enter(states)[:, None].expand(3, 50, 32).reshape(150, 1, 32)
        codes = beams.codes.repeat(3, 1)
        x = torch.cat([first, beams._embedded(codes[:, :-1])], 1)
        logits = beams.leave(beams.layers(x)).log_softmax(-1)  # without a cache
        exact = logits.gather(2, codes[..., None])[..., 0].sum(1).view(3, 50)
    for row in range(3):
        assert sorted(items[row].tolist()) == list(range(50))
        assert_array_equal(items[row], exact[row].argsort(descending=True))
        assert_allclose(scores[row], exact[row].sort(descending=True).values, atol=1e-4)


def test_few_beams_write_items_that_exist(beams: Beams) -> None:
    items, scores = beams.search(torch.randn(2, 8), 4)
    assert items.shape == scores.shape == (2, 4)
    assert all(len(set(row)) == 4 for row in items.tolist())
    assert torch.isfinite(scores).all()


def test_the_head_must_be_ten_times_faster_and_no_worse() -> None:
    judge = CLAIMS["beams"].judge

    def cells(ms: float, ndcg: float) -> dict[str, Any]:
        worse = {"recall@10": 0.05, "ndcg@10": 0.03}
        times = {"head": [1.0, 2.0], "beams10": [5.0, 6.0], "beams20": [ms, ms]}
        found = {"head": {"recall@10": 0.1, "ndcg@10": ndcg}, "beams10": worse, "beams20": worse, "ms": times}
        long = {"tokens": 13, "ms": 40.0}
        return {"head-and-beams": found | {"codes": [3, 20]}, "long-codes": long, "floors": FLOORS}

    assert judge(cells(12.0, 0.04)).verdict == "holds"
    assert judge(cells(9.0, 0.04)).verdict == "does not hold"
    assert judge(cells(12.0, 0.02)).verdict == "does not hold"


def test_a_cold_slice_holds_where_tied_is_below_chance_and_untied_at_it() -> None:
    judge = CLAIMS["cold"].judge

    def cells(tied: float, untied: float) -> dict[str, Any]:
        def cell(rank: float) -> dict[str, Any]:
            return {"rank": rank, "ci": [rank - 0.02, rank + 0.02], "events": 10, "items": 5}

        return {"cold-tied": cell(tied), "cold-untied": cell(untied)}

    assert judge(cells(0.3, 0.5)).verdict == "holds"
    assert judge(cells(0.5, 0.5)).verdict == "does not hold"
    assert judge(cells(0.3, 0.3)).verdict == "does not hold"
