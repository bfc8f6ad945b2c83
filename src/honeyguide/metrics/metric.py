"""What the library knows of a metric, and the decorator that declares one beside its code."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

Direction = Literal["higher", "lower", "neither"]
Kind = Literal["per_user", "aggregate", "function"]
Function = TypeVar("Function", bound=Callable[..., Any])

FAMILIES = {
    "A": "Similarity and distance",
    "B": "Candidate generation",
    "C": "Predictive",
    "D": "Ranking",
    "E": "Popularity, novelty and exposure",
    "F": "Beyond accuracy and groups",
    "G": "Business",
    "H": "Off-policy and bandit",
    "I": "Statistics",
}


@dataclass(frozen=True)
class Metric:
    """One metric with its exact definition.

    Parameters
    ----------
    id
        Its name; metrics over ranked lists are asked for with a cut-off, ``ndcg@10``.
    family
        A letter of :data:`FAMILIES`.
    formula
        The definition, in the symbols of the reference page.
    low, high
        Its range, ends included where they are finite.
    direction
        Which way is better; ``neither`` where that depends on the goal.
    conventions
        What is done in the cases that the formula leaves open.
    kind
        ``per_user`` (one value per list) and ``aggregate`` (one value over all lists) run inside
        :func:`~honeyguide.metrics.evaluate.evaluate_lists`; a ``function`` is called directly.
    needs
        What of the truth or of the catalogue it reads: ``truth``, ``popularity``, ``histories``,
        ``similarity``, ``genres``, ``ages``.
    function
        The code.
    """

    id: str
    family: str
    formula: str
    low: float
    high: float
    direction: Direction
    conventions: str
    kind: Kind
    needs: tuple[str, ...]
    function: Callable[..., Any]

    @property
    def range(self) -> str:
        """The range as an interval, such as ``[0, 1]`` or ``[0, ∞)``."""
        left = "(-∞" if math.isinf(self.low) else f"[{self.low:g}"
        right = "∞)" if math.isinf(self.high) else f"{self.high:g}]"
        return f"{left}, {right}"

    @property
    def name(self) -> str:
        """The id as it is asked for: with ``@k`` where a cut-off belongs to it."""
        return self.id if self.kind == "function" else f"{self.id}@k"


DECLARED: dict[str, Metric] = {}


def metric(
    id: str,
    *,
    family: str,
    formula: str,
    low: float = 0.0,
    high: float = 1.0,
    direction: Direction = "higher",
    conventions: str = "",
    kind: Kind = "function",
    needs: tuple[str, ...] = (),
) -> Callable[[Function], Function]:
    """Declare the decorated function as the metric ``id``; parameters as in :class:`Metric`."""

    def declare(function: Function) -> Function:
        if id in DECLARED:
            raise ValueError(f"the metric {id!r} is declared twice")
        DECLARED[id] = Metric(id, family, formula, low, high, direction, conventions, kind, needs, function)
        return function

    return declare
