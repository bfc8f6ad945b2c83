from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from honeyguide.core.errors import MissingExtraError
from honeyguide.experiment.bundle import open_bundle
from honeyguide.experiment.compare import Progress
from honeyguide.experiment.quickstart import Display, _available, quickstart


@contextmanager
def silent() -> Iterator[Progress]:
    yield lambda what, number, total: None


def test_the_main_job_on_a_few_readers(books_folder: Path, tmp_path: Path) -> None:
    """Everything but SASRec: data, comparison, report, choice, bundle, and a new process that recommends."""
    told: list[str] = []
    shown: list[object] = []
    folder = quickstart(
        tmp_path / "out",
        Display(told.append, silent, shown.append),
        data=str(books_folder),
        models=("popularity", "floor", "ease"),
    )
    text = "\n".join(told)
    results = json.loads((tmp_path / "out" / "report.json").read_text())
    valid = {row["model"]: row["valid"]["ndcg@10"] for row in results["rows"]}
    assert open_bundle(folder).model.name == max(valid, key=lambda name: valid[name])
    assert (tmp_path / "out" / "report.html").read_text().startswith("<!doctype html>")
    assert json.loads((tmp_path / "out" / "faithfulness.json").read_text())["share"] > 0.9
    assert len(shown) == 1
    assert text.count("because you read") >= 8
    assert "300 users" in text
    assert "finding" in text
    assert "CPU-seconds" in text
    assert [line[0] for line in text.splitlines() if line[1:3] == ". "] == list("12345")


def test_a_model_that_is_not_installed_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def model_class(name: str) -> None:
        if name == "sasrec":
            raise MissingExtraError("The model 'sasrec'", "torch")

    monkeypatch.setattr("honeyguide.experiment.quickstart.model_class", model_class)
    told: list[str] = []
    assert _available(("popularity", "sasrec"), told.append) == ["popularity"]
    assert "pip install 'honeyguide[torch]'" in told[0]
