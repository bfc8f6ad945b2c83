"""Saved models: directories that appear whole or not at all, and that say so when they are damaged.

Layout of ``DIR``::

    DIR/CURRENT                 version in use and the digest of its manifest, replaced atomically
    DIR/v000001/manifest.json   format, kind, metadata, and SHA-256 and size of every file
    DIR/v000001/arrays.safetensors
    DIR/v000001/*.parquet       tables
    DIR/.lock                   held by whoever publishes
    DIR/.new, DIR/.old          a version being written or deleted; removed by the next publisher

Nothing is ever pickled or executed on load, and nothing outside ``DIR`` is read.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
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
_CURRENT = re.compile(rf"({_VERSION.pattern}) ([0-9a-f]{{64}})\n")
_FILE = re.compile(r"[A-Za-z0-9_]+\.(safetensors|parquet)")
_ARRAYS = "arrays.safetensors"
ANY = "*"  # whatever version is the current one

Arrays = dict[str, npt.NDArray[Any]]


class StaleError(ArtifactError):
    """Somebody else has published since the version was read that the new one was made from."""


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
        Tables by name; a name is made of letters, digits and underscores.
    """

    kind: str
    meta: dict[str, Any]
    arrays: Arrays = field(default_factory=dict)
    tables: dict[str, pl.DataFrame] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, array in self.arrays.items():
            if array.dtype.kind not in "biuf":
                raise TypeError(f"array {name!r} is of type {array.dtype}, which cannot be saved")
        for name in self.tables:
            if not _FILE.fullmatch(f"{name}.parquet"):
                raise ValueError(f"{name!r} cannot be the name of a table")


def pack_csr(name: str, matrix: sp.csr_matrix) -> Arrays:
    """The arrays that hold a sparse matrix under ``name``."""
    return {
        f"{name}.data": matrix.data,
        f"{name}.indices": matrix.indices,
        f"{name}.indptr": matrix.indptr,
        f"{name}.shape": np.asarray(matrix.shape, np.int64),
    }


def unpack_csr(name: str, arrays: Mapping[str, npt.NDArray[Any]]) -> sp.csr_matrix:
    """The sparse matrix that :func:`pack_csr` stored under ``name``.

    Raises
    ------
    ValueError
        If the arrays are not a sparse matrix; compiled code would read outside them.
    """
    parts = (arrays[f"{name}.data"], arrays[f"{name}.indices"], arrays[f"{name}.indptr"])
    rows, columns = (int(n) for n in arrays[f"{name}.shape"])
    matrix = sp.csr_matrix(parts, shape=(rows, columns))
    matrix.check_format(full_check=True)
    return matrix


def publish(directory: str | Path, artifact: Artifact, *, over: str | None = ANY) -> Path:
    """Write a new version under ``directory`` and make it the current one.

    The version is written beside its final place, flushed to disk and renamed; then ``CURRENT``
    is replaced. A crash at any point leaves the previous version in use. The last
    ``KEEP_VERSIONS`` versions are kept. Publishers take turns.

    Parameters
    ----------
    directory
        Created if it is not there.
    artifact
        What to write.
    over
        Name of the version that this one was made from, ``None`` for none; by default it does not matter.

    Returns
    -------
    Path
        The folder of the new version.

    Raises
    ------
    ArtifactError
        If ``directory`` cannot be written to or the disk is full.
    StaleError
        If another version than ``over`` is the current one.
    """
    from safetensors import SafetensorError

    root = Path(directory)
    try:
        root.mkdir(parents=True, exist_ok=True)
        with _locked(root):
            if over != ANY and over != current_version(root):
                raise StaleError(f"{root} was changed by somebody else meanwhile.", "Run the command again.")
            return _publish(root, artifact)
    except NotADirectoryError as error:
        raise ArtifactError(f"{root} is not a directory.", "Choose another place to save to.") from error
    except (OSError, SafetensorError, pl.exceptions.PolarsError) as error:
        raise ArtifactError(
            f"{root} cannot be written to: {error}.",
            "Free disk space, check the permissions or choose another place; what was saved there before still loads.",
        ) from error


