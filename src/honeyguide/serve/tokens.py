"""Tokens of one user: what an operator's own server gives to a browser instead of its key.

A token names a key, a user, scopes and when it ends, and is signed with the key's digest: it needs no row of the
database, dies with its key, and does no more than the key may. Whoever reads the digests can sign; they lie beside the
events that the tokens guard.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import time
from dataclasses import dataclass

TOKEN = "hgu_"  # noqa: S105 -- what one begins with
_LONGEST = 4096


@dataclass(frozen=True)
class Token:
    """What a token says.

    Parameters
    ----------
    key_id
        Of the key that it was made with.
    user
        Whose data may be read and written.
    scopes
        What may be done.
    ends
        Seconds since 1970.
    """

    key_id: str
    user: str
    scopes: frozenset[str]
    ends: int

    def good(self, secret: str, digest: str) -> bool:
        """Whether ``secret`` was signed with the key, and has not ended."""
        said, _, signature = secret.rpartition(".")
        return hmac.compare_digest(signature.encode(), _signature(said, digest).encode()) and time.time() < self.ends


def key_id(digest: str) -> str:
    """What names a key in a token and in lists."""
    return digest[:12]


def new_token(digest: str, user: str, scopes: frozenset[str], seconds: int) -> str:
    """A token of one user.

    Parameters
    ----------
    digest
        Of the key.
    user
        External id.
    scopes
        A part of the key's; a token is never an administrator.
    seconds
        From now.
    """
    body = [key_id(digest), user, sorted(scopes - {"admin"}), int(time.time()) + seconds]
    said = TOKEN + base64.urlsafe_b64encode(json.dumps(body).encode()).decode().rstrip("=")
    return f"{said}.{_signature(said, digest)}"


def read_token(secret: str) -> Token | None:
    """What a token says, which nobody need have signed; ``None`` where it is none."""
    packed = secret.rpartition(".")[0].removeprefix(TOKEN)
    if len(packed) > _LONGEST:
        return None
    try:
        key, user, scopes, ends = json.loads(base64.urlsafe_b64decode(packed + "=" * (-len(packed) % 4)))
        return Token(str(key), str(user), frozenset(map(str, scopes)) - {"admin"}, int(ends))
    except (binascii.Error, ValueError, TypeError, RecursionError):
        return None


def _signature(said: str, digest: str) -> str:
    signed = hmac.new(digest.encode(), said.encode(), hashlib.sha256).digest()
    return base64.urlsafe_b64encode(signed).decode().rstrip("=")
