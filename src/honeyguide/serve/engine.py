"""What one tenant is answered from: a model that can be exchanged, live histories, new items, a chain of fallbacks."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter, OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from honeyguide.agent.parsers import parser_over
from honeyguide.agent.planner import Planner, shown_of
from honeyguide.agent.preferences import Delta, Preferences
from honeyguide.core.errors import ConfigError, HoneyguideError
from honeyguide.core.ragged import IntArray
from honeyguide.experiment.bundle import Bundle
from honeyguide.lm.port import LM
from honeyguide.pipeline.asked import Asked
from honeyguide.pipeline.config import PipelineConfig, Rank, Retrieve, Rule
from honeyguide.pipeline.explore import explore
from honeyguide.pipeline.pipeline import Order, Pipeline, PipelineFile
from honeyguide.pipeline.retrieve import FUSION
from honeyguide.pipeline.stock import Stock
from honeyguide.serve.answer import NOBODY, Answer, Live, Person, Source
from honeyguide.serve.fallback import current_version, drop_damaged_histories, usable, without_model
from honeyguide.serve.growing import grammar_of, grown, warm, warm_behind
from honeyguide.serve.held import MOST, Held, HeldLists
from honeyguide.serve.history import liked_now
from honeyguide.serve.ids import codes_of, key_of
from honeyguide.serve.new_items import with_new_items
from honeyguide.serve.store import Event, Store

__all__ = ["NOBODY", "Answer", "Engine", "Live", "Person", "Source"]

_REMEMBERED = 50_000  # users whose histories are held in memory
_LOG = logging.getLogger("honeyguide.serve")


class Engine:
    """Answers for one tenant.

    Parameters
    ----------
    tenant
        Its name.
    directory
        Folder of the fitted model. Without one that can be read the store's items are shown, the popular ones first.
    store
        Events and items since then.
    pipeline
        TOML file of the stages; ``None`` for the model alone.
    lists
        How many lists are held for their next pages.

    Raises
    ------
    HoneyguideError
        If the model is whole but cannot be used here, or the pipeline cannot be.
    """

    lm: LM | None = None  # says how commands are meant, where it is not the grammar that does

    def __init__(
        self, tenant: str, directory: Path, store: Store, pipeline: Path | None = None, *, lists: int = MOST
    ) -> None:
        self.tenant, self.directory, self.store, self._file = tenant, directory, store, pipeline
        self._people: OrderedDict[str, Person] = OrderedDict()
        self.lists, self._held = lists, HeldLists(lists)
        self._forgotten: OrderedDict[str, float] = OrderedDict()  # users that were deleted, and when
        self._news = 0  # grows with whatever may change what is known of a person
        self._waiting: Counter[str] = Counter()  # events of items that have no place in the model
        self._lock = threading.RLock()  # of what is above, and of the exchange of the model
        self._changing = threading.Lock()
        self._warm: threading.Thread | None = None
        self.beside: tuple[Engine, ...] = ()  # of other models in experiments: they hear what this one does
        self.live = self._open()

    # -- the model ----------------------------------------------------------------------------

    def _open(self) -> Live:
        self._stale = False
        (bundle, stamp), items = usable(self.directory), self.store.items(self.tenant)
        fallback = bundle is None
        if bundle is None:
            bundle = without_model(self.directory, items, self.store.counts(self.tenant))
        return self._live(with_new_items(bundle, items), stamp, fallback)

    def _live(self, bundle: Bundle, stamp: str, fallback: bool = False) -> Live:
        stock = bundle.stock()
        told = max((update.get("told", 0) for update in bundle.model.report.updates), default=0)
        self._count(stock, self.store.counts(self.tenant, told))
        stages = self._stages(stock, fallback)
        stock.encoder = stages.current.config.encoder
        return Live(bundle, stock, stages, stamp, partial(grammar_of, stock.items), fallback)

    def _stages(self, stock: Stock, fallback: bool) -> PipelineFile:
        try:
            return PipelineFile(self._file, stock)
        except HoneyguideError as error:
            if not fallback:
                raise
            plain = PipelineFile(None, stock)  # stages that fit the model need not fit what there is without it
            plain.fault = error
            return plain

    def _count(self, stock: Stock, counts: Mapping[str, int]) -> None:
        """Events since the fit count for popularity; those of items that have no place wait until these get one."""
        names, codes = list(counts), codes_of(stock, list(counts))
        stock.popular.count(codes, np.fromiter(counts.values(), np.float32, len(counts)))
        self._waiting = Counter({names[i]: counts[names[i]] for i in np.flatnonzero(codes < 0)})

    def refresh(self) -> bool:
        """Take up a new version of the model if there is one; whether there was.

        Requests go on with the old one until the new one is ready; one that cannot be read leaves the old one.
        """
        changed = current_version(self.directory) != self.live.stamp or self._stale
        if changed:
            self._reopen()
        return any([changed, *(other.refresh() for other in self.beside)])

    def _reopen(self) -> None:
        with self._changing:
            live = self._open()
            if self._warm:  # in a thread of its own: it lowers the priority of the one it runs in, for good
                preparing = threading.Thread(target=warm, args=(live,), daemon=True)
                preparing.start()
                preparing.join()
            self._exchange(live)

    def _exchange(self, live: Live) -> None:
        """Put another model in the place of this one; what is held in memory is brought to its codes."""
        old, new = self.live.stock.ids, live.stock.ids
        same = new is old or new.values.head(len(old)).equals(old.values)
        codes = None if same else new.encode(old.values)
        with self._lock:
            self.live = live
            self._news += 1
            self._people.clear()
            if codes is not None:
                self._held.recode(codes)

    def warm(self) -> None:
        """Prepare in the background what makes answers fast, of this version of the model and of later ones.

        Until it is done all items are looked at for a list, and commands over a large catalogue do not read texts.
        """
        self._warm = threading.Thread(target=self._prepare, name="honeyguide-warm", daemon=True)
        self._warm.start()

    def _prepare(self) -> None:
        live: Live | None = None
        while live is not self.live:  # items may come meanwhile
            live = self.live
            warm_behind(live)

    @property
    def warming(self) -> bool:
        """Whether that is under way."""
        return self._warm is not None and self._warm.is_alive()

    def add_items(self, items: dict[str, dict[str, Any]]) -> int:
        """Give new items a place in the model where it can; how many it knows now that it did not know before."""
        for other in self.beside:
            other.add_items(items)
        before = self.live
        if before.fallback:
            self._reopen()
            return len(self.live.stock) - len(before.stock)
        with self._changing:
            before = self.live
            bundle = with_new_items(before.bundle, items)
            if bundle is before.bundle:
                return 0
            live = grown(before, bundle)
            with self._lock:  # events go on being counted until here
                live.stock.popularity[: len(before.stock)] = before.stock.popularity
                self._count(live.stock, self._waiting)
                self._exchange(live)
            if before.stock.near is not None and live.stock.near is None and not self.warming:
                self.warm()  # so many items came that the index is made anew
            return len(live.stock) - len(before.stock)

    # -- people -------------------------------------------------------------------------------

    def person(self, user_id: str, live: Live | None = None) -> Person:
        """What a user did, up to the last event that was taken in; in the codes of ``live``, by default of now."""
        with self._lock:
            live = self.live if live is None else live
            found, news = self._people.get(user_id) if live is self.live else None, self._news
            if found is not None:
                self._people.move_to_end(user_id)
                return found
        person = self._read(user_id, live)
        with self._lock:
            if news == self._news and live is self.live:  # else it may be of yesterday
                self._people[user_id] = person
                while len(self._people) > _REMEMBERED:
                    self._people.popitem(last=False)
        return person

    def _read(self, user_id: str, live: Live) -> Person:
        at_fit = live.bundle.history(key_of(live.bundle.store, user_id))
        events, kept = self.store.events_and_preferences(self.tenant, user_id)
        codes = self.codes([event.item_id for event in events], live)
        hidden = [code for event, code in zip(events, codes.tolist(), strict=True) if event.weight <= 0 and code >= 0]
        try:
            preferences = Preferences.from_dict(kept) if kept is not None else Preferences()
        except ConfigError as error:  # lists go on without
            _LOG.error("tenant %s: the preferences of a user cannot be read: %s", self.tenant, error)
            preferences = Preferences()
        return Person(liked_now(at_fit, events, codes), np.unique(np.array(hidden, np.int32)), preferences)

    def took(self, events: Sequence[Event]) -> None:
        """Events that are on disk now: histories are read anew, and popularity counts them."""
        for other in self.beside:
            other.took(events)
        with self._lock:
            self._news += 1
            for user_id in {event.user_id for event in events}:
                self._people.pop(user_id, None)
            codes = self.codes([event.item_id for event in events])
            self.live.stock.popular.count(codes[np.array([event.weight > 0 for event in events], np.bool_)])
            self._waiting.update(e.item_id for e, code in zip(events, codes, strict=True) if code < 0 < e.weight)
            self._stale |= self.live.fallback and bool((codes < 0).any())  # such items get a place at the next look

    def forget(self, user_id: str) -> None:
        """A user that was deleted from the store: from the histories of the fit and from memory too."""
        for other in self.beside:
            other.forget(user_id)
        store = self.live.bundle.store
        key = key_of(store, user_id)
        with self._changing:
            drop_damaged_histories(self.directory)
            if any((self.directory / "store").glob("v*")):
                store.discard(key)
        self.changed(user_id)
        with self._lock:
            self._forgotten[user_id] = time.monotonic()
            self._forgotten.move_to_end(user_id)
            while len(self._forgotten) > _REMEMBERED:
                self._forgotten.popitem(last=False)
            self._held.forget(user_id)

    def is_late(self, answer: Answer) -> bool:
        """Whether whoever asked for a list was deleted while it was made: then nothing of it is kept."""
        return answer.begun <= self._forgotten.get(answer.unit, -1.0)

    # -- answers ------------------------------------------------------------------------------

    def codes(self, item_ids: Sequence[str], live: Live | None = None) -> IntArray:
        """Codes of external ids; -1 for what is not in the catalogue of ``live``, by default of now."""
        return codes_of((self.live if live is None else live).stock, item_ids)

    def recommend(
        self,
        user_id: str | None,
        session: Sequence[str] = (),
        *,
        scenario: str = "default",
        rules: tuple[Rule, ...] = (),
        exclude: Sequence[str] = (),
        query: str | None = None,
        stages: PipelineFile | None = None,
        seed: str | None = None,
    ) -> Answer:
        """The order for a known user, for an anonymous session, or for whoever comes.

        Personal where there is a history, from the session where there is one, else what is popular within the filter,
        else what was added last.

        Parameters
        ----------
        user_id, session
            Whose history, and what was looked at since, as external ids, oldest first.
        scenario, rules, exclude, query
            As in :class:`~honeyguide.pipeline.asked.Asked`.
        stages
            In place of those of the service.
        seed
            Of what the stages draw at random; ``None`` to draw nothing.
        """
        begun, live = time.monotonic(), self.live
        person = self.person(user_id, live) if user_id is not None else NOBODY
        own, others = self.codes(session, live), self.codes(exclude, live)
        liked = np.concatenate([person.liked, own[own >= 0]]) if len(own) else person.liked
        left_out = np.concatenate([liked, person.hidden, others]) if len(person.hidden) or len(others) else liked
        asked = Asked(live.stock, liked, left_out, rules, scenario, query)
        use, drawn = (stages or live.stages).current, None
        order, source = self._first(asked, person, use, live.fallback)
        how = use.config.explore
        if seed is not None and how.method != "none" and asked.holds(how.scenario):
            order, drawn = explore(order, how, seed, use.pinned(asked))
        whom = replace(person, liked=liked) if len(own) else person
        return Answer(order, source, live, whom, scenario, use.config.page, drawn, begun=begun)

    def is_quick(self, user_id: str | None, scenario: str) -> bool:
        """Whether a list takes less time than it takes to wake a thread for it."""
        if not self.store.local or not self.live.stages.current.is_quick(scenario):
            return False
        return user_id is None or not self.person(user_id).preferences.wants

    def _first(self, asked: Asked, person: Person, stages: Pipeline, fallback: bool) -> tuple[Order, Source]:
        """The first list of the chain that is not empty: the last two parts need no model."""
        own: Source = "personal" if len(person.liked) else "session"
        if (len(asked.history) and not fallback) or asked.query is not None:
            order = _planned(stages, asked, person)
            if len(order.items) or asked.query is not None:
                return order, own if len(asked.history) else "popular"
        order = _planned(stages.instead("popular"), asked, person)
        if asked.stock.popularity[order.items].any():
            return order, "popular"
        return _planned(stages.instead("latest"), asked, person), "latest"

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
        codes = self.codes(shown, live)
        delta = parser_over(live.grammar, self.lm).parse(text, before, shown_of(live.stock, codes[codes >= 0]))
        return delta, before.after(delta)

    def changed(self, user_id: str) -> None:
        """What is kept of a user has changed: it is read anew."""
        for other in self.beside:
            other.changed(user_id)
        with self._lock:
            self._news += 1
            self._people.pop(user_id, None)

    def search(self, query: str, user_id: str | None = None, rules: tuple[Rule, ...] = ()) -> Answer:
        """Items whose text is like ``query``; those that the model puts high for the user come first among them.

        Raises
        ------
        DataError
            If items have no words.
        """
        begun, live = time.monotonic(), self.live
        person = self.person(user_id, live) if user_id is not None else NOBODY
        found = PipelineConfig(retrieve=(Retrieve(source="text", n=100),), rank=Rank(by="fusion"))
        order = Pipeline(found, live.stock).run(Asked(live.stock, NOBODY.liked, NOBODY.liked, rules, query=query))
        if len(person.liked) and len(order.items):
            own = live.stock.scores(person.liked, query)[order.items]
            place = np.argsort(np.argsort(-own, kind="stable"))
            both = 1 / (FUSION + np.arange(len(own))) + 1 / (FUSION + place)  # reciprocal rank fusion
            best = np.argsort(-both, kind="stable")
            order = Order(order.items[best], both[best].astype(np.float32), order.trace)
        source: Source = "personal" if len(person.liked) else "popular"
        return Answer(order, source, live, person, "search", unit=user_id or "", begun=begun)

    def keep(self, recommendation_id: str, answer: Answer, k: int) -> None:
        """Hold a list for its next pages, not the model that made it."""
        made, held = answer.live.bundle.directory, Held.of(answer, k)
        maker = next((other for other in self.beside if other.directory == made), self)
        with maker._lock:
            if self.is_late(answer):
                return
            if answer.live is not maker.live:  # it was exchanged while the list was made
                held = held.recoded(maker.live.stock.ids.encode(answer.live.stock.ids.values))
            maker._held.keep(recommendation_id, held)

    def maker(self, recommendation_id: str) -> Engine:
        """Whoever made a list that is held: this one, or that of another model in an experiment."""
        found = (other for other in self.beside if other.held(recommendation_id) is not None)
        return next(found, self)

    def held(self, recommendation_id: str) -> tuple[Answer, int] | None:
        """A list that is held, and the items of its pages; ``None`` where it is not held any more."""
        with self._lock:
            found, live = self._held.get(recommendation_id), self.live
        if found is not None:
            return found.answer(live), found.k
        return next((one for other in self.beside if (one := other.held(recommendation_id)) is not None), None)

    def fields(self, live: Live, codes: IntArray) -> list[dict[str, Any]]:
        """The row of the item table of each code."""
        found: list[dict[str, Any]] = live.stock.items[codes.tolist()].to_dicts()
        return found

    def ids(self, live: Live, codes: IntArray) -> list[str]:
        """External ids, as the service writes them."""
        return [str(item) for item in live.stock.ids.decode(codes).to_list()]


def _planned(stages: Pipeline, asked: Asked, person: Person) -> Order:
    """The order of the stages, or what a person's wishes make of it."""
    return Planner(stages).run(asked, person.preferences) if person.preferences.wants else stages.run(asked)
