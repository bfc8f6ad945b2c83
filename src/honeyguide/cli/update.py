"""``honeyguide update``: new events into a fitted model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from honeyguide.cli import console, options

if TYPE_CHECKING:
    from honeyguide.core.dataset import Dataset
    from honeyguide.experiment.update import Updated


@options.reads_data
def update(
    model: options.Bundle,
    events: Annotated[str, typer.Argument(metavar="EVENTS", help="New events: a file, a folder or a database URL.")],
    read: dict[str, Any],
    replay: Annotated[
        float,
        typer.Option("--replay", min=0.0, help="Most other users shown to models that forget, for each that changed."),
    ] = 20.0,
    device: options.Device = "auto",
    precision: options.Precision = "float32",
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
    from honeyguide.experiment.bundle import open_bundle, reading_of
    from honeyguide.experiment.new_texts import require_words
    from honeyguide.experiment.update import update_bundle

    bundle = open_bundle(model)
    bundle.model.require("update")
    read["remembered"], read["known_items"] = reading_of(model), bundle.store.item_ids.values
    dataset, found = read_with_report(events, **read)
    say = console.report(json)
    say.print(str(found))
    require_words(bundle, dataset)
    how = FitOptions(progress=not console.is_quiet(), device=device, precision=precision)
    done = update_bundle(bundle, dataset, replay=replay, options=how)
    say.print(
        f"{done.events:,} new events ({done.known_events:,} were there already), {done.new_users:,} new users, "
        f"{done.new_items:,} new items."
    )
    if done.known_events and dataset.times() is None:
        say.print(
            "Without times an event is the same as another if user and item are: what somebody took again is not "
            "counted. Give times (--time-col), or fit anew, where that matters."
        )
    if done.without_text:
        say.print(untold(done, dataset))
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


def untold(done: Updated, events: Dataset) -> str:
    """That new items have no text although the model reads text, and what would have given them some."""
    given = [name for name in events.items.columns if name != "item_id"]
    lacking = [name for name in done.text_columns if name not in given]
    why = (
        "; the table of items has " + ", ".join(given) if lacking else ", which the table of items does not say of them"
    )
    return (
        f"{done.without_text:,} of {done.new_items:,} new items have no text: the model reads "
        f"{', '.join(done.text_columns)}{why if given else ', which --items TABLE would give'}. "
        "They are known by their events alone until the next fit."
    )
