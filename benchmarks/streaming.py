"""What an update is worth: a log replayed in slices of 1 % of its events.

All but the last slices of the events, by time, are fitted on (a seeded twentieth, last events of users, is kept back to
choose on). Then, slice by slice, three models are asked for every event of the *next* slice what comes next, from the
user's history up to that event: the one fitted at the start (stale), the one that was updated with every slice, and,
at some of the slices, one fitted anew on everything (refit) with the options of the first fit. Name data sets or
models on the command line to measure only those again.

Logs without times are put in an order (``times``): where some events have one, the others are interpolated within
their user; where none has, every user's events, in the user's own order, get times drawn uniformly. Such a drawn stream
says what new events are worth and what taking them in costs, but nothing comes into or out of fashion in it.

The bar: an update costs at most 5 % of a refit and recovers at least 90 % of what the refit gains over the stale model.
"""

from __future__ import annotations

import copy
import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
import polars as pl

from honeyguide.core.dataset import Dataset
from honeyguide.core.ids import Ids
from honeyguide.core.ragged import Ragged
from honeyguide.core.recommender import Recommender
from honeyguide.core.resources import Stopwatch
from honeyguide.core.topk import NEVER, exclude_in_place
from honeyguide.data.load import load_data
from honeyguide.data.valid import ensure_valid
from honeyguide.experiment.update import REPLAY
from honeyguide.metrics.stats import paired_t
from honeyguide.models.registry import model_class
from result_file import read_result, write_result
from same_options import refit

SLICES, SHARE, K = 10, 0.01, 10
MOST_COST, LEAST_RECOVERED, LEVEL = 0.05, 0.90, 0.05


MATRICES = ("popularity", "itemknn", "floor", "gfcf", "ials")
COMPOSED = ("blend", "auto")
PAIRS = ("simplex", "mf-bpr", "mf")
MODELS = ("popularity", "itemknn", "ease", "floor", "gfcf", "ials", "slim", "sasrec", *PAIRS, *COMPOSED)


@dataclass(frozen=True)
class Stream:
    """How a data set is replayed.

    Parameters
    ----------
    repeats
        Whether people come back to what they know, so that seen items are not removed.
    times
        Where the order comes from: ``logged``, ``interpolated`` or ``drawn``.
    ahead
        Slices after one that are asked for; more than one where a slice is small.
    refits
        Slices after which a model is fitted anew.
    models
        What is measured on it; a matrix of all items by all items has to fit.
    options
        Of the reader.
    """

    repeats: bool = False
    times: Literal["logged", "interpolated", "drawn"] = "logged"
    ahead: int = 1
    refits: tuple[int, ...] = (2, 4, 6, 8, 10)
    models: tuple[str, ...] = tuple(m for m in MODELS if m not in ("sasrec", *PAIRS, *COMPOSED))
    options: Mapping[str, Any] = field(default_factory=dict)


DATA: dict[str, Stream] = {
    "ml-100k": Stream(models=tuple(m for m in MODELS if m != "sasrec")),
    "ml-small-2018": Stream(refits=(5, 10), options={"tables": {"interactions": "ratings_all.parquet"}}),
    "foursquare-nyc-coords": Stream(repeats=True, models=(*MATRICES, "ease", "slim", "sasrec", *PAIRS, *COMPOSED)),
    "ml-1m": Stream(times="interpolated", refits=(10,)),
    "amazon-beauty": Stream(times="drawn", ahead=5, refits=(5, 10), models=(*MATRICES, "slim", *COMPOSED)),
}
SASREC = {"dim": 32, "max_len": 50, "epochs": 12, "loss": "sampled"}
OPTIONS: dict[str, dict[str, Any]] = {  # the rest is what the models default to
    "sasrec": SASREC,
    "blend": {"models": ("floor", "ials", "sasrec"), "options": ({}, {}, SASREC)},
    "auto": {"budget": 30.0},
}
REFITS: dict[str, tuple[int, ...]] = dict.fromkeys(
    ("slim", "sasrec", *PAIRS, *COMPOSED), (5, 10)
)  # where fits are dear


