"""Splits: who learns from what, and what is asked of whom.

A strategy takes a data set and returns it with a ``split`` column of ``train``, ``valid`` and
``test``; whatever split there was is replaced. All work on whole columns; a million events take
well under a second.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np
import numpy.typing as npt
import polars as pl

from honeyguide.core.dataset import PARTS, Dataset
from honeyguide.core.errors import ConfigError, DataError, UnknownNameError
from honeyguide.data.columns import naming

TRAIN, VALID, TEST = range(3)
_EXACT = 1e-6  # so that .7 of ten events are seven, whatever .7 is in floating point

Codes = npt.NDArray[np.int8]


@dataclass(frozen=True)
class Split:
    """How a data set is split, for reports.

    Parameters
    ----------
    counts
        Part to number of events.
    users
        Part to number of users with an event in it.
    """

    counts: dict[str, int]
    users: dict[str, int]

    @classmethod
    def of(cls, data: Dataset) -> Split:
        """Count the parts of ``data``."""
        frame = data.interactions
        if "split" not in frame.columns:
            return cls({"train": frame.height}, {"train": frame["user"].n_unique()})
        counted = frame.group_by("split").agg(pl.len(), pl.col("user").n_unique())
        rows = {part: (events, users) for part, events, users in counted.rows()}
        present = [part for part in PARTS if part in rows]
        return cls({p: rows[p][0] for p in present}, {p: rows[p][1] for p in present})

    def describe(self) -> str:
        """One line, for example ``train 90 events of 10 users; test 10 events of 10 users``."""
        return "; ".join(f"{part} {self.counts[part]:,} events of {self.users[part]:,} users" for part in self.counts)


def leave_last_out(data: Dataset, *, valid: int = 1, test: int = 1) -> Dataset:
    """The last ``test`` events of every user are test, the ``valid`` ones before them valid.

    A user keeps at least one train event: one with too few events for all parts gives its last to
    test first, then to valid; with a single event it is all train.

    Raises
    ------
    DataError
        If the events have no order.
    """
    _require_order(data)
    from_end, _, length = _within_users(data)
    room = length - 1
    tested = np.minimum(test, room)
    validated = np.minimum(valid, room - tested)
    codes = np.where(from_end < tested, TEST, np.where(from_end < tested + validated, VALID, TRAIN))
    return with_codes(data, codes.astype(np.int8))


def leave_last_new_out(data: Dataset) -> Dataset:
    """Test is the last event of every user with an item that was new to that user, valid the event before it.

    What follows the event of test is left out. For where people come back to places or songs: there the last event
    is mostly no news, and a list without seen items is wrong for most people whatever it holds. Users with one item
    alone are all train, and whoever has two events gives test one.

    Raises
    ------
    DataError
        If the events have no order.
    """
    _require_order(data)
    frame = data.interactions
    counts = pl.col("positive") if "positive" in frame.columns else pl.lit(value=True)
    first = frame.with_row_index("_row").filter(counts).unique(["user", "item"], keep="first")
    last = first.group_by("user").agg(pl.len().alias("items"), pl.col("_row").max()).filter(pl.col("items") > 1)
    users, rows = last["user"].to_numpy(), last["_row"].to_numpy().astype(np.int64)
    _, place, _ = _within_users(data)
    codes = np.full(frame.height, TRAIN, np.int8)
    codes[rows] = TEST
    codes[rows[place[rows] > 1] - 1] = VALID
    ends = np.full(data.n_users, frame.height)
    ends[users] = rows
    kept = pl.Series(np.arange(frame.height) <= ends[frame["user"].to_numpy()])
    split = with_codes(data, codes)
    return replace(split, interactions=split.interactions.filter(kept))


def global_time(data: Dataset, *, valid: float | datetime | str = 0.1, test: float | datetime | str = 0.1) -> Dataset:
    """Everything before one moment is train, everything from another on is test.

    Parameters
    ----------
    data
        With complete timestamps.
    valid, test
        Either a share of the events, the last ones in time, or the moment at which the part
        begins (ISO 8601 or a datetime; UTC where no zone is given). Events of equal time are never separated.

    Raises
    ------
    DataError
        If timestamps are missing.
    ConfigError
        If the moments are not in order.
    """
    times = _times(data)
    test_from = _moment(times, test, 1.0 - test if isinstance(test, float | int) else None)
    share = 1.0 - test - valid if isinstance(test, float | int) and isinstance(valid, float | int) else None
    if share is None and isinstance(valid, float | int):
        share = float(np.mean(times < test_from)) - valid
    valid_from = _moment(times, valid, share)
    if valid_from > test_from:
        raise ConfigError("valid must not begin after test.", "Exchange the two moments.")
    codes = np.where(times >= test_from, TEST, np.where(times >= valid_from, VALID, TRAIN))
    return with_codes(data, codes.astype(np.int8))


def rolling(data: Dataset, n: int = 3, *, share: float = 0.1) -> Iterator[Dataset]:
    """A backtest: ``n`` data sets, each tested on a later slice of time, trained on everything before it.

    The last ``n`` slices of ``share`` of the events each are tested in turn. The slice before the
    tested one is valid; events after it are left out.

    Parameters
    ----------
    data
        With complete timestamps.
    n
        Number of folds.
    share
        Share of all events in a slice.

    Raises
    ------
    DataError
        If timestamps are missing.
    ConfigError
        If the slices leave nothing to train on.
    """
    if (n + 1) * share >= 1.0:
        raise ConfigError(f"{n} folds of {share:.0%} and a valid slice leave nothing to train on.", "Ask for less.")
    times = _times(data)
    bounds = [*(_moment(times, 0.0, 1.0 - share * (n + 1 - i)) for i in range(n + 1)), np.iinfo(np.int64).max]
    for fold in range(n):
        codes = np.where(times >= bounds[fold + 1], TEST, np.where(times >= bounds[fold], VALID, TRAIN))
        seen = pl.Series(times < bounds[fold + 2])
        kept = replace(data, interactions=data.interactions.filter(seen), name=f"{data.name} fold {fold + 1}/{n}")
        yield with_codes(kept, codes[seen.to_numpy()].astype(np.int8))


def ratio(data: Dataset, *, valid: float = 0.1, test: float = 0.2, seed: int = 0) -> Dataset:
    """A random share of every user's events, rounded, is test, another valid; one event at least stays train."""
    if valid < 0 or test < 0 or valid + test >= 1:
        raise ConfigError("valid and test must be shares that leave something to train on.", "For example .1 and .2.")
    users = data.interactions["user"].to_numpy()
    rng = np.random.default_rng(seed)
    shuffled = np.lexsort((rng.random(len(users)), users))
    _, from_start, length = _within_users(data)
    tested = np.minimum(np.floor(length * test + 0.5), length - 1)
    validated = np.minimum(np.floor(length * valid + 0.5), length - 1 - tested)
    codes = np.empty(len(users), np.int8)
    codes[shuffled] = np.where(from_start < tested, TEST, np.where(from_start < tested + validated, VALID, TRAIN))
    return with_codes(data, codes)


