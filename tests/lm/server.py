"""A server that speaks the protocol of OpenAI, for tests: it answers by rule, and fails when told to."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Answers:
    """What the server does, in order: ``faults`` first, then answers."""

    def __init__(self) -> None:
        self.faults: list[tuple[int, dict[str, str], str]] = []
        self.asked: list[dict[str, Any]] = []
        self.keys: list[str | None] = []
        self.running, self.most_at_once = 0, 0
        self.slow = 0.0
        self.letters: dict[str, float] = {"A": -0.2, "B": -2.0, "x": -4.0}
        self.lock = threading.Lock()


@contextmanager
def serving() -> Iterator[tuple[str, Answers]]:
    """The address of a running server, and what it does."""
    answers = Answers()

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            with answers.lock:
                answers.asked.append(body)
                answers.keys.append(self.headers.get("Authorization"))
                answers.running += 1
                answers.most_at_once = max(answers.most_at_once, answers.running)
                fault = answers.faults.pop(0) if answers.faults else None
            time.sleep(answers.slow)
            status, headers, text = fault or (200, {}, json.dumps(self.answer(body)))
            with answers.lock:
                answers.running -= 1
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(text.encode())))
            self.end_headers()
            self.wfile.write(text.encode())

        def answer(self, body: dict[str, Any]) -> dict[str, Any]:
            if self.path.endswith("/embeddings"):
                rows = [{"index": i, "embedding": [float(len(t)), 1.0]} for i, t in enumerate(body["input"])]
                return {"data": rows[::-1]}
            said = body["messages"][-1]["content"]
            text = '{"echo": 1}' if "response_format" in body else f"echo: {said}"
            choice: dict[str, Any] = {"message": {"content": text}, "finish_reason": "stop"}
            if body.get("logprobs"):
                top = [{"token": t, "logprob": p} for t, p in answers.letters.items()]
                choice["logprobs"] = {"content": [{"top_logprobs": top}]}
            return {"choices": [choice], "usage": {"prompt_tokens": 10, "completion_tokens": 5}}

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1", answers
    finally:
        server.shutdown()
        server.server_close()
