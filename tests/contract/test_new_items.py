"""What models with the capability ``add_items`` promise: a new item is scored at once and disturbs nothing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from honeyguide.core import artifact
from honeyguide.core.dataset import Dataset
from honeyguide.core.errors import CapabilityError, DataError, EncoderError
from honeyguide.core.ragged import Ragged
from honeyguide.core.recommender import Recommender
from honeyguide.core.requests import Requests
from honeyguide.models.registry import load_model

NEW = 5_000_000


@pytest.fixture(scope="module")
def able(model: Recommender) -> Recommender:
    if "add_items" not in model.capabilities:
        pytest.skip("it cannot add items")
    return model


@pytest.fixture(scope="module")
def twin(small: Dataset) -> int:
    """Code of an item of which new ones are near copies: the most read."""
    return int(small.popularity("train").argmax())


@pytest.fixture(scope="module")
def new(small: Dataset, twin: int) -> pl.DataFrame:
    title = small.items["title"][twin]
    return pl.DataFrame({"item_id": [NEW + 1, NEW], "title": [f"{title} (illustrated)", f"{title} second edition"]})


@pytest.fixture(scope="module")
def grown(able: Recommender, new: pl.DataFrame) -> Recommender:
    return able.add_items(new)


def test_a_new_item_is_recommended_to_those_whose_history_is_like_it(
    able: Recommender, grown: Recommender, twin: int
) -> None:
    history = Requests(Ragged.from_lists([[twin]]))
    found = grown.recommend(history, k=10)
    assert {NEW, NEW + 1} & set(found.frame().collect()["item_id"].to_list())
    assert not {NEW, NEW + 1} & set(able.recommend(history, k=10).frame().collect()["item_id"].to_list())


def test_codes_and_scores_of_the_others_stay(able: Recommender, grown: Recommender, asked: Requests) -> None:
    n = len(able.item_ids)
    assert grown.item_ids.values.to_list() == [*able.item_ids.values.to_list(), NEW, NEW + 1]
    before, after = able.score(asked), grown.score(asked)
    assert after.shape == (len(asked), n + 2)
    assert np.isfinite(after).all()
    assert_allclose(after[:, :n], before, rtol=1e-5, atol=1e-6)


def test_lists_are_the_same_but_for_the_place_of_the_new_items(
    able: Recommender, grown: Recommender, asked: Requests
) -> None:
    old, new = able.recommend(asked, k=10).items, grown.recommend(asked, k=12).items
    for before, after in zip(old, new, strict=True):
        assert_array_equal(after[after < len(able.item_ids)][:10], before)


def test_all_at_once_is_one_by_one(able: Recommender, grown: Recommender, new: pl.DataFrame, asked: Requests) -> None:
    one_by_one = able.add_items(new.filter(item_id=NEW)).add_items(new.filter(item_id=NEW + 1))
    assert one_by_one.item_ids == grown.item_ids
    assert_allclose(one_by_one.score(asked), grown.score(asked), rtol=1e-4, atol=1e-5)


def test_new_items_in_a_history_are_read(grown: Recommender, able: Recommender) -> None:
    histories = Ragged.from_lists([[len(able.item_ids)], []])
    scores = grown.score_histories(histories)
    assert np.isfinite(scores).all()
    if "cold_items" in grown.capabilities:
        assert not np.allclose(scores[0], scores[1]), "the new item is read like any other"


def test_a_saved_model_can_add_items_and_be_saved_again(
    able: Recommender, grown: Recommender, new: pl.DataFrame, asked: Requests, tmp_path: Path
) -> None:
    able.save(tmp_path)
    loaded = load_model(tmp_path).add_items(new)
    assert_array_equal(loaded.score(asked), grown.score(asked))
    loaded.save(tmp_path)
    assert_array_equal(load_model(tmp_path).score(asked), grown.score(asked))


def test_the_artifact_states_the_encoder_and_another_version_is_refused(
    able: Recommender, new: pl.DataFrame, tmp_path: Path
) -> None:
    able.save(tmp_path)
    content = artifact.read(tmp_path, "model")
    stated = list(_texts(content.meta["state"]))
    assert stated
    for text in stated:
        assert text["version"].startswith("sha256:")
        assert text["columns"] == ["title"]
        text["version"] = "sha256:another"
    artifact.publish(tmp_path, content)
    with pytest.raises(EncoderError, match="sha256:another"):
        load_model(tmp_path).add_items(new)


def _texts(state: Any) -> Iterator[dict[str, Any]]:
    """What a state says of encoders: its own, and those of the models it is made of."""
    if isinstance(state, dict):
        if isinstance(state.get("text"), dict):
            yield state["text"]
        for inner in state.values():
            yield from _texts(inner)
    elif isinstance(state, list):
        for inner in state:
            yield from _texts(inner)


def test_what_is_wrong_with_new_items_is_said(able: Recommender, new: pl.DataFrame) -> None:
    known = able.item_ids.values[0]
    for items, message in (
        (new.with_columns(item_id=pl.lit(NEW)), "twice"),
        (new.with_columns(item_id=pl.Series([known, NEW])), f"{known} is known already"),
        (new.drop("title"), "no column 'title'"),
        (new.drop("item_id"), "no column 'item_id'"),
        (new.with_columns(item_id=pl.Series(["a", "b"])), "cannot be an id"),
    ):
        with pytest.raises(DataError, match=message):
            able.add_items(items)
    assert able.add_items(new.clear()).item_ids == able.item_ids


def test_an_item_without_text_is_taken_and_scored(able: Recommender, asked: Requests) -> None:
    bare = pl.DataFrame({"item_id": [NEW], "title": [None]}, schema_overrides={"title": pl.String})
    assert np.isfinite(able.add_items(bare).score(asked)).all()


def test_a_model_that_cannot_says_so(model: Recommender, new: pl.DataFrame) -> None:
    if "add_items" in model.capabilities:
        pytest.skip("it can")
    with pytest.raises(CapabilityError, match="'add_items'"):
        model.add_items(new)
