"""Pictures of the pages for the documentation: ``python benchmarks/_page_pictures.py`` writes ``docs/pictures/*.webp``.

Needs Chromium. A model is fitted on the bundled books and served to a browser that does what a person does.
"""

from __future__ import annotations

import base64
import sys
import tempfile
import threading
import time
from pathlib import Path

import uvicorn

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from tests.serve.chromium import CHROMIUM, WHY_NOT, Browser, Page  # noqa: E402

from honeyguide.data.load import load_data  # noqa: E402
from honeyguide.experiment.bundle import save_bundle  # noqa: E402
from honeyguide.models.linear.ease import EASE  # noqa: E402
from honeyguide.serve.app import create_app  # noqa: E402
from honeyguide.serve.engine import Engine  # noqa: E402
from honeyguide.serve.store import Store  # noqa: E402

USER = "13"
PICTURES = ROOT / "docs" / "pictures"
READY = "document.querySelectorAll('#feed > .card:not(.wait)').length && feed.getAttribute('aria-busy') !== 'true'"


def main() -> None:
    """Serve, look, write."""
    if CHROMIUM is None:
        raise SystemExit(WHY_NOT)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        data, root = load_data("goodbooks-mini"), Path(folder)
        save_bundle(root / "model", EASE().fit(data), data)
        store = Store(f"sqlite:///{root / 'store.db'}")
        app = create_app(store, {"default": Engine("default", root / "model", store)})
        server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error"))
        thread = threading.Thread(target=server.run, daemon=True)
        thread.start()
        while not server.started:
            time.sleep(0.05)
        address = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}/"
        browser = Browser(root / "profile")
        try:
            with browser.page(1120, 860, still=True) as page:
                _feed(page, address)
                _write(page, "feed.webp")
            with browser.page(390, 844, dark=True, still=True) as page:
                _feed(page, address)
                page.value("document.getElementById('list').scrollIntoView()")
                _write(page, "feed-phone.webp")
            with browser.page(1120, 1000, still=True) as page:
                _operator(page, address)
                _write(page, "operator.webp")
        finally:
            browser.close()
            server.should_exit = True
            thread.join()
            store.close()


def _feed(page: Page, address: str) -> None:
    page.open(address)
    page.wait(READY)
    page.value(f"document.getElementById('user').value = '{USER}'; document.querySelector('#who > button').click()")
    page.wait(f"document.getElementById('source').textContent === 'From what you did.' && {READY}")
    page.value(
        "document.getElementById('command').value = 'before 2005, no young-adult';"
        "document.querySelector('#say button').click()"
    )
    page.wait(f"document.getElementById('heard').textContent.startsWith('Understood') && {READY}")
    page.value("document.querySelector('.why').click()")
    page.wait(f"document.querySelector('.reason:not([hidden])') && {READY}")
    page.value("document.activeElement.blur()")


def _operator(page: Page, address: str) -> None:
    page.open(f"{address}operator")
    page.wait("!document.getElementById('figures').hidden")


def _write(page: Page, name: str) -> None:
    found = page.send("Page.captureScreenshot", format="webp", quality=70)
    (PICTURES / name).write_bytes(base64.b64decode(found["data"]))


if __name__ == "__main__":
    main()
