"""Which of several processes this is, where ``torchrun`` started them to fit one model together."""

from __future__ import annotations

import os
from dataclasses import dataclass


@dataclass(frozen=True)
class Process:
    """One of ``size`` processes.

    Parameters
    ----------
    rank
        From 0; 0 alone validates, writes and prints.
    size
        Number of processes.
    local_rank
        The same as ``rank``, counted on this machine: which of its devices to use.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0


def this_process() -> Process:
    """Read from the variables that ``torchrun`` sets; without them, the only process."""
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        return Process()
    return Process(int(os.environ["RANK"]), size, int(os.environ.get("LOCAL_RANK", "0")))
