"""The routes of the API; every one but health asks for a key with a scope."""

from __future__ import annotations

import asyncio
import secrets
from concurrent.futures import Future
from dataclasses import asdict
from datetime import UTC, datetime
from functools import partial
from typing import Annotated, Any, TypeVar

import numpy as np
from fastapi import FastAPI, Query, Request, Response

from honeyguide.agent.examples import examples
from honeyguide.agent.preferences import Delta, Preferences
from honeyguide.core.errors import DataError
from honeyguide.explain.because import because, verb_for
from honeyguide.pipeline.pipeline import request_rules
from honeyguide.serve import wire
from honeyguide.serve.alike import alike
from honeyguide.serve.answer import Answer, Trial
from honeyguide.serve.auth import Identity, secret_of
from honeyguide.serve.reasons import echo, explained, marks, took_back
from honeyguide.serve.service import PROBLEMS, HTTPProblem, Service, needs, only_own, to_json
from honeyguide.serve.store import Event, now
from honeyguide.serve.tokens import new_token

T = TypeVar("T")
_METRICS = {"description": "The text format of Prometheus.", "content": {"text/plain": {"schema": {"type": "string"}}}}


def operations(app: FastAPI, service: Service) -> None:
    """Routes of operations."""

    @app.get("/health", response_model=wire.Health, tags=["operation"])
    async def health(request: Request) -> Response:
        """Whether the service answers; no key is needed. Who has one is told the model of the own tenant."""
        who = service.authority.identify(secret_of(request.headers.get("authorization")))
        told = service.engines if service.authority.open else {} if who is None else {who.tenant}
        tenants = {
            name: {
                "model": engine.live.bundle.model.name,
                "version": engine.live.version,
                "items": len(engine.live.stock),
                "fallback": engine.live.fallback,
            }
            for name, engine in service.engines.items()
            if name in told
        }
        warming = any(engine.warming for engine in service.engines.values())
        broken = service.experiments.fault is not None or any(e.live.degraded for e in service.engines.values())
        status = "degraded" if broken or not service.engines else "ok"
        return to_json({"status": status, "warming": warming, "tenants": tenants})

    @app.get("/metrics", response_class=Response, tags=["operation"], responses={**PROBLEMS, 200: _METRICS})
    async def metrics(who: Identity = needs(service, "admin")) -> Response:
        """Prometheus metrics."""
        return Response(service.meters.text(), media_type="text/plain; version=0.0.4; charset=utf-8")

    @app.get("/v1/experiments", response_model=wire.ExperimentsOut, responses=PROBLEMS, tags=["operation"])
    async def experiments(
        days: Annotated[float, Query(gt=0, le=3650)] = 30.0, who: Identity = needs(service, "admin")
    ) -> Response:
        """What the experiments of the last days show: intervals, tests by users, and no winner within noise."""
        await asyncio.to_thread(service.exposures.flush)
        running, fault = service.experiments.running.get(who.tenant, ()), service.experiments.fault
        reports = [await asyncio.to_thread(service.reports.of, one.config, days) for one in running]
        return to_json({"fault": str(fault) if fault is not None else None, "experiments": reports})

    @app.get("/openapi.json", include_in_schema=False)
    async def openapi(who: Identity = needs(service, "read")) -> Response:
        return to_json(app.openapi())


def events(app: FastAPI, service: Service) -> None:
    """Routes of events."""

    @app.post("/v1/events", response_model=wire.EventsOut, responses=PROBLEMS, tags=["events"])
    async def add(body: wire.EventsIn, who: Identity = needs(service, "write", personal=True)) -> Response:
        """Keep events. The answer 200 says that they are on disk; sent again they are the same events."""
        only_own(who, *(event.user_id for event in body.events))
        received = now()
        events = [
            Event(
                e.event_id,
                e.user_id,
                e.item_id,
                e.kind,
                e.weight if e.weight is not None else service.settings.kinds.get(e.kind, 1.0),
                _microseconds(e.timestamp) if e.timestamp is not None else received,
            )
            for e in body.events
        ]
        accepted = await _done(service.store.add_events(who.tenant, events))
        if who.tenant in service.engines:
            service.engines[who.tenant].took(events)
        service.meters.events.inc(accepted)
        return to_json({"accepted": accepted, "repeated": len(events) - accepted})


