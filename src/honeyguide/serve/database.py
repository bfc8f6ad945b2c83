"""The database below the store: how SQLite and PostgreSQL are opened, and the one thread that writes.

A commit is a sync of the disk in both. SQLite writes a log ahead (WAL); in PostgreSQL a server that acknowledges
before it has synced is told not to.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, Select, create_engine, event, make_url
from sqlalchemy.dialects import sqlite
from sqlalchemy.exc import ArgumentError, DBAPIError, InterfaceError, NoSuchModuleError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.pool import QueuePool

from honeyguide.core.errors import ConfigError, StorageError

T = TypeVar("T")

_LOG = logging.getLogger("honeyguide.serve")
_MOST_JOBS = 512  # of one transaction
_FULL = ("disk is full", "no space left", "could not extend file", "diskfull")
_PATIENCE = 5  # seconds for a connection: to PostgreSQL, from the pool, for a lock of SQLite
_BRIEFLY = 500  # milliseconds for which a commit waits for readers, to empty the log
_LONGEST = 30_000  # milliseconds of a statement of PostgreSQL


def open_database(url: str) -> Engine:
    """Connections to a database.

    Raises
    ------
    ConfigError
        If the URL names another one than SQLite or PostgreSQL, or its driver is not installed.
    """
    try:
        named = make_url(url)
    except ArgumentError as error:
        raise ConfigError(f"{url!r} is no database URL: {error}.", "Write sqlite:///file.db.") from error
    dialect = named.get_backend_name()
    if dialect not in ("sqlite", "postgresql"):
        raise ConfigError(f"{dialect} is no store of this service.", "Use SQLite or PostgreSQL.")
    if named.drivername == "postgresql":
        named = named.set(drivername="postgresql+psycopg")
    remote: dict[str, Any] = {}
    if dialect == "postgresql":
        remote = {"pool_pre_ping": True, "connect_args": {"connect_timeout": _PATIENCE}}
    try:
        engine = create_engine(
            named, poolclass=QueuePool, pool_size=8, max_overflow=8, pool_timeout=_PATIENCE, **remote
        )
    except NoSuchModuleError as error:
        raise ConfigError(f"{error}.", "Write postgresql+psycopg://user@host/name.") from error
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"the driver {error.name} is not installed.", "Install it: pip install 'honeyguide[postgres]'."
        ) from error
    event.listen(engine, "connect", _durable_file if dialect == "sqlite" else _durable_server)
    if dialect == "sqlite":
        event.listen(engine, "begin", _begin)
    return engine


def dialect_of(connection: Connection) -> Any:
    """The module of a connection's dialect, for what SQL has in both but SQLAlchemy in neither."""
    if connection.dialect.name == "sqlite":
        return sqlite
    from sqlalchemy.dialects import postgresql

    return postgresql


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """A connection to read with.

    Raises
    ------
    StorageError
        If the database does not answer.
    """
    try:
        with engine.connect() as connection:
            yield connection
    except (DBAPIError, PoolTimeout) as error:
        raise StorageError(f"the database cannot be read: {_words(error)}.") from error


class Lookup:
    """A query that every request makes, sent to the driver itself: SQLAlchemy's own work takes ten times as long.

    Parameters
    ----------
    engine
        Made by :func:`open_database`.
    query
        With parameters ``tenant`` and ``user``.
    """

    def __init__(self, engine: Engine, query: Select[Any]) -> None:
        compiled = query.compile(dialect=engine.dialect)
        self._text, self._order = str(compiled), compiled.positiontup

    def rows(self, connection: Any, tenant: str, user: str) -> list[tuple[Any, ...]]:
        """What it finds, on a connection of :class:`Lookups`."""
        given = {"tenant": tenant, "user": user}
        cursor = connection.execute(self._text, [given[n] for n in self._order] if self._order else given)
        found: list[tuple[Any, ...]] = cursor.fetchall()
        return found


