"""SASRec: causal self-attention over a user's items (Kang & McAuley 2018), in its best known form.

The state after each item predicts the next one by a dot product with the item table. Beside the
original, this one has gated pre-norm blocks (LiGR), rotary positions where histories are long, and
a softmax over the whole catalogue at every position; see ``docs/models/sasrec.md``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, ClassVar, Literal, Self

import numpy as np
import numpy.typing as npt
import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from honeyguide.core import artifact
from honeyguide.core.dataset import Dataset
from honeyguide.core.errors import DataError
from honeyguide.core.ragged import FloatArray, IntArray, Ragged
from honeyguide.core.recommender import STATISTICS, Change, FitOptions, ModelConfig, Recommender
from honeyguide.core.requests import Recommendations
from honeyguide.core.resources import Estimate
from honeyguide.core.space import Choice, Real, Space, Whole
from honeyguide.core.topk import NEVER, top_k
from honeyguide.metrics.holdout import holdout_ndcg
from honeyguide.models.sequence.cooccurrence import cooccurrence_vectors, with_new_items
from honeyguide.nn import losses
from honeyguide.nn.backbone import encode
from honeyguide.nn.batches import IGNORED, Batch, PackedWindows
from honeyguide.nn.blocks import Dropout, EventDropout, LiGRBlock, RMSNorm, Rotary, SASRecBlock, init_weights
from honeyguide.nn.trainer import Trainer, TrainerSettings, choose_device, seeded

Auto = Literal["auto"]
_BLOCKS = {"ligr": LiGRBlock, "sasrec": SASRecBlock}


class SASRecConfig(ModelConfig):
    """Options of :class:`SASRec`; those that are ``"auto"`` follow from the shape of the data.

    Parameters
    ----------
    dim
        Width of items and states.
    blocks, heads
        Number of blocks and of attention heads in each.
    max_len
        Events of a history that are read, the latest.
    positions
        ``"learned"`` or ``"rope"``.
    block
        ``"ligr"`` or the original ``"sasrec"``.
    dropout
        On the input and on every residual branch.
    event_dropout
        Share of the events of a window that are hidden while training.
    init
        Item vectors at the start: of what occurs near each other
        (:func:`~honeyguide.models.sequence.cooccurrence.cooccurrence_vectors`), or random.
    init_std
        Standard deviation of all weights at the start; twice that for vectors from co-occurrence.
    loss
        ``"softmax"`` over all items, or ``"sampled"`` softmax, ``"gbce"``, ``"bce"`` over ``negatives``.
    negatives
        Items drawn uniformly per batch and shared by its positions.
    calibration
        t of gBCE.
    lr, warmup, schedule, weight_decay, clip, average, epochs, patience, min_gain
        See :class:`~honeyguide.nn.trainer.TrainerSettings`.
    update_epochs, update_lr
        Passes of an update over what changed, and its learning rate as a share of ``lr``.
    valid_users
        Largest number of users on whom an epoch is judged.
    batch_tokens
        Positions in a batch.
    """

    dim: int | Auto = "auto"
    blocks: int | Auto = "auto"
    heads: int | Auto = "auto"
    max_len: int | Auto = "auto"
    positions: Literal["learned", "rope", "auto"] = "auto"
    block: Literal["ligr", "sasrec"] = "ligr"
    dropout: float | Auto = "auto"
    event_dropout: float | Auto = "auto"
    init: Literal["cooccurrence", "normal"] = "cooccurrence"
    init_std: float = Field(0.02, gt=0)
    loss: Literal["softmax", "sampled", "gbce", "bce"] = "softmax"
    negatives: int = Field(256, ge=1)
    calibration: float = Field(0.75, ge=0, le=1)
    lr: float | Auto = "auto"
    warmup: int = Field(200, ge=0)
    schedule: Literal["constant", "cosine"] = "constant"
    weight_decay: float = Field(0.0, ge=0)
    clip: float | None = None
    average: float = Field(0.999, ge=0, lt=1)
    epochs: int = Field(60, ge=1)
    patience: int = Field(4, ge=1)
    min_gain: float = Field(0.005, ge=0)
    update_epochs: int = Field(2, ge=1)
    update_lr: float = Field(0.1, gt=0)
    valid_users: int = Field(10_000, ge=1)
    batch_tokens: int | Auto = "auto"

    @model_validator(mode="after")
    def _divisible(self) -> Self:
        if self.dim == "auto":
            return self
        if self.dim < 2:
            raise ValueError(f"dim ({self.dim}) must be at least 2")
        if self.heads != "auto" and self.dim % (2 * self.heads):
            raise ValueError(f"dim ({self.dim}) must be a multiple of twice the heads ({self.heads})")
        return self

    def resolve(self, lengths: npt.NDArray[np.int64]) -> SASRecConfig:
        """The same options with every ``"auto"`` set by rule from the lengths of the training histories.

        Short histories (a median under 20 events: purchases, reviews) get one wide block, learnt
        positions and strong dropout, of events too; long ones (ratings, plays) two blocks and relative positions.
        Batches are sized for at least 200 steps an epoch.
        """
        useful = lengths[lengths >= 2]
        long = len(useful) > 0 and np.median(useful) >= 20
        max_len = 200 if long else 50
        targets = int(np.minimum(useful - 1, max_len).sum())
        dim = self.dim if self.dim != "auto" else 64 if long else 128
        rules: dict[str, Any] = {
            "dim": dim,
            "blocks": 2 if long else 1,
            "heads": 2 if long and dim % 4 == 0 else 1,
            "max_len": max_len,
            "positions": "rope" if long else "learned",
            "dropout": 0.2 if long else 0.4,
            "event_dropout": 0.0 if long else 0.2,
            "lr": 2e-3 if long else 1e-3,
            "batch_tokens": int(np.clip(targets // 200, 1024, 3200)),
        }
        return self.model_copy(update={name: v for name, v in rules.items() if getattr(self, name) == "auto"})

    def trainer(self) -> TrainerSettings:
        """The part that the trainer reads; only for a resolved configuration."""
        names = (
            "epochs",
            "lr",
            "warmup",
            "schedule",
            "weight_decay",
            "clip",
            "average",
            "patience",
            "min_gain",
            "seed",
        )
        return TrainerSettings(**{name: getattr(self, name) for name in names})


class SASRecNetwork(nn.Module):
    """The network; a :class:`~honeyguide.nn.backbone.Backbone`.

    Parameters
    ----------
    n_items
        Size m of the catalogue.
    config
        A resolved configuration.
    """

    def __init__(self, n_items: int, config: SASRecConfig) -> None:
        super().__init__()
        c: Any = config  # every "auto" is resolved
        self.items = nn.Embedding(n_items, c.dim)  # tied: read as input, scored against as output
        nn.init.normal_(self.items.weight, std=c.init_std)
        self.positions = nn.Parameter(torch.randn(c.max_len, c.dim) * c.init_std) if c.positions == "learned" else None
        rotary = Rotary(c.dim // c.heads, c.max_len) if c.positions == "rope" else None
        self.blocks = nn.ModuleList(_BLOCKS[c.block](c.dim, c.heads, c.dropout, rotary) for _ in range(c.blocks))
        init_weights(self.blocks, c.init_std)
        self.norm = RMSNorm(c.dim)
        self.dropout, self.hide = Dropout(c.dropout), EventDropout(c.event_dropout)

    def hidden(self, items: Tensor) -> Tensor:
        """int64 ``[b, t]`` to ``[b, t, d]``."""
        x = self.items(items)
        if self.positions is not None:
            x = x + self.positions[: items.shape[1]]
        x = self.hide(self.dropout(x))
        for block in self.blocks:
            x = block(x)
        normed: Tensor = self.norm(x)
        return normed

    def user_state(self, items: Tensor, lengths: Tensor) -> Tensor:
        """``[b, d]``: the state after the last real position of each row."""
        return self.hidden(items)[torch.arange(len(items), device=items.device), lengths - 1]

    def score(self, state: Tensor, items: Tensor | None = None) -> Tensor:
        """``[b, m]``, or ``[b, k]`` for the item codes ``items`` ``[k]``."""
        vectors = self.items.weight if items is None else self.items.weight[items]
        return state @ vectors.T

    def item_vectors(self) -> Tensor:
        """``[m, d]``."""
        return self.items.weight


def training_loss(network: SASRecNetwork, config: SASRecConfig) -> Callable[[Batch], Tensor]:
    """The loss of ``config`` at every real position of a batch."""

    def loss(batch: Batch) -> Tensor:
        real = batch.targets != IGNORED
        hidden, targets = network.hidden(batch.items)[real], batch.targets[real]  # [n, d], [n]
        table = network.item_vectors()
        if config.loss == "softmax":
            return losses.full_softmax(hidden, table, targets)
        negatives = torch.randint(len(table), (config.negatives,), device=hidden.device)
        if config.loss == "sampled":
            return losses.sampled_softmax(hidden, table, targets, negatives)
        calibration = config.calibration if config.loss == "gbce" else 0.0
        return losses.gbce(hidden, table, targets, negatives, calibration)

    return loss


class SASRec(Recommender):
    """Next-item prediction by causal self-attention; the score is the dot product of state and item, a logit.

    A user is served from the latest ``max_len`` events. An empty history is given the logarithm
    of the items' share of the training events: what a softmax without a history would learn.
    """

    name = "sasrec"
    Config = SASRecConfig
    space: ClassVar[Space] = {
        "dim": Choice((32, 64, 128)),
        "blocks": Whole(1, 3),
        "dropout": Real(0.0, 0.6),
        "event_dropout": Real(0.0, 0.4),
        "lr": Real(3e-4, 6e-3, log=True),
        "max_len": Choice((50, 100, 200)),
    }
    capabilities = frozenset({"fold_in", "similar", "inner_product", "update"})
    scale = "logit"
    config: SASRecConfig

    def _fit(self, data: Dataset, options: FitOptions) -> None:
        train, valid = data.histories("train"), data.histories("valid")
        if not (train.lengths >= 2).any():
            raise DataError(
                "sasrec learns from what follows what, and no training history has two events.",
                "Use popularity, or give longer histories.",
            )
        self.resolved = self.config.resolve(train.lengths)
        self._count(data.popularity("train"))
        device = choose_device(options.device)
        with seeded(self.resolved.seed, device):
            self.network = SASRecNetwork(data.n_items, self.resolved).to(device)
        if self.resolved.init == "cooccurrence":
            c: Any = self.resolved
            start = cooccurrence_vectors(train, data.n_items, c.dim, 2 * c.init_std, c.seed)
            with torch.no_grad():
                self.network.items.weight.copy_(torch.from_numpy(start))
        batches = PackedWindows(train, self._max_len, int(self.resolved.batch_tokens), self.resolved.seed)
        self.report.curve = Trainer(
            self.network,
            training_loss(self.network, self.resolved),
            batches,
            self.resolved.trainer(),
            options,
            self._validation(train, valid),
            identity=f"{self.resolved.model_dump_json()} {_digest(train)} {_digest(valid)} torch {torch.__version__}",
        ).run()

    def _count(self, counts: FloatArray) -> None:
        self.counts = counts
        self.log_share: FloatArray = np.log((counts + 1) / (counts.sum() + len(counts))).astype(np.float32)

    def _update(self, change: Change, options: FitOptions) -> None:
        """Go on training: a few passes over the latest windows of the changed users and of ``replay``.

        Not what a fit on the whole log would give: the rest of it is not seen again, Adam starts anew,
        nothing is validated, and options that follow from the data stay those of the fit.
        """
        c: Any = self.resolved
        counts = np.bincount(change.after.values, minlength=change.n_items)
        counts -= np.bincount(change.before.values, minlength=change.n_items)
        more = change.n_items - len(self.counts)
        self._count((np.pad(self.counts, (0, more)) + counts).astype(np.float32))
        device = choose_device(options.device)
        if more:
            self._grow(change)
        windows = change.after.last(c.max_len + 1)
        if change.replay is not None:
            windows = windows.concat_rows(change.replay.known().last(c.max_len + 1))
        if (windows.lengths >= 2).any():
            self.network.to(device)
            batches = PackedWindows(windows, self._max_len, int(c.batch_tokens), c.seed + len(self.report.updates) + 1)
            how = {"epochs": c.update_epochs, "lr": c.lr * c.update_lr, "warmup": 0, "average": 0.0}
            settings = replace(c.trainer(), schedule="constant", patience=c.update_epochs, **how)
            Trainer(self.network, training_loss(self.network, c), batches, settings, options).run()

    def _grow(self, change: Change) -> None:
        """Give new items a vector, and the network a table that has it."""
        table = with_new_items(self.item_vectors(), change.after, change.n_items)
        weights = self.network.state_dict() | {"items.weight": torch.from_numpy(table)}
        self.network = SASRecNetwork(change.n_items, self.resolved).eval()
        self.network.load_state_dict(weights)

    def _validation(self, train: Ragged, valid: Ragged) -> Callable[[], float] | None:
        """Mean NDCG@10 on valid, of at most ``valid_users`` users drawn once."""
        users = np.flatnonzero(valid.lengths)
        if len(users) == 0:
            return None
        if len(users) > self.resolved.valid_users:
            users = np.random.default_rng(self.resolved.seed).choice(users, self.resolved.valid_users, replace=False)
        histories, truth = train.take(users), valid.take(users)
        return lambda: float(holdout_ndcg(self._score, histories, truth).mean())

    @property
    def _max_len(self) -> int:
        return int(self.resolved.max_len)

    @property
    def _device(self) -> torch.device:
        return self.network.items.weight.device

    # -- use ----------------------------------------------------------------------------------

    def user_vectors(self, histories: Ragged) -> FloatArray:
        """float32 ``[n, d]``: the state after each history; zeros where it is empty."""
        histories = histories.known()
        vectors = np.zeros((len(histories), self.network.items.embedding_dim), np.float32)
        some = np.flatnonzero(histories.lengths)
        vectors[some] = encode(self.network, histories.take(some), self._max_len, self._device)
        return vectors

    def item_vectors(self) -> FloatArray:
        """float32 ``[n_items, d]``; a score is the dot product of a user's vector with an item's."""
        vectors: FloatArray = self.network.item_vectors().detach().cpu().numpy()
        return vectors

    def score_histories(self, histories: Ragged, users: IntArray | None = None) -> FloatArray:
        """float32 ``[n, n_items]`` logits."""
        histories = histories.known()
        scores: FloatArray = self.user_vectors(histories) @ self.item_vectors().T
        scores[histories.lengths == 0] = self.log_share
        return scores

    def _score(self, histories: Ragged, users: IntArray) -> FloatArray:
        return self.score_histories(histories, users)

    def similar(self, items: IntArray, k: int = 10) -> Recommendations:
        """The ``k`` items whose vectors have the highest cosine with those of ``items``, without itself."""
        ids = self._fitted()
        vectors = self.item_vectors()
        vectors = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
        cosine = vectors[items] @ vectors.T  # [n, n_items]
        cosine[np.arange(len(items)), items] = NEVER
        return Recommendations(*top_k(cosine, k), ids, "rank")

    # -- cost and storage ---------------------------------------------------------------------

    def estimate(self, data: Dataset) -> Estimate:
        """Weights with gradient, two moments, average and best copy; a batch; a block of scores. Time per target.

        Early stopping is taken to end the run halfway.
        """
        lengths = data.histories("train").lengths
        c: Any = self.config.resolve(lengths)
        m, d = data.n_items, c.dim
        weights = m * d + c.max_len * d + 14 * c.blocks * d * d
        activations = 40 * c.blocks * c.batch_tokens * max(d, c.max_len * c.heads / 8)
        lanczos = 8 * (2 * d + 1) * m if c.init == "cooccurrence" else 0  # given back before training
        memory = 4 * max(6 * weights + activations, weights + lanczos / 4) + 160 * data.interactions.height + 4e8
        scored = m if c.loss == "softmax" else c.negatives
        flops = 6 * d * scored + 90 * c.blocks * d * (d + c.max_len / 6)  # of one position, forward and backward
        targets = float(np.minimum(np.maximum(lengths - 1, 0), c.max_len).sum()) * c.epochs / 2
        return Estimate(memory, targets * (flops / 60e9 + 1e-9 * scored + 5e-6))

    @property
    def n_parameters(self) -> int:
        """Weights of the network."""
        return sum(p.numel() for p in self.network.parameters())

    def _state(self) -> tuple[artifact.Arrays, dict[str, Any]]:
        arrays = {name: t.detach().cpu().numpy() for name, t in self.network.state_dict().items()}
        return {**arrays, f"{STATISTICS}counts": self.counts}, {"resolved": self.resolved.model_dump(mode="json")}

    def _restore(self, arrays: Mapping[str, npt.NDArray[Any]], meta: dict[str, Any]) -> None:
        self.resolved = SASRecConfig(**meta["resolved"])
        weights = {name: torch.from_numpy(np.array(a)) for name, a in arrays.items() if not name.startswith(STATISTICS)}
        self._count(np.array(arrays[f"{STATISTICS}counts"]))
        self.network = SASRecNetwork(len(self.log_share), self.resolved).eval()
        self.network.load_state_dict(weights)


def _digest(histories: Ragged) -> str:
    return hashlib.sha256(histories.offsets.tobytes() + histories.values.tobytes()).hexdigest()[:16]
