"""Seed 58: its four protocols as prompt tasks, for any back end and for the recorded answers."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import scipy.sparse as sp

from honeyguide.core.errors import DataError
from honeyguide.core.ragged import IntArray
from honeyguide.experiment.answers import Counts, read_answers, read_lists
from honeyguide.experiment.bench import DEPTH, Bench
from honeyguide.lm.ground import Grounder
from honeyguide.lm.lists import Listed, parse_list
from honeyguide.lm.port import LETTERS, LM, Answer, Prompt, one_line
from honeyguide.lm.store import AnswerStore, Replay, refuse_targets
from honeyguide.lm.tasks import Task

DATA, ANSWERS = "ml-small-2018", "llm-answers-ml-small"
PROTOCOLS = ("E1", "E2", "E3", "E4")
_NEIGHBOURS = 40


def all_answers() -> pl.DataFrame:
    """The raw answers of three models."""
    return read_answers(_measured(ANSWERS) / "answers.parquet")


def answers_of(model: str, experiment: str) -> pl.DataFrame:
    """Those of one model to one experiment."""
    return all_answers().filter((pl.col("model") == model) & (pl.col("experiment") == experiment))


def released(bench: Bench, system: str) -> IntArray:
    """The first 20 places of a released list."""
    rows = pl.read_parquet(_measured(DATA) / "published_recommendations_top20.parquet")
    rows = rows.with_columns(pl.col("model").cast(pl.String)).filter(pl.col("model") == system)
    return bench.lists_of(rows.sort("user_id", "rank"))


def _measured(name: str) -> Path:
    """The folder of a data set for measuring."""
    folder = Path(os.environ.get("HONEYGUIDE_DATA", "")) / name
    if "HONEYGUIDE_DATA" not in os.environ or not folder.is_dir():
        raise DataError(
            f"the data set {name!r} is not here.", "Set HONEYGUIDE_DATA to the folder that holds it.", file=str(folder)
        )
    return folder


@dataclass(frozen=True)
class Asked:
    """What a protocol knows of a user.

    Parameters
    ----------
    user
        As it is called in the prompt.
    likes
        Titles with ratings, the best rated first.
    candidates
        Titles to put in order; none to recommend freely.
    top
        How many are asked for.
    """

    user: str
    likes: tuple[tuple[str, int], ...]
    candidates: tuple[str, ...] = ()
    top: int = DEPTH


def _question(asked: Asked) -> str:
    """The paper's words; ratings are cut to whole numbers."""
    likes = ", ".join(f"{one_line(title)} {rating}/5" for title, rating in asked.likes)
    text = f"You know that the user {asked.user} likes: {likes}."
    if not asked.candidates:
        return text
    shown = ", ".join(one_line(title) for title in asked.candidates)
    return f"{text}\nRe-rank the following movies into a top-{asked.top} list for this user: {shown}."


def _parse(answer: Answer) -> Listed:
    return parse_list(answer.text, cut=answer.finish == "length")


def recommend_task(top: int, max_tokens: int) -> Task[Asked, Listed]:
    """E1 and E4: recommend from the profile alone."""
    system = f"Given a user, as a Recommender System, please provide the top {top} recommendations."
    return Task("recommend", _question, _parse, system=system, max_tokens=max_tokens)


def rerank_task(max_tokens: int) -> Task[Asked, Listed]:
    """E2 and E3: put given items in order."""
    return Task("re-rank", _question, _parse, system="Act like a Recommender System.", max_tokens=max_tokens)


def asked_of(bench: Bench, protocol: str, rows: IntArray, *, likes: int, candidates: int, top: int) -> list[Asked]:
    """What is asked for the users in ``rows`` of a bench."""
    ranked = {"E2": popular_by_genre(bench, candidates), "E3": user_knn(bench)[:, :candidates]}.get(protocol)
    titles = bench.train.items["title"].to_list()
    frame = bench.train.interactions.sort("user", -pl.col("label"), "item")
    profiles = {int(user[0]): group for user, group in frame.group_by("user", maintain_order=True)}
    found = []
    for row in rows.tolist():
        group = profiles[int(bench.users[row])].head(likes)
        liked = tuple(
            (titles[i], int(r)) for i, r in zip(group["item"].to_list(), group["label"].to_list(), strict=True)
        )
        shown = () if ranked is None else tuple(titles[i] for i in ranked[row if len(ranked) > 1 else 0].tolist())
        found.append(Asked(str(bench.user_ids.values[row]), liked, shown, top))
    return found


def task_of(protocol: str, top: int, max_tokens: int) -> Task[Asked, Listed]:
    """The prompt task of a protocol."""
    return recommend_task(top, max_tokens) if protocol in ("E1", "E4") else rerank_task(max_tokens)


