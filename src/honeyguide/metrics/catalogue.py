"""What list metrics may know beside the lists: the catalogue, its popularity and its similarities."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy.sparse as sp

from honeyguide.core.dataset import Dataset
from honeyguide.core.errors import ConfigError
from honeyguide.core.ragged import FloatArray, IntArray, Ragged
from honeyguide.metrics.arrays import Mask, Vector, ratio

ItemSimilarity = Callable[[IntArray, IntArray], Vector]
"""``similarity(a, b)``: float64 ``[n]`` of the item pairs ``(a[i], b[i])``, 1 for an item with itself."""


@dataclass(frozen=True, eq=False)
class Catalogue:
    """The items that could be recommended, as training saw them.

    Parameters
    ----------
    n_items
        Number of item codes.
    popularity
        ``[n_items]``, number of training interactions of each item.
    histories
        Training items of the evaluated users, one list per row of the evaluated lists.
    n_train_users
        Number m of users that training saw; default, the non-empty ``histories``.
    similarity
        Item similarity, such as :class:`CooccurrenceSimilarity` or :class:`FeatureSimilarity`.
    genres
        ``[n_items, n_genres]``, dense or CSR; each row is spread to a sum of one.
    ages
        ``[n_items]``, days since each item appeared.
    fresh_days
        Items at most this old count as fresh.
    head_share
        The head is the most popular items that together cover this share of interactions.
    """

    n_items: int
    popularity: FloatArray | None = None
    histories: Ragged | None = None
    n_train_users: int | None = None
    similarity: ItemSimilarity | None = None
    genres: sp.csr_matrix | FloatArray | None = None
    ages: FloatArray | None = None
    fresh_days: float = 30.0
    head_share: float = 0.8

    @classmethod
    def of(cls, data: Dataset, *parts: str) -> Catalogue:
        """The catalogue as the ``parts`` of a data set (default: train) show it, one history per user."""
        parts = parts or ("train",)
        histories = data.histories(*parts)
        return cls(
            n_items=data.n_items,
            popularity=data.popularity(*parts),
            histories=histories,
            similarity=CooccurrenceSimilarity(histories, data.n_items),
        )

    def require(self, name: str, metric: str) -> None:
        """Refuse a metric whose ingredient is absent.

        Raises
        ------
        ConfigError
            If ``name`` was not given.
        """
        if getattr(self, name) is None:
            raise ConfigError(f"{metric} needs {name}.", f"Give them: Catalogue(..., {name}=...).")

    @cached_property
    def counts(self) -> Vector:
        """float64 ``[n_items]``, training interactions of each item."""
        self.require("popularity", "this metric")
        return np.asarray(self.popularity, np.float64)

    @cached_property
    def surprise(self) -> Vector:
        """Bits −log₂ share of each item, one added to every count so that unseen items stay finite."""
        counts = self.counts + 1.0
        bits: Vector = -np.log2(counts / counts.sum())
        return bits

    @cached_property
    def tail(self) -> Mask:
        """Mask ``[n_items]`` of the items outside the head.

        Ties go to the lower code, and the item that reaches the share belongs to the head.
        """
        order = np.lexsort((np.arange(self.n_items), -self.counts))
        covered = np.cumsum(self.counts[order])
        n_head = np.searchsorted(covered, self.head_share * covered[-1]) + 1
        tail = np.ones(self.n_items, np.bool_)
        tail[order[:n_head]] = False
        return tail

    @cached_property
    def users_in_train(self) -> int:
        """The number m of training users."""
        if self.n_train_users is not None:
            return self.n_train_users
        self.require("histories", "the number of training users (n_train_users)")
        assert self.histories is not None
        return int(np.count_nonzero(self.histories.lengths))

    @cached_property
    def genre_shares(self) -> sp.csr_matrix:
        """float64 CSR ``[n_items, n_genres]`` whose rows sum to one (or to zero, without genres)."""
        matrix = sp.csr_matrix(self.genres, dtype=np.float64)
        totals = np.asarray(matrix.sum(axis=1)).ravel()
        return sp.csr_matrix(sp.diags(ratio(np.ones(len(totals)), totals, 0.0)) @ matrix)


class CooccurrenceSimilarity:
    """Cosine of item co-occurrence, ``c_ij / √(c_i c_j)``; 0 where an item was never seen.

    The item–item matrix is built at the first call.

    Parameters
    ----------
    histories
        Training items of every user; repeated items count once.
    n_items
        Number of item codes.
    """

    def __init__(self, histories: Ragged, n_items: int) -> None:
        self._histories, self._n_items = histories, n_items

    @cached_property
    def matrix(self) -> sp.csr_matrix:
        """float32 CSR ``[n_items, n_items]``."""
        seen = self._histories.to_csr(self._n_items)
        seen.data[:] = 1.0
        counts = np.asarray(seen.sum(axis=0)).ravel()
        scaled = seen @ sp.diags((1.0 / np.sqrt(np.maximum(counts, 1.0))).astype(np.float32))
        product = sp.csr_matrix(scaled.T @ scaled)
        product.sort_indices()
        return product

    def __call__(self, a: IntArray, b: IntArray) -> Vector:
        """float64 ``[n]``, the similarity of each pair."""
        if len(a) == 0:  # scipy answers an empty question with a matrix
            return np.empty(0)
        return np.asarray(self.matrix[a, b], np.float64).ravel()


class FeatureSimilarity:
    """Cosine of item feature vectors; 0 where a vector is zero.

    Parameters
    ----------
    features
        ``[n_items, d]``.
    """

    def __init__(self, features: FloatArray) -> None:
        norms = np.linalg.norm(features, axis=1, keepdims=True)
        self._unit = features / np.where(norms > 0, norms, 1.0)

    def __call__(self, a: IntArray, b: IntArray) -> Vector:
        """float64 ``[n]``, the similarity of each pair."""
        values: Vector = np.einsum("nd,nd->n", self._unit[a], self._unit[b], dtype=np.float64)
        return values
