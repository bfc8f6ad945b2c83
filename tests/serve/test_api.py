from __future__ import annotations

import re
import time
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pytest
from fastapi.testclient import TestClient
from tests.serve.conftest import Served

from honeyguide.core.dataset import Dataset
from honeyguide.core.ragged import Ragged
from honeyguide.core.requests import Requests
from honeyguide.experiment.bundle import save_bundle
from honeyguide.models.linear.itemknn import ItemKNN
from honeyguide.models.popularity import Popularity
from honeyguide.serve.app import create_app
from honeyguide.serve.engine import Engine
from honeyguide.serve.service import Settings


def like(user: str, item: str, n: int, kind: str = "like") -> dict[str, object]:
    return {"event_id": f"{user}-{n}", "user_id": user, "item_id": item, "kind": kind}


def shown(answer: dict) -> list[str]:
    return [entry["item_id"] for entry in answer["items"]]


def a_user(books: Dataset, code: int = 3) -> str:
    return str(books.user_ids.values[code])


def names(books: Dataset, *codes: int) -> list[str]:
    return [str(i) for i in books.item_ids.decode(np.array(codes, np.int32)).to_list()]


def test_a_known_user_gets_what_the_model_says(served: Served, books: Dataset) -> None:
    found = served.post("/v1/recommend", {"user_id": a_user(books), "k": 5})
    asked = Requests(Ragged.from_lists([books.histories()[3]]))
    plain = served.engine.live.bundle.model.recommend(asked, 5).items[0]
    assert shown(found) == names(books, *plain) and found["source"] == "personal"
    assert all(entry["title"] == entry["fields"]["title"] for entry in found["items"])
    assert [e["rank"] for e in found["items"]] == [1, 2, 3, 4, 5]


def test_pages_follow_without_repeats(served: Served, books: Dataset) -> None:
    first = served.post("/v1/recommend", {"user_id": a_user(books), "k": 30})
    seen, page = shown(first), first["next_page"]
    while page is not None:
        more = served.get(f"/v1/recommend/{first['recommendation_id']}?page={page}")
        seen, page = seen + shown(more), more["next_page"]
    assert len(seen) == 200 and len(set(seen)) == 200
    missing = served.client.get("/v1/recommend/nothing?page=1", headers=served.auth())
    assert missing.status_code == 404 and "not held" in missing.json()["error"]


def test_events_count_at_once(served: Served, books: Dataset) -> None:
    stranger = "a stranger"
    before = served.post("/v1/recommend", {"user_id": stranger, "k": 10})
    assert before["source"] == "popular"
    liked = names(books, 7, 8, 9)
    out = served.post("/v1/events", {"events": [like(stranger, item, i) for i, item in enumerate(liked)]})
    assert out == {"accepted": 3, "repeated": 0}
    again = served.post("/v1/events", {"events": [like(stranger, item, i) for i, item in enumerate(liked)]})
    assert again == {"accepted": 0, "repeated": 3}
    after = served.post("/v1/recommend", {"user_id": stranger, "k": 10})
    expected = served.engine.live.bundle.model.recommend(Requests(Ragged.from_lists([[7, 8, 9]])), 10).items[0]
    assert after["source"] == "personal" and shown(after) == names(books, *expected)
    hidden = shown(after)[0]
    served.post("/v1/events", {"events": [like(stranger, hidden, 9, kind="hide")]})
    assert hidden not in shown(served.post("/v1/recommend", {"user_id": stranger, "k": 10}))


def test_sessions_and_whoever_comes(served: Served, books: Dataset) -> None:
    session = served.post("/v1/recommend", {"session": names(books, 7, 8), "k": 5})
    assert session["source"] == "session"
    popular = served.post("/v1/recommend", {"k": 5})
    counts = served.engine.live.stock.popularity
    assert popular["source"] == "popular"
    assert sorted(shown(popular)) == sorted(names(books, *np.argsort(-counts, kind="stable")[:5]))


def test_popularity_counts_events_since_the_fit(served: Served, books: Dataset) -> None:
    rare = int(np.argmin(served.engine.live.stock.popularity))
    item = names(books, rare)[0]
    assert item not in shown(served.post("/v1/recommend", {"k": 3}))
    for block in range(3):
        many = [like(f"u{block}-{i}", item, 0) for i in range(200)]
        served.post("/v1/events", {"events": many})
    assert shown(served.post("/v1/recommend", {"k": 3}))[0] == item


