"""What a search takes over from one that was interrupted, and what that had cost."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Self

import pytest

from honeyguide.core.dataset import Dataset
from honeyguide.core.fitting import FitOptions
from honeyguide.core.recommender import Recommender
from honeyguide.models.popularity import Popularity
from honeyguide.models.portfolio import Arm
from honeyguide.models.trials import Trials

POPULAR = Arm("popularity", "popularity")


def trials(data: Dataset, folder: Path, resume: bool) -> Trials:
    how = FitOptions(checkpoint=folder, resume=resume)
    return Trials(data.select("train", "valid"), folder, how, budget=1e6, wall=None, seed=0)


def test_what_a_fit_had_cost_is_counted_once(books: Dataset, tmp_path: Path) -> None:
    assert trials(books, tmp_path, resume=False).run(POPULAR) is not None
    (note,) = tmp_path.glob("*/cost.json")
    note.write_text(json.dumps({"cpu_seconds": 1000.0}), encoding="utf-8")
    again = trials(books, tmp_path, resume=True)
    trial = again.run(POPULAR)
    assert trial is not None
    assert 1000.0 <= trial.cpu_seconds < 1900.0
    assert 1000.0 <= again.spent < 1900.0
    assert (again.ladder[0]["taken_over"], again.ladder[0]["carried"]) == ("fitted", 1000.0)
    assert json.loads(note.read_text(encoding="utf-8"))["cpu_seconds"] == trial.cpu_seconds
    fresh = trials(books, tmp_path, resume=False)
    assert fresh.run(POPULAR) is not None
    assert "taken_over" not in fresh.ladder[0]
    assert fresh.spent < 900.0


@pytest.mark.parametrize("damage", ["", "{}", '{"cpu_seconds": 3}'])
def test_what_is_not_whole_is_fitted_again(books: Dataset, tmp_path: Path, damage: str) -> None:
    assert trials(books, tmp_path, resume=False).run(POPULAR) is not None
    (note,) = tmp_path.glob("*/cost.json")
    note.write_text(damage, encoding="utf-8")
    if "cpu" in damage:
        (note.parent / "model" / "CURRENT").write_text("", encoding="utf-8")
    again = trials(books, tmp_path, resume=True)
    assert again.run(POPULAR) is not None
    assert (again.ladder[0]["step"], "taken_over" in again.ladder[0]) == ("model", False)


def test_a_training_that_goes_on_tells_what_it_had_cost(
    books: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its learning curve begins before the interruption, and its folder has no model yet."""
    asked: list[bool] = []

    class Curved(Popularity):
        def fit(self, data: Dataset, options: FitOptions | None = None) -> Self:
            assert options is not None
            asked.append(options.resume)
            super().fit(data, options)
            self.report.curve = [{"epoch": 1, "cpu_seconds": 500.0}]
            return self

    def build(self: Arm, seed: int) -> Recommender:
        return Curved()

    monkeypatch.setattr(Arm, "build", build)
    arm = Arm("popularity", "network", epochs=True)
    found: list[dict[str, Any]] = []
    for resume in (False, True):
        search = trials(books, tmp_path / str(resume), resume)
        trial = search.run(arm)
        assert trial is not None
        assert search.run(arm) is not None, "another round"
        found += search.ladder
        assert (search.spent >= 400.0) == resume
    assert asked == [False, True, True, True], "the first round of a new search looks at no checkpoint"
    assert ["taken_over" in entry for entry in found] == [False, False, True, False]
    assert found[2]["taken_over"] == "begun"
    assert 400.0 < found[2]["carried"] <= 500.0
