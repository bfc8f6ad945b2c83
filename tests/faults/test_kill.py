"""SIGKILL while events come in: what was acknowledged is there, whole, once, and the service answers again."""

from __future__ import annotations

import random
import socket
import sqlite3
import threading
import time
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import psutil
import pytest
from tests.faults.kit import BROKEN, Client, Served, posix, size

pytestmark = [posix, pytest.mark.full, pytest.mark.timeout(2400)]

CLIENTS = 4
PARTS = 4  # which may run side by side, each with a service of its own
READERS = [f"reader-{n}" for n in range(2_000)]  # many: whoever has liked every book gets no personal list


@dataclass
class Batch:
    """What one request brought, and whether it was acknowledged."""

    events: list[dict[str, str]]
    acknowledged: bool = False
    in_flight: bool = False

    @property
    def ids(self) -> list[str]:
        return [event["event_id"] for event in self.events]


@dataclass
class Ledger:
    """What the clients know."""

    batches: list[Batch] = field(default_factory=list)
    replays: int = 0
    wrong: list[str] = field(default_factory=list)


def client(service: Served, ledger: Ledger, name: str, items: list[str]) -> None:
    """Send batches, new ones and old ones again, until the service is gone."""
    draw = random.Random(name)
    try:
        with Client(service, timeout=20) as connection:
            for n in range(1_000_000):
                old = draw.choice(ledger.batches) if ledger.batches and draw.random() < 0.2 else None
                if old is not None and not old.in_flight:  # else it might come before its first sending
                    again(connection, ledger, old)
                    continue
                many = 1 if draw.random() < 0.4 else draw.randint(2, 40)
                batch = Batch(
                    [
                        {
                            "event_id": f"{name}.{n}.{i}",
                            "user_id": draw.choice(READERS),
                            "item_id": draw.choice(items),
                            "kind": "like",
                        }
                        for i in range(many)
                    ]
                )
                batch.in_flight = True
                ledger.batches.append(batch)
                try:
                    status, found = connection.ask("POST", "/v1/events", {"events": batch.events})
                finally:
                    batch.in_flight = False
                if status != 200 or found != {"accepted": many, "repeated": 0}:
                    ledger.wrong.append(f"{status} {found} for {many} new events")
                    return
                batch.acknowledged = True
    except BROKEN:
        return


def again(connection: Client, ledger: Ledger, batch: Batch) -> None:
    """The same request once more: nothing is new if it was acknowledged, all or nothing if that is not known."""
    known, n = batch.acknowledged, len(batch.events)
    status, found = connection.ask("POST", "/v1/events", {"events": batch.events})
    if status != 200 or found["accepted"] + found["repeated"] != n or (known and found["accepted"]):
        ledger.wrong.append(f"{status} {found} for {n} events sent again, acknowledged before: {known}")
    elif found["accepted"] not in (0, n):
        ledger.wrong.append(f"half a batch was there: {found} of {n}")
    batch.acknowledged = True
    ledger.replays += 1


def kept(store: Path, after: int = 0) -> list[tuple[int, str, str, str]]:
    with closing(sqlite3.connect(f"file:{store}?mode=ro", uri=True)) as connection:
        asked = "SELECT number, event_id, user_id, item_id FROM events WHERE number > ? ORDER BY number"
        return connection.execute(asked, (after,)).fetchall()


def check(store: Path, ledger: Ledger, seen: dict[str, tuple[str, str]], last: int) -> int:
    """Every promise about events, against the database itself; the number of its last row."""
    for number, event_id, user_id, item_id in kept(store, last):
        assert event_id not in seen, f"{event_id} is there twice"
        seen[event_id] = (user_id, item_id)
        last = number
    for batch in ledger.batches:
        there = [event["event_id"] in seen for event in batch.events]
        assert all(there) or not any(there), f"half a batch: {batch.ids}"
        assert all(there) or not batch.acknowledged, f"acknowledged and lost: {batch.ids}"
        for event in batch.events if any(there) else ():
            assert seen[event["event_id"]] == (event["user_id"], event["item_id"])
    return last


