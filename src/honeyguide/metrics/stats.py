"""Family I: intervals, paired tests, corrections and effect sizes on per-user values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from honeyguide.core.errors import ConfigError, DataError
from honeyguide.metrics.arrays import Index, Vector, ratio
from honeyguide.metrics.metric import metric

Method = Literal["t", "wilcoxon", "sign", "permutation"]
_CELLS = 1 << 22  # resampling counts held at once
_PAIRED = "users with a value on both sides; NaN pairs are left out and counted"


@metric(
    "bootstrap_ci",
    family="I",
    low=-np.inf,
    high=np.inf,
    direction="neither",
    formula="the (1 ± level)/2 quantiles of the means of n resamples of the users",
    conventions="percentile bootstrap, 1,000 resamples, seeded; NaN users are never drawn",
)
def bootstrap_ci(
    values: npt.NDArray[np.floating], n: int = 1000, level: float = 0.95, seed: int = 0
) -> tuple[float, float]:
    """Percentile bootstrap interval of the mean over users (Efron 1979).

    Parameters
    ----------
    values
        ``[users]``, NaN for skipped users.
    n
        Number of resamples.
    level
        Coverage asked for.
    seed
        Of the resamples.

    Returns
    -------
    tuple
        Lower and upper end; NaN without any value.
    """
    return bootstrap_cis({"": values}, n, level, seed)[""]


def bootstrap_cis(
    per_user: Mapping[str, npt.NDArray[np.floating]], n: int = 1000, level: float = 0.95, seed: int = 0
) -> dict[str, tuple[float, float]]:
    """Intervals of many metrics over the same users; metrics with the same skipped users share their resamples.

    Parameters
    ----------
    per_user
        ``[users]`` by metric id, as in :attr:`Evaluation.per_user`.
    n, level, seed
        As in :func:`bootstrap_ci`.
    """
    groups: dict[bytes, list[str]] = {}
    for id, values in per_user.items():
        groups.setdefault(np.packbits(np.isfinite(values)).tobytes(), []).append(id)
    ends = ((1 - level) / 2, (1 + level) / 2)
    intervals = {}
    for ids in groups.values():
        matrix = np.stack([per_user[id] for id in ids], axis=1)  # [users, metrics]
        means = resampled_means(matrix[np.isfinite(matrix[:, 0])], n, seed)
        for id, low, high in zip(ids, *np.quantile(means, ends, axis=0), strict=True):
            intervals[id] = float(low), float(high)
    return {id: intervals[id] for id in per_user}


def resampled_means(values: npt.NDArray[np.floating], n: int, seed: int) -> Vector:
    """Means of ``n`` bootstrap resamples.

    How often each user is drawn is counted, and the counts are multiplied with the values: one
    matrix product for all metrics instead of a gather for each.

    Parameters
    ----------
    values
        ``[users, metrics]`` without NaN.
    n
        Number of resamples.
    seed
        Of the draws.

    Returns
    -------
    ndarray
        float64 ``[n, metrics]``; NaN without users.
    """
    users, metrics = values.shape
    if users == 0:
        return np.full((n, metrics), np.nan)
    values = values.astype(np.float64)
    return np.concatenate([counts.astype(np.float64) @ values / users for counts in resample_counts(users, n, seed)])


def resample_counts(users: int, n: int, seed: int) -> Iterator[Index]:
    """How often each user is drawn: int64 ``[some, users]`` at a time, ``n`` resamples in all."""
    rng = np.random.default_rng(seed)
    step = max(1, _CELLS // max(users, 1))
    for start in range(0, n, step):
        size = min(step, n - start)
        drawn = rng.integers(0, users, (size, users), dtype=np.int32) if users else np.empty((size, 0), np.int32)
        drawn += (np.arange(size, dtype=np.int32) * users)[:, None]
        yield np.bincount(drawn.ravel(), minlength=size * users).reshape(size, users)


@dataclass(frozen=True)
class PairedTest:
    """The comparison of two systems on the same users.

    Parameters
    ----------
    method
        The test.
    n
        Users compared.
    mean_difference
        Mean of ``a − b``.
    p
        Two-sided p-value.
    effect
        Cohen's d_z.
    cliffs_delta
        Cliff's δ of the two sets of values.
    """

    method: Method
    n: int
    mean_difference: float
    p: float
    effect: float
    cliffs_delta: float


def paired_test(
    a: npt.NDArray[np.floating],
    b: npt.NDArray[np.floating],
    method: Method = "t",
    *,
    resamples: int = 10_000,
    seed: int = 0,
) -> PairedTest:
    """Test whether two systems differ, user by user.

    Parameters
    ----------
    a, b
        ``[users]`` per-user values in the same order; users with NaN on either side are left out.
    method
        ``t``, ``wilcoxon``, ``sign`` or ``permutation``.
    resamples, seed
        Of the permutation test.

    Raises
    ------
    DataError
        If the lengths differ.
    ConfigError
        If the method is unknown.
    """
    tests = {"t": paired_t, "wilcoxon": wilcoxon, "sign": sign_test}
    if method not in (*tests, "permutation"):
        raise ConfigError(f"there is no paired test {method!r}.", "Choose t, wilcoxon, sign or permutation.")
    if len(a) != len(b):
        raise DataError(f"{len(a)} values cannot be paired with {len(b)}.", "Evaluate both on the same users.")
    both = np.isfinite(a) & np.isfinite(b)
    a, b = a[both].astype(np.float64), b[both].astype(np.float64)
    difference = a - b
    p = permutation(difference, resamples, seed) if method == "permutation" else tests[method](difference)
    mean = float(difference.mean()) if len(difference) else float("nan")
    return PairedTest(method, len(difference), mean, p, cohen_dz(difference), cliffs_delta(a, b))


@metric(
    "paired_t",
    family="I",
    direction="neither",
    formula="P(|t_{n−1}| ≥ |mean(d)| / (std(d)/√n))",
    conventions=f"{_PAIRED}; two-sided; no difference at all → 1; n < 2 → NaN",
)
def paired_t(difference: Vector) -> float:
    """Two-sided p-value of Student's paired t-test on the differences ``[n]``."""
    from scipy.special import stdtr

    n = len(difference)
    if n < 2:
        return float("nan")
    spread = float(difference.std(ddof=1))
    if spread == 0:
        return 1.0 if difference[0] == 0 else 0.0
    return float(2 * stdtr(n - 1, -abs(difference.mean()) / (spread / np.sqrt(n))))


