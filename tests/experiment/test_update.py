from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from numpy.testing import assert_array_equal

from honeyguide.core.dataset import Dataset
from honeyguide.core.errors import CapabilityError, DataError
from honeyguide.core.fitting import FitOptions
from honeyguide.core.requests import Requests
from honeyguide.data.build import build
from honeyguide.data.store import HistoryStore
from honeyguide.experiment.bundle import open_bundle, save_bundle
from honeyguide.experiment.update import update_bundle
from honeyguide.models.blend import Blend
from honeyguide.models.content.cold_map import ColdMap
from honeyguide.models.content.text_profile import TextProfile
from honeyguide.models.linear.ease import EASE
from honeyguide.models.popularity import Popularity
from honeyguide.models.registry import load_model

DAY = 86_400_000_000


def events(rows: list[tuple[str, str, int]], **columns: Any) -> pl.DataFrame:
    frame = pl.DataFrame(rows, schema=["user_id", "item_id", "day"], orient="row")
    moment = (pl.col("day") * DAY + 10**15).cast(pl.Datetime("us", "UTC"))
    return frame.select("user_id", "item_id", timestamp=moment).with_columns(**columns)


OLD = [(f"u{u}", f"i{(u * u + n) % 12:02d}", 10 * n + u) for u in range(20) for n in range(5)]
NEW = [("u0", "i11", 100), ("u0", "new", 101), ("u3", "new", 102), ("nova", "i02", 103), ("nova", "new", 104)]


def split_of(rows: list[tuple[str, str, int]]) -> list[str]:
    """The last event of every fourth user is test, so that something is held out."""
    last = {user: day for user, _, day in rows}
    return ["test" if last[user] == day and int(user[1:]) % 4 == 0 else "train" for user, _, day in rows]


@pytest.fixture
def old() -> Dataset:
    titles = pl.DataFrame({"item_id": [f"i{n:02d}" for n in range(12)], "title": [f"Title {n}" for n in range(12)]})
    return build("shop", events(OLD).with_columns(split=pl.Series(split_of(OLD))), titles)


@pytest.fixture
def folder(old: Dataset, tmp_path: Path) -> Path:
    save_bundle(tmp_path / "model", EASE(regularization=2.0).fit(old), old)
    return tmp_path / "model"


def refitted(rows: list[tuple[str, str, int]]) -> EASE:
    parts = [*split_of(OLD), *["train"] * (len(rows) - len(OLD))]
    return EASE(regularization=2.0).fit(build("whole", events(rows).with_columns(split=pl.Series(parts))))


def test_the_model_is_that_of_a_fit_on_the_whole_log_without_what_was_held_out(folder: Path, old: Dataset) -> None:
    done = update_bundle(folder, build("new", events(NEW)))
    assert (done.events, done.known_events, done.new_users, done.new_items, done.changed_users) == (5, 0, 1, 1, 3)
    assert done.exact
    bundle, expected = open_bundle(folder), refitted([*OLD, *NEW])
    assert expected.item_ids is not None
    assert set(bundle.item_ids.values) == set(expected.item_ids.values)
    order = bundle.item_ids.encode(expected.item_ids.values)
    found = np.asarray(bundle.model.weights.matrix)[np.ix_(order, order)]
    np.testing.assert_allclose(found, expected.weights.matrix, rtol=1e-4, atol=1e-5)


def test_a_model_that_learnt_valid_goes_on_from_there(old: Dataset, tmp_path: Path) -> None:
    rank = pl.int_range(pl.len()).over("user")
    frame = old.interactions.with_columns(
        split=pl.when((rank == 3) & (pl.col("user") % 4 == 1)).then(pl.lit("valid")).otherwise(pl.col("split"))
    )
    with_valid = replace(old, interactions=frame)
    model = EASE(regularization=2.0).fit(with_valid, FitOptions(learn_valid=True))
    save_bundle(tmp_path / "model", model, with_valid)
    update_bundle(tmp_path / "model", build("new", events(NEW)))
    bundle, expected = open_bundle(tmp_path / "model"), refitted([*OLD, *NEW])
    order = bundle.item_ids.encode(expected.item_ids.values)  # type: ignore[union-attr]
    found = np.asarray(bundle.model.weights.matrix)[np.ix_(order, order)]  # type: ignore[attr-defined]
    np.testing.assert_allclose(found, expected.weights.matrix, rtol=1e-4, atol=1e-5)


def test_histories_grow_in_the_order_of_time_and_items_in_the_table(folder: Path) -> None:
    late_news = events([("u1", "i05", 12)])  # between two events that are there
    new = build("new", pl.concat([events(NEW), late_news]), pl.DataFrame({"item_id": ["new"], "title": ["A novelty"]}))
    update_bundle(folder, new)
    bundle = open_bundle(folder)
    names = bundle.item_ids.values.to_list()
    grown = ["i01", "i02", "i05", "i03", "i04", "i05"]
    assert [names[c] for c in bundle.of_users(["u1"]).histories[0]] == grown
    assert [names[c] for c in bundle.of_users(["u0"]).histories[0]][-2:] == ["i11", "new"]
    assert bundle.titles[names.index("new")] == "A novelty"
    assert bundle.titles[0] == "Title 0"


