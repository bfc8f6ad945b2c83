from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from honeyguide.core.dataset import Dataset
from honeyguide.core.errors import CapabilityError, ConfigError, DataError, FitInterrupted, UnknownNameError
from honeyguide.core.fitting import FitOptions
from honeyguide.core.ids import Ids
from honeyguide.core.recommender import Recommender
from honeyguide.data.load import load_data
from honeyguide.data.splits import ratio
from honeyguide.metrics.holdout import holdout_ndcg
from honeyguide.models.auto import Auto
from honeyguide.models.blend import Blend
from honeyguide.models.portfolio import Arm, portfolio
from honeyguide.models.registry import model_class
from honeyguide.models.trials import Trials

CLOSED = ("popularity", "floor", "itemknn", "ease")


@pytest.fixture(scope="module")
def books() -> Dataset:
    return load_data("goodbooks-mini")


@pytest.fixture(scope="module")
def found(books: Dataset) -> Auto:
    return Auto(budget=1000.0, models=CLOSED, text="off").fit(books)


def ndcg(model: Recommender, data: Dataset) -> float:
    histories, truth = data.histories("train", "valid"), data.histories("test")
    return float(holdout_ndcg(model.score_histories, histories, truth).mean())


def test_what_is_chosen_is_hardly_worse_than_the_best_single_model(found: Auto, books: Dataset) -> None:
    singles = {e["label"]: e["ndcg@10"] for e in found.report.search if e["step"] == "model"}
    assert set(singles) == set(CLOSED)
    best = max(singles, key=lambda label: singles[label])
    assert ndcg(found, books) >= 0.98 * ndcg(model_class(best)().fit(books), books)


def test_the_ladder_says_cost_value_and_what_each_part_adds(found: Auto) -> None:
    ladder = found.report.search
    spent = [entry["spent"] for entry in ladder]
    assert spent == sorted(spent)
    assert [e["label"] for e in ladder if e["step"] == "model"][:2] == ["popularity", "floor"], "the floors come first"
    (blend,) = [e for e in ladder if e["step"] == "blend"]
    assert blend["label"] == " + ".join(blend["adds"])
    assert all(set(added) == {"ndcg@10", "se"} for added in blend["adds"].values())
    assert isinstance(found.chosen, Blend) == (blend["verdict"] == "better")


def test_a_gain_within_noise_is_not_claimed(books: Dataset) -> None:
    few = pl.col("user") < 40
    small = replace(books, interactions=books.interactions.filter(few))
    model = Auto(budget=1000.0, models=("itemknn", "popularity"), text="off").fit(small)
    blends = [e for e in model.report.search if e["step"] == "blend"]
    assert blends and all(e["verdict"] == "within noise" for e in blends)
    means = [e for e in model.report.search if e["step"] == "mean"]
    if isinstance(model.chosen, Blend):
        assert means and means[-1]["verdict"].startswith("within noise")
        np.testing.assert_array_equal(model.chosen.weights.values, [[1, 0, 1, 0]])
    else:
        assert model.chosen.name in ("itemknn", "popularity")


def test_a_mean_that_is_worse_beyond_noise_is_not_kept(books: Dataset, tmp_path: Path) -> None:
    trials = Trials(books, tmp_path, FitOptions(), 10.0, None, 0)
    best = np.random.default_rng(0).random(400)
    noise = np.random.default_rng(1).standard_normal(400)
    assert trials.note_mean([], best - 0.001 + 0.2 * noise - (0.2 * noise).mean(), best)
    assert not trials.note_mean([], best - 0.05 + 0.2 * noise - (0.2 * noise).mean(), best)
    assert [entry["verdict"] for entry in trials.ladder][1] == "worse than the best of them"


