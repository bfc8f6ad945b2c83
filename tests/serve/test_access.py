"""Who may do what: every route, with no key, a key without its scope, of another tenant, and of one user."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.routing import APIRoute
from starlette.routing import Mount
from tests.serve.conftest import Served, serve
from tests.serve.test_mcp import call

import honeyguide.serve as serve_
from honeyguide.core.dataset import Dataset
from honeyguide.serve.auth import Authority, Identity, RateLimit
from honeyguide.serve.tokens import new_token, read_token

PUBLIC, PERSONAL = "public", "personal"  # pages without data; for the token of one user too
ROUTES: dict[str, tuple[str, ...]] = {
    "GET /": (PUBLIC,),
    "GET /operator": (PUBLIC,),
    **{f"GET /static/{file.name}": (PUBLIC,) for file in (Path(serve_.__file__).parent / "static").iterdir()},
    "GET /health": (PUBLIC,),
    "GET /metrics": ("admin",),
    "GET /openapi.json": ("read",),
    "POST /v1/events": ("write", PERSONAL),
    "POST /v1/recommend": ("read", PERSONAL),
    "GET /v1/recommend/{recommendation_id}": ("read", PERSONAL),
    "POST /v1/explain": ("read", PERSONAL),
    "POST /v1/command": ("write", PERSONAL),
    "POST /v1/search": ("read", PERSONAL),
    "POST /v1/items": ("write",),
    "GET /v1/catalogue": ("read", PERSONAL),
    "GET /v1/operator": ("admin",),
    "GET /v1/experiments": ("admin",),
    "GET /v1/items/{item_id:path}/similar": ("read", PERSONAL),
    "GET /v1/items/{item_id:path}": ("read", PERSONAL),
    "DELETE /v1/items/{item_id:path}": ("admin",),
    "PUT /v1/users/{user_id:path}": ("write",),
    "DELETE /v1/users/{user_id:path}/preferences/{want_id}": ("write", PERSONAL),
    "DELETE /v1/users/{user_id:path}/events/{event_id}": ("write", PERSONAL),
    "GET /v1/users/{user_id:path}/export": ("admin",),
    "POST /v1/users/{user_id:path}/token": ("read",),
    "GET /v1/users/{user_id:path}": ("read", PERSONAL),
    "DELETE /v1/users/{user_id:path}": ("admin",),
    "MOUNT /mcp": ("read", PERSONAL),
}
KEYED = [route for route, needs in ROUTES.items() if needs != (PUBLIC,) and not route.startswith("MOUNT")]
OF_A_USER = {
    "POST /v1/events": {"events": [{"event_id": "1", "user_id": "mallory", "item_id": "1"}]},
    "POST /v1/recommend": {"user_id": "mallory"},
    "POST /v1/explain": {"user_id": "mallory", "item_id": "1"},
    "POST /v1/command": {"user_id": "mallory", "command": "undo"},
    "POST /v1/search": {"user_id": "mallory", "query": "a"},
}


@pytest.fixture(scope="module")
def shared(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """One service for the tests that change nothing."""
    folder = tmp_path_factory.mktemp("access")
    yield from serve(models / "ials", folder, f"sqlite:///{folder / 'store.db'}")


@pytest.fixture(scope="module")
def keys(shared: Served) -> dict[str, str]:
    found = {scope: shared.new_key(scope) for scope in ("read", "write", "admin")}
    return {**found, "other": shared.new_key("read", "write", "admin", tenant="other")}


def ask(served: Served, route: str, key: str | None, body: object = None, user: str = "1"):
    method, path = route.split(" ")
    for name in ("{recommendation_id}", "{item_id:path}", "{want_id}", "{event_id}"):
        path = path.replace(name, "1")
    path = path.replace("{user_id:path}", user)
    content = json.dumps({} if body is None else body) if method in ("POST", "PUT") else None
    headers = {"Content-Type": "application/json", **({"Authorization": f"Bearer {key}"} if key is not None else {})}
    return served.client.request(method, path, content=content, headers=headers)


def test_every_route_says_here_who_may_use_it(shared: Served) -> None:
    found = set()
    for route in shared.client.app.routes:  # type: ignore[attr-defined]
        if isinstance(route, Mount):
            found.add(f"MOUNT {route.path}")
        else:
            assert isinstance(route, APIRoute), route
            found |= {f"{method} {route.path}" for method in route.methods}
    assert found == set(ROUTES), "a route is new or gone: say in ROUTES who may use it"


@pytest.mark.parametrize("route", ROUTES)
def test_nobody_comes_in_without_a_key(shared: Served, route: str) -> None:
    if route.startswith("MOUNT"):
        route = route.replace("MOUNT", "POST") + "/"
    public = ROUTES.get(route) == (PUBLIC,)
    for key in (None, "hg_wrong", "", "hgu_e30.x", "hgu_" + "x" * 10_000):
        answer = ask(shared, route, key)
        assert answer.status_code == (200 if public else 401), (key, answer.text)
        assert "honeyguide" not in answer.text or public


@pytest.mark.parametrize("route", KEYED)
def test_a_key_does_what_its_scope_says(shared: Served, keys: dict[str, str], route: str) -> None:
    scope = ROUTES[route][0]
    for other in {"read", "write", "admin"} - {scope}:
        answer = ask(shared, route, keys[other])
        assert answer.status_code == 403 and f"'{scope}'" in answer.json()["error"], (other, answer.text)
    assert ask(shared, route, keys[scope]).status_code in (200, 404, 422)


@pytest.mark.parametrize("route", KEYED)
def test_the_token_of_one_user_reads_and_writes_that_user(shared: Served, keys: dict[str, str], route: str) -> None:
    scope = ROUTES[route][0]
    key = keys[scope]
    token = new_token(Authority(shared.store, False).identify(key).key, "ann", frozenset({"read", "write"}), 60)  # type: ignore[union-attr]
    if PERSONAL not in ROUTES[route]:
        assert ask(shared, route, token).status_code == 403
        return
    if "{user_id" in route:
        assert ask(shared, route, token, user="bob").status_code == 403
        assert ask(shared, route, token, user="ann").status_code in (200, 404)
        assert ask(shared, route, token, user="ann/export").status_code in (403, 404)
    elif route in OF_A_USER:
        stolen = ask(shared, route, token, OF_A_USER[route])
        assert stolen.status_code == 403 and "another user" in stolen.text
        own = json.loads(json.dumps(OF_A_USER[route]).replace("mallory", "ann"))
        assert ask(shared, route, token, own).status_code in (200, 404)
    else:
        assert ask(shared, route, token).status_code in (200, 404, 422)


def test_a_token_is_made_over_http_is_no_more_than_its_key_and_ends(served: Served, books: Dataset) -> None:
    reader = served.new_key("read")
    made = served.post("/v1/users/ann/token", {"seconds": 60}, key=reader)
    assert made["scopes"] == ["read"] and made["token"].startswith("hgu_")
    token = made["token"]
    assert served.post("/v1/recommend", {"user_id": "ann", "k": 1}, key=token)["items"]
    assert ask(served, "POST /v1/events", token, OF_A_USER["POST /v1/events"]).status_code == 403
    assert ask(served, "POST /v1/users/{user_id:path}/token", token, user="ann").status_code == 403
    admin = served.new_key("admin")
    assert ask(served, "POST /v1/users/{user_id:path}/token", admin).status_code == 403
    said, _, signature = token.rpartition(".")
    for forged in (said + "." + signature[:-2] + "AA", said[:-2] + "AA." + signature, token + "x", said):
        assert ask(served, "POST /v1/recommend", forged).status_code == 401, forged
    digest = next(key.digest for key in served.store.api_keys() if key.scopes == "read")
    late = new_token(digest, "ann", frozenset({"read"}), -1)
    assert ask(served, "POST /v1/recommend", late).status_code == 401
    served.store.drop_key(digest)
    served.service.authority._looked = -10.0
    assert ask(served, "POST /v1/recommend", token).status_code == 401, "it ends with its key"


@pytest.mark.parametrize("text", ["hgu_", "hgu_.", "hgu_bnVsbA.x", "hgu_W10.x", "hgu_eyJhIjoxfQ.x", "hgu_////.é"])
def test_what_is_no_token_is_nobody(served: Served, text: str) -> None:
    assert read_token(text) is None
    assert served.service.authority.identify(text) is None


def test_tenants_and_users_see_nothing_of_each_other(served: Served, books: Dataset) -> None:
    other = served.new_key("read", "write", "admin", tenant="other")
    user = str(books.user_ids.values[3])
    served.post("/v1/command", {"user_id": user, "command": "nothing by Rowling"})
    served.client.put(f"/v1/users/{user}", json={"fields": {"age": 30}}, headers=served.auth())
    held = served.post("/v1/recommend", {"user_id": user, "k": 2})["recommendation_id"]
    pages = f"/v1/recommend/{held}?page=1"
    assert served.get(pages)["items"]
    assert served.client.get(pages, headers=served.auth(other)).status_code == 404
    exported = served.get(f"/v1/users/{user}/export", key=other)
    assert not any(value for name, value in exported.items() if name != "user_id")
    assert served.client.get(f"/v1/users/{user}", headers=served.auth(other)).status_code == 404
    served.client.delete(f"/v1/users/{user}", headers=served.auth(other))
    assert served.get(f"/v1/users/{user}")["fields"] == {"age": 30} and served.get(pages)["items"]
    bob = served.post("/v1/users/bob/token", {})["token"]
    assert served.client.get(pages, headers=served.auth(bob)).status_code == 403
    ann = served.post(f"/v1/users/{user}/token", {})["token"]
    assert served.get(pages, key=ann)["items"]
    for guess in ("x", held[:-1] + "A", "..", "%2e%2e"):
        assert served.client.get(f"/v1/recommend/{guess}?page=0", headers=served.auth()).status_code in (404, 405)


def test_agents_of_one_user_act_for_that_user_alone(served: Served, books: Dataset) -> None:
    token = served.post("/v1/users/ann/token", {})["token"]
    item = str(books.item_ids.values[7])
    for tool, arguments in {
        "recommend": {},
        "explain": {"item_id": item},
        "command": {"command": "undo"},
        "search_items": {"query": "a"},
        "record_feedback": {"item_id": item},
    }.items():
        stolen = call(served, tool, key=token, user_id="bob", **arguments)
        assert stolen.is_error and "another user" in stolen.content[0].text, tool
        assert not call(served, tool, key=token, user_id="ann", **arguments).is_error, tool


def test_a_confirmation_is_of_no_other_key_even_of_the_same_name(served: Served, books: Dataset) -> None:
    first, second = served.new_key("write"), served.new_key("write")  # of one name
    arguments = {"user_id": "ann", "item_id": str(books.item_ids.values[7]), "kind": "like"}

    def ask(key: str, **more: str) -> dict[str, Any]:
        body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call"}
        params = {"name": "record_feedback", "arguments": {**arguments, **more}}
        headers = {"Accept": "application/json, text/event-stream", **served.auth(key)}
        answer = served.client.post("/mcp/", json={**body, "params": params}, headers=headers)
        return answer.json()["result"]["structuredContent"]

    token = ask(first)["confirmation"]
    assert ask(second, confirmation=token)["done"] is False and not served.store.events_of("default", "ann")
    assert ask(first, confirmation=token)["done"] is True and len(served.store.events_of("default", "ann")) == 1


def test_an_id_that_only_looks_like_another_reads_nobody(served: Served, books: Dataset) -> None:
    user = str(books.user_ids.values[3])
    assert served.get(f"/v1/users/{user}")["liked"]
    for alike in (
        f"0{user}",
        f"+{user}",
        f" {user}",
        f"{user} ",
        f"-{user}",
        f"{user}.0",
        f"--{user}",
        "²",
        "٣",
        "9" * 40,
    ):
        assert served.client.get(f"/v1/users/{alike}", headers=served.auth()).json()["liked"] == [], alike


def test_one_user_uses_up_no_other_users_rate() -> None:
    limit = RateLimit(0.1, 1)
    ann, bob = (Identity("t", frozenset(), "k", user=user, key="d") for user in ("ann", "bob"))
    assert limit.wait(ann) == 0 and limit.wait(ann) > 0 and limit.wait(bob) == 0


def test_a_service_without_keys_is_not_reached_from_another_sites_page(models: Path, tmp_path: Path) -> None:
    from fastapi.testclient import TestClient

    from honeyguide.serve.app import create_app
    from honeyguide.serve.engine import Engine
    from honeyguide.serve.store import Store

    store = Store(f"sqlite:///{tmp_path / 'store.db'}")
    app = create_app(store, {"default": Engine("default", models / "ials", store)})
    with TestClient(app, base_url="http://127.0.0.1:8000") as client:
        assert client.post("/v1/recommend", json={}).status_code == 200
        for here in ("localhost", "localhost:1", "[::1]", "[::1]:8000", "127.0.0.1"):
            assert client.get("/", headers={"Host": here}).status_code == 200
        for name in ("evil.example", "evil.example:8000", "127.0.0.1.evil.example", ""):  # leads here by rebinding
            assert client.post("/v1/recommend", json={}, headers={"Host": name}).status_code == 421, name
        form = {"Content-Type": "text/plain"}  # which a page may send anywhere without asking
        assert client.post("/v1/recommend", content="{}", headers=form).status_code == 415
        answer = client.options("/v1/events", headers={"Origin": "http://evil.example"})
        assert "access-control-allow-origin" not in answer.headers
    store.close()


def test_health_tells_no_stranger_of_tenants(served: Served) -> None:
    stranger = served.client.get("/health").json()
    assert stranger["status"] == "ok" and stranger["tenants"] == {}
    own = served.client.get("/health", headers=served.auth()).json()["tenants"]
    assert set(own) == {"default"} and own["default"]["model"] == "ials"
    assert served.client.get("/health", headers={"authorization": "Bearer nobody"}).json()["tenants"] == {}
