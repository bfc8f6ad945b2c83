"""``honeyguide show``: what a saved model is and what speaks for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from honeyguide.cli import console, ladder, options

if TYPE_CHECKING:
    from honeyguide.data.reading import Reading
    from honeyguide.experiment.bundle import Bundle


def show(
    model: options.Bundle,
    version: Annotated[str | None, typer.Option("--version", help="Of the model; default: the current one.")] = None,
    json: options.Json = False,
) -> None:
    """What a saved model is, what was tried when it was fitted, at what cost, and the updates since."""
    from honeyguide.core.artifact import current_version
    from honeyguide.experiment.bundle import open_bundle, reading_of

    bundle = open_bundle(model, version)
    name, reading = version or current_version(model), reading_of(model)
    if json:
        console.emit(describe(bundle, name, reading))
        return
    say, fitted = console.results(), bundle.model
    say.print(
        f"{fitted.name}, version {name}: {len(bundle.item_ids):,} items; the store beside it has the histories of "
        f"{len(bundle.store):,} users."
    )
    if reading is not None:
        said = [f"{column} as {meaning}" for meaning, column in reading.columns.items() if column != meaning]
        if said:
            say.print(f"Columns of the data: {', '.join(said)}.")
        if reading.positive is not None:
            say.print(f"Events counted where {reading.positive}.")
    defaults = type(fitted).Config().model_dump(mode="json")
    changed = [f"{k}={v}" for k, v in fitted.config.model_dump(mode="json").items() if v != defaults[k]]
    say.print(f"Options other than the defaults: {', '.join(changed) or 'none'}.")
    ladder.evidence(fitted, say)
    updates = fitted.report.updates
    if updates:
        cells = [
            [n, f"{u['users']:,}", f"{u['new_items']:,}", f"{u['cpu_seconds']:.2f}", ", ".join(u["stayed"])]
            for n, u in enumerate(updates, start=1)
        ]
        heads = ["#", "users", "new items", "CPU-s", "stayed as it was"]
        say.print(console.table("Updates since", heads, cells))


def describe(bundle: Bundle, version: str | None, reading: Reading | None) -> dict[str, Any]:
    """The same as ``--json`` shows it."""
    from dataclasses import asdict

    model = bundle.model
    return {
        "model": model.name,
        "version": version,
        "items": len(bundle.item_ids),
        "users": len(bundle.store),
        "capabilities": sorted(model.capabilities),
        "reading": None if reading is None else reading.to_meta(),
        "params": model.config.model_dump(mode="json"),
        "chosen": model.stands_for,
    } | asdict(model.report)
