"""All metrics by id, with their exact definitions."""

from __future__ import annotations

from honeyguide.metrics import agreement, candidates, exposure, ranking, stats
from honeyguide.metrics.metric import DECLARED, FAMILIES, Metric

FILES = (ranking, candidates, exposure, agreement, stats)

METRICS: dict[str, Metric] = dict(sorted(DECLARED.items(), key=lambda entry: (entry[1].family, entry[0])))

__all__ = ["FAMILIES", "FILES", "METRICS", "Metric"]
