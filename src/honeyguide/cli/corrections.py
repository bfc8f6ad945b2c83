"""``honeyguide corrections``: what a model with the plug-in llm4dsr takes for noise in people's histories."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from honeyguide.cli import console, options


def corrections(
    model: options.Bundle,
    user: Annotated[list[str] | None, typer.Option("--user", help="Of these people alone; may be repeated.")] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Write the whole log here, as Parquet or, by its name, CSV.")
    ] = None,
    applied: Annotated[bool, typer.Option("--applied", help="Only what is replaced, not what was thought of.")] = False,
    k: options.K = 10,
    json: options.Json = False,
) -> None:
    """List the events that do not seem to belong, the surest first: what would be read in their place, and whether.

    The log is made from the histories in the store when it is asked for; nothing of it is kept in the model.
    """
    import polars as pl

    from honeyguide.experiment.bundle import open_bundle
    from honeyguide.experiment.corrections import corrections_of

    bundle = open_bundle(model)
    log = corrections_of(bundle, user or None)
    if applied:
        log = log.filter(pl.col("applied"))
    if out is not None:
        log.write_csv(out) if out.suffix == ".csv" else log.write_parquet(out)
        console.notes().print(f"Wrote {out}: {log.height:,} rows.")
    if json:
        console.emit({"corrections": log.head(k).to_dicts(), "rows": log.height, "applied": int(log["applied"].sum())})
        return
    rows = [
        [str(r["user_id"]), r["position"], r["title"], f"{r['probability']:.2f}", r["replacement"], _told(r["applied"])]
        for r in log.head(k).iter_rows(named=True)
    ]
    title = f"{int(log['applied'].sum()):,} events replaced when {bundle.model.name} reads these histories"
    columns = ["user", "position", "item", "probability", "in its place", "replaced"]
    console.results().print(console.table(title, columns, rows, numeric=1))


def _told(applied: bool) -> str:
    return "yes" if applied else "no"
