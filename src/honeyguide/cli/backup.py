"""``honeyguide backup`` and ``restore``: the store of a service, to a file and back."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from honeyguide.cli import console, options
from honeyguide.cli.serve import StoreUrl, store_url


def backup(
    model: options.Bundle,
    out: Annotated[Path, typer.Option("--out", "-o", help="File to write.")],
    store: StoreUrl = None,
) -> None:
    """Copy the store of a service, which may be running."""
    from honeyguide.serve.backup import backup as copy

    n = copy(store_url(store, model), out)
    console.notes().print(f"Wrote {n:,} events to {out}.")


def restore(
    model: options.Bundle,
    copy: Annotated[Path, typer.Argument(metavar="FILE", help="Written by 'honeyguide backup'.")],
    store: StoreUrl = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the store that is there.")] = False,
) -> None:
    """Put a copy in the place of the store of a service that is not running."""
    from honeyguide.serve.backup import restore as put_back

    n = put_back(copy, store_url(store, model), force=force)
    console.notes().print(f"Restored {n:,} events.")
