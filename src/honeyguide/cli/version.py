"""``honeyguide version``: what is installed."""

from __future__ import annotations

from honeyguide.cli import console, options

_PACKAGES = ("numpy", "scipy", "polars", "pydantic", "implicit", "torch")


def version(json: options.Json = False) -> None:
    """Print the versions of honeyguide and of what it stands on."""
    from honeyguide.experiment.records import versions

    found = versions(_PACKAGES)
    if json:
        console.emit(found)
        return
    for name, number in found.items():
        console.results().print(f"{name} {number or 'not installed'}")