def cold_users(bench: Bench) -> IntArray:
    """Rows of the users in the first quartile of profile length: whom E4 asks about."""
    lengths = bench.histories.lengths
    return np.flatnonzero(lengths <= np.quantile(lengths, 0.25)).astype(np.int32)


def popular_by_genre(bench: Bench, n: int) -> IntArray:
    """int32 ``[1, n]``: popular items, one genre after the other (the list that E2 re-ranks)."""
    popularity = bench.train.popularity()
    genres = bench.train.items["genres"].to_list()
    names = sorted({genre for of_item in genres for genre in of_item or ()})
    order = np.argsort(-popularity, kind="stable").tolist()
    by_genre = {name: [i for i in order if name in (genres[i] or ())] for name in names}
    chosen: dict[int, None] = {}
    for place in range(len(order)):
        for name in names:
            if place < len(by_genre[name]) and len(chosen) < n:
                chosen.setdefault(by_genre[name][place])
    return np.array([list(chosen)], np.int32)


def user_knn(bench: Bench, k: int = DEPTH) -> IntArray:
    """int32 ``[n, k]``: unseen items that the 40 most similar users rated highest (cosine of ratings)."""
    frame = bench.train.interactions
    shape = (bench.train.n_users, bench.train.n_items)
    ratings = sp.csr_matrix((frame["label"].to_numpy(), (frame["user"].to_numpy(), frame["item"].to_numpy())), shape)
    norm = np.sqrt(ratings.multiply(ratings).sum(axis=1))
    unit = ratings.multiply(1 / np.maximum(norm, 1e-12)).tocsr()
    alike = np.asarray((unit @ unit.T).todense())  # [users, users]
    np.fill_diagonal(alike, 0.0)
    least = np.sort(alike, axis=1)[:, -_NEIGHBOURS][:, None]
    scores = np.where(alike >= least, alike, 0.0)[bench.users] @ ratings  # [n, items]
    histories = bench.histories
    scores[histories.rows, histories.values] = -np.inf
    return np.argsort(-scores, axis=1, kind="stable")[:, :k].astype(np.int32)


def chosen_order(lm: LM, bench: Bench, asked: list[Asked], likes: int = 10) -> tuple[IntArray, int]:
    """Candidates by how likely their letter is, calibrated and in both orders; and passes of the model.

    What a model that cannot write a list can still do: int32 ``[n, DEPTH]``, empty for users that were not asked about.
    """
    codes = {title: i for i, title in enumerate(bench.train.items["title"].to_list())}
    lists, passes = np.full((len(bench.users), DEPTH), -1, np.int32), 0
    rows = bench.user_ids.encode([one.user for one in asked])
    for row, one in zip(rows.tolist(), asked, strict=True):
        liked = "; ".join(one_line(title) for title, _ in one.likes[:likes])
        question = "Which of these films should {} watch next?"
        prompt = Prompt.of(f"A person liked these films: {liked}. {question.format('this person')}")
        shown = one.candidates[: len(LETTERS)]
        choice = lm.choose(prompt, shown, calibrate=Prompt.of(question.format("anybody")))
        passes += choice.passes
        best = np.argsort(-choice.probabilities, kind="stable")
        lists[row, : len(best)] = [codes[shown[i]] for i in best]
    return lists, passes


@contextmanager
def replayed(model: str, prompts: list[Any], answers: list[str]) -> Iterator[Replay]:
    """A back end that gives recorded answers to these prompts."""
    with tempfile.TemporaryDirectory() as folder:
        store = AnswerStore(Path(folder) / "answers.db")
        for prompt, answer in zip(prompts, answers, strict=True):
            store.put(prompt, Answer(answer, model, prompt.key()))
        try:
            yield Replay(model, store)
        finally:
            store.close()


def lists_by(
    lm: LM,
    task: Task[Asked, Listed],
    asked: list[Asked],
    grounder: Grounder,
    data: Any,
    bench: Bench,
    progress: Callable[[int, Answer], None] | None = None,
) -> tuple[IntArray, Counts, float]:
    """Lists ``[n, w]`` that a back end gives, empty for users that were not asked about; counts; seconds."""
    answers = task.answers(lm, asked, progress)
    refuse_targets(answers)
    frame = pl.DataFrame({"user_id": [one.user for one in asked], "answer": [answer.text for answer in answers]})
    lists, counts = read_lists(frame, grounder, data, bench)
    return bench.lists_of(lists, DEPTH), counts, sum(answer.usage.seconds for answer in answers)