def cold_item(data: Dataset, *, valid: float = 0.05, test: float = 0.1, seed: int = 0) -> Dataset:
    """All events of a random share of the items are test, of another valid: those items are new to the model."""
    return _by_group(data, "item", valid, test, seed)


def cold_and_warm(data: Dataset, *, valid: float = 0.05, test: float = 0.1, seed: int = 0) -> Dataset:
    """As :func:`cold_item`, and of the other items the last event of every user is test too, the one before valid.

    So cold items compete with warm ones for every place, and what they cost these can be seen.

    Raises
    ------
    DataError
        If the events have no order.
    """
    cold = cold_item(data, valid=valid, test=test, seed=seed)
    is_cold = (cold.interactions["split"] != "train").to_numpy()
    warm = leave_last_out(replace(data, interactions=data.interactions.filter(~pl.Series(is_cold))))
    split = cold.interactions["split"].to_numpy().copy()
    split[~is_cold] = warm.interactions["split"].to_numpy()
    return replace(data, interactions=data.interactions.with_columns(pl.Series("split", split, pl.String)))


def cold_user(data: Dataset, *, valid: float = 0.05, test: float = 0.1, seed: int = 0) -> Dataset:
    """All events of a random share of the users are test, of another valid: those users are new to the model."""
    return _by_group(data, "user", valid, test, seed)


def auto_split(data: Dataset, *, seed: int = 0) -> Dataset:
    """``data`` with its own split, or else leave-last-out where there is an order and a ratio where there is none."""
    if "test" in data.parts:
        return data
    return leave_last_out(data) if data.ordered else ratio(data, seed=seed)


def tie_shuffled(data: Dataset, seed: int = 0) -> Dataset:
    """The same data with events of one user at one time in random order.

    Days as times and files that keep an order within them make models look better than they are;
    the difference between this and the original says by how much. Positions are renumbered. Every
    event keeps its part; split again if the order decides the parts.

    Raises
    ------
    DataError
        If there are no complete timestamps, so that ties cannot be known.
    """
    if data.times() is None:
        raise DataError(
            "without complete timestamps nobody can know which events are ties.",
            "adjacent_swapped(data, p, seed) disturbs the order of positions instead.",
        )
    frame = data.interactions
    noise = pl.Series("__noise", np.random.default_rng(seed).random(frame.height))
    mixed = frame.with_columns(noise).sort("user", "timestamp", "__noise").drop("__noise")
    if "split" in frame.columns:  # parts stay where they were in the order
        mixed = mixed.with_columns(frame["split"])
    return replace(data, interactions=_renumbered(mixed))


