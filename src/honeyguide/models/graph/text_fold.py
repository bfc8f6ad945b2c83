"""Serving from texts and a graph: a user is what the texts of the history say, and what the graph adds.

Shapes: n users, m items, r components of texts, d width. ``h`` is the set of the items of a history.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from honeyguide.core.artifact import Arrays
from honeyguide.core.inner_product import top_k_cosine, unit
from honeyguide.core.ragged import FloatArray, IntArray, Ragged
from honeyguide.models.linear.item_weights import distinct
from honeyguide.nn.text_map import TextMap


@dataclass(frozen=True)
class TextFold:
    """``e_u = share f(z_u) + |h|^-1/2 * sum of inward_i over h``, with z_u the mean text of the history.

    It is the vector that propagation gives a user of the training part: nothing of a user is learnt.

    Parameters
    ----------
    map
        f.
    texts
        float32 ``[m, r]``: their components.
    inward, outward
        float32 ``[m, d]``: what an item of a history adds, and, at length one, what scores are taken against.
    share
        1 / (L + 1).
    empty
        float32 ``[m]``: the scores for an empty history without an intention.
    """

    map: TextMap
    texts: FloatArray
    inward: FloatArray
    outward: FloatArray
    share: float
    empty: FloatArray

    def users(
        self, histories: Ragged, intentions: FloatArray | None = None, alpha: FloatArray | None = None
    ) -> FloatArray:
        """float32 ``[n, d]``; zeros for who has neither history nor intention.

        Parameters
        ----------
        histories
            One for each user.
        intentions
            float32 ``[n, r]``: ``z_u' = (1 - alpha) z_u + alpha intention`` is mapped in place of z_u.
        alpha
            float32 ``[n]``, from 0 to 1.
        """
        sets = distinct(histories, len(self.texts))
        lengths = np.maximum(np.diff(sets.indptr), 1).astype(np.float32)[:, None]
        z: FloatArray = (sets @ self.texts) / lengths  # [n, r]
        said = np.zeros(len(z), np.bool_)
        if intentions is not None and alpha is not None:
            z = (1 - alpha)[:, None] * z + alpha[:, None] * intentions
            said = alpha > 0
        vectors = np.float32(self.share) * self.map.of_components(z.astype(np.float32))
        vectors += (sets @ self.inward) / np.sqrt(lengths)
        vectors[(np.diff(sets.indptr) == 0) & ~said] = 0
        return np.asarray(vectors, np.float32)

    def scores(self, histories: Ragged, users: FloatArray | None = None) -> FloatArray:
        """float32 ``[n, m]``; the logarithm of the items' share of the training events for an empty history."""
        scores: FloatArray = (self.users(histories) if users is None else users) @ self.outward.T
        sets = distinct(histories, len(self.outward))
        scores[np.diff(sets.indptr) == 0] = self.empty
        return scores

    def similar(self, items: IntArray, k: int) -> tuple[IntArray, FloatArray]:
        """The ``k`` items of largest cosine with each of ``items``, without itself."""
        return top_k_cosine(self.outward, items, k)

    def grown(self, texts: FloatArray) -> TextFold:
        """With more items, of which nothing but the texts ``[n, r]`` is known."""
        own = np.float32(self.share) * self.map.of_components(
            texts
        )  # layer 0 alone; one event, this history's, as degree
        least = np.full(len(texts), self.empty.min(initial=0.0), np.float32)
        return TextFold(
            self.map,
            np.concatenate([self.texts, texts]),
            np.concatenate([self.inward, own if self.share < 1 else np.zeros_like(own)]),
            np.concatenate([self.outward, unit(own)]),
            self.share,
            np.concatenate([self.empty, least]),
        )

    def pack(self) -> tuple[Arrays, dict[str, Any]]:
        """Arrays and metadata for an artifact."""
        arrays, mapped = self.map.pack()
        own = {"texts": self.texts, "inward": self.inward, "outward": self.outward, "empty": self.empty}
        return {**arrays, **own}, {"map": mapped, "share": self.share}

    @classmethod
    def unpack(cls, arrays: Mapping[str, npt.NDArray[Any]], meta: dict[str, Any]) -> TextFold:
        """Undo :meth:`pack`."""
        texts, inward, outward, empty = (np.array(arrays[n]) for n in ("texts", "inward", "outward", "empty"))
        return cls(TextMap.unpack(arrays, meta["map"]), texts, inward, outward, meta["share"], empty)


def mean_texts(train: sp.csr_matrix, texts: FloatArray) -> FloatArray:
    """float32 ``[n, r]``: z_u, the mean text of every user's items; zeros without any."""
    lengths = np.maximum(np.diff(train.indptr), 1).astype(np.float32)[:, None]
    means: FloatArray = np.asarray((train @ texts) / lengths, np.float32)
    return means
