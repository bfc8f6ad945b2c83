"""What the cells of seed 18 share: a catalogue, its people, what answers them, and sessions with simulated users."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from honeyguide.agent.facts import Facts
from honeyguide.agent.grammar import Grammar
from honeyguide.agent.intent import Intent, IntentHead, IntentOptions
from honeyguide.agent.lexicon import Lexicon
from honeyguide.agent.planner import PARTS, Planner, PlannerConfig
from honeyguide.agent.session import Commanded, Conversation, Trace, run_session
from honeyguide.agent.simulator import Said, SimulatedUser, other_target
from honeyguide.core.dataset import Dataset
from honeyguide.core.inner_product import unit
from honeyguide.core.ragged import FloatArray, IntArray
from honeyguide.models.linear.floor import Floor
from honeyguide.models.linear.ials import IALS
from honeyguide.pipeline.asked import Asked
from honeyguide.pipeline.config import PipelineConfig, Retrieve
from honeyguide.pipeline.pipeline import Pipeline
from honeyguide.pipeline.stock import Stock

SEEDS = range(5)
ROUNDS = 5
SWITCH = 2  # rounds after which some want something else
DRIFTING = 0.3
POOL = 500
GRID = (0.0, 0.25, 0.5, 1.0, 2.0)
Talk = Callable[[Asked], Conversation]


@dataclass(frozen=True)
class Person:
    """Whose feed it is.

    Parameters
    ----------
    history
        Item codes, oldest first.
    target
        The next item.
    other
        What they want after a switch; ``None`` for those who do not change their mind.
    number
        Code of the user.
    """

    history: IntArray
    target: int
    other: int | None
    number: int


class World:
    """A catalogue with a backbone: the linear floor ranks, iALS has the item vectors for the intent head.

    Parameters
    ----------
    data
        With parts train, valid and test.
    trained
        Parts that everything is fitted on.
    """

    def __init__(self, data: Dataset, trained: tuple[str, ...] = ("train",)) -> None:
        self.data, self.trained = data, trained
        one: dict[str, Any] = {"normalisations": ("row",), "decays": (0.8,), "mixes": (0.0,)}
        self.model = Floor(**one).fit(data.select(*trained))
        self.stock = Stock(self.model, data.items, data.popularity(*trained), encoder="use")
        self.pipeline = Pipeline(PipelineConfig(retrieve=(Retrieve(source="model", n=POOL),)), self.stock)
        self.lexicon = Lexicon.of(self.stock.items)
        self.facts = Facts.of(self.stock.items, self.lexicon)
        self.grammar = Grammar(self.lexicon)

    def people(self, part: str, n: int, seed: int) -> list[Person]:
        """Users drawn of those with an event in ``part``; three of ten will change their mind."""
        before = self.data.parts[: self.data.parts.index(part)]
        rng = np.random.default_rng(seed)
        histories, truth = self.data.histories(*before), self.data.histories(part)
        able = np.flatnonzero((truth.lengths > 0) & (histories.lengths > 1))
        found = []
        for user in np.sort(rng.choice(able, min(n, len(able)), replace=False)).tolist():
            target = int(truth[user][-1])
            past = histories[user][-200:]
            others = np.setdiff1d(truth.values, histories[user])
            weighed = truth.values[np.isin(truth.values, others)]  # as often as people took them
            drifts = bool(rng.random() < DRIFTING)
            other = other_target(self.facts, target, weighed, rng) if drifts else None
            found.append(Person(past, target, other, user))
        return found

    def asked(self, person: Person) -> Asked:
        """Their request."""
        return Asked(self.stock, person.history, np.unique(person.history))

    def head(self, seed: int, options: IntentOptions | None = None) -> tuple[IntentHead, list[float]]:
        """The intent attention, trained on the histories that the backbone was fitted on."""
        vectors = IALS(factors=64, iterations=8, seed=seed).fit(self.data.select(*self.trained)).item_vectors()
        numbers: dict[tuple[str, str], int] = {}
        wishes: list[list[int]] = [[] for _ in self.facts.ids]
        for field, rows in self.facts.names.items():
            for item, row in enumerate(rows):
                said = sorted(v for v in row if self.facts.support[field, v] >= 10)
                wishes[item] += [numbers.setdefault((field, value), len(numbers)) for value in said]
        facts = unit(np.stack([self.stock.text_of(value) for _, value in numbers]))
        options = replace(options or IntentOptions(), seed=seed)
        return IntentHead.train(
            vectors, self.stock.text_vectors, self.data.histories(*self.trained), wishes, facts, options
        )

    def planner(self, config: PlannerConfig | None = None, intent: Intent | None = None) -> Planner:
        """A planner over the pool of the backbone."""
        return Planner(self.pipeline, config, intent)

    def talk(
        self, people: Sequence[Person], talk: Talk, seed: int, rounds: int = ROUNDS, drift: bool = False
    ) -> list[Trace]:
        """A session with each of them."""
        traces = []
        for person in people:
            user = SimulatedUser(self.facts, self.lexicon, person.target, seed)
            switch = (SWITCH, person.other) if drift and person.other is not None else None
            traces.append(run_session(talk(self.asked(person)), user, rounds, switch=switch))
        return traces


class _Recorded(Commanded):
    """Keeps what the planner's tools said of the candidates in every round."""

    def __init__(self, asked: Asked, planner: Planner, parser: Grammar) -> None:
        super().__init__(asked, planner, parser)
        self.heard: list[tuple[IntArray, dict[str, FloatArray]]] = []

    def answer(self, said: Said | None, shown: IntArray) -> IntArray:
        items = super().answer(said, shown)
        order, parts, _ = self.planner.parts(self.asked, self.preferences)
        if said is not None:
            self.heard.append((order.items, parts))
        return items


