"""``honeyguide compare``: models under one protocol, with intervals and tests."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from honeyguide.cli import console, options

if TYPE_CHECKING:
    from honeyguide.experiment.compare import Progress
    from honeyguide.experiment.comparison import Comparison


@options.reads_data
def compare(
    data: options.DataRef,
    read: dict[str, Any],
    models: Annotated[str, typer.Option("--models", "-m", help="Names, separated by commas.")] = "ease,ials",
    seeds: Annotated[int, typer.Option("--seeds", min=1, help="Runs of each model that draws at random.")] = 1,
    k: options.K = 10,
    setting: Annotated[
        list[str] | None, typer.Option("--set", metavar="MODEL.OPTION=VALUE", help="An option of one model.")
    ] = None,
    html: Annotated[Path | None, typer.Option("--html", help="Write the report with pictures here.")] = None,
    json: Annotated[Path | None, typer.Option("--json", help="Write the results here; - for standard output.")] = None,
    runs: Annotated[Path | None, typer.Option("--runs", help="Where finished cells are kept.")] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Do not take anything from earlier runs.")] = False,
    split: options.Split = None,
    pictures: options.Pictures = None,
    device: options.Device = "auto",
    precision: options.Precision = "float32",
    memory_limit: options.MemoryLimit = None,
    ray: options.Ray = None,
) -> None:
    """Fit and evaluate models, each in a process of its own; popularity and the floor are always there.

    An interrupted comparison goes on where it stopped when the command is given again.
    """
    from honeyguide.data.load import load_data
    from honeyguide.experiment import compare as comparing
    from honeyguide.experiment.settings import parse_settings

    read |= {"split": split, "pictures": pictures}
    dataset = load_data(data, **read)
    to_stdout = json is not None and str(json) == "-"
    with progress() as tell:
        comparison = comparing.compare(
            dataset,
            [name.strip() for name in models.split(",") if name.strip()],
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
                ray=ray,
            ),
            progress=tell,
        )
    show(comparison, console.report(to_stdout))
    if to_stdout:
        console.emit(comparison.document)
    for path in (html, json if not to_stdout else None):
        if path is not None:
            console.notes().print(f"Wrote {path}.")
    if all(row["error"] for row in comparison.rows):
        raise typer.Exit(1)


@contextmanager
def progress() -> Iterator[Progress]:
    """A line on standard error that says which cell runs."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    bar = Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console.notes(),
        disable=console.is_quiet(),
        transient=True,
    )
    with bar:
        task = bar.add_task("Preparing", total=None)

        def tell(what: str, number: int, total: int) -> None:
            bar.update(task, description=what, completed=number - 1, total=total)
            if not bar.console.is_terminal:
                bar.console.print(f"[{number}/{total}] {what}")

        yield tell


def show(comparison: Comparison, say: Any) -> None:
    """The table, and what one must know to read it."""
    from honeyguide.experiment.cell import EVENTS

    k = comparison.k
    accuracy = [f"ndcg@{k}", f"recall@{k}", f"ndcg@{k}:kept"]
    beyond = [f"catalogue_coverage@{k}", f"aplt@{k}"]
    parts = ["cold", "warm"] if _has_cold(comparison.rows) else []
    names = [*accuracy, *(f"{part} ndcg@{k}" for part in parts), "coverage", "long tail"]
    head = ["model", "vs floor, p", "vs best, p", *names, "fit s", "top-k s", "MiB", "seeds"]
    rows = [_line(row, accuracy, parts, beyond, f"ndcg@{k}", comparison.document["best"]) for row in comparison.rows]
    found = comparison.document["dataset"]
    title = f"{found['name']}: {found['n_users']:,} users, {found['n_items']:,} items"
    console.print_wide(say, title, head, rows, numeric=len(head) - 3)
    judged = [row for row in comparison.rows if "auc" in row["metrics"]]
    if judged:
        events = [[row["model"], *(_number(row["metrics"][id]) for id in EVENTS)] for row in judged]
        say.print(console.table("Labelled test events", ["model", *EVENTS], events, numeric=len(EVENTS)))
    for row in comparison.rows:
        if row["error"]:
            say.print(f"{row['model']} failed: {row['error']}", style="red")
        for chosen in dict.fromkeys(row["chosen"]):
            say.print(f"{row['model']} chose {chosen}.")
    best = comparison.document["best"]
    picked = f"vs best: against {best}, corrected over all pairs, for it was seen to be the best on these users. "
    say.print(
        f"vs floor: paired test of ndcg@{k} over users, Holm-corrected; 'better' and 'worse' only below p = .05. "
        f"{picked if best else ''}95 % bootstrap interval in brackets. Seconds are CPU-seconds."
    )
    _, sampled, rest = comparison.document["protocol"].partition("metrics over a seeded sample")
    if sampled:
        say.print(f"Large data: {sampled}{rest}.")
    asked = max((row["n_users"] for row in comparison.rows), default=0)
    if comparison.document["returning"] * 5 > asked:
        say.print(
            f"{comparison.document['returning']:,} users came back to what they had, for whom no list without seen "
            "items is right; --split leave-last-new-out asks for the last item that was new to each."
        )
    if parts:
        cold = max(row["slices"]["items:cold"]["n_users"] for row in comparison.rows if row["slices"])
        say.print(
            f"cold and warm: with only the items without, or with, training events counted as relevant; "
            f"{cold:,.0f} users have a cold one."
        )
    runs = len(comparison.document["seeds"])
    if runs > 1 and any(len(row["seeds"]) == 1 and not row["error"] for row in comparison.rows):
        say.print("Models that draw nothing at random ran one seed: more would repeat it.")


def _has_cold(rows: list[dict[str, Any]]) -> bool:
    """Whether items without training events are in the test part."""
    return any(row["slices"].get("items:cold", {}).get("n_users") for row in rows)


def _line(
    row: dict[str, Any], accuracy: list[str], parts: list[str], beyond: list[str], main: str, best: str
) -> list[str]:
    values = row["metrics"]
    of_parts = [row["slices"].get(f"items:{part}", {}).get(main) for part in parts]
    shown = [_number(v) for v in (*map(values.get, accuracy), *of_parts, *map(values.get, beyond))]
    if main in row["ci"]:
        low, high = row["ci"][main]
        shown[0] += f" [{_number(low)}, {_number(high)}]"
    cost = row["cpu_seconds"]
    peak = row["peak_rss_mb"]
    return [
        row["model"],
        f"{row['verdict']} {_p(row['p_vs_floor'].get(main))}".strip(),
        "the best" if row["model"] == best else _p(row["p_vs_best"].get(main)) or "-",
        *shown,
        *(f"{cost[name]:.1f}" if name in cost else "-" for name in ("fit", "recommend")),
        f"{peak:,.0f}" if peak is not None else "-",
        str(len(row["seeds"])),
    ]


def _p(value: float | None) -> str:
    """A p-value; nothing where there is none."""
    if value is None or value != value:
        return ""
    return "<.001" if value < 0.001 else f"{value:.3f}".replace("0.", ".", 1)


def _number(value: float | None) -> str:
    return (
        "-"
        if value is None or value != value
        else f"{value:.4f}".replace("0.", ".", 1)
        if abs(value) < 1
        else f"{value:.2f}"
    )
