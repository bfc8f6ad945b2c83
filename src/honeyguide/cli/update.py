"""``honeyguide update``: new events into a fitted model."""

from __future__ import annotations

from typing import Annotated

import typer

from honeyguide.cli import console, options


def update(
    model: options.Bundle,
    events: Annotated[str, typer.Argument(metavar="EVENTS", help="New events: a file, a folder or a database URL.")],
    replay: Annotated[
        float,
        typer.Option("--replay", min=0.0, help="Most other users shown to models that forget, for each that changed."),
    ] = 20.0,
    items: options.Items = None,
    device: options.Device = "auto",
    precision: options.Precision = "float32",
    user_col: options.UserCol = None,
    item_col: options.ItemCol = None,
    time_col: options.TimeCol = None,
    label_col: options.LabelCol = None,
    weight_col: options.WeightCol = None,
    positive: options.Positive = None,
    in_order: options.InOrder = False,
    json: options.Json = False,
) -> None:
    """Learn from new events without fitting anew; new users and items are welcome.

    The histories are extended and a new version of the model is written; the one before it stays
    loadable (--version). Events that are there already change nothing, so a file may be given twice. Columns and
    --positive are those of the fit unless options say otherwise; --positive '' lets every event count.
    """
    from dataclasses import asdict

    from honeyguide.core.fitting import FitOptions
    from honeyguide.data.load import read_with_report
    from honeyguide.experiment.bundle import reading_of
    from honeyguide.experiment.update import update_bundle

    read = options.read_options(
        items,
        positive,
        user_id=user_col,
        item_id=item_col,
        timestamp=time_col,
        label=label_col,
        weight=weight_col,
        in_order=in_order,
    )
    read["remembered"] = reading_of(model)
    dataset, found = read_with_report(events, **read)
    say = console.report(json)
    say.print(str(found))
    how = FitOptions(progress=not console.is_quiet(), device=device, precision=precision)
    done = update_bundle(model, dataset, replay=replay, options=how)
    say.print(
        f"{done.events:,} new events ({done.known_events:,} were there already), {done.new_users:,} new users, "
        f"{done.new_items:,} new items."
    )
    if done.changed_users:
        same = "as a fit on the whole log would" if done.exact else "not exactly as a fit on the whole log would"
        say.print(
            f"Updated {done.model} for {done.changed_users:,} users, {same}: {done.cpu_seconds:.2f} CPU-seconds, "
            f"version {done.version}."
        )
        console.say_stayed(say, done.stayed)
    else:
        say.print(f"{done.model} had learnt all of it: version {done.version}.")
    if json:
        console.emit(asdict(done))
