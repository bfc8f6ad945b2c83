"""Recommended lists, whoever made them, against a data set: the 21 metrics of arXiv 2309.03613 and paired tests.

What holds for every list: items outside the training part are dropped, then items that the user has in it, then the
list is cut; repeated items stay where they are and count again. Users without test items are left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from honeyguide.core.dataset import Dataset
from honeyguide.core.errors import DataError
from honeyguide.core.ids import Ids
from honeyguide.core.ragged import FloatArray, IntArray, Ragged
from honeyguide.core.recommender import Recommender
from honeyguide.core.requests import Requests
from honeyguide.data.build import build, decoded
from honeyguide.metrics.agreement import jaccard_lists, kendall_lists
from honeyguide.metrics.catalogue import Catalogue
from honeyguide.metrics.evaluate import evaluate_lists
from honeyguide.metrics.lists import Conventions
from honeyguide.metrics.published import COLUMNS
from honeyguide.metrics.stats import bootstrap_cis, paired_test

CUTOFFS = (10, 20, 50)
DEPTH = max(CUTOFFS)
METRICS = tuple(COLUMNS.values())  # 20; the 21st is the number of places that are filled
PAIRED = ("ndcg_exp", "recall", "epc")  # on which systems are tested against each other


@dataclass(frozen=True, eq=False)
class Bench:
    """A split, ready to evaluate lists against.

    Parameters
    ----------
    name
        Of the data set.
    train
        Data set of the training part, each profile cut; its item ids are the catalogue, its user ids all users.
    users
        Codes of the users with test items.
    truth
        Their test items, in codes of the training part; -1 where it lacks them.
    grades
        float32, one for each: rating + 1, or 1 where there are no ratings.
    """

    name: str
    train: Dataset
    users: IntArray
    truth: Ragged
    grades: FloatArray

    @classmethod
    def of(cls, data: Dataset, profile: int | None = None) -> Bench:
        """The published split of a data set.

        Parameters
        ----------
        data
            With a test part.
        profile
            Longest training profile: a user's best rated items, ties by lower id.

        Raises
        ------
        DataError
            If there is no test part.
        """
        frame = decoded(data)
        if "split" not in frame.columns or not (frame["split"] == "test").any():
            raise DataError(f"{data.name} has no test part.", "Give a column 'split' with train and test.")
        rating = pl.col("label") if "label" in frame.columns else pl.lit(0.0)
        frame = frame.with_columns(rating.alias("_rating"))
        best = frame.filter(pl.col("split") != "test").sort("user_id", -pl.col("_rating"), "item_id")
        if profile is not None:
            best = best.group_by("user_id", maintain_order=True).head(profile)
        known = data.items.filter(pl.col("item_id").is_in(best["item_id"].implode()))
        train = build(data.name, best.drop("split", "_rating"), known)
        test = frame.filter(pl.col("split") == "test")
        user = train.user_ids.encode(test["user_id"])
        order = np.argsort(user, kind="stable")[int(np.count_nonzero(user < 0)) :]
        users = np.unique(user[order]).astype(np.int32)
        items = train.item_ids.encode(test["item_id"])[order]
        grades = test["_rating"].to_numpy().astype(np.float32)[order] + np.float32(1.0)
        truth = Ragged.from_groups(np.searchsorted(users, user[order]), items, len(users))
        return cls(data.name, train, users, truth, grades)

    @property
    def user_ids(self) -> Ids:
        """The users with test items, in the order of all arrays here."""
        return Ids(self.train.user_ids.decode(self.users))

    @property
    def histories(self) -> Ragged:
        """Training items of these users."""
        return self.train.histories().take(self.users)

    def catalogue(self) -> Catalogue:
        """What the exposure metrics know."""
        return Catalogue(
            n_items=self.train.n_items,
            popularity=self.train.popularity(),
            histories=self.histories,
            n_train_users=self.train.interactions["user"].n_unique(),
        )

    def unseen(self, lists: IntArray) -> IntArray:
        """Lists ``[n, w]`` of item codes without what is unknown or seen; the rest closes up, filled with -1."""
        histories, m = self.histories, self.train.n_items
        rows = np.arange(len(lists), dtype=np.int64)[:, None]
        seen = np.isin(rows * m + lists, histories.rows.astype(np.int64) * m + histories.values)
        drop = (lists < 0) | seen
        order = np.argsort(drop, axis=1, kind="stable")
        return np.take_along_axis(np.where(drop, -1, lists), order, axis=1).astype(np.int32)

    def lists_of(self, rows: pl.DataFrame, width: int | None = None) -> IntArray:
        """Lists ``[n, w]`` of item codes from ``user_id, item_id`` with each user's best item first; -1 for unknown."""
        user = self.user_ids.encode(rows["user_id"])
        order = np.argsort(user, kind="stable")[int(np.count_nonzero(user < 0)) :]
        user, item = user[order], self.train.item_ids.encode(rows["item_id"])[order]
        grouped = Ragged.from_groups(user, item, len(self.users))
        rank = np.arange(len(item)) - np.repeat(grouped.offsets[:-1], grouped.lengths)
        lists = np.full((len(self.users), max(width or 0, int(grouped.lengths.max(initial=0)))), -1, np.int32)
        lists[grouped.rows, rank] = grouped.values
        return lists

    def recommended(self, model: Recommender, k: int = DEPTH) -> IntArray:
        """Lists ``[n, k]`` of a model that was fitted on :attr:`train`, without what is seen."""
        return model.recommend(Requests(self.histories, users=self.users), min(k, self.train.n_items)).items