def test_the_same_events_again_change_nothing(folder: Path) -> None:
    update_bundle(folder, build("new", events(NEW)))
    before = open_bundle(folder)
    done = update_bundle(folder, build("new", events([*OLD, *NEW, NEW[0]])))
    assert (done.events, done.changed_users, done.version) == (0, 0, "v000002")
    assert done.known_events == len(OLD) + len(NEW) + 1
    after = open_bundle(folder)
    asked = Requests(before.store.histories(before.store.user_ids))
    assert_array_equal(after.model.score(asked), before.model.score(asked))
    assert after.store.user_ids.to_list() == before.store.user_ids.to_list()


def test_the_version_before_stays_loadable(folder: Path, old: Dataset) -> None:
    first = load_model(folder)
    update_bundle(folder, build("new", events(NEW)))
    again = open_bundle(folder, "v000001")
    assert again.item_ids == first.item_ids
    asked = Requests(old.histories("train"))
    assert_array_equal(again.model.score(asked), first.score(asked))
    assert (again.of_users(["nova"]).histories[0] == [again.item_ids.encode(["i02"])[0], -1]).all()


@pytest.mark.parametrize("crash", ["before the model", "after the model"])
def test_after_a_crash_the_work_is_finished_and_nothing_is_done_twice(
    crash: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner, name = (EASE, "save") if crash == "before the model" else (HistoryStore, "mark_learnt")

    def stop(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(owner, name, stop)
        update_bundle(folder, build("new", events(NEW)))
    done = update_bundle(folder, build("new", events(NEW)))
    assert done.events == 0
    assert done.changed_users == (3 if crash == "before the model" else 0)
    bundle, expected = open_bundle(folder), refitted([*OLD, *NEW])
    assert expected.item_ids is not None
    order = bundle.item_ids.encode(expected.item_ids.values)
    found = np.asarray(bundle.model.weights.matrix)[np.ix_(order, order)]
    np.testing.assert_allclose(found, expected.weights.matrix, rtol=1e-4, atol=1e-5)
    assert bundle.store.pending_digest() is None


def test_without_times_a_pair_that_is_there_is_the_same_event(tmp_path: Path) -> None:
    rows = pl.DataFrame({"user_id": ["a", "a", "b"], "item_id": ["x", "y", "x"]})
    data = build("plain", rows)
    save_bundle(tmp_path, Popularity().fit(data), data)
    new = pl.DataFrame({"user_id": ["a", "b", "c"], "item_id": ["x", "z", "z"]})
    done = update_bundle(tmp_path, build("new", new))
    assert (done.events, done.known_events) == (2, 1)
    bundle = open_bundle(tmp_path)
    assert dict(zip(bundle.item_ids.values, bundle.model.counts, strict=True)) == {"x": 2, "y": 1, "z": 2}


def test_what_does_not_fit_is_refused_and_changes_nothing(folder: Path) -> None:
    with pytest.raises(DataError, match="have times, and these have none"):
        update_bundle(folder, build("new", events(NEW).drop("timestamp")))
    assert open_bundle(folder).store.pending_digest() is None
    assert "nova" not in open_bundle(folder).store


def test_a_model_that_cannot_be_updated_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(EASE, "capabilities", frozenset({"fold_in"}))
    with pytest.raises(CapabilityError, match="'update'"):
        update_bundle(folder, build("new", events(NEW)))
    assert "nova" not in open_bundle(folder).store


def test_who_is_forgotten_between_two_updates_stays_forgotten(folder: Path) -> None:
    update_bundle(folder, build("new", events(NEW)))
    open_bundle(folder).store.delete("nova")
    update_bundle(folder, build("newer", events([("u5", "i00", 200)])))
    bundle = open_bundle(folder)
    assert "nova" not in bundle.store
    assert bundle.store.history("u5")[-1] == bundle.item_ids.encode(["i00"])[0]


def test_new_items_are_read_from_the_table_of_the_events(old: Dataset, tmp_path: Path) -> None:
    text = TextProfile(encoder="use")
    save_bundle(tmp_path, Blend.of([Popularity().fit(old), text.fit(old)], old), old)
    titled = pl.DataFrame({"item_id": ["new"], "title": ["Title 3 again"]})
    done = update_bundle(tmp_path, build("new", events(NEW), titled))
    assert (done.new_items, done.stayed, done.exact) == (1, (), True)
    bundle = open_bundle(tmp_path)
    found = bundle.model.parts[1].vectors[bundle.encode(["new"])[0]]
    np.testing.assert_allclose(found, text.text.vectors(titled)[0], atol=1e-5)
    update_bundle(tmp_path, build("newer", events([("u5", "blank", 110)])))
    bundle = open_bundle(tmp_path)
    assert not bundle.model.parts[1].vectors[bundle.encode(["blank"])[0]].any(), "nothing is known of it"


def test_the_crash_after_the_store_was_written_is_made_good(
    old: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The table of new items is in the store by then."""
    save_bundle(tmp_path, ColdMap(encoder="use", base="popularity").fit(old), old)
    titled = pl.DataFrame({"item_id": ["new"], "title": ["Title 3 again"]})
    with monkeypatch.context() as broken:
        broken.setattr(ColdMap, "_update", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            update_bundle(tmp_path, build("new", events(NEW), titled))
    done = update_bundle(tmp_path, build("new", events(NEW)))
    assert (done.events, done.changed_users) == (0, 3)
    model = open_bundle(tmp_path).model
    assert not model.cold[-1] and model.vectors[-1].any()
