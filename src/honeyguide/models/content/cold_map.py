"""A map for cold items: what a model would have learnt of an item, read off the items whose text is like its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
from honeyguide.models.content.calibration import WHOLE, Calibration, Newcomers, Trial, calibrate, kth_best
from honeyguide.models.linear.transitions import recent_events
from honeyguide.models.parts import (
    can_be_updated,
    pack_parts,
    require_updatable,
    scores_of_part,
    unpack_parts,
    update_parts,
)
from honeyguide.models.registry import model_class
from honeyguide.models.temper import sample_of

_BLOCK = 1 << 22  # cosines held at once
_MOST = 1 << 25  # scores held at once while weights are chosen
_ENOUGH = 200  # held-out events of cold items by which they can be judged
_FEW = 500  # histories on which the best scores are averaged
_SMALL = 0.02  # of the best score: what a score of nothing is taken for before the logarithm


class ColdMapConfig(ModelConfig):
    """Options of :class:`ColdMap`.

    Parameters
    ----------
    base
        Registered name of the model that knows the items with events.
    options
        Its options.
    companions
        Registered names of models whose scores are mapped too, such as read a history without its order: what somebody
        will think of a new item is seen in all of it, what is next in its end. The one that ranks cold items
        best on valid is kept, if it gains beyond noise.
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
    companions: tuple[str, ...] = ("gfcf",)
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
    as it is), G those of a companion that reads no order, p the text profile of the history and A the text neighbours
    of an item among those with events:

    - with events:    ``f(F_j) + a cos(p, t_j)``
    - without events: ``c f(sum_k A_jk F_k) + d f(sum_k A_jk G_k) + b cos(p, t_j) + o``

    All are chosen on valid: a for the warm items, b, c and d for the cold ones among themselves, and o as
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
    units: tuple[float, ...]  # s of the base and of the companion, or 0 where scores are logits already
    companion: Recommender | None
    weights: Calibration

    def _base(self) -> Recommender:
        if self.config.base == self.name:
            raise ConfigError("cold-map cannot be its own base.", "Name another model, such as floor.")
        return model_class(self.config.base)(**{"seed": self.config.seed, **self.config.options})

    def _companions(self) -> list[Recommender]:
        others = [name for name in self.config.companions if name not in (self.name, self.config.base)]
        return [model_class(name)(seed=self.config.seed) for name in others]

    def estimate(self, data: Dataset) -> Estimate:
        """The base model and its companions, texts that are not in the cache, and a few evaluations on valid."""
        encoder, costs = (
            text_encoder(self.config.encoder),
            [m.estimate(data) for m in [self._base(), *self._companions()]],
        )
        tested = min(self.config.valid_users, data.n_users, _MOST // max(1, data.n_items))
        seconds = encoding_seconds(data.items, encoder, self.config.columns) + 6e-8 * tested * data.n_items
        memory = max(c.memory_bytes for c in costs) + 8.0 * data.n_items * encoder.dim + 60.0 * tested * data.n_items
        return Estimate(memory + 1.5e9, sum(c.cpu_seconds for c in costs) + seconds + 1.5)

    def _fit(self, data: Dataset, options: FitOptions) -> None:
        self.base = self._base().fit(data, options)
        self._place(data, [companion.fit(data, options) for companion in self._companions()])

    @classmethod
    def over(
        cls, base: Recommender, data: Dataset, beside: Sequence[Recommender] | None = None, **options: Any
    ) -> Self:
        """The map over a model that is fitted already, its weights chosen on the part valid of ``data``.

        Parameters
        ----------
        base
            Fitted on the catalogue of ``data``.
        data
            Holds the parts train and valid.
        beside
            Companions, fitted likewise; by default those that the options name are fitted.
        **options
            Of the map.

        Raises
        ------
        DataError
            If the item table has no column of words.
        """
        model = cls(base=base.name, options=base.config.model_dump(mode="json"), **options)
        data = data.select("train", "valid")
        model.base, model.item_ids = base, data.item_ids
        model._place(data, [m.fit(data) for m in model._companions()] if beside is None else beside)
        return model

    def _place(self, data: Dataset, companions: Sequence[Recommender]) -> None:
        """Read the texts, find the neighbours of cold items and choose the weights."""
        c = self.config
        self.text = ItemText.of(data.items, text_encoder(c.encoder), c.columns)
        self.vectors = self.text.vectors(data.items)
        self.cold = data.popularity("train") == 0
        self.neighbours = self._map(self.vectors[self.cold], ~self.cold)
        train, valid = data.histories("train"), data.histories("valid")
        users = np.flatnonzero(valid.lengths if "valid" in data.parts else train.lengths)
        rng = np.random.default_rng(c.seed)
        users = np.sort(rng.permutation(users)[: min(c.valid_users, _MOST // data.n_items)])
        histories = train.take(users)
        self.units, self.companion, self.weights = (_unit_on(self.base, histories),), None, Calibration()
        if "valid" in data.parts and len(users):
            truth = valid.take(users)
            stand_ins = (rng.random(data.n_items) < c.pseudo_cold) & ~self.cold
            enough = np.count_nonzero(self.cold[truth.values]) >= _ENOUGH
            self._calibrate(histories, truth, stand_ins, bool(enough), companions)

    def _calibrate(
        self,
        histories: Ragged,
        truth: Ragged,
        stand_ins: npt.NDArray[np.bool_],
        taken: bool,
        companions: Sequence[Recommender],
    ) -> None:
        """Weights, with the items of the mask ``stand_ins`` as cold ones, unless in valid cold ones are ``taken``."""
        pseudo = self.cold if taken else stand_ins
        maps = {"pseudo": (pseudo, self._map(self.vectors[pseudo], ~(self.cold | pseudo)))}
        if not taken and self.cold.any():
            maps["absent"] = (self.cold, self.neighbours)
        scores = self.base.score_histories(histories)  # [n, n_items]
        units, bests = [self.units[0]], []
        mapped = {name: [_transform(_mapped(scores, a), units[0])] for name, (_, a) in maps.items()}
        for model in companions:
            own = model.score_histories(histories)
            units.append(unit := _unit(model, own[:_FEW]))
            for name, (_, a) in maps.items():
                mapped[name].append(_transform(_mapped(own, a), unit))
            bests.append(kth_best(_transform(own, unit), self.cold | pseudo, histories))
        decays = (self.config.decay, WHOLE)
        profiles = {decay: self._profiles(histories, decay) for decay in decays}
        seen = histories.to_csr(len(self.vectors)).tocsc()
        found = {
            name: Newcomers(
                items,
                mapped[name][0],
                mapped[name][1:],
                {decay: profiles[decay] @ self.vectors[items].T for decay in decays},
                seen[:, items].toarray() > 0,
            )
            for name, (items, _) in maps.items()
        }
        cosines = profiles[self.config.decay] @ self.vectors.T
        base = _transform(scores, units[0])
        trial = Trial(base, bests, cosines, found["pseudo"], found.get("absent"), self.cold, histories, truth)
        generous = taken or not self.cold.any()
        self.weights, place, self.report.search = calibrate(trial, self.config.tolerance, generous)
        if place is not None:
            self.companion, self.units = companions[place], (units[0], units[1 + place])

    def _map(self, new: FloatArray, known: npt.NDArray[np.bool_]) -> sp.csr_matrix:
        """Neighbours of ``new`` among the items of the base model that are ``known``."""
        hidden = np.where(known[:, None], self.vectors[: len(known)], np.float32(0))
        return text_neighbours(new, hidden, self.config.neighbours, self.config.sharpness)

    # -- use ----------------------------------------------------------------------------------

    def _profiles(self, histories: Ragged, decay: float) -> FloatArray:
        """float32 ``[n, dim]`` of length one; zeros for a history without text."""
        profiles: FloatArray = recent_events(histories, len(self.vectors), decay) @ self.vectors
        profiles /= np.maximum(np.linalg.norm(profiles, axis=1, keepdims=True), 1e-6)
        return profiles

    def score_histories(self, histories: Ragged, users: IntArray | None = None) -> FloatArray:
        """float32 ``[n, n_items]``."""
        n_base, w = self.neighbours.shape[1], self.weights
        known = replace(histories, values=np.where(histories.values < n_base, histories.values, -1).astype(np.int32))
        raw = self.base.score_histories(known)  # [n, n_base]
        mapped = _mapped(raw, self.neighbours)  # [n, n_cold], before f is taken in place
        base = _transform(raw, self.units[0])
        own = base
        if w.warm_text:
            own = base + np.float32(w.warm_text) * (
                self._profiles(histories, self.config.decay) @ self.vectors[:n_base].T
            )
        if not self.cold.any():
            return own
        scores, warm = np.empty((len(histories), len(self.vectors)), np.float32), ~self.cold
        scores[:, warm] = own[:, warm[:n_base]]
        scores[:, self.cold] = self._cold_scores(histories, known, _transform(mapped, self.units[0]), base, own)
        return scores

    def _cold_scores(
        self, histories: Ragged, known: Ragged, mapped: FloatArray, base: FloatArray, own: FloatArray
    ) -> FloatArray:
        """float32 ``[n, n_cold]``, from the base model's scores: mapped, of its items without text, and with it."""
        w, n_base = self.weights, self.neighbours.shape[1]
        companion = others = None
        if self.companion is not None:
            others = scores_of_part(self.companion, known)
            others = np.pad(others, ((0, 0), (0, n_base - others.shape[1])))  # one that was left behind knows fewer
            companion = _transform(_mapped(others, self.neighbours), self.units[1])
        cosines = self._profiles(histories, w.cold_decay) @ self.vectors[self.cold].T
        cold = w.of_cold(mapped, companion, cosines)
        if w.level:
            hidden = self.cold[:n_base]
            beside = None if others is None else kth_best(_transform(others, self.units[1]), hidden, known)
            cold += w.raised(kth_best(own, hidden, known), kth_best(base, hidden, known), beside)
        return cold

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
        """That of the base model; items with events are warm then, and neighbours are found anew. Weights stay.

        s follows the best scores of each model. A companion that cannot be updated scores new items with nothing.
        """
        new, some = self.text.new_vectors(change, len(self.vectors)), sample_of(change)
        before = [_unit_on(part, some) for part in self.made_of]
        update_parts(self, [self.base], change, options)
        if self.companion is not None and can_be_updated(self.companion):
            update_parts(self, [self.companion], change, options)
        elif self.companion is not None:
            self.companion.report.behind = True
        if len(some):
            now = [_unit_on(part, some) for part in self.made_of]
            self.units = tuple(u * n / b if b else u for u, n, b in zip(self.units, now, before, strict=True))
        self.vectors = appended(self.vectors, new)
        self.cold = np.concatenate([self.cold, np.ones(len(new), np.bool_)])
        self.cold[change.after.values] = False
        self.neighbours = self._map(self.vectors[self.cold], ~self.cold)

    @property
    def stands_for(self) -> str:
        """The model below it, in words."""
        return f"{self.base.stands_for}, with a place for items without events ({self.name})"

    @property
    def made_of(self) -> tuple[Recommender, ...]:
        """The model below it, and its companion where there is one."""
        return (self.base,) if self.companion is None else (self.base, self.companion)

    @property
    def reads_columns(self) -> tuple[str, ...]:
        """What it reads itself, and the models below it."""
        return tuple(dict.fromkeys([*self.text.columns, *super().reads_columns]))

    def _state(self) -> tuple[artifact.Arrays, dict[str, Any]]:
        arrays, described = pack_parts(self.made_of)
        own = {"vectors": self.vectors, "cold": self.cold, **artifact.pack_csr("neighbours", self.neighbours)}
        return {**arrays, **own}, {
            "parts": described,
            "text": self.text.to_meta(),
            "units": list(self.units),
            "weights": self.weights.to_meta(),
        }

    def _restore(self, arrays: Mapping[str, npt.NDArray[Any]], meta: dict[str, Any]) -> None:
        self.vectors, self.cold = arrays["vectors"], arrays["cold"]
        self.neighbours = artifact.unpack_csr("neighbours", arrays)
        self.text, self.units = ItemText.from_meta(meta["text"]), tuple(meta["units"])
        self.weights = Calibration(**meta["weights"])
        known = Ids(self._fitted().values[: self.neighbours.shape[1]])
        self.base, *others = unpack_parts(arrays, meta["parts"], known)
        self.companion = others[0] if others else None


def _unit(model: Recommender, scores: FloatArray) -> float:
    """Mean of the best of each row of a model's ``scores``, at least a little above 0; 0 where scores are logits."""
    best = scores.max(axis=1, initial=0.0)
    return 0.0 if model.scale == "logit" else float(max(best.mean() if len(best) else 0.0, 1e-6))


def _unit_on(model: Recommender, histories: Ragged) -> float:
    """The same on the first of ``histories``."""
    return 0.0 if model.scale == "logit" else _unit(model, model.score_histories(histories.take(slice(0, _FEW))))


def _mapped(scores: FloatArray, neighbours: sp.csr_matrix) -> FloatArray:
    """float32 ``[n, c]``: what the neighbours of c items score."""
    return np.asarray(scores @ neighbours.T, np.float32)


def _transform(scores: FloatArray, unit: float) -> FloatArray:
    """f, in place."""
    if unit:
        np.maximum(scores, 0.0, out=scores)
        scores /= np.float32(unit)
        scores += np.float32(_SMALL)
        np.log(scores, out=scores)
    return scores
