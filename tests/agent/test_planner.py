from __future__ import annotations

import numpy as np
import pytest

from honeyguide.agent.grammar import Grammar
from honeyguide.agent.lexicon import Lexicon
from honeyguide.agent.planner import Planner, PlannerConfig, condition_of, shown_of
from honeyguide.agent.preferences import Preferences, Want
from honeyguide.core.dataset import Dataset
from honeyguide.core.requests import Requests
from honeyguide.core.resources import Stopwatch
from honeyguide.data.load import load_data
from honeyguide.models.linear.ials import IALS
from honeyguide.pipeline.asked import Asked
from honeyguide.pipeline.config import PipelineConfig, Retrieve
from honeyguide.pipeline.pipeline import Pipeline
from honeyguide.pipeline.stock import Stock


@pytest.fixture(scope="module")
def data() -> Dataset:
    return load_data("goodbooks-mini")


@pytest.fixture(scope="module")
def planner(data: Dataset) -> Planner:
    model = IALS(factors=32, iterations=6).fit(data)
    stock = Stock(model, data.items, data.popularity("train"), encoder="use")
    return Planner(Pipeline(PipelineConfig(retrieve=(Retrieve(source="model", n=500),)), stock))


@pytest.fixture(scope="module")
def grammar(data: Dataset) -> Grammar:
    return Grammar(Lexicon.of(data.items))


def ask(planner: Planner, history: np.ndarray) -> Asked:
    return Asked(planner.stock, history, np.unique(history))


def say(planner: Planner, grammar: Grammar, history: np.ndarray, *commands: str) -> tuple[Preferences, np.ndarray]:
    state, items = Preferences(), planner.run(ask(planner, history), Preferences()).items
    for command in commands:
        state = state.after(grammar.parse(command, state, shown_of(planner.stock, items[:10])))
        items = planner.run(ask(planner, history), state).items
    return state, items


def rows(planner: Planner, items: np.ndarray) -> list[dict]:
    return planner.stock.items[items.tolist()].to_dicts()


def test_without_preferences_it_is_the_pipeline(planner: Planner, data: Dataset) -> None:
    history = data.histories("train")[3]
    order = planner.run(ask(planner, history), Preferences())
    np.testing.assert_array_equal(order.items, planner.pipeline.run(ask(planner, history)).items)


def test_hard_wants_hold_on_every_page_of_every_session(planner: Planner, grammar: Grammar, data: Dataset) -> None:
    histories = data.histories("train")
    for user in range(40):
        _, items = say(
            planner, grammar, histories[user], "no crime", "before 2000", "more fantasy", "no horror or romance"
        )
        assert len(items) > 50
        for row in rows(planner, items):
            assert row["year"] is None or row["year"] < 2000
            assert not row["tags"] or not {"crime", "horror", "romance"} & set(row["tags"])


def test_what_the_catalogue_does_not_say_breaks_no_rule(planner: Planner, grammar: Grammar, data: Dataset) -> None:
    _, items = say(planner, grammar, data.histories("train")[3], "only fantasy", "before 1850")
    found = rows(planner, items)
    assert found and all(row["year"] is None or row["year"] < 1850 for row in found)


def test_soft_wants_move_what_they_name(planner: Planner, grammar: Grammar, data: Dataset) -> None:
    def share(tag: str, items: np.ndarray) -> float:
        return float(np.mean([tag in (row["tags"] or []) for row in rows(planner, items[:20])]))

    less, more, plain = [], [], []
    for user in range(25):
        history = data.histories("train")[user]
        plain.append(share("romance", planner.run(ask(planner, history), Preferences()).items))
        less.append(share("romance", say(planner, grammar, history, "less romance")[1]))
        more.append(share("romance", say(planner, grammar, history, "more romance")[1]))
    assert np.mean(less) < 0.5 * np.mean(plain) and np.mean(more) > 1.5 * np.mean(plain)


