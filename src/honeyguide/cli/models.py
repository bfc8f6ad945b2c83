"""``honeyguide models``: what can be fitted."""

from __future__ import annotations

from typing import Any

from honeyguide.cli import console, options


def models(json: options.Json = False) -> None:
    """List the models, what they can do and their options."""
    from honeyguide.models.registry import MODELS

    rows = [_describe(name) for name in MODELS]
    if json:
        console.emit({"models": rows})
        return
    cells = [
        [
            row["name"],
            row["summary"],
            ", ".join(row["capabilities"]) if row["available"] else f"pip install 'honeyguide[{row['extra']}]'",
            "no" if row["deterministic"] else "yes",
        ]
        for row in rows
    ]
    console.results().print(console.table(None, ["model", "what it is", "can", "draws at random"], cells))
    console.notes().print("Options of a model: honeyguide config show MODEL")


def _describe(name: str) -> dict[str, Any]:
    """One model as ``--json`` shows it; one whose extra is missing is listed as not available."""
    from honeyguide.core.errors import MissingExtraError
    from honeyguide.models.registry import MODELS

    entry = MODELS[name]
    found: dict[str, Any] = {
        "name": name,
        "summary": entry.summary,
        "extra": entry.extra,
        "deterministic": entry.deterministic,
        "available": True,
        "capabilities": [],
        "options": {},
    }
    try:
        cls = entry.load()
    except MissingExtraError:
        return found | {"available": False}
    defaults = cls.Config().model_dump(mode="json")
    return found | {"capabilities": sorted(cls.capabilities), "options": defaults}
