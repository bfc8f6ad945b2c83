"""``honeyguide config``: the options of a model as a file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from honeyguide.cli import console, options

app = typer.Typer(help="Show the options of a model, or write them to a file for 'fit --config'.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(metavar="MODEL", autocompletion=lambda: options.model_names())]


@app.command()
def show(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A name, a TOML file or a folder of a fitted model.")],
    setting: options.Set = None,
    json: options.Json = False,
) -> None:
    """Print the configuration of a model: the defaults, those of a file, or those it was fitted with."""
    from honeyguide.experiment.settings import build_model, from_toml, merge, parse_settings, to_toml
    from honeyguide.models.registry import load_model

    if model.endswith(".toml"):
        name, settings = from_toml(model)
    elif (Path(model) / "CURRENT").is_file():
        fitted = load_model(model)
        name, settings = fitted.name, fitted.config.model_dump(mode="json")
    else:
        name, settings = model, {}
    config = build_model(name, merge(settings, parse_settings(setting or []))).config
    if json:
        console.emit({"model": name, "options": config.model_dump(mode="json")})
    else:
        typer.echo(to_toml(name, config), nl=False)


@app.command()
def init(
    model: Name,
    out: Annotated[Path, typer.Option("--out", "-o", help="File to write.")] = Path("honeyguide.toml"),
    setting: options.Set = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the file if there is one.")] = False,
) -> None:
    """Write the configuration of a model to a TOML file to be edited."""
    from honeyguide.core.errors import ConfigError
    from honeyguide.experiment.records import write_text
    from honeyguide.experiment.settings import build_model, parse_settings, to_toml

    if out.exists() and not force:
        raise ConfigError(f"{out} exists.", "Name another file with --out, or replace it with --force.")
    write_text(out, to_toml(model, build_model(model, parse_settings(setting or [])).config))
    console.notes().print(f"Wrote {out}. Next: honeyguide fit DATA --config {out} --out model/")
