"""iALS: matrix factorisation of implicit feedback (Hu, Koren & Volinsky, ICDM 2008)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
from pydantic import Field
from scipy.linalg.blas import sgemm
from scipy.linalg.lapack import sposv

from honeyguide.core import artifact
from honeyguide.core.dataset import Dataset
from honeyguide.core.fitting import Change, FitOptions, ModelConfig
from honeyguide.core.inner_product import top_k_cosine, top_k_inner_product
from honeyguide.core.plugin import Hooks
from honeyguide.core.ragged import FloatArray, IntArray, Ragged
from honeyguide.core.recommender import Lists, Recommender
from honeyguide.core.requests import Recommendations, Requests
from honeyguide.core.resources import Estimate
from honeyguide.core.space import Real, Space, Whole
from honeyguide.models.linear.ials_update import UserMoments, Users, newton_steps
from honeyguide.models.linear.item_weights import distinct, shares

_CG_STEPS = 2


class IALSConfig(ModelConfig):
    """Options of :class:`IALS`.

    Parameters
    ----------
    factors
        Length of the vectors.
    alpha
        Confidence of an observed pair; an unobserved one has 1.
    regularization
        ``lambda``, the weight of the squared norms.
    iterations
        Passes over users and items.
    """

    factors: int = Field(default=128, ge=1)
    alpha: float = Field(default=20.0, ge=1)
    regularization: float = Field(default=5.0, gt=0)
    iterations: int = Field(default=15, ge=1)


class IALS(Recommender):
    """Score of item j = ``y_j' x``, where ``x`` is folded in from the history.

    Factors minimise ``sum_ui c_ui (p_ui - x_u' y_i)^2 + lambda (|X|^2 + |Y|^2)`` with ``c = alpha`` where u
    took i and 1 elsewhere. Only the item factors Y are kept; a user's vector is the exact minimum given Y,
    ``x = alpha A^-1 sum_i y_i`` with ``A = Y'Y + lambda I + (alpha - 1) sum_i y_i y_i'`` (equation 4 of the
    paper) over the distinct items i of the history.

    Folding in happens in coordinates where ``Y'Y + lambda I = C C'`` is the identity: with the rows of
    ``W = Y C'^-1``, ``A`` becomes ``I + (alpha - 1) sum_i w_i w_i'`` and scores keep their values.
    """

    name = "ials"
    Config = IALSConfig
    space: ClassVar[Space] = {
        "factors": Whole(16, 256, log=True),
        "alpha": Real(1.5, 200.0, log=True),
        "regularization": Real(0.1, 200.0, log=True),
        "iterations": Whole(4, 24, log=True),
    }
    config: IALSConfig
    capabilities: ClassVar[frozenset[str]] = frozenset({"fold_in", "similar", "inner_product", "update"})

    states: ClassVar[frozenset[str]] = frozenset({"state"})
    hooks: Hooks = Hooks()

    item_factors: FloatArray  # Y, [n_items, factors]
    _items: FloatArray  # W, [n_items, factors]
    _whiten: FloatArray  # C'^-1
    _folded: FoldedIn | None = None

    def estimate(self, data: Dataset) -> Estimate:
        """Both factor matrices and the interactions in both directions."""
        f, n = self.config.factors, data.interactions.height
        seconds = self.config.iterations * (2.5e-9 * n * f * 4 + 1e-9 * f * f * (data.n_users + data.n_items))
        return Estimate(4.0 * f * (data.n_users + data.n_items) + 48.0 * n + 5e7, seconds)

    def _fit(self, data: Dataset, options: FitOptions) -> None:
        from implicit.cpu.als import AlternatingLeastSquares
        from rich.console import Console
        from rich.progress import track
        from threadpoolctl import threadpool_limits

        c = self.config
        by_user = data.matrix("train")
        confidences = by_user * np.float32(c.alpha)
        transposed = confidences.T.tocsr()
        with threadpool_limits(1, "blas"):  # its threads and those of BLAS would wait for each other, as it warns
            engine = AlternatingLeastSquares(factors=c.factors)
        engine.cg_steps = _CG_STEPS
        rng = np.random.default_rng(c.seed)
        x = rng.random((data.n_users, c.factors), np.float32) * np.float32(0.01)
        y = rng.random((data.n_items, c.factors), np.float32) * np.float32(0.01)
        rounds = range(c.iterations)
        for i in track(rounds, "iALS", console=Console(stderr=True), disable=not options.progress):
            if i:
                x = half_step(engine.solver, confidences, x, y, c.regularization)
            y = half_step(engine.solver, transposed, y, x, c.regularization)
        self._serve(y)
        folded = self._fold_in_sets(by_user)
        self._folded = FoldedIn.of(by_user, folded)
        self._moments = UserMoments.of(folded @ self._whiten.T, by_user)

    def _update(self, change: Change, options: FitOptions) -> None:
        """Changed users are folded in exactly; every item with a new event takes a Newton step."""
        more = change.n_items - len(self.item_factors)
        if more:  # without users their vectors are zero, in any coordinates
            self.item_factors, self._items = (
                np.pad(vectors, ((0, more), (0, 0))) for vectors in (self.item_factors, self._items)
            )
            self._folded = None
        before, after = distinct(change.before, change.n_items), distinct(change.after, change.n_items)
        old, new = (Users(self._fold_in_sets(sets) @ self._whiten.T, sets) for sets in (before, after))
        moments = self._moments.changed(old, new)
        touched = np.unique((after - before).tocsr().indices)
        c, factors = self.config, self.item_factors.copy()
        factors[touched] += newton_steps(
            factors, touched, (old, new), (self._moments, moments), c.alpha, c.regularization
        )
        self._serve(factors)
        self._moments = moments

    def _serve(self, item_factors: FloatArray) -> None:
        self.item_factors = item_factors  # Y, [n_items, factors]
        _, whiten = whitening(item_factors, self.config.regularization)
        self._whiten = whiten
        self._items = item_factors @ whiten  # W, [n_items, factors]
        self._eye = np.eye(len(whiten), dtype=np.float32, order="F")
        self._folded = None

    def user_vectors(self, histories: Ragged) -> FloatArray:
        """float32 ``[n, factors]``: vectors whose inner products with those of :meth:`item_vectors` are the scores.

        The vectors of the histories seen in :meth:`fit` are remembered by the fitted object, not saved
        with it; they are the last user step of the fit, made by this function.
        """
        if len(histories) == 1 and self._folded is None:  # a request: sparse matrices would cost more than the algebra
            return self.hooks.edit_state(self._fold_in(histories.values)[None], histories)
        return self.hooks.edit_state(self._fold_in_sets(distinct(histories, len(self._items))), histories)

    def _fold_in(self, history: IntArray) -> FloatArray:
        """float32 ``[factors]``: of one history, as :meth:`_fold_in_sets` makes it."""
        items = np.unique(history[history >= 0])
        if not len(items):
            return np.zeros(self._items.shape[1], np.float32)
        w = self._items.take(items, axis=0)  # [distinct, factors]
        return self._solve(w, w.sum(axis=0) * np.float32(self.config.alpha))

    def _fold_in_sets(self, sets: sp.csr_matrix) -> FloatArray:
        vectors = np.zeros((sets.shape[0], self._items.shape[1]), np.float32)
        missing = np.diff(sets.indptr) > 0  # an empty history is the zero vector
        if self._folded is not None:
            missing &= ~self._folded.fill(sets, vectors)
        right = (sets @ self._items) * np.float32(self.config.alpha)  # [n, factors]
        for row in np.flatnonzero(missing):
            items = sets.indices[sets.indptr[row] : sets.indptr[row + 1]]
            vectors[row] = self._solve(self._items.take(items, axis=0), right[row])
        return vectors

    def _solve(self, w: FloatArray, right: FloatArray) -> FloatArray:
        """``(I + (alpha - 1) W' W)^-1 right`` for the rows W ``[length, factors]`` of a history.

        A history shorter than the vectors takes a system of its own length:
        ``(I + a W'W)^-1 = I - a W' (I + a W W')^-1 W``.
        """
        length, factors = w.shape
        short, a = length < factors, self.config.alpha - 1.0
        eye = self._eye[: min(length, factors), : min(length, factors)]
        gram = sgemm(a, w.T, w.T, beta=1.0, c=eye, trans_a=short, trans_b=not short)
        _, x, _ = sposv(gram, w @ right if short else right, lower=1, overwrite_a=1)
        return np.asarray(right - np.float32(a) * (x @ w) if short else x, np.float32)

    def item_vectors(self) -> FloatArray:
        """float32 ``[n_items, factors]``; a score is the inner product of a user's vector with an item's."""
        return self._items

    def score_histories(self, histories: Ragged, users: IntArray | None = None) -> FloatArray:
        """float32 ``[n, n_items]``: inner products with the folded-in vectors."""
        scores: FloatArray = self.user_vectors(histories) @ self._items.T
        return scores

    def _rank(self, requests: Requests, k: int) -> Lists:
        return top_k_inner_product(self.user_vectors(requests.histories), self._items, k, requests.excluded)

    def contributions(self, history: IntArray, item: int) -> FloatArray:
        """``alpha y_item' A^-1 y_i`` of every event i: the exact terms of the score (equation 7 of the paper)."""
        known = history >= 0
        if not known.any():
            return np.zeros(len(history), np.float32)
        w = self._items[np.unique(history[known])]  # [distinct, factors]
        direction = self._solve(w, self._items[item] * np.float32(self.config.alpha))
        terms = self._items[np.maximum(history, 0)] @ direction
        return np.asarray(terms * known * shares(history), np.float32)

    def similar(self, items: IntArray, k: int = 10) -> Recommendations:
        """The items of largest cosine between factors."""
        return Recommendations(*top_k_cosine(self.item_factors, items, k), self._fitted())

    def _state(self) -> tuple[artifact.Arrays, dict[str, Any]]:
        return {"item_factors": self.item_factors} | self._moments.pack(), {}

    def _restore(self, arrays: Mapping[str, npt.NDArray[Any]], meta: dict[str, Any]) -> None:
        self._serve(arrays["item_factors"])
        self._moments = UserMoments.unpack(arrays)


def whitening(factors: FloatArray, regularization: float) -> tuple[FloatArray, FloatArray]:
    """``C`` and ``C'^-1``, both float32 ``[factors, factors]``, with ``Y'Y + lambda I = C C'``."""
    y = factors.astype(np.float64)
    c = np.linalg.cholesky(y.T @ y + regularization * np.eye(y.shape[1]))
    return c.astype(np.float32), np.linalg.inv(c).T.astype(np.float32)


def half_step(
    solver: Callable[..., None], confidences: sp.csr_matrix, x: FloatArray, y: FloatArray, regularization: float
) -> FloatArray:
    """Move the factors ``x`` of the rows towards their minimum given ``y``: conjugate gradients, preconditioned.

    In coordinates where ``Y'Y + lambda I`` is the identity no system has a condition above alpha, so two
    steps do what three do in the plain ones. To the rows of W are added those of ``sqrt(lambda) C'^-1``,
    which nobody took: they stand for ``lambda I``.

    Parameters
    ----------
    solver
        The kernel of ``implicit``.
    confidences
        float32 ``[n, m]``.
    x, y
        float32 ``[n, factors]`` and ``[m, factors]``.
    regularization
        ``lambda``.

    Returns
    -------
    ndarray
        float32 ``[n, factors]``.
    """
    c, whiten = whitening(y, regularization)
    w = np.concatenate([y @ whiten, np.float32(np.sqrt(regularization)) * whiten])
    turned = x @ c  # y' x = (whiten' y)' (c' x)
    solver(confidences, turned, w, 0.0)
    return np.asarray(turned @ whiten.T, np.float32)


@dataclass(frozen=True)
class FoldedIn:
    """Vectors of known histories, found by the set of their items.

    Parameters
    ----------
    item_keys
        uint64 ``[n_items]``, random; a set has the sum of the keys of its items (modulo 2^64).
    keys
        uint64 ``[n]``, rising.
    vectors
        float32 ``[n, factors]``.
    """

    item_keys: npt.NDArray[np.uint64]
    keys: npt.NDArray[np.uint64]
    vectors: FloatArray

    @classmethod
    def of(cls, sets: sp.csr_matrix, vectors: FloatArray) -> FoldedIn:
        """Remember ``vectors`` for the rows of ``sets``."""
        item_keys = np.random.default_rng(0).integers(0, 2**64, sets.shape[1], np.uint64)
        keys = _set_keys(sets, item_keys)
        order = np.argsort(keys)
        return cls(item_keys, keys[order], vectors[order])

    def fill(self, sets: sp.csr_matrix, vectors: FloatArray) -> npt.NDArray[np.bool_]:
        """Write the vectors of the known rows of ``sets`` and say which they are."""
        keys = _set_keys(sets, self.item_keys)
        place = np.minimum(np.searchsorted(self.keys, keys), len(self.keys) - 1)
        known: npt.NDArray[np.bool_] = self.keys[place] == keys
        vectors[known] = self.vectors[place[known]]
        return known


def _set_keys(sets: sp.csr_matrix, item_keys: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    sums = np.concatenate([np.zeros(1, np.uint64), np.cumsum(item_keys[sets.indices])])
    keys: npt.NDArray[np.uint64] = sums[sets.indptr[1:]] - sums[sets.indptr[:-1]]
    return keys
