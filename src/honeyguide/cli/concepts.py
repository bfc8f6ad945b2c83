"""``honeyguide concepts``: what a model's states hold, as a page, and edits of it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from honeyguide.cli import console, options


def concepts(
    model: options.Bundle,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Write the concept browser, an HTML page, here.")
    ] = None,
    edit: Annotated[
        list[str] | None,
        typer.Option("--edit", metavar="LATENT=FACTOR", help="Multiply a latent from now on; 0 switches it off."),
    ] = None,
    undo: Annotated[bool, typer.Option("--undo", help="Drop all edits that stand.")] = False,
    encoder: Annotated[str, typer.Option("--encoder", help="Of the judge: auto, minilm, use or a folder.")] = "auto",
    k: options.K = 10,
    json: options.Json = False,
) -> None:
    """Name the concepts that a model with the plug-in recsae has, check them, or edit them.

    An edit is saved as a new version of the model, and every command serves from it.
    """
    from honeyguide.models.registry import plugin_class

    plugin_class("recsae")  # says what to install, where that is missing
    from honeyguide.experiment.bundle import open_bundle
    from honeyguide.experiment.concept_browser import concept_document, concept_page
    from honeyguide.experiment.records import write_text
    from honeyguide.explain.concepts import autoencoder_of

    bundle = open_bundle(model)
    plugin = autoencoder_of(bundle.model)
    if edit or undo:
        plugin.edit({**({} if undo else plugin.edits), **_edits(edit or [])})
        bundle.model.save(bundle.directory)
        standing = ", ".join(f"{latent} × {factor:g}" for latent, factor in plugin.edits.items()) or "none"
        console.notes().print(f"Edits that stand: {standing}.")
        if out is None and not json:
            return
    ids, requests = bundle.users(0, len(bundle.store))
    document = concept_document(bundle.model, requests.histories, bundle.store.items, ids.to_list(), encoder=encoder)
    if out is not None:
        write_text(out, concept_page(document))
        console.notes().print(f"Wrote {out}.")
    if json:
        console.emit(document)
        return
    rows = [
        [c["latent"], c["name"], ", ".join(c["items"][:2]), c["users"], _figure(c["confidence"])]
        for c in document["concepts"][:k]
    ]
    title = f"{len(document['concepts']):,} concepts of {bundle.model.name}, the surest first"
    console.results().print(
        console.table(title, ["latent", "concept", "such as", "users", "confidence"], rows, numeric=2)
    )


def _edits(texts: list[str]) -> dict[int, float]:
    from honeyguide.core.errors import ConfigError

    found = {}
    for text in texts:
        latent, _, factor = text.partition("=")
        try:
            found[int(latent)] = float(factor)
        except ValueError as error:
            raise ConfigError(f"{text!r} is not an edit.", "Write LATENT=FACTOR, for example 12=0 or 12=2.") from error
    return found


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"
