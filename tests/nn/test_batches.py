from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from honeyguide.core.ragged import Ragged
from honeyguide.nn.batches import IGNORED, PackedWindows, cut_by_tokens, pad_right


def skewed(n: int = 400, seed: int = 0) -> Ragged:
    rng = np.random.default_rng(seed)
    lengths = np.minimum(1 + rng.geometric(0.1, n), 120)
    return Ragged.from_lists([np.arange(length) + 1000 * row for row, length in enumerate(lengths)])


def test_pad_right() -> None:
    assert pad_right(Ragged.from_lists([[1, 2, 3], [], [4]]), -1).tolist() == [[1, 2, 3], [-1, -1, -1], [4, -1, -1]]


@given(st.lists(st.integers(1, 30), max_size=40), st.integers(1, 100))
@settings(max_examples=50, deadline=None)
def test_runs_cover_all_rows_once_within_the_budget(lengths: list[int], tokens: int) -> None:
    runs = cut_by_tokens(np.array(lengths, np.int64), tokens)
    assert [row for run in runs for row in range(run.start, run.stop)] == list(range(len(lengths)))
    for run in runs:
        inside = lengths[run]
        assert len(inside) == 1 or len(inside) * max(inside) <= tokens


def test_every_target_of_short_histories_comes_once_and_follows_its_input() -> None:
    histories = skewed()
    epoch = PackedWindows(histories, 200, 500, seed=0).epoch(0)
    seen = []
    for batch in epoch:
        real = batch.targets != IGNORED
        assert (batch.targets[real] == batch.items[real] + 1).all()  # items count upwards in skewed()
        seen.append(batch.targets[real].numpy())
    expected = np.concatenate([row[1:] for row in histories])
    assert np.array_equal(np.sort(np.concatenate(seen)), np.sort(expected))


def test_long_histories_are_cut_at_offsets_redrawn_each_epoch() -> None:
    windows = PackedWindows(Ragged.from_lists([range(50)]), 10, 100, seed=3)
    starts = set()
    for number in range(200):
        (batch,) = windows.epoch(number)
        assert batch.items.shape == (1, 10)
        starts.add(int(batch.items[0, 0]))
    assert starts == set(range(40))  # every window of 10 inputs and 10 targets, the first and the last included
    assert windows.targets_per_epoch == 10


def test_hardly_any_padding() -> None:
    windows = PackedWindows(skewed(3000), 50, 1024, seed=0)
    assert windows.epoch(0).fill > 0.95


def test_an_epoch_is_a_function_of_seed_and_number() -> None:
    def flat(seed: int, number: int) -> list[list[int]]:
        return [batch.items.ravel().tolist() for batch in PackedWindows(skewed(), 20, 300, seed).epoch(number)]

    assert flat(1, 2) == flat(1, 2)
    assert flat(1, 2) != flat(1, 3)
    assert flat(1, 2) != flat(2, 2)


def test_histories_without_a_transition_are_left_out() -> None:
    windows = PackedWindows(Ragged.from_lists([[], [7], [1, 2]]), 10, 100, seed=0)
    (batch,) = windows.epoch(0)
    assert batch.items.tolist() == [[1]] and batch.targets.tolist() == [[2]]
    assert len(PackedWindows(Ragged.from_lists([[7]]), 10, 100, seed=0).epoch(0)) == 0


def test_fill_counts_padding() -> None:
    epoch = PackedWindows(Ragged.from_lists([[1, 2], [1, 2, 3, 4, 5]]), 10, 100, seed=0).epoch(0)
    assert epoch.fill == pytest.approx(5 / 8)


def test_times_go_with_their_items_where_they_are_asked_for() -> None:
    rows = Ragged.from_lists([[5, 6, 7], [8, 9]])
    histories = replace(rows, times=10 * rows.values.astype(np.int64))
    (batch,) = PackedWindows(histories, 10, 100, seed=0, timed=True).epoch(0)
    assert batch.times is not None
    assert torch.equal(batch.times, torch.where(batch.targets != IGNORED, 10 * batch.items, 0))
    assert torch.equal(batch.part(1, 2).times, batch.times[1::2])  # type: ignore[arg-type]
    (other,) = PackedWindows(histories, 10, 100, seed=0).epoch(0)
    assert other.times is None
    assert torch.equal(other.items, batch.items)
