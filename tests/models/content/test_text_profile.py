"""The text profile: the published formula by hand, its choice of decay, and what it does without text."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from honeyguide.core.dataset import Dataset
from honeyguide.core.errors import DataError
from honeyguide.core.ragged import Ragged
from honeyguide.data.build import build
from honeyguide.data.splits import cold_item
from honeyguide.encode.items import item_texts
from honeyguide.encode.text import text_encoder
from honeyguide.metrics.holdout import holdout_ndcg
from honeyguide.models.content.text_profile import TextProfile
from honeyguide.models.popularity import Popularity


@pytest.fixture(scope="module")
def fitted(books: Dataset) -> TextProfile:
    return TextProfile(encoder="use").fit(books)


def test_the_score_is_the_cosine_with_the_decayed_mean(fitted: TextProfile, books: Dataset) -> None:
    history = [5, 17, 203]
    t = text_encoder("use").encode(item_texts(books.items, ["title", "authors"]))
    profile = sum(fitted.decay ** (2 - age) * t[item] for age, item in enumerate(history))
    expected = t @ (profile / np.linalg.norm(profile))
    assert_allclose(fitted.score_histories(Ragged.from_lists([history]))[0], expected, atol=2e-5)
    assert fitted.text.columns == ("title", "authors")


def test_a_score_is_an_inner_product(fitted: TextProfile) -> None:
    histories = Ragged.from_lists([[1, 2], [50]])
    assert_allclose(
        fitted.user_vectors(histories) @ fitted.item_vectors().T, fitted.score_histories(histories), atol=1e-6
    )


def test_the_decay_is_the_best_on_valid(fitted: TextProfile, books: Dataset) -> None:
    train, valid = books.histories("train"), books.histories("valid")
    values = {}
    for decay in fitted.config.decays:
        alone = TextProfile(encoder="use", decays=(decay,)).fit(books)
        values[decay] = holdout_ndcg(alone.score_histories, train, valid).mean()
    assert fitted.decay == max(values, key=lambda decay: values[decay])
    assert_allclose([point["ndcg@10"] for point in fitted.report.search], list(values.values()))


def test_items_without_events_are_found(books: Dataset) -> None:
    cold = cold_item(books, valid=0.0, test=0.2)
    model = TextProfile(encoder="use").fit(cold)
    history, truth = cold.histories("train"), cold.histories("test")
    found = holdout_ndcg(model.score_histories, history, truth).mean()
    popular = holdout_ndcg(Popularity().fit(cold).score_histories, history, truth).mean()
    assert popular == 0
    assert found >= 0.05, found


def test_a_history_without_text_gets_the_popular_items(books: Dataset) -> None:
    blank = pl.when(pl.int_range(pl.len()) == 3).then(None).otherwise("title").alias("title")
    frame = books.interactions.select(
        user_id=pl.Series(books.user_ids.decode(books.interactions["user"].to_numpy())),
        item_id=pl.Series(books.item_ids.decode(books.interactions["item"].to_numpy())),
        position=pl.int_range(pl.len()).over("user"),
    )
    data = build("blank", frame, books.items.select("item_id", blank))
    model = TextProfile(encoder="use").fit(data)
    expected = np.argsort(-data.popularity(), kind="stable")[:10]
    for history in ([], [3], [-1]):
        scores = model.score_histories(Ragged.from_lists([history]))[0]
        assert_array_equal(np.argsort(-scores, kind="stable")[:10], expected)


def test_data_without_words_are_refused(books: Dataset) -> None:
    bare = build("bare", pl.DataFrame({"user_id": [1, 1], "item_id": [1, 2], "position": [0, 1]}))
    with pytest.raises(DataError, match="no column of words"):
        TextProfile(encoder="use").fit(bare)
