"""CPU-seconds of ``import honeyguide`` and of ``honeyguide --help``, each in a new process; median of nine."""

from __future__ import annotations

import os
import subprocess
import sys
from statistics import median

from result_file import write_result

REPEATS = 9
COMMANDS = {
    "python": ["-c", "pass"],
    "import honeyguide": ["-c", "import honeyguide"],
    "honeyguide --help": ["-m", "honeyguide", "--help"],
}


def cpu_of(arguments: list[str]) -> float:
    """CPU-seconds of one run, start of Python included."""
    before = os.times()
    subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
    after = os.times()
    return after.children_user + after.children_system - before.children_user - before.children_system


def main() -> None:
    results = {name: round(median(cpu_of(command) for _ in range(REPEATS)), 3) for name, command in COMMANDS.items()}
    write_result(
        "startup",
        results,
        dataset="none",
        split="none",
        protocol=f"CPU-seconds of a new process, start of Python included, median of {REPEATS}",
        seeds=[],
        config={},
    )
    for name, seconds in results.items():
        print(f"{name}: {seconds:.3f} CPU-s")


if __name__ == "__main__":
    main()
