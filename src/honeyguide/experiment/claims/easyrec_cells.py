"""What is run for seed 14: an encoder tuned on two catalogues, and what it is worth on a third that it never saw."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from honeyguide.core.dataset import Dataset
from honeyguide.core.ragged import FloatArray, Ragged
from honeyguide.data.build import build, decoded
from honeyguide.data.load import load_data
from honeyguide.encode.aligning import AlignConfig, align
from honeyguide.encode.items import text_vectors
from honeyguide.encode.text import TextEncoder, text_encoder
from honeyguide.experiment.claims.alpharec_cells import figures, hits
from honeyguide.experiment.papers import Profile, Result
from honeyguide.experiment.settings import build_model
from honeyguide.lm.profiles import WORDINGS, corpus_of, item_profiles, user_profiles
from honeyguide.metrics.holdout import rank_catalogue

TRAINED, UNSEEN = ("amazon-games", "amazon-toys"), "amazon-beauty"
SEEDS = range(2)  # a tuning is dear
REPHRASED = range(1)  # seeds that are tuned a second time, without rephrasings
COLUMNS = ("title", "categories")
KEPT_BACK = WORDINGS - 1  # the wording that no tuning reads
_CORE = {"amazon-games": 8, "amazon-toys": 6, UNSEEN: 10}  # of the profile cpu
TUNED: dict[Profile, dict[str, Any]] = {
    "cpu": {"batch": 32, "lr": 5e-4, "max_tokens": 32, "layers": 2, "steps": 16},
    "paper": {"batch": 256, "lr": 5e-5, "epochs": 25},
}
_GRAPH: dict[Profile, dict[str, Any]] = {
    "cpu": {"negatives": 256, "epochs": 12},
    "paper": {"negatives": 256, "epochs": 200, "patience": 10},
}
_ASKED = 300  # users of the profile cpu
_RECENT: dict[Profile, int] = {"cpu": 4, "paper": 6}  # items that a user's profile names
_SPARSE = 0.2


@cache
def dense(name: str, profile: Profile) -> Dataset:
    """A data set; in the profile cpu its dense core. Of the unseen one no title or number of the others is left."""
    whole = load_data(name)
    frame, items = decoded(whole), whole.items
    if name == UNSEEN:
        for other in TRAINED:
            known = load_data(other).items
            items = items.filter(~pl.col("asin").is_in(known["asin"]), ~pl.col("title").is_in(known["title"]))
        frame = frame.filter(pl.col("item_id").is_in(items["item_id"]))
    least, height = _CORE[name] if profile == "cpu" else 1, -1
    while height != frame.height:
        height = frame.height
        for column in ("item_id", "user_id"):
            frame = frame.filter(pl.len().over(column) >= least)
    return build(name, frame, items.filter(pl.col("item_id").is_in(frame["item_id"])))


def columns_of(data: Dataset) -> tuple[str, ...]:
    """Title and, where there are some, categories."""
    return tuple(column for column in COLUMNS if column in data.items.columns)


def zero_shot(encoder: TextEncoder, profile: Profile, wording: int) -> dict[str, Any]:
    """Recall@20 on the unseen catalogue by the cosines of profiles, and where the wanted item stands.

    Not an interaction of that catalogue was learnt from: all its items are cold. A user's profile names the latest
    items.
    """
    data = dense(UNSEEN, profile)
    truth, histories = data.histories("test"), data.histories("train", "valid")
    rows = np.flatnonzero(truth.lengths)
    if profile == "cpu" and len(rows) > _ASKED:
        rows = np.sort(np.random.default_rng(0).choice(rows, _ASKED, replace=False))
    truth, histories = truth.take(rows), histories.take(rows)
    profiles = item_profiles(data.items, columns_of(data))
    people = user_profiles(histories, [ways[0] for ways in profiles], _RECENT[profile])
    items, users = (text_vectors([ways[wording] for ways in whole], encoder) for whole in (profiles, people))
    scores: FloatArray = users @ items.T
    lists = rank_catalogue(lambda _, u: scores[u], histories, truth, 20)
    found = hits(lists, truth)
    cold = histories.lengths <= np.quantile(histories.lengths, 0.25)
    return {
        "users": len(rows),
        "recall@20": float(found.mean()),
        "cold_recall@20": float(found[cold].mean()),
        "percentiles": _percentiles(scores, histories, truth).tolist(),
    }


def _percentiles(scores: FloatArray, histories: Ragged, truth: Ragged) -> npt.NDArray[np.float64]:
    """Quartiles of the place of the wanted item among those that were not taken before, from 0 (top) to 1."""
    places = []
    for row, (history, wanted) in enumerate(zip(histories, truth, strict=True)):
        open_ = np.ones(scores.shape[1], bool)
        open_[history] = False
        own = scores[row, wanted[0]]
        places.append((scores[row, open_] >= own).sum() / max(1, open_.sum()))
    return np.asarray(np.quantile(places, [0.25, 0.5, 0.75]), np.float64)


def untuned(profile: Profile) -> Result:
    """The encoder as it comes."""
    encoder = text_encoder(start())
    return {
        "encoder": start(),
        "plain": zero_shot(encoder, profile, 0),
        "unseen": zero_shot(encoder, profile, KEPT_BACK),
    }


def start() -> str:
    """Where the tuning starts: ``$HONEYGUIDE_ENCODER``, by default MiniLM."""
    return os.environ.get("HONEYGUIDE_ENCODER", "minilm")


def floors(profile: Profile) -> Result:
    """Models fitted on the catalogue that the encoder never saw, and titles without training."""
    data = dense(UNSEEN, profile)
    options = {"text-profile": {"columns": columns_of(data), "encoder": start()}}
    names = ("popularity", "floor", "ease", "text-profile")
    found = {name: figures(build_model(name, options.get(name, {})).fit(data), data) for name in names}
    return {"data": repr(data), "figures": found}


def tuned(seed: int) -> Callable[[Profile], Result]:
    """One tuning: zero-shot with a wording that it read and one that it did not; and beside a graph model."""

    def run(profile: Profile) -> Result:
        data = dense(UNSEEN, profile)
        with tempfile.TemporaryDirectory() as folder:
            encoder, curve = _tune(Path(folder), profile, seed, WORDINGS - 1)
            found: dict[str, Any] = {
                "curve": curve,
                "plain": zero_shot(encoder, profile, 0),
                "unseen": zero_shot(encoder, profile, KEPT_BACK) if seed in REPHRASED else None,
            }
            options = {**_GRAPH[profile], "seed": seed}
            text = {"encoder": encoder.name, "columns": columns_of(data)}
            for name in ("lightgcn", "lightgcn+text-align"):
                extra = {"text_align": text} if name != "lightgcn" else {}
                model = build_model(name, {**options, **extra}).fit(data)
                found[name] = {**figures(model, data), "sparse_recall@20": _sparse(model, data)}
        return found

    return run


def unrephrased(seed: int) -> Callable[[Profile], Result]:
    """The same tuning with one wording alone, asked in a wording that neither read."""

    def run(profile: Profile) -> Result:
        with tempfile.TemporaryDirectory() as folder:
            encoder, curve = _tune(Path(folder), profile, seed, 1)
            return {"curve": curve, "unseen": zero_shot(encoder, profile, KEPT_BACK)}

    return run


def _tune(folder: Path, profile: Profile, seed: int, wordings: int) -> tuple[TextEncoder, list[dict[str, float]]]:
    sets = [dense(name, profile) for name in TRAINED]
    corpora = [corpus_of(data, columns_of(data), recent=_RECENT[profile]) for data in sets]
    config = AlignConfig(**{**TUNED[profile], "encoder": start(), "seed": seed, "wordings": wordings})
    curve = align(corpora, folder, config)
    return text_encoder(str(folder)), curve


def _sparse(model: Any, data: Dataset) -> float:
    """Recall@20 of the fifth of the users with the shortest histories."""
    truth, histories = data.histories("test"), data.histories("train", "valid")
    rows = np.flatnonzero((truth.lengths > 0) & (histories.lengths <= np.quantile(histories.lengths, _SPARSE)))
    truth, histories = truth.take(rows), histories.take(rows)
    return float(hits(rank_catalogue(model.score_histories, histories, truth, 20), truth).mean())
