"""What the cells of seed 18 share: a catalogue, its people, what answers them, and sessions with simulated users."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from honeyguide.agent.facts import Facts
from honeyguide.agent.grammar import Grammar
from honeyguide.agent.intent import Intent, IntentHead, IntentOptions, TextIntent
from honeyguide.agent.lexicon import Lexicon
from honeyguide.agent.planner import PARTS, Planner, PlannerConfig
from honeyguide.agent.preferences import Want
from honeyguide.agent.session import (
    Commanded,
    Concatenated,
    Conversation,
    Memory,
    Trace,
    Unmoved,
    hits,
    run_session,
)
from honeyguide.agent.simulator import SimulatedUser
from honeyguide.core.dataset import Dataset
from honeyguide.core.inner_product import unit
from honeyguide.core.ragged import FloatArray, IntArray
from honeyguide.models.linear.floor import Floor
from honeyguide.models.linear.ials import IALS
from honeyguide.pipeline.asked import Asked
from honeyguide.pipeline.config import PipelineConfig, Rank, Retrieve
from honeyguide.pipeline.pipeline import Pipeline
from honeyguide.pipeline.stock import Stock

SEEDS = range(5)
ROUNDS = 5
SWITCH = 2  # rounds after which some want something else
DRIFTING = 0.3
POOL = 500
_PAST = 200  # events of a history
OBEYING = ("commands", "no attenuator", "no intent attention", "paper's parts", "paper's parts, no intent attention")
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
        popular = PipelineConfig(retrieve=(Retrieve(source="popular", n=POOL),), rank=Rank(by="fusion"))
        self.popular = Pipeline(popular, self.stock)
        self.lexicon = Lexicon.of(self.stock.items)
        self.facts = Facts.of(self.stock.items, self.lexicon)
        self.grammar = Grammar(self.lexicon)

    def people(self, part: str, n: int, seed: int) -> list[Person]:
        """Users drawn of those with an event in ``part``, who want the last one, and keep wanting it."""
        before = self.data.parts[: self.data.parts.index(part)]
        histories, truth = self.data.histories(*before), self.data.histories(part)
        able = np.flatnonzero((truth.lengths > 0) & (histories.lengths > 1))
        drawn = np.random.default_rng(seed).choice(able, min(n, len(able)), replace=False)
        return [Person(histories[u][-_PAST:], int(truth[u][-1]), None, u) for u in np.sort(drawn).tolist()]

    def changing(self, n: int, seed: int) -> list[Person]:
        """Users who want the event in valid; three of ten then want the one in test, which is of another kind."""
        rng = np.random.default_rng(seed)
        histories, first, second = (self.data.histories(part) for part in ("train", "valid", "test"))
        able = (first.lengths > 0) & (second.lengths > 0) & (histories.lengths > 1)
        users = rng.permutation(np.flatnonzero(able))
        apart = [u for u in users.tolist() if not self._alike(int(first[u][-1]), int(second[u][-1]))]
        switching = apart[: round(DRIFTING * n)]
        staying = [u for u in users.tolist() if u not in set(switching)][: n - len(switching)]
        found = []
        for user in [*switching, *staying]:
            other = int(second[user][-1]) if user in set(switching) else None
            found.append(Person(histories[user][-_PAST:], int(first[user][-1]), other, user))
        return found

    def _alike(self, one: int, two: int) -> bool:
        """Whether two items have a name in common; also where nothing is known of one."""
        pairs = [(rows[one], rows[two]) for rows in self.facts.names.values()]
        return any(a & b for a, b in pairs) or not any(a for a, _ in pairs) or not any(b for _, b in pairs)

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
        options = replace(options or IntentOptions(examples=10_000, epochs=3), seed=seed)
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

    def disliked(self, traces: Sequence[Trace]) -> float:
        """Share of shown items that have a value which is held to be unwanted, softly."""
        shares = []
        for trace in traces:
            for preferences, page in zip(trace.preferences[1:], trace.pages[1:], strict=True):
                unwanted = [w for w in preferences.of(positive=False, hard=False) if w.relation == "is"]
                if unwanted and len(page):
                    shares.append(np.mean([any(self.facts.breaks(w, i) for w in unwanted) for i in page.tolist()]))
        return float(np.mean(shares)) if shares else float("nan")

    def violations(self, traces: Sequence[Trace]) -> dict[str, int]:
        """Shown items that break a hard want which is held, counted apart from the planner's filter."""
        found = {"sessions": len(traces), "items": 0, "checked": 0, "broken": 0}
        for trace in traces:
            for preferences, page in zip(trace.preferences, trace.pages, strict=True):
                hard = [w for w in preferences.wants.values() if w.hard]
                found["items"] += len(page)
                found["checked"] += len(page) if hard else 0
                found["broken"] += self.facts.violations(hard, page)
        return found

    def understood(self, traces: Sequence[Trace]) -> dict[str, float]:
        """F1 of the wants that the parser added to what it held, against what was meant."""
        right = heard = meant = exact = commands = 0
        for trace in traces:
            for said, before, after in zip(trace.commands, trace.preferences, trace.preferences[1:], strict=False):
                if said.text:
                    new = {_plain(w) for i, w in after.wants.items() if before.wants.get(i) != w}
                    own = {_plain(w) for w in said.wants} - ({_plain(w) for w in before.wants.values()} - new)
                    right, heard, meant = right + len(new & own), heard + len(new), meant + len(own)
                    exact, commands = exact + (new == own), commands + 1
        return {"f1": 2 * right / max(heard + meant, 1), "exact": exact / max(commands, 1), "commands": commands}


