"""Fakes that a defender makes up to learn from, like real users in all but their items."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from honeyguide.core.dataset import Dataset
from honeyguide.core.ragged import Ragged
from honeyguide.data.attacks import Kind, fake_profiles

_TENTH = 10  # one of so many items may be a target of what is made up: a target is never a filler


def made_up(data: Dataset, histories: Ragged, families: Sequence[Kind], n: int, seed: int) -> Ragged:
    """``n`` fakes, as many of each family, whose targets are drawn and whose lengths and times are those of users.

    Nothing but their items tells them from users: a calibrator that could go by the length would miss fakes of another.

    Parameters
    ----------
    data
        Its training part says what is popular, fakes of others included.
    histories
        Of users.
    families
        See :func:`~honeyguide.data.attacks.fake_profiles`.
    n, seed
        How many, and of what is drawn.
    """
    rng = np.random.default_rng([seed, 21])
    parts = Ragged.empty(0)
    known = np.flatnonzero(data.popularity("train") > 0)
    for number, kind in enumerate(families):
        own = n // len(families) + int(number < n % len(families))
        if not own:
            continue
        models = histories.take(rng.integers(len(histories), size=own))
        targets = rng.choice(known, min(own, max(1, len(known) // _TENTH)), replace=False)
        lengths = np.minimum(models.lengths, len(known) // 2)
        fakes = fake_profiles(data, kind, targets, own, length=lengths, seed=int(rng.integers(2**31)))
        parts = parts.concat_rows(_timed_as(fakes, models))
    return parts


def _timed_as(fakes: Ragged, models: Ragged) -> Ragged:
    """Fakes with the times of the users whose lengths they have, as far as those go."""
    if models.times is None:
        return fakes
    cut = fakes.where(fakes.ages() < models.lengths[fakes.rows])
    return Ragged(cut.offsets, cut.values, models.last_of(cut.lengths).times)
