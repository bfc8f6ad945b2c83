"""The pages in a real browser: by keyboard, in the dark, on a phone.

Pictures are kept where HONEYGUIDE_SCREENSHOTS says; without that variable they lie in pytest's own folder
(``pytest --basetemp=FOLDER`` keeps it).
"""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import uvicorn
from tests.serve.chromium import CHROMIUM, WHY_NOT, Browser, Page

from honeyguide.core.dataset import Dataset
from honeyguide.data.build import build
from honeyguide.data.load import load_data
from honeyguide.experiment.bundle import save_bundle
from honeyguide.models.linear.ease import EASE
from honeyguide.serve.app import create_app
from honeyguide.serve.auth import new_key
from honeyguide.serve.engine import Engine
from honeyguide.serve.service import Settings
from honeyguide.serve.store import Store

pytestmark = [pytest.mark.full, pytest.mark.skipif(CHROMIUM is None, reason=WHY_NOT)]

READY = "document.querySelectorAll('#feed > .card:not(.wait)').length > 0 && feed.getAttribute('aria-busy') !== 'true'"
CARDS = "[...document.querySelectorAll('#feed > .card[data-item]')]"
SHOWN = f"{CARDS}.map((card) => card.dataset.item)"
YEARS = f"{CARDS}.map((card) => Number(card.querySelector('.facts').textContent.match(/\\d+/)[0]))"
EVIL = "<img src=x onerror=\"document.title='owned'\"> & <b>bold</b>"


@dataclass
class Site:
    """A service, its address, and its store."""

    address: str
    store: Store
    engine: Engine

    def key(self, *scopes: str) -> str:
        return new_key(self.store, "default", "-".join(scopes), scopes)


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fitted model over 300 readers and 400 books with all that the catalogue says; one title is an attack."""
    folder = tmp_path_factory.mktemp("shop") / "model"
    data = shelf()
    save_bundle(folder, EASE().fit(data), data)
    return folder


def shelf() -> Dataset:
    whole = load_data("goodbooks-mini")
    favourite = np.argsort(-whole.popularity(), kind="stable")[:400].tolist()
    events = whole.interactions.filter(pl.col("user") < 300, pl.col("item").is_in(favourite))
    frame = events.select(
        user_id=pl.Series(whole.user_ids.decode(events["user"].to_numpy())),
        item_id=pl.Series(whole.item_ids.decode(events["item"].to_numpy())),
        position=pl.int_range(pl.len()).over("user"),
    )
    items = whole.items.filter(pl.col("item_id").is_in(frame["item_id"].implode()))
    best = items["item_id"][0]
    cover = pl.when(pl.col("item_id") == best).then(pl.lit("https://127.0.0.1:9/none.jpg"))
    title = pl.when(pl.col("item_id") == items["item_id"][1]).then(pl.lit(EVIL)).otherwise("title")
    return build("shelf", frame, items.with_columns(title=title, image_url=cover))


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    found = Browser(tmp_path_factory.mktemp("profile"))
    yield found
    found.close()


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where screenshots are kept."""
    named = os.environ.get("HONEYGUIDE_SCREENSHOTS")
    return Path(named).absolute() if named else tmp_path_factory.mktemp("pictures")


@contextmanager
def serving(model: Path, folder: Path, settings: Settings | None = None) -> Iterator[Site]:
    store = Store(f"sqlite:///{folder / 'store.db'}")
    engine = Engine("default", model, store)
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(create_app(store, {"default": engine}, settings), log_level="error"))
        thread = threading.Thread(target=server.run, args=([bound],), daemon=True)
        thread.start()
        deadline = time.monotonic() + 60
        while not server.started:
            assert time.monotonic() < deadline, "the service did not start"
            time.sleep(0.02)
        try:
            yield Site(f"http://127.0.0.1:{bound.getsockname()[1]}/", store, engine)
        finally:
            server.should_exit = True
            thread.join()
            store.close()


@pytest.fixture
def site(shop: Path, tmp_path: Path) -> Iterator[Site]:
    with serving(shop, tmp_path) as found:
        yield found


def come(page: Page, site: Site, user: str = "") -> None:
    """Open the feed, as somebody."""
    page.open(site.address)
    page.wait(f"{READY} && document.querySelectorAll('#examples button').length > 2")
    if user:
        page.tab_to("#user")
        page.write(user)
        page.press("Enter")
        page.wait(f"document.getElementById('source').textContent === 'From what you did.' && {READY}")


