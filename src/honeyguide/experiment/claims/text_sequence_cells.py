"""What is measured for seeds 59 and 60 alike: models of item texts on Beauty, on slices of it, and their speed."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from honeyguide.core.dataset import Dataset
from honeyguide.core.ragged import Ragged
from honeyguide.core.recommender import Recommender
from honeyguide.core.requests import Requests
from honeyguide.core.resources import Stopwatch
from honeyguide.data.load import load_data
from honeyguide.experiment.papers import Judgement, Profile, Result, verdict
from honeyguide.metrics.holdout import rank_catalogue

BEAUTY = "amazon-beauty"
RARE = 5  # training events up to which an item counts as rare
SEEDS = range(3)
FLOOR = (0.0839, 0.0522)  # Recall@10 and NDCG@10 of the linear floor on Beauty
HOURS, MILLISECONDS = 3.0, 30.0  # CPU time of a fit on Beauty, and of a user served
_K = (10, 50)
_READERS, _FAVOURITES = 2_000, 150  # users of the slice, and items of the small catalogue, in the profile cpu


def beauty(profile: Profile) -> Dataset:
    """Beauty; in the profile cpu the events of 2,000 users drawn once, with the items that these have."""
    whole = load_data(BEAUTY)
    if profile == "paper":
        return whole
    users = np.random.default_rng(0).choice(whole.n_users, _READERS, replace=False)
    return _part(whole, np.isin(whole.interactions["user"].to_numpy(), users), f"{_READERS} users of {BEAUTY}")


def favourites(profile: Profile) -> Dataset:
    """The events among the 150 most bought items of users with at least four of them; in the profile paper Beauty."""
    whole = load_data(BEAUTY)
    if profile == "paper":
        return whole
    items = np.argsort(-whole.popularity("train"), kind="stable")[:_FAVOURITES]
    inside = np.isin(whole.interactions["item"].to_numpy(), items)
    many = np.bincount(whole.interactions["user"].to_numpy()[inside], minlength=whole.n_users) >= 4
    inside &= many[whole.interactions["user"].to_numpy()]
    return _part(whole, inside, f"{_FAVOURITES} items of {BEAUTY}")


def _part(whole: Dataset, rows: Any, name: str) -> Dataset:
    """Some of the events, split anew: each user's last is test, the one before valid."""
    from honeyguide.data.build import build, decoded
    from honeyguide.data.splits import leave_last_out

    frame = decoded(whole).drop("split", strict=False).filter(pl.Series(rows))
    items = whole.items.filter(pl.col("item_id").is_in(frame["item_id"].unique().implode()))
    return leave_last_out(build(name, frame, items))


def measured(name: str, options: Mapping[str, Any], data: Dataset) -> Result:
    """Recall and NDCG on test of a model, also on rare items alone, and what the fit took."""
    import torch

    from honeyguide.models.registry import model_class

    torch.set_float32_matmul_precision("high")  # TF32 where there is a GPU; nothing changes on a CPU
    model = model_class(name)(**options).fit(data)
    return {
        "data": repr(data),
        "cpu_seconds": model.report.cpu_seconds,
        "wall_seconds": model.report.wall_seconds,
        "epochs": len(model.report.curve),
        "valid": max((entry.get("valid_ndcg@10", 0.0) for entry in model.report.curve), default=None),
        "parameters": model.n_parameters,
        **figures(model, data),
    }


def figures(model: Recommender, data: Dataset) -> dict[str, float]:
    """Recall@10, Recall@50 and NDCG@10 on test, full ranking, seen items removed; all events, and those of rare items.

    A user of these data has one held-out event.
    """
    history, truth = data.histories("train", "valid"), data.histories("test")
    asked = np.flatnonzero(truth.lengths)
    history, truth = history.take(asked), truth.take(asked)
    places = places_of(model, history, truth)
    rare = data.popularity("train")[truth.values] <= RARE
    found: dict[str, float] = {"users": float(len(places)), "rare_users": float(rare.sum())}
    for kind, some in (("", places), ("rare_", places[rare])):
        for k in _K:
            found[f"{kind}recall@{k}"] = float((some < k).mean()) if len(some) else float("nan")
        gains = np.where(some < 10, 1 / np.log2(some + 2.0), 0.0)
        found[f"{kind}ndcg@10"] = float(gains.mean()) if len(some) else float("nan")
    return found