def burst(service: Served, ledger: Ledger, name: str, items: list[str], seconds: float) -> None:
    """All clients at once, then SIGKILL."""
    threads = [threading.Thread(target=client, args=(service, ledger, f"{name}.{n}", items)) for n in range(CLIENTS)]
    for thread in threads:
        thread.start()
    time.sleep(seconds)
    service.kill()
    for thread in threads:
        thread.join()


@pytest.mark.parametrize("part", range(PARTS))
def test_no_acknowledged_event_is_lost_when_the_service_is_killed(part, served, books, counted):
    rounds, draw = size(60, 200) // PARTS, random.Random(part)
    items = [str(i) for i in books.item_ids.values]
    store = served.model / "service.db"
    ledger, seen, last, starts, killed_starting = Ledger(), {}, 0, [], 0
    for n in range(rounds):
        if n % 6 == 5:  # and while it starts, perhaps while it puts the log of the last one back
            served.launch()
            time.sleep(draw.uniform(0.0, 1.5))
            served.kill()
            killed_starting += 1
        starts.append(served.start())
        last = check(store, ledger, seen, last)
        if ledger.batches:
            again_at_once(served, ledger)
        burst(served, ledger, f"{n}", items, draw.uniform(0.02, 0.5))
        assert not ledger.wrong, ledger.wrong
    starts.append(served.start())
    cpu_seconds = sum(psutil.Process(served.process.pid).cpu_times()[:2])
    check(store, ledger, seen, last)
    for batch in ledger.batches:
        if not batch.acknowledged:  # a client that does not know sends again
            with Client(served) as connection:
                again(connection, ledger, batch)
    assert not ledger.wrong, ledger.wrong
    events = [i for batch in ledger.batches for i in batch.ids]
    rows = [event_id for _, event_id, _, _ in kept(store)]
    assert sorted(rows) == sorted(events)
    with closing(sqlite3.connect(store)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    acknowledged = sum(len(batch.events) for batch in ledger.batches)
    assert acknowledged > 20 * rounds
    counted(
        rounds=rounds,
        killed_while_starting=killed_starting,
        acknowledged_events=acknowledged,
        lost_events=0,
        half_batches=0,
        requests_sent_again=ledger.replays,
        seconds_to_first_answer=round(median(starts), 2),
        cpu_seconds_to_first_answer=round(cpu_seconds, 2),
    )


def again_at_once(served: Served, ledger: Ledger) -> None:
    """After a restart the last batches are known again, and readers get lists from them."""
    with Client(served) as connection:
        for batch in ledger.batches[-3:]:
            again(connection, ledger, batch)
        reader = ledger.batches[-1].events[-1]["user_id"]
        status, found = connection.ask("POST", "/v1/recommend", {"user_id": reader, "k": 3})
        assert status == 200 and found["source"] == "personal" and found["items"], (status, found)


def test_sigterm_answers_what_came_in_and_ends(served, books):
    served.start()
    ledger, items = Ledger(), [str(i) for i in books.item_ids.values]
    threads = [threading.Thread(target=client, args=(served, ledger, f"{n}", items)) for n in range(CLIENTS)]
    for thread in threads:
        thread.start()
    time.sleep(0.5)
    assert served.stop() in (0, -15), served.log.read_text()
    for thread in threads:
        thread.join()
    assert not ledger.wrong, ledger.wrong
    assert "Traceback" not in served.log.read_text()
    assert check(served.model / "service.db", ledger, {}, 0) > 20


def test_sigterm_waits_for_no_client_that_stopped_talking(served):
    served.start()
    halves = (
        b"",
        b"POST /v1/events HTTP/1.1\r\nHost: x\r\n",
        b"POST /v1/events HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{",
    )
    connections = [socket.create_connection(("127.0.0.1", served.port)) for _ in halves]
    for connection, half in zip(connections, halves, strict=True):
        connection.sendall(half)
    status, _ = served.ask("POST", "/v1/recommend", {})
    assert status == 200
    assert served.stop() in (0, -15)
    for connection in connections:
        connection.close()
