"""``honeyguide keys``: who may ask a service for what."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from honeyguide.cli import console, options
from honeyguide.cli.serve import StoreUrl, store_url

if TYPE_CHECKING:
    from honeyguide.serve.store import KeyRow, Store

app = typer.Typer(help="API keys of a service: each has a tenant and scopes.", no_args_is_help=True)

Model = Annotated[Path, typer.Option("--model", help="Folder of the model whose service it is.")]
_HERE = Path("model")


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="What the key is for.")],
    tenant: Annotated[str, typer.Option("--tenant")] = "default",
    scope: Annotated[list[str] | None, typer.Option("--scope", help="read, write, admin; may be repeated.")] = None,
    model: Model = _HERE,
    store: StoreUrl = None,
) -> None:
    """Make a key and print it once."""
    from honeyguide.serve.auth import new_key
    from honeyguide.serve.store import Store

    database = Store(store_url(store, model))
    try:
        typer.echo(new_key(database, tenant, name, tuple(scope or ("read", "write"))))
    finally:
        database.close()
    console.notes().print("It is shown this once; only a digest is kept.")


@app.command("list")
def list_(model: Model = _HERE, store: StoreUrl = None, json: options.Json = False) -> None:
    """List the keys: names, tenants and scopes."""
    from honeyguide.serve.store import Store

    database = Store(store_url(store, model))
    try:
        rows = [
            {"id": k.digest[:12], "name": k.name, "tenant": k.tenant, "scopes": k.scopes} for k in database.api_keys()
        ]
    finally:
        database.close()
    if json:
        console.emit({"keys": rows})
    else:
        heads = ["id", "name", "tenant", "scopes"]
        console.results().print(console.table("Keys", heads, [[row[head] for head in heads] for row in rows]))


@app.command()
def token(
    key_id: Annotated[str, typer.Argument(help="Of the key it is made with, as 'keys list' prints it.")],
    user: Annotated[str, typer.Option("--user", help="The only user whose data it reads and writes.")],
    hours: Annotated[float, typer.Option("--hours", min=0.01, help="After which it ends.")] = 24.0,
    scope: Annotated[list[str] | None, typer.Option("--scope", help="read, write; may be repeated.")] = None,
    model: Model = _HERE,
    store: StoreUrl = None,
) -> None:
    """Print a token of one user, for a browser or an agent; it ends by itself, and with its key."""
    from honeyguide.serve.store import Store
    from honeyguide.serve.tokens import new_token

    database = Store(store_url(store, model))
    try:
        key = _named(database, key_id)
    finally:
        database.close()
    scopes = frozenset(scope or ("read", "write")) & set(key.scopes.split())
    typer.echo(new_token(key.digest, user, scopes, int(hours * 3600)))


@app.command()
def revoke(
    key_id: Annotated[str, typer.Argument(help="As 'keys list' prints it.")],
    model: Model = _HERE,
    store: StoreUrl = None,
) -> None:
    """Revoke a key and its tokens; a running service stops taking them within two seconds."""
    from honeyguide.serve.store import Store

    database = Store(store_url(store, model))
    try:
        found = _named(database, key_id)
        database.drop_key(found.digest)
    finally:
        database.close()
    console.notes().print(f"Revoked {found.name}.")


def _named(database: Store, key_id: str) -> KeyRow:
    from honeyguide.core.errors import ConfigError

    found = [key for key in database.api_keys() if key.digest.startswith(key_id)]
    if len(found) != 1 or len(key_id) < 6:
        raise ConfigError(f"{key_id!r} names {len(found)} keys.", "See 'honeyguide keys list'.")
    return found[0]
