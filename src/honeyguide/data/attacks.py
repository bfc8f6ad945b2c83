"""Fake users that promote items: what a defence of a recommender is put to the test with.

A fake profile holds a target and fillers. What fillers are decides how far the attack reaches: items at random,
popular ones, or those that a chosen audience takes (Lam & Riedl 2004; Mobasher et al. 2007). Profiles that are
optimised against a model are made by :mod:`honeyguide.experiment.attacks`. Shapes: n users, m items, f fakes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt
import polars as pl
import scipy.sparse as sp

from honeyguide.core.dataset import Dataset
from honeyguide.core.errors import ConfigError, DataError, UnknownNameError
from honeyguide.core.ids import Ids
from honeyguide.core.ragged import IntArray, Ragged
from honeyguide.data.build import extend
from honeyguide.data.splits import auto_split
from honeyguide.data.valid import ensure_valid

Kind = Literal["random", "bandwagon", "segment"]
KINDS: tuple[Kind, ...] = get_args(Kind)
TABLE = "attack"  # of Dataset.extras: user_id of every fake, item_id of every target that it promotes, kind

Weights = npt.NDArray[np.float64]


def unpopular_items(data: Dataset, n: int = 5, *, at_least: int = 5, seed: int = 0) -> IntArray:
    """int32 ``[n]`` codes of items to promote: those with the fewest training events, ``at_least`` though.

    Raises
    ------
    DataError
        If there are not so many.
    """
    counts = data.popularity("train")
    known = np.flatnonzero(counts >= at_least)
    if len(known) < n:
        raise DataError(f"there are no {n} items with {at_least} training events.", "Ask for less, or name targets.")
    order = np.lexsort((np.random.default_rng(seed).random(len(known)), counts[known]))
    return np.sort(known[order[:n]]).astype(np.int32)


def fake_profiles(
    data: Dataset,
    kind: str,
    targets: Sequence[int] | IntArray,
    n: int,
    *,
    length: float | IntArray | None = None,
    each: int = 1,
    audience: Sequence[int] | IntArray = (),
    seed: int = 0,
) -> Ragged:
    """``n`` fake histories, in random order.

    Parameters
    ----------
    data
        Its training part says what is popular and what is taken together.
    kind
        ``"random"``: fillers are uniform; ``"bandwagon"``: in proportion to their popularity; ``"segment"``: to their
        cosine with the items of an audience.
    targets
        Item codes.
    n
        Number of fakes.
    length
        Mean length of a profile, target included; that of the genuine histories by default. Lengths are uniform
        between half and one and a half of it, as in the profiles that the authors of VAT released. Or ``[n]``, the
        lengths themselves.
    each
        Targets that a profile holds; they are dealt in turn.
    audience
        Item codes that the audience of a segment attack likes; by default the target itself.
    seed
        Of everything drawn.

    Raises
    ------
    UnknownNameError, ConfigError
        If there is no such kind, or no targets, or more of them in a profile than there are.
    """
    if kind not in KINDS:
        raise UnknownNameError("attack", kind, KINDS)
    targets = checked_targets(data, targets, each)
    train, rng = data.matrix("train"), np.random.default_rng(seed)
    weights = {int(t): _filler_weights(kind, train, np.asarray(audience or [t], np.int64), targets) for t in targets}
    profiles = []
    for promoted, size in dealt(data, targets, n, length, each, rng):
        p = weights[int(promoted[0])]
        size = min(size, int(np.count_nonzero(p)))
        fillers = rng.choice(data.n_items, size, replace=False, p=p / p.sum()) if size else np.empty(0, np.int64)
        profiles.append(rng.permutation(np.concatenate([promoted, fillers])).astype(np.int32))
    return Ragged.from_lists(profiles)


def checked_targets(data: Dataset, targets: Sequence[int] | IntArray, each: int = 1) -> IntArray:
    """The targets as int32 codes.

    Raises
    ------
    ConfigError
        If there is none, one is not an item, or a profile cannot hold ``each`` of them.
    """
    found = np.unique(np.asarray(targets, np.int32))
    if not len(found) or found[0] < 0 or found[-1] >= data.n_items:
        raise ConfigError("an attack needs targets that are items of the data.", "Name one with --targets.")
    if not 1 <= each <= len(found):
        raise ConfigError(f"a profile cannot hold {each} of {len(found)} targets.", "Ask for less, or name more.")
    return found


def dealt(
    data: Dataset,
    targets: IntArray,
    n: int,
    length: float | IntArray | None,
    each: int,
    rng: np.random.Generator,
) -> list[tuple[IntArray, int]]:
    """The targets of every profile and its number of fillers, one at least."""
    if isinstance(length, np.ndarray):
        sizes = length.astype(int) - each
    else:
        lengths = data.histories("train").lengths
        mean = float(lengths[lengths > 0].mean()) if length is None else length
        sizes = np.rint(mean * rng.uniform(0.5, 1.5, n)).astype(int) - each
    return [(np.roll(targets, -f)[:each], max(1, int(size))) for f, size in enumerate(sizes)]


def _filler_weights(kind: str, train: sp.csr_matrix, audience: npt.NDArray[np.int64], targets: IntArray) -> Weights:
    """float64 ``[m]``: how likely each item is as a filler; targets never."""
    counts = np.asarray(train.sum(axis=0), np.float64).ravel()
    if kind == "random":
        weights = (counts > 0).astype(np.float64)
    elif kind == "bandwagon":
        weights = counts.copy()
    else:  # sum over a in the audience of |U_a and U_i| / sqrt(|U_a| |U_i|)
        lengths = np.sqrt(np.maximum(counts, 1.0))
        weights = np.asarray((train[:, audience] / lengths[audience]).sum(axis=1)).ravel() @ train / lengths
    weights[targets] = 0.0
    return weights if weights.any() else _filler_weights("bandwagon", train, audience, targets)


def inject(data: Dataset, profiles: Ragged, targets: Sequence[int] | IntArray, kind: str = "fake") -> Dataset:
    """``data`` with fake users, all of whose events are training events; genuine users and items keep their codes.

    A data set without a split or without a valid part gets them first, so that no fake is ever evaluated or chosen on.
    Who is fake stands in the table ``attack`` of the extras, which no model reads. Fakes give the highest label, act at
    times at which others acted, and take their items in the order of the profile.

    Parameters
    ----------
    data
        Genuine events.
    profiles
        Item codes of every fake.
    targets
        Item codes that are promoted; a profile promotes those of them that it holds.
    kind
        For the record.
    """
    data, targets = ensure_valid(auto_split(data)), checked_targets(data, targets)
    ids = _new_ids(data.user_ids, len(profiles))
    rows, items = profiles.rows, data.item_ids.decode(profiles.values)
    events = pl.DataFrame({"user_id": ids.gather(rows), "item_id": items}).with_columns(_columns(data, profiles))
    promoted = np.isin(profiles.values, targets)
    record = pl.DataFrame(
        {"user_id": ids.gather(rows[promoted]), "item_id": items.filter(pl.Series(promoted)), "kind": kind}
    )
    before = [data.extras[TABLE]] if TABLE in data.extras else []
    whole = extend(data, events)
    return replace(whole, extras={**data.extras, TABLE: pl.concat([*before, record])}, name=f"{data.name}+{kind}")


def fake_users(data: Dataset) -> npt.NDArray[np.bool_]:
    """Bool ``[n]``: whom :func:`inject` added; nobody where there was no attack."""
    fake = np.zeros(data.n_users, np.bool_)
    if TABLE in data.extras:
        fake[data.user_ids.encode(data.extras[TABLE]["user_id"])] = True
    return fake


def promoted_items(data: Dataset) -> IntArray:
    """int32 codes of the targets of the attack on ``data``; none where there was none."""
    codes = data.item_ids.encode(data.extras[TABLE]["item_id"]) if TABLE in data.extras else np.empty(0, np.int32)
    return np.unique(codes)


def released_profiles(data: Dataset, attack: str) -> tuple[Ragged, IntArray]:
    """Profiles that come with a data set (the table ``poisoning``), and the codes of their targets.

    The authors of VAT released four attacks on Gowalla: ``random``, ``bandwagon``, ``dp`` and ``rev``. A repeated item
    of a profile, and one that ``data`` has not, is left out.

    Raises
    ------
    DataError, UnknownNameError
        If the data set has no such table, or no such attack.
    """
    if "poisoning" not in data.extras:
        raise DataError(f"{data.name} comes without profiles of attacks.", "Take gowalla-lightgcn, or make them.")
    table = data.extras["poisoning"]
    if attack not in table["attack"]:
        raise UnknownNameError("released attack", attack, table["attack"].unique().to_list())
    table = table.filter(pl.col("attack") == attack)
    coded = [data.item_ids.encode(items) for items in table["items"]]
    profiles = [np.array(list(dict.fromkeys(row[row >= 0].tolist())), np.int32) for row in coded]
    targets = data.item_ids.encode(table["target_items"].explode().unique())
    return Ragged.from_lists([p for p in profiles if len(p)]), np.sort(targets[targets >= 0])


def _new_ids(known: Ids, n: int) -> pl.Series:
    if known.dtype != pl.String:
        first = int(known.values.to_numpy().max(initial=-1)) + 1
        return pl.Series("user_id", np.arange(first, first + n, dtype=np.int64))
    taken, number, ids = set(known.values.to_list()), 0, list[str]()
    while len(ids) < n:
        name = f"fake-{number:05d}"
        ids += [name] if name not in taken else []
        number += 1
    return pl.Series("user_id", ids, pl.String)


def _columns(data: Dataset, profiles: Ragged) -> list[pl.Series]:
    """What genuine events have beside user and item, for the events of the fakes."""
    genuine, n = data.positives("train"), len(profiles.values)
    columns = [pl.Series("split", ["train"] * n)]
    if "timestamp" in genuine.columns:
        times = genuine["timestamp"].drop_nulls().sort()
        drawn = np.random.default_rng(0).integers(0, max(1, len(times)), n)
        columns.append(times.gather(np.sort(drawn + profiles.rows * len(times)) % max(1, len(times))))
    if "position" in genuine.columns:
        columns.append(pl.Series("position", np.arange(n) - profiles.offsets[profiles.rows]))
    for name, value in (("label", genuine["label"].max() if "label" in genuine.columns else None), ("positive", True)):
        if name in genuine.columns:
            columns.append(pl.Series(name, [value] * n))
    if "event" in genuine.columns:
        columns.append(pl.Series("event", [genuine["event"].mode().sort()[0]] * n))
    if "weight" in genuine.columns:
        columns.append(pl.Series("weight", [1.0] * n))
    return [column.cast(data.interactions.schema[column.name]) for column in columns]
