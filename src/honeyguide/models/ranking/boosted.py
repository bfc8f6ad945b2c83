"""Boosted: gradient-boosted trees that re-rank the candidates of lighter models (LambdaMART, Burges 2010).

Stage one retrieves, stage two ranks. The trees learn from events that the features have never seen: the
sources are fitted on an inner part of train, the trees on what was held out of it, and then the sources are
fitted again on all of train for serving.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar, Literal

import lightgbm
import numpy as np
import numpy.typing as npt
import polars as pl
from pydantic import Field, field_validator

from honeyguide.core import artifact
from honeyguide.core.dataset import Dataset
from honeyguide.core.fitting import Change, FitOptions, ModelConfig
from honeyguide.core.ragged import FloatArray, IntArray, Ragged
from honeyguide.core.recommender import Recommender
from honeyguide.core.resources import Estimate
from honeyguide.models.parts import pack_parts, require_updatable, unpack_parts, update_parts
from honeyguide.models.ranking.candidates import BLOCK, Pool, Retrieval
from honeyguide.models.registry import MODELS, model_class

_SMALL = 4000  # items up to which the dense regression of EASE is cheap
_REPEATING = 0.01  # share of train events that are repeats from which the history is a source of candidates
_LEAST_GROUPS = 20  # users to learn from, below which the first source alone answers
_SHARE = 0.2  # of every user's events that is held out where there is no order


class BoostedConfig(ModelConfig):
    """Options of :class:`Boosted`.

    Parameters
    ----------
    sources
        Registered models that retrieve, with their default options; the first also orders what no source
        retrieved. ``"auto"``: floor, EASE up to 4,000 items and iALS beyond, popularity.
    candidates
        Items that each source retrieves.
    users
        Largest number of users on whose held-out events the trees learn, drawn once.
    trees
        Largest number of trees.
    leaves, min_leaf
        Largest number of leaves, and least number of candidates in one.
    lr
        Shrinkage.
    patience
        Trees without a better NDCG@10 on valid after which to stop.
    threads
        Of LightGBM. Fixed rather than taken from the machine, so that a fit can be repeated.
    """

    sources: tuple[str, ...] | Literal["auto"] = "auto"
    candidates: int = Field(default=100, ge=1)
    users: int = Field(default=10_000, ge=1)
    trees: int = Field(default=300, ge=1)
    leaves: int = Field(default=15, ge=2)
    min_leaf: int = Field(default=100, ge=1)
    lr: float = Field(default=0.05, gt=0)
    patience: int = Field(default=30, ge=1)
    threads: int = Field(default=1, ge=1)

    @field_validator("sources")
    @classmethod
    def _registered(cls, value: tuple[str, ...] | str) -> tuple[str, ...] | str:
        if value == "auto":
            return value
        wrong = [name for name in value if name not in MODELS or name == "boosted"]
        if wrong or not value:
            raise ValueError(f"{wrong[0]!r} is not a model to retrieve with" if wrong else "name one model at least")
        return value


class Boosted(Recommender):
    """The score of a candidate is the sum of the trees; all other items follow in the order of the first source.

    Items of the history are candidates only where train shows that events are repeated.
    """

    name = "boosted"
    Config = BoostedConfig
    config: BoostedConfig
    capabilities: ClassVar[frozenset[str]] = frozenset({"fold_in", "update"})

    trees: lightgbm.Booster | None = None

    def _names(self, n_items: int) -> tuple[str, ...]:
        if self.config.sources != "auto":
            return self.config.sources
        return ("floor", "ease" if n_items <= _SMALL else "ials", "popularity")

    def estimate(self, data: Dataset) -> Estimate:
        """Every source twice, then the candidates of the users that are learnt from and judged, and the trees."""
        c, names, data = self.config, self._names(data.n_items), data.select("train", "valid")
        parts = [model_class(name)().estimate(data) for name in names]
        users = min(c.users, data.n_users)
        rows = 1.5 * users * min(data.n_items, len(names) * c.candidates)
        memory = max(p.memory_bytes for p in parts) + rows * (24 + 10 * (3 * len(names) + 6))
        memory += 12.0 * BLOCK * data.n_items * len(names)
        scoring = 2e-9 * users * data.n_items * len(names) * 10
        return Estimate(memory, 2 * sum(p.cpu_seconds for p in parts) + scoring + 2e-8 * rows * c.trees)

    def _fit(self, data: Dataset, options: FitOptions) -> None:
        c, self.trees, self.text = self.config, None, ""
        train = data.histories("train")
        repeats = 1 - data.matrix("train").nnz / max(1, len(train.values)) > _REPEATING
        inner, held = hold_out(data, c.seed)
        learnt = self._draw(np.flatnonzero(held.lengths), c.users)
        table = None
        if len(learnt) >= _LEAST_GROUPS:
            retrieval = Retrieval.of(self._sources(inner, options, "inner"), inner, c.candidates, repeats)
            table = labelled(retrieval.pools(inner.histories("train").take(learnt)), held.take(learnt))
            del retrieval
        self.retrieval = Retrieval.of(self._sources(data, options, "whole"), data, c.candidates, repeats)
        if table is None or len(table[2]) < _LEAST_GROUPS:
            return
        valid = data.histories("valid")
        judged = self._draw(np.flatnonzero(valid.lengths), c.users // 2 + 1)
        check = labelled(self.retrieval.pools(train.take(judged)), valid.take(judged))
        self._boost(table, check if len(check[2]) else None)

    def _sources(self, data: Dataset, options: FitOptions, stage: str) -> list[Recommender]:
        """The sources fitted on ``data``; each has a checkpoint of its own."""
        fitted = []
        for name in self._names(data.n_items):
            folder = None if options.checkpoint is None else options.checkpoint / f"{stage}-{name}"
            model = model_class(name)(seed=self.config.seed)
            fitted.append(model.fit(data, replace(options, checkpoint=folder, progress=False)))
        return fitted

    def _draw(self, users: npt.NDArray[np.int64], n: int) -> npt.NDArray[np.int64]:
        if len(users) <= n:
            return users
        return np.sort(np.random.default_rng(self.config.seed).choice(users, n, replace=False))

    def _boost(self, table: Labelled, check: Labelled | None) -> None:
        c, (pool, labels, groups) = self.config, table
        parameters = {
            "objective": "lambdarank",
            "metric": "ndcg",
            "eval_at": [10],
            "lambdarank_truncation_level": 20,
            "learning_rate": c.lr,
            "num_leaves": c.leaves,
            "min_data_in_leaf": min(c.min_leaf, max(1, len(labels) // 50)),
            "seed": c.seed,
            "num_threads": c.threads,
            "deterministic": True,
            "force_row_wise": True,
            "verbosity": -1,
        }
        names = [name.replace(" ", "_") for name in self.retrieval.names]
        train = lightgbm.Dataset(pool.features, labels, group=groups, feature_name=names)
        history: dict[str, Any] = {}
        callbacks, held_out = [lightgbm.record_evaluation(history)], []
        if check is not None:
            held_out = [lightgbm.Dataset(check[0].features, check[1], group=check[2], reference=train)]
            callbacks.append(lightgbm.early_stopping(c.patience, verbose=False))
        booster = lightgbm.train(parameters, train, c.trees, held_out, ["valid"], callbacks=callbacks)
        self._serve(booster.model_to_string(num_iteration=booster.best_iteration or -1))
        curve = history.get("valid", {}).get("ndcg@10", [])
        self.report.curve = [{"tree": i + 1, "valid_ndcg@10": value} for i, value in enumerate(curve)]
        self.report.search = [{"feature": name, "gain": gain} for name, gain in self.importances().items()]

    def _serve(self, text: str) -> None:
        """Use the trees as they will be loaded."""
        self.text = text
        self.trees = lightgbm.Booster(model_str=text) if text else None

    def importances(self) -> dict[str, float]:
        """What each feature gained in all splits together, as a share, largest first."""
        if self.trees is None:
            return {}
        gain = self.trees.feature_importance("gain")
        order = np.argsort(-gain, kind="stable")
        return {self.retrieval.names[i]: float(gain[i] / max(gain.sum(), 1e-12)) for i in order}

    # -- use ----------------------------------------------------------------------------------

    def score_histories(self, histories: Ragged, users: IntArray | None = None) -> FloatArray:
        """float32 ``[n, n_items]``: candidates by their trees, the others below the last candidate."""
        n = len(histories)
        scores = np.empty((n, len(self.retrieval.counts)), np.float32)
        for i, block in enumerate(self.retrieval.blocks(histories)):
            rows = slice(i * BLOCK, min(n, (i + 1) * BLOCK))
            scores[rows] = self._score_block(block)[: rows.stop - rows.start]
        return scores

    def _score_block(self, block: Ragged) -> FloatArray:
        if self.trees is None:
            return self.retrieval.scores(self.retrieval.sources[0], block)
        pool, base = self.retrieval.pool(block)
        values = np.asarray(self.trees.predict(pool.features, num_threads=self.config.threads), np.float32)
        lowest = np.full(BLOCK, np.inf, np.float32)
        np.minimum.at(lowest, pool.rows, values)
        lowest[np.isinf(lowest)] = 0.0  # no candidate: everything was seen
        best, worst = base.max(1, keepdims=True), base.min(1, keepdims=True)
        span = np.maximum(best - worst, np.finfo(np.float32).tiny)
        scores: FloatArray = lowest[:, None] - 1 - (best - base) / span  # within [lowest - 2, lowest - 1]
        scores[pool.rows, pool.items] = values
        return scores

    def require(self, capability: str) -> None:
        """As for every model; an update needs a source that can be updated."""
        super().require(capability)
        if capability == "update":
            require_updatable(self, self.retrieval.sources)

    def _update(self, change: Change, options: FitOptions) -> None:
        """That of every source that has one, and events are counted on; the trees stay."""
        update_parts(self, self.retrieval.sources, change, options)
        self.retrieval = self.retrieval.updated(change)

    @property
    def made_of(self) -> tuple[Recommender, ...]:
        """The sources of candidates."""
        return tuple(self.retrieval.sources)

    # -- storage ------------------------------------------------------------------------------

    @property
    def n_parameters(self) -> int:
        """Numbers in the sources and leaves of the trees."""
        leaves = sum(tree["num_leaves"] for tree in self.trees.dump_model()["tree_info"]) if self.trees else 0
        return leaves + sum(source.n_parameters for source in self.retrieval.sources)

    def _state(self) -> tuple[artifact.Arrays, dict[str, Any]]:
        r = self.retrieval
        trees = np.frombuffer(self.text.encode(), np.uint8)  # LightGBM's text format
        arrays: artifact.Arrays = {"trees": trees, "counts": r.counts, "trends": r.trends}
        own, described = pack_parts(r.sources)
        arrays |= own
        return arrays, {"sources": described, "repeats": r.repeats}

    def _restore(self, arrays: Mapping[str, npt.NDArray[Any]], meta: dict[str, Any]) -> None:
        sources = unpack_parts(arrays, meta["sources"], self.item_ids)
        self.retrieval = Retrieval(sources, arrays["counts"], arrays["trends"], self.config.candidates, meta["repeats"])
        self._serve(arrays["trees"].tobytes().decode())


Labelled = tuple[Pool, FloatArray, npt.NDArray[np.int64]]  # candidates, labels, sizes of the groups


def hold_out(data: Dataset, seed: int) -> tuple[Dataset, Ragged]:
    """``data`` without some liked train events, and these, by user: the last of everybody who has two.

    Without an order a seeded fifth of everybody's events is held out, one at least stays.
    """
    numbered = data.interactions.with_row_index("row")
    liked = pl.col("positive") if "positive" in numbered.columns else pl.lit(True)
    in_train = pl.col("split") == "train" if "split" in numbered.columns else pl.lit(True)
    train = numbered.filter(liked & in_train)
    users, n = train["user"].to_numpy(), train.height
    order = np.arange(n) if data.ordered else np.lexsort((np.random.default_rng(seed).random(n), users))
    length = np.bincount(users, minlength=data.n_users)
    from_end = np.cumsum(length)[users] - 1 - np.arange(n)  # ``users`` is sorted, before and after the shuffle
    wanted = np.ones(n) if data.ordered else np.maximum(1, np.floor(_SHARE * length[users]))
    out = order[from_end < np.minimum(wanted, length[users] - 1)]
    held = train[np.sort(out)]
    kept = numbered.join(held.select("row"), on="row", how="anti", maintain_order="left").drop("row")
    histories = Ragged.from_groups(held["user"].to_numpy(), held["item"].to_numpy(), data.n_users)
    return replace(data, interactions=kept), histories


def labelled(pool: Pool, truth: Ragged) -> Labelled:
    """The candidates of users for whom some are right and some are wrong, with labels 1 and 0."""
    m = int(max(pool.items.max(initial=0), truth.values.max(initial=0))) + 1
    labels = np.isin(pool.rows * m + pool.items, truth.rows * m + truth.values)
    size, right = np.bincount(pool.rows), np.bincount(pool.rows, labels)
    useful = (right > 0) & (right < size)
    kept = useful[pool.rows] if len(size) else np.zeros(0, np.bool_)
    return pool.take(kept), labels[kept].astype(np.float32), size[useful]
