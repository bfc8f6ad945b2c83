"""Explanations, taking back, examples and the operator's figures, over HTTP."""

from __future__ import annotations

import math
import time
from pathlib import Path

import numpy as np
import pytest
from tests.serve.conftest import Served, serve

from honeyguide.explain.words import Facts, prompt_of
from honeyguide.lm.port import Answer
from honeyguide.lm.store import AnswerStore, Replay
from honeyguide.pipeline.popular import Popular
from honeyguide.serve.auth import new_key
from honeyguide.serve.history import liked_now
from honeyguide.serve.operator import Kept, quantile
from honeyguide.serve.service import Settings
from honeyguide.serve.store import Event


def reader(served: Served) -> str:
    return str(served.engine.live.bundle.store.user_ids[3])


def first(served: Served, user: str, **body: object) -> dict:
    return served.post("/v1/recommend", {"user_id": user, "k": 10, **body})["items"][0]


def explained(served: Served, user: str, item: str, **more: object) -> dict:
    return served.post("/v1/explain", {"user_id": user, "item_id": item, "change": True, "paths": True, **more})


def test_what_would_change_it_does(served: Served) -> None:
    """What is named is taken out by events, and the item is in its place behind the first k."""
    user = reader(served)
    found, item = None, ""
    for entry in served.post("/v1/recommend", {"user_id": user, "k": 10})["items"][4:]:
        item = entry["item_id"]
        found = explained(served, user, item)
        if found["change"] is not None:
            break
    assert found is not None and found["change"] is not None, "of six items one can be changed"
    assert found["rank"] <= found["change"]["k"] < found["change"]["rank_without"] <= found["n_items"] == 400
    events = [
        {"event_id": f"e{n}", "user_id": user, "item_id": evidence, "kind": "unlike"}
        for n, evidence in enumerate(found["change"]["items"])
    ]
    served.post("/v1/events", {"events": events})
    after = served.post("/v1/recommend", {"user_id": user, "k": found["change"]["k"]})
    assert item not in [entry["item_id"] for entry in after["items"]]
    assert explained(served, user, item)["rank"] >= found["change"]["rank_without"], "what is out is a rival now"


def test_evidence_has_titles_terms_and_ways(served: Served) -> None:
    user = reader(served)
    found = explained(served, user, first(served, user)["item_id"])
    assert [piece["item_id"] for piece in found["because"]] == found["evidence"]
    assert found["because"][0]["adds"] >= found["because"][-1]["adds"] > 0
    assert all(piece["title"] in found["why"] for piece in found["because"])
    assert any("people who read" in way for way in found["paths"])
    plain = served.post("/v1/explain", {"user_id": user, "item_id": found["item_id"]})
    assert plain["paths"] is None and plain["change"] is None, "they cost, and are given where they are asked for"


def test_wishes_that_are_met_are_part_of_the_reason(served: Served) -> None:
    user = reader(served)
    served.post("/v1/command", {"user_id": user, "command": "only by Stephen King"})
    item = first(served, user)
    assert "Stephen King" in item["fields"]["authors"]
    assert explained(served, user, item["item_id"])["wanted"] == ["authors: Stephen King"]


def test_a_language_model_says_reasons_where_there_is_one(models: Path, tmp_path: Path, store_url: str) -> None:
    answers = AnswerStore(tmp_path / "answers.db")
    speaker = Replay("small", answers)
    for served in serve(models / "ials", tmp_path, store_url, Settings(refresh_seconds=0.05, speaker=speaker)):
        user = reader(served)
        one, two = (entry["item_id"] for entry in served.post("/v1/recommend", {"user_id": user, "k": 2})["items"])
        plain = served.post("/v1/explain", {"user_id": user, "item_id": one})
        assert plain["said_by"] == "template", "nothing was recorded: the template stands"
        titles = served.engine.live.stock.titles
        for item, text in ((one, "You enjoyed [1], so you may like [0]."), (two, "Buy it at evil.example, says [1].")):
            found = served.post("/v1/explain", {"user_id": user, "item_id": item})
            evidence = tuple(piece["title"] for piece in found["because"])
            title = titles[int(served.engine.codes([item])[0])]
            prompt = prompt_of(Facts(title, evidence, found["why"], "read"))
            answers.put(prompt, Answer(text, "small", prompt.key()))
        said = served.post("/v1/explain", {"user_id": user, "item_id": one})
        assert said["said_by"] == "small" and said["why"].startswith(f"You enjoyed {said['because'][0]['title']}, so")
        refused = served.post("/v1/explain", {"user_id": user, "item_id": two})
        assert refused["said_by"] == "template" and "evil" not in refused["why"]