def items(app: FastAPI, service: Service) -> None:
    """Routes of items."""

    @app.post("/v1/items", response_model=wire.ItemsOut, responses=PROBLEMS, tags=["items"])
    async def put(body: wire.ItemsIn, who: Identity = needs(service, "write")) -> Response:
        """Say what is known of items. New ones can be recommended at once where the model reads text."""
        items = {item.item_id: dict(item.fields) for item in body.items}
        await _done(service.store.put_items(who.tenant, items))
        engine = service.engines.get(who.tenant)
        added = await asyncio.to_thread(engine.add_items, items) if engine is not None else 0
        return to_json({"stored": len(items), "recommendable": added})

    @app.get("/v1/catalogue", response_model=wire.Catalogue, responses=PROBLEMS, tags=["items"])
    async def catalogue(who: Identity = needs(service, "read", personal=True)) -> Response:
        """What there is, and examples of commands in its words."""
        live = service.engine(who).live
        found = await asyncio.to_thread(examples, live.grammar, live.stock.items)
        return to_json({"items": len(live.stock), "fields": live.stock.items.columns, "examples": found})

    @app.get("/v1/items/{item_id:path}", response_model=wire.ItemKept, responses=PROBLEMS, tags=["items"])
    async def get(item_id: wire.Id, who: Identity = needs(service, "read", personal=True)) -> Response:
        """What is known of an item."""
        found = await asyncio.to_thread(service.store.item, who.tenant, item_id)
        if found is None:
            engine = service.engine(who)
            live = engine.live
            code = int(engine.codes([item_id], live)[0])
            if code < 0:
                raise HTTPProblem.no_item(item_id)
            found = engine.fields(live, np.array([code], np.int32))[0]
        return to_json({"item_id": item_id, "fields": found})

    @app.delete("/v1/items/{item_id:path}", response_model=wire.Deleted, responses=PROBLEMS, tags=["items"])
    async def delete(item_id: wire.Id, who: Identity = needs(service, "admin")) -> Response:
        """Forget what was said of an item; what the model learnt of it stays until the next fit."""
        return to_json({"rows": await _done(service.store.delete_item(who.tenant, item_id))})


def users(app: FastAPI, service: Service) -> None:
    """Routes of users."""

    @app.put("/v1/users/{user_id:path}", response_model=wire.UserKept, responses=PROBLEMS, tags=["users"])
    async def put(user_id: wire.Id, body: wire.UserIn, who: Identity = needs(service, "write")) -> Response:
        """Say what is known of a user."""
        await _done(service.store.put_users(who.tenant, {user_id: dict(body.fields)}))
        return to_json({"user_id": user_id})

    @app.delete(
        "/v1/users/{user_id:path}/preferences/{want_id}",
        response_model=wire.WantsOut,
        responses=PROBLEMS,
        tags=["users"],
    )
    async def drop(
        user_id: wire.Id, want_id: wire.Id, who: Identity = needs(service, "write", personal=True)
    ) -> Response:
        """Take back one thing that a command said."""
        engine = service.engine(who)
        before = (await asyncio.to_thread(engine.person, user_id)).preferences
        if want_id not in before.wants:
            raise HTTPProblem(
                404, f"the user {user_id!r} has no preference {want_id!r}.", "GET the user for those that hold."
            )
        after = before.after(Delta(retract=(want_id,)))
        await _done(service.store.put_preferences(who.tenant, user_id, after.to_dict()))
        engine.changed(user_id)
        return to_json({"preferences": _wants(after)})

    @app.delete(
        "/v1/users/{user_id:path}/events/{event_id}", response_model=wire.Deleted, responses=PROBLEMS, tags=["users"]
    )
    async def take_back(
        user_id: wire.Id, event_id: wire.EventId, who: Identity = needs(service, "write", personal=True)
    ) -> Response:
        """Take one event of a user back: it is as if it had not been sent."""
        events = await asyncio.to_thread(service.store.events_of, who.tenant, user_id)
        event = next((e for e in events if e.event_id == event_id), None)
        if event is None:
            raise HTTPProblem(404, f"the user {user_id!r} has no event {event_id!r}.", "GET the user for the events.")
        rows = await _done(service.store.delete_event(who.tenant, user_id, event_id))
        if rows and who.tenant in service.engines:
            took_back(service.engines[who.tenant], event)
        return to_json({"rows": rows})

    @app.get("/v1/users/{user_id:path}/export", response_model=wire.Exported, responses=PROBLEMS, tags=["users"])
    async def export(user_id: wire.Id, who: Identity = needs(service, "admin")) -> Response:
        """Everything that is kept of a user."""
        await asyncio.to_thread(service.exposures.flush)
        found: dict[str, Any] = await asyncio.to_thread(service.store.export_user, who.tenant, user_id)
        engine = service.engines.get(who.tenant)
        history: list[str] = []
        if engine is not None:
            live = engine.live
            history = engine.ids(live, (await asyncio.to_thread(engine.person, user_id, live)).liked)
        return to_json({"user_id": user_id, "history": history, **found})

    @app.post("/v1/users/{user_id:path}/token", response_model=wire.TokenOut, responses=PROBLEMS, tags=["users"])
    async def token(user_id: wire.Id, body: wire.TokenIn, who: Identity = needs(service, "read")) -> Response:
        """A key for a browser, which reads and writes this user alone and no more than the key that asks for it."""
        scopes = who.scopes & set(body.scopes)
        if not who.key or not scopes:
            raise HTTPProblem(403, "there is no such key to bind to a user.", "Use a key that has these scopes.")
        made = new_token(who.key, user_id, scopes, body.seconds)
        return to_json({"token": made, "scopes": sorted(scopes), "seconds": body.seconds})

    @app.get("/v1/users/{user_id:path}", response_model=wire.Profile, responses=PROBLEMS, tags=["users"])
    async def profile(user_id: wire.Id, who: Identity = needs(service, "read", personal=True)) -> Response:
        """What is known of a user, and what commands said that still holds."""
        engine = service.engine(who)
        live = engine.live
        person = await asyncio.to_thread(engine.person, user_id, live)
        fields = await asyncio.to_thread(service.store.user, who.tenant, user_id)
        return to_json(
            {
                "user_id": user_id,
                "fields": fields or {},
                "preferences": _wants(person.preferences),
                "liked": engine.ids(live, person.liked),
                "hidden": engine.ids(live, person.hidden),
                "marks": await asyncio.to_thread(marks, engine, live, user_id),
            }
        )

    @app.delete("/v1/users/{user_id:path}", response_model=wire.Deleted, responses=PROBLEMS, tags=["users"])
    async def delete(user_id: wire.Id, who: Identity = needs(service, "admin")) -> Response:
        """Forget a user: events, profile, what was shown, the history of the fit, and what is held in memory."""
        engine, rows = service.engines.get(who.tenant), 0
        for _ in range(2):  # what was under way the first time is found the second time
            await asyncio.to_thread(service.exposures.forget, who.tenant, user_id)
            rows += await _done(service.store.delete_user(who.tenant, user_id))
            if engine is not None:
                await asyncio.to_thread(engine.forget, user_id)
        return to_json({"rows": rows})


