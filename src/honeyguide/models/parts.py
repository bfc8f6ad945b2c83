"""Models made of models: how the state of the parts is kept in the state of the whole."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy.typing as npt

from honeyguide.core.artifact import Arrays
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
        described.append({"model": part.name, "config": part.config.model_dump(mode="json"), "state": meta})
    return arrays, described


def unpack_parts(
    arrays: Mapping[str, npt.NDArray[Any]], described: Sequence[Mapping[str, Any]], item_ids: Ids | None
) -> list[Recommender]:
    """Undo :func:`pack_parts`; every part serves the catalogue ``item_ids``."""
    from honeyguide.models.registry import model_class

    parts = []
    for number, saved in enumerate(described):
        prefix = f"part{number}."
        part = model_class(saved["model"])(**saved["config"])
        part.item_ids = item_ids
        part._restore({n.removeprefix(prefix): a for n, a in arrays.items() if n.startswith(prefix)}, saved["state"])
        parts.append(part)
    return parts
