from __future__ import annotations

import numpy as np
import pytest

from honeyguide.agent.facts import Facts
from honeyguide.agent.grammar import Grammar, Shown
from honeyguide.agent.lexicon import Lexicon
from honeyguide.agent.planner import condition_of
from honeyguide.agent.preferences import Preferences, Want
from honeyguide.agent.simulator import Habits, SimulatedUser, leaks
from honeyguide.core.dataset import Dataset
from honeyguide.data.load import load_data
from honeyguide.models.popularity import Popularity
from honeyguide.pipeline.stock import Stock


@pytest.fixture(scope="module")
def data() -> Dataset:
    return load_data("goodbooks-mini")


@pytest.fixture(scope="module")
def lexicon(data: Dataset) -> Lexicon:
    return Lexicon.of(data.items)


@pytest.fixture(scope="module")
def facts(data: Dataset, lexicon: Lexicon) -> Facts:
    return Facts.of(data.items, lexicon)


def drawn(facts: Facts, seed: int) -> tuple[int, np.ndarray]:
    items = np.random.default_rng(seed).choice(len(facts.ids), 11, replace=False).astype(np.int32)
    return int(items[0]), items[1:]


def test_a_session_is_the_same_for_the_same_seed(facts: Facts, lexicon: Lexicon) -> None:
    def session(seed: int) -> list[str]:
        user = SimulatedUser(facts, lexicon, 7, seed)
        return [user.say(drawn(facts, turn)[1]).text for turn in range(5)]

    assert session(1) == session(1) and session(1) != session(2)


def test_commands_are_many_and_of_all_four_kinds(facts: Facts, lexicon: Lexicon) -> None:
    texts, kinds, relations = set(), set(), set()
    for seed in range(300):
        target, page = drawn(facts, seed)
        said = SimulatedUser(facts, lexicon, target, seed).say(page)
        texts.add(said.text)
        kinds |= {(w.positive, w.hard) for w in said.wants}
        relations |= {w.relation for w in said.wants}
    assert len(texts) > 200 and len(kinds) == 4 and {"is", "<", ">=", "like"} <= relations


def test_what_is_meant_is_true_of_the_target_and_wrong_for_something_shown(facts: Facts, lexicon: Lexicon) -> None:
    for seed in range(300):
        target, page = drawn(facts, seed)
        wants = [w for w in SimulatedUser(facts, lexicon, target, seed).say(page).wants if w.relation != "like"]
        assert all(facts.breaks(want, target) is False for want in wants), wants
        for field in {want.field for want in wants}:  # a decade has two ends
            own = [want for want in wants if want.field == field]
            assert any(facts.breaks(want, item) for want in own for item in page.tolist()), own


def test_the_title_of_the_target_is_never_said(facts: Facts, lexicon: Lexicon) -> None:
    for seed in range(300):
        target, page = drawn(facts, seed)
        page = np.append(page[:-1], target) if seed % 3 == 0 else page
        user = SimulatedUser(facts, lexicon, target, seed)
        for _ in range(4):
            said = user.say(page)
            assert not leaks(said.text, facts.titles[target]), said
            assert not any(w.relation == "like" and str(w.value) == facts.ids[target] for w in said.wants), said
            for want in said.wants:
                if want.relation == "is":
                    assert facts.support[want.field, str(want.value)] >= 10, "a rare value gives the target away"


def test_a_title_in_a_command_is_found(facts: Facts, lexicon: Lexicon) -> None:
    assert leaks("more like The Hobbit, please", ("the", "hobbit")) and not leaks("hobbits", ("the", "hobbit"))
    code = next(i for i, values in enumerate(facts.names["tags"]) if {"fantasy", "young-adult"} <= values)
    titles = list(facts.titles)
    titles[code] = ("fantasy",)  # a book that is called what it is
    guarded = Facts(facts.names, facts.numbers, titles, facts.ids)
    for seed in range(60):
        user = SimulatedUser(guarded, lexicon, code, seed, Habits(choices=20))
        assert "fantasy" not in user.say(drawn(facts, seed)[1]).text


def test_who_changes_their_mind_speaks_first_of_what_hides_the_new_target(facts: Facts, lexicon: Lexicon) -> None:
    old, page = drawn(facts, 0)
    ways = set()
    for seed in range(40):
        user = SimulatedUser(facts, lexicon, old, seed)
        user.meant = Preferences({"c1": Want(True, True, "<", "year", 1900.0, "before 1900")}, 1)
        user.switch(int(np.nanargmax(facts.numbers["year"])))
        said = user.say(page)
        assert said.retracts == ("c1",) or any(w.field == "year" for w in said.wants), said
        ways.add(bool(said.retracts))
        assert not any(facts.breaks(w, user.target) for w in user.meant.wants.values() if w.field)
    assert ways == {True, False}


def test_the_grammar_understands_most_of_what_is_said(facts: Facts, lexicon: Lexicon) -> None:
    right = 0
    for seed in range(200):
        target, page = drawn(facts, seed)
        said = SimulatedUser(facts, lexicon, target, seed).say(page)
        medians = {f: float(np.nanmedian(v[page])) for f, v in facts.numbers.items()}
        shown = Shown(tuple(facts.ids[i] for i in page), medians)
        heard = Grammar(lexicon).parse(said.text, Preferences(), shown)
        plain = [[(w.positive, w.hard, w.relation, w.field, w.value) for w in ws] for ws in (heard.add, said.wants)]
        right += plain[0] == plain[1]
    assert 0.85 < right / 200 < 1, "the templates are not the phrases of the grammar"


def test_facts_agree_with_the_conditions_of_the_planner(data: Dataset, facts: Facts) -> None:
    stock = Stock(Popularity().fit(data), data.items, data.popularity())
    wants = [
        Want(True, True, "is", "tags", "fantasy"),
        Want(False, True, "is", "tags", "romance"),
        Want(True, True, "<", "year", 1990.0),
        Want(False, True, ">=", "average_rating", 4.0),
    ]
    for want in wants:
        mask = stock.mask(condition_of(want) or "")
        known = [i for i in range(len(facts.ids)) if facts.breaks(want, i) is not None]
        assert len(known) > 1900
        assert [not facts.breaks(want, i) for i in known] == mask[known].tolist()
        assert facts.violations([want], np.array(known)) == int((~mask[known]).sum())