def text(page: Page, name: str) -> str:
    return page.value(f"document.getElementById('{name}').textContent")


def test_the_whole_feed_by_keyboard_alone(browser: Browser, site: Site, pictures: Path) -> None:
    user = str(site.engine.live.bundle.store.user_ids[4])
    with browser.page() as page:
        page.open(site.address)
        page.wait(READY)
        page.press("Tab")
        assert page.focus() == "Skip to the list"
        page.press("Enter")
        page.wait("document.activeElement.id === 'list'")
        page.value("document.activeElement.blur()")
        come(page, site, user)

        # a command, obeyed and echoed
        page.value("document.activeElement.blur()")
        page.press("/")
        page.write("before 1990, no young-adult")
        page.press("Enter")
        page.wait("document.getElementById('heard').textContent.startsWith('Understood')")
        assert "year before 1990; no tags: young-adult" in text(page, "heard")
        years = page.value(YEARS)
        assert len(years) == 10 and max(years) < 1990, "the list obeys"
        assert page.value(f"!{CARDS}.some((card) => card.textContent.includes('young-adult'))")
        page.picture(pictures / "feed-command.png")

        # a wish is seen, taken back, and put back by undo
        page.tab_to("#wants button")
        assert page.focus() == "Take back: year before 1990"
        page.press("Enter")
        page.wait(
            "document.querySelectorAll('#wants button').length === 1 && document.activeElement.id === 'list-title'"
        )
        assert max(page.value(YEARS)) >= 1990, "and the list follows"
        page.press("u")
        page.wait("document.querySelectorAll('#wants button').length === 2")
        page.wait(f"Math.max(...{YEARS}) < 1990")

        # why this, and no more for that reason
        page.press("j")
        page.wait("document.activeElement.matches('.card')")
        page.press("w")
        page.wait("document.querySelector('.reason:not([hidden])')")
        reason = page.value("document.querySelector('.reason').innerText")
        assert "Because you read" in reason and "Checked on the model: without that it would stand" in reason
        assert "You asked for it: year before 1990; no tags: young-adult" in reason
        assert "people who read" in reason and "What would change it" in reason
        assert page.value("document.querySelector('.why').getAttribute('aria-expanded')") == "true"
        page.picture(pictures / "feed-why.png")
        page.tab_to(".pieces button")
        put_aside = page.focus().removeprefix("Not interested in this reason: ")
        before = site.engine.person(user).liked.tolist()
        page.press("Enter")
        page.wait("document.getElementById('done').textContent.includes('counts no longer')")
        code = site.engine.live.stock.titles.index(put_aside)
        assert code in before and code not in site.engine.person(user).liked.tolist()
        page.press("u")
        page.wait("document.getElementById('done').textContent.includes('counts again')")
        assert site.engine.person(user).liked.tolist() == before

        # like and hide, each undone
        page.press("j")
        first = page.value("document.activeElement.dataset.item")
        page.press("l")
        page.wait("document.querySelector('.like[aria-pressed=true]') && document.querySelector('#marks li')")
        assert first in [e.item_id for e in site.store.events_of("default", user) if e.kind == "like"]
        page.press("u")
        page.wait("!document.querySelector('.like[aria-pressed=true]') && !document.querySelector('#marks li')")
        assert site.store.events_of("default", user) == []
        page.value(f"{CARDS}[0].focus()")
        page.press("h")
        page.wait("document.querySelector('.gone') && document.activeElement.textContent === 'Undo'")
        assert first not in page.value(SHOWN)
        page.press("Enter")
        page.wait("!document.querySelector('.gone') && document.activeElement.matches('.card')")
        assert page.value(SHOWN)[0] == first and site.store.events_of("default", user) == []

        # the next page repeats nothing, and the focus goes on where it begins
        page.press("n")
        page.wait(f"{CARDS}.length === 20")
        shown = page.value(SHOWN)
        assert len(set(shown)) == 20 and page.value("document.activeElement.dataset.item") == shown[10]

        # search, and back
        page.press("s")
        page.write("a whale and the sea")
        page.press("Enter")
        page.wait("document.getElementById('list-title').textContent.includes('whale')")
        page.tab_to("#back")
        page.press("Enter")
        page.wait("document.getElementById('list-title').textContent === 'Your list'")
        page.press("?")
        page.wait("document.getElementById('help').open")
        assert page.focus() == "Keyboard"
        assert complaints(page) == []
        assert {url for url in page.requested() if not url.startswith(site.address)} <= {COVER}


