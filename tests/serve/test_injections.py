"""Texts that give orders, in every place that takes a text: no tool is called, nothing is written, nothing is told."""

from __future__ import annotations

import json
from typing import Any

from mcp import Client
from tests.serve.conftest import Served
from tests.serve.injections import INJECTIONS, MARKUP
from tests.serve.test_mcp import agent

from honeyguide.core.dataset import Dataset
from honeyguide.serve.schema import METADATA


def rows(served: Served) -> dict[str, int]:
    """Of every table."""
    served.service.exposures.flush()
    with served.store.engine.connect() as connection:
        return {
            table.name: len(connection.execute(table.select()).all())
            for table in METADATA.sorted_tables
            if table.name != "exposure_log"  # which says what was shown, whatever was asked
        }


def test_there_are_a_hundred() -> None:
    assert len(set(INJECTIONS)) == 100 and len(MARKUP) >= 15


def test_over_http_they_are_kept_as_they_are_and_obeyed_by_nobody(served: Served) -> None:
    before = rows(served)
    items = [{"item_id": f"evil {i}", "fields": {"title": text, "tags": [text]}} for i, text in enumerate(INJECTIONS)]
    assert served.post("/v1/items", {"items": items})["stored"] == 100
    for i, text in enumerate(INJECTIONS):
        assert served.get(f"/v1/items/evil {i}")["fields"] == {"title": text, "tags": [text]}
    assert served.client.put("/v1/users/u", json={"fields": {str(i): t for i, t in enumerate(INJECTIONS)}},
                             headers=served.auth()).status_code == 200  # fmt: skip
    assert list(served.get("/v1/users/u")["fields"].values()) == INJECTIONS
    for text in INJECTIONS:
        for path, body in (
            ("/v1/recommend", {"where": [text]}),
            ("/v1/recommend", {"session": [text.replace("\n", " ")], "k": 1}),
            ("/v1/command", {"user_id": "u", "command": text}),
        ):
            answer = served.client.post(path, json=body, headers=served.auth())
            assert answer.status_code in (200, 400), answer.text
            assert served.key not in answer.text and "root:" not in answer.text
    after = rows(served)
    expected = {"items": 100, "users": 1, "preferences": 1}
    assert {name: after[name] - before[name] for name in after} == {name: expected.get(name, 0) for name in after}


def test_over_mcp_they_call_and_write_nothing(served: Served, books: Dataset) -> None:
    before, item = rows(served), str(books.item_ids.values[7])

    async def work(client: Client) -> list[Any]:
        found = []
        for text in INJECTIONS:
            line = text.replace("\n", " ")[:256]
            for tool, arguments in (
                ("recommend", {"user_id": line, "k": 1}),
                ("recommend", {"where": [text], "k": 1}),
                ("similar_items", {"item_id": line, "k": 1}),
                ("command", {"user_id": line, "command": text, "k": 1}),
                ("record_feedback", {"user_id": line, "item_id": item, "confirmation": text}),
                ("record_feedback", {"user_id": "1", "item_id": line, "kind": text}),
            ):
                found.append(await client.call_tool(tool, arguments))
        return found

    for answer in agent(served, work):
        said = json.dumps(answer.structured_content) + str(answer.content)
        assert served.key not in said and "Traceback" not in said and '"done": true' not in said
    assert rows(served) == before
