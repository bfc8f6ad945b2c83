"""What every recommender with capability ``update`` promises: that new events, users and items are taken in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from numpy.testing import assert_array_equal
from tests.contract.titled import build, titled

from honeyguide.core.dataset import Dataset
from honeyguide.core.errors import CapabilityError, DataError
from honeyguide.core.fitting import FitOptions
from honeyguide.core.ids import Ids
from honeyguide.core.ragged import Ragged
from honeyguide.core.recommender import Recommender
from honeyguide.core.requests import Requests
from honeyguide.data.build import extend

Make = Callable[..., Recommender]
NEW_ITEMS = (5_000_001, 5_000_002)
READ_NOBODY = {"popularity", "text-profile", "image-profile"}  # to whom it matters not who took an item
LEARN_NO_EVENTS = {"text-profile", "image-profile"}


@dataclass(frozen=True)
class Growth:
    """A log, the same log later, and the histories of those who did something in between."""

    early: Dataset
    late: Dataset
    before: Ragged
    after: Ragged


@pytest.fixture(scope="module")
def growth(events: pl.DataFrame) -> Growth:
    """Forty readers read on, two new ones come, two new books are read, and one reader reads one book again."""
    train = events.filter(pl.col("split") != "test").with_columns(split=pl.lit("train"))
    train = train.filter(pl.len().over("user_id") >= 8)
    readers = train["user_id"].unique(maintain_order=True)[:40]
    from_end = pl.int_range(pl.len(), 0, -1).over("user_id")
    is_new = pl.col("user_id").is_in(readers.implode()) & (from_end <= 2)
    early, new = train.filter(~is_new), train.filter(is_new)
    book, other = early["item_id"][0], early["item_id"][1]
    rows = [(readers[n], NEW_ITEMS[n % 2], 1_000) for n in range(12)]
    rows += [("new-1", book, 0), ("new-1", NEW_ITEMS[0], 1), ("new-1", other, 2), ("new-2", other, 0)]
    last = early.filter(pl.col("user_id") == readers[39])["item_id"][-1]
    rows += [(readers[39], last, 2_000)]
    added = pl.DataFrame(rows, schema=["user_id", "item_id", "position"], orient="row").with_columns(
        split=pl.lit("train")
    )
    new = pl.concat([new, added.cast(dict(new.schema))])
    data = build("early", early)
    novels = titled(pl.Series("item_id", NEW_ITEMS)).with_columns(title=pl.Series(["A novel", "Another novel"]))
    grown = extend(data, new, novels)
    before, after = data.histories(), grown.histories()
    before = before.concat_rows(Ragged.empty(len(after) - len(before)))
    changed = np.flatnonzero(before.differ(after))
    assert len(changed) == 42
    return Growth(data, grown, before.take(changed), after.take(changed))


@pytest.fixture(scope="module")
def start(make: Make, growth: Growth) -> Callable[[], Recommender]:
    """A model fitted on the early log, anew each time, with the same options in every test."""
    if "update" not in make().capabilities:
        pytest.skip("the model has no capability 'update'")
    return lambda: make(**options(make)).fit(growth.early)


def options(make: Make) -> dict[str, Any]:
    """What a fit would choose by looking at data is set: an update never chooses again."""
    chosen: dict[str, dict[str, Any]] = {
        "floor": {"normalisations": ("sym",), "decays": (0.8,), "mixes": (0.5,)},
        "slim": {"l1": 0.5, "tolerance": 1e-6, "sweeps": 500},  # two descents are as equal as they are exact
        "text-profile": {"decays": (0.8,)},
        "auto": {"models": ("floor", "itemknn")},  # of which it takes the first, without a part valid
    }
    return chosen.get(make().name, {})


def ask(growth: Growth) -> Requests:
    return Requests(growth.late.histories())


def updated(model: Recommender, growth: Growth, part: slice = slice(None)) -> Recommender:
    """The model after the new events of some of those who did something."""
    late = growth.late
    return model.update(growth.before.take(part), growth.after.take(part), late.item_ids, table=late.items)


def test_an_exact_update_equals_a_fit_on_the_whole_log(
    start: Callable[[], Recommender], make: Make, growth: Growth
) -> None:
    model = start()
    if not model.updates_exactly:
        pytest.skip("the model says that its updates are not exact")
    updated(model, growth)
    again = make(**options(make)).fit(growth.late)
    expected = again.score(ask(growth))
    np.testing.assert_allclose(model.score(ask(growth)), expected, rtol=2e-4, atol=2e-5 * np.abs(expected).max())


def test_valid_can_be_learnt_when_all_is_chosen(make: Make, growth: Growth) -> None:
    """Forty readers' last events are held out; once learnt, an exact model is that of a fit on all of them."""
    frame = growth.late.interactions
    last = (pl.int_range(pl.len(), 0, -1).over("user") == 1) & (pl.col("user") < 40)
    held_out = replace(
        growth.late,
        interactions=frame.with_columns(split=pl.when(last).then(pl.lit("valid")).otherwise(pl.lit("train"))),
    )
    how = FitOptions(learn_valid=True)
    if "update" not in make().capabilities:
        with pytest.raises(CapabilityError, match="update"):
            make().fit(held_out, how)
        return
    model = make(**options(make)).fit(held_out, how)
    assert model.report.learnt == ["train", "valid"]
    scores = model.score(ask(growth))
    assert np.isfinite(scores).all()
    before = make(**options(make)).fit(held_out)
    assert before.report.learnt == ["train"]
    if model.name not in LEARN_NO_EVENTS:
        assert not np.allclose(scores, before.score(ask(growth)), rtol=1e-6)
    if model.updates_exactly and model.name != "auto":  # which may choose another model without a part valid
        expected = make(**options(make)).fit(growth.late).score(ask(growth))
        np.testing.assert_allclose(scores, expected, rtol=2e-4, atol=2e-5 * np.abs(expected).max())