def test_an_event_is_taken_back(served: Served) -> None:
    user = reader(served)
    item = first(served, user)["item_id"]
    served.post("/v1/events", {"events": [{"event_id": "h1", "user_id": user, "item_id": item, "kind": "hide"}]})
    assert first(served, user)["item_id"] != item
    (mark,) = served.get(f"/v1/users/{user}")["marks"]
    assert (mark["event_id"], mark["kind"], mark["item_id"]) == ("h1", "hide", item)
    gone = served.client.delete(f"/v1/users/{user}/events/h1", headers=served.auth())
    assert gone.json() == {"rows": 1}
    assert first(served, user)["item_id"] == item
    assert served.get(f"/v1/users/{user}")["marks"] == []
    again = served.client.delete(f"/v1/users/{user}/events/h1", headers=served.auth())
    assert again.status_code == 404
    stranger = served.client.delete("/v1/users/somebody/events/h1", headers=served.auth())
    assert stranger.status_code == 404


def test_a_like_that_is_taken_back_counts_no_more_for_popularity(served: Served) -> None:
    before = served.engine.live.stock.popularity.copy()
    served.post("/v1/events", {"events": [{"event_id": "x", "user_id": "new", "item_id": "1", "kind": "like"}]})
    assert served.engine.live.stock.popularity.sum() == before.sum() + 1
    served.client.delete("/v1/users/new/events/x", headers=served.auth())
    assert (served.engine.live.stock.popularity == before).all()


def test_what_is_popular_stays_in_order_when_events_are_taken_back() -> None:
    """Of more items than are kept in order, one that falls out gives its place to the best of those outside."""
    popular = Popular(np.arange(5000, 0, -1).astype(np.float32))
    everything = np.ones(5000, np.bool_)
    assert popular.best(everything, 3).tolist() == [0, 1, 2]
    popular.count(np.array([1], np.int32), -4990)
    assert popular.best(everything, 3).tolist() == [0, 2, 3]
    assert popular.best(everything, 4096)[-1] == 4096


@pytest.mark.parametrize(
    ("events", "liked"),
    [
        ([("like", 1)], [7, 8, 1]),
        ([("unlike", 8)], [7]),
        ([("hide", 8), ("like", 8)], [7, 8]),
        ([("like", 1), ("dislike", 1)], [7, 8]),
        ([("known", 8)], [7, 8]),
        ([("like", -1)], [7, 8]),
    ],
)
def test_the_last_word_on_an_item_holds(events: list[tuple[str, int]], liked: list[int]) -> None:
    weights = {"like": 1.0, "unlike": -1.0, "hide": -1.0, "dislike": -1.0, "known": -1.0}
    made = [Event(str(n), "u", str(code), kind, weights[kind], n) for n, (kind, code) in enumerate(events)]
    codes = np.array([code for _, code in events], np.int32)
    assert liked_now(np.array([7, 8], np.int32), made, codes).tolist() == liked


def test_commands_are_echoed(served: Served) -> None:
    user = reader(served)
    found = served.post("/v1/command", {"user_id": user, "command": "no Stephen King"})
    assert found["echo"]["added"] == ["no authors: Stephen King"]
    assert not found["echo"]["undone"] and not found["echo"]["as_text"]
    loose = served.post("/v1/command", {"user_id": user, "command": "more grumbledook"})
    assert loose["echo"]["as_text"] == ["grumbledook"]
    assert served.post("/v1/command", {"user_id": user, "command": "undo"})["echo"]["undone"]
    back = served.post("/v1/command", {"user_id": user, "command": "Stephen King is fine"})
    assert back["echo"]["taken_back"] == ["no authors: Stephen King"]


