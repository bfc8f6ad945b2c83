from __future__ import annotations

import numpy as np
import pytest

from honeyguide.plugins.user_weights import UserWeights


def sigmoid(x: float) -> float:
    return 1 / (1 + np.exp(-x))


def test_the_flagged_lose_one_and_the_others_share_it() -> None:
    trust = UserWeights.of(6, 3.0)
    share = trust.flag(np.arange(5, dtype=np.int32), np.array([0.9, 0.1, 0.2, 0.1, 0.1], np.float32))
    assert share == pytest.approx(0.2)
    np.testing.assert_allclose(trust.logits, [2, 3.25, 3.25, 3.25, 3.25, 3])  # the last is judged by nobody
    np.testing.assert_array_equal(trust.flags, [1, 0, 0, 0, 0, 0])
    assert trust.logits.sum() == pytest.approx(6 * 3)  # trust is moved, not destroyed


@pytest.mark.parametrize(("n", "above", "ready"), [(9, 2, True), (9, 3, False), (9, 4, False), (10, 3, True)])
def test_a_calibrator_that_flags_a_third_or_more_is_not_ready(n: int, above: int, ready: bool) -> None:
    """The trap of early rounds: scores that tell nobody from anybody would take trust from half of the users."""
    trust = UserWeights.of(n, 3.0)
    scores = np.array([0.8] * above + [0.1] * (n - above), np.float32)
    found = trust.flag(np.arange(n, dtype=np.int32), scores)
    assert (found is not None) == ready
    assert (trust.logits != 3).any() == ready and trust.flags.any() == ready


def test_scores_that_are_all_alike_flag_nobody() -> None:
    trust = UserWeights.of(3, 3.0)
    assert trust.flag(np.arange(3, dtype=np.int32), np.full(3, 0.5, np.float32)) == 0.0
    np.testing.assert_array_equal(trust.logits, [3, 3, 3])


def test_a_margin_is_in_standard_deviations() -> None:
    scores = np.array([1.0, 0.45, 0.1, 0.1, 0.1, 0.1, 0.1], np.float32)  # mean .279, standard deviation .318
    assert UserWeights.of(7, 3.0).flag(np.arange(7, dtype=np.int32), scores) == pytest.approx(2 / 7)
    assert UserWeights.of(7, 3.0).flag(np.arange(7, dtype=np.int32), scores, 1.0) == pytest.approx(1 / 7)


def test_mild_suspicion_costs_nothing_and_only_repeated_flagging_bites() -> None:
    """The trap: without it every user who was ever flagged would count less."""
    trust = UserWeights.of(6, 3.0)
    trust.logits[:] = [3, 2, 1, 0, -1, -2]
    expected = [1, 1, 1, 1, sigmoid(-1) / sigmoid(3), sigmoid(-2) / sigmoid(3)]
    np.testing.assert_allclose(trust.effective(), expected, rtol=1e-6)
    trust.logits[:] = 8.0
    np.testing.assert_array_equal(trust.effective(), 1.0)  # more trust than at the start is worth no more
