"""Are the reasons true? Evidence is removed, and the score must fall more often than by chance."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from honeyguide.core.ragged import FloatArray, IntArray, Ragged
from honeyguide.core.recommender import Recommender
from honeyguide.core.requests import Requests
from honeyguide.explain.because import because, rank_of, without


@dataclass(frozen=True)
class Faithfulness:
    """How often removing the named evidence lowers the score, beside removing random events.

    Parameters
    ----------
    n
        Number of explanations checked, one for each user asked who got one.
    n_unexplained
        Number of users for whom no evidence was named.
    share, random_share
        Share of the ``n`` whose score fell, after removing the evidence and after removing as
        many random other items of the same history.
    drop, random_drop
        Mean fall of the score, on the scale of the model.
    place, random_place
        Median place of the item, which was the first, after each removal; among all items outside the history.
    """

    n: int
    n_unexplained: int
    share: float
    random_share: float
    drop: float
    random_drop: float
    place: float = float("nan")
    random_place: float = float("nan")

    def __str__(self) -> str:
        if not self.n:
            return f"Nobody's list rests on the history: {self.n_unexplained} readers asked, no evidence named."
        return (
            f"Explanations of {self.n} lists checked: taking the named evidence away lowers the score in "
            f"{self.share:.0%} of them, on average by {self.drop:.3g}; as many random events, in "
            f"{self.random_share:.0%}, by {self.random_drop:.3g}."
        )


def faithfulness(
    model: Recommender, histories: Ragged, *, n_users: int = 200, evidence: int = 2, seed: int = 0
) -> Faithfulness:
    """Check the explanation of the first recommendation of a sample of users.

    Parameters
    ----------
    model
        A fitted model.
    histories
        One list of item codes per user. Users with at most ``2 * evidence`` distinct items are
        left out: there random events could not differ from the evidence.
    n_users
        Size of the sample.
    evidence
        How many items each explanation names.
    seed
        Draws the sample and the random events.
    """
    rng = np.random.default_rng(seed)
    distinct = np.array([len(np.unique(row)) for row in histories])
    able = np.flatnonzero(distinct > 2 * evidence)
    users = np.sort(rng.permutation(able)[:n_users])
    asked = histories.take(users)
    items = model.recommend(Requests(asked), k=1).items[:, 0]
    found = [_falls(model, asked[row], int(item), evidence, rng) for row, item in enumerate(items) if item >= 0]
    falls: npt.NDArray[np.float64] = np.array([fall for fall in found if fall is not None]).reshape(-1, 4)
    if not len(falls):
        return Faithfulness(0, len(users), float("nan"), float("nan"), float("nan"), float("nan"))
    share, random_share = (falls[:, :2] > 0).mean(axis=0)
    drop, random_drop = falls[:, :2].mean(axis=0)
    place, random_place = np.median(falls[:, 2:], axis=0)
    counted = len(falls), len(users) - len(falls)
    return Faithfulness(*counted, *map(float, (share, random_share, drop, random_drop, place, random_place)))


def _falls(
    model: Recommender, history: IntArray, item: int, n: int, rng: np.random.Generator
) -> tuple[float, float, int, int] | None:
    """Fall of the score and place after, without the evidence and without random items; ``None`` if none was named."""
    reason = because(model, history, [item], n)[0]
    if not len(reason.evidence):
        return None
    others = np.setdiff1d(history, reason.evidence)
    chance = rng.choice(others, size=len(reason.evidence), replace=False)
    scores: FloatArray = model.score_histories(Ragged.from_lists([without(history, chance)]))[0]
    fall = reason.score - reason.score_without
    return fall, reason.score - float(scores[item]), reason.rank_without, rank_of(scores, item, history)
