"""Artifacts appear whole or not at all, and a damaged one is one typed error."""

from __future__ import annotations

import json
import os
import pickle
import random
import shutil
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from tests.core.artifacts import content, leftovers, number, posix

from honeyguide.core import artifact
from honeyguide.core.artifact import Artifact, pack_csr, publish, read, unpack_csr
from honeyguide.core.errors import ArtifactError

# -- round trip ---------------------------------------------------------------------------------


def test_what_is_read_is_what_was_published(tmp_path: Path) -> None:
    folder = publish(tmp_path / "deep" / "model", content(7))
    assert folder.name == "v000001"
    assert number(read(tmp_path / "deep" / "model", "model")) == 7


@settings(deadline=None, max_examples=60)
@given(
    array=hnp.arrays(
        st.sampled_from(["?", "i1", "u1", "<i2", "<i4", "<i8", ">i4", "<f2", "<f4", "<f8"]),
        hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=5),
    )
)
def test_arrays_keep_shape_type_and_every_bit(array: np.ndarray[Any, Any], tmp_path_factory: Any) -> None:
    root = tmp_path_factory.mktemp("array")
    publish(root, Artifact("model", {}, {"x": array, "f": np.asarray(array, order="F")}))
    found = read(root, "model").arrays
    native = array.astype(array.dtype.newbyteorder("="))
    for name in ("x", "f"):
        assert found[name].shape == array.shape
        assert found[name].dtype == native.dtype
        assert found[name].tobytes() == native.tobytes()


def test_metadata_keeps_exact_numbers_and_text(tmp_path: Path) -> None:
    meta = {"small": 5e-324, "third": 1 / 3, "big": 2**80, "text": 'quote " \\ \n \u2028 鳥', "list": [[], {}, True]}
    publish(tmp_path, Artifact("model", meta))
    assert read(tmp_path, "model").meta == meta


def test_sparse_matrices_round_trip(tmp_path: Path) -> None:
    matrix = sp.random(30, 20, 0.2, format="csr", dtype=np.float32, random_state=0)
    publish(tmp_path, Artifact("model", {}, pack_csr("m", matrix)))
    found = unpack_csr("m", read(tmp_path, "model").arrays)
    assert found.shape == (30, 20)
    assert (found != matrix).nnz == 0


@pytest.mark.parametrize(
    ("part", "value"), [("indices", 20), ("indices", -1), ("indptr", 10_000), ("shape", 3)], ids=str
)
def test_sparse_matrices_that_point_outside_themselves_are_refused(part: str, value: int) -> None:
    arrays = pack_csr("m", sp.random(30, 20, 0.2, format="csr", dtype=np.float32, random_state=0))
    arrays[f"m.{part}"] = arrays[f"m.{part}"].copy()
    arrays[f"m.{part}"][-1] = value
    with pytest.raises(ValueError, match=r"ind|row|column|shape|bounds"):
        unpack_csr("m", arrays)


def test_only_numbers_and_plain_names_can_be_saved() -> None:
    with pytest.raises(TypeError, match="'words'"):
        Artifact("model", {}, {"words": np.array(["a"])})
    with pytest.raises(TypeError, match="'things'"):
        Artifact("model", {}, {"things": np.array([object()])})
    with pytest.raises(ValueError, match=r"'\.\./x'"):
        Artifact("model", {}, {}, {"../x": pl.DataFrame()})


# -- versions -----------------------------------------------------------------------------------


def test_each_publication_is_a_new_version_and_the_last_two_stay(tmp_path: Path) -> None:
    names = [publish(tmp_path, content(n)).name for n in range(4)]
    assert names == ["v000001", "v000002", "v000003", "v000004"]
    assert number(read(tmp_path, "model")) == 3
    assert number(read(tmp_path, "model", version="v000003")) == 2
    with pytest.raises(ArtifactError, match="no version 'v000001'"):
        read(tmp_path, "model", version="v000001")
    assert leftovers(tmp_path) == set()


