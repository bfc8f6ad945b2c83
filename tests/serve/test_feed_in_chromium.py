"""The feed page in a real browser, where there is one: ``apt-get install chromium``."""

from __future__ import annotations

import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import uvicorn

from honeyguide.serve.app import create_app
from honeyguide.serve.engine import Engine
from honeyguide.serve.store import Store

CHROMIUM = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None
)
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--virtual-time-budget=10000",
]

pytestmark = [pytest.mark.full, pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")]


@pytest.fixture
def address(models: Path, tmp_path: Path) -> Iterator[str]:
    """Of a service without keys, on this machine."""
    store = Store(f"sqlite:///{tmp_path / 'store.db'}")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    app = create_app(store, {"default": Engine("default", models / "ials", store)})
    server = uvicorn.Server(uvicorn.Config(app, port=port, log_level="error"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    deadline = time.monotonic() + 30
    while not server.started:
        assert time.monotonic() < deadline, "the service did not start"
        time.sleep(0.05)
    yield f"http://127.0.0.1:{port}/"
    server.should_exit = True
    thread.join()
    store.close()


def chromium(tmp_path: Path, *arguments: str) -> str:
    assert CHROMIUM is not None
    command = [CHROMIUM, *FLAGS, f"--user-data-dir={tmp_path / 'profile'}", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(("size", "dark"), [("1000,1200", False), ("390,844", False), ("1000,1200", True)])
def test_the_feed_shows_cards_in_the_light_in_the_dark_and_on_a_phone(
    address: str, tmp_path: Path, size: str, dark: bool
) -> None:
    picture = tmp_path / "feed.png"
    how = [f"--window-size={size}", *(["--blink-settings=preferredColorScheme=0"] if dark else [])]
    page = chromium(tmp_path, *how, f"--screenshot={picture}", "--dump-dom", address)
    page = page.split("<template")[0]
    assert page.count('class="card"') == 10 and "What many like" in page
    assert page.count('aria-expanded="false"') == 10, "every reason is closed, and says so"
    assert picture.stat().st_size > 10_000
