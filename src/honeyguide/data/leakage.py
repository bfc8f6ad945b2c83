"""What a split gives away, and other reasons to doubt a number measured on it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import polars as pl

from honeyguide.core.dataset import Dataset

_ENOUGH = 10  # events of an item that is looked at; its square: items
_CERTAIN, _WIDER = 5.0, 1.2  # standard errors, and how much wider, from which a spread is not chance

Severity = Literal["info", "warning", "error"]


@dataclass(frozen=True)
class Finding:
    """One thing worth knowing about a split.

    Parameters
    ----------
    id
        Stable name.
    severity
        ``error``: results cannot be trusted; ``warning``: they may be too good; ``info``: know it when you read them.
    count
        How many events, users or items it concerns.
    share
        Of how many, between 0 and 1.
    explanation, remedy
        In words.
    """

    id: str
    severity: Severity
    count: int
    share: float
    explanation: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.severity}: {self.explanation} {self.remedy}"


@dataclass(frozen=True)
class LeakageReport:
    """All findings about a data set; ``findings`` is empty if there is nothing to say.

    Parameters
    ----------
    name
        The data set.
    findings
        Most severe first.
    """

    name: str
    findings: tuple[Finding, ...]

    @property
    def ok(self) -> bool:
        """Whether there is no error."""
        return all(finding.severity != "error" for finding in self.findings)

    def __getitem__(self, finding: str) -> Finding:
        return next(f for f in self.findings if f.id == finding)

    def __contains__(self, finding: str) -> bool:
        return any(f.id == finding for f in self.findings)

    def to_dict(self) -> dict[str, Any]:
        """A JSON-able form."""
        return {"name": self.name, "ok": self.ok, "findings": [asdict(finding) for finding in self.findings]}

    def __str__(self) -> str:
        n = len(self.findings)
        return "\n".join([f"{self.name}: {n} finding{'' if n == 1 else 's'}", *map(str, self.findings)])


def leakage_report(data: Dataset) -> LeakageReport:
    """Look for what makes results on a split too good or hard to read.

    Looks at positive events: duplicates across parts, train events after test events (over all
    users and within a user), ties of timestamps, targets that are in the history already, users
    and items that only occur in test, test users without a history, and, where events have no order and nothing is
    held out to choose by, a test part that was not drawn from them at random.
    """
    frame = data.positives()
    if "split" not in frame.columns:
        frame = frame.with_columns(pl.lit("train").alias("split"))
    timed = data.times() is not None
    known, test = frame.filter(pl.col("split") != "test"), frame.filter(pl.col("split") == "test")
    found = [_ties(frame, timed, data.ordered)]
    if not test.is_empty():
        train = frame.filter(pl.col("split") == "train")
        found += [
            _duplicates(frame, test, timed, data.ordered),
            _future_of_user(known, test, timed, data.ordered),
            _future_of_all(train, test) if timed else None,
            _repeated(known, test, data.ordered),
            _only_in_test(train, test, "item"),
            _only_in_test(train, test, "user"),
            _without_history(known, test),
            _not_drawn(train, test) if not data.ordered and known.height == train.height else None,
        ]
    rank = {"error": 0, "warning": 1, "info": 2}
    findings = sorted((f for f in found if f is not None and f.count), key=lambda f: rank[f.severity])
    return LeakageReport(data.name, tuple(findings))


def _ties(frame: pl.DataFrame, timed: bool, ordered: bool) -> Finding | None:
    if not timed:
        if not ordered or frame.is_empty():
            return None
        return Finding(
            "ties-unknown",
            "info",
            frame.height,
            1.0,
            "Events are ordered by position without timestamps, so ties cannot be known.",
            "Compare with adjacent_swapped(data) to see how much a model leans on the exact order.",
        )
    at = ["user", "timestamp"]
    together = pl.lit(value=False)
    if "group_id" in frame.columns:  # what is of one basket is one event in time
        together = (pl.col("group_id").n_unique().over(at) == 1) & pl.col("group_id").is_not_null()
    tied = frame.select(pl.struct(at).is_duplicated() & ~together).to_series()
    count, share = int(tied.sum()), _share(int(tied.sum()), frame.height)
    return Finding(
        "timestamp-ties",
        "warning" if share >= 0.1 else "info",
        count,
        share,
        f"{count:,} events ({share:.1%}) have the same time as another event of their user; "
        "their order is that of the file.",
        "Report results on tie_shuffled(data) as well.",
    )


def _duplicates(frame: pl.DataFrame, test: pl.DataFrame, timed: bool, ordered: bool) -> Finding | None:
    """The same event in two parts; without times only data without order can tell."""
    if ordered and not timed:
        return None
    key = ["user", "item", *(["timestamp"] if timed else [])]
    other = frame.filter(pl.col("split") != "test").select(key).unique()
    count = test.join(other, on=key, how="semi").height
    share = _share(count, test.height)
    explanation = f"{count:,} test events ({share:.1%}) are in train or valid as well."
    remedy = "Remove them: duplicates = 'drop' in a dataset.toml, duplicates='drop' in Python."
    return Finding("duplicates-across-parts", "error", count, share, explanation, remedy)


def _future_of_user(known: pl.DataFrame, test: pl.DataFrame, timed: bool, ordered: bool) -> Finding | None:
    if not ordered:
        return None
    order = "timestamp" if timed else "position"
    first = test.group_by("user").agg(pl.col(order).min().alias("__first"))
    later = known.join(first, on="user").filter(pl.col(order) > pl.col("__first"))
    share = _share(later.height, known.height)
    return Finding(
        "future-of-user",
        "error",
        later.height,
        share,
        f"{later.height:,} train or valid events ({share:.1%}) of {later['user'].n_unique():,} users come after "
        "a test event of the same user.",
        "For data with time use the split leave-last-out or global-time; do not read next-item results on this split.",
    )


def _future_of_all(train: pl.DataFrame, test: pl.DataFrame) -> Finding:
    count = train.filter(pl.col("timestamp") > test["timestamp"].min()).height
    share = _share(count, train.height)
    return Finding(
        "future-of-all",
        "warning",
        count,
        share,
        f"{count:,} train events ({share:.1%}) are later than the first test event: a model learns from other "
        "users' future, as it always does with leave-last-out.",
        "Use the split global-time for the accuracy to be expected in service.",
    )


def _repeated(known: pl.DataFrame, test: pl.DataFrame, ordered: bool) -> Finding | None:
    if not ordered:
        return None
    count = test.join(known.select("user", "item").unique(), on=["user", "item"], how="semi").height
    share = _share(count, test.height)
    return Finding(
        "repeated-targets",
        "info",
        count,
        share,
        f"{count:,} test events ({share:.1%}) are of items that the user had before; they are lost if seen items "
        "are removed.",
        "Report accuracy with seen items removed and kept.",
    )


def _only_in_test(train: pl.DataFrame, test: pl.DataFrame, column: str) -> Finding:
    codes = test[column].unique()
    count = len(np.setdiff1d(codes.to_numpy(), train[column].unique().to_numpy()))
    share = _share(count, len(codes))
    return Finding(
        f"{column}s-not-in-train",
        "info",
        count,
        share,
        f"{count:,} {column}s of test ({share:.1%}) have no train event.",
        "Only models that know item features can recommend them." if column == "item" else "They are served cold.",
    )


def _without_history(known: pl.DataFrame, test: pl.DataFrame) -> Finding:
    users = test["user"].unique()
    count = len(np.setdiff1d(users.to_numpy(), known["user"].unique().to_numpy()))
    share = _share(count, len(users))
    return Finding(
        "users-without-history",
        "info",
        count,
        share,
        f"{count:,} test users ({share:.1%}) have neither a train nor a valid event.",
        "Read results on them apart: every model falls back to popularity or features.",
    )


def _not_drawn(train: pl.DataFrame, test: pl.DataFrame) -> Finding | None:
    """Whether test's share of an item's events differs between items by more than chance.

    By chance the mean over items of (t - n p)^2 / (n p (1 - p)) is 1, for t of an item's n events in test and p of all.
    """
    counts = pl.concat([train.select("item", held=0), test.select("item", held=1)])
    items = counts.group_by("item").agg(n=pl.len(), t=pl.col("held").sum()).filter(pl.col("n") >= _ENOUGH)
    p, m = test.height / counts.height, items.height
    if m < _ENOUGH**2 or not 0 < p < 1:
        return None
    n, t = items["n"].to_numpy(), items["t"].to_numpy()
    away = np.square(t - n * p) / (n * p * (1 - p))
    if (away.mean() - 1) * np.sqrt(m / 2) < _CERTAIN or away.mean() < _WIDER:
        return None
    count = int((away > 9).sum())
    wide = float(np.sqrt(away.mean()))
    return Finding(
        "test-not-drawn",
        "info",
        count,
        _share(count, m),
        f"Test was not drawn from the events at random: its share of an item's events spreads {wide:.1f} times as "
        f"widely over the items as chance would have it ({count:,} of {m:,} items are beyond three standard errors).",
        "A valid part drawn from train at random asks another question than test, and what is chosen by it may not be "
        "best there: give times or rows in order if there are any, or a valid part made as test was.",
    )


def _share(count: int, total: int) -> float:
    return count / total if total else 0.0
