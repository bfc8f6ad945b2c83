"""Which models held-out users cannot tell from the best one."""

from __future__ import annotations

import numpy as np

from honeyguide.models.fusion import PER_PART, Candidates, ndcg_of

MOST_ALIKE = 4


def alike(candidates: Candidates, best: int, most: int = MOST_ALIKE) -> list[int]:
    """The part ``best``, and those that are not worse than it by more than a standard error on the same users.

    Parameters
    ----------
    candidates
        Held-out users.
    best
        Number of the part with the highest mean.
    most
        Largest number of parts, the best of them.

    Returns
    -------
    list of int
        Numbers of the parts, rising.
    """
    ahead = ndcg_of(candidates, best)
    lost = {part: ahead - ndcg_of(candidates, part) for part in range(candidates.features.shape[2] // PER_PART)}
    close = [part for part, by in lost.items() if by.mean() <= by.std() / np.sqrt(max(1, len(by)))]
    return sorted(sorted(close, key=lambda part: (float(lost[part].mean()), part != best))[:most])
