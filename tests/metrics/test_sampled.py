from __future__ import annotations

import numpy as np
import pytest

from honeyguide.core.errors import ConfigError
from honeyguide.metrics.sampled import sampled, sampled_corrected, sampled_ranks


def test_ties_stand_above_the_relevant_item():
    ranks = sampled_ranks(np.array([0.5, 0.5]), np.array([[0.5, 0.1, 0.9], [0.1, 0.2, 0.3]]))
    assert ranks.tolist() == [3, 1]


def test_values_and_labels():
    ranks = np.array([1, 2, 11])
    assert sampled(ranks, "hit", 10, 100).label == "hit@10 (sampled 100)"
    np.testing.assert_allclose(sampled(ranks, "hit", 10, 100).per_user, [1, 1, 0])
    np.testing.assert_allclose(sampled(ranks, "mrr", 10, 100).per_user, [1, 0.5, 0])
    np.testing.assert_allclose(sampled(ranks, "ndcg", 10, 100).per_user, [1, 1 / np.log2(3), 0])
    with pytest.raises(ConfigError, match="no sampled metric"):
        sampled(ranks, "auc", 10, 100)  # type: ignore[arg-type]


@pytest.mark.parametrize("base", ["hit", "ndcg", "mrr"])
def test_the_correction_comes_far_closer_to_full_ranking_than_the_sample(base):
    rng, n, m, k, users = np.random.default_rng(0), 1000, 100, 10, 20_000
    full = np.minimum(rng.geometric(0.004, users), n)
    ranks = 1 + rng.binomial(m, (full - 1) / (n - 1))
    truth = sampled(full, base, k, n).mean
    as_it_is, corrected = sampled(ranks, base, k, m).mean, sampled_corrected(ranks, base, k, m, n).mean
    assert sampled_corrected(ranks, base, k, m, n).label == f"{base}@10 (sampled 100, corrected)"
    assert abs(corrected - truth) < 0.2 * abs(as_it_is - truth)


def test_a_full_sample_needs_no_correction():
    ranks = np.arange(1, 22)
    corrected = sampled_corrected(ranks, "hit", 1, 20, 21, gamma=0.0).per_user
    assert corrected[0] > 0.9
    assert sampled_corrected(ranks[:0], "hit", 1, 20, 21).per_user.shape == (0,)
