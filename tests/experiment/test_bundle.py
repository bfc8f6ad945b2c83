from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from honeyguide.core.dataset import Dataset
from honeyguide.core.errors import ArtifactError, DataError
from honeyguide.data.build import build
from honeyguide.data.reading import Reading
from honeyguide.data.store import HistoryStore
from honeyguide.experiment.bundle import Bundle, open_bundle, open_store, reading_of, save_bundle
from honeyguide.models.content.text_profile import TextProfile
from honeyguide.models.popularity import Popularity


@pytest.fixture
def bundle(books: Dataset, tmp_path: Path) -> Bundle:
    save_bundle(tmp_path / "model", Popularity().fit(books), books)
    return open_bundle(tmp_path / "model")


def test_histories_hold_everything_people_did(bundle: Bundle, books: Dataset) -> None:
    user = books.user_ids.values[5]
    assert bundle.of_users([user]).histories[0].tolist() == books.histories()[5].tolist()
    assert bundle.of_users([str(user)]).histories[0].tolist() == books.histories()[5].tolist()


def test_how_the_data_was_read_is_kept_until_another_fit(books: Dataset, tmp_path: Path) -> None:
    model, root = Popularity().fit(books), tmp_path / "model"
    save_bundle(root, model, books, Reading({"user_id": "who"}, "stars>=4", "rows"))
    assert reading_of(root) == Reading({"user_id": "who"}, "stars>=4", "rows")
    (root / "reading.json").write_text("{", encoding="utf-8")
    assert reading_of(root) is None, "damaged: as if nobody knew"
    save_bundle(root, model, books)
    assert not (root / "reading.json").exists()
    assert open_bundle(root).model.name == "popularity"


def test_all_users_come_in_blocks(bundle: Bundle, books: Dataset) -> None:
    blocks = list(bundle.all_users(block=128))
    assert [len(ids) for ids, _ in blocks] == [128, 128, books.n_users - 256]
    assert pl.concat([ids for ids, _ in blocks]).to_list() == books.user_ids.values.to_list()
    assert sum(len(requests.histories.values) for _, requests in blocks) == books.interactions.height


def test_unknown_users_and_items_are_named(bundle: Bundle) -> None:
    with pytest.raises(DataError, match="nothing is known of user nobody"):
        bundle.of_users(["nobody"])
    with pytest.raises(DataError, match="no item '-5'"):
        bundle.of_items([-5])


def test_titles(bundle: Bundle, books: Dataset) -> None:
    assert bundle.titles == books.items["title"].to_list()


def test_a_model_refitted_on_other_items_still_understands_the_store(bundle: Bundle, books: Dataset) -> None:
    """The store keeps its own codes; when the catalogue of a newer model differs, they are translated."""
    frame = pl.DataFrame({"user_id": [1, 1], "item_id": [-9, int(books.item_ids.values[3])]})
    Popularity().fit(build("other", frame)).save(bundle.directory)
    newer = open_bundle(bundle.directory)
    user = books.user_ids.values[0]
    history = newer.of_users([user]).histories[0]
    old = books.histories()[0]
    assert [int(code) for code in history] == [1 if code == 3 else -1 for code in old]


def test_the_model_holds_no_user_ids(bundle: Bundle) -> None:
    stored = {path.relative_to(bundle.directory).parts[0] for path in bundle.directory.rglob("*") if path.is_file()}
    assert stored - {".lock"} == {"CURRENT", "v000001", "store"}
    for path in (bundle.directory / "v000001").glob("*.parquet"):
        assert "user_id" not in pl.read_parquet(path).columns


def test_what_is_no_bundle_is_said(tmp_path: Path, books: Dataset) -> None:
    with pytest.raises(ArtifactError, match="honeyguide fit"):
        open_bundle(tmp_path)
    Popularity().fit(books).save(tmp_path / "bare")
    with pytest.raises(ArtifactError, match="no bundle"):
        open_bundle(tmp_path / "bare")
    with pytest.raises(ArtifactError):
        open_store(tmp_path / "none")


def test_deleting_a_user_is_seen_by_the_next_reader(bundle: Bundle, books: Dataset) -> None:
    user = books.user_ids.values[5]
    HistoryStore.open(bundle.directory / "store").delete(user)
    with pytest.raises(DataError):
        open_bundle(bundle.directory).of_users([user])


def test_items_added_before_a_crash_can_be_added_again(books: Dataset, tmp_path: Path) -> None:
    save_bundle(tmp_path / "model", TextProfile(encoder="use").fit(books), books)
    new = pl.DataFrame({"item_id": [9_000_001], "title": ["The Hunger Games"], "authors": ["Suzanne Collins"]})
    open_store(tmp_path / "model").add_items(new)  # and then the power failed: the model does not know the item
    crashed = open_bundle(tmp_path / "model")
    user = books.user_ids.values[0]
    assert crashed.model.recommend(crashed.of_users([user])).items.min() >= 0
    crashed.add_items(new)
    again = open_bundle(tmp_path / "model")
    assert again.item_ids == again.store.item_ids
    assert again.titles[-1] == "The Hunger Games"
    assert again.of_users([user]).histories[0].tolist() == books.histories()[0].tolist()
