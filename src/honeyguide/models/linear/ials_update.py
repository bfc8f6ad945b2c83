"""What iALS needs to take in new events without the histories of everybody: sums, and a Newton step for items."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
from scipy.linalg import eigh

from honeyguide.core.artifact import Arrays
from honeyguide.core.fitting import STATISTICS
from honeyguide.core.ragged import FloatArray, IntArray

_CG_STEPS = 4
_ENTRIES = 1 << 16  # of a sparse matrix whose vectors are held at once: 64 MiB with 128 factors


@dataclass(frozen=True)
class UserMoments:
    """Sums over all users' vectors, from which no user's can be told.

    Parameters
    ----------
    gram
        ``X'X``, float32 ``[factors, factors]``.
    square
        ``sum_u d_u x_u x_u'`` with the number ``d_u`` of items of u, float32 ``[factors, factors]``.
    takers
        Users of each item, float32 ``[n_items]``.
    """

    gram: FloatArray
    square: FloatArray
    takers: FloatArray

    @classmethod
    def of(cls, x: FloatArray, sets: sp.csr_matrix) -> UserMoments:
        """Of users with vectors ``x`` ``[n, factors]`` and the items ``sets`` ``[n, n_items]``."""
        weighted = np.diff(sets.indptr)[:, None] * x
        takers = np.bincount(sets.indices, minlength=sets.shape[1])
        return cls(x.T @ x, np.asarray(weighted.T @ x, np.float32), takers.astype(np.float32))

    @property
    def mean_square(self) -> FloatArray:
        """Mean of ``x x'`` over all events."""
        return np.asarray(self.square / max(1.0, float(self.takers.sum())), np.float32)

    def changed(self, old: Users, new: Users) -> UserMoments:
        """With some users' vectors and items exchanged."""
        less, more = (UserMoments.of(users.x, users.sets) for users in (old, new))
        takers = np.pad(self.takers, (0, len(more.takers) - len(self.takers))) + more.takers - less.takers
        return UserMoments(self.gram + more.gram - less.gram, self.square + more.square - less.square, takers)

    def pack(self) -> Arrays:
        """Arrays for an artifact."""
        return {f"{STATISTICS}{name}": value for name, value in vars(self).items()}

    @classmethod
    def unpack(cls, arrays: Mapping[str, npt.NDArray[Any]]) -> UserMoments:
        """Undo :meth:`pack`."""
        return cls(*(arrays[f"{STATISTICS}{name}"] for name in ("gram", "square", "takers")))


@dataclass(frozen=True)
class Users:
    """Some users: vectors ``x`` ``[n, factors]`` and items ``sets`` ``[n, n_items]``."""

    x: FloatArray
    sets: sp.csr_matrix

    def of_items(self, items: IntArray) -> sp.csr_matrix:
        """CSR ``[len(items), n]``: who has each of ``items``."""
        return self.sets.T.tocsr()[items]


def newton_steps(
    factors: FloatArray,
    items: IntArray,
    users: tuple[Users, Users],
    moments: tuple[UserMoments, UserMoments],
    alpha: float,
    regularization: float,
) -> FloatArray:
    """What to add to the factors of ``items`` whose users changed, float32 ``[len(items), factors]``.

    The minimum of an item given all users solves ``H_i y_i = alpha sum_u x_u`` with
    ``H_i = X'X + lambda I + (alpha - 1) sum_u x_u x_u'`` over its users u. What changed in both sums is known:

        H_i (y_i new - y_i) = alpha (sum_u x_u new - sum_u x_u old) - (H_i - H_i old) y_i.

    For the item's users that did not change, which only H_i on the left needs, stands their number times the mean M
    of ``x x'`` over all events. In the basis where ``X'X + lambda I`` is the identity and M diagonal this shared
    part of H_i is diagonal; conjugate gradients add the users that changed.

    Parameters
    ----------
    factors
        Y, float32 ``[n_items, factors]``.
    items
        Codes of those to move.
    users, moments
        Old and new.
    alpha, regularization
        As in :class:`~honeyguide.models.linear.ials.IALSConfig`.
    """
    (old, new), (before, after) = users, moments
    a, y = np.float32(alpha - 1.0), factors[items]
    members = (old.of_items(items), new.of_items(items))
    right = np.float32(alpha) * (members[1] @ new.x - members[0] @ old.x) - y @ (after.gram - before.gram)
    right -= a * (_outer(members[1], new.x, y) - _outer(members[0], old.x, y))
    base = after.gram.astype(np.float64) + regularization * np.eye(len(after.gram))
    spread, turn = eigh(before.mean_square.astype(np.float64), base)  # turn' base turn = I, turn' M turn = diag(spread)
    basis, spread = turn.astype(np.float32), np.maximum(spread, 0.0).astype(np.float32)
    now = new.x @ basis
    others = np.pad(before.takers, (0, len(after.takers) - len(before.takers)))[items] - np.diff(members[0].indptr)
    shared = 1 + a * np.maximum(others, 0)[:, None] * spread  # [len(items), factors]
    guess = 1 + a * np.maximum(after.takers[items], 0)[:, None] * spread
    steps = _conjugate_gradients(lambda v: shared * v + a * _outer(members[1], now, v), right @ basis, guess)
    return np.asarray(steps @ basis.T, np.float32)


def _conjugate_gradients(
    times: Callable[[FloatArray], FloatArray], right: FloatArray, diagonal: FloatArray
) -> FloatArray:
    """A few preconditioned steps from zero towards ``times(v) = right``, row by row: ``[n, factors]``."""
    v, left = np.zeros_like(right), right
    direction = z = left / diagonal
    worth = np.einsum("nf,nf->n", left, z)
    for _ in range(_CG_STEPS):
        image = times(direction)
        step = worth / np.maximum(np.einsum("nf,nf->n", direction, image), 1e-12)
        v = v + step[:, None] * direction
        left = left - step[:, None] * image
        z = left / diagonal
        worth, last = np.einsum("nf,nf->n", left, z), worth
        direction = z + (worth / np.maximum(last, 1e-12))[:, None] * direction
    return v


def _outer(members: sp.csr_matrix, x: FloatArray, v: FloatArray) -> FloatArray:
    """``sum_u x_u (x_u' v_i)`` over the users u of each row i of ``members``: ``[len(v), factors]``."""
    rows = np.repeat(np.arange(len(v)), np.diff(members.indptr))
    products = np.empty(members.nnz, np.float32)
    for start in range(0, members.nnz, _ENTRIES):
        block = slice(start, start + _ENTRIES)
        products[block] = np.einsum("ef,ef->e", x[members.indices[block]], v[rows[block]])
    return np.asarray(sp.csr_matrix((products, members.indices, members.indptr), shape=members.shape) @ x, np.float32)
