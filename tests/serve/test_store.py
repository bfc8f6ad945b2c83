from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest
from sqlalchemy import text

from honeyguide.core.errors import ConfigError, StorageError
from honeyguide.serve.store import Event, KeyRow, Store


def events(n: int, user: str = "ann", start: int = 0) -> list[Event]:
    return [Event(f"{user}-{i}", user, f"item-{i}", "like", 1.0, i) for i in range(start, start + n)]


def test_an_event_is_kept_once_by_tenant_and_id(store: Store) -> None:
    assert store.add_events("a", events(3)).result() == 3
    assert store.add_events("a", events(4)).result() == 1
    assert store.add_events("b", events(2)).result() == 2
    assert [e.item_id for e in store.events_of("a", "ann")] == ["item-0", "item-1", "item-2", "item-3"]
    assert store.events_of("a", "bob") == [] and len(store.events_of("b", "ann")) == 2
    assert store.counts("b") == {"item-0": 1, "item-1": 1}


def test_events_are_read_in_the_order_in_which_they_happened(store: Store) -> None:
    late, early = Event("1", "u", "x", "like", 1.0, 20), Event("2", "u", "y", "like", 1.0, 10)
    store.add_events("a", [late, early]).result()
    assert [e.item_id for e in store.events_of("a", "u")] == ["y", "x"]


def test_a_request_is_kept_whole_or_not_at_all(store: Store) -> None:
    broken = [*events(3), Event("x", None, "item", "like", 1.0, 1)]  # type: ignore[arg-type]
    good = store.add_events("a", events(2, "bob"))
    bad = store.add_events("a", broken)
    other = store.add_events("a", events(2, "eve"))
    with pytest.raises(StorageError):
        bad.result()
    assert (good.result(), other.result()) == (2, 2)
    assert store.events_of("a", "ann") == []


def test_items_and_users_are_replaced_by_what_is_said_last(store: Store) -> None:
    store.put_items("a", {"1": {"title": "Old"}, "2": {"title": "Two"}}).result()
    store.put_items("a", {"1": {"title": "New"}}).result()
    assert store.item("a", "1") == {"title": "New"} and store.item("b", "1") is None
    assert store.items("a") == {"1": {"title": "New"}, "2": {"title": "Two"}}
    assert store.delete_item("a", "2").result() == 1 and store.item("a", "2") is None
    store.put_users("a", {"ann": {"age": 3}}).result()
    assert store.user("a", "ann") == {"age": 3}


def test_a_deleted_user_is_in_no_row_and_in_no_byte_of_the_files(tmp_path: Path) -> None:
    store = Store(f"sqlite:///{tmp_path / 'store.db'}")
    secret = "ann-of-green-gables"
    store.add_events("a", events(50, secret)).result()
    store.add_events("b", events(1, "x")).result()
    store.put_users("a", {secret: {"age": 3}}).result()
    page = {"recommendation_id": "r1", "page": 0, "scenario": "home", "experiment": "", "variant": "", "version": "v1"}
    shown = {"source": "personal", "first": 1, "shown": '{"items":["item-1"]}', "created": 1}
    store.log_exposures([{"tenant": "a", "user_id": secret, **page, **shown}]).result()
    store.put_preferences("a", secret, {"wants": {}}).result()
    exported = store.export_user("a", secret)
    assert {name: len(rows) for name, rows in exported.items()} == {
        "events": 50,
        "users": 1,
        "exposure_log": 1,
        "preferences": 1,
    }
    assert store.delete_user("a", secret).result() == 53
    assert not any(store.export_user("a", secret).values())
    store.close()
    assert not any(secret.encode() in path.read_bytes() for path in tmp_path.iterdir())
    store.__init__(f"sqlite:///{tmp_path / 'store.db'}")  # type: ignore[misc]
    assert len(store.events_of("b", "x")) == 1


def test_many_writers_share_a_sync_and_lose_nothing(store: Store) -> None:
    def write(name: str) -> None:
        for i in range(20):
            assert store.add_events("a", events(5, name, 5 * i)).result() == 5

    threads = [threading.Thread(target=write, args=(f"user-{t}",)) for t in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(len(store.events_of("a", f"user-{t}")) == 100 for t in range(8))


def test_keys_come_and_go(store: Store) -> None:
    store.add_key(KeyRow("d" * 64, "a", "shop", "read write", 1))
    assert [key.name for key in store.api_keys()] == ["shop"]
    assert store.drop_key("d" * 64) and not store.drop_key("d" * 64)


def test_what_is_no_store_is_refused(tmp_path: Path) -> None:
    for url in ("mysql://x", "nonsense", f"sqlite:///{tmp_path}/no/such/folder/x.db"):
        with pytest.raises(ConfigError):
            Store(url)


def test_a_client_that_goes_away_stops_neither_its_write_nor_the_writer(store: Store) -> None:
    gone = store.add_events("a", events(2))
    assert not gone.cancel() and gone.result() == 2
    assert store.add_events("a", events(3)).result() == 1


def test_what_was_deleted_is_forgotten_even_while_somebody_reads(tmp_path: Path) -> None:
    store = Store(f"sqlite:///{tmp_path / 'store.db'}")
    secret = b"ann-of-green-gables"
    store.add_events("a", events(50, secret.decode())).result()
    with store.engine.connect() as reader:
        reader.execute(text("SELECT count(*) FROM events")).scalar()
        store.delete_user("a", secret.decode()).result()  # the log cannot be emptied yet
    store.add_events("a", events(1, "bob")).result()
    assert not any(secret in path.read_bytes() for path in tmp_path.iterdir())
    store.close()


WRITER = """
import sys
from honeyguide.serve.store import Event, Store
store = Store(sys.argv[1])
for i in range(100_000):
    store.add_events("a", [Event(f"{sys.argv[2]}-{i}-{j}", "u", "x", "like", 1.0, i) for j in range(3)]).result()
    print(i, flush=True)
"""


def test_what_was_acknowledged_survives_kill_9(store_url: str) -> None:
    acknowledged = 0
    for turn in range(5):
        child = subprocess.Popen(
            [sys.executable, "-c", WRITER, store_url, str(turn)], stdout=subprocess.PIPE, text=True
        )
        assert child.stdout is not None
        for line in child.stdout:
            if int(line) >= 10 + 7 * turn:
                break
        child.kill()
        acknowledged += 3 * (int(line) + 1)
        child.stdout.close()
        child.wait()
    store = Store(store_url)
    kept = len(store.events_of("a", "u"))
    if store_url.startswith("sqlite"):
        with store.engine.connect() as connection:
            assert connection.exec_driver_sql("PRAGMA integrity_check").scalar() == "ok"
    store.close()
    assert kept >= acknowledged and kept % 3 == 0
