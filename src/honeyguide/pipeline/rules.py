"""Boosts and pins; filters are met where candidates are retrieved."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from honeyguide.pipeline.asked import Asked, Pool
from honeyguide.pipeline.config import Rule


def boost(asked: Asked, pool: Pool, rule: Rule) -> tuple[Pool, int]:
    """Scores moved by ``weight`` standard deviations of the candidates' where the condition is true; how many were."""
    if rule.boost is None or not len(pool):
        return pool, 0
    hit = asked.stock.mask(rule.boost)[pool.items]
    finite = pool.scores[np.isfinite(pool.scores)]
    unit = float(finite.std()) if len(finite) else 0.0
    moved = pool.scores + np.where(hit, np.float32(rule.weight * (unit or 1.0)), np.float32(0))
    return pool.ranked(moved.astype(np.float32)), int(hit.sum())


def pin(asked: Asked, pool: Pool, rules: Sequence[Rule]) -> tuple[Pool, list[str]]:
    """Pinned items at their places; those that are excluded or unknown are not there, and are named.

    A pin is stronger than a filter: whoever pins an item wants it shown. It is weaker than the person: what was seen
    or hidden does not come back.
    """
    missing: list[str] = []
    seen = set(asked.excluded.tolist())
    for rule in sorted((r for r in rules if r.pin is not None), key=lambda r: r.position):
        codes = asked.stock.ids.encode(list(rule.pin or ()))
        wanted = [int(c) for c in codes if c >= 0 and int(c) not in seen]
        missing += [str(name) for name, c in zip(rule.pin or (), codes, strict=True) if c < 0]
        rest = ~np.isin(pool.items, wanted)
        items, scores = pool.items[rest], pool.scores[rest]
        place = min(rule.position - 1, len(items))
        own = np.full(len(wanted), scores[place - 1] if place else (scores[0] if len(scores) else 0.0), np.float32)
        pool = Pool(
            np.concatenate([items[:place], np.array(wanted, np.int32), items[place:]]),
            np.concatenate([scores[:place], own, scores[place:]]),
            pool.sources,
        )
    return pool, missing
