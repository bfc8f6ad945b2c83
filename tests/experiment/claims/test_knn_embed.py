from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from honeyguide.core.inner_product import unit
from honeyguide.core.ragged import Ragged
from honeyguide.experiment.claims.knn_embed import PAPER, SEEDS
from honeyguide.experiment.claims.knn_embed_arms import recalls, spread

CLAIMS = {claim.id: claim for claim in PAPER.claims}


def runs(gain: float, distance: float, clusters: float) -> dict[str, Any]:
    plain = {"recall": 0.2, "distance": 0.4, "clusters": 8.0, "catalogue": 0.1}
    knn = {"recall": 0.2 + gain, "distance": 0.4 * distance, "clusters": 8 * clusters, "catalogue": 0.1}
    arms = {"plain": plain, "knn": knn, "mixture": plain, "exact": knn, "paper": plain}
    return {f"gowalla-{seed}": {"arms": arms, "popularity": 0.1, "lambda": 0.5} for seed in SEEDS}


def test_candidates_must_be_ahead_of_plain_search_and_of_the_mixture() -> None:
    assert CLAIMS["recall"].judge(runs(0.01, 1, 1)).verdict == "holds"
    assert CLAIMS["recall"].judge(runs(-0.01, 1, 1)).verdict == "does not hold"
    assert CLAIMS["recall"].judge(runs(0.0, 1, 1)).verdict == "does not hold"  # as good as the mixture is not more


def test_diversity_is_distance_and_clusters() -> None:
    assert CLAIMS["diversity"].judge(runs(0, 1.2, 1.6)).verdict == "holds"
    assert CLAIMS["diversity"].judge(runs(0, 1.2, 1.1)).verdict == "does not hold"


def test_the_best_smoothing_must_be_inside() -> None:
    curve = {"0": 0.1, "0.5": 0.3, "1": 0.2}
    inside = {**{f"gowalla-{seed}": {"valid": curve} for seed in SEEDS}, "sweep": curve}
    assert CLAIMS["smoothing"].judge(inside).verdict == "holds"
    outside = {**{f"gowalla-{seed}": {"valid": {**curve, "0": 0.3}} for seed in SEEDS}, "sweep": curve}
    assert CLAIMS["smoothing"].judge(outside).verdict == "does not hold"


def test_recall_and_distance_by_hand() -> None:
    lists = np.array([[0, 1, 2], [2, 3, -1]], np.int32)
    assert recalls(lists, Ragged.from_lists([[0, 9], [3]])).tolist() == [0.5, 1.0]
    directions = unit(np.array([[1, 0], [0, 1], [-1, 0], [1, 0]], np.float32))
    first = np.mean([1 - 0, 1 + 1, 1 - 0])  # of the pairs of the first list
    assert spread(lists, directions) == pytest.approx((first + 2) / 2)
