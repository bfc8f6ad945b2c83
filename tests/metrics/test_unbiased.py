from __future__ import annotations

import numpy as np
import pytest

from honeyguide.core.errors import DataError
from honeyguide.core.ragged import Ragged
from honeyguide.metrics.holdout import rank_catalogue
from honeyguide.metrics.unbiased import ap_snips, dcg_snips, plain_dcg, recall_snips, with_unlabelled


def slow(ranked: list[int], clicks: dict[int, float], k: int, least: float, log2_rank: bool) -> tuple[float, ...]:
    """DCG, recall and AP of one user, as they are written."""
    w = {item: 1 / max(theta, least) for item, theta in clicks.items()}
    dcg = recall = ap = 0.0
    for r, item in enumerate(ranked[:k], 1):
        if item in w:
            discount = (1.0 if r == 1 else 1 / np.log2(r)) if log2_rank else 1 / np.log2(r + 1)
            dcg += w[item] * discount
            recall += w[item]
            ap += sum(w.get(before, 0.0) for before in ranked[:r]) / r
    return tuple(v / sum(w.values()) for v in (dcg, recall, ap))


@pytest.mark.parametrize("log2_rank", [False, True])
def test_they_equal_a_plain_reference(log2_rank: bool) -> None:
    rng = np.random.default_rng(0)
    n = 2_000
    lists = np.stack([rng.permutation(12)[:6] for _ in range(n)]).astype(np.int32)
    truths = [rng.permutation(12)[: rng.integers(1, 5)] for _ in range(n)]
    thetas = [rng.choice([0.001, 0.1, 0.5, 1.0], len(t)).astype(np.float32) for t in truths]
    truth, theta = Ragged.from_lists(truths), np.concatenate(thetas)
    expected = np.array(
        [
            slow(row.tolist(), dict(zip(t.tolist(), p.tolist(), strict=True)), 5, 0.01, log2_rank)
            for row, t, p in zip(lists, truths, thetas, strict=True)
        ]
    )
    discount = "log2-rank" if log2_rank else "standard"
    np.testing.assert_allclose(dcg_snips(lists, truth, theta, 5, discount=discount), expected[:, 0], rtol=1e-6)
    np.testing.assert_allclose(recall_snips(lists, truth, theta, 5), expected[:, 1], rtol=1e-6)
    np.testing.assert_allclose(ap_snips(lists, truth, theta, 5), expected[:, 2], rtol=1e-6)


def test_rare_clicks_count_more_and_nobody_without_clicks_counts() -> None:
    lists = np.array([[0, 1], [1, 0], [0, 1]], np.int32)
    truth = Ragged.from_lists([[0, 2], [0, 2], []])
    found = recall_snips(lists, truth, np.array([0.5, 0.1, 0.5, 0.1], np.float32), 2)
    np.testing.assert_allclose(found[:2], 2 / 12)
    assert np.isnan(found[2])
    assert plain_dcg(lists, truth, 2).tolist() == pytest.approx([1.0, 1 / np.log2(3), 0.0])
    assert plain_dcg(lists, truth, 2, "log2-rank").tolist() == [1.0, 1.0, 0.0]
    with pytest.raises(DataError, match="4 held-out clicks but 1"):
        recall_snips(lists, truth, np.ones(1, np.float32), 2)


def test_candidates_are_the_clicks_and_unlabelled_items() -> None:
    clicks, seen = Ragged.from_lists([[3, 4], []]), Ragged.from_lists([[0, 1], [2]])
    found = with_unlabelled(clicks, seen, 10, 3, seed=0)
    assert {3, 4} <= set(found[0]) and len(found[0]) == 5 and not {0, 1} & set(found[0])
    assert len(found[1]) == 0
    scores = np.tile(np.arange(10, dtype=np.float32), (2, 1))
    lists = rank_catalogue(lambda h, u: scores.copy(), seen, clicks, 6, candidates=found)
    assert lists[0].tolist() == [*sorted(found[0], reverse=True), -1]
