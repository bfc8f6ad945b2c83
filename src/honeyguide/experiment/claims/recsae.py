"""Seed 26, "Interpret the Internal States of Recommendation Model with Sparse Autoencoder" (arXiv 2411.06112)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from honeyguide.core.dataset import Dataset
from honeyguide.core.plugged import Plugged
from honeyguide.core.recommender import Recommender
from honeyguide.data.load import load_data
from honeyguide.experiment.papers import Cell, Claim, Judgement, Paper, Profile, Result, verdict
from honeyguide.experiment.settings import build_model
from honeyguide.metrics.holdout import model_ndcg
from honeyguide.metrics.stats import holm, t_interval

_SEEDS = {"ml-100k": range(5), "ml-1m": range(5)}
_SASREC: dict[str, Any] = {
    "dim": 64,
    "blocks": 1,
    "heads": 1,
    "max_len": 20,
    "positions": "learned",
    "dropout": 0.1,
    "loss": "sampled",
    "lr": 3e-3,
    "epochs": 8,
}
_SAE: dict[str, dict[str, Any]] = {
    "ml-100k": {"k": 8, "expansion": 16, "lr": 1e-3, "epochs": 8, "patience": 8, "batch": 256},
    "ml-1m": {"k": 8, "expansion": 16, "lr": 2e-3, "epochs": 8, "patience": 8},
}
_QUICK: dict[str, dict[str, Any]] = {
    "mf-bpr": {"dim": 32, "epochs": 4},
    "lightgcn": {"dim": 32, "epochs": 3, "negatives": 256},
    "ials": {"factors": 32, "iterations": 5},
    "simplex": {"dim": 32, "epochs": 3, "negatives": 256},
    "sasrec": {"dim": 32, "blocks": 1, "heads": 1, "max_len": 20, "epochs": 2, "loss": "sampled"},
    "gru4rec": {"dim": 32, "max_len": 20, "epochs": 4, "lr": 1e-2, "loss": "sampled"},
    "hstu": {"dim": 32, "blocks": 1, "heads": 1, "max_len": 20, "epochs": 2, "loss": "sampled"},
    "two-tower": {"dim": 32, "max_len": 20, "epochs": 2, "negatives": 256},
}
_LISTED = 30  # items that a concept is named after, at most
_CONCEPTS = 50  # the most confident ones are switched off
_FEWEST = (25, 10)  # held-out users in whom one of them is active, at least: a test of fewer tells little


def _sasrec(name: str, seed: int, profile: Profile) -> Result:
    """SASRec with an autoencoder: what x^ costs, what the latents stand for, and what switching them off does."""
    data = load_data(name)
    backbone = _SASREC if profile == "cpu" else {"seed": seed}
    autoencoder = _SAE[name] if profile == "cpu" else {"epochs": 50, "patience": 10}
    options = {**backbone, "seed": seed, "recsae": autoencoder}
    model = _plugged(build_model("sasrec+recsae", options), data)
    return {
        **_kept(model, data),
        **_explained(model, data, seed),
        "bits": _bits(model, data),
        "plugin": {name: value for name, value in _plugin(model).report.items() if name != "curve"},
        "options": options,
    }


def _hook(name: str, profile: Profile) -> Result:
    """The same plug-in over another model, unchanged."""
    options = _QUICK[name] if profile == "cpu" else {}
    sae = {"expansion": 8, "k": 8, "epochs": 3} if profile == "cpu" else {}
    data = load_data("ml-100k")
    model = _plugged(build_model(f"{name}+recsae", {**options, "recsae": sae}), data)
    return {**_kept(model, data), "bits": _bits(model, data), "vectors": _plugin(model).report["vectors"]}


def _floors(profile: Profile) -> Result:
    """NDCG@10 of popularity and of the linear floor, where the plug-in is measured."""
    found: dict[str, dict[str, float]] = {}
    for name in ("ml-100k", "ml-1m"):
        data = load_data(name)
        found[name] = {}
        for model in ("popularity", "floor"):
            fitted = build_model(model).fit(data)
            found[name][model] = float(_test_ndcg(fitted, data).mean())
    return found


def _plugged(model: Recommender, data: Dataset) -> Plugged:
    fitted = model.fit(data)
    assert isinstance(fitted, Plugged)  # by its name
    return fitted


def _plugin(model: Plugged) -> Any:
    return model.plugins[0]


def _test_ndcg(model: Recommender, data: Dataset) -> npt.NDArray[np.float64]:
    return model_ndcg(model, data.histories("train", "valid"), data.histories("test"))


def _kept(model: Plugged, data: Dataset) -> dict[str, Any]:
    """NDCG@10 on test of x and of x^."""
    plain = _test_ndcg(model, data)
    with _plugin(model).reconstructing():
        rebuilt = _test_ndcg(model, data)
    return {"ndcg": float(plain.mean()), "ndcg_rebuilt": float(rebuilt.mean()), "users": len(plain)}


def _bits(model: Plugged, data: Dataset) -> dict[str, bool]:
    """Whether scores keep every bit: without an edit, with one that changes nothing, and where it does not reach."""
    plugin, histories = _plugin(model), data.histories("train", "valid").take(np.arange(min(500, data.n_users)))
    plain = plugin.plain()
    before = plain.score_histories(histories)
    codes = plugin.codes(plain.user_vectors(histories))
    reached = np.bincount(codes.latents[codes.values > 0], minlength=plugin.n_latents)
    latent = int(np.abs(reached - len(codes.values) / 2).argmin())  # active in about half of the users
    without = ~((codes.latents == latent) & (codes.values > 0)).any(axis=1)
    with plugin.editing({latent: 1.0}):
        same = model.score_histories(histories)
    with plugin.editing({latent: 0.0}):
        edited = model.score_histories(histories)
    return {
        "no_edit": bool(np.array_equal(model.score_histories(histories), before)),
        "times_one": bool(np.array_equal(same, before)),
        "not_reached": bool(without.any() and np.array_equal(edited[without], before[without])),
        "reached": bool((edited[~without] != before[~without]).any()),
    }


def _explained(model: Plugged, data: Dataset, seed: int) -> dict[str, Any]:
    """Concepts of the latents and of controls, verified in the same way; and the surest switched off."""
    from honeyguide.encode.items import text_vectors
    from honeyguide.encode.text import text_encoder
    from honeyguide.experiment.concept_browser import in_code_order, judged_texts
    from honeyguide.explain import concepts as named
    from honeyguide.explain.concept_check import verify

    plugin, judge = _plugin(model), text_encoder("minilm")
    table, titles = in_code_order(data.item_ids, data.items)
    genres = {value.lower() for cell in table["genres"].drop_nulls().to_list() for value in cell}
    inputs = named.gather_inputs(plugin, data.histories("train"), seed=seed)
    vocabulary, vectors = named.Vocabulary.of(table, titles), text_vectors(judged_texts(table), judge)
    latents = named.latent_activations(plugin, inputs.states)
    share = latents.nnz / max(1, np.prod(latents.shape))
    drawn = named.random_directions(inputs.states, inputs.states.shape[1], seed)
    directions: dict[str, sp.csr_matrix] = {
        "latents": latents,
        "neurons": named.positive_activations(inputs.states),
        "random": named.positive_activations(drawn),
        "neurons, as rare": named.rare_activations(inputs.states, share),
        "random, as rare": named.rare_activations(drawn, share),
    }
    found: dict[str, Any] = {}
    for kind, activations in directions.items():
        concepts = named.name_concepts(activations, inputs, vocabulary)
        verdicts = verify(concepts, activations, inputs, vectors, judge, seed)
        scores = [verdict.f1 for verdict in verdicts if verdict is not None]
        found[kind] = {
            "directions": activations.shape[1],
            "named": len(concepts),
            "genre": sum(bool(genres & concept.p_values.keys()) for concept in concepts),
            "verified": len(scores),
            "f1": float(np.mean(scores)) if scores else None,
            "f1_above": {str(t): sum(score >= t for score in scores) for t in (0.6, 0.7, 0.8, 0.9)},
        }
        if kind == "latents":
            sure = [(v.f1, c) for v, c in zip(verdicts, concepts, strict=True) if v is not None]
            sure.sort(key=lambda pair: -pair[0])
    tried = [(concept, vocabulary.having(concept.values)) for _, concept in sure]
    return {"concepts": found, "ablation": _ablated(model, data, inputs, tried)}


def _ablated(model: Plugged, data: Dataset, inputs: Any, concepts: list[Any]) -> dict[str, Any]:
    """The most confident concepts, each switched off for users whose inputs it was not named after.

    Other items are those that neither are among the concept's nor have a value of its name; and, in a second
    reading, all that are not among the concept's. Concepts that are active in a few users only are left out; the
    result says what fewer would have given.
    """
    from honeyguide.explain.concept_check import Ablations
    from honeyguide.explain.concepts import NAMING

    users = np.flatnonzero(inputs.user_parts != NAMING)
    histories, truth = data.histories("train", "valid").take(users), data.histories("test").take(users)
    lists = Ablations(model, _plugin(model), histories, truth)

    def tried(fewest: int) -> dict[str, Any]:
        some = [(c, alike) for c, alike in concepts if len(lists.users_of(c.direction)) >= fewest][:_CONCEPTS]
        done = [lists.switch_off(c.direction, c.items, alike) for c, alike in some]
        listed = [lists.switch_off(c.direction, c.items) for c, _ in some]
        return {**_summed([c for c, _ in some], done), "fewest": fewest, "unlisted": _others(listed)}

    most, least = _FEWEST
    return {**tried(most), "with_fewer": tried(least)}


def _others(done: list[Any]) -> dict[str, float | None]:
    """NDCG@10 of other items over all concepts and users, and its change."""
    before, after = (
        np.concatenate([getattr(one, name) for one in done] or [np.empty(0)]) for name in ("ndcg_before", "ndcg_after")
    )
    change = float(after.sum() / before.sum() - 1) if before.any() else None
    return {"n": len(before), "ndcg": float(before.mean()) if len(before) else None, "change": change}


def _summed(concepts: list[Any], done: list[Any]) -> dict[str, Any]:
    p = holm([one.p_value for one in done])
    return {
        "concepts": len(done),
        "significant": sum(one.after < one.before and q < 0.05 for one, q in zip(done, p, strict=True)),
        "fell": sum(one.after < one.before for one in done),
        "users": [one.users for one in done],
        "before": float(np.mean([one.before for one in done])) if done else None,
        "after": float(np.mean([one.after for one in done])) if done else None,
        "others": _others(done),
        "examples": [
            {"latent": c.direction, "name": c.name, "before": one.before, "after": one.after, "users": one.users}
            for c, one in list(zip(concepts, done, strict=True))[:10]
        ],
    }


# -- what the cells say -------------------------------------------------------------------------------


def _ci(values: list[float]) -> tuple[float, float] | None:
    """95 % interval of the mean over seeds, by Student's t."""
    return t_interval(values)[1] if len(values) > 1 else None


