"""Which columns are the text of an item, how they are read, and the vectors made of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from honeyguide.core.dataset import Dataset
from honeyguide.core.errors import DataError, EncoderError
from honeyguide.encode.items import (
    LONGEST,
    ItemText,
    item_text_vectors,
    item_texts,
    text_columns,
    text_vectors,
    title_column,
)
from honeyguide.encode.text import text_encoder

SHOP = pl.DataFrame(
    {
        "item_id": [1, 2, 3],
        "description": ["A lacquer " + "that shines " * 60, None, ""],
        "asin": ["B004756YJA", "B004ZT0SSG", "B000000001"],
        "image": ["https://x.org/1.jpg", "https://x.org/2.jpg", None],
        "front": ["https://x.org/1.jpg", "https://x.org/2.jpg", None],
        "title": ["OPI Nail Lacquer", "Red Shatter", None],
        "year": ["1999", "2001", "2003"],
        "size": ["10", "12.5", "7"],
        "price": [3.5, 4.0, 1.0],
        "semantic": [["<a_1>", "<b_2>"], ["<a_3>", "<b_4>"], ["<a_1>", "<b_7>"]],
        "attributes": [["OPI", "Nails"], ["Gel"], []],
        "categories": [["Beauty > Makeup > Nails > Nail Polish"], ["Beauty > Hair > Colour", "Gifts > Sets"], []],
        "brand": ["OPI", "Essie", None],
    },
    schema_overrides={"attributes": pl.List(pl.String), "categories": pl.List(pl.String)},
)


def test_words_are_read_in_order_and_codes_numbers_addresses_and_pictures_are_not() -> None:
    assert text_columns(SHOP) == ["title", "categories", "brand", "attributes", "description"]


def test_a_text_by_hand() -> None:
    first, second, third = item_texts(SHOP)
    assert first.startswith("OPI Nail Lacquer. Nails, Nail Polish. A lacquer that shines")
    assert "Makeup" not in first, "of a path the last two levels are read"
    assert first.count("OPI") == 1, "what was said is not said again"
    assert len(first) <= len("OPI Nail Lacquer. Nails, Nail Polish. ") + LONGEST
    assert second == "Red Shatter. Hair, Colour. Essie. Gel"
    assert third == ""


def test_columns_can_be_named_and_one_that_is_missing_is_named() -> None:
    assert item_texts(SHOP, ["brand", "title"]) == ["OPI. OPI Nail Lacquer", "Essie. Red Shatter", ""]
    with pytest.raises(DataError, match="'subtitle'"):
        item_texts(SHOP, ["title", "subtitle"])


def test_one_row_is_read_as_it_would_be_among_many() -> None:
    columns = text_columns(SHOP)
    assert [item_texts(SHOP[row : row + 1], columns)[0] for row in range(3)] == item_texts(SHOP, columns)


def test_a_table_without_words_has_empty_texts_and_is_refused_where_words_are_needed() -> None:
    bare = SHOP.select("item_id", "price", "asin")
    assert text_columns(bare) == []
    assert item_texts(bare) == ["", "", ""]
    with pytest.raises(DataError, match="no column of words"):
        ItemText.of(bare, text_encoder("use"))


def test_vectors_have_length_one_and_are_zero_where_there_is_no_text(books: Dataset) -> None:
    encoder = text_encoder("use")
    vectors = text_vectors(item_texts(SHOP), encoder)
    assert vectors.shape == (3, encoder.dim)
    assert_allclose(np.linalg.norm(vectors, axis=1), [1, 1, 0], atol=1e-6)
    of_books = item_text_vectors(books, encoder, ["title"])
    assert of_books.shape == (books.n_items, encoder.dim)
    assert_allclose(of_books[7], encoder.encode([books.items["title"][7]])[0], atol=1e-5)


def test_a_saved_reading_reads_new_items_in_the_same_way(tmp_path: Path) -> None:
    text = ItemText.of(SHOP, text_encoder("use"))
    again = ItemText.from_meta(text.to_meta())
    assert again == text
    assert_array_equal(again.vectors(SHOP), text.vectors(SHOP))
    with pytest.raises(DataError, match="'brand'"):
        again.vectors(SHOP.drop("brand"))


def test_another_version_of_the_encoder_is_refused() -> None:
    text = ItemText.of(SHOP, text_encoder("use"))
    with pytest.raises(EncoderError, match="was made with sha256:other"):
        replace(text, version="sha256:other").vectors(SHOP)


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ({"name": "same", "Book-Title": "tale {}"}, "name"),
        ({"author": "writer {}", "Book-Title": "tale {}"}, "Book-Title"),
        ({"category_name": "toys {}", "brand": "maker {}", "product_name": "thing {}"}, "product_name"),
        ({"artist_name": "band {}", "genre": "rock"}, "artist_name"),
        ({"film": "a film {}", "overview": "what happens in it {}"}, "film"),
        ({"url": "https://x.org/{}", "genre": "rock", "description": "words {}", "store_name": "shop"}, None),
        ({"plot": "long words " * 20 + "{}"}, None),
    ],
)
def test_the_column_that_items_are_called_by(columns: dict[str, str], expected: str | None) -> None:
    table = pl.DataFrame({"item_id": range(9)} | {c: [v.format(n) for n in range(9)] for c, v in columns.items()})
    assert title_column(table) == expected
    assert title_column(table.clear()) in (None, "name")
