"""What stands before every route: bounded bodies, none from strangers, headers that keep browsers out, no stack traces.

A body is read here as a whole, within a time, before anything looks at it. So a route is never held by a client that
sends one byte a second, and a body that is too large, packed or of unknown length is not read at all.
"""

from __future__ import annotations

import asyncio
import logging
import time

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from honeyguide.core.errors import StorageError
from honeyguide.serve.auth import secret_of
from honeyguide.serve.service import HTTPProblem, Service, to_json

_LOG = logging.getLogger("honeyguide.serve")
_HERE = ("localhost", "127.0.0.1", "[::1]")
_HEADERS = {  # of every answer that does not say otherwise
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


class Guard:
    """An ASGI application around another.

    Parameters
    ----------
    app
        What answers.
    service
        Keys, limits and meters.
    """

    def __init__(self, app: ASGIApp, service: Service) -> None:
        self._app, self._service = app, service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or refuse it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, status = time.perf_counter(), 0

        async def guarded(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        try:
            await self._answer(scope, receive, guarded)
        except Exception:
            _LOG.exception("an answer failed")
            if status:
                raise
            await to_json({"error": "this went wrong here.", "remedy": "Tell the operator."}, 500)(
                scope, receive, guarded
            )
        finally:
            route = getattr(scope.get("route"), "path", "unknown")
            self._service.meters.saw(route, status or 500, time.perf_counter() - started)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope)
        try:
            length = self._length(scope["method"], headers)
            await self._known(headers, length)
            body = await self._body(receive, length) if length else None
        except HTTPProblem as problem:
            await problem.answer()(scope, receive, send)
            return
        await self._app(scope, receive if body is None else _replayed(body, receive), send)

    def _length(self, method: str, headers: Headers) -> int:
        """Bytes of the body, as the client says.

        Raises
        ------
        HTTPProblem
            If a body of that kind or size is not read.
        """
        if headers.get("content-encoding", "identity").strip().lower() != "identity":
            raise HTTPProblem(415, "bodies are read as they are.", "Send no Content-Encoding.")
        said = headers.getlist("content-length")
        plain = len(said) == 1 and said[0].isascii() and said[0].isdigit() and len(said[0]) < 16
        if "transfer-encoding" in headers or (said and not plain) or (not said and method in ("POST", "PUT", "PATCH")):
            raise HTTPProblem(411, "the length of the body is needed.", "Send Content-Length, and no chunks.")
        length, most = int(said[0]) if said else 0, self._service.settings.largest_body
        if length > most:
            raise HTTPProblem(413, "the body is too large.", f"Send at most {most:,} bytes.")
        kind = headers.get("content-type", "").partition(";")[0].strip().lower()
        if length and kind != "application/json":  # a form of another site's page cannot say so
            raise HTTPProblem(415, "bodies are JSON.", "Send Content-Type: application/json.")
        return length

    async def _known(self, headers: Headers, length: int) -> None:
        """Whose body it is, before it is read; and that no other site's name leads to a service without keys.

        Raises
        ------
        HTTPProblem
            If it is nobody's.
        """
        authority, secret = self._service.authority, secret_of(headers.get("authorization"))
        try:
            if authority.due:
                await asyncio.to_thread(authority.look)
            who = authority.identify(secret)
        except StorageError:
            raise HTTPProblem(503, "the database did not answer.", "Send it again.") from None
        if length and who is None:
            raise HTTPProblem(
                401, "a key is needed.", "Send 'Authorization: Bearer KEY'.", **{"WWW-Authenticate": "Bearer"}
            )
        host = headers.get("host", "")
        name = host if host.endswith("]") else host.rpartition(":")[0] or host
        if authority.open and name.lower() not in _HERE:
            raise HTTPProblem(421, f"a service without keys is asked for as {_HERE[0]}.", "Make a key.")

    async def _body(self, receive: Receive, length: int) -> bytes:
        """The whole body.

        Raises
        ------
        HTTPProblem
            If it does not come in time.
        """
        parts, got, more = [], 0, True
        try:
            async with asyncio.timeout(self._service.settings.body_seconds):
                while more:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise HTTPProblem(400, "the body ended early.", "Send it again.")
                    parts.append(message.get("body", b""))
                    got, more = got + len(parts[-1]), message.get("more_body", False)
                    if got > length:
                        raise HTTPProblem(400, "the body is longer than Content-Length.", "Correct it.")
        except TimeoutError:
            raise HTTPProblem(408, "the body did not come in time.", "Send it again.", Connection="close") from None
        return b"".join(parts)


def _replayed(body: bytes, receive: Receive) -> Receive:
    """What gives a body that was read already, and then what else comes."""
    given = False

    async def replay() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replay
