"""``honeyguide keys``: who may ask a service for what."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from honeyguide.cli import console, options
from honeyguide.cli.serve import StoreUrl, store_url

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
def revoke(
    key_id: Annotated[str, typer.Argument(help="As 'keys list' prints it.")],
    model: Model = _HERE,
    store: StoreUrl = None,
) -> None:
    """Revoke a key; a running service stops taking it within two seconds."""
    from honeyguide.core.errors import ConfigError
    from honeyguide.serve.store import Store

    database = Store(store_url(store, model))
    try:
        found = [key for key in database.api_keys() if key.digest.startswith(key_id)]
        if len(found) != 1 or len(key_id) < 6:
            raise ConfigError(f"{key_id!r} names {len(found)} keys.", "See 'honeyguide keys list'.")
        database.drop_key(found[0].digest)
    finally:
        database.close()
    console.notes().print(f"Revoked {found[0].name}.")
