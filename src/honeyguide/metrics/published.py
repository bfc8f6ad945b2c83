"""The published table of "Evaluating ChatGPT as a Recommender System" (arXiv 2309.03613), recomputed.

Its data set ships the split, the first 20 places of the released recommendation lists, and the released
table of 20 metrics at cut-off 10, as Elliot computed it. This module computes the table anew from the
lists. What the published numbers take for granted, found by matching them:

- The evaluator's training part is every user's 230 highest-rated train items (200 for ChatGPT's second
  experiment; ties by lower item id): the paper cut long profiles to fit the prompt. Popularity, the long
  tail and "seen" follow from it.
- Items are coded in id order, so that ties at the border of the head fall to the lower id.
- Items outside that training part are dropped, then seen items, then the list is cut at 10; repeated items stay.
- Elliot's nDCG gain is ``2^(rating + 1) − 1``: the grade handed to ``ndcg_exp`` is ``rating + 1``.
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from honeyguide.core.errors import DataError
from honeyguide.core.ids import Ids
from honeyguide.core.ragged import FloatArray, IntArray, Ragged
from honeyguide.metrics.catalogue import Catalogue
from honeyguide.metrics.evaluate import Evaluation, evaluate_lists
from honeyguide.metrics.lists import Conventions

PROFILE = 230
RERANK_PROFILE = 200
CUTOFF = 10
TOLERANCE = 1e-3
COLUMNS = {
    "nDCG": "ndcg_exp",
    "nDCGRendle2020": "ndcg_binary",
    "Recall": "recall",
    "Precision": "precision",
    "HR": "hit",
    "F1": "f1",
    "MAP": "map_elliot",
    "MAR": "mar_elliot",
    "MRR": "mrr",
    "ACLT": "aclt",
    "APLT": "aplt",
    "ARP": "arp",
    "PopREO": "popreo",
    "PopRSP": "poprsp",
    "ItemCoverage": "item_coverage",
    "UserCoverage": "user_coverage",
    "Gini": "gini",
    "SEntropy": "entropy_elliot",
    "EFD": "efd",
    "EPC": "epc",
}
"""Published column → metric id. UserCoverage is published as a number of users."""

ANSWERED = {"output_exp_1_rec_movie": ("E1", PROFILE), "output_exp_2_rec_movie": ("E2", RERANK_PROFILE)}
"""Row of the table that comes from ChatGPT's answers → experiment and length of the profiles."""

NOT_SHIPPED = "the lists of this system are only in the raw answers (the data set llm-answers-ml-small)"
CUT_LISTS = (
    "only 20 of the 50 places of this system's lists are in the data set: where more than 10 of them are seen or "
    "outside the split, the list comes out shorter than the published one (the raw answers complete it)"
)


@dataclass(frozen=True, eq=False)
class Released:
    """The released split, ready to evaluate lists against.

    Parameters
    ----------
    users
        The users with test items, in code order.
    items
        The items of the training part, in id order.
    truth, grades
        Test items of every user and ``rating + 1``.
    catalogue
        Popularity and histories of the cut training part.
    """

    users: Ids
    items: Ids
    truth: Ragged
    grades: FloatArray
    catalogue: Catalogue

    @classmethod
    def read(cls, folder: str | Path, profile: int = PROFILE) -> Released:
        """Read ``interactions`` of the data set, with training profiles of at most ``profile`` items."""
        rows = _read(folder, "interactions").with_columns(pl.col("split").cast(pl.String))
        test = rows.filter(pl.col("split") == "test")
        train = (
            rows.filter(pl.col("split") == "train")
            .sort("user_id", -pl.col("rating"), "item_id")
            .group_by("user_id", maintain_order=True)
            .head(profile)
        )
        users, items = Ids.of(test["user_id"]), Ids.of(train["item_id"])
        truth, grades = _ragged(test, users, items)
        histories, _ = _ragged(train, users, items)
        catalogue = Catalogue(
            n_items=len(items),
            popularity=np.bincount(items.encode(train["item_id"]), minlength=len(items)).astype(np.float32),
            histories=histories,
            n_train_users=train["user_id"].n_unique(),
        )
        return cls(users, items, truth, grades + np.float32(1.0), catalogue)

    def evaluate(self, lists: pl.DataFrame) -> Evaluation:
        """Evaluate one system as published; ``lists`` has ``user_id, item_id`` with the best item first."""
        user, item = self.users.encode(lists["user_id"]), self.items.encode(lists["item_id"])
        histories, m = self.catalogue.histories, self.catalogue.n_items
        assert histories is not None
        seen = np.isin(user.astype(np.int64) * m + item, histories.rows * m + histories.values)
        keep = (user >= 0) & (item >= 0) & ~seen
        metrics = [f"{id}@{CUTOFF}" for id in COLUMNS.values()]
        return evaluate_lists(
            _top(user[keep], item[keep], len(self.users)),
            self.truth,
            metrics,
            self.catalogue,
            grades=self.grades,
            conventions=Conventions(duplicates="keep"),
        )


