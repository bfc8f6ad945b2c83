"""Work in a process of its own: its CPU-seconds and its memory are then nobody else's."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import honeyguide
from honeyguide.experiment.records import read_json


def environment() -> dict[str, str]:
    """The environment, with this honeyguide on the path of Python."""
    source = str(Path(honeyguide.__file__).parent.parent)
    return os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, [source, os.environ.get("PYTHONPATH")]))}


def run_module(module: str, arguments: Sequence[str], result: Path) -> dict[str, Any]:
    """Run ``python -m MODULE ARGUMENTS``, which writes ``result``; whatever becomes of it, there is a result.

    What the child prints goes to a ``.log`` beside ``result``.

    Returns
    -------
    dict
        The content of ``result``, or ``{"error", "remedy"}`` if the child left none.
    """
    result.parent.mkdir(parents=True, exist_ok=True)
    result.unlink(missing_ok=True)
    log = result.with_suffix(".log")
    command = [sys.executable, "-m", module, *arguments]
    with log.open("w", encoding="utf-8") as sink:
        code = subprocess.run(command, env=environment(), stdout=sink, stderr=sink, check=False).returncode  # noqa: S603
    found = read_json(result)
    if found is not None:
        if not log.stat().st_size:
            log.unlink()
        return found
    how = f"was ended by signal {-code}" if code < 0 else f"ended with exit code {code}"
    return {"error": f"The process {how}.", "remedy": f"See {log}; signal 9 often means that memory ran out."}
