"""What ``benchmarks/load.py`` asks for: the requests of every row of its table."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from honeyguide.data.generate import _PLAIN_WORDS

WARM = 60  # requests of a row before it is measured
USERS, ITEMS = 100_000, 100_000

Asking = tuple[str, str, str | None]  # method, path, body
Ask = Callable[..., dict[str, Any]]
_WORDS = _PLAIN_WORDS.split()
_users = itertools.count(1)  # nobody is asked for twice
_events = itertools.count()


@dataclass(frozen=True)
class Row:
    """A row of the table.

    Parameters
    ----------
    requests
        Makes them; it may ask the service for what they need, such as the handles of lists.
    what
        For the reader.
    units
        Events in a request, of rows that write.
    """

    requests: Callable[[Ask], list[Asking]]
    what: str
    units: int = 1


def _post(path: str, body: dict[str, Any]) -> Asking:
    return "POST", path, json.dumps(body)


def _user() -> str:
    return str((next(_users) * 7919) % USERS + 1)


def _health(ask: Ask) -> list[Asking]:
    return [("GET", "/health", None)] * (WARM + 1500)


def _personal(n: int = 2400, **more: Any) -> Callable[[Ask], list[Asking]]:
    return lambda ask: [_post("/v1/recommend", {"user_id": _user(), **more}) for _ in range(WARM + n)]


def _filtered(ask: Ask) -> list[Asking]:
    conditions = [f"price < {5 + n % 55} and year >= {1950 + n % 60}" for n in range(600)]
    rows = [{"user_id": _user(), "where": [conditions[n % len(conditions)]]} for n in range(WARM + 800)]
    return [_post("/v1/recommend", row) for row in rows]


def _session(ask: Ask) -> list[Asking]:
    drawn = np.random.default_rng(1).integers(1, ITEMS, (WARM + 1000, 5))
    return [_post("/v1/recommend", {"session": [str(item) for item in row]}) for row in drawn]


def _nobody(ask: Ask) -> list[Asking]:
    return [_post("/v1/recommend", {})] * (WARM + 1000)


def _next_page(ask: Ask) -> list[Asking]:
    lists = [ask("POST", "/v1/recommend", {"user_id": _user()}) for _ in range(150)]
    return [
        ("GET", f"/v1/recommend/{lists[n % 150]['recommendation_id']}?page={1 + n // 150}", None)
        for n in range(WARM + 1000)
    ]


def _similar(ask: Ask) -> list[Asking]:
    drawn = np.random.default_rng(2).permutation(ITEMS)[: WARM + 160] + 1
    return [("GET", f"/v1/items/{item}/similar", None) for item in drawn]


def _search(ask: Ask) -> list[Asking]:
    rng = np.random.default_rng(3)
    texts = [" ".join(rng.choice(_WORDS, 2, replace=False)) for _ in range(WARM + 160)]
    return [_post("/v1/search", {"query": text, "user_id": _user()}) for text in texts]


def _command(ask: Ask) -> list[Asking]:
    rng = np.random.default_rng(4)
    said = ("under 20 dollars", "newer", "no cluster {c}", "more {w} {v}", "cheaper, no {w}", "something about {w} {v}")
    rows = []
    for n in range(WARM + 160):
        w, v = rng.choice(_WORDS, 2, replace=False)
        text = said[n % len(said)].format(c=int(rng.integers(300)), w=w, v=v)
        rows.append(_post("/v1/command", {"user_id": _user(), "command": text}))
    return rows


def _ingest(n: int, size: int) -> Callable[[Ask], list[Asking]]:
    def made(ask: Ask) -> list[Asking]:
        rng = np.random.default_rng(5)
        rows = []
        for users, items in rng.integers(1, USERS, (WARM + n, 2, size)):
            rows.append({"events": [_event(str(u), str(i)) for u, i in zip(users, items, strict=True)]})
        return [_post("/v1/events", row) for row in rows]

    return made


def _event(user: str, item: str) -> dict[str, Any]:
    number = next(_events)
    at = "2026-01-31T12:00:00Z"
    return {"event_id": f"load-{number}", "user_id": user, "item_id": item, "kind": "view", "timestamp": at}


ROWS: dict[str, Row] = {
    "health": Row(_health, "nothing: `GET /health`"),
    "personal": Row(_personal(), "a personal list"),
    "filter": Row(_filtered, "a personal list under two conditions, 600 pairs of them in turn"),
    "varied": Row(_personal(300, scenario="varied"), "a personal list, spread by MMR over 50 places"),
    "explain": Row(_personal(120, explain=True), "a personal list with ten checked reasons"),
    "session": Row(_session, "a list for an anonymous session of five items"),
    "nobody": Row(_nobody, "what is popular"),
    "next page": Row(_next_page, "pages 2 to 9 of lists"),
    "similar": Row(_similar, "items like an item"),
    "search": Row(_search, "a search by two words, for a user"),
    "command": Row(_command, "a command by grammar, kept on disk, and the list that obeys"),
    "event": Row(_ingest(2400, 1), "one event, on disk"),
    "events": Row(_ingest(1200, 100), "a hundred events, on disk", units=100),
}
