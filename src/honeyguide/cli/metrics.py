"""``honeyguide metrics``: what can be measured."""

from __future__ import annotations

from typing import Annotated

import typer

from honeyguide.cli import console, options


def metrics(
    family: Annotated[str | None, typer.Option("--family", help="Only this family.")] = None,
    json: options.Json = False,
) -> None:
    """List the metrics with their formulas, ranges and directions."""
    from honeyguide.core.errors import UnknownNameError
    from honeyguide.metrics.registry import METRICS

    families = sorted({metric.family for metric in METRICS.values()})
    if family is not None and family not in families:
        raise UnknownNameError("family of metrics", family, families)
    chosen = [metric for metric in METRICS.values() if family in (None, metric.family)]
    if json:
        fields = ("id", "family", "formula", "range", "direction", "conventions")
        console.emit({"metrics": [{field: getattr(metric, field) for field in fields} for metric in chosen]})
        return
    cells = [[m.id, m.family, m.formula, m.range, m.direction] for m in chosen]
    console.results().print(console.table(None, ["metric", "family", "formula", "range", "better"], cells))