def complaints(page: Page) -> list[str]:
    """What the browser holds against the page, but that a cover lies nowhere."""
    return [said for said in page.complaints() if "net::ERR" not in said]


COVER = "https://127.0.0.1:9/none.jpg"


def test_single_keys_can_be_switched_off(browser: Browser, site: Site) -> None:
    with browser.page() as page:
        come(page, site)
        page.press("?")
        page.tab_to("#keys-on")
        page.press("Space")
        page.tab_to(".brand")
        page.press("/")
        assert page.value("document.activeElement.id") != "command"


def test_what_is_not_understood_is_said(browser: Browser, site: Site) -> None:
    with browser.page() as page:
        come(page, site, str(site.engine.live.bundle.store.user_ids[4]))
        before = page.value(SHOWN)
        say(page, "the of and")
        page.wait("document.getElementById('heard').textContent.startsWith('That was not understood')")
        assert page.value(SHOWN) == before
        say(page, "before 1950, grumbledook")
        page.wait("document.getElementById('heard').textContent.startsWith('Understood')")
        assert "Not a word of this catalogue: “grumbledook”" in text(page, "heard")
        say(page, "after 2100")
        page.wait("document.querySelector('#feed .notice')")
        assert "Nothing is left that fits all you asked for" in text(page, "feed")


def say(page: Page, command: str) -> None:
    page.value("document.getElementById('command').value = ''; document.getElementById('command').focus()")
    page.write(command)
    page.press("Enter")


def test_every_example_is_a_command_that_is_understood(browser: Browser, site: Site) -> None:
    with browser.page() as page:
        come(page, site)
        examples = page.value("[...document.querySelectorAll('#examples button')].map((b) => b.textContent)")
        assert len(examples) >= 5
        page.tab_to("#examples button")
        page.press("Enter")
        page.press("Enter")  # the example stands in the box, where the focus is
        page.wait("document.getElementById('heard').textContent.startsWith('Understood')")
        page.wait("document.querySelectorAll('#wants button').length === 1")


def test_an_anonymous_visit_is_of_this_tab_alone(browser: Browser, site: Site) -> None:
    with browser.page() as page:
        come(page, site)
        assert text(page, "source") == "What many like: nothing is known of you yet."
        first, second = page.value(SHOWN)[:2]
        page.press("j")
        page.press("l")
        page.wait("document.querySelector('.like[aria-pressed=true]')")
        page.press("j")
        page.press("h")
        page.wait("document.querySelector('.gone')")
        assert "undo" in page.focus().lower()
        page.open(site.address)
        page.wait(READY)
        assert text(page, "source") == "From this visit."
        assert not {first, second} & set(page.value(SHOWN)), "neither what is liked nor what is hidden comes again"
        page.value("document.querySelector('.why').click()")
        page.wait("document.querySelector('.reason:not([hidden])')")
        assert "Because you read" in page.value("document.querySelector('.reason').innerText")
        with site.store.engine.connect() as connection:
            assert connection.exec_driver_sql("SELECT count(*) FROM events").scalar() == 0
        say(page, "before 1990")
        page.wait("document.querySelectorAll('#wants button').length === 1")
        page.wait(f"{READY} && {CARDS}.length === 10 && Math.max(...{YEARS}) < 1990")
        assert text(page, "source") == "From this visit.", "a command does not forget the visit"
    with browser.page() as page:
        come(page, site)
        assert text(page, "source").startswith("What many like"), "another tab is another visit"


