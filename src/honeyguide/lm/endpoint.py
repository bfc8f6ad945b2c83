"""Any endpoint that speaks the protocol of OpenAI: vLLM, Ollama, llama.cpp's server, hosted models."""

from __future__ import annotations

import json
import math
import random
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import Any, ClassVar
from urllib.parse import urlsplit

import numpy as np
import numpy.typing as npt

from honeyguide.core.errors import ConfigError
from honeyguide.lm.port import LM, Answer, Capability, Finish, LMError, Prompt, Spent, Usage, Vector, letter_mass

_AGAIN = frozenset({408, 409, 425, 429, 500, 502, 503, 504})
_LONGEST_WAIT = 60.0
_FINISHES: dict[str, Finish] = {"stop": "stop", "length": "length", "content_filter": "refused"}


@dataclass(frozen=True)
class EndpointConfig:
    """How to reach an endpoint.

    Parameters
    ----------
    url
        Up to ``/v1``.
    model
        As the endpoint calls it.
    key
        API key; never written anywhere.
    concurrency
        Requests at once.
    retries
        Tries after the first, at growing intervals, of what may succeed when tried again.
    timeout
        Seconds of one request.
    prompt_price, answer_price
        Of a million tokens.
    tokens, cost
        Budget in all; ``None`` for no limit.
    """

    url: str
    model: str
    key: str | None = field(default=None, repr=False)
    concurrency: int = 4
    retries: int = 5
    timeout: float = 120.0
    prompt_price: float = 0.0
    answer_price: float = 0.0
    tokens: int | None = None
    cost: float | None = None

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.netloc:
            raise ConfigError(f"{self.url!r} is no address of an endpoint.", "Write http://HOST:PORT/v1.")
        if self.concurrency < 1 or self.retries < 0 or self.timeout <= 0:
            raise ConfigError("concurrency, retries or timeout is too small.", "Leave them away for the defaults.")


