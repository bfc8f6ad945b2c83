"""Seed 60, "Rethinking large language model architectures for sequential recommendations" (arXiv 2402.09543)."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np

from honeyguide.core.fitting import FitOptions
from honeyguide.core.ragged import FloatArray, Ragged
from honeyguide.data.load import load_data
from honeyguide.experiment.claims.text_sequence_cells import (
    BEAUTY,
    SEEDS,
    beauty,
    figures,
    floor_note,
    floors,
    item_model,
    judge_beauty,
    measured,
    pair,
    seeded_values,
    served_alone,
)
from honeyguide.experiment.papers import Cell, Claim, Judgement, Paper, Profile, Result, verdict
from honeyguide.metrics.stats import t_interval

_FASTER = 10.0
_MOVIES = "ml-100k"
_NAME = "lite-llm4rec"
_SAME = {"dim": 64, "max_len": 20, "warmup": 0}
_SLICE: dict[Profile, dict[str, Any]] = {
    "cpu": {**_SAME, "hidden": 256, "epochs": 10, "patience": 10, "batch_tokens": 512, "lr": 3e-3},
    "paper": _SAME,
}
_SASREC: dict[Profile, dict[str, Any]] = {
    "cpu": {**_SAME, "epochs": 10, "patience": 10, "batch_tokens": 512, "lr": 3e-3},
    "paper": _SAME,
}
_ABLATED: dict[str, dict[str, Any]] = {
    "lite": {},
    "tied": {"head": "tied"},
    "ids": {"source": "ids"},
    "both": {"source": "both"},
}
_LM = {"user": "minilm", "user_layers": 1}
_LENGTH, _BEAMS = 3, (10, 20)  # tokens of a code, and beams
_TITLE = 13  # tokens of a code as long as a written title; of two values they tell the items of the slice apart
_READ = 100  # requests by which latency is measured


def _sliced(system: str, seed: int, profile: Profile) -> Result:
    if system == "sasrec":
        return measured("sasrec", {**_SASREC[profile], "seed": seed}, beauty(profile))
    return measured(_NAME, {**_SLICE[profile], **_ABLATED[system], "seed": seed}, beauty(profile))


def _random_items(seed: int, profile: Profile) -> Result:
    """An item tower of random weights, frozen like the pretrained one."""
    with item_model(6, random=True) as folder:
        return measured(_NAME, {**_SLICE[profile], "text": folder, "seed": seed}, beauty(profile))


def _user_tower(random: bool, profile: Profile) -> Result:
    """A layer of MiniLM as the tower that reads histories, pretrained or with random weights."""
    options = {**_SLICE[profile], **_LM, "epochs": 6 if profile == "cpu" else 40}
    if not random:
        return measured(_NAME, options, beauty(profile))
    with item_model(1, random=True) as folder:
        return measured(_NAME, {**options, "user": folder}, beauty(profile))


def _movies(system: str, profile: Profile) -> Result:
    data = load_data(_MOVIES if profile == "cpu" else "ml-1m")
    shared: dict[str, Any] = {"dim": 64, "max_len": 50}
    if profile == "cpu":
        shared |= {"epochs": 5, "patience": 5, "batch_tokens": 1024, "lr": 2e-3, "warmup": 50}
    return measured(system, shared, data)


def _head_and_beams(profile: Profile) -> Result:
    """One encoder, as many epochs: a head over all items, and a decoder that writes the code of an item."""
    import torch

    from honeyguide.encode.text import text_encoder
    from honeyguide.experiment.claims.lite_beams import Beams, milliseconds, text_codes
    from honeyguide.models.language.lite_llm4rec import LiteLLM4Rec
    from honeyguide.models.language.text_network import TextSequenceNetwork
    from honeyguide.nn.trainer import Trainer, seeded

    data, epochs = beauty(profile), 5 if profile == "cpu" else 40
    model = LiteLLM4Rec(**{**_SLICE[profile], **_LM, "epochs": epochs, "patience": epochs}).fit(data)
    texts = model.text.vectors(data.items)
    with seeded(0, torch.device("cpu")):
        network = TextSequenceNetwork(
            data.n_items, model.resolved.model_copy(update={"head": "tied"}), _held(texts), texts.shape[1], model.user
        )
        network.whiten.measure(texts)
        folder: Any = getattr(text_encoder("minilm"), "folder", None)
        network.blocks[0].load(folder)  # type: ignore[operator]
        beams = Beams(network, text_codes(texts, _LENGTH), model.resolved.dim, model.user or {}, 1)  # type: ignore[arg-type]
        beams.load(folder)
    windows = model._windows(data.histories("train"), 0)
    Trainer(beams, beams.loss, windows, model.resolved.trainer(), FitOptions()).run()
    history, truth = data.histories("train", "valid"), data.histories("test")
    found: dict[str, Any] = {"head": figures(model, data), "codes": [_LENGTH, beams.values]}
    with torch.inference_mode():
        for width in _BEAMS:
            found[f"beams{width}"] = _written(beams, history, truth, width)
        head = model.network.item_vectors()
        order = np.random.default_rng(0).choice(data.n_users, _READ + 1)
        rows = [torch.from_numpy(history.take(np.array([u])).last(20).values.astype(np.int64))[None] for u in order]

        def by_head(user: int) -> object:
            return (head @ model.network.hidden(rows[user])[0, -1]).topk(10)

        found["ms"] = {"head": milliseconds(by_head, _READ)}
        for width in _BEAMS:
            run = partial(_one, beams, rows, width)
            found["ms"][f"beams{width}"] = milliseconds(run, _READ)
    found["ms"] = {k: [float(np.median(v)), float(np.percentile(v, 95))] for k, v in found["ms"].items()}
    return found


def _long_codes(profile: Profile) -> Result:
    """CPU-milliseconds of a user where a code has as many tokens as a title; weights as they are at first."""
    import torch

    from honeyguide.encode.text import text_encoder
    from honeyguide.experiment.claims.lite_beams import Beams, milliseconds, text_codes
    from honeyguide.models.language.lite_llm4rec import LiteLLM4Rec

    data = beauty(profile)
    model = LiteLLM4Rec(**{**_SLICE[profile], **_LM, "epochs": 1}).fit(data)
    texts = model.text.vectors(data.items)
    beams = Beams(model.network, text_codes(texts, _TITLE), model.resolved.dim, model.user or {}, 1)  # type: ignore[arg-type]
    beams.load(getattr(text_encoder("minilm"), "folder", None))
    history, order = data.histories("train", "valid"), np.random.default_rng(0).choice(data.n_users, _READ + 1)
    with torch.inference_mode():
        rows = [torch.from_numpy(history.take(np.array([u])).last(20).values.astype(np.int64))[None] for u in order]
        spent = milliseconds(partial(_one, beams.eval(), rows, _BEAMS[-1]), _READ)
    return {"tokens": _TITLE, "ms": float(np.median(spent))}


def _held(texts: FloatArray) -> Any:
    from honeyguide.models.language.item_tower import FrozenTexts

    return FrozenTexts(texts)


def _one(beams: Any, rows: Any, width: int, user: int) -> object:
    return beams.search(beams.network.hidden(rows[user])[:, -1], width)


def _written(beams: Any, history: Ragged, truth: Ragged, width: int) -> dict[str, float]:
    """Recall@10 and NDCG@10 of what the beams write, without items of the history."""
    import torch

    gains, hits = [], []
    for user in np.flatnonzero(truth.lengths):
        seen = history[int(user)]
        state = beams.network.hidden(torch.from_numpy(seen[-20:].astype(np.int64))[None])[:, -1]
        items = beams.search(state, width)[0][0].numpy()
        places = np.flatnonzero(items[~np.isin(items, seen)][:10] == truth[int(user)][0])
        hits.append(float(len(places) > 0))
        gains.append(float(1 / np.log2(places[0] + 2)) if len(places) else 0.0)
    return {"recall@10": float(np.mean(hits)), "ndcg@10": float(np.mean(gains))}


def _cached(profile: Profile) -> Result:
    """Scores from the table and from the texts anew, and how often the item tower is asked for a batch."""
    import torch

    from honeyguide.models.language.lite_llm4rec import LiteLLM4Rec
    from honeyguide.models.language.text_network import text_forward

    data = beauty(profile)
    model = LiteLLM4Rec(**{**_SLICE[profile], "head": "tied", "epochs": 1}).fit(data)
    texts, asked = model.text.vectors(data.items), data.histories("train", "valid").take(np.arange(200))
    cached = model.score_histories(asked)
    with torch.no_grad():
        fresh = model.network.finished(model.network.described(torch.from_numpy(texts)))
        model.network.items.weight.copy_(fresh)
    uncached = model.score_histories(asked)
    encoded: list[int] = []
    tower = _held(texts)
    tower.register_forward_hook(lambda _, inputs, __: encoded.append(len(inputs[0]) - len(inputs[0].unique())))
    model.network.texts = tower
    batch = model._windows(data.histories("train"), 0).epoch(0)[0]
    model.network.train()
    text_forward(model.network, model.resolved, torch.arange(data.n_items))(batch)
    return {"difference": float(np.abs(cached - uncached).max()), "passes": len(encoded), "repeated": sum(encoded)}


def _cold(head: str, profile: Profile) -> Result:
    """A tenth of the items without events: what share of them stands above the one that was bought."""
    from honeyguide.data.splits import cold_item
    from honeyguide.models.language.lite_llm4rec import LiteLLM4Rec

    data = cold_item(beauty(profile), valid=0.05, test=0.1)
    model = LiteLLM4Rec(**{**_SLICE[profile], "head": head}).fit(data)
    histories, truth = data.histories("train"), data.histories("test")
    asked = np.flatnonzero((truth.lengths > 0) & (histories.lengths > 0))
    scores = model.score_histories(histories.take(asked))
    fresh, truth = np.unique(data.histories("test").values), truth.take(asked)
    pairs = zip(truth.rows, truth.values, strict=True)
    above = [float((scores[row, fresh] > scores[row, item]).mean()) for row, item in pairs]
    return {"rank": float(np.mean(above)), "ci": list(t_interval(above)[1]), "events": len(above), "items": len(fresh)}


def _whole(profile: Profile) -> Result:
    """Beauty, and a user served from cached vectors; in the profile cpu at most 12 epochs."""
    from honeyguide.models.registry import model_class

    data = load_data(BEAUTY)
    options: dict[str, Any] = {"epochs": 12, "max_len": 20} if profile == "cpu" else {}
    model = model_class(_NAME)(None, **options).fit(data)
    cost = {"cpu_seconds": model.report.cpu_seconds, "epochs": len(model.report.curve)}
    return {**cost, **figures(model, data), "served": served_alone(model, data)}


def _floors(profile: Profile) -> Result:
    movies = load_data(_MOVIES if profile == "cpu" else "ml-1m")
    return {"whole": floors(load_data(BEAUTY)), "slice": floors(beauty(profile)), "movies": floors(movies)}


def _judge_beams(results: Mapping[str, Result]) -> Judgement:
    r, long = results["head-and-beams"], results["long-codes"]
    ms, best = r["ms"], max(r[f"beams{w}"]["ndcg@10"] for w in _BEAMS)
    ratio = ms[f"beams{_BEAMS[-1]}"][0] / ms["head"][0]
    names = ("head", *(f"beams{w}" for w in _BEAMS))
    times = ", ".join(f"{name} {ms[name][0]:.1f} (95th percentile {ms[name][1]:.1f})" for name in names)
    note = (
        f"CPU-ms of a user, median: {times}; Recall@10/NDCG@10: {', '.join(f'{n} {pair(r[n])}' for n in names)}; "
        f"{floor_note(results, 'slice')}. One seed; a layer of MiniLM reads, one writes codes of {r['codes'][0]} "
        f"tokens with {r['codes'][1]} values each, keys and values kept. Codes of {long['tokens']} tokens, as many "
        f"as a written title has: {long['ms']:.1f}, {long['ms'] / ms['head'][0]:.0f} times the head; not what is judged"
    )
    return Judgement(ratio, verdict(bool(ratio >= _FASTER and r["head"]["ndcg@10"] >= best)), note=note)


def _judge_sasrec(results: Mapping[str, Result]) -> Judgement:
    ours, theirs = seeded_values(results, "lite", "ndcg@10"), seeded_values(results, "sasrec", "ndcg@10")
    mean, interval = t_interval(ours - theirs)
    movies = {name: results[f"movies-{name}"] for name in (_NAME, "sasrec")}
    note = (
        f"means of {len(SEEDS)} seeds, same width, 20 events, softmax over all items: Recall@10/NDCG@10 "
        f"{seeded_values(results, 'lite', 'recall@10').mean():.4f}/{ours.mean():.4f}, SASRec "
        f"{seeded_values(results, 'sasrec', 'recall@10').mean():.4f}/{theirs.mean():.4f}; "
        f"{floor_note(results, 'slice')}. "
        f"{_MOVIES}, one seed: {', '.join(f'{n} {pair(r)}' for n, r in movies.items())}; "
        f"{floor_note(results, 'movies')}"
    )
    return Judgement(mean, verdict(bool(mean >= 0)), interval, note)


def _judge_ablations(results: Mapping[str, Result]) -> Judgement:
    names = {
        "lite": "as it is",
        "tied": "tied head",
        "both": "ids beside text",
        "ids": "no text",
        "random": "random item tower",
    }
    means = {s: seeded_values(results, s, "ndcg@10").mean() for s in names}
    lm, drawn = results["user-pretrained"], results["user-random"]
    holds = means["lite"] > max(means["ids"], means["random"]) and lm["ndcg@10"] > drawn["ndcg@10"]
    text = ", ".join(f"{label} {means[s]:.4f}" for s, label in names.items())
    note = (
        f"NDCG@10, means of {len(SEEDS)} seeds: {text}; a layer of MiniLM as the tower that reads histories, one "
        f"seed: pretrained {lm['ndcg@10']:.4f}, random weights {drawn['ndcg@10']:.4f}; {floor_note(results, 'slice')}"
    )
    return Judgement(float(means["lite"] - means["ids"]), verdict(bool(holds)), note=note)


def _judge_cached(results: Mapping[str, Result]) -> Judgement:
    r = results["cached"]
    holds = r["difference"] <= 1e-5 and r["passes"] == 1 and r["repeated"] == 0
    note = f"{r['passes']} pass of the item tower for a batch, {r['repeated']} items in it twice"
    return Judgement(r["difference"], verdict(holds), note=note)


def _judge_cold(results: Mapping[str, Result]) -> Judgement:
    tied, untied = results["cold-tied"], results["cold-untied"]
    note = (
        f"share of {tied['items']} items without events above the one bought, {tied['events']} purchases; untied head "
        f"{untied['rank']:.3f} [{untied['ci'][0]:.3f}, {untied['ci'][1]:.3f}]: its rows were never targets, and "
        "add_items refuses it. Floor and popularity score them alike (.5)"
    )
    low, high = tied["ci"]
    return Judgement(tied["rank"], verdict(bool(high < 0.5 and untied["ci"][1] > 0.47)), (low, high), note)


def _cells(*systems: str) -> tuple[Cell, ...]:
    return tuple(Cell(f"{s}-s{seed}", partial(_sliced, s, seed)) for s in systems for seed in SEEDS)


_FLOORS = Cell("floors", _floors)
_SMALL = "2,000 users of Beauty"

PAPER = Paper(
    seed=60,
    module="honeyguide.models.language.lite_llm4rec",
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
            "beams",
            "a head is ten times faster than beam search over the same encoder, with as much training, and no worse",
            _SMALL,
            "CPU-time of a user, 20 beams against the head",
            "at least 10, NDCG@10 not lower",
            (Cell("head-and-beams", _head_and_beams), Cell("long-codes", _long_codes), _FLOORS),
            _judge_beams,
        ),
        Claim(
            "sasrec",
            "no worse than SASRec with a full softmax, the same width and length",
            f"{_SMALL}; {_MOVIES}",
            "NDCG@10 on Beauty, minus SASRec",
            "at least 0",
            (
                *_cells("lite", "sasrec"),
                *(Cell(f"movies-{name}", partial(_movies, name)) for name in (_NAME, "sasrec")),
                _FLOORS,
            ),
            _judge_sasrec,
        ),
        Claim(
            "ablations",
            "text, a pretrained item tower and a pretrained tower of histories each help",
            _SMALL,
            "NDCG@10, with text minus without",
            "every ablation lower",
            (
                *_cells("lite", "tied", "ids", "both"),
                *(Cell(f"random-s{seed}", partial(_random_items, seed)) for seed in SEEDS),
                Cell("user-pretrained", partial(_user_tower, False)),
                Cell("user-random", partial(_user_tower, True)),
                _FLOORS,
            ),
            _judge_ablations,
        ),
        Claim(
            "cached",
            "cached and uncached item vectors give the same scores; an item is encoded once per batch",
            _SMALL,
            "largest difference of a score",
            "at most 1e-5",
            (Cell("cached", _cached),),
            _judge_cached,
        ),
        Claim(
            "cold",
            "a tied head ranks items without events above chance; an untied one cannot",
            _SMALL,
            "share of the new items above the one bought, tied",
            "interval below .5, untied at chance",
            tuple(Cell(f"cold-{head}", partial(_cold, head)) for head in ("tied", "untied")),
            _judge_cold,
        ),
    ),
)
