"""A real PostgreSQL for the tests: in a folder of its own, reached by a socket in it, gone at the end.

``python tests/serve/postgres.py COMMAND ...`` runs a command with ``HONEYGUIDE_TEST_STORE_URL`` naming one. Where
PostgreSQL is missing, it is installed from Debian's packages by root, and for others the command to do so is printed.
Where it cannot be had at all, that is an error; in CI (``CI`` is set) it is a line, and nothing is run.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Any

URL = "HONEYGUIDE_TEST_STORE_URL"
_INSTALL = ("apt-get", "install", "--yes", "--no-install-recommends", "-oDpkg::Options::=--force-confold", "postgresql")
_PATIENCE = 60.0  # seconds for the server to answer, or to end


class Unavailable(Exception):
    """There is no PostgreSQL, and none can be started."""


class Postgres:
    """A server, as a context.

    Attributes
    ----------
    url
        Of its database, for SQLAlchemy.
    """

    def __init__(self) -> None:
        self._programs = programs()
        self._owner = _unprivileged()
        self._folder = Path(tempfile.mkdtemp(prefix="hg-postgres-"))  # short: a socket's path has at most 107 bytes
        self._server: subprocess.Popen[bytes] | None = None
        self.url = f"postgresql+psycopg://honeyguide@/postgres?host={self._folder}"

    def __enter__(self) -> Postgres:
        try:
            if self._owner:
                os.chown(self._folder, self._owner["user"], self._owner["group"])
            made = self._run("initdb", "--auth=trust", "--username=honeyguide", "--encoding=UTF8", "--locale=C.UTF-8")
            if made.returncode != 0:
                raise Unavailable(f"initdb failed: {made.stderr.decode(errors='replace').strip()}")
            self.start()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        shutil.rmtree(self._folder, ignore_errors=True)

    def start(self) -> None:
        """Start it, and wait until it answers."""
        with (self._folder / "log").open("ab") as log:
            self._server = subprocess.Popen(
                [
                    self._programs / "postgres",
                    *("-D", self._folder / "data", "-k", self._folder, "-c", "listen_addresses="),
                ],
                cwd=self._folder,
                **self._owner,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        deadline = time.monotonic() + _PATIENCE
        while self._run("pg_isready", "--quiet", "--host", str(self._folder), folder=False).returncode != 0:
            if self._server.poll() is not None or time.monotonic() > deadline:
                said = (self._folder / "log").read_text(errors="replace")[-2000:]
                raise Unavailable(f"the server did not start: {said}")
            time.sleep(0.1)

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """Stop it: SIGINT ends its sessions, SIGQUIT is what a crash is to it."""
        if self._server is None:
            return
        self._server.send_signal(how)
        try:
            self._server.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            os.killpg(self._server.pid, signal.SIGKILL)
            self._server.wait()
        self._server = None

    def _run(self, program: str, *arguments: str, folder: bool = True) -> subprocess.CompletedProcess[bytes]:
        where = ("-D", str(self._folder / "data")) if folder else ()
        return subprocess.run(
            [self._programs / program, *where, *arguments],
            cwd=self._folder,
            **self._owner,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=2 * _PATIENCE,
            check=False,
        )


def programs() -> Path:
    """Where the newest server's programs are."""
    beside = shutil.which("postgres")
    found = [Path(beside).resolve()] if beside else []
    found += sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda p: float(p.parts[-3]), reverse=True)
    for postgres in found:
        if (postgres.parent / "initdb").exists() and (postgres.parent / "pg_isready").exists():
            return postgres.parent
    raise Unavailable("PostgreSQL is not installed; on Debian: apt-get install postgresql")


def install() -> None:
    """Install it where it is missing and this is root on Debian; no cluster is made, no service is started."""
    try:
        programs()
        return
    except Unavailable:
        if sys.platform != "linux" or os.geteuid() != 0 or shutil.which("apt-get") is None:
            raise
    plan = Path("/etc/postgresql-common/createcluster.conf")
    if not plan.exists():
        plan.parent.mkdir(parents=True, exist_ok=True)
        plan.write_text("create_main_cluster = false\n")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for command in (("apt-get", "update"), _INSTALL):
        try:
            done = subprocess.run(command, env=environment, capture_output=True, timeout=300, check=False)
        except subprocess.TimeoutExpired as error:
            raise Unavailable(f"{' '.join(command)} did not end") from error
        if done.returncode != 0 and command is _INSTALL:
            raise Unavailable(f"{' '.join(command)} failed: {done.stderr.decode(errors='replace').strip()[-500:]}")


def _unprivileged() -> dict[str, Any]:
    """Arguments of a process that say who runs it: PostgreSQL refuses root."""
    if os.geteuid() != 0:
        return {}
    for name in ("postgres", "nobody"):
        try:
            found = pwd.getpwnam(name)
        except KeyError:
            continue
        return {"user": found.pw_uid, "group": found.pw_gid, "extra_groups": []}
    raise Unavailable("there is no unprivileged user to run PostgreSQL as")


def main(command: list[str]) -> int:
    """Run a command beside a server; its status."""
    try:
        install()
        with Postgres() as server:
            return subprocess.run(command, env={**os.environ, URL: server.url}, check=False).returncode
    except (Unavailable, OSError, subprocess.TimeoutExpired) as error:
        print(f"No test ran on PostgreSQL: {error}", file=sys.stderr)
        return 0 if os.environ.get("CI") else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
