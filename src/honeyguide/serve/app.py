"""The HTTP application: routes, errors, limits."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException as StarletteHTTPException

from honeyguide.core.errors import HoneyguideError, StorageError
from honeyguide.serve import pages, routes
from honeyguide.serve.engine import Engine
from honeyguide.serve.guard import Guard
from honeyguide.serve.mcp_mount import McpMount
from honeyguide.serve.service import HTTPProblem, Service, Settings, shared, to_json
from honeyguide.serve.store import Store

_LOG = logging.getLogger("honeyguide.serve")


def create_app(store: Store, engines: dict[str, Engine], settings: Settings | None = None) -> FastAPI:
    """The application.

    Parameters
    ----------
    store
        Where events, items and keys are.
    engines
        By tenant.
    settings
        How it runs.
    """
    settings = settings or Settings()
    service = shared(store, engines, settings)
    mcp = McpMount(service)

    @asynccontextmanager
    async def running(app: FastAPI) -> AsyncIterator[None]:
        watch = asyncio.create_task(_watch(service))
        async with mcp.running():
            yield
        watch.cancel()

    app = FastAPI(
        title="honeyguide",
        description="Recommendations, with reasons, from what people did.",
        lifespan=running,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
    )
    app.state.service = service
    app.mount("/mcp", mcp)
    _errors(app)
    app.add_middleware(Guard, service=service)
    pages.add_pages(app)
    for register in (routes.operations, routes.events, routes.lists, routes.items, routes.users):
        register(app, service)
    return app


async def _watch(service: Service) -> None:
    """Take up new versions of the models."""
    while True:
        await asyncio.sleep(service.settings.refresh_seconds)
        for tenant, engine in service.engines.items():
            try:
                if await asyncio.to_thread(engine.refresh):
                    _LOG.info("tenant %s: model version %s", tenant, engine.live.version)
            except HoneyguideError as error:
                _LOG.warning("tenant %s: the new model is not taken up: %s", tenant, error)


def _errors(app: FastAPI) -> None:
    async def problem(request: Request, error: HTTPProblem) -> Response:
        return error.answer()

    async def wrong(request: Request, error: RequestValidationError) -> Response:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        return to_json({"error": f"{place}: {first['msg']}", "remedy": "See /openapi.json."}, 422)

    async def ours(request: Request, error: HoneyguideError) -> Response:
        if isinstance(error, StorageError):
            _LOG.error("%s", error.message)  # it names hosts and files, so it is not sent
            said = "the disk of the database is full." if error.full else "the database did not answer."
            return to_json({"error": said, "remedy": error.remedy}, 507 if error.full else 503)
        return to_json({"error": error.message, "remedy": error.remedy}, 400)

    async def unknown(request: Request, error: StarletteHTTPException) -> Response:
        return to_json({"error": str(error.detail).lower() + ".", "remedy": "See /openapi.json."}, error.status_code)

    app.add_exception_handler(StarletteHTTPException, unknown)  # type: ignore[arg-type]
    app.add_exception_handler(HTTPProblem, problem)  # type: ignore[arg-type]
    app.add_exception_handler(RequestValidationError, wrong)  # type: ignore[arg-type]
    app.add_exception_handler(HoneyguideError, ours)  # type: ignore[arg-type]
