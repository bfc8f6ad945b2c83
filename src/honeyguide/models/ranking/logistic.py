"""Logistic regression on features: the linear floor of predicting clicks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
from pydantic import Field
from scipy.optimize import minimize
from scipy.special import expit

from honeyguide.core import artifact
from honeyguide.core.dataset import Dataset
from honeyguide.core.fitting import FitOptions, ModelConfig
from honeyguide.core.ragged import FloatArray, IntArray, Ragged
from honeyguide.core.recommender import Recommender
from honeyguide.core.resources import Estimate
from honeyguide.metrics.predictive import log_loss
from honeyguide.models.ranking.calibration import Calibration, Method, sampling_correction
from honeyguide.models.ranking.examples import Events, is_labelled, later_events, train_events
from honeyguide.models.ranking.features import DERIVED, Encoded, Features


class LogisticConfig(ModelConfig):
    """Options of :class:`Logistic`.

    Parameters
    ----------
    ridges
        Weights of the squared norm, in events; the best log-loss on valid is chosen, the first without valid.
    context
        Columns of the interactions that are known before the outcome, to be read as features.
    negatives
        Items drawn for each event where the log holds only what was liked.
    iterations
        Of L-BFGS.
    calibration
        On valid: ``"platt"``, ``"temperature"`` or ``"none"``.
    """

    ridges: tuple[float, ...] = Field(default=(3.0, 1.0, 10.0, 30.0), min_length=1)
    context: tuple[str, ...] = ()
    negatives: int = Field(default=4, ge=1)
    iterations: int = Field(default=200, ge=1)
    calibration: Method = "platt"


class Logistic(Recommender):
    """``p = sigmoid(b + w_j + w' [item, user, context, history length, popularity, trend])``.

    ``w_j`` is a weight of the item itself. A user known by the history alone has the features "unknown", and
    then the order of the items is the same for everybody: what a ranker adds to it is personal taste.
    """

    name = "logistic"
    Config = LogisticConfig
    config: LogisticConfig
    scale = "probability"

    def estimate(self, data: Dataset) -> Estimate:
        """The design matrix: a dozen entries an event, in two orders, and a pass over it for every step and ridge."""
        events = data.select("train", "valid").interactions.height
        examples = events * (1 if is_labelled(data) else 1 + self.config.negatives)
        passes = 2.0 * self.config.iterations * len(self.config.ridges)
        return Estimate(600.0 * examples + 1e8, 1e-5 * events + 2e-8 * examples * passes)

    def _fit(self, data: Dataset, options: FitOptions) -> None:
        c, rng = self.config, np.random.default_rng(self.config.seed)
        events, valid = train_events(data, rng), later_events(data, "valid")
        self.features = Features.fit(data, events.before, c.context)
        correction = 0.0
        if not is_labelled(data) and data.n_items > 1:
            events, valid = (e.with_negatives(c.negatives, data.n_items, rng) for e in (events, valid))
            correction = sampling_correction(c.negatives, data.n_items)
        design = self._design(data, events, "train")
        held_out = self._design(data, valid, "valid")
        best = np.inf
        for ridge in c.ridges if len(valid) else c.ridges[:1]:
            weights = _minimise(design, events.labels, ridge, c.iterations)
            loss = log_loss(valid.labels, expit(held_out @ weights)) if len(valid) else 0.0
            self.report.search.append({"ridge": ridge, "log_loss": loss})
            if loss < best:
                best, self.weights = loss, weights.astype(np.float32)
        self.calibration = Calibration.fit(held_out @ self.weights, valid.labels, c.calibration, correction)

    def _design(self, data: Dataset, events: Events, part: str) -> sp.csr_matrix:
        """``[n, F]``: item and its features, derived, user, context, 1; events of train do not count themselves."""
        spec = self.features.spec
        own = np.where(events.sampled, np.float32(0), np.float32(1)) if part == "train" else 0.0
        derived = self.features.derived(events.before, events.items, own)
        users = spec.users.encode(data.users).take(events.users)
        context = spec.context.encode(data.select(part).interactions).take(events.rows)
        return sp.hstack(
            [self._catalogue()[events.items], sp.csr_matrix(derived), self._rest(users, context)], format="csr"
        )

    def _catalogue(self) -> sp.csr_matrix:
        """``[n_items, n_items + ...]``: each item itself and its features."""
        own = sp.identity(len(self.features.items), np.float32, format="csr")
        return sp.hstack([own, self.features.items.to_csr(self.features.spec.items.size)], format="csr")

    def _rest(self, users: Encoded, context: Encoded) -> sp.csr_matrix:
        spec = self.features.spec
        one = sp.csr_matrix(np.ones((len(users), 1), np.float32))
        return sp.hstack([users.to_csr(spec.users.size), context.to_csr(spec.context.size), one], format="csr")

    def score_histories(self, histories: Ragged, users: IntArray | None = None) -> FloatArray:
        """float32 ``[n, n_items]``: probabilities for users of whom only the history is known."""
        spec, n_items = self.features.spec, len(self.features.items)
        catalogue = self._catalogue()
        at = catalogue.shape[1]
        derived, rest = self.weights[at : at + len(DERIVED)], self.weights[at + len(DERIVED) :]
        lengths = np.bincount(histories.rows[histories.values >= 0], minlength=len(histories))
        nobody = self._rest(spec.users.nothing(1), spec.context.nothing(1)) @ rest  # [1]
        dense = self.features.derived(np.zeros(n_items, np.int64), np.arange(n_items, dtype=np.int32))
        items = catalogue @ self.weights[:at] + dense[:, 1:] @ derived[1:] + nobody  # [n_items]
        length = self.features.derived(lengths, np.zeros(len(lengths), np.int32))[:, 0] * derived[0]  # [n]
        return self.calibration.probabilities(items[None, :] + length[:, None])

    def score_events(self, data: Dataset, part: str = "test") -> FloatArray:
        """Probabilities of the events of ``part``, with the features of their users and contexts."""
        self._fitted()
        logits = self._design(data, later_events(data, part), part) @ self.weights
        return self.calibration.probabilities(logits.astype(np.float32))

    def _state(self) -> tuple[artifact.Arrays, dict[str, Any]]:
        arrays, spec = self.features.pack()
        return {**arrays, "weights": self.weights}, {"features": spec, "calibration": self.calibration.pack()}

    def _restore(self, arrays: Mapping[str, npt.NDArray[Any]], meta: dict[str, Any]) -> None:
        self.features = Features.unpack(arrays, meta["features"])
        self.weights = arrays["weights"]
        self.calibration = Calibration(**meta["calibration"])

    @property
    def n_parameters(self) -> int:
        """Weights."""
        return len(self.weights)


def _minimise(design: sp.csr_matrix, labels: FloatArray, ridge: float, iterations: int) -> npt.NDArray[np.float64]:
    """Weights of least ``sum log-loss + ridge / 2 |w|^2``; the last column, of ones, is not held back."""
    design = design.astype(np.float64)
    transposed, y = design.T.tocsr(), labels.astype(np.float64)
    held = np.full(design.shape[1], ridge)
    held[-1] = 0.0

    def loss(w: npt.NDArray[np.float64]) -> tuple[float, npt.NDArray[np.float64]]:
        z = design @ w
        value = np.logaddexp(0, z).sum() - y @ z + 0.5 * held @ w**2
        return float(value), transposed @ (expit(z) - y) + held * w

    found = minimize(loss, np.zeros(design.shape[1]), jac=True, method="L-BFGS-B", options={"maxiter": iterations})
    weights: npt.NDArray[np.float64] = found.x
    return weights
