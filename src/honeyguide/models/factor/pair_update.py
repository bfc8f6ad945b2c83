"""The update of models learnt from pairs: some more steps from where the fit ended, over what is new.

What the artifact serves from, a :class:`~honeyguide.models.factor.fold_in.FoldIn`, has all that training goes on from:
item vectors, and the map from a history to the vector that a user of the fit would have.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from honeyguide.core.errors import CapabilityError
from honeyguide.core.fitting import Change
from honeyguide.core.ragged import FloatArray, Ragged
from honeyguide.models.factor.fold_in import FoldIn, log_shares
from honeyguide.models.linear.item_weights import distinct
from honeyguide.models.sequence.cooccurrence import with_new_items
from honeyguide.models.sequence.next_item_update import SMALLER, update_windows
from honeyguide.nn.trainer import TrainerSettings

if TYPE_CHECKING:
    from honeyguide.models.factor.pair_training import PairConfig

_LEAST_BATCH = 64  # pairs


def counted_on(counts: FloatArray | None, change: Change, name: str) -> FloatArray:
    """float32 ``[n_items]``: how many users took each item, from what the fit counted.

    Raises
    ------
    CapabilityError
        If it counted nothing: older versions did not.
    """
    if counts is None:
        raise CapabilityError(f"this {name} was written by a version without updates.", "Fit it again.")
    n = change.n_items
    new = distinct(change.after, n).sum(axis=0).A1 - distinct(change.before, n).sum(axis=0).A1
    return np.asarray(np.pad(counts, (0, n - len(counts))) + new, np.float32)


def grown_fold_in(served: FoldIn, change: Change, counts: FloatArray) -> FoldIn:
    """``served`` with new items, which begin at the mean of those that stand beside them in histories."""
    inward, outward = (with_new_items(table, change.after, change.n_items) for table in (served.inward, served.outward))
    return replace(served, inward=inward, outward=outward, empty=log_shares(counts))


def windows_of(change: Change, config: PairConfig, work: float) -> Ragged:
    """What an update reads for ``work`` pairs of the fit: see ``update_windows``; histories are as long as they are."""
    longest = int(change.after.lengths.max(initial=1))
    return update_windows(change, config.update_share * work, longest, config.update_epochs)


def trained_like(served: FoldIn, histories: Ragged) -> FloatArray:
    """float32 ``[n, d]``: the vectors that users of the fit would have been given for ``histories``."""
    return served.aggregate(distinct(histories, len(served.outward))) @ served.turn


def smaller_batches(config: PairConfig, fitted: float) -> PairConfig:
    """``config`` with batches that make enough steps of few pairs; ``fitted``, the pairs of the fit."""
    pairs = config.pairs_per_batch(int(fitted)) // SMALLER
    return config.model_copy(update={"batch": max(_LEAST_BATCH, pairs)})


def update_trainer(config: PairConfig, pace: float) -> TrainerSettings:
    """One pass, at ``pace`` times the learning rate of the fit."""
    settings = replace(config.trainer(), schedule="constant", epochs=1, patience=1, average=0.0)
    return replace(settings, lr=config.lr * pace)
