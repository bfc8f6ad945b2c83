"""Fusion of the scores of several models: comparable features of a score, and weights learnt on held-out items.

A fused score is linear in the features of its parts, ``s(u, j) = w[g(u)]' f(u, j)``, where g(u) is the segment
of histories as long as u's. The weights maximise the conditional likelihood of the held-out items
among candidates (McFadden 1974) and are then moved, one at a time, to where NDCG@10 is highest.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from honeyguide.core.ragged import FloatArray, IntArray, Ragged
from honeyguide.core.recommender import Recommender
from honeyguide.core.requests import Scale
from honeyguide.core.topk import NEVER, exclude_in_place, top_k
from honeyguide.metrics.holdout import drawn_users

K = 10  # of the NDCG that weights are chosen by
PER_PART = 2  # features of a score
DEPTH = 64  # candidates that each part brings
MOST_USERS = 8_000  # on whom weights are learnt
SHORTLISTED = 4_000  # on whom parts are left out
_BLOCK = 1 << 21  # scores of one part held at once: 8 MiB
_PRIOR = 1e-3  # weight of the pull of weights towards where they started
_STEPS = (0.0, 0.5, 0.75, 0.9, 1.1, 1.33, 2.0)  # factors that a weight is tried with
_ROUNDS = 3
_NEWTON = 20  # most steps
_FLOOR = 0.1  # least share of an item, in shares of a uniform distribution

Values = npt.NDArray[np.float64]


def score_features(scores: FloatArray, scale: Scale) -> FloatArray:
    """What is comparable in the scores of one model: float32 ``[2, n, m]``.

    The first is the standard score over the catalogue, ``(s - mean) / deviation``; the second the logarithm
    of the item's share: of the softmax where scores are logits, of the sum of the positive scores elsewhere.
    A row of equal scores says nothing and becomes zeros.

    Parameters
    ----------
    scores
        float32 ``[n, m]``.
    scale
        What a score means.
    """
    mean, deviation = scores.mean(axis=1, keepdims=True), scores.std(axis=1, keepdims=True)
    standard = (scores - mean) / np.where(deviation > 0, deviation, np.inf)
    mass = np.exp(scores - scores.max(axis=1, keepdims=True)) if scale == "logit" else np.maximum(scores, 0.0)
    total = mass.sum(axis=1, keepdims=True)
    m = scores.shape[1]
    share = np.log(np.divide(mass, total, out=np.full_like(mass, 1 / m), where=total > 0) + _FLOOR / m)
    share -= share.mean(axis=1, keepdims=True)
    return np.stack([standard, np.where(deviation > 0, share, 0.0)]).astype(np.float32, copy=False)


@dataclass(frozen=True)
class Candidates:
    """Held-out users with the best items of every part, and the features of these.

    Parameters
    ----------
    items
        int32 ``[n, c]``, padded with -1.
    features
        float32 ``[n, c, f]``; those of part p are ``2p`` and ``2p + 1``.
    relevant
        bool ``[n, c]``: which of the items were held out.
    n_relevant
        int64 ``[n]``: how many were, among the candidates or not.
    lengths
        int64 ``[n]``: events of each history.
    """

    items: IntArray
    features: FloatArray
    relevant: npt.NDArray[np.bool_]
    n_relevant: npt.NDArray[np.int64]
    lengths: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.items)

    def take(self, rows: npt.NDArray[np.integer] | npt.NDArray[np.bool_]) -> Candidates:
        """Some of the users."""
        return Candidates(
            self.items[rows], self.features[rows], self.relevant[rows], self.n_relevant[rows], self.lengths[rows]
        )

    def of_parts(self, parts: Sequence[int]) -> Candidates:
        """All users with the features of some of the parts; the candidates stay."""
        columns = [PER_PART * part + i for part in parts for i in range(PER_PART)]
        return Candidates(self.items, self.features[:, :, columns], self.relevant, self.n_relevant, self.lengths)


def collect(
    parts: Sequence[Recommender], histories: Ragged, truth: Ragged, *, seed: int = 0, most: int = MOST_USERS
) -> Candidates:
    """Candidates of at most ``most`` users with a held-out item, drawn once; seen items are left out.

    Parameters
    ----------
    parts
        Fitted models of one catalogue.
    histories, truth
        One list per user.
    seed
        Of the draw.
    most
        Largest number of users.
    """
    users = np.sort(drawn_users(truth, most, seed))
    blocks, start = [], 0
    while start < len(users):
        m = len(parts[0].item_ids or ())
        rows = users[start : start + max(1, _BLOCK // max(1, m))]
        blocks.append(_block(parts, histories.take(rows), truth.take(rows)))
        start += len(rows)
    return _stack(blocks, len(parts))


def _block(parts: Sequence[Recommender], histories: Ragged, truth: Ragged) -> Candidates:
    found = [part.score_histories(histories) for part in parts]  # each [b, m]
    best = []
    for scores in found:
        shown = scores.copy()
        exclude_in_place(shown, histories)
        best.append(top_k(shown, min(DEPTH, scores.shape[1]))[0])
    items = _distinct(np.concatenate(best, axis=1))  # [b, c]
    rows = np.arange(len(items))[:, None]
    features = np.concatenate(
        [
            score_features(scores, part.scale)[:, rows, np.maximum(items, 0)]
            for part, scores in zip(parts, found, strict=True)
        ]
    )  # [f, b, c]
    m = found[0].shape[1]
    held_out = np.zeros((len(items), m), bool)
    held_out[truth.rows, truth.values] = True
    relevant = held_out[rows, np.maximum(items, 0)] & (items >= 0)
    return Candidates(items, np.moveaxis(features, 0, 2), relevant, held_out.sum(axis=1), histories.lengths)


def _distinct(items: IntArray) -> IntArray:
    """Every item of a row once, in rising order, padded on the right with -1."""
    largest = np.iinfo(np.int32).max
    ordered = np.sort(np.where(items < 0, largest, items), axis=1)
    ordered[:, 1:][ordered[:, 1:] == ordered[:, :-1]] = largest
    ordered.sort(axis=1)
    width = int((ordered < largest).sum(axis=1).max(initial=1))
    kept = ordered[:, :width]
    return np.where(kept == largest, -1, kept).astype(np.int32)


def _stack(blocks: Sequence[Candidates], n_parts: int) -> Candidates:
    """The users of all blocks, padded to one width."""
    width = max((block.items.shape[1] for block in blocks), default=0)
    n = sum(len(block) for block in blocks)
    items, relevant = np.full((n, width), -1, np.int32), np.zeros((n, width), bool)
    features = np.zeros((n, width, PER_PART * n_parts), np.float32)
    start = 0
    for block in blocks:
        rows, columns = slice(start, start + len(block)), slice(0, block.items.shape[1])
        items[rows, columns], relevant[rows, columns] = block.items, block.relevant
        features[rows, columns] = block.features
        start += len(block)
    empty = np.zeros(0, np.int64)
    n_relevant = np.concatenate([empty, *(block.n_relevant for block in blocks)])
    lengths = np.concatenate([empty, *(block.lengths for block in blocks)])
    return Candidates(items, features, relevant, n_relevant, lengths)


def ndcg(candidates: Candidates, weights: FloatArray, k: int = K) -> Values:
    """NDCG@k of every user when candidates are ranked by ``features @ weights``; ties count against the held out.

    Parameters
    ----------
    candidates
        n users.
    weights
        float32 ``[f]``, or ``[n, f]``: each user's own.
    """
    own = weights if weights.ndim == 1 else weights[:, :, None]
    return _ndcg(candidates, np.matmul(candidates.features, own).reshape(candidates.items.shape), k)


def _ndcg(candidates: Candidates, scores: FloatArray, k: int = K) -> Values:
    """NDCG@k of every user when candidates are ranked by ``scores`` ``[n, c]``."""
    scores = np.where(candidates.items >= 0, scores, NEVER)
    rows, columns = np.nonzero(candidates.relevant)
    mine = scores[rows, columns]
    others = np.where(candidates.relevant, NEVER, scores)
    ahead = np.count_nonzero(others[rows] >= mine[:, None], axis=1)
    order = np.lexsort((columns, -mine, rows))  # the place of a held-out item among those of its user
    counts = np.bincount(rows, minlength=len(candidates))
    place = np.empty(len(rows), np.int64)
    place[order] = np.arange(len(rows)) - (np.cumsum(counts) - counts)[rows[order]]
    rank = ahead + place + 1
    gains = np.bincount(rows, np.where(rank <= k, 1 / np.log2(1.0 + rank), 0.0), len(candidates))
    ideal = np.concatenate([[0.0], np.cumsum(1 / np.log2(np.arange(2, k + 2)))])
    best: Values = ideal[np.clip(candidates.n_relevant, 0, k)]
    return np.divide(gains, best, out=np.zeros(len(gains)), where=best > 0)


def ndcg_of(candidates: Candidates, *parts: int) -> Values:
    """NDCG@10 of every user when the candidates are ranked by one part alone, or by the mean standard score of some."""
    weights = np.zeros(candidates.features.shape[2], np.float32)
    weights[[PER_PART * part for part in parts]] = 1.0
    return ndcg(candidates, weights)


def shortlist(candidates: Candidates, seed: int = 0, most: int = SHORTLISTED) -> tuple[list[int], dict[int, Values]]:
    """The parts without which the blend is worse, and what each of them adds to NDCG@10 of every user.

    From all parts, the one that adds least is left out as long as it adds less than one standard error; weights
    are learnt from one half of the users and judged on the other.

    Parameters
    ----------
    candidates
        Held-out users.
    seed
        Of the halves.
    most
        Largest number of users looked at, drawn at random.

    Returns
    -------
    list of int, dict
        Numbers of the parts, rising; by number float64 ``[n]``.
    """
    drawn = np.random.default_rng(seed).permutation(len(candidates))[:most]
    some, half = candidates.take(drawn), np.arange(len(drawn)) % 2
    kept = list(range(candidates.features.shape[2] // PER_PART))
    whole, weights = _halves(some, kept, half)
    while True:
        adds = {}
        for part in kept:
            others = [p for p in kept if p != part]
            adds[part] = whole - _halves(some, others, half, weights[:, _columns(kept, others)])[0]
        least = min(kept, key=lambda part: float(adds[part].mean()))
        error = float(adds[least].std()) / np.sqrt(max(1, len(some)))
        if len(kept) <= 2 or adds[least].mean() > error:
            return kept, adds
        others = [p for p in kept if p != least]
        whole, weights = _halves(some, others, half, weights[:, _columns(kept, others)])
        kept = others


def _columns(parts: Sequence[int], some: Sequence[int]) -> list[int]:
    """Places of the features of ``some`` among those of ``parts``."""
    return [PER_PART * parts.index(part) + i for part in some for i in range(PER_PART)]


def _halves(
    candidates: Candidates, parts: Sequence[int], half: npt.NDArray[np.int64], start: FloatArray | None = None
) -> tuple[Values, FloatArray]:
    """NDCG@10 of every user under the likeliest weights of the other half, and these: ``[n]`` and ``[2, f]``."""
    some = candidates.of_parts(parts)
    values = np.zeros(len(candidates))
    weights = np.zeros((2, some.features.shape[2]), np.float32)
    for fold in (0, 1):
        prior = np.zeros(some.features.shape[2], np.float32)
        begin = None if start is None else start[fold]
        weights[fold] = _likeliest(some.take(np.flatnonzero(half != fold)), prior, begin)
        judged = np.flatnonzero(half == fold)
        values[judged] = ndcg(some.take(judged), weights[fold])
    return values, weights


def learn(candidates: Candidates, start: FloatArray | None = None) -> FloatArray:
    """Weights float32 ``[f]``: of greatest conditional likelihood, then of greatest NDCG@10.

    Parameters
    ----------
    candidates
        Users to learn from.
    start
        Weights that little evidence does not leave; zeros by default.
    """
    prior = np.zeros(candidates.features.shape[2], np.float32) if start is None else start
    return _climb(candidates, _likeliest(candidates, prior))


def _likeliest(candidates: Candidates, prior: FloatArray, start: FloatArray | None = None) -> FloatArray:
    """Minimise ``-mean log softmax(f w)[held out] + prior/2 |w - w0|^2`` over the users with a held-out candidate.

    Newton's method from ``start`` (by default the prior), with steps halved until the loss falls: it is convex, and
    has few unknowns.
    """
    found = candidates.take(np.flatnonzero(candidates.relevant.any(axis=1)))
    if not len(found):
        return prior
    real = found.items >= 0
    features, users = found.features[real].astype(np.float64), np.nonzero(real)[0]  # [pairs, f], [pairs]
    starts = np.flatnonzero(np.diff(users, prepend=-1))
    share = (found.relevant / found.relevant.sum(axis=1, keepdims=True))[real]  # of a user, sums to 1
    n, wanted = len(found), share @ features / len(found)

    def loss(w: Values) -> tuple[float, Values]:
        scores = features @ w
        top = np.maximum.reduceat(scores, starts)
        mass = np.exp(scores - top[users])
        total = np.add.reduceat(mass, starts)
        value = float((np.log(total) + top).mean() - wanted @ w + _PRIOR / 2 * np.sum((w - prior) ** 2))
        return value, mass / total[users]

    w = (prior if start is None else start).astype(np.float64)
    value, p = loss(w)
    for _ in range(_NEWTON):
        expected = np.add.reduceat(features * p[:, None], starts)  # [n, f]: means under p
        gradient = expected.mean(axis=0) - wanted + _PRIOR * (w - prior)
        curvature = ((features * p[:, None]).T @ features - expected.T @ expected) / n + _PRIOR * np.eye(len(w))
        step = np.linalg.solve(curvature, gradient)
        tried, rate = loss(w - step), 1.0
        while tried[0] > value and rate > 1e-3:
            rate /= 2
            tried = loss(w - rate * step)
        gain, w, (value, p) = value - tried[0], w - rate * step, tried
        if gain < 1e-7:
            break
    return np.asarray(w, np.float32)


def _climb(candidates: Candidates, weights: FloatArray) -> FloatArray:
    """Try every weight with a few factors, and keep what raises the mean NDCG@10, until nothing does."""
    found = candidates.take(np.flatnonzero(candidates.relevant.any(axis=1)))  # the others count 0 whatever is tried
    if not len(found):
        return weights
    weights, scores = weights.copy(), np.matmul(found.features, weights)  # [n, c]
    best = float(_ndcg(found, scores).mean())
    for _ in range(_ROUNDS):
        before = best
        for place in range(len(weights)):
            own = scores - weights[place] * found.features[:, :, place]  # without this feature
            start, kept = weights[place], weights[place]
            for factor in _STEPS:
                tried = own + factor * start * found.features[:, :, place]
                value = float(_ndcg(found, tried).mean())
                if value > best:
                    best, kept, scores = value, np.float32(factor * start), tried
            weights[place] = kept
        if best <= before:
            break
    return weights


@dataclass(frozen=True)
class Weights:
    """Weights for each segment of histories.

    Parameters
    ----------
    edges
        int64 ``[g - 1]``, rising: a history of length l is in segment ``sum(l >= edges)``.
    values
        float32 ``[g, f]``.
    """

    edges: npt.NDArray[np.int64]
    values: FloatArray

    def of(self, lengths: npt.NDArray[np.int64]) -> FloatArray:
        """float32 ``[n, f]`` for histories of the given lengths."""
        chosen: FloatArray = self.values[np.searchsorted(self.edges, lengths, side="right")]
        return chosen


def learn_segments(candidates: Candidates, edges: npt.NDArray[np.int64]) -> Weights:
    """Weights of every segment, each pulled towards those learnt from everybody."""
    everybody = learn(candidates)
    if not len(edges):
        return Weights(edges, everybody[None])
    segment = np.searchsorted(edges, candidates.lengths, side="right")
    values = [learn(candidates.take(np.flatnonzero(segment == g)), everybody) for g in range(len(edges) + 1)]
    return Weights(edges, np.stack(values))


def cross_fitted(candidates: Candidates, edges: npt.NDArray[np.int64], seed: int = 0) -> Values:
    """NDCG@10 of every user under weights learnt from the other half of the users: float64 ``[n]``."""
    half = np.random.default_rng(seed).permutation(len(candidates)) % 2
    values = np.zeros(len(candidates))
    for fold in (0, 1):
        weights = learn_segments(candidates.take(np.flatnonzero(half != fold)), edges)
        judged = np.flatnonzero(half == fold)
        kept = candidates.take(judged)
        values[judged] = ndcg(kept, weights.of(kept.lengths))
    return values