def _plain(want: Want) -> tuple[object, ...]:
    """A want without the words for it."""
    return want.positive, want.hard, want.relation, want.field, str(want.value)


class _Recorded(Commanded):
    """Keeps what the tools said of the candidates in every round, by each of several intents."""

    def __init__(self, asked: Asked, planners: Mapping[str, Planner], parser: Grammar) -> None:
        super().__init__(asked, next(iter(planners.values())), parser)
        self.planners = planners
        self.heard: dict[str, list[tuple[IntArray, dict[str, FloatArray]]]] = {name: [] for name in planners}

    def feed(self) -> IntArray:
        """By the first planner."""
        answers = {name: planner.parts(self.asked, self.preferences) for name, planner in self.planners.items()}
        for name, (order, parts, _) in answers.items():
            self.heard[name].append((order.items, parts))
        return self.planner.weighed(*next(iter(answers.values()))).items


def chosen_weights(
    world: World, people: Sequence[Person], intents: Mapping[str, Intent], seed: int
) -> dict[str, tuple[PlannerConfig, float]]:
    """For each intent, weights of the aggregator by coordinate ascent over a grid, and what they reach.

    The sessions are held once, with the default weights; each choice of weights is judged on their candidates, by
    the mean of ``10 / (10 + rank)`` of the target over all rounds: a smooth Recall@10.
    """
    held: list[_Recorded] = []
    planners = {name: world.planner(intent=intent) for name, intent in intents.items()}

    def talk(asked: Asked) -> Conversation:
        held.append(_Recorded(asked, planners, world.grammar))
        return held[-1]

    world.talk(people, talk, seed)
    found = {}
    for name in intents:
        tables = [
            _table(items, parts, person.target)
            for person, conversation in zip(people, held, strict=True)
            for items, parts in conversation.heard[name][1:]
        ]
        found[name] = _ascend(tables)
    return found


def _ascend(tables: Sequence[tuple[FloatArray, tuple[str, ...], int]]) -> tuple[PlannerConfig, float]:
    def reached(weights: dict[str, float]) -> float:
        return float(np.mean([_near(table, weights) for table in tables]))

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


def _near(table: tuple[FloatArray, tuple[str, ...], int], weights: dict[str, float]) -> float:
    rows, names, place = table
    if place < 0:
        return 0.0
    scores = np.array([weights[name] for name in names]) @ rows if names else -np.arange(rows.shape[1])
    better = int((scores > scores[place]).sum() + (scores[:place] == scores[place]).sum())
    return 10 / (10 + better)


