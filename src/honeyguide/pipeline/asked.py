"""One request to a pipeline, and the candidates that its stages pass on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from honeyguide.core.inner_product import unit
from honeyguide.core.ragged import FloatArray, IntArray
from honeyguide.pipeline.config import Rule
from honeyguide.pipeline.stock import Mask, Stock

Positions = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Asked:
    """One request.

    Parameters
    ----------
    stock
        What it is answered from.
    history
        Item codes, oldest first; unknown ones (-1) are skipped.
    excluded
        Item codes that are not to be shown: as a rule the history, and what was shown before.
    rules
        Of this request, behind those of the pipeline.
    scenario
        Where it comes from.
    query
        Free text for the source ``"text"``.
    instruction
        What is wanted, in words, for a model that reads them.
    """

    stock: Stock
    history: IntArray
    excluded: IntArray
    rules: tuple[Rule, ...] = ()
    scenario: str = "default"
    query: str | None = None
    instruction: str | None = None

    def narrowed(self, rules: Sequence[Rule], excluded: IntArray) -> Asked:
        """With more rules and less to show; what was computed of the history stands."""
        found = replace(
            self, rules=(*self.rules, *rules), excluded=np.union1d(self.excluded, excluded).astype(np.int32)
        )
        found.__dict__.update(
            {name: value for name, value in self.__dict__.items() if name in ("scores", "user", "profile")}
        )
        return found

    @cached_property
    def scores(self) -> FloatArray:
        """float32 ``[m]``: the model's scores of all items, asked for once."""
        return self.stock.scores(self.history, self.instruction)

    @cached_property
    def user(self) -> FloatArray | None:
        """float32 ``[d]``: the user's vector, of models whose scores are its products with those of the items."""
        return self.stock.user_vector(self.history, self.instruction)

    def scores_of(self, items: IntArray) -> FloatArray:
        """float32 ``[c]``: the model's scores of some items; those of all are asked for only where they must be."""
        vectors = self.stock.item_vectors
        if "scores" in self.__dict__ or self.stock.near is None or vectors is None or self.user is None:
            return self.scores[items]
        found: FloatArray = vectors[items] @ self.user
        return found

    @cached_property
    def profile(self) -> FloatArray:
        """float32 ``[d]`` of length one or zero: of the query's text, or without one of the history's texts."""
        if self.query is not None:
            return self.stock.text_of(self.query)
        known = self.history[self.history >= 0]
        return unit(self.stock.text_vectors[known].sum(axis=0))

    def holds(self, scenarios: Sequence[str]) -> bool:
        """Whether what is meant for ``scenarios`` is meant for this request."""
        return not scenarios or self.scenario in scenarios


@dataclass(frozen=True)
class Pool:
    """Candidates, best first.

    Parameters
    ----------
    items
        int32 ``[c]``, none twice.
    scores
        float32 ``[c]``.
    sources
        For every source its ranked candidates, int32.
    """

    items: IntArray
    scores: FloatArray
    sources: dict[str, IntArray] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.items)

    def take(self, places: Positions) -> Pool:
        """The candidates at ``places``, in that order."""
        return replace(self, items=self.items[places], scores=self.scores[places])

    def ranked(self, scores: FloatArray) -> Pool:
        """With other scores, ordered by them; ties keep their order."""
        order = np.argsort(-scores, kind="stable")
        return replace(self, items=self.items[order], scores=scores[order].astype(np.float32))


@dataclass(frozen=True)
class Allowed:
    """What may be shown.

    Parameters
    ----------
    asked
        The request; what it excludes may not.
    fits
        bool ``[m]``: what fits the filters; ``None`` without any.
    """

    asked: Asked
    fits: Mask | None

    @cached_property
    def excluded(self) -> IntArray:
        """int32: known items that may not be shown though they fit."""
        given = self.asked.excluded
        known = np.array(sorted({code for code in given.tolist() if code >= 0}), np.int32)
        return known if self.fits is None else known[self.fits[known]]

    @cached_property
    def count(self) -> int:
        """How many items may be shown."""
        fitting = len(self.asked.stock) if self.fits is None else int(np.count_nonzero(self.fits))
        return fitting - len(self.excluded)

    @cached_property
    def mask(self) -> Mask:
        """Bool ``[m]``."""
        may = np.ones(len(self.asked.stock), np.bool_) if self.fits is None else self.fits.copy()
        may[self.excluded] = False
        return may


def allowed(asked: Asked, filters: Sequence[Rule]) -> Allowed:
    """What fits all ``filters`` and is not excluded."""
    masks = [asked.stock.mask(rule.filter) for rule in filters if rule.filter is not None]
    return Allowed(asked, np.logical_and.reduce(masks) if masks else None)


Effect = dict[str, Any]
