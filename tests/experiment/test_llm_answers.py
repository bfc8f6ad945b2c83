from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from honeyguide.core.errors import DataError
from honeyguide.data.build import build

pytest.importorskip("rapidfuzz", reason="pip install 'honeyguide[lm]'")
from honeyguide.experiment.answers import grounder_of
from honeyguide.experiment.bench import Bench
from honeyguide.experiment.claims import llm_answers_protocols as protocols
from honeyguide.experiment.papers import paper

TITLES = [f"Film {chr(65 + i)} ({1950 + i})" for i in range(12)]


@pytest.fixture(scope="module")
def bench() -> tuple[Bench, object]:
    """Fifty users; the first of them with the shortest profile."""
    rng = np.random.default_rng(0)
    rows = []
    for user in range(50):
        items = rng.permutation(12)[: 3 + user % 8]
        rows += [
            (user, int(i), 0.5 + 0.5 * float(rng.integers(4, 10)), "train" if k else "test")
            for k, i in enumerate(items)
        ]
    events = pl.DataFrame(rows, schema=["user_id", "item_id", "label", "split"], orient="row")
    genres = [["Drama"] if i % 3 else ["Comedy", "Drama"] for i in range(12)]
    data = build("films", events, pl.DataFrame({"item_id": range(12), "title": TITLES, "genres": genres}))
    return Bench.of(data), data


def test_profiles_show_whole_ratings_best_first_and_no_test_item(bench: tuple[Bench, object]) -> None:
    split, _ = bench
    rows = np.arange(len(split.users), dtype=np.int32)
    for row, asked in zip(rows, protocols.asked_of(split, "E1", rows, likes=4, candidates=0, top=5), strict=True):
        ratings = [rating for _, rating in asked.likes]
        assert ratings == sorted(ratings, reverse=True) and len(asked.likes) <= 4
        hidden = {split.train.items["title"][int(i)] for i in split.truth[row] if i >= 0}
        assert not hidden & {title for title, _ in asked.likes}
        prompt = protocols.task_of("E1", 5, 100).prompt(asked)
        assert f"{asked.likes[0][0]} {asked.likes[0][1]}/5" in prompt.messages[1].text and not prompt.saw_target
        assert "top 5 recommendations" in prompt.messages[0].text


def test_candidates_are_shown_in_their_order(bench: tuple[Bench, object]) -> None:
    split, _ = bench
    (asked,) = protocols.asked_of(split, "E3", np.array([4], np.int32), likes=3, candidates=3, top=3)
    names = split.train.items["title"].to_list()
    assert list(asked.candidates) == [names[i] for i in protocols.user_knn(split)[4][:3]]
    assert ", ".join(asked.candidates) in protocols.task_of("E3", 3, 50).prompt(asked).messages[1].text


def test_similar_users_recommend_nothing_seen(bench: tuple[Bench, object]) -> None:
    split, _ = bench
    lists = protocols.user_knn(split, 2)
    for row, seen in zip(lists, split.histories, strict=True):
        assert not set(row.tolist()) & set(seen.tolist()) or len(seen) > 10


def test_popular_items_of_each_genre_in_turn(bench: tuple[Bench, object]) -> None:
    split, _ = bench
    (chosen,) = protocols.popular_by_genre(split, 4)
    genres = split.train.items["genres"].to_list()
    assert "Comedy" in genres[chosen[0]] and len(set(chosen.tolist())) == 4


def test_cold_users_are_the_quarter_with_the_shortest_profiles(bench: tuple[Bench, object]) -> None:
    split, _ = bench
    cold = protocols.cold_users(split)
    lengths = split.histories.lengths
    assert lengths[cold].max() <= np.delete(lengths, cold).min() and len(cold) >= len(lengths) // 4


def test_recorded_answers_are_replayed_to_the_same_questions(bench: tuple[Bench, object]) -> None:
    split, data = bench
    rows = np.arange(3, dtype=np.int32)
    asked = protocols.asked_of(split, "E1", rows, likes=3, candidates=0, top=2)
    task = protocols.task_of("E1", 2, 50)
    said = [f"1. {TITLES[0]}\n2. {TITLES[1]}"] * 3
    with protocols.replayed("gone", [task.prompt(one) for one in asked], said) as lm:
        lists, counts, _ = protocols.lists_by(lm, task, asked, grounder_of(data), data, split)  # type: ignore[arg-type]
    assert counts.answers == 3 and counts.outcomes["exact"] == 6
    assert (lists[:3, :2] >= 0).all() and (lists[3:] < 0).all()


def test_every_claim_has_cells_and_missing_data_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    found = paper(58)
    assert len(found.claims) == 5 and len({cell.id for claim in found.claims for cell in claim.cells}) == 9
    monkeypatch.delenv("HONEYGUIDE_DATA", raising=False)
    with pytest.raises(DataError, match=r"llm-answers-ml-small.*not here"):
        protocols.all_answers()
