"""Evaluating ranked lists: all metrics over one shared set of hits, in blocks, with per-user values."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import polars as pl

from honeyguide.core.errors import ConfigError, UnknownNameError
from honeyguide.core.ragged import Ragged
from honeyguide.metrics.arrays import Vector
from honeyguide.metrics.catalogue import Catalogue
from honeyguide.metrics.lists import Conventions, Lists
from honeyguide.metrics.metric import Metric
from honeyguide.metrics.registry import METRICS
from honeyguide.metrics.totals import Totals

_CELLS = 1 << 20  # list places looked at in one go
_ID = re.compile(r"(?P<name>\w+?)(@(?P<k>[1-9]\d*))?")
_AMBIGUOUS = {"map": "ap_min (the default), ap_hits, ap_rel, or map_elliot for Elliot's MAP"}


@dataclass(frozen=True)
class Asked:
    """A metric as it was asked for.

    Parameters
    ----------
    id
        As given, for example ``ndcg@10``.
    metric
        Its definition.
    k
        The cut-off; ``None`` for the whole list.
    """

    id: str
    metric: Metric
    k: int | None


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What :func:`evaluate_lists` found.

    Parameters
    ----------
    asked
        The metrics.
    per_user
        float64 ``[n_users]`` by id, NaN for skipped users; only metrics that have a value per user.
    overall
        The mean over users that were not skipped, or the value over all lists, by id.
    n_users, n_skipped
        Evaluated users, and those among them without relevant items that were left out.
    conventions
        One line for reports.
    catalogue
        What the lists were evaluated against.
    totals
        Counts by cut-off, from which metrics over all lists follow.
    """

    asked: tuple[Asked, ...]
    per_user: dict[str, Vector]
    overall: dict[str, float]
    n_users: int
    n_skipped: int
    conventions: str
    catalogue: Catalogue = field(repr=False)
    totals: dict[int, Totals] = field(repr=False)

    def frame(self) -> pl.DataFrame:
        """One row per metric: ``metric, value, n_users, n_skipped, direction``; skipped are counted per metric."""
        rows = []
        for asked in self.asked:
            values = self.per_user.get(asked.id)
            skipped = 0 if values is None else int(np.isnan(values).sum())
            rows.append((asked.id, self.overall[asked.id], self.n_users - skipped, skipped, asked.metric.direction))
        kinds = {
            "metric": pl.String,
            "value": pl.Float64,
            "n_users": pl.Int64,
            "n_skipped": pl.Int64,
            "direction": pl.String,
        }
        return pl.DataFrame(rows, schema=kinds, orient="row")

    def merge(self, other: Evaluation) -> Evaluation:
        """The evaluation of the users of both, those of ``self`` first.

        Raises
        ------
        ConfigError
            If metrics, conventions or catalogues differ.
        """
        same = [a.id for a in self.asked] == [a.id for a in other.asked] and self.conventions == other.conventions
        if not same or self.catalogue.n_items != other.catalogue.n_items:
            raise ConfigError(
                "these evaluations cannot be joined: their metrics, conventions or catalogues differ.",
                "Evaluate both parts in the same way.",
            )
        per_user = {id: np.concatenate([values, other.per_user[id]]) for id, values in self.per_user.items()}
        totals = {k: total + other.totals[k] for k, total in self.totals.items()}
        skipped, users = self.n_skipped + other.n_skipped, self.n_users + other.n_users
        return _conclude(self.asked, per_user, totals, users, skipped, self.conventions, self.catalogue)


class StreamingEvaluator:
    """Evaluates block after block of users; the result is that of one call over all of them.

    What is kept between blocks is one float per user and metric and some counts per item.

    Parameters
    ----------
    metrics
        Ids such as ``ndcg@10``; without ``@k`` the whole list counts.
    catalogue
        The catalogue; its ``histories`` are not read, those of a block are given to :meth:`add`.
    conventions
        The choices.

    Raises
    ------
    UnknownNameError, ConfigError
        If a metric does not exist, is not one over lists, or needs what the catalogue lacks.
    """

    def __init__(self, metrics: Sequence[str], catalogue: Catalogue, *, conventions: Conventions | None = None) -> None:
        self._asked = tuple(parse(name) for name in dict.fromkeys(metrics))
        for asked in self._asked:
            for need in set(asked.metric.needs) - {"truth", "histories"}:
                catalogue.require(need, asked.id)
        self._catalogue, self._conventions = catalogue, conventions or Conventions()
        self._blocks: dict[str, list[Vector]] = {a.id: [] for a in self._asked if a.metric.kind == "per_user"}
        self._totals: dict[int, Totals] = {}
        self._n_users = self._n_skipped = 0
        self._width: int | None = None

    def add(
        self,
        lists: npt.NDArray[np.integer],
        truth: Ragged,
        *,
        grades: npt.NDArray[np.floating] | None = None,
        histories: Ragged | None = None,
    ) -> None:
        """Evaluate the next users.

        Parameters
        ----------
        lists
            int ``[n, width]``, best first, padded with -1.
        truth
            ``n`` lists of held-out items.
        grades
            One per value of ``truth``; default 1.
        histories
            ``n`` lists of training items, for the metrics that need them.

        Raises
        ------
        DataError, ConfigError
            If the input does not fit together, or a cut-off is beyond the width of the lists.
        """
        width = self._fit(lists, histories)
        block = Lists(lists, truth, self._catalogue, self._conventions, grades, histories)
        empty = block.n_relevant == 0
        blank = np.nan if self._conventions.empty_truth == "skip" else 0.0
        for asked in self._asked:
            k = asked.k or width
            if asked.metric.kind == "per_user":
                values = asked.metric.function(block, k)
                if "truth" in asked.metric.needs:
                    values[empty] = blank
                self._blocks[asked.id].append(values)
        for k in {asked.k or width for asked in self._asked if asked.metric.kind == "aggregate"}:
            total = Totals.of(block, k)
            self._totals[k] = self._totals[k] + total if k in self._totals else total
        self._n_users += len(block)
        self._n_skipped += int(empty.sum()) if self._conventions.empty_truth == "skip" else 0

    def result(self) -> Evaluation:
        """The evaluation of everything added so far."""
        per_user = {id: np.concatenate(blocks) if blocks else np.empty(0) for id, blocks in self._blocks.items()}
        conventions, totals = str(self._conventions), dict(self._totals)
        return _conclude(self._asked, per_user, totals, self._n_users, self._n_skipped, conventions, self._catalogue)

    def _fit(self, lists: npt.NDArray[np.integer], histories: Ragged | None) -> int:
        width = lists.shape[1] if lists.ndim == 2 else 0
        if self._width not in (None, width):
            raise ConfigError(f"lists of width {width} after lists of width {self._width}.", "Pad them with -1.")
        self._width = width
        for asked in self._asked:
            if histories is None and "histories" in asked.metric.needs:
                raise ConfigError(
                    f"{asked.id} needs the users' histories.",
                    "Give them: Catalogue(..., histories=...), or add(..., histories=...).",
                )
            if asked.k is not None and lists.ndim == 2 and asked.k > width:
                raise ConfigError(
                    f"{asked.id} needs lists of {asked.k} places; these have {width}.",
                    "Recommend more items, pad the lists with -1 if there are no more, or lower the cut-off.",
                )
        return width


