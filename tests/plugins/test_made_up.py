from __future__ import annotations

import numpy as np
import pytest

from honeyguide.core.dataset import Dataset
from honeyguide.core.ragged import Ragged
from honeyguide.plugins.made_up import made_up


def same(a: Ragged, b: Ragged) -> bool:
    return np.array_equal(a.offsets, b.offsets) and np.array_equal(a.values, b.values)


def test_fakes_have_the_lengths_of_users(books: Dataset) -> None:
    """The trap: a calibrator that can go by the length misses an attacker who takes another."""
    histories = books.histories("train")
    fakes = made_up(books, histories, ("random", "bandwagon"), 400, 0)
    assert len(fakes) == 400
    for q in (25, 50, 75):
        a, b = (np.percentile(h.lengths, q) for h in (fakes, histories))
        assert a == pytest.approx(b, rel=0.2)
    assert all(len(set(row.tolist())) == len(row) for row in fakes)


def test_families_share_the_work_and_targets_are_many(books: Dataset) -> None:
    histories, counts = books.histories("train"), books.popularity("train")
    fakes = made_up(books, histories, ("random", "bandwagon", "segment"), 61, 3)
    assert len(fakes) == 61 and same(fakes, made_up(books, histories, ("random", "bandwagon", "segment"), 61, 3))
    assert not same(fakes, made_up(books, histories, ("random", "bandwagon", "segment"), 61, 4))
    random, popular = (made_up(books, histories, (kind,), 200, 0).values for kind in ("random", "bandwagon"))
    assert counts[popular].mean() > 1.2 * counts[random].mean()
    held = np.bincount(made_up(books, histories, ("random",), 200, 0).values, minlength=books.n_items)
    assert held.max() < 50  # no item is in all of them


def test_fakes_have_times_where_users_have(books: Dataset) -> None:
    histories = books.histories("train")
    timed = Ragged(histories.offsets, histories.values, np.arange(len(histories.values)))
    fakes = made_up(books, timed, ("random",), 30, 0)
    assert fakes.times is not None and len(fakes.times) == len(fakes.values)
    for row in range(30):
        own = fakes.times[fakes.offsets[row] : fakes.offsets[row + 1]]
        assert (np.diff(own) > 0).all()
