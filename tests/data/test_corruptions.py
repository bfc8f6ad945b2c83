"""Items put where they do not belong."""

from __future__ import annotations

import numpy as np
import pytest

from honeyguide.core.dataset import Dataset
from honeyguide.core.errors import ConfigError
from honeyguide.core.ragged import Ragged
from honeyguide.data.corruptions import corrupt_one, inject_noise


def test_each_history_has_one_other_item_anywhere() -> None:
    histories = Ragged.from_lists([[0, 1, 2, 3], [4, 5], [6]] * 400)
    found = corrupt_one(histories, 8, np.random.default_rng(0))
    changed = found.histories.values != histories.values
    np.testing.assert_array_equal(changed, found.mask)
    np.testing.assert_array_equal(np.add.reduceat(changed, histories.offsets[:-1]), 1)
    np.testing.assert_array_equal(found.originals, histories.values[found.places])
    within = (found.places - histories.offsets[:-1])[::3]
    assert np.bincount(within, minlength=4).min() > 70, "every position of four is drawn about 100 times"
    assert np.bincount(found.histories.values[found.places], minlength=8).min() > 100, "and every item about 150 times"


def test_noise_is_put_into_the_parts_that_are_named_and_marked(books: Dataset) -> None:
    noisy = inject_noise(books, 0.2, "train", "valid", seed=3)
    before, after = books.interactions, noisy.interactions
    changed = (before["item"] != after["item"]).to_numpy()
    np.testing.assert_array_equal(changed, after["mask"].to_numpy() > 0)
    part = before["split"].to_numpy()
    assert not changed[part == "test"].any()
    assert changed[part == "train"].mean() == pytest.approx(0.2, abs=0.02)
    assert changed[part == "valid"].mean() == pytest.approx(0.2, abs=0.07)
    assert after.drop("item", "mask").equals(before.drop("item"))
    assert noisy.equals(inject_noise(books, 0.2, "train", "valid", seed=3))
    assert not (inject_noise(books, 0.2).interactions["mask"].to_numpy() > 0)[part != "train"].any()
    with pytest.raises(ConfigError, match="a share of"):
        inject_noise(books, 1.5)
