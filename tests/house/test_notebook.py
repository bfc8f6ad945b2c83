"""The tutorial notebook runs, and what is printed in the committed copy is what it prints."""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
from nbclient import NotebookClient

NOTEBOOK = Path(__file__).parents[2] / "docs" / "tutorials" / "first-steps.ipynb"


def printed(notebook: nbformat.NotebookNode) -> list[str]:
    """The kinds of outputs and their words; numbers may differ in the last digit from machine to machine."""
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    return [re.sub(r"[\d.,+-]+", "#", output.get("text") or " ".join(output.get("data", {}))) for output in outputs]


def test_the_tutorial_runs_and_prints_what_is_committed(tmp_path: Path) -> None:
    committed = nbformat.read(NOTEBOOK, as_version=4)
    fresh = nbformat.read(NOTEBOOK, as_version=4)
    for cell in fresh.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    NotebookClient(fresh, timeout=300, resources={"metadata": {"path": str(tmp_path)}}).execute()
    assert printed(fresh) == printed(committed)
    assert len(printed(fresh)) >= 8
    assert all(
        output.output_type != "stream" or output.name == "stdout"
        for c in fresh.cells
        for output in c.get("outputs", [])
    )