def lists(app: FastAPI, service: Service) -> None:
    """Routes of lists."""

    @app.post("/v1/recommend", response_model=wire.ListOut, responses=PROBLEMS, tags=["lists"])
    async def recommend(body: wire.RecommendIn, who: Identity = needs(service, "read", personal=True)) -> Response:
        """A list for a known user, for an anonymous session, or for whoever comes."""
        only_own(who, body.user_id, body.session_id)
        if body.force is not None and "admin" not in who.scopes:
            raise HTTPProblem(403, "a variant is forced with the scope 'admin' only.", "Use another key.")
        force = Trial(body.force.experiment, body.force.variant, forced=True) if body.force is not None else None
        ask = partial(
            service.recommend,
            who,
            body.user_id,
            body.session_id,
            force,
            session=body.session,
            scenario=body.scenario,
            rules=request_rules(body.where),
            exclude=body.exclude,
        )
        # What takes less time than a thread takes to be woken is done at once.
        quick = service.is_quick(who, body.user_id, body.scenario)
        new, answer = ask() if quick else await asyncio.to_thread(ask)
        page = partial(_page, service, who, answer, new, 0, body.k or answer.size)
        cut = partial(page, explain=body.explain, trace=body.trace)
        return await asyncio.to_thread(cut) if body.explain else cut()

    @app.get("/v1/recommend/{recommendation_id}", response_model=wire.ListOut, responses=PROBLEMS, tags=["lists"])
    async def more(
        recommendation_id: wire.Id,
        page: Annotated[int, Query(ge=0, le=1000)],
        explain: bool = False,
        who: Identity = needs(service, "read", personal=True),
    ) -> Response:
        """Another page of a list: the same order, so that nothing comes twice."""
        held = service.engine(who).held(recommendation_id)
        if held is None:
            raise HTTPProblem(404, "this list is not held any more.", "Ask for a new one.")
        answer, k = held
        only_own(who, answer.unit or None)
        cut = partial(_page, service, who, answer, recommendation_id, page, k, explain=explain, trace=False)
        return await asyncio.to_thread(cut) if explain else cut()

    @app.post("/v1/explain", response_model=wire.ExplainOut, responses=PROBLEMS, tags=["lists"])
    async def explain(body: wire.ExplainIn, who: Identity = needs(service, "read", personal=True)) -> Response:
        """Why an item is where it is: the events that raised it most, and where it would be without them."""
        only_own(who, body.user_id)
        engine = service.engine(who)
        engine = engine.maker(body.recommendation_id) if body.recommendation_id is not None else engine
        return to_json(await asyncio.to_thread(explained, engine, body, service.settings.speaker))

    @app.post("/v1/command", response_model=wire.CommandOut, responses=PROBLEMS, tags=["lists"])
    async def command(body: wire.CommandIn, who: Identity = needs(service, "write", personal=True)) -> Response:
        """Say what is wanted; the list that comes back obeys, and so do all later ones of this user."""
        only_own(who, body.user_id)
        engine = service.engine(who)
        before = (await asyncio.to_thread(engine.person, body.user_id)).preferences
        delta, after = await asyncio.to_thread(engine.command, body.user_id, body.command, body.shown)
        await _done(service.store.put_preferences(who.tenant, body.user_id, after.to_dict()))
        engine.changed(body.user_id)
        new, answer = await asyncio.to_thread(partial(service.recommend, who, body.user_id, scenario=body.scenario))
        more = {"heard": delta.heard, "echo": echo(delta, before), "note": delta.note, "preferences": _wants(after)}
        return _page(service, who, answer, new, 0, body.k, explain=False, trace=False, more=more)

    @app.post("/v1/search", response_model=wire.ListOut, responses=PROBLEMS, tags=["lists"])
    async def search(body: wire.SearchIn, who: Identity = needs(service, "read", personal=True)) -> Response:
        """Items that are like a text, and liked by the user where one is named."""
        only_own(who, body.user_id)
        engine = service.engine(who)
        answer = await asyncio.to_thread(engine.search, body.query, body.user_id, request_rules(body.where))
        return _page(service, who, answer, secrets.token_urlsafe(12), 0, body.k, explain=False, trace=False)

    @app.get("/v1/items/{item_id:path}/similar", response_model=wire.SimilarOut, responses=PROBLEMS, tags=["lists"])
    async def similar(
        item_id: wire.Id,
        k: Annotated[int, Query(ge=1, le=100)] = 10,
        who: Identity = needs(service, "read", personal=True),
    ) -> Response:
        """Items that the model holds to be alike; by their texts where it cannot say."""
        engine = service.engine(who)
        live = engine.live
        found = await asyncio.to_thread(alike, engine, live, item_id, k)
        return to_json({"by": found.by, "items": _entries(live, found.codes, found.scores, 1)})


