"""What an experiment has shown so far: every variant with intervals, a test by users, and no winner within noise.

Symbols: user u of a variant with ``n_u`` lists and ``x_u`` clicks, items of a list that led to an event; rate
``R = Σ x_u / Σ n_u``. Users are the independent units, so that R is tested on the linearised values
``R + (x_u - R n_u) / n̄``, which have the mean and the delta-method variance of R (Deng et al. 2018; Budylin et
al. 2018).

An experiment is looked at every day. With N users planned for a variant and n there, a difference counts as found when
``|z| ≥ z_{1-α/4} √(N / min(n, N))``: by the reflection principle a Brownian motion crosses that line anywhere up to N
with a probability of at most α, so that looking often finds no more than looking once may.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from threading import Lock
from typing import Any

import numpy as np
import polars as pl

from honeyguide.metrics.abtest import lift, sample_size
from honeyguide.metrics.arrays import Vector
from honeyguide.metrics.stats import bootstrap_ci, sign_test
from honeyguide.serve.experiments import Experiment
from honeyguide.serve.logged import joined
from honeyguide.serve.store import Store

ALPHA, POWER = 0.05, 0.8
MISMATCH = 0.001  # p below which the shares of users are not those that were asked for
_KEPT, _REPORTS = 20, 64  # times what it took, for which a report is kept; and how many
_EDGE = 0.55  # share of users that an interleaved experiment shall tell from one half


@dataclass(frozen=True)
class Users:
    """The users of one variant, in no order.

    Parameters
    ----------
    lists, clicks
        float64 ``[users]``: lists shown, and items of them that led to an event.
    converted
        float64 ``[users]`` of 0 and 1: whether there was any event that counts.
    """

    lists: Vector
    clicks: Vector
    converted: Vector

    @property
    def rate(self) -> float:
        """Clicks per list."""
        return float(self.clicks.sum() / self.lists.sum()) if self.lists.sum() else float("nan")

    @property
    def linear(self) -> Vector:
        """The linearised values, float64 ``[users]``."""
        if not len(self.lists):
            return self.lists
        return np.asarray(self.rate + (self.clicks - self.rate * self.lists) / self.lists.mean())


class Reports:
    """Reports of what runs, one at a time, each kept for twenty times as long as it took: looking costs 5 % of a core.

    Parameters
    ----------
    store
        Of the service.
    """

    def __init__(self, store: Store) -> None:
        self._store, self._lock = store, Lock()
        self._made: OrderedDict[tuple[Experiment, float], tuple[float, dict[str, Any]]] = OrderedDict()

    def of(self, config: Experiment, days: float) -> dict[str, Any]:
        """As :func:`analyse` makes it, now or lately."""
        with self._lock:
            until, report = self._made.get((config, days), (0.0, {}))
            started = time.monotonic()
            if started >= until:
                report = analyse(self._store, config, days)
                ended = time.monotonic()
                self._made[config, days] = ended + _KEPT * (ended - started), report
                while len(self._made) > _REPORTS:
                    self._made.popitem(last=False)
            return report


def analyse(store: Store, config: Experiment, days: float = 30.0) -> dict[str, Any]:
    """The report of an experiment, JSON-able.

    Parameters
    ----------
    store
        Of the service.
    config
        The experiment.
    days
        How far to look back.
    """
    log = joined(
        store, config.tenant, window=config.window, days=days, kinds=config.goal, experiment=config.name
    ).filter(pl.col("user_id") != "")
    head = {"experiment": config.name, "method": config.method, "scenario": list(config.scenario), "days": days}
    if config.method != "ab":
        return {**head, **interleaved(log, config)}
    return {**head, **compared(log, config)}


def compared(log: pl.DataFrame, config: Experiment) -> dict[str, Any]:
    """The report of an A/B experiment; parameters as in :func:`analyse`, the log as :func:`joined` gives it."""
    kept, moved = _settled(log)
    names = [v.name for v in config.variant]
    sides = {name: _users(kept.filter(pl.col("variant") == name)) for name in names}
    counts = np.array([len(side.lists) for side in sides.values()], np.float64)
    mismatch = _mismatch(counts, np.array([v.weight for v in config.variant]))
    control = sides[names[0]]
    needed = _needed(control, config.effect)
    rows, best = [], None
    for name, side in sides.items():
        row = {"variant": name, "users": len(side.lists), "lists": int(side.lists.sum())}
        row |= {"clicks_per_list": _measure(side.rate, side.linear)}
        row |= {"conversion": _measure(_mean(side.converted), side.converted)}
        if side is not control:
            row["against"] = names[0]
            row |= {"clicks_per_list_lift": _difference(side.linear, control.linear)}
            row |= {"conversion_lift": _difference(side.converted, control.converted)}
            z = _z(side.linear, control.linear)
            found = needed is not None and _found(z, min(len(side.lists), len(control.lists)), needed, len(names) - 1)
            row["found"] = found
            if found:
                best = _better(best, name if z > 0 else names[0], sides)
        rows.append(row)
    return {
        "variants": rows,
        "users_in_several_variants": moved,
        "sample_ratio": {"p": mismatch, "mismatch": mismatch < MISMATCH},
        "power": {"effect": config.effect, "users_per_variant": needed, "power": POWER, "alpha": ALPHA},
        "winner": None if mismatch < MISMATCH else best,
        "verdict": _verdict(mismatch, best, int(counts.min()), needed),
    }


def interleaved(log: pl.DataFrame, config: Experiment) -> dict[str, Any]:
    """The report of an interleaved experiment: credit of events, and of whom more users' events were."""
    first, second = (v.name for v in config.variant)
    clicked = log.filter((pl.col("reward") > 0) & pl.col("credit").is_not_null())
    edge = ((2 * pl.col("credit") - 1) * pl.col("reward")).alias("edge")  # A's credit less B's
    by_list = clicked.group_by("recommendation_id").agg(edge.sum())["edge"].to_numpy()
    by_user = clicked.group_by("user_id").agg(edge.sum())["edge"].to_numpy()
    by_list, by_user = np.round(by_list, 9), np.round(by_user, 9)
    wins, losses = int((by_user > 0).sum()), int((by_user < 0).sum())
    p = sign_test(by_user) if len(by_user) else float("nan")
    decided = wins + losses
    needed = sample_size(_EDGE - 0.5, 0.25 / 2, ALPHA, POWER)  # one sample of coins: half of what two need
    z = (wins - losses) / np.sqrt(decided) if decided else 0.0
    winner = (first if z > 0 else second) if _found(z, decided, needed, 1) else None
    return {
        "variants": [
            {"variant": first, "lists_won": int((by_list > 0).sum()), "users_won": wins},
            {"variant": second, "lists_won": int((by_list < 0).sum()), "users_won": losses},
        ],
        "users": int(log["user_id"].n_unique()),
        "lists": int(log["recommendation_id"].n_unique()),
        "lists_with_events": len(by_list),
        "share_of_first": (wins / decided) if decided else None,
        "p": None if np.isnan(p) else p,
        "power": {"share": _EDGE, "users_decided": needed, "power": POWER, "alpha": ALPHA},
        "winner": winner,
        "verdict": _verdict(1.0, winner, decided, needed),
    }


