"""Clients that mean ill, against a process that listens: slow ones, lying ones, idle ones, too many of them."""

from __future__ import annotations

import asyncio
import gzip
import http.client
import json
import os
import re
import resource
import socket
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from honeyguide.serve.auth import new_key
from honeyguide.serve.store import Store

HEAD, BODY, WAITING = 1.0, 1.5, 1000  # seconds, seconds, connections

SERVER = """
import sys
import uvicorn
from pathlib import Path
from honeyguide.serve.app import create_app
from honeyguide.serve.connections import Patience, bounded
from honeyguide.serve.engine import Engine
from honeyguide.serve.service import Settings
from honeyguide.serve.store import Store

model, url, head, body, waiting, parser = sys.argv[1:]
if parser == "h11":
    sys.modules["httptools"] = None
store = Store(url)
app = create_app(store, {"default": Engine("default", Path(model), store)}, Settings(body_seconds=float(body)))
patience = Patience(head=float(head), request=8.0, waiting=int(waiting))
uvicorn.run(app, host="127.0.0.1", port=0, http=bounded(patience), ws="none", log_level="info", access_log=False,
            server_header=False, h11_max_incomplete_event_size=65536)
"""


@dataclass
class Listening:
    """A service in a process of its own."""

    port: int
    key: str
    process: subprocess.Popen[str]

    def head(
        self, method: str = "POST", path: str = "/v1/recommend", *more: str, key: bool = True, last: bool = True
    ) -> bytes:
        lines = [f"{method} {path} HTTP/1.1", f"Host: 127.0.0.1:{self.port}", *more]
        if not any(line.startswith("Content-Type") for line in more):
            lines.append("Content-Type: application/json")
        if last:
            lines.append("Connection: close")
        if key:
            lines.append(f"Authorization: Bearer {self.key}")
        return ("\r\n".join(lines) + "\r\n\r\n").encode()

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=20)

    def say(self, *parts: bytes) -> bytes:
        """What comes back until the connection is closed; empty where it was cut."""
        with self.connect() as connection:
            found = b""
            try:
                for part in parts:
                    connection.sendall(part)
                while more := connection.recv(65536):
                    found += more
            except ConnectionError:
                pass
            return found

    def ask(self, path: str = "/v1/recommend", body: object = None, method: str = "POST") -> tuple[int, Any]:
        """As an honest client."""
        client = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        content = None if method == "GET" else json.dumps(body if body is not None else {"k": 1})
        headers = {"Authorization": f"Bearer {self.key}", "Content-Type": "application/json"}
        client.request(method, path, body=content, headers=headers)
        answer = client.getresponse()
        found = json.loads(answer.read())
        client.close()
        return answer.status, found


@pytest.fixture(scope="module", params=["httptools", "h11"])
def server(
    request: pytest.FixtureRequest, models: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Listening]:
    if request.param == "httptools":
        pytest.importorskip("httptools")
    url = f"sqlite:///{tmp_path_factory.mktemp('hostile') / 'store.db'}"
    store = Store(url)
    key = new_key(store, "default", "all", ("read", "write", "admin"))
    store.close()
    arguments = [str(models / "ials"), url, str(HEAD), str(BODY), str(WAITING), request.param]
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    process = subprocess.Popen(
        [sys.executable, "-c", SERVER, *arguments],
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 8192), hard)),
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    try:
        assert process.stderr is not None
        for line in process.stderr:
            if found := re.search(r"http://127\.0\.0\.1:(\d+)", line):
                break
        else:
            pytest.fail("the service did not start")
        yield Listening(int(found[1]), key, process)
    finally:
        process.kill()
        process.wait()


def status(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])


def test_an_honest_client_is_answered_with_headers_that_keep_browsers_out(server: Listening) -> None:
    code, found = server.ask()
    assert code == 200 and len(found["items"]) == 1
    answer = server.say(server.head("GET", "/health", key=False))
    head = answer.split(b"\r\n\r\n")[0].lower()
    assert status(answer) == 200 and b"nosniff" in head and b"no-store" in head and b"\r\nserver:" not in head