def evaluate_lists(
    lists: npt.NDArray[np.integer],
    truth: Ragged,
    metrics: Sequence[str],
    catalogue: Catalogue,
    *,
    grades: npt.NDArray[np.floating] | None = None,
    conventions: Conventions | None = None,
) -> Evaluation:
    """Evaluate ranked lists.

    Parameters
    ----------
    lists
        int ``[n, width]``, best first, padded with -1.
    truth
        ``n`` lists of held-out items; -1 is an item that no list can hold.
    metrics
        Ids such as ``ndcg@10``, of families B, D, E and F; without ``@k`` the whole list counts.
    catalogue
        Items, popularity, and the histories of these users in this order.
    grades
        One per value of ``truth``; default 1.
    conventions
        Default :class:`~honeyguide.metrics.lists.Conventions`.

    Returns
    -------
    Evaluation
        Per-user values and overall values.

    Raises
    ------
    UnknownNameError, ConfigError, DataError
        As :class:`StreamingEvaluator` raises them.
    """
    stream = StreamingEvaluator(metrics, catalogue, conventions=conventions)
    n = len(lists)
    step = max(1, _CELLS // max(1, lists.shape[1] if lists.ndim == 2 else 1))
    if n <= step or len(truth) != n or (catalogue.histories is not None and len(catalogue.histories) != n):
        stream.add(lists, truth, grades=grades, histories=catalogue.histories)  # one block, or a typed error
        return stream.result()
    for start in range(0, n, step):
        rows = slice(start, min(start + step, n))
        values = slice(truth.offsets[rows.start], truth.offsets[rows.stop])
        stream.add(
            lists[rows],
            truth.take(rows),
            grades=None if grades is None else grades[values],
            histories=None if catalogue.histories is None else catalogue.histories.take(rows),
        )
    return stream.result()


def parse(name: str) -> Asked:
    """Read a metric id such as ``ndcg@10``.

    Raises
    ------
    UnknownNameError, ConfigError
        If it names no metric, several, or one that is not computed from lists.
    """
    found = _ID.fullmatch(name.strip())
    key = found["name"].lower() if found else name
    if key in _AMBIGUOUS:
        raise ConfigError(f"{name!r} may mean several things.", f"Say {_AMBIGUOUS[key]}.")
    over_lists = {id: m for id, m in METRICS.items() if m.kind != "function"}
    if found is None or (key not in METRICS):
        raise UnknownNameError("metric", name, over_lists)
    if key not in over_lists:
        raise ConfigError(
            f"{key!r} is not computed from ranked lists.",
            f"Call honeyguide.metrics.{METRICS[key].function.__module__.rsplit('.', 1)[-1]}."
            f"{METRICS[key].function.__name__} with what it needs.",
        )
    return Asked(name.strip(), METRICS[key], int(found["k"]) if found["k"] else None)


def _conclude(
    asked: tuple[Asked, ...],
    per_user: dict[str, Vector],
    totals: dict[int, Totals],
    n_users: int,
    n_skipped: int,
    conventions: str,
    catalogue: Catalogue,
) -> Evaluation:
    overall = {}
    whole = max(totals, default=0)  # the width, where an aggregate was asked for without a cut-off
    for one in asked:
        if one.metric.kind == "per_user":
            values = per_user[one.id]
            overall[one.id] = float(np.nanmean(values)) if np.isfinite(values).any() else float("nan")
        elif totals:
            overall[one.id] = float(one.metric.function(totals[one.k or whole], catalogue))
        else:
            overall[one.id] = float("nan")
    return Evaluation(asked, per_user, overall, n_users, n_skipped, conventions, catalogue, totals)
