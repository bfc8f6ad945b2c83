"""What a model reads of new items."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from honeyguide.core.dataset import Dataset
from honeyguide.core.errors import DataError
from honeyguide.data.build import build
from honeyguide.experiment.bundle import Bundle, save_bundle
from honeyguide.experiment.new_texts import require_words, without_text
from honeyguide.models.blend import Blend
from honeyguide.models.content.cold_map import ColdMap
from honeyguide.models.content.text_profile import TextProfile
from honeyguide.models.popularity import Popularity


@pytest.fixture(scope="module")
def profile(books: Dataset) -> TextProfile:
    return TextProfile(encoder="use", decays=[0.8], columns=["title"]).fit(books)


def test_models_read_what_their_parts_read(books: Dataset, profile: TextProfile) -> None:
    popular = Popularity().fit(books)
    assert popular.reads_columns == ()
    assert profile.reads_columns == ("title",)
    blend = Blend.of([popular, profile], books, learned=False)
    assert blend.reads_columns == ("title",)
    over = ColdMap.over(blend, books, [], encoder="use", columns=["authors"], valid_users=50)
    assert over.reads_columns == ("authors", "title")


def _events(item_id: int, **columns: str) -> Dataset:
    events = pl.DataFrame({"user_id": [1], "item_id": [item_id]})
    given = pl.DataFrame({"item_id": [item_id], **{name: [value] for name, value in columns.items()}})
    return build("new", events, given if columns else None)


def test_a_table_of_which_nothing_can_be_read_is_refused(books: Dataset, profile: TextProfile, tmp_path: Path) -> None:
    bundle = save_bundle(tmp_path, profile, books)
    with pytest.raises(DataError, match="it reads title, and the table has name, pages"):
        require_words(bundle, _events(-5, name="x", pages="3"))
    require_words(bundle, _events(-5, name="x", title="y"))
    require_words(bundle, _events(-5))  # no table at all
    require_words(bundle, _events(int(books.item_ids.values[0]), name="x"))  # no new item
    plain = replace(bundle, model=Popularity().fit(books))
    assert isinstance(plain, Bundle)
    require_words(plain, _events(-5, name="x"))


def test_items_without_a_word_are_counted() -> None:
    items = pl.DataFrame({"item_id": [1, 2, 3], "title": ["Emma", None, " "], "authors": [None, "Austen", None]})
    assert without_text(items, ()) == 0
    assert without_text(items, ("title",)) == 2
    assert without_text(items, ("title", "authors", "tags")) == 1
    assert without_text(items, ("tags",)) == 3
