"""The options that all next-item models share, and what a network costs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self

import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator

from honeyguide.core.fitting import ModelConfig
from honeyguide.models.sequence.lengths import are_long
from honeyguide.nn.trainer import TrainerSettings

Auto = Literal["auto"]
Loss = Literal["softmax", "importance", "sampled", "gbce", "bce"]
Positive = Annotated[int, Field(ge=1)]


@dataclass(frozen=True)
class Cost:
    """What a network costs beside its item table.

    Parameters
    ----------
    weights
        Numbers that are learnt.
    activations
        Numbers kept per position of a batch for the backward pass.
    flops
        Per position, forward and backward.
    targets
        Share of the positions that a loss is computed at.
    """

    weights: float
    activations: float
    flops: float
    targets: float = 1.0


class NextItemConfig(ModelConfig):
    """Options that all next-item models share; those that are ``"auto"`` follow from the shape of the data.

    Parameters
    ----------
    dim
        Width of items and states.
    max_len
        Events of a history that are read, the latest.
    dropout
        On the input and inside the network.
    event_dropout
        Share of the events of a window that are hidden while training.
    init
        Item vectors at the start: of what occurs near each other
        (:func:`~honeyguide.models.sequence.cooccurrence.cooccurrence_vectors`), of what their text says
        (:func:`~honeyguide.models.sequence.text_start.text_start`), half of each (``"both"``), or random.
    text
        Encoder of the items' text, where ``init`` reads it: see :func:`~honeyguide.encode.text.text_encoder`.
    init_std
        Standard deviation of all weights at the start; twice that for vectors from co-occurrence or text.
    loss
        ``"softmax"`` over all items; ``"importance"``, which estimates its sum over all items from ``negatives``; or
        ``"sampled"`` softmax, ``"gbce"``, ``"bce"`` over the target and ``negatives`` alone.
    negatives
        Items drawn uniformly per batch and shared by its positions.
    calibration
        t of gBCE.
    lr, warmup, schedule, weight_decay, clip, average, epochs, patience, min_gain
        See :class:`~honeyguide.nn.trainer.TrainerSettings`.
    update_share, update_epochs, update_lr
        Work of an update as a share of that of the fit, most passes over what changed, and the learning rate as a
        share of ``lr``; ``None``: .03, or .3 if that ranks new events that it has not seen better beyond noise, which
        the first update that brings enough of them tries.
    valid_users
        Largest number of users on whom an epoch is judged.
    batch_tokens
        Positions in a batch.
    """

    dim: int | Auto = "auto"
    max_len: int | Auto = "auto"
    dropout: float | Auto = "auto"
    event_dropout: float | Auto = "auto"
    init: Literal["cooccurrence", "text", "both", "normal"] = "cooccurrence"
    text: str = "auto"
    init_std: float = Field(0.02, gt=0)
    loss: Loss = "softmax"
    negatives: Positive | Auto = "auto"
    calibration: float = Field(0.75, ge=0, le=1)
    lr: float | Auto = "auto"
    warmup: int = Field(200, ge=0)
    schedule: Literal["constant", "cosine", "auto"] = "auto"
    weight_decay: float = Field(0.0, ge=0)
    clip: float | None = None
    average: float = Field(0.999, ge=0, lt=1)
    epochs: Positive | Auto = "auto"
    patience: Positive | Auto = "auto"
    min_gain: float = Field(0.005, ge=0)
    update_share: float = Field(0.03, ge=0)
    update_epochs: int = Field(8, ge=1)
    update_lr: float | None = Field(None, gt=0)
    valid_users: int = Field(10_000, ge=1)
    batch_tokens: int | Auto = "auto"

    @model_validator(mode="after")
    def _wide_enough(self) -> Self:
        if self.dim != "auto" and self.dim < 2:
            raise ValueError(f"dim ({self.dim}) must be at least 2")
        return self

    def rules(self, long: bool) -> dict[str, Any]:
        """What options that are ``"auto"`` become where histories are long, or short; subclasses add their own."""
        return {
            "dim": 80 if long else 128,
            "max_len": 200 if long else 50,
            "dropout": 0.2 if long else 0.4,
            "event_dropout": 0.0 if long else 0.2,
            "lr": 2e-3 if long else 1e-3,
            "schedule": "cosine" if long else "constant",
            "epochs": 32 if long else 60,
            "patience": 12 if long else 4,
            "negatives": 1024 if self.loss == "importance" else 256,
        }

    def resolve(self, lengths: npt.NDArray[np.int64]) -> Self:
        """The same options with every ``"auto"`` set by rule from the lengths of the training histories.

        Histories are long (ratings, plays) where their median is 20 events or more, and short
        otherwise (purchases, reviews). Batches are sized for at least 200 steps an epoch.
        """
        useful = lengths[lengths >= 2]
        rules = self.rules(are_long(lengths))
        targets = int(np.minimum(useful - 1, rules["max_len"]).sum())
        rules["batch_tokens"] = int(np.clip(targets // 200, 1024, 3200))
        return self.model_copy(update={name: v for name, v in rules.items() if getattr(self, name) == "auto"})

    def trainer(self) -> TrainerSettings:
        """The part that the trainer reads; only for a resolved configuration."""
        return TrainerSettings.of(self)

    def cost(self) -> Cost:
        """What the network of a resolved configuration costs, beside its item table."""
        raise NotImplementedError(f"{type(self).__name__} does not say what its network costs")