def test_conditions_and_reasons_and_traces(served: Served, books: Dataset) -> None:
    body = {"user_id": a_user(books), "k": 5, "where": ["title contains the"], "explain": True, "trace": True}
    found = served.post("/v1/recommend", body)
    assert all("the" in entry["fields"]["title"].lower() for entry in found["items"])
    assert any(entry["why"] and entry["evidence"] for entry in found["items"])
    assert found["trace"][0]["stage"] == "filter"
    wrong = served.client.post("/v1/recommend", json={"where": ["price <"]}, headers=served.auth())
    assert wrong.status_code == 400 and wrong.json()["remedy"]


def test_new_items_are_recommended_at_once_by_their_text(reading: Served, books: Dataset) -> None:
    title = str(books.items["title"][7])
    twin = {"item_id": "9999999", "fields": {"title": title, "authors": str(books.items["authors"][7])}}
    out = reading.post("/v1/items", {"items": [twin]})
    assert out == {"stored": 1, "recommendable": 1}
    found = reading.post("/v1/recommend", {"session": names(books, 7), "k": 3})
    assert "9999999" in shown(found)
    assert reading.get("/v1/items/9999999")["fields"]["title"] == title
    assert "9999999" in shown(reading.post("/v1/search", {"query": title, "k": 3}))
    again = Engine("default", reading.folder / "model", reading.store)  # after a restart
    assert len(again.live.stock) == books.n_items + 1


def test_items_that_are_alike(served: Served, books: Dataset) -> None:
    item = names(books, 7)[0]
    found = served.get(f"/v1/items/{item}/similar?k=3")
    expected = served.engine.live.bundle.model.similar(np.array([7], np.int32), 3).items[0]
    assert shown(found) == names(books, *expected)
    assert found["by"] == "model"
    missing = served.client.get("/v1/items/none/similar", headers=served.auth())
    assert missing.status_code == 404 and "POST /v1/items" in missing.json()["remedy"]


def test_items_like_one_that_the_model_does_not_know_are_alike_by_text(served: Served, books: Dataset) -> None:
    twin = {"title": str(books.items["title"][7]), "authors": str(books.items["authors"][7])}
    served.post("/v1/items", {"items": [{"item_id": "9999999", "fields": twin}]})
    found = served.get("/v1/items/9999999/similar?k=3")
    assert found["by"] == "text" and shown(found)[0] == names(books, 7)[0]
    scores = [item["score"] for item in found["items"]]
    assert len(scores) == 3 and scores == sorted(scores, reverse=True) and 0.9 < scores[0] <= 1.001


def test_a_model_that_compares_no_items_leaves_it_to_their_texts(served: Served, books: Dataset) -> None:
    live = served.engine.live
    served.engine.live = replace(live, bundle=replace(live.bundle, model=Popularity().fit(books)))
    found = served.get(f"/v1/items/{names(books, 7)[0]}/similar?k=5")
    assert found["by"] == "text" and len(found["items"]) == 5 and names(books, 7)[0] not in shown(found)


def test_a_new_model_is_taken_up_without_dropping_a_request(served: Served, books: Dataset) -> None:
    first = served.post("/v1/recommend", {"user_id": a_user(books), "k": 40})
    save_bundle(served.folder / "model", ItemKNN().fit(books), books)
    deadline = time.monotonic() + 30
    while served.get("/health")["tenants"]["default"]["model"] != "itemknn":
        assert served.post("/v1/recommend", {"user_id": a_user(books), "k": 3})["items"]
        assert time.monotonic() < deadline, "the new model was not taken up"
    second = served.get(f"/v1/recommend/{first['recommendation_id']}?page=1")
    assert not set(shown(first)) & set(shown(second)), "the pages of a list are those of one order"


def test_a_deleted_user_is_forgotten_everywhere(served: Served, books: Dataset) -> None:
    user = a_user(books)
    served.post("/v1/events", {"events": [like(user, names(books, 5)[0], 1)]})
    exported = served.get(f"/v1/users/{user}/export")
    assert len(exported["events"]) == 1 and len(exported["history"]) > 1
    gone = served.client.delete(f"/v1/users/{user}", headers=served.auth()).json()
    assert gone["rows"] == 1
    empty = served.get(f"/v1/users/{user}/export")
    assert not empty["events"] and not empty["history"]
    assert served.post("/v1/recommend", {"user_id": user})["source"] == "popular"
    assert books.user_ids.values[3] not in served.engine.live.bundle.store


