"""The part valid, where a data set comes without one: what is chosen on it is to be right on test."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import polars as pl

from honeyguide.core.dataset import Dataset
from honeyguide.core.ragged import Ragged
from honeyguide.data.splits import TEST, TRAIN, VALID, Codes, with_codes


def ensure_valid(data: Dataset, seed: int = 0, *, share: float = 0.05) -> Dataset:
    """Give a data set without a valid part one: a seeded share of its train events.

    Where the events have an order, the *last* train event of a random choice of users is taken (as
    many as make up the share, never a user's only one), because a model of sequences that is
    chosen on events from the middle of them would have seen what follows. If that share is more
    than the users have to give, everyone with two events or more gives one; where those of test are several of a user,
    everyone gives that share of the own events, from the end. Without an order, or where the
    events of test stand among those of train rather than behind them, any event may be taken, never a user's
    only one: what is chosen on valid is to be right on test. Where people mostly come back to what they had, valid
    reaches back to what was new to them last (:func:`reaching_back`). If every group of those events (``group_id``:
    a basket, a trajectory) is wholly in one part, it is whole groups that are drawn. Data without any split are all
    train.
    """
    if "valid" in data.parts:
        return data
    frame = data.interactions
    split = frame["split"].to_numpy() if "split" in frame.columns else np.full(frame.height, "train")
    train = np.flatnonzero(split == "train")
    wanted = round(share * len(train))
    everybody = frame["user"].to_numpy()
    users = everybody[train]
    rng = np.random.default_rng(seed)
    last = data.ordered and _is_behind("test", everybody, split)
    if not last and "test" in data.parts and (groups := _whole_groups(frame)) is not None:
        return with_codes(data, _valid_groups(everybody, groups, _codes_of(split), wanted, rng))
    order = np.arange(len(train)) if last else np.lexsort((rng.random(len(train)), users))
    starts = np.flatnonzero(np.diff(users, prepend=-1))
    ends = np.append(starts[1:], len(users))
    own = ends - starts
    candidates = np.delete(order, starts)
    if last:
        tested = everybody[split == "test"]
        several = len(tested) >= 2 * max(1, len(np.unique(tested)))
        gives = np.where(own > 1, np.clip(np.round(share * own), 1, own - 1) if several else 1, 0).astype(np.int64)
        from_end = np.repeat(ends, own) - 1 - order
        candidates = np.flatnonzero(from_end < np.repeat(gives, own))
        wanted = len(candidates) if several else wanted
    chosen = rng.permutation(candidates)[:wanted]
    codes = _codes_of(split)
    codes[train[chosen]] = VALID
    found = with_codes(data, codes)
    return reaching_back(found) if last and not several else found


def reaching_back(data: Dataset) -> Dataset:
    """``data`` with a part valid that asks for something new, where people mostly come back to what they had.

    There a user's last event is mostly a return, which says nothing of a list without seen items: few users would be
    left to choose by. If fewer than half of the users on valid have something new there, each of the others gives the
    train events from the last one on that was new to that user: a fifth of the own train events at most, or
    nothing. Whoever has only returns further back than that stays as it was.

    Parameters
    ----------
    data
        Split, with an order, the events of valid behind those of train.
    """
    frame = data.interactions
    codes, users = _codes_of(frame["split"].to_numpy()), frame["user"].to_numpy()
    asked = data.histories("valid").lengths > 0
    judges = new_on_valid(data).lengths
    if np.count_nonzero(judges) * 2 >= np.count_nonzero(asked):
        return data
    new = frame.select(pl.struct("user", "item").is_first_distinct()).to_series().to_numpy()
    rows = np.arange(len(users))
    train = codes == TRAIN
    begins = np.full(data.n_users, len(users))
    begins[users[new & train]] = rows[new & train]  # the last that is written stays
    given = train & (rows >= begins[users])
    own, gives = (np.bincount(users[of], minlength=data.n_users) for of in (train, given))
    reach = asked & (judges == 0) & (gives * 5 <= own)
    return with_codes(data, np.where(given & reach[users], np.int8(VALID), codes))


def _codes_of(split: npt.NDArray[np.generic]) -> Codes:
    return np.select([split == "train", split == "valid"], [TRAIN, VALID], TEST).astype(np.int8)


def _whole_groups(frame: pl.DataFrame) -> npt.NDArray[np.int64] | None:
    """Number of the group of every event, each user's own; None without groups, or if the split cuts through them."""
    if "group_id" not in frame.columns or frame["group_id"].null_count():
        return None
    numbered = frame.select("split", group=pl.struct("user", "group_id").rank("dense").cast(pl.Int64) - 1)
    groups = numbered["group"].to_numpy()
    parts = numbered.group_by("group").agg(pl.col("split").n_unique())["split"]
    return groups if parts.max() == 1 and len(parts) < len(groups) else None


def _valid_groups(
    users: npt.NDArray[np.integer],
    groups: npt.NDArray[np.int64],
    codes: Codes,
    wanted: int,
    rng: np.random.Generator,
) -> Codes:
    """``codes`` with whole train groups drawn for valid, until they hold ``wanted`` events; every user keeps one.

    One of each user comes before anybody's second, and up to twice as much is drawn for everybody to give one: few
    users would be few to choose by.
    """
    train = codes == TRAIN
    number, first, size = np.unique(groups[train], return_index=True, return_counts=True)
    owner = users[train][first]
    drawn = rng.permutation(len(number))
    drawn = drawn[np.argsort(owner[drawn], kind="stable")]  # each user's groups together, in random order
    place = np.arange(len(drawn)) - np.searchsorted(owner[drawn], owner[drawn])
    order = np.lexsort((rng.random(len(drawn)), place))
    order = order[place[order] > 0]  # the first of each user stays
    given, turn = drawn[order], place[order]
    before = np.cumsum(size[given]) - size[given]
    taken = given[before < np.where(turn == 1, 2 * wanted, wanted)]
    return np.where(train & np.isin(groups, number[taken]), np.int8(VALID), codes)


def new_on_valid(data: Dataset) -> Ragged:
    """What each user has on valid and not in the train history: what can be found when seen items are left out."""
    return new_on("valid", data, "train")


def new_on(part: str, data: Dataset, *before: str) -> Ragged:
    """What each user has in ``part`` and not in the history, the parts ``before``."""
    history, asked = data.histories(*before), data.histories(part)
    users = np.flatnonzero(asked.lengths)
    earlier, wide = history.take(users), asked.take(users)
    keys = [lists.rows * np.int64(data.n_items) + lists.values for lists in (earlier, wide)]
    return asked.where(~np.isin(keys[1], keys[0]))


def asks_what_follows(data: Dataset) -> bool:
    """Whether valid asks what comes next: events have an order, and those of valid stand behind those of train.

    Where a random share of the events is held out, their order says nothing about what is asked, and what learns
    from it answers another question. True without a part valid, if there is an order.
    """
    frame = data.interactions
    if not data.ordered or "split" not in frame.columns:
        return data.ordered
    return _is_behind("valid", frame["user"].to_numpy(), frame["split"].to_numpy())


def _is_behind(part: str, users: npt.NDArray[np.integer], split: npt.NDArray[np.generic]) -> bool:
    """Whether most events of ``part`` come after all of their user's train events; true where there are none."""
    rows = np.arange(len(users))
    last = np.full(int(users.max(initial=-1)) + 1, -1)
    np.maximum.at(last, users[split == "train"], rows[split == "train"])
    held_out = split == part
    return not held_out.any() or bool((rows[held_out] > last[users[held_out]]).mean() >= 0.5)
