from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from honeyguide.core.fitting import Change
from honeyguide.core.ids import Ids
from honeyguide.core.ragged import Ragged
from honeyguide.models.fusion import score_features
from honeyguide.models.temper import sample_of, sharpness, temperature


def logits(scale: float) -> np.ndarray:
    return (scale * np.random.default_rng(0).normal(size=(20, 300))).astype(np.float32)


@pytest.mark.parametrize("factor", [0.5, 1.0, 3.0])
def test_logits_that_became_sharper_are_brought_back(factor: float) -> None:
    before, after = logits(0.4), logits(0.4 * factor)
    assert temperature(after, sharpness(before)) == pytest.approx(factor, rel=1e-3)


def test_a_part_with_weights_of_opposite_signs_keeps_its_direction() -> None:
    """The standard score counts 1.1, the log-share -3.5, as learnt from a soft model; a sharp one turns over."""
    soft, sharp = logits(0.2), logits(1.0)
    weights = np.array([1.1, -3.5], np.float32)

    def order(scores: np.ndarray) -> float:
        blended = np.einsum("fnm,f->nm", score_features(scores, "logit"), weights)
        return float(np.corrcoef(blended.ravel(), scores.ravel())[0, 1])

    assert order(soft) > 0.9
    assert order(sharp) < 0
    assert order(sharp / np.float32(temperature(sharp, sharpness(soft)))) > 0.9


def test_without_histories_or_differences_nothing_is_known() -> None:
    assert temperature(np.zeros((0, 5), np.float32), 1.0) == 1.0
    assert temperature(np.ones((3, 5), np.float32), 1.0) == 1.0
    assert temperature(logits(1.0), 0.0) == 1.0


def test_the_sample_is_of_what_the_model_knows() -> None:
    before, after = Ragged.from_lists([[1, 2], []]), Ragged.from_lists([[1, 2, 3], [4]])
    items, replay = Ids(pl.Series(range(5))), Ragged.from_lists([[0, 1], [2]])
    assert [row.tolist() for row in sample_of(Change(before, after, items, replay))] == [[1, 2], [0, 1], [2]]
    assert len(sample_of(Change(before.take(slice(1, 2)), after.take(slice(1, 2)), items))) == 0