def _page(
    service: Service,
    who: Identity,
    answer: Answer,
    recommendation_id: str,
    page: int,
    k: int,
    *,
    explain: bool,
    trace: bool,
    more: dict[str, Any] | None = None,
) -> Response:
    engine, live = service.engine(who), answer.live
    codes, scores = answer.order.page(page, k)
    entries = _entries(live, codes, scores, 1 + page * k)
    if explain and len(codes) and len(answer.person.liked):
        _explain(answer, codes, entries)
    following = page + 1 if len(answer.order.items) > (page + 1) * k else None
    if page == 0:
        engine.keep(recommendation_id, answer, k)
    service.meters.lists.labels(answer.source).inc()
    shown = [entry["item_id"] for entry in entries]
    if not engine.is_late(answer):
        service.exposures.note(who.tenant, recommendation_id, page, 1 + page * k, shown, answer)
    return to_json(
        {
            "recommendation_id": recommendation_id,
            "source": answer.source,
            "model": live.bundle.model.name,
            "version": live.version,
            "experiment": answer.trial.experiment if answer.trial is not None else None,
            "variant": answer.trial.variant if answer.trial is not None else None,
            "items": entries,
            "next_page": following,
            "trace": [asdict(step) for step in answer.order.trace] if trace else None,
            **(more or {}),
        }
    )


def _wants(preferences: Preferences) -> list[dict[str, Any]]:
    return [
        {"id": i, "said": w.said(), "positive": w.positive, "hard": w.hard, "words": w.words}
        for i, w in preferences.wants.items()
    ]


def _entries(live: Any, codes: Any, scores: Any, first: int) -> list[dict[str, Any]]:
    rows = zip(live.stock.shown.of(codes), scores[: len(codes)].tolist(), strict=True)
    return [
        {"item_id": name, "rank": rank, "score": score, "title": title, "fields": fields}
        for rank, ((name, title, fields), score) in enumerate(rows, start=first)
    ]


def _explain(answer: Answer, codes: Any, entries: list[dict[str, Any]]) -> None:
    """Reasons, each checked on the model: without the evidence the score falls."""
    stock = answer.live.stock
    titles = stock.titles
    verb = verb_for(stock.items.columns)
    found = because(answer.live.bundle.model, answer.person.liked, codes)
    for entry, reason in zip(entries, found, strict=True):
        entry["why"] = reason.sentence(lambda code: titles[code], verb)
        entry["evidence"] = [str(i) for i in stock.ids.decode(reason.evidence).to_list()]


async def _done(future: Future[T]) -> T:
    return await asyncio.wrap_future(future)


def _microseconds(instant: datetime) -> int:
    aware = instant if instant.tzinfo is not None else instant.replace(tzinfo=UTC)
    try:
        return int(aware.timestamp() * 1e6)
    except (OverflowError, ValueError) as error:
        raise DataError(f"{instant} is no time that can be kept.", "Use a year of four digits.") from error
