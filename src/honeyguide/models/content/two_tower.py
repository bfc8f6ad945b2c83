"""Two towers: users from their histories, items from their text, categories and, where there is one, their id."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import polars as pl
import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

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
from honeyguide.encode.items import ItemText, encoding_seconds
from honeyguide.encode.text import text_encoder
from honeyguide.metrics.holdout import holdout_ndcg
from honeyguide.nn import losses
from honeyguide.nn.backbone import encode_positions, prefixes
from honeyguide.nn.batches import IGNORED, Batch, PackedWindows, cut_by_tokens, pad_right
from honeyguide.nn.blocks import Dropout, RMSNorm, init_weights
from honeyguide.nn.forward import Forward, Weights, batch_loss, mean_loss, rows_of
from honeyguide.nn.trainer import Trainer, TrainerSettings, choose_device, seeded

_SERVED = 1 << 13  # positions of histories read at once while serving


class TwoTowerConfig(ModelConfig):
    """Options of :class:`TwoTower`.

    Parameters
    ----------
    encoder, columns
        As in :class:`~honeyguide.models.content.text_profile.TextProfileConfig`.
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
        names = ("epochs", "lr", "average", "patience", "min_gain", "seed")
        return TrainerSettings(**{name: getattr(self, name) for name in names})


class Towers(nn.Module):
    """Both networks. Shapes: b rows, t positions, n items, d width.

    Parameters
    ----------
    n_items, text_dim
        Items with a vector of their own, and width of their texts.
    config
        Options.
    """

    def __init__(self, n_items: int, text_dim: int, config: TwoTowerConfig) -> None:
        super().__init__()
        c = config
        self.text = nn.Linear(text_dim, c.dim, bias=False)
        self.categories = nn.EmbeddingBag(c.buckets, c.dim, mode="mean")
        self.ids = nn.Embedding(n_items, c.dim) if c.ids else None
        self.ages = nn.Parameter(-0.3 * torch.arange(c.max_len, dtype=torch.float32))  # of log-weights, recent first
        self.worth = nn.Linear(c.dim, 1, bias=False)
        self.mix = nn.Sequential(nn.Linear(c.dim, 2 * c.dim), nn.SiLU(), nn.Linear(2 * c.dim, c.dim))
        self.norm, self.norm_in = RMSNorm(c.dim), RMSNorm(c.dim)
        self.dropout, self.id_dropout = Dropout(c.dropout), c.id_dropout
        init_weights(self, c.init_std)
        nn.init.normal_(self.categories.weight, std=c.init_std)
        nn.init.normal_(self.text.weight, std=c.init_std * 2)  # texts have length one
        if self.ids is not None:
            nn.init.normal_(self.ids.weight, std=c.init_std / 2)

    def items(self, text: Tensor, buckets: Tensor, offsets: Tensor, ids: Tensor | None = None) -> Tensor:
        """``[n, d]`` from texts ``[n, D]``, lists of category buckets and, for known items, codes ``[n]``."""
        x: Tensor = self.text(self.dropout(text)) + self.categories(buckets, offsets)
        if ids is None or self.ids is None:
            return x
        own: Tensor = self.ids(ids)
        if self.training and self.id_dropout > 0:
            own = own * (torch.rand(len(own), 1, device=own.device) >= self.id_dropout)
        return x + own

    def states(self, read: Tensor) -> Tensor:
        """``[b, t, d]``: the user after each event, from the vectors of the events ``[b, t, d]``.

        The weight of event s at position t is softmax over s <= t of ``age[t - s] + w v_s``; the state is
        n(p + MLP(n(p))) of the weighted mean p.
        """
        t = read.shape[1]
        age = torch.arange(t, device=read.device)[:, None] - torch.arange(t, device=read.device)  # [t, t]
        logits = self.ages[age.clamp(0)] + self.worth(self.norm_in(read)).transpose(1, 2)  # [b, t, t]
        weights = logits.masked_fill(age < 0, -torch.inf).softmax(-1)
        mean = self.norm_in(self.dropout(weights @ read))
        state: Tensor = self.norm(mean + self.dropout(self.mix(mean)))
        return state


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
    category_columns: tuple[str, ...]
    network: Towers
    vectors: FloatArray  # [n_items, dim]
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
        features = Features.of(data.items, self.text, self.category_columns, c.buckets, device)
        with seeded(c.seed, device):
            self.network = Towers(data.n_items, self.text.dim, c).to(device)
        drawn = np.where(counts > 0, counts, 0.0) ** c.power if c.power else np.ones(len(counts))
        q = torch.from_numpy((drawn / drawn.sum()).astype(np.float32)).to(device)
        self.report.curve = Trainer(
            self.network,
            batch_loss(towers_forward(self.network, features, q, c.negatives), self.hooks),
            PackedWindows(train, c.max_len, c.batch_tokens, c.seed),
            c.trainer(),
            options,
            self._validation(features, train, valid),
            identity=f"{c.model_dump_json()} {_digest(train, valid)} {self.text.version} "
            f"torch {torch.__version__} {self.hooks.identity}",
            hooks=self.hooks,
        ).run()
        self.vectors = self._known_vectors(features)
        self.network.to("cpu")

    def _known_vectors(self, features: Features) -> FloatArray:
        with torch.inference_mode():
            every = torch.arange(len(features.text), device=features.text.device)
            vectors: FloatArray = self.network.items(*features.take(every), every).float().cpu().numpy()
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
        order = np.argsort(histories.lengths, kind="stable")
        order = order[histories.lengths[order] > 0]
        with torch.inference_mode():
            for run in cut_by_tokens(histories.lengths[order], _SERVED):
                rows = histories.take(order[run])
                last = torch.from_numpy(rows.lengths - 1)
                read = self.network.states(table[torch.from_numpy(pad_right(rows, 0))])
                states[order[run]] = read[torch.arange(len(rows)), last].float().cpu().numpy()
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
        features = Features.of(items, self.text, self.category_columns, self.config.buckets, device)
        with torch.inference_mode():
            new = self.network.items(features.text, *features.bags(torch.arange(items.height))).float().cpu().numpy()
        self.vectors = appended(self.vectors, new)
        least = np.full(items.height, self.log_share.min(initial=0.0), np.float32)
        self.log_share = appended(self.log_share, least)

    # -- cost and storage ---------------------------------------------------------------------

    def estimate(self, data: Dataset) -> Estimate:
        """Weights, their gradient, moments and copies; texts; a batch; and the time of half the epochs."""
        c, encoder = self.config, text_encoder(self.config.encoder)
        lengths = data.histories("train").lengths
        weights = c.dim * (data.n_items + c.buckets + encoder.dim + 4 * c.dim)
        memory = 4.0 * (6 * weights + 2 * data.n_items * encoder.dim + 40 * c.batch_tokens * max(c.dim, c.max_len))
        targets = float(np.minimum(np.maximum(lengths - 1, 0), c.max_len).sum()) * c.epochs / 2
        flops = 6 * c.dim * (c.negatives + 2 * encoder.dim + 6 * c.dim + c.max_len)
        seconds = encoding_seconds(data.items, encoder, c.columns) + targets * (flops / 30e9 + 1e-8 * c.negatives)
        return Estimate(memory + 1.5e9, seconds + 1.0)

    @property
    def n_parameters(self) -> int:
        """Weights of both towers."""
        return sum(p.numel() for p in self.network.parameters())

    def _state(self) -> tuple[artifact.Arrays, dict[str, Any]]:
        arrays = {f"network.{name}": t.detach().cpu().numpy() for name, t in self.network.state_dict().items()}
        meta = {"text": self.text.to_meta(), "categories": list(self.category_columns)}
        return {**arrays, "vectors": self.vectors, "log_share": self.log_share}, meta

    def _restore(self, arrays: Mapping[str, npt.NDArray[Any]], meta: dict[str, Any]) -> None:
        self.text, self.category_columns = ItemText.from_meta(meta["text"]), tuple(meta["categories"])
        weights = {
            name.removeprefix("network."): torch.from_numpy(np.array(a))
            for name, a in arrays.items()
            if name.startswith("network.")
        }
        n_items = len(weights["ids.weight"]) if self.config.ids else 0
        self.network = Towers(n_items, self.text.dim, self.config).eval()
        self.network.load_state_dict(weights)
        self.vectors, self.log_share = np.array(arrays["vectors"]), np.array(arrays["log_share"])


