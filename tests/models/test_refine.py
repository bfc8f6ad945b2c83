"""Better options for a fitted model, one at a time."""

from __future__ import annotations

from pathlib import Path

import pytest

from honeyguide.core.dataset import Dataset
from honeyguide.core.fitting import FitOptions
from honeyguide.core.space import Real, Whole
from honeyguide.data.splits import ratio
from honeyguide.models.auto import Auto
from honeyguide.models.portfolio import Arm
from honeyguide.models.refine import moved, refined, walked
from honeyguide.models.trials import Trial, Trials


@pytest.fixture
def trials(books: Dataset, tmp_path: Path) -> Trials:
    return Trials(ratio(books), tmp_path, FitOptions(), 1000.0, None, 0)


def begun(trials: Trials, model: str, **options: float) -> Trial:
    trial = trials.run(Arm(model, model, options))
    assert trial is not None
    return trial


def test_a_poor_start_is_left_and_one_trial_is_kept(trials: Trials) -> None:
    start = begun(trials, "ease", regularization=20_000.0)
    found = refined(start, trials, 0.0)
    assert found.value > 1.05 * start.value
    assert found.arm.options["regularization"] < 5_000
    assert trials.done == [found]
    values = [entry["ndcg@10"] for entry in trials.ladder]
    assert max(values) >= found.value > values[0]


def test_nothing_is_begun_that_would_pass_the_limit(trials: Trials) -> None:
    start = begun(trials, "ease", regularization=20_000.0)
    assert refined(start, trials, trials.left) is start
    assert len(trials.ladder) == 1


def test_moves_stay_in_the_space_and_say_what_they_are(trials: Trials) -> None:
    start = begun(trials, "itemknn", neighbours=20)
    assert [name for name, _ in walked(start.arm)] == ["shrinkage", "neighbours"], "real numbers come first"
    up = moved(start, "neighbours", Whole(10, 1000, log=True), True)
    assert up is not None and up.options == {"neighbours": 40} and up.label == "itemknn, neighbours 40"
    assert moved(start, "neighbours", Whole(15, 1000, log=True), False) is None
    real = moved(start, "shrinkage", Real(0.1, 500.0, log=True), False)
    assert real is not None and real.label.startswith("itemknn, neighbours 20, shrinkage 3.3")


def test_an_exponent_moves_by_a_quarter_of_its_limits(trials: Trials) -> None:
    start = begun(trials, "gfcf", factors=16)
    down = moved(start, "candidate_exponent", Real(0.0, 1.0), False)
    assert down is not None and down.options == {"factors": 16, "candidate_exponent": 0.25}
    last = begun(trials, "gfcf", factors=16, candidate_exponent=0.0)
    assert moved(last, "candidate_exponent", Real(0.0, 1.0), False) is None


def test_an_option_that_follows_from_the_data_is_moved_from_what_it_was(trials: Trials) -> None:
    start = begun(trials, "slim")
    up = moved(start, "l1", Real(0.2, 20.0, log=True), True)
    assert up is not None and up.options["l1"] == pytest.approx(3 * start.model.resolved.l1, rel=0.01)


def test_auto_searches_options_where_order_says_nothing(books: Dataset) -> None:
    def labels(data: Dataset) -> list[str]:
        model = Auto(budget=30.0, models=("popularity", "ease"), text="off").fit(data)
        return [entry["label"] for entry in model.report.search if entry["step"] == "model"]

    assert any(label.startswith("ease, regularization") for label in labels(ratio(books)))
    assert labels(books) == ["popularity", "ease"]
