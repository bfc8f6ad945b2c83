"""How long a connection may wait, and how many may: what uvicorn leaves open.

uvicorn bounds the time between two requests of a connection, but neither that of a head that comes a byte at a time
nor that of an answer that nobody takes. Here a connection has ``head`` seconds for the head of a request and
``request`` seconds for all of it; of more than ``waiting`` connections on which nothing is asked, the one that has
waited longest is cut, so that idle ones crowd out each other and not those who ask.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from uvicorn.protocols.http.h11_impl import H11Protocol as _Protocol
else:
    _Protocol = object  # h11's or httptools', whichever is installed


@dataclass(frozen=True)
class Patience:
    """With connections.

    Parameters
    ----------
    head
        Seconds for the head of a request, from the opening or the last answer.
    request
        Seconds from then to the end of its answer.
    waiting
        Connections on which nothing is asked.
    largest_head
        Bytes.
    """

    head: float = 10.0
    request: float = 120.0
    waiting: int = 1000
    largest_head: int = 65_536


def affordable() -> Patience:
    """As many connections as this process may have files open; of those, as many as it can ask for and needs."""
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return Patience()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 4 * Patience.waiting
    if soft != resource.RLIM_INFINITY and soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return Patience(waiting=Patience.waiting if soft == resource.RLIM_INFINITY else min(Patience.waiting, soft // 2))


def bounded(patience: Patience) -> type[asyncio.Protocol]:
    """Uvicorn's protocol of HTTP/1.1, bounded: the argument ``http`` of its configuration."""
    from uvicorn.protocols.http.auto import AutoHTTPProtocol

    own = {"_patience": patience, "_all_waiting": OrderedDict()}
    return type("BoundedProtocol", (_Bounded, AutoHTTPProtocol), own)


class _Bounded(_Protocol):
    _patience: Patience
    _all_waiting: OrderedDict[Any, None]  # those on which nothing is asked, longest first

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._deadline: asyncio.TimerHandle | None = None
        self._works = False
        self._head: int | None = None  # bytes of the head that is being read by httptools; h11 counts itself

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        self._all_waiting.pop(self, None)
        if self._deadline is not None:
            self._deadline.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._head is not None:
            self._head += len(data)
            if self._head > self._patience.largest_head:
                self.transport.abort()
        self._look()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._works = False
        self._look()
        if not self._works:
            self._wait()

    def on_message_begin(self) -> None:
        self._head = 0
        super().on_message_begin()  # type: ignore[misc]

    def on_headers_complete(self) -> None:
        self._head = None
        super().on_headers_complete()  # type: ignore[misc]

    def _look(self) -> None:
        """Whether a request has begun."""
        if not self._works and self.cycle is not None and not self.cycle.response_complete:
            self._works = True
            self._all_waiting.pop(self, None)
            self._cut_in(self._patience.request)

    def _wait(self) -> None:
        self._all_waiting[self] = None
        self._all_waiting.move_to_end(self)
        self._cut_in(self._patience.head)
        if len(self._all_waiting) > self._patience.waiting:
            longest, _ = self._all_waiting.popitem(last=False)
            longest.transport.abort()

    def _cut_in(self, seconds: float) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        self._deadline = self.loop.call_later(seconds, self.transport.abort)
