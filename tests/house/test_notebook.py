"""The tutorial notebook runs, and what is printed in the committed copy is what it prints."""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOK = Path(__file__).parents[2] / "docs" / "tutorials" / "first-steps.ipynb"


def printed(notebook: nbformat.NotebookNode) -> list[str]:
    """What each cell shows; numbers may differ in the last digit from machine to machine."""
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    shown = ["".join(o.get("text") or " ".join(sorted(o.get("data", {}))) for o in cell.outputs) for cell in cells]
    return [re.sub(r"[\d.,+-]+", "#", text) for text in shown]


def test_the_tutorial_runs_and_prints_what_is_committed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "1")  # else implicit warns, where numpy has threads
    committed = nbformat.read(NOTEBOOK, as_version=4)
    fresh = nbformat.read(NOTEBOOK, as_version=4)
    for cell in fresh.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    NotebookClient(fresh, timeout=300, resources={"metadata": {"path": str(tmp_path)}}).execute()
    assert printed(fresh) == printed(committed)
    assert sum(map(bool, printed(fresh))) >= 8
    outputs = [output for cell in fresh.cells for output in cell.get("outputs", [])]
    assert not [output.text for output in outputs if output.get("name") == "stderr"]
