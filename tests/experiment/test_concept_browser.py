from __future__ import annotations

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from typer.testing import CliRunner

from honeyguide.cli.main import app
from honeyguide.core.dataset import Dataset
from honeyguide.experiment.bundle import open_bundle, save_bundle
from honeyguide.experiment.concept_browser import concept_document, concept_page, in_code_order, judged_texts
from honeyguide.models.linear.ials import IALS
from honeyguide.plugins.recsae import RecSAE

EVIL = "<script>alert(1)</script>"


@pytest.fixture(scope="module")
def folder(books: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model and its store, with an item whose title is an attack."""
    data = replace(books, items=books.items.with_columns(pl.lit(EVIL).alias("title")))
    model = IALS(factors=8, iterations=4).plug(RecSAE(expansion=4, k=2, epochs=20, lr=0.01, batch=64)).fit(data)
    save_bundle(tmp_path_factory.mktemp("bundle"), model, data)
    return Path(tmp_path_factory.getbasetemp() / "bundle0")


@pytest.fixture(scope="module")
def document(folder: Path) -> dict[str, Any]:
    bundle = open_bundle(folder)
    ids, requests = bundle.users(0, len(bundle.store))
    return concept_document(
        bundle.model, requests.histories, bundle.store.items, ids.to_list(), encoder="use", inputs=250, ablated=5
    )


def test_the_document_tells_of_every_concept_the_surest_first(document: dict[str, Any]) -> None:
    concepts = document["concepts"]
    assert document["latents"] == 32 and 0 < len(concepts) <= 32
    sure = [c["confidence"] if c["confidence"] is not None else -1 for c in concepts]
    assert sure == sorted(sure, reverse=True)
    assert sum(document["inputs"].values()) == 250
    told = [c for c in concepts if c["ablation"]]
    assert 0 < len(told) <= 5 and all(0 <= c["ablation"]["before"] <= 1 for c in told)
    assert all(len(c["most_active"]) <= 5 and c["users"] >= len(c["most_active"]) for c in concepts)
    assert json.loads(json.dumps(document)) == document


class Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


def test_the_page_is_escaped_and_asks_no_network_for_anything(document: dict[str, Any]) -> None:
    text = concept_page(document)
    page = Page()
    page.feed(text)
    tags = [tag for tag, _ in page.tags]
    assert tags.count("script") == 1 and EVIL not in text and "&lt;script&gt;" in text
    assert not re.search(r"https?://|@import|url\(", text)
    assert not any({"src", "href"} & attributes.keys() for _, attributes in page.tags)
    assert tags.count("details") == tags.count("summary") == len(document["concepts"])
    search = next(attributes for tag, attributes in page.tags if attributes.get("type") == "search")
    assert search["id"] == "words" and "aria-live" in text and '<html lang="en">' in text


def test_items_come_in_the_order_of_the_codes(books: Dataset) -> None:
    shuffled = books.items.sample(fraction=1.0, shuffle=True, seed=1).with_columns(year=pl.lit(1987))
    table, titles = in_code_order(books.item_ids, shuffled)
    assert table["item_id"].to_list() == books.item_ids.values.to_list()
    assert titles == books.items["title"].to_list()
    assert judged_texts(table)[0].startswith(titles[0]) and judged_texts(table)[0].endswith("1980s")


def test_the_command_writes_the_page_and_saves_edits(folder: Path, tmp_path: Path) -> None:
    runner, out = CliRunner(), tmp_path / "concepts.html"
    told = runner.invoke(app, ["concepts", str(folder), "--out", str(out), "--encoder", "use", "--json"])
    assert told.exit_code == 0, (told.output, told.exception)
    found = json.loads(told.stdout)
    assert out.read_text(encoding="utf-8").startswith("<!doctype html>")
    concept = max(found["concepts"], key=lambda c: c["users"])
    user, latent = concept["most_active"][0], concept["latent"]

    def listed() -> Any:
        done = runner.invoke(app, ["recommend", str(folder), "--user", user, "--json"])
        return json.loads(done.stdout)[0]["items"]

    before = listed()
    assert runner.invoke(app, ["concepts", str(folder), "--edit", f"{latent}=0"]).exit_code == 0
    edited = listed()
    assert [e["score"] for e in edited] != [e["score"] for e in before]
    assert runner.invoke(app, ["concepts", str(folder), "--undo"]).exit_code == 0
    assert listed() == before
    wrong = runner.invoke(app, ["concepts", str(folder), "--edit", "twelve"])
    assert wrong.exit_code == 2 and "LATENT=FACTOR" in wrong.output
