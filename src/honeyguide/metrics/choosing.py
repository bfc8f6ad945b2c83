"""Which metrics to read for which goal, and which of them are known to pull against each other."""

from __future__ import annotations

from dataclasses import dataclass

from honeyguide.core.errors import UnknownNameError


@dataclass(frozen=True)
class Conflict:
    """Two aims that improve at each other's cost.

    Parameters
    ----------
    name
        The two aims.
    first, second
        Metric ids that measure them.
    advice
        How to read the two together.
    """

    name: str
    first: tuple[str, ...]
    second: tuple[str, ...]
    advice: str


@dataclass(frozen=True)
class Choice:
    """Metrics for one goal.

    Parameters
    ----------
    goal
        What the system is for.
    primary
        Decide by these.
    guardrail
        Refuse a change that harms these.
    diagnostic
        Read these to understand why.
    """

    goal: str
    primary: tuple[str, ...]
    guardrail: tuple[str, ...]
    diagnostic: tuple[str, ...]

    @property
    def metrics(self) -> tuple[str, ...]:
        """All of them."""
        return (*self.primary, *self.guardrail, *self.diagnostic)

    @property
    def conflicts(self) -> tuple[Conflict, ...]:
        """The known conflicts that these metrics can show."""
        chosen = set(self.metrics)
        return tuple(c for c in CONFLICTS if chosen & set(c.first) and chosen & set(c.second))

    def __str__(self) -> str:
        lines = [f"goal: {self.goal}"]
        lines += [f"{role}: {', '.join(getattr(self, role))}" for role in ("primary", "guardrail", "diagnostic")]
        lines += [
            f"conflict: {c.name} ({', '.join(c.first)} against {', '.join(c.second)}). {c.advice}"
            for c in self.conflicts
        ]
        return "\n".join(lines)


CONFLICTS = (
    Conflict(
        "accuracy–diversity",
        ("ndcg", "recall", "ap_min", "mrr", "ctr", "revenue_per_mille"),
        ("diversity", "ils", "catalogue_coverage", "unexpectedness", "calibration_kl"),
        "Fix the accuracy that may be lost before looking at diversity.",
    ),
    Conflict(
        "accuracy–popularity",
        ("ndcg", "recall", "ap_min", "mrr", "hit"),
        ("novelty", "arp", "aplt", "aclt", "gini", "epc"),
        "Offline data reward popular items: read accuracy on the items:tail slice too.",
    ),
    Conflict(
        "fairness–relevance",
        ("ndcg", "recall", "ap_min"),
        ("popreo", "poprsp", "gini", "group_gap", "group_ratio"),
        "Report both per system; one averaged number can rank a worse system first.",
    ),
    Conflict(
        "short term–long term",
        ("ctr", "conversion", "revenue_per_mille"),
        ("churn", "retention", "lifetime_value"),
        "Clicks react in days and churn in months: keep a hold-out group.",
    ),
)

CHOICES = {
    choice.goal: choice
    for choice in (
        Choice(
            "retrieval",
            ("recall", "hit"),
            ("latency_p95", "user_coverage"),
            ("catalogue_coverage", "novelty", "arp"),
        ),
        Choice(
            "ranking",
            ("ndcg", "ap_min", "mrr"),
            ("calibration_kl", "aplt", "group_gap"),
            ("auc", "gauc", "precision", "ece"),
        ),
        Choice("rating", ("rmse", "mae"), ("ndcg", "group_gap"), ("r2", "explained_variance", "concordance")),
        Choice(
            "click prediction",
            ("log_loss", "gauc"),
            ("ece",),
            ("auc", "pr_auc", "brier"),
        ),
        Choice(
            "discovery",
            ("serendipity", "epc", "efd"),
            ("ndcg", "recall"),
            ("novelty", "diversity", "unexpectedness", "freshness", "personalisation"),
        ),
        Choice(
            "exposure",
            ("gini", "popreo", "poprsp"),
            ("ndcg", "recall"),
            ("aplt", "item_coverage", "entropy", "arp"),
        ),
        Choice(
            "business",
            ("revenue_per_mille", "conversion"),
            ("churn", "latency_p95", "add_to_cart"),
            ("ctr", "average_order_value", "diversity", "retention"),
        ),
        Choice(
            "off-policy",
            ("doubly_robust", "snips"),
            ("effective_sample_size",),
            ("ips", "clipped_ips", "direct_method", "switch_dr"),
        ),
        Choice("stability", ("stability_rbo",), ("ndcg", "robustness_drop"), ("jaccard_lists", "kendall_lists")),
    )
}


def choose(goal: str) -> Choice:
    """The metrics for a goal; print it for the conflicts among them.

    Raises
    ------
    UnknownNameError
        If the goal is not one of :data:`CHOICES`.
    """
    if goal not in CHOICES:
        raise UnknownNameError("goal", goal, CHOICES)
    return CHOICES[goal]