def sessions(name: str, seed: int, sizes: tuple[int, int, int]) -> dict[str, Any]:
    """All that is said of one catalogue and seed.

    Parameters
    ----------
    name
        Of the data set.
    seed
        Of users, commands, iALS and the head.
    sizes
        People that weights are chosen on, of the sessions that keep their target, and of those where some do not.
    """
    from honeyguide.data.load import load_data

    world = World(load_data(name))
    chosen_on, judged = world.people("valid", sizes[0], 1000 + seed), world.people("test", sizes[1], seed)
    head, losses = world.head(seed)
    intents: dict[str, Intent] = {"by text": TextIntent(world.stock), "trained": head}
    tuned = chosen_weights(world, chosen_on, intents, seed)
    kind = max(tuned, key=lambda k: tuned[k][1])
    config, intent = tuned[kind][0], intents[kind]
    weight = max((0.25, 0.5, 0.75, 1.0), key=lambda w: _concatenated(world, chosen_on, w, seed))
    arms: dict[str, Talk] = {
        "commands": _commanded(world, config, intent),
        "no attenuator": _commanded(world, replace(config, attenuation=0.0), intent),
        "no intent attention": _commanded(world, replace(config, collaborative=0.0), intent),
        "paper's parts": _commanded(world, PlannerConfig(base=0.0), head),
        "paper's parts, no intent attention": _commanded(world, PlannerConfig(base=0.0, collaborative=0.0), head),
        "static": lambda asked: Unmoved(asked, world.pipeline),
        "popularity": lambda asked: Unmoved(asked, world.popular),
        "concatenated": lambda asked: Concatenated(asked, world.pipeline),
        "concatenated, mixed": lambda asked: Concatenated(asked, world.pipeline, weight),
    }
    held = {arm: world.talk(judged, talk, seed) for arm, talk in arms.items()}
    found: dict[str, Any] = {
        "hits": {arm: _bits(traces) for arm, traces in held.items()},
        "ndcg": {arm: _ndcg(traces) for arm, traces in held.items()},
        "disliked": {arm: world.disliked(held[arm]) for arm in ("commands", "no attenuator")},
        "passed": _passed(held["commands"]),
        "scrolled": _scrolled(held["static"]),
        "violations": world.violations([trace for arm in OBEYING for trace in held[arm]]),
        "understood": world.understood(held["commands"]),
        "chosen": {"intent": kind, "weights": vars(config), "concatenated": weight},
        "valid": {k: reached for k, (_, reached) in tuned.items()},
        "losses": [round(loss, 4) for loss in losses],
        "example": [said.text for said in held["commands"][0].commands],
    }
    return found | (_drift(world, config, intent, sizes[2], seed) if sizes[2] else {})


def _drift(world: World, config: PlannerConfig, intent: Intent, n: int, seed: int) -> dict[str, Any]:
    """Sessions in which three of ten want something else after two rounds, and what memory is worth to those."""
    people = world.changing(n, seed)
    switching = [p for p in people if p.other is not None]
    anew = [replace(p, target=int(p.other or 0), other=None) for p in switching]
    whole = world.talk(people, _commanded(world, config, intent), seed, drift=True)
    held = {"consolidated": [t for t, p in zip(whole, people, strict=True) if p.other is not None]}
    memories: tuple[Memory, ...] = ("piled", "last")
    for memory in memories:
        talk = _commanded(world, config, intent, memory)
        held[memory] = world.talk(switching, talk, seed, drift=True)
    held["begun anew"] = world.talk(anew, _commanded(world, config, intent), seed)
    held["static"] = world.talk(anew, lambda asked: Unmoved(asked, world.pipeline), seed)
    return {
        "drift": {arm: _bits(traces) for arm, traces in held.items()},
        "drift, everybody": _bits(whole),
        "drift violations": world.violations(whole),
    }


def _commanded(world: World, config: PlannerConfig, intent: Intent, memory: Memory = "consolidated") -> Talk:
    return lambda asked: Commanded(asked, world.planner(config, intent), world.grammar, memory)


def _concatenated(world: World, people: Sequence[Person], weight: float, seed: int) -> float:
    """Recall@10 of the mixed baseline over all rounds."""
    traces = world.talk(people, lambda asked: Concatenated(asked, world.pipeline, weight), seed)
    return float(hits(traces)[:, 1:].mean())


def _bits(traces: Sequence[Trace]) -> list[str]:
    """For every round, a digit for each session: whether the target is among the first ten."""
    return ["".join("1" if hit else "0" for hit in column) for column in hits(traces).T]


def _ndcg(traces: Sequence[Trace]) -> list[float]:
    """NDCG@10 of every round."""
    ranks = np.array([trace.ranks for trace in traces])
    gains = np.where((ranks >= 0) & (ranks < 10), 1 / np.log2(np.maximum(ranks, 0) + 2), 0.0)
    return [round(float(v), 4) for v in gains.mean(0)]


def _passed(traces: Sequence[Trace]) -> dict[str, float]:
    """Share of sessions in which the target was shown at all, and commands until then; all of them where it was not."""
    found = hits(traces) > 0
    first = np.where(found.any(1), found.argmax(1), found.shape[1] - 1)
    return {"rate": float(found.any(1).mean()), "rounds": float(first.mean())}


def _scrolled(traces: Sequence[Trace]) -> float:
    """Pass rate of a person who says nothing and turns the page of the first feed as often."""
    ranks = np.array([trace.ranks[0] for trace in traces])
    return float(((ranks >= 0) & (ranks < 10 * (ROUNDS + 1))).mean())
