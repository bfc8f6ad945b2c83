"""Family A: similarity and distance of two vectors or two sets.

Vectors stand in the last axis, so ``[..., d]`` against ``[..., d]`` gives ``[...]``. NaN marks what is
missing (a rating never given), and only positions known on both sides count: for two items, the users
who rated both. Sets are boolean vectors over the same universe.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from honeyguide.metrics.arrays import Mask, Vector, ratio
from honeyguide.metrics.metric import metric

Array = npt.ArrayLike
_KNOWN = "only positions known on both sides; none → NaN"


def _together(x: Array, y: Array) -> tuple[Vector, Vector, Mask]:
    """Both sides with zeros where either is missing, and the mask of what is known."""
    a, b = np.broadcast_arrays(np.asarray(x, np.float64), np.asarray(y, np.float64))
    known = ~(np.isnan(a) | np.isnan(b))
    return np.where(known, a, 0.0), np.where(known, b, 0.0), known


def _cosine(a: Vector, b: Vector, otherwise: float) -> Vector:
    norms = np.sqrt((a * a).sum(axis=-1) * (b * b).sum(axis=-1))
    return np.clip(ratio((a * b).sum(axis=-1), norms, otherwise), -1.0, 1.0)


@metric(
    "cosine",
    family="A",
    low=-1.0,
    direction="neither",
    formula="Σxy / (‖x‖ ‖y‖)",
    conventions="0 if a norm is 0; only positions known on both sides",
)
def cosine(x: Array, y: Array) -> Vector:
    """Cosine of the angle between two vectors."""
    a, b, _ = _together(x, y)
    return _cosine(a, b, 0.0)


@metric(
    "adjusted_cosine",
    family="A",
    low=-1.0,
    direction="neither",
    formula="cosine of x − ū and y − ū over co-rating users, ū the users' mean ratings",
    conventions="x and y are two items' ratings by the same users; 0 if a norm is 0",
)
def adjusted_cosine(x: Array, y: Array, user_means: Array) -> Vector:
    """Cosine of two items after each user's mean is taken off (Sarwar et al. 2001)."""
    means = np.asarray(user_means, np.float64)
    return cosine(np.asarray(x, np.float64) - means, np.asarray(y, np.float64) - means)


@metric(
    "pearson",
    family="A",
    low=-1.0,
    direction="neither",
    formula="cosine of x − x̄ and y − ȳ, means over the shared positions",
    conventions="fewer than two shared positions or no variance → NaN",
)
def pearson(x: Array, y: Array) -> Vector:
    """Linear correlation over the shared positions."""
    a, b, known = _together(x, y)
    return _cosine(_centred(a, known), _centred(b, known), float("nan"))


def _centred(values: Vector, known: Mask) -> Vector:
    """Minus the mean over the known positions, zero elsewhere; exactly zero where all values are equal."""
    mean = ratio((values * known).sum(axis=-1), known.sum(axis=-1), 0.0)
    largest = np.where(known, values, -np.inf).max(axis=-1, initial=-np.inf)
    smallest = np.where(known, values, np.inf).min(axis=-1, initial=np.inf)
    varies = (largest > smallest)[..., None]
    return np.where(known & varies, values - mean[..., None], 0.0)


@metric(
    "spearman",
    family="A",
    low=-1.0,
    direction="neither",
    formula="Pearson correlation of the ranks",
    conventions="tied values share their average rank; as pearson otherwise",
)
def spearman(x: Array, y: Array) -> Vector:
    """Rank correlation over the shared positions."""
    from scipy.stats import rankdata

    a, b, known = _together(x, y)
    hidden = np.where(known, 0.0, np.nan)
    ranks = (rankdata(side + hidden, axis=-1, nan_policy="omit") for side in (a, b))
    return pearson(*ranks)


@metric(
    "kendall",
    family="A",
    low=-1.0,
    direction="neither",
    formula="(C − D) / √((P − T_x)(P − T_y)): concordant, discordant, all, and tied pairs",
    conventions="τ-b; fewer than two shared positions or one side all tied → NaN; time O(d²)",
)
def kendall(x: Array, y: Array) -> Vector:
    """Kendall τ-b over the shared positions."""
    a, b, known = _together(x, y)
    balance, pairs_x, pairs_y = (np.zeros(a.shape[:-1]) for _ in range(3))
    for gap in range(1, a.shape[-1]):  # pairs of positions (i, i + gap)
        both = known[..., gap:] & known[..., :-gap]
        sign_x = np.sign(a[..., gap:] - a[..., :-gap]) * both
        sign_y = np.sign(b[..., gap:] - b[..., :-gap]) * both
        balance += (sign_x * sign_y).sum(axis=-1)
        pairs_x += (sign_x * sign_x).sum(axis=-1)
        pairs_y += (sign_y * sign_y).sum(axis=-1)
    return ratio(balance, np.sqrt(pairs_x * pairs_y))


