"""A copy of a service's store that is one moment of it, and the way back."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

from honeyguide.core.errors import ArtifactError, ConfigError

_PREFIX = "sqlite:///"


def backup(url: str, out: Path) -> int:
    """Copy an SQLite store, which may be in use, into a new file; returns its events.

    Raises
    ------
    ConfigError
        If the store is not in SQLite, is not there, or the file exists.
    """
    source = _file(url)
    if not source.is_file():
        raise ConfigError(f"There is no store in {source}.", "Name the one that 'honeyguide serve' uses.")
    if out.exists():
        raise ConfigError(f"{out} exists.", "Name another file.")
    part = out.with_name(f".{out.name}.part")
    part.unlink(missing_ok=True)
    with sqlite3.connect(source) as old, sqlite3.connect(part) as new:
        old.backup(new)
    n = check(part)
    with part.open("rb") as file:
        os.fsync(file.fileno())
    part.rename(out)
    _sync(out.parent)
    return n


def restore(copy: Path, url: str, *, force: bool = False) -> int:
    """Put a copy in the place of a store that is not in use; returns its events.

    Parameters
    ----------
    copy
        Written by :func:`backup`.
    url
        Of the store.
    force
        Replace a store that is there.

    Raises
    ------
    ArtifactError
        If the copy is damaged; nothing is changed then.
    ConfigError
        If there is a store and ``force`` is not given.
    """
    target = _file(url)
    if target.exists() and not force:
        raise ConfigError(f"There is a store in {target}.", "Stop the service and give --force to replace it.")
    n = check(copy)
    part = target.with_name(f".{target.name}.part")
    part.unlink(missing_ok=True)
    with sqlite3.connect(copy) as old, sqlite3.connect(part) as new:
        old.backup(new)
    check(part)
    with part.open("rb") as file:
        os.fsync(file.fileno())
    for suffix in ("-wal", "-shm"):  # of the store that is replaced
        target.with_name(target.name + suffix).unlink(missing_ok=True)
    part.replace(target)
    _sync(target.parent)
    return n


def check(file: Path) -> int:
    """The events of a sound store.

    Raises
    ------
    ArtifactError
        If it is damaged, or no store.
    """
    try:
        connection = sqlite3.connect(f"file:{file}?mode=ro", uri=True)
        try:
            (found,) = connection.execute("PRAGMA integrity_check").fetchone()
            (n,) = connection.execute("SELECT count(*) FROM events").fetchone()
        finally:
            connection.close()
    except sqlite3.Error as error:
        raise ArtifactError(f"{file} is no store: {error}.", "Use another copy.") from error
    if found != "ok":
        raise ArtifactError(f"{file} is damaged: {found}.", "Use another copy.")
    return int(n)


def _file(url: str) -> Path:
    if not url.startswith(_PREFIX):
        raise ConfigError("only SQLite stores are copied here.", "Use pg_dump for PostgreSQL.")
    return Path(url.removeprefix(_PREFIX))


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
