"""The log of what a model with the plug-in llm4dsr takes for noise in the histories of a store."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import polars as pl

from honeyguide.core.errors import CapabilityError
from honeyguide.core.plugged import Plugged
from honeyguide.core.recommender import Recommender
from honeyguide.experiment.bundle import Bundle


def denoiser_of(model: Recommender) -> Any:
    """The plug-in of ``model`` that corrects histories.

    Raises
    ------
    CapabilityError
        If it has none that is switched on.
    """
    plugins = model.active if isinstance(model, Plugged) else []
    found = next((plugin for plugin in plugins if plugin.name == "llm4dsr"), None)
    if found is None:
        raise CapabilityError(f"{model.name} corrects no histories.", "Fit one with --model sasrec+llm4dsr.")
    return found


def corrections_of(bundle: Bundle, users: Sequence[str] | None = None) -> pl.DataFrame:
    """See :meth:`Corrections.frame <honeyguide.plugins.denoising.Corrections.frame>`.

    Parameters
    ----------
    bundle
        The model and the histories.
    users
        External ids; everybody where not given.

    Raises
    ------
    CapabilityError, DataError
        If the model corrects nothing, or a user is not known.
    """
    plugin = denoiser_of(bundle.model)
    if users is None:
        ids, requests = bundle.users(0, len(bundle.store))
        who: list[object] = ids.to_list()
    else:
        who, requests = list(users), bundle.of_users(users)
    log: pl.DataFrame = plugin.audit(requests.histories).frame(bundle.item_ids.values, bundle.titles, who)
    return log
