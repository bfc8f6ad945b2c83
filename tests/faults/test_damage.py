"""Bytes that were flipped or cut off: a typed error or the same answer, never another one, and never a crash."""

from __future__ import annotations

import logging
import random
import shutil
import sqlite3
import subprocess
import sys
from collections import Counter
from contextlib import closing
from pathlib import Path

import pytest
from tests.faults.kit import ROOT, environment, posix

from honeyguide.agent.preferences import Preferences
from honeyguide.core.errors import ArtifactError, HoneyguideError
from honeyguide.data.store import HistoryStore
from honeyguide.experiment.bundle import open_bundle, save_bundle
from honeyguide.models.popularity import Popularity
from honeyguide.serve.auth import Authority
from honeyguide.serve.engine import Engine
from honeyguide.serve.store import Event, Store

pytestmark = [posix, pytest.mark.full, pytest.mark.timeout(1200)]


def harm(path: Path, draw: random.Random) -> str:
    """Flip a bit, overwrite a block, cut the end off, or add to it; what was done."""
    content = bytearray(path.read_bytes())
    kind = draw.choice(("flip", "flip", "block", "cut", "grow", "empty"))
    place = draw.randrange(max(1, len(content)))
    if kind == "flip":
        content[place] ^= 1 << draw.randrange(8)
    elif kind == "block":
        length = min(len(content) - place, draw.choice((16, 512, 4096)))
        content[place : place + length] = draw.randbytes(length)
    elif kind == "cut":
        del content[place:]
    elif kind == "grow":
        content += draw.randbytes(draw.randint(1, 64))
    else:
        content.clear()
    path.write_bytes(content)
    return f"{kind} at {place} of {path.name}"


def files_of(folder: Path) -> list[Path]:
    return sorted(p for p in folder.rglob("*") if p.is_file() and p.name not in (".lock", "service.db"))


def answers(folder: Path) -> tuple[object, ...]:
    """What everybody is answered from a bundle."""
    bundle = open_bundle(folder)
    _, requests = bundle.users(0, len(bundle.store))
    return bundle.model.name, bundle.model.recommend(requests, 5).items.tolist(), bundle.titles


def restore(path: Path, pristine: Path, folder: Path) -> None:
    shutil.copy(pristine / path.relative_to(folder), path)


def test_damaged_artifacts_are_typed_errors_or_answer_the_same(fitted, model, counted):
    """Every file in turn, of the model and of the histories."""
    draw, same, errors = random.Random(11), 0, Counter()
    whole, files = answers(model), files_of(model)
    for n in range(1000):
        path = files[n % len(files)]
        what = harm(path, draw)
        try:
            found = answers(model)
        except ArtifactError as error:
            assert error.remedy
            errors[path.name] += 1
        else:
            assert found == whole, what
            same += 1
        restore(path, fitted, model)
    assert set(errors) == {path.name for path in files}
    counted(damages=n + 1, typed_errors=errors.total(), same_answers=same, other_answers=0)


def test_a_damaged_newest_version_is_put_aside_and_the_last_good_one_serves(fitted, books, tmp_path, counted, caplog):
    """As a service starts, and as one that runs is given a damaged version."""
    caplog.set_level(logging.CRITICAL)
    pristine, folder, draw = tmp_path / "pristine", tmp_path / "model", random.Random(12)
    shutil.copytree(fitted, pristine)
    save_bundle(pristine, Popularity().fit(books), books)
    newest = (pristine / "CURRENT").read_text().split()[0]
    put_aside = served = 0
    for n in range(200):
        shutil.copytree(pristine, folder)
        store = Store("sqlite:///:memory:")
        path = draw.choice([*files_of(folder / newest), folder / "CURRENT"])
        if n % 2:
            engine = Engine("default", folder, store)
            what = harm(path, draw)
            (folder / "CURRENT").touch()
            engine.refresh()
        else:
            what = harm(path, draw)
            engine = Engine("default", folder, store)
        user = str(books.user_ids.values[n % 100])
        answer = engine.recommend(user)
        assert len(answer.order.items) > 0 and not answer.live.fallback, what
        assert engine.live.bundle.model.name in ("itemknn", "popularity"), what
        served += 1
        put_aside += any(folder.glob("*.damaged"))
        store.close()
        shutil.rmtree(folder)
    assert put_aside > 50
    counted(damages=n + 1, put_aside=put_aside, lists_from_a_good_version=served, empty_lists=0)


