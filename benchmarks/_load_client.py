"""A client that drives a service, in a process of its own; ``benchmarks/load.py`` starts it.

python benchmarks/_load_client.py SPEC.json

The file says ``host, port, key, connections, requests``, and ``rate``. Without a rate the loop is closed: each
connection sends its next request when the last is answered. With one it is open: requests are due at the instants of a
Poisson process of so many a second, and a latency counts from when the request was due, not from when a connection was
free (no coordinated omission). Printed: JSON with the number of answers and of errors, seconds, and latencies in
milliseconds.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections import deque
from pathlib import Path
from typing import Any

import numpy as np


class Connection(asyncio.Protocol):
    """One kept-alive connection with one request under way at most."""

    def __init__(self) -> None:
        self.buffer = b""
        self.answer: asyncio.Future[int] | None = None
        self.transport: Any = None

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        head, mark, body = self.buffer.partition(b"\r\n\r\n")
        if not mark:
            return
        lower = head.lower()
        at = lower.find(b"content-length:")
        length = int(lower[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
        if len(body) >= length and self.answer is not None:
            self.buffer, waiting = b"", self.answer
            self.answer = None
            if not waiting.done():
                waiting.set_result(int(head[9:12]))

    def connection_lost(self, error: Exception | None) -> None:
        if self.answer is not None and not self.answer.done():
            self.answer.set_result(0)

    async def ask(self, request: bytes) -> int:
        """The status of the answer; 0 where the connection was closed."""
        self.answer = asyncio.get_running_loop().create_future()
        self.transport.write(request)
        return await self.answer


def render(method: str, path: str, body: str | None, spec: dict[str, Any]) -> bytes:
    """A request as it goes over the wire."""
    content = (body or "").encode()
    lines = [f"{method} {path} HTTP/1.1", f"Host: {spec['host']}:{spec['port']}"]
    if spec.get("key"):
        lines.append(f"Authorization: Bearer {spec['key']}")
    if body is not None:
        lines += ["Content-Type: application/json", f"Content-Length: {len(content)}"]
    return "\r\n".join([*lines, "", ""]).encode() + content


async def closed(connections: list[Connection], requests: list[bytes]) -> list[tuple[float, int]]:
    """Each connection asks for the next as soon as it has an answer."""
    waiting, done = deque(requests), []

    async def work(connection: Connection) -> None:
        while waiting:
            started = time.perf_counter()
            status = await connection.ask(waiting.popleft())
            done.append((time.perf_counter() - started, status))

    await asyncio.gather(*map(work, connections))
    return done


async def opened(connections: list[Connection], requests: list[bytes], rate: float) -> list[tuple[float, int]]:
    """Requests are due at the instants of a Poisson process."""
    due = np.cumsum(np.random.default_rng(0).exponential(1 / rate, len(requests)))
    begin, done = time.perf_counter(), []
    free: asyncio.Queue[Connection] = asyncio.Queue()
    for connection in connections:
        free.put_nowait(connection)

    async def send(connection: Connection, request: bytes, instant: float) -> None:
        status = await connection.ask(request)
        done.append((time.perf_counter() - begin - instant, status))
        free.put_nowait(connection)

    tasks = set()
    for request, instant in zip(requests, due.tolist(), strict=True):
        ahead = instant - (time.perf_counter() - begin)
        if ahead > 0:
            await asyncio.sleep(ahead)
        tasks.add(asyncio.create_task(send(await free.get(), request, instant)))
    await asyncio.gather(*tasks)
    return done


async def drive(spec: dict[str, Any]) -> dict[str, Any]:
    """Send the requests of a specification."""
    loop = asyncio.get_running_loop()
    made = [loop.create_connection(Connection, spec["host"], spec["port"]) for _ in range(spec["connections"])]
    connections = [protocol for _, protocol in await asyncio.gather(*made)]
    requests = [render(*request, spec) for request in spec["requests"]]
    started = time.perf_counter()
    rate = spec.get("rate")
    done = await (opened(connections, requests, rate) if rate else closed(connections, requests))
    seconds = time.perf_counter() - started
    for connection in connections:
        connection.transport.close()
    took = np.array([latency for latency, _ in done]) * 1000
    return {
        "answers": len(done),
        "errors": sum(status != 200 for _, status in done),
        "seconds": round(seconds, 3),
        **{f"p{q}_ms": round(float(np.percentile(took, q)), 3) for q in (50, 95, 99)},
        "max_ms": round(float(took.max()), 3),
    }


if __name__ == "__main__":
    print(json.dumps(asyncio.run(drive(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))))))
