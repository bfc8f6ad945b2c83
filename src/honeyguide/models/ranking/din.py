"""DIN: a deep interest network (Zhou et al., KDD 2018), a ranker whose picture of a user depends on the item.

Every event of the history is weighed by an activation unit that sees the event and the item in question;
the weighted sum, the features of item, user and context and a few counts go through a small network, whose
output is the probability that the item is liked. See ``docs/models/din.md``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from honeyguide.core import artifact
from honeyguide.core.dataset import Dataset
from honeyguide.core.errors import DataError
from honeyguide.core.fitting import FitOptions, ModelConfig
from honeyguide.core.plugin import Hooks
from honeyguide.core.ragged import FloatArray, IntArray, Ragged
from honeyguide.core.recommender import Recommender
from honeyguide.core.resources import Estimate
from honeyguide.models.ranking.calibration import Calibration, Method, sampling_correction
from honeyguide.models.ranking.clicks import ClickBatch, EventBatches, Examples, OncePerEpoch
from honeyguide.models.ranking.din_network import DINNetwork, Tables
from honeyguide.models.ranking.examples import Events, blocks, is_labelled, later_events, train_events
from honeyguide.models.ranking.features import Features
from honeyguide.nn.forward import Forward, Weights, batch_loss
from honeyguide.nn.trainer import Trainer, TrainerSettings, choose_device, seeded

_READ = 4096  # examples read at once after training


class DINConfig(ModelConfig):
    """Options of :class:`DIN`.

    Parameters
    ----------
    dim
        Width of the vectors of items and features.
    attention
        Width of the activation unit.
    layers
        Widths of the hidden layers.
    activation
        ``"dice"`` or ``"prelu"``.
    max_len
        Events of a history that are read, the latest.
    context
        Columns of the interactions that are known before the outcome, to be read as features.
    negatives
        Items drawn for each event where the log holds only what was liked.
    unknown
        Share of users, contexts and items that are hidden while training, so that those never met can be served.
    dropout
        On the hidden layers.
    calibration
        On valid: ``"platt"``, ``"temperature"`` or ``"none"``.
    batch
        Examples in a batch.
    lr, weight_decay, epochs, patience
        See :class:`~honeyguide.nn.trainer.TrainerSettings`; judged by the log-loss on valid.
    """

    dim: int = Field(default=16, ge=1)
    attention: int = Field(default=16, ge=1)
    layers: tuple[int, ...] = Field(default=(64, 32), min_length=1)
    activation: Literal["dice", "prelu"] = "dice"
    max_len: int = Field(default=50, ge=1)
    context: tuple[str, ...] = ()
    negatives: int = Field(default=4, ge=1)
    unknown: float = Field(default=0.1, ge=0, lt=1)
    dropout: float = Field(default=0.2, ge=0, lt=1)
    calibration: Method = "platt"
    batch: int = Field(default=256, ge=1)
    lr: float = Field(default=1e-3, gt=0)
    weight_decay: float = Field(default=0.1, ge=0)
    epochs: int = Field(default=30, ge=1)
    patience: int = Field(default=3, ge=1)


class DIN(Recommender):
    """The score is the calibrated probability that the user likes the item.

    Where the log says only what was liked, it is the probability that the next event is this item: the odds
    learnt against sampled negatives, corrected for the sampling. Users are read from the history that comes with
    the request; features of users and contexts are read by :meth:`score_events`, and are "unknown" elsewhere.
    """

    name = "din"
    Config = DINConfig
    config: DINConfig
    states: ClassVar[frozenset[str]] = frozenset({"weights", "events"})
    scale = "probability"
    hooks: Hooks = Hooks()

    _tables: Tables | None = None

    def _fit(self, data: Dataset, options: FitOptions) -> None:
        c, self.ordered, self._tables = self.config, data.ordered, None
        negatives = 0 if is_labelled(data) or data.n_items < 2 else c.negatives
        events = train_events(data, np.random.default_rng(c.seed))
        self.features = Features.fit(data, events.before, c.context)
        device = choose_device(options.device)
        with seeded(c.seed, device):
            self.network = self._network().to(device)
        batches = EventBatches(data, self.features, c.max_len, negatives, c.batch, c.unknown, c.seed)
        held_out = later_events(data, "valid")
        if negatives:
            held_out = held_out.with_negatives(negatives, data.n_items, np.random.default_rng(c.seed))
        valid = Examples.of(held_out, data, "valid", self.features, c.max_len)
        self.report.curve = Trainer(
            self.network,
            batch_loss(self._forward, self.hooks),
            batches,
            TrainerSettings(c.epochs, c.lr, weight_decay=c.weight_decay, patience=c.patience, clip=5.0, seed=c.seed),
            options,
            (lambda: -_log_loss(self._read(valid)[0], held_out.labels)) if len(held_out) else None,
            identity=f"{c.model_dump_json()} {_digest(events)} {_digest(held_out)} torch {torch.__version__} "
            f"{self.hooks.identity}",
            metric="-log_loss",
            hooks=self.hooks,
        ).run()
        correction = sampling_correction(negatives, data.n_items) if negatives else 0.0
        self.calibration = Calibration.fit(self._read(valid)[0], held_out.labels, c.calibration, correction)

    def _network(self) -> DINNetwork:
        c = self.config
        return DINNetwork(
            self.features, c.dim, c.attention, c.layers, c.activation, c.dropout, c.unknown, ordered=self.ordered
        )

    def _forward(self, batch: ClickBatch) -> Forward:
        logits, labels = self.network(batch)[0].float(), batch.labels

        def value(vectors: Sequence[Tensor], weights: Weights | None) -> tuple[Tensor, Tensor]:
            relevance = weights.relevance if weights is not None else None
            truth = labels if relevance is None else labels * relevance
            each = F.binary_cross_entropy_with_logits(logits, truth, reduction="none")
            factor = weights.loss if weights is not None else None
            return (each if factor is None else each * factor).mean(), each.detach()

        return Forward(batch.people, batch.items, (), (), value, labels=labels)

    def _read(self, examples: Examples) -> tuple[FloatArray, FloatArray]:
        """Logits ``[n]`` and last hidden layers ``[n, width]``."""
        n = len(examples.events)
        logits, hidden = np.empty(n, np.float32), np.empty((n, self.config.layers[-1]), np.float32)
        with torch.inference_mode():
            for index in blocks(n, _READ):
                nothing = np.zeros(len(index), np.bool_)
                z, h = self.network(examples.batch(index, nothing, nothing).to(self._device))
                logits[index], hidden[index] = z.float().cpu().numpy(), h.float().cpu().numpy()
        return logits, hidden

    @property
    def _device(self) -> torch.device:
        return self.network.ids.weight.device

    # -- use ----------------------------------------------------------------------------------

    def score_histories(self, histories: Ragged, users: IntArray | None = None) -> FloatArray:
        """float32 ``[n, n_items]``: probabilities for users of whom only the history is known."""
        scores = np.empty((len(histories), len(self.features.items)), np.float32)
        with torch.inference_mode():
            for row, history in enumerate(histories):
                found = self.network.catalogue_logits(*self._asked(history))
                scores[row] = found.float().cpu().numpy()
        return self.calibration.probabilities(scores)

    def catalogue_hidden(self, history: IntArray) -> FloatArray:
        """float32 ``[n_items, layers[-1]]``: the last hidden layer of every item for one history."""
        with torch.inference_mode():
            return torch.cat(list(self.network.catalogue_hidden(*self._asked(history)))).float().cpu().numpy()

    def _asked(self, history: IntArray) -> tuple[Tensor, float, Tables]:
        """The latest events of a history, its standardised length, and what does not depend on it."""
        self._tables = tables = self._tables or self.network.tables(self.features)
        known = history[history >= 0]
        latest = torch.from_numpy(known[-self.config.max_len :].astype(np.int64)).to(self._device)
        length = self.features.spec.derived[0].standardise(np.log1p(np.array([len(known)])))
        return latest, float(length[0]), tables

    def score_events(self, data: Dataset, part: str = "test") -> FloatArray:
        """Probabilities of the events of ``part``, with the features of their users and contexts: float32 ``[n]``."""
        return self.hidden(data, part)[0]

    def hidden(self, data: Dataset, part: str = "test") -> tuple[FloatArray, FloatArray]:
        """As :meth:`score_events`, and the last hidden layer: float32 ``[n]`` and ``[n, layers[-1]]``."""
        self._fitted()
        logits, hidden = self._read(
            Examples.of(later_events(data, part), data, part, self.features, self.config.max_len)
        )
        return self.calibration.probabilities(logits), hidden

    def learn_events(
        self, data: Dataset, part: str = "test", *, lr: float | None = None, epochs: int = 1, seed: int = 0
    ) -> None:
        """Fine-tune on the labelled events of ``part``, whose histories are what was liked in the parts before.

        Weights move from where they are; features, counts and calibration stay.

        Parameters
        ----------
        data, part
            Events whose outcomes are known by now.
        lr
            Learning rate; that of the fit by default.
        epochs
            Passes over them.
        seed
            Of their order and of the dropout.

        Raises
        ------
        DataError
            If the events have no labels.
        """
        self._fitted()
        c = self.config
        events = later_events(data, part)
        if "positive" not in data.interactions.columns:
            raise DataError("the events are not labelled.", "Say which are positive, for example 'rating >= 4'.")
        examples = Examples.of(events, data, part, self.features, c.max_len)
        settings = TrainerSettings(epochs, lr or c.lr, weight_decay=c.weight_decay, clip=5.0, seed=seed)
        loss = batch_loss(self._forward, self.hooks)
        Trainer(self.network, loss, OncePerEpoch(examples, c.batch, c.unknown, seed), settings, FitOptions()).run()
        self._tables = None

    # -- cost and storage ---------------------------------------------------------------------

    def estimate(self, data: Dataset) -> Estimate:
        """Weights with gradient and moments, a batch's activation unit, the events; half of the epochs are run."""
        c = self.config
        examples = data.select("train", "valid").interactions.height * (1.0 if is_labelled(data) else 1.0 + c.negatives)
        cells = c.max_len * (3 * c.attention + 2 * c.dim)
        memory = 4.0 * (5 * data.n_items * c.dim + 6 * c.batch * cells + _READ * cells) + 100 * examples + 3e8
        flops = 8.0 * c.max_len * c.dim * c.attention + 6.0 * (5 * c.dim + 3) * c.layers[0]
        return Estimate(memory, examples * c.epochs / 2 * (flops / 5e9 + 2e-9 * cells + 5e-6))

    @property
    def n_parameters(self) -> int:
        """Weights of the network."""
        return sum(p.numel() for p in self.network.parameters())

    def _state(self) -> tuple[artifact.Arrays, dict[str, Any]]:
        arrays, spec = self.features.pack()
        weights = {f"network.{name}": t.detach().cpu().numpy() for name, t in self.network.state_dict().items()}
        meta = {"features": spec, "calibration": self.calibration.pack(), "ordered": self.ordered}
        return {**arrays, **weights}, meta

    def _restore(self, arrays: Mapping[str, npt.NDArray[Any]], meta: dict[str, Any]) -> None:
        self.features = Features.unpack(arrays, meta["features"])
        self.calibration, self.ordered, self._tables = Calibration(**meta["calibration"]), meta["ordered"], None
        self.network = self._network().eval()
        prefix = "network."
        weights = {n.removeprefix(prefix): torch.from_numpy(np.array(a)) for n, a in arrays.items() if prefix in n}
        self.network.load_state_dict(weights)


def _log_loss(logits: FloatArray, labels: FloatArray) -> float:
    return float(np.mean(np.logaddexp(0, logits) - labels * logits))


def _digest(events: Events) -> str:
    """Of the examples, so that a checkpoint of other ones is refused."""
    digest = hashlib.sha256()
    for values in (events.users, events.items, events.labels, events.positives.values):
        digest.update(np.ascontiguousarray(values).tobytes())
    return digest.hexdigest()[:16]
