"""Ratings told by a language model: from what a person rated before, as text, to the rating of one more item.

Two ways to read an answer (arXiv 2305.06474): what the model writes, of which the first number counts; or, where a
back end gives probabilities, ``sum_r r p(r)`` over the ratings alone, which is a real number and never unreadable.
Nothing about the item stands in the prompt but its text, so no statistics of its ratings can leak.

Shapes: n questions, r ratings of the scale.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from honeyguide.data.ratings import RatingQuestions
from honeyguide.lm.port import LM, Answer, LMError, Prompt, Vector, one_line
from honeyguide.lm.tasks import Example, Task

Scale = tuple[int, ...]
FIVE: Scale = (1, 2, 3, 4, 5)
LONGEST = 60  # characters of an item's text
_NUMBER = re.compile(r"\d+(?:[.,]\d+)?")


@dataclass(frozen=True)
class RatingQuestion:
    """One question.

    Parameters
    ----------
    rated
        Text and rating of what the person rated before, oldest first.
    item
        Text of the item asked about.
    """

    rated: tuple[tuple[str, float], ...]
    item: str


@dataclass(frozen=True)
class Written:
    """Ratings read from what a model wrote.

    Parameters
    ----------
    ratings
        float64 ``[n]``; the fallback where none could be read.
    unread
        How many those are: they count against the model.
    """

    ratings: Vector
    unread: int


def rating_task(scale: Scale = FIVE, shots: Sequence[tuple[RatingQuestion, float]] = ()) -> Task[RatingQuestion, float]:
    """The task: a list of rated items, and one to rate.

    Parameters
    ----------
    scale
        The ratings there are, rising.
    shots
        Questions with their answers that are shown first, the same ones each time.
    """
    low, high = scale[0], scale[-1]

    def question(asked: RatingQuestion) -> str:
        lines = [f"{one_line(text, LONGEST)}: {rating:g}" for text, rating in asked.rated]
        return "\n".join([*lines, f"{one_line(asked.item, LONGEST)}: ?"])

    def parse(answer: Answer) -> float:
        found = _NUMBER.search(answer.text)
        if found is None:
            raise LMError(f"{answer.model} wrote no number: {answer.text[:80]!r}.", "Count it, and fall back.")
        return float(np.clip(float(found[0].replace(",", ".")), low, high))

    shown = tuple(Example(asked, f"{rating:g}") for asked, rating in shots)
    return Task(
        "rating",
        question,
        parse,
        system=f"Ratings of one person are listed, from {low} to {high}. Tell the missing one: a number, nothing else.",
        examples=(lambda asked: shown) if shown else None,
        max_tokens=8,
    )


def worded(questions: RatingQuestions, texts: Sequence[str], longest: int = 10) -> list[RatingQuestion]:
    """Questions in words.

    Parameters
    ----------
    questions
        Their answers are not read.
    texts
        Of all items by code, for example :func:`honeyguide.encode.items.item_texts` of title and genres.
    longest
        Ratings of the history that are told, the latest ones.
    """
    q = questions.last(longest)
    told = [(texts[item], float(rating)) for item, rating in zip(q.history.values, q.given, strict=True)]
    ends = q.history.offsets
    return [RatingQuestion(tuple(told[ends[i] : ends[i + 1]]), texts[item]) for i, item in enumerate(q.items)]


def probabilities(
    lm: LM,
    task: Task[RatingQuestion, float],
    questions: Sequence[RatingQuestion],
    scale: Scale = FIVE,
    on_answer: Callable[[int], None] | None = None,
) -> Vector:
    """How likely a model holds each rating: float64 ``[n, r]``, rows of sum 1 over the ratings alone.

    By the log-probabilities of the numbers as the answer, where the back end gives them; else by ``choose``, which
    shows the ratings under letters.

    Raises
    ------
    CapabilityError
        If the back end can do neither.
    """
    words = [str(rating) for rating in scale]
    rows = []
    for place, asked in enumerate(questions):
        prompt = task.prompt(asked)
        if "logprobs" in lm.capabilities:
            scores = np.array([float(tokens.sum()) for tokens in lm.logprobs(prompt, words)])
            mass = np.exp(scores - scores.max())
            rows.append(mass / mass.sum())
        else:
            rows.append(lm.choose(prompt, words).probabilities)
        if on_answer is not None:
            on_answer(place)
    return np.array(rows).reshape(len(rows), len(scale))


def calibrated(found: Vector, neutral: Vector) -> Vector:
    """Probabilities ``[n, r]`` without what the model says to a question without content, ``[r]``.

    ``p(r) / p_0(r)``, renormalised (Zhao et al. 2021, arXiv:2102.09690, with a diagonal matrix).
    """
    mass = found / np.maximum(neutral, 1e-12)
    shown: Vector = mass / mass.sum(axis=1, keepdims=True)
    return shown


NEUTRAL = RatingQuestion((), "N/A")


def expected(found: Vector, scale: Scale = FIVE) -> Vector:
    """``sum_r r p(r)``: float64 ``[n]``."""
    mean: Vector = found @ np.array(scale, np.float64)
    return mean


def likeliest(found: Vector, scale: Scale = FIVE) -> Vector:
    """The rating of the largest probability, the lower of equals: float64 ``[n]``."""
    mode: Vector = np.array(scale, np.float64)[found.argmax(axis=1)]
    return mode


def written(
    lm: LM,
    task: Task[RatingQuestion, float],
    questions: Sequence[RatingQuestion],
    fallback: float,
    on_answer: Callable[[int, Answer], None] | None = None,
) -> Written:
    """The ratings that a model writes.

    Parameters
    ----------
    lm, task, questions
        As for :func:`probabilities`.
    fallback
        Rating where no number was written: the mean of train.
    on_answer
        As for :meth:`honeyguide.lm.port.LM.generate`.
    """
    ratings, unread = [], 0
    for answer in task.answers(lm, questions, on_answer):
        try:
            ratings.append(task.parse(answer))
        except LMError:
            ratings.append(fallback)
            unread += 1
    return Written(np.array(ratings, np.float64), unread)


def tuning_examples(
    task: Task[RatingQuestion, float], questions: Sequence[RatingQuestion], ratings: Sequence[float]
) -> list[tuple[Prompt, str]]:
    """What :func:`honeyguide.lm.tuning.sft` learns from: cross-entropy of the number that was given."""
    return [(task.prompt(asked), f"{rating:g}") for asked, rating in zip(questions, ratings, strict=True)]