def t_interval(values: Sequence[float] | npt.NDArray[np.floating]) -> tuple[float, tuple[float, float]]:
    """Mean of a few seeds or folds and its 95 % interval by Student's t, ``mean ± t s / sqrt(n)``.

    Parameters
    ----------
    values
        ``[n]``. Fewer than two have no interval, none has no mean: NaN.
    """
    from scipy.special import stdtrit

    found = np.asarray(values, np.float64)
    n, mean = len(found), float(found.mean()) if len(found) else float("nan")
    if n < 2:
        return mean, (float("nan"), float("nan"))
    half = float(stdtrit(n - 1, 0.975)) * float(found.std(ddof=1)) / n**0.5
    return mean, (mean - half, mean + half)


@metric(
    "wilcoxon",
    family="I",
    direction="neither",
    formula="P(|W − E W| ≥ what was seen), W = Σ of the ranks of |d| over d > 0",
    conventions=f"{_PAIRED}; zero differences dropped; exact up to 50 differences without ties, else normal "
    "with tie correction; no difference at all → 1",
)
def wilcoxon(difference: Vector) -> float:
    """Two-sided p-value of Wilcoxon's signed-rank test on the differences ``[n]``."""
    from scipy.special import ndtr

    changed = difference[difference != 0]
    n = len(changed)
    if n == 0:
        return 1.0 if len(difference) else float("nan")
    sizes, place, ties = np.unique(np.abs(changed), return_inverse=True, return_counts=True)
    ranks = (np.cumsum(ties) - (ties - 1) / 2)[place]  # tied sizes share their average rank
    seen = float(ranks[changed > 0].sum())
    if n <= 50 and len(sizes) == n:
        ways = np.ones(1)  # ways[w]: subsets of the ranks 1..r with sum w
        for rank in range(1, n + 1):
            ways = np.append(ways, np.zeros(rank)) + np.append(np.zeros(rank), ways)
        low = int(min(seen, n * (n + 1) / 2 - seen))
        return min(1.0, 2 * float(ways[: low + 1].sum() / 2.0**n))
    variance = n * (n + 1) * (2 * n + 1) / 24 - float((ties**3 - ties).sum()) / 48
    return float(2 * ndtr(-abs(seen - n * (n + 1) / 4) / np.sqrt(variance)))


@metric(
    "sign",
    family="I",
    direction="neither",
    formula="2 P(Bin(n, ½) ≤ min(#d>0, #d<0)), at most 1",
    conventions=f"{_PAIRED}; exact; zero differences dropped; no difference at all → 1",
)
def sign_test(difference: Vector) -> float:
    """Two-sided p-value of the sign test on the differences ``[n]``."""
    from scipy.special import bdtr

    if len(difference) == 0:
        return float("nan")
    wins, losses = int((difference > 0).sum()), int((difference < 0).sum())
    return min(1.0, 2 * float(bdtr(min(wins, losses), wins + losses, 0.5))) if wins + losses else 1.0


