"""Where cold items stand among warm ones: weights chosen on valid, bounded by what they cost the warm items."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt

from honeyguide.core.ragged import FloatArray, IntArray, Ragged
from honeyguide.core.topk import NEVER, exclude_in_place, top_k
from honeyguide.metrics.holdout import ndcg_of_lists, recall_of_lists
from honeyguide.metrics.slices import keep_items

Mask = npt.NDArray[np.bool_]
Search = list[dict[str, Any]]

K = 10
WARM_TEXT = (0.0, 1.0, 2.0, 3.0, 4.0, 6.0)
COLD_TEXT = (0.0, 2.0, 4.0, 8.0, 16.0)  # where the weights of the mapped scores sum to one
SHARES = (0.5, 1.0)  # of the companion in the mapped scores
CERTAIN = 2.0  # standard errors by which it must be better than none
WHOLE = 0.99  # decay of a profile that reads all of a history
SCALES = (0.5, 1.0, 2.0)  # of the scores of cold items, beside those of the warm ones
LEVELS = (0.0, 0.5, 1.0)
OFFSETS = 40  # tried with every scale and level


@dataclass(frozen=True)
class Calibration:
    """The weights of :class:`~honeyguide.models.content.cold_map.ColdMap`; the defaults are for data without valid.

    Parameters
    ----------
    warm_text
        a: of the text of an item with events, beside its score.
    cold_text, cold_mapped, cold_companion, offset
        b, c, d and o: of the text of an item without, of its scores mapped from the base model and from the companion,
        and what is added to them.
    cold_decay
        Of the text profile of a history that cold items are compared with.
    level
        e: how far the cold items follow each user's own list: by which share of what its K-th best warm item scores
        more in the list than in the models that are mapped.
    """

    warm_text: float = 2.0
    cold_text: float = 6.0
    cold_mapped: float = 0.5
    cold_companion: float = 0.0
    cold_decay: float = 0.7
    level: float = 0.0
    offset: float = -3.0

    def of_cold(self, mapped: FloatArray, companion: FloatArray | None, cosines: FloatArray) -> FloatArray:
        """``c mapped + d companion + b cosines + o``, without the level."""
        scores: FloatArray = np.float32(self.cold_mapped) * mapped + np.float32(self.cold_text) * cosines
        if companion is not None:
            scores += np.float32(self.cold_companion) * companion
        return scores + np.float32(self.offset)

    def raised(self, own: FloatArray, mapped: FloatArray, companion: FloatArray | None) -> FloatArray:
        """``e (K-th best own - c K-th best mapped - d K-th best companion)`` of every user: ``[n, 1]``.

        Parameters
        ----------
        own
            ``[n, 1]``: the K-th best score among the warm items that the user has not seen, text included.
        mapped, companion
            The same of the base model without text, and of the companion.
        """
        gap = own - np.float32(self.cold_mapped) * mapped
        if companion is not None:
            gap -= np.float32(self.cold_companion) * companion
        return np.asarray(np.float32(self.level) * gap, np.float32)

    def scaled(self, by: float) -> Calibration:
        """The same order of the cold items, with ``by`` times their scores."""
        return replace(
            self,
            cold_text=by * self.cold_text,
            cold_mapped=by * self.cold_mapped,
            cold_companion=by * self.cold_companion,
        )

    def to_meta(self) -> dict[str, float]:
        """What an artifact states."""
        return asdict(self)


def kth_best(scores: FloatArray, hidden: Mask, histories: Ragged) -> FloatArray:
    """float32 ``[n, 1]``: the K-th best of each row without the items ``hidden`` ``[m]`` and those in its history.

    The lowest of those that are left where there are fewer, and 0 where there are none.
    """
    allowed = scores.copy()
    allowed[:, hidden] = NEVER
    exclude_in_place(allowed, histories)
    return _lowest(top_k(allowed, K)[1])


def _lowest(best: FloatArray) -> FloatArray:
    """float32 ``[n, 1]``: the last score of each list ``[n, K]`` that is one; 0 where there are none."""
    filled = np.isfinite(best).sum(axis=1, keepdims=True)
    return np.where(filled > 0, np.take_along_axis(best, np.maximum(filled - 1, 0), axis=1), np.float32(0))


@dataclass(frozen=True)
class HeldOut:
    """Users of whom something among the items in question is held out, and what: ``[n]`` rows and a list each."""

    rows: npt.NDArray[np.int64]
    truth: Ragged

    @classmethod
    def of(cls, truth: Ragged, items: Mask) -> HeldOut:
        """Those of ``truth`` with one of ``items`` ``[m]``."""
        kept, _ = keep_items(truth, items)
        rows = np.flatnonzero(kept.lengths)
        return cls(rows, kept.take(rows))

    def ndcgs(self, lists: IntArray) -> npt.NDArray[np.float64]:
        """NDCG at K of each of them, in the lists of all users."""
        return ndcg_of_lists(lists[self.rows], self.truth, K)

    def recalls(self, lists: IntArray) -> npt.NDArray[np.float64]:
        """Recall at K, likewise."""
        return recall_of_lists(lists[self.rows], self.truth)

    def ndcg(self, lists: IntArray) -> float:
        """Mean NDCG at K; zero where nothing is held out."""
        values = self.ndcgs(lists)
        return float(values.mean()) if len(values) else 0.0


@dataclass(frozen=True)
class Newcomers:
    """Items without events, or such as stand for them, and what they can be scored by. Shapes: n users, c items.

    Parameters
    ----------
    items
        ``[m]``: which of the catalogue they are.
    mapped
        ``[n, c]`` transformed scores of the base model, from their neighbours.
    companions
        The same of other models.
    cosines
        ``[n, c]`` of the histories' text with theirs, by decay.
    seen
        ``[n, c]``: those in the user's history.
    """

    items: Mask
    mapped: FloatArray
    companions: Sequence[FloatArray]
    cosines: Mapping[float, FloatArray]
    seen: Mask

    def lists(self, weights: Calibration, companion: int | None) -> tuple[IntArray, FloatArray]:
        """Top K of them, in the codes of the catalogue."""
        beside = None if companion is None else self.companions[companion]
        scores = weights.of_cold(self.mapped, beside, self.cosines[weights.cold_decay])
        scores[self.seen] = NEVER
        places, values = top_k(scores, K)
        codes = np.append(np.flatnonzero(self.items), -1).astype(np.int32)
        return codes[places], values


@dataclass(frozen=True)
class Trial:
    """Held-out events of users, and which items stand for the cold ones. Shapes: n users, m items.

    Parameters
    ----------
    base
        ``[n, m]`` transformed scores of the base model.
    bests
        ``[n, 1]`` K-th best transformed scores of every companion among the warm items that a user has not seen.
    cosines
        ``[n, m]`` of the histories' text with the items'.
    pseudo
        The items that stand for the cold ones.
    absent
        The items without events, where others stand for them.
    cold
        ``[m]``: the items without events.
    histories, truth
        What the users did, and what is held out.
    """

    base: FloatArray
    bests: Sequence[FloatArray]
    cosines: FloatArray
    pseudo: Newcomers
    absent: Newcomers | None
    cold: Mask
    histories: Ragged
    truth: Ragged

    @property
    def warm(self) -> Mask:
        """``[m]``: the others."""
        return ~(self.cold | self.pseudo.items)

    @cached_property
    def held_out_warm(self) -> HeldOut:
        """Of the warm items."""
        return HeldOut.of(self.truth, self.warm)

    @cached_property
    def held_out_cold(self) -> HeldOut:
        """Of those that stand for the cold ones."""
        return HeldOut.of(self.truth, self.pseudo.items)

    def warm_lists(self, text: float) -> tuple[IntArray, FloatArray]:
        """Top K of the warm items."""
        scores = self.base + np.float32(text) * self.cosines
        scores[:, ~self.warm] = NEVER
        exclude_in_place(scores, self.histories)
        return top_k(scores, K)

    def rivals(
        self, weights: Calibration, companion: int | None, own: FloatArray, plain: FloatArray
    ) -> list[tuple[IntArray, FloatArray]]:
        """Top K of those who will stand beside the warm items: in the place of cold ones, and without events.

        The more cold items there are, the higher the best of them scores: what they cost the warm ones is seen
        with all that the catalogue has, not with the few that stand for them. ``own`` and ``plain`` ``[n, 1]`` are the
        K-th best scores among the warm items, with text and without.
        """
        beside = [self.pseudo] if self.absent is None else [self.pseudo, self.absent]
        level = weights.raised(own, plain, None if companion is None else self.bests[companion])
        return [
            (items, scores + level) for items, scores in (newcomers.lists(weights, companion) for newcomers in beside)
        ]


def calibrate(trial: Trial, tolerance: float, generous: bool) -> tuple[Calibration, int | None, Search]:
    """The weights that are best on ``trial`` and cost its warm items no more than ``tolerance``.

    The text of warm items is weighted for their own NDCG, where it raises that beyond noise, that of cold ones for
    theirs when they are ranked alone; of the scales, levels and offsets by which both meet those are taken that are
    best for the cold items and keep the warm ones, in the lists of both, at ``1 - tolerance`` of their NDCG and recall:
    beside those who stand for the cold items, and beside all that have no events.

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
    Calibration, int or None, list
        The weights, the companion that they count with, and what was tried.
    """
    by_text = {text: trial.warm_lists(text) for text in WARM_TEXT}
    reached = {text: trial.held_out_warm.ndcgs(lists[0]) for text, lists in by_text.items()}
    search = [{"warm_text": text, "warm ndcg@10": float(np.mean(v)) if len(v) else 0.0} for text, v in reached.items()]
    best = Calibration(warm_text=_beyond_noise(reached))
    if not len(reached[0.0]):
        return best, None, search
    (weights, companion), tried = _alone(trial, best)
    search += tried
    before = 0.0 if generous else best.warm_text
    limits = (
        (1 - tolerance) * float(reached[before].mean()),
        (1 - tolerance) * float(trial.held_out_warm.recalls(by_text[before][0]).mean()),
    )
    warm_lists = by_text[best.warm_text]
    own, plain = _lowest(warm_lists[1]), _lowest(by_text[0.0][1])
    found = []
    for scale, level in product(SCALES, LEVELS):
        scaled = replace(weights.scaled(scale), level=level)
        offset, gained, tried = _offset(trial, warm_lists, trial.rivals(scaled, companion, own, plain), limits)
        search += [{"scale": scale, "level": level} | point for point in tried]
        found.append((gained, replace(scaled, offset=offset)))
    return max(found, key=lambda entry: entry[0])[1], companion, search


def _alone(trial: Trial, start: Calibration) -> tuple[tuple[Calibration, int | None], Search]:
    """Weights with which the cold items are ranked best among themselves, and the companion that they count with.

    A companion must gain more than two standard errors, on the same users, over none: it is the best of many.
    """
    shares = [(None, 0.0), *((place, share) for place in range(len(trial.pseudo.companions)) for share in SHARES)]
    best: dict[bool, tuple[float, npt.NDArray[np.float64], Calibration, int | None]] = {}
    search: Search = []
    for companion, share in shares:
        for text in COLD_TEXT:
            for decay in trial.pseudo.cosines if text else [start.cold_decay]:
                weights = replace(
                    start, cold_text=text, cold_mapped=1 - share, cold_companion=share, cold_decay=decay, offset=0.0
                )
                values = trial.held_out_cold.ndcgs(trial.pseudo.lists(weights, companion)[0])
                mean = float(values.mean()) if len(values) else 0.0
                tried = {"cold_text": text, "cold_companion": share, "cold_decay": decay, "companion": companion}
                search.append(tried | {"cold ndcg@10 alone": mean})
                assisted = companion is not None
                if assisted not in best or mean > best[assisted][0]:
                    best[assisted] = (mean, values, weights, companion)
    plain, helped = best[False], best.get(True, best[False])
    gain = helped[1] - plain[1]
    chosen = helped if len(gain) and gain.mean() > CERTAIN * gain.std() / np.sqrt(len(gain)) else plain
    return (chosen[2], chosen[3]), search


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
    limits: tuple[float, float],
) -> tuple[float, float, Search]:
    """The offset that is best for the cold items among those that keep the warm ones above ``limits``, and their NDCG.

    The limits are of NDCG and of recall: a cold item in the last place of a list costs little of the former. The first
    of ``rivals`` stand for the cold items; the warm ones are kept beside each of them.
    """
    firsts = np.concatenate([found[1][:, :3] for found in rivals], axis=1)
    with np.errstate(invalid="ignore"):  # places that nobody fills
        gaps = (warm_lists[1][:, :, None] - firsts[:, None]).ravel()  # by which a cold item passes a warm one
    gaps = gaps[np.isfinite(gaps)]
    if not len(gaps):
        return 0.0, 0.0, []
    measures = (trial.held_out_warm.ndcgs, trial.held_out_warm.recalls)
    alone = [values(warm_lists[0]) for values in measures]
    tried: Search = []
    for offset in np.quantile(gaps, np.linspace(0.0, 1.0, OFFSETS) ** 3) + 1e-4:  # fine where little is lost
        lists = [merged([warm_lists, (items, scores + np.float32(offset))]) for items, scores in rivals]
        kept = [
            min(_certain(values(found), before) for found in lists)
            for values, before in zip(measures, alone, strict=True)
        ]
        point = {"offset": float(offset), "warm ndcg@10": kept[0], "warm recall@10": kept[1]}
        gained = trial.held_out_cold.ndcg(lists[0])
        tried.append(point | {"cold ndcg@10": gained, "kept": kept[0] >= limits[0] and kept[1] >= limits[1]})
    possible = [point for point in tried if point["kept"]] or tried[:1]
    best = max(possible, key=lambda point: point["cold ndcg@10"])
    return float(best["offset"]), float(best["cold ndcg@10"]), tried


def _certain(values: npt.NDArray[np.float64], before: npt.NDArray[np.float64]) -> float:
    """The mean of ``values``, less a standard error of what was lost: the offset is the best of many."""
    return float(values.mean() - (before - values).std() / np.sqrt(len(values)))


def merged(lists: Sequence[tuple[IntArray, FloatArray]]) -> IntArray:
    """int32 ``[n, K]``: the best of several ranked lists with their scores."""
    items = np.concatenate([found for found, _ in lists], axis=1)
    scores = np.concatenate([values for _, values in lists], axis=1)
    places, _ = top_k(scores, K)
    best: IntArray = np.where(places >= 0, np.take_along_axis(items, np.maximum(places, 0), axis=1), -1).astype(
        np.int32
    )
    return best
