"""Item rate: how often an item was liked when it was met. The least that a predictor of clicks must beat."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import Field

from honeyguide.core import artifact
from honeyguide.core.dataset import Dataset
from honeyguide.core.fitting import FitOptions, ModelConfig
from honeyguide.core.ragged import FloatArray, IntArray, Ragged
from honeyguide.core.recommender import Recommender
from honeyguide.metrics.predictive import log_loss
from honeyguide.models.ranking.examples import is_labelled


class ItemRateConfig(ModelConfig):
    """Options of :class:`ItemRate`.

    Parameters
    ----------
    priors
        Numbers of events at the mean rate that every item starts with; the best log-loss on valid is
        chosen, the first where valid cannot tell.
    """

    priors: tuple[float, ...] = Field(default=(10.0, 1.0, 3.0, 30.0, 100.0), min_length=1)


class ItemRate(Recommender):
    """Score of item j = ``(liked_j + prior * mean) / (met_j + prior)``, whoever asks.

    Where the log holds only what was liked, it is the item's share of the events:
    ``(events_j + prior / n_items) / (events + prior)``.
    """

    name = "itemrate"
    Config = ItemRateConfig
    config: ItemRateConfig
    scale = "probability"

    def _fit(self, data: Dataset, options: FitOptions) -> None:
        train = data.select("train").interactions
        liked = data.popularity("train").astype(np.float64)
        met = np.bincount(train["item"].to_numpy(), minlength=data.n_items)
        valid = data.select("valid").interactions
        judged = is_labelled(data) and valid.height > 0
        tried = [self._rates(liked, met, prior, is_labelled(data)) for prior in self.config.priors]
        losses = (
            [log_loss(valid["positive"].to_numpy(), r[valid["item"].to_numpy()]) for r in tried] if judged else [0.0]
        )
        self.rates = tried[int(np.argmin(losses))]
        self.report.search = [
            {"prior": prior, "log_loss": loss} for prior, loss in zip(self.config.priors, losses, strict=False)
        ]

    @staticmethod
    def _rates(liked: npt.NDArray[np.float64], met: npt.NDArray[np.int64], prior: float, labelled: bool) -> FloatArray:
        if labelled:
            rates = (liked + prior * liked.sum() / met.sum()) / (met + prior)
        else:
            rates = (liked + prior / len(liked)) / (liked.sum() + prior)
        return np.asarray(rates, np.float32)

    def score_histories(self, histories: Ragged, users: IntArray | None = None) -> FloatArray:
        """float32 ``[n, n_items]``: the same row for everybody."""
        return np.tile(self.rates, (len(histories), 1))

    def contributions(self, history: IntArray, item: int) -> FloatArray:
        """Zeros: the history plays no part."""
        return np.zeros(len(history), np.float32)

    def _state(self) -> tuple[artifact.Arrays, dict[str, Any]]:
        return {"rates": self.rates}, {}

    def _restore(self, arrays: Mapping[str, npt.NDArray[Any]], meta: dict[str, Any]) -> None:
        self.rates = arrays["rates"]
