"""What the routes tell of reasons: why an item stands where it stands, and how a command was understood."""

from __future__ import annotations

from dataclasses import replace
from threading import Lock
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np

from honeyguide.agent.planner import condition_of
from honeyguide.agent.preferences import Delta, Preferences
from honeyguide.core.errors import HoneyguideError
from honeyguide.core.ragged import IntArray
from honeyguide.data.store import HistoryStore
from honeyguide.explain.because import Because, because, verb_for
from honeyguide.explain.change import what_would_change
from honeyguide.explain.paths import ItemGraph, paths, shared, sharing_columns
from honeyguide.explain.words import Facts, say
from honeyguide.lm.port import LM
from honeyguide.pipeline.stock import Stock
from honeyguide.serve import wire
from honeyguide.serve.engine import NOBODY, Engine, Live
from honeyguide.serve.service import HTTPProblem
from honeyguide.serve.store import Event

_MARKS = 50  # events of a user that are shown
_IN_GRAPH = 200_000  # users from whose histories ways are told
_MAKING = Lock()
_GRAPHS: WeakKeyDictionary[HistoryStore, tuple[int, int, ItemGraph | None]] = WeakKeyDictionary()


def explained(engine: Engine, asked: wire.ExplainIn, speaker: LM | None = None) -> dict[str, Any]:
    """Everything that is known of why an item is where it is; see :class:`~honeyguide.serve.wire.ExplainOut`.

    Raises
    ------
    HTTPProblem
        If there is no such item.
    """
    live = engine.live
    code, own = int(engine.codes([asked.item_id], live)[0]), engine.codes(asked.session, live)
    if code < 0:
        raise HTTPProblem.no_item(asked.item_id)
    person = engine.person(asked.user_id, live) if asked.user_id is not None else NOBODY
    history = np.concatenate([person.liked, own[own >= 0]]).astype(np.int32)
    titles, stock = live.stock.titles, live.stock
    verb = verb_for(stock.items.columns)
    (reason,) = because(live.bundle.model, history, [code])
    template = reason.sentence(lambda c: titles[c], verb)
    evidence = tuple(titles[c] for c in reason.evidence) if reason.verified else ()
    (said,) = say([Facts(titles[code], evidence, template, verb)], speaker)
    terms = zip(engine.ids(live, reason.evidence), reason.evidence, reason.terms, strict=True)
    return {
        "item_id": asked.item_id,
        "why": said.text,
        "said_by": said.by,
        "evidence": engine.ids(live, reason.evidence),
        "verified": reason.verified,
        "rank": reason.rank,
        "rank_without": reason.rank_without,
        "n_items": len(stock),
        "because": [{"item_id": name, "title": titles[c], "adds": float(term)} for name, c, term in terms],
        "wanted": met(stock, person.preferences, code),
        "paths": _paths(live, reason, verb) if asked.paths else None,
        "change": _change(engine, live, reason, history, asked.k) if asked.change else None,
    }


def met(stock: Stock, preferences: Preferences, code: int) -> list[str]:
    """The wants that are true of an item, as they were said."""
    found = []
    for want in preferences.wants.values():
        text = condition_of(replace(want, positive=True), lenient=False)
        try:
            if text is not None and bool(stock.mask(text)[code]) == want.positive:
                found.append(want.said())
        except HoneyguideError:  # of a field that the catalogue has no longer
            continue
    return found


def _paths(live: Live, reason: Because, verb: str | None) -> list[str]:
    """How the evidence and the item are joined, through people first, in words."""
    stock = live.stock
    found = paths(graph_of(live), reason.evidence, reason.item)
    found += shared(stock.items, sharing_columns(stock.items), reason.evidence, reason.item)
    return [path.sentence(lambda c: stock.titles[c], verb) for path in found]


def graph_of(live: Live) -> ItemGraph:
    """Which items people took together, by the histories of the fit; made when it is first asked for.

    It is made anew when a user is deleted, and when the model takes in items.
    """
    store = live.bundle.store
    with _MAKING:
        users, items, graph = _GRAPHS.get(store, (0, 0, None))
        if graph is None or (users, items) != (len(store), len(live.stock)):
            _, people = live.bundle.users(0, _IN_GRAPH)
            graph = ItemGraph(people.histories, len(live.stock))
            _GRAPHS[store] = len(store), len(live.stock), graph
        return graph


def _change(engine: Engine, live: Live, reason: Because, history: IntArray, k: int) -> dict[str, Any] | None:
    places = max(k, reason.rank)  # rules and wishes may have raised it from below
    found = what_would_change(live.bundle.model, history, reason.item, places)
    if not found.found:
        return None
    return {
        "items": engine.ids(live, found.removed),
        "titles": [live.stock.titles[c] for c in found.removed],
        "k": places,
        "rank_without": found.rank_without,
        "smallest": found.smallest,
    }


def echo(delta: Delta, before: Preferences) -> dict[str, Any]:
    """How a command was understood; see :class:`~honeyguide.serve.wire.Echo`."""
    return {
        "added": [want.said() for want in delta.add],
        "taken_back": [before.wants[i].said() for i in delta.retract if i in before.wants],
        "as_text": [want.words or str(want.value) for want in delta.add if want.relation == "about"],
        "undone": delta.undo and bool(before.earlier),
        "cleared": delta.clear,
    }


def took_back(engine: Engine, event: Event) -> None:
    """An event that is deleted from the store: it counts for nothing any more."""
    if event.weight > 0:
        engine.live.stock.popular.count(engine.codes([event.item_id]), -1)
    engine.changed(event.user_id)


def marks(engine: Engine, live: Live, user_id: str) -> list[dict[str, Any]]:
    """The latest events of a user since the fit, the last one first; see :class:`~honeyguide.serve.wire.Mark`."""
    events = engine.store.events_of(engine.tenant, user_id)[-_MARKS:][::-1]
    titles, codes = live.stock.titles, engine.codes([event.item_id for event in events], live)
    return [
        {
            "event_id": event.event_id,
            "item_id": event.item_id,
            "title": titles[code] if code >= 0 else event.item_id,
            "kind": event.kind,
            "weight": event.weight,
        }
        for event, code in zip(events, codes, strict=True)
    ]
