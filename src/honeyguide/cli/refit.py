"""``honeyguide refit``: what a service was told, into its model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from honeyguide.cli import console, options
from honeyguide.cli.serve import StoreUrl, store_url


def refit(
    model: options.Bundle,
    store: StoreUrl = None,
    tenant: Annotated[str, typer.Option("--tenant", help="Whose events.")] = "default",
    export: Annotated[
        Path | None,
        typer.Option("--export", metavar="FILE", help="Write all that is known as CSV or Parquet for 'fit' instead."),
    ] = None,
    replay: Annotated[
        float,
        typer.Option("--replay", min=0.0, help="Most other users shown to models that forget, for each that changed."),
    ] = 20.0,
    device: options.Device = "auto",
    precision: options.Precision = "float32",
    json: options.Json = False,
) -> None:
    """Bring the events and items that a service was told into its model; a running service takes it up.

    Likes that were taken back are left out. What was brought in before changes nothing, so it may run every night.
    """
    from dataclasses import asdict

    from honeyguide.core.fitting import FitOptions
    from honeyguide.experiment.bundle import open_bundle
    from honeyguide.serve.refit import refit as bring_in
    from honeyguide.serve.refit import whole_log
    from honeyguide.serve.store import Store

    database, say = Store(store_url(store, model)), console.report(json)
    try:
        if export is not None:
            log = whole_log(database, tenant, open_bundle(model))
            log.write_parquet(export) if export.suffix == ".parquet" else log.write_csv(export)
            console.notes().print(f"Wrote {log.height:,} events to {export}: honeyguide fit {export}")
            if json:
                console.emit({"file": str(export), "events": log.height})
            return
        how = FitOptions(progress=not console.is_quiet(), device=device, precision=precision)
        done, found = bring_in(model, database, tenant, replay=replay, options=how)
    finally:
        database.close()
    if found.left_out:
        console.notes().print(f"{found.left_out:,} events have users or items whose ids the model cannot have.")
    say.print(
        f"{done.events:,} new events ({done.known_events:,} were there already), {done.new_users:,} new users, "
        f"{done.new_items:,} new items; {done.changed_users:,} users learnt anew in {done.cpu_seconds:.2f} CPU-s: "
        f"{done.model}, version {done.version}."
    )
    console.say_stayed(say, done.stayed)
    if json:
        console.emit({**asdict(done), "left_out": found.left_out})
