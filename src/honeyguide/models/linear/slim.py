"""SLIM: sparse linear methods for top-n recommendation (Ning & Karypis, ICDM 2011)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
from pydantic import Field

from honeyguide.core import artifact
from honeyguide.core.dataset import Dataset
from honeyguide.core.fitting import Change, FitOptions, ModelConfig
from honeyguide.core.ragged import FloatArray, IntArray, Ragged
from honeyguide.core.recommender import Recommender
from honeyguide.core.requests import Recommendations
from honeyguide.core.resources import Estimate
from honeyguide.core.space import Real, Space
from honeyguide.models.linear.cosine import products_per_item
from honeyguide.models.linear.elastic_net import elastic_net, expected_seconds
from honeyguide.models.linear.item_weights import ItemWeights, distinct, shares
from honeyguide.models.linear.pair_counts import MOST_PAIRS, PairCounts, grown, pack_pairs, ready, unpack_pairs

_TARGETS = 256  # columns solved together
_CANDIDATES = 2048  # of all of them together, where one column has not more: a Gram matrix of 16 MiB
_SAMPLE = 400  # columns from which the cost is estimated
_CUT = 2e-8  # CPU-seconds to look at a number of a sparse row
_PER_TAKER, _LIMITS = 0.1, (0.5, 2.0)  # lambda by default: so much for each taker of an item, between these
_SMALL = 6144  # items up to which all may be candidates: a Gram matrix of 144 MiB


class SLIMConfig(ModelConfig):
    """Options of :class:`SLIM`.

    Parameters
    ----------
    l1
        ``lambda``, in users: items that so many users or fewer took together have no weight. By default a tenth of
        the users that an item has on average, between .5 and 2.
    l2
        ``beta``, in users too.
    sweeps
        Largest number of passes over the coordinates.
    tolerance
        A column is done when no weight moved by more than this in a sweep.
    """

    l1: float | None = Field(default=None, ge=0)
    l2: float = Field(default=50.0, gt=0)
    sweeps: int = Field(default=50, ge=1)
    tolerance: float = Field(default=1e-3, gt=0)


class SLIM(Recommender):
    """Score of item j = sum of W[i, j] over the distinct items i of the history.

    Column j of W minimises ``|a_j - A w|^2 / 2 + beta |w|^2 / 2 + lambda |w|_1`` over ``w >= 0`` with ``w_j = 0``
    (equation 5 of the paper) for the train matrix A.
    """

    name = "slim"
    Config = SLIMConfig
    space: ClassVar[Space] = {"l1": Real(0.2, 20.0, log=True), "l2": Real(1.0, 1000.0, log=True)}
    config: SLIMConfig
    capabilities: ClassVar[frozenset[str]] = frozenset({"fold_in", "similar", "update", "exact_update"})

    _counts: PairCounts | None = None

    def estimate(self, data: Dataset) -> Estimate:
        """The sparse Gram matrix, the dense one of a block of columns, and its gradients.

        The blocks of a sample of the columns say what those of all are like: how many columns are solved together,
        and what each may have a weight on.
        """
        a, n = data.matrix("train"), data.n_items
        products = float(products_per_item(a).sum())
        filled = min(products, float(n) ** 2)
        sample = np.random.default_rng(0).choice(n, min(n, _SAMPLE), replace=False)
        counts = a[:, sample].T.tocsr() @ a  # [sample, n_items]
        row = _CUT * counts.nnz / max(1, len(sample))  # CPU-seconds to cut a row of the Gram matrix
        counts.data[counts.data <= self._l1(a)] = 0
        counts.eliminate_zeros()
        cost, width = 0.0, np.diff(counts.indptr)
        for targets, candidates in _packed(counts):
            cost += row * len(candidates) + expected_seconds(len(candidates), width[targets])
        most = float(n if n <= _SMALL else _CANDIDATES)
        memory = 24.0 * filled + 4 * most * (most + 3 * _TARGETS) + 1e8
        return Estimate(memory, 1e-8 * products + cost * n / max(1, len(sample)))

    def _l1(self, a: sp.csr_matrix) -> float:
        """``lambda`` for a train matrix: what is sparse has few pairs that more than one user took."""
        if self.config.l1 is not None:
            return self.config.l1
        takers = a.nnz / max(1, np.count_nonzero(np.bincount(a.indices)))
        return float(np.clip(_PER_TAKER * takers, *_LIMITS))

    def _fit(self, data: Dataset, options: FitOptions) -> None:
        a = data.matrix("train")
        gram = (a.T @ a).tocsr()  # [n_items, n_items], users who took both
        self.l1 = self._l1(a)
        self._solve(gram, None, options.progress)
        self._counts = PairCounts.of(gram) if gram.nnz <= 2 * MOST_PAIRS else None

    def _update(self, change: Change, options: FitOptions) -> None:
        """The Gram matrix exactly; columns that the old weights no longer solve go on from them.

        ``lambda`` stays that of the fit.
        """
        n = change.n_items
        counts = ready(self._counts, self.name).changed(distinct(change.before, n), distinct(change.after, n))
        old: Any = self.weights.matrix
        self._solve(counts.gram, grown(sp.csr_matrix(old), n), options.progress)
        self._counts = counts

    def _solve(self, gram: sp.csr_matrix, start: sp.csr_matrix | None, progress: bool) -> None:
        """W from ``A'A``, from nothing or from the weights ``start``, both ``[n_items, n_items]``."""
        from rich.console import Console
        from rich.progress import track

        c = self.config
        columns = []
        blocks = list(column_blocks(gram, self.l1))
        for targets, candidates in track(blocks, "SLIM", console=Console(stderr=True), disable=not progress):
            inner = gram[candidates][:, candidates].toarray()  # [n, n]
            right = gram[targets][:, candidates].toarray()  # [b, n]
            right[targets[:, None] == candidates] = 0  # no weight for the item itself
            first = None if start is None else start[candidates][:, targets].toarray().T  # [b, n]
            w = elastic_net(inner, right, self.l1, c.l2, c.sweeps, c.tolerance, first)
            rows, places = np.nonzero(w)
            columns.append((candidates[places], targets[rows], w[rows, places]))
        i, j, values = (np.concatenate(part) for part in zip(*columns, strict=True))
        self.weights = ItemWeights.of(sp.csr_matrix((values, (i, j)), shape=gram.shape, dtype=np.float32))

    @property
    def resolved(self) -> SLIMConfig:
        """The options with ``lambda`` as it follows from the data of the fit."""
        return self.config.model_copy(update={"l1": self.l1})

    def score_histories(self, histories: Ragged, users: IntArray | None = None) -> FloatArray:
        """float32 ``[n, n_items]``: sums of rows of W."""
        return self.weights.score(distinct(histories, self.weights.n_items))

    def contributions(self, history: IntArray, item: int) -> FloatArray:
        """``W[i, item]`` for each event's item i; events of the same item share it."""
        return self.weights.terms(history, item) * shares(history)

    def similar(self, items: IntArray, k: int = 10) -> Recommendations:
        """The items whose scores an event of the item raises most."""
        return Recommendations(*self.weights.similar(items, k), self._fitted())

    def _state(self) -> tuple[artifact.Arrays, dict[str, Any]]:
        pairs, meta = pack_pairs(self._counts)
        return {**self.weights.pack(), **pairs}, {"l1": self.l1, **meta}

    def _restore(self, arrays: Mapping[str, npt.NDArray[Any]], meta: dict[str, Any]) -> None:
        self.weights = ItemWeights.unpack(arrays)
        if "pairs" in meta:  # older versions kept nothing for updates
            self.l1, self._counts = float(meta["l1"]), unpack_pairs(arrays, meta)


