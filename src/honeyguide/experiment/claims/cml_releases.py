"""The world of seed 50: films that are not out yet, customers before the day they are, and what is asked of both.

MovieLens has no tickets; a rating is a purchase, and a film is out from its first rating. Films whose first rating is
after T are unreleased: none of their events is in training. A customer is read from what came before the first
unreleased film that they took, whoever that film is compared for.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from honeyguide.core.dataset import Dataset
from honeyguide.core.inner_product import unit
from honeyguide.core.ragged import FloatArray, Ragged
from honeyguide.data.load import load_data
from honeyguide.encode.items import item_text_vectors
from honeyguide.encode.text import text_encoder
from honeyguide.metrics.predictive import auc
from honeyguide.models.content.cml_network import Releases
from honeyguide.models.linear.transitions import recent_events

DATA = "ml-small-2018"
SHARE = 0.6  # of the events before T
LEAST = 10  # customers of an unreleased film, and events of a released one that is a comp
SEEN = 5  # events of a customer before the first unreleased film
HELD = 5  # last events of a user before T that are test
DECAY = 0.9

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class World:
    """Shapes: c customers, f unreleased films.

    Parameters
    ----------
    data
        Events before T: of every user the last five are test, the one before is valid.
    films
        ``[f]`` codes of unreleased films with ten customers or more.
    before
        Histories of the customers, before the first unreleased film of each.
    took
        ``[c, f]``: who took what.
    after
        All events of released films and of unreleased ones by the customers, for who goes with whom.
    """

    data: Dataset
    films: npt.NDArray[np.int64]
    before: Ragged
    took: Mask
    after: Mask


@cache
def world() -> World:
    """The films of ml-small-2018 before and after T."""
    whole = load_data(DATA)
    frame = whole.interactions.sort("user", "timestamp", maintain_order=True)
    frame = frame.with_columns(first=pl.col("timestamp").min().over("item"))
    today = frame["timestamp"].quantile(SHARE)
    known = frame.filter(pl.col("timestamp") < today)
    from_end = pl.int_range(pl.len(), 0, -1).over("user")
    enough = pl.len().over("user") > HELD + 3
    part = (
        pl.when(enough & (from_end <= HELD))
        .then(pl.lit("test"))
        .when(enough & (from_end == HELD + 1))
        .then(pl.lit("valid"))
        .otherwise(pl.lit("train"))
    )
    data = replace(whole, interactions=known.with_columns(split=part).drop("first"))
    new = frame.filter(pl.col("first") >= today)
    counts = np.bincount(new["item"].to_numpy(), minlength=whole.n_items)
    films = np.flatnonzero(counts >= LEAST)
    joined = frame.join(new.group_by("user").agg(day=pl.col("timestamp").min()), on="user", how="inner")
    earlier = joined.filter((pl.col("timestamp") < pl.col("day")) & (pl.col("first") < today))
    enough_seen = earlier.group_by("user").len().filter(pl.col("len") >= SEEN)["user"].sort()
    earlier = earlier.filter(pl.col("user").is_in(enough_seen.implode()))
    rows = np.searchsorted(enough_seen.to_numpy(), earlier["user"].to_numpy())
    before = Ragged.from_groups(rows, earlier["item"].to_numpy(), len(enough_seen))
    everything = np.zeros((whole.n_users, whole.n_items), bool)
    everything[frame["user"].to_numpy(), frame["item"].to_numpy()] = True
    after = everything[enough_seen.to_numpy()]
    return World(data, films, before, after[:, films], after)


def audience_auc(found: World, scores: FloatArray) -> float:
    """Mean over unreleased films of the AUC of its customers among all, of scores ``[c, f]``."""
    return float(np.mean([auc(found.took[:, j], scores[:, j]) for j in range(len(found.films))]))


def texts(data: Dataset) -> FloatArray:
    """float32 ``[n_items, D]`` of title and genres."""
    return item_text_vectors(data, text_encoder("minilm"))


def unit_profiles(histories: Ragged, vectors: FloatArray) -> FloatArray:
    """float32 ``[n, D]``: decayed means at length one."""
    return unit(recent_events(histories, len(vectors), DECAY) @ vectors)


def by_genres(found: World) -> FloatArray:
    """float32 ``[c, f]``: how often customers took each genre, the mean over those of the film."""
    shares = _genres(found.data)
    taken = recent_events(found.before, len(shares), 1.0) @ shares  # [c, g]
    taken /= np.maximum(taken.sum(1, keepdims=True), 1e-12)
    of = shares[found.films] / np.maximum(shares[found.films].sum(1, keepdims=True), 1e-12)
    scores: FloatArray = taken @ of.T
    return scores


def by_logistic(found: World, seed: int) -> FloatArray:
    """float32 ``[c, f]``: logistic regression on ``p * t``, profile times text, learnt from pairs of released films.

    A pair is an event of train and a film that was there at its time; the weight of the penalty is chosen on the
    events of valid.
    """
    vectors = texts(found.data)
    train, valid = found.data.histories("train"), found.data.histories("valid")
    fit = _pairs(train, train, vectors, seed, 6000, prefix=True)
    held = _pairs(train, valid, vectors, seed, 6000, prefix=False)
    best, weights = -1.0, np.zeros(vectors.shape[1])
    for penalty in (1e-4, 1e-3, 1e-2):
        tried = _fitted(*fit, penalty)
        value = auc(held[1], held[0] @ tried)
        if value > best:
            best, weights = value, tried
    scores: FloatArray = (unit_profiles(found.before, vectors) * weights.astype(np.float32)) @ vectors[found.films].T
    return scores


def _pairs(
    histories: Ragged, events: Ragged, vectors: FloatArray, seed: int, most: int, *, prefix: bool
) -> tuple[FloatArray, Mask]:
    """Features ``[2n, D]`` and labels of events and as many films that were there."""
    import torch

    rng = np.random.default_rng(seed)
    places = rng.permutation(len(events.values))[:most]
    rows = events.rows[places]
    at = places - events.offsets[rows]
    lists = [histories.values[histories.offsets[r] : histories.offsets[r] + k] for r, k in zip(rows, at, strict=True)]
    read = Ragged.from_lists(lists) if prefix else histories.take(rows)
    profiles = unit_profiles(read, vectors)
    releases = Releases(histories, len(vectors), matched=True)
    times = None if events.times is None else torch.from_numpy(events.times[places])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        others = releases.draw(times, len(places), 1)[:, 0].numpy()
    x = np.concatenate([profiles * vectors[events.values[places]], profiles * vectors[others]])
    return x, np.arange(len(x)) < len(places)


def _fitted(x: FloatArray, labels: Mask, penalty: float) -> npt.NDArray[np.float64]:
    """Weights of the smallest logistic loss with ``penalty |w|^2``."""
    from scipy.optimize import minimize

    sign = np.where(labels, 1.0, -1.0)

    def loss(w: npt.NDArray[np.float64]) -> tuple[float, npt.NDArray[np.float64]]:
        margin = sign * (x @ w)
        slope = -sign / (1 + np.exp(margin))
        return float(np.logaddexp(0, -margin).mean() + penalty * w @ w), x.T @ slope / len(x) + 2 * penalty * w

    found: npt.NDArray[np.float64] = minimize(loss, np.zeros(x.shape[1]), jac=True, method="L-BFGS-B").x
    return found


def comps(found: World, vectors: FloatArray, k: int = 10) -> dict[str, float]:
    """Of unreleased films and their ``k`` nearest released ones: shared genres, and shared customers.

    Parameters
    ----------
    found
        The world.
    vectors
        ``[n_items, d]``, compared by distance.
    k
        How many.
    """
    released = np.flatnonzero(found.data.popularity("train") >= LEAST)
    a, b = vectors[found.films], vectors[released]
    squared = (a * a).sum(1)[:, None] + (b * b).sum(1) - 2 * a @ b.T
    nearest = released[np.argsort(squared, axis=1, kind="stable")[:, :k]]  # [f, k]
    genres = _genres(found.data) > 0
    return {
        "genres": float(_jaccard(genres[found.films], genres[nearest])),
        "genres at random": float(
            _jaccard(genres[found.films], np.broadcast_to(genres[released], (len(a), *genres[released].shape)))
        ),
        "customers": float(_jaccard(found.took.T, found.after.T[nearest])),
    }


def _jaccard(one: Mask, many: Mask) -> float:
    """Mean over rows ``[f, d]`` and their companions ``[f, k, d]``; of two that are empty nothing is shared."""
    both = (one[:, None] & many).sum(-1)
    return float((both / np.maximum((one[:, None] | many).sum(-1), 1)).mean())


@cache
def _names(data: str) -> tuple[str, ...]:
    return tuple(sorted({g for row in load_data(data).items["genres"].to_list() for g in row or ()}))


def _genres(data: Dataset) -> FloatArray:
    """float32 ``[n_items, g]``: one for each genre of an item."""
    names: dict[Any, int] = {name: place for place, name in enumerate(_names(DATA))}
    found = np.zeros((data.n_items, len(names)), np.float32)
    for row, genres in enumerate(data.items["genres"].to_list()):
        found[row, [names[g] for g in genres or ()]] = 1.0
    return found
