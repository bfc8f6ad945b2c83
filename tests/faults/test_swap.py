"""The model is exchanged again and again under load: every request is answered, from one model or the other."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from dataclasses import dataclass, field

import psutil
import pytest
from tests.faults.kit import BROKEN, Client, Served, posix, size
from tests.serve.catalogues import without_first

from honeyguide.experiment.bundle import save_bundle
from honeyguide.models.linear.itemknn import ItemKNN

pytestmark = [posix, pytest.mark.full, pytest.mark.timeout(2400)]

CLIENTS = 3


@dataclass
class Seen:
    """What the clients got."""

    answers: int = 0
    wrong: list[str] = field(default_factory=list)
    versions: Counter[str] = field(default_factory=Counter)
    ended: threading.Event = field(default_factory=threading.Event)


def client(service: Served, seen: Seen, titles: dict[str, str], common: list[str], users: list[str], n: int) -> None:
    """Ask for everything that codes of items pass through."""
    draw, held = random.Random(n), None
    try:
        with Client(service) as connection:
            for turn in range(1_000_000):
                if seen.ended.is_set():
                    return
                user, item = draw.choice(users), draw.choice(common)
                event = {"event_id": f"{n}.{turn}", "user_id": user, "item_id": item, "kind": "like"}
                calls = [
                    ("POST", "/v1/recommend", {"user_id": user, "k": 10, "explain": turn % 7 == 0}),
                    ("POST", "/v1/recommend", {"session": [item], "k": 10}),
                    ("GET", f"/v1/recommend/{held}?page=1", None),
                    ("POST", "/v1/events", {"events": [event]}),
                    ("GET", f"/v1/users/{user}", None),
                    ("GET", f"/v1/items/{item}/similar", None),
                    ("POST", "/v1/explain", {"item_id": item, "user_id": user}),
                ]
                method, path, body = draw.choice(calls if held else calls[:2])
                status, found = connection.ask(method, path, body)
                seen.answers += 1
                if status != 200:
                    seen.wrong.append(f"{status} for {method} {path}: {found}")
                    continue
                held = found.get("recommendation_id", held)
                if "version" in found:
                    seen.versions[found["version"]] += 1
                if path.startswith(("/v1/recommend", "/v1/items")) and not found["items"]:
                    seen.wrong.append(f"an empty list: {method} {path} {body}")
                for entry in found.get("items", ()):
                    if entry["fields"]["title"] != titles[entry["item_id"]]:
                        seen.wrong.append(f"{entry} is called {titles[entry['item_id']]!r}: two models were mixed")
    except BROKEN as error:
        seen.wrong.append(repr(error))


def test_models_are_exchanged_under_load_without_a_failed_request(served, books, counted):
    fewer = without_first(books, 50)
    fitted = [(ItemKNN().fit(data), data) for data in (fewer, books)]
    titles = {str(i): str(t) for i, t in books.items.select("item_id", "title").iter_rows()}
    common = [str(i) for i in fewer.item_ids.values[:200]]
    users = [str(u) for u in books.user_ids.values[:40]]
    served.start()
    seen, swaps, resident = Seen(), size(24, 40), []
    threads = [threading.Thread(target=client, args=(served, seen, titles, common, users, n)) for n in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for swap in range(swaps):
        model, data = fitted[swap % 2]
        save_bundle(served.model, model, data)
        wanted = (served.model / "CURRENT").read_text().split()[0]
        deadline = time.monotonic() + 300
        while served.ask("GET", "/health")[1]["tenants"]["default"]["version"] != wanted:
            assert time.monotonic() < deadline and not seen.wrong, seen.wrong[:3]
            time.sleep(0.05)
        resident.append(psutil.Process(served.process.pid).memory_info().rss / 2**20)
    seen.ended.set()
    for thread in threads:
        thread.join()
    assert not seen.wrong, seen.wrong[:3]
    assert len(seen.versions) >= min(swaps, 20) and "Traceback" not in served.log.read_text()
    counted(
        swaps=swaps,
        requests=seen.answers,
        failed_requests=0,
        rss_mb_after_the_third=round(resident[2], 1),
        rss_mb_after_the_last=round(resident[-1], 1),
    )
