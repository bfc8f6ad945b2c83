"""What a trainable sequence model offers, and the encoding of histories with it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from honeyguide.core.ragged import FloatArray, Ragged
from honeyguide.nn.batches import cut_by_tokens, pad_right

ENCODE_TOKENS = 1 << 13  # positions encoded at once


class Backbone(Protocol):
    """A network that turns histories into states and scores items against them.

    Shapes: b rows, t positions, d width, m items.
    """

    reads_times: bool  # whether it is given the times of events, where they are known

    def hidden(self, items: Tensor, times: Tensor | None = None) -> Tensor:
        """int64 ``[b, t]``, padded on the right, to states after each position ``[b, t, d]``."""
        ...

    def user_state(self, items: Tensor, lengths: Tensor, times: Tensor | None = None) -> Tensor:
        """``[b, d]``: the state after the last real position of each row (``lengths`` ≥ 1)."""
        ...

    def score(self, state: Tensor, items: Tensor | None = None) -> Tensor:
        """``[b, m]``, or ``[b, k]`` for the item codes ``items`` ``[k]``."""
        ...

    def item_vectors(self) -> Tensor:
        """``[m, d]``, where the score is the dot product with the state."""
        ...


def encode(backbone: Backbone, histories: Ragged, max_len: int, device: torch.device) -> FloatArray:
    """float32 ``[n, d]``: the state of every history, which must not be empty.

    Rows are encoded in batches of near-equal length, from short to long.
    """
    if not backbone.reads_times:
        histories = replace(histories, times=None)
    states: FloatArray | None = None
    with torch.inference_mode():
        for rows, items, lengths, times in by_length(histories, max_len, device):
            found = backbone.user_state(items, lengths, times).float().cpu().numpy()
            if states is None:
                states = np.empty((len(histories), found.shape[1]), np.float32)
            states[rows] = found
    if states is None:
        return np.empty((0, backbone.item_vectors().shape[1]), np.float32)
    return states


def by_length(
    histories: Ragged, max_len: int, device: torch.device
) -> Iterator[tuple[npt.NDArray[np.int64], Tensor, Tensor, Tensor | None]]:
    """Batches of near-equal length, from short to long.

    Yields
    ------
    rows, items, lengths, times
        int64 ``[b]``, rows of ``histories``; ``[b, t]``, their last ``max_len`` events, padded on the right; ``[b]``;
        ``[b, t]`` microseconds, where events have times.
    """
    histories = histories.last(max_len)
    order = np.argsort(histories.lengths, kind="stable")
    for run in cut_by_tokens(histories.lengths[order], ENCODE_TOKENS):
        rows = histories.take(order[run])
        times = None
        if rows.times is not None:
            times = torch.from_numpy(pad_right(rows, 0, rows.times)).to(device)
        items, lengths = torch.from_numpy(pad_right(rows, 0)).to(device), torch.from_numpy(rows.lengths).to(device)
        yield order[run], items, lengths, times


def encode_positions(hidden: Callable[[Tensor], Tensor], histories: Ragged, device: torch.device) -> FloatArray:
    """float32 ``[n_events, d]``: the state after every event of ``histories``, in their order.

    Parameters
    ----------
    hidden
        int64 ``[b, t]``, padded on the right, to states after each position ``[b, t, d]``; later ones are not seen.
    histories
        No longer than what the network reads.
    device
        Of the network.
    """
    states: FloatArray | None = None
    longest = int(histories.lengths.max(initial=0))
    with torch.inference_mode():
        for rows, items, lengths, _ in by_length(histories, longest, device):
            if not items.shape[1]:
                continue
            found = hidden(items).float().cpu().numpy()
            if states is None:
                states = np.empty((len(histories.values), found.shape[2]), np.float32)
            step = np.arange(found.shape[1])
            real = step < lengths.cpu().numpy()[:, None]  # [b, t]
            states[(histories.offsets[rows][:, None] + step)[real]] = found[real]
    return np.empty((0, 0), np.float32) if states is None else states


def prefixes(histories: Ragged) -> Ragged:
    """For every event of ``histories``, in their order, the history up to and with it."""
    lengths = np.arange(len(histories.values)) - np.repeat(histories.offsets[:-1], histories.lengths) + 1
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    starts = np.repeat(histories.offsets[:-1], histories.lengths)
    within = np.arange(offsets[-1]) - np.repeat(offsets[:-1], lengths)
    return Ragged(offsets, histories.values[np.repeat(starts, lengths) + within])
