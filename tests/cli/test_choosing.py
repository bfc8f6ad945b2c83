"""``tune`` and ``backtest`` as a person types them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from honeyguide.cli.main import app
from honeyguide.cli.options import parse_seconds
from honeyguide.core.errors import ConfigError, DataError

RUNNER = CliRunner()


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("10m", 600), ("2h", 7200), ("1.5h", 5400), (" 42 ", 42)])
def test_times(text: str, seconds: float) -> None:
    assert parse_seconds(text) == seconds


@pytest.mark.parametrize("text", ["", "m", "ten", "-3s", "0m", "inf", "nan"])
def test_what_is_not_a_time_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="not a time"):
        parse_seconds(text)


def test_tune_prints_a_table_and_pure_json(books_folder: Path, tmp_path: Path) -> None:
    pytest.importorskip("optuna")
    arguments = ["tune", books_folder, "--models", "popularity", "--budget", "30s", "--trials", "1"]
    paths = ["--runs", tmp_path / "runs", "--out", tmp_path / "model", "--json", "-"]
    result = RUNNER.invoke(app, [str(a) for a in (*arguments, *paths)])
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout)
    assert document["budget"] == 30
    assert document["winner"] == "floor"
    assert "Best on valid, and so the one to use: floor" in result.stderr
    shown = RUNNER.invoke(app, ["config", "show", str(tmp_path / "model")])
    assert 'model = "floor"' in shown.stdout


def test_backtest_without_times_says_what_to_do(books_folder: Path, tmp_path: Path) -> None:
    result = RUNNER.invoke(app, ["backtest", str(books_folder), "--models", "ease", "--runs", str(tmp_path)])
    assert result.exit_code == DataError.exit_code
    assert "--time-col" in result.stderr


def test_backtest_prints_a_column_per_fold(tmp_path: Path) -> None:
    events = [
        f"u{u},i{(u * 7 + n * n) % 30},2024-0{1 + n // 4}-{1 + (3 * u + 5 * n) % 27:02d}"
        for u in range(60)
        for n in range(16)
    ]
    path = tmp_path / "log.csv"
    path.write_text("\n".join(["user_id,item_id,timestamp", *events]) + "\n")
    arguments = ["backtest", path, "--models", "popularity", "--folds", "2", "--share", "0.2", "--runs", tmp_path / "r"]
    result = RUNNER.invoke(app, [str(a) for a in (*arguments, "--html", tmp_path / "b.html")])
    assert result.exit_code == 0, result.output
    assert "Kendall's tau" in result.stdout
    assert result.stdout.count("2024-0") == 2
    assert (tmp_path / "b.html").stat().st_size > 5000
