"""The fault promise: every line with its tests and what they counted."""

from __future__ import annotations

from typing import Any

from _tables import bar_line, bars, made_by, markdown, table
from result_file import read_result

_WORDS = str.maketrans("_", " ")


def _name(test: str) -> tuple[str, str]:
    """File and name of a test, without the values of its parameters."""
    file, _, name = test.partition("::")
    return file, name.partition("[")[0]


def _counts(cases: list[dict[str, Any]]) -> str:
    """What the cases of one test counted: sums, and the longest of times."""
    if not any(case["counts"] for case in cases):
        return f"{len(cases)} case{'s' if len(cases) > 1 else ''}"
    found: dict[str, float] = {}
    for case in cases:
        for name, n in case["counts"].items():
            found[name] = max(found.get(name, 0), n) if "seconds" in name else found.get(name, 0) + n
    return ", ".join(f"{name.translate(_WORDS)} {n:,}" for name, n in found.items())


def _outcome(cases: list[dict[str, Any]]) -> str:
    kinds = [case["outcome"] for case in cases]
    if all(kind == "passed" for kind in kinds):
        return "holds"
    return "**does not hold**" if {"failure", "error"} & set(kinds) else "skipped"


@table("faults")
def faults() -> str:
    """One table a promise."""
    result = read_result("faults")
    if result is None:
        return "*Not counted yet: run `make fault-full`.*"
    parts = []
    for number, line in enumerate(result["results"], start=1):
        tests: dict[tuple[str, str], list[dict[str, Any]]] = {}
        for case in line["tests"]:
            tests.setdefault(_name(case["test"]), []).append(case)
        rows = [
            [f"`{name.removeprefix('test_').translate(_WORDS)}`", f"`{file}`", _counts(cases), _outcome(cases)]
            for (file, name), cases in tests.items()
        ]
        head = ["test", "in", "counted", ""]
        parts.append(f"### {number}. {line['promise']}\n\n" + markdown(head, rows, words=4))
    return "\n\n".join(parts) + made_by(result)


@bars
def fault_bars() -> list[list[str]]:
    """What issue and anchors ask of the service under faults."""
    result = read_result("faults")
    if result is None:
        return []
    counts: dict[str, float] = {}
    for line in result["results"]:
        for case in line["tests"]:
            for name, n in case["counts"].items():
                counts[name] = counts.get(name, 0) + n
    lost, rounds, command = int(counts["lost_events"]), int(counts["rounds"]), result["command"]
    lines = [bar_line(f"{rounds} rounds of kill -9 during ingest", "0 events lost", f"{lost}", lost == 0, command)]
    if "rss_mb_per_hour" in counts:
        growth, most = counts["rss_mb_per_hour"], counts["most_rss_mb_per_hour"]
        what = f"Soak of {counts['minutes']:.0f} minutes, growth of memory"
        lines.append(bar_line(what, f"≤ {most:.0f} MiB an hour", f"{growth:.1f}", growth <= most, command))
    return lines