def _publish(root: Path, artifact: Artifact) -> Path:
    for leftover in (root / ".new", root / ".old"):  # of a publisher that was killed: we hold the lock
        shutil.rmtree(leftover, ignore_errors=True)
    versions = _versions(root)
    final = root / f"v{int(versions[-1].name[1:]) + 1 if versions else 1:06d}"
    staging = root / ".new"
    staging.mkdir()
    try:
        digest = _write_version(staging, artifact)
        staging.rename(final)
    except BaseException:
        shutil.rmtree(staging, ignore_errors=True)
        raise
    sync(root)
    _point(root, final.name, digest)
    for old in _versions(root)[:-KEEP_VERSIONS]:
        with suppress(OSError):
            shutil.rmtree(old.rename(root / ".old"))
    return final


def _write_version(folder: Path, artifact: Artifact) -> str:
    """Write and flush all files of a version; the digest of its manifest."""
    from safetensors.numpy import save_file

    save_file({name: np.asarray(array, order="C") for name, array in artifact.arrays.items()}, folder / _ARRAYS)
    for name, table in artifact.tables.items():
        table.write_parquet(folder / f"{name}.parquet")
    body = {
        "format": FORMAT,
        "kind": artifact.kind,
        "meta": artifact.meta,
        "files": {path.name: _fingerprint(path) for path in sorted(folder.iterdir())},
    }
    digest = _digest(body)
    (folder / "manifest.json").write_text(_manifest(body, digest), encoding="utf-8")
    for path in folder.iterdir():
        path.chmod(folder.stat().st_mode & 0o666)  # as the umask has it; safetensors writes for the owner alone
        sync(path)
    sync(folder)
    return digest


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
    if version is not None:
        if not _VERSION.fullmatch(version) or not (root / version).is_dir():
            raise ArtifactError(f"There is no version {version!r} in {root}.", _remedy(root, version))
        return _read_version(root / version, kind)
    current = _current(root)
    while True:
        try:
            return _read_version(root / current[0], kind, digest=current[1])
        except ArtifactError:
            tried, current = current, _current(root)
            if current == tried:  # else newer versions were published, and this one deleted, while it was read
                raise


def _read_version(folder: Path, kind: str, digest: str | None = None) -> Artifact:
    remedy = _remedy(folder.parent, folder.name)
    try:
        return _parse_version(folder, kind, digest, remedy)
    except ArtifactError:
        raise
    except (Exception, pl.exceptions.PanicException) as error:
        raise ArtifactError(f"{folder} cannot be read: {error}.", remedy) from error


def _parse_version(folder: Path, kind: str, digest: str | None, remedy: str) -> Artifact:
    from safetensors.numpy import load_file

    body = _read_manifest(folder, digest, remedy)
    if body["format"] != FORMAT:
        raise ArtifactError(
            f"{folder} has format {body['format']}; this honeyguide reads format {FORMAT}.",
            "Use the honeyguide version that wrote it, or fit the model again.",
        )
    if body["kind"] != kind:
        raise ArtifactError(f"{folder} holds a {body['kind']}, not a {kind}.", "Point to another directory.")
    for name, expected in body["files"].items():
        if not _FILE.fullmatch(name) or not _is_plain(folder / name):
            raise ArtifactError(f"{folder / name} is missing.", remedy)
        if _fingerprint(folder / name) != expected:
            raise ArtifactError(f"{folder / name} is corrupt: its checksum does not match.", remedy)
    tables = {
        name.removesuffix(".parquet"): pl.read_parquet(folder / name)
        for name in body["files"]
        if name.endswith(".parquet")
    }
    arrays = load_file(folder / _ARRAYS) if _ARRAYS in body["files"] else {}
    return Artifact(kind, body["meta"], arrays, tables)


