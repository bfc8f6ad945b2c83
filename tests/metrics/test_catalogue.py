from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from honeyguide.core.errors import ConfigError
from honeyguide.core.ragged import Ragged
from honeyguide.data.build import build
from honeyguide.metrics.catalogue import Catalogue, CooccurrenceSimilarity, FeatureSimilarity
from honeyguide.metrics.evaluate import evaluate_lists


@pytest.fixture
def data():
    events = pl.DataFrame(
        {
            "user_id": [1, 1, 2, 2, 3, 3],
            "item_id": [10, 20, 10, 30, 10, 20],
            "split": ["train", "train", "train", "test", "train", "train"],
        }
    )
    return build("tiny", events)


def test_a_catalogue_of_a_data_set_reads_train_alone(data):
    catalogue = Catalogue.of(data)
    assert catalogue.counts.tolist() == [3, 2, 0]
    assert catalogue.users_in_train == 3
    assert Catalogue.of(data, "train", "test").counts.tolist() == [3, 2, 1]
    lists = np.array([[2], [2], [1]])
    found = evaluate_lists(lists, data.histories("test"), ["recall@1", "serendipity@1", "novelty@1"], catalogue)
    assert found.overall["recall@1"] == 1.0
    assert found.overall["serendipity@1"] == 1.0  # nobody saw item 30 with anything
    assert found.per_user["novelty@1"][0] == pytest.approx(np.log2(8 / 1))


def test_the_tail_begins_after_the_item_that_reaches_80_percent():
    assert Catalogue(4, np.array([1, 5, 3, 1])).tail.tolist() == [True, False, False, True]
    assert Catalogue(4, np.array([2, 4, 3, 2])).tail.tolist() == [False, False, False, True]  # ties by lower code


def test_cooccurrence_is_a_cosine():
    similarity = CooccurrenceSimilarity(Ragged.from_lists([[0, 1, 1], [0], [0, 1], [2]]), 4)
    a, b = np.array([0, 0, 0, 3, 1]), np.array([1, 0, 2, 3, 1])
    np.testing.assert_allclose(similarity(a, b), [2 / np.sqrt(6), 1, 0, 0, 1], atol=1e-6)
    assert similarity(a[:0], b[:0]).shape == (0,)


def test_features_are_compared_by_cosine():
    similarity = FeatureSimilarity(np.array([[3.0, 4.0], [4.0, 3.0], [0.0, 0.0]], np.float32))
    np.testing.assert_allclose(similarity(np.array([0, 0, 2]), np.array([1, 0, 0])), [0.96, 1, 0], atol=1e-6)


def test_genres_without_any_are_zero_rows():
    shares = Catalogue(2, genres=np.array([[1, 1, 0], [0, 0, 0]], np.float32)).genre_shares.toarray()
    np.testing.assert_allclose(shares, [[0.5, 0.5, 0], [0, 0, 0]])


def test_what_is_missing_is_named():
    with pytest.raises(ConfigError, match="popularity"):
        _ = Catalogue(3).tail
    with pytest.raises(ConfigError, match="n_train_users"):
        _ = Catalogue(3, np.ones(3)).users_in_train
