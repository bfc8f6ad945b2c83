"""What models learnt from (user, item) pairs share: options, the loss of a batch, the run of the trainer."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, ClassVar, Literal, Protocol, Self, TypeVar

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from honeyguide.core import artifact
from honeyguide.core.dataset import Dataset
from honeyguide.core.fitting import STATISTICS, Change, FitOptions, ModelConfig
from honeyguide.core.plugin import Hooks
from honeyguide.core.ragged import FloatArray, IntArray, Ragged
from honeyguide.core.recommender import Recommender
from honeyguide.core.requests import Recommendations
from honeyguide.metrics.holdout import drawn_users, holdout_ndcg
from honeyguide.models.factor import pair_update as up
from honeyguide.models.factor.fold_in import FoldIn, How
from honeyguide.models.pace import pace_of, paced
from honeyguide.nn import pair_losses
from honeyguide.nn.forward import Forward, Weights, batch_loss, mean_loss, mean_reweighed
from honeyguide.nn.pairs import PairBatch, PairSampler
from honeyguide.nn.trainer import Batches, OnDevice, Trainer, TrainerSettings, choose_device, seeded

B = TypeVar("B", bound=OnDevice)

Loss = Literal["bpr", "softmax", "contrastive", "logistic", "squared"]
POINTWISE = ("logistic", "squared")


class PairConfig(ModelConfig):
    """Options of models learnt from pairs.

    Parameters
    ----------
    dim
        Width of the vectors.
    loss
        ``"bpr"``: one negative for each pair; ``"softmax"``: cosine softmax over ``negatives`` items shared by a
        batch; ``"contrastive"``: the cosine contrastive loss of SimpleX over them; ``"logistic"``, ``"squared"``:
        pointwise, of sigmoid(u'i) for pairs that occur and ``unlabelled`` pairs that do not.
    temperature
        Of the softmax.
    margin, weight
        Of the contrastive loss.
    negatives
        Items that a batch shares; not read by BPR and pointwise losses.
    any_negative
        A negative of BPR may be an item that the user took: what an unbiased BPR needs.
    unlabelled, unlabelled_weight
        Pairs that do not occur for each that does, and the weight w of not being relevant, in a pointwise loss.
    representative
        Each pair that does not occur counts for all that it stands for, so that a batch estimates the loss over all
        pairs; otherwise those that occur are as many as they are in a batch.
    popularity
        Negatives are drawn in proportion to popularity to this power.
    regularization
        Weight of half the mean squared norms of the vectors of a batch.
    init_std
        Standard deviation of the vectors at the start.
    batch
        Pairs in a batch; ``"auto"`` for fifty steps an epoch or more, between 256 and 8,192 pairs.
    fold_in
        How a user's vector is made from a history; see :class:`~honeyguide.models.factor.fold_in.FoldIn`.
    lr, schedule, average, epochs, patience, min_gain
        See :class:`~honeyguide.nn.trainer.TrainerSettings`.
    update_share, update_epochs, update_lr
        Work of an update as a share of that of the fit, most passes over what changed, and the learning rate as a
        share of ``lr`` (``None``: as the first update finds, see :mod:`honeyguide.models.pace`); read by models with
        capability ``update``.
    valid_users
        Largest number of users on whom an epoch is judged, by NDCG@10.
    """

    dim: int = Field(64, ge=1)
    loss: Loss = "softmax"
    temperature: float = Field(0.2, gt=0)
    margin: float = Field(0.4, ge=-1, lt=1)
    weight: float = Field(100.0, gt=0)
    negatives: int = Field(1024, ge=1)
    any_negative: bool = False
    unlabelled: int = Field(1, ge=1)
    unlabelled_weight: float = Field(1.0, gt=0)
    representative: bool = False
    popularity: float = Field(0.0, ge=0)
    regularization: float = Field(0.0, ge=0)
    init_std: float = Field(0.1, gt=0)
    batch: int | Literal["auto"] = "auto"
    fold_in: How = "map"
    lr: float = Field(0.02, gt=0)
    schedule: Literal["constant", "cosine"] = "constant"
    average: float = Field(0.0, ge=0, lt=1)
    epochs: int = Field(20, ge=1)
    patience: int = Field(3, ge=1)
    min_gain: float = Field(0.0, ge=0)
    update_share: float = Field(0.03, ge=0)
    update_epochs: int = Field(8, ge=1)
    update_lr: float | None = Field(None, gt=0)
    valid_users: int = Field(5_000, ge=1)

    @model_validator(mode="after")
    def _positive_batch(self) -> Self:
        if self.batch != "auto" and self.batch < 1:
            raise ValueError(f"batch ({self.batch}) must be at least 1")
        return self

    def pairs_per_batch(self, n_pairs: int) -> int:
        """``batch``, or the number that follows from that of the pairs."""
        return int(np.clip(n_pairs // 50, 256, 8192)) if self.batch == "auto" else self.batch

    @property
    def pointwise(self) -> bool:
        """Whether an example is a labelled pair."""
        return self.loss in POINTWISE

    @property
    def cosine(self) -> bool:
        """Whether the loss reads the directions of vectors alone."""
        return self.loss in ("softmax", "contrastive")

    @property
    def scored(self) -> int:
        """Items that each pair is scored against."""
        return self.negatives if self.cosine else self.unlabelled if self.pointwise else 1

    def trainer(self) -> TrainerSettings:
        """The part that the trainer reads."""
        return TrainerSettings.of(self)


class PairNetwork(Protocol):
    """A network that gives vectors for the pairs of a batch. Shapes: b pairs, k negatives, d width."""

    def pair_vectors(self, batch: PairBatch) -> tuple[Tensor, Tensor, Tensor]:
        """Users ``[b, d]``, items ``[b, d]`` and negatives ``[b, d]``, ``[k, d]`` or none, as they are scored."""
        ...

    def free_vectors(self, batch: PairBatch) -> tuple[Tensor, ...]:
        """The parameters behind them, which are kept short."""
        ...


def pair_forward(network: PairNetwork, config: PairConfig) -> Callable[[PairBatch], Forward]:
    """The pass over a batch of pairs, with the loss of ``config``."""

    def forward(batch: PairBatch) -> Forward:
        def value(vectors: Sequence[Tensor], weights: Weights | None) -> tuple[Tensor, Tensor]:
            if batch.labels is not None:
                count = batch.stands_for if config.representative else 1.0
                return mean_reweighed(pointwise_losses(vectors, batch.labels, config, count), weights)
            return mean_loss(_losses(vectors, batch.collisions, config), weights)

        rest = None
        if config.regularization:
            rest = config.regularization * pair_losses.squared_norms(*network.free_vectors(batch))
        pairs = torch.arange(len(batch.users), device=batch.users.device)
        negatives = None if config.cosine else pairs[: len(batch.negatives)]
        others = batch.negatives if config.loss == "bpr" else None
        vectors = network.pair_vectors(batch)
        return Forward(
            batch.users, batch.items, vectors, (pairs, pairs, negatives), value, rest, batch.labels, others, batch.taken
        )

    return forward


def _losses(vectors: Sequence[Tensor], collisions: Tensor, config: PairConfig) -> Tensor:
    """The loss of every pair, ``[b]``."""
    users, items, negatives = vectors
    if config.loss == "bpr":
        return pair_losses.bpr(users, items, negatives)
    if config.loss == "softmax":
        return pair_losses.cosine_softmax(users, items, negatives, collisions, config.temperature)
    return pair_losses.cosine_contrastive(users, items, negatives, collisions, config.margin, config.weight)


def pointwise_losses(
    vectors: Sequence[Tensor], y: Tensor, config: PairConfig, count: float = 1.0
) -> Callable[[Tensor | None], Tensor]:
    """From r to ``y r l+ + w (1 - y r) l-`` ``[b]`` over the mean of ``y + w (1 - y)``; y = 0 counts ``count``."""
    kind = pair_losses.squared if config.loss == "squared" else pair_losses.logistic
    liked, disliked = kind(vectors[0], vectors[1])
    w, counts = config.unlabelled_weight, y + count * (1 - y)
    scale = (counts * (y + w * (1 - y))).mean()

    def losses(r: Tensor | None) -> Tensor:
        relevant = y if r is None else y * r
        return counts * (relevant * liked + w * (1 - relevant) * disliked) / scale

    return losses


def pair_batches(pairs: sp.csr_matrix, config: PairConfig) -> PairSampler:
    """Where the batches of ``config`` come from: negatives of single pairs for BPR, shared ones, or labelled pairs."""
    return PairSampler(
        pairs,
        config.pairs_per_batch(pairs.nnz),
        config.negatives if config.cosine else None,
        config.popularity,
        config.seed,
        unlabelled=config.unlabelled if config.pointwise else 0,
        taken=config.any_negative,
    )


class Served(Protocol):
    """What answers requests once a network is trained; :class:`~honeyguide.models.factor.fold_in.FoldIn` is one."""

    @property
    def outward(self) -> FloatArray:
        """float32 ``[m, d]``, what scores are taken against."""
        ...

    def users(self, histories: Ragged) -> FloatArray:
        """float32 ``[n, d]``; zeros for an empty history."""
        ...

    def scores(self, histories: Ragged, users: FloatArray | None = None) -> FloatArray:
        """float32 ``[n, m]``."""
        ...

    def similar(self, items: IntArray, k: int) -> tuple[IntArray, FloatArray]:
        """The ``k`` items of largest cosine with each of ``items``, without itself."""
        ...

    def pack(self) -> tuple[artifact.Arrays, dict[str, Any]]:
        """Arrays and metadata for an artifact."""
        ...


Continued = tuple[nn.Module, Callable[[Any], Forward], Batches[Any], Callable[[], FoldIn]]


class PairModel(Recommender):
    """Base of the models learnt from pairs: they serve from a :class:`~honeyguide.models.factor.fold_in.FoldIn`.

    A score is the inner product of a user's vector, folded in from the history, with an item's.
    """

    capabilities: ClassVar[frozenset[str]] = frozenset({"fold_in", "similar", "inner_product"})
    states: ClassVar[frozenset[str]] = frozenset({"state", "vectors", "weights"})
    served: Served
    hooks: Hooks = Hooks()
    counts: FloatArray | None = None  # [n_items], users who took each item, of models that can be updated
    work: float = 0.0  # pairs that the fit read, all epochs together
    fitted: float = 0.0  # pairs of the fit
    pace: float | None = None  # learning rate of updates as a share of that of the fit, once one could tell

    def _train(
        self,
        network: nn.Module,
        forward: Callable[[B], Forward],
        batches: Batches[B],
        data: Dataset,
        options: FitOptions,
        serve: Callable[[], Served],
    ) -> None:
        """Train ``network`` in place, and serve what it has become.

        Parameters
        ----------
        network, forward, batches
            What is trained, the pass over a batch, and where the batches come from.
        data
            What the batches were made of; valid, where there is one, chooses the epoch.
        options
            How.
        serve
            The present weights as they would answer requests; epochs are judged by it.
        """
        config: Any = self.config
        valid = data.histories("valid")
        trainer = Trainer(
            network,
            batch_loss(forward, self.hooks),
            batches,
            config.trainer(),
            options,
            _validation(data.histories("train"), valid, config, serve, self.hooks),
            identity=f"{type(network).__name__} {config.model_dump_json()} {_digest(data.matrix('train'), valid)} "
            f"torch {torch.__version__} {self.hooks.identity}",
            hooks=self.hooks,
        )
        self.report.curve = trainer.run()
        self.report.finished, self.report.begun = trainer.finished, trainer.begun
        self.served = serve()
        pairs = data.matrix("train")
        self.counts = np.asarray(pairs.sum(axis=0), np.float32).ravel()
        self.fitted, self.work = float(pairs.nnz), float(pairs.nnz * len(self.report.curve))
        self.pace = None

    def _update(self, change: Change, options: FitOptions) -> None:
        """Go on training, for ``update_share`` of the work of the fit, on what changed and on ``replay``.

        The rest of the log is not seen again, Adam starts anew, nothing is validated, and the map from a history
        to a user's vector stays.
        """
        served, config = self.served, self.config
        if not isinstance(served, FoldIn) or not isinstance(config, PairConfig):
            raise NotImplementedError(f"{self.name} serves from something else")
        self.counts = up.counted_on(self.counts, change, self.name)
        start = up.grown_fold_in(served, change, self.counts)
        train = partial(self._train_on, start, options)
        given = pace_of(config.update_lr, self.pace, options)
        self.served, pace = paced(change, given, config.seed, train, lambda model, h: model.scores(h))
        self.pace = pace if given is None else self.pace

    def _train_on(self, served: FoldIn, options: FitOptions, change: Change, pace: float) -> Served:
        config: Any = self.config
        windows = up.windows_of(change, config, self.work)
        if not (windows.lengths >= 2).any():
            return served
        c = up.smaller_batches(config, self.fitted)
        c = c.model_copy(update={"seed": c.seed + len(self.report.updates) + 1})
        device = choose_device(options.device)
        with seeded(c.seed, device):
            network, forward, batches, serve = self._go_on(served, windows, c, device)
        Trainer(network, batch_loss(forward, Hooks()), batches, up.update_trainer(config, pace), options).run()
        return serve()

    def _go_on(self, served: FoldIn, histories: Ragged, config: Any, device: torch.device) -> Continued:
        """A network that stands where ``served`` does, users being ``histories``, and what trains it further.

        Parameters
        ----------
        served
            Of the model so far, with the new items.
        histories
            What to learn from.
        config
            Options, with the batches of an update.
        device
            Where to train.
        """
        raise NotImplementedError(f"{self.name} cannot go on training")

    def user_vectors(self, histories: Ragged) -> FloatArray:
        """float32 ``[n, d]``: folded in; zeros for an empty history."""
        return self.hooks.edit_state(self.served.users(histories), histories)

    def item_vectors(self) -> FloatArray:
        """float32 ``[n_items, d]``; a score is the inner product of a user's vector with an item's."""
        return self.served.outward

    def score_histories(self, histories: Ragged, users: IntArray | None = None) -> FloatArray:
        """float32 ``[n, n_items]``."""
        return self.served.scores(histories, self.user_vectors(histories))

    def similar(self, items: IntArray, k: int = 10) -> Recommendations:
        """The items of largest cosine between vectors."""
        return Recommendations(*self.served.similar(items, k), self._fitted())

    def _state(self) -> tuple[artifact.Arrays, dict[str, Any]]:
        arrays, meta = self.served.pack()
        if "update" not in self.capabilities or self.counts is None:
            return arrays, meta
        own = {"work": self.work, "pairs": self.fitted, "pace": self.pace}
        return {**arrays, f"{STATISTICS}counts": self.counts}, {**meta, **own}

    def _restore(self, arrays: Mapping[str, npt.NDArray[Any]], meta: dict[str, Any]) -> None:
        if "work" in meta:  # older versions kept nothing for updates
            self.counts, self.work = np.array(arrays[f"{STATISTICS}counts"]), meta["work"]
            self.fitted, self.pace = meta["pairs"], meta.get("pace")
        self.served = FoldIn.unpack(arrays, meta)


def _validation(
    train: Ragged, valid: Ragged, config: PairConfig, serve: Callable[[], Served], hooks: Hooks
) -> Callable[[], float] | None:
    users = drawn_users(valid, config.valid_users, config.seed)
    if len(users) == 0:
        return None
    histories, truth = train.take(users), valid.take(users)
    weights = hooks.truth_weights(users, truth)

    def judge() -> float:
        served = serve()
        return float(holdout_ndcg(lambda h, _: served.scores(h), histories, truth, weights=weights).mean())

    return judge


def to_numpy(vectors: Tensor) -> Any:
    """float32 array of ``vectors``, off the device and the graph."""
    return vectors.detach().float().cpu().numpy().copy()


def _digest(pairs: sp.csr_matrix, valid: Ragged) -> str:
    seen = hashlib.sha256()
    for part in (pairs.indptr, pairs.indices, valid.offsets, valid.values):
        seen.update(np.ascontiguousarray(part).tobytes())
    return seen.hexdigest()[:16]
