"""Result files: what was measured, by which command, on which versions, at what cost."""

from __future__ import annotations

import json
import os
import platform
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import honeyguide
from honeyguide.core.resources import cpu_seconds, peak_rss_mb

RESULTS = Path(__file__).parent / "results"
PACKAGES = ("numpy", "scipy", "polars", "implicit", "torch")


def write_result(
    name: str,
    results: Any,
    *,
    dataset: str | Sequence[str],
    split: str,
    protocol: str,
    seeds: Sequence[int],
    config: Mapping[str, Any],
    versions: Mapping[str, str] | None = None,
    whole: bool = False,
) -> Path:
    """Write ``benchmarks/results/<name>.json``.

    Parameters
    ----------
    name
        Name of the file.
    results
        What was measured, JSON-able.
    dataset, split, protocol
        On what, cut how, evaluated how.
    seeds
        Seeds used.
    config
        Options that differ from the defaults.
    versions
        Versions of packages outside this environment, such as those of the libraries compared with.
    whole
        The command line only chose what to measure again: the command that makes the file is the script alone.

    Returns
    -------
    Path
        The file. Its ``cpu_seconds`` and ``peak_rss_mb`` are those of the whole run, children included.
    """
    content = {
        "command": _command([] if whole else sys.argv[1:]),
        "dataset": dataset,
        "split": split,
        "protocol": protocol,
        "seeds": list(seeds),
        "config": dict(config),
        "versions": {**_versions(), **(versions or {})},
        "cpu_seconds": round(cpu_seconds(), 1),
        "peak_rss_mb": round(max(peak_rss_mb(), _children_peak_mb()), 1),
        "results": results,
    }
    path = RESULTS / f"{name}.json"
    path.parent.mkdir(exist_ok=True)
    temporary = path.with_suffix(".partial")
    temporary.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    temporary.replace(path)
    return path


def read_result(name: str) -> dict[str, Any] | None:
    """The content of a result file, or ``None`` where it was not measured yet."""
    path = RESULTS / f"{name}.json"
    content: dict[str, Any] | None = json.loads(path.read_text(encoding="utf-8")) if path.exists() else None
    return content


def _command(arguments: Sequence[str]) -> str:
    script = Path(sys.argv[0]).resolve()
    root = RESULTS.parent.parent
    shown = script.relative_to(root) if script.is_relative_to(root) else script.name
    return " ".join(["python", str(shown), *arguments])


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version(), "honeyguide": honeyguide.__version__}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _children_peak_mb() -> float:
    if os.name == "nt":
        return 0.0
    import resource

    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10
