"""What an operator sees: ``GET /v1/operator``, all of it of one tenant but the traffic, which is of the process."""

from __future__ import annotations

import asyncio
import math
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
import polars as pl
from fastapi import FastAPI, Response
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import func, select

from honeyguide.serve.auth import Identity
from honeyguide.serve.database import reading
from honeyguide.serve.engine import Engine
from honeyguide.serve.observe import Meters
from honeyguide.serve.schema import EVENTS, ITEMS
from honeyguide.serve.service import PROBLEMS, Service, needs, to_json
from honeyguide.serve.store import Store, now

_TOP, _EXAMPLES, _TRIALS = 10, 5, 20
_HOUR = 3_600_000_000  # microseconds
_STARTED = time.time()


class _Shown(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Traffic(_Shown):
    """One route since the start; times by interpolation within the buckets of the histogram."""

    route: str
    requests: int
    errors: int = Field(description="Answers from 500 on.")
    refused: int = Field(description="Answers from 400 to 499.")
    mean_ms: float
    p50_ms: float
    p95_ms: float
    p99_ms: float
    limit_ms: float = Field(description="The highest bound of the histogram: a longer time is told as it.")


class Ingest(_Shown):
    """Events in the store, of this tenant."""

    stored: int
    since_start: int = Field(description="New ones since the start, of all tenants.")
    latest: datetime | None
    hours: list[int] = Field(description="New events of each of the last 24 hours, the present one last.")


class FieldCoverage(_Shown):
    """A column of the item table and the share of items that have a value there."""

    name: str
    type: str
    coverage: float


class Counted(_Shown):
    """An item and its events."""

    item_id: str
    title: str
    events: int


class CatalogueState(_Shown):
    """Items that can be recommended, and those that cannot."""

    items: int
    fields: list[FieldCoverage]
    unseen: int = Field(description="Items without an event: models without texts put them last.")
    stored: int = Field(description="Items that were posted to this service.")
    waiting: int = Field(description="Posted items that the model does not know: they wait for the next fit.")
    waiting_examples: list[str]
    popular: list[Counted]


class ModelCard(_Shown):
    """The model in service, and what its artifact keeps of its fit."""

    name: str
    version: str
    fitted: datetime
    users: int
    items: int
    events: int
    capabilities: list[str]
    scale: str
    config: dict[str, Any]
    report: dict[str, Any] = Field(description="Cost, search with its values on valid, learning curve, updates.")


class PipelineState(_Shown):
    """The pipeline file; with a fault the last good one is in use."""

    file: str | None
    fault: str | None
    config: dict[str, Any]


class KeyShown(_Shown):
    """A key of this tenant; never its secret."""

    id: str
    name: str
    scopes: list[str]
    created: datetime


class Operator(_Shown):
    """Everything at a glance."""

    tenant: str
    version: str
    uptime_seconds: float
    status: str
    traffic: list[Traffic]
    lists: dict[str, int]
    ingest: Ingest
    catalogue: CatalogueState
    model: ModelCard
    pipeline: PipelineState
    keys: list[KeyShown]


def operator(app: FastAPI, service: Service) -> None:
    """The route of the operator's page."""
    counted = Kept()

    async def glance(who: Identity = needs(service, "admin")) -> Response:
        """Traffic, ingest, catalogue, model, pipeline and keys at a glance."""
        return to_json(await asyncio.to_thread(state_of, service, who.tenant, service.engine(who), counted))

    app.add_api_route(
        "/v1/operator", glance, methods=["GET"], response_model=Operator, responses=PROBLEMS, tags=["operation"]
    )


class Kept:
    """What was counted, kept twenty times as long as it took: a page that looks often costs a twentieth of the time."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._found: dict[tuple[str, str], tuple[float, dict[str, Any]]] = {}  # until when, and what
        self._lock = threading.Lock()

    def of(self, tenant: str, what: str, count: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """What ``count`` finds, or found not long ago; one thread counts, others wait for it."""
        with self._lock:
            until, found = self._found.get((tenant, what), (0.0, {}))
            started = self._clock()
            if started >= until:
                found = count()
                took = self._clock() - started
                self._found[tenant, what] = started + 20 * took, found
            return found


def state_of(service: Service, tenant: str, engine: Engine, counted: Kept) -> dict[str, Any]:
    """What :class:`Operator` holds, as it is now."""
    from honeyguide import __version__

    fault = engine.live.stages.fault
    return {
        "tenant": tenant,
        "version": __version__,
        "uptime_seconds": round(time.time() - _STARTED, 1),
        "status": "ok" if fault is None else "degraded",
        "traffic": traffic(service.meters),
        "lists": _totals(service.meters, "honeyguide_lists", "source"),
        "ingest": counted.of(tenant, "ingest", lambda: _ingest(service, tenant)),
        "catalogue": counted.of(tenant, "catalogue", lambda: _catalogue(service.store, tenant, engine)),
        "model": _card(engine),
        "pipeline": _pipeline(engine),
        "keys": [
            {"id": k.digest[:12], "name": k.name, "scopes": k.scopes.split(), "created": _time(k.created)}
            for k in service.store.api_keys()
            if k.tenant == tenant
        ],
    }


def traffic(meters: Meters) -> list[dict[str, Any]]:
    """Requests, errors and times of every route, the most asked first."""
    buckets: dict[str, dict[float, float]] = defaultdict(dict)
    sums: dict[str, float] = {}
    statuses: dict[str, dict[str, int]] = defaultdict(dict)
    for family in meters.registry.collect():
        for sample in family.samples:
            route = sample.labels.get("route", "")
            if sample.name == "honeyguide_request_seconds_bucket":
                buckets[route][float(sample.labels["le"])] = sample.value
            elif sample.name == "honeyguide_request_seconds_sum":
                sums[route] = sample.value
            elif sample.name == "honeyguide_requests_total":
                statuses[route][sample.labels["status"]] = int(sample.value)
    rows = []
    for route, counted in buckets.items():
        n = int(max(counted.values(), default=0))
        if not n:
            continue
        times = {f"p{q}_ms": round(1000 * quantile(counted, q / 100), 3) for q in (50, 95, 99)}
        errors = sum(k for status, k in statuses[route].items() if status >= "500")
        refused = sum(k for status, k in statuses[route].items() if "400" <= status < "500")
        mean = round(1000 * sums.get(route, 0.0) / n, 3)
        limit = 1000 * max(bound for bound in counted if math.isfinite(bound))
        kinds = {"requests": n, "errors": errors, "refused": refused}
        rows.append({"route": route, **kinds, "mean_ms": mean, **times, "limit_ms": limit})
    return sorted(rows, key=lambda row: -row["requests"])


def quantile(cumulative: Mapping[float, float], q: float) -> float:
    """The q-quantile of a histogram with cumulative counts by upper bound: linear within a bucket, as Prometheus.

    What lies above the last finite bound is told as that bound.
    """
    bounds = sorted(cumulative)
    total = cumulative[bounds[-1]] if bounds else 0.0
    below, before = 0.0, 0.0
    for bound in bounds:
        here = cumulative[bound]
        if here >= q * total and here > before:
            if math.isinf(bound):
                return below
            return below + (bound - below) * (q * total - before) / (here - before)
        below, before = (bound, here) if math.isfinite(bound) else (below, here)
    return below


def _totals(meters: Meters, name: str, label: str) -> dict[str, int]:
    samples = [s for family in meters.registry.collect() for s in family.samples if s.name == f"{name}_total"]
    return {sample.labels[label]: int(sample.value) for sample in samples}


def _ingest(service: Service, tenant: str) -> dict[str, Any]:
    e, instant = EVENTS.c, now()
    first = (instant // _HOUR - 23) * _HOUR
    hour = (e.received - e.received % _HOUR) / _HOUR
    with reading(service.store.engine) as connection:
        stored, latest = connection.execute(select(func.count(), func.max(e.received)).where(e.tenant == tenant)).one()
        recent = connection.execute(
            select(hour.label("hour"), func.count()).where(e.tenant == tenant, e.received >= first).group_by("hour")
        ).all()
    counts = {int(place) - first // _HOUR: int(n) for place, n in recent}
    new = [s.value for f in service.meters.registry.collect() for s in f.samples if s.name == "honeyguide_events_total"]
    return {
        "stored": int(stored),
        "since_start": int(sum(new)),
        "latest": _time(latest) if latest is not None else None,
        "hours": [counts.get(place, 0) for place in range(24)],
    }


def _catalogue(store: Store, tenant: str, engine: Engine) -> dict[str, Any]:
    stock = engine.live.stock
    best = np.argsort(-stock.popularity, kind="stable")[:_TOP].astype(np.int32)
    with reading(store.engine) as connection:
        posted = [str(i) for i in connection.execute(select(ITEMS.c.item_id).where(ITEMS.c.tenant == tenant)).scalars()]
    waiting = [name for name, code in zip(posted, engine.codes(posted), strict=True) if code < 0]
    return {
        "items": len(stock),
        "fields": [
            {"name": name, "type": str(dtype), "coverage": round(_coverage(stock.items[name]), 4)}
            for name, dtype in stock.items.schema.items()
        ],
        "unseen": int((stock.popularity <= 0).sum()),
        "stored": len(posted),
        "waiting": len(waiting),
        "waiting_examples": waiting[:_EXAMPLES],
        "popular": [
            {"item_id": name, "title": stock.titles[code], "events": int(stock.popularity[code])}
            for name, code in zip(engine.ids(engine.live, best), best, strict=True)
            if stock.popularity[code] > 0
        ],
    }


def _coverage(values: pl.Series) -> float:
    """The share of rows with a value; an empty list or text is none."""
    if not len(values):
        return 0.0
    if isinstance(values.dtype, pl.List):
        return float((values.list.len() > 0).fill_null(False).mean() or 0.0)  # type: ignore[arg-type]
    if values.dtype == pl.String:
        return float((values.str.len_chars() > 0).fill_null(False).mean() or 0.0)  # type: ignore[arg-type]
    return float(values.is_not_null().mean() or 0.0)  # type: ignore[arg-type]


def _card(engine: Engine) -> dict[str, Any]:
    live = engine.live
    model, store = live.bundle.model, live.bundle.store
    folder = engine.directory / live.version
    stamp = folder if folder.is_dir() else engine.directory
    report = model.report
    return {
        "name": model.name,
        "version": live.version,
        "fitted": datetime.fromtimestamp(stamp.stat().st_mtime, UTC),
        "users": len(store),
        "items": len(live.stock),
        "events": int(store.popularity().sum()),
        "capabilities": sorted(model.capabilities),
        "scale": model.scale,
        "config": model.config.model_dump(mode="json"),
        "report": {
            "cpu_seconds": report.cpu_seconds,
            "peak_rss_mb": report.peak_rss_mb,
            "n_parameters": report.n_parameters,
            "finished": report.finished,
            "trials": len(report.search),
            "search": _plain(report.search[-_TRIALS:]),
            "curve": _plain(report.curve),
            "updates": _plain(report.updates[-_TRIALS:]),
        },
    }


def _plain(entries: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Entries without what JSON cannot hold: numbers that are none."""
    return [
        {str(k): None if isinstance(v, float) and not math.isfinite(v) else v for k, v in entry.items()}
        for entry in entries
    ]


def _pipeline(engine: Engine) -> dict[str, Any]:
    stages = engine.live.stages
    config = stages.current.config.model_dump(mode="json")
    return {
        "file": stages.path.name if stages.path is not None else None,
        "fault": str(stages.fault) if stages.fault is not None else None,
        "config": config,
    }


def _time(microseconds: int) -> datetime:
    return datetime.fromtimestamp(microseconds / 1e6, UTC)
