"""The README, tried literally: its Python and its commands, in an empty folder."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


def run(command: str | list[str], folder: Path) -> str:
    """What a command prints; the environment's own programs come first on the path, and no data folder is named."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = {k: v for k, v in os.environ.items() if k != "HONEYGUIDE_DATA"} | {"PATH": path, "COLUMNS": "160"}
    done = subprocess.run(
        command, shell=isinstance(command, str), cwd=folder, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def test_the_python_of_the_readme_runs(tmp_path: Path) -> None:
    (example,) = blocks("python")
    printed = run([sys.executable, "-c", example], tmp_path)
    assert "shape: (10, 4)" in printed
    assert len([line for line in example.splitlines() if line and not line.startswith("import")]) == 4


@pytest.mark.full
def test_the_commands_of_the_readme_run(tmp_path: Path) -> None:
    lines = [line.removeprefix("$ ") for block in blocks("console") for line in block.splitlines()]
    commands = [line for line in lines if line.startswith("honeyguide ")]
    assert len(commands) >= 7
    printed = {command: run(command, tmp_path) for command in commands}
    why = next(text for command, text in printed.items() if "--why" in command)
    assert "because you read" in re.sub(r"\s+", " ", why)
    everybody = pl.read_parquet(tmp_path / "recs.parquet")
    assert everybody.columns == ["user_id", "rank", "item_id", "score"]
    assert everybody.height == 10 * everybody["user_id"].n_unique() > 20_000
    rows = json.loads((tmp_path / "report.json").read_text())["rows"]
    assert {row["model"] for row in rows} >= {"popularity", "floor", "ease", "ials"}
    assert "<html" in (tmp_path / "report.html").read_text(encoding="utf-8")
