"""``honeyguide models``: what can be fitted."""

from __future__ import annotations

from typing import Any

from honeyguide.cli import console, options


def models(json: options.Json = False) -> None:
    """List the models, what they can do and their options; and the plug-ins that go with them."""
    from honeyguide.models.registry import MODELS, PLUGINS

    rows, plugins = [_describe(name) for name in MODELS], [_describe_plugin(name) for name in PLUGINS]
    if json:
        console.emit({"models": rows, "plugins": plugins})
        return
    cells = [
        [
            row["name"],
            row["summary"],
            ", ".join(row["capabilities"]) if row["available"] else f"pip install 'honeyguide[{row['extra']}]'",
            ", ".join(row["states"]),
            "no" if row["deterministic"] else "yes",
        ]
        for row in rows
    ]
    heads = ["model", "what it is", "can", "gives plug-ins", "draws at random"]
    console.results().print(console.table(None, heads, cells))
    if plugins:
        cells = [[row["name"], row["summary"], ", ".join(row["needs"]) or "any model"] for row in plugins]
        console.results().print(console.table(None, ["plug-in", "what it does", "needs"], cells))
    console.notes().print("Options of a model: honeyguide config show MODEL; with plug-ins: MODEL+PLUGIN+...")


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
        "states": [],
        "options": {},
    }
    try:
        cls = entry.load()
    except MissingExtraError:
        return found | {"available": False}
    defaults = cls.Config().model_dump(mode="json")
    return found | {"capabilities": sorted(cls.capabilities), "states": sorted(cls.states), "options": defaults}


def _describe_plugin(name: str) -> dict[str, Any]:
    """One plug-in as ``--json`` shows it."""
    from honeyguide.core.errors import MissingExtraError
    from honeyguide.models.registry import PLUGINS

    entry = PLUGINS[name]
    found: dict[str, Any] = {"name": name, "summary": entry.summary, "extra": entry.extra, "available": True}
    try:
        cls = entry.load()
    except MissingExtraError:
        return found | {"available": False, "needs": [], "hooks": [], "options": {}}
    options = cls.Config().model_dump(mode="json")
    return found | {"needs": sorted(cls.needs), "hooks": sorted(cls.hooks()), "options": options}
