"""Are the reasons true? Evidence is removed, and the score must fall more often than by chance."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from honeyguide.core.ragged import FloatArray, IntArray, Ragged
from honeyguide.core.recommender import Recommender
from honeyguide.core.requests import Requests
from honeyguide.explain.because import because, without


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
    """

    n: int
    n_unexplained: int
    share: float
    random_share: float
    drop: float
    random_drop: float

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
    drops = [_drops(model, asked[row], int(item), evidence, rng) for row, item in enumerate(items) if item >= 0]
    pairs: npt.NDArray[np.float64] = np.array([pair for pair in drops if pair is not None]).reshape(-1, 2)
    if not len(pairs):
        return Faithfulness(0, len(users), float("nan"), float("nan"), float("nan"), float("nan"))
    share, random_share = (pairs > 0).mean(axis=0)
    drop, random_drop = pairs.mean(axis=0)
    n = len(pairs)
    return Faithfulness(n, len(users) - n, float(share), float(random_share), float(drop), float(random_drop))


def _drops(
    model: Recommender, history: IntArray, item: int, n: int, rng: np.random.Generator
) -> tuple[float, float] | None:
    """Fall of the score without the evidence, and without random other items; ``None`` if none was named."""
    reason = because(model, history, [item], n)[0]
    if not len(reason.evidence):
        return None
    others = np.setdiff1d(history, reason.evidence)
    chance = rng.choice(others, size=len(reason.evidence), replace=False)
    scores: FloatArray = model.score_histories(Ragged.from_lists([without(history, chance)]))
    return reason.score - reason.score_without, reason.score - float(scores[0, item])
