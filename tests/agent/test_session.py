from __future__ import annotations

import numpy as np
import pytest

from honeyguide.agent.facts import Facts
from honeyguide.agent.grammar import Grammar
from honeyguide.agent.lexicon import Lexicon
from honeyguide.agent.planner import Planner, PlannerConfig
from honeyguide.agent.preferences import Delta, Preferences, Want
from honeyguide.agent.session import Commanded, Concatenated, Trace, Unmoved, hits, remembered, run_session
from honeyguide.agent.simulator import Said, SimulatedUser
from honeyguide.core.dataset import Dataset
from honeyguide.data.load import load_data
from honeyguide.models.linear.ials import IALS
from honeyguide.pipeline.asked import Asked
from honeyguide.pipeline.config import PipelineConfig, Retrieve
from honeyguide.pipeline.pipeline import Pipeline
from honeyguide.pipeline.stock import Stock

CRIME = Want(False, True, "is", "tags", "crime", "crime")
NOTHING = np.empty(0, np.int32)


@pytest.fixture(scope="module")
def data() -> Dataset:
    return load_data("goodbooks-mini")


@pytest.fixture(scope="module")
def pipeline(data: Dataset) -> Pipeline:
    model = IALS(factors=32, iterations=6).fit(data.select("train"))
    stock = Stock(model, data.items, data.popularity("train"), encoder="use")
    return Pipeline(PipelineConfig(retrieve=(Retrieve(source="model", n=500),)), stock)


@pytest.fixture(scope="module")
def grammar(pipeline: Pipeline) -> Grammar:
    return Grammar(Lexicon.of(pipeline.stock.items))


@pytest.fixture(scope="module")
def facts(pipeline: Pipeline, grammar: Grammar) -> Facts:
    return Facts.of(pipeline.stock.items, grammar.lexicon)


def asked_of(pipeline: Pipeline, data: Dataset, user: int) -> Asked:
    history = data.histories("train")[user]
    return Asked(pipeline.stock, history, np.unique(history))


def talked(
    pipeline: Pipeline, grammar: Grammar, facts: Facts, data: Dataset, users: range, parser: Grammar | None
) -> list[Trace]:
    truth, found = data.histories("test"), []
    for user in users:
        if len(truth[user]):
            talker = SimulatedUser(facts, grammar.lexicon, int(truth[user][-1]), 0)
            conversation = Commanded(asked_of(pipeline, data, user), Planner(pipeline), parser)
            found.append(run_session(conversation, talker))
    return found


def test_commands_bring_the_target_nearer_and_hard_ones_hold_on_every_later_page(
    pipeline: Pipeline, grammar: Grammar, facts: Facts, data: Dataset
) -> None:
    traces = talked(pipeline, grammar, facts, data, range(60), grammar)
    recall = hits(traces).mean(0)
    assert recall[5] > 2 * recall[0] and recall[5] > recall[2] > recall[0], recall
    for trace in traces:
        for preferences, page in zip(trace.preferences, trace.pages, strict=True):
            assert not facts.violations(list(preferences.wants.values()), page)
            conditions = [w for w in preferences.wants.values() if w.hard and w.field]
            assert all(facts.breaks(w, i) is not True for w in conditions if not w.positive for i in page.tolist())


def test_a_session_of_a_user_who_changes_their_mind(
    pipeline: Pipeline, grammar: Grammar, facts: Facts, data: Dataset
) -> None:
    user = SimulatedUser(facts, grammar.lexicon, 5, 0)
    conversation = Commanded(asked_of(pipeline, data, 3), Planner(pipeline), grammar)
    trace = run_session(conversation, user, 4, switch=(2, 1500))
    assert user.target == 1500 and len(trace.commands) == 4 and len(trace.ranks) == len(trace.pages) == 5


def test_what_each_memory_holds() -> None:
    before = Preferences().after(Delta((CRIME,)))
    more = Want(True, False, "is", "tags", "crime", "crime")
    assert remembered(before, Delta((more,)), "consolidated").wants == {"c1": more}
    assert remembered(before, Delta((more,)), "piled").wants == {"c1": CRIME, "c2": more}
    assert remembered(before, Delta((more,)), "last").wants == {"c2": more}
    back = Delta(retract=("c1",))
    assert not remembered(before, back, "consolidated").wants
    assert remembered(before, back, "piled").wants == {"c1": CRIME}, "without consolidation nothing is taken back"