def adjacent_swapped(data: Dataset, p: float = 0.5, seed: int = 0) -> Dataset:
    """The same data with pairs of neighbouring events of a user exchanged with probability ``p``.

    Pairs do not overlap, and both events of a pair are of the same part. Timestamps stay with the
    places, not with the events.
    """
    frame = data.interactions
    users = frame["user"].to_numpy()
    split = frame["split"].to_numpy() if "split" in frame.columns else np.zeros(len(users))
    _, from_start, _ = _within_users(data)
    rng = np.random.default_rng(seed)
    first = np.flatnonzero((users[:-1] == users[1:]) & (split[:-1] == split[1:]) & (from_start[:-1] % 2 == 0))
    first = first[rng.random(len(first)) < p]
    order = np.arange(len(users))
    order[first], order[first + 1] = first + 1, first
    places = [c for c in ("timestamp", "position", "split") if c in frame.columns]
    return replace(data, interactions=frame[order].with_columns(frame.select(places)))


STRATEGIES: dict[str, Callable[[Dataset], Dataset]] = {
    "auto": auto_split,
    "leave-last-out": leave_last_out,
    "leave-last-new-out": leave_last_new_out,
    "global-time": global_time,
    "ratio": ratio,
    "cold-item": cold_item,
    "cold-and-warm": cold_and_warm,
    "cold-user": cold_user,
}


def split_by_name(data: Dataset, name: str) -> Dataset:
    """Apply a strategy of :data:`STRATEGIES` with its defaults; ``none`` removes the split.

    Raises
    ------
    UnknownNameError
        If there is no such strategy.
    """
    if name == "none":
        return replace(data, interactions=data.interactions.drop("split", strict=False))
    if name not in STRATEGIES:
        raise UnknownNameError("split", name, [*STRATEGIES, "none"])
    return STRATEGIES[name](data)


def _by_group(data: Dataset, column: str, valid: float, test: float, seed: int) -> Dataset:
    if valid < 0 or test < 0 or valid + test >= 1:
        raise ConfigError("valid and test must be shares that leave something to train on.", "For example .05 and .1.")
    groups = data.interactions[column].to_numpy()
    present = np.unique(groups)
    draw = np.random.default_rng(seed).permutation(present)
    n_test, n_valid = round(test * len(present)), round(valid * len(present))
    kinds = np.zeros(int(present.max(initial=-1)) + 1, np.int8)
    kinds[draw[:n_test]], kinds[draw[n_test : n_test + n_valid]] = TEST, VALID
    return with_codes(data, kinds[groups])


def _require_order(data: Dataset) -> None:
    if not data.ordered:
        raise DataError(
            "the events have no order, so no event is a user's last.",
            f"Name a column of times: {naming('timestamp')}. If the rows of a user stand in order, say --in-order "
            "(order='rows' in Python). The split 'ratio' needs no order.",
        )


def _within_users(data: Dataset) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Per event: events of its user after it, before it, and in all."""
    users = data.interactions["user"].to_numpy()
    counts = np.bincount(users, minlength=data.n_users)
    starts = np.cumsum(counts) - counts
    length = counts[users]
    before = np.arange(len(users)) - starts[users]
    return length - 1 - before, before, length


def _times(data: Dataset) -> npt.NDArray[np.int64]:
    frame = data.interactions
    if "timestamp" not in frame.columns or frame["timestamp"].null_count():
        remedy = f"Name a column of times: {naming('timestamp')}. The split 'leave-last-out' needs an order alone."
        raise DataError("a split by time needs a timestamp for every event.", remedy)
    return frame["timestamp"].cast(pl.Int64).to_numpy()


def _moment(times: npt.NDArray[np.int64], given: float | datetime | str, share: float | None) -> int:
    """Microseconds at which a part begins: the given moment, or the time of the event at ``share`` of all."""
    if isinstance(given, float | int):
        if share is None or not 0.0 < share < 1.0:
            raise ConfigError("valid and test must be shares that leave something to train on.", "For example .1.")
        ranked = np.sort(times)
        return int(ranked[min(len(ranked) - 1, int(np.ceil(share * len(ranked) - _EXACT)))]) if len(ranked) else 0
    try:
        moment = datetime.fromisoformat(given) if isinstance(given, str) else given
    except ValueError as error:
        raise ConfigError(f"{given!r} is not a moment.", "Write it as 2024-05-31 or 2024-05-31T18:00:00Z.") from error
    series = pl.Series([moment])
    utc = series.dt.replace_time_zone("UTC") if moment.tzinfo is None else series.dt.convert_time_zone("UTC")
    return int(utc.cast(pl.Datetime("us", "UTC")).cast(pl.Int64)[0])


def with_codes(data: Dataset, codes: Codes) -> Dataset:
    """``data`` split by ``codes``, int8 ``[n]``: for every event its place in the parts train, valid, test."""
    names = pl.Series("split", PARTS)
    return replace(data, interactions=data.interactions.with_columns(names.gather(codes.astype(np.uint32))))


def _renumbered(frame: pl.DataFrame) -> pl.DataFrame:
    if "position" not in frame.columns:
        return frame
    numbers = pl.int_range(pl.len()).over("user").cast(frame.schema["position"])
    return frame.with_columns(numbers.alias("position"))
