"""What is run for seed 32: models without a defence and with three, on clean data and under attacks."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from honeyguide.core.dataset import Dataset
from honeyguide.core.errors import DataError
from honeyguide.core.ragged import FloatArray, IntArray, Ragged
from honeyguide.core.resources import Stopwatch
from honeyguide.experiment.papers import Profile, Result
from honeyguide.metrics.arrays import Vector, ratio
from honeyguide.metrics.holdout import ScoreFunction

DATA = "gowalla-lightgcn"
SEEDS = range(5)
ATTACKS = ("random", "bandwagon", "segment", "surrogate")
RELEASED = tuple(f"released:{name}" for name in ("random", "bandwagon", "dp", "rev"))  # in the profile paper, besides
SIZES = (0.01, 0.02, 0.05)  # beside none and the one of all other cells
_WINDOWS = {"max_len": 20, "batch_tokens": 256}
SMOKE: dict[str, dict[str, Any]] = {
    "lightgcn": {"negatives": 256},
    "simplex": {"negatives": 256},
    "sasrec": {**_WINDOWS, "warmup": 10, "blocks": 1, "heads": 1},
    "gru4rec": {**_WINDOWS, "warmup": 10},
    "hstu": {**_WINDOWS, "warmup": 10, "blocks": 1, "heads": 1},
    "two-tower": {**_WINDOWS, "encoder": "use", "negatives": 128},
}
METRIC, SERVED = "target_hit_rate@50", ":served"

_USERS, _CORE = 6000, 10  # of the profile cpu: users drawn, and events that a user and an item have among them
SHARE, _EACH = 0.03, 5  # fakes for every genuine user, and targets in a profile
_VAT = {"epsilon": 0.2, "start": 3}
_SYSTEMS: dict[str, dict[str, Any] | None] = {
    "plain": None,
    "vat": _VAT,
    "apr": {**_VAT, "g": "constant"},
    "inverted": {**_VAT, "g": "inverted"},
}


def by_seed(seed: int) -> Callable[[Profile], Result]:
    """All systems on the clean data and under every attack, with one seed of models and attacks."""

    def run(profile: Profile) -> Result:
        data, options = _data(profile), _options(profile, seed)
        found: dict[str, Any] = {}
        for kind in ("clean", *ATTACKS, *(RELEASED if profile == "paper" else ())):
            attacked, targets = _attacked(data, kind, seed)
            found[kind] = {}
            for name, defence in _SYSTEMS.items():
                model = _fitted("mf-bpr", attacked, defence, options)
                found[kind][name] = _served(model, attacked, targets) | _trained(model, attacked, targets)
                if name == "plain":
                    found[kind][name] |= _fit_of_users(model, attacked, targets)
        return {"data": repr(data), "figures": found}

    return run


def floors(profile: Profile) -> Result:
    """Popularity and item neighbours on the clean data and under every attack."""
    from honeyguide.models.registry import model_class

    data, found = _data(profile), dict[str, Any]()
    for kind in ("clean", *ATTACKS):
        attacked, targets = _attacked(data, kind, 0)
        models = {name: model_class(name)().fit(attacked) for name in ("popularity", "itemknn")}
        found[kind] = {name: _served(model, attacked, targets) for name, model in models.items()}
    return {"figures": found}


def fakes(profile: Profile) -> Result:
    """The mean of g that fake users get, and that genuine ones get, in the plain model under every attack."""
    from honeyguide.data.attacks import fake_users

    data, found = _data(profile), dict[str, Any]()
    for kind in ATTACKS:
        attacked, _ = _attacked(data, kind, 0)
        _, g = _losses(_fitted("mf-bpr", attacked, None, _options(profile, 0)), attacked)
        fake = fake_users(attacked)
        found[kind] = {"fake": float(np.nanmean(g[fake])), "genuine": float(np.nanmean(g[~fake]))}
    return {"g": found}


def sizes(profile: Profile) -> Result:
    """T-HR@50 of a bandwagon attack by its size, with the seed 0."""
    data, found = _data(profile), dict[str, Any]()
    for share in SIZES:
        attacked, targets = _attacked(data, "bandwagon", 0, share)
        found[str(share)] = {
            name: _trained(_fitted("mf-bpr", attacked, _SYSTEMS[name], _options(profile, 0)), attacked, targets)
            for name in ("plain", "apr", "vat")
        }
    return {"figures": found}


def by_size(sized: Result, seed_0: Result) -> dict[float, Any]:
    """Figures of the systems by the share of fakes, from what :func:`sizes` and :func:`by_seed` gave."""
    own = {0.0: seed_0["figures"]["clean"], SHARE: seed_0["figures"]["bandwagon"]}
    return dict(sorted({**own, **{float(size): found for size, found in sized["figures"].items()}}.items()))


def cost(profile: Profile) -> Result:
    """CPU-seconds of a fit with the adversary in every epoch, and of one without, in three turns."""
    data, options, turns = _data(profile), {**_options(profile, 0), "epochs": 6}, []
    for _ in range(3):
        seconds = []
        for defence in (None, {**_VAT, "start": 0}):
            with Stopwatch() as watch:
                _fitted("mf-bpr", data, defence, options)
            seconds.append(watch.cpu)
        turns.append(seconds)
    return {"cpu_seconds": turns, "ratio": float(np.median([b / a for a, b in turns]))}


def smoke(name: str) -> Callable[[Profile], Result]:
    """A few epochs over another model, of books and under a bandwagon attack."""

    def run(profile: Profile) -> Result:
        from honeyguide.data.build import build, decoded
        from honeyguide.data.load import load_data

        whole = load_data("goodbooks-mini")
        books = build("books", decoded(whole).filter(whole.interactions["user"] < 300), whole.items)
        attacked, targets = _attacked(books, "bandwagon", 0)
        options, histories = {"dim": 16, "epochs": 5, **SMOKE[name]}, attacked.histories("train")
        systems: dict[str, dict[str, Any] | None] = {"plain": None, "vat": {"epsilon": 0.1, "start": 1}}
        models = {system: _fitted(name, attacked, defence, options) for system, defence in systems.items()}
        scores = [model.score_histories(histories) for model in models.values()]
        found: dict[str, Any] = {system: _served(model, attacked, targets) for system, model in models.items()}
        return {**found, "moved": float(np.abs(scores[1] - scores[0]).mean() / np.abs(scores[0]).mean())}

    return run


def _data(profile: Profile) -> Dataset:
    """Gowalla with a valid part; in the profile cpu the events among a random choice of users, as a dense core."""
    from honeyguide.data.build import build, decoded
    from honeyguide.data.load import load_data
    from honeyguide.data.valid import ensure_valid

    if not (Path(os.environ.get("HONEYGUIDE_DATA", "")) / DATA).is_dir():
        raise DataError(f"the data set {DATA!r} is not here.", "Set HONEYGUIDE_DATA to the folder that holds it.")
    whole = load_data(DATA)
    if profile == "paper":
        return ensure_valid(whole)
    users = np.random.default_rng(0).choice(whole.n_users, _USERS, replace=False)
    frame, before = decoded(whole).filter(pl.Series(np.isin(whole.interactions["user"].to_numpy(), users))), -1
    while frame.height != before:
        before = frame.height
        frame = frame.filter((pl.len().over("item_id") >= _CORE) & (pl.len().over("user_id") >= _CORE))
    return ensure_valid(build("gowalla-core", frame))


def _options(profile: Profile, seed: int) -> dict[str, Any]:
    """Of matrix factorisation; every system runs all epochs and keeps the best on valid."""
    if profile == "paper":
        return {"dim": 64, "lr": 1e-3, "epochs": 60, "patience": 60, "batch": 2048, "fold_in": "map", "seed": seed}
    options = {"dim": 32, "lr": 5e-3, "epochs": 16, "patience": 16, "batch": 1024, "regularization": 0.01}
    return {**options, "fold_in": "map", "seed": seed}


def _attacked(data: Dataset, kind: str, seed: int, share: float = SHARE) -> tuple[Dataset, IntArray]:
    from honeyguide.data.attacks import promoted_items, unpopular_items
    from honeyguide.experiment.attacks import attack

    targets = unpopular_items(data, 5)
    if kind == "clean":
        return data, targets
    found = attack(data, kind, targets, share=share, each=_EACH, seed=seed)
    return found, promoted_items(found)


def _fitted(name: str, data: Dataset, defence: dict[str, Any] | None, options: dict[str, Any]) -> Any:
    from honeyguide.models.registry import model_class

    if defence is None:
        return model_class(name)(**options).fit(data)
    return model_class(f"{name}+vat")(**options, vat=defence).fit(data)


def _vectors(model: Any) -> tuple[FloatArray, FloatArray]:
    """Of the users and items of the fit."""
    network = getattr(model, "base", model).network
    return network.user_vectors().detach().numpy(), network.item_vectors().detach().numpy()


def _trained(model: Any, data: Dataset, targets: IntArray) -> dict[str, float]:
    """What the trained vectors of users and items give, as in the paper."""
    from honeyguide.metrics.attack import attack_success

    users, items = _vectors(model)

    def score(histories: Ragged, rows: IntArray) -> FloatArray:
        return np.asarray(users[rows] @ items.T, np.float32)

    success = attack_success(score, data, targets=targets)
    return {name: float(np.nanmean(values)) for name, values in success.items()} | {"recall@20": _recall(score, data)}


def _served(model: Any, data: Dataset, targets: IntArray) -> dict[str, float]:
    """What the model answers, which folds users in from their histories."""
    from honeyguide.metrics.attack import attack_success

    success = attack_success(model, data, targets=targets)
    found = {name: float(np.nanmean(values)) for name, values in success.items()}
    found["recall@20"] = _recall(model.score_histories, data)
    return {f"{name}{SERVED}": value for name, value in found.items()}


def _recall(score: ScoreFunction, data: Dataset) -> float:
    from honeyguide.metrics.catalogue import Catalogue
    from honeyguide.metrics.evaluate import evaluate_lists
    from honeyguide.metrics.holdout import rank_catalogue

    truth = data.histories("test")
    asked = np.flatnonzero(truth.lengths).astype(np.int32)
    histories, truth = data.histories("train", "valid").take(asked), truth.take(asked)
    lists = rank_catalogue(lambda h, rows: score(h, asked[rows]), histories, truth, 20)
    return evaluate_lists(lists, truth, ["recall@20"], Catalogue(data.n_items)).overall["recall@20"]


def _fit_of_users(model: Any, data: Dataset, targets: IntArray) -> dict[str, float]:
    """``loss_order``, P(the loss of a user who is shown a target is below that of one who is not); the mean of g."""
    from honeyguide.metrics.attack import attack_success
    from honeyguide.metrics.predictive import auc

    users, items = _vectors(model)
    shown = attack_success(lambda h, rows: users[rows] @ items.T, data, (50,), targets=targets)[METRIC]
    losses, g = _losses(model, data)
    judged = np.isfinite(shown) & np.isfinite(losses)
    reached = (shown[judged] > 0).astype(np.float64)
    order = float(auc(reached, -losses[judged])) if 0 < reached.mean() < 1 else float("nan")
    return {"loss_order": order, "mean_g": float(np.nanmean(g))}


def _losses(model: Any, data: Dataset) -> tuple[Vector, Vector]:
    """Of every user: the mean BPR loss over the own pairs and eight random negatives each, and g; NaN without pairs."""
    import torch

    from honeyguide.plugins.vat import VAT

    users, items = _vectors(model)
    pairs = data.matrix("train").tocoo()
    negatives = np.random.default_rng(0).integers(0, len(items), (len(pairs.row), 8))
    own, taken = users[pairs.row], items[pairs.col]  # [pairs, d]
    margins = np.stack([(own * (taken - items[drawn])).sum(axis=1) for drawn in negatives.T], axis=1)
    counts = np.bincount(pairs.row, minlength=data.n_users)
    losses = ratio(np.bincount(pairs.row, np.logaddexp(0, -margins).mean(axis=1), data.n_users), counts)
    known, g = np.flatnonzero(counts), np.full(data.n_users, np.nan)
    g[known] = VAT().factors(torch.from_numpy(known), torch.from_numpy(losses[known])).numpy()
    return losses, g
