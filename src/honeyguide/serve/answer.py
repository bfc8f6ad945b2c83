"""What an engine answers with: the model in service, the person, the order, and how it came about."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

import numpy as np

from honeyguide.agent.grammar import Grammar
from honeyguide.agent.preferences import Preferences
from honeyguide.core.ragged import IntArray
from honeyguide.experiment.bundle import Bundle
from honeyguide.pipeline.explore import Drawn
from honeyguide.pipeline.pipeline import Order, PipelineFile
from honeyguide.pipeline.stock import Stock
from honeyguide.serve.fallback import NO_VERSION

Source = Literal["personal", "session", "popular", "latest"]


@dataclass(frozen=True)
class Person:
    """What is known of a user: item codes, oldest first, of what was liked, and of what is not to be shown."""

    liked: IntArray
    hidden: IntArray
    preferences: Preferences = field(default_factory=Preferences)


NOBODY = Person(np.empty(0, np.int32), np.empty(0, np.int32))


@dataclass(frozen=True)
class Live:
    """A model in service; a new one takes the place of the whole.

    Parameters
    ----------
    bundle
        The model, and the histories that were there when it was fitted.
    stock
        The model with its item table.
    stages
        The pipeline, read again when its file changes.
    stamp
        Of the version of the model that was read: its name and digest.
    words
        Makes the grammar of commands over its items, when there is one to read.
    fallback
        Whether there is no model, and what the store knows has its place.
    """

    bundle: Bundle
    stock: Stock
    stages: PipelineFile
    stamp: str
    words: Callable[[], Grammar]
    fallback: bool = False

    @cached_property
    def grammar(self) -> Grammar:
        """Of commands; its words are all the titles, so it is made once."""
        return self.words()

    @property
    def degraded(self) -> bool:
        """Whether something is missing: the model, the histories of its fit, or stages that can be used."""
        return self.fallback or not len(self.bundle.store) or self.stages.fault is not None

    @property
    def version(self) -> str:
        """Name of the version of the model."""
        return NO_VERSION if self.fallback else self.stamp.split()[0]


@dataclass(frozen=True)
class Trial:
    """The experiment that a list belongs to, and its variant; a ``forced`` one is not logged."""

    experiment: str
    variant: str
    forced: bool = False


@dataclass(frozen=True)
class Answer:
    """The order made for a request, and what it was made from.

    Parameters
    ----------
    order, source
        The order, and which part of the chain it comes from.
    live, person
        The model in service, and whom it was asked for, in its codes.
    scenario
        Where the request came from.
    size
        Items of a page, as the stages have it.
    drawn
        How the head came about, where it was drawn at random.
    unit
        Who sees it: the user's id, else the visit's, else empty.
    trial
        The experiment it belongs to.
    begun
        When it was asked for, by the monotonic clock.
    """

    order: Order
    source: Source
    live: Live
    person: Person
    scenario: str = "default"
    size: int = 10
    drawn: Drawn | None = None
    unit: str = ""
    trial: Trial | None = None
    begun: float = field(default_factory=time.monotonic)