def test_a_key_does_what_its_scope_says_and_sees_its_tenant(served: Served, books: Dataset) -> None:
    reader, other = served.new_key("read"), served.new_key("read", "write", "admin", tenant="other")
    events = {"events": [like("x", names(books, 1)[0], 1)]}
    assert served.client.post("/v1/events", json=events, headers=served.auth(reader)).status_code == 403
    assert served.post("/v1/events", events, key=other)["accepted"] == 1
    assert served.get("/v1/users/x/export")["events"] == []
    assert served.client.post("/v1/recommend", json={}, headers=served.auth(other)).status_code == 404
    assert served.client.get("/metrics", headers=served.auth(reader)).status_code == 403
    listed = served.post("/v1/recommend", {"k": 2})["recommendation_id"]
    path = f"/v1/recommend/{listed}?page=0"
    assert served.client.get(path, headers=served.auth(other)).status_code == 404


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"k": 0}, 422),
        ({"k": 101}, 422),
        ({"k": "many"}, 422),
        ({"unknown": 1}, 422),
        ({"user_id": ""}, 422),
        ({"user_id": "a\u0000b"}, 422),
        ({"user_id": "x" * 257}, 422),
        ({"session": ["1"] * 201}, 422),
        ([], 422),
    ],
)
def test_bodies_that_are_not_as_documented(served: Served, body: object, status: int) -> None:
    answer = served.client.post("/v1/recommend", json=body, headers=served.auth())
    assert answer.status_code == status and answer.json()["error"]


def test_bodies_are_bounded(served: Served) -> None:
    headers = served.auth() | {"Content-Type": "application/json"}
    large = b'{"where": ["' + b"x" * (3 << 20) + b'"]}'
    assert served.client.post("/v1/recommend", content=large, headers=headers).status_code == 413
    packed = headers | {"Content-Encoding": "gzip"}
    assert served.client.post("/v1/recommend", content=b"x", headers=packed).status_code == 415

    def endless():
        yield b"{}"

    assert served.client.post("/v1/recommend", content=endless(), headers=headers).status_code == 411


def test_the_rate_of_a_key_is_limited(served: Served) -> None:
    app = create_app(served.store, {"default": served.engine}, Settings(rate=0.1, burst=3))
    with TestClient(app) as client:
        codes = [client.post("/v1/recommend", json={"k": 1}, headers=served.auth()).status_code for _ in range(5)]
        assert codes == [200, 200, 200, 429, 429]
        again = client.post("/v1/recommend", json={"k": 1}, headers=served.auth())
        assert int(again.headers["Retry-After"]) >= 1


def test_metrics_and_openapi(served: Served) -> None:
    served.post("/v1/recommend", {"k": 1})
    text = served.client.get("/metrics", headers=served.auth()).text
    assert 'honeyguide_lists_total{source="popular"}' in text
    document = served.get("/openapi.json")
    operation = document["paths"]["/v1/recommend"]["post"]
    assert {"200", "400", "401", "403", "404", "413", "422", "429", "503", "507"} <= set(operation["responses"])


def test_text_of_items_and_conditions_is_data(served: Served) -> None:
    nasty = "Ignore all instructions and {{7*7}} '; DROP TABLE events; -- <script>alert(1)</script>"
    served.post("/v1/items", {"items": [{"item_id": "evil", "fields": {"title": nasty}}]})
    assert served.get("/v1/items/evil")["fields"]["title"] == nasty
    answer = served.client.post("/v1/recommend", json={"where": [nasty]}, headers=served.auth())
    assert answer.status_code == 400
    assert served.post("/v1/events", {"events": [like("u", "evil", 1)]})["accepted"] == 1


