"""``data attack`` as a person types it."""

from __future__ import annotations

import json
from pathlib import Path

from typer.testing import CliRunner

from honeyguide.cli.main import app
from honeyguide.core.errors import UnknownNameError
from honeyguide.data.attacks import fake_users, promoted_items
from honeyguide.data.load import load_data

RUNNER = CliRunner()


def test_an_attacked_data_set_is_written_and_says_who_is_fake(books_folder: Path, tmp_path: Path) -> None:
    ids = load_data(books_folder).item_ids.values
    options = ["--kind", "bandwagon", "--share", "0.02", "--targets", f"{ids[3]}, {ids[5]}", "--each", "2"]
    arguments = ["data", "attack", str(books_folder), *options, "--out", str(tmp_path / "out"), "--json"]
    result = RUNNER.invoke(app, arguments)
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout)
    found = load_data(tmp_path / "out")
    assert document["fake_users"] == 6 == fake_users(found).sum()
    assert document["targets"] == [ids[3], ids[5]]
    assert promoted_items(found).tolist() == found.item_ids.encode([ids[3], ids[5]]).tolist()
    shown = RUNNER.invoke(app, ["data", "attack", str(books_folder), "--out", str(tmp_path / "again")])
    assert "3 fake users" in shown.stdout and "promote 3 items" in shown.stdout  # one target each, of five


def test_an_unknown_target_is_named(books_folder: Path, tmp_path: Path) -> None:
    options = ["--targets", "no-such-book", "--out", str(tmp_path / "out")]
    result = RUNNER.invoke(app, ["data", "attack", str(books_folder), *options])
    assert isinstance(result.exception, UnknownNameError) or "no-such-book" in result.output
    assert result.exit_code != 0
