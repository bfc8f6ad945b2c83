"""A bounded memory of errors, read by the likeness of keys: hashed sums that stand in for a search of neighbours.

Shapes: n events, w width of a key, R tables of B = 2^K buckets.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from honeyguide.core.artifact import Arrays
from honeyguide.core.inner_product import unit
from honeyguide.core.ragged import FloatArray

_TOGETHER = 4096  # keys hashed at once


class ErrorMemory:
    """``R`` tables of sums of errors and of their mass, addressed by signed random projections.

    Two unit vectors at an angle ``a`` share a bucket of a table with probability ``(1 - a / pi)^K`` (Charikar, STOC
    2002), so what is read approaches the average of all past errors with that kernel as their weight
    (:func:`kernel_read`) the more tables there are. Size and time do not depend on how much was written:
    2 R B floats and R B counters; O(R K w) a read or a write.

    Parameters
    ----------
    width
        ``w``.
    tables
        ``R``.
    bits
        ``K``.
    decay
        ``gamma``: what is left of an error after one more event was written, wherever.
    seed
        Of the projections.
    """

    def __init__(self, width: int, tables: int = 32, bits: int = 10, decay: float = 1.0, seed: int = 0) -> None:
        self.width, self.tables, self.bits, self.decay, self.seed = width, tables, bits, decay, seed
        rng = np.random.default_rng(seed)
        self._planes = rng.standard_normal((width, tables * bits), np.float32)  # [w, R K]
        self._powers = 2 ** np.arange(bits, dtype=np.int64)
        self._first = np.arange(tables, dtype=np.int64) << bits  # first bucket of every table
        self.clear()

    def clear(self) -> None:
        """Forget everything."""
        size = self.tables << self.bits
        self.clock = 0  # events written so far
        self._errors, self._mass = np.zeros(size, np.float32), np.zeros(size, np.float32)  # S, N: [R B]
        self._touched = np.zeros(size, np.int64)  # the clock up to which a bucket has decayed

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        return sum(a.nbytes for a in (self._planes, self._errors, self._mass, self._touched))

    def buckets(self, keys: FloatArray) -> npt.NDArray[np.int64]:
        """int64 ``[n, R]``: the bucket of every table that keys ``[n, w]`` fall into, all tables in one numbering."""
        signs = (keys @ self._planes > 0).reshape(len(keys), self.tables, self.bits)
        found: npt.NDArray[np.int64] = signs @ self._powers + self._first
        return found

    def read(self, keys: FloatArray, prior: float = 0.0) -> FloatArray:
        """``sum_r S_r / (sum_r N_r + R prior)`` in the buckets of keys ``[n, w]``, 0 where nothing is: float32 ``[n]``.

        With a prior ``n_0`` this is ``(S / N) N / (N + n_0)`` of the mean mass N: few events say little.
        """
        found = np.empty(len(keys), np.float32)
        for start in range(0, len(keys), _TOGETHER):
            rows = slice(start, start + _TOGETHER)
            at = self.buckets(keys[rows])
            left = self._left(at)
            mass = (self._mass[at] * left).sum(1) + np.float32(self.tables * prior)
            errors = (self._errors[at] * left).sum(1)
            found[rows] = np.divide(errors, mass, out=np.zeros_like(errors), where=mass > 0)
        return found

    def write(self, keys: FloatArray, errors: FloatArray, mass: FloatArray | None = None) -> None:
        """Add the errors ``[n]`` of events with keys ``[n, w]``, the oldest first.

        The result is that of n writes of one event each: ``S <- gamma S`` in all buckets and ``S <- S + e`` in
        those of the key. Decay waits until a bucket is next used.

        Parameters
        ----------
        keys, errors
            Of the events.
        mass
            ``[n]``, what each adds to N; one by default.
        """
        for start in range(0, len(keys), _TOGETHER):
            rows = slice(start, start + _TOGETHER)
            self._write(keys[rows], errors[rows], np.ones(len(keys[rows])) if mass is None else mass[rows])

    def _write(self, keys: FloatArray, errors: FloatArray, mass: npt.NDArray[np.floating]) -> None:
        n, at = len(keys), self.buckets(keys)
        self.clock += n
        left = self._left(at)
        for sums in (self._errors, self._mass):
            sums[at] = sums[at] * left  # a bucket that is met twice gets the same value twice
        self._touched[at] = self.clock
        weights = (self.decay ** np.arange(n - 1, -1, -1.0)).astype(np.float32)  # gamma^(t - t_i)
        flat = at.ravel()
        np.add.at(self._errors, flat, np.repeat(errors * weights, self.tables))
        np.add.at(self._mass, flat, np.repeat(mass.astype(np.float32) * weights, self.tables))

    def fade(self, share: float) -> None:
        """Forget ``share`` of everything: what remains counts ``1 - share`` of what it did."""
        self._errors *= np.float32(1.0 - share)
        self._mass *= np.float32(1.0 - share)

    def _left(self, at: npt.NDArray[np.int64]) -> FloatArray:
        """gamma^age of buckets, float32, the shape of ``at``."""
        if self.decay == 1.0:
            return np.ones(at.shape, np.float32)
        return np.power(np.float32(self.decay), (self.clock - self._touched[at]).astype(np.float32))

    def state(self) -> tuple[Arrays, dict[str, Any]]:
        """Arrays and JSON-able metadata; the projections too, since generators may change with numpy."""
        shape = (self.tables, 1 << self.bits)
        arrays: Arrays = {
            "planes": self._planes,
            "errors": self._errors.reshape(shape),
            "mass": self._mass.reshape(shape),
            "touched": self._touched.reshape(shape),
        }
        return arrays, {"clock": self.clock}

    def restore(self, arrays: Mapping[str, npt.NDArray[Any]], meta: Mapping[str, Any]) -> None:
        """Undo :meth:`state`."""
        self.clock, self._planes = int(meta["clock"]), np.array(arrays["planes"])
        self._errors, self._mass, self._touched = (
            np.array(arrays[name]).reshape(-1) for name in ("errors", "mass", "touched")
        )


def kernel_read(
    keys: FloatArray,
    stored: FloatArray,
    errors: FloatArray,
    bits: int,
    *,
    decay: float = 1.0,
    prior: float = 0.0,
    mass: FloatArray | None = None,
) -> FloatArray:
    """What :class:`ErrorMemory` approximates, from all past events: float32 ``[n]``.

    ``sum_i k_i g_i e_i / (sum_i k_i g_i m_i + prior)``, ``k_i = (1 - a_i / pi)^bits`` of the angle to stored key i
    and ``g_i = decay^age``.

    Parameters
    ----------
    keys
        ``[n, w]``.
    stored, errors, mass
        ``[m, w]``, ``[m]``, ``[m]`` (ones by default): past events, the oldest first.
    bits, decay, prior
        As for the memory.
    """
    weights = decay ** np.arange(len(stored) - 1, -1, -1.0)
    total = weights * (1.0 if mass is None else mass)
    found = np.empty(len(keys), np.float32)
    for start in range(0, len(keys), 512):
        rows = slice(start, start + 512)
        kernel = (1.0 - np.arccos(np.clip(unit(keys[rows]) @ unit(stored).T, -1, 1)) / np.pi) ** bits
        below = kernel @ total + prior
        found[rows] = np.divide(kernel @ (weights * errors), below, out=np.zeros(len(below)), where=below > 0)
    return found


def nearest_read(
    keys: FloatArray, stored: FloatArray, errors: FloatArray, k: int, temperature: float = 0.1
) -> FloatArray:
    """The exact form of the paper: errors of the ``k`` most similar events, weighed by a softmax of cosines.

    Parameters
    ----------
    keys
        ``[n, w]``.
    stored, errors
        ``[m, w]`` and ``[m]``.
    k
        Neighbours.
    temperature
        ``tau``.
    """
    found = np.zeros(len(keys), np.float32)
    k = min(k, len(stored))
    for start in range(0, len(keys) if k else 0, 512):
        rows = slice(start, start + 512)
        cosines = unit(keys[rows]) @ unit(stored).T
        best = np.argpartition(-cosines, k - 1, axis=1)[:, :k]
        top = np.take_along_axis(cosines, best, 1)
        weights = np.exp((top - top.max(axis=1, keepdims=True)) / temperature)
        found[rows] = (weights * errors[best]).sum(1) / weights.sum(1)
    return found