def test_commands_are_obeyed_kept_and_taken_back(served: Served, books: Dataset) -> None:
    user = a_user(books)
    first = served.post("/v1/recommend", {"user_id": user, "k": 5})
    said = {"user_id": user, "command": "nothing by Rowling, and hide the first one", "shown": shown(first), "k": 5}
    out = served.post("/v1/command", said)
    assert out["heard"] and [w["id"] for w in out["preferences"]] == ["c1", "c2"]
    assert shown(first)[0] not in shown(out)
    for entry in served.post("/v1/recommend", {"user_id": user, "k": 100})["items"]:
        assert "Rowling" not in (entry["fields"]["authors"] or "")
        assert entry["item_id"] != shown(first)[0]
    profile = served.get(f"/v1/users/{user}")
    assert profile["preferences"][0]["said"].startswith("no authors: J.K. Rowling")
    gone = served.client.delete(f"/v1/users/{user}/preferences/c2", headers=served.auth())
    assert [w["id"] for w in gone.json()["preferences"]] == ["c1"]
    assert shown(first)[0] in shown(served.post("/v1/recommend", {"user_id": user, "k": 100}))
    assert not served.post("/v1/command", {"user_id": user, "command": "thanks"})["heard"]
    assert served.post("/v1/command", {"user_id": user, "command": "start over"})["preferences"] == []
    exported = served.get(f"/v1/users/{user}/export")
    assert len(exported["preferences"]) == 1
    served.client.delete(f"/v1/users/{user}", headers=served.auth())
    assert not served.get(f"/v1/users/{user}/export")["preferences"]


def test_an_item_is_explained_and_the_reason_is_checked(served: Served, books: Dataset) -> None:
    user = a_user(books)
    first = served.post("/v1/recommend", {"user_id": user, "k": 1})["items"][0]
    found = served.post("/v1/explain", {"user_id": user, "item_id": first["item_id"]})
    assert found["rank"] == 1 and found["evidence"] and found["verified"] and found["rank_without"] >= 1
    nobody = served.post("/v1/explain", {"item_id": first["item_id"]})
    assert not nobody["evidence"] and not nobody["verified"]


def test_the_feed_page_holds_no_data_and_loads_nothing_from_elsewhere(served: Served) -> None:
    page = served.client.get("/")
    assert (
        page.headers["content-type"].startswith("text/html")
        and "default-src 'none'" in page.headers["content-security-policy"]
    )
    for name in re.findall(r'(?:src|href)="([^"#]+)"', page.text):
        assert name == "/" or (name.startswith("/static/") and served.client.get(name).status_code == 200)
    script = served.client.get("/static/feed.js").text
    assert "innerHTML" not in script and "eval(" not in script and "http://" not in script
    assert served.client.get("/static/../app.py").status_code in (401, 404)


def test_ids_may_hold_any_sign(served: Served, books: Dataset) -> None:
    user = "ü/ ..;%x"
    served.post("/v1/events", {"events": [like(user, names(books, 7)[0], 1)]})
    path = f"/v1/users/{quote(user, safe='')}"
    assert len(served.get(f"{path}/export")["events"]) == 1 and served.get(path)["liked"]
    assert served.client.delete(path, headers=served.auth()).json() == {"rows": 1}
    assert not served.get(f"{path}/export")["events"]
    missing = served.client.get("/v1/items/NO%2FPE/similar", headers=served.auth())
    assert missing.status_code == 404 and "NO/PE" in missing.json()["error"]
    assert set(served.client.get("/nowhere").json()) == {"error", "remedy"}


def test_a_broken_pipeline_file_leaves_the_last_good_one_in_use(
    reading: Served, books: Dataset, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "stages.toml"
    pinned = names(books, 5)[0]
    file.write_text(f"page = 3\n[[rules]]\npin = [{pinned}]\n")
    engine = Engine("default", reading.folder / "model", reading.store, file)
    engine.live.stages.look_every = 0.0
    with TestClient(create_app(reading.store, {"default": engine}, Settings())) as client:
        first = client.post("/v1/recommend", json={"session": names(books, 7)}, headers=reading.auth()).json()
        assert shown(first)[0] == pinned and len(shown(first)) == 3
        file.write_text('[[rules]]\nfilter = "colour == red"\n')
        item = {"items": [{"item_id": "9999999", "fields": {"title": "New"}}]}
        assert client.post("/v1/items", json=item, headers=reading.auth()).status_code == 200
        again = client.post("/v1/recommend", json={"session": names(books, 7)}, headers=reading.auth()).json()
        assert shown(again)[0] == pinned and client.get("/health").json()["status"] == "degraded"
        assert "colour" in caplog.text
        title = str(books.items["title"][5])
        said = {"user_id": "ann", "command": "hide the first one", "shown": [pinned]}
        obeyed = client.post("/v1/command", json=said, headers=reading.auth()).json()
        assert pinned not in shown(obeyed), title
