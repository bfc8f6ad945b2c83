"""Lists for everybody: in blocks, streamed to one file, the same however they are cut."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from honeyguide.core.dataset import Dataset
from honeyguide.core.errors import HoneyguideError
from honeyguide.data.build import build
from honeyguide.experiment import everybody
from honeyguide.experiment.bundle import Bundle, open_bundle, save_bundle
from honeyguide.experiment.child import run_module
from honeyguide.experiment.everybody import recommend_everybody
from honeyguide.experiment.records import read_json, write_json
from honeyguide.models.linear.itemknn import ItemKNN
from honeyguide.models.popularity import Popularity


@pytest.fixture(scope="module")
def bundle(books: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    folder = tmp_path_factory.mktemp("bundle") / "model"
    save_bundle(folder, ItemKNN().fit(books), books)
    return open_bundle(folder)


@pytest.fixture(scope="module")
def lists(bundle: Bundle) -> pl.DataFrame:
    """As one call makes them, all in memory."""
    ids, requests = bundle.users(0, len(bundle.store))
    return bundle.model.recommend(requests, 7).frame(ids).collect()


@pytest.mark.parametrize("users", [1 << 16, 64, 299])
@pytest.mark.parametrize("ending", ["parquet", "csv", "jsonl"])
def test_the_lists_are_those_of_one_call(
    bundle: Bundle, lists: pl.DataFrame, tmp_path: Path, users: int, ending: str
) -> None:
    out = tmp_path / "new" / f"recs.{ending}"
    rows = recommend_everybody(bundle, out, 7, users=users)
    read = {"parquet": pl.read_parquet, "csv": pl.read_csv, "jsonl": pl.read_ndjson}[ending]
    found = read(out)
    assert rows == found.height == lists.height
    assert (
        found.select("user_id", "rank", "item_id")
        .cast(pl.Int64)
        .equals(lists.select("user_id", "rank", "item_id").cast(pl.Int64))
    )
    assert (found["score"].cast(pl.Float32) - lists["score"]).abs().max() < 1e-5  # type: ignore[operator]
    if ending == "parquet":
        assert found.equals(lists)
    assert [path.name for path in out.parent.iterdir()] == [out.name]


def test_seen_items_come_back_when_asked_for(bundle: Bundle, books: Dataset, tmp_path: Path) -> None:
    recommend_everybody(bundle, tmp_path / "recs.parquet", 400, seen=True, users=100)
    found = pl.read_parquet(tmp_path / "recs.parquet")
    assert found.height == books.n_users * books.n_items


def test_a_file_that_was_there_stays_until_the_new_one_is_whole(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "recs.parquet"
    out.write_bytes(b"old")
    written = everybody.write_block

    def fail_later(bundle: Bundle, block: everybody.Block) -> int:
        if block.first:
            raise OSError("the disk is full")
        return written(bundle, block)

    monkeypatch.setattr(everybody, "write_block", fail_later)
    with pytest.raises(OSError, match="disk is full"):
        recommend_everybody(bundle, out, 5, users=100)
    assert out.read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == [out.name]


def test_a_store_of_nobody_gives_an_empty_table(tmp_path: Path) -> None:
    data = build("one", pl.DataFrame({"user_id": [8, 8], "item_id": [1, 2]}))
    save_bundle(tmp_path / "m", Popularity().fit(data), data).store.delete(8)
    assert recommend_everybody(open_bundle(tmp_path / "m"), tmp_path / "recs.parquet", 5) == 0
    assert pl.read_parquet(tmp_path / "recs.parquet").columns == ["user_id", "rank", "item_id", "score"]


def test_a_block_runs_in_a_process_of_its_own(bundle: Bundle, lists: pl.DataFrame, tmp_path: Path) -> None:
    description = tmp_path / "b.spec.json"
    block = everybody.Block(str(bundle.directory), None, 10, 20, 7, False, str(tmp_path / "b.parquet"))
    write_json(description, block.__dict__)
    found = run_module("honeyguide.experiment.everybody", [str(description)], tmp_path / "b.json")
    assert found == {"rows": 70}
    ids = bundle.store.user_ids.slice(10, 10)
    assert pl.read_parquet(tmp_path / "b.parquet").equals(lists.filter(pl.col("user_id").is_in(ids.implode())))


def test_a_block_that_fails_leaves_its_error(tmp_path: Path) -> None:
    description = tmp_path / "b.spec.json"
    block = everybody.Block(str(tmp_path / "nothing"), None, 0, 9, 7, False, str(tmp_path / "b.parquet"))
    write_json(description, block.__dict__)
    assert everybody.main(str(description)) == 0
    assert "no saved artifact" in read_json(tmp_path / "b.json")["error"]  # type: ignore[index]
    assert everybody.main(str(tmp_path / "none.json")) == 2


def test_an_error_on_the_cluster_is_an_error_here(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(everybody, "run_jobs", lambda jobs, _: [{"error": "lost", "remedy": "find it"} for _ in jobs])
    with pytest.raises(HoneyguideError, match="lost"):
        recommend_everybody(bundle, tmp_path / "recs.parquet", 5, ray="auto")
    assert not list(tmp_path.iterdir())