class Lookups:
    """Connections of the driver for :class:`Lookup`, one a thread: to borrow one takes longer than to look up.

    Parameters
    ----------
    engine
        Made by :func:`open_database`.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine, self._own = engine, threading.local()
        self._made: list[Any] = []

    @contextmanager
    def connection(self) -> Iterator[Any]:
        """The connection of this thread.

        Raises
        ------
        StorageError
            If the database does not answer.
        """
        failures = (self._engine.dialect.dbapi.Error,) if self._engine.dialect.dbapi is not None else ()
        try:
            kept = getattr(self._own, "connection", None) or self._connect()
            yield kept
        except (DBAPIError, PoolTimeout) as error:
            raise StorageError(f"the database cannot be read: {_words(error)}.") from error
        except failures as error:
            self._own.connection = None  # the next look-up makes another
            raise StorageError(f"the database cannot be read: {str(error).strip().removesuffix('.')}.") from error

    def _connect(self) -> Any:
        borrowed = self._engine.raw_connection()
        made: Any = borrowed.driver_connection
        borrowed.detach()
        if self._engine.dialect.name == "postgresql":
            made.autocommit = True  # a look-up leaves no transaction open
        self._own.connection = made
        self._made.append(made)
        return made

    def close(self) -> None:
        """Close them all."""
        for made in self._made:
            made.close()
        self._made.clear()


@dataclass(frozen=True)
class _Job:
    run: Callable[[Connection], Any]
    future: Future[Any]
    forgets: bool


class Writer:
    """One thread that commits what is waiting, all of it in one transaction.

    Parameters
    ----------
    engine
        Made by :func:`open_database`.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._waiting: queue.Queue[_Job | None] = queue.Queue()
        self._log_remembers = False  # what was deleted is still in the log of SQLite
        self._thread = threading.Thread(target=self._run, name="honeyguide-writer", daemon=True)
        self._thread.start()

    def submit(self, job: Callable[[Connection], T], *, forgets: bool = False) -> Future[T]:
        """Run ``job`` in the next transaction; the future is done once it is on disk, or failed.

        Parameters
        ----------
        job
            What is to be done.
        forgets
            Whether what it deletes must be in no file any more.
        """
        future: Future[T] = Future()
        future.set_running_or_notify_cancel()  # a client that goes away does not take it back
        self._waiting.put(_Job(job, future, forgets))
        return future

    def close(self) -> None:
        """Finish what is waiting."""
        self._waiting.put(None)
        self._thread.join()

    def _run(self) -> None:
        while True:
            first = self._waiting.get()
            if first is None:
                return
            jobs, last = [first], False
            while len(jobs) < _MOST_JOBS and not last:
                try:
                    more = self._waiting.get_nowait()
                except queue.Empty:
                    break
                if more is None:
                    last = True
                else:
                    jobs.append(more)
            self._commit(jobs)
            if last:
                return

    def _commit(self, jobs: Sequence[_Job]) -> None:
        """All jobs in one transaction; where one fails, each in its own, so that only that one fails.

        Where the database itself fails, all that are left do: each of them might wait as long for the same answer.
        """
        error = self._together(jobs)
        if error is None:
            return
        left = list(jobs)
        if len(jobs) > 1:
            error = None
            while left and not isinstance(error, OperationalError | InterfaceError | PoolTimeout):
                job = left.pop(0)
                error = self._together([job])
                if error is not None:
                    job.future.set_exception(_storage_error(error))
        for job in left:
            assert error is not None
            job.future.set_exception(_storage_error(error))

    def _together(self, jobs: Sequence[_Job]) -> Exception | None:
        """One transaction: its futures are done where it was committed; else why it was not."""
        try:
            with self._engine.begin() as connection:
                results = [job.run(connection) for job in jobs]
        except Exception as error:
            return error
        self._log_remembers |= any(job.forgets for job in jobs)
        if self._log_remembers:
            self._log_remembers = not _log_forgets(self._engine)
        for job, result in zip(jobs, results, strict=True):
            job.future.set_result(result)
        return None


def _storage_error(error: Exception) -> Exception:
    if not isinstance(error, DBAPIError | PoolTimeout):
        return error
    text = _words(error)
    full = any(sign in text.lower() for sign in _FULL)
    return StorageError(f"the database did not take the write: {text}.", full=full)


def _words(error: DBAPIError | PoolTimeout) -> str:
    return str(error.orig if isinstance(error, DBAPIError) else error).strip().removesuffix(".")


def _log_forgets(engine: Engine) -> bool:
    """Empty the write-ahead log of SQLite, which has the pages as they were; not while somebody reads from it."""
    if engine.dialect.name != "sqlite":
        return True
    try:
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.exec_driver_sql(f"PRAGMA busy_timeout={_BRIEFLY}")
            busy = bool(connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)").scalar())
            connection.exec_driver_sql(f"PRAGMA busy_timeout={_PATIENCE * 1000}")
    except DBAPIError as error:
        _LOG.warning("the log of the database cannot be emptied: %s", error.orig)
        return False
    if busy:
        _LOG.info("what was deleted is in the log of the database until a commit while nobody reads")
    return not busy


def _durable_file(connection: Any, _: Any) -> None:
    """SQLite: write-ahead log, and a sync of the disk at every commit."""
    connection.isolation_level = None  # SQLAlchemy begins transactions, not the driver
    for pragma in ("journal_mode=WAL", "synchronous=FULL", f"busy_timeout={_PATIENCE * 1000}", "temp_store=MEMORY"):
        connection.execute(f"PRAGMA {pragma}")
    connection.execute("PRAGMA secure_delete=ON")  # what is deleted is not left in free pages


def _durable_server(connection: Any, _: Any) -> None:
    """PostgreSQL: a commit waits for the disk, whatever the server is set to, and no statement for ever."""
    connection.autocommit = True  # what is set holds for the session, not for a transaction that is rolled back
    (setting,) = connection.execute("SHOW synchronous_commit").fetchone()
    if setting == "off":
        connection.execute("SET synchronous_commit = on")
    connection.execute(f"SET statement_timeout = {_LONGEST}")
    connection.autocommit = False


def _begin(connection: Connection) -> None:
    if connection.get_execution_options().get("isolation_level") != "AUTOCOMMIT":
        connection.exec_driver_sql("BEGIN")
