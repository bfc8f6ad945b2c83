"""TiM4Rec: a state-space model whose steps are set by the gaps between events (Fan et al. 2024, arXiv 2409.16182)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal, Self

import numpy as np
import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import functional as F

from honeyguide.core.errors import DataError
from honeyguide.core.ragged import FloatArray, IntArray, Ragged, TimeArray
from honeyguide.core.space import Real, Space, Whole
from honeyguide.models.sequence.next_item import NextItemModel, NextItemNetwork, target_forward
from honeyguide.models.sequence.next_item_config import Auto, Cost, NextItemConfig
from honeyguide.nn.batches import IGNORED, Batch
from honeyguide.nn.blocks import Dropout, EventDropout, init_weights
from honeyguide.nn.forward import Forward
from honeyguide.nn.ssd import CHUNK
from honeyguide.nn.time_stream import CausalGaps, CausalTime, Past, ReleasedGaps, ReleasedTime, log_gaps
from honeyguide.nn.tissd import BlockPast, SSDShape, TiSSDLayer


class TiM4RecConfig(NextItemConfig):
    """Options of :class:`TiM4Rec`, beside those of ``NextItemConfig``.

    Parameters
    ----------
    blocks, head, state
        Number of layers, width of a head, size of the recurrent state of each of its channels.
    time
        ``"gaps"`` to read the times of events, ``"none"`` for the same network without (Mamba-2); ``"auto"`` reads
        them where the training data has them.
    time_dropout
        Share of gaps that are left out while training.
    gap_mean, gap_std
        Of log(1 + seconds), what gaps are measured by at first: those of the training data.
    rhythm
        Number of gaps after which a user's own mean and variance count as much as the population's.
    faithful
        The time path as released: raw gaps, padding included, mixed across all positions of a sequence padded to
        ``max_len``. It reads later gaps, so that only the end of a window can be learnt from; see ``prefixes``.
    prefixes
        Ends drawn for each window and epoch where ``faithful``.
    """

    blocks: int = Field(2, ge=1)
    head: int | Auto = "auto"
    state: int = Field(32, ge=1)
    time: Literal["gaps", "none", "auto"] = "auto"
    time_dropout: float = Field(0.2, ge=0, lt=1)
    gap_mean: float | Auto = "auto"
    gap_std: Annotated[float, Field(gt=0)] | Auto = "auto"
    rhythm: float = Field(4.0, gt=0)
    faithful: bool = False
    prefixes: int = Field(4, ge=1)

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.dim != "auto" and self.head != "auto" and 2 * self.dim % self.head:
            raise ValueError(f"twice dim ({self.dim}) must be a multiple of the width of a head ({self.head})")
        if self.faithful and self.time == "none":
            raise ValueError("faithful is about the time path, and time is 'none'")
        return self

    def rules(self, long: bool) -> dict[str, Any]:
        """The published widths: four heads, which time sets at different paces; one alone the norm would even out."""
        shared = {**super().rules(long), "dim": 64}
        inner = 2 * int(shared["dim"] if self.dim == "auto" else self.dim)
        return {
            **shared,
            "head": inner // (4 if inner % 4 == 0 else 2),
            "time": "gaps",
            "gap_mean": 0.0,
            "gap_std": 1.0,
        }

    @property
    def shape(self) -> SSDShape:
        """Widths of a block of a resolved configuration."""
        c: Any = self
        return SSDShape(c.dim, c.head, c.state)

    def cost(self) -> Cost:
        """Of the layers; the mask of a chunk is kept for the backward pass."""
        c: Any = self
        shape = self.shape
        weights = c.dim * (2 * shape.inner + 2 * c.state + shape.heads) + shape.inner * c.dim + 8 * c.dim**2
        recurrence = CHUNK * (shape.inner + shape.heads + c.state) + 2 * shape.inner * c.state
        across = 2 * c.max_len if self.faithful else 0
        return Cost(
            weights=c.blocks * (weights + 6 * (shape.inner + 2 * c.state) + 40 * shape.heads + across * c.max_len),
            activations=c.blocks * (30 * c.dim + 12 * shape.inner + shape.heads * (4 * CHUNK + 60 + across)),
            flops=c.blocks
            * (6 * weights + 12 * recurrence + 60 * shape.inner)
            * (c.max_len / 4 if self.faithful else 4),
        )


@dataclass(frozen=True)
class Memory:
    """All that is kept of ``b`` histories in order to go on with them: its size does not grow with their length.

    It belongs to users, so it is the caller's to keep and to forget.

    Parameters
    ----------
    blocks
        Of each layer.
    stream
        Of the time path of each layer, where there is one.
    gaps
        Last times, int64 ``[b, 1]``, and statistics of the gaps.
    """

    blocks: tuple[BlockPast, ...]
    stream: tuple[Past, ...] = ()
    gaps: tuple[Tensor, Tensor] | None = None


class TiM4RecNetwork(NextItemNetwork):
    """The network; a :class:`~honeyguide.nn.backbone.Backbone`.

    Parameters
    ----------
    n_items
        Size m of the catalogue.
    config
        A resolved configuration.
    """

    def __init__(self, n_items: int, config: TiM4RecConfig) -> None:
        c: Any = config  # every "auto" is resolved
        super().__init__(n_items, c.dim, c.init_std)
        self.reads_times, self.faithful, self.length = c.time == "gaps", c.faithful, c.max_len
        shape = config.shape
        self.heads = shape.heads
        self.layers = nn.ModuleList(TiSSDLayer(shape, c.dropout, c.blocks > 1) for _ in range(c.blocks))
        init_weights(self.layers, c.init_std)
        for layer in self.layers:  # T' multiplies d: were it near 0 at the start, gaps would have no say to learn from
            nn.init.normal_(layer.block.project.weight[-shape.heads :], std=c.dim**-0.5)  # type: ignore[union-attr,index]
        self.norm = nn.LayerNorm(c.dim)
        self.dropout, self.hide = Dropout(c.dropout), EventDropout(c.event_dropout)
        if c.faithful:
            self.gaps: nn.Module = ReleasedGaps(shape.heads, c.max_len, c.time_dropout)
            self.stream = nn.ModuleList(ReleasedTime(shape.heads, shape.kernel, c.max_len) for _ in range(c.blocks))
            init_weights(self.stream, c.init_std)
        elif self.reads_times:
            self.gaps = CausalGaps(shape.heads, c.gap_mean, c.gap_std, c.rhythm, c.time_dropout)
            self.stream = nn.ModuleList(CausalTime(shape.heads, shape.kernel, c.rhythm) for _ in range(c.blocks))

    def hidden(self, items: Tensor, times: Tensor | None = None) -> Tensor:
        """int64 ``[b, t]`` both, padded on the right, to states after each position ``[b, t, d]``."""
        return self.read(self.items(items), times)

    def read(self, vectors: Tensor, times: Tensor | None = None) -> Tensor:
        """Vectors of events ``[b, t, d]`` and their times ``[b, t]`` to states ``[b, t, d]``.

        Without times every gap is taken to be the mean.
        """
        if self.faithful:
            return self._released(vectors, times)
        return self.go_on(vectors, times, None)[0]

    def go_on(self, vectors: Tensor, times: Tensor | None, past: Memory | None) -> tuple[Tensor, Memory]:
        """States ``[b, t, d]`` of further events, and what to keep; not where ``faithful``."""
        x = self.norm(self.hide(self.dropout(vectors)))
        stream, gaps = self._start(vectors, times, past)
        blocks, streams = [], []
        for number, layer in enumerate(self.layers):
            factor = None
            if self.reads_times:
                earlier = None if past is None else past.stream[number]
                factor, stream, kept = self.stream[number](stream, earlier)
                streams.append(kept)
            x, block = layer(x, factor, None if past is None else past.blocks[number])
            blocks.append(block)
        return x, Memory(tuple(blocks), tuple(streams), gaps)

    def _start(
        self, vectors: Tensor, times: Tensor | None, past: Memory | None
    ) -> tuple[Tensor, tuple[Tensor, Tensor] | None]:
        """T of the first layer ``[b, t, h]``, and what to keep; zero where times are not known."""
        if self.reads_times and times is not None:
            found: tuple[Tensor, tuple[Tensor, Tensor]] = self.gaps(times, None if past is None else past.gaps)
            return found
        return vectors.new_zeros(*vectors.shape[:2], self.heads), None

    def _released(self, vectors: Tensor, times: Tensor | None) -> Tensor:
        x: Tensor = self.norm(self.hide(self.dropout(vectors)))
        stream = self.gaps(torch.zeros(x.shape[:2], dtype=torch.int64, device=x.device) if times is None else times)
        for layer, time in zip(self.layers, self.stream, strict=True):
            factor, stream = time(stream)
            x, _ = layer(x, factor)
        return x

    def user_state(self, items: Tensor, lengths: Tensor, times: Tensor | None = None) -> Tensor:
        """``[b, d]``: the state after the last real position of each row."""
        if self.faithful:  # the released model reads nothing but sequences padded to their full length
            extra = (0, self.length - items.shape[1])
            items, times = F.pad(items, extra), None if times is None else F.pad(times, extra)
        return super().user_state(items, lengths, times)


def prefix_forward(network: TiM4RecNetwork, config: TiM4RecConfig) -> Callable[[Batch], Forward]:
    """The pass over ``prefixes`` beginnings of each window, of which the last event alone predicts what came next."""

    def forward(batch: Batch) -> Forward:
        lengths = (batch.targets != IGNORED).sum(1).repeat_interleave(config.prefixes)
        rows = torch.arange(len(batch.items), device=lengths.device).repeat_interleave(config.prefixes)
        ends = (torch.rand(len(rows), device=lengths.device) * lengths).long()  # the last position of each
        real = torch.arange(batch.items.shape[1], device=lengths.device) <= ends[:, None]
        times = None if batch.times is None else batch.times[rows] * real  # padded with 0
        states = network.user_state(batch.items[rows] * real, ends + 1, times)
        targets = batch.targets[rows, ends]
        return target_forward(config, batch.users[rows], states, network.item_vectors(), targets)

    return forward


class TiM4Rec(NextItemModel):
    """Next-item prediction by a recurrence that forgets by the clock; see :class:`NextItemModel`.

    The cost is linear in the length of a history, and a new event is taken in without reading the old ones again:
    :meth:`begin` and :meth:`step`. A history without times is read as if its gaps were all the mean.
    """

    name = "tim4rec"
    Config = TiM4RecConfig
    space: ClassVar[Space] = {**NextItemModel.space, "blocks": Whole(1, 3), "time_dropout": Real(0.0, 0.5)}
    config: TiM4RecConfig
    resolved: TiM4RecConfig
    network: TiM4RecNetwork

    def _build(self, n_items: int) -> TiM4RecNetwork:
        return TiM4RecNetwork(n_items, self.resolved)

    def _resolve(self, train: Ragged) -> TiM4RecConfig:
        """The options that follow from the data, the population's gaps among them."""
        own = self.config
        if train.times is None:
            if own.time == "gaps" or own.faithful:
                raise DataError(
                    "tim4rec is asked to read times, and not every event has one.",
                    "Name the column of times, or set time to 'none'.",
                )
            return own.model_copy(update={"time": "none"}).resolve(train.lengths)
        within = np.ones(len(train.values), bool)
        within[train.offsets[:-1][train.lengths > 0]] = False  # a first event has no gap
        gaps = log_gaps(torch.from_numpy(np.array(train.times))[None])[0].numpy()[within]
        found = {"gap_mean": float(gaps.mean()), "gap_std": float(gaps.std())} if len(gaps) else {}
        update = {name: value for name, value in found.items() if getattr(own, name) == "auto"}
        if update.get("gap_std") == 0:
            update["gap_std"] = 1.0  # all gaps are the same
        return own.model_copy(update=update).resolve(train.lengths)

    def _forward(self) -> Callable[[Batch], Forward]:
        if self.resolved.faithful:
            return prefix_forward(self.network, self.resolved)
        return super()._forward()

    # -- one event at a time ------------------------------------------------------------------

    def step(
        self, items: IntArray, times: TimeArray | None = None, memory: Memory | None = None
    ) -> tuple[FloatArray, Memory]:
        """Take in the next event of each of ``b`` histories at a cost that does not grow with their length.

        Parameters
        ----------
        items
            int32 ``[b]``, known items.
        times
            int64 ``[b]``, microseconds since 1970; the same histories have times, or none has.
        memory
            What was returned for the events before; ``None`` for a first event.

        Returns
        -------
        tuple
            float32 ``[b, d]``, states whose products with :meth:`item_vectors` are the scores, and what to keep.

        Raises
        ------
        DataError
            If ``faithful``: that form reads all gaps at once.
        """
        self._fitted()
        if self.network.faithful:
            raise DataError("the released time path cannot be fed by the event.", "Fit with faithful = false.")
        device = self._device
        with torch.inference_mode():
            vectors = self.network.items(torch.from_numpy(items.astype(np.int64)).to(device))[:, None]
            when = None if times is None else torch.from_numpy(times.astype(np.int64)).to(device)[:, None]
            states, memory = self.network.go_on(vectors, when, memory)
        return states[:, 0].cpu().numpy(), memory