def test_updates_one_after_another_are_one_update(start: Callable[[], Recommender], make: Make, growth: Growth) -> None:
    model = start()
    if not model.updates_exactly:
        pytest.skip("the model says that its updates are not exact")
    for part in (slice(0, 10), slice(10, 30), slice(30, 42)):
        updated(model, growth, part)
    at_once = updated(start(), growth).score(ask(growth))
    np.testing.assert_allclose(model.score(ask(growth)), at_once, rtol=2e-4, atol=2e-5 * np.abs(at_once).max())
    assert len(model.report.updates) == 3


def test_an_update_undone_is_no_update(start: Callable[[], Recommender], make: Make, growth: Growth) -> None:
    model = start()
    if "exact_update" not in model.capabilities:
        pytest.skip("not exact, or a score depends on how many items there are, and these stay")
    expected = model.score(Requests(growth.early.histories()))
    updated(model, growth)
    model.update(growth.after, growth.before)
    found = model.score(Requests(growth.early.histories()))[:, : growth.early.n_items]
    np.testing.assert_allclose(found, expected, rtol=2e-4, atol=2e-5 * np.abs(expected).max())


def test_an_empty_update_changes_nothing(start: Callable[[], Recommender], growth: Growth) -> None:
    model = start()
    arrays = {name: np.array(value) for name, value in model._state()[0].items()}
    model.update(Ragged.empty(0), Ragged.empty(0))
    model.update(growth.before, growth.before, growth.early.item_ids)
    for name, value in model._state()[0].items():
        assert_array_equal(value, arrays[name])
    assert model.report.updates == []


def test_new_items_are_recommended_and_old_ones_keep_their_codes(
    start: Callable[[], Recommender], growth: Growth
) -> None:
    model = updated(start(), growth)
    assert model.item_ids == growth.late.item_ids
    assert_array_equal(model.item_ids.encode(growth.early.item_ids.values), np.arange(growth.early.n_items))
    scores = model.score(ask(growth))
    assert scores.shape == (growth.late.n_users, growth.late.n_items)
    assert np.isfinite(scores).all()
    readers = [row for row in growth.after if growth.late.n_items - 1 in row]
    others = Ragged.from_lists([row[:-1] for row in readers])
    ranks = (model.score_histories(others) > model.score_histories(others)[:, -1:]).sum(axis=1)
    worst = {"popularity": 0.9, "text-profile": 1.0, "image-profile": 1.0}.get(model.name, 0.5)
    assert ranks.mean() < worst * growth.late.n_items, "an item that these readers took is far below"


