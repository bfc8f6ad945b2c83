"""``honeyguide serve``: a fitted model over HTTP."""

from __future__ import annotations

import gc
import ipaddress
import os
import socket
from pathlib import Path
from typing import Annotated

import typer

from honeyguide.cli import console, options

_POOLS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "POLARS_MAX_THREADS")

StoreUrl = Annotated[
    str | None,
    typer.Option("--store", metavar="URL", help="sqlite:///FILE or postgresql+psycopg://...; default: in MODEL."),
]

ExperimentsFile = Annotated[
    Path | None, typer.Option("--experiments", metavar="FILE", help="Experiments as a TOML file.")
]
_PATIENCE = 10  # seconds that the end of the service waits for requests under way


def serve(
    model: options.Bundle,
    host: Annotated[str, typer.Option("--host", help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65535)] = 8000,
    store: StoreUrl = None,
    pipeline: Annotated[Path | None, typer.Option("--pipeline", metavar="FILE", help="Stages as a TOML file.")] = None,
    tenant: Annotated[
        list[str] | None, typer.Option("--tenant", metavar="NAME=MODEL", help="Another tenant with its own model.")
    ] = None,
    experiments: ExperimentsFile = None,
    exposures: Annotated[bool, typer.Option("--exposures/--no-exposures", help="Log what is shown.")] = True,
    exposure_days: Annotated[
        int, typer.Option("--exposure-days", min=0, help="Days that what was shown is kept; 0: for ever.")
    ] = 90,
    parser: Annotated[
        str, typer.Option("--parser", help="Of commands: grammar, lm:NAME or endpoint:MODEL@URL.")
    ] = "grammar",
    lm: Annotated[
        str | None, typer.Option("--lm", help="A language model that says reasons; what it says is checked.")
    ] = None,
    lists: Annotated[
        int, typer.Option("--lists", min=0, help="Lists that are held for their next pages, of each tenant.")
    ] = 20_000,
    rate: Annotated[float, typer.Option("--rate", min=0, help="Requests a second of every key; 0: no limit.")] = 0.0,
) -> None:
    """Serve a fitted model over HTTP. Without API keys only this machine is listened to."""
    for pool in _POOLS:  # requests come side by side: several threads for one would only wait for each other
        os.environ.setdefault(pool, "1")
    import uvicorn

    from honeyguide.agent.parsers import parser_model
    from honeyguide.core.errors import ConfigError
    from honeyguide.lm.registry import language_model
    from honeyguide.serve.app import create_app
    from honeyguide.serve.auth import DEFAULT_TENANT
    from honeyguide.serve.connections import affordable, bounded
    from honeyguide.serve.engine import Engine
    from honeyguide.serve.fallback import must_be_a_folder
    from honeyguide.serve.service import Settings
    from honeyguide.serve.store import Store

    models = {DEFAULT_TENANT: model, **_tenants(tenant or [])}
    for folder in models.values():
        must_be_a_folder(folder)
    reader, speaker = parser_model(parser), language_model(lm) if lm is not None else None
    database = Store(store_url(store, model))
    try:
        if not is_loopback(host) and not database.api_keys():
            raise ConfigError(
                f"there is no API key, so {host} is not listened on.",
                f"Make one first: honeyguide keys create NAME --model {model}; or leave --host away.",
            )
        engines = {name: Engine(name, folder, database, pipeline, lists=lists) for name, folder in models.items()}
        for name in (name for name, engine in engines.items() if engine.live.fallback):
            console.notes().print(f"No model can be read in {models[name]}: what is popular, or latest, is shown.")
        for engine in engines.values():
            engine.lm = reader
            engine.warm()
        settings = Settings(
            open_=is_loopback(host),
            rate=rate,
            experiments=experiments,
            exposures=exposures,
            exposure_days=exposure_days,
            speaker=speaker,
        )
        app = create_app(database, engines, settings)
        gc.collect()
        gc.freeze()  # what is there stays: no collection need look at it again
        must_be_free(host, port)
        console.notes().print(f"Serving {model} at http://{host}:{port}; API: /openapi.json. Ctrl-C ends it.")
        uvicorn.run(
            app,
            host=host,
            port=port,
            http=bounded(affordable()),
            ws="none",
            log_level="warning",
            access_log=False,
            server_header=False,
            h11_max_incomplete_event_size=65536,
            timeout_graceful_shutdown=_PATIENCE,
        )
    finally:
        database.close()


def is_loopback(host: str) -> bool:
    """Whether nobody but this machine reaches an address."""
    try:
        found = {str(entry[4][0]) for entry in socket.getaddrinfo(host, None)}
    except OSError:
        return False
    return bool(found) and all(ipaddress.ip_address(address.split("%")[0]).is_loopback for address in found)


def must_be_free(host: str, port: int) -> None:
    """See that nobody listens on a port yet.

    Raises
    ------
    ConfigError
        If somebody does, or the address is not of this machine.
    """
    from honeyguide.core.errors import ConfigError

    family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise ConfigError(
                f"{host}:{port} cannot be listened on: {error.strerror}.", "Name another with --port."
            ) from error


def store_url(store: str | None, model: Path) -> str:
    """Where the events of a model's service are."""
    return store or f"sqlite:///{model / 'service.db'}"


def _tenants(texts: list[str]) -> dict[str, Path]:
    from honeyguide.core.errors import ConfigError
    from honeyguide.serve.auth import TENANT

    found = {}
    for text in texts:
        name, sign, folder = text.partition("=")
        if not sign or not TENANT.fullmatch(name):
            raise ConfigError(f"{text!r} is no tenant.", "Write NAME=MODEL, the name in small letters.")
        found[name] = Path(folder)
    return found
