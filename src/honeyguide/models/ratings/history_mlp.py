"""Transformer-MLP of arXiv 2305.06474, section 4.1: the same facts as a prompt, as features of a small network.

Shapes: b questions, h ratings of a history, m items, d width.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from torch import Tensor, nn

from honeyguide.core.fitting import FitOptions
from honeyguide.core.ragged import FloatArray
from honeyguide.data.ratings import RatingQuestions
from honeyguide.metrics.arrays import Vector
from honeyguide.nn.blocks import LiGRBlock
from honeyguide.nn.trainer import Trainer, TrainerSettings, seeded

_SCORED = 2048  # questions answered at once


@dataclass(frozen=True)
class HistoryOptions:
    """Options of :class:`HistoryMLP`.

    Parameters
    ----------
    dim, blocks, heads
        Of self-attention over the history.
    longest
        Latest ratings that are read.
    epochs, batch, lr, weight_decay, dropout
        Of training.
    patience
        Epochs without a lower error on valid after which it ends.
    seed
        Of what is drawn.
    """

    dim: int = 64
    blocks: int = 2
    heads: int = 2
    longest: int = 10
    epochs: int = 20
    batch: int = 256
    lr: float = 1e-3
    weight_decay: float = 1e-4
    dropout: float = 0.1
    patience: int = 3
    seed: int = 0


@dataclass(frozen=True)
class _Batch:
    items: Tensor  # [b, h], -1 beyond the end
    given: Tensor  # [b, h]
    asked: Tensor  # [b]
    truth: Tensor  # [b]

    def to(self, device: torch.device) -> _Batch:
        return _Batch(*(t.to(device) for t in (self.items, self.given, self.asked, self.truth)))


class _Network(nn.Module):
    """Each rating is its item, kinds and rating; attended, averaged, and read beside the item asked about."""

    def __init__(self, facts: Tensor, n_items: int, mean: float, o: HistoryOptions) -> None:
        super().__init__()
        self.facts = nn.Buffer(facts)  # [m, f]: kinds or vectors of a text
        self.mean = mean
        self.items = nn.Embedding(n_items, o.dim) if n_items else None
        if self.items is not None:
            nn.init.normal_(self.items.weight, std=0.05)
        self.kinds = nn.Linear(facts.shape[1], o.dim)
        self.rating = nn.Linear(1, o.dim)
        self.blocks = nn.ModuleList(LiGRBlock(o.dim, o.heads, o.dropout, None) for _ in range(o.blocks))
        self.head = nn.Sequential(
            nn.Linear(3 * o.dim + 1, o.dim), nn.ReLU(), nn.Dropout(o.dropout), nn.Linear(o.dim, 1)
        )

    def vectors(self, items: Tensor) -> Tensor:
        """``[..., d]`` of items; zeros stand for what is behind the end."""
        kept = items.clamp(min=0)
        found: Tensor = self.kinds(self.facts[kept])
        if self.items is not None:
            found = found + self.items(kept)
        return found

    def forward(self, batch: _Batch) -> Tensor:
        """Ratings ``[b]``."""
        real = (batch.items >= 0).float()[:, :, None]  # [b, h, 1]
        left = (batch.given - self.mean)[:, :, None] * real
        x = (self.vectors(batch.items) + self.rating(left)) * real
        for block in self.blocks:
            x = block(x)
        count = real.sum(1).clamp(min=1)
        asked = self.vectors(batch.asked)  # [b, d]
        states, level = (x * real).sum(1) / count, left.sum(1) / count
        read = torch.cat([states, asked, states * asked, level], 1)
        found: Tensor = self.mean + self.head(read)[:, 0]
        return found


class HistoryMLP:
    """Self-attention over the history and a multi-layer perceptron over it and the item; least squares.

    Parameters
    ----------
    facts
        float32 ``[m, f]`` of the items: their kinds as zeros and ones, or vectors of their texts.
    ids
        Whether items have vectors of their own besides, which are learnt.
    options
        How it is built and trained.
    """

    network: _Network

    def __init__(self, facts: FloatArray, *, ids: bool = True, options: HistoryOptions | None = None) -> None:
        self.facts, self.ids, self.options = facts, ids, options or HistoryOptions()

    def fit(self, questions: RatingQuestions, valid: RatingQuestions | None = None) -> Self:
        """Learn from questions and answers; with ``valid``, the epoch with the least error there is kept."""
        o = self.options
        with seeded(o.seed, torch.device("cpu")):
            n = len(self.facts) if self.ids else 0
            mean = float(questions.truth.mean(dtype=np.float64))
            self.network = _Network(torch.tensor(self.facts), n, mean, o)
        settings = TrainerSettings(o.epochs, o.lr, weight_decay=o.weight_decay, patience=o.patience, seed=o.seed)

        def loss(batch: _Batch) -> Tensor:
            error: Tensor = self.network(batch) - batch.truth
            return error.square().mean()

        def validate() -> float:
            assert valid is not None
            return -float(np.sqrt(((self.predict(valid) - valid.truth) ** 2).mean()))

        batches = _Epochs(questions, o)
        judge = None if valid is None else validate
        Trainer(self.network, loss, batches, settings, FitOptions(progress=False), judge, metric="-rmse").run()
        return self

    def predict(self, questions: RatingQuestions) -> Vector:
        """float64 ``[n]``."""
        self.network.eval()
        found = []
        with torch.inference_mode():
            for start in range(0, len(questions), _SCORED):
                rows = np.arange(start, min(start + _SCORED, len(questions)))
                found.append(self.network(_padded(questions.take(rows), self.options.longest)))
        told: Vector = torch.cat(found).double().numpy() if found else np.empty(0)
        return told


class _Epochs:
    """Questions in an order drawn for each epoch."""

    def __init__(self, questions: RatingQuestions, o: HistoryOptions) -> None:
        self.questions, self.o = questions.last(o.longest), o

    def epoch(self, number: int) -> _Epoch:
        order = np.random.default_rng([self.o.seed, number]).permutation(len(self.questions))
        return _Epoch(self.questions, np.array_split(order, -(-len(order) // self.o.batch)), self.o.longest)


@dataclass(frozen=True)
class _Epoch:
    questions: RatingQuestions
    rows: list[np.ndarray]
    longest: int

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> _Batch:
        return _padded(self.questions.take(self.rows[index]), self.longest)


def _padded(questions: RatingQuestions, longest: int) -> _Batch:
    """The latest ratings of each history, padded at the end."""
    q = questions.last(longest)
    width = max(1, int(q.history.lengths.max(initial=0)))
    items, given = np.full((len(q), width), -1, np.int64), np.zeros((len(q), width), np.float32)
    rows = q.history.rows
    places = np.arange(len(q.given)) - q.history.offsets[rows]
    items[rows, places], given[rows, places] = q.history.values, q.given
    return _Batch(
        torch.from_numpy(items),
        torch.from_numpy(given),
        torch.from_numpy(q.items.astype(np.int64)),
        torch.from_numpy(np.ascontiguousarray(q.truth)),
    )
