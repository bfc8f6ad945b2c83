"""``honeyguide data``: look at data before fitting anything on it."""

from __future__ import annotations

import typer

app = typer.Typer(help="Check, describe, split and convert data.", no_args_is_help=True)
