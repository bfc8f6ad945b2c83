"""ReLoop2: a memory of recent errors that corrects a model while it serves (Zhu et al., KDD 2023).

A trained network is slow to follow a world that drifts; a memory of where it was wrong lately is not. When the
outcome of an event is known, its error ``e = y - p`` is written under what the network saw in it, its last hidden
layer h; a new event is corrected by the errors of those that looked alike. See ``docs/models/reloop2.md``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field
from scipy.special import expit, logit

from honeyguide.core.artifact import Arrays
from honeyguide.core.dataset import Dataset
from honeyguide.core.plugin import Plugin, PluginConfig, Receipt, Run
from honeyguide.core.ragged import FloatArray
from honeyguide.core.recommender import Recommender
from honeyguide.core.requests import Requests
from honeyguide.core.resources import Estimate
from honeyguide.plugins.error_memory import ErrorMemory

Vector = npt.NDArray[np.float64]

_LEAST = 1e-6  # probability


class ReLoop2Config(PluginConfig):
    """Options of :class:`ReLoop2`.

    Parameters
    ----------
    tables, bits
        R and K of the :class:`~honeyguide.plugins.error_memory.ErrorMemory`.
    decay
        ``gamma``, by which an error fades with every event that is observed after it.
    prior
        ``n_0``, events without error that every bucket is taken to hold: few events say little.
    strengths
        What ``lambda`` is chosen from, on valid and, as outcomes come in, by what would have been best lately. 0 is
        always among them: the kill switch.
    scale
        ``"probability"`` adds to the probability, ``"logit"`` to the log-odds.
    whiten
        Key by the whitened hidden layer (mean and covariance of valid), not by the layer itself.
    ridge
        Share of the mean variance that every direction is taken to have more: 0 makes all count alike, much of it
        leaves them as they are.
    delay
        Events from an answer to its outcome when valid is replayed.
    forget
        Share of the memory that goes when the model inside learns: its errors were those of the old model.
    window
        Events over which strengths are compared.
    seed
        Of the projections.
    """

    tables: int = Field(default=32, ge=1)
    bits: int = Field(default=12, ge=1, le=20)
    decay: float = Field(default=0.998, gt=0, le=1)
    prior: float = Field(default=1.0, ge=0)
    strengths: tuple[float, ...] = Field(default=(0.1, 0.25, 0.5, 0.75, 1.0), min_length=1)
    scale: Literal["probability", "logit"] = "probability"
    whiten: bool = True
    ridge: float = Field(default=0.3, ge=0)
    delay: int = Field(default=100, ge=1)
    forget: float = Field(default=1.0, ge=0, le=1)
    window: int = Field(default=1000, ge=2)
    seed: int = 0


class Strength:
    """Lambda: the candidate whose log-loss over the last events is least; 0 among them is a kill switch.

    Parameters
    ----------
    candidates
        To choose from.
    window
        Events, the time constant of the fading sums.
    """

    def __init__(self, candidates: Sequence[float], window: int) -> None:
        self.candidates, self.window = tuple(sorted({0.0, *candidates})), window
        self.losses = np.zeros(len(self.candidates))  # fading sums

    @property
    def value(self) -> float:
        """The largest of the candidates that did best so far; the largest of all before anything was seen."""
        return self.candidates[int(np.flatnonzero(self.losses <= self.losses.min())[-1])]

    def note(self, losses: Vector) -> None:
        """Take in the losses ``[candidates, n]`` of events, the oldest first."""
        n = losses.shape[1]
        weights = (1.0 - 1.0 / self.window) ** np.arange(n - 1, -1, -1.0)
        self.losses = (1.0 - 1.0 / self.window) ** n * self.losses + losses @ weights


class ReLoop2(Plugin):
    """``p(x) = clip(f(x) + lambda e(x))``, with the mean error e(x) of past events that looked like x.

    What is written are errors of the model, never of the corrected score, or the loop would feed on itself. Where
    a log holds only what was liked no error can be told, and nothing is corrected.
    """

    name = "reloop2"
    Config = ReLoop2Config
    config: ReLoop2Config
    needs = frozenset({"events"})

    def __init__(self, config: PluginConfig | None = None, **overrides: Any) -> None:
        super().__init__(config, **overrides)
        self._forget_all()

    def _forget_all(self) -> None:
        self.strength = Strength(self.config.strengths, self.config.window)
        self.correctable = True  # outcomes of both kinds are known
        self.memory: ErrorMemory | None = None  # made when the first events are seen
        self._mean, self._turn = np.zeros(0, np.float32), np.zeros((0, 0), np.float32)

    def bind(self, model: Recommender) -> None:
        """Remember the model: lists are corrected by what it sees in every item."""
        self.model = model

    # -- while training -----------------------------------------------------------------------

    def after_fit(self, data: Dataset, run: Run) -> None:
        """Replay valid in the order of time; the model's errors stay in the memory."""
        self._forget_all()
        frame = data.select("valid").interactions
        if not frame.height:
            return
        scores, hidden = run.model.hidden(data, "valid")  # type: ignore[attr-defined]
        liked = frame["positive"].to_numpy() if "positive" in frame.columns else np.ones(frame.height)
        labels: FloatArray = liked.astype(np.float32)
        if "timestamp" in frame.columns and not frame["timestamp"].null_count():
            order = np.argsort(frame["timestamp"].to_numpy(), kind="stable")
            scores, hidden, labels = scores[order], hidden[order], labels[order]
        self.correctable = bool(0 < labels.sum() < len(labels))
        if self.correctable:
            self._start(hidden)
            for start in range(0, len(labels), self.config.delay):
                rows = slice(start, start + self.config.delay)
                self.observe(labels[rows], Receipt(hidden[rows], scores[rows]))

    def _start(self, hidden: FloatArray) -> None:
        """An empty memory for keys like ``hidden`` ``[n, w]``, and their mean and whitening."""
        c, (n, width) = self.config, hidden.shape
        self.memory = ErrorMemory(width, c.tables, c.bits, c.decay, c.seed)
        self._mean, self._turn = np.zeros(width, np.float32), np.eye(width, dtype=np.float32)
        if c.whiten and n > width:
            self._mean = hidden.mean(0)
            covariance = np.cov(hidden.T.astype(np.float64)).reshape(width, width)
            ridge = c.ridge * np.trace(covariance) / width + 1e-12
            values, vectors = np.linalg.eigh(covariance + ridge * np.eye(width))
            self._turn = (vectors / np.sqrt(values)).astype(np.float32)

    # -- while serving ------------------------------------------------------------------------

    def adjust_events(self, receipt: Receipt) -> FloatArray:
        """``clip(f + lambda e)`` of every event; the scores as they are while lambda is 0."""
        if not self._correcting:
            return receipt.scores
        return self._add(receipt.scores, self._read(receipt.hidden), self.strength.value)

    def adjust_scores(self, requests: Requests, states: FloatArray | None, scores: FloatArray) -> FloatArray:
        """The same for every item of the catalogue, as the model sees it for each history."""
        if self._correcting:
            for row, history in enumerate(requests.histories):
                hidden = self.model.catalogue_hidden(history)  # type: ignore[attr-defined]
                scores[row] = self._add(scores[row], self._read(hidden), self.strength.value)
        return scores

    def observe(self, labels: FloatArray, receipt: Receipt) -> None:
        """See which lambda would have served these events best, then write the errors ``y - f`` of the model."""
        if not self.correctable:
            return
        if self.memory is None:
            self._start(receipt.hidden[:0])
        errors = self._read(receipt.hidden)
        served = [self._add(receipt.scores, errors, strength) for strength in self.strength.candidates]
        self.strength.note(np.stack([_losses(labels, scores) for scores in served]))
        self._write(labels, receipt)

    def renewed(self) -> None:
        """Forget errors of the model that was: its keys and its errors are others now."""
        if self.memory is not None:
            self.memory.fade(self.config.forget)

    @property
    def _correcting(self) -> bool:
        return self.correctable and self.memory is not None and self.memory.clock > 0 and self.strength.value > 0

    def keys(self, hidden: FloatArray) -> FloatArray:
        """What hidden layers ``[n, w]`` are looked up by: centred and whitened, ``[n, w]``."""
        return np.asarray((hidden - self._mean) @ self._turn, np.float32)  # their length does not matter to a sign

    def _read(self, hidden: FloatArray) -> FloatArray:
        assert self.memory is not None
        prior = self.config.prior * (0.25 if self.config.scale == "logit" else 1.0)  # p (1 - p) at even odds
        return self.memory.read(self.keys(hidden), prior)

    def _write(self, labels: FloatArray, receipt: Receipt) -> None:
        """``N`` counts events; for the logit it sums ``p (1 - p)``, so that S / N is a Newton step of the log-odds."""
        assert self.memory is not None
        p = receipt.scores
        mass = p * (1 - p) if self.config.scale == "logit" else None
        self.memory.write(self.keys(receipt.hidden), (labels - p).astype(np.float32), mass)

    def _add(self, scores: FloatArray, errors: FloatArray, strength: float) -> FloatArray:
        moved = np.asarray(scores + np.float32(strength) * errors, np.float32)
        if self.config.scale == "logit":
            odds = logit(np.clip(scores, _LEAST, 1 - _LEAST)) + strength * errors
            moved = np.asarray(expit(odds), np.float32)
        return np.asarray(np.clip(moved, _LEAST, 1 - _LEAST), np.float32)

    # -- cost and storage ---------------------------------------------------------------------

    def estimate(self, inner: Estimate, data: Dataset) -> Estimate:
        """The tables, and valid read and written once."""
        n = data.select("valid").interactions.height
        tables = 16.0 * (self.config.tables << self.config.bits)
        return Estimate(inner.memory_bytes + tables, inner.cpu_seconds + 1e-5 * n)

    def state(self) -> tuple[Arrays, dict[str, Any]]:
        """What was learnt with the version of the model that it belongs to."""
        meta: dict[str, Any] = {"correctable": self.correctable, "losses": self.strength.losses.tolist()}
        if self.memory is None:
            return {}, meta
        arrays, written = self.memory.state()
        return {**arrays, "mean": self._mean, "turn": self._turn}, {**meta, **written}

    def restore(self, arrays: Mapping[str, npt.NDArray[Any]], meta: dict[str, Any]) -> None:
        """Undo :meth:`state`."""
        self._forget_all()
        self.correctable, self.strength.losses = meta["correctable"], np.array(meta["losses"])
        if "mean" in arrays:
            self._start(np.zeros((0, len(arrays["mean"])), np.float32))
            self._mean, self._turn = np.array(arrays["mean"]), np.array(arrays["turn"])
            assert self.memory is not None
            self.memory.restore(arrays, meta)


def _losses(labels: FloatArray, scores: FloatArray) -> Vector:
    p = np.clip(scores.astype(np.float64), _LEAST, 1 - _LEAST)
    return np.asarray(-(labels * np.log(p) + (1 - labels) * np.log1p(-p)), np.float64)
