"""Experiments that run in the service: who gets which variant, and lists that are joined from two.

A unit, the user or else the visit, is assigned by a hash of the experiment's salt and its id: the same on every machine
and after every restart, and independent of every other experiment. Of several experiments for one scenario the first in
the file that takes the unit has it.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

from honeyguide.core.errors import ConfigError, HoneyguideError
from honeyguide.pipeline.config import Name, read_toml
from honeyguide.pipeline.interleave import Method, interleave
from honeyguide.pipeline.pipeline import Order, PipelineFile, file_stamp
from honeyguide.serve.answer import Answer, Trial
from honeyguide.serve.engine import Engine

Ask = Mapping[str, Any]  # what Engine.recommend is asked with, but for the user, the stages and the seed
INTERLEAVED = "interleaved"  # the variant of lists that are joined
_LOG = logging.getLogger("honeyguide.serve")


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Variant(_Part):
    """One way of making lists.

    Parameters
    ----------
    name
        As the answer and the log call it.
    weight
        Share of the units, against the weights of the others.
    pipeline
        TOML file of stages; the service's own by default. Paths are relative to the file of the experiments.
    model
        Folder of another fitted model of the same tenant.
    """

    name: Name
    weight: float = Field(default=1.0, gt=0, le=1e6, allow_inf_nan=False)
    pipeline: Path | None = None
    model: Path | None = None


class Experiment(_Part):
    """One comparison of variants; the first is what the others are compared with.

    Parameters
    ----------
    name
        As the answer and the log call it.
    tenant
        Whose units.
    salt
        Decides, with its id, where a unit goes; the name by default. Another salt assigns everybody anew.
    scenario
        Only in these; empty for everywhere.
    share
        Of the units that take part.
    method
        ``"ab"``: a unit has one variant; ``"team-draft"``, ``"probabilistic"``: every list is joined from two.
    goal
        Kinds of events that count as a conversion; by default all that have a positive weight.
    effect
        Smallest relative difference worth finding: says how many users are needed.
    window
        Seconds in which an event on a shown item counts for the list.
    variant
        At least two.
    """

    name: Name
    tenant: str = "default"
    salt: str | None = Field(default=None, max_length=256)
    scenario: tuple[Name, ...] = ()
    share: float = Field(default=1.0, gt=0, le=1)
    method: Literal["ab", "team-draft", "probabilistic"] = "ab"
    goal: tuple[Name, ...] = ()
    effect: float = Field(default=0.1, gt=0, le=100)
    window: float = Field(default=3600.0, gt=0, le=30 * 86400)
    variant: tuple[Variant, ...] = Field(min_length=2, max_length=16)

    @model_validator(mode="after")
    def _sound(self) -> Self:
        if len({v.name for v in self.variant}) < len(self.variant):
            raise ValueError("two variants have the same name")
        if self.method != "ab" and (len(self.variant) != 2 or any(v.name == INTERLEAVED for v in self.variant)):
            raise ValueError(f"lists are joined from exactly two variants, none of them named {INTERLEAVED!r}")
        return self

    def assign(self, unit: str) -> Variant | None:
        """The variant of a unit; ``None`` where it takes no part."""
        joins, place = positions(self.salt if self.salt is not None else self.name, unit)
        if joins >= self.share:
            return None
        rest = place * sum(v.weight for v in self.variant)
        for variant in self.variant:
            rest -= variant.weight
            if rest < 0:
                return variant
        return self.variant[-1]


class Plan(_Part):
    """The experiments of a service: what ``--experiments FILE`` holds.

    Parameters
    ----------
    experiment
        In the order in which they take units.
    """

    experiment: tuple[Experiment, ...] = Field(default=(), max_length=64)

    @model_validator(mode="after")
    def _sound(self) -> Self:
        names = [(e.tenant, e.name) for e in self.experiment]
        if len(set(names)) < len(names):
            raise ValueError("two experiments have the same name")
        return self


def read_plan(path: str | Path) -> Plan:
    """The experiments that a TOML file describes.

    Raises
    ------
    ConfigError
        If the file cannot be read or says what is not known; it names the place.
    """
    return read_toml(path, Plan, "docs/how-to/experiments.md")


def positions(salt: str, unit: str) -> tuple[float, float]:
    """Two independent uniform numbers in [0, 1) that a salt and a unit always have: one for the share, one for it all.

    They are halves of a 128-bit hash, so that a larger share moves nobody from one variant to another.
    """
    found = hashlib.blake2b(f"{salt}\0{unit}".encode("utf-8", "surrogatepass"), digest_size=16).digest()
    return int.from_bytes(found[:8]) / 2**64, int.from_bytes(found[8:]) / 2**64


@dataclass
class Arm:
    """A variant in service."""

    variant: Variant
    engine: Engine
    file: PipelineFile | None

    def stages(self) -> PipelineFile | None:
        """Its stages over the model that is in service now; ``None`` for those of its engine.

        Raises
        ------
        HoneyguideError
            If they do not fit it.
        """
        stock = self.engine.live.stock
        if self.file is not None and self.file.stock is not stock:
            self.file = self.file.over(stock)
        return self.file


@dataclass
class Running:
    """An experiment with its variants in service."""

    config: Experiment
    arms: dict[str, Arm]


@dataclass
class Experiments:
    """What runs; the file is read again when it changes, and a broken one leaves the last good one in use.

    Parameters
    ----------
    path
        TOML; ``None`` for no experiments.
    engines
        Of the service, by tenant.

    Raises
    ------
    HoneyguideError
        If the file, or a pipeline or a model that it names, cannot be used when it is first read.
    """

    path: Path | None
    engines: dict[str, Engine]
    broken: HoneyguideError | None = None  # the file, since its last change
    running: dict[str, list[Running]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._unfit: dict[str, HoneyguideError] = {}  # by experiment: stages that do not fit the model of now
        self._stamp = file_stamp(self.path)
        if self.path is not None:
            self._load()

    @property
    def fault(self) -> HoneyguideError | None:
        """What keeps experiments from running as they are written."""
        running = chain.from_iterable(self.running.values())
        files = [arm.file for one in running for arm in one.arms.values()]
        stages = [file.fault for file in files if file is not None and file.fault is not None]
        return next((error for error in (self.broken, *self._unfit.values(), *stages) if error is not None), None)

    def refresh(self) -> bool:
        """Read the file again if it has changed; whether what runs is another thing now."""
        stamp = file_stamp(self.path)
        if self.path is None or stamp == self._stamp:
            return False
        self._stamp = stamp
        try:
            self._load()
        except HoneyguideError as error:
            self.broken = error
            _LOG.warning("%s is not taken up, the experiments before go on: %s", self.path, error)
            return False
        self.broken = None
        return True

    def answer(
        self, engine: Engine, user_id: str | None, unit: str, seed: str, force: Trial | None, ask: Ask
    ) -> Answer:
        """The list for a request, by the variant of its unit.

        Parameters
        ----------
        engine
            Of the tenant.
        user_id
            For whom, where that is known.
        unit
            The user's id, else the visit's, else empty: then nothing is assigned.
        seed
            What is random in the list depends on it alone.
        force
            A variant whatever the unit; its list is not logged.
        ask
            What else :meth:`Engine.recommend` is asked with.

        Raises
        ------
        ConfigError
            If the forced variant does not run.
        """
        found = self._forced(engine, force) if force is not None else self._assigned(engine, unit, str(ask["scenario"]))
        if found is None:
            return replace(engine.recommend(user_id, seed=seed, **ask), unit=unit)
        running, trial, ready = found
        if trial.variant in ready:
            arm, stages = ready[trial.variant]
            made = arm.engine.recommend(user_id, seed=seed, stages=stages, **ask)
            return replace(made, unit=unit, trial=trial)
        (first, a), (second, b) = ready.values()
        one = first.engine.recommend(user_id, stages=a, **ask)
        other = second.engine.recommend(user_id, stages=b, **ask)
        method: Method = "team-draft" if running.config.method == "team-draft" else "probabilistic"
        return replace(_joined(method, seed, one, other, second.engine), unit=unit, trial=trial)

    def _assigned(self, engine: Engine, unit: str, scenario: str) -> _Chosen | None:
        for running in self.running.get(engine.tenant, ()) if unit else ():
            config = running.config
            if config.scenario and scenario not in config.scenario:
                continue
            variant = config.assign(unit)
            if variant is not None:
                name = variant.name if config.method == "ab" else INTERLEAVED
                return self._ready(running, Trial(config.name, name))
        return None

    def _forced(self, engine: Engine, force: Trial) -> _Chosen | None:
        for running in self.running.get(engine.tenant, ()):
            if running.config.name == force.experiment and force.variant in running.arms:
                return self._ready(running, force)
        raise ConfigError(f"no variant {force.experiment}/{force.variant} runs.", "See GET /v1/experiments.")

    def _ready(self, running: Running, trial: Trial) -> _Chosen | None:
        name = running.config.name
        try:
            ready = {arm: (one, one.stages()) for arm, one in running.arms.items()}
        except HoneyguideError as error:  # a new model that the stages do not fit: nobody is in the experiment
            self._unfit[name] = error
            return None
        self._unfit.pop(name, None)
        return running, trial, ready

    def _load(self) -> None:
        assert self.path is not None
        plan, folder = read_plan(self.path), self.path.parent
        beside: dict[tuple[str, Path], Engine] = {
            (tenant, other.directory): other for tenant, engine in self.engines.items() for other in engine.beside
        }
        running: dict[str, list[Running]] = {tenant: [] for tenant in self.engines}
        for config in plan.experiment:
            engine = self.engines.get(config.tenant)
            if engine is None:
                raise ConfigError(f"{self.path}: {config.name}: there is no tenant {config.tenant!r}.", "Name another.")
            arms = {v.name: _arm(v, engine, folder, beside) for v in config.variant}
            running[config.tenant].append(Running(config, arms))
        self.running, self._unfit = running, {}
        for tenant, engine in self.engines.items():
            used = {id(arm.engine): arm.engine for one in running[tenant] for arm in one.arms.values()}
            engine.beside = tuple(other for other in used.values() if other is not engine)


_Chosen = tuple[Running, Trial, dict[str, tuple[Arm, PipelineFile | None]]]


def _arm(variant: Variant, engine: Engine, folder: Path, beside: dict[tuple[str, Path], Engine]) -> Arm:
    own = engine
    if variant.model is not None:
        key = (engine.tenant, folder / variant.model)
        own = beside.get(key) or Engine(engine.tenant, folder / variant.model, engine.store, lists=engine.lists)
        beside[key] = own
        if own.live.fallback:
            raise ConfigError(f"{variant.name}: no model can be read in {variant.model}.", "Name another folder.")
    file = PipelineFile(folder / variant.pipeline, own.live.stock) if variant.pipeline is not None else None
    return Arm(variant, own, file)


def _joined(method: Method, seed: str, one: Answer, other: Answer, engine: Engine) -> Answer:
    """Two answers as one, in the codes of the first; what the first knows to be seen does not come from the second."""
    order = other.order
    if other.live is not one.live:
        codes = engine.codes(engine.ids(other.live, order.items), one.live)
        seen = np.concatenate([one.person.liked, one.person.hidden])
        known = (codes >= 0) & ~np.isin(codes, seen)
        order = Order(codes[known], order.scores[known], order.trace)
    made, drawn = interleave(one.order, order, method, seed)
    return replace(one, order=made, drawn=drawn)
