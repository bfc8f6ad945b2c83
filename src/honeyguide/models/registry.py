"""The list of models: names, one-line descriptions and where their classes are, imported when needed."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from honeyguide.core import artifact
from honeyguide.core.errors import MissingExtraError, UnknownNameError
from honeyguide.core.plugged import plugged
from honeyguide.core.plugin import Plugin
from honeyguide.core.recommender import Recommender


@dataclass(frozen=True)
class Entry:
    """One registered model.

    Parameters
    ----------
    name
        The name that users type.
    module, cls
        Where the class is.
    summary
        One line for tables.
    extra
        The optional dependencies it needs, or ``None``.
    deterministic
        Whether a fit is the same whatever the seed; such a model runs once where others run
        several seeds.
    """

    name: str
    module: str
    cls: str
    summary: str
    extra: str | None = None
    deterministic: bool = False

    def load(self) -> type[Recommender]:
        """Import the class.

        Raises
        ------
        MissingExtraError
            If its optional dependencies are not installed.
        """
        found: type[Recommender] = _imported(self, "model")
        return found


def _imported(entry: Entry | PluginEntry, kind: str) -> Any:
    try:
        module = importlib.import_module(entry.module)
    except ModuleNotFoundError as error:
        if entry.extra is None or (error.name or "").startswith("honeyguide"):
            raise
        raise MissingExtraError(f"The {kind} {entry.name!r}", entry.extra) from error
    return getattr(module, entry.cls)


MODELS: dict[str, Entry] = {
    entry.name: entry
    for entry in (
        Entry(
            "popularity", "honeyguide.models.popularity", "Popularity", "most popular items first", deterministic=True
        ),
        Entry(
            "floor",
            "honeyguide.models.linear.floor",
            "Floor",
            "item-to-item transitions, searched on valid",
            deterministic=True,
        ),
        Entry(
            "itemknn",
            "honeyguide.models.linear.itemknn",
            "ItemKNN",
            "cosine neighbours of the items in the history",
            deterministic=True,
        ),
        Entry(
            "ease", "honeyguide.models.linear.ease", "EASE", "closed-form item-to-item regression", deterministic=True
        ),
        Entry(
            "ials",
            "honeyguide.models.linear.ials",
            "IALS",
            "matrix factorisation by alternating least squares",
        ),
        Entry(
            "gfcf",
            "honeyguide.models.graph.gfcf",
            "GFCF",
            "graph filter, linear plus ideal low-pass",
            deterministic=True,
        ),
        Entry(
            "text-profile",
            "honeyguide.models.content.text_profile",
            "TextProfile",
            "items whose text is like that of the history",
            "text",
            deterministic=True,
        ),
        Entry(
            "image-profile",
            "honeyguide.models.content.image_profile",
            "ImageProfile",
            "items whose picture, and text if wanted, is like those of the history",
            "image",
            deterministic=True,
        ),
        Entry("gru4rec", "honeyguide.models.sequence.gru4rec", "GRU4Rec", "gated recurrent units", "torch"),
        Entry(
            "itemrate",
            "honeyguide.models.ranking.itemrate",
            "ItemRate",
            "share of the meetings with an item in which it was liked",
            deterministic=True,
        ),
        Entry("logistic", "honeyguide.models.ranking.logistic", "Logistic", "logistic regression on features"),
        Entry("din", "honeyguide.models.ranking.din", "DIN", "features and target attention over the history", "torch"),
        Entry(
            "boosted",
            "honeyguide.models.ranking.boosted",
            "Boosted",
            "gradient-boosted trees over the candidates of lighter models",
            "boost",
        ),
        Entry("lightgcn", "honeyguide.models.graph.lightgcn", "LightGCN", "vectors propagated over the graph", "torch"),
        Entry("alpharec", "honeyguide.models.graph.alpharec", "AlphaRec", "texts, mapped and propagated", "torch"),
        Entry("mf-bpr", "honeyguide.models.factor.mf_bpr", "MFBPR", "matrix factorisation from ranked pairs", "torch"),
        Entry("mf", "honeyguide.models.factor.mf", "MF", "matrix factorisation with a pointwise loss", "torch"),
        Entry("simplex", "honeyguide.models.graph.simplex", "SimpleX", "mean of the history, contrasted", "torch"),
        Entry(
            "slim",
            "honeyguide.models.linear.slim",
            "SLIM",
            "sparse, non-negative item-to-item regression",
            deterministic=True,
        ),
        Entry("blend", "honeyguide.models.blend", "Blend", "several models, weighed on valid"),
        Entry("auto", "honeyguide.models.auto", "Auto", "the best of a portfolio or its blend, within a budget"),
        Entry(
            "cold-map",
            "honeyguide.models.content.cold_map",
            "ColdMap",
            "any model, with a place for items without events",
            "text",
        ),
        Entry(
            "two-tower",
            "honeyguide.models.content.two_tower",
            "TwoTower",
            "a tower of histories, a tower of texts and categories",
            "torch",
        ),
        Entry("cml", "honeyguide.models.content.cml", "CML", "distances between people and what items say", "torch"),
        Entry("sasrec", "honeyguide.models.sequence.sasrec", "SASRec", "causal self-attention", "torch"),
        Entry("esasrec", "honeyguide.models.sequence.esasrec", "ESASRec", "SASRec by the eSASRec recipe", "torch"),
        Entry("bert4rec", "honeyguide.models.sequence.bert4rec", "BERT4Rec", "gaps filled from both sides", "torch"),
        Entry("hstu", "honeyguide.models.sequence.hstu", "HSTU", "causal attention without a softmax", "torch"),
        Entry(
            "bigrec",
            "honeyguide.models.language.bigrec",
            "BIGRec",
            "a language model writes a title, the catalogue's nearest are shown",
            "lm-torch",
        ),
        Entry(
            "lite-llm4rec",
            "honeyguide.models.language.lite_llm4rec",
            "LiteLLM4Rec",
            "texts by one language model, histories by another, one linear head",
            "torch",
        ),
        Entry(
            "hllm", "honeyguide.models.language.hllm", "HLLM", "texts by one language model, users by another", "torch"
        ),
        Entry("tim4rec", "honeyguide.models.sequence.tim4rec", "TiM4Rec", "state-space duality paced by gaps", "torch"),
    )
}


@dataclass(frozen=True)
class PluginEntry:
    """One registered plug-in.

    Parameters
    ----------
    name
        The name that users type behind a ``+``.
    module, cls
        Where the class is.
    summary
        One line for tables.
    extra
        The optional dependencies it needs, or ``None``.
    """

    name: str
    module: str
    cls: str
    summary: str
    extra: str | None = "torch"

    def load(self) -> type[Plugin]:
        """Import the class.

        Raises
        ------
        MissingExtraError
            If its optional dependencies are not installed.
        """
        found: type[Plugin] = _imported(self, "plug-in")
        return found


PLUGINS: dict[str, PluginEntry] = {
    entry.name: entry
    for entry in (
        PluginEntry("rel-mf", "honeyguide.plugins.rel_mf", "RelMF", "examples weighed by inverse propensities"),
        PluginEntry(
            "ada-retrieval",
            "honeyguide.plugins.ada_retrieval",
            "AdaRetrieval",
            "retrieval in rounds that adapt to what was retrieved",
            "torch",
        ),
        PluginEntry(
            "llm4dsr", "honeyguide.plugins.llm4dsr", "LLM4DSR", "items that do not belong to a history are replaced"
        ),
        PluginEntry("lightgnn", "honeyguide.plugins.lightgnn", "LightGNN", "edges and entries of vectors pruned away"),
        PluginEntry("recsae", "honeyguide.plugins.recsae", "RecSAE", "states as few of many latents, to see and edit"),
        PluginEntry(
            "knn-embed", "honeyguide.plugins.knn_embed", "KNNEmbed", "candidates around several interests", None
        ),
        PluginEntry(
            "lorec",
            "honeyguide.plugins.lorec",
            "LoRec",
            "users who look made up count less, by a calibrator that titles guide",
        ),
        PluginEntry(
            "reloop2", "honeyguide.plugins.reloop2", "ReLoop2", "a memory of errors that corrects while serving"
        ),
        PluginEntry("text-align", "honeyguide.plugins.text_align", "TextAlign", "vectors and texts drawn together"),
        PluginEntry(
            "vat", "honeyguide.plugins.vat", "VAT", "adversarial training against fake users, by how well one is fitted"
        ),
    )
}


def model_class(name: str) -> type[Recommender]:
    """The class registered as ``name``; with plug-ins where it is ``model+plugin+...``.

    Raises
    ------
    UnknownNameError
        If there is none; close names are suggested.
    MissingExtraError
        If its optional dependencies are not installed.
    CapabilityError
        If a plug-in needs a state that the model has not.
    """
    head, *names = name.split("+")
    if head not in MODELS:
        raise UnknownNameError("model", head, MODELS)
    if not names:
        return MODELS[head].load()
    return plugged(MODELS[head].load(), tuple(plugin_class(n) for n in names))


def plugin_class(name: str) -> type[Plugin]:
    """The class of the plug-in registered as ``name``.

    Raises
    ------
    UnknownNameError
        If there is none; close names are suggested.
    MissingExtraError
        If its optional dependencies are not installed.
    """
    if name not in PLUGINS:
        raise UnknownNameError("plug-in", name, PLUGINS)
    return PLUGINS[name].load()


def is_deterministic(name: str) -> bool:
    """Whether a fit of the model is the same whatever the seed; plug-ins may draw."""
    return name in MODELS and MODELS[name].deterministic


def load_model(directory: str | Path, version: str | None = None) -> Recommender:
    """Read a saved model of any class.

    Raises
    ------
    ArtifactError
        If the artifact is missing or damaged.
    """
    content = artifact.read(directory, "model", version)
    return model_class(content.meta["model"]).from_artifact(content)
