"""A headless Chromium, spoken to in its DevTools protocol over two pipes: no driver, no port, nothing to install.

``apt-get install chromium`` gives one. Keys are real key events, so what works here works by keyboard.
"""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

CHROMIUM = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None
)
WHY_NOT = "no Chromium is installed: apt-get install chromium"
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--remote-debugging-pipe",
)
# Chromium reads what it is asked from descriptor 3 and answers on 4.
_LAUNCH = (
    "import fcntl, os, sys; r, w = (fcntl.fcntl(int(a), fcntl.F_DUPFD, 20) for a in sys.argv[1:3]); "
    "os.dup2(r, 3); os.dup2(w, 4); os.execv(sys.argv[3], sys.argv[3:])"
)
_PATIENCE = 150.0  # seconds for what takes a moment on an idle machine
_KEYS = {"Tab": 9, "Enter": 13, "Escape": 27, "Space": 32, "ArrowDown": 40, "ArrowUp": 38}


class Browser:
    """One process with any number of pages, each of which shares nothing with the others."""

    def __init__(self, folder: Path) -> None:
        assert CHROMIUM is not None, WHY_NOT
        to_read, self._ask = os.pipe()
        self._hear, to_write = os.pipe()
        command = [sys.executable, "-c", _LAUNCH, str(to_read), str(to_write), CHROMIUM, *FLAGS]
        self._process = subprocess.Popen(
            [*command, f"--user-data-dir={folder}"],
            pass_fds=(to_read, to_write),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(to_read)
        os.close(to_write)
        self._buffer, self._number = b"", 0
        self.events: list[dict[str, Any]] = []

    def send(self, method: str, session: str | None = None, **parameters: Any) -> dict[str, Any]:
        """Ask, and wait for the answer; what happens meanwhile is kept in ``events``."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if session is not None:
            message["sessionId"] = session
        os.write(self._ask, json.dumps(message).encode() + b"\0")
        deadline = time.monotonic() + _PATIENCE
        while time.monotonic() < deadline:
            for found in self._messages(deadline - time.monotonic()):
                if found.get("id") == self._number:
                    assert "error" not in found, f"{method}: {found['error']}"
                    return found["result"]
                self.events.append(found)
        raise AssertionError(f"Chromium did not answer {method}")

    def _messages(self, seconds: float) -> Iterator[dict[str, Any]]:
        ready, _, _ = select.select([self._hear], [], [], max(0.0, seconds))
        if ready:
            received = os.read(self._hear, 1 << 20)
            assert received, "Chromium ended"
            self._buffer += received
        *whole, self._buffer = self._buffer.split(b"\0")
        yield from (json.loads(part) for part in whole)

    def close(self) -> None:
        """End the process."""
        self._process.terminate()
        self._process.wait(timeout=30)
        os.close(self._ask)
        os.close(self._hear)

    @contextmanager
    def page(self, width: int = 1100, height: int = 900, *, dark: bool = False, still: bool = False) -> Iterator[Page]:
        """A page of its own, without cookies and storage of any other."""
        context = self.send("Target.createBrowserContext")["browserContextId"]
        target = self.send("Target.createTarget", url="about:blank", browserContextId=context)["targetId"]
        session = self.send("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        page = Page(self, session)
        for domain in ("Page", "Runtime", "Network", "Log", "Accessibility"):
            page.send(f"{domain}.enable")
        page.size(width, height)
        features = [("prefers-color-scheme", "dark" if dark else "light")]
        features += [("prefers-reduced-motion", "reduce")] if still else []
        page.send("Emulation.setEmulatedMedia", features=[{"name": n, "value": v} for n, v in features])
        try:
            yield page
        finally:
            self.send("Target.disposeBrowserContext", browserContextId=context)


class Page:
    """What a person does with a page, and sees of it."""

    def __init__(self, browser: Browser, session: str) -> None:
        self.browser, self.session = browser, session

    def send(self, method: str, **parameters: Any) -> dict[str, Any]:
        return self.browser.send(method, self.session, **parameters)

    def size(self, width: int, height: int) -> None:
        self.send(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 500
        )

    def open(self, address: str) -> None:
        self.send("Page.navigate", url=address)
        self.wait("document.readyState === 'complete' && location.href !== 'about:blank'")

    def value(self, expression: str) -> Any:
        """The value of an expression in the page."""
        found = self.send("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def wait(self, expression: str, seconds: float = _PATIENCE) -> Any:
        """Wait until an expression is true."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            try:
                found = self.value(f"Boolean({expression})")
            except AssertionError as error:
                if "navigated" not in str(error):  # asked in the moment between two pages
                    raise
                found = None
            if found:
                return found
            time.sleep(0.05)
        text = self.value("document.body.innerText")
        raise AssertionError(f"never became true: {expression}\nThe page says:\n{text[:3000]}")

    def press(self, key: str, *, shift: bool = False) -> None:
        """One key, down and up, where the focus is."""
        named = {"key": " " if key == "Space" else key, "code": key, "windowsVirtualKeyCode": _KEYS.get(key, 0)}
        named |= {"modifiers": 8 if shift else 0}
        text = {"Enter": "\r", "Space": " "}.get(key, key if len(key) == 1 else "")
        down = {"type": "keyDown", "text": text} if text else {"type": "rawKeyDown"}
        self.send("Input.dispatchKeyEvent", **down, **named)
        self.send("Input.dispatchKeyEvent", type="keyUp", **named)

    def write(self, text: str) -> None:
        """Type a text where the focus is."""
        for sign in text:
            self.press(sign)

    def tab_to(self, selector: str, most: int = 120) -> None:
        """Move the focus by Tab alone until it is at an element."""
        for _ in range(most):
            self.press("Tab")
            if self.value(f"document.activeElement.matches({json.dumps(selector)})"):
                return
        raise AssertionError(f"Tab does not reach {selector}")

    def focus(self) -> str:
        """The name by which a screen reader tells what has the focus."""
        return self.value(
            "(e => e.getAttribute('aria-label') || e.innerText || e.labels?.[0]?.innerText || e.id)"
            "(document.activeElement)"
        )

    def picture(self, path: Path, *, whole: bool = False) -> Path:
        """A screenshot of what is seen, or of the whole page."""
        found = self.send("Page.captureScreenshot", captureBeyondViewport=whole, **({} if not whole else self._whole()))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(base64.b64decode(found["data"]))
        return path

    def _whole(self) -> dict[str, Any]:
        size = self.send("Page.getLayoutMetrics")["cssContentSize"]
        return {"clip": {"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1}}

    def requested(self) -> list[str]:
        """Addresses that the page asked for."""
        sent = [e for e in self._own() if e["method"] == "Network.requestWillBeSent"]
        return [e["params"]["request"]["url"] for e in sent]

    def complaints(self) -> list[str]:
        """What the browser holds against the page: errors of scripts, of the security policy, of files."""
        found = [e["params"]["entry"]["text"] for e in self._own() if e["method"] == "Log.entryAdded"]
        thrown = [e["params"]["exceptionDetails"] for e in self._own() if e["method"] == "Runtime.exceptionThrown"]
        return found + [str(details) for details in thrown]

    def _own(self) -> list[dict[str, Any]]:
        return [event for event in self.browser.events if event.get("sessionId") == self.session]

    def unnamed(self) -> list[str]:
        """Roles of controls and pictures without a name for a screen reader."""
        nodes = self.send("Accessibility.getFullAXTree")["nodes"]
        roles = {"button", "textbox", "searchbox", "link", "checkbox", "image", "img", "region", "combobox"}
        return [
            node["role"]["value"]
            for node in nodes
            if not node.get("ignored")
            and node.get("role", {}).get("value") in roles
            and not node.get("name", {}).get("value")
        ]

    def low_contrast(self) -> list[Any]:
        """Texts whose contrast with their ground is below 4.5:1 (WCAG 2.2, 1.4.3): text, ratio."""
        return self.value(_CONTRAST)


_CONTRAST = """
(() => {
  const parse = (text) => {
    const parts = text.match(/[\\d.]+/g).map(Number);
    if (text.startsWith('color(srgb')) return [...parts.slice(0, 3).map((p) => 255 * p), parts[3] ?? 1];
    return [...parts.slice(0, 3), parts[3] ?? 1];
  };
  const linear = (v) => (v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
  const light = (c) => c.slice(0, 3).map((v) => linear(v / 255))
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const ground = (node) => {
    for (let at = node; at; at = at.parentElement) {
      const colour = parse(getComputedStyle(at).backgroundColor);
      if (colour[3] > 0.99) return colour;
    }
    return [255, 255, 255, 1];
  };
  const low = [];
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node = walk.nextNode(); node; node = walk.nextNode()) {
    const at = node.parentElement, style = getComputedStyle(at);
    const silent = at.closest('.skip, .visually-hidden, noscript, option, [disabled]');
    if (silent || !node.textContent.trim() || !at.checkVisibility()) continue;
    const [a, b] = [light(parse(style.color)), light(ground(at))].sort((x, y) => y - x);
    const ratio = (a + 0.05) / (b + 0.05);
    if (ratio < 4.5) low.push([node.textContent.trim().slice(0, 40), Number(ratio.toFixed(2)), style.color]);
  }
  return low;
})()
"""
