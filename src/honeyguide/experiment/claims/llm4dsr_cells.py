"""What is run for seed 17: noise found, replaced and learnt around, on the windows that the authors released.

The released windows of a person are put together again (see docs/data.md). What is trained is judged by NDCG@20 on
the last events of the released test windows, over the whole catalogue without what a person has taken; the noise of
the released noisy version is theirs, that of 20 % is injected here into the clean one, in train and valid.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from honeyguide.core.dataset import Dataset
from honeyguide.core.plugged import Plugged
from honeyguide.core.ragged import FloatArray, IntArray, Ragged
from honeyguide.core.recommender import Recommender
from honeyguide.experiment.papers import Profile, Result
from honeyguide.metrics.holdout import holdout_ndcg

DATA = "llm4dsr-toy"
SEEDS, GRU_SEEDS = range(5), range(1)
K = 20
_CHOOSING = 5  # the seed with which the setting is chosen, and nothing is judged
SETTING: dict[str, Any] = {
    "q_train": 0.9,
    "m_train": 2,
    "q_test": 0.9,
    "m_test": 1,
}  # best on valid, noisy and clean: cells choose-*
GRID = ((0.9, 2), (0.95, 1), (0.98, 1))  # percentile and number before training
_FILTER_SEEDS: dict[Profile, range] = {"cpu": range(3), "paper": SEEDS}  # without the filter
_DROP_SEEDS: dict[Profile, range] = {"cpu": range(1), "paper": SEEDS}  # of the rival that drops events
_SERVE = (None, 0.9, 0.95, 0.98)
_MODEL: dict[Profile, dict[str, Any]] = {
    "cpu": {"dim": 32, "loss": "sampled", "negatives": 1024, "epochs": 7, "patience": 7, "valid_users": 500},
    "paper": {"dim": 64, "loss": "softmax", "epochs": 40, "patience": 10, "valid_users": 3000},
}
_ALIKE: dict[str, Any] = {"max_len": 50, "batch_tokens": 1024, "lr": 3e-3, "average": 0.99}
_BLOCKS: dict[str, dict[str, Any]] = {"sasrec": {"blocks": 1, "heads": 1}, "gru4rec": {}}
_DETECTOR: dict[Profile, dict[str, Any]] = {"cpu": {"epochs": 3, "samples": 7000}, "paper": {"epochs": 8}}
_LM: dict[Profile, dict[str, Any]] = {
    "cpu": {"window": 6, "lm_samples": 40, "lm_epochs": 1, "lm_batch": 4},
    "paper": {"window": 10, "lm_samples": 5000, "lm_epochs": 2, "lm_batch": 16},
}
_LM_WINDOWS: dict[Profile, int] = {"cpu": 40, "paper": 600}
Flags = npt.NDArray[np.bool_]


def loaded(share: int, seed: int = 0, name: str = DATA) -> Dataset:
    """The data with no noise, the released 10 %, or 20 % of train and valid drawn with ``seed``."""
    from honeyguide.data.corruptions import inject_noise
    from honeyguide.data.load import load_data

    if share == 10:
        return load_data(name, tables={"interactions": "windows_noise01.parquet"})
    clean = load_data(name)
    return inject_noise(clean, share / 100, "train", "valid", seed=seed) if share else clean


def fitted(name: str, data: Dataset, profile: Profile, seed: int, **plug: Any) -> Recommender:
    """A sequence model, with the plug-in where options of it are given."""
    from honeyguide.models.registry import model_class

    base = name.split("+")[0]
    options: dict[str, Any] = {**_ALIKE, **_MODEL[profile], **_BLOCKS[base], "seed": seed}
    if "+" in name:
        options["llm4dsr"] = plug
    return model_class(name)(**options).fit(data)


def plugin_of(model: Recommender) -> Any:
    """The plug-in of a model that has it alone."""
    assert isinstance(model, Plugged)
    return model.plugins[0]


def judged(
    model: Recommender, data: Dataset, part: str = "test", edit: Callable[[Ragged], Ragged] | None = None
) -> float:
    """Mean NDCG@20 on ``part``, of histories as they are or as ``edit`` leaves them; what is excluded stays."""
    histories = data.histories("train") if part == "valid" else data.histories("train", "valid")

    def score(asked: Ragged, users: IntArray) -> FloatArray:
        return model.score_histories(edit(asked) if edit is not None else asked, users)

    return float(holdout_ndcg(score, histories, data.histories(part), K).mean())


def natural(seed: int) -> Callable[[Profile], Result]:
    """Clean data, as they are and corrected; the model learnt from clean data is the ceiling of the noisy cells."""

    def run(profile: Profile) -> Result:
        clean = loaded(0)
        plain = fitted("sasrec", clean, profile, seed)
        corrected = fitted("sasrec+llm4dsr", clean, profile, seed, **_DETECTOR[profile], **SETTING)
        noisy = {str(share): judged(plain, _with_clean_codes(loaded(share, seed), clean)) for share in (10, 20)}
        return {
            "plain": judged(plain, clean),
            "corrected": judged(corrected, clean),
            "clean model, noisy histories": noisy,
            "share": plugin_of(corrected).report["corrected"] / plugin_of(corrected).report["events"],
        }

    return run


def _with_clean_codes(noisy: Dataset, clean: Dataset) -> Dataset:
    """The noisy events in the codes of the clean catalogue; an item that it has not is unknown (-1)."""
    codes = clean.item_ids.encode(noisy.item_ids.values)[noisy.interactions["item"].to_numpy()]
    return replace(
        noisy, interactions=noisy.interactions.with_columns(pl.Series("item", codes)), item_ids=clean.item_ids
    )


def noisy(share: int, seed: int) -> Callable[[Profile], Result]:
    """Noisy data, as they are, corrected, corrected without a filter, and without what is fitted worst."""

    def run(profile: Profile) -> Result:
        data = loaded(share, seed)
        plain = fitted("sasrec", data, profile, seed)
        corrected = fitted("sasrec+llm4dsr", data, profile, seed, **_DETECTOR[profile], **SETTING)
        plugin = plugin_of(corrected)
        found: dict[str, Any] = {
            "plain": judged(plain, data),
            "corrected": judged(corrected, data),
            "trained on corrected alone": judged(corrected.base, data),  # type: ignore[attr-defined]
            "corrections": _quality(plugin, data),
        }
        if share == 10:
            if seed in _FILTER_SEEDS[profile]:
                found["without a filter"] = _without_filter(plugin, data, profile, seed)
            found["detection"] = detection(plugin, data, profile, seed)
        elif seed in _DROP_SEEDS[profile]:
            dropped = without_the_worst(plain, data, share / 100)
            found["dropped by loss"] = judged(fitted("sasrec", dropped, profile, seed), data)
        return found

    return run


def _without_filter(plugin: Any, data: Dataset, profile: Profile, seed: int) -> float:
    """As many events of every window as may be are replaced, however likely, before training and when asked."""
    from honeyguide.plugins.denoising import Setting

    def edit(histories: Ragged, most: str = "m_test") -> Ragged:
        corrected: Ragged = plugin.corrections(histories, Setting(-1.0, SETTING[most])).corrected
        return corrected

    train = edit(data.histories("train"), "m_train")
    return judged(fitted("sasrec", data.with_histories(train, "train"), profile, seed), data, edit=edit)


def why(profile: Profile) -> Result:
    """With the released noise and the seed 0: what corrections would give that knew the noise of the training part.

    Histories are read as they are when asked. No model that is offered knows the noise.
    """
    from honeyguide.plugins.denoising import Setting, corrections, pooled

    data, clean = loaded(10), loaded(0)
    train = data.histories("train")
    mask = data.select("train").interactions["mask"].to_numpy() > 0
    originals = data.item_ids.encode(clean.item_ids.values)[clean.histories("train").values]
    detector = taught(data, profile, 0)
    length = 10
    setting = Setting(float(np.quantile(pooled(detector, train, length), SETTING["q_train"])), SETTING["m_train"])
    found = corrections(detector, train, length, setting, 0)
    met = found.applied & mask[found.places]
    only_noise, restored = train.values.copy(), train.values.copy()
    only_noise[found.places[met]] = found.replacements[met]
    restored[found.places[met]] = originals[found.places[met]]
    kept = np.ones(data.interactions.height, np.bool_)
    kept[np.flatnonzero((data.interactions["split"] == "train").to_numpy())[mask]] = False
    worlds = {
        "genuine events left alone": data.with_histories(replace(train, values=only_noise), "train"),
        "and noise restored": data.with_histories(replace(train, values=restored), "train"),
        "all noise restored": data.with_histories(replace(train, values=originals), "train"),
        "all noise dropped": replace(data, interactions=data.interactions.filter(pl.Series(kept))),
    }
    counts = data.popularity("train")
    wrong = found.applied & ~mask[found.places]
    return {
        "ndcg": {name: judged(fitted("sasrec", world, profile, 0), data) for name, world in worlds.items()},
        "people": {
            "genuine, replaced": float(counts[train.values[found.places[wrong]]].mean()),
            "their replacements": float(counts[found.replacements[wrong]].mean()),
            "genuine": float(counts[train.values[~mask]].mean()),
        },
    }


def _quality(plugin: Any, data: Dataset) -> dict[str, float]:
    """Of the corrections before training: how many, and how many of them and of all noise were noise that was met."""
    found = plugin.corrections(data.histories("train"), plugin.train)
    mask = data.select("train").interactions["mask"].to_numpy() > 0
    met = mask[found.places[found.applied]]
    return {"n": len(met), "precision": float(met.mean()), "recall": float(met.sum() / mask.sum())}


def without_the_worst(model: Any, data: Dataset, share: float) -> Dataset:
    """``data`` without the ``share`` of training events that ``model`` gives the lowest log-probability."""
    histories, length = data.histories("train"), 1 << 20
    states, read = model.position_states(histories.last(length))
    items, worst = model.item_vectors(), np.full(len(histories.values), np.inf)
    ends = np.concatenate([[0], np.cumsum(read.lengths)])
    first = histories.offsets[1:] - read.lengths  # a long history is read from there
    for row in range(len(read)):
        own = states[ends[row] : ends[row + 1] - 1]  # after each event but the last
        if len(own):
            logits = own @ items.T
            wanted = read[row][1:]
            top = logits.max(1)
            log_p = logits[np.arange(len(own)), wanted] - top - np.log(np.exp(logits - top[:, None]).sum(1))
            worst[first[row] + 1 : histories.offsets[row + 1]] = log_p
    gone = np.argsort(worst)[: int(share * len(worst))]
    train = np.flatnonzero((data.interactions["split"] == "train").to_numpy())
    kept = np.ones(data.interactions.height, np.bool_)
    kept[train[gone]] = False
    return replace(data, interactions=data.interactions.filter(pl.Series(kept)))


# -- detection ----------------------------------------------------------------------------------------


def shipped(data: Dataset, name: str = DATA) -> tuple[Ragged, Flags, IntArray]:
    """Histories of the released noisy test windows, where their events are noise, and what stood there."""
    from honeyguide.data.locate import locate

    folder = locate(name).files["interactions"].parent
    windows = [
        pl.read_parquet(folder / f"windows_noise{n}.parquet").filter(
            pl.col("split").cast(pl.String).str.contains("test")
        )
        for n in ("01", "00")
    ]
    codes = [[data.item_ids.encode(row[:-1]) for row in w["item_ids"].to_list()] for w in windows]
    mask = np.concatenate([np.array(row[:-1], bool) for row in windows[0]["mask"].to_list()])
    return Ragged.from_lists(codes[0]), mask, np.concatenate(codes[1])


def detection(plugin: Any, data: Dataset, profile: Profile, seed: int) -> dict[str, Any]:
    """AUC of detectors on the released noisy test windows, and how often the true item is among 20 suggested."""
    from honeyguide.metrics.predictive import auc
    from honeyguide.plugins.detectors import CosineDetector

    windows, mask, originals = shipped(data)
    counts, places = data.popularity("train"), np.flatnonzero(mask)
    cosine: Any = CosineDetector()
    cosine.vectors = plugin.detector.network.vectors.numpy()
    others = {}
    if seed == 0 or profile == "paper":
        others = {"cosine": cosine, "encoder, text alone": taught(data, profile, seed, collaborative=False)}
    scores = {
        "random": np.random.default_rng(seed).random(len(mask)),
        "rarity": -counts[windows.values],
        "encoder": plugin.detector.probabilities(windows),
        **{name: one.probabilities(windows) for name, one in others.items()},
    }
    popular = np.argsort(-counts, kind="stable")[:K]
    hits = {
        name: float((one.replacements(windows, places, K) == originals[places][:, None]).any(1).mean())
        for name, one in {"encoder": plugin.detector, **others}.items()
    }
    return {
        "auc": {name: auc(mask, score) for name, score in scores.items()},
        "hits": {"popularity": float(np.isin(originals[places], popular).mean()), **hits},
        "events": len(mask),
        "noise": len(places),
    }


def taught(data: Dataset, profile: Profile, seed: int, **options: Any) -> Any:
    """A detector alone, taught on the training part."""
    from honeyguide.core.fitting import FitOptions
    from honeyguide.core.plugin import Run
    from honeyguide.models.registry import model_class
    from honeyguide.plugins.denoising import Pieces
    from honeyguide.plugins.llm4dsr import LLM4DSRConfig, made

    config = LLM4DSRConfig(**{**_DETECTOR[profile], **options})
    detector = made(config)
    train = data.select("train")
    windows = Pieces.of(train.histories("train"), config.window).windows
    detector.fit(windows, train, Run(model_class("popularity")(), FitOptions(), seed))
    return detector


def language(profile: Profile) -> Result:
    """AUC of a language model, tuned and not, on some of the same windows, cut to their latest titles."""
    from honeyguide.metrics.predictive import auc
    from honeyguide.plugins.detectors import CosineDetector

    options = {"detector": "lm", "lm": _lm(), **_LM[profile]}
    data, length = loaded(10), int(options["window"])
    windows, mask, originals = shipped(data)
    flags = Ragged(windows.offsets, mask.astype(np.int32)).last(length)
    truth = Ragged(windows.offsets, originals).last(length)
    rows = np.random.default_rng(17).permutation(len(windows))[: _LM_WINDOWS[profile]]
    asked, noise = windows.last(length).take(rows), flags.take(rows).values > 0
    cosine = CosineDetector()
    cosine.fit(asked, data, None)  # type: ignore[arg-type]  # it only reads the texts
    untuned = taught(data, profile, 0, **{**options, "lm_samples": 0})
    tuned = taught(data, profile, 0, **options)
    places = np.flatnonzero(noise)
    hits = (tuned.replacements(asked, places, K) == truth.take(rows).values[places][:, None]).any(1)
    return {
        "model": untuned.version,
        "windows": len(rows),
        "events": len(noise),
        "noise": len(places),
        "samples": tuned.report["windows"],
        "losses": tuned.report["losses"],
        "auc": {
            "cosine": auc(noise, cosine.probabilities(asked)),
            **{f"untuned, {name}": auc(noise, s) for name, s in _readings(untuned, asked).items()},
            **{f"tuned, {name}": auc(noise, s) for name, s in _readings(tuned, asked).items()},
        },
        "hits": float(hits.mean()),
    }


def _lm() -> str:
    return os.environ.get("HONEYGUIDE_LM", "smollm2").removeprefix("transformers:")


def _readings(detector: Any, windows: Ragged) -> Mapping[str, FloatArray]:
    """The first token and the whole title, as log-probabilities and as shares of the titles of a window."""
    from honeyguide.lm.odd_item import odd_scores, shares

    lists, found = [[detector.titles[i] for i in row] for row in windows], {}
    for reading, name in (("first", "first token"), ("title", "title")):
        scores = odd_scores(detector.model(), lists, reading)  # type: ignore[arg-type]
        found[name] = scores
        found[f"{name}, of the window"] = shares(scores, windows.lengths.tolist())
    return found


# -- the rest -----------------------------------------------------------------------------------------


def choose(share: int) -> Callable[[Profile], Result]:
    """NDCG@20 on valid by setting, with a seed of its own; the test part is not read."""
    return lambda profile: _chosen(loaded(share, _CHOOSING).select("train", "valid"), profile)


def _chosen(data: Dataset, profile: Profile) -> Result:
    from honeyguide.plugins.denoising import Setting, pooled

    seed = _CHOOSING
    train = data.histories("train")
    plugin = plugin_of(fitted("sasrec+llm4dsr", data, profile, seed, **_DETECTOR[profile], **SETTING))
    pool = pooled(plugin.detector, train, plugin.config.window)

    def edits(q: float, m: int) -> Callable[[Ragged], Ragged]:
        setting = Setting(float(np.quantile(pool, q)), m)
        return lambda histories: plugin.corrections(histories, setting).corrected

    found = {"no correction": {"none": judged(fitted("sasrec", data, profile, seed), data, "valid")}}
    for q, m in GRID:
        model = fitted("sasrec", data.with_histories(edits(q, m)(train), "train"), profile, seed)
        found[f"{q:g}, {m}"] = {
            "none" if serve is None else f"{serve:g}": judged(
                model, data, "valid", None if serve is None else edits(serve, 1)
            )
            for serve in _SERVE
        }
    return {"valid": found}


def second(seed: int) -> Callable[[Profile], Result]:
    """GRU4Rec with 20 % of noise, as it is and with the plug-in unchanged."""

    def run(profile: Profile) -> Result:
        data = loaded(20, seed)
        names = ("gru4rec", "gru4rec+llm4dsr")
        plain, corrected = (fitted(name, data, profile, seed, **_DETECTOR[profile], **SETTING) for name in names)
        return {"plain": judged(plain, data), "corrected": judged(corrected, data)}

    return run


def floors(profile: Profile) -> Result:
    """Popularity and the linear floor, on clean and noisy data."""
    from honeyguide.models.registry import model_class

    return {
        str(share): {name: judged(model_class(name)().fit(data), data) for name in ("popularity", "floor")}
        for share in (0, 10, 20)
        for data in [loaded(share)]
    }
