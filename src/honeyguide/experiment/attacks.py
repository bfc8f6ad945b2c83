"""Attacks on a data set, those that are optimised against a model among them.

The surrogate attack follows the plan of Huang et al. (NDSS 2021): fakes are made one after the other, each from the
gradient of what the attack wants with respect to its profile, and an item that was used is less likely to be used
again. Its surrogate is iALS, whose half-step for the target has a closed form, so the gradient through training is
exact up to the vectors that are held fixed. Shapes: n users, m items, d width.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from honeyguide.core.dataset import Dataset
from honeyguide.core.errors import ConfigError, UnknownNameError
from honeyguide.core.ragged import IntArray, Ragged
from honeyguide.data.attacks import KINDS, checked_targets, dealt, fake_profiles, inject, released_profiles

Array = npt.NDArray[np.float64]

ATTACKS = (*KINDS, "surrogate", "released")
_REUSE = 0.9  # factor on the gradient of an item for every fake that used it
_ROUNDS = 2  # of choosing fillers, each from the gradient at those of the round before
_BLOCK = 1024
_MARGIN = 50  # the place in a user's list that the target shall reach


def attack(
    data: Dataset,
    kind: str,
    targets: Sequence[int] | IntArray,
    *,
    share: float = 0.01,
    length: float | None = None,
    each: int = 1,
    audience: Sequence[int] | IntArray = (),
    seed: int = 0,
) -> Dataset:
    """``data`` with fake users that promote ``targets``.

    Parameters
    ----------
    data
        Genuine events.
    kind
        One of :data:`ATTACKS`; ``"released:NAME"`` for an attack that comes with the data, with its own targets.
    targets
        Item codes.
    share
        Fake users for every genuine one.
    length, each, audience, seed
        See :func:`~honeyguide.data.attacks.fake_profiles`.

    Raises
    ------
    UnknownNameError, ConfigError
        If there is no such kind, or the share is not positive.
    """
    name, _, released = kind.partition(":")
    if name not in ATTACKS:
        raise UnknownNameError("attack", kind, ATTACKS)
    if name == "released":
        profiles, own = released_profiles(data, released)
        return inject(data, profiles, own, released)
    if not share > 0:
        raise ConfigError(f"an attack of share {share:g} has no fake users.", "Give a share above 0, such as .01.")
    n = max(1, round(share * int((data.histories("train").lengths > 0).sum())))
    make = surrogate_profiles if kind == "surrogate" else fake_profiles
    options: dict[str, Any] = {} if kind == "surrogate" else {"kind": kind, "audience": audience}
    return inject(data, make(data, targets=targets, n=n, length=length, each=each, seed=seed, **options), targets, kind)


def surrogate_profiles(
    data: Dataset,
    targets: Sequence[int] | IntArray,
    n: int,
    *,
    length: float | None = None,
    each: int = 1,
    seed: int = 0,
) -> Ragged:
    """``n`` fake histories whose fillers are the items of the largest gradient of the attack's objective.

    Parameters
    ----------
    data
        The surrogate learns from its training part.
    targets, n, length, each, seed
        See :func:`~honeyguide.data.attacks.fake_profiles`.
    """
    targets = checked_targets(data, targets, each)
    surrogate, rng = _Surrogate.of(data, seed), np.random.default_rng(seed)
    state = {int(t): _Target.of(surrogate, data, int(t)) for t in targets}
    unused = np.ones(data.n_items)  # the probability of being used, which decays
    unused[targets] = 0.0
    profiles = []
    for promoted, size in dealt(data, targets, n, length, each, rng):
        items = promoted
        for _ in range(_ROUNDS):
            fake = surrogate.fold_in(items)
            gradient = surrogate.items @ surrogate.through_fold_in(state[int(promoted[0])].gradient(fake))  # [m]
            gain = (gradient - gradient.min()) * unused
            items = np.concatenate([promoted, np.argsort(-gain, kind="stable")[:size]]).astype(np.int32)
        unused[items] *= _REUSE
        for t in promoted:
            state[int(t)].add(surrogate.fold_in(items))
        profiles.append(rng.permutation(items).astype(np.int32))
    return Ragged.from_lists(profiles)


@dataclass(frozen=True)
class _Surrogate:
    """iALS on the genuine events: users X ``[n, d]``, items Y ``[m, d]``, and ``B = alpha (Y'Y + lambda I)^-1``.

    A fake is folded in by ``x = B sum_i y_i``, the least squares of its history without the extra confidence, which is
    linear in the history.
    """

    users: Array
    items: Array
    inverse: Array
    alpha: float
    regularization: float
    bars: Array = field(repr=False)  # [n], the score that the target has to beat

    @classmethod
    def of(cls, data: Dataset, seed: int) -> _Surrogate:
        from honeyguide.models.linear.ials import IALS

        model = IALS(factors=32, iterations=10, seed=seed).fit(data)
        c, y = model.config, model.item_factors.astype(np.float64)
        eye, histories = np.eye(c.factors), data.histories("train")
        turn = (
            model.item_vectors().T @ y @ np.linalg.inv(y.T @ y + 1e-9 * eye)
        )  # to vectors whose products with y score
        users = (model.user_vectors(histories) @ turn).astype(np.float64)
        place = min(_MARGIN, len(y)) - 1
        blocks = (users[i : i + _BLOCK] @ y.T for i in range(0, len(users), _BLOCK))
        bars = np.concatenate([-np.partition(-scores, place, axis=1)[:, place] for scores in blocks])
        inverse: Array = c.alpha * np.linalg.inv(y.T @ y + c.regularization * eye).astype(np.float64)
        return cls(users, y, inverse, c.alpha, c.regularization, bars)

    def fold_in(self, items: IntArray) -> Array:
        """``[d]``."""
        found: Array = self.inverse @ self.items[items].sum(axis=0)
        return found

    def through_fold_in(self, gradient: Array) -> Array:
        """``B' dG/dx``: its product with an item's vector is what that item adds."""
        found: Array = self.inverse.T @ gradient
        return found


@dataclass
class _Target:
    """What training would make of a target: ``y = alpha H^-1 sum_u x_u`` over its users, fakes among them.

    ``H = X'X + lambda I + (alpha - 1) sum_u x_u x_u'`` (the items' half-step of iALS).
    """

    surrogate: _Surrogate
    system: Array  # H, [d, d]
    right: Array  # sum_u x_u, [d]
    genuine: npt.NDArray[np.bool_]  # [n]: who does not have it

    @classmethod
    def of(cls, surrogate: _Surrogate, data: Dataset, target: int) -> _Target:
        x = surrogate.users
        takers = np.zeros(len(x), np.bool_)
        takers[data.matrix("train")[:, target].nonzero()[0]] = True
        own = x[takers]
        system = x.T @ x + surrogate.regularization * np.eye(x.shape[1]) + (surrogate.alpha - 1) * own.T @ own
        return cls(surrogate, system, own.sum(axis=0), ~takers)

    def add(self, fake: Array) -> None:
        """A fake ``[d]`` that holds the target."""
        self.system += self.surrogate.alpha * np.outer(fake, fake)
        self.right += fake

    def gradient(self, fake: Array) -> Array:
        """dG/dx ``[d]`` at a fake x, of ``G = sum_u log sigmoid((x_u'y - bar_u) / s)``, s the spread of the bars.

        With ``w = H^-1 dG/dy``: ``alpha w - alpha ((x'y) w + (x'w) y)``, since ``dy = H^-1 (alpha dx - dH y)``.
        """
        s, a = self.surrogate, self.surrogate.alpha
        inverse = np.linalg.inv(self.system + a * np.outer(fake, fake))
        y = a * inverse @ (self.right + fake)
        spread = max(float(s.bars.std()), 1e-6)
        missing = 1 / (1 + np.exp(np.clip((s.users @ y - s.bars) / spread, -30, 30)))  # d log sigmoid(z) / dz
        w = inverse @ (s.users.T @ (missing * self.genuine))  # up to 1 / s, which changes no order
        found: Array = a * w - a * ((fake @ y) * w + (fake @ w) * y)
        return found