def places_of(model: Recommender, history: Ragged, truth: Ragged) -> Any:
    """int64 ``[n]``: place of each user's held-out item among the best 50, from 0; 50 where it is not there."""
    lists = rank_catalogue(model.score_histories, history, truth, max(_K))
    hit = lists == truth.values[:, None]
    return np.where(hit.any(1), hit.argmax(1), max(_K))


def floors(data: Dataset) -> Result:
    """Popularity and the linear floor."""
    return {name: measured(name, {}, data) for name in ("popularity", "floor")}


def served_alone(model: Recommender, data: Dataset, requests: int = 200) -> dict[str, float]:
    """CPU-milliseconds of a request of one user, top 10, median and 95th percentile, from a model that was saved."""
    from honeyguide.models.registry import load_model

    with tempfile.TemporaryDirectory() as folder:
        model.save(folder)
        loaded = load_model(Path(folder))
    histories, took = data.histories("train", "valid"), []
    for user in np.random.default_rng(0).choice(data.n_users, requests):
        asked = Requests(histories.take(np.array([user])))
        with Stopwatch() as watch:
            loaded.recommend(asked, k=10)
        took.append(1e3 * watch.cpu)
    return {"median_ms": float(np.median(took)), "p95_ms": float(np.percentile(took, 95))}


def seeded_values(results: Mapping[str, Result], system: str, metric: str) -> Any:
    """A figure of a system, one for every seed."""
    return np.array([results[f"{system}-s{seed}"][metric] for seed in SEEDS])


def pair(found: Mapping[str, Any]) -> str:
    """Recall@10 and NDCG@10 in words."""
    return f"{found['recall@10']:.4f}/{found['ndcg@10']:.4f}"


def floor_note(results: Mapping[str, Result], part: str) -> str:
    """Those of the floors on a part of the data."""
    return ", ".join(f"{name} {pair(found)}" for name, found in results["floors"][part].items())


def judge_beauty(results: Mapping[str, Result]) -> Judgement:
    """Whether a model reaches the linear floor on Beauty in three hours, and a user is served in 30 milliseconds."""
    r = results["beauty"]
    served = r["served"]["p95_ms"]
    holds = r["recall@10"] >= FLOOR[0] and r["ndcg@10"] >= FLOOR[1]
    holds = holds and r["cpu_seconds"] <= HOURS * 3600 and served <= MILLISECONDS
    note = (
        f"fit {r['cpu_seconds']:.0f} CPU-s in {r['epochs']} epochs, texts from the cache; a request of one user, top "
        f"10 of all items: median {r['served']['median_ms']:.1f}, 95th percentile {served:.1f} CPU-ms; "
        f"{floor_note(results, 'whole')}"
    )
    return Judgement(f"{r['recall@10']:.4f} / {r['ndcg@10']:.4f}", verdict(bool(holds)), note=note)


@contextmanager
def item_model(layers: int, *, random: bool = False, tokens: int = 256) -> Iterator[str]:
    """The folder of an encoder that is the first layers of MiniLM and reads the first tokens of a text.

    Where asked to, all its weights are random.
    """
    import torch
    from sentence_transformers import SentenceTransformer

    from honeyguide.encode.text import text_encoder

    source: Any = text_encoder("minilm")
    network: Any = SentenceTransformer(str(source.folder), local_files_only=True)
    network.max_seq_length = tokens
    inner = network[0].auto_model
    inner.encoder.layer = inner.encoder.layer[:layers]
    inner.config.num_hidden_layers = layers
    if random:
        generator = torch.Generator().manual_seed(0)
        with torch.no_grad():
            for name, weight in inner.named_parameters():
                if "LayerNorm" not in name:  # normalisation stays one that changes nothing
                    weight.copy_(0.02 * torch.randn(weight.shape, generator=generator))
    with tempfile.TemporaryDirectory() as folder:
        network.save(folder)
        yield folder
