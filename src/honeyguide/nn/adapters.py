"""Adapters of Ada-Retrieval (Li et al. 2024): what earlier rounds retrieved changes the inputs and the state.

Shapes: b users, t events, d width, s items a round, r rounds so far.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from honeyguide.nn.blocks import Dropout

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


class ItemAdapter(nn.Module):
    """Item representation adapter: every event looks at what was retrieved, before the backbone reads it.

    S is the lists of the earlier rounds, each filtered; a = softmax(E S' / sqrt(d)) S; E' = LayerNorm(dropout(a) + E).

    Parameters
    ----------
    length, dim, dropout
        As in :class:`FrequencyFilter`.
    filtered
        Whether lists pass through the filter.
    """

    def __init__(self, length: int, dim: int, dropout: float, filtered: bool) -> None:
        super().__init__()
        self.filter = FrequencyFilter(length, dim, dropout) if filtered else None
        self.norm, self.dropout = nn.LayerNorm(dim), Dropout(dropout)

    def forward(self, events: Tensor, rounds: Sequence[Tensor], table: Tensor) -> Tensor:
        """Vectors ``[b, t, d]`` of events to the same shape.

        Parameters
        ----------
        events
            E.
        rounds
            int64 ``[b, s]`` each, the item codes that every earlier round retrieved; -1 where it found too few.
        table
            ``[m, d]`` item vectors.
        """
        lists = []
        for codes in rounds:
            x = F.embedding(codes.clamp_min(0), table) * (codes >= 0).unsqueeze(-1)  # [b, s, d]
            lists.append(x if self.filter is None else self.filter(x))
        context = torch.cat(lists, 1)  # S [b, r s, d]
        scores = events @ context.mT / events.shape[-1] ** 0.5  # [b, t, r s]
        scores = scores.masked_fill((torch.cat(list(rounds), 1) < 0).unsqueeze(1), _HIDDEN)
        found: Tensor = self.norm(self.dropout(scores.softmax(-1) @ context) + events)
        return found


class UserAdapter(nn.Module):
    """User representation adapter: the vectors of earlier rounds change that of this one.

    c is the last state of a GRU over them; u' = LayerNorm(dropout(W2 relu(W1 [u; c])) + u).

    Parameters
    ----------
    dim, dropout
        As in :class:`FrequencyFilter`.
    """

    def __init__(self, dim: int, dropout: float) -> None:
        super().__init__()
        self.gru = nn.GRU(dim, dim, batch_first=True)
        self.wide, self.narrow = nn.Linear(2 * dim, 2 * dim), nn.Linear(2 * dim, dim)  # W1, W2
        self.norm, self.dropout = nn.LayerNorm(dim), Dropout(dropout)

    def forward(self, state: Tensor, earlier: Sequence[Tensor]) -> Tensor:
        """A state ``[b, d]`` and those of the earlier rounds, in order, to the state of this round."""
        _, last = self.gru(torch.stack(list(earlier), 1))  # [1, b, d]
        both = torch.cat([state, last[0]], -1)  # [b, 2 d]
        found: Tensor = self.norm(self.dropout(self.narrow(F.relu(self.wide(both)))) + state)
        return found


class Adapters(nn.Module):
    """Both adapters, each of which may be left out.

    Parameters
    ----------
    length, dim, dropout
        As in :class:`FrequencyFilter`.
    items, users, filtered
        Which parts there are.
    """

    def __init__(self, length: int, dim: int, dropout: float, items: bool, users: bool, filtered: bool) -> None:
        super().__init__()
        self.items = ItemAdapter(length, dim, dropout, filtered) if items else None
        self.users = UserAdapter(dim, dropout) if users else None

    def start(self, item_scale: float, state_scale: float) -> None:
        """Let what is normalised begin at the scale that the backbone was trained with.

        Parameters
        ----------
        item_scale, state_scale
            Root mean square of the numbers of item vectors and of states.
        """
        with torch.no_grad():
            if self.items is not None:
                self.items.norm.weight.fill_(item_scale)
                if self.items.filter is not None:
                    self.items.filter.norm.weight.fill_(item_scale)
            if self.users is not None:
                self.users.norm.weight.fill_(state_scale)
