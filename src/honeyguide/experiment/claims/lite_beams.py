"""What Lite-LLM4Rec is compared with: the same towers, but the next item is written token by token, by beam search.

An item's name is a code of tokens, unique among all items; a trie says which tokens may follow. The decoder is layers
of the language model that reads the history, with keys and values of earlier tokens kept. Shapes: n targets, m items,
L tokens of a code, B values of a token, d width of states, D of the language model, w beams.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from honeyguide.core.ragged import FloatArray
from honeyguide.lm.layers import Layers, base_model, pretrained
from honeyguide.nn.batches import IGNORED, Batch

Codes = npt.NDArray[np.int64]


def text_codes(vectors: FloatArray, length: int) -> Codes:
    """int64 ``[m, L]``: items alike in text share the beginning of their code; no two share all of it.

    A group is cut, along its leading principal component, into B parts of equal size, L times; B is the smallest
    number with ``B ** L >= m``.
    """
    codes = np.zeros((len(vectors), length), np.int64)
    values = values_of(len(vectors), length)

    def cut(rows: npt.NDArray[np.int64], level: int) -> None:
        if len(rows) == 0 or level == length:
            return
        x = vectors[rows] - vectors[rows].mean(0)
        leading = np.linalg.eigh(x.T @ x)[1][:, -1]
        for value, part in enumerate(np.array_split(rows[np.argsort(x @ leading, kind="stable")], values)):
            codes[part, level] = value
            cut(part, level + 1)

    cut(np.arange(len(vectors)), 0)
    return codes


def values_of(n_items: int, length: int) -> int:
    """B."""
    values = 2
    while values**length < n_items:
        values += 1
    return values


class Beams(nn.Module):
    """The user tower of ``network`` with a decoder of codes behind it.

    Parameters
    ----------
    network
        A network of :class:`~honeyguide.models.language.text_sequence.TextSequenceModel`; its towers are used.
    codes
        ``[m, L]``.
    dim
        d.
    config, layers
        Configuration of the language model, and how many of its layers decode.
    """

    def __init__(self, network: Any, codes: Codes, dim: int, config: dict[str, Any], layers: int) -> None:
        super().__init__()
        model = base_model({**config, "vocab_size": 2, "pad_token_id": 0, "num_hidden_layers": layers})
        self.network, self.codes = network, torch.from_numpy(codes)
        self.values = int(codes.max()) + 1
        self.layers = Layers(model, slice(0, layers), causal=True)
        width = self.layers.width
        self.enter, self.leave = nn.Linear(dim, width), nn.Linear(width, self.values, bias=False)
        self.tokens = nn.Embedding(codes.shape[1] * self.values, width)
        nn.init.normal_(self.tokens.weight, std=0.02)
        for parameter in self.layers.parameters():
            parameter.pace = 0.1  # type: ignore[attr-defined]

    def load(self, folder: Any) -> None:
        """Take the weights of the language model's first layers."""
        for own, given in zip(self.layers.stack, pretrained(folder).encoder.layer, strict=False):
            own.load_state_dict(given.state_dict())

    def _embedded(self, codes: Tensor) -> Tensor:
        """Tokens ``[..., l]`` to ``[..., l, D]``: every place has values of its own."""
        found: Tensor = self.tokens(codes + self.values * torch.arange(codes.shape[-1]))
        return found

    def loss(self, batch: Batch) -> Tensor:
        """Cross-entropy of the tokens of the next item's code, at every position of the windows."""
        real = batch.targets != IGNORED
        states = self.network.hidden(batch.items)[real]  # [n, d]
        codes = self.codes[batch.targets[real]]  # [n, L]
        x = torch.cat([self.enter(states)[:, None], self._embedded(codes[:, :-1])], 1)  # [n, L, D]
        logits = self.leave(self.layers(x))
        return codes.shape[1] * F.cross_entropy(logits.flatten(0, 1), codes.flatten())

    def search(self, states: Tensor, beams: int) -> tuple[Tensor, Tensor]:
        """The ``beams`` likeliest items of every state ``[b, d]``: codes of items ``[b, w]`` and log-probabilities.

        Tokens that no item has at that place are never written: a trie, held as sorted numbers of prefixes.
        """
        b, length = len(states), self.codes.shape[1]
        prefixes = _prefixes(self.codes, self.values)
        memory: list[Any] = [None] * len(self.layers.stack)
        x = self.enter(states)[:, None]  # [b, 1, D]
        scores, written = torch.zeros(b, 1), torch.zeros(b, 1, dtype=torch.long)  # [b, w]
        for place in range(length):
            logits = self.leave(self._step(x, memory)).log_softmax(-1).view(b, -1, self.values)  # [b, w, B]
            longer = written[..., None] * self.values + torch.arange(self.values)  # [b, w, B]
            at = torch.searchsorted(prefixes[place], longer).clamp(max=len(prefixes[place]) - 1)
            total = (scores[..., None] + logits).masked_fill(prefixes[place][at] != longer, -torch.inf)
            scores, best = total.flatten(1).topk(min(beams, total.shape[1] * total.shape[2]))
            origin = best // self.values
            written = longer.flatten(1).gather(1, best)
            if place + 1 < length:
                rows = (torch.arange(b)[:, None] * logits.shape[1] + origin).flatten()
                memory[:] = [(k[rows], v[rows]) for k, v in memory]
                x = self.tokens((best % self.values + place * self.values).flatten())[:, None]
        order = torch.argsort(_numbers(self.codes, self.values))
        return order[torch.searchsorted(prefixes[-1], written).clamp(max=len(order) - 1)], scores

    def _step(self, x: Tensor, memory: list[Any]) -> Tensor:
        """One token ``[b w, 1, D]`` through the layers; keys and values of those before are in ``memory``."""
        for place, layer in enumerate(self.layers.stack):
            own: Any = layer.attention.self  # type: ignore[union-attr]
            heads = own.num_attention_heads
            q, k, v = (f(x).unflatten(-1, (heads, -1)).transpose(1, 2) for f in (own.query, own.key, own.value))
            if memory[place] is not None:
                k, v = torch.cat([memory[place][0], k], 2), torch.cat([memory[place][1], v], 2)
            memory[place] = (k, v)
            mixed = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
            x = layer.attention.output(mixed, x)  # type: ignore[operator,union-attr]
            x = layer.output(layer.intermediate(x), x)  # type: ignore[operator]
        return x[:, 0]


def _numbers(codes: Tensor, values: int) -> Tensor:
    """int64 ``[m]``: codes ``[m, l]`` as numbers to the base ``values``."""
    found = torch.zeros(len(codes), dtype=torch.long)
    for column in codes.T:
        found = found * values + column
    return found


def _prefixes(codes: Tensor, values: int) -> list[Tensor]:
    """Of every length, the beginnings that some item has, rising."""
    return [torch.unique(_numbers(codes[:, : place + 1], values)) for place in range(codes.shape[1])]


def milliseconds(run: Callable[[int], object], users: int) -> list[float]:
    """CPU-milliseconds of ``run`` for each of ``users``, the first one left out."""
    from honeyguide.core.resources import Stopwatch

    took = []
    for user in range(users + 1):
        with Stopwatch() as watch:
            run(user)
        took.append(1e3 * watch.cpu)
    return took[1:]