def published_check(folder: str | Path, answers: str | Path | None = None) -> list[dict[str, Any]]:
    """Compute every cell of the published table anew.

    Parameters
    ----------
    folder
        The data set ``ml-small-2018`` as Parquet: ``interactions``, ``items``,
        ``published_recommendations_top20`` and ``published_metrics_at10``.
    answers
        The data set ``llm-answers-ml-small`` with the raw answers, which complete the lists of
        ChatGPT beyond place 20; default, the folder of that name beside ``folder`` if it exists.

    Returns
    -------
    list
        One entry per system and column in the order of the published table: ``system``, ``column``,
        ``metric``, ``published``, ``ours`` (``None`` without lists),
        ``difference``, ``holds`` (within ``1e-3``) and ``reason`` (why a cell cannot be expected
        to hold; ``None`` where it can).

    Raises
    ------
    DataError
        If a file is missing.
    """
    table = _read(folder, "published_metrics_at10")
    lists = _read(folder, "published_recommendations_top20").with_columns(pl.col("model").cast(pl.String))
    lists = lists.sort("model", "user_id", "rank", maintain_order=True)
    raw = Path(answers) if answers is not None else Path(folder).parent / "llm-answers-ml-small"
    answered = answered_lists(raw, folder) if raw.exists() else None
    released = {profile: Released.read(folder, profile) for profile in (PROFILE, RERANK_PROFILE)}
    cells = []
    for row in table.iter_rows(named=True):
        experiment, profile = _answered(row["model"])
        shown, reason = lists.filter(pl.col("model") == _list_of(row["model"], lists["model"])), None
        if experiment and answered is not None:
            shown = answered.filter(pl.col("experiment") == experiment)
        elif experiment:
            reason = NOT_SHIPPED if shown.is_empty() else CUT_LISTS
        found = None if shown.is_empty() else released[profile].evaluate(shown)
        cells += [_cell(row, column, found, reason) for column in COLUMNS]
    return cells


def answered_lists(answers: str | Path, folder: str | Path) -> pl.DataFrame:
    """The 50-place lists of ChatGPT's experiments E1 (recommend) and E2 (re-rank), from its raw answers.

    A numbered line is an item: the one with exactly that title (the last of equal titles), else the
    closest title by :mod:`difflib` at a ratio of at least .6, as the paper grounds them.

    Parameters
    ----------
    answers
        Folder of ``answers.parquet``.
    folder
        Folder of ``items.parquet``.

    Returns
    -------
    DataFrame
        ``experiment, user_id, item_id``, best first.
    """
    said = _read(answers, "answers").filter(
        (pl.col("model") == "gpt-3.5-turbo") & pl.col("experiment").is_in(["E1", "E2"])
    )
    items = _read(folder, "items")
    codes = dict(zip(items["title"].to_list(), items["item_id"].to_list(), strict=True))
    titles = list(codes)
    for line in {line for answer in said["answer"] for line in _lines(answer)} - codes.keys():
        closest = _closest(line, titles)
        if closest is not None:
            codes[line] = codes[closest]
    rows = [
        (experiment, user, codes[line])
        for experiment, user, answer in said.select("experiment", "user_id", "answer").iter_rows()
        for line in _lines(answer)
        if line in codes
    ]
    return pl.DataFrame(rows, schema={"experiment": pl.String, "user_id": pl.Int64, "item_id": pl.Int64}, orient="row")


