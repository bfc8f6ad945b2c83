"""The network of DIN. Shapes: b examples, t positions, m items, d width, a width of the activation unit."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from honeyguide.models.ranking.clicks import ClickBatch, tensors
from honeyguide.models.ranking.features import DERIVED, Features, Side
from honeyguide.nn.blocks import Dropout

_CELLS = 1 << 20  # numbers of the activation unit held at once: 4 MiB stay in the cache
_AGES = 16  # buckets of an event's age: 0, 1, 2-3, 4-7, ...


class Dice(nn.Module):
    """``f(s) = p s + (1 - p) alpha s``, ``p = sigmoid((s - E[s]) / sqrt(Var[s] + eps))`` (DIN, equation 3).

    Mean and variance are those of the batch while training, and their running averages afterwards.
    """

    mean: Tensor
    variance: Tensor

    def __init__(self, width: int, momentum: float = 0.05, eps: float = 1e-8) -> None:
        super().__init__()
        self.alpha = nn.Parameter(torch.zeros(width))
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("variance", torch.ones(width))
        self.momentum, self.eps = momentum, eps

    def forward(self, s: Tensor) -> Tensor:
        """``[b, width]`` to the same shape."""
        mean, variance = self.mean, self.variance
        if self.training:
            mean, variance = s.mean(0), s.var(0, unbiased=False)
            with torch.no_grad():
                self.mean.lerp_(mean, self.momentum)
                self.variance.lerp_(variance, self.momentum)
        p = torch.sigmoid((s - mean) * torch.rsqrt(variance + self.eps))
        return s * (p + (1 - p) * self.alpha)


class PReLU(nn.Module):
    """``max(0, s) + alpha min(0, s)`` with one alpha per number of the last axis (that of torch takes the second)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.alpha = nn.Parameter(torch.full((width,), 0.25))

    def forward(self, s: Tensor) -> Tensor:
        """``[..., width]`` to the same shape."""
        return torch.relu(s) + self.alpha * s.clamp_max(0)


class FieldSum(nn.Module):
    """``sum_j weights_j E[codes_j] + numbers W``: one vector for all features of a row."""

    def __init__(self, side: Side, dim: int) -> None:
        super().__init__()
        self.fields = nn.Embedding(max(1, side.size), dim)
        self.numbers = nn.Parameter(torch.empty(len(side.numbers), dim))
        nn.init.normal_(self.fields.weight, std=0.05)
        nn.init.normal_(self.numbers, std=0.05)

    def forward(self, codes: Tensor, weights: Tensor, numbers: Tensor) -> Tensor:
        """``[..., w], [..., w], [..., p]`` to ``[..., d]``."""
        summed: Tensor = (self.fields(codes) * weights[..., None]).sum(-2) + numbers @ self.numbers
        return summed


class Tables(NamedTuple):
    """What of the network does not depend on the history, for the whole catalogue."""

    vectors: Tensor  # [m, d]
    query: Tensor  # [m, a]: the item as target in the activation unit
    key: Tensor  # [m, a]: the item as event
    first: Tensor  # [m, width]: its share of the first layer
    nobody: Tensor  # [width]: the share of an unknown user, of no context and of the bias
    length: Tensor  # [width]: the weights of the history's length


