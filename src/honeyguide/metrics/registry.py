"""All metrics by id, with their exact definitions."""

from __future__ import annotations

from honeyguide.metrics import (
    abtest,
    agreement,
    attack,
    business,
    candidates,
    exposure,
    groups,
    offpolicy,
    predictive,
    ranking,
    sampled,
    similarity,
    stats,
    unbiased,
)
from honeyguide.metrics.metric import DECLARED, FAMILIES, Metric

FILES = (
    similarity,
    candidates,
    predictive,
    ranking,
    sampled,
    agreement,
    exposure,
    attack,
    groups,
    business,
    abtest,
    offpolicy,
    unbiased,
    stats,
)

METRICS: dict[str, Metric] = dict(sorted(DECLARED.items(), key=lambda entry: (entry[1].family, entry[0])))

__all__ = ["FAMILIES", "FILES", "METRICS", "Metric"]
