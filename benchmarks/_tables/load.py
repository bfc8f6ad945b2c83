"""The service under load: CPU, rates and latencies of every route, and the bars that they are held against."""

from __future__ import annotations

from statistics import median
from typing import Any

from _tables import MISSING, bar_line, bars, made_by, markdown, table
from result_file import read_result

WHAT = {
    "health": "nothing: `GET /health`",
    "personal": "a personal list",
    "personal, two-tower": "a personal list, two-tower network",
    "filter": "a personal list under two conditions, 600 pairs of them",
    "varied": "a personal list, spread by MMR over 50 places",
    "explain": "a personal list with ten checked reasons",
    "session": "a list for an anonymous session of five items",
    "nobody": "what is popular",
    "next page": "pages 2 to 9 of lists",
    "similar": "items like an item",
    "search": "a search by two words, for a user",
    "command": "a command by grammar, kept on disk, and the list that obeys",
    "event": "one event, on disk",
    "events": "a hundred events, on disk",
}


@table("load")
def load() -> str:
    """One line a route."""
    found = read_result("load")
    if found is None:
        return MISSING
    lines = []
    for row in found["results"]["rows"]:
        times = [f"{row['half_load'][key]:,.1f}" for key in ("p50_ms", "p95_ms", "p99_ms")]
        cost = [f"{row['cpu_us']:,}", f"{row['cpu_us_least']:,}"]
        lines.append([WHAT[row["row"]], *cost, f"{row['per_second']:,.0f}", *times, f"{row['rss_mb']:,}"])
    head = ["request", "CPU µs", "least", "a second", "p50 ms", "p95 ms", "p99 ms", "RSS MiB"]
    busy = found["results"]["load_average"]
    note = (
        f"\n\nLoad average of the machine at the end: {', '.join(map(str, busy))} on {found['results']['cores']} cores."
    )
    return markdown(head, lines) + made_by(found) + note


@table("load-bars")
def load_bars() -> str:
    """What the service must reach, and what it did."""
    return markdown(["what", "bar", "measured", "command"], lines()) if read_result("load") else MISSING


@bars
def lines() -> list[list[str]]:
    """The bars of the service."""
    found = read_result("load")
    if found is None:
        return []
    results, command = found["results"], found["command"]
    rows: dict[str, Any] = {row["row"]: row for row in results["rows"]}
    personal, ingest = rows["personal"], rows["events"]
    rate = ingest["per_second"] * ingest["units"]
    bare, one_key = (median(run[name] for run in results["bare_sqlite3"]) for name in ("service", "one key"))
    start = median(start["seconds"] for start in results["start"])
    cpu = median(start["cpu_seconds"] for start in results["start"])
    p99, wish = personal["half_load"]["p99_ms"], rows["command"]["half_load"]["p95_ms"]
    late = max(attempt["seconds"] for attempt in results["fresh"]["tries"])
    seen = all(attempt["rank"] is not None for attempt in results["fresh"]["tries"])
    one = f"{personal['cpu_us']:,} µs, least {personal['cpu_us_least']:,} µs"
    return [
        bar_line(
            "service: a personal list of 100,000 items, CPU", "≤ 1,000 µs", one, personal["cpu_us"] <= 1000, command
        ),
        bar_line("service: p99 of it at half load", "< 25 ms", f"{p99:.1f} ms", p99 < 25, command),
        bar_line(
            "service: durable events over HTTP against bare sqlite3 with the same table",
            "≥ 0.5",
            f"{rate / bare:.2f} ({rate:,.0f} and {bare:,.0f} events/s; {rate / one_key:.2f} of a table with one key)",
            rate >= 0.5 * bare,
            command,
        ),
        bar_line("service: start to first answer", "≤ 3 s", f"{start:.1f} s ({cpu:.1f} CPU-s)", start <= 3, command),
        bar_line(
            "service: p95 of a command without a language model", "≤ 300 ms", f"{wish:.0f} ms", wish <= 300, command
        ),
        bar_line("service: a new item is in a list by its text", "≤ 1 s", f"{late:.2f} s", seen and late <= 1, command),
    ]
