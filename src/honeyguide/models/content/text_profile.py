"""Text profile: the items whose text is most like what the user read of late; what any content model must beat."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import polars as pl
from pydantic import Field

from honeyguide.core import artifact
from honeyguide.core.appended import appended
from honeyguide.core.dataset import Dataset
from honeyguide.core.fitting import Change, FitOptions, ModelConfig
from honeyguide.core.ragged import FloatArray, IntArray, Ragged
from honeyguide.core.recommender import Recommender
from honeyguide.core.requests import Recommendations
from honeyguide.core.resources import Estimate
from honeyguide.core.topk import NEVER, top_k
from honeyguide.encode.items import ItemText, encoding_seconds
from honeyguide.encode.text import text_encoder
from honeyguide.metrics.holdout import drawn_users, holdout_ndcg
from honeyguide.models.content.profile_share import LEAST, moved_shares, shares
from honeyguide.models.linear.transitions import recency, recent_events


class TextProfileConfig(ModelConfig):
    """Options of :class:`TextProfile`.

    Parameters
    ----------
    encoder
        See :func:`~honeyguide.encode.text.text_encoder`.
    columns
        Columns of the item table that are read, in order; by default
        :func:`~honeyguide.encode.items.text_columns`.
    decays
        Weights of an event beside the next newer one, of which the best on valid is taken; the first without valid.
    valid_users
        Largest number of users on whom that is judged.
    """

    encoder: str = "auto"
    columns: tuple[str, ...] | None = None
    decays: tuple[float, ...] = Field(default=(0.8, 0.6, 0.9, 1.0), min_length=1)
    valid_users: int = Field(4_000, ge=1)


class TextProfile(Recommender):
    """Score of item j = cosine of t_j and the profile p = sum over the events i of the history of ``decay^age t_i``.

    t is the text of an item as a vector of length one. Nothing else is learnt, so an item without events
    is scored like any other. A history without any text is given the items' share of the training events,
    in millionths: beside a cosine it is nothing.
    """

    name = "text-profile"
    Config = TextProfileConfig
    config: TextProfileConfig
    capabilities: ClassVar[frozenset[str]] = frozenset(
        {"fold_in", "similar", "inner_product", "cold_items", "add_items", "update", "exact_update"}
    )

    text: ItemText
    vectors: FloatArray  # [n_items, dim], zeros where an item has no text
    share: FloatArray  # [n_items], of the training events, in millionths
    events: float  # of the training part
    decay: float

    def estimate(self, data: Dataset) -> Estimate:
        """Texts that are not in the cache are read by the encoder; then one product with all items per decay."""
        encoder = text_encoder(self.config.encoder)
        tested = min(self.config.valid_users, int(np.count_nonzero(data.histories("valid").lengths)))
        products = 1e-10 * tested * data.n_items * encoder.dim * len(self.config.decays)
        seconds = encoding_seconds(data.items, encoder, self.config.columns) + products
        return Estimate(12.0 * data.n_items * encoder.dim + 1.5e9, 0.2 + seconds)

    def _fit(self, data: Dataset, options: FitOptions) -> None:
        self.text = ItemText.of(data.items, text_encoder(self.config.encoder), self.config.columns)
        self.vectors = self.text.vectors(data.items)
        self.share, self.events = shares(data.popularity("train"))
        self.decay = self.config.decays[0]
        if "valid" in data.parts and len(self.config.decays) > 1:
            self._choose(data.histories("train"), data.histories("valid"))

    @property
    def reads_columns(self) -> tuple[str, ...]:
        """Those of the text."""
        return tuple(self.text.columns)

    def _update(self, change: Change, options: FitOptions) -> None:
        """New items get their vectors, and events are counted on; the decay stays the one that the fit chose."""
        new = self.text.new_vectors(change, len(self.vectors))
        self.share, self.events = moved_shares(self.share, self.events, change)
        self.vectors = appended(self.vectors, new)

    def _choose(self, train: Ragged, valid: Ragged) -> None:
        users = drawn_users(valid, self.config.valid_users, self.config.seed)
        train, valid = train.take(users), valid.take(users)
        for decay in self.config.decays:
            self.decay = decay
            value = float(holdout_ndcg(self.score_histories, train, valid).mean()) if len(valid.values) else 0.0
            self.report.search.append({"decay": decay, "ndcg@10": value})
        self.decay = max(self.report.search, key=lambda point: point["ndcg@10"])["decay"]

    def user_vectors(self, histories: Ragged) -> FloatArray:
        """float32 ``[n, dim]``: the profile of each history at length one; zeros where it has no text."""
        profiles: FloatArray = recent_events(histories, len(self.vectors), self.decay) @ self.vectors
        lengths = np.linalg.norm(profiles, axis=1, keepdims=True)
        return np.where(lengths > LEAST, profiles / np.maximum(lengths, LEAST), np.float32(0))

    def item_vectors(self) -> FloatArray:
        """float32 ``[n_items, dim]``; a score is the dot product of a user's vector with an item's."""
        return self.vectors

    def score_histories(self, histories: Ragged, users: IntArray | None = None) -> FloatArray:
        """float32 ``[n, n_items]`` cosines."""
        profiles = self.user_vectors(histories)
        scores: FloatArray = profiles @ self.vectors.T
        scores[~profiles.any(axis=1)] = self.share
        return scores

    def contributions(self, history: IntArray, item: int) -> FloatArray:
        """``decay^age t_i t_item / |p|`` of every event i."""
        weights = recency(Ragged.from_lists([history]), self.decay)
        texts = self.vectors[np.maximum(history, 0)] * weights[:, None]  # [len(history), dim]
        length = np.linalg.norm(texts.sum(axis=0))
        if length <= LEAST:
            return np.zeros(len(history), np.float32)
        terms: FloatArray = texts @ self.vectors[item] / length
        return terms.astype(np.float32)

    def similar(self, items: IntArray, k: int = 10) -> Recommendations:
        """The items whose texts have the highest cosine with those of ``items``."""
        cosine = self.vectors[items] @ self.vectors.T
        cosine[np.arange(len(items)), items] = NEVER
        return Recommendations(*top_k(cosine, k), self._fitted())

    def _add_items(self, items: pl.DataFrame) -> None:
        self.vectors = appended(self.vectors, self.text.vectors(items))
        self.share = appended(self.share, np.zeros(items.height, np.float32))

    def _state(self) -> tuple[artifact.Arrays, dict[str, Any]]:
        return {"vectors": self.vectors, "share": self.share}, {
            "text": self.text.to_meta(),
            "decay": self.decay,
            "events": self.events,
        }

    def _restore(self, arrays: Mapping[str, npt.NDArray[Any]], meta: dict[str, Any]) -> None:
        self.vectors, self.share = arrays["vectors"], arrays["share"]
        self.text, self.decay = ItemText.from_meta(meta["text"]), meta["decay"]
        self.events = meta["events"]
