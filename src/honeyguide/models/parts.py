"""Models made of models: how the parts are kept in the state of the whole, and how they are updated with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from honeyguide.core.artifact import Arrays
from honeyguide.core.errors import CapabilityError
from honeyguide.core.fitting import Change, FitOptions
from honeyguide.core.ids import Ids
from honeyguide.core.ragged import FloatArray, IntArray, Ragged
from honeyguide.core.recommender import Recommender
from honeyguide.core.topk import exclude_in_place, top_k


def similar_by_history(model: Recommender, items: IntArray, k: int) -> tuple[IntArray, FloatArray]:
    """What ``model`` would show to people with one of ``items`` alone in their history: ``[n, k]`` each."""
    asked = Ragged.from_lists([[int(item)] for item in items])
    scores = model.score_histories(asked)
    exclude_in_place(scores, asked)
    return top_k(scores, k)


def pack_parts(parts: Sequence[Recommender]) -> tuple[Arrays, list[dict[str, Any]]]:
    """The arrays of all ``parts``, each under its number, and what :func:`unpack_parts` needs beside them."""
    arrays: Arrays = {}
    described = []
    for number, part in enumerate(parts):
        own, meta = part._state()
        arrays |= {f"part{number}.{name}": array for name, array in own.items()}
        config = part.config.model_dump(mode="json")
        renewal = {"updates": part.report.updates, "behind": part.report.behind, "items": len(part.item_ids or ())}
        described.append({"model": part.name, "config": config, "state": meta, "renewal": renewal})
    return arrays, described


def unpack_parts(
    arrays: Mapping[str, npt.NDArray[Any]], described: Sequence[Mapping[str, Any]], item_ids: Ids | None
) -> list[Recommender]:
    """Undo :func:`pack_parts`; every part serves ``item_ids``, or as many of them as it had when it was left behind."""
    from honeyguide.models.registry import model_class

    parts = []
    for number, saved in enumerate(described):
        prefix = f"part{number}."
        part = model_class(saved["model"])(**saved["config"])
        part.item_ids = item_ids
        renewal = saved.get("renewal", {})  # not in what older versions wrote
        part.report.updates, part.report.behind = renewal.get("updates", []), renewal.get("behind", False)
        if item_ids is not None and renewal.get("items", len(item_ids)) < len(item_ids):
            part.item_ids = Ids(item_ids.values.head(renewal["items"]))
        part._restore({n.removeprefix(prefix): a for n, a in arrays.items() if n.startswith(prefix)}, saved["state"])
        parts.append(part)
    return parts


def can_be_updated(part: Recommender) -> bool:
    """Whether an update of the whole reaches ``part``; one that was passed by once is for ever."""
    try:
        part.require("update")
    except CapabilityError:
        return False
    return not part.report.behind


def require_updatable(whole: Recommender, parts: Sequence[Recommender]) -> None:
    """Raise a :class:`CapabilityError` if none of the ``parts`` of ``whole`` can be updated."""
    if not any(can_be_updated(part) for part in parts):
        raise _nothing(whole, parts)


def _nothing(whole: Recommender, parts: Sequence[Recommender]) -> CapabilityError:
    names = ", ".join(dict.fromkeys(part.name for part in parts))
    return CapabilityError(
        f"this {whole.name} is made of {names}, of which nothing can be updated.",
        "Fit it again on the whole log. 'honeyguide models' lists what every model can.",
    )


def update_parts(whole: Recommender, parts: Sequence[Recommender], change: Change, options: FitOptions) -> None:
    """Update every part that can be. The others stay as they were: they have the catalogue of that day.

    Parts that read the table of items come first: if it lacks something, nothing has changed yet.

    Raises
    ------
    CapabilityError
        If there is no part that can be updated.
    """
    require_updatable(whole, parts)
    able = [number for number, part in enumerate(parts) if can_be_updated(part)]
    behind = set(range(len(parts))) - set(able)
    for number in sorted(able, key=lambda n: "add_items" not in parts[n].capabilities):
        part, folder = parts[number], options.checkpoint
        own = replace(options, checkpoint=folder / f"{number}-{part.name}" if folder is not None else None)
        try:
            part.update(
                change.before, change.after, change.items, replay=change.replay, table=change.table, options=own
            )
        except CapabilityError:  # what it would need was too large to be kept
            behind.add(number)
    if len(behind) == len(parts):
        raise _nothing(whole, parts)
    for number in behind:
        parts[number].report.behind = True


def scores_of_part(part: Recommender, histories: Ragged, users: IntArray | None = None) -> FloatArray:
    """float32 ``[n, m]``: scores of the ``m`` items that the part knows, from what it knows of the histories."""
    m = len(part.item_ids or ())
    if part.report.behind:
        histories = replace(histories, values=np.where(histories.values < m, histories.values, -1).astype(np.int32))
    return part.score_histories(histories, users)