def column_blocks(gram: sp.csr_matrix, l1: float) -> Iterator[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]]:
    """Columns to solve together, and the items that may have a weight in one of them.

    Weights and counts are not negative, so the gradient at weight i of column j is never above
    ``gram[i, j] - lambda``: where that is not positive, the weight is zero, whatever the others are.

    Parameters
    ----------
    gram
        float32 ``[n_items, n_items]``, counts.
    l1
        ``lambda``.

    Yields
    ------
    targets, candidates
        int64 ``[b]`` and ``[n]``, both rising. Columns without a candidate are left out.
    """
    screened = gram.copy()
    own_rows = np.repeat(np.arange(gram.shape[0]), np.diff(gram.indptr))
    screened.data[(gram.data <= l1) | (own_rows == gram.indices)] = 0
    screened.eliminate_zeros()
    yield from _packed(screened)


def _packed(screened: sp.csr_matrix) -> Iterator[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]]:
    """Rows to solve together, in their order, and the columns that are filled in one of them; none that is empty."""
    n = screened.shape[1]
    largest = n if n <= _SMALL else _CANDIDATES
    waiting: list[int] = []
    together = np.zeros(n, bool)
    for target in np.flatnonzero(np.diff(screened.indptr)):
        own = screened.indices[screened.indptr[target] : screened.indptr[target + 1]]
        size = np.count_nonzero(together) + np.count_nonzero(~together[own])
        if waiting and (len(waiting) == _TARGETS or size > largest):
            yield np.array(waiting), np.flatnonzero(together)
            waiting = []
            together[:] = False
        waiting.append(int(target))
        together[own] = True
    yield np.array(waiting, np.int64), np.flatnonzero(together)
