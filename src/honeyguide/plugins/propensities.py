"""Propensities: how likely a user was to be shown an item, estimated from the part train alone.

Shapes: n pairs, m items, d width.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
import polars as pl

from honeyguide.core.dataset import Dataset
from honeyguide.core.errors import DataError
from honeyguide.core.ragged import FloatArray
from honeyguide.models.factor.mf import MF

_TABLE = "propensities"  # of a data set: user_id, item_id, propensity


class Propensities(Protocol):
    """The chance of every pair of having been shown."""

    def of(self, users: npt.NDArray[np.integer], items: npt.NDArray[np.integer]) -> FloatArray:
        """float32 ``[n]`` in [0, 1]."""
        ...


@dataclass(frozen=True)
class ItemPropensities:
    """One for every item, whoever the user.

    Parameters
    ----------
    values
        float32 ``[m]``.
    """

    values: FloatArray

    def of(self, users: npt.NDArray[np.integer], items: npt.NDArray[np.integer]) -> FloatArray:
        """``values`` of the items."""
        found: FloatArray = self.values[items]
        return found


@dataclass(frozen=True)
class PairPropensities:
    """Those of single pairs, as they were logged.

    Parameters
    ----------
    keys
        int64, rising: ``user * n_items + item``.
    values
        float32, one for each.
    n_items
        m.
    """

    keys: npt.NDArray[np.int64]
    values: FloatArray
    n_items: int

    def of(self, users: npt.NDArray[np.integer], items: npt.NDArray[np.integer]) -> FloatArray:
        """Those that were logged; 1 for other pairs."""
        keys = users.astype(np.int64) * self.n_items + items
        place = np.minimum(np.searchsorted(self.keys, keys), len(self.keys) - 1)
        found: FloatArray = np.where(self.keys[place] == keys, self.values[place], np.float32(1))
        return found


@dataclass(frozen=True)
class FactorPropensities:
    """``sigmoid(x_u'y_i + offset)^power``.

    Parameters
    ----------
    users, items
        float32 ``[n_users, d]``, ``[m, d]``.
    offset
        Log-odds of a pair's being shown at all.
    power
        Above 1 the differences grow.
    """

    users: FloatArray
    items: FloatArray
    offset: float
    power: float

    def of(self, users: npt.NDArray[np.integer], items: npt.NDArray[np.integer]) -> FloatArray:
        """Of each pair; 1 for users that are not known."""
        logits = (self.users[users] * self.items[items]).sum(1) + self.offset
        chances: FloatArray = np.exp(-self.power * np.logaddexp(0.0, -logits)).astype(np.float32)
        chances[users < 0] = 1.0
        return chances


def popularity(data: Dataset, power: float = 0.5) -> ItemPropensities:
    """``theta_i = (n_i / max_j n_j)^power``, n the positive events of train (Saito et al. 2020, section 6)."""
    counts = data.popularity("train").astype(np.float64)
    return ItemPropensities(((counts / max(1.0, counts.max(initial=0.0))) ** power).astype(np.float32))


def logged(data: Dataset, column: str = "propensity") -> PairPropensities:
    """What the policy that showed the items wrote down.

    Parameters
    ----------
    data
        With the column in its interactions, or in a table ``propensities`` of ``user_id`` and ``item_id``.
    column
        Its name.

    Raises
    ------
    DataError
        If there is no such column, or a value is not in (0, 1].
    """
    frame = _logged_frame(data, column)
    values = frame[column].cast(pl.Float64).to_numpy()
    bad = ~((values > 0) & (values <= 1))
    if bad.any():
        raise DataError(
            f"{int(bad.sum()):,} propensities are missing or not in (0, 1].",
            "Give the probability with which the item was shown, or leave the events out.",
            column=column,
        )
    keys, first = np.unique(
        frame["user"].to_numpy().astype(np.int64) * data.n_items + frame["item"].to_numpy(), return_index=True
    )
    return PairPropensities(keys, values[first].astype(np.float32), data.n_items)


def _logged_frame(data: Dataset, column: str) -> pl.DataFrame:
    """Columns ``user``, ``item`` (codes) and ``column``; where events name a pair twice, the first counts."""
    if column in data.interactions.columns:
        return data.interactions.select("user", "item", column)
    table = data.extras.get(_TABLE)
    if table is None or not {"user_id", "item_id", column} <= set(table.columns):
        raise DataError(
            f"there are no logged propensities: neither a column {column!r} in the interactions, nor a table "
            f"{_TABLE!r} of user_id, item_id and {column}.",
            "Name the column (rel_mf.column=NAME), or estimate them (rel_mf.propensity=popularity or exposure); with "
            "--set on the command line.",
        )
    codes = {"user": data.user_ids.encode(table["user_id"]), "item": data.item_ids.encode(table["item_id"])}
    frame = table.select(column).with_columns(**{name: pl.Series(c) for name, c in codes.items()})
    return frame.filter(pl.col("user") >= 0, pl.col("item") >= 0)


def exposure(data: Dataset, power: float = 1.0, dim: int = 20, seed: int = 0, epochs: int = 30) -> FactorPropensities:
    """Logistic matrix factorisation of what occurs in train, liked or not, against what does not.

    Parameters
    ----------
    data
        Train is read alone.
    power
        Of the chances.
    dim
        Width of the factors.
    seed, epochs
        Of the fit.
    """
    shown = data.select("train")
    everything = shown.interactions.with_columns(positive=pl.lit(True))
    events = Dataset(data.name, everything, data.user_ids, data.item_ids, data.items, data.users, ordered=data.ordered)
    model = exposure_model(dim, seed, epochs).fit(events)
    assert model.network is not None
    prior = events.matrix("train").nnz / max(1, data.n_users * data.n_items)
    users, items = (v.detach().cpu().numpy() for v in (model.network.user_vectors(), model.network.item_vectors()))
    return FactorPropensities(users, items, float(np.log(prior / max(1e-12, 1 - prior))), power)


def exposure_model(dim: int, seed: int = 0, epochs: int = 30) -> MF:
    """What :func:`exposure` fits."""
    return MF(loss="logistic", biases=True, dim=dim, seed=seed, epochs=epochs)


def kept(theta: FloatArray, least: float) -> FloatArray:
    """Propensities clipped from below, ``max(theta, least)``, and never 0."""
    clipped: FloatArray = np.maximum(theta, np.float32(max(least, 1e-6)))
    return clipped


__all__ = [
    "FactorPropensities",
    "ItemPropensities",
    "PairPropensities",
    "Propensities",
    "exposure",
    "exposure_model",
    "kept",
    "logged",
    "popularity",
]