def _lines(answer: str) -> list[str]:
    return [found[1].strip() for found in re.finditer(r"^\s*\d+\.[ \t]*(.*)$", answer, re.MULTILINE)]


def _closest(name: str, titles: list[str]) -> str | None:
    """What ``difflib.get_close_matches(name, titles, n=1)`` finds, skipping what cannot be the best."""
    matcher, best = difflib.SequenceMatcher(b=name), (0.6, "")
    for title in titles:
        matcher.set_seq1(title)
        if matcher.real_quick_ratio() >= best[0] and matcher.quick_ratio() >= best[0]:
            best = max(best, (matcher.ratio(), title))
    return best[1] or None


def _answered(system: str) -> tuple[str | None, int]:
    """The experiment that a row of the table comes from, if it is ChatGPT's, and the length of the profiles."""
    return next((found for row, found in ANSWERED.items() if system.startswith(row)), (None, PROFILE))


def _list_of(system: str, names: pl.Series) -> str:
    """The name under which the released lists hold a row of the table; empty where they do not."""
    known = names.unique().to_list()
    if _answered(system)[0] == "E1":
        return next((name for name in known if name.startswith("ChatGPT")), "")
    return next((name for name in known if system == name or system.startswith(f"{name}_")), "")


def _cell(row: dict[str, Any], column: str, found: Evaluation | None, reason: str | None) -> dict[str, Any]:
    ours = None
    if found is not None:
        ours = found.overall[f"{COLUMNS[column]}@{CUTOFF}"] * (found.n_users if column == "UserCoverage" else 1)
    difference = None if ours is None else ours - row[column]
    return {
        "system": row["model"],
        "column": column,
        "metric": f"{COLUMNS[column]}@{CUTOFF}",
        "published": row[column],
        "ours": ours,
        "difference": difference,
        "holds": difference is not None and abs(difference) <= TOLERANCE,
        "reason": reason,
    }


def _top(user: IntArray, item: IntArray, n: int) -> IntArray:
    """int32 ``[n, CUTOFF]``: the first items of every user, given grouped by user and best first."""
    order = np.argsort(user, kind="stable")
    grouped = Ragged.from_groups(user[order], item[order], n)
    rank = np.arange(len(item)) - np.repeat(grouped.offsets[:-1], grouped.lengths)
    lists = np.full((n, CUTOFF), -1, np.int32)
    first = rank < CUTOFF
    lists[grouped.rows[first], rank[first]] = grouped.values[first]
    return lists


def _ragged(rows: pl.DataFrame, users: Ids, items: Ids) -> tuple[Ragged, FloatArray]:
    """Items and ratings by user code; rows of other users are left out."""
    user = users.encode(rows["user_id"])
    order = np.argsort(user, kind="stable")[np.count_nonzero(user < 0) :]
    ratings = rows["rating"].to_numpy().astype(np.float32)[order]
    return Ragged.from_groups(user[order], items.encode(rows["item_id"])[order], len(users)), ratings


def _read(folder: str | Path, name: str) -> pl.DataFrame:
    path = Path(folder) / f"{name}.parquet"
    if not path.is_file():
        raise DataError("the file is missing.", "Point to the folder of the data set.", file=str(path))
    return pl.read_parquet(path)