def test_a_later_blend_must_be_better_than_the_one_before(books: Dataset, tmp_path: Path) -> None:
    trials = Trials(books, tmp_path, FitOptions(), 1000.0, None, 0)
    single = np.random.default_rng(0).random(400)
    assert not trials.note_blend([], [], single + 0.0, single, 1.0, 0.05)
    assert trials.note_blend([], [], single + 0.02, single, 1.0, 0.05)
    assert not trials.note_blend([], [], single + 0.01, single, 1.0, 0.05)
    assert trials.note_blend([], [], single + 0.03, single, 1.0, 0.05)
    verdicts = [entry["verdict"] for entry in trials.ladder]
    assert verdicts == ["within noise", "better", "not better than the one before", "better"]


def test_at_the_end_valid_is_learnt_too_where_it_is_wanted(books: Dataset, found: Auto) -> None:
    held_out, both = books.histories("valid"), books.histories("train", "valid")
    model = Auto(budget=1000.0, models=CLOSED, text="off").fit(books, FitOptions(learn_valid=True))
    last = model.report.search[-1]
    assert (last["step"], last["label"]) == ("valid", "events of valid")
    assert last["verdict"].startswith(f"{len(held_out.values):,},")
    assert model.report.learnt == ["train", "valid"] and found.report.learnt == ["train"]
    assert model.stands_for == found.stands_for, "what is chosen stays"
    tried = [[e["ndcg@10"] for e in search.report.search if e["step"] == "model"] for search in (model, found)]
    assert tried[0] == tried[1], "nothing is judged by what it has learnt"
    knows = holdout_ndcg(model.score_histories, books.histories("train"), held_out).mean()
    guesses = holdout_ndcg(found.score_histories, books.histories("train"), held_out).mean()
    assert knows > 1.02 * guesses, "it has seen these"
    assert ndcg(model, books) >= 0.99 * ndcg(found, books)
    scores = model.score_histories(both)
    model.learn_valid(books)
    np.testing.assert_array_equal(model.score_histories(both), scores)


def test_valid_is_not_learnt_where_the_budget_has_no_room(books: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Trials, "relearning", lambda *_: 1e6)
    model = Auto(budget=30.0, models=("popularity",), text="off").fit(books, FitOptions(learn_valid=True))
    assert model.report.search[-1]["label"] == "events of valid"
    assert "1000000 CPU-seconds" in model.report.search[-1]["why"]
    assert model.report.learnt == ["train"]


def test_a_blend_that_the_budget_has_no_room_for_is_left_out(books: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Trials, "blending", lambda *_: 1e6)
    model = Auto(budget=30.0, models=("itemknn", "ease", "gfcf"), text="off").fit(books)
    (last,) = [entry for entry in model.report.search if entry["label"].startswith("blend")]
    assert last["step"] == "skipped" and "1000000 CPU-seconds" in last["why"]
    tried = [entry for entry in model.report.search if entry["step"] == "model"]
    assert model.stands_for.split(" (")[0] == max(tried, key=lambda entry: entry["ndcg@10"])["label"].split(",")[0]


def test_a_budget_that_is_spent_trains_no_further(books: Dataset) -> None:
    model = Auto(budget=0.5, models=("popularity", "sasrec", "hstu"), text="off").fit(books)
    epochs = [e["epochs"] for e in model.report.search if e["step"] == "model" and e["label"] != "popularity"]
    assert epochs == [0, 0], "one round, each cut short in its first epoch, and nothing after it"


def test_what_an_epoch_costs_is_told_from_its_beginning(books: Dataset, tmp_path: Path) -> None:
    trials = Trials(books, tmp_path, FitOptions(), 1000.0, None, 0)
    sasrec = Arm("sasrec", "sasrec", epochs=True)
    cut = trials.run(sasrec, 0.2)
    assert cut is not None and not cut.model.report.curve and 0 < cut.model.report.begun < 1
    whole = trials.run(Arm("one", "sasrec", {"epochs": 1}, epochs=True))
    assert whole is not None and len(whole.model.report.curve) == 1
    assert 0.4 * whole.per_epoch < cut.per_epoch < 4 * whole.per_epoch
    assert cut.per_epoch > 2 * cut.model.report.cpu_seconds


