"""``honeyguide tune``: options of several models, searched with the same budget each."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from honeyguide.cli import console, options
from honeyguide.cli.compare import progress
from honeyguide.cli.compare import show as show_comparison

if TYPE_CHECKING:
    from honeyguide.experiment.tune import Tuning


@options.reads_data
def tune(
    data: options.DataRef,
    read: dict[str, Any],
    models: Annotated[str, typer.Option("--models", "-m", help="Names, separated by commas.")] = "ease,ials",
    budget: Annotated[
        str, typer.Option("--budget", help="CPU time for each model, the floors included: 90s, 10m, 2h.")
    ] = "10m",
    trials: Annotated[int, typer.Option("--trials", min=1, help="Most trials of each model.")] = 500,
    seed: Annotated[int, typer.Option("--seed", help="Of the search and of the models.")] = 0,
    setting: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="MODEL.OPTION=VALUE", help="An option of one model that is not searched."),
    ] = None,
    html: Annotated[Path | None, typer.Option("--html", help="Write the report with pictures here.")] = None,
    json: Annotated[Path | None, typer.Option("--json", help="Write the results here; - for standard output.")] = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Folder for the best model and histories.")] = None,
    runs: Annotated[Path | None, typer.Option("--runs", help="Where studies and finished cells are kept.")] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Do not take anything from earlier runs.")] = False,
    split: options.Split = None,
    pictures: options.Pictures = None,
    device: options.Device = "auto",
    precision: options.Precision = "float32",
    memory_limit: options.MemoryLimit = None,
) -> None:
    """Search the options of models on valid, all with the same budget; then test the best of each, once.

    Popularity and the floor are searched too. An interrupted search goes on where it stopped when
    the command is given again, and a larger budget goes on from where the smaller one ended.
    """
    from honeyguide.data.load import read_with_report
    from honeyguide.experiment import compare as comparing
    from honeyguide.experiment import tune as tuning
    from honeyguide.experiment.bundle import remember_reading
    from honeyguide.experiment.settings import parse_settings

    seconds = options.parse_seconds(budget)
    read |= {"split": split, "pictures": pictures}
    dataset, report = read_with_report(data, **read)
    report.warn()
    to_stdout = json is not None and str(json) == "-"
    with progress() as tell:
        found = tuning.tune(
            dataset,
            [name.strip() for name in models.split(",") if name.strip()],
            budget=seconds,
            trials=trials,
            seed=seed,
            settings=parse_settings(setting or []),
            html=html,
            json=None if to_stdout else json,
            out=out,
            options=comparing.Options(
                runs=runs or comparing.RUNS,
                fresh=fresh,
                device=device,
                precision=precision,
                memory_limit=options.parse_bytes(memory_limit),
            ),
            progress=tell,
        )
    if out is not None and found.document["winner"] is not None:
        remember_reading(out, report.reading)
    say = console.report(to_stdout)
    show(found, say)
    show_comparison(found.comparison, say)
    if to_stdout:
        console.emit(found.document)
    for path in (html, json if not to_stdout else None, out):
        if path is not None:
            console.notes().print(f"Wrote {path}.")
    if found.document["winner"] is None:
        raise typer.Exit(1)


def show(found: Tuning, say: Any) -> None:
    """The best of every model on valid, and what the search took."""
    head = ["model", "best options", "valid", "defaults", "trials", "pruned", "CPU s"]
    rows = []
    for row in found.rows:
        options = ", ".join(f"{name}={value}" for name, value in (row["settings"] or {}).items()) or "defaults"
        scores = ["-" if row[key] is None else f"{row[key]:.4f}" for key in ("valid", "valid_of_defaults")]
        rows.append(
            [row["model"], options, *scores, row["trials"], row["ended"]["pruned"], f"{row['cpu_seconds']:.0f}"]
        )
    document = found.document
    title = f"{document['dataset']['name']}: {document['judge']} on valid, {document['budget']:.0f} CPU-seconds a model"
    say.print(console.table(title, head, rows, numeric=5))
    for row in found.rows:
        if row["error"]:
            say.print(f"{row['model']}: {row['error']}", style="red")
    if document["winner"] is not None:
        say.print(f"Best on valid, and so the one to use: {document['winner']}. Its test, read once:")
