"""What the cells of seed 49 share: fits with the published loss, choice on biased clicks, judgement on random items."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from honeyguide.core.dataset import Dataset
from honeyguide.core.ragged import Ragged
from honeyguide.core.recommender import Recommender
from honeyguide.core.resources import Stopwatch
from honeyguide.experiment.papers import Judgement, Profile, Result, verdict

SEEDS = range(5)
_TIMED: dict[str, dict[str, Any]] = {  # whose epochs are timed with and without weights
    "mf": {"dim": 64, "batch": 4096, "epochs": 8},
    "lightgcn": {"dim": 64, "batch": 4096, "epochs": 2},
    "sasrec": {"epochs": 2},
}
CLIP = 0.1  # M where it is not chosen
_PAPER: dict[str, Any] = {"regularization": 0.0, "lr": 0.005, "init_std": 0.05, "loss": "squared"}


def with_valid(data: Dataset, seed: int) -> Dataset:
    """A random tenth of train set aside as valid; test stays."""
    frame = data.interactions
    drawn = np.random.default_rng(seed).random(frame.height) < 0.1
    aside = pl.Series(drawn) & (frame["split"] == "train")
    return replace(data, interactions=frame.with_columns(split=pl.when(aside).then(pl.lit("valid")).otherwise("split")))


def fitted_mf(
    data: Dataset, options: dict[str, Any], clip: float | None, propensity: str = "popularity"
) -> Recommender:
    """MF on train with a fixed number of steps, with propensities if ``clip`` is given."""
    from honeyguide.models.factor.mf import MF
    from honeyguide.plugins.rel_mf import RelMF

    model: Recommender = MF(**{**_PAPER, **options})
    if clip is not None:
        model = model.plug(RelMF(propensity=propensity, clip=clip))
    return model.fit(data.select("train"))


def snips_on_valid(model: Recommender, data: Dataset, seed: int, propensity: str) -> float:
    """DCG@5 of valid, each click weighed, among 100 unlabelled items of its user (section 6.1)."""
    from honeyguide.metrics.holdout import rank_catalogue
    from honeyguide.metrics.unbiased import dcg_snips, with_unlabelled
    from honeyguide.plugins import propensities

    theta = propensities.logged(data) if propensity == "logged" else propensities.popularity(data)
    train, valid = data.histories("train"), data.histories("valid")
    asked = np.flatnonzero(valid.lengths)
    train, valid = train.take(asked), valid.take(asked)
    candidates = with_unlabelled(valid, train, data.n_items, 100, seed)
    lists = rank_catalogue(model.score_histories, train, valid, 5, candidates=candidates)
    values = dcg_snips(lists, valid, theta.of(asked[valid.rows], valid.values), 5)
    return float(values.mean())


def on_random_items(model: Recommender, data: Dataset, rare: npt.NDArray[np.bool_] | None = None) -> dict[str, float]:
    """DCG on the items of test, which were shown at random; users without relevant ones count 0."""
    from honeyguide.metrics.holdout import rank_catalogue
    from honeyguide.metrics.unbiased import plain_dcg

    shown = data.select("test").interactions
    truth = data.histories("test")
    if rare is not None:
        shown = shown.filter(pl.Series(rare).gather(shown["item"]))
        kept = rare[truth.values]
        truth = Ragged.from_groups(truth.rows[kept], truth.values[kept], len(truth))
    candidates = Ragged.from_groups(shown["user"].to_numpy(), shown["item"].to_numpy(), data.n_users)
    asked = np.flatnonzero(candidates.lengths)
    histories, truth, candidates = (r.take(asked) for r in (data.histories("train", "valid"), truth, candidates))
    lists = rank_catalogue(model.score_histories, histories, truth, 5, remove_seen=False, candidates=candidates)
    return {
        **{f"dcg@{k}": float(plain_dcg(lists, truth, k).mean()) for k in (1, 3, 5)},
        "dcg@5 (log2-rank)": float(plain_dcg(lists, truth, 5, "log2-rank").mean()),
    }


def recommended_popularity(model: Recommender, data: Dataset) -> float:
    """Mean number of training clicks of the items in the top ten of every user with a history."""
    from honeyguide.core.requests import Requests

    histories = data.histories("train")
    items = model.recommend(Requests(histories.take(np.flatnonzero(histories.lengths))), 10).items
    return float(data.popularity("train")[items[items >= 0]].mean())


def linear_floors(data: Dataset, rare: npt.NDArray[np.bool_] | None = None) -> dict[str, Any]:
    """Popularity and iALS with default options."""
    from honeyguide.models.linear.ials import IALS
    from honeyguide.models.popularity import Popularity

    train = data.select("train")
    floors: dict[str, Recommender] = {"popularity": Popularity().fit(train), "ials": IALS(factors=16).fit(train)}
    return {name: on_random_items(model, data, rare)["dcg@5"] for name, model in floors.items()}


def cost(profile: Profile) -> Result:
    """CPU-seconds of fits with and without weights, by turns, on ml-100k; the ratio is the median over the turns."""
    from honeyguide.data.load import load_data
    from honeyguide.models.registry import model_class

    data = load_data("ml-100k", positive="rating >= 4").select("train")
    turns = 15 if profile == "paper" else 5
    found: dict[str, Any] = {}
    for name, options in _TIMED.items():
        seconds = []
        for _ in range(turns):
            pair = []
            for system in (name, f"{name}+rel-mf"):
                with Stopwatch() as watch:
                    model_class(system)(**options).fit(data)
                pair.append(watch.cpu)
            seconds.append(pair)
        found[name] = {"cpu_seconds": seconds, "ratio": float(np.median([b / a for a, b in seconds]))}
    return found


def judge_cost(results: Mapping[str, Result]) -> Judgement:
    """The dearest of the backbones counts."""
    ratios = {name: float(timed["ratio"]) - 1 for name, timed in results["cost"].items()}
    worst = max(ratios.values())
    note = "; ".join(f"{name} {share:+.1%}" for name, share in ratios.items())
    return Judgement(worst, verdict(worst <= 0.15), note=f"median over turns: {note}")


def by_seed(values: npt.ArrayLike) -> str:
    """The value of every seed, for a note."""
    return "seeds " + ", ".join(f"{v:+.3f}" for v in np.asarray(values))
