"""Large data: cost against size, and what updates cost and recover."""

from __future__ import annotations

from _tables import MISSING, bar_line, bars, made_by, markdown, options_text, table
from result_file import read_result


@table("scale")
def scale() -> str:
    """Cost against size, one line a model and size."""
    result = read_result("scale")
    if result is None:
        return MISSING
    rows = []
    for row in result["results"]:
        if row["model"] == "generate":
            continue
        costs = [row[step] for step in ("fit", "recommend")]
        sizes = [f"{row[name]:,}" for name in ("events", "users", "items")]
        seconds, memory = [f"{cost['cpu_seconds']:,.1f}" for cost in costs], [f"{c['peak_rss_mb']:,}" for c in costs]
        rows.append([row["model"], *sizes, *seconds, *memory])
    head = ["model", "events", "users", "items", "fit, CPU-s", "lists of everybody, CPU-s"]
    return markdown([*head, "fit, peak MiB", "lists, peak MiB"], rows) + made_by(result)


@table("scale-generate")
def scale_generate() -> str:
    """What drawing the logs costs."""
    result = read_result("scale")
    if result is None:
        return MISSING
    drawn = [row for row in result["results"] if row["model"] == "generate"]
    rows = [[f"{r['events']:,}", f"{r['fit']['cpu_seconds']:,.1f}", f"{r['fit']['peak_rss_mb']:,}"] for r in drawn]
    return markdown(["events", "CPU-s", "peak MiB"], rows)


@bars
def scale_bars() -> list[list[str]]:
    """Ten million events within eight gigabytes."""
    result = read_result("scale")
    lines = []
    for row in result["results"] if result else ():
        if row["events"] == 10_000_000 and row["model"] != "generate":
            peak = max(row[step]["peak_rss_mb"] for step in ("fit", "recommend"))
            what = f"{row['model']}: 10 M events × 1 M users × 100 k items, fit and everybody's lists, peak memory"
            lines.append(bar_line(what, "≤ 8 GB", f"{peak / 1024:.1f} GiB", peak * 2**20 <= 8e9, result["command"]))
    return lines


@table("streaming")
def streaming() -> str:
    """What updates cost and what they recover, held against the bar."""
    found = read_result("streaming")
    if found is None:
        return MISSING
    head = ["data", "model", "stale", "updated", "refitted", "recovered", "update, CPU-s", "of a fit", "bar"]
    lines = []
    for row in found["results"]:
        cost = "cost holds" if row["cost_holds"] else "**cost missed**"
        gain = {"holds": "gain holds", "missed": "**gain missed**"}.get(row["recovery"], row["recovery"])
        values = [f"{row[who]:.4f}" for who in ("stale", "update", "refit")]
        recovered = "–" if row["recovered"] is None else f"{row['recovered']:.0%}"
        share = f"{row['cost_share_of_first_fit']:.1%}"
        seconds = f"{row['update_cpu_seconds']:.2g}"
        times, options = row.get("times", "logged"), found["config"].get(row["model"])
        dataset = row["dataset"] if times == "logged" else f"{row['dataset']}, {times} times"
        model = f"{row['model']} ({options_text(options)})" if options else row["model"]
        if "parts" in row:
            stayed = f"; stayed: {', '.join(row['stayed'])}" if row["stayed"] else ""
            model = f"{row['model']} of {', '.join(row['parts'])}{stayed}"
        lines.append([dataset, model, *values, recovered, seconds, share, f"{cost}, {gain}"])
    return markdown(head, lines)
