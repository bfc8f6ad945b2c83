"""Every call that changes a file while a command writes: the process is killed at it, or the disk refuses it.

Afterwards the old version is there, or the new one whole, and the same command finishes the work.
"""

from __future__ import annotations

import errno
import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import pytest
from tests.faults.kit import KILL, ROOT, Control, environment, posix, size

from honeyguide.core.dataset import Dataset
from honeyguide.data.export import export
from honeyguide.data.store import HistoryStore
from honeyguide.experiment.bundle import open_bundle
from honeyguide.serve.backup import check
from honeyguide.serve.engine import Engine
from honeyguide.serve.store import Event, Store

pytestmark = [posix, pytest.mark.full, pytest.mark.timeout(2400)]

TYPED = (1, 2, 3, 4)  # exit codes of errors that say what happened
FAULTS = {
    "killed": (KILL, False),
    "EIO": (errno.EIO, False),
    "ENOSPC from then on": (errno.ENOSPC, True),
}
State = tuple[str, ...]


class Zygote:
    """See zygote.py."""

    def __init__(self, control: Control, log: Path) -> None:
        command = [sys.executable, "-m", "tests.faults.zygote"]
        self.log = log
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment(control), cwd=ROOT
        )
        assert self._read() == "ready"

    def run(self, arguments: list[str]) -> int:
        """Exit status of a command; negative for a signal."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"arguments": arguments, "log": str(self.log)}) + "\n")
        self._process.stdin.flush()
        return int(self._read())

    def said(self) -> str:
        return self.log.read_text()

    def close(self) -> None:
        self._process.communicate()

    def _read(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()


@dataclass(frozen=True)
class Command:
    """A command that writes, in a folder of its own.

    Parameters
    ----------
    prepare
        Fill the folder.
    arguments
        Of honeyguide.
    state
        What is in the folder, by parts; every part is old or new, none is in between.
    """

    prepare: Callable[[Path], None]
    arguments: Callable[[Path], list[str]]
    state: Callable[[Path], State]


def digest(*parts: object) -> str:
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:12]


def of_model(folder: Path) -> str:
    """What the model answers; and that a service can be started over it."""
    bundle = open_bundle(folder)
    histories = [[bundle.item_ids.values[n], bundle.item_ids.values[n + 7]] for n in range(20)]
    lists = [bundle.model.recommend(bundle.of_items(history), 10).items.tolist() for history in histories]
    store = Store("sqlite:///:memory:")
    engine = Engine("default", folder, store)
    for user in (None, str(bundle.store.user_ids[0])):
        assert len(engine.recommend(user).order.items) > 0
    store.close()
    return digest(lists, bundle.item_ids.values.to_list())


def of_histories(folder: Path) -> str:
    """Who did what; whether the model has learnt it yet is not part of it."""
    store = HistoryStore.open(folder / "store")
    return digest(store.user_ids.to_list(), store._events.frame().drop("state").rows(), store.items.rows())


def of_bundle(folder: Path) -> State:
    return of_model(folder / "model"), of_histories(folder / "model")


@pytest.fixture(scope="module")
def more(books: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The books with other events: what the next fit reads."""
    folder = tmp_path_factory.mktemp("more") / "data"
    export(books, folder, "csv")
    table = pl.read_csv(folder / "interactions.csv")
    table.filter(pl.col("user_id") != table["user_id"][0]).write_csv(folder / "interactions.csv")
    return folder


@pytest.fixture
def commands(fitted: Path, more: Path, books: Dataset, tmp_path: Path) -> dict[str, Command]:
    item, user = str(books.item_ids.values[5]), str(books.user_ids.values[3])
    (tmp_path / "new.csv").write_text(f"user_id,item_id,position\n9999999,{item},1\n{user},{item},900\n")

    def bundle(folder: Path) -> None:
        shutil.copytree(fitted, folder / "model")

    return {
        "update": Command(bundle, lambda f: ["update", str(f / "model"), str(tmp_path / "new.csv")], of_bundle),
        "fit": Command(
            bundle, lambda f: ["fit", str(more), "--model", "itemknn", "--out", str(f / "model")], of_bundle
        ),
        "forget": Command(bundle, lambda f: ["forget", str(f / "model"), "--user", user], of_bundle),
        "backup": Command(crashed, lambda f: ["backup", str(f), "--out", str(f / "copy.db")], of_backup),
        "restore": Command(
            with_copy, lambda f: ["restore", str(f), str(f / "copy.db"), "--force"], lambda f: (of_store(f),)
        ),
    }


