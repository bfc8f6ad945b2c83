"""How models made of models are updated, and what becomes of parts that cannot be."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import polars as pl
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from honeyguide.core.dataset import Dataset
from honeyguide.core.errors import CapabilityError, DataError
from honeyguide.core.ragged import Ragged
from honeyguide.core.recommender import Recommender
from honeyguide.data.build import build, extend
from honeyguide.models.auto import Auto
from honeyguide.models.blend import Blend
from honeyguide.models.content.cold_map import ColdMap
from honeyguide.models.content.text_profile import TextProfile
from honeyguide.models.fusion import score_features
from honeyguide.models.linear.floor import Floor
from honeyguide.models.linear.itemknn import ItemKNN
from honeyguide.models.popularity import Popularity
from honeyguide.models.registry import load_model
from honeyguide.models.temper import sharpness


class Fixed(ItemKNN):
    """A model that cannot be updated; saved, it is an ItemKNN that was passed by."""

    capabilities: ClassVar[frozenset[str]] = ItemKNN.capabilities - {"update", "exact_update"}


def events(rows: list[tuple[str, str]]) -> pl.DataFrame:
    frame = pl.DataFrame(rows, schema=["user_id", "item_id"], orient="row")
    return frame.with_columns(position=pl.int_range(pl.len()).over("user_id"))


WORDS = ["dragon", "castle", "spaceship", "murder", "garden", "cooking", "whale", "desert", "piano"]
OLD = [(f"u{u}", f"i{(3 * u + 2 * n * n + n) % 9}") for u in range(24) for n in range(4)]
NEW = [("u1", "new"), ("u2", "new"), ("u3", "i2"), ("zoe", "i4"), ("zoe", "new")]


@pytest.fixture(scope="module")
def old() -> Dataset:
    items = pl.DataFrame({"item_id": [f"i{n}" for n in range(9)], "title": [f"The {word}" for word in WORDS]})
    return build("shop", events(OLD), items)


@pytest.fixture(scope="module")
def late(old: Dataset) -> Dataset:
    title = pl.DataFrame({"item_id": ["new"], "title": ["The dragon returns"]})
    return extend(old, events(NEW).with_columns(position=pl.col("position") + 10), title)


def updated(model: Recommender, old: Dataset, late: Dataset, *, table: bool = True) -> Recommender:
    before, after = old.histories(), late.histories()
    before = before.concat_rows(Ragged.empty(len(after) - len(before)))
    return model.update(before, after, late.item_ids, table=late.items if table else None)


def mixed(data: Dataset) -> Blend:
    return Blend.of([Popularity().fit(data), Fixed().fit(data)], data)


def test_a_part_that_cannot_be_updated_stays_and_says_nothing_of_new_items(old: Dataset, late: Dataset) -> None:
    blend = updated(mixed(old), old, late)
    assert blend.left_behind == ("itemknn",) and blend.report.updates[-1]["stayed"] == ["itemknn"]
    histories = late.histories()
    of_popularity = score_features(blend.parts[0].score_histories(histories), "rank")[0]
    seen = Ragged.from_lists([row[row < old.n_items] for row in histories])
    of_fixed = score_features(Fixed().fit(old).score_histories(seen), "rank")[0]
    expected = of_popularity.copy()
    expected[:, : old.n_items] += of_fixed
    assert_allclose(blend.score_histories(histories), expected, rtol=1e-5, atol=1e-5)
    assert_array_equal(blend.score_histories(histories)[:, -1], of_popularity[:, -1])


def test_who_was_passed_by_is_remembered(old: Dataset, late: Dataset, tmp_path: Path) -> None:
    blend = updated(mixed(old), old, late)
    blend.save(tmp_path)
    loaded = load_model(tmp_path)
    histories = late.histories()
    assert_array_equal(loaded.score_histories(histories), blend.score_histories(histories))
    assert loaded.left_behind == ("itemknn",), "though its class could be updated: it has missed something"
    assert [len(part.item_ids) for part in loaded.parts] == [10, 9]
    again = extend(late, events([("u1", "newer"), ("u1", "new")]).with_columns(position=pl.lit(20)))
    updated(loaded, late, again)
    assert loaded.report.updates[-1]["stayed"] == ["itemknn"]
    loaded.save(tmp_path)
    assert_array_equal(
        load_model(tmp_path).score_histories(again.histories()), loaded.score_histories(again.histories())
    )


def test_where_nothing_can_be_updated_the_error_names_the_parts(old: Dataset, late: Dataset) -> None:
    blend = Blend.of([Fixed().fit(old), Fixed(neighbours=2).fit(old)], old)
    with pytest.raises(CapabilityError, match="this blend is made of itemknn"):
        updated(blend, old, late)
    whole = Auto(text="off")
    whole.chosen, whole.item_ids = Fixed().fit(old), old.item_ids
    with pytest.raises(CapabilityError, match="this auto is made of itemknn"):
        whole.require("update")
    with pytest.raises(CapabilityError, match="this cold-map is made of itemknn"):
        ColdMap.over(Fixed().fit(old), old, encoder="use").require("update")


def test_a_part_that_finds_that_it_cannot_is_passed_by(old: Dataset, late: Dataset) -> None:
    large = Floor().fit(old)
    large._counts = None  # as where there are too many pairs to keep
    blend = Blend.of([large, Popularity().fit(old)], old)
    assert updated(blend, old, late).left_behind == ("floor",)
    alone = Floor().fit(old)
    alone._counts = None
    blend = Blend.of([alone], old)
    with pytest.raises(CapabilityError, match="made of floor, of which nothing can be updated"):
        updated(blend, old, late)
    assert blend.left_behind == () and blend.item_ids == old.item_ids


def test_an_update_is_exact_if_all_of_it_is(old: Dataset, late: Dataset) -> None:
    blend = Blend.of([Popularity().fit(old), ItemKNN().fit(old)], old)
    assert blend.updates_exactly
    whole = Blend.of([Popularity().fit(late), ItemKNN().fit(late)], late)
    histories = late.histories()
    assert_allclose(
        updated(blend, old, late).score_histories(histories), whole.score_histories(histories), rtol=1e-4, atol=1e-5
    )
    assert not updated(mixed(old), old, late).updates_exactly
    blend.weights.values[0, 1] = 0.3
    assert not blend.updates_exactly, "its weights were learnt"


def test_the_share_of_events_is_counted_on(old: Dataset, late: Dataset, tmp_path: Path) -> None:
    model = TextProfile(encoder="use").fit(old)
    model.save(tmp_path)
    expected = TextProfile(encoder="use").fit(late)
    for found in (updated(model, old, late), updated(load_model(tmp_path), old, late)):
        assert_array_equal(found.share, expected.share)
        assert_allclose(found.vectors, expected.vectors, atol=1e-5)
    without = updated(load_model(tmp_path), old, late, table=False)
    assert not without.vectors[-1].any(), "nothing is known of it"


def test_a_table_without_the_column_that_is_read_is_refused_before_anything_changes(
    old: Dataset, late: Dataset
) -> None:
    knn, text = ItemKNN().fit(old), TextProfile(encoder="use").fit(old)
    blend = Blend.of([knn, text], old)
    before, after = old.histories(), late.histories()
    before = before.concat_rows(Ragged.empty(len(after) - len(before)))
    scores = blend.score_histories(before)
    with pytest.raises(DataError, match="'title'"):
        blend.update(before, after, late.item_ids, table=late.items.select("item_id"))
    assert_array_equal(blend.score_histories(before), scores)


def test_what_was_cold_is_warm_once_it_has_events(old: Dataset, late: Dataset) -> None:
    model = ColdMap(base="popularity", encoder="use").fit(old)
    model = model.add_items(pl.DataFrame({"item_id": ["new"], "title": ["The dragon returns"]}))
    assert model.cold[-1] and len(model.base.item_ids) == 9
    other = late.item_ids.append(pl.Series(["other"]))
    table = pl.concat([late.items, pl.DataFrame({"item_id": ["other"], "title": ["The dragon and the whale"]})])
    before, after = old.histories(), late.histories()
    before = before.concat_rows(Ragged.empty(len(after) - len(before)))
    model.update(before, after, other, table=table)
    assert_array_equal(model.cold, [*(late.popularity() == 0), True])
    assert not model.cold[9]
    again = ColdMap.over(Popularity().fit(late), late, encoder="use")  # no part valid: the same weights
    again = again.add_items(pl.DataFrame({"item_id": ["other"], "title": ["The dragon and the whale"]}))
    again.units = model.units
    histories = late.histories()
    assert_allclose(model.score_histories(histories), again.score_histories(histories), rtol=1e-4, atol=1e-5)


def test_a_network_in_a_blend_stays_as_sharp_as_it_was(old: Dataset, late: Dataset, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    sasrec = {"dim": 8, "blocks": 1, "heads": 1, "max_len": 10, "epochs": 2, "lr": 0.05, "update_share": 4.0}
    blend = Blend(models=("popularity", "sasrec"), options=({}, sasrec)).fit(old)
    before = sharpness(blend._scores(1, old.histories()))
    updated(blend, old, late)
    assert blend.temperatures[0] == 1 and abs(blend.temperatures[1] - 1) > 0.01
    assert sharpness(blend.parts[1].score_histories(old.histories())) != pytest.approx(before, rel=0.01)
    assert sharpness(blend._scores(1, old.histories())) == pytest.approx(before, rel=0.1)
    kept = list(blend.temperatures)
    blend.update(Ragged.empty(0), Ragged.empty(0), late.item_ids.append(pl.Series(["unread"])))
    assert blend.temperatures == kept, "nothing was learnt, and there is nobody to measure by"
    blend.save(tmp_path)
    histories = late.histories()
    assert_array_equal(load_model(tmp_path).score_histories(histories), blend.score_histories(histories))
