"""Lists whose next pages may still be asked for: their order, but not the model that made it."""

from __future__ import annotations

import time
from collections import OrderedDict
from dataclasses import dataclass, replace

import numpy as np

from honeyguide.core.ragged import IntArray
from honeyguide.pipeline.explore import Drawn
from honeyguide.pipeline.pipeline import Order
from honeyguide.serve.answer import Answer, Live, Person, Source, Trial

MOST = 20_000
_SECONDS = 3600.0


@dataclass(frozen=True)
class Held:
    """A list that was given out.

    Parameters
    ----------
    order
        Of all its items, in codes of the catalogue in use.
    source, scenario, trial
        What it was made from, where it was asked for, and the experiment it belongs to.
    person
        For whom, as far as reasons need it.
    k
        Items of a page.
    user_id
        Whose it is; empty for a session without a name.
    drawn
        How its head came about.
    since
        When it was made, by the monotonic clock.
    """

    order: Order
    source: Source
    scenario: str
    trial: Trial | None
    person: Person
    k: int
    user_id: str
    drawn: Drawn | None
    since: float

    @classmethod
    def of(cls, answer: Answer, k: int) -> Held:
        """What is held of an answer."""
        order, made = replace(answer.order, trace=()), time.monotonic()
        return cls(
            order, answer.source, answer.scenario, answer.trial, answer.person, k, answer.unit, answer.drawn, made
        )

    def answer(self, live: Live) -> Answer:
        """The list again, of the model in service now."""
        return Answer(
            self.order, self.source, live, self.person, self.scenario, self.k, self.drawn, self.user_id, self.trial
        )

    def recoded(self, codes: IntArray) -> Held:
        """The same in the codes of another catalogue: ``codes[c]`` is the new one of ``c``, -1 where there is none."""
        items = codes[self.order.items]
        known = items >= 0
        order = Order(items[known], self.order.scores[known], ())
        liked, hidden = codes[self.person.liked], codes[self.person.hidden]
        person = replace(self.person, liked=liked[liked >= 0], hidden=np.unique(hidden[hidden >= 0]).astype(np.int32))
        drawn = self.drawn  # places have moved where an item is gone: their probabilities are not known any more
        drawn = drawn.unknown() if drawn is not None and not known.all() else drawn
        return replace(self, order=order, person=person, drawn=drawn)


class HeldLists:
    """The last lists, by id; not safe to share between threads.

    Parameters
    ----------
    most
        How many are held.
    """

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._lists: OrderedDict[str, Held] = OrderedDict()

    def __len__(self) -> int:
        return len(self._lists)

    def keep(self, recommendation_id: str, held: Held) -> None:
        """Hold a list; the oldest go."""
        self._lists[recommendation_id] = held
        oldest = time.monotonic() - _SECONDS
        while self._lists and (len(self._lists) > self._most or next(iter(self._lists.values())).since < oldest):
            self._lists.popitem(last=False)

    def get(self, recommendation_id: str) -> Held | None:
        """A list; ``None`` where it is not held any more."""
        return self._lists.get(recommendation_id)

    def forget(self, user_id: str) -> None:
        """Drop the lists of a user."""
        for name in [name for name, held in self._lists.items() if held.user_id == user_id]:
            del self._lists[name]

    def recode(self, codes: IntArray) -> None:
        """The catalogue has changed; see :meth:`Held.recoded`."""
        for name, held in self._lists.items():
            self._lists[name] = held.recoded(codes)
