"""The stages in their order, with a trace of what each took and did."""

from __future__ import annotations

import copy
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Any, Literal

import numpy as np

from honeyguide.core.errors import ConfigError, HoneyguideError
from honeyguide.core.ragged import FloatArray, IntArray
from honeyguide.pipeline.asked import Asked, Pool, allowed
from honeyguide.pipeline.config import Diversify, PipelineConfig, Rank, Retrieve, Rule, read_pipeline
from honeyguide.pipeline.diversify import dpp, mmr, spread
from honeyguide.pipeline.retrieve import rank, retrieve
from honeyguide.pipeline.rules import boost, pin
from honeyguide.pipeline.stock import Stock

_LOG = logging.getLogger("honeyguide.pipeline")
_FEW = 20_000  # items that can be looked at within half a millisecond


@dataclass(frozen=True)
class Step:
    """What one stage did.

    Parameters
    ----------
    stage
        Its name.
    milliseconds
        Wall time.
    before, after
        Candidates.
    effect
        What it changed, JSON-able.
    """

    stage: str
    milliseconds: float
    before: int
    after: int
    effect: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Order:
    """The answer to a request: every candidate in its order, of which pages are cut.

    Parameters
    ----------
    items, scores
        int32 and float32 ``[c]``, best first.
    trace
        One entry a stage.
    """

    items: IntArray
    scores: FloatArray
    trace: tuple[Step, ...]

    def page(self, number: int, size: int) -> tuple[IntArray, FloatArray]:
        """Items and scores of a page, from 0; empty behind the end."""
        rows = slice(number * size, (number + 1) * size)
        return self.items[rows], self.scores[rows]


class Pipeline:
    """A pipeline over a stock.

    Parameters
    ----------
    config
        The stages.
    stock
        What it draws on.

    Raises
    ------
    ConfigError, DataError
        If a rule does not fit the item table, or a stage needs what the model or the table has not.
    """

    def __init__(self, config: PipelineConfig, stock: Stock) -> None:
        self.config, self.stock = config, stock
        self._others: dict[str, Pipeline] = {}
        for rule in config.rules:
            text = rule.filter or rule.boost
            if text is not None:
                stock.mask(text)
            if rule.pin is not None and (stock.ids.encode(list(rule.pin)) < 0).any():
                unknown = [str(n) for n, c in zip(rule.pin, stock.ids.encode(list(rule.pin)), strict=True) if c < 0]
                raise ConfigError(f"the pinned item {unknown[0]!r} is not in the catalogue.", "Correct the rule.")
        for source in config.retrieve:
            if source.by is not None:
                stock.order_by(source.by)
            if source.source == "similar":
                stock.model.require("similar")
        if config.diversify.method != "none" and config.diversify.by == "model":
            _ = stock.model_vectors
        if config.reads_text:
            _ = stock.text_vectors

    def instead(self, source: Literal["popular", "latest"]) -> Pipeline:
        """The same rules over what is popular or was added last: for those of whom the model knows nothing."""
        if source not in self._others:
            plain = {"retrieve": (Retrieve(source=source, n=500),), "rank": Rank(by="fusion"), "diversify": Diversify()}
            self._others[source] = Pipeline(self.config.model_copy(update=plain), self.stock)
        return self._others[source]

    def pinned(self, asked: Asked) -> IntArray:
        """Codes of what the rules that hold for a request pin."""
        pins = [rule.pin for rule in (*self.config.rules, *asked.rules) if rule.pin and asked.holds(rule.scenario)]
        return self.stock.ids.encode([name for pin in pins for name in pin])

    def is_quick(self, scenario: str) -> bool:
        """Whether a request costs a fraction of a millisecond: nothing in it looks at many items, or pairs of them."""
        how = self.config.diversify
        if how.method != "none" and (not how.scenario or scenario in how.scenario):
            return False
        by_product = self.stock.item_vectors is not None
        few = by_product and (self.stock.near is not None or len(self.stock) <= _FEW)
        return all(s.source == "popular" or (s.source == "model" and few) for s in self.config.retrieve)

    def run(self, asked: Asked) -> Order:
        """All candidates of a request in order."""
        config, steps = self.config, _Steps()
        rules = [rule for rule in (*config.rules, *asked.rules) if asked.holds(rule.scenario)]
        with steps.step("filter", len(asked.stock)) as done:
            may = allowed(asked, rules)
            done(may.count, conditions=[r.filter for r in rules if r.filter is not None])
        sources: dict[str, IntArray] = {}
        known: FloatArray | None = None
        for number, source in enumerate(config.retrieve):
            with steps.step(f"retrieve {source.source}", may.count) as done:
                name = source.source if source.source not in sources else f"{source.source} {number + 1}"
                sources[name], known = retrieve(asked, source, may)
                done(len(sources[name]))
        with steps.step(f"rank by {config.rank.by}", sum(map(len, sources.values()))) as done:
            pool = rank(asked, sources, config.rank, known)
            done(len(pool))
        for rule in rules:
            if rule.boost is not None:
                with steps.step("boost", len(pool)) as done:
                    pool, hit = boost(asked, pool, rule)
                    done(len(pool), condition=rule.boost, weight=rule.weight, items=hit)
        pool = self._diversified(asked, pool, steps)
        if any(rule.pin is not None for rule in rules):
            with steps.step("pin", len(pool)) as done:
                pool, missing = pin(asked, pool, rules)
                done(len(pool), unknown=missing)
        return Order(pool.items, pool.scores, tuple(steps.taken))

    def _diversified(self, asked: Asked, pool: Pool, steps: _Steps) -> Pool:
        how = self.config.diversify
        if how.method == "none" or not asked.holds(how.scenario) or len(pool) < 2:
            return pool
        with steps.step(f"diversify by {how.method}", len(pool)) as done:
            vectors = (self.stock.model_vectors if how.by == "model" else self.stock.text_vectors)[pool.items]
            reorder = mmr if how.method == "mmr" else dpp
            first = reorder(spread(pool.scores), vectors, min(how.depth, len(pool)), how.weight)
            rest = np.setdiff1d(np.arange(len(pool)), first)  # rising: in the order they had
            top = self.config.page
            before, after = vectors[:top], vectors[first[:top]]
            done(len(pool), likeness_before=_likeness(before), likeness_after=_likeness(after))
            return pool.take(np.concatenate([first, rest]))


