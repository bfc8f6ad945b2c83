"""What goes over all families: every bar, and every model."""

from __future__ import annotations

from _tables import BARS, markdown, table
from honeyguide.core.errors import MissingExtraError
from honeyguide.models.registry import MODELS


@table("bars")
def all_bars() -> str:
    """What had to be reached and what was, from every result file that is there."""
    return markdown(["", "bar", "reached", "command"], [line for lines in BARS for line in lines()], words=4)


@table("models")
def models() -> str:
    """Every registered model, what it can do, and its page."""
    rows = []
    for entry in MODELS.values():
        name = f"[`{entry.name}`](docs/models/{entry.name}.md)"
        try:
            abilities = ", ".join(sorted(entry.load().capabilities))
        except MissingExtraError:
            abilities = f"needs [{entry.extra}]"
        rows.append([name, entry.summary, abilities])
    return markdown(["model", "what it is", "capabilities"], rows, words=3)
