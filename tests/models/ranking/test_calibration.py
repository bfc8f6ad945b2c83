from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit, logit

from honeyguide.models.ranking.calibration import Calibration, sampling_correction


@pytest.fixture(scope="module")
def judged() -> tuple[np.ndarray, np.ndarray]:
    """Logits twice too sure and too high by one, and what happened."""
    rng = np.random.default_rng(0)
    true = rng.normal(size=40_000)
    return (2 * true + 1).astype(np.float32), (rng.random(40_000) < expit(true)).astype(np.float32)


def test_platt_scaling_undoes_a_slope_and_a_shift(judged: tuple[np.ndarray, np.ndarray]) -> None:
    found = Calibration.fit(*judged, "platt")
    assert found.slope == pytest.approx(0.5, abs=0.03)
    assert found.shift == pytest.approx(-0.5, abs=0.05)


def test_temperature_has_no_shift(judged: tuple[np.ndarray, np.ndarray]) -> None:
    found = Calibration.fit(*judged, "temperature")
    assert found.shift == 0
    assert 0.3 < found.slope < 0.7


def test_one_class_or_no_events_or_no_wish_leave_the_logits_alone(judged: tuple[np.ndarray, np.ndarray]) -> None:
    logits, labels = judged
    assert Calibration.fit(logits[:5], np.ones(5), "platt") == Calibration()
    assert Calibration.fit(logits[:0], labels[:0], "platt") == Calibration()
    assert Calibration.fit(logits, labels, "none") == Calibration()


def test_the_order_is_kept_even_where_the_logits_are_wrong(judged: tuple[np.ndarray, np.ndarray]) -> None:
    logits, labels = judged
    assert Calibration.fit(logits, 1 - labels, "platt").slope > 0


def test_the_correction_restores_the_odds_before_sampling() -> None:
    """An item that is 1 % of the events, met once an event among 50 items, with 5 negatives drawn of the 49 others."""
    share, n_items, ratio = 0.01, 50, 5
    drawn = (1 - share) * ratio / (n_items - 1)  # how often it is a negative, per event
    learnt = share / (share + drawn)
    corrected = expit(logit(learnt) + sampling_correction(ratio, n_items))
    assert corrected == pytest.approx(share, rel=1e-9)
