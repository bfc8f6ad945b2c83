"""Replay: a labelled log is served again in the order of time. Predict, then learn how it turned out, then go on.

Metrics are prequential: every event is predicted by a model that has seen what was known before its chunk, and
nothing of the chunk. Outcomes become known when their chunk is over.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from honeyguide.core.dataset import Dataset
from honeyguide.core.errors import CapabilityError, ConfigError, DataError
from honeyguide.core.fitting import FitOptions
from honeyguide.core.plugged import Plugged
from honeyguide.core.plugin import Receipt
from honeyguide.core.ragged import FloatArray, IntArray
from honeyguide.core.recommender import Recommender
from honeyguide.core.resources import Stopwatch
from honeyguide.data.columns import naming
from honeyguide.data.splits import global_time
from honeyguide.experiment.settings import build_model, check_by_model
from honeyguide.metrics.predictive import auc, gauc, log_loss

Index = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Replay:
    """What was served, event by event in the order of time.

    Parameters
    ----------
    users
        int32 ``[n]``.
    labels
        float32 ``[n]``, 0 or 1.
    plain, served
        float32 ``[n]``: scores without and with plug-ins, at the time they were asked for.
    chunks
        int64 ``[n]``, from 0.
    cpu_seconds
        Of the whole replay.
    """

    users: IntArray
    labels: FloatArray
    plain: FloatArray
    served: FloatArray
    chunks: Index
    cpu_seconds: float

    def metrics(self, scores: str = "served", rows: slice | npt.NDArray[np.bool_] = slice(None)) -> dict[str, float]:
        """AUC, GAUC and log-loss of ``plain`` or ``served`` scores over the events at ``rows``."""
        y, p = self.labels[rows], getattr(self, scores)[rows]
        return {"auc": auc(y, p), "gauc": gauc(y, p, self.users[rows]), "log_loss": log_loss(y, p)}

    def by_chunk(self, scores: str = "served") -> list[dict[str, float]]:
        """The metrics of every chunk; NaN where it has one class only."""
        return [self.metrics(scores, self.chunks == chunk) for chunk in range(int(self.chunks.max(initial=-1)) + 1)]


class Stream:
    """The events of one part of a data set in the order of time, by chunks, each with what came before it.

    Parameters
    ----------
    data
        Labelled, with a time for every event.
    part
        Whose events are streamed; those of the parts before it are the past of all.
    chunk
        Events in a chunk.

    Raises
    ------
    DataError
        If labels or times are missing, or the part has no events.
    """

    def __init__(self, data: Dataset, part: str = "test", chunk: int = 500) -> None:
        if chunk < 1:
            raise ConfigError(f"a chunk of {chunk} events is none.", "Ask for one event or more.")
        frame = data.interactions
        if "positive" not in frame.columns:
            raise DataError("the events are not labelled.", "Say which are: --positive 'rating >= 4'.")
        if "timestamp" not in frame.columns or frame["timestamp"].null_count():
            raise DataError("a replay goes by time, and not every event has one.", f"Name one: {naming('timestamp')}.")
        if part not in data.parts:
            raise DataError(
                f"{data.name} has no part {part!r}.", "Split it by time: 'honeyguide data split --by global-time'."
            )
        self.data, self.chunk = data, chunk
        split = frame["split"].to_numpy()
        self._before = np.isin(split, data.parts[: data.parts.index(part)])
        rows = np.flatnonzero(split == part)
        self.order: Index = rows[np.argsort(frame["timestamp"].to_numpy()[rows], kind="stable")]

    def __len__(self) -> int:
        return -(-len(self.order) // self.chunk)

    def window(self, first: int, last: int) -> tuple[Dataset, Index]:
        """Chunks ``first`` to ``last`` (excluded) as the part ``test``, all before them as ``train``.

        Returns
        -------
        data
            The data set of that moment; nothing later is in it.
        order
            int64: which events of its part ``test`` come first, second, ...
        """
        start, end = first * self.chunk, min(last * self.chunk, len(self.order))
        part = np.full(self.data.interactions.height, "", dtype=object)
        part[self._before] = part[self.order[:start]] = "train"
        now = self.order[start:end]
        part[now] = "test"
        split = pl.Series("split", part.tolist(), pl.String)
        frame = self.data.interactions.with_columns(split).filter(split != "")
        place = np.empty(len(now), np.int64)
        place[np.argsort(now)] = np.arange(len(now))  # of each event among those of the part, which keep their rows
        return replace(self.data, interactions=frame), place

    def __iter__(self) -> Iterator[tuple[Dataset, Index]]:
        return (self.window(chunk, chunk + 1) for chunk in range(len(self)))


def replay(
    model: Recommender,
    data: Dataset,
    *,
    part: str = "test",
    chunk: int = 500,
    learn_every: int = 0,
    lr: float | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Replay:
    """Serve ``part`` in the order of time with a fitted model, which is not changed: a copy of it learns.

    Parameters
    ----------
    model
        Scores must be probabilities. With plug-ins that observe (:class:`~honeyguide.core.plugin.Plugin`), these
        are told the outcomes of every chunk.
    data, part, chunk
        As for :class:`Stream`.
    learn_every
        Chunks after which the model is fine-tuned on the events since the last time; 0 for never.
    lr
        Learning rate of it; that of the fit by default.
    progress
        Is told the chunk and their number.

    Raises
    ------
    CapabilityError
        If the model cannot learn from events and shall.
    DataError
        As for :class:`Stream`.
    """
    if learn_every and not hasattr(model, "learn_events"):
        raise CapabilityError(
            f"{model.name} cannot be fine-tuned on events.", "Take one with the state 'events', such as din."
        )
    stream, model = Stream(data, part, chunk), copy.deepcopy(model)
    found: list[tuple[npt.NDArray[Any], ...]] = []
    with Stopwatch() as watch:
        for number, (now, order) in enumerate(stream):
            if progress is not None:
                progress(number, len(stream))
            found.append((*_serve(model, now, order), np.full(len(order), number)))
            if learn_every and (number + 1) % learn_every == 0 and number + 1 < len(stream):
                period, _ = stream.window(number + 1 - learn_every, number + 1)
                model.learn_events(period, "test", lr=lr, seed=number)  # type: ignore[attr-defined]
    users, labels, plain, served, chunks = (np.concatenate(column) for column in zip(*found, strict=True))
    return Replay(users, labels, plain, served, chunks, watch.cpu)


def _serve(model: Recommender, now: Dataset, order: Index) -> tuple[npt.NDArray[Any], ...]:
    """Users, labels, plain and served scores of the chunk ``now``, whose outcomes are told last."""
    frame = now.select("test").interactions[order]
    users, labels = frame["user"].to_numpy(), frame["positive"].to_numpy().astype(np.float32)
    if not isinstance(model, Plugged) or "events" not in model.states:
        scores = model.score_events(now, "test")[order]
        return users, labels, scores, scores
    receipt = model.receipt(now, "test")
    receipt = Receipt(receipt.hidden[order], receipt.scores[order])
    served = model.adjusted(receipt).copy()
    model.observe(labels, receipt)
    return users, labels, receipt.scores, served


def replay_models(
    data: Dataset,
    models: Sequence[str],
    *,
    chunk: int = 500,
    learn_every: int = 0,
    settings: Mapping[str, Mapping[str, Any]] | None = None,
    options: FitOptions | None = None,
    progress: Callable[[str, int, int], None] | None = None,
) -> dict[str, Any]:
    """Fit every model on the past of ``data`` and replay the rest.

    Parameters
    ----------
    data
        Labelled, with times. Without a split by time, half of it is train, a tenth valid and the rest is replayed.
    models
        Names.
    chunk, learn_every
        As for :func:`replay`; models that can learn from events are replayed with and without.
    settings
        Options of each model.
    options
        As for :meth:`honeyguide.Recommender.fit`.
    progress
        Is told the model, the chunk and their number.

    Returns
    -------
    dict
        JSON-able: ``{"dataset", "n_events", "chunk", "learn_every", "rows": [{"model", "learns", "metrics",
        "plain", "chunks", "cpu_seconds"}]}``; ``plain`` are the metrics without plug-ins.
    """
    check_by_model(settings or {}, models, "replayed")
    data = data if "test" in data.parts else global_time(data, valid=0.1, test=0.4)
    n, rows = 0, []
    for name in models:
        model = build_model(name, dict((settings or {}).get(name, {}))).fit(data, options)
        can = bool(learn_every) and hasattr(model, "learn_events") and "events" in model.states
        for every in (0, learn_every) if can else (0,):
            tell = None if progress is None else _named(progress, name)
            found = replay(model, data, chunk=chunk, learn_every=every, progress=tell)
            n = len(found.labels)
            rows.append(
                {
                    "model": name,
                    "learns": bool(every),
                    "metrics": found.metrics(),
                    "plain": found.metrics("plain"),
                    "chunks": found.by_chunk(),
                    "cpu_seconds": {"fit": model.report.cpu_seconds, "replay": found.cpu_seconds},
                }
            )
    return {"dataset": data.name, "n_events": n, "chunk": chunk, "learn_every": learn_every, "rows": rows}


def _named(progress: Callable[[str, int, int], None], name: str) -> Callable[[int, int], None]:
    return lambda number, total: progress(name, number, total)
