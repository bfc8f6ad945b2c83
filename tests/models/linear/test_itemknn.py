"""ItemKNN on the bundled books."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from honeyguide.core.dataset import Dataset
from honeyguide.core.ragged import Ragged
from honeyguide.core.recommender import Recommender
from honeyguide.models.linear.itemknn import ItemKNN
from honeyguide.models.popularity import Popularity


@pytest.fixture(scope="module")
def model(books: Dataset) -> ItemKNN:
    return ItemKNN().fit(books)


def test_beats_popularity_twofold(model: ItemKNN, books: Dataset, ndcg) -> None:
    assert ndcg(model, books) >= max(0.022, 1.9 * ndcg(Popularity().fit(books), books))


def test_contributions_sum_to_the_score(model: ItemKNN, books: Dataset) -> None:
    history = np.append(books.histories("train")[7][:30], [-1, books.histories("train")[7][0]]).astype(np.int32)
    scores = model.score_histories(Ragged.from_lists([history]))[0]
    for item in (0, 17, int(scores.argmax())):
        assert_allclose(model.contributions(history, item).sum(), scores[item], rtol=1e-5, atol=1e-6)


def test_saved_and_loaded_it_scores_the_same(model: ItemKNN, books: Dataset, tmp_path: Path) -> None:
    model.save(tmp_path)
    histories = books.histories("train").take(slice(0, 50))
    assert_array_equal(ItemKNN.load(tmp_path).score_histories(histories), model.score_histories(histories))


def test_the_estimate_covers_the_neighbours(books: Dataset) -> None:
    few, many = (ItemKNN(neighbours=n).estimate(books).memory_bytes for n in (10, 1000))
    assert many - few > 8 * 500 * books.n_items


def test_similar_items_share_readers(model: Recommender, books: Dataset) -> None:
    found = model.similar(np.array([0], np.int32), k=3)
    readers = books.matrix("train").T.tocsr()
    together = (readers[0] @ readers.T).toarray()[0]
    assert together[found.items[0]].min() > np.median(together)
