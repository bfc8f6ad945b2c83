"""Seed 49 on made clicks: the loss as an estimate, and the semi-synthetic study of section 5."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from honeyguide.core.dataset import Dataset
from honeyguide.core.ragged import FloatArray
from honeyguide.core.recommender import Recommender
from honeyguide.data.build import build
from honeyguide.data.load import load_data
from honeyguide.experiment.claims.rel_mf_parts import CLIP, SEEDS, fitted_mf
from honeyguide.experiment.papers import Judgement, Profile, Result, verdict
from honeyguide.metrics.stats import t_interval

POWERS = (0.5, 1.0, 2.0, 4.0)


def estimates(clip: float, draws: int, seed: int = 0) -> tuple[npt.NDArray[np.float64], float]:
    """The loss of the library on resampled clicks ``[draws]``, and the ideal one it estimates.

    Parameters
    ----------
    clip
        M.
    draws
        Clicks are drawn so often, ``Y = O R`` with ``O ~ theta``, ``R ~ gamma``.
    seed
        Of the draws.
    """
    import torch

    from honeyguide.models.factor.mf import MF
    from honeyguide.models.factor.pair_training import pointwise_losses
    from honeyguide.nn.forward import Weights, mean_reweighed
    from honeyguide.plugins.propensities import kept

    rng = np.random.default_rng(seed)
    n = 20_000
    gamma, theta = rng.uniform(0.05, 0.6, n), rng.beta(1, 4, n) * 0.95 + 0.05
    users, items = (torch.from_numpy(rng.normal(mean, 0.7, (n, 4))) for mean in (0.5, -0.5))  # most predicted low
    inverse = torch.from_numpy(1 / kept(theta.astype(np.float32), clip)).double()

    def loss(y: npt.NDArray[np.float64], weights: Weights | None) -> float:
        losses = pointwise_losses((users, items), torch.from_numpy(y), MF().config)
        return float(mean_reweighed(losses, weights)[0])

    found = []
    for _ in range(draws):
        clicks = (rng.random(n) < theta) & (rng.random(n) < gamma)
        found.append(loss(clicks.astype(np.float64), Weights(relevance=inverse)))
    return np.array(found), loss(gamma, None)


def theory(profile: Profile) -> Result:
    """Bias, its standard error and the variance of 200 estimates, for several M."""
    found = {}
    for clip in (0.0, 0.1, 0.2, 0.4):
        values, ideal = estimates(clip, 200)
        error = float(values.std(ddof=1) / np.sqrt(len(values)))
        found[f"{clip:g}"] = {"bias": float(values.mean()) - ideal, "se": error, "variance": float(values.var(ddof=1))}
    return found


def judge_theory(results: Mapping[str, Result]) -> Judgement:
    """Unbiased at M = 0; biased with M, and the variance falls."""
    cells = results["theory"]
    zero, rest = cells["0"], [cells[m] for m in ("0.1", "0.2", "0.4")]
    variances = [zero["variance"], *(c["variance"] for c in rest)]
    held = abs(zero["bias"]) <= 2 * zero["se"] and all(abs(c["bias"]) > 2 * c["se"] for c in rest)
    held = held and all(a > b for a, b in pairwise(variances))
    shown = "; ".join(f"M = {m}: bias {c['bias']:+.2e}, variance {c['variance']:.2e}" for m, c in cells.items())
    return Judgement(abs(zero["bias"]) / zero["se"], verdict(held), note=shown)


def _rating_model(data: Dataset, dim: int = 20, ridge: float = 8.0, rounds: int = 4) -> FloatArray:
    """Ratings of every pair, by alternating ridge regressions with a bias: float32 ``[n, m]``."""
    import scipy.sparse as sp

    events = data.interactions
    rows, columns, ratings = (events[c].to_numpy() for c in ("user", "item", "label"))
    mean = float(ratings.mean())
    table = sp.csr_matrix((ratings - mean + 1e-9, (rows, columns)), shape=(data.n_users, data.n_items))
    rng = np.random.default_rng(0)
    sides = [np.zeros((table.shape[0], dim + 1)), rng.normal(0, 0.1, (table.shape[1], dim + 1))]
    sides[1][:, -1] = 0.0
    both = (table, sp.csr_matrix(table.T))
    for turn in range(2 * rounds):
        own, other = turn % 2, 1 - turn % 2
        matrix = both[own]
        for row in range(matrix.shape[0]):
            taken = slice(matrix.indptr[row], matrix.indptr[row + 1])
            x = np.c_[sides[other][matrix.indices[taken], :-1], np.ones(taken.stop - taken.start)]
            y = matrix.data[taken] - sides[other][matrix.indices[taken], -1]
            sides[own][row] = np.linalg.solve(x.T @ x + ridge * np.eye(dim + 1), x.T @ y)
    u, v = sides
    return np.asarray(mean + u[:, :-1] @ v[:, :-1].T + u[:, -1:] + v[:, -1], np.float32)


def _clicks(data: Dataset, clicked: npt.NDArray[np.bool_], theta: FloatArray) -> Dataset:
    """A data set of the pairs that were clicked, each with its propensity; all of them train."""
    rows, columns = np.nonzero(clicked)
    frame = pl.DataFrame({"user_id": rows, "item_id": columns, "propensity": np.clip(theta[rows, columns], 1e-6, 1.0)})
    everybody = pl.DataFrame({"user_id": np.arange(data.n_users)})
    everything = pl.DataFrame({"item_id": np.arange(data.n_items)})
    return build(data.name, frame, everything, everybody)


def _worth(model: Any, gamma: FloatArray, seed: int) -> float:
    """Expected DCG@5 when each user's ten random items are ranked, by the trained vectors: sum of gamma d_r."""
    from honeyguide.metrics.ranking import discounts

    rng = np.random.default_rng(seed)
    shown = np.stack([rng.choice(gamma.shape[1], 10, replace=False) for _ in range(len(gamma))])
    order = np.argsort(-np.take_along_axis(_trained(model), shown, 1), axis=1, kind="stable")[:, :5]
    return float((np.take_along_axis(np.take_along_axis(gamma, shown, 1), order, 1) @ discounts(5)).mean())