def _judge_kept(results: Mapping[str, Result], data: str) -> Judgement:
    cells = _of(results, data)
    kept = [cell["ndcg_rebuilt"] / cell["ndcg"] for cell in cells]
    dead, fvu = (float(np.mean([cell["plugin"][name] for cell in cells])) for name in ("dead", "fvu"))
    floors = results["floors"][data]
    note = (
        f"dead latents {dead:.1%}, FVU {fvu:.3f}; NDCG@10 on test {np.mean([c['ndcg'] for c in cells]):.4f} with x, "
        f"{np.mean([c['ndcg_rebuilt'] for c in cells]):.4f} with x^; popularity {floors['popularity']:.4f}, "
        f"linear floor {floors['floor']:.4f}; seeds: {len(cells)}"
    )
    mean = float(np.mean(kept))
    return Judgement(mean, verdict(mean >= 0.95 and dead < 0.4 and fvu < 0.15), _ci(kept), note)


def _judge_enriched(results: Mapping[str, Result]) -> Judgement:
    found = {data: [cell["concepts"]["latents"] for cell in _of(results, data)] for data in ("ml-1m", "ml-100k")}
    counts = [float(cell["genre"]) for cell in found["ml-1m"]]
    named = ", ".join(str(cell["named"]) for cell in found["ml-1m"])
    small = ", ".join(str(cell["genre"]) for cell in found["ml-100k"])
    note = f"latents with items beyond chance, seed by seed: {named}; on ml-100k share a genre: {small}"
    mean = float(np.mean(counts))
    return Judgement(mean, verdict(mean >= 150), _ci(counts), note)


