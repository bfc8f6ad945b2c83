"""What one tenant is answered from: a model that can be exchanged, live histories, new items, a chain of fallbacks."""

from __future__ import annotations

import logging
import re
import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import polars as pl

from honeyguide.agent.grammar import Grammar
from honeyguide.agent.lexicon import Lexicon
from honeyguide.agent.planner import Planner, shown_of
from honeyguide.agent.preferences import Delta, Preferences
from honeyguide.core.errors import ConfigError, HoneyguideError
from honeyguide.core.ragged import IntArray
from honeyguide.data.store import HistoryStore
from honeyguide.experiment.bundle import Bundle, open_bundle
from honeyguide.pipeline.asked import Asked
from honeyguide.pipeline.config import PipelineConfig, Rank, Retrieve, Rule
from honeyguide.pipeline.pipeline import Order, Pipeline, PipelineFile
from honeyguide.pipeline.retrieve import FUSION
from honeyguide.pipeline.stock import Stock
from honeyguide.serve.store import Event, Store
from honeyguide.serve.table import typed_table

Source = Literal["personal", "session", "popular"]
_REMEMBERED = 50_000  # users whose histories are held in memory
_INTEGER = re.compile(r"0|-?[1-9][0-9]{0,17}")  # as it is written back: "07" is not the user 7
_LOG = logging.getLogger("honeyguide.serve")


@dataclass(frozen=True)
class Person:
    """What is known of a user: item codes, oldest first, of what was liked, and of what is not to be shown."""

    liked: IntArray
    hidden: IntArray
    preferences: Preferences = field(default_factory=Preferences)


NOBODY = Person(np.empty(0, np.int32), np.empty(0, np.int32))


@dataclass(frozen=True)
class Live:
    """A model in service; a new one takes the place of the whole.

    Parameters
    ----------
    bundle
        The model, and the histories that were there when it was fitted.
    stock
        The model with its item table.
    stages
        The pipeline, read again when its file changes.
    popular
        A pipeline for those of whom nothing is known.
    stamp
        Of the version of the model that was read: its name and digest.
    grammar
        Of commands over its items.
    """

    bundle: Bundle
    stock: Stock
    stages: PipelineFile
    popular: Pipeline
    stamp: str
    grammar: Grammar

    @property
    def version(self) -> str:
        """Name of the version of the model."""
        return self.stamp.split()[0]


@dataclass(frozen=True)
class Answer:
    """The order made for a request, and what it was made from."""

    order: Order
    source: Source
    live: Live
    person: Person
    user_id: str | None = None