class Endpoint(LM):
    """A model behind an endpoint.

    Parameters
    ----------
    config
        How to reach it.
    """

    capabilities: ClassVar[frozenset[Capability]] = frozenset({"generate", "schema", "choose", "embed"})

    def __init__(self, config: EndpointConfig) -> None:
        self.config = config
        self.spent = Spent(config.tokens, config.cost)
        self._sleep: Callable[[float], None] = time.sleep

    @property
    def name(self) -> str:
        """The model and where it is."""
        return f"{self.config.model}@{urlsplit(self.config.url).netloc}"

    def generate(
        self, prompts: Sequence[Prompt], on_answer: Callable[[int, Answer], None] | None = None
    ) -> list[Answer]:
        """An answer to each prompt, several at a time.

        Raises
        ------
        LMError
            If an answer cannot be had, or the budget is spent; those that came before were told to ``on_answer``.
        """
        answers: list[Answer | None] = [None] * len(prompts)
        places = iter(range(len(prompts)))
        running: dict[Future[Answer], int] = {}
        with ThreadPoolExecutor(self.config.concurrency) as pool:
            try:
                while True:
                    while len(running) < self.config.concurrency and (place := next(places, None)) is not None:
                        self.spent.check()
                        running[pool.submit(self._answer, prompts[place])] = place
                    if not running:
                        break
                    done, _ = wait(running, return_when=FIRST_COMPLETED)
                    for future in done:
                        place = running.pop(future)
                        answers[place] = answer = future.result()
                        if on_answer is not None:
                            on_answer(place, answer)
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise
        return [answer for answer in answers if answer is not None]

    def _answer(self, prompt: Prompt) -> Answer:
        started = time.monotonic()
        found = self._post("chat/completions", self._body(prompt))
        choice = _first(found)
        usage = self._usage(found, time.monotonic() - started)
        self.spent.add(usage)
        text = (choice.get("message") or {}).get("content") or ""
        finish = _FINISHES.get(str(choice.get("finish_reason")), "stop")
        written = (choice.get("logprobs") or {}).get("content") or []
        logprobs = tuple(float(token["logprob"]) for token in written) if prompt.logprobs and written else None
        return Answer(str(text), self.name, prompt.key(), finish, usage, prompt.saw_target, logprobs=logprobs)

    def _body(self, prompt: Prompt) -> dict[str, Any]:
        body: dict[str, Any] = {
            "model": self.config.model,
            "messages": [{"role": m.role, "content": m.text} for m in prompt.messages],
            "max_tokens": prompt.max_tokens,
            "temperature": prompt.temperature,
            "seed": prompt.seed,
        }
        if prompt.logprobs:
            body["logprobs"] = True
        if prompt.stop:
            body["stop"] = list(prompt.stop)
        if prompt.schema is not None:
            schema = {"name": "answer", "schema": dict(prompt.schema), "strict": True}
            body["response_format"] = {"type": "json_schema", "json_schema": schema}
        return body

    def letters(self, prompt: Prompt, n: int) -> tuple[Vector, Usage]:
        """Log-probabilities of the letters among the twenty likeliest tokens; the others share what is left."""
        started = time.monotonic()
        found = self._post("chat/completions", {**self._body(prompt), "logprobs": True, "top_logprobs": 20})
        usage = self._usage(found, time.monotonic() - started)
        self.spent.add(usage)
        content = (_first(found).get("logprobs") or {}).get("content") or []
        if not content:
            raise LMError(f"{self.name} gives no log-probabilities.", "Use another endpoint, or a local model.")
        top = content[0].get("top_logprobs") or []
        mass = letter_mass(top, n)
        rest = max(1.0 - sum(math.exp(float(entry["logprob"])) for entry in top), 1e-9)
        return np.log(np.where(mass > 0, mass, rest / (10 * n))), usage

    def embed(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """float32 ``[n, d]``."""
        found = self._post("embeddings", {"model": self.config.model, "input": list(texts)})
        try:
            rows = sorted(found["data"], key=lambda row: int(row["index"]))
            vectors = np.array([row["embedding"] for row in rows], np.float32)
        except (KeyError, TypeError, ValueError) as error:
            raise LMError(f"{self.name} gave no vectors.", "Use a model that embeds.") from error
        if len(vectors) != len(texts):
            raise LMError(f"{self.name} gave {len(vectors)} vectors for {len(texts)} texts.", "Try again.")
        return vectors

    def _usage(self, found: dict[str, Any], seconds: float) -> Usage:
        counted = found.get("usage") or {}
        read, written = int(counted.get("prompt_tokens") or 0), int(counted.get("completion_tokens") or 0)
        c = self.config
        return Usage(read, written, seconds, (read * c.prompt_price + written * c.answer_price) / 1e6)

    def _post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """The JSON that the endpoint answers; tried again where that may help."""
        fault = ""
        for turn in range(self.config.retries + 1):
            try:
                return self._once(path, body)
            except urllib.error.HTTPError as error:
                fault = f"{error.code}: {error.read(500).decode(errors='replace')}"
                if error.code not in _AGAIN:
                    raise LMError(f"{self.name} refused ({fault}).", "Look at the model's name and the key.") from error
                pause = _retry_after(error)
            except (urllib.error.URLError, TimeoutError, ConnectionError, json.JSONDecodeError) as error:
                fault, pause = str(error), None
            if turn < self.config.retries:
                growing = min(_LONGEST_WAIT, 0.5 * 2**turn) * (0.5 + random.random() / 2)  # noqa: S311
                self._sleep(pause if pause is not None else growing)
        raise LMError(
            f"{self.name} did not answer in {self.config.retries + 1} tries ({fault}).", "Is the endpoint up?"
        )

    def _once(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        headers = {"Content-Type": "application/json"}
        if self.config.key is not None:
            headers["Authorization"] = f"Bearer {self.config.key}"
        url = f"{self.config.url.rstrip('/')}/{path}"
        request = urllib.request.Request(url, json.dumps(body).encode(), headers)  # noqa: S310
        with urllib.request.urlopen(request, timeout=self.config.timeout) as answer:  # noqa: S310
            found = json.loads(answer.read())
        if not isinstance(found, dict):
            raise LMError(f"{self.name} answered no object.", "Is it an endpoint of this protocol?")
        return found


def _first(found: dict[str, Any]) -> dict[str, Any]:
    choices = found.get("choices")
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
        raise LMError("the endpoint answered without a choice.", "Is it an endpoint of this protocol?")
    return choices[0]


def _retry_after(error: urllib.error.HTTPError) -> float | None:
    text = error.headers.get("Retry-After") if error.headers else None
    try:
        return min(_LONGEST_WAIT, max(0.0, float(text))) if text else None
    except ValueError:
        return None
