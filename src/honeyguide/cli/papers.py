"""``honeyguide papers``: what is reproduced, with its evidence."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from honeyguide.cli import console, options


def papers(
    markdown: Annotated[bool, typer.Option("--markdown", help="The page docs/papers.md.")] = False,
    results: Annotated[Path | None, typer.Option("--results", help="Where results are kept.")] = None,
    json: options.Json = False,
) -> None:
    """List the papers with the state of their reproduction, from stored results."""
    from honeyguide.experiment.papers import RESULTS, status, to_markdown

    found = status(results or RESULTS)
    if json:
        console.emit(found)
        return
    if markdown:
        typer.echo(to_markdown(found), nl=False)
        return
    cells = []
    for paper in found["papers"]:
        held = sum(entry["verdict"] == "holds" for entry in paper["evidence"])
        claims = f"{held} of {len(paper['evidence'])} hold" if paper["evidence"] else ""
        cells.append([f"{paper['seed']:02d}", paper["name"], paper["kind"], paper["state"], claims])
    console.results().print(console.table(None, ["seed", "paper", "kind", "state", "claims"], cells))
