"""``honeyguide similar``: items like an item."""

from __future__ import annotations

from typing import Annotated

import typer

from honeyguide.cli import console, options


def similar(
    model: options.Bundle,
    item: Annotated[str, typer.Option("--item", "-i", help="Item id.")],
    k: options.K = 10,
    json: options.Json = False,
) -> None:
    """Items that the model holds to be like an item."""
    from honeyguide.experiment.bundle import open_bundle

    bundle = open_bundle(model)
    bundle.model.require("similar")
    lists = bundle.model.similar(bundle.encode([item]), k)
    codes = lists.items[0][lists.items[0] >= 0]
    rows = [
        {"rank": rank, "item_id": item_id, "title": bundle.titles[code], "score": float(score)}
        for rank, (item_id, code, score) in enumerate(
            zip(bundle.item_ids.decode(codes).to_list(), codes, lists.scores[0], strict=False), start=1
        )
    ]
    if json:
        console.emit({"item_id": item, "model": bundle.model.name, "items": rows})
        return
    title = f"Like {bundle.titles[bundle.encode([item])[0]]} ({bundle.model.name})"
    cells = [[row["rank"], row["item_id"], row["title"], f"{row['score']:.4g}"] for row in rows]
    console.results().print(console.table(title, ["#", "item", "title", "score"], cells, numeric=1))
