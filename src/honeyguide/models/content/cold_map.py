"""A map for cold items: what a model would have learnt of an item, read off the items whose text is like its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
import polars as pl
import scipy.sparse as sp
from pydantic import Field

from honeyguide.core import artifact
from honeyguide.core.appended import appended
from honeyguide.core.dataset import Dataset
from honeyguide.core.errors import ConfigError
from honeyguide.core.fitting import Change, FitOptions, ModelConfig
from honeyguide.core.ids import Ids
from honeyguide.core.ragged import FloatArray, IntArray, Ragged
from honeyguide.core.recommender import Recommender
from honeyguide.core.resources import Estimate
from honeyguide.core.topk import top_k
from honeyguide.encode.items import ItemText, encoding_seconds
from honeyguide.encode.text import text_encoder
from honeyguide.models.content.calibration import Calibration, Trial, calibrate
from honeyguide.models.linear.transitions import recent_events
from honeyguide.models.parts import require_updatable, update_parts
from honeyguide.models.registry import model_class

_BLOCK = 1 << 22  # cosines held at once
_MOST = 1 << 25  # scores held at once while weights are chosen
_ENOUGH = 200  # held-out events of cold items by which they can be judged
_SMALL = 0.02  # of the best score: what a score of nothing is taken for before the logarithm


class ColdMapConfig(ModelConfig):
    """Options of :class:`ColdMap`.

    Parameters
    ----------
    base
        Registered name of the model that knows the items with events.
    options
        Its options.
    encoder, columns
        As in :class:`~honeyguide.models.content.text_profile.TextProfileConfig`.
    neighbours, sharpness
        Of how many items the text is taken, weighted by the cosine to which power.
    decay
        Of the text profile of a history.
    pseudo_cold
        Share of the items that stand for cold ones while weights are chosen, unless valid has enough cold ones.
    tolerance
        Share of NDCG@10 of ``base`` on warm items that cold ones may cost on valid.
    valid_users
        Largest number of users on whom that is judged.
    """

    base: str = "floor"
    options: dict[str, Any] = Field(default_factory=dict)
    encoder: str = "auto"
    columns: tuple[str, ...] | None = None
    neighbours: int = Field(30, ge=1)
    sharpness: float = Field(8.0, gt=0)
    decay: float = Field(0.7, gt=0, le=1)
    pseudo_cold: float = Field(0.1, gt=0, lt=1)
    tolerance: float = Field(0.01, ge=0, lt=1)
    valid_users: int = Field(2_000, ge=1)


def text_neighbours(new: FloatArray, known: FloatArray, k: int, sharpness: float) -> sp.csr_matrix:
    """float32 ``[n, m]``: for every row of ``new``, weights of the ``k`` rows of ``known`` with the highest cosine.

    Weights are ``max(cosine, 0)^sharpness`` and sum to one, or to zero where nothing is like the row. Times the
    vectors of known items they give new items vectors in the same space, times their columns of item-to-item
    weights such columns, and times their scores scores: for models with linear scores all three are the same.

    Parameters
    ----------
    new, known
        float32 ``[n, dim]`` and ``[m, dim]``, rows of length one or zero.
    k, sharpness
        As in :class:`ColdMapConfig`.
    """
    n, m = len(new), len(known)
    k = min(k, m)
    places, weights = np.empty((n, k), np.int32), np.empty((n, k), np.float32)
    step = max(1, _BLOCK // max(1, m))
    for start in range(0, n, step):
        rows = slice(start, start + step)
        places[rows], weights[rows] = top_k(new[rows] @ known.T, k)
    weights = np.maximum(weights, 0.0) ** np.float32(sharpness)
    weights /= np.maximum(weights.sum(axis=1, keepdims=True), 1e-12)
    indptr = np.arange(0, n * k + 1, k) if k else np.zeros(n + 1, int)
    return sp.csr_matrix((weights.ravel(), places.ravel(), indptr), shape=(n, m))


class ColdMap(Recommender):
    """Any model, with text for its warm items and a place for those without events.

    With F the scores of the base model, f(F) = log(F / s + .02) and s the mean best score (a logit is left
    as it is), p the text profile of the history and A the text neighbours of an item among those with events:

    - with events:    ``f(F_j) + a cos(p, t_j)``
    - without events: ``c f(sum_k A_jk F_k) + b cos(p, t_j) + o``

    a, b, c and o are chosen on valid: a for the warm items, b and c for the cold ones among themselves, and o as
    high as the warm items' accuracy allows: what text gained them may be spent on cold items, and no more than
    ``tolerance`` of what they had. Where valid has too few items without training events, some warm ones take
    their place; if there are items without events all the same, no more than ``tolerance`` is spent, text included.
    """

    name = "cold-map"
    Config = ColdMapConfig
    config: ColdMapConfig
    capabilities: ClassVar[frozenset[str]] = frozenset({"fold_in", "cold_items", "add_items", "update"})

    base: Recommender
    text: ItemText
    vectors: FloatArray  # [n_items, dim] of texts
    cold: npt.NDArray[np.bool_]  # [n_items]
    neighbours: sp.csr_matrix  # [n_cold, n_base], of the cold items in the order of their codes
    unit: float  # s, or 0 where scores are logits already
    weights: Calibration

    def _base(self) -> Recommender:
        if self.config.base == self.name:
            raise ConfigError("cold-map cannot be its own base.", "Name another model, such as floor.")
        return model_class(self.config.base)(**{"seed": self.config.seed, **self.config.options})

    def estimate(self, data: Dataset) -> Estimate:
        """The base model, texts that are not in the cache, and a few evaluations on valid."""
        encoder, base = text_encoder(self.config.encoder), self._base().estimate(data)
        tested = min(self.config.valid_users, data.n_users, _MOST // max(1, data.n_items))
        seconds = encoding_seconds(data.items, encoder, self.config.columns) + 6e-8 * tested * data.n_items
        memory = base.memory_bytes + 8.0 * data.n_items * encoder.dim + 40.0 * tested * data.n_items
        return Estimate(memory + 1.5e9, base.cpu_seconds + seconds + 0.5)

    def _fit(self, data: Dataset, options: FitOptions) -> None:
        self.base = self._base().fit(data, options)
        self._place(data)

    @classmethod
    def over(cls, base: Recommender, data: Dataset, **options: Any) -> Self:
        """The map over a model that is fitted already, its weights chosen on the part valid of ``data``.

        Parameters
        ----------
        base
            Fitted on the catalogue of ``data``.
        data
            Holds the parts train and valid.
        **options
            Of the map.

        Raises
        ------
        DataError
            If the item table has no column of words.
        """
        model = cls(base=base.name, options=base.config.model_dump(mode="json"), **options)
        model.base, model.item_ids = base, data.item_ids
        model._place(data.select("train", "valid"))
        return model

    def _place(self, data: Dataset) -> None:
        """Read the texts, find the neighbours of cold items and choose the weights."""
        c = self.config
        self.text = ItemText.of(data.items, text_encoder(c.encoder), c.columns)
        self.vectors = self.text.vectors(data.items)
        self.cold = data.popularity("train") == 0
        self.neighbours = self._map(self.vectors[self.cold], ~self.cold)
        self.unit, self.weights = 0.0, Calibration()
        train, valid = data.histories("train"), data.histories("valid")
        users = np.flatnonzero(valid.lengths if "valid" in data.parts else train.lengths)
        rng = np.random.default_rng(c.seed)
        users = np.sort(rng.permutation(users)[: min(c.valid_users, _MOST // data.n_items)])
        histories = train.take(users)
        if self.base.scale != "logit":
            self.unit = self._mean_best(histories)
        if "valid" in data.parts and len(users):
            truth = valid.take(users)
            stand_ins = (rng.random(data.n_items) < c.pseudo_cold) & ~self.cold
            enough = np.count_nonzero(self.cold[truth.values]) >= _ENOUGH
            self.weights = self._calibrated(histories, truth, stand_ins, bool(enough))

    def _mean_best(self, histories: Ragged) -> float:
        """Mean over ``histories`` of the best score of the base model, at least a little above 0."""
        best = self.base.score_histories(histories.take(slice(0, 500))).max(axis=1, initial=0.0)
        return float(max(best.mean() if len(best) else 0.0, 1e-6))

    def _calibrated(
        self, histories: Ragged, truth: Ragged, stand_ins: npt.NDArray[np.bool_], taken: bool
    ) -> Calibration:
        """Weights, with the items of the mask ``stand_ins`` as cold ones, unless in valid cold ones are ``taken``."""
        pseudo = self.cold if taken else stand_ins
        scores = self.base.score_histories(histories)  # [n, n_items]
        known = ~(self.cold | pseudo)
        mapped = scores @ self._map(self.vectors[pseudo], known).T  # [n, n_pseudo]
        others = not taken and self.cold.any()
        absent = np.asarray(scores @ self.neighbours.T, np.float32) if others else None  # [n, n_cold]
        trial = Trial(
            self._transform(scores),
            self._transform(np.asarray(mapped, np.float32)),
            self._profiles(histories) @ self.vectors.T,
            pseudo,
            self.cold,
            None if absent is None else self._transform(absent),
            histories,
            truth,
        )
        found, self.report.search = calibrate(trial, self.config.tolerance, taken or not self.cold.any())
        return found

    def _map(self, new: FloatArray, known: npt.NDArray[np.bool_]) -> sp.csr_matrix:
        """Neighbours of ``new`` among the items of the base model that are ``known``."""
        hidden = np.where(known[:, None], self.vectors[: len(known)], np.float32(0))
        return text_neighbours(new, hidden, self.config.neighbours, self.config.sharpness)

    # -- use ----------------------------------------------------------------------------------

    def _transform(self, scores: FloatArray) -> FloatArray:
        """f, in place."""
        if self.unit:
            np.maximum(scores, 0.0, out=scores)
            scores /= np.float32(self.unit)
            scores += np.float32(_SMALL)
            np.log(scores, out=scores)
        return scores

    def _profiles(self, histories: Ragged) -> FloatArray:
        """float32 ``[n, dim]`` of length one; zeros for a history without text."""
        profiles: FloatArray = recent_events(histories, len(self.vectors), self.config.decay) @ self.vectors
        profiles /= np.maximum(np.linalg.norm(profiles, axis=1, keepdims=True), 1e-6)
        return profiles

    def score_histories(self, histories: Ragged, users: IntArray | None = None) -> FloatArray:
        """float32 ``[n, n_items]``."""
        n_base = self.neighbours.shape[1]
        known = replace(histories, values=np.where(histories.values < n_base, histories.values, -1).astype(np.int32))
        base = self.base.score_histories(known)  # [n, n_base]
        mapped = np.asarray(base @ self.neighbours.T, np.float32)  # [n, n_cold]
        w, cosines = self.weights, self._profiles(histories) @ self.vectors.T
        scores = np.full((len(histories), len(self.vectors)), 0.0, np.float32)
        warm = ~self.cold
        scores[:, warm] = self._transform(base)[:, warm[:n_base]] + np.float32(w.warm_text) * cosines[:, warm]
        scores[:, self.cold] = w.of_cold(self._transform(mapped), cosines[:, self.cold])
        return scores

    def _add_items(self, items: pl.DataFrame) -> None:
        n_base = self.neighbours.shape[1]
        new = self.text.vectors(items)
        rows = self._map(new, ~self.cold[:n_base])
        self.neighbours = sp.csr_matrix(sp.vstack([self.neighbours, rows]))
        self.vectors = appended(self.vectors, new)
        self.cold = np.concatenate([self.cold, np.ones(len(new), np.bool_)])

    def require(self, capability: str) -> None:
        """As for every model; an update needs a base that can be updated."""
        super().require(capability)
        if capability == "update":
            require_updatable(self, [self.base])

    def _update(self, change: Change, options: FitOptions) -> None:
        """That of the base model; items with events are warm then, and neighbours are found anew. Weights stay."""
        new = self.text.new_vectors(change, len(self.vectors))
        update_parts(self, [self.base], change, options)
        self.vectors = appended(self.vectors, new)
        self.cold = np.concatenate([self.cold, np.ones(len(new), np.bool_)])
        self.cold[change.after.values] = False
        self.neighbours = self._map(self.vectors[self.cold], ~self.cold)

    @property
    def left_behind(self) -> tuple[str, ...]:
        """Names of the parts of the base model that stayed as they were."""
        return self.base.left_behind

    def _state(self) -> tuple[artifact.Arrays, dict[str, Any]]:
        arrays, meta = self.base._state()
        own = {"vectors": self.vectors, "cold": self.cold, **artifact.pack_csr("neighbours", self.neighbours)}
        return {**{f"base.{name}": a for name, a in arrays.items()}, **own}, {
            "base": meta,
            "base_updates": self.base.report.updates,
            "text": self.text.to_meta(),
            "unit": self.unit,
            "weights": self.weights.to_meta(),
        }

    def _restore(self, arrays: Mapping[str, npt.NDArray[Any]], meta: dict[str, Any]) -> None:
        self.vectors, self.cold = arrays["vectors"], arrays["cold"]
        self.neighbours = artifact.unpack_csr("neighbours", arrays)
        self.text, self.unit = ItemText.from_meta(meta["text"]), meta["unit"]
        self.weights = Calibration(**meta["weights"])
        self.base = self._base()
        self.base.item_ids = Ids(self._fitted().values[: self.neighbours.shape[1]])
        self.base.report.updates = meta.get("base_updates", [])  # not in what older versions wrote
        own = {name.removeprefix("base."): a for name, a in arrays.items() if name.startswith("base.")}
        self.base._restore(own, meta["base"])
