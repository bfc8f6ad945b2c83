"""What is special about PostgreSQL; every other test of this folder runs on it too: ``make test-postgres``."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import text
from tests.serve.postgres import Postgres
from tests.serve.test_store import events

from honeyguide.core.errors import ConfigError, StorageError
from honeyguide.serve.app import create_app
from honeyguide.serve.auth import new_key
from honeyguide.serve.backup import backup, restore
from honeyguide.serve.engine import Engine
from honeyguide.serve.store import Store

pytestmark = pytest.mark.skipif("HONEYGUIDE_TEST_STORE_URL" not in os.environ, reason="make test-postgres")


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    """One that a test may stop."""
    with Postgres() as found:
        yield found


def ask(store: Store, what: str) -> str:
    with store.engine.connect() as connection:
        return str(connection.execute(text(what)).scalar())


def test_a_commit_waits_for_the_disk_whatever_the_server_is_set_to(store: Store, store_url: str) -> None:
    user = ask(store, "SELECT current_user")
    with store.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text(f"ALTER ROLE {user} SET synchronous_commit = off"))
    hasty = Store(store_url)
    try:
        assert ask(hasty, "SHOW synchronous_commit") == "on" and ask(hasty, "SHOW statement_timeout") == "30s"
    finally:
        hasty.close()
        with store.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text(f"ALTER ROLE {user} RESET synchronous_commit"))


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGQUIT], ids=["restart", "crash"])
def test_a_server_that_stops_loses_nothing_and_is_found_again(server: Postgres, how: signal.Signals) -> None:
    store = Store(server.url)
    user = f"ann-{how.name}"
    assert store.add_events("a", events(3, user)).result() == 3
    server.stop(how)
    waiting = [store.add_events("a", events(2, f"{user}-{i}")) for i in range(20)]
    for write in waiting:
        with pytest.raises(StorageError, match="did not take the write"):
            write.result(timeout=30)
    with pytest.raises(StorageError, match="cannot be read"):
        store.events_of("a", user)
    server.start()
    assert len(store.events_of("a", user)) == 3
    assert store.add_events("a", events(4, user)).result() == 1
    assert store.events_of("a", f"{user}-1") == []
    store.close()


def test_the_service_says_that_the_database_is_away_and_goes_on_when_it_is_back(server: Postgres, models: Path) -> None:
    store = Store(server.url)
    key = {"Authorization": f"Bearer {new_key(store, 'default', 'all', ('read', 'write'))}"}
    event = {"events": [{"event_id": "1", "user_id": "u", "item_id": "x"}]}
    with TestClient(create_app(store, {"default": Engine("default", models / "ials", store)})) as client:
        assert client.post("/v1/recommend", json={"k": 3}, headers=key).status_code == 200
        server.stop()
        time.sleep(2.1)  # keys are read again
        assert client.get("/health").status_code == 200
        popular = client.post("/v1/recommend", json={"k": 3}, headers=key)
        assert popular.status_code == 200 and len(popular.json()["items"]) == 3, "known keys and the model are held"
        refused = client.post("/v1/events", json=event, headers=key)
        assert refused.status_code == 503 and "socket" not in refused.text and refused.json()["remedy"]
        server.start()
        assert client.post("/v1/events", json=event, headers=key).json() == {"accepted": 1, "repeated": 0}
    store.close()


def test_copies_are_made_by_its_own_tools(store_url: str, tmp_path: Path) -> None:
    for work in (lambda: backup(store_url, tmp_path / "copy"), lambda: restore(tmp_path / "copy", store_url)):
        with pytest.raises(ConfigError, match="only SQLite") as refused:
            work()
        assert "pg_dump" in str(refused.value)


def test_what_cannot_be_reached_is_said_without_the_password() -> None:
    with pytest.raises(ConfigError, match="cannot be opened") as refused:
        Store("postgresql://ann:secret@127.0.0.1:1/none")
    assert "secret" not in str(refused.value)
