"""What every recommender promises about its artifact: the same lists elsewhere, nobody's data, no silent damage."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from numpy.testing import assert_array_equal

from honeyguide.core import artifact
from honeyguide.core.dataset import Dataset
from honeyguide.core.errors import ArtifactError
from honeyguide.core.ids import Ids
from honeyguide.core.recommender import Recommender
from honeyguide.core.requests import Requests
from honeyguide.models.popularity import Popularity
from honeyguide.models.registry import load_model

ELSEWHERE = """
import sys
import numpy as np
from honeyguide.core.ragged import Ragged
from honeyguide.core.requests import Requests
from honeyguide.models.registry import load_model
asked = np.load(sys.argv[2])
found = load_model(sys.argv[1]).recommend(Requests(Ragged(asked["offsets"], asked["values"])), k=20)
np.savez(sys.argv[3], items=found.items, scores=found.scores, ids=found.item_ids.values.to_numpy())
"""


@pytest.fixture(scope="module")
def saved(model: Recommender, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp(model.name)
    model.save(root)
    return root


def test_a_new_process_gives_the_same_lists(model: Recommender, saved: Path, asked: Requests, tmp_path: Path) -> None:
    np.savez(tmp_path / "asked.npz", offsets=asked.histories.offsets, values=asked.histories.values)
    command = [sys.executable, "-c", ELSEWHERE, str(saved), str(tmp_path / "asked.npz"), str(tmp_path / "found.npz")]
    subprocess.run(command, check=True)
    found, expected = np.load(tmp_path / "found.npz"), model.recommend(asked, k=20)
    assert_array_equal(found["items"], expected.items)
    assert_array_equal(found["scores"], expected.scores)
    assert Ids(pl.Series(found["ids"])) == model.item_ids


def test_a_loaded_model_is_the_saved_one(model: Recommender, saved: Path, asked: Requests) -> None:
    for loaded in (load_model(saved), type(model).load(saved)):
        assert type(loaded) is type(model)
        assert loaded.config == model.config
        assert loaded.report == model.report
        assert_array_equal(loaded.score(asked), model.score(asked))


def test_a_loaded_model_can_be_saved_again(model: Recommender, saved: Path, asked: Requests, tmp_path: Path) -> None:
    load_model(saved).save(tmp_path)
    assert_array_equal(load_model(tmp_path).score(asked), model.score(asked))


def test_an_artifact_holds_nothing_of_a_user(saved: Path, small: Dataset) -> None:
    content = artifact.read(saved, "model")
    for path in saved.rglob("*"):
        assert path.is_dir() or b"reader-" not in path.read_bytes(), path.name
    for name, array in content.arrays.items():
        assert small.n_users not in array.shape, f"{name} has a row per user"
    for name, table in content.tables.items():
        assert table.height != small.n_users, f"{name} has a row per user"
        assert "user_id" not in table.columns


def test_a_flipped_byte_in_any_file_is_a_typed_error(saved: Path) -> None:
    for path in [saved / "CURRENT", *(saved / "v000001").iterdir()]:
        original = path.read_bytes()
        for position in {0, len(original) // 2, len(original) - 1}:
            broken = bytearray(original)
            broken[position] ^= 0x10
            path.write_bytes(broken)
            with pytest.raises(ArtifactError):
                load_model(saved)
        path.write_bytes(original)
    assert load_model(saved)


def test_a_truncated_or_missing_file_is_a_typed_error(saved: Path) -> None:
    for path in [saved / "CURRENT", *(saved / "v000001").iterdir()]:
        original = path.read_bytes()
        for length in {0, len(original) // 2, len(original) - 1}:
            path.write_bytes(original[:length])
            with pytest.raises(ArtifactError):
                load_model(saved)
        path.unlink()
        with pytest.raises(ArtifactError):
            load_model(saved)
        path.write_bytes(original)
    assert load_model(saved)


def test_a_part_that_is_gone_from_the_state_is_a_typed_error(model: Recommender, saved: Path, tmp_path: Path) -> None:
    content = artifact.read(saved, "model")
    for missing in content.arrays:
        arrays = {name: array for name, array in content.arrays.items() if name != missing}
        artifact.publish(tmp_path, artifact.Artifact("model", content.meta, arrays, content.tables))
        with pytest.raises(ArtifactError, match=model.name):
            load_model(tmp_path)


def test_the_artifact_of_another_model_is_refused(model: Recommender, saved: Path) -> None:
    if isinstance(model, Popularity):
        pytest.skip("it is the other model")
    with pytest.raises(ArtifactError, match=f"holds '{model.name}'"):
        Popularity.load(saved)
