"""What the service keeps, in SQLite or PostgreSQL: what was acknowledged is on disk.

Writes go through one thread that commits what is waiting in one transaction, so that a sync of the disk is shared
by all who wait for it. A request is written whole or not at all; one that failed is unknown, and may be sent again:
events are told apart by tenant and event id.
"""

from __future__ import annotations

import json
import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, create_engine, delete, event, func, insert, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import QueuePool

from honeyguide.core.errors import ConfigError, StorageError
from honeyguide.serve.schema import EVENTS, EXPOSURES, ITEMS, KEYS, METADATA, OF_A_USER, PREFERENCES, USERS

T = TypeVar("T")

_MOST_JOBS = 512  # of one transaction
_FULL = ("disk is full", "no space left", "could not extend file", "diskfull")


@dataclass(frozen=True)
class Event:
    """Something a user did.

    Parameters
    ----------
    event_id
        Given by the client; a second event with the same id is the same event.
    user_id, item_id
        External ids.
    kind
        Such as ``view``, ``like`` or ``hide``.
    weight
        Positive where the user liked it.
    happened
        Microseconds since 1970.
    """

    event_id: str
    user_id: str
    item_id: str
    kind: str
    weight: float
    happened: int


@dataclass(frozen=True)
class KeyRow:
    """An API key as it is kept."""

    digest: str
    tenant: str
    name: str
    scopes: str
    created: int


def now() -> int:
    """Microseconds since 1970."""
    return time.time_ns() // 1000


