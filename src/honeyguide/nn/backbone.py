"""What a trainable sequence model offers, and the encoding of histories with it."""

from __future__ import annotations

from dataclasses import replace
from typing import Protocol

import numpy as np
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
    histories = histories.last(max_len)
    order = np.argsort(histories.lengths, kind="stable")
    states: FloatArray | None = None
    with torch.inference_mode():
        for run in cut_by_tokens(histories.lengths[order], ENCODE_TOKENS):
            rows = histories.take(order[run])
            items = torch.from_numpy(pad_right(rows, 0)).to(device)
            lengths = torch.from_numpy(rows.lengths).to(device)
            times = None
            if rows.times is not None:
                times = torch.from_numpy(pad_right(rows, 0, rows.times)).to(device)
            found = backbone.user_state(items, lengths, times).float().cpu().numpy()
            if states is None:
                states = np.empty((len(histories), found.shape[1]), np.float32)
            states[order[run]] = found
    if states is None:
        return np.empty((0, backbone.item_vectors().shape[1]), np.float32)
    return states