def test_what_the_catalogue_says_is_text(browser: Browser, site: Site) -> None:
    with browser.page() as page:
        come(page, site)
        titles = page.value(f"{CARDS}.map((card) => card.querySelector('h3').lastChild.textContent)")
        assert EVIL in titles
        page.wait("!document.querySelector('.cover img')")  # a cover that does not load gives way to one of type
        assert page.value("document.querySelectorAll('.made').length") == 10
        assert page.value("document.title") == "For you · honeyguide"
        assert complaints(page) == []


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_both_pages_can_be_read_in_the_light_and_in_the_dark(
    browser: Browser, site: Site, pictures: Path, dark: bool
) -> None:
    user = str(site.engine.live.bundle.store.user_ids[4])
    with browser.page(dark=dark, still=True) as page:
        come(page, site, user)
        say(page, "before 2010")
        page.wait("document.getElementById('heard').textContent.startsWith('Understood')")
        page.value("document.querySelector('.why').click()")
        page.wait("document.querySelector('.reason:not([hidden])')")
        page.value("document.querySelectorAll('.hide')[1].click(); document.querySelectorAll('.like')[0].click()")
        page.wait("document.querySelector('.gone') && document.querySelectorAll('#marks li').length === 2")
        page.value("document.getElementById('help').open = true")
        light = page.value("getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)[0]")
        assert (light < 60) == dark
        assert page.low_contrast() == []
        assert page.unnamed() == []
        page.picture(pictures / f"feed-{'dark' if dark else 'light'}.png")
        page.open(f"{site.address}operator")
        page.wait("!document.getElementById('figures').hidden")
        assert page.low_contrast() == []
        assert page.unnamed() == []
        page.picture(pictures / f"operator-{'dark' if dark else 'light'}.png", whole=True)


@pytest.mark.parametrize("width", [320, 360, 400])
def test_a_phone_needs_no_scrolling_to_the_side(browser: Browser, site: Site, pictures: Path, width: int) -> None:
    with browser.page(width, 780, dark=width == 360) as page:
        come(page, site, str(site.engine.live.bundle.store.user_ids[4]))
        say(page, "before 2010, no young-adult, grumbledookandverylongwordsindeed")
        page.wait("document.getElementById('heard').textContent.startsWith('Understood')")
        page.value("document.querySelector('.why').click()")
        page.wait("document.querySelector('.reason:not([hidden])')")
        assert page.value("document.documentElement.scrollWidth") <= width
        small = page.value(
            "[...document.querySelectorAll('button, input, summary')].filter((b) => b.checkVisibility())"
            ".map((b) => [b.id || b.textContent, b.getBoundingClientRect()])"
            ".filter(([, box]) => box.width && (box.height < 24 || box.width < 24)).map(([name]) => name)"
        )
        assert [name for name in small if name != "keys-on"] == [], "fingers need 24 pixels (WCAG 2.5.8)"
        page.picture(pictures / f"feed-{width}.png")
        page.open(f"{site.address}operator")
        page.wait("!document.getElementById('figures').hidden")
        assert page.value("document.documentElement.scrollWidth") <= width
        page.picture(pictures / f"operator-{width}.png")


def test_nothing_moves_for_those_who_want_it_still(browser: Browser, site: Site) -> None:
    moving = "document.body.append(Object.assign(document.createElement('li'), {className: 'card wait', id: 'w'}))"
    name = "getComputedStyle(document.getElementById('w')).animationName"
    for still, expected in ((False, "wait"), (True, "none")):
        with browser.page(still=still) as page:
            come(page, site)
            page.value(moving)
            assert page.value(name) == expected


def test_a_key_is_asked_for_and_errors_are_said(browser: Browser, site: Site, pictures: Path) -> None:
    secret = site.key("read", "write")
    time.sleep(2.1)  # keys are read again after two seconds
    with browser.page() as page:
        page.open(site.address)
        page.wait("document.querySelector('#feed .notice.bad')")
        assert "asks for a key" in text(page, "feed") and page.value("document.activeElement.id") == "key"
        page.picture(pictures / "feed-refused.png")
        page.write(secret)
        page.press("Enter")
        page.wait(READY)
        assert page.value(SHOWN)
        assert page.value("Object.values(localStorage).join() + document.cookie") == "", "a key stays in the tab"


