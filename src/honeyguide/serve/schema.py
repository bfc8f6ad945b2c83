"""The tables of the service; every one has the tenant in its key."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Float, Index, Integer, MetaData, String, Table, Text

METADATA = MetaData()
_NUMBER = BigInteger().with_variant(Integer, "sqlite")  # SQLite numbers only its own INTEGER by itself

EVENTS = Table(
    "events",
    METADATA,
    Column("number", _NUMBER, primary_key=True, autoincrement=True),
    Column("tenant", String(64), nullable=False),
    Column("event_id", String(128), nullable=False),
    Column("user_id", String(256), nullable=False),
    Column("item_id", String(256), nullable=False),
    Column("kind", String(64), nullable=False),
    Column("weight", Float, nullable=False),
    Column("happened", BigInteger, nullable=False),  # microseconds since 1970, as the client says
    Column("received", BigInteger, nullable=False),  # and as the server does
    Index("one_event", "tenant", "event_id", unique=True),
    Index("events_of_user", "tenant", "user_id", "happened", "number"),
)

ITEMS = Table(
    "items",
    METADATA,
    Column("tenant", String(64), primary_key=True),
    Column("item_id", String(256), primary_key=True),
    Column("fields", Text, nullable=False),  # JSON
    Column("changed", BigInteger, nullable=False),
)

USERS = Table(
    "users",
    METADATA,
    Column("tenant", String(64), primary_key=True),
    Column("user_id", String(256), primary_key=True),
    Column("fields", Text, nullable=False),
    Column("changed", BigInteger, nullable=False),
)

EXPOSURES = Table(
    "exposure_log",
    METADATA,
    Column("tenant", String(64), primary_key=True),
    Column("recommendation_id", String(64), primary_key=True),
    Column("page", Integer, primary_key=True),
    Column("user_id", String(256), nullable=False),  # or the id of a visit; empty for whoever came
    Column("scenario", String(64), nullable=False),
    Column("experiment", String(64), nullable=False),
    Column("variant", String(64), nullable=False),
    Column("source", String(16), nullable=False),
    Column("version", String(64), nullable=False),
    Column("first", Integer, nullable=False),  # rank of the first item
    Column("shown", Text, nullable=False),  # JSON: item ids, and the probabilities of their places
    Column("created", BigInteger, nullable=False),
    Index("exposure_log_of_user", "tenant", "user_id"),
    Index("exposure_log_by_time", "tenant", "created"),
)

PREFERENCES = Table(
    "preferences",
    METADATA,
    Column("tenant", String(64), primary_key=True),
    Column("user_id", String(256), primary_key=True),
    Column("fields", Text, nullable=False),  # JSON: what commands said
    Column("changed", BigInteger, nullable=False),
)

KEYS = Table(
    "keys",
    METADATA,
    Column("digest", String(64), primary_key=True),  # SHA-256 of the secret; the secret itself is nowhere
    Column("tenant", String(64), nullable=False),
    Column("name", String(128), nullable=False),
    Column("scopes", String(128), nullable=False),
    Column("created", BigInteger, nullable=False),
)

OF_A_USER = (EVENTS, USERS, EXPOSURES, PREFERENCES)  # what is deleted with a user
