"""The HTTP application: routes, errors, limits."""

from __future__ import annotations

import asyncio
import errno
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException as StarletteHTTPException

from honeyguide.core.errors import ArtifactError, HoneyguideError, StorageError
from honeyguide.serve import pages, routes
from honeyguide.serve.direct import DirectRouter
from honeyguide.serve.engine import Engine
from honeyguide.serve.guard import Guard
from honeyguide.serve.mcp_mount import McpMount
from honeyguide.serve.operator import operator
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
        await asyncio.to_thread(service.exposures.close)

    app = FastAPI(
        title="honeyguide",
        description="Recommendations, with reasons, from what people did.",
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        telemetry={"tracing": False, "metrics": False, "logs": False},  # /metrics says what there is to say
    )
    app.router = DirectRouter(lifespan=running)
    app.state.service = service
    app.mount("/mcp", mcp)
    _errors(app)
    app.add_middleware(Guard, service=service)
    pages.add_pages(app)
    for register in (routes.operations, operator, routes.events, routes.lists, routes.items, routes.users):
        register(app, service)
    return app


async def _watch(service: Service) -> None:
    """Take up new versions of the models, and changed experiments."""
    while True:
        await asyncio.sleep(service.settings.refresh_seconds)
        try:
            await asyncio.to_thread(service.experiments.refresh)
        except Exception:  # as below
            _LOG.exception("the experiments are not taken up")
        for tenant, engine in service.engines.items():
            try:
                if await asyncio.to_thread(engine.refresh):
                    _LOG.info("tenant %s: model version %s", tenant, engine.live.version)
            except HoneyguideError as error:
                _LOG.warning("tenant %s: the new model is not taken up: %s", tenant, error)
            except Exception:  # a fault of ours with one version must not end the looks for the next
                _LOG.exception("tenant %s: the new model is not taken up", tenant)


def _status(error: HoneyguideError) -> int:
    """507 where the disk is full, 503 where it, or what is on it, is broken; else the request was wrong."""
    full = isinstance(error.__cause__, OSError) and error.__cause__.errno in (errno.ENOSPC, errno.EDQUOT)
    if full or (isinstance(error, StorageError) and error.full):
        return 507
    return 503 if isinstance(error, StorageError | ArtifactError) else 400


def _errors(app: FastAPI) -> None:
    async def problem(request: Request, error: HTTPProblem) -> Response:
        return error.answer()

    async def wrong(request: Request, error: RequestValidationError) -> Response:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        return to_json({"error": f"{place}: {first['msg']}", "remedy": "See /openapi.json."}, 422)

    async def ours(request: Request, error: HoneyguideError) -> Response:
        status, said = _status(error), error.message
        if status >= 500:
            _LOG.error("%s", said)  # it names hosts and files, so it is not sent
            said = "the disk is full." if status == 507 else "what the service keeps cannot be read or written."
        return to_json({"error": said, "remedy": error.remedy}, status)

    async def unknown(request: Request, error: StarletteHTTPException) -> Response:
        return to_json({"error": str(error.detail).lower() + ".", "remedy": "See /openapi.json."}, error.status_code)

    app.add_exception_handler(StarletteHTTPException, unknown)  # type: ignore[arg-type]
    app.add_exception_handler(HTTPProblem, problem)  # type: ignore[arg-type]
    app.add_exception_handler(RequestValidationError, wrong)  # type: ignore[arg-type]
    app.add_exception_handler(HoneyguideError, ours)  # type: ignore[arg-type]
