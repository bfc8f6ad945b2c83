from __future__ import annotations

import pytest
from tests.serve.conftest import Served
from tests.serve.test_api import a_user

from honeyguide.core.dataset import Dataset
from honeyguide.serve.direct import DirectRoute, DirectRouter


@pytest.mark.parametrize(
    ("content", "kind", "status", "said"),
    [
        (b'{"k": 3}', "application/json", 200, ""),
        (b'{"k": 3}', "application/json; charset=utf-8", 200, ""),
        (b'{"k": 3', "application/json", 422, "body"),
        (b"", "application/json", 422, "body"),
        (b'{"k": 0}', "application/json", 422, "body.k"),
        (b'{"no_such": 1}', "application/json", 422, "body.no_such"),
        (b'{"user_id": "\\ud800"}', "application/json", 422, "body"),
        (b"[" * 100_000, "application/json", 422, "body"),
    ],
)
def test_bodies_are_read_by_their_models(served: Served, content: bytes, kind: str, status: int, said: str) -> None:
    headers = {**served.auth(), "Content-Type": kind}
    answer = served.client.post("/v1/recommend", content=content, headers=headers)
    assert answer.status_code == status, answer.text
    assert said in answer.json().get("error", "")


def test_what_is_not_said_to_be_json_is_not_read(served: Served) -> None:
    for kind in ("text/plain", "application/x-www-form-urlencoded"):
        headers = {**served.auth(), "Content-Type": kind}
        assert served.client.post("/v1/recommend", content=b'{"k": 3}', headers=headers).status_code in (415, 422)


def test_the_short_way_has_the_same_guards_and_is_counted(served: Served, books: Dataset) -> None:
    assert served.client.post("/v1/recommend", json={}).status_code == 401
    assert served.client.get("/v1/recommend", headers=served.auth()).status_code == 405
    served.post("/v1/recommend", {"user_id": a_user(books)})
    text = served.client.get("/metrics", headers=served.auth()).text
    assert 'honeyguide_requests_total{route="/v1/recommend",status="200"} 1.0' in text
    assert 'honeyguide_requests_total{route="unknown",status="401"} 1.0' in text


def test_every_route_that_takes_a_body_alone_goes_it(served: Served) -> None:
    router = served.client.app.router  # type: ignore[attr-defined]
    assert isinstance(router, DirectRouter)
    direct = {route.path for route in router.routes if isinstance(route, DirectRoute) and route.direct is not None}
    assert {"/v1/recommend", "/v1/events", "/v1/items", "/v1/command", "/v1/search", "/v1/explain"} <= direct
    assert {path for _, path in router._direct} == direct


def test_cheap_lists_are_made_at_once_and_others_in_a_thread(served: Served, books: Dataset) -> None:
    engine, user = served.engine, a_user(books)
    assert engine.is_quick(user, "default") == engine.store.local
    served.post("/v1/command", {"user_id": user, "command": "no crime"})
    assert not engine.is_quick(user, "default")
