"""The tables of README and docs: what renders them, by name, and what their families share.

One file per family. No family imports another; ``benchmarks/tables.py`` imports them all, in the order of the bars.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from honeyguide.experiment.records import read_json
from result_file import RESULTS

MISSING = "*Not measured yet: run `make bench`.*"
SEQUENTIAL = ("amazon-beauty", "amazon-toys", "amazon-sports", "ml-1m")  # data sets with an order

Render = Callable[[], str]
Lines = Callable[[], list[list[str]]]
TABLES: dict[str, Render] = {}
BARS: list[Lines] = []


def table(name: str) -> Callable[[Render], Render]:
    """Register a function that renders the table ``name``."""

    def register(render: Render) -> Render:
        TABLES[name] = render
        return render

    return register


def bars(lines: Lines) -> Lines:
    """Register a function that gives lines of the table of bars: what, bar, reached, command."""
    BARS.append(lines)
    return lines


def bar_line(what: str, bar: str, reached: str, met: bool, command: str) -> list[str]:
    """A line of the table of bars; a bar that is missed is said to be."""
    return [what, bar, reached if met else f"{reached} (**missed**)", f"`{command}`"]


def markdown(header: Sequence[str], rows: Sequence[Sequence[str]], words: int = 1) -> str:
    """A Markdown table; the first ``words`` columns are text, the others are numbers."""
    rule = ["---" if place < words else "--:" for place in range(len(header))]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (header, rule, *rows))


def made_by(result: dict[str, Any]) -> str:
    """The line under a table that says how to make it again."""
    version = result["versions"].get("honeyguide", "from a checkout")
    return f"\n\n`{result['command']}` (honeyguide {version}, {result['protocol']})"


def digits(value: float) -> str:
    """Four decimals without the leading zero, as the field prints accuracies."""
    return f"{value:.4f}".removeprefix("0")


def options_text(options: dict[str, Any]) -> str:
    """Options that differ from the defaults."""
    return ", ".join(f"`{name}={value}`" for name, value in options.items()) or "defaults"


def paper_cell(seed: int, name: str) -> Any | None:
    """The result of a cell of ``honeyguide reproduce SEED``, or ``None`` where there is none yet."""
    return (read_json(RESULTS / "papers" / f"{seed:02d}-cpu" / f"{name}.json") or {}).get("result")
