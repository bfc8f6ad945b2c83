"""Seed 59, "HLLM: enhancing sequential recommendations via hierarchical large language models" (arXiv 2409.12740)."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
import polars as pl

from honeyguide.core.resources import Stopwatch
from honeyguide.experiment.claims.text_sequence_cells import (
    BEAUTY,
    RARE,
    SEEDS,
    beauty,
    favourites,
    figures,
    floor_note,
    floors,
    item_model,
    judge_beauty,
    measured,
    seeded_values,
    served_alone,
)
from honeyguide.experiment.papers import Cell, Claim, Judgement, Paper, Profile, Result, verdict
from honeyguide.metrics.stats import t_interval

_COLD = 0.1  # share of the items that come later
# One budget for all that are compared on the slice; the defaults in the profile paper.
_SLICE: dict[Profile, dict[str, Any]] = {
    "cpu": {"dim": 64, "hidden": 256, "epochs": 10, "patience": 10, "batch_tokens": 512, "negatives": 512, "lr": 3e-3},
    "paper": {},
}
# The small catalogue, where the item tower is trained: texts cut short, one layer, large batches.
_SMALL: dict[Profile, dict[str, Any]] = {
    "cpu": {
        "text": "minilm",
        "dim": 64,
        "hidden": 0,
        "epochs": 8,
        "patience": 8,
        "average": 0.9,
        "batch_tokens": 512,
        "negatives": 256,
        "lr": 5e-3,
        "tokens": 12,
        "max_len": 20,
    },
    "paper": {"text": "minilm", "tokens": 32, "batch_tokens": 2048, "epochs": 20},
}
# What of the item tower is trained: LoRA matrices in its last layer, or all weights of all layers.
_TRAINED: dict[Profile, dict[str, Any]] = {"cpu": {"tuned": 1}, "paper": {"tuned": 6, "rank": 0}}
_FROM_NOTHING: dict[Profile, dict[str, Any]] = {
    "cpu": {"tuned": 1, "rank": 0, "pace": 1.0},
    "paper": {"tuned": 6, "rank": 0, "pace": 1.0},
}
_SIZES = {1: "size1", 3: "size3", 6: "hllm"}  # layers of MiniLM
_TOWERS = ("joint", "cached", "random", "whole")
_SOFTMAX = {"loss": "softmax", "cosine": False}
_SYSTEMS: dict[str, dict[str, Any]] = {
    "hllm": {},
    "ids": {"source": "ids"},  # SASRec with the loss and the negatives of HLLM
    "softmax": {"source": "ids", **_SOFTMAX},  # SASRec with a softmax over all items
}


def _sliced(system: str, seed: int, profile: Profile) -> Result:
    return measured("hllm", {**_SLICE[profile], **_SYSTEMS[system], "seed": seed}, beauty(profile))


def _sized(layers: int, seed: int, profile: Profile) -> Result:
    """An item tower of fewer layers, frozen."""
    with item_model(layers) as folder:
        return measured("hllm", {**_SLICE[profile], "text": folder, "seed": seed}, beauty(profile))


def _sized_lm(seed: int, profile: Profile) -> Result:
    """SmolLM2 as item tower, frozen; on a CPU reading the texts would take most of an hour."""
    from honeyguide.lm.layers import sentence_folder

    if profile == "cpu":
        return {}
    return measured("hllm", {"text": str(sentence_folder("smollm2")), "seed": seed}, beauty(profile))


def _towers(system: str, seed: int, profile: Profile) -> Result:
    """The item tower trained with the loss, frozen, or trained from random weights; and frozen with all of its text."""
    options = {**_SMALL[profile], "seed": seed}
    if system == "cached":
        with item_model(6, tokens=options["tokens"]) as folder:  # what the trained one reads
            return measured("hllm", {**options, "text": folder}, favourites(profile))
    if system == "random":
        with item_model(6, random=True) as folder:
            return measured("hllm", {**options, "text": folder, **_FROM_NOTHING[profile]}, favourites(profile))
    trained = _TRAINED[profile] if system == "joint" else {}
    return {**measured("hllm", {**options, **trained}, favourites(profile)), "full": profile == "paper"}


def _mask(profile: Profile) -> Result:
    """The loss that a second item with the text of the target brings, when it is the only negative."""
    import torch

    from honeyguide.models.language.hllm import HLLM
    from honeyguide.nn.losses import info_nce

    data = beauty(profile)
    model = HLLM(**{**_SLICE[profile], "epochs": 1}).fit(data)
    n = model.network.items.weight.shape[0]
    twins = data.items.head(50).with_columns(pl.Series("item_id", range(10**12, 10**12 + 50)).cast(pl.String))
    grown = model.add_items(twins.with_columns(pl.col("item_id").cast(data.items["item_id"].dtype)))
    table = torch.from_numpy(grown.item_vectors())
    found, plain = [], []
    for row in range(50):
        target, twin = torch.tensor([row]), torch.tensor([n + row])
        found.append(info_nce(10 * table[target], table, target, twin).item())
        plain.append(info_nce(10 * table[target], table, target, twin, alike=1.1).item())
    return {"pairs": len(found), "loss": max(found), "loss_without_mask": float(np.mean(plain))}


def _new_items(profile: Profile) -> Result:
    """A tenth of the items is added by text after training: their place among all items, and what they cost others."""
    from honeyguide.data.build import build, decoded
    from honeyguide.data.splits import leave_last_out
    from honeyguide.models.registry import model_class

    data = beauty(profile)
    later = set(np.random.default_rng(0).choice(data.n_items, round(_COLD * data.n_items), replace=False).tolist())
    is_new = pl.Series([item in later for item in data.interactions["item"].to_list()])
    known = decoded(data).drop("split", strict=False).filter(~is_new)
    old = data.items.filter(pl.col("item_id").is_in(known["item_id"].unique().implode()))
    early = leave_last_out(build("early", known, old))
    model = model_class("hllm")(None, **_SLICE[profile]).fit(early)
    before = figures(model, early)
    new = data.items.join(old, on="item_id", how="anti")
    with Stopwatch() as watch:
        grown = model.add_items(new)
    assert grown.item_ids is not None and model.item_ids is not None
    users = early.user_ids.values.to_list()
    rows = {user: row for row, user in enumerate(users)}
    bought = decoded(data).filter(is_new).filter(pl.col("user_id").is_in(early.user_ids.values.implode()))
    codes = dict(zip(grown.item_ids.values.to_list(), range(len(grown.item_ids)), strict=True))
    truth = [(rows[u], codes[i]) for u, i in bought.select("user_id", "item_id").iter_rows() if i in codes]
    histories = early.histories("train", "valid", "test")
    ranks, alone, hits = [], [], []
    for user, item in truth[:2000]:
        scores = grown.score_histories(histories.take(np.array([user])))[0]
        fresh = scores[len(model.item_ids) :]
        ranks.append(float((scores > scores[item]).mean()))
        alone.append(float((fresh > scores[item]).mean()))
        hits.append(float((scores > scores[item]).sum() < 50))
    return {
        "new": new.height,
        "events": len(ranks),
        "rank": float(np.mean(ranks)),
        "rank_among_new": float(np.mean(alone)),
        "ci": list(t_interval(alone)[1]),
        "recall@50": float(np.mean(hits)),
        "chance@50": 50 / len(grown.item_ids),
        "warm_before": before["recall@10"],
        "warm_after": figures(grown, early)["recall@10"],
        "ms_per_item": 1e3 * watch.cpu / new.height,
    }


def _whole(profile: Profile) -> Result:
    """Beauty with the default options, and a user served from cached vectors."""
    from honeyguide.data.load import load_data
    from honeyguide.models.registry import model_class

    data = load_data(BEAUTY)
    longer: dict[str, Any] = {} if profile == "cpu" else {"epochs": 200, "patience": 10}
    model = model_class("hllm")(None, **longer).fit(data)
    return {
        "cpu_seconds": model.report.cpu_seconds,
        "peak_rss_mb": model.report.peak_rss_mb,
        "epochs": len(model.report.curve),
        "parameters": model.n_parameters,
        **figures(model, data),
        "served": served_alone(model, data),
    }


def _floors(profile: Profile) -> Result:
    from honeyguide.data.load import load_data

    data = {"whole": load_data(BEAUTY), "slice": beauty(profile), "small": favourites(profile)}
    return {name: floors(some) for name, some in data.items()}


def _judge_towers(results: Mapping[str, Result]) -> Judgement:
    found = {s: {m: seeded_values(results, s, m) for m in ("recall@10", "recall@50")} for s in _TOWERS}
    gain = found["joint"]["recall@10"] - found["cached"]["recall@10"]
    holds = all(
        found["joint"][m].mean() > found["cached"][m].mean() > found["random"][m].mean()
        for m in ("recall@10", "recall@50")
    )
    means = "; ".join(f"{s} {f['recall@10'].mean():.4f}/{f['recall@50'].mean():.4f}" for s, f in found.items())
    cost = ", ".join(f"{s} {seeded_values(results, s, 'cpu_seconds').mean():.0f}" for s in found)
    if results["joint-s0"].get("full"):
        how = "Joint and random train all weights of MiniLM's six layers; these and cached read 32 tokens"
    else:
        how = "Joint trains LoRA matrices in the last layer of MiniLM, random all weights of it; "
        how += "these and cached read 12 tokens"
    note = (
        f"Recall@10/@50, means of {len(SEEDS)} seeds: {means}; CPU-s of a fit: {cost}; "
        f"{floor_note(results, 'small')}. {how} of a text, whole is frozen and reads all"
    )
    mean, interval = t_interval(gain)
    return Judgement(mean, verdict(holds), interval, note)


def _judge_sasrec(results: Mapping[str, Result]) -> Judgement:
    rare = {s: seeded_values(results, s, "rare_recall@50") for s in _SYSTEMS}
    whole = {s: (seeded_values(results, s, "recall@10"), seeded_values(results, s, "ndcg@10")) for s in _SYSTEMS}
    gain = rare["hllm"] - np.maximum(rare["ids"], rare["softmax"])
    names = {"hllm": "hllm", "ids": "SASRec, same loss and negatives", "softmax": "SASRec, full softmax"}
    text = "; ".join(
        f"{names[s]} {whole[s][0].mean():.4f}/{whole[s][1].mean():.4f}, rare {rare[s].mean():.4f}" for s in _SYSTEMS
    )
    mean, interval = t_interval(gain)
    note = (
        f"Recall@10/NDCG@10 of all and Recall@50 of items with at most {RARE} training events, means of {len(SEEDS)} "
        f"seeds, one network and budget: {text}; {floor_note(results, 'slice')}"
    )
    return Judgement(mean, verdict(bool(interval[0] > 0)), interval, note)


def _judge_sizes(results: Mapping[str, Result]) -> Judgement:
    found = {layers: seeded_values(results, system, "recall@50") for layers, system in _SIZES.items()}
    means = {layers: values.mean() for layers, values in found.items()}
    holds = means[1] < means[3] < means[6]
    text = ", ".join(f"{layers} layers {mean:.4f}" for layers, mean in means.items())
    note = (
        f"Recall@50, means of {len(SEEDS)} seeds: MiniLM cut to {text} (1.8M weights a layer beside 11.9M of the table "
        "of words). "
    )
    if results["sizelm-s0"]:
        large = seeded_values(results, "sizelm", "recall@50")
        note += f"SmolLM2, 135M weights, the state of the last token: {large.mean():.4f}"
    else:
        note += "SmolLM2, the 135M model of the card, reads ten times slower: in the profile paper"
    mean, interval = t_interval(found[6] - found[1])
    return Judgement(mean, verdict(bool(holds and interval[0] > 0)), interval, note)


def _judge_mask(results: Mapping[str, Result]) -> Judgement:
    found = results["mask"]
    note = (
        f"{found['pairs']} items, each with a second item of the same text as the only negative; without the mask the "
        f"loss is {found['loss_without_mask']:.3f}"
    )
    return Judgement(found["loss"], verdict(found["loss"] == 0.0 < found["loss_without_mask"]), note=note)


def _judge_new(results: Mapping[str, Result]) -> Judgement:
    r = results["new-items"]
    holds = r["ci"][1] < 0.5 and r["recall@50"] > r["chance@50"]
    note = (
        f"{r['new']} items added by text after training ({r['ms_per_item']:.1f} CPU-ms each, texts from the cache), "
        f"{r['events']} purchases of them: share of the new items above the one bought {r['rank_among_new']:.3f}, of "
        f"all {r['rank']:.3f}; Recall@50 among all {r['recall@50']:.4f}, by chance {r['chance@50']:.4f}; Recall@10 of "
        f"the others {r['warm_before']:.4f} before, {r['warm_after']:.4f} after. Floor and popularity reach 0"
    )
    low, high = r["ci"]
    return Judgement(r["rank_among_new"], verdict(bool(holds)), (low, high), note)


def _cells(run: Any, *systems: str) -> tuple[Cell, ...]:
    return tuple(Cell(f"{s}-s{seed}", partial(run, s, seed)) for s in systems for seed in SEEDS)


_FLOORS = Cell("floors", _floors)

PAPER = Paper(
    seed=59,
    module="honeyguide.models.language.hllm",
    claims=(
        Claim(
            "bar",
            "from cached vectors it reaches the linear floor on Beauty within 3 CPU-hours, and serves a user in 30 ms",
            BEAUTY,
            "Recall@10 / NDCG@10",
            ".0839 / .0522, 3 h, 30 ms",
            (Cell("beauty", _whole), _FLOORS),
            judge_beauty,
        ),
        Claim(
            "sasrec",
            "better than SASRec, with the same loss and with a full softmax, on items with at most 5 training events",
            "2,000 users of Beauty",
            "Recall@50 on rare items, hllm minus the better SASRec",
            "interval above 0",
            (*_cells(_sliced, "hllm", "ids", "softmax"), _FLOORS),
            _judge_sasrec,
        ),
        Claim(
            "towers",
            "an item tower trained with the loss is better than a frozen one, and that than a random one",
            "150 items of Beauty",
            "Recall@10, joint minus cached",
            "above 0, with random below both",
            (*_cells(_towers, *_TOWERS), _FLOORS),
            _judge_towers,
        ),
        Claim(
            "sizes",
            "a larger item tower is better",
            "2,000 users of Beauty",
            "Recall@50, 6 layers minus 1",
            "rising over 1, 3 and 6 layers, interval above 0",
            (
                *(Cell(f"size{n}-s{seed}", partial(_sized, n, seed)) for n in (1, 3) for seed in SEEDS),
                *_cells(_sliced, "hllm"),
                *(Cell(f"sizelm-s{seed}", partial(_sized_lm, seed)) for seed in SEEDS),
            ),
            _judge_sizes,
        ),
        Claim(
            "mask",
            "an item with the text of the target is no negative",
            "2,000 users of Beauty",
            "largest loss from it",
            0.0,
            (Cell("mask", _mask),),
            _judge_mask,
        ),
        Claim(
            "new-items",
            "items added by text after training are recommended to those who bought them, with no update",
            "2,000 users of Beauty",
            "share of the new items ranked above the one bought",
            "interval below .5",
            (Cell("new-items", _new_items),),
            _judge_new,
        ),
    ),
)
