"""What the service keeps, in SQLite or PostgreSQL: what was acknowledged is on disk.

Writes go through one thread that commits what is waiting in one transaction, so that a sync of the disk is shared
by all who wait for it. A request is written whole or not at all; one that failed is unknown, and may be sent again:
events are told apart by tenant and event id.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import asdict, dataclass, fields
from operator import attrgetter
from typing import Any

from sqlalchemy import BindParameter, Connection, bindparam, delete, func, insert, select
from sqlalchemy.dialects import sqlite
from sqlalchemy.exc import DBAPIError

from honeyguide.core.errors import ConfigError, StorageError
from honeyguide.serve.database import Lookup, Lookups, Writer, dialect_of, open_database, reading
from honeyguide.serve.schema import EVENTS, EXPOSURES, ITEMS, KEYS, METADATA, OF_A_USER, PREFERENCES, USERS


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


_values = attrgetter(*(column.name for column in fields(Event)))
_EVENT_COLUMNS = ("tenant", *(column.name for column in fields(Event)), "received")  # as the table has them
_INSERT_EVENT = str(
    sqlite.insert(EVENTS)
    .values({name: bindparam(name) for name in _EVENT_COLUMNS})
    .on_conflict_do_nothing()
    .compile(dialect=sqlite.dialect())
)
_OF: tuple[BindParameter[Any], ...] = (bindparam("tenant"), bindparam("user"))
_EVENTS_OF = (
    select(*(EVENTS.c[column.name] for column in fields(Event)))
    .where(EVENTS.c.tenant == _OF[0], EVENTS.c.user_id == _OF[1])
    .order_by(EVENTS.c.happened, EVENTS.c.number)
)
_PREFERENCES_OF = select(PREFERENCES.c.fields).where(PREFERENCES.c.tenant == _OF[0], PREFERENCES.c.user_id == _OF[1])


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
        self.engine = open_database(url)
        try:
            METADATA.create_all(self.engine)
        except DBAPIError as error:
            where = self.engine.url.render_as_string(hide_password=True)
            raise ConfigError(
                f"{where} cannot be opened: {str(error.orig).strip()}.", "Check the path: --model or --store."
            ) from error
        self._writer = Writer(self.engine)
        self._lookups = Lookups(self.engine)
        self._events_of, self._preferences_of = (Lookup(self.engine, query) for query in (_EVENTS_OF, _PREFERENCES_OF))

    @property
    def local(self) -> bool:
        """Whether a look-up takes no longer than a file of this machine does."""
        return self.engine.dialect.name == "sqlite"

    def close(self) -> None:
        """Finish what is waiting, and close."""
        self._writer.close()
        self._lookups.close()
        self.engine.dispose()

    # -- writing ------------------------------------------------------------------------------

    def add_events(self, tenant: str, events: Sequence[Event]) -> Future[int]:
        """Keep events that are not there yet; the number of new ones, once they are on disk."""
        received = now()
        rows = [(tenant, *_values(event), received) for event in events]

        def job(connection: Connection) -> int:
            if connection.dialect.name == "sqlite":  # past SQLAlchemy, which takes longer over a row than SQLite does
                return int(connection.exec_driver_sql(_INSERT_EVENT, rows).rowcount)
            new = dialect_of(connection).insert(EVENTS).on_conflict_do_nothing().returning(EVENTS.c.number)
            named = [dict(zip(_EVENT_COLUMNS, row, strict=True)) for row in rows]
            return len(connection.execute(new, named).all())  # the driver counts nothing

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
            upsert = dialect_of(connection).insert(table)
            new = {name: upsert.excluded[name] for name in ("fields", "changed")}
            connection.execute(upsert.on_conflict_do_update(index_elements=["tenant", key], set_=new), rows)

        return self._writer.submit(job)

    def delete_item(self, tenant: str, item_id: str) -> Future[int]:
        """Forget an item's fields; the number of rows."""
        where = (ITEMS.c.tenant == tenant) & (ITEMS.c.item_id == item_id)
        return self._writer.submit(lambda connection: connection.execute(delete(ITEMS).where(where)).rowcount)

    def delete_event(self, tenant: str, user_id: str, event_id: str) -> Future[int]:
        """Forget one event of a user; the number of rows."""
        e = EVENTS.c
        where = (e.tenant == tenant) & (e.user_id == user_id) & (e.event_id == event_id)
        return self._writer.submit(lambda c: c.execute(delete(EVENTS).where(where)).rowcount, forgets=True)

    def delete_user(self, tenant: str, user_id: str) -> Future[int]:
        """Forget a user: no row of any table names the id any more. The number of rows."""

        def job(connection: Connection) -> int:
            removed = 0
            for table in OF_A_USER:
                where = (table.c.tenant == tenant) & (table.c.user_id == user_id)
                removed += connection.execute(delete(table).where(where)).rowcount
            return removed

        return self._writer.submit(job, forgets=True)

    def log_exposures(self, rows: Sequence[dict[str, Any]]) -> Future[None]:
        """Keep pages that were shown, as rows of the table; one that is there already is the same."""

        def job(connection: Connection) -> None:
            connection.execute(dialect_of(connection).insert(EXPOSURES).on_conflict_do_nothing(), list(rows))

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
        with self._lookups.connection() as connection:
            return [_event(row) for row in self._events_of.rows(connection, tenant, user_id)]

    def events_and_preferences(self, tenant: str, user_id: str) -> tuple[list[Event], dict[str, Any] | None]:
        """What a user did, oldest first, and what the user's commands said."""
        with self._lookups.connection() as connection:
            events = [_event(row) for row in self._events_of.rows(connection, tenant, user_id)]
            kept = self._preferences_of.rows(connection, tenant, user_id)
        return events, _parsed(kept[0][0]) if kept else None

    def counts(self, tenant: str, after: int = 0) -> dict[str, int]:
        """Events with a positive weight of every item, but for those that a refit up to ``after`` brought in."""
        e = EVENTS.c
        asked = select(e.item_id, func.count()).where(e.tenant == tenant, e.weight > 0, e.number > after)
        asked = asked.group_by(e.item_id)
        with reading(self.engine) as connection:
            return {str(item): int(n) for item, n in connection.execute(asked)}

    def items(self, tenant: str, since: int = -1) -> dict[str, dict[str, Any]]:
        """What is known of items, of those changed after ``since``, the latest last."""
        i = ITEMS.c
        asked = select(i.item_id, i.fields).where(i.tenant == tenant, i.changed > since).order_by(i.changed, i.item_id)
        with reading(self.engine) as connection:
            return {str(name): _parsed(fields) for name, fields in connection.execute(asked)}

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
        with reading(self.engine) as connection:
            found = connection.execute(select(table.c.fields).where(table.c.tenant == tenant, where)).scalar()
        return None if found is None else _parsed(found)

    def export_user(self, tenant: str, user_id: str) -> dict[str, list[dict[str, Any]]]:
        """Every row that names a user, by table."""
        found = {}
        with reading(self.engine) as connection:
            for table in OF_A_USER:
                asked = select(table).where(table.c.tenant == tenant, table.c.user_id == user_id)
                rows = connection.execute(asked)
                found[str(table.name)] = [{str(k): v for k, v in row._mapping.items()} for row in rows]
        return found

    def api_keys(self) -> list[KeyRow]:
        """All API keys."""
        with reading(self.engine) as connection:
            return [KeyRow(*row) for row in connection.execute(select(KEYS).order_by(KEYS.c.created))]


def _event(row: Sequence[Any]) -> Event:
    """A row of events; SQLite gives back what is in the file, whatever the column is declared as."""
    found = Event(*row)
    if type(found.weight) is not float or type(found.happened) is not int or type(found.item_id) is not str:
        raise StorageError(f"the database is damaged: the event {found.event_id!r} is none.")
    return found


def _parsed(text: Any) -> dict[str, Any]:
    """What a column of JSON holds; only damage makes it anything but an object."""
    try:
        found = json.loads(text)
    except (TypeError, ValueError) as error:
        raise StorageError(f"the database is damaged: {error}.") from error
    if not isinstance(found, dict):
        raise StorageError("the database is damaged: a column of JSON holds no object.")
    return found
