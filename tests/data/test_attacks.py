from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from honeyguide.core.dataset import Dataset
from honeyguide.core.errors import ConfigError, DataError, UnknownNameError
from honeyguide.core.ragged import Ragged
from honeyguide.data.attacks import (
    KINDS,
    fake_profiles,
    fake_users,
    inject,
    promoted_items,
    released_profiles,
    unpopular_items,
)
from honeyguide.data.build import build, decoded
from honeyguide.data.export import export
from honeyguide.data.load import load_data


def same(a: Ragged, b: Ragged) -> bool:
    return np.array_equal(a.offsets, b.offsets) and np.array_equal(a.values, b.values)


@pytest.mark.parametrize("kind", KINDS)
def test_profiles_hold_targets_in_turn_and_fillers_once(books: Dataset, kind: str) -> None:
    targets = unpopular_items(books, 3)
    profiles = fake_profiles(books, kind, targets, 40, length=20, each=2, seed=1)
    assert len(profiles) == 40 and same(profiles, fake_profiles(books, kind, targets, 40, length=20, each=2, seed=1))
    assert not same(profiles, fake_profiles(books, kind, targets, 40, length=20, each=2, seed=2))
    held = np.array([np.isin(targets, row) for row in profiles])
    np.testing.assert_array_equal(held[:3], [[True, True, False], [False, True, True], [True, False, True]])
    assert (held.sum(axis=1) == 2).all() and all(len(set(row.tolist())) == len(row) for row in profiles)
    assert profiles.lengths.min() >= 10 and profiles.lengths.max() <= 30
    assert profiles.lengths.mean() == pytest.approx(20, abs=2)


def test_lengths_may_be_given(books: Dataset) -> None:
    lengths = np.array([5, 9, 2, 30], np.int32)
    for kind in KINDS:
        assert fake_profiles(books, kind, [3], 4, length=lengths).lengths.tolist() == lengths.tolist()


def test_what_fillers_are_depends_on_the_kind(books: Dataset) -> None:
    counts, targets = books.popularity("train"), unpopular_items(books, 1)
    fillers = {}
    for kind in KINDS:
        values = fake_profiles(books, kind, targets, 200, length=10).values
        fillers[kind] = values[values != targets[0]]
    mean = {kind: counts[values].mean() for kind, values in fillers.items()}
    assert mean["random"] == pytest.approx(counts.mean(), rel=0.1)
    assert mean["bandwagon"] > 1.3 * mean["random"]
    together = np.asarray((books.matrix("train").T @ books.matrix("train")[:, targets]).todense()).ravel()
    assert (together[fillers["segment"]] > 0).all()  # someone took both
    assert (together[fillers["bandwagon"]] > 0).mean() < 0.9


def test_the_audience_of_a_segment_attack_may_be_named(books: Dataset) -> None:
    """The weights are cosines: by hand for items 0 to 3 of three users."""
    log = pl.DataFrame({"user_id": [0, 0, 1, 1, 2, 2], "item_id": [0, 1, 0, 1, 2, 3], "split": ["train"] * 6})
    data = build("hand", log)
    near = fake_profiles(data, "segment", [3], 30, length=2, audience=[0])
    assert set(near.values.tolist()) == {0, 1, 3}
    own = fake_profiles(data, "segment", [3], 30, length=2)
    assert set(own.values.tolist()) == {2, 3}


def test_fakes_are_training_users_and_nobody_else_changes(books: Dataset) -> None:
    targets = unpopular_items(books, 2)
    profiles = fake_profiles(books, "random", targets, 7, length=9)
    data = inject(books, profiles, targets, "random")
    assert data.user_ids.values.head(books.n_users).equals(books.user_ids.values)
    assert data.item_ids == books.item_ids
    fake = fake_users(data)
    np.testing.assert_array_equal(np.flatnonzero(fake), np.arange(books.n_users, books.n_users + 7))
    np.testing.assert_array_equal(promoted_items(data), targets)
    for part in ("train", "valid", "test"):
        assert same(data.histories(part).take(np.flatnonzero(~fake)), books.histories(part))
    assert same(data.histories("train").take(np.flatnonzero(fake)), profiles)  # in the order of the profile
    assert not data.histories("valid", "test").take(np.flatnonzero(fake)).lengths.any()
    assert data.items.equals(books.items) and data.users.columns == books.users.columns  # no model reads who is fake