def _read_manifest(folder: Path, digest: str | None, remedy: str) -> dict[str, Any]:
    """The manifest's body; every byte of the file counts, white space and escapes included."""
    path = folder / "manifest.json"
    if folder.is_symlink() or not _is_plain(path):
        raise ArtifactError(f"{path} is missing.", remedy)
    text = path.read_bytes()
    body: dict[str, Any] = json.loads(text)["body"]
    actual = _digest(body)
    if text != _manifest(body, actual).encode() or actual != (digest or actual):
        raise ArtifactError(f"{path} is corrupt: its checksum does not match.", remedy)
    return body


def current_version(directory: str | Path) -> str | None:
    """Name of the version in use; ``None`` where there is none, or none can be made out."""
    try:
        return _current(Path(directory))[0]
    except ArtifactError:
        return None


def sweep(directory: str | Path) -> None:
    """Remove every version but the current one, and what crashed writes and deletions left.

    Raises
    ------
    ArtifactError
        If something cannot be removed.
    """
    root = Path(directory)
    if not root.is_dir():
        return
    try:
        with _locked(root):
            current = current_version(root)
            for path in root.iterdir() if current is not None else ():
                if path.is_dir() and path.name != current and path.name.startswith(("v", ".new", ".old")):
                    shutil.rmtree(path)
            sync(root)
    except OSError as error:
        raise ArtifactError(f"{root} still holds earlier versions: {error}.", "Repeat what was done.") from error


def _current(root: Path) -> tuple[str, str]:
    """The version in use and the digest of its manifest."""
    path = root / "CURRENT"
    if not _is_plain(path):
        raise ArtifactError(
            f"There is no saved artifact in {root}.",
            _remedy(root, "") if _versions(root) else "Write one with 'honeyguide fit ... --out DIR'.",
        )
    try:
        found = _CURRENT.fullmatch(path.read_bytes().decode("ascii"))
    except (OSError, UnicodeDecodeError):
        found = None
    if found is None:
        raise ArtifactError(f"{path} is corrupt.", _remedy(root, ""))
    return found[1], found[2]


def _remedy(root: Path, bad: str) -> str:
    others = [path.name for path in _versions(root) if path.name != bad]
    if others:
        take = f"'honeyguide recommend --version {others[-1]}' or version={others[-1]!r} in Python"
        return f"Another version is there: take it with {take}, or fit the model again."
    return "Restore it from a backup or fit the model again."


def _versions(root: Path) -> list[Path]:
    if not root.is_dir():
        return []
    found = (path for path in root.iterdir() if path.is_dir() and _VERSION.fullmatch(path.name))
    return sorted(found, key=lambda path: int(path.name[1:]))


def _point(root: Path, version: str, digest: str) -> None:
    temporary = root / ".current"
    temporary.write_text(f"{version} {digest}\n", encoding="ascii", newline="\n")
    sync(temporary)
    temporary.replace(root / "CURRENT")
    sync(root)


@contextmanager
def _locked(root: Path) -> Iterator[None]:
    """Hold the lock of a directory; the system releases it if the process dies."""
    with (root / ".lock").open("ab") as file:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(file.fileno(), msvcrt.LK_LOCK, 1)
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _is_plain(path: Path) -> bool:
    """Whether it is a file, neither a link to somewhere else nor a pipe to wait on."""
    return path.is_file() and not path.is_symlink()


def _fingerprint(path: Path) -> dict[str, str | int]:
    with path.open("rb") as file:
        return {"sha256": hashlib.file_digest(file, "sha256").hexdigest(), "bytes": path.stat().st_size}


def _manifest(body: object, digest: str) -> str:
    return json.dumps({"body": body, "sha256": digest}, indent=1, sort_keys=True)


def _digest(body: object) -> str:
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()


def sync(path: Path) -> None:
    """Have the disk hold a file or a folder as it is now."""
    if os.name == "nt" and path.is_dir():
        return
    handle = os.open(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