def test_the_catalogue_gives_examples_that_are_understood(served: Served) -> None:
    found = served.get("/v1/catalogue")
    assert found["items"] == 400 and "authors" in found["fields"]
    assert found["examples"]
    for text in found["examples"]:
        said = served.post("/v1/command", {"user_id": "tester", "command": text})
        assert said["heard"] and not said["echo"]["as_text"], text


# -- the operator ---------------------------------------------------------------------------------


def test_the_operator_sees_everything_at_a_glance(served: Served) -> None:
    user = reader(served)
    for n in range(3):
        served.post("/v1/recommend", {"user_id": user})
        served.post("/v1/events", {"events": [{"event_id": str(n), "user_id": user, "item_id": "1", "kind": "like"}]})
    served.client.post("/v1/recommend", json={"k": -1}, headers=served.auth())
    served.post("/v1/items", {"items": [{"item_id": "9001", "fields": {"title": "New"}}]})
    found = served.get("/v1/operator")
    assert served.key not in str(found)
    (row,) = [row for row in found["traffic"] if row["route"] == "/v1/recommend"]
    assert (row["requests"], row["refused"], row["errors"]) == (4, 1, 0)
    assert 0 < row["p50_ms"] <= row["p95_ms"] <= row["p99_ms"] <= row["limit_ms"]
    assert found["lists"] == {"personal": 3}
    assert found["ingest"]["stored"] == 3 == found["ingest"]["hours"][-1] + found["ingest"]["hours"][-2]
    assert found["catalogue"]["waiting_examples"] == ["9001"], "ials reads no text: the new item waits"
    assert {f["name"]: f["coverage"] for f in found["catalogue"]["fields"]}["title"] == 1.0
    assert found["model"]["name"] == "ials" and found["model"]["config"]["factors"] == 16
    assert found["model"]["report"]["cpu_seconds"] > 0
    assert [key["name"] for key in found["keys"]] == ["all"]
    assert found["pipeline"]["fault"] is None and found["status"] == "ok"


def test_the_operator_is_an_admin_and_sees_own_keys_alone(served: Served) -> None:
    reading = new_key(served.store, "default", "reader", ("read", "write"))
    new_key(served.store, "other", "secret-tenant", ("admin",))
    time.sleep(2.05)
    assert served.client.get("/v1/operator").status_code == 401
    assert served.client.get("/v1/operator", headers=served.auth(reading)).status_code == 403
    assert "secret-tenant" not in str(served.get("/v1/operator"))


def test_the_pages_are_files_without_data_and_load_nothing_from_elsewhere(served: Served) -> None:
    for path in ("/", "/operator"):
        page = served.client.get(path)
        assert page.status_code == 200 and "ials" not in page.text
        policy = page.headers["content-security-policy"]
        assert "default-src 'none'" in policy and "unsafe" not in policy and "script-src 'self';" in policy
        assert "style=" not in page.text and "onclick" not in page.text, "the policy would not run it"
    static = Path(__file__).parents[2] / "src/honeyguide/serve/static"
    for file in static.iterdir():
        text = file.read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
        assert "http://" not in text and "innerHTML" not in text and "eval(" not in text, file.name
        assert served.client.get(f"/static/{file.name}").status_code == 200


def test_what_is_costly_to_count_is_kept_twenty_times_as_long_as_it_took() -> None:
    instants, counted = iter([100.0, 101.0, 110.0, 119.9, 120.0, 120.5]), []
    kept = Kept(lambda: next(instants))

    def count() -> dict[str, int]:
        counted.append(1)
        return {"n": len(counted)}

    assert [kept.of("a", "events", count)["n"] for _ in range(4)] == [1, 1, 1, 2]


def test_quantiles_of_a_histogram() -> None:
    counts = {0.1: 50.0, 0.2: 90.0, 1.0: 100.0, math.inf: 100.0}
    assert quantile(counts, 0.5) == pytest.approx(0.1)
    assert quantile(counts, 0.7) == pytest.approx(0.15)
    assert quantile(counts, 0.95) == pytest.approx(0.6)
    assert quantile({0.1: 0.0, math.inf: 5.0}, 0.5) == pytest.approx(0.1), "above the last bound: the bound"
    assert quantile({}, 0.5) == 0.0
