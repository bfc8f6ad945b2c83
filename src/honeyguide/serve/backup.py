"""A copy of a service's store that is one moment of it, and the way back."""

from __future__ import annotations

import errno
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from honeyguide.core.artifact import sync
from honeyguide.core.errors import ArtifactError, ConfigError, StorageError

_PREFIX = "sqlite:///"


def backup(url: str, out: Path) -> int:
    """Copy an SQLite store, which may be in use, into a new file; returns its events.

    Raises
    ------
    ConfigError
        If the store is not in SQLite, is not there, or the file exists.
    StorageError
        If the store cannot be read or the file not be written; there is no file then, or a whole one.
    """
    source = _file(url)
    if not source.is_file():
        raise ConfigError(f"There is no store in {source}.", "Name the one that 'honeyguide serve' uses.")
    if out.exists():
        raise ConfigError(f"{out} exists.", "Name another file.")
    part = out.with_name(f".{out.name}.part")
    with _writing(out):
        part.unlink(missing_ok=True)
        _copy(source, part)
        n = check(part)
        sync(part)
        part.rename(out)
        sync(out.parent)
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
        If there is a store and ``force`` is not given, or a service is using it.
    StorageError
        If the disk does not take it; the store that was there, or the copy, is in its place then.
    """
    target = _file(url)
    if target.exists() and not force:
        raise ConfigError(f"There is a store in {target}.", "Stop the service and give --force to replace it.")
    n = check(copy)
    if target.exists():
        _must_be_idle(target)
    part = target.with_name(f".{target.name}.part")
    with _writing(target):
        part.unlink(missing_ok=True)
        _copy(copy, part)
        check(part)
        sync(part)
        for suffix in ("-wal", "-shm"):  # of the store that is replaced
            target.with_name(target.name + suffix).unlink(missing_ok=True)
        part.replace(target)
        sync(target.parent)
    return n


@contextmanager
def _writing(file: Path) -> Iterator[None]:
    """Failures of the disk in words."""
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        full = "disk is full" in str(error) or (isinstance(error, OSError) and error.errno == errno.ENOSPC)
        raise StorageError(f"{file} was not written: {error}.", full=full) from error


def _copy(source: Path, target: Path) -> None:
    with closing(sqlite3.connect(source)) as old, closing(sqlite3.connect(target)) as new:
        old.backup(new)
        new.execute("PRAGMA journal_mode=DELETE")  # one file, without a log beside it


def _must_be_idle(store: Path) -> None:
    """Refuse a store that somebody has open: its log can only be left where nobody else uses it."""
    try:
        with closing(sqlite3.connect(store, timeout=0)) as connection:
            (mode,) = connection.execute("PRAGMA journal_mode=DELETE").fetchone()
    except sqlite3.OperationalError:
        mode = "in use"
    except sqlite3.DatabaseError:
        return  # damaged: there is nothing that could be lost by replacing it
    if mode != "delete":
        raise ConfigError(f"{store} is in use.", "Stop the service first; nothing was changed.")


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