@metric(
    "jaccard",
    family="A",
    direction="neither",
    formula="|A ∩ B| / |A ∪ B|",
    conventions="both empty → 1",
)
def jaccard(a: Array, b: Array) -> Vector:
    """Overlap of two sets, given as boolean vectors."""
    a, b = np.asarray(a, np.bool_), np.asarray(b, np.bool_)
    return ratio((a & b).sum(axis=-1), (a | b).sum(axis=-1), 1.0)


@metric(
    "weighted_jaccard",
    family="A",
    direction="neither",
    formula="Σ min(x, y) / Σ max(x, y)",
    conventions="for weights ≥ 0; all zero → 1; only positions known on both sides",
)
def weighted_jaccard(x: Array, y: Array) -> Vector:
    """Overlap of two weighted sets (Ruzicka)."""
    a, b, _ = _together(x, y)
    return ratio(np.minimum(a, b).sum(axis=-1), np.maximum(a, b).sum(axis=-1), 1.0)


@metric(
    "dice",
    family="A",
    direction="neither",
    formula="2 |A ∩ B| / (|A| + |B|)",
    conventions="both empty → 1",
)
def dice(a: Array, b: Array) -> Vector:
    """Sørensen–Dice overlap of two sets, given as boolean vectors."""
    a, b = np.asarray(a, np.bool_), np.asarray(b, np.bool_)
    return ratio(2 * (a & b).sum(axis=-1), a.sum(axis=-1) + b.sum(axis=-1), 1.0)


@metric(
    "hamming",
    family="A",
    direction="lower",
    formula="share of positions that differ",
    conventions=_KNOWN,
)
def hamming(x: Array, y: Array) -> Vector:
    """Share of positions in which two vectors differ."""
    a, b, known = _together(x, y)
    return ratio((a != b).sum(axis=-1), known.sum(axis=-1))


def _distance(x: Array, y: Array) -> tuple[Vector, Mask]:
    """Differences, and whether any position is known on both sides."""
    a, b, known = _together(x, y)
    return np.abs(a - b), np.asarray(known.any(axis=-1))


@metric("euclidean", family="A", high=np.inf, direction="lower", formula="√Σ(x − y)²", conventions=_KNOWN)
def euclidean(x: Array, y: Array) -> Vector:
    """Euclidean distance."""
    gaps, any_known = _distance(x, y)
    return np.where(any_known, np.sqrt((gaps * gaps).sum(axis=-1)), np.nan)


@metric("manhattan", family="A", high=np.inf, direction="lower", formula="Σ|x − y|", conventions=_KNOWN)
def manhattan(x: Array, y: Array) -> Vector:
    """City-block distance."""
    gaps, any_known = _distance(x, y)
    return np.where(any_known, gaps.sum(axis=-1), np.nan)


@metric("chebyshev", family="A", high=np.inf, direction="lower", formula="max|x − y|", conventions=_KNOWN)
def chebyshev(x: Array, y: Array) -> Vector:
    """Largest difference in any position."""
    gaps, any_known = _distance(x, y)
    return np.where(any_known, gaps.max(axis=-1, initial=0.0), np.nan)


@metric(
    "inverse_distance",
    family="A",
    direction="neither",
    formula="1 / (1 + d)",
    conventions="for a distance d ≥ 0, such as euclidean, manhattan or chebyshev",
)
def inverse_distance(distance: Array) -> Vector:
    """Similarity from a distance."""
    similarity: Vector = 1.0 / (1.0 + np.asarray(distance, np.float64))
    return similarity


@metric(
    "dot",
    family="A",
    low=-np.inf,
    high=np.inf,
    direction="neither",
    formula="Σxy",
    conventions="only positions known on both sides",
)
def dot(x: Array, y: Array) -> Vector:
    """Inner product."""
    a, b, _ = _together(x, y)
    product: Vector = (a * b).sum(axis=-1)
    return product


@metric(
    "msd",
    family="A",
    high=np.inf,
    direction="lower",
    formula="mean of (x − y)²",
    conventions=_KNOWN,
)
def msd(x: Array, y: Array) -> Vector:
    """Mean squared difference."""
    a, b, known = _together(x, y)
    gaps = a - b
    return ratio((gaps * gaps).sum(axis=-1), known.sum(axis=-1))
