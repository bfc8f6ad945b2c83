"""What is asked of a recommender and what it answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import polars as pl

from honeyguide.core.ids import Ids
from honeyguide.core.ragged import FloatArray, IntArray, Ragged

Scale = Literal["rank", "logit", "probability", "rating"]


@dataclass(frozen=True)
class Requests:
    """A batch of ``n`` requests for recommendations.

    Parameters
    ----------
    histories
        Item codes of what each user did, oldest first. Unknown items are -1 and are skipped.
    users
        int32 ``[n]`` user codes; -1 for anonymous sessions. ``None`` when nobody is known.
    exclude
        Item codes never to return. ``None`` means "the items of the history"; pass
        ``Ragged.empty(n)`` to allow them.
    candidates
        Item codes to choose from; ``None`` means the whole catalogue.
    instruction
        Free text per request ("shorter, no crime"); only for models with that capability.
    query
        A search query per request.
    seed
        For models that draw at random.
    states
        float32 ``[n, d]``: user vectors to score with, in place of those that the model makes of the histories
        (state ``state``).
    """

    histories: Ragged
    users: IntArray | None = None
    exclude: Ragged | None = None
    candidates: Ragged | None = None
    instruction: Sequence[str] | None = None
    query: Sequence[str] | None = None
    seed: int = 0
    states: FloatArray | None = None

    def __post_init__(self) -> None:
        n = len(self.histories)
        for field in ("users", "exclude", "candidates", "instruction", "query", "states"):
            value = getattr(self, field)
            if value is not None and len(value) != n:
                raise ValueError(f"{field} has {len(value)} entries for {n} histories")

    def __len__(self) -> int:
        return len(self.histories)

    def take(self, rows: slice) -> Requests:
        """The requests at ``rows``."""
        return Requests(
            histories=self.histories.take(rows),
            users=None if self.users is None else self.users[rows],
            exclude=None if self.exclude is None else self.exclude.take(rows),
            candidates=None if self.candidates is None else self.candidates.take(rows),
            instruction=None if self.instruction is None else self.instruction[rows],
            query=None if self.query is None else self.query[rows],
            seed=self.seed,
            states=None if self.states is None else self.states[rows],
        )

    @property
    def excluded(self) -> Ragged:
        """The items never to return: ``exclude``, or the history where it is not given."""
        return self.histories if self.exclude is None else self.exclude


@dataclass(frozen=True)
class Recommendations:
    """Ranked lists for a batch of requests.

    Parameters
    ----------
    items
        int32 ``[n, k]`` item codes, best first, padded with -1.
    scores
        float32 ``[n, k]``, padded with minus infinity.
    scale
        What a score means.
    item_ids
        The map from codes to external ids.
    """

    items: IntArray
    scores: FloatArray
    item_ids: Ids
    scale: Scale = "rank"

    def __len__(self) -> int:
        return len(self.items)

    def frame(self, users: pl.Series | Sequence[object] | None = None) -> pl.LazyFrame:
        """One row per recommended item: ``request`` or ``user_id``, ``rank`` (from 1), ``item_id``, ``score``.

        Parameters
        ----------
        users
            External user ids of the requests, in order.
        """
        rows, ranks = np.nonzero(self.items >= 0)
        columns: dict[str, npt.NDArray[np.generic] | pl.Series] = {
            "rank": (ranks + 1).astype(np.int32),
            "item_id": self.item_ids.decode(self.items[rows, ranks]),
            "score": self.scores[rows, ranks],
        }
        if users is None:
            head = pl.Series("request", rows.astype(np.int64))
        else:
            if len(users) != len(self):
                raise ValueError(f"{len(users)} users for {len(self)} lists")
            head = pl.Series("user_id", users).gather(rows)
        return pl.DataFrame([head, *(pl.Series(k, v) for k, v in columns.items())]).lazy()
