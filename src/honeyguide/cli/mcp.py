"""``honeyguide mcp``: a fitted model for agents, over standard input and output."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from honeyguide.cli import options
from honeyguide.cli.serve import ExperimentsFile, StoreUrl, store_url


def mcp(
    model: options.Bundle,
    store: StoreUrl = None,
    pipeline: Annotated[Path | None, typer.Option("--pipeline", metavar="FILE", help="Stages as a TOML file.")] = None,
    experiments: ExperimentsFile = None,
) -> None:
    """Serve a fitted model to an agent over stdio (MCP); the key, where there are keys, is in HONEYGUIDE_KEY."""
    from honeyguide.serve.auth import DEFAULT_TENANT
    from honeyguide.serve.engine import Engine
    from honeyguide.serve.fallback import must_be_a_folder
    from honeyguide.serve.mcp import create_mcp
    from honeyguide.serve.service import Settings, shared
    from honeyguide.serve.store import Store

    must_be_a_folder(model)
    database = Store(store_url(store, model))
    try:
        engines = {DEFAULT_TENANT: Engine(DEFAULT_TENANT, model, database, pipeline)}
        service = shared(database, engines, Settings(experiments=experiments))
        try:
            create_mcp(service, os.environ.get("HONEYGUIDE_KEY")).run("stdio")
        finally:
            service.exposures.close()
    finally:
        database.close()
