"""Which options of a model are worth a search, and between what limits: data beside its ``Config``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Real:
    """A real number in ``[low, high]``; with ``log`` its logarithm is uniform."""

    low: float
    high: float
    log: bool = False

    def holds(self, value: object) -> bool:
        """Whether ``value`` is in the dimension."""
        return isinstance(value, float | int) and not isinstance(value, bool) and self.low <= value <= self.high


@dataclass(frozen=True)
class Whole:
    """A whole number in ``[low, high]``; with ``log`` its logarithm is uniform."""

    low: int
    high: int
    log: bool = False

    def holds(self, value: object) -> bool:
        """Whether ``value`` is in the dimension."""
        return isinstance(value, int) and not isinstance(value, bool) and self.low <= value <= self.high


@dataclass(frozen=True)
class Choice:
    """One of a few values."""

    values: tuple[str | int | float | bool, ...]

    def holds(self, value: object) -> bool:
        """Whether ``value`` is one of them."""
        return value in self.values


Dimension = Real | Whole | Choice
Space = Mapping[str, Dimension]
