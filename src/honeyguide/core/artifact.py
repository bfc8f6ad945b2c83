"""Saved models: directories that appear whole or not at all, and that say so when they are damaged.

Layout of ``DIR``::

    DIR/CURRENT                 name of the version in use, replaced atomically
    DIR/v000001/manifest.json   format, kind, metadata, and SHA-256 and size of every file
    DIR/v000001/arrays.safetensors
    DIR/v000001/*.parquet       tables

Nothing is ever pickled or executed on load.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
import scipy.sparse as sp

from honeyguide.core.errors import ArtifactError

FORMAT = 1
KEEP_VERSIONS = 2
_VERSION = re.compile(r"v\d{6,}")
_FILE = re.compile(r"[A-Za-z0-9_]+\.(safetensors|parquet)")

Arrays = dict[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class Artifact:
    """The content of one saved object.

    Parameters
    ----------
    kind
        What it is, for example ``"model"``.
    meta
        JSON-able metadata.
    arrays
        Numeric arrays by name.
    tables
        Tables by name.
    """

    kind: str
    meta: dict[str, Any]
    arrays: Arrays = field(default_factory=dict)
    tables: dict[str, pl.DataFrame] = field(default_factory=dict)


def pack_csr(name: str, matrix: sp.csr_matrix) -> Arrays:
    """The arrays that hold a sparse matrix under ``name``."""
    return {
        f"{name}.data": matrix.data,
        f"{name}.indices": matrix.indices,
        f"{name}.indptr": matrix.indptr,
        f"{name}.shape": np.asarray(matrix.shape, np.int64),
    }


def unpack_csr(name: str, arrays: Mapping[str, npt.NDArray[Any]]) -> sp.csr_matrix:
    """The sparse matrix that :func:`pack_csr` stored under ``name``."""
    parts = (arrays[f"{name}.data"], arrays[f"{name}.indices"], arrays[f"{name}.indptr"])
    rows, columns = (int(n) for n in arrays[f"{name}.shape"])
    return sp.csr_matrix(parts, shape=(rows, columns))


def publish(directory: str | Path, artifact: Artifact) -> Path:
    """Write a new version under ``directory`` and make it the current one.

    The version is written beside its final place, flushed to disk and renamed; then ``CURRENT``
    is replaced. A crash at any point leaves the previous version in use. The last
    ``KEEP_VERSIONS`` versions are kept.

    Returns
    -------
    Path
        The folder of the new version.
    """
    from safetensors.numpy import save_file

    root = Path(directory)
    try:
        root.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise ArtifactError(f"{root} is not a directory.", "Choose another place to save to.") from error
    temporary = Path(tempfile.mkdtemp(prefix=".new-", dir=root))
    try:
        save_file(
            {name: np.ascontiguousarray(array) for name, array in artifact.arrays.items()},
            temporary / "arrays.safetensors",
        )
        for name, table in artifact.tables.items():
            table.write_parquet(temporary / f"{name}.parquet")
        body = {
            "format": FORMAT,
            "kind": artifact.kind,
            "meta": artifact.meta,
            "files": {path.name: _fingerprint(path) for path in sorted(temporary.iterdir())},
        }
        text = json.dumps({"body": body, "sha256": _digest(body)}, indent=1, sort_keys=True)
        (temporary / "manifest.json").write_text(text, encoding="utf-8")
        for path in temporary.iterdir():
            _sync(path)
        _sync(temporary)
        versions = _versions(root)
        number = int(versions[-1].name[1:]) + 1 if versions else 1
        final = root / f"v{number:06d}"
        temporary.rename(final)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    _point(root, final.name)
    for old in _versions(root)[:-KEEP_VERSIONS]:
        shutil.rmtree(old, ignore_errors=True)
    return final


def read(directory: str | Path, kind: str, version: str | None = None) -> Artifact:
    """Read and verify an artifact.

    Parameters
    ----------
    directory
        Where :func:`publish` wrote it.
    kind
        The kind expected.
    version
        A version's name such as ``"v000001"``; the current one by default.

    Raises
    ------
    ArtifactError
        If anything is missing, truncated, altered, of another kind or of a newer format.
    """
    root = Path(directory)
    name = version or _current(root)
    if not _VERSION.fullmatch(name):
        raise ArtifactError(f"{root / 'CURRENT'} is corrupt.", _remedy(root, name))
    folder = root / name
    try:
        return _read_version(folder, kind)
    except ArtifactError:
        raise
    except Exception as error:
        raise ArtifactError(f"{folder} cannot be read: {error}.", _remedy(root, name)) from error


def _read_version(folder: Path, kind: str) -> Artifact:
    from safetensors.numpy import load_file

    remedy = _remedy(folder.parent, folder.name)
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    body = manifest["body"]
    if _digest(body) != manifest["sha256"]:
        raise ArtifactError(f"{folder / 'manifest.json'} is corrupt: its checksum does not match.", remedy)
    if body["format"] != FORMAT:
        raise ArtifactError(
            f"{folder} has format {body['format']}; this honeyguide reads format {FORMAT}.",
            "Use the honeyguide version that wrote it, or fit the model again.",
        )
    if body["kind"] != kind:
        raise ArtifactError(f"{folder} holds a {body['kind']}, not a {kind}.", "Point to another directory.")
    for name, expected in body["files"].items():
        if not _FILE.fullmatch(name) or not (folder / name).is_file():
            raise ArtifactError(f"{folder / name} is missing.", remedy)
        if _fingerprint(folder / name) != expected:
            raise ArtifactError(f"{folder / name} is corrupt: its checksum does not match.", remedy)
    tables = {
        name.removesuffix(".parquet"): pl.read_parquet(folder / name)
        for name in body["files"]
        if name.endswith(".parquet")
    }
    return Artifact(kind, body["meta"], load_file(folder / "arrays.safetensors"), tables)


def _current(root: Path) -> str:
    try:
        return (root / "CURRENT").read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ArtifactError(
            f"There is no saved artifact in {root}.", "Write one with 'honeyguide fit ... --out DIR'."
        ) from error


def _remedy(root: Path, bad: str) -> str:
    others = [path.name for path in _versions(root) if path.name != bad]
    if others:
        return f"An earlier version is there: load it with version={others[-1]!r}, or fit the model again."
    return "Restore it from a backup or fit the model again."


def _versions(root: Path) -> list[Path]:
    if not root.is_dir():
        return []
    return sorted(path for path in root.iterdir() if path.is_dir() and _VERSION.fullmatch(path.name))


def _point(root: Path, version: str) -> None:
    handle, temporary = tempfile.mkstemp(prefix=".current-", dir=root)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(version + "\n")
        file.flush()
        os.fsync(file.fileno())
    Path(temporary).replace(root / "CURRENT")
    _sync(root)


def _fingerprint(path: Path) -> dict[str, str | int]:
    with path.open("rb") as file:
        return {"sha256": hashlib.file_digest(file, "sha256").hexdigest(), "bytes": path.stat().st_size}


def _digest(body: object) -> str:
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()


def _sync(path: Path) -> None:
    if os.name == "nt" and path.is_dir():
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
