"""``honeyguide data``: look at data, and convert it, before fitting anything on it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from honeyguide.cli import console, options
from honeyguide.cli.attack import attack

if TYPE_CHECKING:
    from honeyguide.data.report import CheckReport

Format = Literal["parquet", "csv", "jsonl", "recbole"]

app = typer.Typer(help="Check, describe, split and convert data.", no_args_is_help=True)

app.command("attack")(attack)

_SHOWN = 20  # rejected rows on the screen; --quarantine has all


@app.command()
@options.reads_data
def check(
    data: options.DataRef,
    read: dict[str, Any],
    quarantine: Annotated[Path | None, typer.Option("--quarantine", help="Write the rejected rows here.")] = None,
    json: options.Json = False,
) -> None:
    """Say which rows cannot be used, why, and what to do; exit code 3 if there are any."""
    from honeyguide.core.errors import DataError
    from honeyguide.data.check import check_data

    found = check_data(data, **read)
    if quarantine is not None:
        found.write_quarantine(quarantine)
        console.notes().print(f"Wrote {found.quarantine.height:,} rejected rows to {quarantine}.")
    if json:
        console.emit(found.to_dict() | {"quarantine": found.quarantine.to_dicts()})
    else:
        _show(found)
    if not found.ok:
        raise typer.Exit(DataError.exit_code)


def _show(found: CheckReport) -> None:
    say = console.results()
    say.print(str(found))
    rejected = found.quarantine.head(_SHOWN)
    if rejected.height:
        columns = ["file", "row", "column", "value", "reason", "remedy"]
        shown = [row | {"column": _named(row)} for row in rejected.to_dicts()]
        rows = [[row[c] if row[c] is not None else "" for c in columns] for row in shown]
        say.print(console.table("Rejected rows", columns, rows))
        if found.quarantine.height > _SHOWN:
            say.print(f"... and {found.quarantine.height - _SHOWN:,} more; --quarantine FILE writes them all.")
    elif found.ok:
        say.print("Every row can be used.", style="green")


def _named(row: dict[str, Any]) -> str | None:
    """The column of a rejected row as the file calls it, and what it means where that is another word."""
    column: str | None = row["column"]
    return column if row["meaning"] == column else f"{column} ({row['meaning']})"


@app.command()
@options.reads_data
def describe(
    data: options.DataRef,
    read: dict[str, Any],
    split: options.Split = None,
    json: options.Json = False,
) -> None:
    """Sizes, histories, popularity and leakage of a data set."""
    from honeyguide.data.describe import describe as figures
    from honeyguide.data.leakage import leakage_report
    from honeyguide.data.load import load_data

    read["split"] = split
    dataset = load_data(data, **read)
    found, leakage = figures(dataset), leakage_report(dataset)
    if json:
        console.emit(found.to_dict() | {"leakage": leakage.to_dict()})
        return
    console.results().print(str(found))
    console.results().print(str(leakage))
    if not dataset.ordered:
        console.notes().print("If the rows of a user stand in the order in which things happened, say --in-order.")


@app.command()
@options.reads_data
def export(
    data: options.DataRef,
    read: dict[str, Any],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder to write.")],
    format: Annotated[Format, typer.Option("--format", help="What the tables are written as.")] = "parquet",
) -> None:
    """Write a data set as a clean folder that reads back equal."""
    from honeyguide.data.export import export as write
    from honeyguide.data.load import load_data

    write(load_data(data, **read), out, format)
    console.notes().print(f"Wrote {out}.")


@app.command()
@options.reads_data
def split(
    data: options.DataRef,
    read: dict[str, Any],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder to write.")],
    by: Annotated[str, typer.Option("--by", help="leave-last-out, leave-last-new-out, ratio, ...")] = "auto",
) -> None:
    """Split a data set into train, valid and test, and write it with the split."""
    from honeyguide.data.describe import describe as figures
    from honeyguide.data.export import export as write
    from honeyguide.data.load import load_data

    read["split"] = by
    dataset = load_data(data, **read)
    write(dataset, out, "parquet")
    parts = ", ".join(f"{part} {n:,}" for part, n in figures(dataset).parts.items())
    console.results().print(f"Wrote {out}: {parts}.")


@app.command()
def generate(
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder to write.")],
    events: Annotated[int, typer.Option("--events", min=1, help="Number of events.")] = 1_000_000,
    users: Annotated[int, typer.Option("--users", min=1, help="Number of users.")] = 100_000,
    items: Annotated[int, typer.Option("--items", min=1, help="Number of items.")] = 10_000,
    seed: Annotated[int, typer.Option("--seed", min=0, help="The same seed gives the same log.")] = 0,
    exponent: Annotated[float, typer.Option("--exponent", help="Of the power law of popularity.")] = 1.0,
    follow: Annotated[float, typer.Option("--follow", help="How often an event follows from the one before.")] = 0.35,
    json: options.Json = False,
) -> None:
    """Draw a synthetic log of any size: power laws, clusters, drift, and an order that tells something."""
    from honeyguide.data.generate import LogShape, generate

    found = generate(out, LogShape(events, users, items, seed, exponent, follow))
    if json:
        console.emit(found.to_dict())
        return
    console.results().print(str(found))
    console.notes().print(f"Wrote {out}. Next: honeyguide fit {out} --out model")


@app.command("list")
def list_(json: options.Json = False) -> None:
    """Names that can stand for DATA: the bundled data sets, and those under $HONEYGUIDE_DATA."""
    from honeyguide.data.load import known_data

    names = known_data()
    if json:
        console.emit({"data": names})
        return
    for name in names:
        console.results().print(name)
    console.notes().print("A folder or file path or a database URL can also stand for DATA.")
