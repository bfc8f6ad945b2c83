"""Who may do what: API keys with scopes, each of one tenant, and how often they may ask."""

from __future__ import annotations

import hashlib
import logging
import re
import secrets
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass, field, replace
from typing import Literal, get_args

from honeyguide.core.errors import ConfigError, StorageError
from honeyguide.serve.store import KeyRow, Store, now
from honeyguide.serve.tokens import TOKEN, key_id, read_token

Scope = Literal["read", "write", "admin"]
SCOPES: tuple[Scope, ...] = get_args(Scope)
TENANT = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
DEFAULT_TENANT = "default"

_LOG = logging.getLogger("honeyguide.serve")
_BUCKETS = 100_000
_LOOK_EVERY = 2.0  # seconds after which keys are read again: a revoked one lives no longer than that


@dataclass(frozen=True)
class Identity:
    """Whoever is asking.

    Parameters
    ----------
    tenant
        Whose data is read and written.
    scopes
        What may be done: ``read``, ``write``, ``admin``.
    name
        Of the key.
    user
        The only user whose data may be read and written; ``None`` for those of all.
    key
        Digest of the key; empty without one.
    """

    tenant: str
    scopes: frozenset[str]
    name: str
    user: str | None = None
    key: str = field(default="", repr=False)


EVERYBODY = Identity(DEFAULT_TENANT, frozenset(SCOPES), "no key")


def digest(secret: str) -> str:
    """What is kept of a key: it has 256 random bits, so a plain hash cannot be searched."""
    return hashlib.sha256(secret.encode()).hexdigest()


def secret_of(authorization: str | None) -> str | None:
    """What a header says: ``Bearer SECRET``."""
    kind, _, secret = (authorization or "").partition(" ")
    return secret.strip() or None if kind.lower() == "bearer" else None


def new_key(store: Store, tenant: str, name: str, scopes: tuple[str, ...]) -> str:
    """Make a key and return its secret, which is shown once.

    Raises
    ------
    ConfigError
        If the tenant or a scope is not one.
    """
    if not TENANT.fullmatch(tenant):
        raise ConfigError(f"{tenant!r} is no name of a tenant.", "Use up to 64 small letters, digits, - and _.")
    wrong = [scope for scope in scopes if scope not in SCOPES]
    if wrong or not scopes:
        raise ConfigError(f"there is no scope {wrong[0] if wrong else ''!r}.", f"Scopes: {', '.join(SCOPES)}.")
    secret = f"hg_{secrets.token_urlsafe(32)}"
    store.add_key(KeyRow(digest(secret), tenant, name, " ".join(sorted(set(scopes))), now()))
    return secret


class Authority:
    """Knows the keys.

    Parameters
    ----------
    store
        Where they are.
    open_
        Whether whoever comes without a key is everybody; only where nobody but this machine can come.
    """

    def __init__(self, store: Store, open_: bool) -> None:
        self._store, self._open = store, open_
        self._keys: dict[str, Identity] = {}
        self._digests: dict[str, str] = {}
        self._looking, self._read = threading.Lock(), False
        self._looked = -_LOOK_EVERY

    def identify(self, secret: str | None) -> Identity | None:
        """Who has this key; ``None`` for nobody."""
        if self.due:
            self.look()
        if secret is None:
            return EVERYBODY if self.open else None
        if secret.startswith(TOKEN):
            return self._one_user(secret)
        return self._keys.get(digest(secret))

    @property
    def open(self) -> bool:
        """Whether whoever comes without a key is everybody: while no key was ever seen."""
        return self._open

    def _one_user(self, secret: str) -> Identity | None:
        """Whoever brings a token, while the key that it was made with is one."""
        token = read_token(secret)
        key = self._keys.get(self._digests.get(token.key_id, "")) if token is not None else None
        if token is None or key is None or not token.good(secret, key.key):
            return None
        return replace(key, scopes=key.scopes & token.scopes, name=f"{key.name}, for one user", user=token.user)

    @property
    def due(self) -> bool:
        """Whether the keys are to be read again; who identifies somebody then waits for the database."""
        return time.monotonic() - self._looked >= _LOOK_EVERY

    def look(self) -> None:
        """Read the keys anew; while the database is away, those that are known go on."""
        if not self._looking.acquire(blocking=not self._read):
            return  # somebody is at it, and what is known will do; before the first time it will not
        try:
            if self.due:
                self._take(self._store.api_keys())
        except StorageError as error:
            if not self._keys:
                raise
            self._looked = time.monotonic()
            _LOG.warning("the keys are those of before: %s", error)
        finally:
            self._looking.release()

    def _take(self, found: list[KeyRow]) -> None:
        self._keys = {
            key.digest: Identity(key.tenant, frozenset(key.scopes.split()), key.name, key=key.digest) for key in found
        }
        self._digests = {key_id(name): name for name in self._keys}
        self._open = self._open and not self._keys  # once there was a key, none is not enough
        self._read, self._looked = True, time.monotonic()


class RateLimit:
    """A token bucket for every key, and every user that one is bound to: ``rate`` requests a second, ``burst`` at once.

    Parameters
    ----------
    rate
        Requests per second; 0 for no limit.
    burst
        Requests at once.
    """

    def __init__(self, rate: float, burst: int) -> None:
        self.rate, self.burst = rate, burst
        self._buckets: OrderedDict[tuple[str, str, str | None], tuple[float, float]] = OrderedDict()  # tokens, counted
        self._lock = threading.Lock()

    def wait(self, who: Identity, cost: float = 1.0) -> float:
        """Seconds until the request may be made; 0 for at once, and then it is counted."""
        if self.rate <= 0:
            return 0.0
        instant = time.monotonic()
        with self._lock:
            name = (who.tenant, who.key or who.name, who.user)
            tokens, counted = self._buckets.pop(name, (float(self.burst), instant))
            tokens = min(self.burst, tokens + (instant - counted) * self.rate)
            left = tokens - cost if tokens >= cost else tokens
            self._buckets[name] = (left, instant)
            while len(self._buckets) > _BUCKETS:
                self._buckets.popitem(last=False)
            return 0.0 if tokens >= cost else (cost - tokens) / self.rate
