"""A prompt task: from a typed input to a typed output by way of a language model.

A task says how an input is asked for, which examples are shown first, what the answer must look like, and how it is
read. The same task runs on any back end, and on recorded answers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

import numpy as np

from honeyguide.core.errors import ConfigError
from honeyguide.core.ragged import FloatArray
from honeyguide.lm.port import LM, Answer, Message, Prompt

I = TypeVar("I")  # noqa: E741
O = TypeVar("O")  # noqa: E741


@dataclass(frozen=True)
class Example(Generic[I]):
    """An input with the answer that is wanted.

    Parameters
    ----------
    input
        What was asked about.
    answer
        As the model should write it.
    """

    input: I
    answer: str


@dataclass(frozen=True)
class Task(Generic[I, O]):
    """What is asked, and how the answer is read.

    Parameters
    ----------
    name
        For logs and tables.
    template
        From an input to the question. Texts of catalogues and people belong between fences
        (:func:`honeyguide.lm.port.fenced`) or in one line (:func:`honeyguide.lm.port.one_line`).
    parse
        From an answer to the output; raises :class:`LMError` where it cannot be read.
    system
        What the model is told first.
    examples
        From an input to the examples shown before it; they become turns of a dialogue.
    schema
        JSON schema of the answer; integers as ``enum``, because models run over ``minimum`` and ``maximum``.
    max_tokens, temperature, stop, seed
        As in :class:`Prompt`.
    """

    name: str
    template: Callable[[I], str]
    parse: Callable[[Answer], O]
    system: str | None = None
    examples: Callable[[I], Sequence[Example[I]]] | None = None
    schema: Mapping[str, Any] | None = None
    max_tokens: int = 256
    temperature: float = 0.0
    stop: tuple[str, ...] = ()
    seed: int = 0

    def prompt(self, input: I, *, saw_target: bool = False) -> Prompt:
        """What the model is asked."""
        first = (Message("system", self.system),) if self.system is not None else ()
        shown: list[Message] = []
        for example in self.examples(input) if self.examples is not None else ():
            shown += [Message("user", self.template(example.input)), Message("assistant", example.answer)]
        return Prompt(
            (*first, *shown, Message("user", self.template(input))),
            max_tokens=self.max_tokens,
            temperature=self.temperature,
            stop=self.stop,
            schema=self.schema,
            seed=self.seed,
            saw_target=saw_target,
        )

    def answers(
        self, lm: LM, inputs: Sequence[I], on_answer: Callable[[int, Answer], None] | None = None
    ) -> list[Answer]:
        """The answers of a model, unread.

        Raises
        ------
        CapabilityError
            If the task has a schema and the back end takes none.
        """
        if self.schema is not None:
            lm.require("schema")
        return lm.generate([self.prompt(input) for input in inputs], on_answer)

    def run(self, lm: LM, inputs: Sequence[I], on_answer: Callable[[int, Answer], None] | None = None) -> list[O]:
        """The outputs for all inputs; the first answer that cannot be read ends it."""
        return [self.parse(answer) for answer in self.answers(lm, inputs, on_answer)]

    def shown(self, examples: Callable[[I], Sequence[Example[I]]] | None) -> Task[I, O]:
        """The same task with other examples."""
        return replace(self, examples=examples)


def always(examples: Sequence[Example[I]]) -> Callable[[I], Sequence[Example[I]]]:
    """Selects the same examples for every input."""
    kept = tuple(examples)
    return lambda input: kept


def nearest(
    pool: Sequence[Example[I]], vectors: FloatArray, embed: Callable[[I], FloatArray], k: int
) -> Callable[[I], Sequence[Example[I]]]:
    """Selects the ``k`` examples nearest to an input by cosine, the nearest last, where models look most.

    Parameters
    ----------
    pool
        Examples to select from.
    vectors
        Of the pool: ``[n, d]``.
    embed
        From an input to its vector ``[d]``.
    k
        How many. An example with the very input that is asked about is never shown: it would show the answer.

    Raises
    ------
    ConfigError
        If there is not one vector for each example.
    """
    if len(pool) != len(vectors):
        raise ConfigError(f"{len(pool)} examples with {len(vectors)} vectors.", "Give one vector for each example.")
    unit = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)

    def select(input: I) -> Sequence[Example[I]]:
        order = np.argsort(-(unit @ embed(input)), kind="stable")
        chosen = [pool[i] for i in order if pool[i].input != input][:k]
        return chosen[::-1]

    return select