def test_a_negative_in_a_positive_embedding_attracts_and_as_a_penalty_it_does_not(
    pipeline: Pipeline, data: Dataset
) -> None:
    """The trap of the card: *no vampires* as a query is a query for vampires."""
    stock, less = pipeline.stock, Want(False, False, "about", "", "vampires", "vampires")
    state = Preferences().after(Delta((less,)))
    vampires = stock.text_vectors @ stock.text_of("vampires")
    concatenated, attenuated, plain = [], [], []
    for user in range(15):
        asked = asked_of(pipeline, data, user)
        conversation = Concatenated(asked, pipeline, 0.5)
        concatenated.append(vampires[conversation.answer(Said("no vampires"), NOTHING)[:10]].mean())
        attenuated.append(vampires[Planner(pipeline).run(asked, state).items[:10]].mean())
        plain.append(vampires[pipeline.run(asked).items[:10]].mean())
    assert np.mean(attenuated) < np.mean(plain) < np.mean(concatenated)


def test_absent_parts_drop_out_and_the_others_are_weighed_to_the_same_sum(pipeline: Pipeline, data: Dataset) -> None:
    asked = asked_of(pipeline, data, 3)
    state = Preferences().after(Delta((Want(True, False, "<=", "year", 1950.0, "old"),)))
    planner = Planner(pipeline, PlannerConfig(base=1.0, fields=3.0, semantic=9.0, collaborative=9.0, attenuation=9.0))
    order, parts, _ = planner.parts(asked, state)
    assert set(parts) == {"base", "fields"}
    expected = 0.25 * parts["base"] + 0.75 * parts["fields"]
    best = np.argsort(-expected, kind="stable")
    found = planner.run(asked, state)
    np.testing.assert_array_equal(found.items, order.items[best])
    np.testing.assert_allclose(found.scores, expected[best], rtol=1e-5)


def test_of_several_values_that_must_be_one_is_enough(pipeline: Pipeline, grammar: Grammar, data: Dataset) -> None:
    state = Preferences().after(grammar.parse("only fantasy or horror", Preferences()))
    items = Planner(pipeline).run(asked_of(pipeline, data, 3), state).items
    tags = pipeline.stock.items["tags"].to_list()
    kinds = [set(tags[i] or ["fantasy"]) & {"fantasy", "horror"} for i in items.tolist()]
    assert all(kinds) and {"fantasy"} in kinds and {"horror"} in kinds


def test_the_baselines(pipeline: Pipeline, data: Dataset) -> None:
    asked = asked_of(pipeline, data, 3)
    first = pipeline.run(asked).items
    unmoved = Unmoved(asked, pipeline)
    np.testing.assert_array_equal(unmoved.answer(Said("more fantasy"), first[:10]), first)
    mixed, pure = Concatenated(asked, pipeline, 0.5), Concatenated(asked, pipeline)
    np.testing.assert_array_equal(mixed.answer(None, NOTHING), first)
    assert set(mixed.answer(Said("more fantasy"), first[:10])) == set(first)
    whole = pure.answer(Said("a wizard at school"), first[:10])
    assert len(whole) == len(pipeline.stock) - len(np.unique(asked.history))
    likeness = pipeline.stock.text_vectors @ pipeline.stock.text_of("a wizard at school")
    assert whole[0] == max(whole.tolist(), key=lambda i: float(likeness[i]))


def test_without_a_parser_the_user_is_understood_as_meant(pipeline: Pipeline, data: Dataset) -> None:
    conversation = Commanded(asked_of(pipeline, data, 3), Planner(pipeline), None)
    conversation.answer(Said("gibberish", (CRIME,)), NOTHING)
    assert list(conversation.preferences.wants.values()) == [CRIME]
    conversation.answer(Said("", (CRIME,)), NOTHING)
    assert len(conversation.preferences.wants) == 1