@dataclass(frozen=True, eq=False)
class Scored:
    """A system's lists, evaluated.

    Parameters
    ----------
    lists
        int32 ``[n, w]``, unseen items only.
    metrics
        Means by ``METRIC@K``.
    ci
        95 % intervals of those that have a value per user.
    per_user
        float64 ``[n]`` of the same.
    """

    lists: IntArray
    metrics: dict[str, float]
    ci: dict[str, tuple[float, float]]
    per_user: dict[str, npt.NDArray[np.float64]]


def score(bench: Bench, lists: IntArray, cutoffs: Sequence[int] = CUTOFFS) -> Scored:
    """All 21 metrics of lists ``[n, w]``, from which unknown and seen items are dropped first."""
    wide = np.full((len(lists), max(lists.shape[1], *cutoffs)), -1, np.int32)
    wide[:, : lists.shape[1]] = bench.unseen(lists)
    found = evaluate_lists(
        wide[:, : max(cutoffs)],
        bench.truth,
        [f"{id}@{k}" for k in cutoffs for id in METRICS],
        bench.catalogue(),
        grades=bench.grades,
        conventions=Conventions(duplicates="keep"),
    )
    filled = {f"num_retrieved@{k}": float((wide[:, :k] >= 0).sum(axis=1).mean()) for k in cutoffs}
    headline = {id: v for id, v in found.per_user.items() if id.endswith(f"@{cutoffs[0]}")}
    return Scored(wide, {**found.overall, **filled}, bootstrap_cis(headline), found.per_user)


def compare(system: Scored, reference: Scored, k: int) -> dict[str, Any]:
    """Paired t-test and Wilcoxon's test of a system against a reference, and how alike their lists are."""
    tests = {}
    for id in (f"{name}@{k}" for name in PAIRED):
        a, b = system.per_user[id], reference.per_user[id]
        t, w = paired_test(a, b, "t"), paired_test(a, b, "wilcoxon")
        tests[id] = {"difference": t.mean_difference, "t": t.p, "wilcoxon": w.p}
    own, theirs = _distinct(system.lists, k), _distinct(reference.lists, k)
    likeness = {"jaccard": float(np.mean(jaccard_lists(own, theirs, k)))}
    kendall = kendall_lists(own, theirs, k)
    likeness["kendall"] = float(np.nanmean(kendall)) if np.isfinite(kendall).any() else float("nan")
    return {"tests": tests, "agreement": {f"{name}@{k}": value for name, value in likeness.items()}}


def _distinct(lists: IntArray, k: int) -> IntArray:
    """The first ``k`` distinct items of each list, int32 ``[n, k]``."""
    found = np.full((len(lists), k), -1, np.int32)
    for row, items in enumerate(lists):
        kept = list(dict.fromkeys(items[items >= 0].tolist()))[:k]
        found[row, : len(kept)] = kept
    return found


def reciprocal_rank_fusion(
    lists: Sequence[IntArray], k: int = DEPTH, constant: float = 60.0, weights: Sequence[float] | None = None
) -> IntArray:
    """Lists ``[n, k]`` by ``Σ weight / (constant + rank)`` over the given ones (Cormack et al. 2009)."""
    fused = np.full((len(lists[0]), k), -1, np.int32)
    for row in range(len(fused)):
        worth: dict[int, float] = {}
        for one, weight in zip(lists, weights or [1.0] * len(lists), strict=True):
            places = dict.fromkeys(one[row][one[row] >= 0].tolist())
            for rank, item in enumerate(places, 1):
                worth[item] = worth.get(item, 0.0) + weight / (constant + rank)
        best = sorted(worth, key=worth.__getitem__, reverse=True)[:k]
        fused[row, : len(best)] = best
    return fused
