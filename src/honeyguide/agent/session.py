"""Feed → command → parser → preferences → planner → next feed: the loop, its parts, and what it is held against.

A :class:`Conversation` is what answers a user; :func:`run_session` lets a simulated user talk to it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

import numpy as np

from honeyguide.agent.grammar import Shown
from honeyguide.agent.planner import Planner, shown_of, standard
from honeyguide.agent.preferences import Delta, Preferences
from honeyguide.agent.simulator import Said, SimulatedUser
from honeyguide.core.inner_product import unit
from honeyguide.core.ragged import FloatArray, IntArray
from honeyguide.pipeline.asked import Asked
from honeyguide.pipeline.pipeline import Pipeline

Memory = Literal["consolidated", "piled", "last"]


class Parser(Protocol):
    """Understands commands."""

    def parse(self, command: str, before: Preferences, shown: Shown | None = None) -> Delta:
        """What a command changes."""
        ...


class Conversation(Protocol):
    """What answers the commands of one user."""

    preferences: Preferences

    def answer(self, said: Said | None, shown: IntArray) -> IntArray:
        """The next feed, all of it, best first; ``None`` for the first one."""
        ...


class Commanded:
    """The two agents: a parser that keeps preferences, and a planner that obeys them.

    Parameters
    ----------
    asked
        Whose feed.
    planner
        Makes it.
    parser
        Understands; ``None`` takes what the simulated user meant, as a parser without fault would.
    memory
        ``consolidated``; ``piled``: all that was ever said is kept, nothing replaced or taken back; ``last``: the last
        command alone. The others show what consolidation is good for.
    """

    def __init__(self, asked: Asked, planner: Planner, parser: Parser | None, memory: Memory = "consolidated") -> None:
        self.asked, self.planner, self.parser, self.memory = asked, planner, parser, memory
        self.preferences = Preferences()

    def answer(self, said: Said | None, shown: IntArray) -> IntArray:
        """The next feed."""
        if said is not None and said.text:
            if self.parser is None:
                delta = Delta(said.wants, said.retracts)
            else:
                delta = self.parser.parse(said.text, self.preferences, shown_of(self.planner.stock, shown))
            self.preferences = remembered(self.preferences, delta, self.memory)
        return self.feed()

    def feed(self) -> IntArray:
        """What obeys the preferences of now."""
        return self.planner.run(self.asked, self.preferences).items


class Unmoved:
    """The feed of the backbone, whatever is said.

    Parameters
    ----------
    asked, pipeline
        Whose, and from what.
    """

    def __init__(self, asked: Asked, pipeline: Pipeline) -> None:
        self.preferences = Preferences()
        self._items = pipeline.run(asked).items

    def answer(self, said: Said | None, shown: IntArray) -> IntArray:
        """The same feed."""
        return self._items


class Concatenated:
    """All commands as one text, and one embedding of it.

    Parameters
    ----------
    asked, pipeline
        Whose feed, and its candidates.
    weight
        Of the likeness of texts beside the backbone's order, 0 to 1; at 1 the whole catalogue is ranked by it.
    """

    def __init__(self, asked: Asked, pipeline: Pipeline, weight: float = 1.0) -> None:
        self.preferences, self.weight, self.stock = Preferences(), weight, pipeline.stock
        self._first = pipeline.run(asked).items
        self._texts: list[str] = []
        seen = np.zeros(len(self.stock), np.bool_)
        seen[asked.excluded] = True
        self._all = np.flatnonzero(~seen).astype(np.int32)

    def answer(self, said: Said | None, shown: IntArray) -> IntArray:
        """The feed for all commands so far."""
        self._texts += [said.text] if said is not None and said.text else []
        if not self._texts:
            return self._first
        items = self._all if self.weight == 1 else self._first
        likeness = self.stock.text_vectors[items] @ unit(self.stock.text_of(". ".join(self._texts)))
        scores = standard(likeness)
        if self.weight < 1:
            scores = self.weight * scores + (1 - self.weight) * standard(-np.log1p(np.arange(len(items))))
        return items[np.argsort(-scores, kind="stable")]


def remembered(before: Preferences, delta: Delta, memory: Memory) -> Preferences:
    """What a memory holds after a command.

    Parameters
    ----------
    before
        What it held.
    delta
        What the command changes.
    memory
        Which.
    """
    if memory == "consolidated":
        return before.after(delta)
    if memory == "last":
        return Preferences(issued=before.issued).after(Delta(delta.add))
    ids = [f"c{before.issued + n}" for n in range(1, len(delta.add) + 1)]
    return Preferences({**before.wants, **dict(zip(ids, delta.add, strict=True))}, before.issued + len(ids))


@dataclass
class Trace:
    """One session.

    Parameters
    ----------
    commands
        What was said, an empty text where nothing was left to say.
    ranks
        Of the target of the time in the first feed and in that of each round; -1 where it is not in it.
    pages
        The first items of each.
    preferences
        That each feed should obey.
    """

    commands: list[Said] = field(default_factory=list)
    ranks: list[int] = field(default_factory=list)
    pages: list[IntArray] = field(default_factory=list)
    preferences: list[Preferences] = field(default_factory=list)


def run_session(
    conversation: Conversation,
    user: SimulatedUser,
    rounds: int = 5,
    *,
    switch: tuple[int, int] | None = None,
    page: int = 10,
) -> Trace:
    """Let a simulated user talk; what they want is looked for in every feed, and they talk on though it was there.

    Parameters
    ----------
    conversation
        What answers.
    user
        Who talks.
    rounds
        Commands.
    switch
        After how many rounds another target is wanted, and which.
    page
        Items that are seen of a feed.
    """
    trace = Trace()
    items = conversation.answer(None, np.empty(0, np.int32))
    for turn in range(rounds + 1):
        place = np.flatnonzero(items == user.target)
        trace.ranks.append(int(place[0]) if len(place) else -1)
        trace.pages.append(items[:page])
        trace.preferences.append(conversation.preferences)
        if turn == rounds:
            break
        if switch is not None and turn == switch[0]:
            user.switch(switch[1])
        said = user.say(items[:page])
        trace.commands.append(said)
        items = conversation.answer(said, items[:page])
    return trace


def hits(traces: Sequence[Trace], k: int = 10) -> FloatArray:
    """Whether the target is among the first ``k``: float32 ``[sessions, rounds + 1]``."""
    ranks = np.array([trace.ranks for trace in traces])
    return ((ranks >= 0) & (ranks < k)).astype(np.float32)
