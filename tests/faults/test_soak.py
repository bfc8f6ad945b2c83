"""Mixed traffic for minutes: no error, and memory, files and threads that do not grow."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import psutil
import pytest
from tests.faults.kit import BROKEN, FULL_SIZE, Client, Served, posix, size

pytestmark = [posix, pytest.mark.full]

MINUTES = size(3, 30)
RATE = 40  # requests a second of all clients together, where the machine is free
CLIENTS = 4
LISTS_HELD = 500  # whose next pages the service keeps: what it holds on purpose stops growing soon
CONNECTIONS = 3  # to the database that the pool may open meanwhile: each has the file, its log and its index open
MOST_GROWTH = 12 if FULL_SIZE else 60  # MiB per hour; short series say less
WARM = size(30, 240)  # seconds before the count begins
READERS, ITEMS = 200, 60  # so few that all are known after the warm-up

Call = tuple[str, str, object, set[int]]  # method, path, body, the statuses that may come


@dataclass
class Traffic:
    """What clients did and saw."""

    seconds: list[float] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    ended: threading.Event = field(default_factory=threading.Event)


@dataclass(frozen=True)
class Sample:
    """Of the process of the service."""

    at: float
    rss_mb: float
    files: int
    threads: int


def calls(draw: random.Random, name: str, catalogue: list[str]) -> Callable[[int, str | None], Call]:
    """The mix: what the ``n``-th request of a client is, given the last list it got."""

    def call(n: int, held: str | None) -> Call:
        reader, item = f"reader-{draw.randrange(READERS)}", draw.choice(catalogue)
        event = {"event_id": f"{name}.{n}", "user_id": reader, "item_id": item, "kind": draw.choice(["like", "hide"])}
        mix: list[tuple[float, Call]] = [
            (0.30, ("POST", "/v1/recommend", {"user_id": reader, "k": 10}, {200})),
            (0.06, ("POST", "/v1/recommend", {"user_id": reader, "k": 5, "explain": True}, {200})),
            (0.08, ("POST", "/v1/recommend", {"session": [item], "where": ["item_id != '0'"]}, {200, 400})),
            (0.06, ("POST", "/v1/recommend", {}, {200})),
            (0.08, ("GET", f"/v1/recommend/{held or 'none'}?page=1", None, {200, 404})),
            (0.16, ("POST", "/v1/events", {"events": [event]}, {200})),
            (0.04, ("POST", "/v1/events", {"events": [{**event, "event_id": f"old.{n % 500}"}]}, {200})),
            (0.03, ("POST", "/v1/items", {"items": [{"item_id": f"new-{n % ITEMS}", "fields": {"n": n}}]}, {200})),
            (0.03, ("PUT", f"/v1/users/{reader}", {"fields": {"n": n}}, {200})),
            (0.03, ("GET", f"/v1/users/{reader}", None, {200})),
            (0.02, ("DELETE", f"/v1/users/{reader}", None, {200})),
            (0.03, ("POST", "/v1/command", {"user_id": reader, "command": "no fantasy, shorter"}, {200})),
            (0.02, ("GET", f"/v1/items/{item}/similar", None, {200})),
            (0.02, ("GET", "/health", None, {200})),
            (0.01, ("GET", "/metrics", None, {200})),
            (0.01, ("POST", "/v1/recommend", {"k": 0}, {422})),
            (0.01, ("POST", "/v1/recommend", {"where": ["import os"]}, {400, 422})),
            (0.01, ("GET", "/v1/items/nothing-of-the-kind", None, {404})),
        ]
        return draw.choices([c for _, c in mix], [w for w, _ in mix])[0]

    return call


def client(service: Served, traffic: Traffic, name: str, catalogue: list[str], pause: float) -> None:
    draw, held = random.Random(name), None
    call = calls(draw, name, catalogue)
    with Client(service) as connection:
        for n in range(10_000_000):
            if traffic.ended.is_set():
                return
            method, path, body, expected = call(n, held)
            started = time.monotonic()
            try:
                status, found = connection.ask(method, path, body)
            except BROKEN as error:
                traffic.wrong.append(f"{method} {path}: {error!r}")
                return
            took = time.monotonic() - started
            traffic.seconds.append(took)
            traffic.statuses[status] += 1
            if status not in expected:
                traffic.wrong.append(f"{status} for {method} {path} {body}: {found}")
            if isinstance(found, dict):
                held = found.get("recommendation_id", held)
            time.sleep(max(0.0, draw.uniform(0, 2 * pause) - took))


def until_full(service: Served, catalogue: list[str]) -> None:
    """Fill what the service holds on purpose, with what the traffic brings: what grows afterwards is a leak."""
    for reader in range(READERS):
        events = [
            {"event_id": f"first.{reader}.{n}", "user_id": f"reader-{reader}", "item_id": item, "kind": "like"}
            for n, item in enumerate(catalogue[:20])
        ]
        assert service.ask("POST", "/v1/events", {"events": events})[0] == 200

    for n in range(2 * LISTS_HELD):
        body = {"user_id": f"reader-{n % READERS}"} if n % 3 else {"session": [catalogue[n % ITEMS]]}
        assert service.ask("POST", "/v1/recommend", body)[0] == 200
    told = {"user_id": "reader-0", "command": "no fantasy, shorter"}  # loads what reads texts
    assert service.ask("POST", "/v1/command", told)[0] == 200


def slope(at: np.ndarray, values: np.ndarray) -> float:
    """Median of the slopes between all pairs (Theil and Sen): single spikes do not move it."""
    first, second = np.triu_indices(len(at), 1)
    return float(np.median((values[second] - values[first]) / (at[second] - at[first])))


def sampled(service: Served, minutes: float, every: float) -> list[Sample]:
    assert service.process is not None
    process, samples = psutil.Process(service.process.pid), []
    started = time.monotonic()
    while time.monotonic() - started < 60 * minutes:
        assert service.process.poll() is None, service.log.read_text()
        with process.oneshot():
            rss, threads = process.memory_info().rss, process.num_threads()
        samples.append(Sample(time.monotonic() - started, rss / 2**20, process.num_fds(), threads))
        time.sleep(every)
    return samples


@pytest.mark.timeout(60 * (MINUTES + 15))
def test_nothing_grows_and_nothing_fails(served, books, tmp_path, counted):
    catalogue = [str(i) for i in books.item_ids.values[:ITEMS]]
    served.arguments = ("--lists", str(LISTS_HELD))
    served.start()
    until_full(served, catalogue)
    traffic = Traffic()
    threads = [
        threading.Thread(target=client, args=(served, traffic, f"client-{n}", catalogue, CLIENTS / RATE))
        for n in range(CLIENTS)
    ]
    for thread in threads:
        thread.start()
    time.sleep(WARM)  # every kind of request has been made, by every thread of the service, and many users deleted
    samples = sampled(served, MINUTES, every=1.0 if not FULL_SIZE else 5.0)
    traffic.ended.set()
    for thread in threads:
        thread.join()
    assert not traffic.wrong, traffic.wrong[:5]
    assert "Traceback" not in served.log.read_text(), served.log.read_text()
    counted(**summary(traffic, samples))
    growth = 3600 * slope(*columns(samples, "at", "rss_mb"))
    assert growth < MOST_GROWTH, f"memory grows by {growth:.1f} MiB an hour"
    for what, more in (("files", 3 * CONNECTIONS), ("threads", 2)):
        (values,) = columns(samples, what)
        early, late = np.median(values[: len(values) // 4]), np.median(values[-len(values) // 4 :])
        assert late <= early + more, f"{what}: {early} at first, {late} in the end"


def columns(samples: list[Sample], *names: str) -> list[np.ndarray]:
    return [np.array([getattr(sample, name) for sample in samples], float) for name in names]


def summary(traffic: Traffic, samples: list[Sample]) -> dict[str, Any]:
    at, rss, files, threads = columns(samples, "at", "rss_mb", "files", "threads")
    milliseconds = 1000 * np.array(traffic.seconds)
    return {
        "minutes": MINUTES,
        "requests": len(milliseconds),
        "wrong_answers": len(traffic.wrong),
        "rss_mb_first": round(float(rss[0]), 1),
        "rss_mb_last": round(float(rss[-1]), 1),
        "rss_mb_per_hour": round(3600 * slope(at, rss), 2),
        "most_rss_mb_per_hour": MOST_GROWTH,
        "files": int(files.max()),
        "threads": int(threads.max()),
        "p50_ms": round(float(np.percentile(milliseconds, 50)), 1),
        "p99_ms": round(float(np.percentile(milliseconds, 99)), 1),
    }
