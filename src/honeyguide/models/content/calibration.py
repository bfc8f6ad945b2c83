"""Where cold items stand among warm ones: weights chosen on valid, bounded by what they cost the warm items."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from honeyguide.core.ragged import FloatArray, IntArray, Ragged
from honeyguide.core.topk import NEVER, exclude_in_place, top_k
from honeyguide.metrics.holdout import ndcg_of_lists
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
        ``[m]``: the items that stand for the cold ones, and those without events.
    absent
        ``[n, n_cold]`` mapped scores of the items without events, where others stand for them.
    histories, truth
        What the users did, and what is held out.
    """

    base: FloatArray
    mapped: FloatArray
    cosines: FloatArray
    pseudo: Mask
    cold: Mask
    absent: FloatArray | None
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
        return self._mapped_lists(weights, self.mapped, self.pseudo)

    def rivals(self, weights: Calibration) -> list[tuple[IntArray, FloatArray]]:
        """Top K of those who will stand beside the warm items: in the place of cold ones, and without events.

        The more cold items there are, the higher the best of them scores: what they cost the warm ones is seen
        with all that the catalogue has, not with the few that stand for them.
        """
        found = [self.cold_lists(weights)]
        if self.absent is not None:
            found.append(self._mapped_lists(weights, self.absent, self.cold))
        return found

    def _mapped_lists(self, weights: Calibration, mapped: FloatArray, items: Mask) -> tuple[IntArray, FloatArray]:
        scores = np.full(self.base.shape, NEVER, np.float32)
        scores[:, items] = weights.of_cold(mapped, self.cosines[:, items])
        exclude_in_place(scores, self.histories)
        return top_k(scores, K)

    def ndcg(self, lists: IntArray, items: Mask) -> float:
        """Mean NDCG at K with only ``items`` relevant; zero where none is held out."""
        values = self.ndcgs(lists, items)
        return float(values.mean()) if len(values) else 0.0

    def ndcgs(self, lists: IntArray, items: Mask) -> npt.NDArray[np.float64]:
        """NDCG at K with only ``items`` relevant, of every user of whom one is held out."""
        truth, _ = keep_items(self.truth, items)
        asked = np.flatnonzero(truth.lengths)
        return ndcg_of_lists(lists[asked], truth.take(asked), K)


def calibrate(trial: Trial, tolerance: float, generous: bool) -> tuple[Calibration, Search]:
    """The weights that are best on ``trial`` and cost its warm items no more than ``tolerance`` of their NDCG.

    The text of warm items is weighted for their own NDCG, where it raises that beyond noise, that of cold ones for
    theirs when they are ranked alone; of the offsets by which both meet the one is taken that is best for the
    cold items and keeps the warm ones, in the lists of both, at ``1 - tolerance`` of what they reach: beside those
    who stand for the cold items, and beside all that have no events.

    Parameters
    ----------
    trial
        Held-out events.
    tolerance
        The price.
    generous
        Whether what text gained the warm items may be spent on cold ones: the price is of what the base model reaches
        without text. Right where these are taken in valid, and where there are none yet, not where nobody took them.

    Returns
    -------
    Calibration, list
        The weights, and what was tried.
    """
    warm = ~(trial.cold | trial.pseudo)
    search: Search = []
    by_text = {text: trial.warm_lists(text) for text in WARM_TEXT}
    reached = {text: trial.ndcgs(lists[0], warm) for text, lists in by_text.items()}
    search += [{"warm_text": text, "warm ndcg@10": float(np.mean(v)) if len(v) else 0.0} for text, v in reached.items()]
    best = Calibration(warm_text=_beyond_noise(reached))
    if not len(reached[0.0]):
        return best, search
    alone = []
    for text, mapped in COLD:
        weights = replace(best, cold_text=text, cold_mapped=mapped, offset=0.0)
        alone.append((trial.ndcg(trial.cold_lists(weights)[0], trial.pseudo), weights))
        search.append({"cold_text": text, "cold_mapped": mapped, "cold ndcg@10 alone": alone[-1][0]})
    _, weights = max(alone, key=lambda pair: pair[0])
    limit = (1 - tolerance) * float(reached[0.0 if generous else best.warm_text].mean())
    offset, tried = _offset(trial, by_text[best.warm_text], trial.rivals(weights), warm, limit)
    return replace(weights, offset=offset), search + tried


def _beyond_noise(reached: dict[float, npt.NDArray[np.float64]]) -> float:
    """The weight of the best mean; none, unless it gains more than a standard error over none."""
    if not len(reached[0.0]):
        return 0.0
    best = max(reached, key=lambda text: float(reached[text].mean()))
    gain = reached[best] - reached[0.0]
    return best if gain.mean() > gain.std() / np.sqrt(len(gain)) else 0.0


def _offset(
    trial: Trial,
    warm_lists: tuple[IntArray, FloatArray],
    rivals: Sequence[tuple[IntArray, FloatArray]],
    warm: Mask,
    limit: float,
) -> tuple[float, Search]:
    """The offset that is best for the cold items among those that keep the warm ones above ``limit``.

    The first of ``rivals`` stand for the cold items; the warm ones are kept beside each of them.
    """
    firsts = np.concatenate([found[1][:, :3] for found in rivals], axis=1)
    gaps = (warm_lists[1][:, :, None] - firsts[:, None]).ravel()  # by which a cold item passes a warm one
    gaps = gaps[np.isfinite(gaps)]
    if not len(gaps):
        return 0.0, []
    tried: Search = []
    for offset in np.quantile(gaps, np.linspace(0.0, 1.0, OFFSETS) ** 3) + 1e-4:  # fine where little is lost
        lists = [merged([warm_lists, (items, scores + np.float32(offset))]) for items, scores in rivals]
        kept, gained = min(trial.ndcg(found, warm) for found in lists), trial.ndcg(lists[0], trial.pseudo)
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
