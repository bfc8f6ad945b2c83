from __future__ import annotations

import numpy as np
import pytest

from honeyguide.core.dataset import Dataset
from honeyguide.core.ragged import Ragged
from honeyguide.core.requests import Requests
from honeyguide.explain.because import Because, because, titles_of, verb_for, without
from honeyguide.models.linear.floor import Floor
from honeyguide.models.popularity import Popularity


@pytest.fixture(scope="module")
def floor(books: Dataset) -> Floor:
    return Floor().fit(books)


def explained(model: Floor | Popularity, books: Dataset, user: int, n: int = 2) -> list[Because]:
    history = books.histories("train", "valid")[user]
    items = model.recommend(Requests(Ragged.from_lists([history])), k=10).items[0]
    return because(model, history, items, n)


def test_evidence_is_in_the_history_and_strongest_first(floor: Floor, books: Dataset) -> None:
    history = set(books.histories("train", "valid")[7].tolist())
    for reason in explained(floor, books, 7, n=3):
        assert len(reason.evidence) > 0
        assert set(reason.evidence.tolist()) <= history
        assert (np.diff(reason.terms) <= 0).all()
        assert (reason.terms > 0).all()


def test_scores_are_those_of_the_model(floor: Floor, books: Dataset) -> None:
    history = books.histories("train", "valid")[7]
    reason = explained(floor, books, 7)[0]
    kept = without(history, reason.evidence)
    assert not np.isin(kept, reason.evidence).any()
    scores = floor.score_histories(Ragged.from_lists([history, kept]))[:, reason.item]
    assert reason.score == pytest.approx(float(scores[0]))
    assert reason.score_without == pytest.approx(float(scores[1]))
    assert reason.verified == (scores[1] < scores[0])
    assert reason.rank == 1


def test_most_reasons_of_the_floor_are_verified(floor: Floor, books: Dataset) -> None:
    reasons = [reason for user in range(40) for reason in explained(floor, books, user)]
    assert np.mean([reason.verified for reason in reasons]) > 0.9


def test_repeated_events_are_one_item(floor: Floor) -> None:
    history = np.array([3, 5, 3, 9, 3], np.int32)
    reason = because(floor, history, [11], n=5)[0]
    assert len(set(reason.evidence.tolist())) == len(reason.evidence)


def test_popularity_is_told_as_popularity(books: Dataset) -> None:
    reason = explained(Popularity().fit(books), books, 3)[0]
    assert not reason.personal
    assert not reason.verified
    assert reason.sentence(str) == "popular with everybody"


def test_an_empty_history_has_no_evidence(floor: Floor) -> None:
    reason = because(floor, np.empty(0, np.int32), [4])[0]
    assert len(reason.evidence) == 0
    assert reason.sentence(str) == "nothing is known that speaks for it"


def made(**changes: object) -> Because:
    fields: dict[str, object] = {
        "item": 1,
        "evidence": np.array([4, 6], np.int32),
        "terms": np.array([2.0, 1.0], np.float32),
        "personal": True,
        "general": False,
        "score": 3.0,
        "score_without": 1.0,
        "rank": 1,
        "rank_without": 9,
    }
    return Because(**(fields | changes))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("reason", "verb", "text"),
    [
        (made(), "read", "because you read item 4 and item 6"),
        (made(), None, "because of item 4 and item 6"),
        (made(evidence=np.array([4], np.int32)), "watched", "because you watched item 4"),
        (made(evidence=np.array([4, 6, 8], np.int32)), "read", "because you read item 4, item 6 and item 8"),
        (
            made(score_without=3.0),
            "read",
            "perhaps because you read item 4 and item 6 (without it the score does not fall)",
        ),
        (made(evidence=np.empty(0, np.int32)), "read", "nothing in the history speaks for it by itself"),
    ],
)
def test_sentences(reason: Because, verb: str | None, text: str) -> None:
    assert reason.sentence(lambda code: f"item {code}", verb) == text


def test_titles_fall_back_to_ids(books: Dataset) -> None:
    titles = titles_of(books.item_ids, books.items)
    assert titles == books.items["title"].to_list()
    assert titles_of(books.item_ids, books.items.select("item_id")) == [str(i) for i in books.item_ids.values]
    some = books.items.head(3)
    assert titles_of(books.item_ids, some)[:4] == [*some["title"], str(books.item_ids.values[3])]


def test_the_verb_is_told_by_the_columns() -> None:
    assert verb_for(["item_id", "title", "authors"]) == "read"
    assert verb_for(["item_id", "director"]) == "watched"
    assert verb_for(["item_id", "colour"]) is None