@pytest.mark.parametrize("version", ["../v000001", "v1", "", "v000001/..", "CURRENT", "v000001\n", ".."])
def test_a_version_is_a_name_and_never_a_path(version: str, tmp_path: Path) -> None:
    publish(tmp_path, content())
    publish(tmp_path / "x", content())
    with pytest.raises(ArtifactError, match="no version"):
        read(tmp_path / "x", "model", version=version)


def test_a_reader_overtaken_by_publishers_reads_the_newer_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(tmp_path, content(1))
    read_version, overtaken = artifact._read_version, []

    def slow(*args: Any, **options: Any) -> Artifact:
        if not overtaken:
            overtaken.extend(publish(tmp_path, content(n)) for n in (2, 3, 4))
        return read_version(*args, **options)

    monkeypatch.setattr(artifact, "_read_version", slow)
    assert number(read(tmp_path, "model")) == 4


@posix
def test_everybody_allowed_by_the_umask_can_read(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        folder = publish(tmp_path / "model", content())
    finally:
        os.umask(before)
    for path in (tmp_path / "model", folder):
        assert stat.S_IMODE(path.stat().st_mode) == 0o755
    for path in (tmp_path / "model" / "CURRENT", *folder.iterdir()):
        assert stat.S_IMODE(path.stat().st_mode) == 0o644


# -- damage -------------------------------------------------------------------------------------


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """An artifact with an earlier version that must not be returned in place of the damaged one."""
    for n in range(2):
        publish(tmp_path, content(n))
    return tmp_path


def files_of(root: Path) -> list[Path]:
    return [root / "CURRENT", *sorted((root / "v000002").iterdir())]


def test_a_thousand_random_faults_are_one_typed_error_each(saved: Path) -> None:
    draw = random.Random(0)
    for path in files_of(saved):
        original = path.read_bytes()
        for _ in range(300):
            broken = bytearray(original)
            if draw.random() < 0.7:
                broken[draw.randrange(len(broken))] ^= draw.randrange(1, 256)
            elif draw.random() < 0.7:
                del broken[draw.randrange(len(broken)) :]
            else:
                broken.insert(draw.randrange(len(broken) + 1), draw.randrange(256))
            path.write_bytes(broken)
            with pytest.raises(ArtifactError, match=r".") as caught:
                read(saved, "model")
            assert str(saved) in caught.value.message
            assert caught.value.remedy
        path.write_bytes(original)
    assert number(read(saved, "model")) == 1


@pytest.mark.parametrize("name", ["CURRENT", "manifest.json"])
@pytest.mark.parametrize("mask", [0x01, 0x20, 0x80])
def test_every_byte_of_the_text_files_counts(name: str, mask: int, saved: Path) -> None:
    path = next(p for p in files_of(saved) if p.name == name)
    original = path.read_bytes()
    for i in range(len(original)):
        broken = bytearray(original)
        broken[i] ^= mask
        path.write_bytes(broken)
        with pytest.raises(ArtifactError):
            read(saved, "model")


def test_a_missing_file_is_named(saved: Path) -> None:
    for path in files_of(saved):
        original = path.read_bytes()
        path.unlink()
        with pytest.raises(ArtifactError, match=r"missing|no saved artifact"):
            read(saved, "model")
        path.write_bytes(original)


def test_the_remedy_names_a_version_that_loads(saved: Path) -> None:
    (saved / "v000002" / "arrays.safetensors").write_bytes(b"")
    with pytest.raises(ArtifactError, match="version='v000001'"):
        read(saved, "model")
    assert number(read(saved, "model", version="v000001")) == 0


def test_two_versions_that_changed_places_are_noticed(saved: Path) -> None:
    (saved / "v000001").rename(saved / "other")
    (saved / "v000002").rename(saved / "v000001")
    (saved / "other").rename(saved / "v000002")
    with pytest.raises(ArtifactError, match="corrupt"):
        read(saved, "model")


def test_an_empty_or_absent_folder_holds_no_artifact(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "absent"):
        with pytest.raises(ArtifactError, match="no saved artifact"):
            read(folder, "model")


def test_another_kind_is_refused(saved: Path) -> None:
    with pytest.raises(ArtifactError, match="holds a model, not a store"):
        read(saved, "store")


# -- forgery: files with correct checksums, made to do harm ---------------------------------------


def forge(root: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Rewrite the current manifest with correct checksums."""
    folder = root / (root / "CURRENT").read_text().split()[0]
    body = json.loads((folder / "manifest.json").read_text())["body"]
    change(body)
    digest = artifact._digest(body)
    (folder / "manifest.json").write_text(artifact._manifest(body, digest), encoding="utf-8")
    (root / "CURRENT").write_text(f"{folder.name} {digest}\n")


@pytest.mark.parametrize(
    "name",
    ["../secret.parquet", "/etc/hosts", "sub/x.parquet", "..\\x.parquet", "x.pkl", "x.parquet\n", "C:x.parquet", ""],
)
def test_names_in_the_manifest_cannot_leave_the_folder(name: str, saved: Path) -> None:
    pl.DataFrame({"secret": [1]}).write_parquet(saved / "secret.parquet")
    known = artifact._fingerprint(saved / "secret.parquet")
    forge(saved, lambda body: body["files"].update({name: known}))
    with pytest.raises(ArtifactError, match="missing"):
        read(saved, "model")


@pytest.mark.parametrize(
    "change",
    [
        lambda body: body.pop("files"),
        lambda body: body.update(files=[1]),
        lambda body: body.pop("kind"),
        lambda body: body.pop("meta"),
        lambda body: body.update(format=99),
    ],
    ids=["no files", "files as list", "no kind", "no meta", "newer format"],
)
def test_manifests_of_another_shape_are_refused(change: Callable[[dict[str, Any]], None], saved: Path) -> None:
    forge(saved, change)
    with pytest.raises(ArtifactError):
        read(saved, "model")


@pytest.mark.parametrize("text", [b"", b"[]", b"{", b"null", b'{"body": 1}', b"[" * 100_000, b"\xff\xfe"])
def test_a_manifest_that_is_no_manifest_is_refused(text: bytes, saved: Path) -> None:
    (saved / "v000002" / "manifest.json").write_bytes(text)
    with pytest.raises(ArtifactError):
        read(saved, "model")


class Bomb:
    """Unpickling it creates a file."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.target,)


@pytest.mark.parametrize("name", ["arrays.safetensors", "items.parquet", "model.pkl", "arrays.npy"])
def test_a_pickle_is_never_opened(name: str, saved: Path) -> None:
    mark = saved / "exploded"
    bomb = pickle.dumps(Bomb(mark))
    pickle.loads(bomb)
    assert mark.exists()
    mark.unlink()
    path = saved / "v000002" / name
    listed = path.exists()
    path.write_bytes(bomb)
    if listed:
        forge(saved, lambda body: body["files"].update({name: artifact._fingerprint(path)}))
        with pytest.raises(ArtifactError):
            read(saved, "model")
    else:
        assert number(read(saved, "model")) == 1
    assert not mark.exists()


@posix
@pytest.mark.parametrize("name", ["CURRENT", "manifest.json", "arrays.safetensors", "items.parquet", "v000002"])
def test_links_to_elsewhere_are_refused(name: str, saved: Path) -> None:
    path = saved / name if name in ("CURRENT", "v000002") else saved / "v000002" / name
    path.rename(saved / "elsewhere")
    path.symlink_to(saved / "elsewhere")
    with pytest.raises(ArtifactError):
        read(saved, "model")


@posix
@pytest.mark.parametrize("name", ["CURRENT", "manifest.json", "arrays.safetensors"])
@pytest.mark.timeout(20)
def test_pipes_are_not_waited_for(name: str, saved: Path) -> None:
    path = saved / name if name == "CURRENT" else saved / "v000002" / name
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(ArtifactError):
        read(saved, "model")


# -- places that cannot be written to -------------------------------------------------------------


def test_a_file_in_the_way_is_a_typed_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    for place in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(ArtifactError, match=r"not a directory|cannot be written"):
            publish(place, content())
    assert (tmp_path / "file").read_text() == "x"


def test_a_copied_artifact_loads(saved: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    copy = tmp_path_factory.mktemp("elsewhere") / "copy"
    shutil.copytree(saved, copy)
    assert number(read(copy, "model")) == 1
