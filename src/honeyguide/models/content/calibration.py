"""Where cold items stand among warm ones: weights chosen on valid, bounded by what they cost the warm items."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from honeyguide.core.ragged import FloatArray, IntArray, Ragged
from honeyguide.core.topk import NEVER, exclude_in_place, top_k
from honeyguide.metrics.catalogue import Catalogue
from honeyguide.metrics.evaluate import evaluate_lists
from honeyguide.metrics.slices import keep_items

Mask = npt.NDArray[np.bool_]
Search = list[dict[str, Any]]

K = 10
WARM_TEXT = (0.0, 1.0, 2.0, 3.0, 4.0, 6.0)
COLD = ((4.0, 1.0), (6.0, 0.5), (10.0, 1.0), (12.0, 0.5))  # weight of the text and of the mapped score
OFFSETS = 60  # tried


@dataclass(frozen=True)
class Calibration:
    """The weights of :class:`~honeyguide.models.content.cold_map.ColdMap`; the defaults are for data without valid.

    Parameters
    ----------
    warm_text
        a: of the text of an item with events, beside its score.
    cold_text, cold_mapped, offset
        b, c and o: of the text and the mapped score of an item without, and what is added to them.
    """

    warm_text: float = 2.0
    cold_text: float = 6.0
    cold_mapped: float = 0.5
    offset: float = -3.0

    def of_cold(self, mapped: FloatArray, cosines: FloatArray) -> FloatArray:
        """``c mapped + b cosines + o``."""
        scores: FloatArray = np.float32(self.cold_mapped) * mapped + np.float32(self.cold_text) * cosines
        return scores + np.float32(self.offset)

    def to_meta(self) -> dict[str, float]:
        """What an artifact states."""
        return asdict(self)


@dataclass(frozen=True)
class Trial:
    """Held-out events of users, and which items stand for the cold ones. Shapes: n users, m items.

    Parameters
    ----------
    base
        ``[n, m]`` transformed scores of the base model.
    mapped
        ``[n, n_pseudo]`` of the items that stand for the cold ones, from their neighbours.
    cosines
        ``[n, m]`` of the histories' text with the items'.
    pseudo, cold
        ``[m]``: the items that stand for the cold ones, and those without events; the rest of these take no part.
    histories, truth
        What the users did, and what is held out.
    """

    base: FloatArray
    mapped: FloatArray
    cosines: FloatArray
    pseudo: Mask
    cold: Mask
    histories: Ragged
    truth: Ragged

    def warm_lists(self, text: float) -> tuple[IntArray, FloatArray]:
        """Top K of the warm items."""
        scores = self.base + np.float32(text) * self.cosines
        scores[:, self.cold | self.pseudo] = NEVER
        exclude_in_place(scores, self.histories)
        return top_k(scores, K)

    def cold_lists(self, weights: Calibration) -> tuple[IntArray, FloatArray]:
        """Top K of the items in the place of cold ones."""
        scores = np.full(self.base.shape, NEVER, np.float32)
        scores[:, self.pseudo] = weights.of_cold(self.mapped, self.cosines[:, self.pseudo])
        exclude_in_place(scores, self.histories)
        return top_k(scores, K)

    def ndcg(self, lists: IntArray, items: Mask) -> float:
        """Mean NDCG at K with only ``items`` relevant; zero where none is held out."""
        truth, _ = keep_items(self.truth, items)
        if not len(truth.values):
            return 0.0
        name, catalogue = f"ndcg@{K}", Catalogue(len(items), np.ones(len(items), np.float32))
        return evaluate_lists(lists, truth, [name], catalogue).overall[name]


def calibrate(trial: Trial, tolerance: float) -> tuple[Calibration, Search]:
    """The weights that are best on ``trial`` and cost its warm items no more than ``tolerance`` of their NDCG.

    The text of warm items is weighted for their own NDCG, that of cold ones for theirs when they are
    ranked alone; of the offsets by which both meet the one is taken that is best for the cold items and keeps
    the warm ones, in the lists of both, at ``1 - tolerance`` of what the base model alone reaches.

    Returns
    -------
    Calibration, list
        The weights, and what was tried.
    """
    warm = ~(trial.cold | trial.pseudo)
    search: Search = []
    by_text = {text: trial.warm_lists(text) for text in WARM_TEXT}
    reached = {text: trial.ndcg(lists[0], warm) for text, lists in by_text.items()}
    search += [{"warm_text": text, "warm ndcg@10": value} for text, value in reached.items()]
    best = Calibration(warm_text=max(reached, key=lambda text: reached[text]))
    alone = []
    for text, mapped in COLD:
        weights = replace(best, cold_text=text, cold_mapped=mapped, offset=0.0)
        alone.append((trial.ndcg(trial.cold_lists(weights)[0], trial.pseudo), weights))
        search.append({"cold_text": text, "cold_mapped": mapped, "cold ndcg@10 alone": alone[-1][0]})
    value, weights = max(alone, key=lambda pair: pair[0])
    if value == 0:  # nothing is held out of the items in the place of cold ones
        return best, search
    limit = (1 - tolerance) * reached[0.0]
    offset, tried = _offset(trial, by_text[best.warm_text], trial.cold_lists(weights), warm, limit)
    return replace(weights, offset=offset), search + tried


def _offset(
    trial: Trial,
    warm_lists: tuple[IntArray, FloatArray],
    cold_lists: tuple[IntArray, FloatArray],
    warm: Mask,
    limit: float,
) -> tuple[float, Search]:
    """The offset that is best for the cold items among those that keep the warm ones above ``limit``."""
    gaps = (warm_lists[1][:, :, None] - cold_lists[1][:, None, :3]).ravel()  # by which a cold item passes a warm one
    gaps = gaps[np.isfinite(gaps)]
    if not len(gaps):
        return 0.0, []
    tried: Search = []
    for offset in np.quantile(gaps, np.linspace(0.0, 1.0, OFFSETS) ** 3) + 1e-4:  # fine where little is lost
        lists = merged([warm_lists, (cold_lists[0], cold_lists[1] + np.float32(offset))])
        kept, gained = trial.ndcg(lists, warm), trial.ndcg(lists, trial.pseudo)
        allowed = kept >= limit
        tried.append({"offset": float(offset), "warm ndcg@10": kept, "cold ndcg@10": gained, "kept": allowed})
    possible = [point for point in tried if point["kept"]] or tried[:1]
    return float(max(possible, key=lambda point: point["cold ndcg@10"])["offset"]), tried


def merged(lists: Sequence[tuple[IntArray, FloatArray]]) -> IntArray:
    """int32 ``[n, K]``: the best of several ranked lists with their scores."""
    items = np.concatenate([found for found, _ in lists], axis=1)
    scores = np.concatenate([values for _, values in lists], axis=1)
    places, _ = top_k(scores, K)
    best: IntArray = np.where(places >= 0, np.take_along_axis(items, np.maximum(places, 0), axis=1), -1).astype(
        np.int32
    )
    return best