def test_a_small_budget_leaves_out_what_is_dear_and_says_so(books: Dataset) -> None:
    model = Auto(budget=2.0, models=(*CLOSED, "slim"), text="off").fit(books)
    skipped = {e["label"]: e["why"] for e in model.report.search if e["step"] == "skipped"}
    assert "CPU-seconds" in skipped["slim"]


def test_what_does_not_fit_in_memory_is_left_out(books: Dataset) -> None:
    limit = int(Auto(models=CLOSED, text="off").estimate(books).memory_bytes) + 1
    model = Auto(budget=1000.0, models=CLOSED, text="off").fit(books, FitOptions(memory_limit=limit))
    skipped = [e for e in model.report.search if e["step"] == "skipped"]
    assert skipped and all("memory" in e["why"] for e in skipped)
    parts = model.chosen.parts if isinstance(model.chosen, Blend) else [model.chosen]
    assert not {part.name for part in parts} & {e["label"] for e in skipped}


def test_answers_come_early_and_get_better(books: Dataset) -> None:
    told: list[str] = []
    tried: list[dict[str, Any]] = []
    how = FitOptions(on_better=lambda model: told.append(model.name), on_trial=tried.append)
    model = Auto(budget=1000.0, models=CLOSED, text="off").fit(books, how)
    assert told[0] == "popularity"
    assert told[-1] == model.chosen.name
    assert tried == model.report.search


def test_an_interrupted_search_goes_on(books: Dataset, found: Auto, tmp_path: Path) -> None:
    def stop(entry: dict[str, Any]) -> None:
        if entry["label"] == "itemknn":
            raise FitInterrupted("stopped", None)

    with pytest.raises(FitInterrupted):
        Auto(budget=1000.0, models=CLOSED, text="off").fit(books, FitOptions(checkpoint=tmp_path, on_trial=stop))
    kept = len(list(tmp_path.glob("*/cost.json")))
    assert kept >= 2
    again = Auto(budget=1000.0, models=CLOSED, text="off").fit(books, FitOptions(checkpoint=tmp_path, resume=True))
    asked = books.histories("train", "valid").take(slice(0, 40))
    np.testing.assert_array_equal(again.score_histories(asked), found.score_histories(asked))


def test_without_text_there_is_no_place_for_new_items(found: Auto) -> None:
    with pytest.raises(CapabilityError, match="without text"):
        found.add_items(pl.DataFrame({"item_id": [10_000_000], "title": ["A novelty"]}))