def test_an_id_with_any_sign_is_found_by_its_path(server: Listening) -> None:
    for user in ("%00%2e%2f%25", "a/b", "ü ?#&=+;", "..", "%", "é" * 200):
        path = f"/v1/users/{quote(user, safe='')}"
        assert server.ask(path, {"fields": {"a": 1}}, "PUT") == (200, {"user_id": user})
        assert server.ask(path, None, "GET")[1]["user_id"] == user
    assert server.ask("/v1/users/a%00b", {"fields": {}}, "PUT")[0] == 422


LIES = {
    "no length": ((), b"{}", {400, 411}),
    "chunked": (("Transfer-Encoding: chunked",), b"2\r\n{}\r\n0\r\n\r\n", {411}),
    "chunked and a length": (("Transfer-Encoding: chunked", "Content-Length: 2"), b"2\r\n{}\r\n0\r\n\r\n", {400, 411}),
    "endless chunks": (("Transfer-Encoding: chunked",), b"10000\r\n" + b" " * 65536 + b"\r\n", {411}),
    "too large": (("Content-Length: 3000000",), b"{}", {413}),
    "far too large": (("Content-Length: 99999999999999999999999",), b"{}", {400, 411, 413}),
    "negative": (("Content-Length: -1",), b"{}", {400, 411}),
    "two lengths": (("Content-Length: 2", "Content-Length: 3"), b"{} ", {400, 411}),
    "a word": (("Content-Length: two",), b"{}", {400, 411}),
    "packed": (("Content-Encoding: gzip", "Content-Length: 20"), b"x" * 20, {415}),
    "a form": (("Content-Length: 2", "Content-Type: text/plain"), b"{}", {415}),
    "longer than said": (("Content-Length: 2",), b"{}" + b"GARBAGE" * 10 + b"\r\n\r\n", {200, 400}),
    "half a pair": (("Content-Length: 4", "\u00ff: x"), b"{}", {400, 408}),
}


@pytest.mark.parametrize(("headers", "body", "codes"), LIES.values(), ids=LIES)
def test_bodies_that_are_not_as_they_are_said_to_be(
    server: Listening, headers: tuple[str, ...], body: bytes, codes: set[int]
) -> None:
    answer = server.say(server.head("POST", "/v1/recommend", *headers), body)
    assert answer and status(answer) in codes, answer[:300]
    assert b"Traceback" not in answer and b"/src/" not in answer
    assert server.ask()[0] == 200


def test_a_bomb_is_not_unpacked(server: Listening) -> None:
    bomb = gzip.compress(b" " * (200 << 20))
    before = memory(server.process.pid)
    answer = server.say(
        server.head("POST", "/v1/events", "Content-Encoding: gzip", f"Content-Length: {len(bomb)}"), bomb
    )
    assert status(answer) == 415 and memory(server.process.pid) < before + (50 << 20)


def test_a_stranger_sends_no_body(server: Listening) -> None:
    """The answer comes before any byte of it."""
    for path in ("/v1/events", "/mcp/", "/nowhere"):
        started = time.monotonic()
        with server.connect() as connection:
            connection.sendall(server.head("POST", path, "Content-Length: 2000000", key=False))
            assert status(connection.recv(65536)) == 401 and time.monotonic() - started < BODY


