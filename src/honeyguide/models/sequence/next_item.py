"""What every next-item model shares: options of training, the tied item table, fitting, serving, storing.

A model of this kind reads the latest events of a history and gives a state; the score of an item
is its dot product with that state. What differs is how the state is made: a subclass names its
``Config`` and builds its network, and overrides a hook where it needs to.
"""

from __future__ import annotations

import copy
import hashlib
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from honeyguide.core import artifact
from honeyguide.core.dataset import Dataset
from honeyguide.core.errors import DataError
from honeyguide.core.fitting import STATISTICS, Change, FitOptions
from honeyguide.core.inner_product import top_k_cosine, top_k_inner_product
from honeyguide.core.plugin import Hooks
from honeyguide.core.ragged import FloatArray, IntArray, Ragged
from honeyguide.core.recommender import Lists, Recommender
from honeyguide.core.requests import Recommendations, Requests
from honeyguide.core.resources import Estimate
from honeyguide.core.space import Choice, Real, Space
from honeyguide.encode.items import ItemText
from honeyguide.encode.text import text_encoder
from honeyguide.metrics.holdout import drawn_users, holdout_ndcg
from honeyguide.models.pace import pace_of, paced
from honeyguide.models.sequence.cooccurrence import cooccurrence_vectors, with_new_items
from honeyguide.models.sequence.next_item_config import NextItemConfig
from honeyguide.models.sequence.next_item_update import CONTEXT, SMALLER, update_windows
from honeyguide.models.sequence.text_start import text_start
from honeyguide.nn import losses
from honeyguide.nn.backbone import encode, encode_positions, prefixes
from honeyguide.nn.batches import IGNORED, Batch, PackedWindows
from honeyguide.nn.forward import Forward, Weights, batch_loss, mean_loss, mean_reweighed, rows_of
from honeyguide.nn.trainer import Trainer, choose_device, seeded


class NextItemNetwork(nn.Module):
    """A :class:`~honeyguide.nn.backbone.Backbone` with a tied item table; subclasses define :meth:`read`.

    Parameters
    ----------
    n_items
        Size m of the catalogue.
    dim
        Width d of items and states.
    init_std
        Standard deviation of the item vectors at the start.
    """

    reads_times = False

    def __init__(self, n_items: int, dim: int, init_std: float) -> None:
        super().__init__()
        self.items = nn.Embedding(n_items, dim)  # tied: read as input, scored against as output
        nn.init.normal_(self.items.weight, std=init_std)

    def hidden(self, items: Tensor, times: Tensor | None = None) -> Tensor:
        """int64 ``[b, t]``, padded on the right, to states after each position ``[b, t, d]``.

        ``times``, where they are known and the network reads them: int64 ``[b, t]``, microseconds.
        """
        return self.read(self.items(items))

    def read(self, vectors: Tensor) -> Tensor:
        """Vectors of events ``[b, t, d]`` to states after each of them ``[b, t, d]``."""
        raise NotImplementedError(f"{type(self).__name__} defines no states")

    def user_state(self, items: Tensor, lengths: Tensor, times: Tensor | None = None) -> Tensor:
        """``[b, d]``: the state after the last real position of each row."""
        return self.hidden(items, times)[torch.arange(len(items), device=items.device), lengths - 1]

    def score(self, state: Tensor, items: Tensor | None = None) -> Tensor:
        """``[b, m]``, or ``[b, k]`` for the item codes ``items`` ``[k]``."""
        vectors = self.item_vectors() if items is None else self.item_vectors()[items]
        return state @ vectors.T

    def item_vectors(self) -> Tensor:
        """``[m, d]``."""
        return self.items.weight