class DINNetwork(nn.Module):
    """``logit = MLP([u, v, x, v * x, c, derived])`` with ``v = sum_k g(age_k) a(h_k, x) h_k``.

    The activation unit is ``a(h, x) = w' PReLU(Q x + K h + C (h * x)) + b``. With ``Q = W_x - W_d`` and
    ``K = W_h + W_d`` it is the paper's unit on ``[h, x, h - x, h * x]``, whose four weights are three.

    Parameters
    ----------
    features
        Fitted features; those of the items are kept as constants.
    dim, attention, layers
        Widths of vectors, of the activation unit, and of the hidden layers.
    activation
        Of the hidden layers.
    dropout
        On the hidden layers.
    unknown
        Share of items whose own vector is replaced by that of unknown items while training.
    ordered
        Whether an event's age counts.
    """

    codes: Tensor
    weights: Tensor
    numbers: Tensor
    known: Tensor

    def __init__(
        self,
        features: Features,
        dim: int,
        attention: int,
        layers: tuple[int, ...],
        activation: Literal["dice", "prelu"],
        dropout: float,
        unknown: float,
        ordered: bool,
    ) -> None:
        super().__init__()
        spec, self.n_items, self.unknown = features.spec, len(features.items), unknown
        constants = dict(zip(("codes", "weights", "numbers"), tensors(features.items), strict=True))
        constants["known"] = torch.from_numpy(features.counts > 0)
        for name, values in constants.items():
            self.register_buffer(name, values, persistent=False)
        self.ids = nn.Embedding(self.n_items + 1, dim)  # the last row is "unknown item"
        nn.init.normal_(self.ids.weight, std=0.05)
        self.items, self.users, self.context = (FieldSum(s, dim) for s in (spec.items, spec.users, spec.context))
        self.query, self.key = nn.Linear(dim, attention), nn.Linear(dim, attention, bias=False)
        self.cross, self.unit = nn.Linear(dim, attention, bias=False), PReLU(attention)
        self.weigh = nn.Linear(attention, 1)
        self.age = nn.Parameter(torch.zeros(_AGES)) if ordered else None
        widths = (5 * dim + len(DERIVED), *layers)
        self.layers = nn.ModuleList(nn.Linear(i, o) for i, o in pairwise(widths))
        self.activations = nn.ModuleList(Dice(w) if activation == "dice" else PReLU(w) for w in layers)
        self.dropout = Dropout(dropout)
        self.out = nn.Linear(layers[-1], 1)

    def item_vectors(self, items: Tensor) -> Tensor:
        """int64 codes of any shape to ``[..., d]``: the item itself plus its features."""
        codes, place = torch.unique(items, return_inverse=True)
        at = codes.clamp_max(self.n_items - 1)
        strange = (codes == self.n_items) | ~self.known[at]
        if self.training and self.unknown:
            strange = strange | (torch.rand(len(codes), device=codes.device) < self.unknown)
        vectors = self.ids(torch.where(strange, self.n_items, codes))
        vectors = vectors + self.items(self.codes[at], self.weights[at], self.numbers[at])
        found: Tensor = vectors[place]
        return found

    def age_factors(self, ages: Tensor) -> Tensor:
        """g(age), positive: 1 for every event where order means nothing."""
        if self.age is None:
            return torch.ones_like(ages, dtype=torch.float32)
        bucket = torch.log2(ages.clamp_min(0) + 1.0).long().clamp_max(_AGES - 1)
        return self.age[bucket].exp()

    def hidden(self, batch: ClickBatch) -> Tensor:
        """``[b, layers[-1]]``: the last hidden layer."""
        x, h = self.item_vectors(batch.items), self.item_vectors(batch.history)  # [b, d], [b, t, d]
        unit = self.query(x)[:, None] + self.key(h) + self.cross(h * x[:, None])  # [b, t, a]
        ages = batch.lengths[:, None] - 1 - torch.arange(h.shape[1], device=h.device)  # [b, t]; negative: padded
        w = self.weigh(self.unit(unit))[..., 0] * self.age_factors(ages) * (ages >= 0)  # [b, t]
        v = (w[:, None] @ h)[:, 0]  # sum pooling, weights not normalised: [b, d]
        u, c = self.users(*batch.users), self.context(*batch.context)
        return self._upper(self.layers[0](torch.cat([u, v, x, v * x, c, batch.derived], 1)))

    def _upper(self, z: Tensor) -> Tensor:
        """From the first layer's sums to the last hidden layer."""
        for i, activation in enumerate(self.activations):
            z = self.dropout(activation(z if i == 0 else self.layers[i](z)))
        return z

    def forward(self, batch: ClickBatch) -> tuple[Tensor, Tensor]:
        """Logits ``[b]`` and the last hidden layer."""
        hidden = self.hidden(batch)
        return self.out(hidden)[:, 0], hidden

    # -- the whole catalogue for one history ---------------------------------------------------

    def tables(self, features: Features) -> Tables:
        """What does not depend on the history, for a user and a context of which nothing is known."""
        n, device = self.n_items, self.ids.weight.device
        derived = features.derived(np.zeros(n, np.int64), np.arange(n, dtype=np.int32))
        of_user, _, of_item, _, of_context, dense = self._first()
        nobody = [
            tuple(t.to(device) for t in tensors(s.nothing(1))) for s in (features.spec.users, features.spec.context)
        ]
        x = self.item_vectors(torch.arange(n, device=device))
        return Tables(
            vectors=x,
            query=self.query(x),
            key=self.key(x),
            first=x @ of_item.T + torch.from_numpy(derived[:, 1:]).to(device) @ dense[:, 1:].T,
            nobody=of_user @ self.users(*nobody[0])[0] + of_context @ self.context(*nobody[1])[0] + self.layers[0].bias,
            length=dense[:, 0],
        )

    def _first(self) -> tuple[Tensor, ...]:
        """The first layer's weights for u, v, x, v * x, c and derived, ``[width, ...]`` each."""
        d = self.ids.embedding_dim
        first: nn.Linear = self.layers[0]  # type: ignore[assignment]
        return torch.split(first.weight, [d, d, d, d, d, len(DERIVED)], 1)

    def catalogue_logits(self, history: Tensor, length: float, tables: Tables) -> Tensor:
        """Logits of all items ``[m]`` for the latest events ``[t]`` of a history of standardised ``length``."""
        return torch.cat([self.out(hidden)[:, 0] for hidden in self.catalogue_hidden(history, length, tables)])

    def catalogue_hidden(self, history: Tensor, length: float, tables: Tables) -> Iterator[Tensor]:
        """The last hidden layer of all items, some ``[c, layers[-1]]`` at a time."""
        h, key = tables.vectors[history], tables.key[history]  # [t, d], [t, a]
        t, a = key.shape
        _, pooled, _, crossed, _, _ = self._first()
        g = self.age_factors(torch.arange(t - 1, -1, -1, device=h.device))
        read = (h[:, None] * self.cross.weight).reshape(t * a, h.shape[1])  # C (h * x) = (h * C) x
        step = max(64, _CELLS // max(1, t * a))
        for x, query, first in zip(
            *(torch.split(table, step) for table in (tables.vectors, tables.query, tables.first)), strict=True
        ):
            z = first + tables.nobody + length * tables.length
            if t:
                unit = (read @ x.T).view(t, a, -1) + key[..., None] + query.T  # [t, a, c]
                unit = torch.relu(unit) + self.unit.alpha[:, None] * unit.clamp_max(0)
                w = torch.einsum("tac,a->tc", unit, self.weigh.weight[0]) + self.weigh.bias
                v = (w * g[:, None]).T @ h  # [c, d]
                z = z + v @ pooled.T + (v * x) @ crossed.T
            yield self._upper(z)
