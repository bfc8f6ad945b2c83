"""Folders that transformers reads: from a GGUF file, converted once, or from the Hugging Face hub.

Un-quantising and rebuilding the tokenizer takes a minute; reading the folder takes seconds. It holds float32
safetensors, four bytes a parameter, and is kept under the SHA-256 of the file. Nothing is fetched but by name.
"""

from __future__ import annotations

import logging
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from honeyguide.core.errors import MissingExtraError
from honeyguide.encode.cache import cache_folder
from honeyguide.encode.encoder import sha256_of
from honeyguide.encode.hub import NotFetchedError, hub_folder
from honeyguide.lm.port import LMError

log = logging.getLogger(__name__)


def converted(file: Path, sha256: str | None = None) -> Path:
    """The folder with what is in a GGUF file.

    Parameters
    ----------
    file
        Of an architecture that transformers knows in this form.
    sha256
        Of the file, where that was computed already.

    Raises
    ------
    MissingExtraError
        If the package gguf is not installed.
    LMError
        If transformers cannot read it.
    """
    folder = cache_folder() / "lm" / (sha256 or sha256_of(file))
    if (folder / "config.json").is_file():
        return folder
    if find_spec("gguf") is None or find_spec("transformers") is None:
        raise MissingExtraError(f"Reading {file.name} with transformers", "lm-torch")
    log.info("Converting %s, once, into %s", file, folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=".partial-", dir=folder.parent))
    try:
        _convert(file, partial)
        if not folder.exists():  # another process may have been faster
            partial.replace(folder)
    except (ValueError, KeyError, OSError, RuntimeError, NotImplementedError) as error:
        raise LMError(
            f"transformers cannot read {file}: {error}.", "Use llama.cpp, or the model's own folder."
        ) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return folder


def fetched(name: str) -> Path:
    """The folder of a model of the Hugging Face hub: what was fetched before, else what the hub gives now.

    Raises
    ------
    LMError
        If it cannot be had.
    """
    try:
        return hub_folder(name, ("*.safetensors", "*.json", "*.jinja", "*.txt", "*.model"))
    except NotFetchedError as error:
        raise LMError(
            f"The language model {name!r} could not be fetched: {error}",
            "Give a folder: 'hf download NAME --local-dir DIR' makes one where there is a network.",
        ) from error


def _convert(file: Path, folder: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    where: dict[str, Any] = {"gguf_file": file.name, "local_files_only": True}
    with without_bars():
        tokenizer = AutoTokenizer.from_pretrained(str(file.parent), **where)
        model: Any = AutoModelForCausalLM.from_pretrained(str(file.parent), dtype=torch.float32, **where)
    model.hf_quantizer = None  # else it refuses to be saved, though nothing is quantised any more
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    tokenizer.save_pretrained(folder)
    with without_bars():
        model.save_pretrained(folder)


@contextmanager
def without_bars() -> Iterator[None]:
    """Without the progress bars of transformers."""
    from transformers import utils

    logging_of: Any = utils.logging
    shown = logging_of.is_progress_bar_enabled()
    logging_of.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging_of.enable_progress_bar()