def _likeness(vectors: FloatArray) -> float:
    """Mean cosine between two of a page."""
    n = len(vectors)
    if n < 2:
        return 0.0
    whole = vectors @ vectors.T
    return round(float((whole.sum() - np.trace(whole)) / (n * (n - 1))), 4)


class _Steps:
    """Collects the trace."""

    def __init__(self) -> None:
        self.taken: list[Step] = []

    def step(self, stage: str, before: int) -> _Stage:
        """Time a stage; the block calls what it is given with the candidates that are left, and what it changed."""
        return _Stage(self.taken, stage, before)


class _Stage:
    """One stage under way: a context, and what is called at its end."""

    def __init__(self, taken: list[Step], stage: str, before: int) -> None:
        self._taken, self._stage, self._before = taken, stage, before
        self._after, self._effect = before, dict[str, Any]()

    def __call__(self, after: int, **effect: Any) -> None:
        self._after, self._effect = after, effect

    def __enter__(self) -> _Stage:
        self._started = time.perf_counter()
        return self

    def __exit__(self, *failure: object) -> None:
        if failure[0] is None:
            took = round(1000 * (time.perf_counter() - self._started), 3)
            self._taken.append(Step(self._stage, took, self._before, self._after, self._effect))


class PipelineFile:
    """A pipeline read from a file and again when the file changes; a broken file leaves the last good one in use.

    Parameters
    ----------
    path
        TOML; ``None`` for the default pipeline.
    stock
        What it draws on.
    look_every
        Seconds between looks at the file.

    Raises
    ------
    ConfigError, DataError
        If the file is broken when it is first read.
    """

    def __init__(self, path: Path | None, stock: Stock, look_every: float = 1.0) -> None:
        self.path, self.look_every = path, look_every
        self.fault: HoneyguideError | None = None  # of the last change, until the file is put right
        self._lock, self._looked, self._stamp = Lock(), time.monotonic(), file_stamp(self.path)
        self._pipeline = Pipeline(read_pipeline(path) if path is not None else PipelineConfig(), stock)

    @property
    def current(self) -> Pipeline:
        """The pipeline in use."""
        if self.path is None or time.monotonic() - self._looked < self.look_every:
            return self._pipeline
        with self._lock:
            self._looked = time.monotonic()
            stamp = file_stamp(self.path)
            if stamp != self._stamp:
                self._stamp = stamp
                try:
                    self._pipeline = Pipeline(read_pipeline(self.path), self._pipeline.stock)
                    self.fault = None
                except HoneyguideError as error:
                    self.fault = error
                    _LOG.warning("%s is not taken up, the one before stays in use: %s", self.path, error)
        return self._pipeline

    @property
    def stock(self) -> Stock:
        """What the pipeline in use draws on."""
        return self._pipeline.stock

    def over(self, stock: Stock) -> PipelineFile:
        """The same file and the same last good pipeline, over another stock."""
        found = copy.copy(self)
        found._lock, found._pipeline = Lock(), Pipeline(self._pipeline.config, stock)
        return found


def file_stamp(path: Path | None) -> tuple[int, int] | None:
    """What changes when a file does: its time in nanoseconds and its bytes; ``None`` where there is none."""
    try:
        found = path.stat() if path is not None else None
    except OSError:
        return None
    return (found.st_mtime_ns, found.st_size) if found is not None else None


def request_rules(filters: Sequence[str]) -> tuple[Rule, ...]:
    """Rules of one request from conditions."""
    return tuple(Rule(filter=text) for text in filters)
