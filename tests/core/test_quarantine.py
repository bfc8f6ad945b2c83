from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from honeyguide.core import artifact
from honeyguide.core.artifact import Artifact
from honeyguide.core.errors import ArtifactError
from honeyguide.core.quarantine import last_good


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for n in (1, 2):
        artifact.publish(tmp_path, Artifact("model", {"n": n}, {"a": np.arange(n * 100)}))
    return tmp_path


def flip(path: Path, place: int = -3) -> None:
    content = bytearray(path.read_bytes())
    content[place] ^= 0xFF
    path.write_bytes(content)


def versions(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name.startswith("v"))


def test_a_sound_folder_is_left_as_it_is(folder: Path) -> None:
    before = (folder / "CURRENT").read_bytes()
    assert last_good(folder, "model") == "v000002"
    assert (folder / "CURRENT").read_bytes() == before and versions(folder) == ["v000001", "v000002"]


@pytest.mark.parametrize("file", ["arrays.safetensors", "manifest.json"])
def test_a_damaged_newest_version_gives_way_to_the_last_good_one(folder: Path, file: str) -> None:
    flip(folder / "v000002" / file)
    with pytest.raises(ArtifactError):
        artifact.read(folder, "model")
    assert last_good(folder, "model") == "v000001"
    assert artifact.read(folder, "model").meta == {"n": 1}
    assert versions(folder) == ["v000001", "v000002.damaged"]
    artifact.publish(folder, Artifact("model", {"n": 3}))
    assert artifact.read(folder, "model").meta == {"n": 3}, "the folder is in use as before"


@pytest.mark.parametrize("content", [None, b"", b"v000009 abc\n", b"\xff\xfe"])
def test_a_lost_or_damaged_pointer_is_written_anew(folder: Path, content: bytes | None) -> None:
    (folder / "CURRENT").unlink()
    if content is not None:
        (folder / "CURRENT").write_bytes(content)
    assert last_good(folder, "model") == "v000002"
    assert artifact.read(folder, "model").meta == {"n": 2} and versions(folder) == ["v000001", "v000002"]


def test_nothing_good_is_said_and_another_kind_is_not_damage(folder: Path, tmp_path: Path) -> None:
    assert last_good(tmp_path / "nowhere", "model") is None
    assert last_good(folder, "histories") is None and versions(folder) == ["v000001", "v000002"]
    for name in ("v000001", "v000002"):
        (folder / name / "arrays.safetensors").unlink()
    assert last_good(folder, "model") is None
    assert versions(folder) == ["v000001.damaged", "v000002.damaged"]
    with pytest.raises(ArtifactError):
        artifact.read(folder, "model")
