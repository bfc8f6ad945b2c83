"""The pages for people: static files of the package, which hold no data and ask the API for it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

from fastapi import FastAPI, Response

_FOLDER = Path(__file__).parent / "static"
_KINDS = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' https:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}


def add_pages(app: FastAPI) -> None:
    """The feed at ``/``, the operator's page at ``/operator``, and what they are made of."""
    files = {f"/static/{path.name}": path for path in sorted(_FOLDER.iterdir()) if path.suffix in _KINDS}
    files |= {"/": _FOLDER / "feed.html", "/operator": _FOLDER / "operator.html"}
    for route, path in files.items():
        app.add_api_route(route, _sender(path), methods=["GET"], include_in_schema=False, name=path.name)


def _sender(path: Path) -> Callable[[], Awaitable[Response]]:
    content = path.read_bytes()

    async def send() -> Response:
        return Response(content, media_type=_KINDS[path.suffix], headers=_HEADERS)

    return send
