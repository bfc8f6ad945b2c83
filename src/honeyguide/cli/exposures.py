"""``honeyguide exposures``: what a service showed, as a table for off-policy evaluation."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from honeyguide.cli import console, options
from honeyguide.cli.recommend import FORMATS, write_frame
from honeyguide.cli.serve import StoreUrl, store_url

Tenant = Annotated[str, typer.Option("--tenant", help="Whose.")]


def exposures(
    model: options.Bundle,
    out: Annotated[Path, typer.Option("--out", "-o", help="File: .parquet, .csv or .jsonl.")],
    store: StoreUrl = None,
    tenant: Tenant = "default",
    window: Annotated[
        str, typer.Option("--window", help="How long after a list an event on one of its items counts.")
    ] = "1h",
    days: Annotated[float, typer.Option("--days", min=0, help="How far to look back; 0: all there is.")] = 0.0,
    kind: Annotated[
        list[str] | None, typer.Option("--kind", help="Events that count; default: those with a positive weight.")
    ] = None,
    slots: Annotated[int, typer.Option("--slots", min=1, max=100, help="Places that the estimate is of.")] = 5,
    json: options.Json = False,
) -> None:
    """Write every place that was shown, with its probability and the events on it, and what the log tells."""
    from honeyguide.core.errors import ConfigError
    from honeyguide.serve.logged import joined
    from honeyguide.serve.store import Store

    if out.suffix.removeprefix(".") not in FORMATS:
        raise ConfigError(f"{out.name} has no known format.", f"Formats: {', '.join(FORMATS)}.")
    database = Store(store_url(store, model))
    try:
        log = joined(database, tenant, window=options.parse_seconds(window), days=days, kinds=tuple(kind or ()))
    finally:
        database.close()
    write_frame(log, out)
    found: dict[str, Any] = {
        "places": log.height,
        "lists": log["recommendation_id"].n_unique(),
        "clicks": int(log["reward"].sum()),
        "values": _values(log, slots),
    }
    if json:
        console.emit(found)
        return
    console.results().print(
        f"{found['places']:,} places of {found['lists']:,} lists, {found['clicks']:,} of them clicked: {out}"
    )
    if found["values"]:
        heads = ["order", "clicks per list", "95 % interval", "worth as many lists"]
        rows = [
            [v["order"], f"{v['value']:.4f}", f"{v['low']:.4f} to {v['high']:.4f}", v["size"]] for v in found["values"]
        ]
        console.results().print(console.table(f"The first {slots} places", heads, rows, numeric=3))


def _values(log: Any, slots: int) -> list[dict[str, Any]]:
    """Clicks on the first places as they were shown, and as they would have been without the draw."""
    import numpy as np

    from honeyguide.core.errors import DataError
    from honeyguide.metrics.offpolicy import effective_sample_size, position_ips
    from honeyguide.metrics.stats import bootstrap_ci
    from honeyguide.pipeline.config import Explore
    from honeyguide.serve.logged import places

    try:
        found = places(log, slots)
    except DataError:
        return []
    shown = []
    for order, target in (("as it was shown", found.logged), ("as it was before the draw", found.target(Explore()))):
        terms = position_ips(found.reward, target, found.logged)
        low, high = bootstrap_ci(terms)
        size = min(effective_sample_size(target[:, s], found.logged[:, s]) for s in range(slots))
        shown.append({"order": order, "value": float(np.mean(terms)), "low": low, "high": high, "size": int(size)})
    return shown
