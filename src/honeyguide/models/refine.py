"""Options of a model moved one at a time, while what is found on valid gets better beyond noise."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from honeyguide.core.space import Choice, Dimension, Real
from honeyguide.models.portfolio import Arm
from honeyguide.models.registry import model_class
from honeyguide.models.trials import Trial, Trials

_FACTORS = {True: 3.0, False: 2.0}  # by which real numbers are moved, and whole ones
_STEPS = 4  # in which the limits of a real number are crossed whose logarithm is not what counts
_CERTAIN = 1.0  # standard errors by which a move must be better to be made


def refined(trial: Trial, trials: Trials, until: float) -> Trial:
    """The best that a walk from ``trial`` finds: each option up or down by a step, as long as that gains.

    Only what is better by more than a standard error, on the same users, takes the place of what was there, so a
    small part valid leaves the options where they were. Of every pair that is compared, one is kept in ``trials``.

    Parameters
    ----------
    trial
        Where the walk begins.
    trials
        Runs and keeps the fits.
    until
        CPU-seconds left in ``trials`` at which the walk ends; no fit is begun that is expected to pass it.
    """
    for name, dimension in walked(trial.arm):
        for up in (True, False):
            before = trial
            while (arm := moved(trial, name, dimension, up)) is not None and _fits(trial, arm, trials, until):
                found = trials.run(arm)
                if found is None:
                    break
                gain = found.values - trial.values
                better = len(gain) > 1 and gain.mean() > _CERTAIN * gain.std() / np.sqrt(len(gain))
                trials.drop(trial if better else found)
                if not better:
                    break
                trial = found
            if trial is not before:  # the other direction is where it came from
                break
    return trial


def walked(arm: Arm) -> Iterator[tuple[str, Dimension]]:
    """The numbers among the options of a model that are worth a search, real ones first."""
    space = model_class(arm.model).space
    for name in sorted(space, key=lambda name: not isinstance(space[name], Real)):
        if not isinstance(space[name], Choice):
            yield name, space[name]


def moved(trial: Trial, name: str, dimension: Dimension, up: bool) -> Arm | None:
    """The arm with one option larger or smaller by a step; ``None`` where that leaves the limits.

    A step is a factor, or a quarter of the way between the limits for real numbers that are searched without logarithm.
    """
    config: Any = getattr(trial.model, "resolved", trial.model.config)
    factor, start = _FACTORS[isinstance(dimension, Real)], getattr(config, name)
    if start is None:
        return None
    if isinstance(dimension, Real) and not dimension.log:
        value = start + (dimension.high - dimension.low) / (_STEPS if up else -_STEPS)
    else:
        value = start * (factor if up else 1 / factor)
    value = float(f"{value:.3g}") if isinstance(dimension, Real) else round(value)
    if not dimension.holds(value):
        return None
    changed = {k: v for k, v in trial.arm.options.items() if k != name} | {name: value}
    label = ", ".join([trial.arm.model, *(f"{option} {changed[option]:g}" for option in sorted(changed))])
    return replace(trial.arm, label=label, options=changed)


def _fits(trial: Trial, arm: Arm, trials: Trials, until: float) -> bool:
    """Whether a fit, expected to cost what the last did times the ratio of their estimates, ends in time."""
    before, after = (a.build(trials.seed).estimate(trials.data).cpu_seconds for a in (trial.arm, arm))
    return trials.left - trial.cpu_seconds * max(1.0, after / before) > until
