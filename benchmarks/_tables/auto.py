"""The search for the best recommender within a budget."""

from __future__ import annotations

from typing import Any

from _tables import MISSING, bar_line, bars, digits, made_by, markdown, table
from result_file import read_result

# By data set: what Recall and NDCG have to reach, and within which CPU-seconds.
_AUTO_BARS = {
    "amazon-beauty": (0.108, 0.0665, 900),
    "amazon-toys": (0.126, 0.079, 900),
    "amazon-sports": (0.059, 0.035, 1800),
    "ml-1m": (0.337, 0.198, 3600),
    "gowalla-lightgcn": (0.1872, 0.1580, 3600),
    "yelp-lightgnn": (0.0879, 0.0443, 3600),
}


def _auto_results() -> list[tuple[str, dict[str, Any]]]:
    found = [(name, read_result(f"auto_{name}")) for name in _AUTO_BARS]
    return [(name, result) for name, result in found if result is not None]


def _auto_command(name: str) -> str:
    return f"python benchmarks/auto_accuracy.py --datasets {name}"


@table("auto")
def auto_table() -> str:
    """What the search reached on every data set it was measured on, beside the floors."""
    rows = []
    for name, result in _auto_results():
        cells, means = result["results"]["cells"], result["results"]["summary"]
        k = cells[0]["k"]
        both = [f"recall@{k}", f"ndcg@{k}"]
        line = [name, ", ".join(str(c["seed"]) for c in cells), str(k)]
        line.append(" / ".join(digits(means["metrics"][m]) for m in both))
        line.append(" / ".join(digits(means["metrics"][f"{m}:kept"]) for m in both))
        for floor in ("floor", "popularity"):
            line.append(" / ".join(digits(cells[0]["metrics"][floor][m]) for m in both))
        p = max(c["p_vs_floor"] for c in cells)
        rows.append([*line, f"{p:.1g}", f"{means['cpu_seconds']:.0f} of {cells[0]['budget']:.0f}"])
        if "valid_learnt" in means:
            shown = [" / ".join(digits(means["valid_learnt"][f"{m}{s}"]) for m in both) for s in ("", ":kept")]
            rows.append(
                [f"{name}, valid learnt", line[1], line[2], *shown, "", "", "", f"{means['learn_valid']:.0f} more"]
            )
    header = ["data", "seeds", "k", "Recall@k / NDCG@k", "the same, seen kept", "floor", "popularity", "p", "CPU-s"]
    return markdown(header, rows) + "\n\n`python benchmarks/auto_accuracy.py`" if rows else MISSING


@table("auto-parts")
def auto_parts() -> str:
    """What each part of the last blend of the first seed adds."""
    rows = []
    for name, result in _auto_results():
        blends = [step for step in result["results"]["cells"][0]["ladder"] if step["step"] == "blend"]
        for part, added in blends[-1]["adds"].items() if blends else ():
            rows.append([name, part, f"{added['ndcg@10']:+.4f}", f"{added['se']:.4f}"])
    return markdown(["data", "part", "adds", "standard error"], rows) if rows else MISSING


@table("learn-valid")
def learn_valid() -> str:
    """What learning the events of valid is worth to what was chosen by them."""
    result = read_result("learn_valid")
    if result is None:
        return MISSING
    rows = []
    for cell in result["results"]:
        both = [f"recall@{cell['k']}", f"ndcg@{cell['k']}"]
        before, after = cell["metrics"]["before"], cell["metrics"]["after"]
        on = {"cuda": "GPU", "cpu": "CPU"}[cell["device"]] + (", texts not read" if cell["text"] == "off" else "")
        line = [cell["dataset"], str(cell["seed"]), on, f"{cell['events']:,}"]
        line += [" / ".join(digits(means[m]) for m in both) for means in (before, after)]
        cost = cell["cpu_seconds"]
        gain = after[both[1]] / before[both[1]] - 1
        rows.append(
            [*line, f"{gain:+.1%}", f"{cell['p'][both[1]]:.1g}", f"{cost['learn_valid']:.0f}, {cost['search']:.0f}"]
        )
    header = ["data", "seed", "on", "events of valid", "before", "after", "NDCG", "p", "CPU-s: this, the search"]
    return markdown(header, rows) + made_by(result)


@table("valid-like-test")
def valid_like_test() -> str:
    """Whether models stand in valid as they do in test."""
    result = read_result("valid_like_test")
    if result is None:
        return MISSING
    rows = [
        [data, model, *(digits(cell[part][users]) for users in ("all", "from 0") for part in ("valid", "test"))]
        for data, cells in result["results"].items()
        for model, cell in cells.items()
    ]
    header = ["data", "model", "valid", "test", "valid, histories under 12", "test, histories under 12"]
    return markdown(header, rows) + made_by(result)


@table("every-set")
def every_set() -> str:
    """``auto`` and the best single model of every interaction set."""
    result = read_result("every_set")
    if result is None:
        return MISSING
    rows = []
    for name, cell in result["results"].items():
        lines = {m: line for m, line in cell["lines"].items() if "error" not in line}

        def both(model: str, lines: dict[str, Any] = lines) -> str:
            return " / ".join(digits(lines[model][m]) for m in ("recall@10", "ndcg@10")) if model in lines else "–"

        best, spent = cell["best_single"], f"{lines['auto']['cpu_seconds']:.0f} of {cell['budget']:.0f}"
        size = f"{cell['events']:,} × {cell['n_items']:,}"
        shown = [both("popularity"), both("floor"), f"{best} {both(best)}", both("auto")]
        rows.append([name, size, *shown, f"{cell['ratio']:.3f}", f"{cell['p']:.1g}", spent])
    header = ["data", "events × items", "popularity", "floor", "best single", "auto", "NDCG ratio", "p", "CPU-s"]
    return markdown(header, rows) + made_by(result)


@bars
def auto_bars() -> list[list[str]]:
    """What the search had to reach."""
    lines = []
    for name, result in _auto_results():
        recall, ndcg, seconds = _AUTO_BARS[name]
        means, k = result["results"]["summary"], result["results"]["cells"][0]["k"]
        learnt = means.get("valid_learnt", means["metrics"])  # as published, where there is no valid part
        found = (learnt[f"recall@{k}"], learnt[f"ndcg@{k}"], means["cpu_seconds"] + means.get("learn_valid", 0.0))
        met = found[0] >= recall and found[1] >= ndcg and found[2] <= 1.25 * seconds
        bar = f"≥ {digits(recall)} / {digits(ndcg)} in {seconds:,} CPU-s ± 25 %"
        reached = f"{digits(found[0])} / {digits(found[1])} in {found[2]:.0f} CPU-s"
        n = len(means["seeds"])
        what = f"auto, {name}, Recall@{k} / NDCG@{k}, {n} seed{'s' if n > 1 else ''}"
        lines.append(bar_line(what, bar, reached, met, _auto_command(name)))
    return lines
