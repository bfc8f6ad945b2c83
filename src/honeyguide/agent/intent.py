"""The part of a history that a wish is about: active-intent attention over its events (RecBot, collaborative matcher).

Shapes: m items, d width of item vectors, t width of text vectors, h events of a history, b examples.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from honeyguide.core.inner_product import unit
from honeyguide.core.ragged import FloatArray, IntArray, Ragged
from honeyguide.pipeline.stock import Stock

_SHARPNESS = 12.0  # of the attention of a wish over events, by text, before anything is learned
_EVENTS = 10  # of the history that a wish reads, at most
_LATEST = 50  # events that the head looks at
_NAMED = 0.6  # chance that a wish for an item names one of its facts
_LAST_LR = 0.1  # share of the learning rate that is left at the end


class Intent(Protocol):
    """Scores of all items for what a history holds of a wish."""

    def scores(self, history: IntArray, query: FloatArray) -> FloatArray | None:
        """float32 ``[m]`` for item codes ``[h]``, oldest first, and a wish ``[t]``; ``None`` if it is too short."""
        ...


class TextIntent:
    """Nothing learned: the wish attends to events by their texts, and the model is asked with those it reads.

    Parameters
    ----------
    stock
        Model and texts.
    """

    def __init__(self, stock: Stock) -> None:
        self.stock = stock

    def scores(self, history: IntArray, query: FloatArray) -> FloatArray | None:
        """float32 ``[m]``: of the model, for the events with the most of ``softmax(12 cos)``, in their order."""
        known = history[history >= 0]
        if len(known) < 2:
            return None
        cosines = self.stock.text_vectors[known] @ query
        attention = np.exp(_SHARPNESS * (cosines - cosines.max()))
        read = np.sort(np.argsort(-attention, kind="stable")[:_EVENTS])
        read = read[attention[read] > 0.05]
        return self.stock.scores(known[read])


@dataclass(frozen=True)
class IntentOptions:
    """How an :class:`IntentHead` is trained.

    Parameters
    ----------
    examples
        Pairs of a history and its next item.
    epochs, batch, lr
        Of Adam.
    seed
        Of the examples, of what wishes say, and of their order.
    """

    examples: int = 20_000
    epochs: int = 4
    batch: int = 256
    lr: float = 1e-2
    seed: int = 0


class IntentHead:
    """Attention of a wish over frozen item vectors, learned by the next-item loss.

    ``a_j = softmax_j(τ q·x_j + (A q)·e_j − δ age_j)``, ``u = V Σ_j a_j e_j + w e_last``, ``s_i = u·e_i``, with q the
    text of the wish, x_j and e_j the text and the item vector of event j. Before training A = 0 and V = 1: it is
    :class:`TextIntent`'s attention.

    Parameters
    ----------
    items
        float32 ``[m, d]``: of a fitted backbone, left as they are.
    texts
        float32 ``[m, t]``.
    weights
        ``query [d, t], value [d, d], scalars [3] = (log τ, δ, w)``.
    """

    def __init__(self, items: FloatArray, texts: FloatArray, weights: dict[str, FloatArray]) -> None:
        self.items, self.texts, self.weights = items, texts, weights

    def scores(self, history: IntArray, query: FloatArray) -> FloatArray | None:
        """float32 ``[m]``."""
        known = history[history >= 0][-_LATEST:]
        if len(known) < 2:
            return None
        log_tau, decay, last = (float(v) for v in self.weights["scalars"])
        events = self.items[known]  # [h, d]
        age = np.arange(len(known), dtype=np.float32)[::-1]
        logits = np.exp(log_tau) * (self.texts[known] @ query) + events @ (self.weights["query"] @ query) - decay * age
        attention = np.exp(logits - logits.max())
        read = attention @ events / attention.sum()  # [d]
        user = self.weights["value"] @ read + last * events[-1]
        found: FloatArray = self.items @ user
        return found

    @classmethod
    def train(
        cls,
        items: FloatArray,
        texts: FloatArray,
        histories: Ragged,
        wishes: Sequence[Sequence[int]],
        facts: FloatArray,
        options: IntentOptions | None = None,
    ) -> tuple[IntentHead, list[float]]:
        """A head, and the loss of every epoch, in nats an item.

        Parameters
        ----------
        items, texts
            float32 ``[m, d]`` and ``[m, t]``.
        histories
            Of train alone, oldest first.
        wishes
            For each item the numbers of the facts that are true of it: a wish for it names some of them.
        facts
            float32 ``[f, t]``: the text vector of each fact.
        options
            How.
        """
        import torch

        options = options or IntentOptions()
        rng = np.random.default_rng(options.seed)
        torch.manual_seed(options.seed)
        scaled = (items / max(float(np.linalg.norm(items, axis=1).mean()), 1e-9)).astype(np.float32)
        past, target, query = _examples(histories, wishes, facts, options.examples, rng)
        e, x = torch.from_numpy(scaled), torch.from_numpy(texts)
        d, t = scaled.shape[1], texts.shape[1]
        a, v = torch.zeros(d, t, requires_grad=True), torch.eye(d).mul_(4).requires_grad_()
        s = torch.tensor([float(np.log(_SHARPNESS)), 0.05, 0.0], requires_grad=True)
        adam = torch.optim.Adam([a, v, s], lr=options.lr)
        steps = options.epochs * -(-len(past) // options.batch)
        schedule = torch.optim.lr_scheduler.LinearLR(adam, 1.0, _LAST_LR, steps)
        losses = []
        for _ in range(options.epochs):
            total = 0.0
            for rows in np.array_split(rng.permutation(len(past)), -(-len(past) // options.batch)):
                q, seen = torch.from_numpy(query[rows]), torch.from_numpy(past[rows])
                user = _read(e, x, q, seen, (a, v, s))
                loss = torch.nn.functional.cross_entropy(user @ e.T, torch.from_numpy(target[rows]))
                adam.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                adam.step()
                schedule.step()
                total += float(loss.detach()) * len(rows)
            losses.append(total / len(past))
        weights = {"query": a, "value": v, "scalars": s}
        return cls(scaled, texts, {name: w.detach().numpy().copy() for name, w in weights.items()}), losses


def _read(e: Any, x: Any, q: Any, seen: Any, weights: tuple[Any, Any, Any]) -> Any:
    """User vectors ``[b, d]`` of wishes ``[b, t]`` over events ``[b, h]``, newest last, padded in front by -1."""
    import torch

    a, v, s = weights
    there, codes = seen >= 0, seen.clamp(min=0)
    events = e[codes]  # [b, h, d]
    age = torch.arange(seen.shape[1] - 1, -1, -1, dtype=torch.float32)
    logits = s[0].exp() * torch.einsum("bht,bt->bh", x[codes], q) + torch.einsum("bhd,bd->bh", events, q @ a.T)
    attention = (logits - s[1] * age).masked_fill(~there, -torch.inf).softmax(1)
    return torch.einsum("bh,bhd->bd", attention, events) @ v.T + s[2] * events[:, -1]


def _examples(
    histories: Ragged, wishes: Sequence[Sequence[int]], facts: FloatArray, n: int, rng: np.random.Generator
) -> tuple[Any, Any, FloatArray]:
    """Pasts int64 ``[n, h]`` padded in front, next items int64 ``[n]``, wishes for them float32 ``[n, t]``."""
    offsets = histories.offsets
    places = np.arange(len(histories.values)) - np.repeat(offsets[:-1], np.diff(offsets))
    asked = np.flatnonzero((places >= 2) & np.array([bool(w) for w in wishes])[histories.values])
    asked = np.sort(rng.choice(asked, min(n, len(asked)), replace=False))
    past = np.full((len(asked), _LATEST), -1, np.int64)
    query = np.zeros((len(asked), facts.shape[1]), np.float32)
    for row, at in enumerate(asked):
        own = histories.values[max(at - _LATEST, at - places[at]) : at]
        past[row, _LATEST - len(own) :] = own
        said = np.asarray(wishes[int(histories.values[at])])
        named = said[rng.random(len(said)) < _NAMED]
        query[row] = facts[named if len(named) else said[:1]].sum(0)
    return past, histories.values[asked].astype(np.int64), unit(query)