def test_the_operator_sees_with_a_key_and_nobody_without(browser: Browser, site: Site, pictures: Path) -> None:
    reader, admin = site.key("read"), site.key("read", "admin")
    time.sleep(2.1)
    with browser.page() as page:
        page.open(f"{site.address}operator")
        page.wait("document.getElementById('message').textContent.includes('Enter a key')")
        assert page.value("document.getElementById('figures').hidden")
        enter(page, reader)
        page.wait("document.getElementById('message').textContent.startsWith('Refused')")
        assert "has not the scope 'admin'" in text(page, "message")
        assert page.value("[...document.querySelectorAll('#figures section > div')].every((part) => !part.textContent)")
        enter(page, admin)
        page.wait("!document.getElementById('figures').hidden")
        assert "ease" in text(page, "model") and "v000001" in text(page, "model")
        assert "read-admin" in text(page, "keys") and admin not in page.value("document.body.innerHTML")
        assert "400" in text(page, "catalogue") and "average_rating" in text(page, "catalogue")
        page.tab_to("#trace [name=user]")
        page.write(str(site.engine.live.bundle.store.user_ids[4]))
        page.tab_to("#trace [name=where]")
        page.write("year < 1950")
        page.press("Enter")
        page.wait("document.querySelectorAll('#traced table').length === 2")
        assert "rank by model" in text(page, "traced") and "year < 1950" in text(page, "traced")
        page.tab_to("#trace [name=where]")
        page.write(" and (")
        page.press("Enter")
        page.wait("document.querySelector('#traced .notice.bad')")
        page.tab_to("#trace [name=where]")
        page.press("Enter")
        page.wait("document.querySelector('#traffic').textContent.includes('/v1/recommend')", 30)
        page.picture(pictures / "operator.png", whole=True)
        page.value("document.getElementById('leave').click()")
        page.wait("document.getElementById('figures')?.hidden")
        assert page.value("sessionStorage.length") == 0


def test_the_operator_sees_what_experiments_show(browser: Browser, shop: Path, tmp_path: Path) -> None:
    plan = tmp_path / "experiments.toml"
    plan.write_text('[[experiment]]\nname = "home"\nvariant = [{name = "now"}, {name = "then"}]\n')
    with serving(shop, tmp_path, Settings(experiments=plan)) as site, browser.page() as page:
        for user in site.engine.live.bundle.store.user_ids[:3]:
            come(page, site, str(user))
        page.open(f"{site.address}operator")
        page.wait("document.querySelectorAll('#experiments tbody tr').length === 2")
        told = text(page, "experiments")
        assert "home" in told and "now" in told and "then" in told and "clicks per list" in told
        assert complaints(page) == [], "with the route there, nothing is refused"


def enter(page: Page, key: str) -> None:
    page.value("document.getElementById('key').focus()")
    page.write(key)
    page.press("Enter")


def test_an_answer_that_comes_late_takes_no_place(browser: Browser, site: Site) -> None:
    """Of two people asked for one after the other, the second is shown, whoever's list comes last."""
    first, second = (str(user) for user in site.engine.live.bundle.store.user_ids[4:6])
    late = (
        "const real = fetch; window.fetch = (path, how) => real(path, how).then((answer) => new Promise((done) =>"
        f"setTimeout(() => done(answer), String(how?.body).includes('\"{first}\"') ? 1500 : 0)))"
    )
    with browser.page() as page:
        come(page, site, second)
        expected = page.value(SHOWN)
        page.value(late)
        for user in (first, second):
            page.value(
                f"document.getElementById('user').value = '{user}'; document.querySelector('#who').requestSubmit()"
            )
        page.value("new Promise((done) => setTimeout(done, 2500))")
        page.wait(READY)
        assert page.value(SHOWN) == expected


def test_a_service_that_is_gone_is_said_and_tried_again(
    browser: Browser, shop: Path, tmp_path: Path, pictures: Path
) -> None:
    with serving(shop, tmp_path) as site, browser.page() as page:
        come(page, site)
        page.send("Network.emulateNetworkConditions", offline=True, latency=0, downloadThroughput=0, uploadThroughput=0)
        page.press("n")
        page.wait("document.getElementById('done').textContent.includes('does not answer')")
        assert page.value(f"{CARDS}.length") == 10, "what is there stays"
        page.value(
            "document.getElementById('user').value = 'x'; document.querySelector('#who button:last-of-type').click()"
        )
        page.wait("document.querySelector('#feed .notice.bad')")
        page.picture(pictures / "feed-offline.png")
        page.send(
            "Network.emulateNetworkConditions", offline=False, latency=0, downloadThroughput=-1, uploadThroughput=-1
        )
        page.tab_to("#feed .notice button")
        page.press("Enter")
        page.wait(READY)
