"""``fit`` without a model, as a person types it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from honeyguide.cli import ladder
from honeyguide.cli.main import app
from honeyguide.core.errors import ConfigError

RUNNER = CliRunner()
FEW = 'models=["popularity", "floor", "itemknn"]'


def run(*arguments: object) -> Any:
    return RUNNER.invoke(app, [str(a) for a in arguments])


def test_fit_without_a_model_searches_tells_and_saves(books_folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "model"
    result = run("fit", books_folder, "--out", out, "--budget", "10m", "--set", FEW, "--set", "text=off", "--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert found["model"] == "auto"
    assert found["params"]["budget"] == 600
    assert [step["label"] for step in found["search"]][:2] == ["popularity", "floor"]
    assert "for now: popularity" in result.stderr, "an answer at once"
    assert "What was tried" in result.stderr
    assert found["learnt"] == ["train", "valid"] and "Valid was learnt too" in result.stderr
    again = run("show", out)
    assert again.exit_code == 0, again.output
    tried = result.stderr[result.stderr.index("What was tried") :].split("Saved to")[0]
    assert " ".join(tried.split()) in " ".join(again.stdout.split()), "the evidence is kept with the model"
    assert "text=off" in again.stdout and "version v0" in again.stdout
    kept = json.loads(run("show", out, "--json").stdout)
    assert kept["search"] == found["search"] and kept["chosen"] == found["chosen"]
    assert kept["users"] == 300 and kept["reading"]["columns"]["user_id"] == "user_id"
    shown = run("recommend", out, "--user", "13", "-k", "3", "--json")
    assert shown.exit_code == 0, shown.output
    assert '"rank": 3' in shown.stdout


def test_valid_is_learnt_by_a_search_and_where_it_is_asked_for(books_folder: Path, tmp_path: Path) -> None:
    ease = ("fit", books_folder, "--model", "ease", "--json", "--out")
    assert json.loads(run(*ease, tmp_path / "1").stdout)["learnt"] == ["train"]
    assert json.loads(run(*ease, tmp_path / "2", "--learn-valid").stdout)["learnt"] == ["train", "valid"]
    search = ("fit", books_folder, "--set", 'models=["popularity"]', "--set", "text=off", "--json", "--hold-valid")
    assert json.loads(run(*search, "--out", tmp_path / "3").stdout)["learnt"] == ["train"]


def test_a_budget_is_for_the_search_alone(books_folder: Path, tmp_path: Path) -> None:
    result = run("fit", books_folder, "--out", tmp_path / "m", "--model", "ease", "--budget", "1m")
    assert result.exit_code == ConfigError.exit_code
    assert "Leave out --model" in result.stderr


def test_every_kind_of_step_is_told_in_a_line() -> None:
    skipped = {"step": "skipped", "label": "ease", "why": "expected to take 90 CPU-seconds", "spent": 3.0}
    model = {"step": "model", "label": "sasrec", "ndcg@10": 0.1, "finished": False, "cpu_seconds": 9.0, "spent": 12.0}
    blend = {"step": "blend", "label": "a + b", "ndcg@10": 0.2, "best_single": 0.1, "p": 0.01, "verdict": "better"}
    blend |= {"adds": {"a": {"ndcg@10": 0.05, "se": 0.01}}, "cpu_seconds": 1.0, "spent": 13.0}
    valid = {"step": "valid", "label": "events of valid", "verdict": "9, learnt too", "cpu_seconds": 1, "spent": 14.0}
    assert ladder.line(valid) == "[14 CPU-s] events of valid: 9, learnt too for 1 CPU-s"
    assert "left out" in ladder.line(skipped)
    assert "not at its end" in ladder.line(model)
    assert "better than the best single model: taken (p = 0.01)" in ladder.line(blend)
    assert ladder.table([skipped, model, blend, valid]).row_count == 4
    cold = {"step": "cold", "label": "cold-map", "verdict": "NDCG@10 of cold items 0.1", "ndcg@10": 0.05}
    shown = ladder.table([model, cold | {"cpu_seconds": 1.0, "spent": 15.0}])
    assert [str(cell) for cell in shown.columns[2].cells] == ["0.1000", ""], "it is judged on others"
    assert ladder.additions([skipped, model]) is None
    added = ladder.additions([blend])
    assert added is not None and added.row_count == 1
