"""Lists that are held while the model is exchanged, while items come, and when their person is forgotten."""

from __future__ import annotations

import gc
import time
import weakref

import numpy as np
import polars as pl
import pytest
from tests.serve.catalogues import without_first

from honeyguide.core.dataset import Dataset
from honeyguide.experiment.bundle import save_bundle
from honeyguide.models.linear.itemknn import ItemKNN
from honeyguide.pipeline.pipeline import Order
from honeyguide.serve.engine import NOBODY
from honeyguide.serve.held import Held, HeldLists


@pytest.fixture(scope="module")
def fewer(books: Dataset) -> Dataset:
    return without_first(books, 50)


def exchange(served, data: Dataset) -> None:
    save_bundle(served.folder / "model", ItemKNN().fit(data), data)
    served.engine.refresh()


def test_pages_go_on_in_the_same_order_over_another_catalogue(served, books, fewer):
    user = str(books.user_ids.values[3])
    first = served.post("/v1/recommend", {"user_id": user, "k": 10})
    path = f"/v1/recommend/{first['recommendation_id']}?page="
    before = [item["item_id"] for page in range(6) for item in served.get(path + str(page))["items"]]
    exchange(served, fewer)
    after = [item["item_id"] for page in range(6) for item in served.get(path + str(page))["items"]]
    known = set(fewer.item_ids.values.cast(pl.String))
    left = [item for item in before if item in known]
    assert len(left) < len(before) and after[: len(left)] == left
    titles = dict(fewer.items.select(pl.col("item_id").cast(pl.String), "title").iter_rows())
    for item in served.get(path + "0")["items"]:
        assert item["fields"]["title"] == titles[item["item_id"]]


def test_a_list_made_while_the_model_is_exchanged_is_held_in_the_new_codes(served, books, fewer):
    answer = served.engine.recommend(None)
    names = served.engine.ids(answer.live, answer.order.items)
    exchange(served, fewer)
    served.engine.keep("late", answer, 10)
    again, _ = served.engine.held("late")
    assert again.live is served.engine.live
    known = set(fewer.item_ids.values.cast(pl.String))
    assert served.engine.ids(again.live, again.order.items) == [name for name in names if name in known]


def test_who_was_read_before_an_exchange_is_not_remembered_after_it(served, books, fewer):
    user, old = str(books.user_ids.values[3]), served.engine.live
    exchange(served, fewer)
    stale = served.engine.person(user, old)
    fresh = served.engine.person(user)
    known = [i for i in served.engine.ids(old, stale.liked) if i in set(fewer.item_ids.values.cast(pl.String))]
    assert set(served.engine.ids(served.engine.live, fresh.liked)) == set(known)


def test_models_that_were_exchanged_are_let_go(served, books):
    gone = []
    for n in range(4):
        gone.append(weakref.ref(served.engine.live))
        served.post("/v1/recommend", {"user_id": "ann", "session": [str(books.item_ids.values[n])]})
        exchange(served, books)
    gc.collect()
    assert [found() for found in gone] == [None] * 4


def test_items_that_the_model_cannot_take_in_leave_it_as_it_is(served):
    before = served.engine.live
    assert served.post("/v1/items", {"items": [{"item_id": "x", "fields": {"title": "X"}}]})["recommendable"] == 0
    assert served.engine.live is before


def test_lists_of_somebody_who_is_forgotten_go_too(served, books):
    user = str(books.user_ids.values[3])
    own = served.post("/v1/recommend", {"user_id": user})["recommendation_id"]
    other = served.post("/v1/recommend", {})["recommendation_id"]
    assert served.client.delete(f"/v1/users/{user}", headers=served.auth()).status_code == 200
    assert served.client.get(f"/v1/recommend/{own}?page=1", headers=served.auth()).status_code == 404
    assert served.client.get(f"/v1/recommend/{other}?page=1", headers=served.auth()).status_code == 200


def test_a_user_read_while_being_forgotten_is_not_remembered(served, books, monkeypatch):
    engine, user = served.engine, str(books.user_ids.values[3])
    read = engine._read

    def slowly(user_id, live):
        person = read(user_id, live)
        engine.forget(user_id)  # in another thread
        return person

    monkeypatch.setattr(engine, "_read", slowly)
    engine.person(user)
    monkeypatch.undo()
    assert len(engine.person(user).liked) == 0


def test_the_oldest_lists_go_where_more_were_made_than_are_held() -> None:
    lists = HeldLists(2)
    order = Order(np.arange(3, dtype=np.int32), np.ones(3, np.float32), ())
    for name in "abc":
        lists.keep(name, Held(order, "popular", "default", None, NOBODY, 10, "", None, time.monotonic()))
    assert [lists.get(name) is not None for name in "abc"] == [False, True, True]
