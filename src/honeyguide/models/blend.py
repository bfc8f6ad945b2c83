"""A blend of several models: their scores made comparable and added with weights learnt on valid."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator

from honeyguide.core import artifact
from honeyguide.core.dataset import Dataset
from honeyguide.core.errors import ConfigError
from honeyguide.core.fitting import Change, FitOptions, ModelConfig
from honeyguide.core.ragged import FloatArray, IntArray, Ragged
from honeyguide.core.recommender import Recommender
from honeyguide.core.requests import Recommendations
from honeyguide.core.resources import Estimate
from honeyguide.models.fusion import (
    PER_PART,
    Candidates,
    Weights,
    collect,
    cross_fitted,
    learn_segments,
    score_features,
)
from honeyguide.models.parts import (
    can_be_updated,
    pack_parts,
    require_updatable,
    scores_of_part,
    similar_by_history,
    unpack_parts,
    update_parts,
)
from honeyguide.models.temper import sample_of, sharpness, temperature

_CERTAIN = 2.0  # standard errors by which segments must be better to be used


class BlendConfig(ModelConfig):
    """Options of :class:`Blend`.

    Parameters
    ----------
    models
        Registered names of the parts.
    options
        Options of the parts, in the order of ``models``; those that are left out have the defaults.
    segments
        Into how many segments of history length valid users may be divided, each with weights of its own; it
        is done only where it raises NDCG@10 on users whom the weights have not seen.
    """

    models: tuple[str, ...] = Field(default=("floor", "ials", "itemknn"), min_length=1)
    options: tuple[dict[str, Any], ...] = ()
    segments: int = Field(default=3, ge=1)

    @model_validator(mode="after")
    def _one_each(self) -> Self:
        if len(self.options) > len(self.models):
            raise ValueError(f"options are given for {len(self.options)} parts, and there are {len(self.models)}")
        return self


class Blend(Recommender):
    """Score = sum over the parts p of ``w[g, p]' f(s_p)`` with weights of the segment g of the history's length.

    ``f`` are the features of :func:`~honeyguide.models.fusion.score_features`. Without a part valid all
    standard scores count the same.

    In an update the parts that can be updated are, and the weights stay; logits are divided by a temperature at which
    they are as sharp as before (:mod:`honeyguide.models.temper`). The features of a part that cannot are those
    over the catalogue that it knows, and 0 for items that came since: what it says of its average item. It says nothing
    for them and nothing against them, and what it says of the others does not change as the catalogue grows.
    """

    name = "blend"
    Config = BlendConfig
    config: BlendConfig
    capabilities: ClassVar[frozenset[str]] = frozenset({"fold_in", "similar", "update"})
    scale = "logit"

    parts: list[Recommender]
    weights: Weights
    temperatures: list[float]  # of the parts' logits: 1 until an update makes them sharper or flatter

    @classmethod
    def of(
        cls,
        parts: Sequence[Recommender],
        data: Dataset,
        *,
        learned: bool = True,
        found: Candidates | None = None,
        **options: Any,
    ) -> Self:
        """A blend of models that are fitted already, its weights learnt on the part valid of ``data``.

        Parameters
        ----------
        parts
            Models fitted on the catalogue of ``data``.
        data
            Holds the parts train and valid.
        learned
            Without, all standard scores count the same.
        found
            Held-out users with the features of ``parts``, where they were collected already; else drawn from valid.
        **options
            ``segments`` and ``seed``.

        Raises
        ------
        ConfigError
            If a part was fitted on another catalogue.
        """
        strangers = [part.name for part in parts if part.item_ids != data.item_ids]
        if strangers:
            raise ConfigError(f"{strangers[0]} was fitted on another catalogue.", "Fit it on this data set.")
        settings = tuple(part.config.model_dump(mode="json") for part in parts)
        blend = cls(models=tuple(part.name for part in parts), options=settings, **options)
        blend.parts = list(parts)
        blend.item_ids = data.item_ids
        blend._weigh(data.select("train", "valid") if learned else data.select("train"), found)
        return blend

    def _unfitted(self) -> list[Recommender]:
        from honeyguide.models.registry import model_class  # which lists this model too

        more: list[dict[str, Any]] = [{}] * (len(self.config.models) - len(self.config.options))
        options = [*self.config.options, *more]
        return [model_class(name)(**own) for name, own in zip(self.config.models, options, strict=True)]

    def estimate(self, data: Dataset) -> Estimate:
        """The largest part's memory beside what the others keep; the time of all."""
        costs = [part.estimate(data) for part in self._unfitted()]
        return Estimate(sum(c.memory_bytes for c in costs) + 3e8, sum(c.cpu_seconds for c in costs) + 10.0)

    def _fit(self, data: Dataset, options: FitOptions) -> None:
        self.parts = []
        for number, part in enumerate(self._unfitted()):
            folder = None if options.checkpoint is None else options.checkpoint / f"{number}-{part.name}"
            self.parts.append(part.fit(data, replace(options, checkpoint=folder)))
        self._weigh(data)

    def _weigh(self, data: Dataset, found: Candidates | None = None) -> None:
        """Learn the weights, with segments if these are better for users whom they have not seen."""
        self.weights = Weights(np.zeros(0, np.int64), _alike(len(self.parts))[None])
        self.temperatures = [1.0] * len(self.parts)
        valid = data.histories("valid")
        if not len(valid.values):
            return
        if found is None:
            found = collect(self.parts, data.histories("train"), valid, seed=self.config.seed)
        one = np.zeros(0, np.int64)
        edges = _edges(found.lengths, self.config.segments)
        if len(edges):
            gain = cross_fitted(found, edges, self.config.seed) - cross_fitted(found, one, self.config.seed)
            certain = gain.mean() > _CERTAIN * gain.std() / np.sqrt(len(gain))
            edges = edges if certain else one
        self.weights = learn_segments(found, edges)

    def score_histories(self, histories: Ragged, users: IntArray | None = None) -> FloatArray:
        """float32 ``[n, n_items]``."""
        own = self.weights.of(histories.lengths)  # [n, f]
        total = np.zeros((len(histories), len(self._fitted())), np.float32)
        for place, part in enumerate(self.parts):
            w = own[:, PER_PART * place : PER_PART * (place + 1)]
            features = score_features(self._scores(place, histories, users), part.scale)  # [2, n, m]
            total[:, : features.shape[2]] += np.einsum("fnm,nf->nm", features, w)
        return total

    def _scores(self, place: int, histories: Ragged, users: IntArray | None = None) -> FloatArray:
        """float32 ``[n, m]`` of the items that a part knows, at its temperature."""
        scores = scores_of_part(self.parts[place], histories, users)
        return scores if self.temperatures[place] == 1 else scores / np.float32(self.temperatures[place])

    def require(self, capability: str) -> None:
        """As for every model; an update needs a part that can be updated."""
        super().require(capability)
        if capability == "update":
            require_updatable(self, self.parts)

    def _update(self, change: Change, options: FitOptions) -> None:
        """That of every part that has one. The weights stay, and logits as sharp as when these were learnt."""
        some = sample_of(change)
        places = [n for n, part in enumerate(self.parts) if part.scale == "logit" and can_be_updated(part)]
        sharp = {place: sharpness(self._scores(place, some)) for place in places}
        update_parts(self, self.parts, change, options)
        for place in places:
            self.temperatures[place] *= temperature(self._scores(place, some), sharp[place])

    @property
    def updates_exactly(self) -> bool:
        """Whether all parts do, and the weights were not learnt."""
        weights = self.weights.values
        alike = np.array_equal(weights, _alike(len(self.parts))[None])
        return alike and not self.left_behind and all(part.updates_exactly for part in self.parts)

    @property
    def stands_for(self) -> str:
        """Its parts, in words."""
        return f"a blend of {', '.join(part.stands_for for part in self.parts)}"

    @property
    def made_of(self) -> tuple[Recommender, ...]:
        """Its parts."""
        return tuple(self.parts)

    def similar(self, items: IntArray, k: int = 10) -> Recommendations:
        """What people with that item alone in their history would be shown."""
        return Recommendations(*similar_by_history(self, items, k), self._fitted())

    def _state(self) -> tuple[artifact.Arrays, dict[str, Any]]:
        arrays, described = pack_parts(self.parts)
        meta = {"parts": described, "temperatures": self.temperatures}
        return {**arrays, "weights": self.weights.values, "edges": self.weights.edges}, meta

    def _restore(self, arrays: Mapping[str, npt.NDArray[Any]], meta: dict[str, Any]) -> None:
        self.weights = Weights(np.array(arrays["edges"]), np.array(arrays["weights"]))
        self.parts = unpack_parts(arrays, meta["parts"], self.item_ids)
        self.temperatures = list(meta.get("temperatures", [1.0] * len(self.parts)))  # not in what older versions wrote


def _alike(n: int) -> FloatArray:
    """float32 ``[f]``: weights by which the standard scores of ``n`` parts count the same."""
    return np.tile(np.array([1.0, 0.0], np.float32), n)


def _edges(lengths: npt.NDArray[np.int64], segments: int) -> npt.NDArray[np.int64]:
    """Lengths at which segments of about equally many users begin."""
    if segments == 1 or not len(lengths):
        return np.zeros(0, np.int64)
    inner = np.quantile(lengths, np.arange(1, segments) / segments)
    edges = np.unique(np.ceil(inner).astype(np.int64))
    kept: npt.NDArray[np.int64] = edges[edges > lengths.min()]
    return kept
