"""Adapters of Ada-Retrieval (Li et al. 2024): what earlier rounds retrieved changes the inputs and the state.

Shapes: b users, t events, d width, s items a round, r rounds so far.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from honeyguide.nn.blocks import Dropout

Context = tuple[Tensor, Tensor]  # vectors [b, s, d] of what a round retrieved, and which of them there are

_HIDDEN = -1e9  # score of what is not attended to; finite, so that a row without anything stays a number


class FrequencyFilter(nn.Module):
    """A learnt filter along a list: y = LayerNorm(dropout(irfft(W * rfft(x))) + x) (FMLP-Rec, Zhou et al. 2022).

    Parameters
    ----------
    length
        s, of every list.
    dim
        Width d.
    dropout
        On the filtered list.
    """

    def __init__(self, length: int, dim: int, dropout: float) -> None:
        super().__init__()
        self.length = length
        self.weight = nn.Parameter(torch.randn(length // 2 + 1, dim, 2) * 0.02)  # W, complex
        self.norm, self.dropout = nn.LayerNorm(dim), Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """``[b, s, d]`` to the same shape."""
        spectrum = torch.fft.rfft(x.float(), dim=1, norm="ortho") * torch.view_as_complex(self.weight)
        filtered = torch.fft.irfft(spectrum, n=self.length, dim=1, norm="ortho")
        found: Tensor = self.norm(self.dropout(filtered) + x)
        return found


class Residual(nn.Module):
    """What an adapter adds to what it adapts.

    As published, LayerNorm(dropout(x) + base). Or base + g * dropout(x) with g learnt from 0 (ReZero, Bachlechner et
    al. 2021): nothing is changed at the start, and the lengths of the vectors, which are learnt, are kept.

    Parameters
    ----------
    dim, dropout
        As in :class:`FrequencyFilter`.
    normalised
        Whether as published.
    """

    def __init__(self, dim: int, dropout: float, normalised: bool) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dim) if normalised else None
        self.gain = None if normalised else nn.Parameter(torch.zeros(dim))  # g
        self.dropout = Dropout(dropout)

    def forward(self, x: Tensor, base: Tensor) -> Tensor:
        """``[..., d]`` both."""
        x = self.dropout(x)
        if self.gain is not None:
            return base + self.gain * x
        found: Tensor = base + x if self.norm is None else self.norm(base + x)
        return found


class ItemAdapter(nn.Module):
    """Item representation adapter: every event looks at what was retrieved, before the backbone reads it.

    S is the lists of the earlier rounds, each filtered; a = softmax(E S' / sqrt(d)) S; E' = E with a added.

    Parameters
    ----------
    length, dim, dropout
        As in :class:`FrequencyFilter`.
    filtered
        Whether lists pass through the filter.
    normalised
        See :class:`Residual`.
    """

    def __init__(self, length: int, dim: int, dropout: float, filtered: bool, normalised: bool) -> None:
        super().__init__()
        self.filter = FrequencyFilter(length, dim, dropout) if filtered else None
        self.add = Residual(dim, dropout, normalised)

    def context(self, codes: Tensor, table: Tensor) -> Context:
        """What a round retrieved, ready to be looked at.

        Parameters
        ----------
        codes
            int64 ``[b, s]``, -1 where too few were found.
        table
            ``[m, d]`` item vectors.
        """
        found = codes >= 0
        x = F.embedding(codes.clamp_min(0), table) * found.unsqueeze(-1)  # [b, s, d]
        return (x if self.filter is None else self.filter(x)), found

    def forward(self, events: Tensor, contexts: Sequence[Context]) -> Tensor:
        """Vectors ``[b, t, d]`` of events, E, to the same shape, given the contexts of the earlier rounds."""
        context, found = (torch.cat(parts, 1) for parts in zip(*contexts, strict=True))  # S [b, r s, d], [b, r s]
        scores = events @ context.mT / events.shape[-1] ** 0.5  # [b, t, r s]
        attention = scores.masked_fill(~found.unsqueeze(1), _HIDDEN).softmax(-1)
        adapted: Tensor = self.add(attention @ context, events)
        return adapted


class UserAdapter(nn.Module):
    """User representation adapter: the vectors of earlier rounds change that of this one.

    c is the last state of a GRU over them; u' = u with W2 relu(W1 [u; c]) added.

    Parameters
    ----------
    dim, dropout
        As in :class:`FrequencyFilter`.
    normalised
        See :class:`Residual`.
    """

    def __init__(self, dim: int, dropout: float, normalised: bool) -> None:
        super().__init__()
        self.gru = nn.GRU(dim, dim, batch_first=True)
        self.wide, self.narrow = nn.Linear(2 * dim, 2 * dim), nn.Linear(2 * dim, dim)  # W1, W2
        self.add = Residual(dim, dropout, normalised)

    def remember(self, state: Tensor, memory: Tensor | None) -> Tensor:
        """``[1, b, d]``: c after one more round, with state ``[b, d]``; ``None`` before the first."""
        found: Tensor = self.gru(state.unsqueeze(1), memory)[1]
        return found

    def forward(self, state: Tensor, memory: Tensor) -> Tensor:
        """A state ``[b, d]`` and c of the rounds before it to the state of this round."""
        both = torch.cat([state, memory[0]], -1)  # [u; c] [b, 2 d]
        adapted: Tensor = self.add(self.narrow(F.relu(self.wide(both))), state)
        return adapted


class Adapters(nn.Module):
    """Both adapters, each of which may be left out.

    Parameters
    ----------
    length, dim, dropout
        As in :class:`FrequencyFilter`.
    items, users, filtered
        Which parts there are.
    normalised
        See :class:`Residual`.
    """

    def __init__(
        self, length: int, dim: int, dropout: float, *, items: bool, users: bool, filtered: bool, normalised: bool
    ) -> None:
        super().__init__()
        self.items = ItemAdapter(length, dim, dropout, filtered, normalised) if items else None
        self.users = UserAdapter(dim, dropout, normalised) if users else None

    def start(self, item_scale: float, state_scale: float) -> None:
        """Let what is normalised begin at the scale that the backbone was trained with.

        Parameters
        ----------
        item_scale, state_scale
            Root mean square of the numbers of item vectors and of states.
        """
        norms = []
        if self.items is not None:
            own = self.items.filter.norm if self.items.filter is not None else None
            norms += [(own, item_scale), (self.items.add.norm, item_scale)]
        if self.users is not None:
            norms.append((self.users.add.norm, state_scale))
        with torch.no_grad():
            for norm, scale in norms:
                if norm is not None:
                    norm.weight.fill_(scale)