def _judge_f1(results: Mapping[str, Result]) -> Judgement:
    cells = _of(results, "ml-1m")
    own = [_gaps(cell) for cell in cells]
    values = [min(gap["neurons"], gap["random"]) for gap in own]
    means = ", ".join(
        f"{kind} {np.mean([c['concepts'][kind]['f1'] for c in cells]):.3f}" for kind in cells[0]["concepts"]
    )
    small = [_gaps(cell) for cell in _of(results, "ml-100k")]
    over = ", ".join(f"{kind} {np.mean([gap[kind] for gap in small]):+.3f}" for kind in small[0])
    note = (
        f"mean F1, seeds: {len(cells)}: {means}. A direction is active where it is above 0, and 'as rare' only in "
        "as many inputs, its highest, as a latent is: the harder control, since extremes of any direction are easily "
        f"named, and the claim does not speak of it. On ml-100k, mean gap to {over}."
    )
    mean = float(np.mean(values))
    return Judgement(mean, verdict(mean >= 0.15), _ci(values), note)


def _judge_ablation(results: Mapping[str, Result]) -> Judgement:
    large = [cell["ablation"] for cell in _of(results, "ml-1m")]
    shares = [one["significant"] / max(1, one["concepts"]) for one in large]
    fewer = [one["with_fewer"] for one in large]
    change, unlisted, change_fewer = (
        float(np.mean([one[name]["change"] for one in group]))
        for group, name in ((large, "others"), (large, "unlisted"), (fewer, "others"))
    )
    small = ", ".join(
        f"{a['significant']} of {a['concepts']}" for a in (c["ablation"] for c in _of(results, "ml-100k"))
    )
    note = (
        f"concepts active in {large[0]['fewest']} held-out users or more, by Wilcoxon over users, Holm-corrected, seed "
        f"by seed: {', '.join(str(one['significant']) for one in large)} of {large[0]['concepts']}; their items' share "
        f"of the first 20 places falls from {np.mean([one['before'] for one in large]):.3f} to "
        f"{np.mean([one['after'] for one in large]):.3f}; NDCG@10 of other items, among themselves, changes by "
        f"{change:+.2%}. Other items have none of the values that the concept is named after: of all items beside the "
        f"{_LISTED} that it was named after, NDCG changes by {unlisted:+.2%}, since those of its kind fall too. From "
        f"{fewer[0]['fewest']} users, where a test has little power, "
        f"{', '.join(str(one['significant']) for one in fewer)} of {fewer[0]['concepts']} are significant, and NDCG "
        f"changes by {change_fewer:+.2%}. On ml-100k, where fewer latents have so many users: {small}."
    )
    mean, enough = float(np.mean(shares)), all(one["concepts"] >= _CONCEPTS for one in large)
    return Judgement(mean, verdict(enough and mean >= 0.8 and abs(change) < 0.02), _ci(shares), note)


