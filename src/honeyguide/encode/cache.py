"""The cache of vectors on disk: what an encoder has read once it need not read again.

Layout, under :func:`cache_folder`::

    vectors/ENCODER/VERSION/SHA256.safetensors   keys uint8 [n, 16] and vectors float32 [n, dim]

A key is the hash of encoder, version, modality and content, so the texts themselves are not in the cache. A
shard is written under another name and renamed to the SHA-256 of its bytes: it appears whole or not at
all, processes that write at once do not meet, and a damaged one is seen, set aside and made anew.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import re
import sys
import tempfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from honeyguide.core.ragged import FloatArray
from honeyguide.encode.encoder import Encoder

log = logging.getLogger(__name__)

Asset = TypeVar("Asset")
Keys = npt.NDArray[np.bytes_]  # [n], S16

BLOCK = 4096  # assets encoded between two writes: what an interruption costs
MANY = 32  # shards of one encoder from which on they are joined
WORTH = 5_000_000  # bytes of a cache that take about as long to look through as one text to encode
_WIDTH = 16  # bytes of a key


def cache_folder() -> Path:
    """``$HONEYGUIDE_CACHE``, or the folder that the system has for caches of this user."""
    named = os.environ.get("HONEYGUIDE_CACHE")
    if named:
        return Path(named)
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local") / "honeyguide" / "Cache"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "honeyguide"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "honeyguide"


class VectorCache:
    """Vectors of one encoder by the content they stand for; about ``4 dim + 16`` bytes each on disk.

    Parameters
    ----------
    encoder
        Whose vectors; another version of it has another cache.
    folder
        By default :func:`cache_folder`.
    """

    def __init__(self, encoder: Encoder[Asset], folder: Path | None = None) -> None:
        place = re.sub(r"[^A-Za-z0-9.-]+", "_", encoder.name)[-80:]
        self.folder = (folder or cache_folder()) / "vectors" / place / encoder.version.replace(":", "-")
        self.dim = encoder.dim
        self._salt = "\0".join([encoder.name, encoder.version, encoder.modality, ""]).encode()

    def keys(self, contents: Iterable[bytes]) -> Keys:
        """What each content is found by."""
        digests = b"".join(hashlib.sha256(self._salt + content).digest()[:_WIDTH] for content in contents)
        return np.frombuffer(digests, f"S{_WIDTH}")

    @property
    def size_bytes(self) -> int:
        """What the cache of this encoder takes on disk."""
        sizes = []
        for path in self._shards():
            with contextlib.suppress(FileNotFoundError):  # joined into another meanwhile
                sizes.append(path.stat().st_size)
        return sum(sizes)

    def get(self, keys: Keys) -> tuple[FloatArray, npt.NDArray[np.bool_]]:
        """float32 ``[n, dim]`` and which of the rows were found."""
        vectors, found = np.zeros((len(keys), self.dim), np.float32), np.zeros(len(keys), bool)
        for path in self._shards():
            held, stored = self._read(path)
            if len(held):
                order = np.argsort(held, kind="stable")
                place = order[np.minimum(np.searchsorted(held, keys, sorter=order), len(held) - 1)]
                hit = held[place] == keys
                vectors[hit], found[hit] = stored[place[hit]], True
        return vectors, found

    def put(self, keys: Keys, vectors: FloatArray) -> None:
        """Add vectors; many small shards are joined into one."""
        self._write(keys, vectors)
        shards = self._shards()
        if len(shards) >= MANY:
            self._join(shards)

    def _shards(self) -> list[Path]:
        return sorted(self.folder.glob("*.safetensors")) if self.folder.is_dir() else []

    def _write(self, keys: Keys, vectors: FloatArray) -> Path:
        from safetensors.numpy import save

        content = save(
            {
                "keys": np.frombuffer(keys.tobytes(), np.uint8).reshape(-1, _WIDTH),
                "vectors": np.ascontiguousarray(vectors),
            }
        )
        self.folder.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=self.folder, prefix=".new-")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            path = self.folder / f"{hashlib.sha256(content).hexdigest()}.safetensors"
            Path(temporary).replace(path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
        return path

    def _read(self, path: Path) -> tuple[Keys, FloatArray]:
        """Keys and vectors of a shard; none where it was joined into another, or is damaged and now set aside."""
        from safetensors.numpy import load

        none = np.empty(0, f"S{_WIDTH}"), np.empty((0, self.dim), np.float32)
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            return none
        if hashlib.sha256(content).hexdigest() != path.stem:
            log.warning("%s is damaged; it is set aside and its vectors are made again", path)
            with contextlib.suppress(OSError):
                path.replace(path.with_suffix(".damaged"))
            return none
        arrays = load(content)
        return np.frombuffer(arrays["keys"].tobytes(), f"S{_WIDTH}"), arrays["vectors"]

    def _join(self, paths: list[Path]) -> None:
        """One shard of many; whoever does the same at once leaves a copy, never a gap."""
        shards = [self._read(path) for path in paths]
        keys, first = np.unique(np.concatenate([keys for keys, _ in shards]), return_index=True)
        joined = self._write(keys, np.concatenate([vectors for _, vectors in shards])[first])
        for path in paths:
            if path != joined:
                path.unlink(missing_ok=True)


def encode_cached(
    encoder: Encoder[Asset],
    assets: Sequence[Asset],
    content: Callable[[Asset], bytes],
    folder: Path | None = None,
) -> FloatArray:
    """Vectors of ``assets``: from the cache where they are there, else from the encoder, which then fills the cache.

    A few assets are encoded, and not kept, where a large cache would take longer to look through. Where the cache
    cannot be written to, a warning is logged and everything else works.

    Parameters
    ----------
    encoder, assets
        As in :meth:`Encoder.encode <honeyguide.encode.encoder.Encoder.encode>`.
    content
        The bytes that stand for an asset.
    folder
        Of the cache; by default :func:`cache_folder`.

    Returns
    -------
    ndarray
        float32 ``[n, dim]``.
    """
    cache = VectorCache(encoder, folder)
    keys, first, position = np.unique(
        cache.keys(content(asset) for asset in assets), return_index=True, return_inverse=True
    )
    if len(keys) * WORTH < cache.size_bytes:
        return encoder.encode([assets[row] for row in first])[position]
    vectors, found = cache.get(keys)
    missing = np.flatnonzero(~found)
    for start in range(0, len(missing), BLOCK):
        rows = missing[start : start + BLOCK]
        vectors[rows] = encoder.encode([assets[row] for row in first[rows]])
        try:
            cache.put(keys[rows], vectors[rows])
        except OSError as error:
            log.warning("vectors are not kept: %s cannot be written to (%s)", cache.folder, error)
    return vectors[position]
