"""Synthetic event logs of any size, with the structure that recommenders live on.

The generative model, all of it drawn from one seed:

* **Items** belong to latent clusters. The item of popularity rank r has weight ``(r + q)^-exponent``
  (Zipf-Mandelbrot, ``q`` a thousandth of the items); ranks are dealt to items at random.
* **Users** have a log-normal activity above a minimum, cut at three standard deviations, and three favourite
  clusters, drawn by the weight of their items. While they act, a favourite is now and then replaced (drift).
* **Events.** With probability ``follow`` the next item is a successor of the last one: every item has eight, drawn
  from its cluster by weight, of which the s-th is taken with a probability proportional to ``2^-s``. Otherwise the
  user stays in the current cluster with probability ``stay``, else turns to one of the favourites, and takes an
  item of it by weight. An item that the user has taken already is drawn again, up to four times,
  which flattens the head: the counts fall with an exponent about a fifth below that of the weights.
* **Times** come in sessions: minutes apart within one, days apart between two.
* **Titles** are three of the six words of the cluster, and a number; so text tells clusters apart, and no more.

Users are drawn in blocks, each with a generator of its own, and written block after block.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
import tomli_w

from honeyguide.core.errors import ConfigError
from honeyguide.data.describe import gini
from honeyguide.data.spec import FILE_NAME

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

_BLOCK = 1 << 14  # users drawn together: some 20 MiB
_LEAST = 3  # events of the least active user, where there are enough
_FAVOURITES, _SUCCESSORS, _VOCABULARY = 3, 8, 6
_SIGMA = 1.2  # of the logarithm of activity
_DRIFT = 0.02  # probability that an event replaces a favourite cluster
_SESSION = 0.7  # probability that the next event belongs to the same session
_MINUTES, _DAYS = 120.0, 2 * 86_400.0  # mean seconds between events of one session, and between sessions
_FIRST, _YEAR = 1_704_067_200, 365 * 86_400  # 2024-01-01
_PLAIN_WORDS = (
    "amber anchor apple arrow autumn beacon birch bridge bronze candle canyon castle cedar cinder clover cobalt "
    "comet copper coral cotton crane crystal dawn delta desert ember falcon feather fern flint forest fox frost "
    "garden ginger glacier granite harbor hazel heron hollow honey indigo island ivory jade jasmine juniper kestrel "
    "lagoon lantern lark lemon lily linen lotus maple marble marsh meadow mint mirror moon moss mountain nectar "
    "north oak ocean olive onyx orchid otter paper pearl pebble pepper pine plum prairie quartz quill rain raven "
    "reed river robin rose saffron sage salt sand shadow silver sparrow spruce star stone storm summer thistle "
    "thunder tide timber tulip valley velvet violet walnut water willow winter wolf"
)
_WORDS = _PLAIN_WORDS.split()


@dataclass(frozen=True)
class LogShape:
    """What log to draw.

    Parameters
    ----------
    events, users, items
        Exact sizes. Every user has an event; the catalogue has every item, taken or not.
    seed
        Of everything drawn.
    exponent
        Of the power law of popularity.
    follow
        Probability that an event is a successor of the one before: how much the order tells.
    stay
        Probability to stay in the current cluster otherwise.

    Raises
    ------
    ConfigError
        If the sizes do not fit together, or a probability is none.
    """

    events: int = 1_000_000
    users: int = 100_000
    items: int = 10_000
    seed: int = 0
    exponent: float = 1.0
    follow: float = 0.35
    stay: float = 0.7

    def __post_init__(self) -> None:
        if min(self.users, self.items) < 1 or self.events < self.users:
            raise ConfigError(
                f"{self.events:,} events, {self.users:,} users and {self.items:,} items do not fit together.",
                "Ask for one user and one item or more, and at least as many events as users.",
            )
        if not (0 <= self.follow <= 1 and 0 <= self.stay <= 1 and self.exponent >= 0):
            raise ConfigError("follow and stay are probabilities, and the exponent is not negative.", "Correct them.")


@dataclass
class LogStatistics:
    """What was drawn.

    Parameters
    ----------
    shape
        What was asked for.
    clusters
        Number of latent clusters.
    taken
        Number of items with an event.
    gini, top_share
        Gini coefficient of item popularity, and share of events on the hundredth part of the items that is taken most.
    followed
        Share of events that are one of the successors of the event before.
    lengths
        Quantiles of the number of events of a user.
    repeats
        Share of events whose item the user had taken before.
    """

    shape: LogShape
    clusters: int
    taken: int
    gini: float
    top_share: float
    followed: float
    repeats: float
    lengths: dict[str, float] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """A JSON-able form."""
        return asdict(self)

    def __str__(self) -> str:
        s = self.shape
        lengths = ", ".join(f"{name} {value:g}" for name, value in self.lengths.items())
        return "\n".join(
            [
                f"{s.events:,} events of {s.users:,} users on {s.items:,} items in {self.clusters:,} clusters, "
                f"seed {s.seed}",
                f"events of a user: {lengths}",
                f"popularity: Gini {self.gini:.3f}; the top 1 % of the items have {self.top_share:.1%} of the events; "
                f"{self.taken:,} items were taken",
                f"order: {self.followed:.1%} of the events are a successor of the one before; {self.repeats:.2%} "
                "repeat an item",
            ]
        )


def generate(folder: str | Path, shape: LogShape) -> LogStatistics:
    """Draw a log and write it as a data set: ``interactions.parquet``, ``items.parquet``, ``dataset.toml``.

    Memory does not grow with the events: it holds some numbers for each item and user, and one block of users.
    The same shape gives the same log.

    Parameters
    ----------
    folder
        Created if it is not there; files of the same names are replaced.
    shape
        What to draw.
    """
    target = Path(folder)
    target.mkdir(parents=True, exist_ok=True)
    world = World.draw(shape)
    lengths = user_lengths(shape)
    counts = np.zeros(shape.items, np.int64)
    followed = repeats = 0
    parts = Path(tempfile.mkdtemp(prefix=".parts-", dir=target))
    try:
        for number, block in enumerate(_blocks(shape, world, lengths)):
            counts += np.bincount(block.items, minlength=shape.items)
            followed, repeats = followed + block.followed, repeats + block.repeats
            block.frame().write_parquet(parts / f"{number:06d}.parquet")
        files = sorted(parts.glob("*.parquet"))
        pl.scan_parquet(files).sink_parquet(target / "interactions.parquet")
    finally:
        shutil.rmtree(parts, ignore_errors=True)
    world.catalogue().write_parquet(target / "items.parquet")
    about = {"name": f"synthetic-{shape.events}-{shape.seed}", "ids": {"user": "int", "item": "int"}}
    (target / FILE_NAME).write_text(tomli_w.dumps(about), encoding="utf-8")
    head = np.sort(counts)[::-1][: max(1, shape.items // 100)]
    return LogStatistics(
        shape=shape,
        clusters=len(world.first),
        taken=int(np.count_nonzero(counts)),
        gini=gini(counts.astype(np.float32)),
        top_share=float(head.sum() / shape.events),
        followed=followed / shape.events,
        repeats=repeats / shape.events,
        lengths={f"{q:.0%}": float(np.quantile(lengths, q)) for q in (0.0, 0.25, 0.5, 0.75, 0.9, 1.0)},
    )


def user_lengths(shape: LogShape) -> Ints:
    """int64 ``[users]``: events of each user; they sum to ``shape.events``."""
    rng = np.random.default_rng([shape.seed, 1])
    least = min(_LEAST, shape.events // shape.users)
    activity = np.exp(_SIGMA * np.minimum(rng.standard_normal(shape.users), 3.0))
    exact = activity / activity.sum() * (shape.events - least * shape.users)
    lengths: Ints = np.floor(exact).astype(np.int64) + least
    missing = shape.events - int(lengths.sum())
    lengths[np.argsort(lengths - least - exact, kind="stable")[:missing]] += 1  # the largest remainders
    return lengths


@dataclass(frozen=True)
class World:
    """Items, their clusters and what follows what.

    Parameters
    ----------
    cluster
        int64 ``[items]``: cluster of each item.
    order
        int64 ``[items]``: items by cluster.
    mass
        float64 ``[items + 1]``: cumulative weight along ``order``, from 0.
    first, last
        float64 ``[clusters]``: ``mass`` where each cluster begins and ends.
    successors
        int64 ``[items, 8]``.
    words
        int64 ``[clusters, 6]``: the vocabulary of each cluster.
    seed
        Of titles.
    """

    cluster: Ints
    order: Ints
    mass: Floats
    first: Floats
    last: Floats
    successors: Ints
    words: Ints
    seed: int

    @classmethod
    def draw(cls, shape: LogShape) -> World:
        """The world of a shape."""
        rng = np.random.default_rng([shape.seed, 0])
        n = shape.items
        weight = (rng.permutation(n) + 1.0 + n / 1000) ** -shape.exponent
        share = rng.dirichlet(np.full(max(1, round(n**0.5)), 2.0))
        _, cluster = np.unique(rng.choice(len(share), n, p=share), return_inverse=True)
        order = np.argsort(cluster, kind="stable")
        mass = np.concatenate([[0.0], np.cumsum(weight[order])])
        ends = np.cumsum(np.bincount(cluster))
        first, last = mass[np.concatenate([[0], ends[:-1]])], mass[ends]
        words = np.stack([rng.choice(len(_WORDS), _VOCABULARY, replace=False) for _ in ends])
        unfinished = cls(cluster, order, mass, first, last, np.empty((0, 0), np.int64), words, shape.seed)
        drawn = unfinished.take(np.repeat(cluster, _SUCCESSORS), rng).reshape(n, _SUCCESSORS)
        return cls(cluster, order, mass, first, last, drawn, words, shape.seed)

    def take(self, cluster: Ints, rng: np.random.Generator) -> Ints:
        """An item of each of the clusters, by weight."""
        return self._at(self.first[cluster] + rng.random(len(cluster)) * (self.last - self.first)[cluster])

    def take_any(self, n: int, rng: np.random.Generator) -> Ints:
        """``n`` items of the whole catalogue, by weight."""
        return self._at(rng.random(n) * self.mass[-1])

    def _at(self, mass: Floats) -> Ints:
        place = np.searchsorted(self.mass, mass, side="right") - 1
        return np.take(self.order, np.minimum(place, len(self.order) - 1))

    def catalogue(self) -> pl.DataFrame:
        """``item_id, title, category``."""
        rng = np.random.default_rng([self.seed, 2])
        n = len(self.cluster)
        three = np.argsort(rng.random((n, _VOCABULARY)), axis=1)[:, :3]
        codes = np.take_along_axis(self.words[self.cluster], three, axis=1)  # [items, 3]
        spelled = pl.Series(_WORDS).str.to_titlecase()
        words = [spelled.gather(codes[:, place]) for place in range(3)]
        title = pl.select(pl.format("{} {} {} {}", *words, pl.Series(rng.integers(1, 100, n)))).to_series()
        category = pl.select(pl.format("cluster {}", pl.Series(self.cluster))).to_series()
        return pl.DataFrame({"item_id": np.arange(1, n + 1), "title": title, "category": category})


@dataclass(frozen=True)
class Block:
    """Events of some users, user after user, oldest first: item codes, user numbers, seconds since 1970."""

    items: Ints
    users: Ints
    seconds: Ints
    followed: int
    repeats: int

    def frame(self) -> pl.DataFrame:
        """``user_id, item_id, timestamp``, with ids from 1."""
        times = pl.Series("timestamp", self.seconds * 1_000_000).cast(pl.Datetime("us", "UTC"))
        return pl.DataFrame({"user_id": self.users + 1, "item_id": self.items + 1, "timestamp": times})


def _blocks(shape: LogShape, world: World, lengths: Ints) -> Iterator[Block]:
    for number, start in enumerate(range(0, shape.users, _BLOCK)):
        rng = np.random.default_rng([shape.seed, 3, number])
        yield _block(shape, world, lengths[start : start + _BLOCK], start, rng)


def _block(shape: LogShape, world: World, lengths: Ints, start: int, rng: np.random.Generator) -> Block:
    longest_first = np.argsort(-lengths, kind="stable")
    taken = _walk(shape, world, lengths[longest_first], rng)[np.argsort(longest_first)]  # [n, longest]
    inside = np.arange(taken.shape[1]) < lengths[:, None]
    pause = np.where(rng.random(taken.shape) < _SESSION, _MINUTES, _DAYS) * rng.exponential(size=taken.shape)
    begin = rng.integers(0, _YEAR, len(lengths))
    seconds = _FIRST + begin[:, None] + np.cumsum(pause.astype(np.int64) + 1, axis=1)
    before, after = taken[:, :-1], taken[:, 1:]
    follows = (world.successors[np.maximum(before, 0)] == after[:, :, None]).any(axis=2) & inside[:, 1:]
    sets = np.sort(np.where(inside, taken, -1), axis=1)
    repeats = int(((sets[:, 1:] == sets[:, :-1]) & (sets[:, 1:] >= 0)).sum())
    users = np.repeat(np.arange(start, start + len(lengths)), lengths)
    return Block(taken[inside], users, seconds[inside], int(follows.sum()), repeats)


def _walk(shape: LogShape, world: World, lengths: Ints, rng: np.random.Generator) -> Ints:
    """int64 ``[n, longest]``: items of users of falling ``lengths``, padded with -1."""
    n, steps = len(lengths), int(lengths[0])
    taken = np.full((n, steps), -1, np.int64)
    favourites = world.cluster[world.take_any(n * _FAVOURITES, rng)].reshape(n, _FAVOURITES)
    current = favourites[:, 0].copy()
    ladder = np.cumsum(0.5 ** np.arange(1, _SUCCESSORS + 1))
    for step in range(steps):
        active = int(np.searchsorted(-lengths, -step, side="left"))  # users with more than `step` events
        rows = np.arange(active)
        drifting = np.flatnonzero(rng.random(active) < _DRIFT)
        slots = rng.integers(0, _FAVOURITES, (2, active))
        favourites[drifting, slots[0, drifting]] = world.cluster[world.take_any(len(drifting), rng)]
        turning = rng.random(active) >= shape.stay
        current[:active] = np.where(turning, favourites[rows, slots[1]], current[:active])
        item = world.take(current[:active], rng)
        follow = np.flatnonzero(rng.random(active) < shape.follow) if step else rows[:0]
        which = np.searchsorted(ladder, rng.random(len(follow)) * ladder[-1], side="right")
        item[follow] = world.successors[taken[follow, step - 1], which]
        current[follow] = world.cluster[item[follow]]
        for attempt in range(4):
            again = np.flatnonzero((taken[:active, :step] == item[:, None]).any(axis=1))
            if not len(again):
                break
            item[again] = world.take(current[again], rng) if attempt < 2 else world.take_any(len(again), rng)
        taken[:active, step] = item
    return taken
