"""A plain-text report of evaluations: values, intervals, numbers of users, conventions."""

from __future__ import annotations

from collections.abc import Mapping

from honeyguide.metrics.evaluate import Evaluation
from honeyguide.metrics.stats import Method, bootstrap_cis, holm, paired_test


def report(
    systems: Mapping[str, Evaluation] | Evaluation,
    *,
    against: str | None = None,
    method: Method = "t",
    n: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> str:
    """Render evaluations for people.

    Parameters
    ----------
    systems
        One evaluation, or several by name over the same users.
    against
        Name of the system that the others are tested against; p-values are Holm-corrected over
        all systems and metrics of the report.
    method
        The paired test.
    n, level, seed
        Of the bootstrap intervals.

    Returns
    -------
    str
        One line per system and metric, then the numbers of users and the conventions.
    """
    named = {"": systems} if isinstance(systems, Evaluation) else dict(systems)
    ps = _p_values(named, against, method)
    lines = []
    for name, evaluation in named.items():
        intervals = bootstrap_cis(evaluation.per_user, n, level, seed)
        for row in evaluation.frame().iter_rows(named=True):
            id = row["metric"]
            low, high = intervals.get(id, (None, None))
            interval = f"[{low:.4f}, {high:.4f}]" if low is not None else "(over all lists)"
            p = f"  p={ps[name, id]:.3g}" if (name, id) in ps else ""
            users = f"n={row['n_users']:,} skipped={row['n_skipped']:,}"
            lines.append(f"{name:<16} {id:<20} {row['value']:>10.4f} {interval:<20} {users}{p}".strip())
    conventions = dict.fromkeys(evaluation.conventions for evaluation in named.values())
    lines.append(f"intervals: {level:.0%} percentile bootstrap over users, {n:,} resamples, seed {seed}")
    if ps:
        lines.append(f"p: paired {method} test against {against}, Holm-corrected over {len(ps)} comparisons")
    return "\n".join([*lines, *(f"conventions: {text}" for text in conventions)])


def _p_values(named: Mapping[str, Evaluation], against: str | None, method: Method) -> dict[tuple[str, str], float]:
    if against is None:
        return {}
    base = named[against].per_user
    raw = {
        (name, id): paired_test(values, base[id], method).p
        for name, evaluation in named.items()
        if name != against
        for id, values in evaluation.per_user.items()
    }
    return dict(zip(raw, holm(list(raw.values())).tolist(), strict=True))
