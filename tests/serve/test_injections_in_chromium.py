"""Markup in titles, ids, fields and wishes, in a real browser: it is text, and does nothing."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import uvicorn
from tests.serve.chromium import CHROMIUM, WHY_NOT, Browser
from tests.serve.injections import MARKUP

from honeyguide.core.dataset import Dataset
from honeyguide.data.build import build
from honeyguide.experiment.bundle import save_bundle
from honeyguide.models.linear.itemknn import ItemKNN
from honeyguide.serve.app import create_app
from honeyguide.serve.engine import Engine
from honeyguide.serve.store import Event, Store

pytestmark = [pytest.mark.full, pytest.mark.skipif(CHROMIUM is None, reason=WHY_NOT)]

USER = MARKUP[5][:200]


@pytest.fixture
def address(books: Dataset, tmp_path: Path) -> Iterator[str]:
    """A service in which every text is an attack, and USER likes a book."""
    import polars as pl

    titles = [MARKUP[i % len(MARKUP)] for i in range(books.n_items)]
    items = books.items.with_columns(title=pl.Series(titles), authors=pl.Series(titles), cover=pl.Series(titles))
    frame = books.interactions.select(
        user_id=pl.Series(books.user_ids.decode(books.interactions["user"].to_numpy())),
        item_id=pl.Series(books.item_ids.decode(books.interactions["item"].to_numpy())),
        position="position",
    )
    data = build("evil", frame, items.select("item_id", "title", "authors", "cover"))
    save_bundle(tmp_path / "model", ItemKNN().fit(data), data)
    store = Store(f"sqlite:///{tmp_path / 'store.db'}")
    item = str(books.item_ids.values[7])
    store.add_events("default", [Event("1", USER, item, "like", 1.0, 1)]).result()
    app = create_app(store, {"default": Engine("default", tmp_path / "model", store)})
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(app, log_level="error"))
        thread = threading.Thread(target=server.run, args=([bound],), daemon=True)
        thread.start()
        deadline = time.monotonic() + 60
        while not server.started:
            assert time.monotonic() < deadline, "the service did not start"
            time.sleep(0.02)
        yield f"http://127.0.0.1:{bound.getsockname()[1]}/"
        server.should_exit = True
        thread.join()
    store.close()


def test_markup_is_text(address: str, tmp_path: Path) -> None:
    browser = Browser(tmp_path / "profile")
    try:
        with browser.page() as page:
            page.open(address)
            page.value(f"sessionStorage.setItem('user', {json.dumps(USER)})")
            said = {"user_id": USER, "command": f"more like {MARKUP[0]}, no {MARKUP[6]}"}
            headers = "{'Content-Type': 'application/json'}"
            page.value(
                f"fetch('/v1/command', {{method: 'POST', headers: {headers}, body: {json.dumps(json.dumps(said))}}})"
                ".then((answer) => answer.status)"
            )
            title = page.value("document.title")
            page.open(address)
            page.wait("document.querySelectorAll('#feed > .card[data-item]').length >= 5")
            page.value("document.querySelectorAll('#feed > .card .why').forEach((button) => button.click())")
            time.sleep(2)
            text = page.value("document.body.textContent")
            assert any(attack in text for attack in MARKUP), "it is shown, as it is written"
            assert page.value("document.title") == title
            for selector in (
                "#feed script",
                "#feed svg[onload]",
                "[onerror]",
                "[onload]",
                "[onclick]",
                "script:not([src])",
            ):
                assert page.value(f"document.querySelectorAll({json.dumps(selector)}).length") == 0, selector
            addresses = (
                "[...document.querySelectorAll('a[href], img[src]')].map((e) => e.getAttribute('href') ?? e.src)"
            )
            assert not [
                url for url in page.value(addresses) if url.strip().lower().startswith(("javascript:", "data:"))
            ]
            assert all(url.startswith(address) or url.startswith("https:") for url in page.requested())
    finally:
        browser.close()
