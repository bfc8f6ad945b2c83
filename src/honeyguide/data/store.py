"""Users' histories, kept beside a model and never inside it, so that a user can be deleted.

A store is a folder written by :mod:`honeyguide.core.artifact`: a new version appears whole or not
at all, and is checksummed. Unlike a model's folder it keeps no earlier versions, because those
would remember who was deleted. A writer whose copy is not the current one is told so; readers hold what they opened.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

from honeyguide.core import artifact
from honeyguide.core.artifact import ANY, Arrays, Artifact, StaleError
from honeyguide.core.dataset import Dataset
from honeyguide.core.errors import DataError
from honeyguide.core.ids import Ids
from honeyguide.core.ragged import FloatArray, IntArray, Ragged, TimeArray
from honeyguide.data.pictures import without_bytes

_KIND = "histories"
_SCHEMA = pl.Schema({"user": pl.Int64, "item": pl.Int32, "state": pl.UInt8, "time": pl.Int64})
HELD_OUT, LEARNT, PENDING = range(3)  # what the model beside the store has to do with an event


@dataclass(frozen=True)
class Events:
    """Everybody's events.

    Parameters
    ----------
    histories
        One list per user, oldest first, with times where events have them.
    states
        uint8 ``[nnz]``: ``HELD_OUT`` from the model beside the store, ``LEARNT`` by it, or ``PENDING``.
    """

    histories: Ragged
    states: npt.NDArray[np.uint8]

    @property
    def times(self) -> TimeArray | None:
        """int64 ``[nnz]`` microseconds since 1970, or ``None`` where events have no times."""
        return self.histories.times

    def take(self, rows: npt.NDArray[np.integer]) -> Events:
        """The events of the users ``rows``."""
        places = Ragged(self.histories.offsets, np.arange(len(self.states), dtype=np.int32)).take(rows).values
        return Events(self.histories.take(rows), self.states[places])

    def where(self, *states: int) -> Ragged:
        """The histories with only the events in one of ``states``."""
        return self.histories.where(np.isin(self.states, states))

    def frame(self) -> pl.DataFrame:
        """One row per event: ``user, item, state, time``."""
        columns = {"user": self.histories.rows, "item": self.histories.values, "state": self.states}
        return pl.DataFrame(columns).with_columns(_times(self.times))

    @classmethod
    def of(cls, frame: pl.DataFrame, n_users: int, timed: bool) -> Events:
        """Undo :meth:`frame`, for rows sorted by user."""
        times = frame["time"].to_numpy().astype(np.int64) if timed else None
        histories = Ragged.from_groups(frame["user"].to_numpy(), frame["item"].to_numpy(), n_users, times)
        return cls(histories, frame["state"].to_numpy().astype(np.uint8))


class HistoryStore:
    """What every user did, in item codes, oldest first; open it with :meth:`create` or :meth:`open`.

    Attributes
    ----------
    item_ids
        The map from item codes to external ids; the same as that of a model fitted on the same data.
    items
        The item table, one row per code.
    """

    def __init__(self, directory: Path, user_ids: Ids, item_ids: Ids, events: Events, items: pl.DataFrame) -> None:
        self.directory = directory
        self.item_ids = item_ids
        self.items = items
        self._people = user_ids, events  # exchanged as one: another thread never sees users of one version
        self._version: str | None = None  # on disk, that this was read from or written as

    @property
    def _user_ids(self) -> Ids:
        return self._people[0]

    @property
    def _events(self) -> Events:
        return self._people[1]

    @classmethod
    def create(
        cls, directory: str | Path, data: Dataset, *parts: str, learnt: Sequence[str] = ("train",)
    ) -> HistoryStore:
        """Write the histories of ``parts`` of ``data``, of all by default; replaces a store that is there.

        The parts ``learnt`` are what a model fitted on ``data`` has learnt; the others are held out.
        """
        frame = data.positives(*parts)
        known = np.ones(frame.height, bool)
        if "split" in frame.columns:
            known = frame["split"].cast(pl.String).is_in(learnt).to_numpy()
        events = Events(data.histories(*parts), np.where(known, LEARNT, HELD_OUT).astype(np.uint8))
        store = cls(Path(directory), data.user_ids, data.item_ids, events, without_bytes(data.items))
        store._publish(store._user_ids, events, anyway=True)
        return store

    @classmethod
    def open(cls, directory: str | Path) -> HistoryStore:
        """Read a store.

        Raises
        ------
        ArtifactError
            If it is missing or damaged.
        """
        version = artifact.current_version(directory)  # before it is read: what comes meanwhile is another one
        content = artifact.read(directory, _KIND)
        histories = Ragged(content.arrays["offsets"], content.arrays["values"], content.arrays.get("times"))
        events = Events(histories, content.arrays["states"])
        user_ids, items = Ids(content.tables["users"]["user_id"]), content.tables["items"]
        store = cls(Path(directory), user_ids, Ids(items["item_id"]), events, items)
        store._version = version
        return store

    def __len__(self) -> int:
        return len(self._user_ids)

    def __contains__(self, user_id: object) -> bool:
        return bool(self._user_ids.encode([user_id])[0] >= 0)

    @property
    def user_ids(self) -> pl.Series:
        """External ids of all users."""
        return self._user_ids.values

    def history(self, user_id: object) -> IntArray:
        """Item codes of one user, oldest first.

        Raises
        ------
        DataError
            If the user is not in the store.
        """
        users, events = self._people
        code = int(users.encode([user_id])[0])
        if code < 0:
            raise self._unknown(user_id)
        return events.histories[code]

    def known_history(self, user_id: object) -> IntArray:
        """As :meth:`history`; empty for somebody who is not in the store."""
        code = int(self._user_ids.encode([user_id])[0])
        return self._events.histories[code] if code >= 0 else np.empty(0, np.int32)

    def histories(self, user_ids: pl.Series | Sequence[object]) -> Ragged:
        """Item codes of many users in the given order; empty for those who are not in the store."""
        users, events = self._people
        codes = users.encode(user_ids)
        padded = events.histories.concat_rows(Ragged.empty(1))  # -1 takes the last, empty one
        return padded.take(np.where(codes < 0, len(users), codes))

    def block(self, first: int, last: int) -> tuple[pl.Series, Ragged]:
        """External ids and item codes of the users at the places ``first`` to ``last`` (not included)."""
        users, events = self._people
        return users.values.slice(first, max(0, last - first)), events.histories.take(slice(first, last))

    def popularity(self) -> FloatArray:
        """float32 ``[n_items]``: events of every item, in the order of ``item_ids``."""
        values = self._events.histories.values
        return np.bincount(values[values >= 0], minlength=len(self.item_ids)).astype(np.float32)

    def append(self, user_ids: pl.Series, item_ids: pl.Series) -> None:
        """Add events, one per pair and in that order, at the end of histories; new users are added.

        Raises
        ------
        DataError
            If an item is not in the store.
        """
        items = self.item_ids.encode(item_ids)
        if (items < 0).any():
            unknown = item_ids[int(np.argmax(items < 0))]
            raise DataError(f"the item {unknown!r} is not in the store.", "Create the store anew from the data.")
        if self._events.times is not None:
            raise DataError("the events of this store have times.", "Add events with their times: merge().")
        users = self._user_ids.append(user_ids)
        new = pl.DataFrame({"user": users.encode(user_ids).astype(np.int64), "item": items})
        frame = pl.concat([self._events.frame(), new.with_columns(state=PENDING, time=None).cast(_SCHEMA)])
        self._publish(users, Events.of(frame.sort("user", maintain_order=True), len(users), timed=False))

    def merge(
        self,
        user_ids: pl.Series,
        item_ids: pl.Series,
        times: TimeArray | None = None,
        items: pl.DataFrame | None = None,
    ) -> int:
        """Add events that are not there yet, in their place in time; new users and items are added.

        Two events are the same if user, item and time are; in a store without times, if user and item are.
        What is added is *pending* until :meth:`mark_learnt`.

        Parameters
        ----------
        user_ids, item_ids, times
            Of each event, in the order in which they happened; times in microseconds since 1970, which a store
            without times leaves aside.
        items
            What is known of new items: a table with a column ``item_id``.

        Returns
        -------
        int
            Number of events added.

        Raises
        ------
        DataError
            If the store has times and none are given, or ids are of another kind than those of the store.
        """
        timed = self._events.times is not None
        if timed and times is None:
            raise DataError("the events of the store have times, and these have none.", "Name a column: --time-col.")
        users, catalogue = self._user_ids.append(user_ids), self.item_ids.append(item_ids)
        codes = {"user": users.encode(user_ids).astype(np.int64), "item": catalogue.encode(item_ids)}
        new = pl.DataFrame(codes).with_columns(_times(times if timed else None), state=PENDING)
        old, key = self._events.frame(), ["user", "item", "time"] if timed else ["user", "item"]
        new = new.select(old.columns).cast(_SCHEMA).unique(key, keep="first", maintain_order=True)
        new = new.join(old.select(key).unique(), on=key, how="anti", maintain_order="left")
        if new.height or len(catalogue) > len(self.item_ids):
            self.items, self.item_ids = _with_items(self.items, catalogue, items), catalogue
            frame = pl.concat([old, new]).sort(["user", "time"] if timed else ["user"], maintain_order=True)
            self._publish(users, Events.of(frame, len(users), timed))
        return new.height

    def pending(self) -> tuple[Ragged, Ragged]:
        """Of every user with pending events: what the model has learnt, and what it shall have learnt with them."""
        waiting = np.unique(self._events.histories.rows[self._events.states == PENDING])
        events = self._events.take(waiting)
        return events.where(LEARNT), events.where(LEARNT, PENDING)

    def settled(self, n: int, seed: int) -> Ragged:
        """What the model has learnt of at most ``n`` users without pending events, drawn at random."""
        waiting = np.unique(self._events.histories.rows[self._events.states == PENDING])
        others = np.setdiff1d(np.arange(len(self)), waiting)
        drawn = np.random.default_rng(seed).permutation(others)[:n]
        return self._events.take(np.sort(drawn)).where(LEARNT)

    def pending_digest(self) -> str | None:
        """SHA-256 of the pending events and of what was learnt of their users; ``None`` without any."""
        before, after = self.pending()
        if not len(after):
            return None
        parts = (before.offsets, before.values, after.offsets, after.values)
        return hashlib.sha256(b"".join(part.tobytes() for part in parts)).hexdigest()

    def mark_learnt(self) -> None:
        """Say that the model beside the store has learnt what was pending when this was read."""
        users, events = self._people
        waiting = _named(users, events).filter(pl.col("state") == PENDING).drop("state")
        while True:
            users, events = self._people
            learnt = _named(users, events).join(
                waiting.with_columns(learnt=True),
                on=waiting.columns,
                how="left",
                nulls_equal=True,
                maintain_order="left",
            )["learnt"]
            states = np.where(learnt.fill_null(False).to_numpy(), LEARNT, events.states).astype(np.uint8)
            try:
                return self._publish(users, Events(events.histories, states))
            except StaleError:
                self._read_again()  # somebody was forgotten meanwhile

    def add_items(self, items: pl.DataFrame) -> None:
        """Add rows to the item table: new ids follow the others in sorted order; a row of a known id replaces it.

        Columns that the store does not have are added, and those that ``items`` lacks stay empty.
        """
        ids = self.item_ids.append(items["item_id"])
        new = _like(without_bytes(items).with_columns(pl.col("item_id").cast(ids.dtype)), self.items)
        table = pl.concat([new, self.items], how="diagonal_relaxed")
        table = table.select(*self.items.columns, pl.exclude(self.items.columns))
        table = table.unique("item_id", keep="first", maintain_order=True)
        table = pl.DataFrame({"item_id": ids.values}).join(table, on="item_id", how="left", maintain_order="left")
        self.item_ids, self.items = ids, table
        self._publish(self._user_ids, self._events)

    def delete(self, user_id: object) -> None:
        """Forget a user: when this returns, no file of the store holds the id or the history any more.

        Raises
        ------
        DataError
            If the user is not in the store; what an earlier deletion that was cut short left is removed all the same.
        ArtifactError
            If the store cannot be written to; the deletion is to be repeated then.
        """
        if not self.discard(user_id):
            raise self._unknown(user_id)

    def discard(self, user_id: object) -> bool:
        """Forget a user who may not be there, as :meth:`delete` does; whether there was one.

        Where another process has written since this was read, the user is taken out of what that process wrote.
        """
        if artifact.current_version(self.directory) != self._version:
            on_disk = HistoryStore.open(self.directory).discard(user_id)
            here = self._without(user_id)
            self._people = here or self._people
            return on_disk or here is not None
        left = self._without(user_id)
        if left is None:
            artifact.sweep(self.directory)
            return False
        try:
            self._publish(*left)
        except StaleError:
            return self.discard(user_id)
        return True

    def _without(self, user_id: object) -> tuple[Ids, Events] | None:
        """Everybody else; ``None`` where there is no such user."""
        users, events = self._people
        code = int(users.encode([user_id])[0])
        if code < 0:
            return None
        keep = np.delete(np.arange(len(users)), code)
        return Ids(users.values.gather(keep)), events.take(keep)

    def _unknown(self, user_id: object) -> DataError:
        return DataError(f"the user {user_id!r} is not in the store {self.directory}.", "Check the id.")

    def _read_again(self) -> None:
        """Take over what another process has written since this was read."""
        if artifact.current_version(self.directory) != self._version:
            found = HistoryStore.open(self.directory)
            self.item_ids, self.items = found.item_ids, found.items
            self._people, self._version = found._people, found._version

    def _publish(self, user_ids: Ids, events: Events, *, anyway: bool = False) -> None:
        """Write a new version, then take it over and remove every other: also what a crashed write left.

        Raises
        ------
        StaleError
            If there is another version than the one that this was read from, unless ``anyway``.
        """
        histories = events.histories
        arrays: Arrays = {"offsets": histories.offsets, "values": histories.values, "states": events.states}
        if events.times is not None:
            arrays["times"] = events.times
        content = Artifact(
            kind=_KIND,
            meta={"users": len(user_ids), "items": len(self.item_ids), "events": len(events.states)},
            arrays=arrays,
            tables={"users": pl.DataFrame({"user_id": user_ids.values}), "items": self.items},
        )
        written = artifact.publish(self.directory, content, over=ANY if anyway else self._version)
        self._people, self._version = (user_ids, events), written.name
        artifact.sweep(self.directory)


def _named(users: Ids, events: Events) -> pl.DataFrame:
    """One row per event, by the external id of its user: codes change when somebody is forgotten."""
    frame = events.frame()
    return frame.with_columns(user=users.values.gather(frame["user"]))


def _like(new: pl.DataFrame, old: pl.DataFrame) -> pl.DataFrame:
    """``new`` with the types that ``old`` has for the same columns; a word where lists are kept is a list of one."""
    casts = []
    for name in set(new.columns) & set(old.columns):
        kept, given = old.schema[name], new.schema[name]
        if isinstance(kept, pl.List) and not isinstance(given, pl.List):
            casts.append(pl.col(name).cast(kept.inner, strict=False).reshape((-1, 1)).arr.to_list().alias(name))
        else:
            casts.append(pl.col(name).cast(kept, strict=False))
    return new.with_columns(casts)


def _times(times: TimeArray | None) -> pl.Expr | pl.Series:
    return pl.lit(None, pl.Int64).alias("time") if times is None else pl.Series("time", times, pl.Int64)


def _with_items(old: pl.DataFrame, catalogue: Ids, given: pl.DataFrame | None) -> pl.DataFrame:
    """The item table with a row for every item of the grown catalogue; of the given table, the known columns."""
    new = pl.DataFrame({"item_id": catalogue.values.slice(old.height)})
    if given is not None:
        known = [column for column in old.columns if column in given.columns]
        features = given.select(known).cast({column: old.schema[column] for column in known}, strict=False)
        new = new.join(features, on="item_id", how="left", maintain_order="left")
    return pl.concat([old, new], how="diagonal")
