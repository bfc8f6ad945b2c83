"""``honeyguide data attack``: add fake users that promote items, to see what a model makes of them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from honeyguide.cli import console, options

if TYPE_CHECKING:
    from honeyguide.core.dataset import Dataset
    from honeyguide.core.ragged import IntArray


@options.reads_data
def attack(
    data: options.DataRef,
    read: dict[str, Any],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder to write.")],
    kind: Annotated[
        str, typer.Option("--kind", help="random, bandwagon, segment, surrogate, or released:NAME where data has some.")
    ] = "random",
    share: Annotated[float, typer.Option("--share", help="Fake users for every genuine one.")] = 0.01,
    targets: Annotated[
        str | None, typer.Option("--targets", help="Item ids, separated by commas; by default five unpopular items.")
    ] = None,
    each: Annotated[int, typer.Option("--each", min=1, help="Targets in a profile.")] = 1,
    length: Annotated[
        float | None, typer.Option("--length", min=2, help="Mean length of a profile; default: of the histories.")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of everything drawn.")] = 0,
    json: options.Json = False,
) -> None:
    """Write a data set with fake users in its training part; its table 'attack' says who they are."""
    from honeyguide.data.attacks import fake_users, promoted_items, unpopular_items
    from honeyguide.data.export import export
    from honeyguide.data.load import load_data
    from honeyguide.data.splits import auto_split
    from honeyguide.data.valid import ensure_valid
    from honeyguide.experiment.attacks import attack as run

    genuine = ensure_valid(auto_split(load_data(data, **read)))
    codes = unpopular_items(genuine, seed=seed) if targets is None else _codes(genuine, targets)
    found = run(genuine, kind, codes, share=share, length=length, each=each, seed=seed)
    export(found, out)
    fakes, promoted = fake_users(found), promoted_items(found)
    events = int(fakes[found.interactions["user"].to_numpy()].sum())
    if json:
        ids = found.item_ids.values.gather(promoted).to_list()
        console.emit({"kind": kind, "fake_users": int(fakes.sum()), "events": events, "targets": ids})
        return
    console.results().print(f"{int(fakes.sum()):,} fake users with {events:,} events promote {len(promoted)} items.")
    console.notes().print(f"Wrote {out}; its table attack says who is fake. Next: honeyguide fit {out} --out model")


def _codes(data: Dataset, targets: str) -> IntArray:
    from honeyguide.core.errors import UnknownNameError

    names = [name.strip() for name in targets.split(",")]
    codes = data.item_ids.encode(names)
    for name, code in zip(names, codes, strict=True):
        if code < 0:
            raise UnknownNameError("item", name, (str(i) for i in data.item_ids.values.head(10_000)))
    return codes