def test_without_the_attenuator_more_of_what_is_not_wanted_is_shown(planner: Planner, data: Dataset) -> None:
    unwanted = Preferences().after(
        Grammar(Lexicon.of(data.items.select("item_id"))).parse("less vampires and werewolves", Preferences())
    )
    assert [w.relation for w in unwanted.wants.values()] == ["about", "about"]
    direction = planner._meaning(list(unwanted.wants.values()))
    assert direction is not None
    without = Planner(planner.pipeline, PlannerConfig(attenuation=0.0))

    def likeness(of: Planner) -> float:
        found = []
        for user in range(20):
            items = of.run(ask(of, data.histories("train")[user]), unwanted).items[:20]
            found.append(float((planner.stock.text_vectors[items] @ direction).mean()))
        return float(np.mean(found))

    assert likeness(planner) < likeness(without)


def test_items_can_be_pointed_at(planner: Planner, grammar: Grammar, data: Dataset) -> None:
    history = data.histories("train")[3]
    first = planner.run(ask(planner, history), Preferences()).items
    state, after = say(planner, grammar, history, "hide the second one")
    assert first[1] not in after
    state, after = say(planner, grammar, history, "more like the third one")
    (want,) = state.wants.values()
    assert want.value == str(planner.stock.ids.decode(first[2:3])[0])
    assert first[2] not in after, "what is like it is asked for, not that itself"


def test_comparatives_are_about_what_is_shown(planner: Planner, grammar: Grammar, data: Dataset) -> None:
    history = data.histories("train")[3]
    first = planner.run(ask(planner, history), Preferences()).items[:10]
    middle = float(np.median([row["year"] for row in rows(planner, first) if row["year"] is not None]))
    state, items = say(planner, grammar, history, "older")
    (want,) = state.wants.values()
    assert want.value == middle and all(row["year"] is None or row["year"] < middle for row in rows(planner, items))


def test_a_value_is_data_in_a_condition() -> None:
    nasty = Want(False, True, "is", "tags", "x' or year > 0 or tags == 'y", "")
    text = condition_of(nasty)
    assert text == "('tags' is missing or not 'tags' == 'x\\' or year > 0 or tags == \\'y')"


def test_a_command_takes_little_time(planner: Planner, grammar: Grammar, data: Dataset) -> None:
    history = data.histories("train")[3]
    say(planner, grammar, history, "something funny")  # loads the encoder
    with Stopwatch() as watch:
        for _ in range(5):
            say(planner, grammar, history, "something cosy for autumn, no crime, before 2010")
    assert watch.cpu / 10 < 0.3, "CPU-seconds of a command and a list"


def test_what_a_person_says_is_stronger_than_a_pin(planner: Planner, grammar: Grammar, data: Dataset) -> None:
    old = int(np.argmin(data.items["year"].fill_null(3000).to_numpy()))
    pin = {"pin": [int(data.item_ids.decode(np.array([old], np.int32))[0])]}
    pinned = Planner(Pipeline(PipelineConfig.model_validate({"rules": [pin]}), planner.stock))
    history = data.histories("train")[3]
    history = history[history != old]
    assert pinned.run(ask(pinned, history), Preferences()).items[0] == old
    state = Preferences().after(grammar.parse("after 1900", Preferences()))
    assert old not in pinned.run(ask(pinned, history), state).items


def test_a_model_that_reads_instructions_hears_what_is_wanted(
    planner: Planner, grammar: Grammar, data: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard = []

    def score(requests: Requests) -> np.ndarray:
        heard.extend(requests.instruction)
        return planner.stock.model.score_histories(requests.histories)

    model = planner.stock.model
    history, commands = data.histories("train")[3], ("more vampires and werewolves", "less romance")
    say(planner, grammar, history, *commands)
    assert heard == []
    monkeypatch.setattr(type(model), "capabilities", model.capabilities | {"instruction"})
    monkeypatch.setattr(model, "score", score)
    say(planner, grammar, history, *commands)
    assert heard
    assert all("vampires" in text and "romance" not in text for text in heard)