def _trained(model: Any) -> FloatArray:
    network = getattr(model, "base", model).network
    scores: FloatArray = (network.user_vectors() @ network.item_vectors().T).detach().numpy()
    return scores


def _ten_random(models: Mapping[str, Any], gamma: FloatArray, counts: FloatArray, seed: int) -> dict[str, float]:
    """DCG@5 of relevance on ten items drawn for each user, from all and from the rarer half."""
    rng, found = np.random.default_rng(seed), {}
    rarer = np.argsort(counts, kind="stable")[: len(counts) // 2]
    for part, pool in (("", np.arange(len(counts))), (" rare", rarer)):
        shown = np.stack([rng.choice(pool, 10, replace=False) for _ in range(len(gamma))])
        liked = rng.random(shown.shape) < np.take_along_axis(gamma, shown, 1)
        for name, model in models.items():
            order = np.argsort(-np.take_along_axis(_trained(model), shown, 1), axis=1, kind="stable")[:, :5]
            gain = np.take_along_axis(liked, order, 1) / np.log2(np.arange(2, 7))
            found[name + part] = float(gain.sum(1).mean())
    return found


def semi_synthetic(seed: int) -> Any:
    """The cell of a seed: what users like and what they are shown are estimated once, clicks are drawn from both."""

    def run(profile: Profile) -> Result:
        """Oracle, MF and Rel-MF with the true propensities, for every strength of the bias."""
        from honeyguide.plugins import propensities

        data = load_data("ml-100k").select("train")
        gamma = 1 / (1 + np.exp(5.0 - _rating_model(data)))
        shown = replace(
            propensities.exposure(data, 1.0, 20, 0, 10), offset=0.0
        )  # half are shown, as the authors have it
        users, items = np.indices(gamma.shape)
        chance = shown.of(users.ravel(), items.ravel()).reshape(gamma.shape)
        rng = np.random.default_rng(seed)
        relevant = rng.random(gamma.shape) < gamma
        found: dict[str, Any] = {"relevant": int(relevant.sum())}
        steps = 2000 if profile == "paper" else 200
        oracle = _worth(_steps(_clicks(data, relevant, chance), steps, seed, None), gamma, seed)
        for power in POWERS:
            theta = np.asarray(chance**power, np.float32)
            clicked = relevant & (rng.random(gamma.shape) < theta)
            events = _clicks(data, clicked, theta)
            models = {"wmf": _steps(events, steps, seed, None), "true": _steps(events, steps, seed, "logged")}
            worth = {"mf": _worth(models["wmf"], gamma, seed), "rel-mf": _worth(models["true"], gamma, seed)}
            found[f"{power:g}"] = {"clicks": int(clicked.sum()), "oracle": oracle, **worth}
            if power == 2.0:
                half = {n: _steps(events, steps, seed, p, whole=False) for n, p in (("mf", None), ("rel-mf", "logged"))}
                found["half batches"] = {name: _worth(model, gamma, seed) for name, model in half.items()}
            if power == 1.0:
                models["rel-mf"] = _steps(events, steps, seed, "popularity")
                found["random items"] = _ten_random(models, gamma, events.popularity("train"), seed)
        return found

    return run


def _steps(events: Dataset, steps: int, seed: int, propensity: str | None, *, whole: bool = True) -> Recommender:
    """MF after so many steps on batches of 1,024 clicks and four times as many other pairs, which stand for all.

    Not ``whole``: as many other pairs, which stand for themselves, as in the authors' code.
    """
    epochs = max(1, round(steps / max(1, -(-events.interactions.height // 1024))))
    options = {"seed": seed, "dim": 10, "batch": 1024, "epochs": epochs, "decay": 1e-5, "lr": 0.05}
    options |= {"representative": True, "unlabelled": 4} if whole else {}
    return fitted_mf(events, options, None if propensity is None else CLIP, propensity or "logged")


def judge_semi_synthetic(results: Mapping[str, Result]) -> Judgement:
    """The slopes in p of the gaps to the oracle."""
    cells = [results[f"semi-synthetic-{seed}"] for seed in SEEDS]

    def gaps(system: str) -> npt.NDArray[np.float64]:
        return np.array([[1 - c[f"{p:g}"][system] / c[f"{p:g}"]["oracle"] for p in POWERS] for c in cells])

    slopes = {s: np.polyfit(POWERS, gaps(s).T, 1)[0] for s in ("mf", "rel-mf")}  # one for each seed
    mean, ci = t_interval(slopes["mf"] - slopes["rel-mf"])
    shown = "; ".join(
        f"p = {p:g}: MF {gaps('mf')[:, i].mean():.1%}, Rel-MF {gaps('rel-mf')[:, i].mean():.1%}"
        for i, p in enumerate(POWERS)
    )
    half = {n: np.mean([1 - c["half batches"][n] / c["2"]["oracle"] for c in cells]) for n in ("mf", "rel-mf")}
    note = (
        f"gap to the oracle in expected DCG@5 of ten random items, true propensities, M = {CLIP}; {shown}. Slopes per "
        f"unit of p: MF {slopes['mf'].mean():.4f}, Rel-MF {slopes['rel-mf'].mean():.4f}. In the batches of all three "
        "the pairs that were not clicked count as many as there are. With half clicks in a batch, as in the authors' "
        f"code, the estimate is not that of the loss over all pairs: the gaps at p = 2 are then {half['mf']:.1%} of MF "
        f"and {half['rel-mf']:.1%} of Rel-MF."
    )
    return Judgement(mean, verdict(ci[0] > 0), ci, note)
