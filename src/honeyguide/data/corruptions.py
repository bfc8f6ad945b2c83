"""Events that did not happen: what a denoiser learns from, and what it is measured on.

A corruption puts an item drawn uniformly from the catalogue in the place of one of a history, as the released data
of LLM4DSR (arXiv 2408.08208) have it. Shapes: n histories, m items, e events.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import polars as pl

from honeyguide.core.dataset import Dataset
from honeyguide.core.errors import ConfigError
from honeyguide.core.ragged import IntArray, Ragged

MASK = "mask"  # column of the interactions: 1 where an item was put in the place of another


@dataclass(frozen=True)
class Corrupted:
    """Histories of which each has one item that does not belong there.

    Parameters
    ----------
    histories
        As long as they were.
    places
        int64 ``[n]``: where in ``histories.values`` the item of each stands.
    originals
        int32 ``[n]``: what stood there.
    """

    histories: Ragged
    places: npt.NDArray[np.int64]
    originals: IntArray

    @property
    def mask(self) -> npt.NDArray[np.bool_]:
        """Bool ``[e]``: which events are corrupted."""
        found = np.zeros(len(self.histories.values), np.bool_)
        found[self.places] = True
        return found


def corrupt_one(histories: Ragged, n_items: int, rng: np.random.Generator) -> Corrupted:
    """Each history with one position, drawn uniformly, that holds another item, drawn uniformly.

    Parameters
    ----------
    histories
        None empty.
    n_items
        Size of the catalogue, two at least.
    rng
        What draws.
    """
    places = histories.offsets[:-1] + rng.integers(0, histories.lengths)
    originals = histories.values[places]
    values = histories.values.copy()
    values[places] = _others(originals, n_items, rng)
    return Corrupted(replace(histories, values=values), places, originals)


def inject_noise(data: Dataset, share: float, *parts: str, seed: int = 0) -> Dataset:
    """``data`` with a share of the events of ``parts`` at random, each another item of the catalogue.

    Column ``mask`` of the interactions is 1 where that is so; no model reads it. Everything else stays.

    Parameters
    ----------
    data
        Genuine events.
    share
        From 0 to 1.
    parts
        Train alone where none is named; what a model is judged on is better left as it is.
    seed
        Of what is drawn.

    Raises
    ------
    ConfigError
        If ``share`` is no share, or there is only one item.
    """
    if not 0 <= share <= 1 or data.n_items < 2:
        raise ConfigError(f"a share of {share:g} of the events cannot be replaced.", "Give a number from 0 to 1.")
    rng, frame = np.random.default_rng(seed), data.interactions
    inside = np.ones(frame.height, np.bool_)
    if "split" in frame.columns:
        inside = frame["split"].is_in(parts or ("train",)).to_numpy()
    chosen = inside & (rng.random(frame.height) < share)
    items = frame["item"].to_numpy().copy()
    items[chosen] = _others(items[chosen], data.n_items, rng)
    columns = [pl.Series("item", items), pl.Series(MASK, chosen.astype(np.int8))]
    return replace(data, interactions=frame.with_columns(columns), name=f"{data.name}+noise")


def _others(items: IntArray, n_items: int, rng: np.random.Generator) -> IntArray:
    """Items drawn uniformly, none the one in whose place it is put."""
    moved = items + rng.integers(1, n_items, len(items))
    found: IntArray = (moved % n_items).astype(np.int32)
    return found
