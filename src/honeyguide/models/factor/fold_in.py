"""Users' vectors from their histories and frozen item vectors: what stands in for a table of users.

Shapes: n users, m items, d width. ``h`` is the set of the items of a history.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from honeyguide.core.artifact import Arrays
from honeyguide.core.inner_product import top_k_cosine, unit
from honeyguide.core.ragged import FloatArray, IntArray, Ragged
from honeyguide.models.linear.item_weights import distinct

How = Literal["aggregate", "map", "least-squares", "ascent"]
HOWS: tuple[How, ...] = get_args(How)

_RIDGE = 1e-3  # of the map, as a share of the mean eigenvalue
_UNSEEN = 0.05  # weight in the least squares of a pair that does not occur
_STEPS, _RATE, _ANCHORS, _TEMPERATURE = 10, 0.5, 2048, 0.2  # of the ascent
_BLOCK = 1024


@dataclass(frozen=True)
class FoldIn:
    """Item vectors and the way from a history to a user's vector; scores are inner products.

    All ways start from the aggregate ``a = |h|^-exponent * sum of inward_i over h``:

    - ``"aggregate"``: ``a`` itself;
    - ``"map"``: ``a T``, with T the ridge regression of the trained users' vectors on their aggregates;
    - ``"least-squares"``: ``(sum_h y y' + w Y'Y + l I)^-1 sum_h y``, the vector that iALS would fold in;
    - ``"ascent"``: from ``a T``, steps up the likelihood of h under a softmax over (a sample of) the items.

    Parameters
    ----------
    how
        One of these.
    inward, outward
        float32 ``[m, d]``: what an item of a history adds to the aggregate, and what scores are taken against.
    turn
        float32 ``[d, d]``, T.
    empty
        float32 ``[m]``: the scores for an empty history.
    exponent
        0 for a sum, .5 for symmetric normalisation, 1 for a mean.
    """

    how: How
    inward: FloatArray
    outward: FloatArray
    turn: FloatArray
    empty: FloatArray
    exponent: float

    @classmethod
    def learn(
        cls,
        how: How,
        vectors: tuple[FloatArray, FloatArray, FloatArray],
        train: sp.csr_matrix,
        exponent: float,
    ) -> FoldIn:
        """Fit T to the trained users.

        Parameters
        ----------
        how
            The way to use.
        vectors
            Trained users ``[n, d]``, ``inward`` and ``outward``.
        train
            ``[n, m]``, the sets of items that the users were trained on.
        exponent
            Of the length of a history.
        """
        users, inward, outward = vectors
        eye = np.eye(inward.shape[1], dtype=np.float32)
        plain = cls(how, inward, outward, eye, popularity_scores(train), exponent)
        some = np.diff(train.indptr) > 0
        return replace(plain, turn=_regression(plain.aggregate(train)[some], users[some]))

    def aggregate(self, sets: sp.csr_matrix) -> FloatArray:
        """float32 ``[n, d]``: ``a`` of every row; zeros where it is empty."""
        lengths = np.maximum(np.diff(sets.indptr), 1).astype(np.float32)[:, None]
        sums: FloatArray = sets @ self.inward
        return np.asarray(sums / lengths**self.exponent, np.float32)

    def users(self, histories: Ragged) -> FloatArray:
        """float32 ``[n, d]``; zeros for an empty history."""
        sets = distinct(histories, len(self.outward))
        if self.how == "aggregate":
            return self.aggregate(sets)
        if self.how == "least-squares":
            return self._least_squares(sets)
        start = self.aggregate(sets) @ self.turn
        return start if self.how == "map" else self._ascend(start, sets)

    def scores(self, histories: Ragged, users: FloatArray | None = None) -> FloatArray:
        """float32 ``[n, m]``; the logarithm of the items' share of the training events for an empty history.

        Parameters
        ----------
        histories
            One for each user.
        users
            ``[n, d]``, their vectors if they are at hand.
        """
        scores: FloatArray = (self.users(histories) if users is None else users) @ self.outward.T
        sets = distinct(histories, len(self.outward))
        scores[np.diff(sets.indptr) == 0] = self.empty
        return scores

    def similar(self, items: IntArray, k: int) -> tuple[IntArray, FloatArray]:
        """The ``k`` items of largest cosine with each of ``items``, without itself."""
        return top_k_cosine(self.outward, items, k)

    def _least_squares(self, sets: sp.csr_matrix) -> FloatArray:
        y = self.outward.astype(np.float64)
        everything = _UNSEEN * (y.T @ y)
        everything += np.eye(y.shape[1]) * np.square(y).sum(1).mean()
        vectors = np.zeros((sets.shape[0], y.shape[1]), np.float32)
        for row in np.flatnonzero(np.diff(sets.indptr)):
            taken = y[sets.indices[sets.indptr[row] : sets.indptr[row + 1]]]
            vectors[row] = np.linalg.solve(everything + taken.T @ taken, taken.sum(0))
        return vectors

    def _ascend(self, start: FloatArray, sets: sp.csr_matrix) -> FloatArray:
        """Steps ``x <- unit(x + rate (mean of h - mean of the anchors under softmax(x'y / temperature)))``."""
        y = unit(self.outward)
        m = len(y)
        anchors = y if m <= _ANCHORS else y[np.random.default_rng(0).choice(m, _ANCHORS, replace=False)]
        taken = (sets @ y) / np.maximum(np.diff(sets.indptr), 1)[:, None]  # [n, d]
        vectors = unit(start)
        for first in range(0, len(vectors), _BLOCK):
            x, mean = vectors[first : first + _BLOCK], taken[first : first + _BLOCK]
            for _ in range(_STEPS):
                p = np.exp((x @ anchors.T - 1) / np.float32(_TEMPERATURE))  # cosines: nothing overflows
                p /= p.sum(1, keepdims=True)
                x = unit(x + np.float32(_RATE) * (mean - p @ anchors))
            vectors[first : first + _BLOCK] = x
        vectors[np.diff(sets.indptr) == 0] = 0
        return np.asarray(vectors, np.float32)

    def pack(self) -> tuple[Arrays, dict[str, Any]]:
        """Arrays and metadata for an artifact; a table of many zeros is stored without them."""
        arrays = {**_packed("inward", self.inward), **_packed("outward", self.outward)}
        arrays |= {"turn": self.turn, "empty": self.empty}
        return arrays, {"how": self.how, "exponent": self.exponent}

    @classmethod
    def unpack(cls, arrays: Mapping[str, npt.NDArray[Any]], meta: dict[str, Any]) -> FoldIn:
        """Undo :meth:`pack`."""
        turn, empty = np.array(arrays["turn"]), np.array(arrays["empty"])
        shape = (len(empty), len(turn))
        inward, outward = (_unpacked(name, arrays, shape) for name in ("inward", "outward"))
        return cls(inward=inward, outward=outward, turn=turn, empty=empty, how=meta["how"], exponent=meta["exponent"])


def _packed(name: str, table: FloatArray) -> Arrays:
    """The arrays that hold a table: itself, or its non-zeros row by row where that is smaller."""
    narrow = np.min_scalar_type(table.shape[1] - 1)
    if np.count_nonzero(table) * (4 + narrow.itemsize) + 4 * len(table) >= 4 * table.size:
        return {name: table}
    rows = sp.csr_matrix(table)
    return {
        f"{name}.data": rows.data,
        f"{name}.columns": rows.indices.astype(narrow),
        f"{name}.offsets": rows.indptr.astype(np.uint32),
    }


def _unpacked(name: str, arrays: Mapping[str, npt.NDArray[Any]], shape: tuple[int, int]) -> FloatArray:
    """Undo :func:`_packed`.

    Raises
    ------
    ValueError
        If the arrays are not a sparse table; compiled code would read outside them.
    """
    if name in arrays:
        return np.array(arrays[name])
    columns, offsets = (arrays[f"{name}.{part}"].astype(np.int64) for part in ("columns", "offsets"))
    rows = sp.csr_matrix((np.array(arrays[f"{name}.data"]), columns, offsets), shape=shape)
    rows.check_format(full_check=True)
    table: FloatArray = rows.toarray()
    return table


def popularity_scores(train: sp.csr_matrix) -> FloatArray:
    """float32 ``[m]``: the logarithm of the items' share of the pairs of ``train``, each with one more."""
    return log_shares(np.asarray(train.sum(axis=0)).ravel())


def log_shares(counts: npt.NDArray[Any]) -> FloatArray:
    """float32 ``[m]``: the logarithm of the share of each of ``counts``, with one more."""
    scores: FloatArray = np.log((counts + 1) / (counts.sum() + len(counts))).astype(np.float32)
    return scores


def _regression(aggregates: FloatArray, users: FloatArray) -> FloatArray:
    """T ``[d, d]`` of least ``sum |a T - u|^2 / |u|^2 + ridge |T|^2``: every user counts the same."""
    weight = 1.0 / np.maximum(np.linalg.norm(users, axis=1, keepdims=True), 1e-9)
    a, u = (aggregates * weight).astype(np.float64), (users * weight).astype(np.float64)
    gram = a.T @ a
    ridge = _RIDGE * np.trace(gram) / len(gram) + 1e-12
    return np.asarray(np.linalg.solve(gram + ridge * np.eye(len(gram)), a.T @ u), np.float32)