def chosen_weights(world: World, people: Sequence[Person], intent: Intent, seed: int) -> tuple[PlannerConfig, float]:
    """Weights of the aggregator by coordinate ascent over a grid, and the Recall@10 they reach over all rounds.

    The sessions are held once, with the default weights; each choice of weights is judged on their candidates.
    """
    held: list[_Recorded] = []

    def talk(asked: Asked) -> Conversation:
        held.append(_Recorded(asked, world.planner(intent=intent), world.grammar))
        return held[-1]

    world.talk(people, talk, seed)
    rounds = [
        (items, parts, person.target)
        for person, conversation in zip(people, held, strict=True)
        for items, parts in conversation.heard
    ]
    tables = [_table(items, parts, target) for items, parts, target in rounds]

    def reached(weights: dict[str, float]) -> float:
        return float(np.mean([_hit(table, weights) for table in tables]))

    weights = {name: float(getattr(PlannerConfig(), name)) for name in PARTS}
    best = reached(weights)
    for _ in range(2):
        for name in PARTS:
            for value in GRID:
                found = reached({**weights, name: value})
                if found > best + 1e-9:
                    weights, best = {**weights, name: value}, found
    return PlannerConfig(**weights), best


def _table(items: IntArray, parts: dict[str, FloatArray], target: int) -> tuple[FloatArray, tuple[str, ...], int]:
    """Parts ``[p, c]``, their names, and where the target is; -1 where it is no candidate."""
    place = np.flatnonzero(items == target)
    rows = np.stack(list(parts.values())) if parts else np.empty((0, len(items)), np.float32)
    return rows, tuple(parts), int(place[0]) if len(place) else -1


def _hit(table: tuple[FloatArray, tuple[str, ...], int], weights: dict[str, float], k: int = 10) -> bool:
    rows, names, place = table
    if place < 0:
        return False
    scores = np.array([weights[name] for name in names]) @ rows if names else -np.arange(rows.shape[1])
    better = (scores > scores[place]).sum() + (scores[:place] == scores[place]).sum()
    return bool(better < k)
