"""Whether reasons are true."""

from __future__ import annotations

from typing import Any

from _tables import MISSING, made_by, markdown, options_text, table
from result_file import read_result


@table("explanations")
def explanations() -> str:
    """Of every model: what falls without the evidence and without random books, and what would change a list."""
    result = read_result("explanations")
    if result is None:
        return MISSING
    head = [
        "model",
        "with a reason",
        "falls without it",
        "falls without random books",
        "fall, times that of random books",
        "first place becomes",
        "with random books",
        "a few books keep the fifth in the first ten",
        "how many, median",
        "CPU-ms to find them",
    ]
    return markdown(head, [_row(cell) for cell in result["results"]]) + made_by(result)


def _row(cell: dict[str, Any]) -> list[str]:
    asked, change = cell["n"] + cell["n_unexplained"], cell["change"]
    options = f" ({options_text(cell['options'])})" if cell["options"] else ""
    shown = [f"`{cell['model']}`{options}", f"{cell['n']} of {asked}"]
    if cell["n"]:
        ratio = cell["drop"] / cell["random_drop"] if cell["random_drop"] > 0 else None
        shown += [f"{100 * cell['share']:.1f} %", f"{100 * cell['random_share']:.1f} %"]
        shown += ["random ones raise it" if ratio is None else f"{ratio:.1f}"]
        shown += [f"{cell['place']:.0f}", f"{cell['random_place']:.0f}"]
    else:
        shown += ["–"] * 5
    size = "–" if change["median_size"] is None else f"{change['median_size']:g}"
    return [*shown, f"{change['found']} of {change['asked']}", size, f"{change['cpu_ms']:.0f}"]
