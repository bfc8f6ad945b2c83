"""The few functions that most programs need; reached as ``honeyguide.model`` and so on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl

from honeyguide.core.dataset import Dataset
from honeyguide.core.errors import DataError
from honeyguide.core.recommender import Recommender
from honeyguide.core.requests import Recommendations, Requests
from honeyguide.models.registry import load_model


def model(name: str, **options: Any) -> Recommender:
    """An unfitted model by its registered name.

    Parameters
    ----------
    name
        One of ``honeyguide models``.
    **options
        Options of the model, for example ``dim=128``.

    Raises
    ------
    UnknownNameError
        If the model or an option does not exist; close names are suggested.

    Examples
    --------
    >>> import honeyguide as hg
    >>> hg.model("popularity").name
    'popularity'
    """
    from honeyguide.experiment.settings import build_model

    return build_model(name, options)


def load(directory: str | Path, version: str | None = None) -> Recommender:
    """A model saved by :meth:`Recommender.save` or ``honeyguide fit``, whatever its class.

    Raises
    ------
    ArtifactError
        If the artifact is missing or damaged.
    """
    return load_model(directory, version)


def requests_for(data: Dataset, user_ids: Sequence[object], *parts: str) -> Requests:
    """Requests of known users, with their histories in ``parts`` of ``data`` (all, where none is named).

    Raises
    ------
    DataError
        If a user is not in the data.
    """
    codes = data.user_ids.encode(user_ids)
    unknown = [str(user_id) for user_id, code in zip(user_ids, codes, strict=True) if code < 0]
    if unknown:
        raise DataError(f"there is no user {', '.join(unknown)} in {data.name}.", "Use ids as in the data.")
    return Requests(data.histories(*parts).take(codes), users=codes)


def reasons(
    model: Recommender, requests: Requests, found: Recommendations, items: pl.DataFrame | None = None, n: int = 2
) -> pl.DataFrame:
    """The reasons for ``found``, one row per recommended item, each checked against the model.

    Parameters
    ----------
    model, requests, found
        What was asked of which model, and its answer.
    items
        The item table of the data set; titles in it make the reasons readable.
    n
        At most so many items of the history are named.

    Returns
    -------
    DataFrame
        ``request, rank, item_id, title, why, verified``.
    """
    from honeyguide.explain.because import because, titles_of, verb_for

    titles = titles_of(found.item_ids, items)
    verb = verb_for(items.columns) if items is not None else None
    rows = []
    for request, history in enumerate(requests.histories):
        codes = found.items[request][found.items[request] >= 0]
        for rank, reason in enumerate(because(model, history, codes, n), start=1):
            why = reason.sentence(lambda code: titles[code], verb)
            rows.append((request, rank, found.item_ids.values[reason.item], titles[reason.item], why, reason.verified))
    names = ["request", "rank", "item_id", "title", "why", "verified"]
    return pl.DataFrame(rows, schema=names, orient="row")
