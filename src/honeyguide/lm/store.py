"""Answers kept on disk: a cache in front of any back end, a recorder, and a replay of what was recorded."""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from honeyguide.core.errors import ArtifactError
from honeyguide.lm.port import LM, Answer, Choice, LMError, Prompt, Usage, Vector

_TABLE = (
    "CREATE TABLE IF NOT EXISTS answers (model TEXT, prompt TEXT, answer TEXT NOT NULL, saw_target INTEGER NOT NULL, "
    "PRIMARY KEY (model, prompt))"
)


class AnswerStore:
    """Answers by model and prompt, in one SQLite file that several processes may use.

    Parameters
    ----------
    path
        The file; made if it is not there.

    Raises
    ------
    ArtifactError
        If it is another kind of file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._connection = sqlite3.connect(path, timeout=30, isolation_level=None, check_same_thread=False)
            self._connection.execute("PRAGMA journal_mode=WAL")
            self._connection.execute(_TABLE)
        except sqlite3.DatabaseError as error:
            raise ArtifactError(f"{path} holds no answers: {error}.", "Name another file.") from error
        self._lock = threading.Lock()

    def get(self, model: str, prompt: Prompt) -> Answer | None:
        """A kept answer, or ``None``. Its target flag is the stricter of the two."""
        with self._lock:
            row = self._connection.execute(
                "SELECT answer, saw_target FROM answers WHERE model = ? AND prompt = ?", (model, prompt.key())
            ).fetchone()
        if row is None:
            return None
        found = json.loads(row[0])
        usage, logprobs = Usage(**found.pop("usage")), found.pop("logprobs", None)
        kept = Answer(**found, usage=usage, logprobs=None if logprobs is None else tuple(logprobs))
        return replace(kept, cached=True, usage=Usage(), saw_target=bool(row[1]) or prompt.saw_target)

    def put(self, prompt: Prompt, answer: Answer) -> None:
        """Keep an answer, whole or not at all."""
        row = (answer.model, prompt.key(), json.dumps(asdict(answer)), int(answer.saw_target or prompt.saw_target))
        with self._lock:
            self._connection.execute("INSERT OR REPLACE INTO answers VALUES (?, ?, ?, ?)", row)

    def only_model(self) -> str:
        """The model whose answers these are.

        Raises
        ------
        ArtifactError
            If they are of several, or there are none.
        """
        with self._lock:
            found = [row[0] for row in self._connection.execute("SELECT DISTINCT model FROM answers ORDER BY model")]
        if len(found) != 1:
            raise ArtifactError(
                f"{self.path} has the answers of {', '.join(found) or 'no model'}.",
                "Name a file with those of one model.",
            )
        return str(found[0])

    def usage(self, model: str) -> Usage:
        """What the kept answers of a model cost when they were asked for: tokens, seconds and money in all."""
        with self._lock:
            rows = self._connection.execute("SELECT answer FROM answers WHERE model = ?", (model,)).fetchall()
        return sum((Usage(**json.loads(row[0])["usage"]) for row in rows), Usage())

    def __len__(self) -> int:
        with self._lock:
            return int(self._connection.execute("SELECT count(*) FROM answers").fetchone()[0])

    def close(self) -> None:
        """Close the file."""
        self._connection.close()


class Kept(LM):
    """A back end behind a store: what was answered is not asked again, so a batch that was ended goes on.

    Parameters
    ----------
    inner
        Asked where the store has no answer.
    store
        Kept answers.
    """

    def __init__(self, inner: LM, store: AnswerStore) -> None:
        self.inner, self.store = inner, store
        self.capabilities = inner.capabilities  # type: ignore[misc]

    @property
    def name(self) -> str:
        """Of the back end."""
        return self.inner.name

    def generate(
        self, prompts: Sequence[Prompt], on_answer: Callable[[int, Answer], None] | None = None
    ) -> list[Answer]:
        """An answer to each prompt; each is on disk before it is told."""
        found = [self.store.get(self.name, prompt) for prompt in prompts]
        missing = [i for i, answer in enumerate(found) if answer is None]
        for i, answer in enumerate(found):
            if answer is not None and on_answer is not None:
                on_answer(i, answer)

        def keep(place: int, answer: Answer) -> None:
            at = missing[place]
            self.store.put(prompts[at], answer)
            found[at] = answer
            if on_answer is not None:
                on_answer(at, answer)

        self.inner.generate([prompts[i] for i in missing], keep)
        return [answer for answer in found if answer is not None]

    def choose(self, prompt: Prompt, options: Sequence[str], *, calibrate: Prompt | None = None) -> Choice:
        """Asked anew: a choice is not kept."""
        return self.inner.choose(prompt, options, calibrate=calibrate)

    def letters(self, prompt: Prompt, n: int) -> tuple[Vector, Usage]:
        """Asked anew."""
        return self.inner.letters(prompt, n)

    def logprobs(self, prompt: Prompt, continuations: Sequence[str]) -> list[Vector]:
        """Asked anew."""
        return self.inner.logprobs(prompt, continuations)

    def embed(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """Asked anew; :mod:`honeyguide.encode.cache` keeps vectors."""
        return self.inner.embed(texts)

    def hidden(self, texts: Sequence[str], layer: int = -1) -> list[npt.NDArray[np.float32]]:
        """Asked anew."""
        return self.inner.hidden(texts, layer)

    def forward(self, inputs_embeds: Any, mask: Any) -> Any:
        """Asked anew."""
        return self.inner.forward(inputs_embeds, mask)


class Replay(LM):
    """Answers of a model that is not here, from a store alone.

    Parameters
    ----------
    model
        Name under which they were kept.
    store
        Kept answers.
    """

    def __init__(self, model: str, store: AnswerStore) -> None:
        self._model, self.store = model, store

    @property
    def name(self) -> str:
        """Of the model that gave them."""
        return self._model

    def generate(
        self, prompts: Sequence[Prompt], on_answer: Callable[[int, Answer], None] | None = None
    ) -> list[Answer]:
        """What was answered to each prompt.

        Raises
        ------
        LMError
            If a prompt was never answered.
        """
        answers: list[Answer] = []
        for i, prompt in enumerate(prompts):
            answer = self.store.get(self._model, prompt)
            if answer is None:
                raise LMError(
                    f"{self.store.path} has no answer of {self._model} to prompt {i + 1} of {len(prompts)}.",
                    "Record it with the model itself.",
                )
            answers.append(answer)
            if on_answer is not None:
                on_answer(i, answer)
        return answers


def refuse_targets(answers: Sequence[Answer]) -> None:
    """Evaluation calls this on every answer it is about to count.

    Raises
    ------
    LMError
        If one of them was given by a model that had been shown what it should predict.
    """
    seen = [answer for answer in answers if answer.saw_target]
    if seen:
        raise LMError(
            f"{len(seen)} of {len(answers)} answers were given with the target in the prompt.",
            "Use them to train or to explain; never to evaluate.",
        )