def target_forward(config: NextItemConfig, users: Tensor, hidden: Tensor, table: Tensor, targets: Tensor) -> Forward:
    """States ``[n, d]`` of ``users`` ``[n]`` against a table ``[m, d]`` with ``targets`` ``[n]``."""
    negatives = None
    if config.loss != "softmax":
        drawn: Any = config.negatives  # a number, once resolved
        negatives = torch.randint(len(table), (drawn,), device=hidden.device)

    def value(vectors: Sequence[Tensor], weights: Weights | None) -> tuple[Tensor, Tensor]:
        states, items = vectors
        if negatives is None:
            return losses.full_softmax(states, items, targets, weights.factor if weights is not None else None)
        if config.loss == "importance":
            return mean_loss(losses.importance_softmax(states, items, targets, negatives), weights)
        if config.loss == "sampled":
            return mean_loss(losses.sampled_softmax(states, items, targets, negatives), weights)
        if config.loss == "bce":
            return mean_reweighed(lambda r: losses.bce(states, items, targets, negatives, r), weights)
        return mean_loss(losses.gbce(states, items, targets, negatives, config.calibration), weights)

    own = torch.arange(len(hidden), device=hidden.device)
    return Forward(users, targets, (hidden, table), (own, None), value)


def next_item_forward(network: NextItemNetwork, config: NextItemConfig) -> Callable[[Batch], Forward]:
    """The pass over a batch of windows: every real position predicts what came next."""

    def forward(batch: Batch) -> Forward:
        real = batch.targets != IGNORED
        users = rows_of(real, batch.users)
        hidden = network.hidden(batch.items, batch.times)[real]
        return target_forward(config, users, hidden, network.item_vectors(), batch.targets[real])

    return forward


