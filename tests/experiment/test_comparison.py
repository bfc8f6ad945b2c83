from __future__ import annotations

import itertools
from io import StringIO
from typing import Any

import numpy as np
import polars as pl
import pytest
from rich.console import Console

from honeyguide.cli.compare import show
from honeyguide.core.dataset import Dataset
from honeyguide.core.errors import HoneyguideError
from honeyguide.data.build import build
from honeyguide.data.splits import leave_last_new_out, leave_last_out
from honeyguide.experiment.comparison import CellResult, Comparison, assemble
from honeyguide.metrics.stats import holm, paired_test

RNG = np.random.default_rng(0)
FLOOR = RNG.uniform(0, 1, 400)


def cell(label: str, values: Any, seed: int = 0, valid: float | None = 0.5) -> CellResult:
    record = {
        "params": {},
        "n_parameters": 1,
        "metrics": {"ndcg@10": float(np.mean(values))},
        "slices": {},
        "valid": {"ndcg@10": valid},
        "n_users": len(values),
        "cpu_seconds": {"fit": 1.0, "recommend": 0.5},
        "peak_rss_mb": 100.0 + seed,
    }
    return CellResult(label, label, seed, record, {"ndcg@10": np.asarray(values)})


def failed(label: str, seed: int = 0) -> CellResult:
    return CellResult(label, label, seed, {"error": "It broke.", "remedy": "Mend it."}, {})


def table(books: Dataset, *cells: CellResult) -> Comparison:
    return assemble(books, [cell("floor", FLOOR), *cells], [0], 10)


def verdicts(found: Comparison) -> dict[str, str]:
    return {row["model"]: row["verdict"] for row in found.rows}


def test_what_a_search_chose_is_told_by_seed(books: Dataset) -> None:
    cells = [cell("auto", FLOOR, seed) for seed in (0, 1)]
    for one, chosen in zip(cells, ("ials (alpha 100)", "a blend of floor, ease"), strict=True):
        one.record["chosen"] = chosen
    rows = {row["model"]: row["chosen"] for row in table(books, *cells).rows}
    assert rows == {"floor": [], "auto": ["ials (alpha 100)", "a blend of floor, ease"]}


def test_better_is_only_said_when_it_is_significant(books: Dataset) -> None:
    found = table(
        books,
        cell("same", FLOOR),
        cell("noise", FLOOR + RNG.normal(0.005, 0.3, 400)),
        cell("up", FLOOR + 0.1 + RNG.normal(0, 0.1, 400)),
        cell("down", FLOOR - 0.1 + RNG.normal(0, 0.1, 400)),
    )
    assert verdicts(found) == {
        "floor": "the floor",
        "same": "within noise",
        "noise": "within noise",
        "up": "better",
        "down": "worse",
    }


def test_p_values_are_corrected_over_the_models(books: Dataset) -> None:
    rivals = {name: FLOOR + RNG.normal(shift, 0.2, 400) for name, shift in (("a", 0.02), ("b", 0.03), ("c", 0.0))}
    found = table(books, *(cell(name, values) for name, values in rivals.items()))
    expected = holm([paired_test(values, FLOOR).p for values in rivals.values()])
    got = [row["p_vs_floor"]["ndcg@10"] for row in found.rows[1:]]
    assert got == pytest.approx(expected)


def test_every_model_is_tested_against_the_best_and_corrected_over_all_pairs(books: Dataset) -> None:
    """The best was picked on the users who are tested: of six pairs, those with it in them are shown."""
    rivals = {name: FLOOR + RNG.normal(shift, 0.2, 400) for name, shift in (("a", 0.01), ("b", 0.1), ("c", 0.0))}
    found = table(
        books, *(cell(name, values) for name, values in rivals.items()), cell("lost", FLOOR + 1), failed("lost", 1)
    )
    assert found.document["best"] == "b", "whose seeds are all there"
    systems = {"floor": FLOOR, **rivals}
    pairs = list(itertools.combinations(systems, 2))
    corrected = holm([paired_test(systems[x], systems[y]).p for x, y in pairs])
    expected = {frozenset(pair): p for pair, p in zip(pairs, corrected, strict=True)}
    for row in found.rows:
        if row["model"] in ("b", "lost"):
            assert row["p_vs_best"] == {}
        else:
            assert row["p_vs_best"]["ndcg@10"] == pytest.approx(expected[frozenset((row["model"], "b"))])


def test_one_significant_model_among_many_lucky_ones_may_be_noise(books: Dataset) -> None:
    """A raw p of .02 does not survive nineteen companions."""
    values = FLOOR + RNG.normal(0, 0.2, 400)
    values += 2.33 * (values - FLOOR).std(ddof=1) / 20 - (values - FLOOR).mean()  # t = 2.33
    assert paired_test(values, FLOOR).p == pytest.approx(0.02, abs=0.002)
    others = [cell(f"m{i}", FLOOR) for i in range(19)]
    assert verdicts(table(books, cell("lucky", values)))["lucky"] == "better"
    assert verdicts(table(books, cell("lucky", values), *others))["lucky"] == "within noise"


def test_seeds_are_averaged_per_user(books: Dataset) -> None:
    a, b = RNG.uniform(0, 1, 400), RNG.uniform(0, 1, 400)
    row = table(books, cell("m", a, 0), cell("m", b, 1)).rows[1]
    assert row["seeds"] == [0, 1]
    assert row["metrics"]["ndcg@10"] == pytest.approx((a.mean() + b.mean()) / 2)
    assert row["p_vs_floor"]["ndcg@10"] == pytest.approx(paired_test((a + b) / 2, FLOOR).p)
    assert row["peak_rss_mb"] == 101.0


def test_a_lost_seed_forbids_a_verdict(books: Dataset) -> None:
    found = table(books, cell("m", FLOOR + 0.2, 0), failed("m", 1), failed("n"))
    assert verdicts(found) == {"floor": "the floor", "m": "incomplete", "n": "failed"}
    assert found.rows[1]["error"] == "seed 1: It broke. Mend it."
    assert found.rows[2]["metrics"] == {}


def test_the_winner_is_chosen_on_valid(books: Dataset) -> None:
    found = table(books, cell("test-star", FLOOR + 0.3, valid=0.4), cell("valid-star", FLOOR - 0.3, valid=0.6))
    assert found.winner() == "valid-star"
    assert found.frame()["model"].to_list() == ["floor", "test-star", "valid-star"]


def test_without_any_score_there_is_no_winner(books: Dataset) -> None:
    with pytest.raises(HoneyguideError, match="No model can be chosen"):
        assemble(books, [failed("floor"), cell("m", FLOOR, valid=None)], [0], 10).winner()
    assert assemble(books, [failed("floor"), failed("m")], [0], 10).document["best"] is None


def test_people_who_came_back_are_counted(books: Dataset) -> None:
    assert table(books).document["returning"] == 0
    rows = [(f"u{n}", item, place) for n in range(30) for place, item in enumerate("abcda" if n < 20 else "bcda")]
    log = build("log", pl.DataFrame(rows, schema=["user_id", "item_id", "position"], orient="row"))
    found = assemble(leave_last_out(log), [cell("floor", FLOOR[:30])], [0], 10)
    assert found.document["returning"] == 20
    assert assemble(leave_last_new_out(log), [cell("floor", FLOOR[:30])], [0], 10).document["returning"] == 0
    told = Console(file=StringIO(), width=200)
    show(found, told)
    assert "20 users came back to what they had" in told.file.getvalue()
