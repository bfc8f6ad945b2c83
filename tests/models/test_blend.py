from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from honeyguide.core.dataset import Dataset
from honeyguide.core.errors import ConfigError
from honeyguide.core.requests import Requests
from honeyguide.data.load import load_data
from honeyguide.data.splits import cold_user
from honeyguide.metrics.holdout import holdout_ndcg
from honeyguide.models.blend import Blend
from honeyguide.models.linear.floor import Floor
from honeyguide.models.linear.ials import IALS
from honeyguide.models.linear.itemknn import ItemKNN
from honeyguide.models.registry import load_model


@pytest.fixture(scope="module")
def books() -> Dataset:
    return load_data("goodbooks-mini")


@pytest.fixture(scope="module")
def parts(books: Dataset) -> list[Floor | ItemKNN]:
    return [Floor().fit(books), ItemKNN().fit(books)]


def ndcg(model: Floor | ItemKNN | Blend, data: Dataset) -> float:
    histories, truth = data.histories("train", "valid"), data.histories("test")
    return float(holdout_ndcg(model.score_histories, histories, truth).mean())


def test_a_blend_is_hardly_worse_than_its_best_part(books: Dataset, parts: list[Floor | ItemKNN]) -> None:
    blend = Blend.of(parts, books)
    assert ndcg(blend, books) >= 0.97 * max(ndcg(part, books) for part in parts)
    assert ndcg(blend, books) > 0.14


def test_fitting_and_blending_fitted_parts_are_the_same(books: Dataset, parts: list[Floor | ItemKNN]) -> None:
    fitted = Blend(models=("floor", "itemknn")).fit(books)
    asked = books.histories("train").take(slice(0, 50))
    np.testing.assert_array_equal(fitted.score_histories(asked), Blend.of(parts, books).score_histories(asked))


def test_two_parts_of_one_kind_keep_their_own_options(books: Dataset, tmp_path: Path) -> None:
    blend = Blend(
        models=("ials", "ials"), options=({"factors": 8, "iterations": 2}, {"factors": 16, "iterations": 2})
    ).fit(books)
    assert [part.item_vectors().shape[1] for part in blend.parts if isinstance(part, IALS)] == [8, 16]
    blend.save(tmp_path)
    loaded = load_model(tmp_path)
    asked = Requests(books.histories("train").take(slice(0, 30)))
    np.testing.assert_array_equal(loaded.recommend(asked, 5).items, blend.recommend(asked, 5).items)


def test_parts_of_another_catalogue_are_refused(books: Dataset, parts: list[Floor | ItemKNN]) -> None:
    stranger = ItemKNN()
    stranger.item_ids = None
    with pytest.raises(ConfigError, match="another catalogue"):
        Blend.of([*parts, stranger], books)


def test_more_options_than_parts_are_refused() -> None:
    with pytest.raises(ConfigError, match="2 parts, and there are 1"):
        Blend(models=("floor",), options=({}, {}))


def test_without_a_part_valid_all_parts_count_the_same(books: Dataset) -> None:
    blend = Blend(models=("itemknn", "popularity")).fit(books.select("train"))
    np.testing.assert_array_equal(blend.weights.values, [[1, 0, 1, 0]])


def test_users_without_history_get_a_list(books: Dataset) -> None:
    data = cold_user(books)
    blend = Blend(models=("popularity", "itemknn")).fit(data)
    assert np.isfinite(blend.score_histories(data.histories("train").take(slice(0, 5)))).all()
