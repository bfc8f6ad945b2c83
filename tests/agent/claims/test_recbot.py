from __future__ import annotations

from typing import Any

import pytest

from honeyguide.agent.claims.recbot import BOOKS, MOVIES, PAPER
from honeyguide.agent.claims.recbot_cells import OBEYING
from honeyguide.agent.claims.recbot_student import example_of
from honeyguide.agent.golden import CATALOGUES, f1, shown
from honeyguide.agent.grammar import Grammar
from honeyguide.agent.lexicon import Lexicon

CLAIMS = {claim.id: claim for claim in PAPER.claims}
ARMS = (*OBEYING, "static", "concatenated", "concatenated, mixed", "popularity")


def bits(*rates: float) -> list[str]:
    """Of twenty sessions, so many found in every round."""
    return ["1" * round(20 * rate) + "0" * (20 - round(20 * rate)) for rate in rates]


def cell(**more: Any) -> dict[str, Any]:
    flat = bits(*[0.2] * 6)
    rising = bits(0.2, 0.3, 0.4, 0.5, 0.6, 0.7)
    lower = bits(0.2, 0.2, 0.3, 0.4, 0.5, 0.6)
    found: dict[str, Any] = {
        "hits": dict.fromkeys(ARMS, flat) | {"commands": rising, "paper's parts": rising},
        "ndcg": {"commands": [0.1] * 6},
        "passed": {"rate": 0.8, "rounds": 2.0},
        "scrolled": 0.5,
        "understood": {"f1": 0.9},
        "disliked": {"commands": 0.1, "no attenuator": 0.3},
        "chosen": {"intent": "trained", "weights": {"collaborative": 0.5}},
        "valid": {"trained": 0.7, "by text": 0.6},
        "violations": {"sessions": 300, "items": 10, "checked": 8, "broken": 0},
        "drift violations": {"sessions": 10, "items": 10, "checked": 8, "broken": 0},
        "drift": dict.fromkeys(("piled", "last", "static"), flat) | {"consolidated": rising, "begun anew": rising},
    }
    found["hits"]["no intent attention"] = found["hits"]["paper's parts, no intent attention"] = lower
    return found | more


def results(**more: Any) -> dict[str, Any]:
    return {f"{name}-{seed}": cell(**more) for name in (MOVIES, BOOKS) for seed in range(5)}


@pytest.mark.parametrize("claim", ["hard", "rounds", "drift", "ablations"])
def test_claims_about_sessions_hold_where_the_cells_say_so(claim: str) -> None:
    found = CLAIMS[claim].judge(results())
    assert found.verdict == "holds" and found.note


def test_one_broken_wish_or_too_few_sessions_are_enough_to_fail() -> None:
    broken = {"sessions": 300, "items": 10, "checked": 8, "broken": 1}
    few = {"sessions": 10, "items": 10, "checked": 8, "broken": 0}
    assert CLAIMS["hard"].judge(results(violations=broken)).verdict == "does not hold"
    assert CLAIMS["hard"].judge(results(violations=few)).verdict == "does not hold"


def test_a_round_that_does_not_rise_or_a_baseline_that_is_as_good_fails() -> None:
    hits_ = cell()["hits"]
    stalled = {**hits_, "commands": bits(0.2, 0.3, 0.4, 0.5, 0.5, 0.7)}
    equal = {**hits_, "concatenated, mixed": hits_["commands"]}
    assert CLAIMS["rounds"].judge(results(hits=stalled)).verdict == "does not hold"
    assert CLAIMS["rounds"].judge(results(hits=equal)).verdict == "does not hold"


def test_drift_needs_consolidation_to_be_better_than_piled_wishes() -> None:
    drift = cell()["drift"]
    assert CLAIMS["drift"].judge(results(drift={**drift, "piled": drift["consolidated"]})).verdict == "does not hold"
    assert CLAIMS["drift"].judge(results(drift={**drift, "static": drift["consolidated"]})).verdict == "does not hold"


def test_parsers_are_judged_by_the_gap_to_the_teacher() -> None:
    def row(macro: float, **more: Any) -> dict[str, Any]:
        f = {"-hard": 1.0, "-soft": 1.0, "+soft": 1.0, "+hard": 1.0, "macro": macro, "exact": 0.9}
        return {"f1": f, "commands": 10, "seconds": 0.1, **more}

    faults = [["by Tolkien", "+soft authors is X", "+hard authors is X"]]
    student = {"examples": 10, "steps": 2, "training": 3.0, "losses": [2.0, 1.0], "faults": faults}
    cells = {
        "parser-grammar": row(1.0, simulated={"macro": 0.9}),
        "parser-local": {"missing": "not installed"},
        "parser-endpoint": row(0.5),
        "parser-distilled": row(0.95, **student),
    }
    assert CLAIMS["parsers"].judge(cells).verdict == "holds"
    behind = CLAIMS["parsers"].judge({**cells, "parser-distilled": row(0.8, **student)})
    assert behind.verdict == "does not hold" and "(2) 1 are makers" in (behind.note or "")
    assert CLAIMS["parsers"].judge({**cells, "parser-distilled": {"missing": "no torch"}}).verdict == "not testable"


def test_f1_by_hand() -> None:
    pairs = [
        ("-hard tags is crime", "-hard tags is crime | +soft tags is fantasy"),
        ("-soft tags is horror", "-hard tags is horror"),
        ("UNDO", "UNDO"),
    ]
    found = f1(pairs)
    assert found["-hard"] == pytest.approx(2 * 1 / (1 + 2)) and found["-soft"] == 0 == found["+soft"]
    assert found["wants"] == pytest.approx(2 * 1 / (2 + 3)) and found["kinds"] == pytest.approx(2 * 1 / (2 + 3))
    assert found["exact"] == pytest.approx(1 / 3)


def test_an_example_says_how_each_thing_is_meant() -> None:
    books = Grammar(Lexicon.of(CATALOGUES["books"]))
    example = example_of("no crime, more dragons under 300 pages", books, shown("books"))
    assert example is not None
    said = dict(zip(example.keys, example.kinds, strict=True))
    assert said == {"crime": "exclude", "dragons": "more", "under 300 pages": "more"}
    assert example_of("thanks", books, shown("books")) is None
    assert example_of("no crime", books, shown("books"), meant=()) is None
