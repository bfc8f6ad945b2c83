"""What goes where: results to standard output, notes, progress and errors to standard error."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

_WIDE = 140  # columns where the output is not a terminal: tables are not cut


@cache
def results() -> Console:
    """Standard output."""
    from rich.console import Console

    return _widen(Console(highlight=False, markup=False))


@cache
def notes() -> Console:
    """Standard error; silent with ``--quiet``."""
    from rich.console import Console

    return _widen(Console(stderr=True, highlight=False, markup=False))


def report(as_json: bool) -> Console:
    """Where the text of a report goes: beside the JSON, not into it."""
    return notes() if as_json else results()


def set_quiet(quiet: bool) -> None:
    """Silence the notes, or let them be seen again."""
    if quiet or notes.cache_info().currsize:
        notes().quiet = quiet


def mute() -> None:
    """Print nothing any more but errors: another process prints."""
    notes().quiet = results().quiet = True


def is_quiet() -> bool:
    """Whether ``--quiet`` was given."""
    return bool(notes.cache_info().currsize) and notes().quiet


def error(message: str, remedy: str | None) -> None:
    """One red line, and what to do about it."""
    from rich.console import Console
    from rich.text import Text

    console = Console(stderr=True, highlight=False, soft_wrap=True)
    console.print(Text.assemble(("Error: ", "bold red"), (message, "red")))
    if remedy:
        console.print(Text(remedy))


def emit(value: Any) -> None:
    """Write ``value`` to standard output as JSON."""
    from honeyguide.experiment.records import plain

    sys.stdout.write(json.dumps(plain(value), ensure_ascii=False, indent=2, allow_nan=False) + "\n")


def say_stayed(say: Console, stayed: Sequence[str]) -> None:
    """Say which parts of a model an update has passed by."""
    if stayed:
        names = ", ".join(stayed)
        say.print(f"Stayed as they were, for they cannot be updated: {names}. 'fit' on the whole log renews them.")


def print_wide(
    say: Console, title: str, columns: Sequence[str], rows: Sequence[Sequence[object]], numeric: int = 0
) -> None:
    """Print a table; one that is wider than the console as several, each with the first column."""
    from rich.measure import Measurement

    def part(places: Sequence[int]) -> Table:
        shown = [0, *places]
        right = sum(place >= len(columns) - numeric for place in shown)
        cells = [[row[place] for place in shown] for row in rows]
        return table(title if 1 in places else None, [columns[place] for place in shown], cells, right, gap=2)

    unlimited, parts = say.options.update(width=10_000), [[1]]
    for place in range(2, len(columns)):
        if Measurement.get(say, unlimited, part([*parts[-1], place])).maximum > say.width:
            parts.append([])
        parts[-1].append(place)
    for places in parts:
        say.print(part(places))


def table(
    title: str | None, columns: Sequence[str], rows: Sequence[Sequence[object]], numeric: int = 0, gap: int = 3
) -> Table:
    """A table whose last ``numeric`` columns are aligned to the right; what is too wide is folded, never cut."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    made = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)
    made.padding = (0, 1, 0, gap - 2)
    for place, column in enumerate(columns):
        made.add_column(column, justify="right" if place >= len(columns) - numeric else "left", overflow="fold")
    for row in rows:
        made.add_row(*(cell if isinstance(cell, Text) else Text(str(cell)) for cell in row))
    return made


def _widen(console: Console) -> Console:
    if not console.is_terminal:
        console.width = _WIDE
    return console
