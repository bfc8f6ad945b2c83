"""Codes are assigned once and only appended."""

from __future__ import annotations

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from honeyguide.data.build import build, decoded, extend

EVENTS = st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9), st.integers(0, 99)), min_size=1, max_size=30)


def frame(rows: list[tuple[int, int, int]]) -> pl.DataFrame:
    schema = {"user_id": pl.Int64, "item_id": pl.Int64, "position": pl.Int64}
    return pl.DataFrame(rows, schema=schema, orient="row").unique(maintain_order=True)


@settings(max_examples=60, deadline=None)
@given(first=EVENTS, second=EVENTS)
def test_extending_keeps_codes_and_is_idempotent(first, second):
    data = build("d", frame(first))
    more = extend(data, frame(second))
    assert more.user_ids.values[: data.n_users].equals(data.user_ids.values)
    assert more.item_ids.values[: data.n_items].equals(data.item_ids.values)
    assert set(decoded(more).rows()) == {*frame(first).rows(), *frame(second).rows()}
    assert extend(more, frame(second)).equals(more)
    assert extend(data, frame(first)).equals(data)


def test_extending_updates_and_adds_features():
    items = pl.DataFrame({"item_id": ["b", "a"], "title": ["B", "A"]})
    data = build("d", pl.DataFrame({"user_id": [1], "item_id": ["a"]}), items)
    new = pl.DataFrame({"item_id": ["a", "c"], "title": ["better", "C"]})
    more = extend(data, pl.DataFrame({"user_id": [2], "item_id": ["0"]}), items=new)
    assert more.item_ids.values.to_list() == ["a", "b", "0", "c"]
    assert more.items["title"].to_list() == ["better", "B", None, "C"]
    assert not more.ordered


def test_the_catalogue_has_codes_without_events():
    data = build("d", pl.DataFrame({"user_id": [1], "item_id": [5]}), pl.DataFrame({"item_id": [3, 9]}))
    assert data.item_ids.values.to_list() == [3, 5, 9]
    assert data.popularity().tolist() == [0.0, 1.0, 0.0]


def test_tables_with_ids_of_another_type():
    interactions = pl.DataFrame({"user_id": [1, 2], "item_id": [10, 20]})
    data = build("d", interactions, pl.DataFrame({"item_id": ["10", "x"], "title": ["ten", "X"]}))
    assert data.items["title"].to_list() == ["ten", None, "X"]


def test_decoding_is_the_inverse(goodbooks):
    again = build("again", decoded(goodbooks), goodbooks.items, goodbooks.users)
    assert again.equals(goodbooks)
