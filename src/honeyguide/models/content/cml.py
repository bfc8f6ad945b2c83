"""Collaborative metric learning with text: items and people in one space, where near means likely.

Made for what is not out yet (Campo et al. 2018, arXiv:1803.00202, on Hsieh et al. 2017): an item without events is
where its text puts it, people are where what they took puts them, and the distance says who will come.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
import polars as pl
import torch
from pydantic import Field

from honeyguide.core import artifact
from honeyguide.core.appended import appended
from honeyguide.core.dataset import Dataset
from honeyguide.core.errors import CapabilityError, DataError
from honeyguide.core.fitting import FitOptions, ModelConfig
from honeyguide.core.ragged import FloatArray, IntArray, Ragged
from honeyguide.core.recommender import Recommender
from honeyguide.core.requests import Recommendations
from honeyguide.core.resources import Estimate
from honeyguide.core.topk import NEVER, top_k
from honeyguide.encode.items import ItemText, encoding_seconds
from honeyguide.encode.text import text_encoder
from honeyguide.metrics.holdout import drawn_users, holdout_ndcg
from honeyguide.models.content.cml_network import Metric, Releases, metric_loss
from honeyguide.models.linear.transitions import recent_events
from honeyguide.nn.batches import PackedWindows
from honeyguide.nn.trainer import Trainer, TrainerSettings, choose_device, seeded

_LEAST = 1e-6  # of a popular item, where nothing is known of somebody


class CMLConfig(ModelConfig):
    """Options of :class:`CML`.

    Parameters
    ----------
    encoder, columns
        As in :class:`~honeyguide.models.content.text_profile.TextProfileConfig`.
    items
        Where an item is: a vector of its own pulled to that of its text (``"both"``), that of its text
        (``"text"``), or its own, free of any text, as in the first paper (``"free"``).
    dim, max_len
        Width of the space; events of a history that are read, the latest.
    decay
        Weight of an event beside the next newer one.
    margin, negatives
        By how much what was taken shall be nearer, and how many others are drawn for each event.
    matched
        Whether others are drawn from what was there at the time of the event; where events have times.
    swap
        Share of the items whose text stands for them in a training step.
    feature, covariance, logistic
        Weights of the pull to the text, of uncorrelated coordinates and of the probability.
    comps
        Released items that lend an unreleased one their part of the probability.
    lr, average, epochs, patience, min_gain
        See :class:`~honeyguide.nn.trainer.TrainerSettings`.
    valid_users
        Largest number of users on whom an epoch is judged.
    batch_tokens
        Positions in a batch.
    """

    encoder: str = "auto"
    columns: tuple[str, ...] | None = None
    items: Literal["both", "text", "free"] = "both"
    dim: int = Field(64, ge=2)
    max_len: int = Field(50, ge=1)
    decay: float = Field(0.9, gt=0, le=1)
    margin: float = Field(0.5, gt=0)
    negatives: int = Field(20, ge=1)
    matched: bool = True
    swap: float = Field(0.5, ge=0, le=1)
    feature: float = Field(1.0, ge=0)
    covariance: float = Field(10.0, ge=0)
    logistic: float = Field(1.0, ge=0)
    comps: int = Field(10, ge=1)
    lr: float = Field(5e-3, gt=0)
    average: float = Field(0.99, ge=0, lt=1)
    epochs: int = Field(60, ge=1)
    patience: int = Field(6, ge=1)
    min_gain: float = Field(0.005, ge=0)
    valid_users: int = Field(4_000, ge=1)
    batch_tokens: int = Field(1024, ge=1)

    def trainer(self) -> TrainerSettings:
        """The part that the trainer reads."""
        return TrainerSettings.of(self)


class CML(Recommender):
    """Score = minus the squared distance of the person and the item: ``-|u - z_j|^2``.

    u is the mean of what the person took, weighted ``decay^age``; z is the item's vector, in the unit ball. An item
    without events has no vector of its own and is where its text is. :meth:`probabilities` adds how popular an item is,
    or its nearest released ones are. An empty history is given the items' share of the training events, in
    millionths.
    """

    name = "cml"
    Config = CMLConfig
    config: CMLConfig
    capabilities: ClassVar[frozenset[str]] = frozenset(
        {"fold_in", "similar", "inner_product", "cold_items", "add_items"}
    )

    text: ItemText | None  # none where items are free of any
    network: Metric
    vectors: FloatArray  # [n_items, dim]
    released: npt.NDArray[np.bool_]  # [n_items]: those with training events
    film: FloatArray  # [n_items]: the part of the logit that is the item's
    share: FloatArray  # [n_items], of the training events, in millionths

    def _fit(self, data: Dataset, options: FitOptions) -> None:
        train, valid, c = data.histories("train"), data.histories("valid"), self.config
        if not (train.lengths >= 2).any():
            raise DataError(
                "cml learns from what follows what, and no training history has two events.",
                "Use text-profile, or give longer histories.",
            )
        self.text = None if c.items == "free" else ItemText.of(data.items, text_encoder(c.encoder), c.columns)
        counts = data.popularity("train")
        self.released = counts > 0
        self.share = (_LEAST * counts / max(1.0, float(counts.sum()))).astype(np.float32)
        device = choose_device("cpu")  # negatives are drawn per event, on the CPU
        texts, known = self._texts(data.items), torch.from_numpy(self.released)
        with seeded(c.seed, device):
            self.network = Metric(data.n_items, texts.shape[1], c)
        releases = Releases(train, data.n_items, c.matched)
        self.report.curve = Trainer(
            self.network,
            metric_loss(self.network, texts, known, releases, c),
            PackedWindows(train, c.max_len, c.batch_tokens, c.seed, timed=releases.timed),
            c.trainer(),
            options,
            self._validation(texts, train, valid),
            identity=f"{c.model_dump_json()} {_digest(train, valid)} {self.text and self.text.version} "
            f"torch {torch.__version__}",
        ).run()
        self._place(texts)

    def _texts(self, items: pl.DataFrame) -> torch.Tensor:
        """``[n, D]``; zeros of width one where none are read."""
        vectors = np.zeros((items.height, 1), np.float32) if self.text is None else self.text.vectors(items)
        return torch.from_numpy(vectors)

    def _place(self, texts: torch.Tensor) -> None:
        """The vectors of all items, and the part of the logit of each."""
        with torch.inference_mode():
            every = torch.arange(len(texts))
            known = torch.from_numpy(self.released)
            self.vectors = self.network.eval().items(texts, every, known).numpy()
            own = self.network.film.weight[:, 0].numpy()
        self.film = np.where(self.released, own, self._lent(self.vectors, own)).astype(np.float32)

    def _lent(self, vectors: FloatArray, own: FloatArray) -> FloatArray:
        """float32 ``[n]``: mean of ``own`` over the nearest released items, weighted by ``exp(-d)``."""
        released = np.flatnonzero(self.released)
        squared = _squared(vectors, self.vectors[released])
        nearest, values = top_k(-squared, min(self.config.comps, len(released)))
        weights = np.exp(-np.sqrt(np.maximum(-values, 0.0)))
        found: FloatArray = (weights * own[released[nearest]]).sum(1) / np.maximum(weights.sum(1), 1e-12)
        return found.astype(np.float32)

    def _validation(self, texts: torch.Tensor, train: Ragged, valid: Ragged) -> Callable[[], float] | None:
        users = drawn_users(valid, self.config.valid_users, self.config.seed)
        if not len(users):
            return None
        histories, truth = train.take(users), valid.take(users)

        def value() -> float:
            self._place(texts)
            return float(holdout_ndcg(self.score_histories, histories, truth).mean())

        return value

    # -- use ----------------------------------------------------------------------------------

    def places(self, histories: Ragged) -> FloatArray:
        """float32 ``[n, dim]``: where people are; the middle for those with no history."""
        recent = recent_events(histories.last(self.config.max_len), len(self.vectors), self.config.decay)
        weight = np.asarray(recent.sum(axis=1), np.float32).reshape(-1, 1)
        found: FloatArray = (recent @ self.vectors) / np.maximum(weight, 1e-12)
        return found

    def user_vectors(self, histories: Ragged) -> FloatArray:
        """float32 ``[n, dim + 2]``: ``[2u, 1, -|u|^2]``, whose product with an item's vector is minus a distance."""
        u = self.places(histories)
        one = np.ones((len(u), 1), np.float32)
        return np.concatenate([2 * u, one, -(u * u).sum(1, keepdims=True)], axis=1)

    def item_vectors(self) -> FloatArray:
        """float32 ``[n_items, dim + 2]``: ``[z, -|z|^2, 1]``."""
        z, one = self.vectors, np.ones((len(self.vectors), 1), np.float32)
        return np.concatenate([z, -(z * z).sum(1, keepdims=True), one], axis=1)

    def score_histories(self, histories: Ragged, users: IntArray | None = None) -> FloatArray:
        """float32 ``[n, n_items]``: minus squared distances."""
        scores: FloatArray = self.user_vectors(histories) @ self.item_vectors().T
        scores[histories.known().lengths == 0] = self.share
        return scores

    def probabilities(self, histories: Ragged) -> FloatArray:
        """float32 ``[n, n_items]``: how likely each item is the one taken, beside one that was there as well.

        ``sigma(b + b_j - a |u - z_j| + c log(1 + events))``; b_j of an item without events is lent by its nearest
        released ones. A probability of a pair: one event and one item drawn from what was there, as in training.
        """
        net = self.network
        with torch.inference_mode():
            scale, bias = float(torch.nn.functional.softplus(net.scale)), float(net.bias)
            often = float(net.often)
        distance = np.sqrt(np.maximum(_squared(self.places(histories), self.vectors), 0.0) + 1e-9)
        events = np.minimum(histories.known().lengths, self.config.max_len)
        logit = bias + self.film - scale * distance + often * np.log1p(events)[:, None]
        found: FloatArray = (1 / (1 + np.exp(-logit))).astype(np.float32)
        return found

    def similar(self, items: IntArray, k: int = 10) -> Recommendations:
        """The items nearest to ``items``: for an unreleased one, what it will be compared with."""
        scores = -_squared(self.vectors[items], self.vectors)
        scores[np.arange(len(items)), items] = NEVER
        return Recommendations(*top_k(scores, k), self._fitted())

    def _add_items(self, items: pl.DataFrame) -> None:
        if self.text is None:
            raise CapabilityError(
                "cml with items=free knows no text.",
                "Fit it with items=both or items=text (--set on the command line).",
            )
        with torch.inference_mode():
            new = self.network.written(self._texts(items)).numpy()
        lent = self._lent(new, self.film)
        self.vectors, self.film = appended(self.vectors, new), appended(self.film, lent)
        self.released = appended(self.released, np.zeros(items.height, bool))
        self.share = appended(self.share, np.zeros(items.height, np.float32))

    # -- cost and storage ---------------------------------------------------------------------

    def estimate(self, data: Dataset) -> Estimate:
        """Weights, gradient, moments and copies; texts; a batch; and the time of half the epochs."""
        c, width, reading = self.config, 1, 0.0
        if c.items != "free":
            encoder = text_encoder(c.encoder)
            width, reading = encoder.dim, encoding_seconds(data.items, encoder, c.columns)
        lengths = data.histories("train").lengths
        weights = c.dim * (data.n_items + width) + data.n_items
        batch = c.batch_tokens * (c.negatives * (2 * c.dim + 8) + width)
        targets = float(np.minimum(np.maximum(lengths - 1, 0), c.max_len).sum()) * c.epochs / 2
        each = 1e-8 * c.negatives * (c.dim + c.max_len) + 4e-9 * min(c.negatives + 2, data.n_items) * width
        memory = 4.0 * (6 * weights + 2 * data.n_items * width + 6 * batch)
        return Estimate(memory + 1.5e9, reading + targets * each + 1.0)

    @property
    def n_parameters(self) -> int:
        """Weights of the space and of the probability."""
        return sum(p.numel() for p in self.network.parameters())

    def _state(self) -> tuple[artifact.Arrays, dict[str, Any]]:
        arrays = {f"network.{name}": t.detach().cpu().numpy() for name, t in self.network.state_dict().items()}
        own = {"vectors": self.vectors, "released": self.released, "film": self.film, "share": self.share}
        return {**arrays, **own}, {"text": self.text and self.text.to_meta()}

    def _restore(self, arrays: Mapping[str, npt.NDArray[Any]], meta: dict[str, Any]) -> None:
        self.text = ItemText.from_meta(meta["text"]) if meta["text"] is not None else None
        weights = {
            name.removeprefix("network."): torch.from_numpy(np.array(a))
            for name, a in arrays.items()
            if name.startswith("network.")
        }
        self.network = Metric(len(weights["theta.weight"]), weights["text.weight"].shape[1], self.config).eval()
        self.network.load_state_dict(weights)
        self.vectors, self.film = np.array(arrays["vectors"]), np.array(arrays["film"])
        self.released, self.share = np.array(arrays["released"]), np.array(arrays["share"])


def _squared(a: FloatArray, b: FloatArray) -> FloatArray:
    """float32 ``[n, m]``: squared distances of the rows."""
    found: FloatArray = (a * a).sum(1)[:, None] + (b * b).sum(1) - 2 * (a @ b.T)
    return found


def _digest(*parts: Ragged) -> str:
    whole = hashlib.sha256()
    for histories in parts:
        whole.update(histories.offsets.tobytes() + histories.values.tobytes())
    return whole.hexdigest()[:16]
