"""``honeyguide reproduce``: run the claims of a paper."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from honeyguide.cli import console, options


def reproduce(
    seed: Annotated[int, typer.Argument(metavar="N", help="Number of the paper, as 'honeyguide papers' lists it.")],
    profile: Annotated[str, typer.Option("--profile", help="cpu (minutes) or paper (the full thing).")] = "cpu",
    claim: Annotated[
        list[str] | None, typer.Option("--claim", help="Short name of a claim, once or more; all by default.")
    ] = None,
    jobs: Annotated[int, typer.Option("--jobs", min=1, help="Cells that run at once.")] = 1,
    results: Annotated[Path | None, typer.Option("--results", help="Where results are kept.")] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Compute every cell again.")] = False,
    json: options.Json = False,
) -> None:
    """Run every claim of a paper as resumable cells and say which hold."""
    from honeyguide.experiment.papers import RESULTS, shown
    from honeyguide.experiment.papers import paper as paper_of
    from honeyguide.experiment.reproduce import reproduce as run

    say = console.report(json)
    paper = run(
        seed,
        profile,
        results or RESULTS,
        claims=claim or (),
        jobs=jobs,
        fresh=fresh,
        progress=lambda text: console.notes().print(text),
    )
    wanted = {c.text for c in paper_of(seed).claims if not claim or c.id in claim}
    cells = [
        [e["claim"], e["dataset"], e["metric"], shown(e["value"]), shown(e["floor"]), e["verdict"]]
        for e in paper["evidence"]
        if e["claim"] in wanted
    ]
    head = ["claim", "data", "metric", "value", "to reach", "verdict"]
    say.print(console.table(f"{paper['seed']} {paper['name']}", head, cells))
    if json:
        console.emit(paper)
    if any(e["verdict"] == "does not hold" for e in paper["evidence"] if e["claim"] in wanted):
        raise typer.Exit(1)