@dataclass(frozen=True)
class Log:
    """Events in the order of time, with codes in the order of first appearance: a prefix has the first codes."""

    name: str
    users: np.ndarray
    items: np.ndarray
    held_out: np.ndarray
    start: int
    table: pl.DataFrame  # what is known of the items, in the order of their codes

    @classmethod
    def read(cls, name: str) -> Log:
        stream = DATA[name]
        data = load_data(name, split="none", **stream.options)
        frame = _ordered(data.positives(), stream.times)
        users, items = (_by_appearance(frame[column].to_numpy()) for column in ("user", "item"))
        start = round((1 - (SLICES + stream.ahead) * SHARE) * len(users))
        known = frame["item"].unique(maintain_order=True).to_numpy()
        table = data.items[known].with_columns(item_id=pl.Series(np.arange(len(known))))
        log = cls(name, users, items, np.zeros(len(users), bool), start, table)
        split = ensure_valid(log.data(log.start)).interactions
        log.held_out[split.filter(split="valid")["event"].to_numpy()] = True
        return log

    def data(self, stop: int) -> Dataset:
        """The events before ``stop`` as a data set; those kept back are valid."""
        users, items = self.users[:stop], self.items[:stop]
        frame = pl.DataFrame({"user": users, "item": items, "event": np.arange(stop)})
        if self.held_out.any():
            frame = frame.with_columns(split=pl.Series(np.where(self.held_out[:stop], "valid", "train")))
        user_ids, item_ids = (Ids(pl.Series(np.arange(codes.max() + 1))) for codes in (users, items))
        tables = {
            "items": self.table.head(len(item_ids)),
            "users": pl.DataFrame({"user_id": user_ids.values}),
        }
        return Dataset(self.name, frame.sort("user", "event"), user_ids, item_ids, **tables)

    def bounds(self, number: int) -> tuple[int, int]:
        """Where slice ``number`` begins and ends; slice 0 is the first that is new."""
        size = SHARE * len(self.users)
        return self.start + round(number * size), self.start + round((number + 1) * size)


def _ordered(frame: pl.DataFrame, times: str) -> pl.DataFrame:
    """The events in the order of time; ``frame`` has them by user, each user's in order."""
    if times == "interpolated":
        known = pl.col("timestamp").is_not_null().any().over("user")
        time = pl.col("timestamp").interpolate().forward_fill().backward_fill().over("user")
        frame = frame.filter(known).with_columns(time.alias("timestamp"))
    if times == "drawn":
        drawn = pl.Series("timestamp", np.random.default_rng(0).random(frame.height))
        frame = frame.with_columns(drawn).with_columns(pl.col("timestamp").sort().over("user"))
    return frame.sort("timestamp", maintain_order=True)


def _by_appearance(codes: np.ndarray) -> np.ndarray:
    _, first, inverse = np.unique(codes, return_index=True, return_inverse=True)
    rank = np.empty(len(first), np.int32)
    rank[np.argsort(first)] = np.arange(len(first), dtype=np.int32)
    return rank[inverse].astype(np.int32)


