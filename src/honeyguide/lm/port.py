"""The port to language models: what is asked, what is answered, and what a back end says it can.

Texts of items, reviews and people go into a prompt as fenced data (:func:`fenced`), never as instructions; and what a
model returns is checked against a schema before anything is done with it.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt

from honeyguide.core.errors import CapabilityError, HoneyguideError

Role = Literal["system", "user", "assistant"]
Capability = Literal["generate", "schema", "choose", "logprobs", "hidden", "embed", "forward", "tune"]
Finish = Literal["stop", "length", "refused"]
Vector = npt.NDArray[np.float64]

_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\u202a-\u202e\u2066-\u2069]")
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


class LMError(HoneyguideError):
    """A language model did not answer, or not as asked."""


@dataclass(frozen=True)
class Message:
    """One turn.

    Parameters
    ----------
    role
        Who says it.
    text
        What is said.
    """

    role: Role
    text: str


@dataclass(frozen=True)
class Prompt:
    """What is asked of a model.

    Parameters
    ----------
    messages
        In order; the last is answered.
    max_tokens
        Of the answer.
    temperature
        0 for the likeliest answer.
    stop
        Texts that end the answer.
    schema
        JSON schema of the answer; ``None`` for free text.
    seed
        Of the sampling, where the back end takes one.
    saw_target
        Whether what is to be predicted stands in the prompt: evaluation refuses such answers.
    logprobs
        Whether the answer is to carry the log-probability of each of its tokens, where the back end can tell.
    """

    messages: tuple[Message, ...]
    max_tokens: int = 256
    temperature: float = 0.0
    stop: tuple[str, ...] = ()
    schema: Mapping[str, Any] | None = None
    seed: int = 0
    saw_target: bool = False
    logprobs: bool = False

    @classmethod
    def of(cls, text: str, *, system: str | None = None, **options: Any) -> Prompt:
        """One question, with or without a system message."""
        first = (Message("system", system),) if system is not None else ()
        return cls((*first, Message("user", text)), **options)

    def key(self) -> str:
        """SHA-256 of everything that changes the answer."""
        content = asdict(self) | {"saw_target": None}
        if not self.logprobs:
            del content["logprobs"]
        return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()


@dataclass(frozen=True)
class Usage:
    """What an answer cost.

    Parameters
    ----------
    prompt_tokens, answer_tokens
        Read and written.
    seconds
        Wall time.
    cost
        In the currency of the prices that the back end was given; 0 for a local model.
    """

    prompt_tokens: int = 0
    answer_tokens: int = 0
    seconds: float = 0.0
    cost: float = 0.0

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.prompt_tokens + other.prompt_tokens,
            self.answer_tokens + other.answer_tokens,
            self.seconds + other.seconds,
            self.cost + other.cost,
        )


@dataclass(frozen=True)
class Answer:
    """What a model said.

    Parameters
    ----------
    text
        The answer.
    model
        Name and version of the model that gave it.
    prompt
        Hash of the prompt.
    finish
        Why it ended.
    usage
        What it cost; zero where it came from the cache.
    saw_target
        As the prompt says.
    cached
        Whether it was not asked for now.
    logprobs
        Log-probability of each token of the answer, where the prompt asks and the back end can tell.
    """

    text: str
    model: str
    prompt: str
    finish: Finish = "stop"
    usage: Usage = Usage()
    saw_target: bool = False
    cached: bool = False
    logprobs: tuple[float, ...] | None = None

    def data(self) -> Any:
        """The answer as JSON.

        Raises
        ------
        LMError
            If it is none.
        """
        try:
            return json.loads(self.text)
        except json.JSONDecodeError as error:
            raise LMError(
                f"{self.model} answered no JSON: {self.text[:200]!r}.", "Ask with a schema, or again."
            ) from error


@dataclass(frozen=True)
class Choice:
    """How likely each of several options is.

    Parameters
    ----------
    probabilities
        float64 ``[n]``, sum 1.
    passes
        Times the model read the prompt.
    usage
        What it cost.
    """

    probabilities: Vector
    passes: int
    usage: Usage = Usage()

    @property
    def best(self) -> int:
        """The likeliest, the first of equals."""
        return int(np.argmax(self.probabilities))


@dataclass
class Spent:
    """What was spent so far, against a budget.

    Parameters
    ----------
    tokens, cost
        Most that may be spent; ``None`` for no limit.
    """

    tokens: int | None = None
    cost: float | None = None
    usage: Usage = field(default_factory=Usage)

    def add(self, usage: Usage) -> None:
        """Count an answer."""
        self.usage = self.usage + usage

    def check(self) -> None:
        """Refuse to go on once a budget is spent.

        Raises
        ------
        LMError
            If it is.
        """
        used = self.usage.prompt_tokens + self.usage.answer_tokens
        if self.tokens is not None and used >= self.tokens:
            raise LMError(f"the budget of {self.tokens:,} tokens is spent.", "Raise it, or ask less.")
        if self.cost is not None and self.usage.cost >= self.cost:
            raise LMError(f"the budget of {self.cost:g} is spent.", "Raise it, or ask less.")


class LM(ABC):
    """A language model. A back end implements what it can and says so in ``capabilities``."""

    capabilities: ClassVar[frozenset[Capability]] = frozenset({"generate"})

    @property
    @abstractmethod
    def name(self) -> str:
        """Name and version: part of the key of a stored answer."""

    def require(self, capability: Capability) -> None:
        """Raise a :class:`CapabilityError` that names what else would do."""
        if capability not in self.capabilities:
            others = ", ".join(BACK_ENDS[capability]) or "none"
            raise CapabilityError(f"{self.name} cannot {capability}.", f"Back ends that can: {others}.")

    @abstractmethod
    def generate(
        self, prompts: Sequence[Prompt], on_answer: Callable[[int, Answer], None] | None = None
    ) -> list[Answer]:
        """An answer to each prompt.

        Parameters
        ----------
        prompts
            What is asked.
        on_answer
            Is given the place and the answer of each as soon as it is there: for progress, and for what is resumed.
            Every back end calls it.
        """

    def choose(self, prompt: Prompt, options: Sequence[str], *, calibrate: Prompt | None = None) -> Choice:
        """How likely each option is as the answer.

        Options are shown under letters and in both orders, and the model is read at the letter. With
        ``calibrate``, what it says to a neutral prompt is taken off (Zhao et al. 2021), because letters and well-known
        titles are likely whatever is asked.

        Parameters
        ----------
        prompt
            The question; the options are put behind it.
        options
            At most 26.
        calibrate
            A neutral prompt of the same form.
        """
        self.require("choose")
        if not 1 < len(options) <= len(LETTERS):
            raise LMError(f"{len(options)} options cannot be shown.", f"Give two to {len(LETTERS)}.")
        total, passes, usage = np.zeros(len(options)), 0, Usage()
        for order in (np.arange(len(options)), np.arange(len(options))[::-1]):
            shown = [options[i] for i in order]
            scores, spent = self.letters(lettered(prompt, shown), len(options))
            passes, usage = passes + 1, usage + spent
            if calibrate is not None:
                neutral, spent = self.letters(lettered(calibrate, shown), len(options))
                scores, passes, usage = scores - neutral, passes + 1, usage + spent
            total[order] += scores
        shifted = total / 2 - (total / 2).max()
        mass = np.exp(shifted)
        return Choice(mass / mass.sum(), passes, usage)

    def letters(self, prompt: Prompt, n: int) -> tuple[Vector, Usage]:
        """Log-probabilities of the first ``n`` letters as the next token: float64 ``[n]`` (capability ``choose``)."""
        raise NotImplementedError(f"{self.name} declares 'choose' and does not implement it")

    def logprobs(self, prompt: Prompt, continuations: Sequence[str]) -> list[Vector]:
        """Log-probability of every token of each continuation (capability ``logprobs``)."""
        self.require("logprobs")
        raise NotImplementedError(f"{self.name} declares 'logprobs' and does not implement it")

    def embed(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """float32 ``[n, d]``: one vector for each text (capability ``embed``)."""
        self.require("embed")
        raise NotImplementedError(f"{self.name} declares 'embed' and does not implement it")

    def hidden(self, texts: Sequence[str], layer: int = -1) -> list[npt.NDArray[np.float32]]:
        """float32 ``[tokens, d]`` for each text: the states after a layer (capability ``hidden``)."""
        self.require("hidden")
        raise NotImplementedError(f"{self.name} declares 'hidden' and does not implement it")

    def forward(self, inputs_embeds: Any, mask: Any) -> Any:
        """States ``[b, t, d]`` from input vectors ``[b, t, d]`` and a mask ``[b, t]`` (capability ``forward``)."""
        self.require("forward")
        raise NotImplementedError(f"{self.name} declares 'forward' and does not implement it")


# Which back ends have a capability, for the remedy of an error.
BACK_ENDS: dict[Capability, tuple[str, ...]] = {
    "generate": ("llama.cpp", "transformers", "endpoint", "replay"),
    "schema": ("llama.cpp", "endpoint"),
    "choose": ("llama.cpp", "transformers", "endpoint"),
    "logprobs": ("transformers",),
    "hidden": ("transformers",),
    "embed": ("llama.cpp", "transformers", "endpoint"),
    "forward": ("transformers",),
    "tune": ("transformers",),
}


def letter_mass(top: Sequence[Mapping[str, Any]], n: int) -> Vector:
    """Probability of each of the first ``n`` letters among the likeliest tokens, float64 ``[n]``.

    Parameters
    ----------
    top
        ``{"token", "logprob"}`` of each; ``"A"``, ``" A"`` and ``"A."`` are the same letter.
    n
        Number of letters.
    """
    mass = np.zeros(n)
    for entry in top:
        letter = str(entry.get("token", "")).strip().strip(".").upper()
        if len(letter) == 1 and letter in LETTERS[:n]:
            mass[LETTERS.index(letter)] += math.exp(float(entry["logprob"]))
    return mass


def lettered(prompt: Prompt, options: Sequence[str]) -> Prompt:
    """``prompt`` with options under letters, to be answered by a letter."""
    lines = "\n".join(f"{LETTERS[i]}. {one_line(option)}" for i, option in enumerate(options))
    last = prompt.messages[-1]
    asked = Message(last.role, f"{last.text}\n{lines}\nAnswer with one letter.")
    return replace(prompt, messages=(*prompt.messages[:-1], asked), max_tokens=1)


def one_line(text: str, most: int = 300) -> str:
    """A text as data in a line: without control characters and breaks, cut at ``most``."""
    plain = " ".join(_CONTROL.sub(" ", text).split())
    return plain if len(plain) <= most else plain[: most - 1] + "…"


def fenced(text: str, name: str = "data", most: int = 4000) -> str:
    """A text as data between fences that it cannot close, for a prompt.

    Parameters
    ----------
    text
        From a catalogue, a review or a person.
    name
        What it is.
    most
        Characters.
    """
    plain = _CONTROL.sub(" ", text)[:most].replace("<", "‹").replace(">", "›")
    return f"<{name}>\n{plain}\n</{name}>"
