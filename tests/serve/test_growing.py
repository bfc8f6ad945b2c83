from __future__ import annotations

import numpy as np
import pytest
from tests.serve.conftest import Served
from tests.serve.test_api import a_user, like, names, shown

from honeyguide.core.dataset import Dataset
from honeyguide.encode import items as reading_items
from honeyguide.serve import growing


def test_a_new_item_takes_its_place_without_making_the_rest_anew(
    reading: Served, books: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = reading.engine
    before = engine.live
    *_, held = before.stock.shown.of(np.array([7], np.int32))[0]
    words, texts = before.grammar.lexicon, before.stock.text_vectors
    monkeypatch.setattr(growing, "_LARGE", 100)
    growing.warm(before)
    assert before.stock.near is not None
    read: list[int] = []
    plain = reading_items.text_vectors
    monkeypatch.setattr(reading_items, "text_vectors", lambda t, e: read.append(len(t)) or plain(t, e))
    twin = {"title": str(books.items["title"][7]), "authors": str(books.items["authors"][7])}
    reading.post("/v1/items", {"items": [{"item_id": "9999999", "fields": twin}]})
    assert set(read) == {1}  # no text but that of the new item was read
    live = engine.live
    assert live is not before and live.stock.near is not None and live.stock.near.index is before.stock.near.index
    assert live.stock.shown.of(np.array([7], np.int32))[0][2] is held
    np.testing.assert_array_equal(live.stock.text_vectors[:-1], texts)
    np.testing.assert_allclose(live.stock.text_vectors[-1], texts[7], atol=1e-5)
    assert words.titles.items() <= live.grammar.lexicon.titles.items()
    assert "9999999" in shown(reading.post("/v1/recommend", {"session": names(books, 7), "k": 3}))


@pytest.mark.parametrize("opened_anew", [False, True])
def test_events_of_an_item_that_comes_later_count(reading: Served, books: Dataset, opened_anew: bool) -> None:
    reading.post("/v1/events", {"events": [like("ann", "9999999", n) for n in range(3)]})
    if opened_anew:
        reading.engine._reopen()
    before = reading.engine.live.stock.popularity.copy()
    reading.post("/v1/items", {"items": [{"item_id": "9999999", "fields": {"title": "The sea, the sea"}}]})
    assert reading.engine.live.stock.popularity.tolist() == [*before.tolist(), 3.0]
    assert "9999999" in reading.get("/v1/users/ann")["liked"]


def test_warm_makes_an_index_of_a_large_catalogue_only(
    served: Served, books: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    live = served.engine.live
    growing.warm(live)
    assert live.stock.near is None
    plain = shown(served.post("/v1/recommend", {"user_id": a_user(books)}))
    monkeypatch.setattr(growing, "_LARGE", 100)
    growing.warm(live)
    assert live.stock.near is not None and live.stock.near.recall >= 0.95
    found = shown(served.post("/v1/recommend", {"user_id": a_user(books)}))
    assert len(set(plain) & set(found)) >= 9


def test_an_index_is_made_anew_where_many_items_came(reading: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(growing, "_LARGE", 100)
    engine = reading.engine
    growing.warm(engine.live)
    index = engine.live.stock.near.index  # type: ignore[union-attr]
    many = [{"item_id": str(10**7 + n), "fields": {"title": f"A new book {n}"}} for n in range(60)]
    reading.post("/v1/items", {"items": many})
    assert engine._warm is not None
    engine._warm.join(60)
    near = engine.live.stock.near
    assert near is not None and near.index is not index and len(near.index.vectors) == len(engine.live.stock)