class Store:
    """The database of the service.

    Parameters
    ----------
    url
        ``sqlite:///file.db`` or ``postgresql+psycopg://...``.

    Raises
    ------
    ConfigError
        If the URL names another database, or one that cannot be opened.
    """

    def __init__(self, url: str) -> None:
        self.engine = _engine(url)
        try:
            METADATA.create_all(self.engine)
        except DBAPIError as error:
            where = self.engine.url.render_as_string(hide_password=True)
            raise ConfigError(
                f"{where} cannot be opened: {error.orig}.", "Check the path: --model or --store."
            ) from error
        self._writer = Writer(self.engine)

    def close(self) -> None:
        """Finish what is waiting, and close."""
        self._writer.close()
        self.engine.dispose()

    # -- writing ------------------------------------------------------------------------------

    def add_events(self, tenant: str, events: Sequence[Event]) -> Future[int]:
        """Keep events that are not there yet; the number of new ones, once they are on disk."""
        received = now()
        rows = [{"tenant": tenant, "received": received, **asdict(event)} for event in events]

        def job(connection: Connection) -> int:
            before = connection.execute(_last_number).scalar() or 0
            connection.execute(_insert_new(connection, EVENTS), rows)
            added = select(func.count()).where(EVENTS.c.number > before)  # numbers may have gaps
            return int(connection.execute(added).scalar() or 0)

        return self._writer.submit(job)

    def put_items(self, tenant: str, items: dict[str, dict[str, Any]]) -> Future[None]:
        """Keep what is known of items, by id."""
        return self._put(ITEMS, tenant, "item_id", items)

    def put_users(self, tenant: str, users: dict[str, dict[str, Any]]) -> Future[None]:
        """Keep what is known of users, by id."""
        return self._put(USERS, tenant, "user_id", users)

    def put_preferences(self, tenant: str, user_id: str, state: dict[str, Any]) -> Future[None]:
        """Keep what a user's commands said."""
        return self._put(PREFERENCES, tenant, "user_id", {user_id: state})

    def _put(self, table: Any, tenant: str, key: str, fields: dict[str, dict[str, Any]]) -> Future[None]:
        changed = now()
        rows = [
            {"tenant": tenant, key: name, "fields": json.dumps(value), "changed": changed}
            for name, value in fields.items()
        ]

        def job(connection: Connection) -> None:
            upsert = _dialect(connection).insert(table)
            new = {name: upsert.excluded[name] for name in ("fields", "changed")}
            connection.execute(upsert.on_conflict_do_update(index_elements=["tenant", key], set_=new), rows)

        return self._writer.submit(job)

    def delete_item(self, tenant: str, item_id: str) -> Future[int]:
        """Forget an item's fields; the number of rows."""
        where = (ITEMS.c.tenant == tenant) & (ITEMS.c.item_id == item_id)
        return self._writer.submit(lambda connection: connection.execute(delete(ITEMS).where(where)).rowcount)

    def delete_user(self, tenant: str, user_id: str) -> Future[int]:
        """Forget a user: no row of any table names the id any more. The number of rows."""

        def job(connection: Connection) -> int:
            removed = 0
            for table in OF_A_USER:
                where = (table.c.tenant == tenant) & (table.c.user_id == user_id)
                removed += connection.execute(delete(table).where(where)).rowcount
            return removed

        return self._writer.submit(job, after=_forget_log)

    def log_exposures(self, rows: Sequence[dict[str, Any]]) -> Future[None]:
        """Keep pages that were shown, as rows of the table; one that is there already is the same."""

        def job(connection: Connection) -> None:
            connection.execute(_insert_new(connection, EXPOSURES), list(rows))

        return self._writer.submit(job)

    def purge_exposures(self, before: int) -> Future[int]:
        """Delete the pages that were shown before a time; how many."""
        where = EXPOSURES.c.created < before
        return self._writer.submit(lambda connection: connection.execute(delete(EXPOSURES).where(where)).rowcount)

    def add_key(self, row: KeyRow) -> None:
        """Keep an API key."""
        self._writer.submit(lambda connection: connection.execute(insert(KEYS), asdict(row))).result()

    def drop_key(self, digest: str) -> bool:
        """Forget an API key; whether it was there."""
        where = KEYS.c.digest == digest
        return bool(self._writer.submit(lambda c: c.execute(delete(KEYS).where(where)).rowcount).result())

    # -- reading ------------------------------------------------------------------------------

    def events_of(self, tenant: str, user_id: str) -> list[Event]:
        """What a user did, oldest first."""
        e = EVENTS.c
        columns = (e.event_id, e.user_id, e.item_id, e.kind, e.weight, e.happened)
        asked = select(*columns).where(e.tenant == tenant, e.user_id == user_id).order_by(e.happened, e.number)
        with self.reading() as connection:
            return [Event(*row) for row in connection.execute(asked)]

    def counts(self, tenant: str) -> dict[str, int]:
        """Events with a positive weight of every item."""
        e = EVENTS.c
        asked = select(e.item_id, func.count()).where(e.tenant == tenant, e.weight > 0).group_by(e.item_id)
        with self.reading() as connection:
            return {str(item): int(n) for item, n in connection.execute(asked)}

    def items(self, tenant: str, since: int = -1) -> dict[str, dict[str, Any]]:
        """What is known of items, of those changed after ``since``, the latest last."""
        i = ITEMS.c
        asked = select(i.item_id, i.fields).where(i.tenant == tenant, i.changed > since).order_by(i.changed, i.item_id)
        with self.reading() as connection:
            return {str(name): json.loads(fields) for name, fields in connection.execute(asked)}

    def item(self, tenant: str, item_id: str) -> dict[str, Any] | None:
        """What is known of an item."""
        return self._fields(ITEMS, tenant, ITEMS.c.item_id == item_id)

    def user(self, tenant: str, user_id: str) -> dict[str, Any] | None:
        """What is known of a user."""
        return self._fields(USERS, tenant, USERS.c.user_id == user_id)

    def preferences(self, tenant: str, user_id: str) -> dict[str, Any] | None:
        """What a user's commands said."""
        return self._fields(PREFERENCES, tenant, PREFERENCES.c.user_id == user_id)

    def _fields(self, table: Any, tenant: str, where: Any) -> dict[str, Any] | None:
        with self.reading() as connection:
            found = connection.execute(select(table.c.fields).where(table.c.tenant == tenant, where)).scalar()
        return None if found is None else dict(json.loads(found))

    def export_user(self, tenant: str, user_id: str) -> dict[str, list[dict[str, Any]]]:
        """Every row that names a user, by table."""
        found = {}
        with self.reading() as connection:
            for table in OF_A_USER:
                asked = select(table).where(table.c.tenant == tenant, table.c.user_id == user_id)
                rows = connection.execute(asked)
                found[str(table.name)] = [{str(k): v for k, v in row._mapping.items()} for row in rows]
        return found

    def api_keys(self) -> list[KeyRow]:
        """All API keys."""
        with self.reading() as connection:
            return [KeyRow(*row) for row in connection.execute(select(KEYS).order_by(KEYS.c.created))]

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A connection to read from; what goes wrong with it is a :class:`StorageError`."""
        try:
            with self.engine.connect() as connection:
                yield connection
        except DBAPIError as error:
            raise StorageError(f"the database cannot be read: {error.orig}.") from error


@dataclass(frozen=True)
class _Job:
    run: Callable[[Connection], Any]
    future: Future[Any]
    after: Callable[[Connection], None] | None = None


class Writer:
    """One thread that commits what is waiting, all of it in one transaction."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._waiting: queue.Queue[_Job | None] = queue.Queue()
        self._thread = threading.Thread(target=self._run, name="honeyguide-writer", daemon=True)
        self._thread.start()

    def submit(self, job: Callable[[Connection], T], after: Callable[[Connection], None] | None = None) -> Future[T]:
        """Run ``job`` in the next transaction; the future is done once it is on disk, or failed.

        Parameters
        ----------
        job
            What is to be done.
        after
            Run once the transaction is committed, outside of any.
        """
        future: Future[T] = Future()
        self._waiting.put(_Job(job, future, after))
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
        """All jobs in one transaction; where one fails, each in its own, so that only that one fails."""
        try:
            with self._engine.begin() as connection:
                results = [job.run(connection) for job in jobs]
            for after in {job.after for job in jobs if job.after is not None}:
                with self._engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
                    after(connection)
        except Exception as error:
            if len(jobs) == 1:
                jobs[0].future.set_exception(_storage_error(error))
                return
            for one in jobs:
                self._commit([one])
            return
        for job, result in zip(jobs, results, strict=True):
            job.future.set_result(result)


