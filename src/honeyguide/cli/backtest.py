"""``honeyguide backtest``: models compared over rolling time."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from honeyguide.cli import console, options
from honeyguide.cli.compare import progress

if TYPE_CHECKING:
    from honeyguide.experiment.backtest import Backtest


@options.reads_data
def backtest(
    data: options.DataRef,
    read: dict[str, Any],
    models: Annotated[str, typer.Option("--models", "-m", help="Names, separated by commas.")] = "ease,ials",
    folds: Annotated[int, typer.Option("--folds", min=2, help="Slices of time that are tested, the last ones.")] = 5,
    share: Annotated[float, typer.Option("--share", help="Share of all events in a slice.")] = 0.05,
    seeds: Annotated[int, typer.Option("--seeds", min=1, help="Runs of each model that draws at random.")] = 1,
    k: options.K = 10,
    setting: Annotated[
        list[str] | None, typer.Option("--set", metavar="MODEL.OPTION=VALUE", help="An option of one model.")
    ] = None,
    html: Annotated[Path | None, typer.Option("--html", help="Write the report with pictures here.")] = None,
    json: Annotated[Path | None, typer.Option("--json", help="Write the results here; - for standard output.")] = None,
    runs: Annotated[Path | None, typer.Option("--runs", help="Where finished cells are kept.")] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Do not take anything from earlier runs.")] = False,
    device: options.Device = "auto",
    precision: options.Precision = "float32",
    memory_limit: options.MemoryLimit = None,
) -> None:
    """Test models on one slice of time after another, each fitted on what came before it.

    Says how accuracy changes over time and whether the order of the models stays. An interrupted
    backtest goes on where it stopped when the command is given again.
    """
    from honeyguide.data.load import load_data
    from honeyguide.experiment import backtest as testing
    from honeyguide.experiment import compare as comparing
    from honeyguide.experiment.settings import parse_settings

    dataset = load_data(data, **read)
    to_stdout = json is not None and str(json) == "-"
    with progress() as tell:
        found = testing.backtest(
            dataset,
            [name.strip() for name in models.split(",") if name.strip()],
            folds=folds,
            share=share,
            seeds=seeds,
            k=k,
            settings=parse_settings(setting or []),
            html=html,
            json=None if to_stdout else json,
            options=comparing.Options(
                runs=runs or comparing.RUNS,
                fresh=fresh,
                device=device,
                precision=precision,
                memory_limit=options.parse_bytes(memory_limit),
            ),
            progress=tell,
        )
    show(found, console.report(to_stdout))
    if to_stdout:
        console.emit(found.document)
    for path in (html, json if not to_stdout else None):
        if path is not None:
            console.notes().print(f"Wrote {path}.")
    if all(row["error"] for row in found.rows):
        raise typer.Exit(1)


def show(found: Backtest, say: Any) -> None:
    """A column per fold, the mean with its interval, and what one must know to read it."""
    document, main = found.document, f"ndcg@{found.k}"
    head = ["model", "vs floor", *(fold["from"][:10] for fold in document["folds"]), "mean", "p users", "p folds"]
    rows = []
    for row in found.rows:
        places = [
            "-" if value is None else f"{value:.4f} ({rank})"
            for value, rank in zip(row["folds"], row["ranks"], strict=True)
        ]
        mean, (low, high) = row["metrics"][main], row["ci"][main]
        tests = ["-" if row[p] is None else f"{row[p]:.3f}" for p in ("p_users", "p_folds")]
        rows.append([row["model"], row["verdict"], *places, f"{mean:.4f} [{low:.4f}, {high:.4f}]", *tests])
    title = f"{document['dataset']['name']}: {main}, rank in brackets, by the day on which the tested slice begins"
    console.print_wide(say, title, head, rows, numeric=len(head) - 2)
    for row in found.rows:
        if row["error"]:
            say.print(f"{row['model']} failed: {row['error']}", style="red")
    tau = ", ".join(f"{value:.2f}" for value in document["drift"]["tau"])
    say.print(
        f"Order of the models, Kendall's tau from one fold to the next: {tau}; "
        f"from the first to the last: {document['drift']['tau_first_last']:.2f}."
    )
    for note in document["notes"]:
        say.print(note, style="yellow")
    say.print(
        "Mean over folds with Student's 95 % interval. Tests against the floor, Holm-corrected: p users, paired over "
        "users, each counted once; p folds, paired over folds. The verdict is that of the users."
    )
