"""Rel-MF: examples weighed by clipped inverse propensities, so that relevance is learnt (Saito et al., WSDM 2020)."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from honeyguide.core.dataset import Dataset
from honeyguide.core.plugin import Plugin, PluginConfig
from honeyguide.core.ragged import FloatArray, IntArray
from honeyguide.core.recommender import Recommender
from honeyguide.core.resources import Estimate
from honeyguide.nn.forward import Forward, Weights
from honeyguide.plugins import propensities
from honeyguide.plugins.propensities import Propensities, kept


class RelMFConfig(PluginConfig):
    """Options of :class:`RelMF`.

    Parameters
    ----------
    propensity
        ``"popularity"``: ``(n_i / max n)^power`` of train; ``"logged"``: read from the data; ``"exposure"``: a
        logistic matrix factorisation of what was seen, to the power ``power``.
    power
        See there.
    column
        Of the interactions, or of the table ``propensities``, where they were logged.
    clip
        M: propensities below are taken for M. Bias grows with it and variance falls; 0 is the unbiased estimate.
    dim
        Width of the factors of ``"exposure"``.
    judge
        Whether epochs are judged by the self-normalised metric too: held-out items weigh ``1 / max(theta, least)``.
    least
        See there.
    """

    propensity: Literal["popularity", "logged", "exposure"] = "popularity"
    power: float = Field(0.5, gt=0)
    column: str = "propensity"
    clip: float = Field(0.0, ge=0, le=1)
    dim: int = Field(20, ge=1)
    judge: bool = True
    least: float = Field(0.01, gt=0, le=1)


class RelMF(Plugin):
    """A pair that occurs has a label of 1 / theta in place of 1, theta being the chance that it was shown.

    Then the label's mean is that of relevance. In a pointwise loss, a pair costs ``y/theta l+ + (1 - y/theta) l-``
    (equation 12; the second weight is negative where theta < 1). In one that ranks, a positive pair counts
    ``1 / theta`` times, and one of items i over j ``y_i/theta_i (1 - y_j/theta_j)`` times (Saito, ICTIR 2020).
    """

    name: ClassVar[str] = "rel-mf"
    Config = RelMFConfig
    config: RelMFConfig
    needs: ClassVar[frozenset[str]] = frozenset({"weights"})
    found: Propensities | None = None  # while training; never saved

    seed = 0

    def bind(self, model: Recommender) -> None:
        """Draw with the model's seed."""
        self.seed = model.config.seed

    def transform(self, data: Dataset) -> Dataset:
        """Find the propensities; the data stay."""
        c = self.config
        if c.propensity == "popularity":
            self.found = propensities.popularity(data, c.power)
        elif c.propensity == "logged":
            self.found = propensities.logged(data, c.column)
        else:
            self.found = propensities.exposure(data, c.power, c.dim, self.seed)
        return data

    def weights(self, forward: Forward) -> Weights:
        """``1 / theta`` of the positive examples, times ``1 - y/theta`` of what they are compared with."""
        relevance = 1 / self._theta(forward.users, forward.items)
        if forward.labels is not None:
            relevance = torch.where(forward.labels > 0, relevance, torch.ones_like(relevance))
        if forward.others is not None and forward.taken is not None:
            relevance = relevance * (1 - forward.taken / self._theta(forward.users, forward.others))
        return Weights(relevance=relevance)

    def truth_weights(self, users: IntArray, items: IntArray) -> FloatArray | None:
        """``1 / max(theta, least)``."""
        if not self.config.judge:
            return None
        assert self.found is not None
        return np.asarray(1 / kept(self.found.of(users, items), self.config.least), np.float32)

    def _theta(self, users: Tensor, items: Tensor) -> Tensor:
        """``max(theta, M)`` of pairs, ``[n]``."""
        assert self.found is not None
        theta = self.found.of(users.cpu().numpy(), items.cpu().numpy())
        return torch.from_numpy(np.ascontiguousarray(kept(theta, self.config.clip))).to(users.device)

    def estimate(self, inner: Estimate, data: Dataset) -> Estimate:
        """What ``"exposure"`` is fitted with comes on top."""
        if self.config.propensity != "exposure":
            return inner
        own = propensities.exposure_model(self.config.dim).estimate(data)
        return Estimate(max(inner.memory_bytes, own.memory_bytes), inner.cpu_seconds + own.cpu_seconds)