class Features:
    """What is known of items, on the device of the towers.

    Parameters
    ----------
    text
        float32 ``[n, D]``.
    buckets
        Category buckets of every item.
    """

    def __init__(self, text: Tensor, buckets: Ragged) -> None:
        self.text, self.buckets = text, buckets

    @classmethod
    def of(
        cls, items: pl.DataFrame, text: ItemText, columns: tuple[str, ...], n_buckets: int, device: torch.device
    ) -> Features:
        """Read the item table."""
        return cls(torch.from_numpy(text.vectors(items)).to(device), category_buckets(items, columns, n_buckets))

    def take(self, items: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Texts, buckets and their offsets of the item codes ``[n]``."""
        return self.text[items], *self.bags(items)

    def bags(self, items: Tensor) -> tuple[Tensor, Tensor]:
        """Buckets of the item codes, flat, and the offsets of each item's."""
        taken = self.buckets.take(items.cpu().numpy())
        device = self.text.device
        return torch.from_numpy(taken.values).to(device), torch.from_numpy(taken.offsets[:-1].astype(np.int32)).to(
            device
        )


def towers_forward(network: Towers, features: Features, q: Tensor, negatives: int) -> Callable[[Batch], Forward]:
    """The pass over a batch, with sampled softmax at every real position; each item goes through its tower once.

    Parameters
    ----------
    network, features
        The towers, and what is known of all items.
    q
        ``[n_items]`` probability of drawing each item as a negative.
    negatives
        How many are drawn.
    """
    log_q = q.clamp_min(1e-12).log()

    def forward(batch: Batch) -> Forward:
        real = batch.targets != IGNORED
        drawn = torch.multinomial(q, negatives, replacement=True)
        codes, place = torch.unique(torch.cat([batch.items.flatten(), batch.targets[real], drawn]), return_inverse=True)
        vectors = network.items(*features.take(codes), codes)  # [n, d]
        n_read, n_targets = batch.items.numel(), int(real.sum())
        read, targets, others = place.split([n_read, n_targets, negatives])
        states = network.states(F.embedding(read.view(batch.items.shape), vectors))[real]  # [n_targets, d]

        def value(scored: Sequence[Tensor], weights: Weights | None) -> tuple[Tensor, Tensor]:
            return mean_loss(losses.sampled_softmax(scored[0], scored[1], targets, others, log_q[codes]), weights)

        own = torch.arange(n_targets, device=states.device)
        users = rows_of(real, batch.users)
        return Forward(users, batch.targets[real], (states, vectors), (own, None), value)

    return forward


def _known(histories: Ragged) -> Ragged:
    """The histories without unknown items."""
    known = histories.values >= 0
    if known.all():
        return histories
    return Ragged.from_groups(histories.rows[known], histories.values[known], len(histories))


def _digest(*parts: Ragged) -> str:
    whole = hashlib.sha256()
    for histories in parts:
        whole.update(histories.offsets.tobytes() + histories.values.tobytes())
    return whole.hexdigest()[:16]
