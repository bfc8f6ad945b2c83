"""Requests at the edges of what is allowed, and beyond: an answer as documented, never a fault."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from tests.serve.conftest import Served, serve

from honeyguide.core.dataset import Dataset
from honeyguide.serve.engine import Engine

NOW = "2026-01-31T12:00:00Z"
TEXTS = {
    "one": "a",
    "longest": "é" * 256,
    "astral": "😀" * 256,
    "right to left": "\u202eabc\u202c مرحبا",
    "combining": "e\u0301" + "\u0301" * 200,
    "not composed": "é",
    "zero width": "a\u200b\u200d\ufeffb",
    "lines of unicode": "a\u2028b\u2029c\u0085d",
    "private and none": "\ue000\uffff\U0010ffff",
    "spaces": "  ",
    "path": "../../etc/passwd",
    "slashes": "//a/./..//b/",
    "percent": "100% %zz",
    "markup": "<script>alert(1)</script>&lt;",
    "sql": "'; DROP TABLE events; --",
    "format": "{0} %s ${x} {{7*7}}",
    "number": "00012",
    "minus": "-1",
    "huge number": "9" * 200,
}
NO_IDS = {
    "empty": "",
    "too long": "x" * 257,
    "nul": "a\x00b",
    "control": "a\x1bb",
    "line": "a\nb",
    "delete": "a\x7f",
}


@pytest.fixture(scope="module")
def shared(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("boundaries")
    yield from serve(models / "ials", folder, f"sqlite:///{folder / 'store.db'}")


def send(served: Served, method: str, path: str, body: Any = None, **headers: str) -> Any:
    content = body if isinstance(body, bytes | None) else json.dumps(body).encode()
    kind = {"Content-Type": "application/json"} if content is not None else {}
    answer = served.client.request(method, path, content=content, headers={**kind, **served.auth(), **headers})
    assert answer.status_code < 500, answer.text
    if answer.status_code >= 400:
        assert set(answer.json()) == {"error", "remedy"} and "Traceback" not in answer.text
    return answer


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_any_text_is_an_id_and_comes_back_as_it_was_sent(shared: Served, text: str) -> None:
    event = {"event_id": text[:128], "user_id": text, "item_id": text, "kind": "like", "timestamp": NOW}
    assert send(shared, "POST", "/v1/events", {"events": [event]}).json()["accepted"] == 1
    item = {"item_id": text, "fields": {"title": text, text[:64]: [text, None, 1.5, True, {"a": text}]}}
    assert send(shared, "POST", "/v1/items", {"items": [item]}).json()["stored"] == 1
    path = f"/v1/users/{quote(text, safe='')}"
    assert send(shared, "PUT", path, {"fields": {"name": text}}).json() == {"user_id": text}
    exported = send(shared, "GET", f"{path}/export").json()
    assert [e["item_id"] for e in exported["events"]] == [text] and len(exported["users"]) == 1
    assert send(shared, "GET", f"/v1/items/{quote(text, safe='')}").json() == item
    assert send(shared, "GET", path).json()["fields"] == {"name": text}
    for body in ({"user_id": text}, {"session": [text]}, {"exclude": [text]}, {"user_id": text, "explain": True}):
        assert send(shared, "POST", "/v1/recommend", body).status_code == 200
    assert send(shared, "POST", "/v1/explain", {"item_id": text}).status_code in (200, 404)
    assert send(shared, "POST", "/v1/command", {"user_id": text, "command": text, "shown": [text]}).status_code == 200
    assert send(shared, "DELETE", path).json()["rows"] >= 2
    assert not any(v for k, v in send(shared, "GET", f"{path}/export").json().items() if k != "user_id")
    assert send(shared, "DELETE", f"/v1/items/{quote(text, safe='')}").json() == {"rows": 1}


@pytest.mark.parametrize("text", NO_IDS.values(), ids=NO_IDS)
def test_what_is_no_id_is_refused_everywhere(shared: Served, text: str) -> None:
    good = {"event_id": "1", "user_id": "u", "item_id": "i"}
    for name in good:
        assert send(shared, "POST", "/v1/events", {"events": [{**good, name: text}]}).status_code == 422
    for body in ({"user_id": text}, {"session": [text]}, {"exclude": [text]}):
        assert send(shared, "POST", "/v1/recommend", body).status_code == 422
    assert send(shared, "POST", "/v1/items", {"items": [{"item_id": text, "fields": {}}]}).status_code == 422
    for path in (
        "/v1/users/{}",
        "/v1/users/{}/export",
        "/v1/items/{}",
        "/v1/items/{}/similar",
        "/v1/recommend/{}?page=0",
    ):
        named = path.format(quote(text, safe=""))
        if text:
            assert send(shared, "GET", named).status_code in ((404, 422) if text == "a\nb" else (422,)), named


@pytest.mark.parametrize("half", ["\\ud800", "\\udfff", "a\\ud83d"])
def test_half_of_a_surrogate_pair_is_no_text(shared: Served, half: str) -> None:
    for path, body in (
        ("/v1/recommend", '{"user_id": "%s"}'),
        ("/v1/events", '{"events": [{"event_id": "1", "user_id": "%s", "item_id": "i"}]}'),
        ("/v1/items", '{"items": [{"item_id": "i", "fields": {"title": "%s"}}]}'),
        ("/v1/items", '{"items": [{"item_id": "i", "fields": {"%s": 1}}]}'),
        ("/v1/items", '{"items": [{"item_id": "i", "fields": {"a": [{"%s": 1}]}}]}'),
        ("/v1/command", '{"user_id": "u", "command": "%s"}'),
        ("/v1/search", '{"query": "%s"}'),
    ):
        assert send(shared, "POST", path, (body % half).encode()).status_code in (400, 422), path


@pytest.mark.parametrize("k", [0, -1, 101, 2**31, 2**63, 10**400, 1.5, "5x", None, True, [], {}])
def test_a_length_is_between_1_and_100(shared: Served, k: object) -> None:
    for path, body in (("/v1/command", {"user_id": "u", "command": "undo"}), ("/v1/search", {"query": "the"})):
        assert send(shared, "POST", path, {**body, "k": k}).status_code in (400, 422), k
    if k is not None:
        assert send(shared, "POST", "/v1/recommend", {"k": k}).status_code in (400, 422)
        assert send(shared, "GET", f"/v1/items/1/similar?k={quote(str(k)[:500])}").status_code == 422


def test_lengths_that_are_allowed(shared: Served, books: Dataset) -> None:
    for k in (1, 100):
        assert len(send(shared, "POST", "/v1/recommend", {"k": k}).json()["items"]) == k
    item = str(books.item_ids.values[7])
    assert len(send(shared, "GET", f"/v1/items/{item}/similar?k=100").json()["items"]) == 100
    held = send(shared, "POST", "/v1/recommend", {"k": 100}).json()["recommendation_id"]
    for page, status in ((0, 200), (1000, 200), (-1, 422), (1001, 422), ("x", 422), (2**70, 422)):
        assert send(shared, "GET", f"/v1/recommend/{held}?page={page}").status_code == status
    assert send(shared, "GET", f"/v1/recommend/{held}?page=1000").json()["items"] == []


@pytest.mark.parametrize(
    "number", ["NaN", "Infinity", "-Infinity", "1e999", "-1e999", "1e400", '"1"', "[1]", "1001", "-1001"]
)
def test_a_weight_is_a_number_within_bounds(shared: Served, number: str) -> None:
    body = '{"events": [{"event_id": "1", "user_id": "u", "item_id": "i", "weight": NUMBER}]}'.replace("NUMBER", number)
    assert send(shared, "POST", "/v1/events", body.encode()).status_code in (400, 422)


@pytest.mark.parametrize(
    "number", ["NaN", "Infinity", "1e999", "1" * 5000, "[" * 30 + "]" * 30, '{"a":' * 30 + "1" + "}" * 30]
)
def test_fields_hold_what_json_can_say_everywhere(shared: Served, number: str) -> None:
    for path, method, body in (
        ("/v1/items", "POST", '{"items": [{"item_id": "i", "fields": {"a": %s}}]}'),
        ("/v1/users/u", "PUT", '{"fields": {"a": [%s]}}'),
    ):
        assert send(shared, method, path, (body % number).encode()).status_code in (400, 422), path
    long = {"items": [{"item_id": "i", "fields": {"a": "x" * 16_001}}]}
    assert send(shared, "POST", "/v1/items", long).status_code == 422
    assert send(shared, "POST", "/v1/items", {"items": [{"item_id": "i", "fields": {"x" * 65: 1}}]}).status_code == 422


TIMES = {
    "0001-01-01T00:00:00Z": 200,
    "0001-01-01T00:00:00+23:59": 200,
    "1969-12-31T23:59:59.999999Z": 200,
    "2026-02-28T12:00:00": 200,  # without a zone: UTC
    "2026-02-28": 200,
    "9999-12-31T23:59:59.999999Z": 200,
    "9999-12-31T23:59:59-23:59": 200,
    "10000-01-01T00:00:00Z": 422,
    "2026-02-30T12:00:00Z": 422,
    "2026-01-31T25:00:00Z": 422,
    "yesterday": 422,
    "": 422,
    "1700000000": 422,
}


@pytest.mark.parametrize(("when", "status"), TIMES.items(), ids=TIMES)
def test_times(shared: Served, when: str, status: int) -> None:
    event = {"event_id": f"time {when}", "user_id": f"at {when}", "item_id": "i", "timestamp": when}
    answer = send(shared, "POST", "/v1/events", {"events": [event]})
    assert answer.status_code in ((200, 400) if status == 200 else (422,)), answer.text
    for number in (1700000000, -1, 1e300, True):
        assert send(shared, "POST", "/v1/events", {"events": [{**event, "timestamp": number}]}).status_code == 422


def test_events_and_items_of_a_request_are_at_most_1000(shared: Served) -> None:
    events = [{"event_id": f"many {i}", "user_id": "many", "item_id": "i"} for i in range(1001)]
    assert send(shared, "POST", "/v1/events", {"events": events}).status_code == 422
    assert send(shared, "POST", "/v1/events", {"events": events[:1000]}).json() == {"accepted": 1000, "repeated": 0}
    assert send(shared, "POST", "/v1/events", {"events": events[:1000]}).json() == {"accepted": 0, "repeated": 1000}
    twice = [{"event_id": "twice", "user_id": "many", "item_id": "i"}] * 2
    assert send(shared, "POST", "/v1/events", {"events": twice}).json() == {"accepted": 1, "repeated": 1}
    assert send(shared, "POST", "/v1/events", {"events": []}).status_code == 422
    items = [{"item_id": str(i), "fields": {}} for i in range(1001)]
    assert send(shared, "POST", "/v1/items", {"items": items}).status_code == 422


BODIES = {
    "nothing": b"",
    "null": b"null",
    "a list": b"[]",
    "a word": b'"events"',
    "half": b'{"user_id": ',
    "two": b"{}{}",
    "not utf-8": b'{"user_id": "\xff\xfe"}',
    "utf-16": '{"k": 1}'.encode("utf-16"),
    "a mark": b"\xef\xbb\xbf{}",
    "a comment": b"{} // x",
    "deep lists": b"[" * 100_000,
    "deep objects": b'{"a":' * 100_000,
    "deep where": b'{"where": [' + b"[" * 50_000,
    "nul": b"\x00",
    "yaml": b"k: 1",
    "a form": b"k=1",
}


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
@pytest.mark.parametrize(
    "path", ["/v1/recommend", "/v1/events", "/v1/items", "/v1/command", "/v1/search", "/v1/explain"]
)
def test_what_is_no_body(shared: Served, path: str, body: bytes) -> None:
    unusual = body in (BODIES["utf-16"], BODIES["a mark"]) and path == "/v1/recommend"  # JSON all the same
    assert send(shared, "POST", path, body).status_code in ((200, 400, 422) if unusual else (400, 422))


def test_a_key_said_twice_is_what_was_said_last(shared: Served) -> None:
    assert len(send(shared, "POST", "/v1/recommend", b'{"k": 1, "k": 2}').json()["items"]) == 2


@pytest.mark.parametrize(
    "kind", ["text/plain", "", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"]
)
def test_bodies_are_said_to_be_json(shared: Served, kind: str) -> None:
    assert send(shared, "POST", "/v1/recommend", b"{}", **{"Content-Type": kind}).status_code == 415
    assert send(
        shared, "POST", "/v1/recommend", b"{}", **{"Content-Type": "application/json; charset=utf-8"}
    ).is_success


@pytest.mark.parametrize("coding", ["gzip", "br", "deflate", "GZIP", "identity, gzip", "zstd"])
def test_packed_bodies_are_not_unpacked(shared: Served, coding: str) -> None:
    import gzip

    bomb = gzip.compress(b"0" * (10 << 20))
    assert send(shared, "POST", "/v1/recommend", bomb, **{"Content-Encoding": coding}).status_code == 415


@pytest.mark.parametrize("length", ["-1", "+5", "1.5", "²", "0x10", "5, 5", "9" * 400, ""])
def test_lengths_of_bodies_that_are_none(shared: Served, length: str) -> None:
    asked = [(b"content-type", b"application/json"), (b"content-length", length.encode("utf-8"))]
    answer = shared.client.request(
        "POST", "/v1/recommend", content=iter([b"{}"]), headers=[*asked, *shared.auth().items()]
    )
    assert answer.status_code in (411, 413)


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "TRACE", "CONNECT", "OPTIONS", "HEAD", "BREW"])
def test_other_methods_are_refused(shared: Served, method: str) -> None:
    answer = shared.client.request(method, "/health", json={}, headers=shared.auth())
    assert answer.status_code == 405


@pytest.mark.parametrize("path", ["/", "/health", "/nowhere", "/v1/recommend", "/static/feed.js", "/mcp/"])
def test_every_answer_has_headers_that_keep_browsers_out(shared: Served, path: str) -> None:
    headers = shared.client.get(path).headers
    assert headers["x-content-type-options"] == "nosniff" and headers["referrer-policy"] == "no-referrer"
    assert "frame-ancestors 'none'" in headers["content-security-policy"] and headers["cache-control"]
    assert "access-control-allow-origin" not in headers and "server" not in headers


def test_a_fault_of_the_service_tells_nothing_of_its_inside(
    shared: Served, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*arguments: object, **named: object) -> None:
        raise RuntimeError("/secret/path and a password")

    monkeypatch.setattr(shared.engine, "recommend", broken)
    answer = shared.client.post("/v1/recommend", json={}, headers=shared.auth())
    assert answer.status_code == 500 and answer.json()["error"] == "this went wrong here."
    assert "secret" not in answer.text and "/secret/path" in caplog.text
    assert answer.headers["x-content-type-options"] == "nosniff"


LONG = {
    "about": "shorter " * 250,
    "no": "no " * 600,
    "lists": "a, " * 660,
    "brackets": "(" * 2000,
    "numbers": "before " + "9" * 1900,
    "letters": "x" * 2000,
    "many": ", ".join(f"no word{i}" for i in range(150)),
    "emoji": "😀" * 2000,
    "overrides": "\u202e" * 2000,
}


@pytest.mark.parametrize("said", LONG.values(), ids=LONG)
def test_no_command_locks_its_user_out(shared: Served, said: str) -> None:
    user = {"user_id": f"speaker {said[:9]}"}
    for _ in range(3):
        assert send(shared, "POST", "/v1/command", {**user, "command": said[:2000]}).status_code == 200
    shared.engine.changed(user["user_id"])  # read from the store again
    assert send(shared, "POST", "/v1/recommend", {**user, "k": 3}).status_code == 200
    wants = send(shared, "GET", f"/v1/users/{quote(user['user_id'], safe='')}").json()["preferences"]
    assert len(wants) <= 100
    assert send(shared, "POST", "/v1/command", {**user, "command": "start over"}).json()["preferences"] == []


def test_preferences_that_cannot_be_read_lock_nobody_out(shared: Served, caplog: pytest.LogCaptureFixture) -> None:
    shared.store.put_preferences("default", "broken", {"wants": {"c1": {"nonsense": 1}}}).result()
    assert send(shared, "POST", "/v1/recommend", {"user_id": "broken", "k": 1}).json()["items"]
    assert "cannot be read" in caplog.text


VALUES: list[Any] = [
    0,
    -1,
    1.5,
    10**18,
    True,
    None,
    "",
    "x",
    "12",
    [],
    ["a", 1, None],
    [["a"]],
    {},
    {"a": [1]},
    "2020-01-01",
]


def test_fields_of_any_type_leave_a_service_that_starts(reading: Served, books: Dataset) -> None:
    names = [name for name in books.items.columns if name != "item_id"]
    items = [
        {"item_id": str(70_000_000 + 100 * i + j), "fields": {name: value}}
        for i, name in enumerate([*names, "item_id", "unknown"])
        for j, value in enumerate(VALUES)
    ]
    assert send(reading, "POST", "/v1/items", {"items": items}).json()["stored"] == len(items)
    found = send(reading, "POST", "/v1/recommend", {"k": 100, "where": ["title is missing"]}).json()
    assert found["items"] and all(math.isfinite(entry["score"]) for entry in found["items"])
    again = Engine("default", reading.folder / "model", reading.store)  # after a restart
    assert len(again.live.stock) == len(reading.engine.live.stock) > books.n_items
