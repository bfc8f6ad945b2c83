"""An encoder that says which item of a window does not belong there, and what might have stood in its place.

It learns from windows of which one item was replaced at random (LLM4DSR, arXiv 2408.08208, with a small network in
the place of a language model). Shapes: b windows, t positions, D width of the items' vectors, d width, m items.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from honeyguide.core.ragged import FloatArray, IntArray, Ragged
from honeyguide.data.corruptions import corrupt_one
from honeyguide.nn.batches import cut_by_tokens, pad_right
from honeyguide.nn.blocks import Dropout, LiGRBlock, RMSNorm, init_weights
from honeyguide.nn.evidence import Evidence

ENCODED = 1 << 13  # positions read at once
SHARPNESS = 10.0  # at the start, of the cosines between the other items and the catalogue


class OddItemNetwork(nn.Module):
    """Two-sided attention over the vectors of a window's items, with two heads.

    ``p_t = sigmoid(w [h_t, h_t * x_t, f_t])`` is the probability that item t does not belong, where f is the mean and
    the highest cosine with the others, and the evidence of the log. What would belong there is told by
    ``s cos(v_-t, v_i) + A h_t . B v_i + c f_i`` over the items i, where ``v_-t`` is the mean vector of the others. It
    begins as the cosine alone.

    Parameters
    ----------
    vectors
        float32 ``[m, D]`` of the items, of length one or zero; they are not learnt.
    window
        Longest window.
    evidence
        Number of further features of an event.
    dim, blocks, heads, dropout
        Of the encoder.
    """

    vectors: Tensor

    def __init__(
        self, vectors: Tensor, window: int, evidence: int, dim: int, blocks: int, heads: int, dropout: float
    ) -> None:
        super().__init__()
        self.register_buffer("vectors", vectors, persistent=False)
        wide = vectors.shape[1]
        self.read, self.position = nn.Linear(wide, dim), nn.Embedding(window, dim)
        self.blocks = nn.ModuleList(LiGRBlock(dim, heads, dropout, None) for _ in range(blocks))
        self.norm, self.dropout = RMSNorm(dim), Dropout(dropout)
        self.odd = nn.Sequential(nn.Linear(2 * dim + 2 + evidence, dim), nn.SiLU(), nn.Linear(dim, 1))  # w
        self.wanted, self.offered = nn.Linear(dim, dim, bias=False), nn.Linear(wide, dim, bias=False)  # A, B
        self.sharpness = nn.Parameter(torch.tensor(SHARPNESS))  # s
        self.prior = nn.Parameter(torch.zeros(evidence))  # c
        init_weights(self.blocks, 0.1)
        nn.init.zeros_(self.wanted.weight)
        nn.init.normal_(self.position.weight, std=0.1)

    def forward(self, items: Tensor, seen: Tensor, evidence: Tensor) -> tuple[Tensor, Tensor]:
        """What each event is known by, to what would belong in its place and whether it is odd.

        Parameters
        ----------
        items
            int64 ``[b, t]``.
        seen
            Bool ``[b, t]``: where there is an item.
        evidence
            ``[b, t, f]``.

        Returns
        -------
        Tensor, Tensor
            Queries ``[b, t, D + d]``, logits ``[b, t]``.
        """
        vectors = self.vectors[items] * seen[..., None]  # [b, t, D]
        own = self.read(vectors)
        x = self.dropout(own + self.position.weight[: items.shape[1]])
        for block in self.blocks:
            x = block(x, seen)
        states = self.norm(x)
        features = torch.cat([states, states * own, cosines(vectors, seen), evidence], -1)
        logits: Tensor = self.odd(features)[..., 0]
        alike = self.sharpness * F.normalize(others_mean(vectors, seen), dim=-1)
        return torch.cat([alike, self.wanted(states)], -1), logits

    def answer_scores(self, queries: Tensor, items: Tensor | None, evidence: Tensor) -> Tensor:
        """``[n, k]``: logits of ``items`` ``[k]``, or of all, for queries ``[n, D + d]``; evidence ``[n, k, f]``."""
        vectors = self.vectors if items is None else self.vectors[items]
        return queries @ torch.cat([vectors, self.offered(vectors)], -1).T + evidence @ self.prior


def others_mean(vectors: Tensor, seen: Tensor) -> Tensor:
    """``[b, t, D]``: the mean vector of the other items of the window; zero where there is none."""
    count = (seen.sum(1) - 1).clamp_min(1)[:, None, None]
    return (vectors.sum(1, keepdim=True) - vectors) / count


def cosines(vectors: Tensor, seen: Tensor) -> Tensor:
    """``[b, t, 2]``: mean and highest cosine of each item with the others of its window; 1 where there is no other."""
    each = vectors @ vectors.mT  # [b, t, t]
    step = torch.arange(seen.shape[1], device=seen.device)
    others = seen[:, None, :] & (step[:, None] != step)
    count = others.sum(-1)
    mean = (each * others).sum(-1) / count.clamp_min(1)
    highest = each.masked_fill(~others, -torch.inf).amax(-1)
    found = torch.stack([mean, highest], -1)
    return torch.where(count[..., None] > 0, found, torch.ones_like(found))


@dataclass(frozen=True)
class OddBatch:
    """Windows, padded on the right, each with one item that does not belong.

    Parameters
    ----------
    items
        int64 ``[b, t]``.
    seen
        Bool ``[b, t]``: where there is an item.
    evidence
        float32 ``[b, t, f]``.
    places
        int64 ``[b]``: where the odd item is.
    answers
        int64 ``[b + k]``: what stood there, then items drawn.
    answer_evidence
        float32 ``[b, b + k, f]``.
    """

    items: Tensor
    seen: Tensor
    evidence: Tensor
    places: Tensor
    answers: Tensor
    answer_evidence: Tensor

    def to(self, device: torch.device) -> OddBatch:
        """The same batch on ``device``."""
        return OddBatch(*(part.to(device) for part in self._parts()))

    @property
    def n_targets(self) -> int:
        """Number of windows."""
        return len(self.items)

    def part(self, rank: int, size: int) -> OddBatch:
        """The rows of process ``rank`` of ``size``; its answers are those of its rows, then the others."""
        own = torch.zeros(len(self.answers), dtype=torch.bool)
        own[rank : len(self.items) : size] = True
        order = torch.cat([own.nonzero()[:, 0], (~own).nonzero()[:, 0]])
        every = slice(rank, None, size)
        items, seen, evidence, places = self.items[every], self.seen[every], self.evidence[every], self.places[every]
        return OddBatch(items, seen, evidence, places, self.answers[order], self.answer_evidence[every][:, order])

    def _parts(self) -> tuple[Tensor, ...]:
        return self.items, self.seen, self.evidence, self.places, self.answers, self.answer_evidence


@dataclass(frozen=True)
class OddBatches:
    """Every window once an epoch, corrupted anew: a pure function of seed and epoch.

    Parameters
    ----------
    windows
        None empty.
    n_items
        Size of the catalogue.
    evidence
        Of the log.
    size
        Windows in a batch.
    negatives
        Events whose items an original is held against, beside the other originals of the batch: drawn from the log,
        so that what is popular is not suggested for that (drawn uniformly, a few popular items are suggested to all).
    seed
        Of order, corruption and negatives.
    """

    windows: Ragged
    n_items: int
    evidence: Evidence
    size: int
    negatives: int
    seed: int

    def epoch(self, number: int) -> list[OddBatch]:
        """The batches of one epoch."""
        rng = np.random.default_rng([self.seed, number])
        corrupted = corrupt_one(self.windows.take(rng.permutation(len(self.windows))), self.n_items, rng)
        histories, found = corrupted.histories, []
        for start in range(0, len(histories), self.size):
            rows = slice(start, start + self.size)
            some, originals = histories.take(rows), corrupted.originals[rows]
            places = corrupted.places[rows] - histories.offsets[start]
            answers = np.concatenate([originals, rng.choice(self.windows.values, self.negatives)])
            known = self.evidence.candidates(some, places, answers)
            rest = (places - some.offsets[:-1], answers.astype(np.int64), known)
            found.append(OddBatch(*padded(some, self.evidence), *(torch.from_numpy(array) for array in rest)))
        return found


def padded(windows: Ragged, evidence: Evidence) -> tuple[Tensor, Tensor, Tensor]:
    """Items int64 ``[b, t]``, where they are, bool ``[b, t]``, and what else is known of them ``[b, t, f]``."""
    items = torch.from_numpy(pad_right(windows, 0))
    seen = torch.arange(items.shape[1]) < torch.from_numpy(windows.lengths)[:, None]
    known = torch.from_numpy(evidence.events(windows))
    features = torch.zeros(*items.shape, known.shape[1])
    features[seen] = known
    return items, seen, features


def odd_item_loss(network: OddItemNetwork, batch: OddBatch) -> Tensor:
    """Cross-entropy of every position, and InfoNCE of the original against the other answers at the odd one."""
    queries, logits = network(batch.items, batch.seen, batch.evidence)
    rows = torch.arange(len(batch.items), device=logits.device)
    truth = torch.zeros_like(logits)
    truth[rows, batch.places] = 1.0
    binary = F.binary_cross_entropy_with_logits(logits[batch.seen], truth[batch.seen])
    scores = network.answer_scores(queries[rows, batch.places], batch.answers, batch.answer_evidence)  # [b, b + k]
    same = batch.answers == batch.answers[: len(rows), None]
    same[rows, rows] = False
    return binary + F.cross_entropy(scores.masked_fill(same, -torch.inf), rows)


@torch.inference_mode()
def odd_probabilities(network: OddItemNetwork, windows: Ragged, evidence: Evidence) -> FloatArray:
    """float32 ``[e]``: p of every event of the windows, none of which is empty."""
    found = np.empty(len(windows.values), np.float32)
    places = replace(windows, values=np.arange(len(windows.values), dtype=np.int32), times=None)
    order = np.argsort(windows.lengths, kind="stable")
    for run in cut_by_tokens(windows.lengths[order], ENCODED):
        rows = order[run]
        items, seen, known = (part.to(network.vectors.device) for part in padded(windows.take(rows), evidence))
        logits = network(items, seen, known)[1]
        found[places.take(rows).values] = torch.sigmoid(logits[seen]).cpu().numpy()
    return found


@torch.inference_mode()
def suggested(
    network: OddItemNetwork, windows: Ragged, evidence: Evidence, places: npt.NDArray[np.int64], k: int
) -> IntArray:
    """int32 ``[n, k]``: what would belong at ``places`` ``[n]`` of ``windows.values``, best first.

    What the window holds already is not suggested.
    """
    rows, found = windows.rows[places], np.empty((len(places), k), np.int32)
    within, device = places - windows.offsets[rows], network.vectors.device
    for start in range(0, len(places), 128):
        some = slice(start, start + 128)
        asked = windows.take(rows[some])
        items, seen, known = (part.to(device) for part in padded(asked, evidence))
        at = torch.from_numpy(within[some]).to(device)
        queries = network(items, seen, known)[0][torch.arange(len(items), device=device), at]
        beside = torch.from_numpy(evidence.candidates(asked, asked.offsets[:-1] + within[some])).to(device)
        scores = network.answer_scores(queries, None, beside)  # [n, m]
        scores.scatter_(1, torch.where(seen, items, items[:, :1]), -torch.inf)  # padding repeats the first
        found[some] = scores.topk(k, dim=1).indices.cpu().numpy()
    return found
