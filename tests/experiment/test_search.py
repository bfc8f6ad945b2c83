from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from honeyguide.core.dataset import Dataset
from honeyguide.core.space import Choice, Real, Whole
from honeyguide.data.fingerprint import fingerprint
from honeyguide.experiment import search
from honeyguide.experiment.child import run_module
from honeyguide.experiment.records import write_json
from honeyguide.experiment.search import Search, Task
from honeyguide.experiment.settings import build_model
from honeyguide.experiment.snapshot import freeze
from honeyguide.models.registry import MODELS, model_class

pytest.importorskip("optuna")


@pytest.fixture(scope="module")
def snapshot(books: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("frozen") / "data"
    freeze(books.select("train", "valid"), folder)
    return folder


def task(snapshot: Path, folder: Path, model: str, budget: float, **options: Any) -> Task:
    values = {"fixed": {}, "content": "c", "trials": 500, "seed": 0} | options
    return Task(model=model, snapshot=snapshot, folder=folder, budget=budget, **values)


# -- with the cells played by a function: what the search decides -----------------------------------


def played(monkeypatch: pytest.MonkeyPatch, cost: float, value: Any, steps: int = 0) -> list[dict[str, Any]]:
    """Cells that cost ``cost`` and score ``value(settings)``; with ``steps`` they learn in epochs."""
    run: list[dict[str, Any]] = []

    def cell(module: str, arguments: list[str], result: Path, watch: Any) -> dict[str, Any]:
        import json

        spec = json.loads(Path(arguments[0]).read_text())
        run.append(spec["settings"])
        curve = result.with_suffix(".curve")
        for step in range(1, steps + 1):
            with curve.open("a") as file:
                file.write(json.dumps({"epoch": step, "valid_ndcg@10": value(spec["settings"]) * step / steps}) + "\n")
            reason = watch(cost * step / steps)
            if reason is not None:
                return {"stopped": reason, "cpu_seconds": cost * step / steps}
        reason = watch(cost)
        if reason is not None:
            return {"stopped": reason, "cpu_seconds": cost}
        return {"cpu_seconds": {"process": cost}, "valid": {"ndcg@10": value(spec["settings"])}, "peak_rss_mb": 1.0}

    monkeypatch.setattr(search, "run_module", cell)
    monkeypatch.setattr(os, "fsync", lambda handle: None)  # the journal's; a study of a moment need not survive
    return run


def peak(settings: dict[str, Any]) -> float:
    """Best at regularization 100."""
    return 1.0 / (1.0 + abs(np.log10(settings.get("regularization", 500.0) / 100.0)))


def test_the_defaults_come_first_and_the_best_is_near_the_peak(
    snapshot: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = played(monkeypatch, 1.0, peak)
    found = Search(task(snapshot, tmp_path, "ease", 30.0))
    found.run()
    assert run[0] == {"regularization": 500.0}
    assert found.best is not None
    assert 50 < found.best.user_attrs["settings"]["regularization"] < 200
    assert found.spent == pytest.approx(30.0, abs=1.0)


@pytest.mark.parametrize("cost", [7.0, 30.0, 45.0, 60.0, 99.0])
def test_the_budget_is_kept_within_a_quarter(
    cost: float, snapshot: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    played(monkeypatch, cost, peak, steps=20)
    found = Search(task(snapshot, tmp_path, "ease", 100.0))
    found.run()
    assert 75.0 <= found.spent <= 125.0


def test_a_trial_that_is_stopped_counts_by_its_best_epoch(
    snapshot: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("torch")
    played(monkeypatch, 100.0, lambda settings: 0.5, steps=10)
    found = Search(task(snapshot, tmp_path, "sasrec", 45.0))
    found.run()
    assert found.best is not None
    assert found.best.user_attrs["stopped"] == "budget"
    assert found.best.user_attrs["settings"]["epochs"] == 5
    assert found.best.value == pytest.approx(0.25)
    assert found.spent == pytest.approx(50.0)


def test_a_trial_without_epochs_that_is_stopped_does_not_count(
    snapshot: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    played(monkeypatch, 50.0, peak)
    found = Search(task(snapshot, tmp_path, "ease", 40.0))
    found.run()
    assert found.best is None
    assert [t.user_attrs["stopped"] for t in found.trials] == ["budget"]


def test_a_bad_learning_curve_is_pruned_and_its_cost_is_counted(
    snapshot: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("torch")
    values = iter([0.9, 0.8, 0.85, 0.95, 0.9, 0.1])
    each: dict[str, float] = {}

    def value(settings: dict[str, Any]) -> float:
        key = str(settings)
        each[key] = each[key] if key in each else next(values)
        return each[key]

    played(monkeypatch, 10.0, value, steps=10)
    found = Search(task(snapshot, tmp_path, "sasrec", 1000.0, trials=6))
    found.run()
    last = found.trials[-1]
    assert last.user_attrs["stopped"] == "pruned"
    assert 0 < last.user_attrs["cost"] < 5
    assert found.best is not None
    assert found.best.value == pytest.approx(0.95)


def test_a_search_goes_on_where_it_stopped_and_ends_as_if_it_had_not(
    snapshot: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = played(monkeypatch, 1.0, peak)
    Search(task(snapshot, tmp_path / "a", "ease", 12.0)).run()
    whole = list(run)
    run.clear()
    Search(task(snapshot, tmp_path / "b", "ease", 5.0)).run()
    Search(task(snapshot, tmp_path / "b", "ease", 12.0)).run()
    assert run == whole
    again = Search(task(snapshot, tmp_path / "b", "ease", 12.0))
    again.run()
    assert len(run) == len(whole)
    assert again.spent == pytest.approx(12.0)


def test_what_a_killed_trial_had_used_is_counted_and_it_is_tried_again(
    snapshot: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = played(monkeypatch, 1.0, peak)
    killed = Search(task(snapshot, tmp_path, "ease", 4.0))
    trial = killed._ask()
    settings = killed._settings(trial)
    cell = search._digest([settings, 0])
    write_json(killed.folder / f"{cell}.meter", {"cpu_seconds": 2.0})
    found = Search(task(snapshot, tmp_path, "ease", 4.0))
    found.run()
    assert run[0] == settings
    assert found.trials[0].user_attrs["cost"] == pytest.approx(3.0)
    assert len(run) == 2


def test_options_that_are_set_are_not_searched_and_repeats_cost_nothing(
    snapshot: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = played(monkeypatch, 1.0, peak)
    found = Search(task(snapshot, tmp_path, "ease", 50.0, fixed={"regularization": 7.0}))
    found.run()
    assert run == [{"regularization": 7.0}]
    assert found.spent == 1.0


def test_a_model_that_always_fails_is_given_up(snapshot: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record = {"error": "no", "remedy": "none", "cpu_seconds": 1.0}
    monkeypatch.setattr(search, "run_module", lambda *_: dict(record))
    found = Search(task(snapshot, tmp_path, "ease", 100.0))
    found.run()
    assert len(found.trials) == 3
    assert found.best is None
    assert found.spent == 3.0


# -- with real cells ---------------------------------------------------------------------------------


def test_a_real_search_is_better_than_the_defaults(books: Dataset, snapshot: Path, tmp_path: Path) -> None:
    content = fingerprint(books.select("train", "valid"))
    found = Search(task(snapshot, tmp_path, "ease", 60.0, trials=4, content=content))
    found.run()
    values = [t.value for t in found.trials]
    assert len(values) == 4
    assert found.best is not None
    assert found.best.value == max(values) > values[0]
    assert all(0.1 < t.user_attrs["cost"] < 20 for t in found.trials)
    assert not list(tmp_path.rglob("*.npz")), "a trial reads no test and writes no values of users"


def test_a_child_is_ended_when_its_watch_wants_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "busy.py").write_text("while True: pass\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    found = run_module("busy", [], tmp_path / "out.json", lambda used: "enough" if used > 0.3 else None)
    assert found["stopped"] == "enough"
    assert 0.3 < found["cpu_seconds"] < 5


@pytest.mark.skipif(sys.platform == "win32", reason="a child of Windows does not learn of its parent's end")
def test_a_child_ends_with_its_parent(tmp_path: Path) -> None:
    mark = tmp_path / "alive"
    child = (
        "import time, pathlib; from honeyguide.experiment.child import end_with_parent; end_with_parent()\n"
        f"while True: pathlib.Path({str(mark)!r}).touch(); time.sleep(.05)"
    )
    code = (
        "import subprocess, sys, os, time, pathlib\n"
        "from honeyguide.experiment.child import environment\n"
        f"subprocess.Popen([sys.executable, '-c', {child!r}], env=environment())\n"
        f"while not pathlib.Path({str(mark)!r}).exists(): time.sleep(.05)\n"
        "os._exit(0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        mark.unlink(missing_ok=True)
        time.sleep(0.5)
        if not mark.exists():
            return
    pytest.fail("the child outlived its parent")


@pytest.mark.parametrize("name", sorted(MODELS))
def test_every_space_names_options_of_its_model_and_values_they_allow(name: str) -> None:
    cls = model_class(name) if MODELS[name].extra is None else pytest.importorskip("torch") and model_class(name)
    for option, dimension in cls.space.items():
        assert option in cls.Config.model_fields
        ends = dimension.values if isinstance(dimension, Choice) else (dimension.low, dimension.high)
        for value in ends:
            assert dimension.holds(value)
            build_model(name, {option: value})


def test_dimensions_know_what_they_hold() -> None:
    assert Real(0.0, 1.0).holds(1)
    assert not Real(0.0, 1.0).holds("auto")
    assert not Real(0.0, 1.0).holds(True)
    assert not Whole(1, 3).holds(2.0)
    assert Choice((1, 2)).holds(2)
