"""Work in a process of its own: its CPU-seconds and its memory are then nobody else's."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import psutil

import honeyguide
from honeyguide.experiment.records import read_json

Watch = Callable[[float], str | None]  # CPU-seconds so far; a reason ends the child
_LOOK = 0.2  # seconds between looks at a watched child
_PATIENCE = 10.0  # seconds that a child has to end after SIGTERM


def environment() -> dict[str, str]:
    """The environment, with this honeyguide on the path of Python."""
    source = str(Path(honeyguide.__file__).parent.parent)
    return os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, [source, os.environ.get("PYTHONPATH")]))}


def run_module(module: str, arguments: Sequence[str], result: Path, watch: Watch | None = None) -> dict[str, Any]:
    """Run ``python -m MODULE ARGUMENTS``, which writes ``result``; whatever becomes of it, there is a result.

    What the child prints goes to a ``.log`` beside ``result``.

    Parameters
    ----------
    module, arguments, result
        What is run and which file it writes.
    watch
        Is asked several times a second, and told the CPU-seconds the child has used; a reason for
        an answer ends the child (SIGTERM).

    Returns
    -------
    dict
        The content of ``result``; ``{"stopped", "cpu_seconds"}`` if ``watch`` ended the child; or
        ``{"error", "remedy"}`` if it left nothing.
    """
    result.parent.mkdir(parents=True, exist_ok=True)
    result.unlink(missing_ok=True)
    log = result.with_suffix(".log")
    command = [sys.executable, "-m", module, *arguments]
    with log.open("w", encoding="utf-8") as sink:
        child = subprocess.Popen(command, env=environment(), stdout=sink, stderr=sink)  # noqa: S603
        try:
            stopped = _follow(child, watch)
            code = child.wait()
        finally:
            _end(child)
    found = read_json(result)
    if found is not None:
        if not log.stat().st_size:
            log.unlink()
        return found
    if stopped is not None:
        return stopped
    how = f"was ended by signal {-code}" if code < 0 else f"ended with exit code {code}"
    return {"error": f"The process {how}.", "remedy": f"See {log}; signal 9 often means that memory ran out."}


def end_with_parent() -> None:
    """Let this process end when the one that started it does, so that nobody works for nobody."""
    parent = os.getppid()

    def look() -> None:
        while os.getppid() == parent:
            time.sleep(1.0)
        os._exit(1)

    threading.Thread(target=look, daemon=True).start()


def _follow(child: subprocess.Popen[bytes], watch: Watch | None) -> dict[str, Any] | None:
    """Wait for the child; if ``watch`` wants it ended, end it and say why and what it had used."""
    if watch is None:
        child.wait()
        return None
    used = 0.0
    while child.poll() is None:
        used = max(used, _cpu(child.pid))
        reason = watch(used)
        if reason is not None:
            _end(child)
            return {"stopped": reason, "cpu_seconds": used}
        try:
            child.wait(_LOOK)
        except subprocess.TimeoutExpired:
            continue
    return None


def _cpu(pid: int) -> float:
    """CPU-seconds of a process and its finished children, as it would read them itself."""
    try:
        return float(sum(psutil.Process(pid).cpu_times()[:4]))
    except psutil.Error:
        return 0.0


def _end(child: subprocess.Popen[bytes]) -> None:
    if child.poll() is None:
        child.terminate()
        try:
            child.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