def _of(results: Mapping[str, Result], data: str) -> list[Result]:
    """The cells of SASRec on a data set."""
    return [cell for name, cell in results.items() if name.startswith(f"{data}-sasrec")]


def _gaps(cell: Result) -> dict[str, float]:
    """How much surer the concepts of latents are than those of the controls."""
    found = cell["concepts"]
    return {kind: found["latents"]["f1"] - found[kind]["f1"] for kind in found if kind != "latents"}


def _judge_bits(results: Mapping[str, Result]) -> Judgement:
    bad = [name for name, cell in results.items() if not all(cell["bits"].values())]
    note = f"fails in: {', '.join(bad)}" if bad else None
    return Judgement(f"{len(results) - len(bad)} of {len(results)} models", verdict(not bad), note=note)


def _judge_hooks(results: Mapping[str, Result]) -> Judgement:
    bad = [name for name, cell in results.items() if not (cell["bits"]["reached"] and cell["vectors"] > 1)]
    told = ", ".join(
        f"{name.removeprefix('hook-')} {cell['ndcg_rebuilt'] / max(cell['ndcg'], 1e-12):.0%}"
        for name, cell in results.items()
    )
    return Judgement(
        f"{len(results) - len(bad)} of {len(results)} models",
        verdict(not bad),
        note=f"NDCG@10 kept by x^ of these quick fits, which is no claim: {told}",
    )


