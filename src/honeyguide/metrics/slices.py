"""Cold, warm and tail slices: the same metrics for parts of the users or of the items."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from honeyguide.core.errors import ConfigError
from honeyguide.core.ragged import Ragged
from honeyguide.metrics.arrays import Mask, group_sum, ratio
from honeyguide.metrics.catalogue import Catalogue
from honeyguide.metrics.evaluate import Evaluation, evaluate_lists
from honeyguide.metrics.lists import Conventions


def user_slices(catalogue: Catalogue) -> dict[str, Mask]:
    """Masks ``[n]`` over the users of ``catalogue.histories``.

    ``cold``: the shortest quarter of the histories (with all ties at the quartile); ``warm``: the others;
    ``tail``: the quarter whose histories hold the largest share of long-tail items.

    Raises
    ------
    ConfigError
        If the catalogue has no histories or no popularity.
    """
    if catalogue.histories is None:
        raise ConfigError("user slices need the users' histories.", "Give them: Catalogue(..., histories=...).")
    lengths = catalogue.histories.lengths
    if len(lengths) == 0:
        return {name: np.zeros(0, np.bool_) for name in ("cold", "warm", "tail")}
    cold = lengths <= np.quantile(lengths, 0.25)
    in_tail = np.append(catalogue.tail, False)[catalogue.histories.values]  # the code -1 is no tail item
    share = ratio(group_sum(catalogue.histories.rows, in_tail, len(lengths)), lengths, 0.0)
    return {"cold": cold, "warm": ~cold, "tail": (share >= np.quantile(share, 0.75)) & (share > 0)}


def item_slices(catalogue: Catalogue) -> dict[str, Mask]:
    """Masks ``[n_items]``: ``cold`` (never seen in training) or ``warm``, and of these ``tail`` or ``head``."""
    cold = catalogue.counts == 0
    return {"cold": cold, "warm": ~cold, "tail": catalogue.tail & ~cold, "head": ~catalogue.tail & ~cold}


def keep_items(
    truth: Ragged, items: Mask, grades: npt.NDArray[np.floating] | None = None
) -> tuple[Ragged, npt.NDArray[np.floating] | None]:
    """The truth with only the items of a mask ``[n_items]``, and the grades that go with it."""
    keep = np.append(items, False)[truth.values]
    kept = Ragged.from_groups(truth.rows[keep], truth.values[keep], len(truth))
    return kept, None if grades is None else grades[keep]


def evaluate_slices(
    lists: npt.NDArray[np.integer],
    truth: Ragged,
    metrics: Sequence[str],
    catalogue: Catalogue,
    *,
    grades: npt.NDArray[np.floating] | None = None,
    conventions: Conventions | None = None,
) -> dict[str, Evaluation]:
    """Evaluate every slice of users and of relevant items.

    Parameters
    ----------
    lists, truth, metrics, catalogue, grades, conventions
        As for :func:`~honeyguide.metrics.evaluate.evaluate_lists`.

    Returns
    -------
    dict
        ``users:cold``, ``users:warm``, ``users:tail`` with the lists of those users, and
        ``items:cold``, ``items:warm``, ``items:tail``, ``items:head`` with all lists but only those items relevant.
    """
    found = {}
    for name, mask in user_slices(catalogue).items():
        rows = np.flatnonzero(mask)
        assert catalogue.histories is not None
        part = replace(catalogue, histories=catalogue.histories.take(rows), n_train_users=catalogue.users_in_train)
        values = mask[truth.rows]
        found[f"users:{name}"] = evaluate_lists(
            lists[rows],
            truth.take(rows),
            metrics,
            part,
            grades=None if grades is None else grades[values],
            conventions=conventions,
        )
    for name, mask in item_slices(catalogue).items():
        kept, kept_grades = keep_items(truth, mask, grades)
        found[f"items:{name}"] = evaluate_lists(
            lists, kept, metrics, catalogue, grades=kept_grades, conventions=conventions
        )
    return found
