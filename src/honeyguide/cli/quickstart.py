"""``honeyguide quickstart``: the main job on the bundled books."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from honeyguide.cli import console


def quickstart(
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the report and the model.")] = Path(
        "honeyguide-quickstart"
    ),
    data: Annotated[str, typer.Option("--data", help="Other data than the bundled books.")] = "goodbooks-mini",
    user: Annotated[str | None, typer.Option("--user", help="The reader to recommend to.")] = None,
    seeds: Annotated[int, typer.Option("--seeds", min=1, help="Runs of each model that draws at random.")] = 1,
) -> None:
    """Read the bundled books, compare four models, write a report, save the best and recommend with reasons."""
    from honeyguide.cli.compare import progress, show
    from honeyguide.experiment.quickstart import Display
    from honeyguide.experiment.quickstart import quickstart as run

    def say(text: str) -> None:
        console.results().print(text, markup=False)

    display = Display(say, progress, lambda comparison: show(comparison, console.results()))
    run(out, display, data=data, user=user, seeds=seeds)
