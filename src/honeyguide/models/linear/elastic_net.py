"""Non-negative elastic nets that share a Gram matrix, by cyclic coordinate descent on many at once."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from honeyguide.core.ragged import FloatArray

_APART = 0.25  # share of all coordinates: a net with candidates among fewer of them has a Gram matrix of its own
_ALIKE = 1.5  # nets with at most so many times the candidates of one another are solved side by side
_HELD = 1 << 22  # numbers in the Gram matrices that are held at once: 16 MiB


def elastic_net(
    gram: FloatArray,
    right: FloatArray,
    l1: float,
    l2: float,
    sweeps: int,
    tolerance: float,
    start: FloatArray | None = None,
) -> FloatArray:
    """Non-negative elastic nets that share a Gram matrix, by cyclic coordinate descent on all of them at once.

    ``w_i <- max(0, g_i + G_ii w_i - lambda) / (G_ii + beta)`` with ``g = b - G w``, kept up to date.

    Parameters
    ----------
    gram
        float32 ``[n, n]``, G.
    right
        float32 ``[b, n]``, one right-hand side a row; weights where it is at most ``l1`` stay zero.
    l1, l2
        ``lambda`` and ``beta``.
    sweeps, tolerance
        When to stop.
    start
        float32 ``[b, n]``, weights that nearly solve it; only those that would move by more than ``tolerance``
        are moved. By default all begin at zero.

    Returns
    -------
    ndarray
        float32 ``[b, n]``.
    """
    if start is not None:
        allowed = np.ascontiguousarray((right > l1).T)  # [n, b]
        return _settle(gram, right, allowed, np.where(allowed, start.T, np.float32(0)), (l1, l2), sweeps, tolerance)
    w = np.zeros(right.shape, np.float32)
    candidates = (right > l1).sum(axis=1)
    apart = (candidates > 0) & (candidates <= _APART * right.shape[1])
    for nets in _batches(candidates, np.flatnonzero(apart)):
        w[nets] = _apart(gram, right[nets], int(candidates[nets].max()), (l1, l2), sweeps, tolerance)
    rest = np.flatnonzero((candidates > 0) & ~apart)
    if len(rest):
        w[rest] = _together(gram, right[rest], (l1, l2), sweeps, tolerance)
    return w


def expected_seconds(n: int, candidates: npt.NDArray[np.integer]) -> float:
    """CPU-seconds of :func:`elastic_net` on ``n`` coordinates, for nets of so many candidates each.

    Of c candidates about the root of c move, each in a few sweeps (measured on nine data sets, within a factor of two).
    """
    apart = candidates <= _APART * n
    many = candidates[~apart]
    return 1.3e-5 * float(candidates[apart].sum()) + (2e-5 + 1.6e-7 * float(np.sqrt(many).sum())) * n * bool(len(many))


def _batches(candidates: npt.NDArray[np.int64], nets: npt.NDArray[np.int64]) -> Iterator[npt.NDArray[np.int64]]:
    """``nets`` in groups of about as many candidates, the Gram matrices of each of which can be held."""
    nets = nets[np.argsort(-candidates[nets], kind="stable")]
    while len(nets):
        most = int(candidates[nets[0]])
        alike = int(np.count_nonzero(candidates[nets] * _ALIKE >= most))
        n = max(1, min(alike, _HELD // most**2))
        yield nets[:n]
        nets = nets[n:]


def _apart(
    gram: FloatArray, right: FloatArray, most: int, penalties: tuple[float, float], sweeps: int, tolerance: float
) -> FloatArray:
    """Each net with the Gram matrix of its own ``most`` candidates, the likeliest first; a coordinate of all a step."""
    l1, l2 = (np.float32(penalty) for penalty in penalties)
    likely = np.argpartition(-right, most - 1, axis=1)[:, :most]
    g = np.take_along_axis(right, likely, axis=1)
    rank = np.argsort(-g, axis=1, kind="stable")
    likely, g = np.take_along_axis(likely, rank, axis=1), np.take_along_axis(g, rank, axis=1)  # [b, most]
    own = np.stack([gram[one[:, None], one] for one in likely])  # [b, most, most]
    diagonal = np.ascontiguousarray(np.diagonal(own, axis1=1, axis2=2).T)  # [most, b]
    w = np.zeros_like(diagonal)
    for _ in range(sweeps):
        moved = np.float32(0)
        for i in np.flatnonzero(((g > l1).T | (w > 0)).any(axis=1)):
            step = np.maximum(g[:, i] + diagonal[i] * w[i] - l1, 0) / (diagonal[i] + l2) - w[i]  # [b]
            far = np.abs(step).max()
            if far > 0:
                g -= step[:, None] * own[:, i]
                w[i] += step
                moved = max(moved, far)
        if moved <= tolerance:
            break
    found = np.zeros(right.shape, np.float32)
    np.put_along_axis(found, likely, w.T, axis=1)
    return found


def _together(
    gram: FloatArray, right: FloatArray, penalties: tuple[float, float], sweeps: int, tolerance: float
) -> FloatArray:
    """All nets with the one Gram matrix."""
    l1, l2 = (np.float32(penalty) for penalty in penalties)
    allowed = np.ascontiguousarray((right > l1).T)  # [n, b]
    diagonal = np.diagonal(gram).copy()
    w = np.zeros(right.shape[::-1], np.float32)  # [n, b]
    g = right.copy()  # [b, n]
    for _ in range(sweeps):
        moved = 0.0
        active = np.flatnonzero((allowed & ((g > l1).T | (w > 0))).any(axis=1))
        for i in active:
            new = np.maximum(g[:, i] + diagonal[i] * w[i] - l1, 0) / (diagonal[i] + l2)
            step = np.where(allowed[i], new - w[i], 0)  # [b]
            changed = np.flatnonzero(step)
            if len(changed):
                g[changed] -= step[changed, None] * gram[i]
                w[i] += step
                moved = max(moved, float(np.abs(step).max()))
        if moved <= tolerance:
            break
    return w.T


def _settle(
    gram: FloatArray,
    right: FloatArray,
    allowed: npt.NDArray[np.bool_],
    w: FloatArray,
    penalties: tuple[float, float],
    sweeps: int,
    tolerance: float,
) -> FloatArray:
    """:func:`elastic_net` from weights ``w`` ``[n, b]`` that nearly solve it: only what would move far is moved."""
    l1, l2 = (np.float32(penalty) for penalty in penalties)
    diagonal = np.diagonal(gram)[:, None].copy()
    far = np.float32(tolerance)
    g = right - w.T @ gram  # [b, n]
    left = np.arange(len(right))  # columns of W that are not done; nothing moves one but itself
    for _ in range(sweeps):
        goal = np.maximum(g[left].T + diagonal * w[:, left] - l1, 0) / (diagonal + l2)
        away = allowed[:, left] & (np.abs(goal - w[:, left]) > far)  # [n, columns left]
        kept = away.any(axis=0)
        left, away = left[kept], away[:, kept]
        for i in np.flatnonzero(away.any(axis=1)):
            columns = left[allowed[i, left]]
            old = w[i, columns]
            step = np.maximum(g[columns, i] + diagonal[i] * old - l1, 0) / (diagonal[i] + l2) - old
            moved = np.abs(step) > far
            columns, step = columns[moved], step[moved]
            w[i, columns] += step
            g[columns] -= step[:, None] * gram[i]
        if not len(left):
            break
    return w.T