def _cells(data: str) -> tuple[Cell, ...]:
    return tuple(Cell(f"{data}-sasrec-{seed}", partial(_sasrec, data, seed)) for seed in _SEEDS[data])


_SMALL, _LARGE, _FLOORS = _cells("ml-100k"), _cells("ml-1m"), Cell("floors", _floors)
_HOOKS = tuple(Cell(f"hook-{name}", partial(_hook, name)) for name in _QUICK)


def _kept_claim(data: str, cells: tuple[Cell, ...]) -> Claim:
    judge: Callable[[Mapping[str, Result]], Judgement] = partial(_judge_kept, data=data)
    text = "with x replaced by x^, 95 % of NDCG@10 stay, with dead latents below 40 % and FVU below .15"
    return Claim(f"kept-{data}", text, data, "share of NDCG@10 kept", "at least .95", (*cells, _FLOORS), judge)


PAPER = Paper(
    seed=26,
    module="honeyguide.plugins.recsae",
    claims=(
        _kept_claim("ml-100k", _SMALL),
        _kept_claim("ml-1m", _LARGE),
        Claim(
            "enriched",
            "latents of SASRec whose items share a genre beyond chance, after correction",
            "ml-1m",
            "latents",
            "at least 150",
            (*_LARGE, *_SMALL),
            _judge_enriched,
        ),
        Claim(
            "confidence",
            "concepts of latents are told apart better than those of raw neurons and of random directions",
            "ml-1m",
            "difference of mean F1, the smaller one",
            "at least .15",
            (*_LARGE, *_SMALL),
            _judge_f1,
        ),
        Claim(
            "ablation",
            "a verified concept at zero lowers its items' share of the first 20; other items' NDCG changes below 2 %",
            "ml-1m",
            "share of the 50 most confident concepts with a significant fall",
            "at least .8",
            (*_LARGE, *_SMALL),
            _judge_ablation,
        ),
        Claim(
            "bits",
            "without an edit scores are the model's bit for bit, and with one where it does not reach",
            "ml-1m, ml-100k",
            "models",
            "all",
            (*_LARGE, *_SMALL, *_HOOKS),
            _judge_bits,
        ),
        Claim(
            "one-hook",
            "the same code attaches to factor, graph and sequence models through one hook",
            "ml-100k",
            "models",
            "all",
            _HOOKS,
            _judge_hooks,
        ),
    ),
)
