"""Two towers: users from their histories, items from their text, categories and, where there is one, their id."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import polars as pl
import torch
from pydantic import Field

from honeyguide.core import artifact
from honeyguide.core.appended import appended
from honeyguide.core.dataset import Dataset
from honeyguide.core.errors import DataError
from honeyguide.core.fitting import FitOptions, ModelConfig
from honeyguide.core.inner_product import top_k_cosine
from honeyguide.core.plugin import Hooks
from honeyguide.core.ragged import FloatArray, IntArray, Ragged
from honeyguide.core.recommender import Recommender
from honeyguide.core.requests import Recommendations
from honeyguide.core.resources import Estimate
from honeyguide.encode.categories import category_buckets, category_columns
from honeyguide.encode.image import image_encoder
from honeyguide.encode.items import ItemText, encoding_seconds
from honeyguide.encode.pictures import ItemPictures, centred, picture_seconds
from honeyguide.encode.text import text_encoder
from honeyguide.metrics.holdout import holdout_ndcg
from honeyguide.models.content.two_tower_network import Features, Towers, state_of_one, towers_forward
from honeyguide.nn.backbone import encode_positions, prefixes
from honeyguide.nn.batches import PackedWindows, cut_by_tokens, pad_right
from honeyguide.nn.forward import batch_loss
from honeyguide.nn.fusion import FusionName
from honeyguide.nn.trainer import Trainer, TrainerSettings, choose_device, seeded

_SERVED = 1 << 13  # positions of histories read at once while serving


class TwoTowerConfig(ModelConfig):
    """Options of :class:`TwoTower`.

    Parameters
    ----------
    encoder, columns
        As in :class:`~honeyguide.models.content.text_profile.TextProfileConfig`.
    images
        Encoder of the items' pictures, see :func:`~honeyguide.encode.image.image_encoder`; none are read by default.
    fusion
        How what is known of an item becomes one vector: see :mod:`honeyguide.nn.fusion`.
    dim
        Width of both towers.
    max_len
        Events of a history that are read, the latest.
    buckets
        Of categorical features; see :func:`~honeyguide.encode.categories.category_buckets`.
    ids
        Whether items have a vector of their own beside what is known of them.
    id_dropout
        Share of items whose own vector is hidden in a training step, so that items without one are learnt too.
    dropout
        On histories and on the text of items.
    negatives
        Items drawn per batch, shared by its positions.
    power
        Negatives are drawn by the number of events to this power; the loss corrects for it.
    init_std
        Standard deviation of all weights at the start.
    lr, average, epochs, patience, min_gain
        See :class:`~honeyguide.nn.trainer.TrainerSettings`.
    batch_tokens
        Positions in a batch.
    """

    encoder: str = "auto"
    columns: tuple[str, ...] | None = None
    images: str | None = None
    fusion: FusionName = "sum"
    dim: int = Field(64, ge=2)
    max_len: int = Field(50, ge=1)
    buckets: int = Field(4096, ge=1)
    ids: bool = True
    id_dropout: float = Field(0.3, ge=0, le=1)
    dropout: float = Field(0.3, ge=0, lt=1)
    negatives: int = Field(1024, ge=1)
    power: float = Field(0.5, ge=0, le=1)
    init_std: float = Field(0.02, gt=0)
    lr: float = Field(2e-3, gt=0)
    average: float = Field(0.99, ge=0, lt=1)
    epochs: int = Field(60, ge=1)
    patience: int = Field(4, ge=1)
    min_gain: float = Field(0.005, ge=0)
    valid_users: int = Field(5_000, ge=1)
    batch_tokens: int = Field(2048, ge=1)

    def trainer(self) -> TrainerSettings:
        """The part that the trainer reads."""
        return TrainerSettings.of(self)


class TwoTower(Recommender):
    """Score = dot product of the user's state and the item's vector, learnt by sampled softmax with log-q correction.

    The vectors of items are computed once after the fit; serving reads them, and a new item is one pass
    through its tower without an id. Users have no features but their history: a model serves people it never met.
    An empty history is given the logarithm of the items' share of the training events.
    """

    name = "two-tower"
    Config = TwoTowerConfig
    config: TwoTowerConfig
    capabilities: ClassVar[frozenset[str]] = frozenset(
        {"fold_in", "similar", "inner_product", "cold_items", "add_items"}
    )
    states: ClassVar[frozenset[str]] = frozenset({"state", "positions", "vectors", "weights"})
    scale = "logit"
    hooks: Hooks = Hooks()

    text: ItemText
    pictures: ItemPictures | None
    mean: FloatArray  # [image dim] of the pictures that the catalogue had; empty without
    category_columns: tuple[str, ...]
    network: Towers
    vectors: FloatArray  # [n_items, dim]
    learning: Features | None = None  # of the items, while training: plug-ins ask for vectors then too
    log_share: FloatArray  # [n_items]

    def _fit(self, data: Dataset, options: FitOptions) -> None:
        train, valid = data.histories("train"), data.histories("valid")
        if not (train.lengths >= 2).any():
            raise DataError(
                "two-tower learns from what follows what, and no training history has two events.",
                "Use text-profile, or give longer histories.",
            )
        c = self.config
        self.text = ItemText.of(data.items, text_encoder(c.encoder), c.columns)
        self.category_columns = tuple(category_columns(data.items))
        counts = data.popularity("train")
        self.log_share = np.log((counts + 1) / (counts.sum() + len(counts))).astype(np.float32)
        device = choose_device(options.device)
        self._read_pictures(data.items)
        features = self._features(data.items, device)
        with seeded(c.seed, device):
            self.network = Towers(data.n_items, self.text.dim, self._image_dim(), c).to(device)
        drawn = np.where(counts > 0, counts, 0.0) ** c.power if c.power else np.ones(len(counts))
        q = torch.from_numpy((drawn / drawn.sum()).astype(np.float32)).to(device)
        self.learning = features
        self.report.curve = Trainer(
            self.network,
            batch_loss(towers_forward(self.network, features, q, c.negatives), self.hooks),
            PackedWindows(train, c.max_len, c.batch_tokens, c.seed),
            c.trainer(),
            options,
            self._validation(features, train, valid),
            identity=f"{c.model_dump_json()} {_digest(train, valid)} {self.text.version} {_version(self.pictures)}"
            f"torch {torch.__version__} {self.hooks.identity}",
            hooks=self.hooks,
        ).run()
        self.vectors, self.learning = self._known_vectors(features), None
        self.network.to("cpu")

    def _read_pictures(self, items: pl.DataFrame) -> None:
        """Which encoder reads pictures, and their mean, which says nothing of any of them."""
        name = self.config.images
        self.pictures = ItemPictures.of(items, image_encoder(name)) if name is not None else None
        self.mean = np.zeros(0, np.float32)
        if self.pictures is not None:
            found = self.pictures.vectors(items)
            self.mean = found.sum(axis=0) / max(1, np.count_nonzero(found.any(axis=1)))

    def _image_dim(self) -> int | None:
        return None if self.pictures is None else self.pictures.dim

    def _features(self, items: pl.DataFrame, device: torch.device) -> Features:
        """What is known of ``items``."""
        buckets = category_buckets(items, self.category_columns, self.config.buckets)
        text = torch.from_numpy(self.text.vectors(items)).to(device)
        if self.pictures is None:
            return Features(text, None, buckets)
        images = centred(self.pictures.vectors(items), self.mean)
        return Features(text, torch.from_numpy(images).to(device), buckets)

    def _known_vectors(self, features: Features) -> FloatArray:
        with torch.inference_mode():
            every = torch.arange(len(features.text), device=features.text.device)
            vectors: FloatArray = self.network.items(features.take(every), every).float().cpu().numpy()
        return vectors

    def _validation(self, features: Features, train: Ragged, valid: Ragged) -> Callable[[], float] | None:
        users = np.flatnonzero(valid.lengths)
        if len(users) == 0:
            return None
        if len(users) > self.config.valid_users:
            rng = np.random.default_rng(self.config.seed)
            users = rng.choice(users, self.config.valid_users, replace=False)
        histories, truth = train.take(users), valid.take(users)
        weights = self.hooks.truth_weights(users, truth)

        def value() -> float:
            self.vectors = self._known_vectors(features)
            return float(holdout_ndcg(self.score_histories, histories, truth, weights=weights).mean())

        return value

    # -- use ----------------------------------------------------------------------------------

    def user_vectors(self, histories: Ragged) -> FloatArray:
        """float32 ``[n, d]``: the state after each history; zeros where it is empty."""
        histories = _known(histories).last(self.config.max_len)
        device = self.network.text.weight.device
        table = torch.from_numpy(self.vectors).to(device)
        states = np.zeros((len(histories), self.config.dim), np.float32)
        if len(histories) == 1 and len(histories.values) and device.type == "cpu":
            states[0] = state_of_one(self.network, self.vectors[histories.values])
            return self.hooks.edit_state(states, histories)
        order = np.argsort(histories.lengths, kind="stable")
        order = order[histories.lengths[order] > 0]
        with torch.inference_mode():
            for run in cut_by_tokens(histories.lengths[order], _SERVED):
                rows = histories.take(order[run])
                read = table[torch.from_numpy(pad_right(rows, 0)).to(device)]
                found = self.network.last_state(read, torch.from_numpy(rows.lengths).to(device))
                states[order[run]] = found.float().cpu().numpy()
        return self.hooks.edit_state(states, histories)

    def position_states(self, histories: Ragged) -> tuple[FloatArray, Ragged]:
        """The state after each of the latest ``max_len`` events, and these events (state ``positions``).

        Returns
        -------
        ndarray, Ragged
            float32 ``[n_events, d]``, each what :meth:`user_vectors` gives for the events up to it; and the events.
        """
        read = histories.known().last(self.config.max_len)
        device = self.network.text.weight.device
        table = torch.from_numpy(self.vectors).to(device)
        states = encode_positions(lambda items: self.network.states(table[items]), read, device)
        if self.hooks.have("edit_state"):
            states = self.hooks.edit_state(states, prefixes(read))
        return states, read

    def item_vectors(self) -> FloatArray:
        """float32 ``[n_items, d]``; a score is the dot product of a user's vector with an item's."""
        if self.learning is not None:
            self.vectors = self._known_vectors(self.learning)
        return self.vectors

    def score_histories(self, histories: Ragged, users: IntArray | None = None) -> FloatArray:
        """float32 ``[n, n_items]`` logits."""
        states = self.user_vectors(histories)
        scores: FloatArray = states @ self.vectors.T
        scores[~states.any(axis=1)] = self.log_share
        return scores

    def similar(self, items: IntArray, k: int = 10) -> Recommendations:
        """The ``k`` items whose vectors have the highest cosine with those of ``items``."""
        return Recommendations(*top_k_cosine(self.vectors, items, k), self._fitted())

    def _add_items(self, items: pl.DataFrame) -> None:
        device = self.network.text.weight.device
        features = self._features(items, device)
        with torch.inference_mode():
            known = features.take(torch.arange(items.height, device=device))
            new = self.network.items(known).float().cpu().numpy()
        self.vectors = appended(self.vectors, new)
        least = np.full(items.height, self.log_share.min(initial=0.0), np.float32)
        self.log_share = appended(self.log_share, least)

    # -- cost and storage ---------------------------------------------------------------------

    def estimate(self, data: Dataset) -> Estimate:
        """Weights, their gradient, moments and copies; texts; a batch; and the time of half the epochs."""
        c, encoder = self.config, text_encoder(self.config.encoder)
        lengths = data.histories("train").lengths
        images = image_encoder(c.images) if c.images is not None else None
        width = encoder.dim + (images.dim if images is not None else 0)
        weights = c.dim * (data.n_items + c.buckets + width + (4 if c.fusion == "sum" else 20) * c.dim)
        memory = 4.0 * (6 * weights + 2 * data.n_items * width + 40 * c.batch_tokens * max(c.dim, c.max_len))
        targets = float(np.minimum(np.maximum(lengths - 1, 0), c.max_len).sum()) * c.epochs / 2
        flops = 6 * c.dim * (c.negatives + 2 * width + 6 * c.dim + c.max_len)
        seconds = encoding_seconds(data.items, encoder, c.columns) + targets * (flops / 30e9 + 1e-8 * c.negatives)
        seconds += picture_seconds(data.items, images) if images is not None else 0.0
        return Estimate(memory + 1.5e9, seconds + 1.0)

    @property
    def n_parameters(self) -> int:
        """Weights of both towers."""
        return sum(p.numel() for p in self.network.parameters())

    def _state(self) -> tuple[artifact.Arrays, dict[str, Any]]:
        arrays = {f"network.{name}": t.detach().cpu().numpy() for name, t in self.network.state_dict().items()}
        pictures = self.pictures.to_meta() if self.pictures is not None else None
        meta = {"text": self.text.to_meta(), "categories": list(self.category_columns), "pictures": pictures}
        if self.pictures is not None:
            arrays["mean"] = self.mean
        return {**arrays, "vectors": self.vectors, "log_share": self.log_share}, meta

    def _restore(self, arrays: Mapping[str, npt.NDArray[Any]], meta: dict[str, Any]) -> None:
        self.text, self.category_columns = ItemText.from_meta(meta["text"]), tuple(meta["categories"])
        pictures = meta.get("pictures")
        self.pictures = ItemPictures.from_meta(pictures) if pictures is not None else None
        self.mean = np.array(arrays.get("mean", ()), np.float32)
        weights = {
            name.removeprefix("network."): torch.from_numpy(np.array(a))
            for name, a in arrays.items()
            if name.startswith("network.")
        }
        n_items = len(weights["ids.weight"]) if self.config.ids else 0
        self.network = Towers(n_items, self.text.dim, self._image_dim(), self.config).eval()
        self.network.load_state_dict(weights)
        self.vectors, self.log_share = np.array(arrays["vectors"]), np.array(arrays["log_share"])


def _known(histories: Ragged) -> Ragged:
    """The histories without unknown items."""
    known = histories.values >= 0
    if known.all():
        return histories
    return Ragged.from_groups(histories.rows[known], histories.values[known], len(histories))


def _version(pictures: ItemPictures | None) -> str:
    return "" if pictures is None else f"{pictures.version} "


def _digest(*parts: Ragged) -> str:
    whole = hashlib.sha256()
    for histories in parts:
        whole.update(histories.offsets.tobytes() + histories.values.tobytes())
    return whole.hexdigest()[:16]