def test_a_damaged_database_is_a_typed_error(model, books, tmp_path, counted):
    """Opened, read whole and written to: what was there, or an error with words; never a crash, never invented rows."""
    pristine = tmp_path / "pristine.db"
    store = Store(f"sqlite:///{pristine}")
    events = [Event(f"e{n}", f"user-{n % 30}", str(n % 50), "like", 1.0, n) for n in range(2000)]
    store.add_events("default", events).result()
    store.put_items("default", {f"i{n}": {"title": f"T{n}"} for n in range(200)}).result()
    for n in range(30):
        store.put_preferences("default", f"user-{n}", Preferences().to_dict()).result()
    store.close()
    by_id = {event.event_id: event for event in events}
    draw, path, errors, sound = random.Random(13), tmp_path / "store.db", 0, 0
    for _ in range(300):
        shutil.copy(pristine, path)
        what = harm(path, draw)
        for log in ("-wal", "-shm"):
            path.with_name(path.name + log).unlink(missing_ok=True)
        try:
            store = Store(f"sqlite:///{path}")
        except HoneyguideError as error:
            assert error.remedy, what
            errors += 1
            continue
        try:
            Authority(store, True).identify(None)
            engine = Engine("default", model, store)
            for n in range(30):
                engine.recommend(f"user-{n}")
                for event in store.events_of("default", f"user-{n}"):
                    assert event == by_id.get(event.event_id) or "block" in what or "flip" in what, what
            store.add_events("default", [Event("new", "user-1", "1", "like", 1.0, 1)]).result()
            sound += 1
        except HoneyguideError as error:
            assert error.remedy, what
            errors += 1
        finally:
            store.close()
    assert errors > 50
    counted(damages=errors + sound, typed_errors=errors, still_usable=sound, crashes=0)


@pytest.mark.parametrize("damage", ["head", "schema", "events", "cut"])
def test_a_service_over_a_damaged_database_says_so_in_words(model, tmp_path, damage):
    path = model / "service.db"
    store = Store(f"sqlite:///{path}")
    store.add_events("default", [Event(f"e{n}", f"u{n}", "1", "like", 1.0, n) for n in range(5000)]).result()
    store.close()
    with closing(sqlite3.connect(path)) as connection:
        (root,) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'events'").fetchone()
        (page,) = connection.execute("PRAGMA page_size").fetchone()
    content = bytearray(path.read_bytes())
    if damage == "cut":
        del content[len(content) // 2 :]
    else:
        place = {"head": 0, "schema": 100, "events": (root - 1) * page}[damage]
        content[place : place + 64] = b"\xff" * 64
    path.write_bytes(content)
    command = [sys.executable, "-m", "honeyguide", "serve", str(model), "--port", "0"]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=120, env=environment(), cwd=ROOT, check=False
    )
    assert done.returncode in (1, 2, 4), done.stderr
    assert "Traceback" not in done.stderr and "fault in honeyguide" not in done.stderr
    assert "service.db" in done.stderr or "database" in done.stderr


def test_histories_that_are_damaged_while_a_service_runs_are_not_written_over(model, books):
    """What cannot be read is not replaced by what is in memory."""
    store = HistoryStore.open(model / "store")
    (version,) = (model / "store").glob("v*")
    (version / "users.parquet").write_bytes(b"")
    (model / "store" / "CURRENT").write_text("nonsense")
    with pytest.raises(ArtifactError):
        store.delete(books.user_ids.values[0])
