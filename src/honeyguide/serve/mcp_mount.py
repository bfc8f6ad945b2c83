"""The MCP server under ``/mcp``, made when somebody first asks for it.

Its libraries take as long to load as all others of the service together; those who only serve lists do not wait
for them at the start.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.types import ASGIApp, Receive, Scope, Send

from honeyguide.serve.service import Service


class McpMount:
    """An ASGI application that becomes the MCP server with the first request.

    Parameters
    ----------
    service
        Over whose engines, keys and store it is made.
    """

    def __init__(self, service: Service) -> None:
        self._service = service
        self._made: asyncio.Future[ASGIApp] | None = None
        self._task: asyncio.Task[None] | None = None
        self._ended = asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request; the first one waits until the server is there."""
        if self._made is None:
            self._made = asyncio.get_running_loop().create_future()
            self._task = asyncio.create_task(self._serve(self._made))
        app = await asyncio.shield(self._made)
        await app(scope, receive, send)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Sessions live as long as this context."""
        try:
            yield
        finally:
            self._ended.set()
            if self._task is not None:
                await self._task

    async def _serve(self, made: asyncio.Future[ASGIApp]) -> None:
        """One task enters and leaves the context of the sessions, as their task group asks."""
        try:
            await asyncio.to_thread(_load)
            from honeyguide.serve.mcp import create_mcp, mounted

            server = create_mcp(self._service)
            app = mounted(server, self._service)
            async with server.session_manager.run():
                made.set_result(app)
                await self._ended.wait()
        except Exception as error:
            if made.done():
                raise
            made.set_exception(error)


def _load() -> None:
    import honeyguide.serve.mcp  # noqa: F401
