"""``honeyguide forget``: delete what a bundle knows of a person."""

from __future__ import annotations

from typing import Annotated

import typer

from honeyguide.cli import console, options


def forget(
    model: options.Bundle,
    user: Annotated[list[str], typer.Option("--user", "-u", help="Whom to forget; may be repeated.")],
    json: options.Json = False,
) -> None:
    """Delete the histories of users from the store beside a model; the model itself holds none.

    Where a deletion was cut short, the same command removes what it left.
    """
    from honeyguide.experiment.bundle import open_store

    store = open_store(model)
    for user_id in user:
        if user_id not in store:
            store.delete(user_id)  # an error, before anybody is deleted
    for user_id in user:
        store.delete(user_id)
    if json:
        console.emit({"forgotten": user, "users_left": len(store.user_ids)})
        return
    console.results().print(f"Forgot {', '.join(user)}. {len(store.user_ids):,} users are left in {model}.")