class Engine:
    """Answers for one tenant.

    Parameters
    ----------
    tenant
        Its name.
    directory
        Folder of the fitted model.
    store
        Events and items since then.
    pipeline
        TOML file of the stages; ``None`` for the model alone.

    Raises
    ------
    ArtifactError, ConfigError, DataError
        If the model or the pipeline cannot be used.
    """

    def __init__(self, tenant: str, directory: Path, store: Store, pipeline: Path | None = None) -> None:
        self.tenant, self.directory, self.store, self._file = tenant, directory, store, pipeline
        self._people: OrderedDict[str, Person] = OrderedDict()
        self._being_read: dict[str, object] = {}  # by whom last, of users that nothing happened to since
        self._lock = threading.Lock()
        self._changing = threading.Lock()
        self.live = self._open()

    # -- the model ----------------------------------------------------------------------------

    def _open(self) -> Live:
        stamp = current_version(self.directory)
        bundle = open_bundle(self.directory)
        bundle = _with_new_items(bundle, self.store.items(self.tenant))
        return self._live(bundle, stamp, None)

    def _live(self, bundle: Bundle, stamp: str, before: PipelineFile | None) -> Live:
        stock = bundle.stock()
        self._count(stock)
        popular = PipelineConfig(retrieve=(Retrieve(source="popular", n=500),), rank=Rank(by="fusion"))
        return Live(
            bundle,
            stock,
            PipelineFile(self._file, stock) if before is None else before.over(stock),
            Pipeline(popular, stock),
            stamp,
            Grammar(Lexicon.of(stock.items)),
        )

    def _count(self, stock: Stock) -> None:
        """Events since the fit count for popularity."""
        counts = self.store.counts(self.tenant)
        codes = stock.ids.encode(_typed(stock, list(counts)))
        for code, n in zip(codes, counts.values(), strict=True):
            if code >= 0:
                stock.popularity[code] += n

    def refresh(self) -> bool:
        """Take up a new version of the model if there is one; whether there was.

        Requests go on with the old one until the new one is ready; one that cannot be read leaves the old one.
        """
        if current_version(self.directory) == self.live.stamp:
            return False
        with self._changing:
            self.live = self._open()
        with self._lock:
            self._people.clear()  # codes may be others
            self._being_read.clear()
        return True

    def add_items(self, items: dict[str, dict[str, Any]]) -> int:
        """Give new items a place in the model where it can; how many it knows now that it did not know before."""
        with self._changing:
            before = self.live
            bundle = _with_new_items(before.bundle, items)
            self.live = self._live(bundle, before.stamp, before.stages)
            return len(self.live.stock) - len(before.stock)

    # -- people -------------------------------------------------------------------------------

    def person(self, user_id: str) -> Person:
        """What a user did, up to the last event that was taken in."""
        with self._lock:
            found = self._people.get(user_id)
            if found is not None:
                self._people.move_to_end(user_id)
                return found
            reader = self._being_read[user_id] = object()
        person = self._read(user_id)
        with self._lock:
            if self._being_read.get(user_id) is not reader:  # something happened meanwhile: it is read anew next time
                return person
            del self._being_read[user_id]
            self._people[user_id] = person
            while len(self._people) > _REMEMBERED:
                self._people.popitem(last=False)
        return person

    def _read(self, user_id: str) -> Person:
        live = self.live
        store = live.bundle.store
        key = _key(store, user_id)
        liked = [live.bundle.of_users([key]).histories[0]] if key is not None and key in store else []
        events = self.store.events_of(self.tenant, user_id)
        codes = self.codes([event.item_id for event in events])
        good = np.array([event.weight > 0 for event in events], np.bool_)
        known = codes >= 0
        liked.append(codes[known & good])
        hidden = np.unique(codes[known & ~good]).astype(np.int32)
        kept = self.store.preferences(self.tenant, user_id)
        try:
            preferences = Preferences.from_dict(kept) if kept is not None else Preferences()
        except ConfigError as error:  # lists go on without
            _LOG.error("tenant %s: the preferences of a user cannot be read: %s", self.tenant, error)
            preferences = Preferences()
        return Person(np.concatenate(liked).astype(np.int32), hidden, preferences)

    def took(self, events: Sequence[Event]) -> None:
        """Events that are on disk now: histories are read anew, and popularity counts them."""
        stock = self.live.stock
        codes = self.codes([event.item_id for event in events])
        with self._lock:
            for event, code in zip(events, codes, strict=True):
                self._drop(event.user_id)
                if code >= 0 and event.weight > 0:
                    stock.popularity[code] += 1

    def forget(self, user_id: str) -> None:
        """A user that was deleted from the store: from the histories of the fit and from memory too."""
        store = self.live.bundle.store
        key = _key(store, user_id)
        with self._changing:
            if key is not None and key in store:
                store.delete(key)
        self.changed(user_id)

    # -- answers ------------------------------------------------------------------------------

    def codes(self, item_ids: Sequence[str]) -> IntArray:
        """Codes of external ids; -1 for what is not in the catalogue."""
        stock = self.live.stock
        return stock.ids.encode(_typed(stock, list(item_ids)))

    def recommend(
        self,
        user_id: str | None,
        session: Sequence[str] = (),
        *,
        scenario: str = "default",
        rules: tuple[Rule, ...] = (),
        exclude: Sequence[str] = (),
        query: str | None = None,
    ) -> Answer:
        """The order for a known user, for an anonymous session, or for whoever comes.

        Personal where there is a history, from the session where there is one, else what is popular within the filter.
        """
        live = self.live
        person = self.person(user_id) if user_id is not None else NOBODY
        own = self.codes(session)
        liked = np.concatenate([person.liked, own[own >= 0]]).astype(np.int32)
        left_out = np.unique(np.concatenate([liked, person.hidden, self.codes(exclude)])).astype(np.int32)
        asked = Asked(live.stock, liked, left_out, rules, scenario, query)
        source: Source = "personal" if len(person.liked) else "session" if len(liked) else "popular"
        stages = live.popular if source == "popular" and query is None else live.stages.current
        order = Planner(stages).run(asked, person.preferences)
        return Answer(order, source, live, replace(person, liked=liked), user_id)

    def command(self, user_id: str, text: str, shown: Sequence[str] = ()) -> tuple[Delta, Preferences]:
        """What a command changes, and the preferences that hold then; they are not kept by this.

        Parameters
        ----------
        user_id
            Whose command it is.
        text
            As it was typed.
        shown
            Ids of the items before the person's eyes.
        """
        live, before = self.live, self.person(user_id).preferences
        codes = self.codes(shown)
        delta = live.grammar.parse(text, before, shown_of(live.stock, codes[codes >= 0]))
        return delta, before.after(delta)

    def changed(self, user_id: str) -> None:
        """What is kept of a user has changed: it is read anew."""
        with self._lock:
            self._drop(user_id)

    def _drop(self, user_id: str) -> None:
        self._people.pop(user_id, None)
        self._being_read.pop(user_id, None)

    def search(self, query: str, user_id: str | None = None, rules: tuple[Rule, ...] = ()) -> Answer:
        """Items whose text is like ``query``; those that the model puts high for the user come first among them.

        Raises
        ------
        DataError
            If items have no words.
        """
        live = self.live
        person = self.person(user_id) if user_id is not None else NOBODY
        found = PipelineConfig(retrieve=(Retrieve(source="text", n=100),), rank=Rank(by="fusion"))
        order = Pipeline(found, live.stock).run(Asked(live.stock, NOBODY.liked, NOBODY.liked, rules, query=query))
        if len(person.liked) and len(order.items):
            own = live.stock.scores(person.liked)[order.items]
            place = np.empty(len(own))
            place[np.argsort(-own, kind="stable")] = np.arange(len(own))
            both = 1 / (FUSION + np.arange(len(own))) + 1 / (FUSION + place)  # reciprocal rank fusion
            best = np.argsort(-both, kind="stable")
            order = Order(order.items[best], both[best].astype(np.float32), order.trace)
        return Answer(order, "personal" if len(person.liked) else "popular", live, person, user_id)

    def fields(self, live: Live, codes: IntArray) -> list[dict[str, Any]]:
        """The row of the item table of each code."""
        found: list[dict[str, Any]] = live.stock.items[codes.tolist()].to_dicts()
        return found

    def ids(self, live: Live, codes: IntArray) -> list[str]:
        """External ids, as the service writes them."""
        return [str(item) for item in live.stock.ids.decode(codes).to_list()]


