"""How far an attack reaches: whether genuine users are shown what fake ones promote."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from honeyguide.core.dataset import Dataset
from honeyguide.core.ragged import IntArray, Ragged
from honeyguide.core.recommender import Recommender
from honeyguide.data.attacks import fake_users, promoted_items
from honeyguide.metrics.arrays import Mask, Vector, ratio
from honeyguide.metrics.holdout import ScoreFunction, rank_catalogue, rank_lists
from honeyguide.metrics.metric import metric
from honeyguide.metrics.ranking import discounts

_ELIGIBLE = "over the targets that the user never met; a user without one, as every fake is, → NaN"


@metric(
    "target_hit_rate",
    family="E",
    direction="lower",
    formula="mean over targets t of 1[rank of t ≤ k]",
    conventions=_ELIGIBLE,
)
def target_hit_rate(lists: npt.NDArray[np.integer], targets: IntArray, eligible: Mask, k: int) -> Vector:
    """T-HR@k of every user, ``[n]``.

    Parameters
    ----------
    lists
        int ``[n, width]``, best first, padded with -1.
    targets
        ``[t]`` item codes.
    eligible
        Bool ``[n, t]``: whether the user counts for the target, see :func:`eligible_users`.
    k
        Cut-off.
    """
    return _mean(lists, targets, eligible, np.ones(k))


@metric(
    "target_ndcg",
    family="E",
    direction="lower",
    formula="mean over targets t of 1[rank r of t ≤ k] / log₂(r + 1)",
    conventions=_ELIGIBLE,
)
def target_ndcg(lists: npt.NDArray[np.integer], targets: IntArray, eligible: Mask, k: int) -> Vector:
    """T-NDCG@k of every user, ``[n]``; parameters as in :func:`target_hit_rate`."""
    return _mean(lists, targets, eligible, discounts(k))


def _mean(lists: npt.NDArray[np.integer], targets: IntArray, eligible: Mask, worth: Vector) -> Vector:
    k = min(len(worth), lists.shape[1])
    found = np.stack([(lists[:, :k] == t) @ worth[:k] for t in targets], axis=1)  # [n, t]
    return ratio((found * eligible).sum(axis=1), eligible.sum(axis=1))


def eligible_users(data: Dataset, targets: IntArray) -> Mask:
    """Bool ``[n_users, t]``: genuine users with no event of the target in any part, liked or not."""
    met = np.zeros((data.n_users, len(targets)), np.bool_)
    users, items = data.interactions["user"].to_numpy(), data.interactions["item"].to_numpy()
    for column, target in enumerate(targets):
        met[users[items == target], column] = True
    met |= fake_users(data)[:, None]
    return ~met


def attack_success(
    model: Recommender | ScoreFunction,
    data: Dataset,
    ks: Sequence[int] = (10, 20, 50),
    *,
    targets: IntArray | None = None,
    parts: Sequence[str] = ("train", "valid"),
) -> dict[str, Vector]:
    """What an attack on ``data`` achieves: ``target_hit_rate@k`` and ``target_ndcg@k`` of every user.

    Parameters
    ----------
    model
        Fitted, on ``data`` or anything of the same items; or a function from histories and users to scores.
    data
        With the fake users that :func:`~honeyguide.data.attacks.inject` added, or without for the value before.
    ks
        Cut-offs.
    targets
        Item codes; by default those that the fakes promote.
    parts
        Of the histories; their items are not shown again.
    """
    targets = promoted_items(data) if targets is None else targets
    eligible = eligible_users(data, targets)
    asked = np.flatnonzero(eligible.any(axis=1)).astype(np.int32)
    histories, nothing = data.histories(*parts).take(asked), Ragged.empty(len(asked))
    lists = np.full((data.n_users, max(ks)), -1, np.int32)
    if isinstance(model, Recommender):
        lists[asked] = rank_lists(model, histories, nothing, max(ks))
    else:
        lists[asked] = rank_catalogue(lambda h, rows: model(h, asked[rows]), histories, nothing, max(ks))
    functions = {"target_hit_rate": target_hit_rate, "target_ndcg": target_ndcg}
    return {f"{name}@{k}": f(lists, targets, eligible, k) for name, f in functions.items() for k in ks}
