"""Family G: what the business counts. Rates of nothing are NaN, never zero."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from honeyguide.metrics.arrays import Vector
from honeyguide.metrics.metric import metric

Array = npt.NDArray[np.floating] | npt.NDArray[np.integer]
_NAN = float("nan")
_EMPTY = "none → NaN"


def _rate(part: float, whole: float) -> float:
    return float(part) / float(whole) if whole > 0 else _NAN


@metric("ctr", family="G", formula="clicks / impressions", conventions=f"no impressions: {_EMPTY}")
def ctr(clicks: float, impressions: float) -> float:
    """Click-through rate."""
    return _rate(clicks, impressions)


@metric("conversion", family="G", formula="orders / clicks", conventions=f"no clicks: {_EMPTY}")
def conversion(orders: float, clicks: float) -> float:
    """Share of clicks that end in an order."""
    return _rate(orders, clicks)


@metric(
    "add_to_cart", family="G", formula="additions to the cart / impressions", conventions=f"no impressions: {_EMPTY}"
)
def add_to_cart(additions: float, impressions: float) -> float:
    """Share of impressions that reach the cart."""
    return _rate(additions, impressions)


@metric("average_order_value", family="G", high=np.inf, formula="revenue / orders", conventions=f"no orders: {_EMPTY}")
def average_order_value(revenue: float, orders: float) -> float:
    """Revenue of a mean order."""
    return _rate(revenue, orders)


@metric("revenue_per_mille", family="G", high=np.inf, formula="1000 · revenue / impressions")
def revenue_per_mille(revenue: float, impressions: float) -> float:
    """Revenue per thousand impressions."""
    return 1000.0 * _rate(revenue, impressions)


@metric("margin_per_mille", family="G", low=-np.inf, high=np.inf, formula="1000 · margin / impressions")
def margin_per_mille(margin: float, impressions: float) -> float:
    """Margin per thousand impressions; margins may be negative."""
    return 1000.0 * _rate(margin, impressions)


@metric(
    "lifetime_value",
    family="G",
    low=-np.inf,
    high=np.inf,
    formula="Σ_{t=0}^{n−1} margin_t · ret^t / (1 + d)^t",
    conventions="period 0 counts whole; margins per period",
)
def lifetime_value(margins: Array, retention: float, discount: float) -> float:
    """Customer lifetime value.

    Parameters
    ----------
    margins
        ``[n]``, expected margin of an active customer in each period.
    retention
        Share of customers that stay from one period to the next.
    discount
        Discount rate of one period.
    """
    period = np.arange(len(margins))
    return float((np.asarray(margins) * (retention / (1.0 + discount)) ** period).sum())


@metric(
    "retention",
    family="G",
    formula="share of the cohort that is active on day n or later",
    conventions="days since each user's first day; users with less than n days observed are left out",
)
def retention(last_active: Array, observed: Array, n: float) -> float:
    """Retention at day n.

    Parameters
    ----------
    last_active
        ``[users]``, days from a user's first activity to the last.
    observed
        ``[users]``, days from a user's first activity to the end of the log.
    n
        The day.
    """
    cohort = np.asarray(observed) >= n
    return _rate(float((np.asarray(last_active)[cohort] >= n).sum()), float(cohort.sum()))


@metric("churn", family="G", direction="lower", formula="1 − retention at day n", conventions="as retention")
def churn(last_active: Array, observed: Array, n: float) -> float:
    """Share of the cohort that was gone by day n; parameters as for :func:`retention`."""
    return 1.0 - retention(last_active, observed, n)


@metric(
    "session_length",
    family="G",
    high=np.inf,
    direction="neither",
    formula="mean over sessions of last − first event",
    conventions=f"sessions of one event count 0; no session: {_EMPTY}",
)
def session_length(times: Array, sessions: npt.NDArray[np.integer]) -> float:
    """Mean session duration in the unit of ``times`` ``[events]``; ``sessions`` ``[events]`` are codes from 0."""
    if len(times) == 0:
        return _NAN
    first, last = _ends(np.asarray(times, np.float64), sessions)
    return float((last - first)[np.isfinite(first)].mean())


@metric(
    "time_to_first_click",
    family="G",
    high=np.inf,
    direction="lower",
    formula="mean over sessions with a click of first click − session start",
    conventions="sessions without a click are left out; none → NaN",
)
def time_to_first_click(times: Array, sessions: npt.NDArray[np.integer], clicked: npt.NDArray[np.bool_]) -> float:
    """Mean time from a session's first event to its first click; one entry per event."""
    if not clicked.any():
        return _NAN
    t = np.asarray(times, np.float64)
    start, _ = _ends(t, sessions)
    click, _ = _ends(t[clicked], sessions[clicked])
    waited = click - start[: len(click)]
    return float(waited[np.isfinite(waited)].mean())


def _ends(times: Vector, sessions: npt.NDArray[np.integer]) -> tuple[Vector, Vector]:
    """Earliest and latest time of every session, NaN where it has no event."""
    n = int(sessions.max()) + 1
    first, last = np.full(n, np.inf), np.full(n, -np.inf)
    np.minimum.at(first, sessions, times)
    np.maximum.at(last, sessions, times)
    absent = np.isinf(first)
    first[absent] = last[absent] = np.nan
    return first, last