def current_version(directory: Path) -> str:
    """Name and digest of the version of a model that is in use.

    Raises
    ------
    ConfigError
        If there is none.
    """
    try:
        return (directory / "CURRENT").read_text(encoding="utf-8").strip()
    except OSError as error:
        raise ConfigError(
            f"There is no fitted model in {directory}.", "Write one with 'honeyguide fit DATA --out DIR'."
        ) from error


def _typed(stock: Stock, item_ids: list[str]) -> pl.Series:
    """Ids as they come over the wire, of the type that the catalogue has; what does not fit is unknown."""
    return pl.Series("item_id", item_ids, pl.String).cast(stock.ids.dtype, strict=False)


def _key(store: HistoryStore, user_id: str) -> object | None:
    """A user id as it comes over the wire, of the type that the histories of the fit have; ``None`` for no such id."""
    if not store.user_ids.dtype.is_integer():
        return user_id
    return int(user_id) if _INTEGER.fullmatch(user_id) else None


def _with_new_items(bundle: Bundle, items: dict[str, dict[str, Any]]) -> Bundle:
    """The bundle with those items that its model can take in and does not know."""
    model, ids = bundle.model, bundle.item_ids
    if not items or "add_items" not in model.capabilities:
        return bundle
    names = pl.Series("item_id", list(items), pl.String).cast(ids.dtype, strict=False)
    codes = ids.encode(names)
    rows = [
        {**fields, "item_id": name}
        for name, code, fields in zip(names, codes, items.values(), strict=True)
        if code < 0 and name is not None
    ]
    if not rows:
        return bundle
    table = typed_table(rows, bundle.store.items.schema)
    try:
        grown = model.add_items(table)
    except HoneyguideError as error:
        _LOG.warning("new items have no place in the model: %s", error)
        return bundle
    store = bundle.store
    store.items = pl.concat([store.items, table.select(store.items.columns)], how="vertical_relaxed")
    return Bundle(bundle.directory, grown, store)
