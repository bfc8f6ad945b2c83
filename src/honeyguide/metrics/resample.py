"""Bootstrap intervals of the metrics that have no value per user: coverage, Gini, entropy, PopREO and the like."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from honeyguide.core.errors import ConfigError
from honeyguide.core.ragged import Ragged
from honeyguide.metrics.arrays import Index, Vector
from honeyguide.metrics.catalogue import Catalogue
from honeyguide.metrics.evaluate import parse
from honeyguide.metrics.lists import Conventions, Lists
from honeyguide.metrics.stats import resample_counts
from honeyguide.metrics.totals import Totals


def aggregate_cis(
    lists: npt.NDArray[np.integer],
    truth: Ragged,
    metrics: Sequence[str],
    catalogue: Catalogue,
    *,
    grades: npt.NDArray[np.floating] | None = None,
    conventions: Conventions | None = None,
    n: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> dict[str, tuple[float, float]]:
    """Percentile bootstrap intervals of metrics over all lists, each resampled user with its list and truth.

    A resample holds fewer distinct users, so the interval of a coverage lies below the coverage of all
    users: compare such intervals with each other only.

    Parameters
    ----------
    lists, truth, metrics, catalogue, grades, conventions
        As for :func:`~honeyguide.metrics.evaluate.evaluate_lists`; only aggregates may be asked for.
    n, level, seed
        As for :func:`~honeyguide.metrics.stats.bootstrap_ci`.

    Raises
    ------
    ConfigError
        If a metric has a value per user, or needs what the catalogue lacks.
    """
    asked = [parse(name) for name in metrics]
    for one in asked:
        if one.metric.kind != "aggregate":
            raise ConfigError(f"{one.id} has a value per user.", "Use bootstrap_cis on its per-user values.")
        for need in set(one.metric.needs) - {"truth"}:
            catalogue.require(need, one.id)
    block = Lists(lists, truth, catalogue, conventions or Conventions(), grades, catalogue.histories)
    width = lists.shape[1]
    by_k = {k: _PerUser(block, k) for k in {one.k or width for one in asked}}
    values = np.empty((n, len(asked)))
    row = 0
    for counts in resample_counts(len(lists), n, seed):
        for weights in counts:
            totals = {k: users.total(weights) for k, users in by_k.items()}
            values[row] = [one.metric.function(totals[one.k or width], catalogue) for one in asked]
            row += 1
    ends = np.nanquantile(values, [(1 - level) / 2, (1 + level) / 2], axis=0)
    return {one.id: (float(low), float(high)) for one, low, high in zip(asked, *ends, strict=True)}


class _PerUser:
    """What every user adds to :class:`Totals`, as sparse matrices ``[users, items]``."""

    def __init__(self, lists: Lists, k: int) -> None:
        n, m = len(lists), lists.catalogue.n_items
        rows, places = np.nonzero(lists.items[:, :k] >= 0)
        items, hits = lists.items[rows, places], lists.hits(k)
        repeated = np.zeros(lists.items.shape, np.bool_) if lists.repeated is None else lists.repeated
        first = (~repeated[rows, places]).astype(np.float64)
        first_hit = (~repeated[hits.user, hits.rank]).astype(np.float64)
        self._served = (lists.lengths > 0).astype(np.float64)
        self._n = n
        self._parts = {
            "exposure": _matrix(np.ones(len(rows)), rows, items, (n, m)),
            "shown": _matrix(first, rows, items, (n, m)),
            "shares": _matrix(1.0 / lists.length(k)[rows], rows, items, (n, m)),
            "found": _matrix(first_hit, hits.user, hits.item, (n, m)),
            "relevant": _matrix(np.ones(len(lists.relevant_keys)), *np.divmod(lists.relevant_keys, m), (n, m)),
        }
        if lists.histories is not None:
            known = lists.histories.to_csr(m)
            known.data[:] = 1.0
            self._parts["known"] = sp.csc_matrix(known.T, dtype=np.float64)

    def total(self, weights: Index) -> Totals:
        """The totals of a resample in which user u occurs ``weights[u]`` times."""
        sums = {name: part @ weights for name, part in self._parts.items()}
        whole = {name: np.rint(total).astype(np.int64) for name, total in sums.items() if name != "shares"}
        return Totals(
            n_users=self._n,
            n_served=int(self._served @ weights),
            exposure=whole["exposure"],
            shown=whole["shown"],
            shares=sums["shares"],
            found=whole["found"],
            relevant=whole["relevant"],
            known=whole.get("known"),
        )


def _matrix(data: Vector, rows: Index, columns: npt.NDArray[np.integer], shape: tuple[int, int]) -> sp.csc_matrix:
    """float64 ``[items, users]``, laid out for products with user weights."""
    return sp.csc_matrix((data, (columns, rows)), shape=shape[::-1])
