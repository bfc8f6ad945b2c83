"""How boldly an update trains on: the best learning rate differs tenfold between logs, so an update tries two."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np

from honeyguide.core.fitting import Change, FitOptions
from honeyguide.core.ragged import FloatArray, IntArray, Ragged
from honeyguide.models.sequence.next_item_update import unchanged

CAREFUL, BOLD = 0.03, 0.3  # learning rates of an update as shares of that of the fit
_JUDGES, _FEWEST = 200, 30  # users who judge
_CERTAIN = 2.0  # standard errors by which the bold one must win
T = TypeVar("T")


@dataclass(frozen=True)
class Judges:
    """Users whose last new event an update does not see, so that it can be judged by it.

    Parameters
    ----------
    change
        What is left to learn from.
    histories
        Of the judges, up to that event: ``[n]`` lists.
    targets
        int ``[n]``: those events.
    """

    change: Change
    histories: Ragged
    targets: IntArray

    @classmethod
    def drawn(cls, change: Change, seed: int) -> Judges | None:
        """At most 200, and at most half of the users that changed; none where these are too few to tell anything."""
        able = np.flatnonzero(change.after.lengths - unchanged(change.before, change.after) >= 1)
        able = able[change.after.lengths[able] >= 2]
        n = min(_JUDGES, len(able) // 2)
        if n < _FEWEST:
            return None
        users = np.sort(np.random.default_rng(seed).permutation(able)[:n])
        last = change.after.offsets[users + 1] - 1
        seen = np.ones(len(change.after.values), bool)
        seen[last] = False
        shorter = change.after.where(seen)
        rows = np.flatnonzero(change.before.differ(shorter))
        left = replace(change, before=change.before.take(rows), after=shorter.take(rows))
        return cls(left, shorter.take(users), change.after.values[last])

    def log_ranks(self, scores: FloatArray) -> FloatArray:
        """``[n]``: logarithm of the place of each target among all items, ties against it; scores ``[n, n_items]``."""
        own = scores[np.arange(len(self.targets)), self.targets]
        ranks: FloatArray = np.log(np.count_nonzero(scores >= own[:, None], axis=1))
        return ranks


def _bold_is_better(careful: FloatArray, bold: FloatArray) -> bool:
    """Whether the logarithms of the ranks after the bold update are lower beyond noise, paired over judges."""
    gain = careful - bold
    return bool(gain.mean() > _CERTAIN * gain.std() / np.sqrt(len(gain)))


def pace_of(option: float | None, found: float | None, options: FitOptions) -> float | None:
    """The pace of an update, or ``None`` where it is to be found: what valid brings is learnt carefully, and all of it.

    Parameters
    ----------
    option
        What somebody set.
    found
        By an earlier update.
    options
        Of this one.
    """
    return option or found or (CAREFUL if options.learn_valid else None)


def paced(
    change: Change,
    pace: float | None,
    seed: int,
    train: Callable[[Change, float], T],
    scores: Callable[[T, Ragged], FloatArray],
) -> tuple[T, float | None]:
    """What training on makes of a model, and the pace to keep: ``None`` as long as nobody could tell.

    Where the pace is open and enough users have something new, it is trained twice, carefully and boldly, without
    the last new event of the judges; of the two is kept what ranks these events better.

    Parameters
    ----------
    change
        What is new.
    pace
        That of earlier updates or of the options, if there is one.
    seed
        Of the draw of judges.
    train
        Trains from where the model stands on a change at a pace; gives what it has become.
    scores
        float32 ``[n, n_items]`` of that for histories.
    """
    judges = Judges.drawn(change, seed) if pace is None else None
    if judges is None:
        return train(change, CAREFUL if pace is None else pace), pace
    careful, bold = (train(judges.change, share) for share in (CAREFUL, BOLD))
    ranks = [judges.log_ranks(scores(model, judges.histories)) for model in (careful, bold)]
    return (bold, BOLD) if _bold_is_better(*ranks) else (careful, CAREFUL)
