"""The short way from a request to a route: what FastAPI works out at every request is worked out once."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, get_type_hints

from fastapi import APIRouter, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import BaseModel, ValidationError
from starlette.types import Receive, Scope, Send

Handler = Callable[[Request], Coroutine[Any, Any, Response]]


class DirectRoute(APIRoute):
    """A route whose function takes a ``body`` and ``who``: the body is read by its model, in one pass over the bytes.

    Routes of any other shape are FastAPI's own. What is documented, accepted and refused is the same: a body that is
    not said to be JSON is not read.
    """

    direct: Handler | None = None

    def get_route_handler(self) -> Handler:
        """See FastAPI."""
        if list(inspect.signature(self.endpoint).parameters) != ["body", "who"]:
            return super().get_route_handler()
        model: type[BaseModel] = get_type_hints(self.endpoint)["body"]
        identify: Callable[..., Awaitable[Any]] | None = self.dependant.dependencies[0].call
        endpoint = self.endpoint
        assert identify is not None

        async def handle(request: Request) -> Response:
            headers = request.headers
            content = await request.body()
            who = await identify(request, headers.get("authorization"))
            answer: Response = await endpoint(body=read(model, headers.get("content-type"), content), who=who)
            return answer

        self.direct = handle
        return handle


class DirectRouter(APIRouter):
    """A router that finds a :class:`DirectRoute` by its path; the others it tries one after the other, as ever."""

    def __init__(self, **options: Any) -> None:
        super().__init__(route_class=DirectRoute, **options)
        self._direct: dict[tuple[str, str], tuple[DirectRoute, Handler]] = {}

    def add_api_route(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        """See FastAPI."""
        super().add_api_route(path, endpoint, **options)
        added = self.routes[-1]
        if isinstance(added, DirectRoute) and added.direct is not None:
            self._direct |= {(method, path): (added, added.direct) for method in added.methods or ()}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        found = self._direct.get((scope["method"], scope["path"])) if scope["type"] == "http" else None
        if found is None:
            await super().__call__(scope, receive, send)
            return
        scope["route"], handle = found
        answer = await handle(Request(scope, receive, send))
        await answer(scope, receive, send)


def read(model: type[BaseModel], content_type: str | None, content: bytes) -> BaseModel:
    """A body by its model.

    Raises
    ------
    RequestValidationError
        If it is not said to be JSON, is none, or does not fit.
    """
    kind = (content_type or "").partition(";")[0].strip().lower()
    if kind != "application/json" and not (kind.startswith("application/") and kind.endswith("+json")):
        wrong = {"type": "content_type", "loc": ("body",), "msg": "Send Content-Type: application/json", "input": None}
        raise RequestValidationError([wrong])
    try:
        return model.model_validate_json(content)
    except ValidationError as error:
        found = error.errors(include_url=False, include_context=False, include_input=False)
        raise RequestValidationError([{**e, "loc": ("body", *e["loc"])} for e in found]) from error