@metric(
    "permutation",
    family="I",
    direction="neither",
    formula="(1 + #{|mean(±d)| ≥ |mean(d)|}) / (1 + B)",
    conventions=f"{_PAIRED}; B = 10,000 random sign flips, seeded; two-sided",
)
def permutation(difference: Vector, resamples: int = 10_000, seed: int = 0) -> float:
    """Two-sided p-value of the paired permutation test on the differences ``[n]``."""
    changed = difference[difference != 0]
    if len(difference) == 0:
        return float("nan")
    rng = np.random.default_rng(seed)
    observed = abs(changed.sum()) * (1 - 1e-12)  # equal sums must compare as equal
    extreme, step = 0, max(1, 8 * _CELLS // max(1, len(changed)))
    for start in range(0, resamples, step):
        size = min(step, resamples - start)
        random = np.frombuffer(rng.bytes(size * ((len(changed) + 7) // 8)), np.uint8).reshape(size, -1)
        flips = np.unpackbits(random, axis=1, count=len(changed))  # [size, n] of 0 and 1
        sums = changed.sum() - 2 * (flips.astype(np.float64) @ changed)
        extreme += int((np.abs(sums) >= observed).sum())
    return (1 + extreme) / (1 + resamples)


@metric(
    "holm",
    family="I",
    direction="neither",
    formula="p̃_(i) = max_{j≤i} min(1, (m − j + 1) p_(j))",
    conventions="adjusted p-values in the order given; controls the family-wise error; NaN is left out of m",
)
def holm(ps: npt.ArrayLike) -> Vector:
    """Holm-adjusted p-values ``[m]``."""
    p = np.asarray(ps, np.float64)
    order = np.argsort(p, kind="stable")[: int(np.isfinite(p).sum())]
    m = len(order)
    adjusted = np.full(len(p), np.nan)
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(p[order] * np.arange(m, 0, -1)))
    return adjusted


@metric(
    "benjamini_hochberg",
    family="I",
    direction="neither",
    formula="p̃_(i) = min_{j≥i} min(1, m p_(j) / j)",
    conventions="adjusted p-values in the order given; controls the false discovery rate; NaN is left out of m",
)
def benjamini_hochberg(ps: npt.ArrayLike) -> Vector:
    """Benjamini–Hochberg-adjusted p-values ``[m]``."""
    p = np.asarray(ps, np.float64)
    order = np.argsort(p, kind="stable")[: int(np.isfinite(p).sum())]
    m = len(order)
    adjusted = np.full(len(p), np.nan)
    scaled = p[order] * m / np.arange(1, m + 1)
    adjusted[order] = np.minimum(1.0, np.minimum.accumulate(scaled[::-1])[::-1])
    return adjusted


@metric(
    "cohen_dz",
    family="I",
    low=-np.inf,
    high=np.inf,
    direction="neither",
    formula="mean(d) / std(d)",
    conventions="sample standard deviation; no difference at all → 0; n < 2 → NaN",
)
def cohen_dz(difference: Vector) -> float:
    """Effect size of paired differences ``[n]``."""
    if len(difference) < 2:
        return float("nan")
    mean, spread = float(difference.mean()), float(difference.std(ddof=1))
    if spread == 0:
        return 0.0 if mean == 0 else float(np.copysign(np.inf, mean))
    return mean / spread


@metric(
    "cliffs_delta",
    family="I",
    low=-1.0,
    direction="neither",
    formula="(#{a_i > b_j} − #{a_i < b_j}) / (n_a n_b)",
    conventions="all pairs, by sorting; an empty side → NaN",
)
def cliffs_delta(a: npt.NDArray[np.floating], b: npt.NDArray[np.floating]) -> float:
    """How much more often values of ``a`` are above values of ``b`` than below."""
    ordered = np.sort(b)
    above = np.searchsorted(ordered, a, side="left").sum()  # b_j < a_i
    below = len(b) * len(a) - np.searchsorted(ordered, a, side="right").sum()
    return float(ratio(np.asarray(float(above - below)), np.asarray(len(a) * len(b))))


@dataclass(frozen=True, eq=False)
class OverSeeds:
    """One metric of one system trained with several seeds.

    Parameters
    ----------
    per_user
        float64 ``[users]``, each user's mean over the seeds.
    per_seed
        float64 ``[seeds]``, each seed's mean over users.
    """

    per_user: Vector
    per_seed: Vector

    @property
    def mean(self) -> float:
        """Mean over seeds."""
        return float(self.per_seed.mean())

    @property
    def std(self) -> float:
        """Sample standard deviation over seeds; NaN for one seed."""
        return float(self.per_seed.std(ddof=1)) if len(self.per_seed) > 1 else float("nan")


def over_seeds(runs: Sequence[npt.NDArray[np.floating]]) -> OverSeeds:
    """Join the per-user values of the same users under several seeds.

    Compare two systems with ``paired_test(x.per_user, y.per_user)``, or over seeds with
    ``paired_test(x.per_seed, y.per_seed)`` where the seeds are paired.

    Raises
    ------
    DataError
        If there is no run, or runs differ in their users.
    """
    if not runs or len({len(run) for run in runs}) != 1:
        raise DataError("the runs do not have the same users.", "Evaluate every seed on the same users.")
    values = np.stack(runs).astype(np.float64)  # [seeds, users]
    if (np.isfinite(values) != np.isfinite(values[0])).any():
        raise DataError("the runs skip different users.", "Evaluate every seed against the same truth.")
    asked = np.isfinite(values[0])
    return OverSeeds(values.mean(axis=0), values[:, asked].mean(axis=1))
