"""What is run for seed 38: probes of text vectors, AlphaRec beside LightGCN, another catalogue, intentions."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from functools import cache, partial
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from honeyguide.core.dataset import Dataset
from honeyguide.core.ragged import FloatArray, IntArray, Ragged
from honeyguide.core.recommender import Recommender
from honeyguide.data.build import build, decoded
from honeyguide.data.load import load_data
from honeyguide.encode.items import item_texts, text_columns
from honeyguide.experiment.papers import Profile, Result
from honeyguide.experiment.settings import build_model
from honeyguide.metrics.holdout import rank_catalogue
from honeyguide.models.graph.alpharec import AlphaRec

HOME, AWAY = "amazon-games", "amazon-toys"
SEEDS = range(5)
ALPHAS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.7, 1.0)
ASKED = range(3)  # seeds with which intentions are tried where the model was fitted
RUNGS = ("random", "pieces", "words", "minilm")
FLOORS: dict[str, dict[str, Any]] = {
    "popularity": {},
    "floor": {},
    "ease": {},
    "text-profile": {"columns": ("title",), "encoder": "minilm"},
}
_CORE = {HOME: 8, AWAY: 6}  # of the profile cpu: events that a user and an item have among them
_TEXT: dict[str, Any] = {"columns": ("title",)}
_SIZES: dict[Profile, dict[str, Any]] = {
    "cpu": {"negatives": 256, "epochs": 20, "patience": 4},
    "paper": {"negatives": 256, "epochs": 200, "patience": 20},
}
_HIDDEN: dict[Profile, int] = {"cpu": 192, "paper": 512}  # a tenth of LightGCN's weights, or fewer
_ASKED = 2_000  # users with whom intentions are tried, at most
_LEAST_OWN = 2  # words that a kind must have besides those of the title, or it says nothing new


def encoder() -> str:
    """Of the top rung: ``$HONEYGUIDE_ENCODER``, by default MiniLM."""
    return os.environ.get("HONEYGUIDE_ENCODER", "minilm")


@cache
def dense(name: str, profile: Profile) -> Dataset:
    """A data set; in the profile cpu its dense core: users and items with enough events among each other.

    Of the catalogue away, items that have the title or the number of one at home are left out.
    """
    whole = load_data(name)
    frame, items = decoded(whole), whole.items
    if name == AWAY:
        known = load_data(HOME).items
        items = items.filter(~pl.col("asin").is_in(known["asin"]), ~pl.col("title").is_in(known["title"]))
        frame = frame.filter(pl.col("item_id").is_in(items["item_id"]))
    least = _CORE[name] if profile == "cpu" else 1
    height = -1
    while height != frame.height:
        height = frame.height
        for column in ("item_id", "user_id"):
            frame = frame.filter(pl.len().over(column) >= least)
    return build(name, frame, items.filter(pl.col("item_id").is_in(frame["item_id"])))


def figures(model: Recommender, data: Dataset) -> dict[str, float]:
    """Recall@20 on test, of all users and of the cold quarter with the shortest histories."""
    truth, histories = data.histories("test"), data.histories("train", "valid")
    rows = np.flatnonzero(truth.lengths)
    truth, histories = truth.take(rows), histories.take(rows)
    found = hits(rank_catalogue(model.score_histories, histories, truth, 20), truth)
    cold = histories.lengths <= np.quantile(histories.lengths, 0.25)
    return {"recall@20": float(found.mean()), "cold_recall@20": float(found[cold].mean())}


def hits(lists: npt.NDArray[np.int32], truth: Ragged) -> npt.NDArray[np.float64]:
    """Recall of every user, ``[n]``."""
    return np.array([np.isin(wanted, found).mean() for wanted, found in zip(truth, lists, strict=True)])


def floors(name: str) -> Callable[[Profile], Result]:
    """Models without a map that is learnt, on one catalogue; TextGCN propagates the texts themselves."""

    def run(profile: Profile) -> Result:
        data = dense(name, profile)
        models = {kind: build_model(kind, options) for kind, options in FLOORS.items()}
        models["TextGCN"] = AlphaRec(**_TEXT, projection="identity", encoder=encoder())
        return {"data": repr(data), "figures": {kind: figures(m.fit(data), data) for kind, m in models.items()}}

    return run


# -- the probe ------------------------------------------------------------------------------------------


class _Probe(AlphaRec):
    """AlphaRec over vectors that were made elsewhere."""

    given: FloatArray

    def _texts(self, data: Dataset) -> FloatArray:
        return self.given


def rung(kind: str, data: Dataset, seed: int) -> FloatArray:
    """float32 ``[m, D]`` of the titles, of length one or zero.

    ``random``: a normal vector for every item. ``pieces``: the mean of the word pieces' vectors from BERT's vocabulary
    as MiniLM has them, before any attention. ``words``: 384 singular directions of TF-IDF. ``minilm``: the encoder.
    """
    titles = data.items["title"].fill_null("").to_list()
    if kind == "random":
        vectors = np.random.default_rng(seed).standard_normal((len(titles), 384))
    elif kind == "pieces":
        vectors = _pieces(titles)
    else:
        vectors = _words(titles)
    return np.asarray(vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12), np.float32)


def _pieces(titles: list[str]) -> npt.NDArray[Any]:
    from honeyguide.encode.text import minilm

    network: Any = minilm()._network
    tokenizer, table = network.tokenizer, network[0].auto_model.get_input_embeddings().weight.detach().numpy()
    codes = tokenizer(titles, add_special_tokens=False)["input_ids"]
    return np.stack([table[c].mean(0) if c else np.zeros(table.shape[1]) for c in codes])


def _words(titles: list[str]) -> npt.NDArray[Any]:
    from scipy.sparse.linalg import svds
    from sklearn.feature_extraction.text import TfidfVectorizer

    counts = TfidfVectorizer(sublinear_tf=True, min_df=2).fit_transform(titles)
    left, values, _ = svds(counts, k=min(384, min(counts.shape) - 1), random_state=0)
    return np.asarray(left * values)


def probe(seed: int) -> Callable[[Profile], Result]:
    """A linear map without a graph over every rung, with one seed."""

    def run(profile: Profile) -> Result:
        data, found = dense(HOME, profile), {}
        options = {**_SIZES[profile], **_TEXT, "projection": "linear", "layers": 0, "seed": seed}
        if profile == "cpu":
            options |= {"epochs": 8, "patience": 3}
        for kind in RUNGS:
            model = _Probe(**options, encoder=encoder())
            if kind != "minilm":
                model.given = rung(kind, data, seed)
            found[kind] = figures(
                (model if kind != "minilm" else AlphaRec(**options, encoder=encoder())).fit(data), data
            )
        return {"data": repr(data), "figures": found}

    return run


# -- beside LightGCN, and elsewhere ---------------------------------------------------------------------


def trained(seed: int) -> Callable[[Profile], Result]:
    """AlphaRec and LightGCN with one seed; the map of the first on another catalogue, with intentions there."""

    def run(profile: Profile) -> Result:
        data = dense(HOME, profile)
        options = {**_SIZES[profile], **_TEXT, "hidden": _HIDDEN[profile], "seed": seed}
        own = AlphaRec(**options, encoder=encoder()).fit(data)
        other = build_model("lightgcn", {**_SIZES[profile], "seed": seed}).fit(data)
        away = dense(AWAY, profile)
        with tempfile.TemporaryDirectory() as folder:
            carried = AlphaRec(**_TEXT, map=str(own.save(folder).parent)).fit(away)
        assert not carried.report.curve
        return {
            "alpharec": {**figures(own, data), **_learnt(own, own.n_parameters)},
            "lightgcn": {**figures(other, data), **_learnt(other, 64 * (data.n_users + data.n_items))},
            "away": figures(carried, away),
            "intention": intentions(carried, away, profile),
            "cold": cold(own, data),
        }

    return run


def _learnt(model: Recommender, parameters: int) -> dict[str, Any]:
    """The curve, and the epochs to 95 % of its best value."""
    curve = [entry["valid_ndcg@10"] for entry in model.report.curve]
    reached = int(np.argmax(np.array(curve) >= 0.95 * max(curve))) + 1
    return {
        "parameters": parameters,
        "curve": curve,
        "to_95": reached,
        "cpu_seconds": model.report.curve[-1]["cpu_seconds"],
    }


def asked(seed: int) -> Callable[[Profile], Result]:
    """Intentions with a model that was fitted on the catalogue away itself."""

    def run(profile: Profile) -> Result:
        data = dense(AWAY, profile)
        options = {**_SIZES[profile], **_TEXT, "hidden": _HIDDEN[profile], "seed": seed}
        if profile == "cpu":
            options |= {"epochs": 6}
        model = AlphaRec(**options, encoder=encoder()).fit(data)
        return {**figures(model, data), **intentions(model, data, profile)}

    return run


def intentions(model: AlphaRec, data: Dataset, profile: Profile) -> dict[str, Any]:
    """Hit rate @20 of the held-out item by the weight of what is asked for: its kind, in words not of its title.

    The kind is the end of the category path, which the model has not read. No language model writes it.
    """
    truth, histories = data.histories("test"), data.histories("train", "valid")
    kinds = item_texts(data.items, ["categories"]) if "categories" in text_columns(data.items) else []
    asked = [_unnamed(kind, title) for kind, title in zip(kinds, data.items["title"].to_list(), strict=True)]
    rows = np.array([row for row in np.flatnonzero(truth.lengths) if asked[int(truth[int(row)][0])]])
    if profile == "cpu" and len(rows) > _ASKED:
        rows = np.sort(np.random.default_rng(0).choice(rows, _ASKED, replace=False))
    truth, histories = truth.take(rows), histories.take(rows)
    words = model.served.map.read(model.text.of_words([asked[wanted[0]] for wanted in truth]))
    found = {}
    for alpha in ALPHAS:
        users = model.served.users(histories, words, np.full(len(rows), alpha, np.float32))
        score = partial(_products, users, model.item_vectors())
        found[str(alpha)] = float(hits(rank_catalogue(score, histories, truth, 20), truth).mean())
    return {
        "users": len(rows),
        "hit_rate@20": found,
        "examples": [asked[wanted[0]] for wanted in truth.take(slice(0, 5))],
    }


def _products(users: FloatArray, items: FloatArray, _: Ragged, rows: IntArray) -> FloatArray:
    scores: FloatArray = users[rows] @ items.T
    return scores


def _unnamed(kind: str, title: str | None) -> str:
    """The words of ``kind`` that are not in the title; nothing where fewer than two are left."""
    named = set((title or "").lower().replace(",", " ").split())
    left = [word for word in kind.split() if word.lower().strip(".,&") not in named]
    return " ".join(left) if sum(word not in ("&", "and") for word in left) >= _LEAST_OWN else ""


def cold(model: AlphaRec, data: Dataset) -> dict[str, Any]:
    """Where items without a single event stand among each other for those who took them later on.

    They are the items of the whole data set that are not in its core, added to the fitted model with their titles.
    """
    whole = load_data(HOME)
    new = whole.items.filter(~pl.col("item_id").is_in(data.item_ids.values))
    if new.is_empty():  # the profile paper has no core: nothing is left to add
        return {"items": 0}
    grown = model.add_items(new.select("item_id", "title"))
    frame = decoded(whole).filter(
        pl.col("user_id").is_in(data.user_ids.values), pl.col("item_id").is_in(new["item_id"])
    )
    frame = frame.unique("user_id", keep="first", maintain_order=True).head(_ASKED)
    users, items = data.user_ids.encode(frame["user_id"]), grown._fitted().encode(frame["item_id"])
    scores = grown.score_histories(data.histories("train", "valid").take(users))
    own = scores[np.arange(len(items)), items][:, None]
    rivals = scores[:, data.n_items :]
    above = (rivals > own).sum(1) + ((rivals == own).sum(1) - 1)  # ties against it
    share = above / max(1, rivals.shape[1] - 1)
    return {
        "items": new.height,
        "users": len(items),
        "finite": bool(np.isfinite(scores).all()),
        "median_percentile": float(np.median(share)),
    }


def cost(profile: Profile) -> Result:
    """CPU-seconds of an epoch of both models with the defaults, in two turns, on the whole of the data set at home."""
    data, turns = load_data(HOME), []
    for _ in range(2):
        models = [AlphaRec(**_TEXT, encoder=encoder(), epochs=2), build_model("lightgcn", {"epochs": 2})]
        turns.append([m.fit(data).report.curve[-1]["cpu_seconds"] / 2 for m in models])
    return {"epoch": turns, "ratio": float(np.median([a / b for a, b in turns]))}
