"""What the fault tests are made of: a real service as a child process, and faults put under it from outside.

Nothing of this is in the product. A fault is a signal, a file system that is full, damaged bytes, or a call to the
operating system that fails because ``shim.c`` was loaded before libc.
"""

from __future__ import annotations

import errno
import http.client
import json
import mmap
import os
import random
import shutil
import signal
import socket
import struct
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

FULL_SIZE = os.environ.get("HONEYGUIDE_FAULTS") == "full"  # make fault-full
ROOT = Path(__file__).parents[2]
WRITE, SYNC, RENAME, UNLINK, TRUNCATE, CREATE, MKDIR = (1 << n for n in range(7))
EVERY = 127
KILL = 0  # in the place of an errno
BROKEN = ConnectionError, TimeoutError, http.client.HTTPException, OSError

posix = pytest.mark.skipif(os.name == "nt", reason="signals, links and mounts of POSIX")


def size(usual: int, full: int) -> int:
    """How often: in ``make fault``, and in ``make fault-full``."""
    return full if FULL_SIZE else usual


class Control:
    """The memory that a test shares with the preloaded library of a process: what is to fail, and what happened."""

    _NUMBERS = ("armed", "at", "error", "sticky", "mask", "count", "syncs")
    _SIZE = 8 * 7 + 2 * 2048

    def __init__(self, library: Path, path: Path) -> None:
        self.library, self.path = library, path
        path.write_bytes(bytes(self._SIZE))
        with path.open("r+b") as file:
            self._memory = mmap.mmap(file.fileno(), self._SIZE)

    @property
    def environment(self) -> dict[str, str]:
        return {"LD_PRELOAD": str(self.library), "FAULTS_CONTROL": str(self.path)}

    def arm(self, under: Path, at: int, error: int = KILL, *, sticky: bool = False, mask: int = EVERY) -> None:
        """Fail (or kill) at the call ``at`` of those that change files under a folder; -1: only count."""
        self.disarm()
        self._memory[56 : 56 + 4096] = bytes(4096)
        name = str(under).encode()
        self._memory[56 : 56 + len(name)] = name
        for field, value in {"at": at, "error": error, "sticky": int(sticky), "mask": mask}.items():
            self._set(field, value)
        self._set("count", 0)
        self._set("syncs", 0)
        self._set("armed", 1)

    def disarm(self) -> None:
        self._set("armed", 0)

    @property
    def count(self) -> int:
        """Calls since it was armed."""
        return self._get("count")

    @property
    def syncs(self) -> int:
        """Of them, files that were brought to the disk."""
        return self._get("syncs")

    @property
    def hit(self) -> str:
        """The file of the call that failed; empty where none did."""
        return self._memory[56 + 2048 : 56 + 4096].split(b"\0")[0].decode()

    def _set(self, field: str, value: int) -> None:
        struct.pack_into("q", self._memory, 8 * self._NUMBERS.index(field), value)

    def _get(self, field: str) -> int:
        return int(struct.unpack_from("q", self._memory, 8 * self._NUMBERS.index(field))[0])


def compiled(folder: Path) -> Path:
    """The library that makes calls fail; a test that needs it is skipped where it cannot be built."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if not sys.platform.startswith("linux") or compiler is None:
        pytest.skip("failing system calls are injected on Linux with a C compiler")
    library = folder / "shim.so"
    source = Path(__file__).parent / "shim.c"
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", str(library), str(source), "-ldl"], check=True)
    return library


def environment(control: Control | None = None) -> dict[str, str]:
    """Of a child: this checkout, one thread."""
    path = os.pathsep.join([str(ROOT / "src"), str(ROOT)])
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "POLARS_MAX_THREADS"), "1")
    return {**os.environ, **threads, "PYTHONPATH": path, **(control.environment if control is not None else {})}


def free_port() -> int:
    """A port that nobody has, and none that the system hands out: a killed service's could go to another's service."""
    while True:
        port = random.SystemRandom().randrange(10_000, 30_000)
        with suppress(OSError), socket.socket() as found:
            found.bind(("127.0.0.1", port))
            return port


class Served:
    """``honeyguide serve`` in a process of its own.

    Parameters
    ----------
    model
        Folder of the model; the store is in it unless ``arguments`` say where.
    log
        File for what the process says.
    """

    def __init__(self, model: Path, log: Path, *arguments: str, control: Control | None = None) -> None:
        self.model, self.log, self.arguments, self.control = model, log, arguments, control
        self.process: subprocess.Popen[bytes] | None = None
        self.port = 0

    def launch(self) -> None:
        """Start, and do not wait."""
        self.port = free_port()
        command = [sys.executable, "-m", "honeyguide", "--quiet", "serve", str(self.model), "--port", str(self.port)]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*command, *self.arguments], stdout=log, stderr=log, env=environment(self.control), cwd=ROOT
            )

    def start(self, patience: float = 90.0) -> float:
        """Start, and wait for the first list; the seconds it took."""
        started = time.monotonic()
        self.launch()
        assert self.process is not None
        while time.monotonic() - started < patience:
            with suppress(*BROKEN):
                status, found = self.ask("POST", "/v1/recommend", {"k": 3})
                assert status == 200 and found["items"], (status, found)
                return time.monotonic() - started
            assert self.process.poll() is None, self.log.read_text()
            time.sleep(0.01)
        raise AssertionError("the service did not start")

    def ask(self, method: str, path: str, body: object = None, timeout: float = 60.0) -> tuple[int, Any]:
        """One request on a connection of its own: status and answer."""
        with Client(self, timeout) as client:
            return client.ask(method, path, body)

    def kill(self) -> None:
        """SIGKILL, if it runs."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def stop(self) -> int:
        """SIGTERM, as an operator ends it; the exit status."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(120)

    def __enter__(self) -> Served:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()


class Client:
    """A connection that is kept."""

    def __init__(self, service: Served, timeout: float = 60.0) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=timeout)

    def ask(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        data = None if body is None else json.dumps(body)
        self._connection.request(method, path, data, {"Content-Type": "application/json"} if data else {})
        answer = self._connection.getresponse()
        content = answer.read()
        is_json = answer.headers.get_content_type() == "application/json"
        return answer.status, json.loads(content) if is_json else content

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()


def failures() -> tuple[int, ...]:
    """What a disk says when it does not take a write."""
    return errno.EIO, errno.ENOSPC
