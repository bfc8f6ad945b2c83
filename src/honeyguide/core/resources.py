"""CPU-seconds, peak memory, and the check that a fit will fit."""

from __future__ import annotations

import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import psutil

from honeyguide.core.errors import MemoryLimitError

_CGROUP = Path("/sys/fs/cgroup")


@dataclass(frozen=True)
class Estimate:
    """What a fit is expected to need.

    Parameters
    ----------
    memory_bytes
        Peak memory above what the process holds already.
    cpu_seconds
        On one core of a current server CPU; a rough guide (within a factor of three).
    most_bytes
        Peak memory if there is enough of it, of what gets by with less where there is not: a search.
    """

    memory_bytes: float
    cpu_seconds: float
    most_bytes: float | None = None

    def __str__(self) -> str:
        memory = _bytes(self.memory_bytes)
        if self.most_bytes is not None:
            memory = f"{memory} to {_bytes(self.most_bytes)}"
        return f"about {memory} of memory and {_seconds(self.cpu_seconds)} of CPU time"


def available_memory() -> int:
    """Bytes that may still be used: what the system has free, within the limit of the container."""
    free = psutil.virtual_memory().available
    try:
        limit = (_CGROUP / "memory.max").read_text().strip()
        if limit != "max":
            free = min(free, max(0, int(limit) - int((_CGROUP / "memory.current").read_text())))
    except (OSError, ValueError):
        pass
    return int(free)


def check_memory(what: str, estimate: Estimate, limit: int | None = None) -> None:
    """Refuse what cannot fit in memory.

    Parameters
    ----------
    what
        Name of the fit, for the message.
    estimate
        Its expected need.
    limit
        Bytes it may use; ``None`` for all that is available.

    Raises
    ------
    MemoryLimitError
        If the estimate is above the limit.
    """
    allowed = available_memory() if limit is None else limit
    if estimate.memory_bytes > allowed:
        raise MemoryLimitError(
            f"{what} needs {estimate}, and only {_bytes(allowed)} may be used.",
            "Choose a model that scales with the number of interactions (ials, itemknn, floor, sasrec), "
            "keep fewer items, or raise the limit.",
        )


def cpu_seconds() -> float:
    """CPU-seconds used so far by this process, all its threads, and its finished children."""
    children = os.times()  # in hundredths of a second; the process itself in nanoseconds
    return time.process_time() + children.children_user + children.children_system


def peak_rss_mb() -> float:
    """Peak resident memory of this process so far, in MiB."""
    if sys.platform == "win32":
        return float(psutil.Process().memory_info().peak_wset) / 2**20
    try:
        # Not ru_maxrss: on Linux a child begins with that of the process that started it.
        status = Path("/proc/self/status").read_text()
        return int(status.partition("VmHWM:")[2].split()[0]) / 2**10
    except (OSError, ValueError, IndexError):
        pass
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10


class Stopwatch:
    """Context manager that measures CPU-seconds and wall seconds.

    Attributes
    ----------
    cpu, wall
        Seconds, set when the block ends.
    """

    cpu: float = 0.0
    wall: float = 0.0

    def __enter__(self) -> Stopwatch:
        self._cpu, self._wall = cpu_seconds(), time.perf_counter()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.cpu, self.wall = cpu_seconds() - self._cpu, time.perf_counter() - self._wall


def _bytes(n: float) -> str:
    return f"{n / 2**30:.1f} GiB" if n >= 2**30 else f"{n / 2**20:.0f} MiB"


def _seconds(n: float) -> str:
    return f"{n / 60:.0f} min" if n >= 120 else f"{n:.0f} s" if n >= 1 else "under 1 s"