def test_a_new_item_that_was_taken_can_be_in_a_list(start: Callable[[], Recommender], growth: Growth) -> None:
    model = updated(start(), growth)
    if model.name in READ_NOBODY:
        pytest.skip("it does not learn who took an item")
    taken = [row[:-1] for row in growth.after if growth.late.n_items - 1 in row]
    shown = model.recommend(Requests(Ragged.from_lists(taken)), k=growth.late.n_items // 2).items
    assert (shown >= growth.early.n_items).any(axis=1).mean() > 0.5


def test_what_is_not_learnt_from_events_does_not_move_with_them(
    start: Callable[[], Recommender], growth: Growth
) -> None:
    """Of whoever has a history: old items keep their scores."""
    model = start()
    if model.name not in LEARN_NO_EVENTS:
        pytest.skip("it learns from events")
    asked, n = Requests(growth.early.histories()), growth.early.n_items
    before = model.score(asked)
    np.testing.assert_allclose(updated(model, growth).score(asked)[:, :n], before, rtol=1e-5, atol=1e-6)


def test_the_table_says_what_a_new_item_is(start: Callable[[], Recommender], growth: Growth) -> None:
    """Two items that nobody took, one of them a near copy of a book: readers of that book see it above the other."""
    model = start()
    if "add_items" not in model.capabilities:
        pytest.skip("it does not read the table")
    twin = int(growth.early.popularity("train").argmax())
    title = f"{growth.early.items['title'][twin]} second edition"
    new, n = [6_000_001, 6_000_000], growth.early.n_items
    table = pl.DataFrame({"item_id": new, "title": ["", title]}).with_columns(
        picture=pl.Series([None, growth.early.items["picture"][twin]])
    )
    history = Ragged.from_lists([[twin]])
    items = growth.early.item_ids.append(pl.Series(new))
    nothing = Ragged.empty(0)
    with pytest.raises(DataError, match="item_id"):
        model.update(nothing, nothing, items, table=table.drop("item_id"))
    with pytest.raises(DataError, match="twice"):
        model.update(nothing, nothing, items, table=pl.concat([table, table]))
    model.update(nothing, nothing, items, table=table)
    scores = model.score_histories(history)[0]
    assert scores[n] > scores[n + 1], "the one that is described"
    assert (scores[:n] > scores[n]).sum() < 0.2 * n


def test_parts_that_stayed_are_none_or_are_named(start: Callable[[], Recommender], growth: Growth) -> None:
    model = updated(start(), growth)
    assert model.report.updates[-1]["stayed"] == list(model.left_behind) == []


def test_items_that_nobody_took_may_be_added(start: Callable[[], Recommender], growth: Growth) -> None:
    model = start()
    items = model.item_ids.append(pl.Series([6_000_000, 6_000_001]))
    old = model.score(Requests(growth.early.histories()))
    model.update(Ragged.empty(0), Ragged.empty(0), items)
    found = model.score(Requests(growth.early.histories()))
    assert found.shape[1] == old.shape[1] + 2
    assert np.isfinite(found).all()


def test_saved_loaded_and_updated_is_updated(start: Callable[[], Recommender], growth: Growth, tmp_path: Path) -> None:
    model = start()
    model.save(tmp_path / "m")
    loaded = type(model).load(tmp_path / "m")
    updated(loaded, growth)
    updated(model, growth)
    expected = model.score(ask(growth))
    np.testing.assert_allclose(loaded.score(ask(growth)), expected, rtol=1e-4, atol=1e-5 * np.abs(expected).max())
    loaded.save(tmp_path / "m")
    again = type(model).load(tmp_path / "m")
    assert_array_equal(again.score(ask(growth)), loaded.score(ask(growth)))
    assert again.report.updates == loaded.report.updates
    first = type(model).load(tmp_path / "m", version="v000001")
    assert first.item_ids == growth.early.item_ids


def test_an_update_is_repeatable(start: Callable[[], Recommender], growth: Growth) -> None:
    one, two = (updated(start(), growth) for _ in range(2))
    assert_array_equal(one.score(ask(growth)), two.score(ask(growth)))


def test_nothing_of_a_user_is_kept(start: Callable[[], Recommender], growth: Growth) -> None:
    """No array has a row per user, and what an artifact holds of one user's single pair cannot name the user."""
    model = updated(start(), growth)
    for name, array in model._state()[0].items():
        assert growth.late.n_users not in array.shape, name
        assert len(growth.after) not in array.shape, name


def test_wrong_updates_are_refused(start: Callable[[], Recommender], growth: Growth) -> None:
    model, late = start(), growth.late.item_ids
    with pytest.raises(DataError, match="begin with the old one"):
        model.update(growth.before, growth.after, Ids(late.values.reverse()))
    with pytest.raises(DataError, match="the catalogue has not"):
        model.update(growth.before, growth.after)
    with pytest.raises(DataError, match="histories before"):
        model.update(growth.before.take(slice(0, 3)), growth.after, late)


def test_a_model_that_cannot_be_updated_says_so(make: Make, small: Dataset, model: Recommender) -> None:
    if "update" in model.capabilities:
        return
    with pytest.raises(CapabilityError, match="'update'"):
        model.update(Ragged.empty(0), Ragged.empty(0))
