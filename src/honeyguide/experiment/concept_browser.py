"""The concepts of a model as one document, and as one page that works without a network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl

from honeyguide.core.errors import NotFittedError
from honeyguide.core.ids import Ids
from honeyguide.core.ragged import IntArray, Ragged
from honeyguide.core.recommender import Recommender
from honeyguide.encode.items import item_texts, text_vectors
from honeyguide.encode.text import text_encoder
from honeyguide.experiment.report import fill
from honeyguide.explain.because import titles_of
from honeyguide.explain.concept_check import LIST, RELIABLE, Ablation, Ablations, Verdict, verify
from honeyguide.explain.concepts import (
    Concept,
    Inputs,
    Vocabulary,
    autoencoder_of,
    gather_inputs,
    latent_activations,
    name_concepts,
)

_SHOWN = 12  # items of a concept on the page
_NAMED = 5  # users of a concept on the page
_ASKED = 100  # users whose lists are made with and without a latent


def concept_document(
    model: Recommender,
    histories: Ragged,
    items: pl.DataFrame,
    user_ids: Sequence[object],
    *,
    encoder: str = "auto",
    inputs: int = 40_000,
    ablated: int = 200,
    seed: int = 0,
) -> dict[str, Any]:
    """Every concept of a model with its confidence, items and users, and of the surest what switching them off does.

    Parameters
    ----------
    model
        Fitted, with the plug-in ``recsae``.
    histories
        Of the people it serves.
    items
        Item table with a column ``item_id``, in any order.
    user_ids
        Whose histories they are.
    encoder
        Of the judge, see :func:`~honeyguide.encode.text.text_encoder`.
    inputs
        At most so many are read.
    ablated
        So many concepts, the surest first, are switched off to see what happens.
    seed
        Of all that is drawn.

    Raises
    ------
    CapabilityError
        If the model has no such plug-in.
    NotFittedError
        If it is not fitted.
    """
    plugin = autoencoder_of(model)
    if model.item_ids is None:
        raise NotFittedError(f"{model.name} is not fitted.", "Call fit(data) or load(directory) first.")
    table, titles = in_code_order(model.item_ids, items)
    gathered = gather_inputs(plugin, histories, inputs, seed)
    activations = latent_activations(plugin, gathered.states)
    concepts = name_concepts(activations, gathered, Vocabulary.of(table, titles))
    judge = text_encoder(encoder)
    vectors = text_vectors(judged_texts(table), judge)
    verdicts = verify(concepts, activations, gathered, vectors, judge, seed)
    order = np.argsort([-(v.f1 if v is not None else -1.0) for v in verdicts], kind="stable")
    lists = Ablations(model, plugin, histories, Ragged.empty(len(histories)))
    entries = []
    for place, at in enumerate(order):
        concept, verdict = concepts[at], verdicts[at]
        entry = _entry(concept, verdict, titles)
        users = lists.users_of(concept.direction)
        entry |= {"users": len(users), "most_active": [str(user_ids[u]) for u in users[:_NAMED]], "ablation": None}
        if place < ablated and len(users):
            entry["ablation"] = _told(lists.switch_off(concept.direction, concept.items, most=_ASKED), titles)
        entries.append(entry)
    return {
        "model": model.name,
        "judge": judge.name,
        "reliable_from": RELIABLE,
        "list": LIST,
        "latents": plugin.n_latents,
        "fvu": plugin.report["fvu"],
        "dead": plugin.report["dead"],
        "edits": {str(latent): factor for latent, factor in plugin.edits.items()},
        "inputs": _sizes(gathered),
        "concepts": entries,
    }


def in_code_order(ids: Ids, items: pl.DataFrame) -> tuple[pl.DataFrame, list[str]]:
    """The rows of an item table in the order of the codes, nulls where it has none; and the titles."""
    codes = pl.DataFrame({"item_id": ids.values})
    table = codes.join(items, on="item_id", how="left", maintain_order="left")
    return table, titles_of(ids, items)


def judged_texts(items: pl.DataFrame) -> list[str]:
    """What the judge reads of every item: its text as models read it, and the decade where there is a year."""
    years = items["year"].to_list() if "year" in items.columns else [None] * items.height
    decades = [f". {int(year) // 10 * 10}s" if year is not None else "" for year in years]
    return [f"{text}{decade}" for text, decade in zip(item_texts(items), decades, strict=True)]


def concept_page(document: dict[str, Any]) -> str:
    """The document as a page: searched, sorted and unfolded in the browser; what comes from data is escaped."""
    return fill("concepts.html.j2", document=document, concepts=document["concepts"])


def _entry(concept: Concept, verdict: Verdict | None, titles: Sequence[str]) -> dict[str, Any]:
    return {
        "latent": concept.direction,
        "name": concept.name,
        "confidence": verdict.f1 if verdict is not None else None,
        "precision": verdict.precision if verdict is not None else None,
        "recall": verdict.recall if verdict is not None else None,
        "reliable": verdict is not None and verdict.f1 >= RELIABLE,
        "share": concept.share,
        "p_values": concept.p_values,
        "items": _titled(concept.items[:_SHOWN], titles),
    }


def _told(found: Ablation, titles: Sequence[str]) -> dict[str, Any]:
    return {
        "users": found.users,
        "before": found.before,
        "after": found.after,
        "p_value": found.p_value,
        "fallen": _titled(found.fallen, titles),
    }


def _titled(codes: IntArray, titles: Sequence[str]) -> list[str]:
    return [titles[code] for code in codes]


def _sizes(inputs: Inputs) -> dict[str, int]:
    naming, fitting, judging = np.bincount(inputs.parts, minlength=3).tolist()
    return {"naming": naming, "fitting": fitting, "judging": judging}
