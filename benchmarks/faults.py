"""The fault promise of the service, line by line: the tests that hold it run, and what they counted is written down.

``python benchmarks/faults.py`` takes 200 rounds of kill -9 and a soak of 30 minutes; ``--quick`` the sizes of
``make fault``; ``--jobs N`` tests run side by side (2); ``--reports FOLDER`` reads the JUnit files of runs made before,
for machines that cannot run all of it in one piece.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ET
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from result_file import write_result

ROOT = Path(__file__).parent.parent

# What is promised, and the tests that hold it: FILE or FILE::NAME, both with wildcards.
PROMISES: dict[str, tuple[str, ...]] = {
    "A 200 on an event says that it is on disk, whatever kills the service; a request sent again adds nothing; "
    "one that failed is there whole or not at all.": (
        "tests/faults/test_kill.py",
        "tests/faults/test_disk.py::test_a_broken_disk_never*",
        "tests/serve/test_store.py::test_what_was_acknowledged*",
        "tests/serve/test_store.py::test_a_request_is_kept_whole*",
        "tests/serve/test_store.py::test_a_client_that_goes_away*",
    ),
    "A version of a model or of histories is there whole or not at all; a damaged newest one is put aside, and the "
    "last good one serves.": (
        "tests/faults/test_steps.py",
        "tests/faults/test_damage.py",
        "tests/core/test_artifact_crashes.py",
        "tests/core/test_quarantine.py",
    ),
    "Reads are answered though a model is missing, damaged or being exchanged, and the answer says what it was made "
    "from.": ("tests/serve/test_fallback.py", "tests/faults/test_swap.py", "tests/serve/test_held.py"),
    "On a full disk writes are refused (507) and reads go on; with room again, writes go on.": (
        "tests/faults/test_disk.py::test_a_full_disk*",
    ),
    "Whoever is deleted is in no table, file, list or memory, and an export shows it.": (
        "tests/faults/test_disk.py::test_a_user_deleted*",
        "tests/serve/test_store.py::test_a_deleted_user*",
        "tests/serve/test_store.py::test_what_was_deleted*",
        "tests/serve/test_api.py::test_a_deleted_user*",
        "tests/data/test_store.py::test_*forgotten*",
        "tests/data/test_store.py::test_a_delet*",
    ),
    "Nobody comes in without a key but to /health; a key sees its tenant alone; without a key only this machine is "
    "listened to.": (
        "tests/serve/test_api.py::test_every_route*",
        "tests/serve/test_api.py::test_a_key_does*",
        "tests/serve/test_access.py",
        "tests/cli/test_serve.py::test_nobody_else*",
    ),
    "Texts of items, commands and agents are data: nothing in them is obeyed, and tools that write ask for a "
    "confirmation bound to their arguments.": (
        "tests/serve/test_mcp.py::test_a_hundred_injections*",
        "tests/serve/test_mcp.py::test_writing*",
        "tests/serve/test_mcp.py::test_confirmations*",
        "tests/serve/test_api.py::test_text_of_items*",
    ),
    "Memory, files and threads do not grow.": ("tests/faults/test_soak.py",),
}

Case = dict[str, Any]


def run(jobs: int, full: bool) -> list[Case]:
    """Every test of the promises, and what it counted."""
    files = sorted({pattern.split("::")[0] for patterns in PROMISES.values() for pattern in patterns})
    files = [file for file in files if (ROOT / file).exists()]
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        command = [sys.executable, "-m", "pytest", *files, "-m", "full or not full", "-n", str(jobs)]
        command += ["--dist", "worksteal", f"--junitxml={report}", f"--basetemp={Path(folder) / 'tests'}", "-rs"]
        environment = {**os.environ, "HONEYGUIDE_FAULTS": "full" if full else ""}
        subprocess.run(command, cwd=ROOT, env=environment, check=False)
        return read(Path(folder))


def read(folder: Path) -> list[Case]:
    """Every test in the JUnit files of a folder."""
    return [outcome(element) for path in sorted(folder.glob("*.xml")) for element in ET.parse(path).iter("testcase")]


def outcome(element: ET.Element) -> Case:
    """A test, from the report of the run."""
    found = [kind for kind in ("failure", "error", "skipped") if element.find(kind) is not None]
    counts = {p.attrib["name"]: float(p.attrib["value"]) for p in element.iter("property")}
    return {
        "test": f"{element.attrib['classname'].replace('.', '/')}.py::{element.attrib['name']}",
        "outcome": found[0] if found else "passed",
        "seconds": round(float(element.attrib["time"]), 1),
        "counts": {name: int(n) if n.is_integer() else n for name, n in counts.items()},
    }


def holds(pattern: str, test: str) -> bool:
    """Whether a test is one of a promise's."""
    file, _, name = pattern.partition("::")
    where, _, called = test.partition("::")
    return where == file and fnmatch(called, f"{name or '*'}*")


def by_promise(cases: list[Case]) -> list[dict[str, Any]]:
    """The tests under what they hold; a promise without any is an error."""
    lines = []
    for promise, patterns in PROMISES.items():
        own = [c for c in cases if any(holds(pattern, c["test"]) for pattern in patterns)]
        if not own:
            raise SystemExit(f"No test holds: {promise}")
        lines.append({"promise": promise, "tests": own})
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--reports", type=Path)
    options = parser.parse_args()
    results = by_promise(read(options.reports) if options.reports else run(options.jobs, full=not options.quick))
    failed = {
        c["test"]: c["outcome"] for line in results for c in line["tests"] if c["outcome"] in ("failure", "error")
    }
    if not options.quick:
        write_result(
            "faults",
            results,
            dataset="goodbooks-mini, 300 readers and 400 books",
            split="none",
            protocol="a real service in a child process; kills, full and failing disks, damaged bytes from outside",
            seeds=[],
            config={"put together from": sorted(path.name for path in options.reports.glob("*.xml"))}
            if options.reports
            else {},  # then the CPU-seconds are those of reading them
            whole=True,
        )
    for test, how in failed.items():
        print(f"{how}: {test}")
    raise SystemExit(1 if failed else 0)


if __name__ == "__main__":
    main()
