"""What the routes of the API share: settings, who is asking, problems, answers."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import orjson
from fastapi import Depends, Header, Request, Response

from honeyguide.lm.port import LM
from honeyguide.serve import wire
from honeyguide.serve.analysis import Reports
from honeyguide.serve.answer import Answer, Trial
from honeyguide.serve.auth import Authority, Identity, RateLimit, Scope, secret_of
from honeyguide.serve.engine import Engine
from honeyguide.serve.experiments import Experiments
from honeyguide.serve.exposures import ExposureLog
from honeyguide.serve.observe import Meters
from honeyguide.serve.store import Store

PROBLEMS: dict[int | str, dict[str, Any]] = {
    400: {"model": wire.Problem, "description": "A condition or an id is wrong."},
    401: {"model": wire.Problem, "description": "No key, or one that is not known."},
    403: {"model": wire.Problem, "description": "The key has not the scope, or is of another user."},
    404: {"model": wire.Problem, "description": "There is no such thing."},
    408: {"model": wire.Problem, "description": "The body did not come in time."},
    411: {"model": wire.Problem, "description": "The body comes without Content-Length."},
    413: {"model": wire.Problem, "description": "The body is too large."},
    415: {"model": wire.Problem, "description": "The body is packed, or is not said to be JSON."},
    421: {"model": wire.Problem, "description": "A service without keys was asked for under a foreign name."},
    422: {"model": wire.Problem, "description": "The body or a parameter is not as documented."},
    429: {"model": wire.Problem, "description": "Too many requests; Retry-After says when."},
    500: {"model": wire.Problem, "description": "A fault of the service; its log says which."},
    503: {"model": wire.Problem, "description": "The database did not answer; the request may be sent again."},
    507: {"model": wire.Problem, "description": "The disk is full; nothing was written, reads go on."},
}


@dataclass(frozen=True)
class Settings:
    """How the service runs.

    Parameters
    ----------
    open_
        Whether requests without a key are answered while no key exists.
    rate, burst
        Requests a second of every key, and at once; 0 for no limit.
    largest_body
        Bytes.
    body_seconds
        For a body to come.
    kinds
        Weight of an event by its kind, where it brings none; other kinds weigh 1.
    refresh_seconds
        Between looks for a new version of the model, and for changed experiments.
    experiments
        TOML file of what is compared.
    exposures, exposure_days
        Whether what is shown is logged, and for how many days; 0 for ever.
    speaker
        Says reasons that are verified; what it says is checked. ``None`` for the template.
    """

    open_: bool = True
    rate: float = 0.0
    burst: int = 50
    largest_body: int = 2 << 20
    body_seconds: float = 30.0
    kinds: Mapping[str, float] = field(
        default_factory=lambda: {"hide": -1.0, "dislike": -1.0, "unlike": -1.0, "known": -1.0, "impression": 0.0}
    )
    refresh_seconds: float = 1.0
    experiments: Path | None = None
    exposures: bool = True
    exposure_days: int = 90
    speaker: LM | None = None


class HTTPProblem(Exception):
    """An answer that is an error."""

    def __init__(self, status: int, error: str, remedy: str | None = None, **headers: str) -> None:
        super().__init__(error)
        self.status, self.error, self.remedy, self.headers = status, error, remedy, headers

    @classmethod
    def no_item(cls, item_id: str) -> HTTPProblem:
        """404: neither the model nor the store has the item."""
        return cls(404, f"there is no item {item_id!r}.", "A search finds ids; new items are sent to POST /v1/items.")

    def answer(self) -> Response:
        """What is sent."""
        return to_json({"error": self.error, "remedy": self.remedy}, self.status, self.headers)


@dataclass
class Service:
    """What the routes share."""

    store: Store
    engines: dict[str, Engine]
    authority: Authority
    settings: Settings
    limit: RateLimit
    meters: Meters
    experiments: Experiments
    exposures: ExposureLog
    reports: Reports

    def engine(self, who: Identity) -> Engine:
        """The engine of a tenant."""
        found = self.engines.get(who.tenant)
        if found is None:
            raise HTTPProblem(404, f"the tenant {who.tenant!r} has no model.", "Start the service with one for it.")
        return found

    def recommend(
        self, who: Identity, user_id: str | None, visit: str | None = None, force: Trial | None = None, **ask: Any
    ) -> tuple[str, Answer]:
        """A list and its id: by the experiments that run.

        Parameters
        ----------
        who
            Is asking.
        user_id, visit
            For whom: a user, or a visit of nobody known.
        force
            A variant to look at.
        ask
            What else :meth:`Engine.recommend` takes.
        """
        new, unit = secrets.token_urlsafe(12), user_id or visit or ""
        asked = {"scenario": "default", **ask}
        return new, self.experiments.answer(self.engine(who), user_id, unit, new, force, asked)

    def is_quick(self, who: Identity, user_id: str | None, scenario: str) -> bool:
        """Whether a list takes less time than it takes to wake a thread for it."""
        return not self.experiments.running.get(who.tenant) and self.engine(who).is_quick(user_id, scenario)


def shared(store: Store, engines: dict[str, Engine], settings: Settings) -> Service:
    """A service over a store and engines."""
    limit = RateLimit(settings.rate, settings.burst)
    meters = Meters()
    log = ExposureLog(store, meters, on=settings.exposures, days=settings.exposure_days)
    running = Experiments(settings.experiments, engines)
    return Service(
        store, engines, Authority(store, settings.open_), settings, limit, meters, running, log, Reports(store)
    )


def needs(service: Service, scope: Scope, *, personal: bool = False) -> Any:
    """A dependency: the identity of whoever asks.

    Parameters
    ----------
    service
        Whose keys and limits are asked.
    scope
        What the key must allow.
    personal
        Whether a token of one user will do. A user in the path must be that one; one in the body is for the route
        to look at, by :func:`only_own`.
    """

    async def check(
        request: Request,
        authorization: Annotated[str | None, Header(description="Bearer KEY")] = None,
    ) -> Identity:
        if service.authority.due:
            await asyncio.to_thread(service.authority.look)
        who = service.authority.identify(secret_of(authorization))
        if who is None:
            raise HTTPProblem(
                401, "a key is needed.", "Send 'Authorization: Bearer KEY'.", **{"WWW-Authenticate": "Bearer"}
            )
        if scope not in who.scopes:
            raise HTTPProblem(403, f"the key {who.name!r} has not the scope {scope!r}.", "Use another key.")
        if who.user is not None and not personal:
            raise HTTPProblem(403, "this is not for the key of one user.", "Use another key.")
        only_own(who, request.path_params.get("user_id"))
        wait = service.limit.wait(who)
        if wait:
            raise HTTPProblem(429, "too many requests.", "Wait.", **{"Retry-After": str(int(wait) + 1)})
        return who

    return Depends(check)


def only_own(who: Identity, *users: str | None) -> None:
    """Refuse a token of one user for another.

    Raises
    ------
    HTTPProblem
        403.
    """
    if who.user is not None and any(user is not None and user != who.user for user in users):
        raise HTTPProblem(403, "this key is of another user.", "Use another key.")


def to_json(content: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """An answer in JSON."""
    body = orjson.dumps(content, option=orjson.OPT_SERIALIZE_NUMPY, default=str)
    return Response(body, status, dict(headers or {}), media_type="application/json")