def _storage_error(error: Exception) -> Exception:
    if not isinstance(error, DBAPIError):
        return error
    text = str(error.orig)
    full = any(sign in text.lower() for sign in _FULL)
    return StorageError(f"the database did not take the write: {text}.", full=full)


_last_number = select(func.max(EVENTS.c.number))


def _insert_new(connection: Connection, table: Any) -> Any:
    return _dialect(connection).insert(table).on_conflict_do_nothing()


def _forget_log(connection: Connection) -> None:
    """Empty the write-ahead log of SQLite, which still has the pages as they were."""
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")


def _dialect(connection: Connection) -> Any:
    return postgresql if connection.dialect.name == "postgresql" else sqlite


def _engine(url: str) -> Engine:
    try:
        engine = create_engine(url, poolclass=QueuePool, pool_size=8, max_overflow=8)
    except Exception as error:
        raise ConfigError(f"{url!r} is no database URL: {error}.", "Write sqlite:///file.db.") from error
    if engine.dialect.name not in ("sqlite", "postgresql"):
        raise ConfigError(f"{engine.dialect.name} is no store of this service.", "Use SQLite or PostgreSQL.")
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _durable)
        event.listen(engine, "begin", _begin)
    return engine


def _durable(connection: Any, _: Any) -> None:
    """Write-ahead log, and a sync of the disk at every commit."""
    connection.isolation_level = None  # SQLAlchemy begins transactions, not the driver
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "busy_timeout=5000", "temp_store=MEMORY"):
        connection.execute(f"PRAGMA {pragma}")
    connection.execute("PRAGMA secure_delete=ON")  # what is deleted is not left in free pages


def _begin(connection: Connection) -> None:
    if connection.get_execution_options().get("isolation_level") != "AUTOCOMMIT":
        connection.exec_driver_sql("BEGIN")