def slice_values(model: Recommender, log: Log, number: int, stream: Stream) -> np.ndarray:
    """NDCG@10 of every event from a slice on, asked with the user's history up to it; 0 where the item is unknown.

    Events with an item of the history are asked for where people come back, and else left out.
    """
    begin, end = log.bounds(number)[0], log.bounds(number + stream.ahead - 1)[1]
    frame = log.data(end).interactions
    user, item, event = (frame[column].to_numpy() for column in ("user", "item", "event"))
    place = np.flatnonzero(event >= begin)
    first = np.searchsorted(user, user[place])
    n_items = len(model.item_ids)  # type: ignore[arg-type]
    values = np.zeros(len(place))
    for rows in np.array_split(np.arange(len(place)), max(1, len(place) // 500)):
        past = Ragged.from_lists([item[first[r] : place[r]] for r in rows])
        targets = item[place[rows]]
        again = np.zeros(len(rows), bool)
        if not stream.repeats:
            again[past.rows[past.values == targets[past.rows]]] = True
        past = Ragged(past.offsets, np.where(past.values < n_items, past.values, -1).astype(np.int32))
        known = targets < n_items
        scores = model.score_histories(past)
        own = np.where(known, scores[np.arange(len(rows)), np.minimum(targets, n_items - 1)], NEVER)
        if not stream.repeats:
            exclude_in_place(scores, past)
        ahead = np.count_nonzero(scores >= own[:, None], axis=1)  # itself included: ties are pessimistic
        values[rows] = np.where(known & (ahead <= K), 1 / np.log2(1 + np.maximum(ahead, 1)), 0.0)
        values[rows[again]] = np.nan
    return values[~np.isnan(values)]


def replay_of(data: Dataset, n: int, seed: int) -> Ragged:
    """Histories of ``n`` users drawn at random."""
    histories = data.histories("train")
    return histories.take(np.random.default_rng(seed).permutation(len(histories))[:n])


def measure(dataset: str, name: str) -> dict[str, Any]:
    """One model on one log."""
    log, stream = Log.read(dataset), DATA[dataset]
    if name in COMPOSED:  # what they choose on valid, they choose for items that were not seen
        stream = replace(stream, repeats=False)
    refits = REFITS.get(name, stream.refits)
    data = log.data(log.start)
    stale = model_class(name)(**OPTIONS.get(name, {})).fit(data)
    updated = copy.deepcopy(stale)
    steps: list[dict[str, Any]] = []
    gains: dict[str, list[np.ndarray]] = {"stale": [], "update": [], "refit": []}
    for number in range(1, SLICES + 1):
        later = log.data(log.bounds(number - 1)[1])
        before, after = data.histories("train"), later.histories("train")
        before = before.concat_rows(Ragged.empty(len(after) - len(before)))
        changed = np.flatnonzero(before.differ(after))
        others = replay_of(data, int(REPLAY * len(changed)), number)
        updated.update(before.take(changed), after.take(changed), later.item_ids, replay=others, table=later.items)
        cost, data = updated.report.updates[-1]["cpu_seconds"], later
        step = {"slice": number, "users": len(changed), "update_cpu_seconds": cost}
        if number in refits:
            with Stopwatch() as watch:
                again = refit(stale, data)
            step["refit_cpu_seconds"] = watch.cpu
            for who, model in (("stale", stale), ("update", updated), ("refit", again)):
                gains[who].append(slice_values(model, log, number, stream))
                step[who] = float(gains[who][-1].mean())
        steps.append(step)
        print(json.dumps({"dataset": dataset, "model": name} | step), file=sys.stderr, flush=True)
    values = {who: np.concatenate(found) for who, found in gains.items()}
    return (
        {"dataset": dataset, "times": stream.times, "model": name}
        | judge(values, steps, stale.report.cpu_seconds)
        | (
            {"repeats": stream.repeats, "parts": parts_of(stale), "stayed": list(updated.left_behind)}
            if name in COMPOSED
            else {}
        )
        | {"steps": steps}
    )


def parts_of(model: Recommender) -> list[str]:
    """Names of the models that one is made of."""
    own = [] if model.name in COMPOSED else [model.name]
    return [*own, *(name for part in model.made_of for name in parts_of(part))]


def judge(values: dict[str, np.ndarray], steps: list[dict[str, Any]], first: float) -> dict[str, Any]:
    """Cost and recovered gain, against the bar."""
    refits = [step["refit_cpu_seconds"] for step in steps if "refit_cpu_seconds" in step]
    cost = float(np.mean([step["update_cpu_seconds"] for step in steps]))
    share, share_of_first = cost / float(np.mean(refits)), cost / first
    gain, regained = (float((values[who] - values["stale"]).mean()) for who in ("refit", "update"))
    p = paired_t(values["refit"] - values["stale"])
    real = gain > 0 and p < LEVEL
    return {
        "events": len(values["stale"]),
        **{who: float(found.mean()) for who, found in values.items()},
        "gain_of_refit": gain,
        "p_gain": float(p),
        "recovered": regained / gain if real else None,
        "p_update_against_refit": float(paired_t(values["update"] - values["refit"])),
        "update_cpu_seconds": cost,
        "first_fit_cpu_seconds": first,
        "refit_cpu_seconds": float(np.mean(refits)),
        "cost_share": share,
        "cost_share_of_first_fit": share_of_first,
        "cost_holds": share_of_first <= MOST_COST,
        "recovery": "nothing to gain" if not real else "holds" if regained / gain >= LEAST_RECOVERED else "missed",
    }


def main() -> None:
    """Measure, and write after every model."""
    known = read_result("streaming") or {"results": []}
    results = {(row["dataset"], row["model"]): row for row in known["results"]}
    named = sys.argv[1:]
    for name in (n for n in MODELS if not set(named) & set(MODELS) or n in named):
        for dataset, stream in DATA.items():
            if name not in stream.models or (set(named) & set(DATA) and dataset not in named):
                continue
            results[dataset, name] = measure(dataset, name)
            order = [(d, n) for d in DATA for n in MODELS if (d, n) in results]
            write_result(
                "streaming",
                [results[key] for key in order],
                dataset=list(DATA),
                split=f"by time: all but the last {SLICES} slices of {SHARE:.0%} and those asked for after them",
                protocol="NDCG@10 of every event of the next slice (amazon-beauty: of the next 5) from the user's "
                "history up to it, full ranking, ties pessimistic, seen items removed where people do not come back; "
                "blend and auto, which choose by items that were not seen: the events without items of the history; "
                "one thread",
                seeds=[0],
                config=OPTIONS,
                whole=True,
            )


if __name__ == "__main__":
    main()
