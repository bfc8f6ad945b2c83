"""``update`` as a person types it."""

from __future__ import annotations

import json
from pathlib import Path

from typer.testing import CliRunner

from honeyguide.cli.main import app

RUNNER = CliRunner()


def run(*arguments: object) -> str:
    result = RUNNER.invoke(app, [str(a) for a in arguments])
    assert result.exit_code == 0, (result.output, result.exception)
    return result.stdout


def test_update_with_mapped_columns(tmp_path: Path) -> None:
    columns = ["--user-col", "who", "--item-col", "what", "--label-col", "stars", "--time-col", "day"]
    columns += ["--positive", "stars>=4"]
    old = [f"p{n % 7};b{(n * n) % 9};{5 if n % 5 else 1};2024-01-{1 + n % 28:02d}" for n in range(60)]
    (tmp_path / "old.csv").write_text("\n".join(["who;what;stars;day", *old]) + "\n")
    new = ["p0;novel;5;2024-02-01", "p1;dull;2;2024-02-01", "zoe;novel;4;2024-02-02"]
    (tmp_path / "new.csv").write_text("\n".join(["who;what;stars;day", *new]) + "\n")
    model = tmp_path / "model"
    run("fit", tmp_path / "old.csv", *columns, "--model", "itemknn", "--out", model)
    found = json.loads(run("update", model, tmp_path / "new.csv", *columns, "--json"))
    assert (found["events"], found["new_users"], found["exact"]) == (2, 1, True)
    assert found["version"] == "v000002"
    assert "had learnt all of it" in run("update", model, tmp_path / "new.csv", *columns)
    assert "novel" in run("recommend", model, "--user", "zoe", "--seen")
    assert run("recommend", model, "--user", "p0", "--version", "v000001")
