"""Rounds of retrieval, unrolled: what training and serving share. Shapes: b users, t events, d width, m items."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from honeyguide.nn.adapters import Adapters, Context


class Reader(Protocol):
    """A network whose inputs are vectors of events."""

    def items(self, items: Tensor) -> Tensor:
        """int64 ``[b, t]`` to vectors ``[b, t, d]``."""
        ...

    def read(self, vectors: Tensor) -> Tensor:
        """Vectors ``[b, t, d]`` to states ``[b, t, d]``; no state sees what comes after it."""
        ...

    def item_vectors(self) -> Tensor:
        """``[m, d]``."""
        ...


class Unrolled:
    """The rounds of a batch, one after the other.

    Parameters
    ----------
    network, adapters
        The backbone, and what changes its inputs and its states.
    items, ends
        int64 ``[b, t]`` histories, padded on the right, and ``[b]``, the position after which states are asked for.
    first
        ``[b, d]``, the states of the first round where they are known already.
    """

    def __init__(
        self, network: Reader, adapters: Adapters, items: Tensor, ends: Tensor, first: Tensor | None = None
    ) -> None:
        self.network, self.adapters = network, adapters
        self.rows, self.ends = torch.arange(len(items), device=items.device), ends
        self.events = network.items(items)  # E [b, t, d]
        self.state = self._read(self.events) if first is None else first  # u_1 [b, d]
        self.contexts: list[Context] = []
        self.memory: Tensor | None = None

    def _read(self, vectors: Tensor) -> Tensor:
        return self.network.read(vectors)[self.rows, self.ends]

    def next(self, codes: Tensor) -> Tensor:
        """``[b, d]``: the states of the next round, given what this one retrieved, int64 ``[b, s]``, padded with -1."""
        items, users, events = self.adapters.items, self.adapters.users, self.events
        if items is not None:
            self.contexts.append(items.context(codes, self.network.item_vectors()))
            events = items(events, self.contexts)  # E'
        state = self._read(events)
        if users is not None:
            self.memory = users.remember(self.state, self.memory)  # c
            state = users(state, self.memory)
        self.state = state
        return state


def retrieve(states: Tensor, table: Tensor, taken: Tensor, size: int) -> Tensor:
    """int64 ``[b, size]``: the items of highest score that are not ``taken``, -1 where there are too few.

    No gradient passes. ``taken``, bool ``[b, m]``, is changed: what was retrieved is taken.
    """
    with torch.no_grad():
        scores = (states @ table.T).masked_fill_(taken, -torch.inf)  # [b, m]
        best, codes = scores.topk(min(size, len(table)), dim=1)
        taken.scatter_(1, codes, True)
        codes = codes.masked_fill(best == -torch.inf, -1)
        return torch.nn.functional.pad(codes, (0, size - codes.shape[1]), value=-1)


def history_mask(items: Tensor, ends: Tensor, m: int) -> Tensor:
    """Bool ``[b, m]``: what stands in ``items`` ``[b, t]`` up to and with position ``ends``."""
    read = torch.arange(items.shape[1], device=items.device) <= ends[:, None]  # [b, t]
    own = torch.where(read, items, items[:, :1])  # the first event is always read
    return torch.zeros(len(items), m, dtype=torch.bool, device=items.device).scatter_(1, own, True)