def test_fakes_are_never_chosen_on(books: Dataset) -> None:
    """The trap: a valid part that is drawn after the attack would hold events of fakes."""
    log = books.interactions.select(
        user_id=pl.format("reader {}", "user"), item_id="item", position="position", split=pl.lit("train")
    )
    bare = build("bare", log.drop("split"))
    data = inject(bare, fake_profiles(bare, "random", [1], 50, length=30), [1])
    assert data.parts == ("train", "valid", "test")
    assert not data.histories("valid", "test").take(np.flatnonzero(fake_users(data))).lengths.any()
    assert data.user_ids.values[-1] == "fake-00049"


def test_events_of_fakes_have_all_columns(books: Dataset) -> None:
    when = pl.datetime(2024, 1, 1, time_zone="UTC", time_unit="us") + pl.duration(hours=pl.col("position"))
    frame = books.interactions.with_columns(
        timestamp=when, label=pl.col("position") % 5 + 0.5, event=pl.lit("read"), weight=pl.lit(2.0, pl.Float32)
    ).with_columns(positive=pl.col("label") > 1)
    data = build("columns", frame.rename({"user": "user_id", "item": "item_id"}))
    attacked = inject(data, Ragged.from_lists([[3, 1, 2], [2, 9]]), [2])
    rows = attacked.interactions.filter(pl.col("user") >= data.n_users)
    assert rows["item"].to_list() == [3, 1, 2, 2, 9] and rows["position"].to_list() == [0, 1, 2, 0, 1]
    assert rows["label"].to_list() == [4.5] * 5 and rows["positive"].all() and set(rows["event"]) == {"read"}
    assert (
        rows["weight"].to_list() == [1.0] * 5
        and rows["timestamp"].is_in(data.interactions["timestamp"].implode()).all()
    )
    assert attacked.times("train") is not None  # as complete as before


def test_two_attacks_and_a_round_trip_keep_who_is_fake(books: Dataset, tmp_path: Path) -> None:
    once = inject(books, fake_profiles(books, "random", [4], 3), [4], "random")
    twice = inject(once, fake_profiles(books, "bandwagon", [8], 2), [8], "bandwagon")
    again = load_data(export(twice, tmp_path / "attacked"))
    assert again.equals(twice)
    assert fake_users(again).sum() == 5 and promoted_items(again).tolist() == [4, 8]
    assert again.extras["attack"]["kind"].to_list() == ["random"] * 3 + ["bandwagon"] * 2
    assert not fake_users(books).any() and len(promoted_items(books)) == 0


def test_released_profiles_are_read_by_item_id(books: Dataset) -> None:
    ids = books.item_ids.values
    table = pl.DataFrame(
        {
            "attack": ["dp", "dp", "rev"],
            "fake_user_id": [0, 1, 0],
            "items": [[ids[3], ids[3], ids[7]], [ids[5], -99], [ids[1]]],
            "target_items": [[ids[3], ids[5]]] * 3,
        }
    )
    data = build("shipped", decoded(books), None, None, {"poisoning": table})
    profiles, targets = released_profiles(data, "dp")
    assert [row.tolist() for row in profiles] == [[3, 7], [5]] and targets.tolist() == [3, 5]
    with pytest.raises(UnknownNameError, match="released attack"):
        released_profiles(data, "pd")
    with pytest.raises(DataError, match="without profiles"):
        released_profiles(books, "dp")


def test_errors_name_what_and_the_remedy(books: Dataset) -> None:
    with pytest.raises(UnknownNameError, match="bandwagon"):
        fake_profiles(books, "bandwagn", [1], 3)
    for targets, each in (([], 1), ([999], 1), ([1], 2)):
        with pytest.raises(ConfigError, match="target"):
            fake_profiles(books, "random", targets, 3, each=each)
    with pytest.raises(DataError, match="no 5 items"):
        unpopular_items(books, 5, at_least=100_000)
    counts = books.popularity("train")
    assert counts[unpopular_items(books, 4, at_least=2)].max() <= np.sort(counts[counts >= 2])[3]
