"""Image profile: the items whose picture is most like those of what the user took of late, with text where wanted."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product
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
from honeyguide.encode.image import image_encoder
from honeyguide.encode.items import ItemText, encoding_seconds
from honeyguide.encode.pictures import ItemPictures, centred, picture_seconds
from honeyguide.encode.text import text_encoder
from honeyguide.metrics.holdout import drawn_users, holdout_ndcg
from honeyguide.models.content.profile_share import LEAST, moved_shares, shares
from honeyguide.models.linear.transitions import recent_events


class ImageProfileConfig(ModelConfig):
    """Options of :class:`ImageProfile`.

    Parameters
    ----------
    encoder
        Of pictures; see :func:`~honeyguide.encode.image.image_encoder`.
    text_weights
        Weights of the text beside the picture, of which the best on valid is taken, the first without valid;
        0 is the picture alone, 1 the text alone. No text is read where all are 0.
    text, columns
        Encoder and columns of the text, as in :class:`~honeyguide.models.content.text_profile.TextProfileConfig`.
    decays
        Weights of an event beside the next newer one, of which the best on valid is taken; the first without valid.
    valid_users
        Largest number of users on whom both are judged.
    """

    encoder: str = "auto"
    text_weights: tuple[float, ...] = Field(default=(0.0,), min_length=1)
    text: str = "auto"
    columns: tuple[str, ...] | None = None
    decays: tuple[float, ...] = Field(default=(0.8, 0.6, 0.9, 1.0), min_length=1)
    valid_users: int = Field(4_000, ge=1)


class ImageProfile(Recommender):
    """Score of item j = ``(1 - w) cos(P_v, v_j) + w cos(P_t, t_j)``.

    P is the sum over the history of ``decay^age`` times v or t. v is the picture of an item as a vector, less the mean
    of the catalogue and of length one: a network that ends in a ReLU gives vectors that all point the same way. t is
    its text. Nothing else is learnt, so an item without events is scored like any other. Where an item or a history
    lacks one of the two, the other is all that counts; a history without either is given the items' share of the
    training events, in millionths.
    """

    name = "image-profile"
    Config = ImageProfileConfig
    config: ImageProfileConfig
    capabilities: ClassVar[frozenset[str]] = frozenset(
        {"fold_in", "similar", "inner_product", "cold_items", "add_items", "update"}
    )

    pictures: ItemPictures
    text: ItemText | None
    mean: FloatArray  # [dim] of the pictures that the catalogue had
    seen: FloatArray  # [n_items, dim] pictures, zeros where an item has none
    said: FloatArray  # [n_items, text dim], zeros where an item has no text; no columns where none is read
    share: FloatArray  # [n_items], of the training events, in millionths
    events: float  # of the training part
    decay: float
    weight: float

    def estimate(self, data: Dataset) -> Estimate:
        """Pictures and texts that are not in the cache are read; then one product with all items per choice."""
        c, encoder = self.config, image_encoder(self.config.encoder)
        dim, seconds = encoder.dim, picture_seconds(data.items, encoder)
        if self._reads_text():
            words = text_encoder(c.text)
            dim, seconds = dim + words.dim, seconds + encoding_seconds(data.items, words, c.columns)
        tested = min(c.valid_users, int(np.count_nonzero(data.histories("valid").lengths)))
        choices = len(c.decays) * len(c.text_weights)
        return Estimate(
            12.0 * data.n_items * dim + 1.5e9, 0.2 + seconds + 1e-10 * tested * data.n_items * dim * choices
        )

    def _reads_text(self) -> bool:
        return any(weight > 0 for weight in self.config.text_weights)

    def _fit(self, data: Dataset, options: FitOptions) -> None:
        c = self.config
        self.pictures = ItemPictures.of(data.items, image_encoder(c.encoder))
        raw = self.pictures.vectors(data.items)
        self.mean = raw.sum(axis=0) / max(1, np.count_nonzero(raw.any(axis=1)))
        self.seen = centred(raw, self.mean)
        self.text = ItemText.of(data.items, text_encoder(c.text), c.columns) if self._reads_text() else None
        self.said = self._texts(data.items)
        self.share, self.events = shares(data.popularity("train"))
        self.decay, self.weight = c.decays[0], c.text_weights[0]
        if "valid" in data.parts and len(c.decays) * len(c.text_weights) > 1:
            self._choose(data.histories("train"), data.histories("valid"))

    @property
    def reads_columns(self) -> tuple[str, ...]:
        """Those of the text, if any is read."""
        return () if self.text is None else tuple(self.text.columns)

    def _update(self, change: Change, options: FitOptions) -> None:
        """New items get their vectors, and events are counted on; the mean picture, decay and weight stay."""
        known = len(self.seen)
        rows = change.described(known)
        said = self.text.new_vectors(change, known) if self.text is not None else None
        seen = np.zeros((change.n_items - known, self.seen.shape[1]), np.float32)
        if rows is not None and rows.height:
            seen = centred(self.pictures.vectors(rows), self.mean)
        self.share, self.events = moved_shares(self.share, self.events, change)
        self.seen = appended(self.seen, seen)
        self.said = appended(self.said, np.zeros((len(seen), 0), np.float32) if said is None else said)

    def _texts(self, items: pl.DataFrame) -> FloatArray:
        return np.zeros((items.height, 0), np.float32) if self.text is None else self.text.vectors(items)

    def _choose(self, train: Ragged, valid: Ragged) -> None:
        users = drawn_users(valid, self.config.valid_users, self.config.seed)
        train, valid = train.take(users), valid.take(users)
        for decay, weight in product(self.config.decays, self.config.text_weights):
            self.decay, self.weight = decay, weight
            value = float(holdout_ndcg(self.score_histories, train, valid).mean()) if len(valid.values) else 0.0
            self.report.search.append({"decay": decay, "text_weight": weight, "ndcg@10": value})
        best = max(self.report.search, key=lambda point: point["ndcg@10"])
        self.decay, self.weight = best["decay"], best["text_weight"]

    def user_vectors(self, histories: Ragged) -> FloatArray:
        """float32 ``[n, dim + text dim]``: both profiles at the length of their weight; zeros where there is none."""
        events = recent_events(histories, len(self.seen), self.decay)
        parts = [(1 - self.weight, self.seen)] + ([(self.weight, self.said)] if self.said.shape[1] else [])
        found = []
        for weight, vectors in parts:
            profiles: FloatArray = events @ vectors
            lengths = np.linalg.norm(profiles, axis=1, keepdims=True)
            unit = np.where(lengths > LEAST, profiles / np.maximum(lengths, LEAST), np.float32(0))
            found.append(np.float32(weight) * unit)
        return np.concatenate(found, axis=1)

    def item_vectors(self) -> FloatArray:
        """float32 ``[n_items, dim + text dim]``; a score is the dot product of a user's vector with an item's."""
        return np.concatenate([self.seen, self.said], axis=1)

    def score_histories(self, histories: Ragged, users: IntArray | None = None) -> FloatArray:
        """float32 ``[n, n_items]``."""
        profiles = self.user_vectors(histories)
        width = self.seen.shape[1]
        scores: FloatArray = profiles[:, :width] @ self.seen.T
        if self.said.shape[1]:
            scores += profiles[:, width:] @ self.said.T
        scores[~profiles.any(axis=1)] = self.share
        return scores

    def similar(self, items: IntArray, k: int = 10) -> Recommendations:
        """The items that look, and where text is read say, most like ``items``."""
        cosine = np.float32(1 - self.weight) * (self.seen[items] @ self.seen.T)
        if self.said.shape[1]:
            cosine += np.float32(self.weight) * (self.said[items] @ self.said.T)
        cosine[np.arange(len(items)), items] = NEVER
        return Recommendations(*top_k(cosine, k), self._fitted())

    def _add_items(self, items: pl.DataFrame) -> None:
        self.seen = appended(self.seen, centred(self.pictures.vectors(items), self.mean))
        self.said = appended(self.said, self._texts(items))
        self.share = appended(self.share, np.zeros(items.height, np.float32))

    def _state(self) -> tuple[artifact.Arrays, dict[str, Any]]:
        text = self.text.to_meta() if self.text is not None else None
        meta = {"pictures": self.pictures.to_meta(), "text": text, "decay": self.decay, "weight": self.weight}
        meta["events"] = self.events
        return {"mean": self.mean, "seen": self.seen, "said": self.said, "share": self.share}, meta

    def _restore(self, arrays: Mapping[str, npt.NDArray[Any]], meta: dict[str, Any]) -> None:
        self.mean, self.seen, self.said, self.share = (arrays[name] for name in ("mean", "seen", "said", "share"))
        self.pictures = ItemPictures.from_meta(meta["pictures"])
        self.text = ItemText.from_meta(meta["text"]) if meta["text"] is not None else None
        self.decay, self.weight, self.events = meta["decay"], meta["weight"], meta["events"]
