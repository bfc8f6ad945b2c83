"""Batches of examples for networks that predict clicks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from honeyguide.core.dataset import Dataset
from honeyguide.models.ranking.examples import Events, Index, train_events
from honeyguide.models.ranking.features import Encoded, Features
from honeyguide.nn.batches import pad_right


@dataclass(frozen=True)
class ClickBatch:
    """``b`` examples. Shapes: t positions of the longest history, w codes and p numbers of a side.

    Parameters
    ----------
    items, people
        int64 ``[b]``: which item was met by whom.
    history
        int64 ``[b, t]``, oldest first; the number of items where padded, on the right.
    lengths
        int64 ``[b]``: events in each history.
    users, context
        Codes int64 ``[b, w]``, weights ``[b, w]``, numbers ``[b, p]``.
    derived
        ``[b, 3]``.
    labels
        ``[b]``.
    """

    items: Tensor
    history: Tensor
    lengths: Tensor
    users: tuple[Tensor, Tensor, Tensor]
    context: tuple[Tensor, Tensor, Tensor]
    derived: Tensor
    labels: Tensor
    people: Tensor

    def to(self, device: torch.device) -> ClickBatch:
        """The same batch on ``device``."""
        if device.type == self.items.device.type:
            return self
        moved = [tuple(t.to(device) for t in side) for side in (self.users, self.context)]
        rest = [t.to(device) for t in (self.items, self.history, self.lengths, self.derived, self.labels, self.people)]
        return ClickBatch(*rest[:3], *moved, *rest[3:])  # type: ignore[arg-type]


def tensors(side: Encoded) -> tuple[Tensor, Tensor, Tensor]:
    """Codes, weights and numbers."""
    return torch.from_numpy(side.codes.astype(np.int64)), torch.from_numpy(side.weights), torch.from_numpy(side.numbers)


@dataclass(frozen=True)
class Examples:
    """Events with the features of their users and contexts, from which batches are cut.

    Parameters
    ----------
    events
        The examples.
    features
        The fitted features.
    users, context
        One row per user, and one per row of the part's interactions.
    max_len
        Events of a history that are read.
    counted
        Whether the events are in the popularity counts, in which none may count itself.
    """

    events: Events
    features: Features
    users: Encoded
    context: Encoded
    max_len: int
    counted: bool

    @classmethod
    def of(cls, events: Events, data: Dataset, part: str, features: Features, max_len: int) -> Examples:
        """The features of ``events``, which are of ``part``."""
        users = features.spec.users.encode(data.users)
        context = features.spec.context.encode(data.select(part).interactions)
        return cls(events, features, users, context, max_len, counted=part == "train")

    def batch(self, index: Index, hide_user: npt.NDArray[np.bool_], hide_context: npt.NDArray[np.bool_]) -> ClickBatch:
        """The examples at ``index``; what is marked is hidden, as it is from whoever is served by the history alone."""
        e, f = self.events, self.features
        own = np.where(e.sampled[index], np.float32(0), np.float32(1)) if self.counted else 0.0
        histories = e.histories(index, self.max_len)
        return ClickBatch(
            torch.from_numpy(e.items[index].astype(np.int64)),
            torch.from_numpy(pad_right(histories, len(f.items))),
            torch.from_numpy(histories.lengths),
            tensors(self.users.take(e.users[index]).hide(hide_user)),
            tensors(self.context.take(e.rows[index]).hide(hide_context)),
            torch.from_numpy(f.derived(e.before[index], e.items[index], own)),
            torch.from_numpy(e.labels[index]),
            torch.from_numpy(e.users[index].astype(np.int64)),
        )


class EventBatches:
    """Batches of the events of train, a pure function of the epoch's number.

    Every epoch draws new negatives (where the log has none), a new order, a new shuffle of the users'
    events where they have no order, and whose user features and context are hidden.

    Parameters
    ----------
    data
        The data set.
    features
        Fitted on it.
    max_len
        Events of a history that are read.
    negatives
        Drawn for each event; 0 where the log has its own.
    size
        Examples in a batch.
    unknown
        Share of examples whose user, and whose context, is hidden.
    seed
        Of all draws.
    """

    def __init__(
        self, data: Dataset, features: Features, max_len: int, negatives: int, size: int, unknown: float, seed: int
    ) -> None:
        self.data, self.features, self.max_len = data.select("train"), features, max_len
        self.negatives, self.size, self.unknown, self.seed = negatives, size, unknown, seed

    def epoch(self, number: int) -> EventEpoch:
        """The batches of one epoch."""
        rng = np.random.default_rng([self.seed, number])
        events = train_events(self.data, rng)
        if self.negatives:
            events = events.with_negatives(self.negatives, self.data.n_items, rng)
        n = len(events)
        examples = Examples.of(events, self.data, "train", self.features, self.max_len)
        hidden = rng.random((2, n)) < self.unknown
        return EventEpoch(examples, rng.permutation(n), hidden, self.size)


@dataclass(frozen=True)
class OncePerEpoch:
    """Batches of given examples, each once an epoch, in a new order.

    Parameters
    ----------
    examples
        What is learnt from.
    size
        Examples in a batch.
    unknown
        Share of examples whose user, and whose context, is hidden.
    seed
        Of all draws.
    """

    examples: Examples
    size: int
    unknown: float
    seed: int

    def epoch(self, number: int) -> EventEpoch:
        """The batches of one epoch."""
        rng, n = np.random.default_rng([self.seed, number]), len(self.examples.events)
        return EventEpoch(self.examples, rng.permutation(n), rng.random((2, n)) < self.unknown, self.size)


@dataclass(frozen=True)
class EventEpoch:
    """The batches of one epoch, made when asked for."""

    examples: Examples
    order: Index
    hidden: npt.NDArray[np.bool_]
    size: int

    def __len__(self) -> int:
        return -(-len(self.order) // self.size)

    def __getitem__(self, index: int) -> ClickBatch:
        rows = self.order[index * self.size : (index + 1) * self.size]
        return self.examples.batch(rows, self.hidden[0, rows], self.hidden[1, rows])