def test_texts_that_cannot_be_read_within_the_budget_are_left_unread(
    books: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("honeyguide.models.auto.encoding_seconds", lambda *_: 1e6)
    model = Auto(budget=20.0, models=("popularity", "itemknn"), text="use").fit(books)
    last = model.report.search[-1]
    assert (last["step"], last["label"]) == ("skipped", "cold-map")
    assert "1000000 CPU-seconds" in last["why"]
    assert model.chosen.name != "cold-map"


def test_the_ladder_tells_of_the_place_for_cold_items(books: Dataset) -> None:
    model = Auto(budget=60.0, models=("popularity", "itemknn"), text="use").fit(books)
    assert model.report.search[-1]["step"] == "cold"
    assert model.report.search[-1]["cpu_seconds"] > 0


def test_nothing_to_learn_from_is_an_error(books: Dataset) -> None:
    nobody = replace(books, interactions=books.interactions.with_columns(split=pl.lit("test")))
    with pytest.raises(DataError, match="no positive event"):
        Auto(budget=5.0).fit(nobody)


def test_the_portfolio_follows_from_the_shape_of_the_data(books: Dataset) -> None:
    ordered = {arm.model for arm in portfolio(books, text="off")}
    unordered = {arm.model for arm in portfolio(replace(books, ordered=False), text="off")}
    assert {"floor", "sasrec"} <= ordered and "lightgcn" not in ordered
    assert {"lightgcn", "simplex"} <= unordered and not {"floor", "sasrec"} & unordered
    drawn = {arm.model for arm in portfolio(ratio(books), text="off")}
    assert {"floor", "lightgcn"} <= drawn and "sasrec" not in drawn, "a random valid does not ask what follows"
    assert "text-profile" not in ordered
    assert "text-profile" in {arm.model for arm in portfolio(books, text="use")}
    assert {arm.model for arm in portfolio(books, ("ease",))} == {"ease"}
    with pytest.raises(UnknownNameError, match=r"'eaze'. Did you mean ease"):
        portfolio(books, ("eaze",))


def test_where_histories_are_long_the_last_fits_know_their_epochs(books: Dataset) -> None:
    few = pl.col("user") < 150
    small = replace(books, interactions=books.interactions.filter(few))
    assert all(arm.planned for arm in portfolio(small, ("sasrec", "hstu"), text="off"))
    model = Auto(budget=40.0, models=("popularity", "sasrec"), text="off").fit(small)
    steps = [e for e in model.report.search if e["step"] == "model" and e["label"].startswith("sasrec")]
    first, last = steps[0], steps[1]
    assert not first["finished"] and last["finished"]
    assert last["spent"] <= 1.25 * 40
    short = replace(small, interactions=small.interactions.filter(pl.int_range(pl.len()).over("user") < 10))
    assert not any(arm.planned for arm in portfolio(short, text="off"))


def test_a_large_catalogue_is_estimated_where_the_budget_is_small(books: Dataset) -> None:
    def losses(data: Dataset, budget: float) -> set[str]:
        arms = portfolio(data, ("sasrec", "hstu"), text="off", budget=budget, device="cpu")
        return {str(arm.options.get("loss", "softmax")) for arm in arms}

    more = pl.arange(10**6, 10**6 + 50_000, eager=True, dtype=books.item_ids.dtype)
    large = replace(books, item_ids=Ids.of(books.item_ids.values, more), items=None)
    assert losses(large, 1.0) == {"importance"}
    assert losses(large, 1e6) == {"softmax"}
    assert losses(books, 1.0) == {"softmax"}, "with 2,000 items an estimate saves next to nothing"


def test_few_users_on_valid_choose_nothing(books: Dataset) -> None:
    """Two users whom chance serves well would make any model the best, and a blend better with certainty."""
    held_out = books.interactions.filter(split="valid")["user"].unique().sort().head(2)
    frame = books.interactions.filter((pl.col("split") != "valid") | pl.col("user").is_in(held_out.implode()))
    model = Auto(budget=1000.0, models=CLOSED, text="off").fit(replace(books, interactions=frame))
    assert model.stands_for == "floor"
    skipped = {e["label"]: e["why"] for e in model.report.search if e["step"] == "skipped"}
    assert "2 users on valid are too few" in skipped["itemknn"]
    assert not [e for e in model.report.search if e["step"] in ("blend", "mean")]
    asked = Auto(budget=1000.0, models=("itemknn",), text="off").fit(replace(books, interactions=frame))
    assert asked.stands_for == "itemknn", "who names models gets them"


def test_models_whose_extra_is_missing_are_named(books: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Arm, "lacks", lambda arm: "torch" if arm.epochs else None)
    model = Auto(budget=1000.0, models=("popularity", "sasrec"), text="off").fit(books)
    skipped = {e["label"]: e["why"] for e in model.report.search if e["step"] == "skipped"}
    assert skipped == {"sasrec": "the extra [torch] is not installed"}


def test_a_search_among_nothing_is_refused(books: Dataset) -> None:
    with pytest.raises(ConfigError, match="could not fit any of no models"):
        Auto(models=("mf",)).fit(books)