def _settled(log: pl.DataFrame) -> tuple[pl.DataFrame, int]:
    """Without users who saw several variants, as after a change of the weights; and how many they were."""
    several = pl.col("variant").n_unique().over("user_id") > 1
    return log.filter(~several), log.filter(several)["user_id"].n_unique()


def _users(log: pl.DataFrame) -> Users:
    lists, clicks = pl.col("recommendation_id").n_unique(), pl.col("reward").sum()
    users = log.group_by("user_id").agg(lists=lists.cast(pl.Float64), clicks=clicks).sort("user_id")
    clicked = users["clicks"].to_numpy()
    return Users(users["lists"].to_numpy(), clicked, (clicked > 0).astype(np.float64))


def _mismatch(counts: Vector, weights: Vector) -> float:
    """P of the chi-square test that users were shared as asked for (Fabijan et al. 2019)."""
    from scipy.special import chdtrc

    expected = counts.sum() * weights / weights.sum()
    if not counts.sum():
        return 1.0
    return float(chdtrc(len(counts) - 1, ((counts - expected) ** 2 / expected).sum()))


def _measure(value: float, values: Vector) -> dict[str, Any]:
    low, high = bootstrap_ci(values) if len(values) > 1 else (np.nan, np.nan)
    return {"value": _plain(value), "low": _plain(low), "high": _plain(high)}


def _difference(a: Vector, b: Vector) -> dict[str, Any]:
    found = lift(a, b)
    return {"value": _plain(found.value), "low": _plain(found.low), "high": _plain(found.high), "p": _p(_z(a, b))}


def _z(a: Vector, b: Vector) -> float:
    """Difference of two means in standard errors, unequal variances (Welch)."""
    if min(len(a), len(b)) < 2:
        return 0.0
    spread = float(np.sqrt(a.var(ddof=1) / len(a) + b.var(ddof=1) / len(b)))
    return float(a.mean() - b.mean()) / spread if spread > 0 else 0.0


def _p(z: float) -> float:
    from scipy.special import ndtr

    return float(2 * ndtr(-abs(z)))


def _found(z: float, n: int, needed: int, comparisons: int) -> bool:
    """Whether a difference stands out, however often it was looked at (head of this file)."""
    from scipy.special import ndtri

    if n < 2:
        return False
    return bool(abs(z) >= -ndtri(ALPHA / comparisons / 4) * np.sqrt(needed / min(n, needed)))


def _needed(control: Users, effect: float) -> int | None:
    """Users of every variant that the planned relative effect on the rate needs."""
    if len(control.lists) < 2 or not control.rate > 0:
        return None
    return sample_size(effect * control.rate, float(control.linear.var(ddof=1)), ALPHA, POWER)


def _better(one: str | None, other: str, sides: Mapping[str, Users]) -> str:
    return other if one is None or sides[other].rate > sides[one].rate else one


def _verdict(mismatch: float, winner: str | None, n: int, needed: int | None) -> str:
    if mismatch < MISMATCH:
        return "users are not shared as the weights say: find out why before anything else is believed"
    if winner is not None:
        return f"{winner} wins"
    if needed is None:
        return "no winner: nothing has been clicked yet"
    if n < needed:
        return f"no winner yet: {n:,} of the {needed:,} users that the planned effect needs"
    return "no winner: the difference is within noise, and the planned effect would have been found"


def _mean(values: Vector) -> float:
    return float(values.mean()) if len(values) else float("nan")


def _plain(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