class NextItemModel(Recommender):
    """Base of the models that predict the next item; the score is the dot product of state and item, a logit.

    A user is served from the latest ``max_len`` events. An empty history is given the logarithm
    of the items' share of the training events: what a softmax without a history would learn.
    """

    Config: ClassVar[type[NextItemConfig]] = NextItemConfig
    space: ClassVar[Space] = {
        "dim": Choice((32, 64, 128)),
        "dropout": Real(0.0, 0.6),
        "event_dropout": Real(0.0, 0.4),
        "lr": Real(3e-4, 6e-3, log=True),
        "max_len": Choice((50, 100, 200)),
    }
    capabilities = frozenset({"fold_in", "similar", "inner_product", "update"})
    states: ClassVar[frozenset[str]] = frozenset({"state", "positions", "vectors", "weights", "inputs"})
    scale = "logit"
    hooks: Hooks = Hooks()
    config: NextItemConfig
    resolved: NextItemConfig
    network: NextItemNetwork
    work: float = 0.0  # positions that the fit read, all epochs together
    pace: float | None = None  # learning rate of updates as a share of that of the fit, once one could tell

    # -- what a model of this kind says of itself -----------------------------------------------

    @abstractmethod
    def _build(self, n_items: int) -> NextItemNetwork:
        """The network of ``self.resolved``, for ``n_items`` items."""

    def _resolve(self, train: Ragged) -> Any:
        """The options with every ``"auto"`` set from the training histories."""
        return self.config.resolve(train.lengths)

    def _forward(self) -> Callable[[Batch], Forward]:
        """The pass over a batch of windows, with the loss that is minimised."""
        return next_item_forward(self.network, self.resolved)

    def initial_items(self, data: Dataset) -> FloatArray | None:
        """float32 ``[n_items, d]``: item vectors to start from, or ``None`` to keep the random ones."""
        c: Any = self.resolved
        if c.init == "normal":
            return None
        described = {"cooccurrence": 0, "both": c.dim // 2, "text": c.dim}[c.init]  # columns that come from text
        train, std, parts = data.histories("train"), 2 * c.init_std, []
        if described < c.dim:
            parts.append(cooccurrence_vectors(train, data.n_items, c.dim - described, std, c.seed))
        if described:
            encoder = text_encoder(c.text)
            vectors = ItemText.of(data.items, encoder).vectors(data.items)
            parts.append(text_start(vectors, described, std, c.seed))
        return np.concatenate(parts, axis=1)

    # -- fitting ------------------------------------------------------------------------------

    def _fit(self, data: Dataset, options: FitOptions) -> None:
        train, valid = data.histories("train"), data.histories("valid")
        if not (train.lengths >= 2).any():
            raise DataError(
                f"{self.name} learns from what follows what, and no training history has two events.",
                "Use popularity, or give longer histories.",
            )
        self.resolved = self._resolve(train)
        self._count(data.popularity("train"))
        device = choose_device(options.device)
        with seeded(self.resolved.seed, device):
            self.network = self._build(data.n_items).to(device)
        start = self.initial_items(data)
        if start is not None:
            with torch.no_grad():
                self.network.items.weight.copy_(torch.from_numpy(start))
        windows = self._windows(train, self.resolved.seed)
        trainer = Trainer(
            self.network,
            batch_loss(self._forward(), self.hooks),
            windows,
            self.resolved.trainer(),
            options,
            self._validation(train, valid),
            identity=f"{self.resolved.model_dump_json()} {self._digest(train)} {self._digest(valid)} "
            f"torch {torch.__version__} {self.hooks.identity}",
            hooks=self.hooks,
        )
        self.report.curve = trainer.run()
        self.report.finished, self.report.begun = trainer.finished, trainer.begun
        self.work = float(windows.targets_per_epoch * len(self.report.curve))
        self.pace = None

    def _count(self, counts: FloatArray) -> None:
        self.counts = counts
        self.log_share: FloatArray = np.log((counts + 1) / (counts.sum() + len(counts))).astype(np.float32)

    def _update(self, change: Change, options: FitOptions) -> None:
        """Go on training, for ``update_share`` of the work of the fit, on what changed and on ``replay``.

        Where valid is learnt, of which nearly everybody has something, whole histories are read once: an epoch. Not
        what a fit on the whole log would give: the rest of it is not seen again, Adam starts anew, nothing is
        validated, and options that follow from the data stay those of the fit.
        """
        c: Any = self.resolved
        counts = np.bincount(change.after.values, minlength=change.n_items)
        counts -= np.bincount(change.before.values, minlength=change.n_items)
        more = change.n_items - len(self.counts)
        self._count((np.pad(self.counts, (0, more)) + counts).astype(np.float32))
        if more:
            self._grow(change)
        start, options = self.network, replace(options, checkpoint=None)

        def train(part: Change, pace: float) -> NextItemNetwork:
            self.network = copy.deepcopy(start)
            self._train_on(part, pace, options)
            return self.network

        def scores(network: NextItemNetwork, histories: Ragged) -> FloatArray:
            self.network = network
            return self.score_histories(histories)

        given = pace_of(c.update_lr, self.pace, options)
        self.network, pace = paced(change, given, c.seed, train, scores)
        self.pace = pace if given is None else self.pace

    def _train_on(self, change: Change, pace: float, options: FitOptions) -> None:
        c: Any = self.resolved
        whole = options.learn_valid
        work, context = (0.0, c.max_len) if whole else (c.update_share * self.work, CONTEXT)
        windows = update_windows(change, work, c.max_len, c.update_epochs, context)
        if (windows.lengths >= 2).any():
            self.network.to(choose_device(options.device))
            tokens = max(c.max_len, c.batch_tokens // SMALLER)
            batches = self._windows(windows, c.seed + len(self.report.updates) + 1, tokens)
            how = {"epochs": 1, "lr": c.lr * pace, "warmup": 0, "average": 0.0}
            settings = replace(c.trainer(), schedule="constant", patience=1, **how)
            Trainer(self.network, batch_loss(self._forward(), Hooks()), batches, settings, options).run()

    def _grow(self, change: Change) -> None:
        """Give new items a vector, and the network a table that has it."""
        table = with_new_items(self.item_vectors(), change.after, change.n_items)
        weights = self.network.state_dict() | {"items.weight": torch.from_numpy(table)}
        self.network = self._build(change.n_items).eval()
        self.network.load_state_dict(weights)

    def _validation(self, train: Ragged, valid: Ragged) -> Callable[[], float] | None:
        """Mean NDCG@10 on valid, of at most ``valid_users`` users drawn once."""
        users = drawn_users(valid, self.resolved.valid_users, self.resolved.seed)
        if len(users) == 0:
            return None
        histories, truth = train.take(users), valid.take(users)
        weights = self.hooks.truth_weights(users, truth)
        return lambda: float(holdout_ndcg(self._score, histories, truth, weights=weights).mean())

    def _windows(self, histories: Ragged, seed: int, tokens: int | None = None) -> PackedWindows:
        c: Any = self.resolved
        return PackedWindows(histories, c.max_len, tokens or c.batch_tokens, seed, self.network.reads_times)

    def _digest(self, histories: Ragged) -> str:
        digest = hashlib.sha256(histories.offsets.tobytes() + histories.values.tobytes())
        if self.network.reads_times and histories.times is not None:
            digest.update(histories.times.tobytes())
        return digest.hexdigest()[:16]

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
        return self.hooks.edit_state(vectors, histories)

    def position_states(self, histories: Ragged) -> tuple[FloatArray, Ragged]:
        """The state after each of the latest ``max_len`` events, and these events (state ``positions``).

        Returns
        -------
        ndarray, Ragged
            float32 ``[n_events, d]``, each what :meth:`user_vectors` gives for the events up to it; and the events.
        """
        read = histories.known().last(self._max_len)
        states = encode_positions(self.network.hidden, read, self._device)
        if self.hooks.have("edit_state"):
            states = self.hooks.edit_state(states, prefixes(read))
        return states, read

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

    def _rank(self, requests: Requests, k: int) -> Lists:
        histories = requests.histories.known()
        lists = top_k_inner_product(self.user_vectors(histories), self.item_vectors(), k, requests.excluded)
        for row in np.flatnonzero(histories.lengths == 0):  # their scores are no inner products
            one = self._rank_dense(requests.take(slice(row, row + 1)), k)
            lists[0][row], lists[1][row] = one[0][0], one[1][0]
        return lists

    def _score(self, histories: Ragged, users: IntArray) -> FloatArray:
        return self.score_histories(histories, users)

    def similar(self, items: IntArray, k: int = 10) -> Recommendations:
        """The ``k`` items whose vectors have the highest cosine with those of ``items``, without itself."""
        ids = self._fitted()
        return Recommendations(*top_k_cosine(self.item_vectors(), items, k), ids, "rank")

    # -- cost and storage ---------------------------------------------------------------------

    def estimate(self, data: Dataset) -> Estimate:
        """Weights with gradient, two moments, average and best copy; a batch; a block of scores. Time per target.

        Early stopping is taken to end the run halfway.
        """
        train = data.histories("train")
        lengths = train.lengths
        c: Any = self._resolve(train)
        cost, m, d = c.cost(), data.n_items, c.dim
        weights = m * d + cost.weights
        lanczos = 8 * (2 * d + 1) * m if c.init in ("cooccurrence", "both") else 0  # given back before training
        activations = cost.activations * c.batch_tokens
        memory = 4 * max(6 * weights + activations, weights + lanczos / 4) + 160 * data.interactions.height + 4e8
        scored = m if c.loss == "softmax" else c.negatives
        per_target = 6 * d * scored / 60e9 + 1e-9 * scored
        positions = float(np.minimum(np.maximum(lengths - 1, 0), c.max_len).sum()) * c.epochs / 2
        return Estimate(memory, positions * (cost.flops / 60e9 + cost.targets * per_target + 5e-6))

    @property
    def n_parameters(self) -> int:
        """Weights of the network."""
        return sum(p.numel() for p in self.network.parameters())

    def _state(self) -> tuple[artifact.Arrays, dict[str, Any]]:
        arrays = {name: t.detach().cpu().numpy() for name, t in self.network.state_dict().items()}
        meta = {"resolved": self.resolved.model_dump(mode="json"), "work": self.work, "pace": self.pace}
        return {**arrays, f"{STATISTICS}counts": self.counts}, meta

    def _restore(self, arrays: Mapping[str, npt.NDArray[Any]], meta: dict[str, Any]) -> None:
        self.resolved = self.Config(**meta["resolved"])
        self.work = meta.get("work", 0.0)  # not in what older versions wrote: an update is small then
        self.pace = meta.get("pace")
        weights = {name: torch.from_numpy(np.array(a)) for name, a in arrays.items() if not name.startswith(STATISTICS)}
        self._count(np.array(arrays[f"{STATISTICS}counts"]))
        self.network = self._build(len(self.log_share)).eval()
        self.network.load_state_dict(weights)