def memory(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_heads_are_bounded(server: Listening) -> None:
    before = memory(server.process.pid)
    for endless in (b"X-A: " + b"a" * 1000 + b"\r\n", b"a" * 1000, b"Cookie: x=y\r\n"):
        with server.connect() as connection:
            sent = 0
            try:
                connection.sendall(b"GET / HTTP/1.1\r\nX: ")
                while sent < 20 << 20:
                    sent += connection.send(endless * 16)
            except OSError:
                pass
            assert sent < 20 << 20, "it was cut"
    assert memory(server.process.pid) < before + (50 << 20) and server.ask()[0] == 200


def together(server: Listening, work: Callable[[int], Awaitable[Any]], n: int) -> list[Any]:
    async def run() -> list[Any]:
        return await asyncio.gather(*(work(i) for i in range(n)), return_exceptions=True)

    return asyncio.run(run())


async def until_cut(server: Listening, first: bytes, drip: bytes, every: float = 0.2, limit: float = 15.0) -> float:
    """Seconds after which a connection that sends a little now and then is closed."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    started = time.monotonic()
    try:
        writer.write(first)
        while time.monotonic() - started < limit:
            writer.write(drip)
            await writer.drain()
            try:
                if not await asyncio.wait_for(reader.read(65536), every):
                    break
            except TimeoutError:
                continue
    except OSError:
        pass
    finally:
        writer.close()
    return time.monotonic() - started


def test_slow_heads_and_bodies_are_cut_off_and_hold_up_nobody(server: Listening) -> None:
    slow_body = server.head("POST", "/v1/events", "Content-Length: 100000")

    async def work(i: int) -> float:
        if i == 0:
            await asyncio.sleep(0.5)  # the slow ones are there
            took = []
            for _ in range(5):
                started = time.monotonic()
                assert (await asyncio.to_thread(server.ask))[0] == 200
                took.append(time.monotonic() - started)
            return max(took)
        if i % 3 == 0:
            return await until_cut(server, slow_body, b" ")
        return await until_cut(server, *((b"GET / HTTP/1.1\r\n", b"X-A: b\r\n") if i % 3 == 1 else (b"", b"G")))

    honest, *slow = together(server, work, 91)
    assert not [error for error in (honest, *slow) if isinstance(error, BaseException)]
    assert max(slow) < 12, "each was cut off"


def test_a_body_that_stops_is_told_so(server: Listening) -> None:
    started = time.monotonic()
    with server.connect() as connection:
        connection.sendall(server.head("POST", "/v1/recommend", "Content-Length: 10") + b"{")
        assert status(connection.recv(65536)) == 408
    assert time.monotonic() - started > BODY * 0.8


def test_an_answer_that_nobody_takes_is_dropped(server: Listening) -> None:
    with server.connect() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        asked = server.head("GET", "/static/feed.js", last=False) * 400
        connection.settimeout(20)
        started = time.monotonic()
        try:
            connection.sendall(asked)
            while time.monotonic() - started < 20:
                connection.sendall(b"\r\n")
                time.sleep(0.2)
        except OSError:
            pass
        assert time.monotonic() - started < 19, "it was cut"
    assert server.ask()[0] == 200


def test_a_thousand_idle_connections_hold_up_nobody(server: Listening) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 8192), hard))
    try:

        async def idle(i: int) -> bool:
            if i == 0:
                await asyncio.sleep(0.3)
                return all([(await asyncio.to_thread(server.ask))[0] == 200 for _ in range(10)])
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            try:
                return await asyncio.wait_for(reader.read(1), 15) == b""
            except ConnectionError:
                return True
            finally:
                writer.close()

        found = together(server, idle, WAITING + 201)
        wrong = [error for error in found if error is not True]
        assert not wrong, (len(wrong), wrong[:3])
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert server.ask()[0] == 200


def test_pipelined_requests_are_each_answered(server: Listening) -> None:
    answer = server.say(server.head("GET", "/health", last=False) * 20 + server.head("GET", "/health"))
    assert answer.count(b"HTTP/1.1 200") == 21


RAW = {
    "nothing": b"\r\n\r\n",
    "noise": bytes(range(256)) * 4,
    "tls": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "http/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "http/9": b"GET / HTTP/9.9\r\n\r\n",
    "no path": b"GET\r\n\r\n",
    "no host": b"GET / HTTP/1.1\r\n\r\n",
    "upward": b"GET /../../etc/passwd HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
    "upward, written": b"GET /static/%2e%2e%2fapp.py HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
    "a proxy's": b"GET http://example.org/ HTTP/1.1\r\nHost: example.org\r\n\r\n",
    "connect": b"CONNECT example.org:443 HTTP/1.1\r\nHost: example.org\r\n\r\n",
    "a star": b"OPTIONS * HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
    "split header": b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX: a\rb\nc\r\n\r\n",
    "websocket": b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
    "not utf-8": b"GET /v1/users/%ff%fe HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
}


@pytest.mark.parametrize("sent", RAW.values(), ids=RAW)
def test_what_is_no_request(server: Listening, sent: bytes) -> None:
    answer = server.say(sent)
    assert b"Traceback" not in answer and b"root:" not in answer and b"def create_app" not in answer
    if answer and b"Upgrade" not in sent:
        assert status(answer) in (200, 400, 401, 404, 405, 411), answer[:200]
    assert server.ask()[0] == 200
