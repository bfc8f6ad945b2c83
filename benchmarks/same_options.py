"""A fit on other data with what the first fit chose: options, and the parts of what is made of models."""

from __future__ import annotations

from typing import Any

from honeyguide.core.dataset import Dataset
from honeyguide.core.recommender import Recommender
from honeyguide.models.auto import Auto
from honeyguide.models.blend import Blend
from honeyguide.models.content.cold_map import ColdMap
from honeyguide.models.fusion import PER_PART
from honeyguide.models.linear.slim import SLIM
from honeyguide.models.registry import model_class


def refit(first: Recommender, data: Dataset) -> Recommender:
    """The model ``first`` fitted anew on ``data``; nothing is chosen again but the weights of a blend and of a map."""
    if isinstance(first, Auto):
        return refit(first.chosen, data)
    if isinstance(first, ColdMap):
        options = {k: v for k, v in first.config.model_dump(mode="json").items() if k not in ("base", "options")}
        return ColdMap.over(refit(first.base, data), data, **options)
    if isinstance(first, Blend):
        parts = [refit(part, data) for part in first.parts]
        own = {"segments": first.config.segments, "seed": first.config.seed}
        return Blend.of(parts, data, learned=bool(first.weights.values[:, PER_PART - 1 :: PER_PART].any()), **own)
    return model_class(first.name)(**_options(first)).fit(data)


def _options(first: Recommender) -> dict[str, Any]:
    options = first.config.model_dump(mode="json")
    if "epochs" in options and options.get("schedule") != "cosine" and first.report.curve:
        options["epochs"] = len(first.report.curve)  # a search ends training where its budget does
    if isinstance(first, SLIM):
        options["l1"] = first.l1
    chosen = getattr(first, "chosen", {})
    if "decay" in chosen:
        one = {"normalisations": ("normalisation",), "decays": ("decay",), "mixes": ("mix",)}
        options |= {option: tuple(chosen[key] for key in keys) for option, keys in one.items()}
    return options