def kept(n: int, folder: Path) -> Store:
    """A store with ``n`` events."""
    store = Store(f"sqlite:///{folder / 'service.db'}")
    for i in range(n):
        store.add_events("default", [Event(f"{n}-{i}", "ann", "x", "like", 1.0, i)]).result()
    return store


def crashed(folder: Path) -> None:
    """A store as it is after a crash: the last events are in the log beside it."""
    elsewhere = folder / "elsewhere"
    elsewhere.mkdir()
    store = kept(12, elsewhere)
    for name in ("service.db", "service.db-wal"):
        shutil.copy(elsewhere / name, folder / name)
    store.close()
    shutil.rmtree(elsewhere)


def with_copy(folder: Path) -> None:
    """The same, and the copy of another one."""
    elsewhere = folder / "other"
    elsewhere.mkdir()
    kept(30, elsewhere).close()
    shutil.copy(elsewhere / "service.db", folder / "copy.db")
    shutil.rmtree(elsewhere)
    crashed(folder)


def of_store(folder: Path) -> str:
    """Number of events, as a service that starts reads them."""
    store = Store(f"sqlite:///{folder / 'service.db'}")
    n = len(store.events_of("default", "ann"))
    store.close()
    assert check(folder / "service.db") == n
    return str(n)


def of_backup(folder: Path) -> State:
    copy = folder / "copy.db"
    return of_store(folder), str(check(copy)) if copy.exists() else "none"


@pytest.fixture
def zygote(control: Control, tmp_path: Path) -> Iterator[Zygote]:
    found = Zygote(control, tmp_path / "said")
    yield found
    found.close()


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("name", ["update", "fit", "forget", "backup", "restore"])
def test_a_command_that_fails_at_any_step(name, fault, commands, zygote, control, tmp_path, counted):
    command, (error, sticky) = commands[name], FAULTS[fault]
    old, new = ends(command, zygote, tmp_path)
    step = tried = refused = 0
    while True:
        folder = prepared(command, tmp_path / "at" / str(step))
        control.arm(folder, step, error, sticky=sticky)
        code = zygote.run(command.arguments(folder))
        control.disarm()
        if control.count <= step:
            break
        where = f"step {step} ({control.hit.removeprefix(str(folder))}): exit {code}: {zygote.said()}"
        assert code == -9 if error == KILL else code in (0, *TYPED), where
        assert "fault in honeyguide" not in zygote.said() and "Traceback" not in zygote.said(), where
        refused += code in TYPED
        found = command.state(folder)
        assert all(part in both for part, both in zip(found, zip(old, new, strict=True), strict=True)), where
        assert code != 0 or found == new, f"it said that all is well: {where}"
        again = zygote.run(command.arguments(folder))
        if name == "backup" and found == new:
            assert again == 2, "a second copy into the same file is refused"
        elif name == "forget" and found == new:
            assert again == 3, "whoever is forgotten is not known"
        else:
            assert again == 0, f"{where}; again: {zygote.said()}"
        assert name != "update" or HistoryStore.open(folder / "model" / "store").pending_digest() is None, where
        assert name != "forget" or leftovers(folder) == set(), where
        assert command.state(folder) == new, f"not finished by the same command: {where}"
        shutil.rmtree(folder)
        step += 1 if error == KILL else size(3, 1)
        tried += 1
    assert code == 0 and step > 5
    counted(steps=tried, typed_errors=refused, half_versions=0)


def leftovers(folder: Path) -> set[str]:
    """Versions of histories that were replaced: they name people who may have been forgotten."""
    histories = folder / "model" / "store"
    if not histories.exists():
        return set()
    current = (histories / "CURRENT").read_text().split()[0]
    return {path.name for path in histories.iterdir()} - {"CURRENT", ".lock", ".current", current}


def prepared(command: Command, folder: Path) -> Path:
    folder.mkdir(parents=True)
    command.prepare(folder)
    return folder


def ends(command: Command, zygote: Zygote, tmp_path: Path) -> tuple[State, State]:
    """The state before, and after the command without a fault."""
    folder = prepared(command, tmp_path / "whole")
    old = command.state(folder)
    assert zygote.run(command.arguments(folder)) == 0, zygote.said()
    new = command.state(folder)
    assert old != new
    return old, new
